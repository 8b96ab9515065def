//! EHLO and what it offers; STARTTLS.

use std::fmt::Write as _;

use kings_sasl::{Mechanism, Mechanisms};

use super::{Client, Event, Pending, Role, Session, Settings, State, given_up};
use crate::claim;
use crate::command::Offered;
use crate::reply::Reply;

impl Session {
    /// Whether somebody has a say in what clients call themselves: [`Event::Hello`] comes then.
    pub fn ask_about_hello(&mut self, asks: bool) {
        self.asks_about_hello = asks;
    }

    /// The client says its name.
    pub(super) fn meet(&mut self, name: String, extended: bool, state: State) -> Option<Event> {
        if self.asks_about_hello {
            self.pending = Some(Pending::Hello { name: name.clone(), extended, state: Box::new(state) });
            return Some(Event::Hello { name, extended });
        }
        self.hello(name, extended);
        given_up(&state)
    }

    /// EHLO, HELO and LHLO also end a transaction (RFC 5321 §4.1.4).
    pub(super) fn hello(&mut self, name: String, extended: bool) {
        self.client.name = name;
        self.client.extended = extended;
        let mut text = self.settings.hostname.to_string();
        if extended {
            self.write_extensions(&mut text);
        }
        self.idle(&Reply::plain(250, "").with_text(text));
    }

    /// Writing to a String cannot fail.
    fn write_extensions(&self, text: &mut String) {
        let (size, offered) =
            (self.settings.message_bytes, Self::offered(&self.settings, &self.client, self.mechanisms));
        let dsn = if offered.dsn { "\nDSN" } else { "" };
        let _ = write!(
            text,
            "\nPIPELINING\nSIZE {size}\n8BITMIME\nENHANCEDSTATUSCODES{dsn}\nSMTPUTF8\nCHUNKING\nLIMITS RCPTMAX={}",
            self.settings.recipients
        );
        if self.offers_start_tls() {
            text.push_str("\nSTARTTLS");
        }
        if offered.require_tls {
            text.push_str("\nREQUIRETLS");
        }
        if offered.auth {
            let names: Vec<&str> = self.mechanisms.iter().map(Mechanism::name).collect();
            let _ = write!(text, "\nAUTH {}", names.join(" "));
        }
        if let Some(future) = self.settings.future_release {
            let _ = write!(text, "\nFUTURERELEASE {} {}", future.longest, future.latest.to_rfc3339());
        }
        if offered.xclient {
            let _ = write!(text, "\nXCLIENT {}", claim::XCLIENT);
        }
        if offered.xforward {
            let _ = write!(text, "\nXFORWARD {}", claim::XFORWARD);
        }
    }

    /// What depends on the listener and on what has happened so far.
    pub(super) fn offered<'a>(
        settings: &'a Settings,
        client: &Client,
        mechanisms: Mechanisms,
    ) -> Offered<'a> {
        Offered {
            bare_paths: settings.bare_paths,
            origin: settings.origin.as_ref(),
            auth: settings.role == Role::Submission && client.tls && !mechanisms.is_empty(),
            dsn: settings.dsn,
            require_tls: client.tls,
            future_release: settings.future_release.is_some(),
            xclient: settings.trust.xclient,
            xforward: settings.trust.xforward,
        }
    }

    /// What AUTH takes under TLS, instead of PLAIN and LOGIN. It may depend on the handshake, so it is told again after
    /// [`Session::tls_started`].
    pub fn offer(&mut self, mechanisms: Mechanisms) {
        self.mechanisms = mechanisms;
    }

    fn offers_start_tls(&self) -> bool {
        self.settings.start_tls && !self.client.tls
    }

    pub(super) fn start_tls(&mut self) -> Option<Event> {
        if !self.offers_start_tls() {
            return self.refuse(&Reply::BAD_SEQUENCE);
        }
        // Whatever came in the same breath was not protected and might be an attacker's (RFC 3207 §4.2).
        self.lines.clear();
        self.reply(&Reply::START_TLS);
        self.state = State::Handshake;
        Some(Event::StartTls)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::domain::Domain;

    use super::*;
    use crate::server::{Settings, Trust};

    /// What a server says whose host does not like the name `bad`.
    fn said(lines: &str) -> Vec<String> {
        let settings = Settings {
            hostname: Domain::parse("mx.here.example").unwrap(),
            role: Role::Inbound,
            start_tls: false,
            message_bytes: 1_000,
            recipients: 10,
            dsn: false,
            bare_paths: false,
            origin: None,
            future_release: None,
            trust: Trust::default(),
        };
        let mut session = Session::new(settings, false);
        session.ask_about_hello(true);
        session.transmit();
        // Whoever says EHLO waits for its answer (RFC 2920 §3.1).
        for line in lines.split_inclusive('\n') {
            session.receive(line.as_bytes());
            while let Some(event) = session.next_event() {
                match event {
                    Event::Hello { name, .. } if name == "bad" => {
                        session.answer(&Reply::new(554, crate::reply::Status(5, 7, 1), "Not you"));
                    }
                    Event::Hello { name, extended } => {
                        assert!(extended != (name == "old"));
                        session.answer(&Reply::OK);
                    }
                    Event::Mail(..) => session.answer(&Reply::SENDER_OK),
                    other => panic!("{other:?}"),
                }
            }
        }
        let text = String::from_utf8(session.transmit()).unwrap();
        text.lines().filter(|line| line.as_bytes()[3] == b' ').map(|line| line[..3].to_owned()).collect()
    }

    #[test]
    fn whoever_is_not_welcome_by_its_name_gets_no_further() {
        assert_eq!(
            said("EHLO bad\r\nMAIL FROM:<>\r\nHELO old\r\nMAIL FROM:<>\r\n"),
            ["554", "503", "250", "250"]
        );
        // A name that is refused ends no transaction, one that is welcome does (RFC 5321 §4.1.4).
        assert_eq!(
            said("EHLO a\r\nMAIL FROM:<>\r\nEHLO bad\r\nMAIL FROM:<>\r\n"),
            ["250", "250", "554", "503"]
        );
        assert_eq!(
            said("EHLO a\r\nMAIL FROM:<>\r\nHELO old\r\nMAIL FROM:<>\r\n"),
            ["250", "250", "250", "250"]
        );
    }
}
