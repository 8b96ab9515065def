//! Every packet reads back as what was written, and no bytes of a peer make either side panic.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_milter::{
    Actions, Answer, Change, Client, Command, Event, Family, Macros, Offer, Options, Packets, Peer, Server,
    Stage, Steps,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 0..40)
}

fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(text(), 1..5)
}

fn options() -> impl Strategy<Value = Options> {
    let symbols = vec((0..=6usize, vec("[a-z_]{1,12}", 0..5)), 0..4);
    (0..9u32, any::<u32>(), any::<u32>(), symbols).prop_map(|(version, actions, steps, symbols)| {
        let of = [
            Stage::Connect,
            Stage::Helo,
            Stage::Mail,
            Stage::Rcpt,
            Stage::Data,
            Stage::EndOfBody,
            Stage::EndOfHeader,
        ];
        let symbols = symbols.into_iter().map(|(stage, names)| (of[stage], names)).collect();
        Options { version, actions: Actions(actions), steps: Steps(steps), symbols }
    })
}

fn command() -> impl Strategy<Value = Command> {
    let peer = (0..3usize, any::<u16>(), vec(b'0'..b'a', 1..20)).prop_map(|(family, port, address)| Peer {
        family: [Family::Unix, Family::Ipv4, Family::Ipv6][family],
        port,
        address,
    });
    prop_oneof![
        options().prop_map(Command::Negotiate),
        (any::<u8>(), vec(("[a-z_]{1,12}", text()), 0..5))
            .prop_map(|(about, pairs)| Command::Macros(about, pairs)),
        (text(), proptest::option::of(peer)).prop_map(|(host, peer)| Command::Connect(host, peer)),
        text().prop_map(Command::Helo),
        words().prop_map(Command::Mail),
        words().prop_map(Command::Rcpt),
        Just(Command::Data),
        text().prop_map(Command::Unknown),
        (text(), text()).prop_map(|(name, value)| Command::Header(name, value)),
        Just(Command::EndOfHeader),
        vec(any::<u8>(), 0..99).prop_map(Command::Body),
        vec(any::<u8>(), 0..99).prop_map(Command::EndOfBody),
        Just(Command::Abort),
        Just(Command::Quit),
        Just(Command::QuitNewConnection),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let parameters = || proptest::option::of(text());
    prop_oneof![
        (text(), text()).prop_map(|(name, value)| Change::AddHeader(name, value)),
        (any::<u32>(), text(), text()).prop_map(|(at, name, value)| Change::InsertHeader(at, name, value)),
        (any::<u32>(), text(), text()).prop_map(|(at, name, value)| Change::ChangeHeader(at, name, value)),
        vec(any::<u8>(), 0..99).prop_map(Change::ReplaceBody),
        (text(), parameters()).prop_map(|(path, parameters)| Change::AddRecipient(path, parameters)),
        text().prop_map(Change::DeleteRecipient),
        (text(), parameters()).prop_map(|(path, parameters)| Change::ChangeSender(path, parameters)),
        text().prop_map(Change::Quarantine),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let plain = [
        Answer::Continue,
        Answer::Accept,
        Answer::Reject,
        Answer::TempFail,
        Answer::Discard,
        Answer::Skip,
        Answer::Progress,
        Answer::Shutdown,
        Answer::ConnectionFail,
    ];
    prop_oneof![
        options().prop_map(Answer::Negotiate),
        proptest::sample::select(plain.to_vec()),
        text().prop_map(Answer::Reply),
        change().prop_map(Answer::Change),
    ]
}

proptest! {
    #[test]
    fn commands_read_back(command in command()) {
        let mut wire = Vec::new();
        command.write_to(&mut wire);
        let mut packets = Packets::default();
        packets.receive(&wire);
        let (letter, data) = packets.next_packet().unwrap().unwrap();
        prop_assert_eq!(Command::parse(letter, data), Ok(Some(command)));
        prop_assert_eq!(packets.next_packet(), Ok(None));
    }

    #[test]
    fn answers_read_back(answer in answer()) {
        let mut wire = Vec::new();
        answer.write_to(&mut wire);
        let mut packets = Packets::default();
        packets.receive(&wire);
        let (letter, data) = packets.next_packet().unwrap().unwrap();
        prop_assert_eq!(Answer::parse(letter, data), Ok(Some(answer)));
        prop_assert_eq!(packets.next_packet(), Ok(None));
    }

    #[test]
    fn a_client_survives_any_filter(answers in vec((answer(), any::<bool>()), 0..40), noise in vec(any::<u8>(), 0..40)) {
        let mut client = Client::new(100);
        let mut wire = Vec::new();
        for (answer, _) in &answers {
            answer.write_to(&mut wire);
        }
        wire.extend_from_slice(&noise);
        client.receive(&wire);
        for (_, step) in answers {
            match client.next_word() {
                Err(_) => break,
                Ok(_) if step => drop(client.send(&Command::Mail(vec![b"<>".to_vec()]), &Macros::default())),
                Ok(_) => drop(client.send(&Command::EndOfBody(Vec::new()), &Macros::default())),
            }
            client.transmit();
        }
    }

    #[test]
    fn a_server_survives_any_client(commands in vec(command(), 0..40), noise in vec(any::<u8>(), 0..40)) {
        let mut server = Server::new(Offer::default());
        let mut wire = Vec::new();
        Command::Negotiate(Options { version: 6, ..Options::default() }).write_to(&mut wire);
        for command in &commands {
            command.write_to(&mut wire);
        }
        wire.extend_from_slice(&noise);
        server.receive(&wire);
        while let Ok(Some(event)) = server.next_event() {
            if let Event::Asked(_) = event {
                server.answer(&[Change::Quarantine(b"why".to_vec())], &Answer::Continue);
            }
            server.transmit();
        }
    }
}
