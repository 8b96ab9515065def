//! What filters hear, and how long they are waited for.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use kings_mail::domain::Domain;
use kings_milter::{Actions, Answer, Event, Offer, Server, Steps};
use kings_store::{Layout, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep};

use super::*;
use crate::delegation::Place;

#[test]
fn filters_hear_who_logged_in_and_how() {
    let hostname = Domain::parse("mail.example.org").unwrap();
    let ann = Address::parse("ann@example.org").unwrap();
    let caller = |account, mechanism| Caller {
        daemon: "submission",
        hostname: &hostname,
        peer: "192.0.2.1:4000".parse().unwrap(),
        local: "192.0.2.2:587".parse().unwrap(),
        reverse_name: None,
        helo: "client",
        tls: Some("TLSv1.3 AES"),
        account,
        mechanism,
    };
    let mut words = Words::default();
    words.introduce(&caller(Some(&ann), "SCRAM-SHA-256"));
    let usual = words.macros.clone();
    assert!(usual.is("auth_type", b"SCRAM-SHA-256") && usual.is("auth_authen", b"ann@example.org"));
    assert!(usual.is("tls_version", b"TLSv1.3") && usual.is("cipher", b"AES"));
    // The next one over the same connection has no login, and nothing of the last one stays.
    words.introduce(&caller(None, ""));
    assert!(words.macros.is("auth_type", b"") && words.macros.is("auth_authen", b""));
}

/// What the client hears: the code of the reply where it is refused.
type Heard = Result<Said, u16>;

/// What a filter does before it lets a step go on.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// It is still at work, so many times, with a pause of this many seconds before each.
    Busy(u32, u64),
    /// It says so for ever.
    Endless(u64),
    /// And without any pause.
    Flood,
    /// It answers each step, after so many seconds.
    Slow(u64),
}

/// A filter at the other end of a connection.
async fn filter(mut socket: DuplexStream, manner: Manner) {
    let steps = Steps::unanswered(Stage::Mail);
    let mut server = Server::new(Offer { actions: Actions::default(), steps, symbols: Vec::new() });
    let mut buffer = [0; 4096];
    let wait = |seconds| sleep(Duration::from_secs(seconds));
    loop {
        while let Some(event) = server.next_event().unwrap() {
            let Event::Asked(command) = event else { continue };
            let is_busy = matches!(command, Command::EndOfBody(_) | Command::Rcpt(_));
            let (mut rounds, pause) = match manner {
                Manner::Busy(rounds, pause) if is_busy => (rounds, pause),
                Manner::Endless(pause) if is_busy => (u32::MAX, pause),
                Manner::Flood if is_busy => (u32::MAX, 0),
                Manner::Slow(pause) => {
                    wait(pause).await;
                    (0, 0)
                }
                _ => (0, 0),
            };
            while rounds > 0 {
                if pause > 0 {
                    wait(pause).await;
                }
                server.progress();
                if socket.write_all(&server.transmit()).await.is_err() {
                    return;
                }
                rounds -= 1;
            }
            server.answer(&[], &Answer::Continue);
        }
        if socket.write_all(&server.transmit()).await.is_err() {
            return;
        }
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => server.receive(&buffer[..count]),
        }
    }
}

/// A connection to a filter of this manner, with limits of 30 s for a step and of 300 s for a message.
async fn link(manner: Manner, default_action: DefaultAction) -> Link {
    let place = Place::parse("inet:127.0.0.1:1").unwrap();
    let settings = Settings { default_action, ..Settings::new(place) };
    let (here, there) = tokio::io::duplex(1 << 16);
    tokio::spawn(filter(there, manner));
    let wire = Wire::agree(Box::new(here), &settings, 1 << 20).await.unwrap();
    let mut link = Link { settings, message_bytes: 1 << 20, state: State::Open(Box::new(wire)), helo: None };
    link.step(&Words::default(), &Command::Mail(vec![b"<>".to_vec()])).await.unwrap();
    link
}

/// Postfix's 30 s and 300 s.
const STEP: Duration = Duration::from_secs(30);
const MESSAGE: Duration = Duration::from_mins(5);

