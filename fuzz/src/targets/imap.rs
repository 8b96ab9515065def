//! Targets for `kings-imap`: commands, sessions, and responses about hostile messages.

use std::num::NonZeroU32;

use kings_imap::command::Enabled;
use kings_imap::fetch::{Content, Facts, Identity, Segment, Source, render};
use kings_imap::learn::{Listing, learn};
use kings_imap::limits::{MAX_ERRORS, MAX_REFERENCES, MAX_SORT_KEY};
use kings_imap::pattern::Pattern;
use kings_imap::search::{self, Needed, Program, Searched};
use kings_imap::sort::{Arrival, Sorter};
use kings_imap::thread::{Algorithm, Threader};
use kings_imap::{
    Append, Arriving, Command, Event, Flag, ModSeq, Namespaces, Removed, Request, SequenceNumber, Session,
    Settings, Tagged, Uid, View, parse, parse_from, vanished,
};
use kings_mail::date::DateTime;
use kings_sasl::{Mechanisms, Turn};

use super::Cut;

/// Small, so that messages over the limit occur.
const MESSAGE_BYTES: u64 = 4_096;

/// A command parses alike twice; what it asks for can be carried out on a small message.
pub fn imap_command(data: &[u8]) {
    let command = parse(data);
    assert_eq!(parse(data), command);
    let everything =
        Enabled { condstore: true, qresync: true, utf8: true, rev2: true, uid_only: true, metadata: true };
    if let Ok(Command::Request(request)) = parse_from(data, everything) {
        carry_out(&request);
    }
    if let Ok(Command::Request(request)) = &command {
        request.reports();
        carry_out(request);
    }
}

/// The message that requests are about.
const MESSAGE: &[u8] = b"From: Ann <ann@example.org>\r\nTo: bob@example.org\r\nSubject: hello\r\n\
    Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\none\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n\
    Subject: inner\r\n\r\ntwo\r\n--a--\r\n";

fn carry_out(request: &Request) {
    let one = NonZeroU32::MIN;
    match request {
        Request::Fetch(fetch) => {
            let response = rendered(&fetch.items, MESSAGE);
            // Each item can show the whole message once, and adds its own name.
            assert!(response.len() <= (fetch.items.len() + 1) * (4 * MESSAGE.len() + 70_000));
            is_one_response(&response);
        }
        Request::Search(search) => {
            let Some(key) = search.key.clone() else { return };
            let facts = search::Facts {
                number: SequenceNumber(one),
                uid: Uid(one),
                flags: &[Flag::Seen],
                recent: false,
                arrived: DateTime::from_unix(0).day(),
                age: 60,
                size: MESSAGE.len() as u64,
                modseq: ModSeq(7),
                email_id: "M1",
                saved: None,
            };
            let program = Program::new(key, &View::new([(Uid(one), ())], [], false));
            let message = Searched::new(MESSAGE);
            let full = program.full(&facts, &message);
            assert!(program.quick(&facts).is_none_or(|quick| quick == full));
            // What is found has what must be there.
            let has = program.needed(&|needed| match needed {
                Needed::Anything => true,
                Needed::Text(needle) => message.texts().any(|text| text.contains(needle)),
                Needed::All(all) => all.into_iter().all(|has| has),
                Needed::AnyOf(all) => all.into_iter().any(|has| has),
            });
            assert!(has || !full);
        }
        Request::Sort(sort) => {
            let mut sorter = Sorter::new(sort.criteria.clone());
            for (place, message) in [MESSAGE, b"", MESSAGE].into_iter().enumerate() {
                let [_, sheet, _] = learn(&Content::new(message));
                sorter.take(place, Arrival { arrived: 0, size: message.len() as u64 }, &sheet);
            }
            let mut places = sorter.places();
            let first_of_equals = places.iter().find(|place| **place != 1);
            assert_eq!(first_of_equals, Some(&0));
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2]);
        }
        Request::Select(select) => {
            // However large its sets are, what they say of a small mailbox is found soon and lies within it.
            let Some(resync) = &select.resync else { return };
            let (view, next) = (View::new([(Uid(one), ())], [], false), Uid(NonZeroU32::MAX));
            let known = (resync.known.as_ref(), resync.proven(&view));
            let gone = vanished(&view, next, known, Removed::Unknown);
            assert!(gone.is_none_or(|gone| !view.with_uids(&gone).iter().any(|(_, uid)| *uid == Uid(one))));
        }
        Request::List(list) => {
            for pattern in &list.patterns {
                let pattern = Pattern::new(&list.reference, pattern, '.');
                for name in ["INBOX", "Archive.2026.Entw&APw-rfe", ""] {
                    pattern.matches(name);
                }
            }
        }
        _ => {}
    }
}

