//! MAIL and RCPT: what the session itself refuses, and what it asks about (RFC 5321 §3.3).

use kings_mail::envelope::{Envelope, Hold, MailParameters, Recipient};
use kings_mail::path::ReversePath;

use super::{Event, Pending, Role, Session, State};
use crate::command::Command;
use crate::reply::Reply;

impl Session {
    /// RFC 2920 §3.1: a client must wait for the answers to these. AUTH and DATA too, since what follows
    /// them is no command; STARTTLS is not among them: what follows it is thrown away.
    pub(super) fn must_be_last(&self, command: &Command) -> bool {
        match command {
            Command::Ehlo(_) | Command::Helo(_) | Command::Lhlo(_) | Command::Data | Command::Xclient(_) => {
                true
            }
            Command::Auth { .. } => self.settings.role == Role::Submission,
            _ => false,
        }
    }

    pub(super) fn mail(&mut self, path: ReversePath, parameters: MailParameters) -> Option<Event> {
        if path.needs_smtputf8() && !parameters.smtputf8 {
            return self.refuse(&Reply::NEEDS_SMTPUTF8);
        }
        if parameters.size.is_some_and(|size| size > self.settings.message_bytes) {
            return self.refuse(&Reply::MESSAGE_TOO_LARGE);
        }
        if parameters.hold.is_some_and(|hold| self.is_too_far(hold)) {
            return self.refuse(&Reply::HOLD_TOO_LONG);
        }
        self.pending = Some(Pending::Mail(Envelope::new(path.clone(), parameters.clone())));
        Some(Event::Mail(path, parameters))
    }

    /// Beyond what EHLO has offered (RFC 4865 §3).
    fn is_too_far(&self, hold: Hold) -> bool {
        let Some(future) = self.settings.future_release else { return true };
        match hold {
            Hold::For(seconds) => seconds > future.longest,
            Hold::Until(moment) => i64::try_from(moment).map_or(true, |moment| moment > future.latest.unix()),
        }
    }

    pub(super) fn rcpt(&mut self, envelope: Envelope, recipient: Recipient) -> Option<Event> {
        if recipient.path.needs_smtputf8() && !envelope.parameters.smtputf8 {
            return self.keep(State::Transaction(envelope)).refuse(&Reply::NEEDS_SMTPUTF8);
        }
        self.pending = Some(Pending::Rcpt(envelope, recipient.clone()));
        Some(Event::Rcpt(recipient))
    }
}
