//! Open relay tests: sixty ways to make a server pass mail on for a stranger (RFC 5321 §3.6.2, RFC 5321 §7.1).
#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;

use backend::Backend;
use kings_smtp::server::{Event, Session, Trust};

const OUTSIDE: &str = "550 5.7.1";
const UNKNOWN: &str = "550 5.1.1";
const BAD_ADDRESS: &str = "501 5.1.3";
const BAD_ARGUMENT: &str = "501 5.5.4";
const BAD_PARAMETER: &str = "555 5.5.4";
const BAD_LINE: &str = "500 5.5.2";
const NEEDS_SMTPUTF8: &str = "553 5.6.7";
const LOGIN_FIRST: &str = "530 5.7.0";
const OK: &str = "250 2.1.5";

/// What a stranger on port 25 says behind `RCPT`, and the reply. A local part is opaque: with `@here.example`
/// behind it, it names a mailbox here or nobody.
const FORMS: [(&str, &str); 66] = [
    ("TO:<joe@other.example>", OUTSIDE),
    ("TO: <joe@other.example>", OUTSIDE),
    ("TO:<joe@OTHER.EXAMPLE>", OUTSIDE),
    ("TO:<joe@other.example.>", OUTSIDE),
    ("TO:<joe@here.example.other.example>", OUTSIDE),
    ("TO:<joe@other.here.example>", OUTSIDE),
    ("TO:<joe@nothere.example>", OUTSIDE),
    ("TO:<joe@example>", OUTSIDE),
    ("TO:<joe@localhost>", OUTSIDE),
    // The percent hack and bang paths.
    ("TO:<joe%other.example@here.example>", UNKNOWN),
    ("TO:<joe%other.example@mx.here.example>", OUTSIDE),
    ("TO:<joe%other.example>", BAD_ADDRESS),
    ("TO:<joe%other.example@>", BAD_ADDRESS),
    ("TO:<joe%other.example@[192.0.2.25]>", OUTSIDE),
    ("TO:<joe%other.example%here.example@here.example>", UNKNOWN),
    ("TO:<other.example!joe>", BAD_ADDRESS),
    ("TO:<other.example!joe@here.example>", UNKNOWN),
    ("TO:<other.example!joe@[192.0.2.25]>", OUTSIDE),
    ("TO:<here.example!other.example!joe>", BAD_ADDRESS),
    ("TO:<joe=other.example@here.example>", UNKNOWN),
    ("TO:<joe#other.example@here.example>", UNKNOWN),
    // Source routes.
    ("TO:<@here.example:joe@other.example>", OUTSIDE),
    ("TO:<@here.example,@x.example:joe@other.example>", OUTSIDE),
    ("TO:<@[192.0.2.25]:joe@other.example>", OUTSIDE),
    ("TO:<@localhost:joe@other.example>", OUTSIDE),
    ("TO:<@other.example:joe%other.example@here.example>", UNKNOWN),
    ("TO:<@here.example:@x.example:joe@other.example>", BAD_ADDRESS),
    ("TO:<@here.example:other.example!joe>", BAD_ADDRESS),
    ("TO:<@other.example:>", BAD_ADDRESS),
    // Quoted strings.
    ("TO:<\"joe@other.example\">", BAD_ADDRESS),
    ("TO:<\"joe@other.example\"@here.example>", UNKNOWN),
    ("TO:<\"joe@other.example\"@[192.0.2.25]>", OUTSIDE),
    ("TO:<\"joe%other.example\">", BAD_ADDRESS),
    ("TO:<\"joe%other.example\"@here.example>", UNKNOWN),
    ("TO:<\"joe\\@other.example\"@here.example>", UNKNOWN),
    ("TO:<\"ann@here.example\"@other.example>", OUTSIDE),
    ("TO:<\"ann\"@here.example\"@other.example>", BAD_ARGUMENT),
    ("TO:<\"@here.example:joe\"@other.example>", OUTSIDE),
    ("TO:<joe@other.example>@here.example>", BAD_ARGUMENT),
    ("TO:<\"joe@other.example> x\"@here.example>", UNKNOWN),
    // Two hosts.
    ("TO:<joe@other.example@here.example>", BAD_ADDRESS),
    ("TO:<joe@here.example@other.example>", BAD_ADDRESS),
    ("TO:<joe@other.example,ann@here.example>", BAD_ADDRESS),
    ("TO:<joe@other.example> <ann@here.example>", BAD_PARAMETER),
    ("TO:<joe@other.example><ann@here.example>", BAD_ARGUMENT),
    ("TO:<<joe@other.example>@here.example>", BAD_ARGUMENT),
    // Brackets, and what is no address.
    ("TO:<joe@other.example", BAD_ARGUMENT),
    ("TO:joe@other.example", BAD_ARGUMENT),
    ("TO:joe@other.example>", BAD_ARGUMENT),
    ("TO:<joe(@here.example)@other.example>", BAD_ADDRESS),
    ("TO:<joe@other.example(@here.example)>", BAD_ADDRESS),
    ("TO:<joe\t@other.example>", BAD_ADDRESS),
    ("TO:<joe @other.example>", BAD_ADDRESS),
    ("TO:<joe\0@other.example>", BAD_LINE),
    ("TO:<ann@here.example\r>", BAD_LINE),
    ("TO:<joe@[192.0.2.99]>", OUTSIDE),
    ("TO:<joe@[IPv6:::1]>", OUTSIDE),
    ("TO:<joe@other.example> NOTIFY=NEVER ORCPT=rfc822;ann@here.example", OUTSIDE),
    // Encoded words and look-alikes.
    ("TO:<=?utf-8?q?joe=40other.example=3e=20?=@here.example>", UNKNOWN),
    ("TO:<joe\u{ff20}other.example>", BAD_ADDRESS),
    ("TO:<joe\u{ff20}other.example@here.example>", BAD_ADDRESS),
    ("TO:<joe@here.example\u{3002}other.example>", BAD_ADDRESS),
    ("TO:<joe@here\u{ad}.example>", BAD_ADDRESS),
    ("TO:<joe@h\u{435}re.example>", OUTSIDE),
    ("TO:<j\u{f6}@other.example>", NEEDS_SMTPUTF8),
    // The one name without a host, which lives here.
    ("TO:<postmaster>", OK),
];

/// Senders that some servers trust: nobody, one of ours, our own host.
const SENDERS: [&str; 4] = ["<joe@elsewhere.example>", "<>", "<ann@here.example>", "<root@localhost>"];

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
        let mut client =
            Self { session: backend::session(port, 1_000, Trust::default()), backend: Backend::default() };
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
