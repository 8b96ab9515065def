//! What either side may not do, and what old and odd peers may.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_milter::{
    Actions, Answer, Breach, Change, Client, Command, Event, Fault, Heard, Macros, Malformed, Offer, Options,
    Outcome, Server, Stage, Steps, TooLarge,
};

fn packet(letter: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap();
    [&length.to_be_bytes()[..], &[letter], data].concat()
}

fn agreed(options: Options) -> Result<Client, Fault> {
    let mut client = Client::new(10);
    let mut wire = Vec::new();
    Answer::Negotiate(options).write_to(&mut wire);
    client.receive(&wire);
    client.next_word().map(|heard| {
        assert_eq!(heard, Some(Heard::Ready));
        client.transmit();
        client
    })
}

fn options(version: u32, actions: u32, steps: u32) -> Options {
    Options { version, actions: Actions(actions), steps: Steps(steps), symbols: Vec::new() }
}

/// A client that waits for the answer to `command`.
fn waiting(actions: u32, command: &Command) -> Client {
    let mut client = agreed(options(6, actions, 0)).unwrap();
    client.send(command, &Macros::default());
    client
}

fn fault(mut client: Client, wire: &[u8]) -> Fault {
    client.receive(wire);
    client.next_word().unwrap_err()
}

#[test]
fn filters_agree_on_what_was_offered() {
    for version in 2..=6 {
        assert!(agreed(options(version, 0x1FF, 0)).is_ok());
    }
    assert_eq!(agreed(options(1, 0, 0)).unwrap_err(), Fault::Version(1));
    assert_eq!(agreed(options(7, 0, 0)).unwrap_err(), Fault::Version(7));
    assert_eq!(agreed(options(6, 0x200, 0)).unwrap_err(), Fault::NotOffered(0x200, 0));
    let large = 0x1000_0000;
    assert_eq!(agreed(options(6, 0, large)).unwrap_err(), Fault::NotOffered(0, large));
    // An old filter is not told what its version does not know.
    let old = agreed(options(2, 0, 0)).unwrap();
    assert!(!old.wants(Stage::Data) && !old.wants(Stage::Unknown) && old.wants(Stage::Body));
    assert!(agreed(options(4, 0, 0)).unwrap().wants(Stage::Data));
}

#[test]
fn a_filter_that_breaks_the_protocol_is_a_typed_fault() {
    let mail = Command::Mail(vec![b"<>".to_vec()]);
    let end = Command::EndOfBody(Vec::new());
    let cases: [(Client, Vec<u8>, Fault); 14] = [
        (Client::new(9), packet(b'c', b""), Fault::Unexpected("\"continue\"")),
        (Client::new(9), b"\0\0\0\0".to_vec(), Fault::TooLarge(TooLarge(0))),
        (Client::new(9), b"HTTP/1.1".to_vec(), Fault::TooLarge(TooLarge(0x4854_5450))),
        (Client::new(9), packet(b'O', b"\0\0\0\x06\0\0"), Fault::Malformed(Malformed(b'O'))),
        (agreed(options(6, 0, 0)).unwrap(), packet(b'c', b""), Fault::Unexpected("\"continue\"")),
        (waiting(0, &mail), packet(b'Z', b""), Fault::Unknown(b'Z')),
        (waiting(0, &mail), packet(b's', b""), Fault::Unexpected("\"skip\"")),
        (waiting(0, &Command::Helo(b"x".to_vec())), packet(b'd', b""), Fault::Unexpected("\"discard\"")),
        (waiting(0, &mail), packet(b'y', b"250 sure\0"), Fault::BadReply),
        (waiting(0, &mail), packet(b'y', b""), Fault::Malformed(Malformed(b'y'))),
        (waiting(0x1FF, &mail), packet(b'h', b"X\0y\0"), Fault::Unexpected("a change")),
        (waiting(0x10, &end), packet(b'h', b"X\0y\0"), Fault::NotAgreed(0x01)),
        (waiting(0x1FF, &end), packet(b'b', b"eleven octets"), Fault::TooManyChanges),
        (waiting(0x1FF, &end), packet(b'c', b"odd"), Fault::Malformed(Malformed(b'c'))),
    ];
    for (client, wire, expected) in cases {
        assert_eq!(fault(client, &wire), expected);
    }
}

