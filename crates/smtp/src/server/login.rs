//! AUTH: the login exchange (RFC 4954 §4).

use kings_sasl::{self as sasl, BadBase64, Mechanism, Turn};

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
        let Some(mechanism) = Mechanism::parse(mechanism).filter(|known| self.mechanisms.contains(*known))
        else {
            return self.refuse(&Reply::UNKNOWN_MECHANISM);
        };
        let initial = initial_response.map(|response| sasl::decode(response.as_bytes()));
        match initial.transpose() {
            Ok(initial) => Some(self.ask_login(Turn::Begin(mechanism, initial))),
            Err(BadBase64) => self.end_login(&Reply::BAD_LOGIN_DATA),
        }
    }

    /// Answers [`Event::Login`] with a challenge: the login goes on.
    pub fn challenge(&mut self, challenge: &[u8]) {
        if matches!(self.pending, Some(Pending::Login)) {
            self.pending = None;
            self.state = State::Login;
            self.reply(&Reply::plain(334, "").with_text(sasl::encode(challenge)));
        }
    }

    fn ask_login(&mut self, turn: Turn) -> Event {
        self.pending = Some(Pending::Login);
        Event::Login(turn)
    }

    /// A line of the login exchange: `*` gives up (RFC 4954 §4). `None` when it is not there yet.
    pub(super) fn next_response(&mut self) -> Option<Result<String, Reply>> {
        Some(match self.lines.next(MAX_AUTH_LINE)? {
            Line::Text("*") => Err(Reply::LOGIN_CANCELLED),
            Line::Text(line) => Ok(line.to_owned()),
            Line::Broken { .. } => Err(Reply::BAD_LOGIN_DATA),
            Line::TooLong { .. } => Err(Reply::LINE_TOO_LONG),
        })
    }

    pub(super) fn respond(&mut self, response: &[u8]) -> Option<Event> {
        match sasl::decode(response) {
            Ok(response) => Some(self.ask_login(Turn::Response(response))),
            Err(BadBase64) => self.end_login(&Reply::BAD_LOGIN_DATA),
        }
    }

    pub(super) fn end_login(&mut self, reply: &Reply) -> Option<Event> {
        self.state = State::Ready;
        self.refuse(reply)
    }
}
