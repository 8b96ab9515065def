//! A mail server and a filter of ours talk to each other, whole and byte by byte.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_milter::{
    Actions, Answer, Change, Client, Command, Event, Family, Heard, Macros, Offer, Outcome, Peer, ReplyText,
    Sent, Server, Stage, Steps,
};

/// Both ends of a wire.
struct Pair {
    client: Client,
    server: Server,
    macros: Macros,
    /// Bytes that cross at once.
    cut: usize,
}

impl Pair {
    fn new(offer: Offer, cut: usize) -> Self {
        let mut pair =
            Self { client: Client::new(1_000), server: Server::new(offer), macros: Macros::default(), cut };
        pair.cross();
        assert_eq!(pair.server.next_event(), Ok(None));
        assert_eq!(pair.heard(), Heard::Ready);
        pair
    }

    fn cross(&mut self) {
        self.client.transmit().chunks(self.cut).for_each(|piece| self.server.receive(piece));
    }

    /// Says a command, and hears what the filter hears.
    fn say(&mut self, command: &Command) -> (Sent, Option<Event>) {
        let sent = self.client.send(command, &self.macros);
        let wire = self.client.transmit();
        let mut event = None;
        for piece in wire.chunks(self.cut) {
            assert_eq!(event, None, "an event before its last byte");
            self.server.receive(piece);
            event = self.server.next_event().unwrap();
        }
        (sent, event)
    }

    fn heard(&mut self) -> Heard {
        let wire = self.server.transmit();
        let mut heard = None;
        for piece in wire.chunks(self.cut) {
            assert_eq!(heard, None, "an answer before its last byte");
            self.client.receive(piece);
            heard = self.client.next_word().unwrap();
        }
        heard.unwrap()
    }

    /// A whole turn: say, answer, hear.
    fn turn(&mut self, command: &Command, answer: &Answer) -> Outcome {
        assert_eq!(self.say(command), (Sent::Asked, Some(Event::Asked(command.clone()))));
        self.server.answer(&[], answer);
        match self.heard() {
            Heard::Answer(outcome, changes) if changes.is_empty() => outcome,
            other => panic!("{other:?}"),
        }
    }
}

fn connect() -> Command {
    let peer = Peer { family: Family::Ipv6, port: 40_000, address: b"2001:db8::1".to_vec() };
    Command::Connect(b"mx.example.net".to_vec(), Some(peer))
}

fn mail() -> Command {
    Command::Mail(vec![b"<ann@example.org>".to_vec(), b"SIZE=100".to_vec()])
}

fn rcpt(path: &str) -> Command {
    Command::Rcpt(vec![path.into()])
}

fn header(name: &str, value: &str) -> Command {
    Command::Header(name.into(), value.into())
}

const CUTS: [usize; 3] = [1, 7, 100_000];

fn signer() -> Offer {
    Offer {
        actions: Actions::ADD_HEADERS | Actions::CHANGE_HEADERS,
        steps: Steps::unanswered(Stage::Header) | Steps::without(Stage::Helo) | Steps::LEADING_SPACE,
        symbols: vec![(Stage::Mail, vec!["i".into(), "auth_authen".into()])],
    }
}