/// Whatever a message holds, FETCH shows it in one well-formed response of bounded size.
pub fn imap_fetch(data: &[u8]) {
    const ITEMS: &str = "ENVELOPE BODYSTRUCTURE BODY BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[1.MIME] BODY.PEEK[1] \
        BODY.PEEK[2.1.TEXT] BODY.PEEK[HEADER.FIELDS (From SUBJECT)]<3.70> BODY.PEEK[HEADER.FIELDS.NOT (To)] \
        BODY.PEEK[TEXT]<10.5> BINARY.PEEK[1] BINARY.PEEK[2.1]<3.70> BINARY.SIZE[1] PREVIEW RFC822.SIZE INTERNALDATE FLAGS UID";
    let Ok(Command::Request(Request::Fetch(fetch))) = parse(format!("a FETCH 1 ({ITEMS})").as_bytes()) else {
        panic!("the command of this target does not parse")
    };
    let response = rendered(&fetch.items, data);
    is_one_response(&response);
    // The dearest two octets are `a,` in From: an address of 19 octets, three times in an ENVELOPE (RFC 3501
    // §7.4.2 fills in sender and reply-to), and that of an inner message in BODY and BODYSTRUCTURE.
    assert!(response.len() <= 128 * data.len() + 4_096, "{} for {}", response.len(), data.len());
    shown_as_learnt(data);
}

/// Messages whose headers are separated by an empty line come into threads: each once, none lost, by both algorithms.
pub fn imap_thread(data: &[u8]) {
    for algorithm in [Algorithm::References, Algorithm::OrderedSubject] {
        let mut threader = Threader::new(algorithm);
        let mut count = 0;
        for message in data.split(|octet| *octet == b'|').take(500) {
            let [_, _, sheet] = learn(&Content::new(message));
            threader.take(count, 0, &sheet);
            count += 1;
        }
        let Ok(threads) = threader.threads(|place| place) else { return };
        let threads = String::from_utf8(threads).expect("numbers and parentheses");
        let numbers = threads.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
        let mut numbers: Vec<usize> = numbers.map(|number| number.parse().expect("a number")).collect();
        numbers.sort_unstable();
        assert!(numbers.into_iter().eq(0..count));
        assert!(!threads.contains("()") && !threads.contains("( "));
    }
}

/// What was learnt from a message shows the same as the message itself, and is bounded; octets that nobody learnt do no harm.
fn shown_as_learnt(data: &[u8]) {
    let Ok(Command::Request(Request::Fetch(fetch))) =
        parse(b"a FETCH 1 (ENVELOPE BODYSTRUCTURE BODY PREVIEW)")
    else {
        panic!("the command of this target does not parse")
    };
    let sheets = learn(&Content::new(data));
    let listing = Listing::unpack(&sheets[0]).expect("what was packed a moment ago");
    let from_sheet = render(&fetch.items, &facts(data), Source::Listing(listing));
    assert_eq!(from_sheet, [Segment::Text(rendered(&fetch.items, data))]);
    // A character of the text can become many when it is decomposed, and each text can count three times.
    assert!(
        sheets[1].len() + sheets[2].len() <= 8 * (MAX_SORT_KEY + 64) + 2 * data.len() + 4 * MAX_REFERENCES
    );
    let _ = Listing::unpack(data);
}

