//! Properties of both sessions and of content that hold for every input.
#![allow(clippy::unwrap_used, reason = "tests")]

mod backend;

use backend::{Backend, Message};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Body, MailParameters, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_sasl::Secret;
use kings_smtp::client;
use kings_smtp::data::{Decoder, Encoder, Fault, Progress};
use kings_smtp::server::{Event, MAX_ERRORS, Session, Trust};
use proptest::collection::vec;
use proptest::prelude::*;

const MESSAGE_BYTES: u64 = 2_000;

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever comes, in whatever pieces: no panic, only well-formed replies, and only clean messages.
    #[test]
    fn a_server_answers_any_bytes_with_replies(port in port(), input in input(), cuts in cuts()) {
        let played = play(port, pieces(&input, &cuts));
        well_formed(&played.output);
        played.messages.iter().for_each(is_clean);
    }

    /// Lines cut anywhere give the same dialogue as whole lines. (Several lines in one piece need not: what
    /// may not be pipelined is refused.)
    #[test]
    fn a_dialogue_does_not_depend_on_where_its_lines_are_cut(port in port(), input in input(), cuts in cuts()) {
        let lines = || input.split_inclusive(|octet| *octet == b'\n');
        let whole = play(port, lines());
        let cut = play(port, lines().flat_map(|line| pieces(line, &cuts)));
        prop_assert_eq!(whole.output.escape_ascii().to_string(), cut.output.escape_ascii().to_string());
        prop_assert_eq!(whole.messages, cut.messages);
    }

    #[test]
    fn decoding_undoes_encoding(lines in vec(content_line(), 0..20), cuts in cuts()) {
        let content: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\r\n"]).flatten().copied().collect();
        let wire = encode(pieces(&content, &cuts));
        prop_assert_eq!(decode(pieces(&wire, &cuts)), (content, Some(wire.len()), None));
    }

    /// Whatever is given to it, what leaves has one end only and no bare CR or LF.
    #[test]
    fn the_wire_form_of_anything_ends_once(content in vec(octet(), 0..200), cuts in cuts()) {
        let wire = encode(pieces(&content, &cuts));
        let (_, end, fault) = decode(pieces(&wire, &cuts));
        prop_assert_eq!(end, Some(wire.len()));
        prop_assert_eq!(fault, content.contains(&0).then_some(Fault::LineEnds));
    }

    /// However a message is cut into chunks, it is the message that DATA would have brought; what DATA refuses BDAT
    /// refuses too.
    #[test]
    fn content_is_the_same_by_data_and_by_bdat(
        content in vec(prop_oneof![9 => content_line(), 1 => vec(octet(), 0..10)], 0..10),
        sizes in vec(0_usize..40, 1..6),
        cuts in cuts(),
    ) {
        let content: Vec<u8> = content.iter().flat_map(|line| [&line[..], b"\r\n"]).flatten().copied().collect();
        let by_data = [HELLO, ENVELOPE, b"DATA\r\n", &stuffed(&content), b".\r\n"];
        let by_bdat = [HELLO, ENVELOPE, &chunked(&content, &sizes)];
        // What may not be pipelined must come in pieces of its own.
        let by_data = play(25, by_data.iter().flat_map(|part| pieces(part, &cuts)));
        let by_bdat = play(25, by_bdat.iter().flat_map(|part| pieces(part, &cuts)));
        prop_assert_eq!(&by_data.messages, &by_bdat.messages);
        if let Some(message) = by_data.messages.first() {
            prop_assert_eq!(&message.content, &content);
        }
    }

    /// Our client and our server, joined: what one hands over the other stores, octet for octet.
    #[test]
    fn the_client_hands_over_what_the_server_stores(
        recipients in vec(recipient(), 1..4),
        lines in vec(content_line(), 0..10),
        is_submission in any::<bool>(),
        cuts in cuts(),
    ) {
        let content: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\r\n"]).flatten().copied().collect();
        let (outcomes, messages) = join(is_submission, &recipients, &content, &cuts);
        let is_accepted = |outcome: &client::Outcome| matches!(outcome, client::Outcome::Accepted(_));
        let accepted = recipients.iter().zip(&outcomes).filter(|(_, outcome)| is_accepted(outcome));
        let accepted: Vec<Recipient> =
            accepted.map(|(to, _)| ForwardPath::Address(to.clone()).into()).collect();
        prop_assert_eq!(outcomes.len(), recipients.len());
        prop_assert_eq!(messages.len(), usize::from(!accepted.is_empty()));
        for message in messages {
            prop_assert_eq!(&message.content, &content);
            prop_assert_eq!(&message.envelope.recipients, &accepted);
        }
    }

    /// Whatever a content holds, it leaves with CRLF alone and ends where we say, over DATA and over BDAT: BDAT, which
    /// changes nothing, carries only what need not be changed.
    #[test]
    fn no_content_smuggles_a_command(content in vec(octet(), 0..200), cuts in cuts()) {
        let clean = client::Survey::of(&content).clean;
        for chunking in [false, true] {
            let wire = wire_of(&content, chunking, &cuts);
            if chunking && clean {
                let expected = [format!("BDAT {} LAST\r\n", content.len()).as_bytes(), &content].concat();
                prop_assert_eq!(wire, expected);
            } else {
                let (decoded, end, fault) = decode(pieces(&wire, &cuts));
                prop_assert_eq!(end, Some(wire.len()));
                prop_assert_eq!(fault, content.contains(&0).then_some(Fault::LineEnds));
                prop_assert!(fault.is_some() || !clean || decoded == content);
            }
        }
    }
}

