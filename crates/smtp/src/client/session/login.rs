//! The login at the next hop.

use kings_sasl::{self as sasl, BadChallenge};

use super::{Event, Login, Phase, Session};
use crate::reply::{Reply, Status};

impl Session {
    pub(super) fn log_in(&mut self) -> Option<Event> {
        let Some(Login { name, password, nonce }) = &self.settings.login else { return Some(Event::Ready) };
        if !self.tls {
            return Some(Event::Refused(no_login("Next server offers no TLS, so no password is sent")));
        }
        let offered = self.features.mechanisms.iter().map(String::as_str);
        let Some(mut client) = sasl::Client::choose(offered, name, password, nonce) else {
            return Some(Event::Refused(no_login("Next server offers no login that we know")));
        };
        let mechanism = client.mechanism();
        let first = client.speaks_first().then(|| client.respond(b"").ok()).flatten();
        let line = match first {
            Some(response) => format!("AUTH {} {}", mechanism.name(), sasl::encode(&response)),
            None => format!("AUTH {}", mechanism.name()),
        };
        self.command(&line, Phase::Login(client));
        None
    }

    pub(super) fn next_response(&mut self, mut client: sasl::Client, reply: &Reply) -> Option<Event> {
        // Prompts of LOGIN that are not base64 are still prompts.
        let challenge = sasl::decode(reply.text.trim().as_bytes()).unwrap_or_default();
        match client.respond(&challenge) {
            Ok(response) => self.command(&sasl::encode(&response), Phase::Login(client)),
            Err(BadChallenge) => self.command("*", Phase::LoginCancelled),
        }
        None
    }
}

pub(super) fn no_login(text: &'static str) -> Reply {
    Reply::new(454, Status(4, 7, 0), text)
}
