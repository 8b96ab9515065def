//! Reports to others, so many to one domain and no more: mail with forged senders must not make us flood those whom it names.

use std::time::Instant;

use kings_mail::envelope::MailParameters;
use kings_mail::id::TraceId;
use kings_mail::path::ForwardPath;
use kings_queue::{Destination, Notification};

use crate::core::{Core, now};
use crate::limits::Reporting;
use crate::policy::verdict::is_junk;
use crate::traced;

/// What is done with a report.
pub(super) enum Course {
    /// It goes its way.
    Goes,
    /// What it would say is in the log and in the trace alone.
    Withheld,
    /// The same, and our postmaster gets this message.
    Told(Box<Notification>),
}

/// Counts a report on the domain that it goes to. One too many is withheld, and so is each about junk: whoever is named as
/// the sender of that has seldom sent it.
pub(super) fn course(core: &Core, notification: &Notification) -> Course {
    let Notification { about, forward_path, verdict, .. } = notification;
    let ForwardPath::Address(address) = forward_path else { return Course::Goes };
    if is_junk(verdict) {
        tracing::info!(%about, %forward_path, "a report is withheld: the message is junk");
        traced::withheld(core, *about, forward_path, "the message is junk");
        return Course::Withheld;
    }
    if core.is_of_ours(address) {
        return Course::Goes;
    }
    let destination = Destination::from(forward_path);
    let rates = &core.limits.rates;
    let tell = match core.traffic.report(&destination, rates, Instant::now()) {
        Reporting::Goes => return Course::Goes,
        Reporting::Withheld { first } => first,
    };
    tracing::warn!(%about, %forward_path, "a report is withheld: too many to this domain");
    traced::withheld(core, *about, forward_path, "too many go to that domain");
    if tell { Course::Told(Box::new(to_postmaster(core, *about, &destination))) } else { Course::Withheld }
}

fn to_postmaster(core: &Core, about: TraceId, destination: &Destination) -> Notification {
    let (hostname, date, most) = (&core.hostname, now(), core.limits.rates.reports_per_hour);
    let content = format!(
        "From: Mail delivery <MAILER-DAEMON@{hostname}>\r\nTo: <postmaster@{hostname}>\r\n\
         Subject: Reports to {destination} are withheld\r\nDate: {date}\r\n\
         Message-ID: <{about}.withheld@{hostname}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n\
         This is the mail server {hostname}.\r\n\r\n\
         More than {most} reports in an hour were to go to {destination}. Mail with forged senders is the usual cause,\r\n\
         and whoever runs that domain would take us for its source. Reports above that number are not\r\n\
         sent; the log and \"kings trace\" name each of them. The first was about message {about}.\r\n\r\n\
         What helps: refuse such mail while its client waits, with a list of recipients of the domains that\r\n\
         are relayed. If the mail is wanted, raise reports_per_hour_per_domain in [limits].\r\n\r\n\
         You hear of this domain once a day at most.\r\n"
    )
    .into_bytes();
    let parameters = MailParameters { size: Some(content.len() as u64), ..MailParameters::default() };
    Notification { about, forward_path: ForwardPath::Postmaster, parameters, content, verdict: Vec::new() }
}
