//! AUTH: the login exchange (RFC 4954 §4).

use kings_sasl::{self as sasl, BadExchange, Mechanism};

use super::{Event, MAX_AUTH_LINE, Pending, Role, Session, State};
use crate::lines::Line;
use crate::reply::Reply;

impl Session {
    pub(super) fn lacks_login(&self) -> bool {
        self.settings.role == Role::Submission && !self.client.logged_in
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial_response: Option<String>) -> Option<Event> {
        if !self.client.tls {
            return self.refuse(&Reply::TLS_FIRST);
        }
        if self.client.logged_in {
            return self.refuse(&Reply::BAD_SEQUENCE);
        }
        let Some(mechanism) = Mechanism::parse(mechanism) else {
            return self.refuse(&Reply::UNKNOWN_MECHANISM);
        };
        let server = sasl::Server::new(mechanism);
        match initial_response {
            Some(response) => {
                self.state = State::Login(server);
                self.respond(response.as_bytes())
            }
            None => {
                self.challenge(server.first_challenge());
                self.state = State::Login(server);
                None
            }
        }
    }

    pub(super) fn challenge(&mut self, challenge: &[u8]) {
        self.reply(&Reply::plain(334, "").with_text(sasl::encode(challenge)));
    }

    /// A line of the login exchange: `*` gives up (RFC 4954 §4). `None` when it is not there yet.
    pub(super) fn next_response(&mut self) -> Option<Result<String, Reply>> {
        Some(match self.lines.next(MAX_AUTH_LINE)? {
            Line::Text("*") => Err(Reply::LOGIN_CANCELLED),
            Line::Text(line) => Ok(line.to_owned()),
            Line::Broken => Err(Reply::BAD_LOGIN_DATA),
            Line::TooLong => Err(Reply::LINE_TOO_LONG),
        })
    }

    pub(super) fn respond(&mut self, response: &[u8]) -> Option<Event> {
        let State::Login(server) = &mut self.state else { return None };
        let Ok(decoded) = sasl::decode(response) else { return self.end_login(&Reply::BAD_LOGIN_DATA) };
        match server.respond(&decoded) {
            Ok(sasl::Step::Challenge(challenge)) => {
                self.challenge(&challenge);
                None
            }
            Ok(sasl::Step::Credentials(credentials)) => {
                self.pending = Some(Pending::Login);
                Some(Event::Login(credentials))
            }
            Err(BadExchange::Malformed) => self.end_login(&Reply::BAD_LOGIN_DATA),
            Err(BadExchange::OtherIdentity) => self.end_login(&Reply::LOGIN_REFUSED),
        }
    }

    pub(super) fn end_login(&mut self, reply: &Reply) -> Option<Event> {
        self.state = State::Ready;
        self.refuse(reply)
    }
}
