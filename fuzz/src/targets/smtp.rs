//! Targets for `kings-smtp`: commands, content, and both sides of a session.

use kings_mail::address::Address;
use kings_mail::charset;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Body, Envelope, MailParameters, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_sasl::{Secret, Turn};
use kings_smtp::claim::Attribute;
use kings_smtp::client;
use kings_smtp::command::{self, Command, Offered};
use kings_smtp::data::{Chunks, Decoder, Encoder, Fault, Progress};
use kings_smtp::reply::Reply;
use kings_smtp::server::{
    Event, FutureRelease, MAX_ERRORS, MAX_IDLE_COMMANDS, Role, Session, Settings, Trust,
};

use super::Cut;

/// Most that one reply of ours takes, EHLO with all its lines included.
const MAX_REPLY: usize = 512;
/// Small, so that messages over the limit occur.
const MESSAGE_BYTES: u64 = 4_096;

/// A command reads the same in any case, and its addresses read back as themselves.
pub fn smtp_command(data: &[u8]) {
    let line = charset::guess(data);
    let command = command::parse(&line, Offered::ALL);
    // Letters in xtext, which a plus announces, are capitals or nothing (RFC 3461 §4).
    if !line.contains('+') {
        for line in [line.to_ascii_lowercase(), line.to_ascii_uppercase()] {
            assert_eq!(command::parse(&line, Offered::ALL).is_ok(), command.is_ok());
        }
    }
    match command {
        Ok(
            Command::Mail(ReversePath::Address(address), _)
            | Command::Rcpt(Recipient { path: ForwardPath::Address(address), .. }),
        ) => {
            let text = address.to_string();
            assert!(!text.contains(|c: char| c.is_control()));
            assert_eq!(Address::parse(&text), Ok(address));
        }
        Ok(Command::Ehlo(name) | Command::Helo(name) | Command::Lhlo(name)) => {
            assert!(!name.contains(|c: char| c.is_control() || c.is_whitespace()));
        }
        Ok(Command::Xclient(claim) | Command::Xforward(claim)) => {
            for attribute in [claim.name, claim.helo, claim.login, claim.ident] {
                let Attribute::Is(text) = attribute else { continue };
                assert!(!text.is_empty() && !text.contains(|c: char| c.is_control()));
            }
        }
        Ok(_) => {}
        Err(error) => assert!(!error.reply().is_positive()),
    }
}

/// Content survives the wire, by DATA and by BDAT, and the wire form of anything ends exactly once, at its end.
pub fn smtp_data(data: &[u8]) {
    let mut decoders = [Cut::Whole, Cut::Lines, Cut::Octets].map(|cut| decode(data, cut));
    let (content, used, fault) = decoders[0].clone();
    assert!(content.len() <= data.len() && (fault.is_none() || content.is_empty()));
    // Whether a fault shows before or behind some content depends on the pieces, no more than that.
    for other in &mut decoders[1..] {
        assert_eq!((other.1, other.2), (used, fault));
        assert!(fault.is_some() || other.0 == content);
    }
    let [whole, octets] = [Cut::Whole, Cut::Octets].map(|cut| read_chunks(data, cut));
    assert_eq!(whole, octets);
    let is_clean = !data.contains(&0) && is_text(data);
    assert_eq!(whole, if is_clean { (data.to_vec(), None) } else { (Vec::new(), Some(Fault::LineEnds)) });
    let half = data.len() / 2;
    let mut wire = Vec::new();
    let mut encoder = Encoder::default();
    encoder.encode(&data[..half], &mut wire);
    encoder.encode(&data[half..], &mut wire);
    encoder.finish(&mut wire);
    let (decoded, used, fault) = decode(&wire, Cut::Whole);
    assert_eq!(used, Some(wire.len()));
    assert_eq!(fault, data.contains(&0).then_some(Fault::LineEnds));
    assert!(fault.is_some() || decoded == with_crlf(data));
}

/// Content, octets used, fault.
fn decode(wire: &[u8], cut: Cut) -> (Vec<u8>, Option<usize>, Option<Fault>) {
    let mut decoder = Decoder::new(u64::MAX);
    let mut content = Vec::new();
    let mut used = 0;
    for piece in cut.pieces(wire) {
        match decoder.decode(piece, &mut content) {
            Progress::More => used += piece.len(),
            Progress::End(count) => return (content, Some(used + count), decoder.fault()),
        }
    }
    (content, None, decoder.fault())
}

/// Content and fault, of a message in one chunk.
fn read_chunks(wire: &[u8], cut: Cut) -> (Vec<u8>, Option<Fault>) {
    let (mut chunks, mut content) = (Chunks::new(u64::MAX), Vec::new());
    cut.pieces(wire).for_each(|piece| chunks.read(piece, &mut content));
    chunks.finish(&mut content);
    (content, chunks.fault())
}