const HELLO: &[u8] = b"HELO a\r\n";
const ENVELOPE: &[u8] = b"MAIL FROM:<joe@elsewhere.example>\r\nRCPT TO:<ann@here.example>\r\n";

/// Dots doubled behind each CR LF, all else as it is.
fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (at, octet) in content.iter().enumerate() {
        if *octet == b'.' && (at == 0 || content[..at].ends_with(b"\r\n")) {
            wire.push(b'.');
        }
        wire.push(*octet);
    }
    wire
}

/// BDAT and its chunk, in these sizes over and over, and an empty one at the end.
fn chunked(content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut wire = Vec::new();
    let (mut rest, mut sizes) = (content, sizes.iter().map(|size| size + 1).cycle());
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(rest.len().min(sizes.next().unwrap()));
        wire.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        rest = left;
    }
    wire.extend_from_slice(b"BDAT 0 LAST\r\n");
    wire
}

fn port() -> impl Strategy<Value = u16> {
    proptest::sample::select(vec![24, 25, 587, 465])
}

/// Sizes of pieces, used over and over.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), Just(vec![usize::MAX]), vec(1_usize..40, 1..8)]
}

fn pieces<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    std::iter::from_fn(move || {
        let size = rest.len().min(*sizes.next()?);
        let (piece, left) = rest.split_at(size);
        rest = left;
        (size > 0).then_some(piece)
    })
}

/// Sensible commands, content and noise; often enough in an order that gets somewhere.
fn input() -> impl Strategy<Value = Vec<u8>> {
    let words: Vec<&[u8]> = vec![
        b"EHLO client.example\r\n",
        b"HELO x\r\n",
        b"MAIL FROM:<joe@elsewhere.example>\r\n",
        b"MAIL FROM:<ann@here.example> SIZE=2001\r\n",
        b"RCPT TO:<ann@here.example>\r\n",
        b"RCPT TO:<joe@elsewhere.example>\r\n",
        b"DATA\r\n",
        b"Subject: x\r\n",
        b".\r\n",
        b"..\r\n",
        b"RSET\r\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN AGFubkBoZXJlLmV4YW1wbGUAc2VjcmV0\r\n",
        b"AUTH LOGIN\r\n",
        b"AUTH PLAIN\r\n",
        b"AGFubkBoZXJlLmV4YW1wbGUAc2VjcmV0\r\n",
        b"YW5uQGhlcmUuZXhhbXBsZQ==\r\n",
        b"c2VjcmV0\r\n",
        b"*\r\n",
        b"VRFY x\r\n",
        b"NOOP\r\n",
        b"HELP\r\n",
        b"QUIT\r\n",
        b"GET / HTTP/1.1\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b".",
        b"MAIL FROM:<busy@elsewhere.example>\r\n",
        b"RCPT TO:<trouble@here.example>\r\n",
        b"MAIL FROM:<",
        b"\xff",
        b"LHLO client.example\r\n",
        b"BDAT 12\r\nSubject: x\r\n",
        b"BDAT 0\r\n",
        b"BDAT 3 LAST\r\n.\r\n",
        b"BDAT 30 LAST\r\n",
        b"BDAT 99999999999\r\n",
        b"XCLIENT ADDR=192.0.2.1 LOGIN=ann@here.example\r\n",
        b"XFORWARD ADDR=192.0.2.1\r\n",
    ];
    let word = move || proptest::sample::select(words.clone()).prop_map(<[u8]>::to_vec);
    let transaction: &[u8] =
        b"EHLO a\r\nMAIL FROM:<joe@elsewhere.example>\r\nRCPT TO:<ann@here.example>\r\nDATA\r\nSubject: x\r\n";
    let chunked: &[u8] =
        b"LHLO a\r\nMAIL FROM:<joe@elsewhere.example>\r\nRCPT TO:<ann@here.example>\r\nBDAT 3\r\na\r\n";
    let fragment = prop_oneof![
        12 => word(),
        3 => Just(transaction.to_vec()),
        3 => Just(chunked.to_vec()),
        1 => vec(any::<u8>(), 0..40),
        1 => (1_usize..3_000).prop_map(|count| b"x".repeat(count)),
    ];
    vec(fragment, 0..40).prop_map(|fragments| fragments.concat())
}

