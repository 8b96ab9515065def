//! EHLO and what it offers; STARTTLS.

use std::fmt::Write as _;

use kings_sasl::Mechanism;

use super::{Event, Session, State};
use crate::reply::Reply;

impl Session {
    /// EHLO and HELO also end a transaction (RFC 5321 §4.1.4).
    pub(super) fn hello(&mut self, name: String, extended: bool) -> Option<Event> {
        self.client.name = name;
        self.client.extended = extended;
        let hostname = &self.settings.hostname;
        let mut text = hostname.to_string();
        if extended {
            let size = self.settings.message_bytes;
            // Writing to a String cannot fail.
            let _ = write!(text, "\nPIPELINING\nSIZE {size}\n8BITMIME\nENHANCEDSTATUSCODES\nDSN\nSMTPUTF8");
            if self.offers_start_tls() {
                text.push_str("\nSTARTTLS");
            }
            if self.settings.login_required && self.client.tls {
                let names = Mechanism::ALL.map(Mechanism::name).join(" ");
                let _ = write!(text, "\nAUTH {names}");
            }
        }
        self.idle(&Reply::plain(250, "").with_text(text))
    }

    pub(super) fn offers_start_tls(&self) -> bool {
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