fn facts(message: &[u8]) -> Facts {
    Facts {
        number: SequenceNumber(NonZeroU32::MIN),
        uid: Uid(NonZeroU32::MIN),
        flags: vec![Flag::Seen, Flag::Keyword("$x".into())],
        recent: true,
        internal_date: DateTime::from_unix(837_596_665),
        size: message.len() as u64,
        modseq: ModSeq(7),
        uid_only: false,
        identity: Some(Identity { email_id: "M1_2e".into(), saved: Some(DateTime::from_unix(837_596_665)) }),
    }
}

fn rendered(items: &[kings_imap::command::fetch::Item], message: &[u8]) -> Vec<u8> {
    let piece = |segment| match segment {
        Segment::Text(text) => text,
        Segment::Content(range) => message[range].to_vec(),
    };
    render(items, &facts(message), Source::Content(&Content::new(message)))
        .into_iter()
        .flat_map(piece)
        .collect()
}

/// RFC 3501 §4: strings closed, literals as long as they say, parentheses paired, one line end, the last.
fn is_one_response(response: &[u8]) {
    let mut rest = response;
    let mut depth = 0_u32;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = match octet {
            b'"' => behind_quoted(tail),
            b'{' => behind_literal(tail),
            b'~' if tail.first() == Some(&b'{') => behind_literal(&tail[1..]),
            b'\r' => {
                assert_eq!((tail, depth), (&b"\n"[..], 0), "{}", response.escape_ascii());
                return;
            }
            b'(' | b')' => {
                let next = if octet == b'(' { depth + 1 } else { depth.wrapping_sub(1) };
                assert_ne!(next, u32::MAX, "{}", response.escape_ascii());
                depth = next;
                tail
            }
            _ => {
                assert!(matches!(octet, b' '..=b'~'), "{}", response.escape_ascii());
                tail
            }
        };
    }
    panic!("no line end: {}", response.escape_ascii());
}

fn behind_quoted(text: &[u8]) -> &[u8] {
    let mut escaped = false;
    for (at, &octet) in text.iter().enumerate() {
        assert!(!b"\r\n\0".contains(&octet), "a line end or NUL in a quoted string");
        match octet {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return &text[at + 1..],
            _ => {}
        }
    }
    panic!("an open quoted string")
}

fn behind_literal(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&octet| octet == b'}').expect("a literal closes its brace");
    let size: usize = std::str::from_utf8(&text[..end]).expect("digits").parse().expect("a size");
    let rest = text[end..].strip_prefix(b"}\r\n").expect("a line end behind the brace");
    assert!(size <= rest.len(), "a literal is as long as it says");
    &rest[size..]
}

/// A session gives the same dialogue for lines, single octets and everything at once, before and after
/// login; it ends after so many errors, and messages stay within their limit.
pub fn imap_session(data: &[u8]) {
    for is_logged_in in [false, true] {
        let [whole, lines, octets] =
            [Cut::Whole, Cut::Lines, Cut::Octets].map(|cut| Player::play(data, cut, is_logged_in));
        assert_eq!(lines.output.escape_ascii().to_string(), octets.output.escape_ascii().to_string());
        assert_eq!(lines.record, octets.record);
        // STARTTLS drops what came with it (RFC 3501 §6.2.1).
        if !whole.shook_hands {
            assert_eq!(whole.record, lines.record);
        }
    }
}

struct Player {
    session: Session,
    output: Vec<u8>,
    record: Vec<String>,
    incoming: Option<(u64, Vec<u8>)>,
    shook_hands: bool,
}

impl Player {
    fn play(data: &[u8], cut: Cut, is_logged_in: bool) -> Self {
        let settings = Settings {
            namespaces: Namespaces { separator: '.', below_inbox: false, shares: true },
            tls: is_logged_in,
            starttls: true,
            message_bytes: MESSAGE_BYTES,
            mechanisms: Mechanisms::PASSWORD,
        };
        let session = Session::new(settings);
        let mut player =
            Self { session, output: Vec::new(), record: Vec::new(), incoming: None, shook_hands: false };
        if is_logged_in {
            player.session.receive(b"0 LOGIN ann secret\r\n");
            assert!(!player.draw_events());
        }
        for piece in cut.pieces(data) {
            player.session.receive(piece);
            let is_closed = player.draw_events();
            player.output.extend(player.session.transmit());
            if is_closed {
                break;
            }
        }
        player.check_output();
        player
    }