struct Played {
    output: Vec<u8>,
    messages: Vec<Message>,
}

fn play<'a>(port: u16, pieces: impl Iterator<Item = &'a [u8]>) -> Played {
    let (mut session, mut backend) = (
        backend::session(port, MESSAGE_BYTES, Trust { xclient: true, xforward: true }, true),
        Backend::default(),
    );
    backend.lmtp = port == 24;
    let mut output = session.transmit();
    for piece in pieces {
        session.receive(piece);
        let is_open = draw_events(&mut session, &mut backend);
        output.extend(session.transmit());
        if !is_open {
            break;
        }
    }
    Played { output, messages: backend.messages }
}

/// False when the server has closed.
fn draw_events(session: &mut Session, backend: &mut Backend) -> bool {
    while let Some(event) = session.next_event() {
        match event {
            Event::Closed => return false,
            Event::StartTls => session.tls_started(),
            event => backend.answer(event, session),
        }
    }
    true
}

/// Each line is a code, an optional enhanced code and text; the lines of one reply share their code; the
/// refusals have an end.
fn well_formed(output: &[u8]) {
    let text =
        std::str::from_utf8(output).expect("replies are text").strip_suffix("\r\n").expect("CRLF at the end");
    let mut begun: Option<&str> = None;
    let mut refusals = 0;
    for line in text.split("\r\n") {
        let (code, rest) = line.split_at(3);
        let number: u16 = code.parse().expect("a code");
        assert!((200..560).contains(&number), "{line:?}");
        assert!(begun.is_none_or(|first| first == code), "{line:?}");
        assert!(rest.starts_with(['-', ' ']) && !rest.contains(|c: char| c.is_control()), "{line:?}");
        begun = rest.starts_with('-').then_some(code);
        refusals += usize::from(begun.is_none() && number >= 400);
    }
    assert!(begun.is_none(), "the last reply is whole");
    assert!(refusals <= MAX_ERRORS + 1, "{refusals} refusals");
}

/// What was stored is within the limit, has somebody to go to, and only CRLF.
fn is_clean(message: &Message) {
    let content = &message.content;
    assert!(!message.envelope.recipients.is_empty());
    assert!(content.len() as u64 <= MESSAGE_BYTES);
    assert!(!content.contains(&0));
    let line_ends = content.windows(2).filter(|pair| pair == b"\r\n").count();
    let halves = content.iter().filter(|octet| matches!(octet, b'\r' | b'\n')).count();
    assert_eq!(halves, 2 * line_ends, "{}", content.escape_ascii());
}

/// Octets that matter to line ends and dots, and others.
fn octet() -> impl Strategy<Value = u8> {
    prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), any::<u8>()]
}

fn content_line() -> impl Strategy<Value = Vec<u8>> {
    vec(octet().prop_map(|octet| if matches!(octet, 0 | b'\r' | b'\n') { b'.' } else { octet }), 0..30)
}

fn encode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut encoder, mut wire) = (Encoder::default(), Vec::new());
    pieces.for_each(|piece| encoder.encode(piece, &mut wire));
    encoder.finish(&mut wire);
    wire
}