#[tokio::test(start_paused = true)]
async fn a_filter_that_says_it_is_at_work_is_waited_for_and_not_for_ever() {
    use DefaultAction::{Accept, Reject, TempFail};
    let (go_on, defer, refuse) = (Ok(Said::Continue), Err(451), Err(550));
    // At RCPT, whose limit is 30 s; how long it takes, and whether the filter is still there.
    let cases: [(Manner, DefaultAction, Heard, u64, bool); 11] = [
        (Manner::Busy(0, 0), TempFail, go_on, 0, true),
        (Manner::Busy(1, 29), TempFail, go_on, 29, true),
        (Manner::Busy(4, 29), TempFail, go_on, 116, true),
        (Manner::Busy(1, 31), TempFail, defer, 30, false),
        (Manner::Busy(5, 29), TempFail, defer, 120, false),
        (Manner::Busy(5, 29), Accept, go_on, 120, false),
        (Manner::Busy(5, 29), Reject, refuse, 120, false),
        (Manner::Endless(1), TempFail, defer, 120, false),
        (Manner::Endless(29), Accept, go_on, 120, false),
        (Manner::Slow(29), TempFail, go_on, 29, true),
        (Manner::Slow(31), TempFail, defer, 30, false),
    ];
    for (manner, default_action, expected, seconds, is_there) in cases {
        let mut link = link(manner, default_action).await;
        let words = Words::default();
        let began = Instant::now();
        let rcpt = Command::Rcpt(vec![b"<ann@example.org>".to_vec()]);
        let said = link.step(&words, &rcpt).await.map_err(|reply| reply.code);
        assert_eq!((said, began.elapsed().as_secs()), (expected, seconds), "{manner:?}");
        assert_eq!(matches!(link.state, State::Open(_)), is_there, "{manner:?}");
    }
    assert_eq!(Settings::new(Place::parse("inet:127.0.0.1:1").unwrap()).command, STEP);
}

#[tokio::test(start_paused = true)]
async fn all_answers_to_a_message_together_have_an_end() {
    let (go_on, defer) = (Ok(Said::Continue), Err(451));
    // Six steps: three fields, the end of the header, a piece of body, the end of it.
    let cases: [(Manner, Heard, u64); 6] = [
        (Manner::Busy(4, 299), go_on, 1_196),
        (Manner::Busy(5, 299), defer, 1_200),
        (Manner::Endless(60), defer, 1_200),
        (Manner::Slow(199), go_on, 1_194),
        (Manner::Slow(299), defer, 1_200),
        (Manner::Slow(301), defer, 300),
    ];
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(kings_store::Settings {
        mail_dir: folder.path().join("mail"),
        index_dir: None,
        layout: Layout::default(),
        mailboxes: kings_store::MailboxLayout::default(),
        trust_inotify: true,
        free_space_reserve: 0,
    })
    .unwrap();
    for (manner, expected, seconds) in cases {
        let mut link = link(manner, DefaultAction::TempFail).await;
        let mut content = store.begin().unwrap();
        content.write(b"From: a@b.example\r\nTo: c@d.example\r\nSubject: x\r\n\r\nhello\r\n").unwrap();
        let content = Arc::new(content);
        let began = Instant::now();
        let said = link.message(&Words::default(), &content).await;
        let said = said.map(|(said, _)| said).map_err(|reply| reply.code);
        assert_eq!((said, began.elapsed().as_secs()), (expected, seconds), "{manner:?}");
    }
    assert_eq!(Settings::new(Place::parse("inet:127.0.0.1:1").unwrap()).content, MESSAGE);
}

/// Octets that are there are read without a look at the clock: the bound must hold all the same.
#[tokio::test]
async fn a_flood_of_progress_ends_as_well() {
    let mut link = link(Manner::Flood, DefaultAction::TempFail).await;
    link.settings.command = Duration::from_millis(50);
    let rcpt = Command::Rcpt(vec![b"<ann@example.org>".to_vec()]);
    let began = Instant::now();
    assert_eq!(link.step(&Words::default(), &rcpt).await.map_err(|reply| reply.code), Err(451));
    assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(20));
}
