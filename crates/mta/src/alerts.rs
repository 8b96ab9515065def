//! The postmaster is told of sessions that went wrong: Postfix's `notify_classes` of policy, protocol, resource and software.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Instant;

use kings_mail::envelope::MailParameters;
use kings_mail::path::ForwardPath;
use kings_queue::Notification;
use kings_smtp::server::{Transcript, Trouble};
use tracing::{info, warn};

use crate::core::{Core, new_id, now};
use crate::limits::ALERTS;
use crate::relay::here::post;

/// Of what the postmaster hears, and who that is. Of nothing by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// Troubles that are told.
    pub of: BTreeSet<Trouble>,
    /// Postfix's `error_notice_recipient`.
    pub to: ForwardPath,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { of: BTreeSet::new(), to: ForwardPath::Postmaster }
    }
}

impl Alerts {
    /// What a session is to keep of itself; `None` where nobody wants to hear of any.
    pub(crate) fn transcript(&self) -> Option<Transcript> {
        (!self.of.is_empty()).then(Transcript::default)
    }
}

/// Tells of a session that is over, if it had a trouble that is told. A client that makes more and more of it is told of
/// once, and all of them together no more often than [`ALERTS`] says.
pub(crate) async fn tell(core: &Core, client: IpAddr, transcript: Option<Transcript>) {
    let Some(transcript) = transcript else { return };
    let Alerts { of, to } = &core.rules.alerts;
    let troubles: Vec<Trouble> = transcript.troubles().intersection(of).copied().collect();
    if troubles.is_empty() {
        return;
    }
    let Some(untold) = core.traffic.alert(client, Instant::now()) else {
        info!(%client, ?troubles, "the postmaster has heard enough for now");
        return;
    };
    let notification = notification(core, client, &troubles, &transcript.lines(), untold, to);
    if let Err(error) = post(core, notification).await {
        warn!(%client, ?troubles, %error, "the postmaster is not told of it");
    }
}

fn notification(
    core: &Core,
    client: IpAddr,
    troubles: &[Trouble],
    lines: &[String],
    untold: u64,
    to: &ForwardPath,
) -> Notification {
    let (hostname, date, about) = (&core.hostname, now(), new_id());
    let address = match to {
        ForwardPath::Postmaster => format!("postmaster@{hostname}"),
        ForwardPath::Address(address) => address.to_string(),
    };
    let names = troubles.iter().map(|trouble| format!("{trouble:?}").to_lowercase()).collect::<Vec<_>>();
    let names = names.join(", ");
    let mut content = format!(
        "From: Mail delivery <MAILER-DAEMON@{hostname}>\r\nTo: <{address}>\r\n\
         Subject: Errors from [{client}] ({names})\r\nDate: {date}\r\nMessage-ID: <{about}.errors@{hostname}>\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
         This is the mail server {hostname}. Transcript of the session follows, without the messages:\r\n\r\n"
    );
    for line in lines {
        // Writing to a String cannot fail.
        let _ = write!(content, " {line}\r\n");
    }
    let _ = write!(
        content,
        "\r\nYou hear of a client once an hour, and of {} in an hour at most; the log has them all.\r\n",
        ALERTS.most
    );
    if untold > 0 {
        let _ = write!(content, "Of {untold} others before this one you did not hear.\r\n");
    }
    let content = content.into_bytes();
    let parameters = MailParameters {
        size: Some(content.len() as u64),
        smtputf8: to.needs_smtputf8(),
        ..MailParameters::default()
    };
    Notification { about, forward_path: to.clone(), parameters, content, verdict: Vec::new() }
}