    fn draw_events(&mut self) -> bool {
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Closed => return true,
                Event::Chunk(octets) => self.chunk(&octets),
                event => self.answer(event),
            }
        }
        false
    }

    fn chunk(&mut self, octets: &[u8]) {
        let (size, message) = self.incoming.as_mut().expect("a message was announced");
        message.extend_from_slice(octets);
        assert!(message.len() as u64 <= *size);
    }

    fn answer(&mut self, event: Event) {
        let seen = if matches!(event, Event::Login(_) | Event::Authenticate(_)) {
            "Login".to_owned()
        } else {
            format!("{event:?}")
        };
        self.record.push(seen);
        match event {
            Event::Login(credentials) if credentials.login.contains('x') => {
                self.session.finish(Tagged::LOGIN_FAILED);
            }
            Event::Authenticate(Turn::Begin(..)) => self.session.challenge(b"go on".to_vec()),
            Event::Authenticate(_) | Event::Login(_) | Event::IdleDone => self.session.finish(Tagged::DONE),
            Event::Request(request) => {
                carry_out(&request);
                self.session.finish(Tagged::DONE);
            }
            Event::Append(append) => self.append(&append),
            Event::AppendNext(message) => self.next(&message),
            Event::AppendText(octets) => self.text(octets),
            Event::AppendUrl(url) if url.uid.0.get() == 7 => {
                self.incoming = None;
                self.session.finish(Tagged::bad_url(url.text.as_bytes()));
            }
            Event::AppendUrl(_) => self.session.accept_message(),
            Event::AppendEnd => {
                let (size, message) = self.incoming.take().expect("a message was announced");
                assert_eq!(message.len() as u64, size);
                self.record.push(message.escape_ascii().to_string());
                self.session.finish(Tagged::DONE);
            }
            Event::AppendAborted => self.incoming = None,
            Event::StartTls => {
                self.shook_hands = true;
                self.session.tls_started();
            }
            Event::StartCompression => {
                let unread = self.session.compression_started();
                self.session.receive(&unread);
            }
            Event::EndCompression => self.session.compression_ended(),
            Event::Idle | Event::Chunk(_) | Event::Closed => {}
        }
    }

    fn append(&mut self, append: &Append) {
        if append.mailbox.contains('x') {
            return self.session.finish(Tagged::TRY_CREATE);
        }
        self.accept(append.message.size.unwrap_or(0));
    }

    fn next(&mut self, message: &Arriving) {
        let (size, before) = self.incoming.take().expect("a message was announced");
        assert_eq!(before.len() as u64, size);
        if message.flags.contains(&Flag::Flagged) {
            return self.session.finish(Tagged::TOO_BIG);
        }
        self.accept(message.size.unwrap_or(0));
    }

    fn text(&mut self, octets: u64) {
        assert!(octets <= MESSAGE_BYTES);
        let (size, before) = self.incoming.as_mut().expect("a message was announced");
        assert_eq!(before.len() as u64, *size);
        *size += octets;
        self.session.accept_message();
    }

    fn accept(&mut self, size: u64) {
        assert!(size <= MESSAGE_BYTES);
        self.incoming = Some((size, Vec::new()));
        self.session.accept_message();
    }

    fn check_output(&self) {
        assert!(self.output.is_empty() || self.output.ends_with(b"\r\n"));
        assert!(!self.output.contains(&0));
        let bad = self.output.split(|&octet| octet == b'\n').filter(|line| is_bad(line)).count();
        assert!(bad <= MAX_ERRORS as usize, "{bad} times BAD");
    }
}

/// `tag BAD text`
fn is_bad(line: &[u8]) -> bool {
    line.split(|&octet| octet == b' ').nth(1) == Some(b"BAD")
}
