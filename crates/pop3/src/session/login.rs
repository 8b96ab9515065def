//! CAPA and the ways to log in: USER with PASS, and AUTH (RFC 2449 §5, RFC 1939 §7, RFC 5034 §4).

use kings_sasl::{BadBase64, Credentials, Mechanism, Mechanisms, Secret, Turn};

use super::{Event, Exchange, Session, State};
use crate::reply::Reply;

impl Session {
    /// RFC 2449 §6: what is said before a login may differ from what is said after it.
    pub(super) fn capa(&mut self) -> Option<Event> {
        let mut out = String::from("+OK Capabilities follow\r\n");
        let mut line = |text: &str| {
            out.push_str(text);
            out.push_str("\r\n");
        };
        for word in ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"] {
            line(word);
        }
        // RFC 6856 §2.2: names and passwords in UTF-8 are taken wherever there are passwords. This line is the same in all states.
        line(if self.knows_passwords() { "UTF8 USER" } else { "UTF8" });
        if let Some(seconds) = self.settings.login_delay {
            line(&format!("LOGIN-DELAY {seconds}"));
        }
        if !self.is_authenticated() {
            if self.settings.stls && !self.settings.tls && !self.utf8 {
                line("STLS");
            }
            if self.takes_passwords() {
                line("USER");
            }
            let names: Vec<_> = self.offered().iter().map(Mechanism::name).collect();
            if !names.is_empty() {
                line(&format!("SASL {}", names.join(" ")));
            }
        }
        out.push_str(".\r\n");
        self.output.extend_from_slice(out.as_bytes());
        None
    }

    /// AUTH without an argument.
    pub(super) fn mechanisms(&mut self) -> Option<Event> {
        let mut out = String::from("+OK Mechanisms follow\r\n");
        for mechanism in self.offered().iter() {
            out.push_str(mechanism.name());
            out.push_str("\r\n");
        }
        out.push_str(".\r\n");
        self.output.extend_from_slice(out.as_bytes());
        None
    }

    /// Any name is taken: whether it exists is nobody's business.
    pub(super) fn user(&mut self, name: String) -> Option<Event> {
        if let Some(refusal) = self.no_passwords() {
            return self.fault(refusal);
        }
        self.state = State::Authorization(Some(name));
        self.reply(Reply::PASSWORD_WANTED);
        None
    }

    pub(super) fn pass(&mut self, password: Secret) -> Option<Event> {
        if let Some(refusal) = self.no_passwords() {
            return self.fault(refusal);
        }
        // RFC 1939 §7: PASS follows USER at once, and a failed one needs another USER.
        let State::Authorization(name) = &mut self.state else { return None };
        let Some(login) = name.take() else { return self.fault(Reply::USER_FIRST) };
        self.exchange = Exchange::Login;
        Some(Event::Login(Credentials { login, password }))
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>) -> Option<Event> {
        if !self.settings.tls {
            return self.fault(Reply::PRIVACY_REQUIRED);
        }
        let known = Mechanism::parse(mechanism).filter(|known| self.offered().contains(*known));
        let Some(mechanism) = known else { return self.fault(Reply::UNKNOWN_MECHANISM) };
        match initial.map(|text| kings_sasl::decode(text.as_bytes())).transpose() {
            Ok(initial) => Some(self.ask(Turn::Begin(mechanism, initial))),
            Err(BadBase64) => self.fault(Reply::NOT_BASE64),
        }
    }

    pub(super) fn sasl_response(&mut self, line: &[u8]) -> Option<Event> {
        self.exchange = Exchange::None;
        if line == b"*" {
            return self.fault(Reply::CANCELLED);
        }
        match kings_sasl::decode(line) {
            Ok(response) => Some(self.ask(Turn::Response(response))),
            Err(BadBase64) => self.fault(Reply::NOT_BASE64),
        }
    }

    fn ask(&mut self, turn: Turn) -> Event {
        self.state = State::Authorization(None);
        self.exchange = Exchange::Login;
        Event::Authenticate(turn)
    }

    fn offered(&self) -> Mechanisms {
        if self.settings.tls { self.settings.mechanisms } else { Mechanisms::default() }
    }

    /// USER and PASS do what the mechanisms with passwords do, so they are there when one of those is.
    fn takes_passwords(&self) -> bool {
        self.settings.tls && self.knows_passwords()
    }

    fn knows_passwords(&self) -> bool {
        Mechanisms::PASSWORD.iter().any(|mechanism| self.settings.mechanisms.contains(mechanism))
    }

    fn no_passwords(&self) -> Option<Reply> {
        match (self.settings.tls, self.takes_passwords()) {
            (false, _) => Some(Reply::PRIVACY_REQUIRED),
            (true, false) => Some(Reply::USE_AUTH),
            (true, true) => None,
        }
    }
}
