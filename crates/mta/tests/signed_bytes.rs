//! What is signed here is what the next host verifies: ten thousand odd messages on the wire and off it again.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use kings_msgauth::dkim::{
    Canonicalization, PrivateKey, Rules, Selector, Signer, SigningIdentity, Word, check, key_files,
};
use kings_smtp::data::{Decoder, Encoder, Progress};

const MESSAGES: u64 = 10_000;
const KEY: &str = include_str!("../../msgauth/tests/data/ed25519.pem");
const NOW: i64 = 1_790_000_000;
/// What hosts on the way like to change: dots, blanks at the ends of lines and of the body, empty lines, long ones.
const PIECES: [&str; 14] = [
    "word",
    "K\u{e4}se",
    " ",
    "\t",
    "\r\n",
    "\r\n\r\n",
    " \r\n",
    "\r\n.",
    "\r\n..",
    "\r\n.\r\n",
    "From ",
    "\r\nFrom x",
    "=20",
    "\u{a0}",
];

/// A zone in memory never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("a zone in memory never waits"),
    }
}

/// The same numbers on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

fn message(number: u64) -> String {
    let mut numbers = Numbers(number + 1);
    let subject = ["x", "  two  words ", "K\u{e4}se\r\n folded", "\r\n\tbehind a fold"][numbers.below(4)];
    let mut body = String::new();
    for _ in 0..numbers.below(24) {
        let piece = PIECES[numbers.below(PIECES.len())];
        body += &piece.repeat(if numbers.below(40) == 0 { 300 } else { 1 });
    }
    format!("From: Ann <ann@example.org>\r\nSubject: {subject}\r\nReceived: by {number}\r\n\r\n{body}\r\n")
}

/// Over the wire, cut into pieces that end anywhere.
fn carried(content: &[u8], piece: usize) -> Vec<u8> {
    let (mut encoder, mut wire) = (Encoder::default(), Vec::new());
    content.chunks(piece).for_each(|piece| encoder.encode(piece, &mut wire));
    encoder.finish(&mut wire);
    let (mut decoder, mut arrived, mut read) = (Decoder::new(1 << 20), Vec::new(), 0);
    for chunk in wire.chunks(piece) {
        match decoder.decode(chunk, &mut arrived) {
            Progress::More => read += chunk.len(),
            Progress::End(end) => read += end,
        }
    }
    assert_eq!((read, decoder.fault()), (wire.len(), None));
    arrived
}

#[test]
fn ten_thousand_signed_messages_arrive_as_they_were_signed() {
    let (domain, selector) = (Domain::parse("example.org").unwrap(), Selector::parse("s").unwrap());
    let key = PrivateKey::from_pem(KEY).unwrap();
    let record = key_files::record(&key);
    let zone = Zone::default().with_txt(DnsName::parse("s._domainkey.example.org").unwrap(), record);
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    let forms = [Canonicalization::Simple, Canonicalization::Relaxed];
    for number in 0..MESSAGES {
        let at = usize::try_from(number).unwrap();
        let rules = Rules { header_form: forms[at % 2], body_form: forms[at / 2 % 2], ..Rules::default() };
        let message = message(number);
        let mut signer = Signer::new(rules);
        signer.push(message.as_bytes());
        let fields = signer.finish(&[identity], DateTime::from_unix(NOW)).unwrap();
        // Three hosts, each with its own idea of a packet, and a trace field on top.
        let mut content = (fields + &message).into_bytes();
        for (host, piece) in [1 + at % 7, 64, 1_460].into_iter().enumerate() {
            let arrived = carried(&content, piece);
            assert!(arrived == content, "{number}: {}", content.escape_ascii());
            content = [format!("Received: by host{host}; now\r\n").as_bytes(), &arrived].concat();
        }
        let report = now(check(&content, &zone, DateTime::from_unix(NOW)));
        assert_eq!(report.word(), Word::Pass, "{number}: {report:?}\n{}", content.escape_ascii());
    }
}
