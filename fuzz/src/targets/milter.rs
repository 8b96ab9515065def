//! Both sides of the milter protocol.

use kings_milter::{Actions, Answer, Client, Command, Event, Macros, Offer, Packets, Server};

/// Every packet that is understood reads back from its own wire form as the same one.
pub fn milter_packet(data: &[u8]) {
    let mut packets = Packets::default();
    packets.receive(data);
    while let Ok(Some((letter, data))) = packets.next_packet() {
        if let Ok(Some(command)) = Command::parse(letter, data) {
            let mut wire = Vec::new();
            command.write_to(&mut wire);
            assert_eq!(parsed(&wire, Command::parse), Some(command));
        }
        if let Ok(Some(answer)) = Answer::parse(letter, data) {
            let mut wire = Vec::new();
            answer.write_to(&mut wire);
            assert_eq!(parsed(&wire, Answer::parse), Some(answer));
        }
    }
}

fn parsed<T, E>(wire: &[u8], parse: impl Fn(u8, &[u8]) -> Result<Option<T>, E>) -> Option<T> {
    let mut packets = Packets::default();
    packets.receive(wire);
    let (letter, data) = packets.next_packet().ok().flatten()?;
    parse(letter, data).ok().flatten()
}

/// A filter of ours hears the same however the bytes are cut, and a server of ours survives any filter.
pub fn milter_session(data: &[u8]) {
    let offer = || Offer { actions: Actions::ADD_HEADERS, ..Offer::default() };
    let hear = |size: usize| {
        let mut server = Server::new(offer());
        let mut heard = Vec::new();
        for piece in data.chunks(size.max(1)) {
            server.receive(piece);
            loop {
                match server.next_event() {
                    Ok(None) => break,
                    // The connection is closed: what follows is never read.
                    Err(_) => return heard,
                    Ok(Some(event)) => {
                        if matches!(event, Event::Asked(_)) {
                            server.answer(&[], &Answer::Continue);
                        }
                        heard.push(event);
                    }
                }
            }
        }
        heard
    };
    let whole = hear(data.len());
    let pieces = hear(3);
    assert!(whole == pieces, "cut bytes read otherwise");
    let mut client = Client::new(1_000);
    client.receive(data);
    while let Ok(Some(_)) = client.next_word() {
        client.send(&Command::EndOfBody(Vec::new()), &Macros::default());
        client.transmit();
    }
}