/// Line ends are CRLF; the last line may have none.
fn is_text(content: &[u8]) -> bool {
    let ended = with_crlf(content);
    ended == content || ended.strip_suffix(b"\r\n") == Some(content)
}

fn with_crlf(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 2);
    let mut after_cr = false;
    for &octet in content {
        match octet {
            b'\n' if after_cr => {}
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            _ => out.push(octet),
        }
        after_cr = octet == b'\r';
    }
    if !out.is_empty() && !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// A server session gives the same dialogue for lines and for single octets, and for everything at once
/// unless pipelining makes the difference; what it accepts has clean line ends; its replies are well
/// formed and few.
pub fn smtp_session(data: &[u8]) {
    for role in [Role::Inbound, Role::Submission, Role::Lmtp] {
        let [whole, lines, octets] =
            [Cut::Whole, Cut::Lines, Cut::Octets].map(|cut| Server::play(data, cut, role));
        assert_eq!(lines.record, octets.record);
        assert_eq!(lines.output.escape_ascii().to_string(), octets.output.escape_ascii().to_string());
        // RFC 2920 §3.1 forbids to send on behind some commands, and STARTTLS drops what follows it.
        if !whole.shook_hands && !contains(&whole.output, b"\r\n503 5.5.0 ") {
            assert_eq!(whole.record, lines.record);
        }
        well_formed(&whole.output, role);
        well_formed(&lines.output, role);
    }
}

/// A server session with a caller that accepts most of what it is asked.
struct Server {
    session: Session,
    output: Vec<u8>,
    /// What the caller saw, in order.
    record: Vec<String>,
    content: Vec<u8>,
    shook_hands: bool,
}

impl Server {
    fn play(data: &[u8], cut: Cut, role: Role) -> Self {
        let settings = Settings {
            hostname: Domain::parse("mx.example").expect("a domain"),
            role,
            start_tls: true,
            message_bytes: MESSAGE_BYTES,
            recipients: 100,
            dsn: true,
            bare_paths: role == Role::Submission,
            origin: (role != Role::Inbound).then(|| Domain::parse("here.example").expect("a domain")),
            future_release: (role == Role::Submission)
                .then_some(FutureRelease { longest: 1_000, latest: DateTime::from_unix(1_000) }),
            trust: Trust { xclient: true, xforward: true },
        };
        let session = Session::new(settings, role == Role::Submission);
        let mut server =
            Self { session, output: Vec::new(), record: Vec::new(), content: Vec::new(), shook_hands: false };
        for piece in cut.pieces(data) {
            server.session.receive(piece);
            let is_closed = server.draw_events();
            server.output.extend(server.session.transmit());
            if is_closed {
                break;
            }
        }
        server
    }

    fn draw_events(&mut self) -> bool {
        while let Some(event) = self.session.next_event() {
            match event {
                Event::Closed => return true,
                Event::StartTls => {
                    self.shook_hands = true;
                    self.session.tls_started();
                }
                Event::Content => self.content.extend_from_slice(self.session.content()),
                Event::Discard => self.content.clear(),
                question => self.answer(&question),
            }
        }
        false
    }

    fn answer(&mut self, question: &Event) {
        let reply = match question {
            Event::Login(Turn::Begin(..)) => {
                self.record.push("Begin".to_owned());
                return self.session.challenge(b"go on");
            }
            Event::Login(Turn::Response(response)) if response.contains(&b'x') => Reply::LOGIN_REFUSED,
            Event::Login(_) => Reply::LOGGED_IN,
            Event::Mail(..) => {
                self.content.clear();
                Reply::SENDER_OK
            }
            Event::Rcpt(recipient) if recipient.path.to_string().contains('x') => Reply::UNKNOWN_USER,
            Event::Rcpt(_) => Reply::RECIPIENT_OK,
            Event::Begin => Reply::START_MAIL,
            Event::Xclient(_) | Event::Xforward(_) | Event::Hello { .. } => Reply::OK,
            Event::End(envelope) => {
                self.end(envelope);
                // Too few on purpose: in LMTP the rest must be made up, elsewhere there is only one.
                self.record.push(format!("{question:?}"));
                return self.session.answer_each(&[Reply::OK]);
            }
            Event::Closed | Event::StartTls | Event::Content | Event::Discard => return,
        };
        // Not the credentials themselves, which are never shown.
        let seen =
            if matches!(question, Event::Login(_)) { "Login".to_owned() } else { format!("{question:?}") };
        self.record.push(seen);
        self.session.answer(&reply);
    }

    fn end(&mut self, envelope: &Envelope) {
        self.content.extend_from_slice(self.session.content());
        let content = std::mem::take(&mut self.content);
        assert!(!envelope.recipients.is_empty());
        assert!(content.len() as u64 <= MESSAGE_BYTES);
        assert!(!content.contains(&0));
        assert!(is_text(&content), "a bare CR or LF was accepted");
        self.record.push(content.escape_ascii().to_string());
    }
}

