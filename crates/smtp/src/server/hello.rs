//! EHLO and what it offers; STARTTLS.

use std::fmt::Write as _;

use kings_sasl::{Mechanism, Mechanisms};

use super::{Event, Role, Session, State};
use crate::claim;
use crate::command::Offered;
use crate::reply::Reply;

impl Session {
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
        let (size, offered) = (self.settings.message_bytes, self.offered());
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
    pub(super) fn offered(&self) -> Offered {
        let settings = &self.settings;
        Offered {
            bare_paths: settings.bare_paths,
            auth: settings.role == Role::Submission && self.client.tls && !self.mechanisms.is_empty(),
            dsn: settings.dsn,
            require_tls: self.client.tls,
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