/// Content, octets used (`None`: no end), fault.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Option<usize>, Option<Fault>) {
    let (mut decoder, mut content, mut used) = (Decoder::new(u64::MAX), Vec::new(), 0);
    for piece in pieces {
        match decoder.decode(piece, &mut content) {
            Progress::More => used += piece.len(),
            Progress::End(count) => return (content, Some(used + count), decoder.fault()),
        }
    }
    (content, None, decoder.fault())
}

/// Some are taken on either port, some on none.
fn recipient() -> impl Strategy<Value = Address> {
    let all = [
        "ann@here.example",
        "\"john doe\"@here.example",
        "jürgen@here.example",
        "nobody@here.example",
        "joe@[192.0.2.1]",
    ];
    proptest::sample::select(all.map(|text| Address::parse(text).unwrap()).to_vec())
}

/// Hands one message from our client to our server, replies and commands cut into pieces.
fn join(
    is_submission: bool,
    recipients: &[Address],
    content: &[u8],
    cuts: &[usize],
) -> (Vec<client::Outcome>, Vec<Message>) {
    let mut server =
        backend::session(if is_submission { 587 } else { 25 }, MESSAGE_BYTES, Trust::default(), true);
    let mut backend = Backend::default();
    let mut client = client_session(is_submission);
    let recipient = |address: &Address| ForwardPath::Address(address.clone()).into();
    let transaction = client::Transaction {
        reverse_path: ReversePath::parse("ann@here.example").unwrap(),
        recipients: recipients.iter().map(recipient).collect(),
        parameters: MailParameters { body: Body::EightBitMime, smtputf8: true, ..MailParameters::default() },
        content: client::Survey::of(content),
    };
    loop {
        let replies = server.transmit();
        assert!(!replies.is_empty(), "both wait for each other");
        for piece in pieces(&replies, cuts) {
            client.receive(piece);
            while let Some(event) = client.next_event().unwrap() {
                match event {
                    client::Event::StartTls => client.tls_started(),
                    client::Event::Ready => client.send(transaction.clone()),
                    client::Event::SendContent(range) => {
                        let range =
                            usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                        pieces(&content[range], cuts).for_each(|piece| client.content(piece));
                        client.end_content();
                    }
                    client::Event::Settled(outcomes) => return (outcomes, backend.messages),
                    client::Event::Refused(reply) | client::Event::Unfit(reply) => panic!("{reply}"),
                    client::Event::Closed => panic!("closed"),
                }
            }
        }
        for piece in pieces(&client.transmit(), cuts) {
            server.receive(piece);
            assert!(draw_events(&mut server, &mut backend));
        }
    }
}

/// What leaves for this content once its recipient is accepted.
fn wire_of(content: &[u8], chunking: bool, cuts: &[usize]) -> Vec<u8> {
    let hostname = Domain::parse("client.here.example").unwrap();
    let mut session = client::Session::new(client::Settings {
        hostname,
        protocol: client::Protocol::Smtp,
        start_tls: client::StartTls::Never,
        login: None,
        tls: false,
    });
    let offer =
        if chunking { "250-x\r\n250-8BITMIME\r\n250 CHUNKING\r\n" } else { "250-x\r\n250 8BITMIME\r\n" };
    for reply in ["220 x\r\n", offer, "250 ok\r\n", "250 ok\r\n", "354 go\r\n"] {
        session.receive(reply.as_bytes());
        match session.next_event().unwrap() {
            Some(client::Event::Ready) => session.send(client::Transaction {
                reverse_path: ReversePath::Null,
                recipients: vec![ForwardPath::parse("joe@a.example").unwrap().into()],
                parameters: MailParameters::default(),
                content: client::Survey::of(content),
            }),
            Some(client::Event::SendContent(range)) => {
                assert_eq!(range, 0..content.len() as u64);
                pieces(content, cuts).for_each(|piece| session.content(piece));
                session.end_content();
            }
            _ => {}
        }
        let wire = session.transmit();
        if session.awaits_final_reply() {
            return wire;
        }
    }
    panic!("no message was sent");
}

fn client_session(is_submission: bool) -> client::Session {
    let login =
        is_submission.then(|| client::Login::new("ann@here.example", Secret::new("secret"), "client"));
    let hostname = Domain::parse("client.here.example").unwrap();
    client::Session::new(client::Settings {
        hostname,
        protocol: client::Protocol::Smtp,
        start_tls: client::StartTls::Required,
        login,
        tls: false,
    })
}
