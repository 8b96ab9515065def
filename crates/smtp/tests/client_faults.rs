//! What may go wrong at each step of handing over a message, and what becomes of each recipient.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use kings_mail::domain::Domain;
use kings_mail::envelope::MailParameters;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_sasl::Secret;
use kings_smtp::client::{Event, Login, Outcome, Protocol, Session, Settings, StartTls, Survey, Transaction};
use kings_smtp::reply::{Reply, Status};

/// The replies of a session where all goes well, with its three recipients from `RCPTS` on.
const REPLIES: [&str; 11] = [
    "220 smart.example ESMTP\r\n",
    "250-smart.example\r\n250 STARTTLS\r\n",
    "220 Go\r\n",
    "250-smart.example\r\n250 AUTH PLAIN\r\n",
    "235 Welcome\r\n",
    "250 Sender ok\r\n",
    "250 Recipient ok\r\n",
    "250 Recipient ok\r\n",
    "250 Recipient ok\r\n",
    "354 Go ahead\r\n",
    "250 Queued\r\n",
];
const MAIL: usize = 5;
const RCPTS: usize = 6;
const DATA: usize = 9;
const FINAL_DOT: usize = 10;

const CONTENT: &[u8] = b"Subject: x\r\n";
const BROKEN: Reply = Reply::new(451, Status(4, 4, 2), "Connection lost");

#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The outcomes as they were reported, or as they were left when the connection broke.
    Settled(Vec<Fate>),
    /// No transaction was come to.
    Refused(u16),
    /// The session broke before a transaction.
    Broke,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Accepted,
    Temporary,
    Permanent,
}
use Fate::{Accepted, Permanent, Temporary};

#[test]
fn each_recipient_is_settled_by_what_the_server_said_at_each_step() {
    for step in 0..REPLIES.len() {
        let all = |fate| End::Settled(vec![fate; 3]);
        let one = |fate| {
            let mut fates = vec![Accepted; 3];
            fates[step - RCPTS] = fate;
            End::Settled(fates)
        };
        for (reply, code, fate) in
            [("451 4.3.0 Not now\r\n", 451, Temporary), ("554 5.7.1 No\r\n", 554, Permanent)]
        {
            let expected = match step {
                // EHLO refused for good in clear leads to HELO, which here gets the reply meant for STARTTLS.
                1 if fate == Permanent => End::Refused(220),
                _ if step < MAIL => End::Refused(code),
                RCPTS..DATA => one(fate),
                _ => all(fate),
            };
            assert_eq!(hand_over(step, Some(reply)), expected, "{reply} at {step}");
        }
    }
}

/// A server that stops has refused nothing for good, and one that breaks off or talks nonsense neither.
#[test]
fn whatever_breaks_is_tried_again() {
    for step in 0..REPLIES.len() {
        let undone = || if step < MAIL { End::Broke } else { End::Settled(vec![Temporary; 3]) };
        let stopping = hand_over(step, Some("421 4.3.2 Stopping\r\n"));
        assert_eq!(stopping, if step < MAIL { End::Refused(421) } else { undone() }, "421 at {step}");
        for reply in [
            "",
            "25",
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "250-a\r\n550 b\r\n",
            "\0\u{ff}\n",
            "1000 x\r\n",
        ] {
            assert_eq!(hand_over(step, Some(reply)), undone(), "{reply:?} at {step}");
        }
        assert_eq!(hand_over(step, None), undone(), "cut at {step}");
    }
}

#[test]
fn only_354_asks_for_content_and_only_2xx_takes_it() {
    for step in [MAIL, RCPTS, DATA, FINAL_DOT] {
        let wrong = if step == DATA { "250 Ok\r\n" } else { "354 Go ahead\r\n" };
        let fates = if step == RCPTS { vec![Temporary, Accepted, Accepted] } else { vec![Temporary; 3] };
        assert_eq!(hand_over(step, Some(wrong)), End::Settled(fates), "{wrong} at {step}");
    }
}

/// The least that RFC 5321 §4.5.3.2 wants a client to wait for the reply to each step, in minutes: greeting, EHLO,
/// STARTTLS, EHLO, AUTH, MAIL, three times RCPT, DATA, the final dot.
#[test]
fn each_reply_is_waited_for_as_long_as_the_rfc_wants() {
    const LEAST: [u64; 11] = [5, 5, 5, 5, 5, 5, 5, 5, 5, 2, 10];
    let mut session = session();
    for (step, (reply, minutes)) in REPLIES.iter().zip(LEAST).enumerate() {
        assert!(draw_events(&mut session).unwrap().is_none(), "step {step}");
        assert_eq!(session.patience(), Duration::from_mins(minutes), "step {step}");
        session.receive(reply.as_bytes());
    }
    assert!(matches!(draw_events(&mut session), Ok(Some(End::Settled(_)))));
}

/// Plays `REPLIES` with another one at `step`, or with the connection cut there. A reply that is not whole is
/// followed by the end of the connection.
fn hand_over(step: usize, instead: Option<&str>) -> End {
    let mut session = session();
    for (place, reply) in REPLIES.iter().enumerate() {
        let reply = if place == step { instead } else { Some(*reply) };
        session.receive(reply.unwrap_or_default().as_bytes());
        match draw_events(&mut session) {
            Ok(None) if reply.is_some_and(|reply| reply.ends_with('\n')) => {}
            Ok(Some(end)) => return end,
            Ok(None) | Err(_) => break,
        }
    }
    match session.abandon(&BROKEN) {
        outcomes if outcomes.is_empty() => End::Broke,
        outcomes => End::Settled(fates(&outcomes)),
    }
}

fn session() -> Session {
    let login = Some(Login::new("ann@here.example", Secret::new("secret"), "client"));
    let hostname = Domain::parse("mx.here.example").unwrap();
    Session::new(Settings {
        hostname,
        protocol: Protocol::Smtp,
        start_tls: StartTls::Required,
        login,
        tls: false,
    })
}

fn draw_events(session: &mut Session) -> Result<Option<End>, kings_smtp::client::BadReply> {
    while let Some(event) = session.next_event()? {
        match event {
            Event::StartTls => session.tls_started(),
            Event::Ready => session.send(transaction()),
            Event::SendContent(_) => {
                session.content(CONTENT);
                session.end_content();
            }
            Event::Settled(outcomes) => return Ok(Some(End::Settled(fates(&outcomes)))),
            Event::Refused(reply) | Event::Unfit(reply) => return Ok(Some(End::Refused(reply.code))),
            Event::Closed => return Ok(Some(End::Broke)),
        }
    }
    Ok(None)
}

fn transaction() -> Transaction {
    let recipient = |text| ForwardPath::parse(text).unwrap().into();
    Transaction {
        reverse_path: ReversePath::Null,
        recipients: ["joe@a.example", "jim@b.example", "jon@c.example"].map(recipient).to_vec(),
        parameters: MailParameters::default(),
        content: Survey::of(CONTENT),
    }
}

fn fates(outcomes: &[Outcome]) -> Vec<Fate> {
    let fate = |outcome: &Outcome| match outcome {
        Outcome::Accepted(_) => Accepted,
        Outcome::Refused { permanent: true, .. } | Outcome::Incapable(_) => Permanent,
        Outcome::Refused { permanent: false, .. } | Outcome::Broken(_) => Temporary,
    };
    outcomes.iter().map(fate).collect()
}