/// Every line is `NNN`, a space or hyphen, and visible text; a session says only so much.
fn well_formed(output: &[u8], role: Role) {
    let text = std::str::from_utf8(output).expect("replies are text");
    let mut refusals = 0;
    let mut mails = 0;
    for line in text.split_terminator("\r\n") {
        assert!(line.is_char_boundary(3) && line.len() >= 4 && line.len() < MAX_REPLY, "{line:?}");
        assert!(line[..3].parse().is_ok_and(|code: u16| (200..600).contains(&code)), "{line:?}");
        assert!(matches!(&line[3..4], " " | "-"), "{line:?}");
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        refusals += usize::from(line[3..].starts_with(' ') && line.starts_with(['4', '5']));
        mails += usize::from(line.starts_with("354"));
    }
    assert!(text.is_empty() || text.ends_with("\r\n"));
    // LMTP refuses a message once for each recipient, which is one error.
    assert!(role == Role::Lmtp || refusals <= MAX_ERRORS + 1, "{refusals} refusals");
    assert!(mails > 0 || output.len() <= MAX_REPLY * (MAX_ERRORS + MAX_IDLE_COMMANDS + 1_024));
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// A hostile server: each recipient gets exactly one outcome, and what we send keeps its lines. By SMTP and by LMTP;
/// PIPELINING, CHUNKING and the rest are there when the server's EHLO lines say so.
pub fn smtp_client(data: &[u8]) {
    let cases = [
        (client::Protocol::Smtp, client::StartTls::Never),
        (client::Protocol::Smtp, client::StartTls::IfOffered),
        (client::Protocol::Smtp, client::StartTls::Required),
        (client::Protocol::Lmtp, client::StartTls::Never),
    ];
    for (protocol, start_tls) in cases {
        let lines = Client::play(data, Cut::Lines, protocol, start_tls);
        let octets = Client::play(data, Cut::Octets, protocol, start_tls);
        assert_eq!(lines.output.escape_ascii().to_string(), octets.output.escape_ascii().to_string());
        assert_eq!(lines.settled, octets.settled);
        Client::play(data, Cut::Whole, protocol, start_tls);
    }
}

struct Client {
    session: client::Session,
    output: Vec<u8>,
    sent: bool,
    settled: Vec<client::Outcome>,
}

const CONTENT: &[u8] = b"Subject: x\r\n\r\n.dot\r\n";

impl Client {
    fn play(data: &[u8], cut: Cut, protocol: client::Protocol, start_tls: client::StartTls) -> Self {
        let settings = client::Settings {
            hostname: Domain::parse("mx.example").expect("a domain"),
            protocol,
            start_tls,
            login: (start_tls == client::StartTls::Required)
                .then(|| client::Login::new("ann", Secret::new("secret"), "client")),
            tls: false,
        };
        let session = client::Session::new(settings);
        let mut client = Self { session, output: Vec::new(), sent: false, settled: Vec::new() };
        for piece in cut.pieces(data) {
            client.session.receive(piece);
            let is_over = client.draw_events();
            client.output.extend(client.session.transmit());
            if is_over {
                break;
            }
        }
        client.session.timed_out();
        let left = client.session.abandon(&Reply::TRY_LATER);
        if client.sent && client.settled.is_empty() {
            client.settled = left;
        } else {
            assert!(left.is_empty());
        }
        assert!(!client.sent || client.settled.len() == 3);
        assert_eq!(with_crlf(&client.output), client.output);
        client
    }

    fn draw_events(&mut self) -> bool {
        loop {
            match self.session.next_event() {
                Ok(Some(client::Event::StartTls)) => self.session.tls_started(),
                Ok(Some(client::Event::Ready)) => {
                    self.sent = true;
                    self.session.send(transaction());
                }
                Ok(Some(client::Event::SendContent(range))) => {
                    assert_eq!(range, 0..CONTENT.len() as u64);
                    self.session.content(CONTENT);
                    self.session.end_content();
                    assert!(self.session.awaits_final_reply());
                }
                Ok(Some(client::Event::Settled(outcomes))) => {
                    self.settled = outcomes;
                    self.session.quit();
                }
                Ok(Some(client::Event::Refused(reply) | client::Event::Unfit(reply))) => {
                    assert!(!reply.text.contains(|c: char| c.is_control() && c != '\n'));
                    return true;
                }
                Ok(Some(client::Event::Closed)) | Err(_) => return true,
                Ok(None) => return false,
            }
        }
    }
}

fn transaction() -> client::Transaction {
    let recipient = |text| Recipient::from(ForwardPath::parse(text).expect("an address"));
    client::Transaction {
        reverse_path: ReversePath::Null,
        recipients: ["ann@a.example", "\"b b\"@b.example", "c@[192.0.2.1]"].map(recipient).to_vec(),
        parameters: MailParameters { body: Body::EightBitMime, ..MailParameters::default() },
        content: client::Survey::of(CONTENT),
    }
}
