//! EHLO or HELO, and what follows from the server's answer.

use super::login::no_login;
use super::phase::Phase;
use super::{Event, Protocol, Session, StartTls};
use crate::client::features::Features;
use crate::reply::{Reply, Status};

impl Session {
    pub(super) fn hello(&mut self) {
        let verb = match self.settings.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        let line = format!("{verb} {}", self.settings.hostname);
        self.command(&line, Phase::Ehlo);
    }

    pub(super) fn helo(&mut self) {
        let line = format!("HELO {}", self.settings.hostname);
        self.command(&line, Phase::Helo);
    }

    pub(super) fn after_ehlo(&mut self, reply: &Reply) -> Option<Event> {
        self.features = Features::parse(&reply.text);
        match self.settings.start_tls {
            _ if self.tls => self.log_in(),
            StartTls::IfOffered | StartTls::Required if self.features.start_tls => {
                self.command("STARTTLS", Phase::StartTls);
                None
            }
            StartTls::Required => Some(Event::Unfit(no_tls())),
            StartTls::Never | StartTls::IfOffered => self.log_in(),
        }
    }

    pub(super) fn after_helo(&mut self, reply: &Reply) -> Event {
        self.features = Features::of_helo(&reply.text);
        match self.settings.login {
            Some(_) => Event::Unfit(no_login("it offers no login")),
            None => Event::Ready,
        }
    }
}

/// What [`Event::Unfit`] says when TLS is required and the server does not offer it.
pub fn no_tls() -> Reply {
    Reply::new(454, Status(4, 7, 5), "it offers no TLS, which is required")
}
