//! Open relay tests: sixty ways to make a server pass mail on for a stranger (RFC 5321 §3.6.2, RFC 5321 §7.1).
#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;
mod forms;

use backend::Backend;
use forms::{FORMS, LOGIN_FIRST, OK, OUTSIDE, SENDERS, UNKNOWN};
use kings_smtp::server::{Event, Session, Trust};

#[test]
fn no_form_of_an_outside_recipient_is_accepted_from_a_stranger() {
    for sender in SENDERS {
        for (form, expected) in FORMS {
            let mut client = Client::new(25);
            assert_eq!(client.say(&format!("MAIL FROM:{sender}")), "250 2.1.0 OK");
            let reply = client.say(&format!("RCPT {form}"));
            assert!(reply.starts_with(expected), "{sender} {form:?}: {reply}");
            if client.say("DATA").starts_with("354") {
                client.say("Subject: relayed\r\n\r\n.");
            }
            assert!(client.recipients().iter().all(|path| path == "<Postmaster>"), "{sender} {form:?}");
        }
    }
}

/// A mail server in front of us may bring mail for our users, no more.
#[test]
fn no_form_of_an_outside_recipient_is_accepted_by_lmtp() {
    for (form, expected) in FORMS {
        let mut client = Client::new(24);
        assert_eq!(client.say("MAIL FROM:<ann@here.example>"), "250 2.1.0 OK");
        let reply = client.say(&format!("RCPT {form}"));
        assert!(reply.starts_with(expected), "{form:?}: {reply}");
    }
}

#[test]
fn without_a_login_submission_takes_no_recipient_at_all() {
    for port in [587, 465] {
        for (form, _) in FORMS.iter().filter(|(_, expected)| [OUTSIDE, UNKNOWN, OK].contains(expected)) {
            let mut client = Client::new(port);
            assert!(client.say("MAIL FROM:<ann@here.example>").starts_with(LOGIN_FIRST));
            let reply = client.say(&format!("RCPT {form}"));
            assert!(reply.starts_with(LOGIN_FIRST), "{form:?}: {reply}");
            assert!(client.say("DATA").starts_with(LOGIN_FIRST));
        }
    }
}

#[test]
fn a_failed_login_opens_nothing() {
    let mut client = Client::new(465);
    assert!(client.say("AUTH PLAIN AGFubkBoZXJlLmV4YW1wbGUAd3Jvbmc=").starts_with("535 5.7.8"));
    assert!(client.say("MAIL FROM:<ann@here.example>").starts_with(LOGIN_FIRST));
    assert!(client.say("RCPT TO:<joe@other.example>").starts_with(LOGIN_FIRST));
}

/// Claims to be trusted do not come from the client.
#[test]
fn xclient_and_proxy_change_nothing_behind_the_greeting() {
    let mut client = Client::new(25);
    for claim in ["XCLIENT ADDR=127.0.0.1 LOGIN=ann@here.example", "XCLIENT", "XFORWARD ADDR=127.0.0.1"] {
        assert!(client.say(claim).starts_with("550 5.7.0"), "{claim}");
    }
    assert!(client.say("PROXY TCP4 127.0.0.1 127.0.0.1 1 25").starts_with("500 5.5.2"));
    client.say("MAIL FROM:<ann@here.example>");
    assert!(client.say("RCPT TO:<joe@other.example>").starts_with(OUTSIDE));
}

struct Client {
    session: Session,
    backend: Backend,
}

impl Client {
    /// Greeted, and past EHLO.
    fn new(port: u16) -> Self {
        let mut client = Self {
            session: backend::session(port, 1_000, Trust::default(), true),
            backend: Backend::default(),
        };
        let hello = if port == 24 { "LHLO" } else { "EHLO" };
        assert!(client.say(&format!("{hello} client.example")).starts_with("220 "));
        client
    }

    fn say(&mut self, line: &str) -> String {
        self.session.receive(line.as_bytes());
        self.session.receive(b"\r\n");
        while let Some(event) = self.session.next_event() {
            assert_ne!(event, Event::Closed, "{line}");
            self.backend.answer(event, &mut self.session);
        }
        String::from_utf8(self.session.transmit()).unwrap().trim_end().to_owned()
    }

    /// Of all messages that were accepted.
    fn recipients(&self) -> Vec<String> {
        let paths = self
            .backend
            .messages
            .iter()
            .flat_map(|message| &message.envelope.recipients)
            .map(|recipient| &recipient.path);
        paths.map(ToString::to_string).collect()
    }
}
