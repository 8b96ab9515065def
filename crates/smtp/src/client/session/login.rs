//! The login at the next hop.

use kings_sasl as sasl;

use super::{Event, Phase, Session};
use crate::reply::{Reply, Status};

impl Session {
    pub(super) fn log_in(&mut self) -> Option<Event> {
        let Some((login, password)) = &self.settings.login else { return Some(Event::Ready) };
        if !self.tls {
            return Some(Event::Refused(no_login("Next server offers no TLS, so no password is sent")));
        }
        let offered = self.features.mechanisms.iter().map(String::as_str);
        let Some(mut client) = sasl::Client::choose(offered, login, password) else {
            return Some(Event::Refused(no_login("Next server offers no login that we know")));
        };
        let mechanism = client.mechanism();
        // Only PLAIN has an initial response; LOGIN waits for its prompts.
        let first = (mechanism == sasl::Mechanism::Plain).then(|| client.next_response()).flatten();
        let line = match first {
            Some(response) => format!("AUTH {} {}", mechanism.name(), sasl::encode(&response)),
            None => format!("AUTH {}", mechanism.name()),
        };
        self.command(&line, Phase::Login(client));
        None
    }

    pub(super) fn next_response(&mut self, mut client: sasl::Client) -> Option<Event> {
        match client.next_response() {
            Some(response) => self.command(&sasl::encode(&response), Phase::Login(client)),
            None => self.command("*", Phase::LoginCancelled),
        }
        None
    }
}

pub(super) fn no_login(text: &'static str) -> Reply {
    Reply::new(454, Status(4, 7, 0), text)
}