#[test]
fn changes_are_taken_to_the_limit_and_no_further() {
    let end = Command::EndOfBody(Vec::new());
    let field = |count| packet(b'h', b"X\0y\0").repeat(count);
    let mut client = waiting(0x1FF, &end);
    client.receive(&[field(1_000), packet(b'b', b"ten octets"), packet(b'c', b"")].concat());
    let Ok(Some(Heard::Answer(Outcome::Continue, changes))) = client.next_word() else { panic!("no answer") };
    assert_eq!(changes.len(), 1_001);
    assert_eq!(changes[0], Change::AddHeader(b"X".to_vec(), b"y".to_vec()));
    assert_eq!(fault(waiting(0x1FF, &end), &field(1_001)), Fault::TooManyChanges);
    let large = packet(b'q', &vec![b'x'; 1_000_000]);
    assert_eq!(fault(waiting(0x1FF, &end), &large.repeat(5)), Fault::TooManyChanges);
}

fn serving(wire: &[u8]) -> Result<(Server, Option<Event>), Breach> {
    let mut server = Server::new(Offer { actions: Actions::ADD_HEADERS, ..Offer::default() });
    server.receive(wire);
    server.next_event().map(|event| (server, event))
}

fn hello() -> Vec<u8> {
    let mut wire = Vec::new();
    Command::Negotiate(options(6, 0x1FF, 0x1F_FFFF)).write_to(&mut wire);
    wire
}

#[test]
fn a_mail_server_that_breaks_the_protocol_is_a_typed_breach() {
    let negotiate =
        |version: u8, actions: u8| packet(b'O', &[0, 0, 0, version, 0, 0, 0, actions, 0, 0, 0, 0]);
    let cases: [(Vec<u8>, Breach); 10] = [
        (packet(b'Q', b"rest"), Breach::Malformed(Malformed(b'Q'))),
        (packet(b'H', b"x\0"), Breach::Negotiation),
        (negotiate(1, 1), Breach::Version(1)),
        (negotiate(6, 0x10), Breach::NotAllowed(0x10, 0x01)),
        ([hello(), hello()].concat(), Breach::Negotiation),
        ([hello(), packet(b'Z', b"")].concat(), Breach::Unknown(b'Z')),
        ([hello(), packet(b'R', b"<a@b>\0")].concat(), Breach::OutOfOrder(Stage::Rcpt)),
        ([hello(), packet(b'C', b"host\0")].concat(), Breach::Malformed(Malformed(b'C'))),
        ([hello(), packet(b'L', b"name\0")].concat(), Breach::Malformed(Malformed(b'L'))),
        ([hello(), packet(b'M', b"")].concat(), Breach::Malformed(Malformed(b'M'))),
    ];
    for (wire, expected) in cases {
        assert_eq!(serving(&wire).unwrap_err(), expected);
    }
    assert_eq!(serving(&packet(b'Q', b"")).unwrap().1, Some(Event::Quit));
    let (_, event) = serving(&[negotiate(2, 1), packet(b'C', b"host\0U")].concat()).unwrap();
    assert_eq!(event, Some(Event::Asked(Command::Connect(b"host".to_vec(), None))));
}

#[test]
fn a_second_message_waits_until_the_first_has_ended() {
    let mail = packet(b'M', b"<>\0");
    let (mut server, event) = serving(&[hello(), mail.clone(), mail.clone()].concat()).unwrap();
    assert!(matches!(event, Some(Event::Asked(Command::Mail(_)))));
    assert_eq!(server.next_event(), Ok(None), "an answer is due");
    server.answer(&[], &Answer::Continue);
    assert_eq!(server.next_event(), Err(Breach::OutOfOrder(Stage::Mail)));
    let (mut server, _) = serving(&[hello(), mail.clone(), packet(b'A', b""), mail].concat()).unwrap();
    server.answer(&[], &Answer::Continue);
    assert_eq!(server.next_event(), Ok(Some(Event::Abort)));
    assert!(matches!(server.next_event(), Ok(Some(Event::Asked(Command::Mail(_))))));
}
