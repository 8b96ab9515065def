//! Drives a whole session with anybody's bytes.

use kings_imap::fetch::{Content, Facts, Fetch, Segment, Source, render};
use kings_imap::pattern::Pattern;
use kings_imap::{
    Event, Flag, ModSeq, Namespaces, Request, Response, SequenceNumber, SequenceSet, Session, Settings,
    Tagged, Uid, View,
};
use kings_mail::date::DateTime;
use kings_sasl::{Mechanisms, Turn};

/// Feeds `input` in pieces of `piece` octets and answers every event the shortest way: logins succeed,
/// messages are taken and forgotten, FETCH finds `input` itself in a mailbox of one message. Gives
/// everything the server said. STARTTLS is refused, for what follows it would depend on `piece`.
///
/// Must return for every input, with the same output for every `piece` of at least 1.
pub(crate) fn converse(input: &[u8], piece: usize) -> Vec<u8> {
    let settings = Settings {
        namespaces: Namespaces { separator: '.', below_inbox: false, shares: true },
        tls: true,
        starttls: false,
        message_bytes: 100_000,
        mechanisms: Mechanisms::PASSWORD,
    };
    let mut session = Session::new(settings);
    let mut said = session.transmit();
    for piece in input.chunks(piece.max(1)) {
        session.receive(piece);
        while let Some(event) = session.next_event() {
            if event == Event::Closed {
                said.extend(session.transmit());
                return said;
            }
            answer(&mut session, &event, input);
        }
        said.extend(session.transmit());
    }
    said
}

fn answer(session: &mut Session, event: &Event, message: &[u8]) {
    match event {
        Event::Append(_) | Event::AppendNext(_) | Event::AppendText(_) | Event::AppendUrl(_) => {
            session.accept_message();
        }
        Event::Chunk(_) | Event::AppendAborted | Event::Idle | Event::Closed => {}
        Event::StartTls => session.tls_started(),
        Event::StartCompression => {
            let unread = session.compression_started();
            session.receive(&unread);
        }
        Event::EndCompression => session.compression_ended(),
        Event::Request(Request::Fetch(fetch)) => {
            fetch_message(session, fetch, message);
            session.finish(Tagged::DONE);
        }
        Event::Request(Request::List(list)) => {
            for pattern in &list.patterns {
                let matched = Pattern::new(&list.reference, pattern, '.').matches("INBOX");
                session.respond(&Response::Exists(usize::from(matched)));
            }
            session.finish(Tagged::DONE);
        }
        Event::Authenticate(Turn::Begin(..)) => session.challenge(b"go on".to_vec()),
        Event::Authenticate(_) | Event::Login(_) | Event::Request(_) | Event::AppendEnd | Event::IdleDone => {
            session.finish(Tagged::DONE);
        }
    }
}

fn fetch_message(session: &mut Session, fetch: &Fetch, message: &[u8]) {
    for (number, uid) in one_message(&fetch.set, fetch.uid) {
        let facts = Facts {
            number,
            uid,
            flags: vec![Flag::Seen],
            recent: true,
            internal_date: DateTime::from_unix(0),
            size: message.len() as u64,
            modseq: ModSeq(7),
            uid_only: false,
            identity: None,
        };
        for segment in render(&fetch.items, &facts, Source::Content(&Content::new(message))) {
            match segment {
                Segment::Text(text) => session.write_rendered(&text),
                Segment::Content(range) => session.write_rendered(message.get(range).unwrap_or_default()),
            }
        }
    }
}

fn one_message(set: &SequenceSet, uid: bool) -> Vec<(SequenceNumber, Uid)> {
    let view = View::new([(Uid(std::num::NonZeroU32::MIN), ())], [], false);
    view.resolve(set, uid).unwrap_or_default()
}