#[test]
fn a_message_goes_through_with_its_changes() {
    for cut in CUTS {
        let mut pair = Pair::new(signer(), cut);
        assert!(pair.client.keeps_leading_space() && pair.server.keeps_leading_space());
        for (name, value) in [("i", "ABC"), ("auth_authen", "ann"), ("mail_addr", "not wanted"), ("j", "mx")]
        {
            pair.macros.set(name, value.as_bytes());
        }
        assert_eq!(pair.turn(&connect(), &Answer::Continue), Outcome::Continue);
        assert_eq!(pair.server.macro_value("j"), Some(&b"mx"[..]));
        assert_eq!(pair.say(&Command::Helo(b"me".to_vec())), (Sent::Skipped, None));
        assert_eq!(pair.turn(&mail(), &Answer::Continue), Outcome::Continue);
        assert_eq!(pair.server.macro_value("auth_authen"), Some(&b"ann"[..]));
        assert_eq!(pair.server.macro_value("mail_addr"), None);
        assert_eq!(pair.turn(&rcpt("<joe@example.net>"), &Answer::Continue), Outcome::Continue);
        let field = header("Subject", " two\n lines");
        assert_eq!(pair.say(&field), (Sent::Told, Some(Event::Told(field.clone()))));
        assert_eq!(pair.turn(&Command::EndOfHeader, &Answer::Continue), Outcome::Continue);
        assert_eq!(pair.turn(&Command::Body(b"Hello\r\n".to_vec()), &Answer::Continue), Outcome::Continue);
        let end = Command::EndOfBody(Vec::new());
        assert_eq!(pair.say(&end), (Sent::Asked, Some(Event::Asked(end))));
        pair.server.progress();
        assert_eq!(pair.heard(), Heard::Progress);
        let changes = [
            Change::InsertHeader(0, b"DKIM-Signature".to_vec(), b" v=1;\n\tb=".to_vec()),
            Change::ChangeHeader(1, b"Authentication-Results".to_vec(), Vec::new()),
        ];
        // What was not announced is not sent.
        let more = [&changes[..], &[Change::DeleteRecipient(b"<joe@example.net>".to_vec())]].concat();
        pair.server.answer(&more, &Answer::Continue);
        assert_eq!(pair.heard(), Heard::Answer(Outcome::Continue, changes.to_vec()));
        assert_eq!(pair.server.macro_value("auth_authen"), None, "macros of a message end with it");
        assert_eq!(pair.server.macro_value("j"), Some(&b"mx"[..]));
        // The next one over the same connection.
        assert_eq!(pair.turn(&mail(), &Answer::Accept), Outcome::Accept);
        assert_eq!(pair.say(&rcpt("<joe@example.net>")), (Sent::Skipped, None));
        pair.client.quit();
        pair.cross();
        assert_eq!(pair.server.next_event(), Ok(Some(Event::Quit)));
    }
}

#[test]
fn a_verdict_ends_as_much_as_it_should() {
    let reply = ReplyText { code: 550, status: Some((5, 7, 1)), lines: vec!["No".into()] };
    let said = Answer::Reply(b"550 5.7.1 No".to_vec());
    let mut pair = Pair::new(Offer::default(), 7);
    pair.turn(&connect(), &Answer::Continue);
    // One recipient refused: the others go on.
    pair.turn(&mail(), &Answer::Continue);
    assert_eq!(pair.turn(&rcpt("<a@example.net>"), &said), Outcome::Reply(reply.clone()));
    assert_eq!(pair.turn(&rcpt("<b@example.net>"), &Answer::Reject), Outcome::Reject);
    assert_eq!(pair.turn(&rcpt("<c@example.net>"), &Answer::Continue), Outcome::Continue);
    // The message refused: nothing more of it.
    assert_eq!(pair.turn(&Command::Data, &said), Outcome::Reply(reply));
    assert_eq!(pair.say(&header("From", "me")).0, Sent::Skipped);
    // Another message begins anew, and one that is dropped leaves nothing behind.
    pair.turn(&mail(), &Answer::Continue);
    pair.client.abort();
    pair.cross();
    assert_eq!(pair.server.next_event(), Ok(Some(Event::Abort)));
    pair.turn(&mail(), &Answer::Discard);
    assert_eq!(pair.say(&rcpt("<a@example.net>")).0, Sent::Skipped);
    // "Skip" spares the rest of one body only.
    for _ in 0..2 {
        pair.turn(&mail(), &Answer::Continue);
        pair.turn(&Command::Body(b"x".to_vec()), &Answer::Skip);
        assert_eq!(pair.say(&Command::Body(b"y".to_vec())).0, Sent::Skipped);
        assert_eq!(pair.turn(&Command::EndOfBody(Vec::new()), &Answer::Continue), Outcome::Continue);
    }
    // Accepted at the start: all of the session.
    let mut pair = Pair::new(Offer::default(), 7);
    assert_eq!(pair.turn(&connect(), &Answer::Accept), Outcome::Accept);
    assert_eq!(pair.say(&mail()).0, Sent::Skipped);
    // Closed: nothing any more.
    let mut pair = Pair::new(Offer::default(), 7);
    pair.turn(&connect(), &Answer::Continue);
    assert_eq!(pair.turn(&mail(), &Answer::Shutdown), Outcome::Shutdown);
    assert_eq!(pair.say(&mail()).0, Sent::Skipped);
}

#[test]
fn nothing_is_said_while_an_answer_is_due() {
    let mut pair = Pair::new(Offer::default(), 1);
    assert_eq!(pair.say(&connect()).0, Sent::Asked);
    assert_eq!(pair.client.send(&mail(), &Macros::default()), Sent::Skipped);
    pair.client.abort();
    assert!(pair.client.transmit().is_empty());
}
