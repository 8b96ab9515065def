//! Target for `kings-pop3`: sessions over a small maildrop.

use kings_pop3::{Entry, Event, Maildrop, Reply, Session, Settings, UidlFormat, UidlParts, parse};
use kings_sasl::{Mechanisms, Turn};

use super::Cut;

/// Dots at the start of lines, line feeds alone, no line end at the end.
const MESSAGES: [&str; 3] =
    ["Subject: one\r\n\r\n.\r\n..two\r\nthree\n.\r\n", "Subject: none\r\n\r\n", "Subject: x\r\n\r\n.end"];

/// A session gives the same dialogue for lines, single octets and everything at once, before and after login; what it
/// shows of a message is never more than there is; only QUIT removes something. Formats of unique-ids that are taken
/// give names that RFC 1939 §7 allows.
pub fn pop3_session(data: &[u8]) {
    for line in data.split(|octet| *octet == b'\n').take(64) {
        assert_eq!(parse(line), parse(line));
        if let Some(format) = std::str::from_utf8(line).ok().and_then(|text| text.parse::<UidlFormat>().ok())
        {
            let name = format.write(UidlParts { uid: u32::MAX, validity: 1, guid: "g" });
            assert!((1..=70).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic()));
        }
    }
    for is_logged_in in [false, true] {
        let [whole, lines, octets] =
            [Cut::Whole, Cut::Lines, Cut::Octets].map(|cut| Player::play(data, cut, is_logged_in));
        assert_eq!(lines.output.escape_ascii().to_string(), octets.output.escape_ascii().to_string());
        assert_eq!(lines.record, octets.record);
        // STLS drops what came with it (RFC 2595 §4).
        if !whole.shook_hands {
            assert_eq!(whole.record, lines.record);
            assert_eq!(whole.output, lines.output);
        }
    }
}

struct Player {
    session: Session,
    output: Vec<u8>,
    record: Vec<String>,
    shook_hands: bool,
}

impl Player {
    fn play(data: &[u8], cut: Cut, is_logged_in: bool) -> Self {
        let settings =
            Settings { tls: is_logged_in, stls: true, mechanisms: Mechanisms::PASSWORD, login_delay: None };
        let session = Session::new(settings);
        let mut player = Self { session, output: Vec::new(), record: Vec::new(), shook_hands: false };
        if is_logged_in {
            player.session.receive(b"USER ann\r\nPASS secret\r\n");
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
        assert!(player.output.is_empty() || player.output.ends_with(b"\r\n"));
        player
    }

    /// Answers what there is to answer; true once the session is over.
    fn draw_events(&mut self) -> bool {
        while let Some(event) = self.session.next_event() {
            if event != Event::Relieve {
                self.record.push(format!("{event:?}"));
            }
            match event {
                Event::Login(credentials) if credentials.password.expose() == "secret" => self.welcome(),
                Event::Authenticate(Turn::Begin(_, None)) => self.session.challenge(b"more"),
                Event::Authenticate(_) => self.welcome(),
                Event::Login(_) => self.session.refuse(Reply::LOGIN_FAILED),
                Event::Message { place, .. } => self.message(MESSAGES[place]),
                Event::Update(places) => {
                    assert!(places.iter().all(|place| *place < MESSAGES.len()));
                    self.session.updated(places.len() < 2);
                }
                Event::Relieve => self.output.extend(self.session.transmit()),
                Event::StartTls => {
                    self.shook_hands = true;
                    self.session.tls_started();
                }
                Event::Closed => return true,
            }
        }
        false
    }

    fn welcome(&mut self) {
        let entry = |message: &&str| Entry { octets: message.len() as u64, uidl: "x".into() };
        self.session.welcome(Maildrop::new(MESSAGES.iter().map(entry).collect()));
    }

    fn message(&mut self, message: &str) {
        self.output.extend(self.session.transmit());
        self.session.begin_message(message.len());
        for piece in message.as_bytes().chunks(5) {
            if !self.session.write_message(piece) {
                break;
            }
        }
        self.session.end_message();
        let reply = self.session.transmit();
        // A dot for each line, the first line, the last one, and a line end.
        assert!(reply.len() <= message.len() + 64 && reply.ends_with(b"\r\n.\r\n"));
        self.output.extend(reply);
    }
}
