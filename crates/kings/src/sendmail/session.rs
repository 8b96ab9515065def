//! `sendmail -bs` while the server is down: SMTP on standard input and output, and each message into the drop folder.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::Path;

use kings_mail::domain::Domain;
use kings_mail::envelope::{Body, Envelope, MAX_RECIPIENTS};
use kings_mail::report::Notify;
use kings_smtp::reply::Reply;
use kings_smtp::server::{Event, Role, Session, Settings, Trust};

use super::copy_lines;
use super::gate::Gate;
use super::letter::Letter;
use super::submit::leave;

/// Answers until the other side is done. What it hears with 250 is on disk.
pub(super) fn answer(
    input: &mut impl Read,
    output: &mut impl Write,
    folder: &Path,
    gate: Gate<'_>,
) -> io::Result<()> {
    let hostname = Domain::parse("localhost").map_err(io::Error::other)?;
    let settings = Settings {
        hostname: hostname.clone(),
        role: Role::Inbound,
        start_tls: false,
        message_bytes: gate.message_bytes(),
        recipients: MAX_RECIPIENTS,
        dsn: true,
        bare_paths: true,
        // What it means is said by the server.
        origin: Some(hostname),
        future_release: None,
        trust: Trust::default(),
    };
    let mut dialogue =
        Dialogue { session: Session::new(settings, false), output, folder, gate, content: Vec::new() };
    dialogue.draw()?;
    copy_lines(input, &mut dialogue)
}

struct Dialogue<'a, W> {
    session: Session,
    output: &'a mut W,
    folder: &'a Path,
    gate: Gate<'a>,
    content: Vec<u8>,
}

impl<W: Write> Dialogue<'_, W> {
    /// Answers what has been heard; an error when the session is over.
    fn draw(&mut self) -> io::Result<()> {
        let mut is_over = false;
        while let Some(event) = self.session.next_event() {
            let reply = match event {
                Event::Mail(path, _) => self.gate.sender(&path).err().unwrap_or(Reply::SENDER_OK),
                Event::Rcpt(_) => Reply::RECIPIENT_OK,
                Event::Begin => Reply::START_MAIL,
                Event::Content => {
                    self.content.extend_from_slice(self.session.content());
                    continue;
                }
                Event::Discard => {
                    self.content.clear();
                    continue;
                }
                Event::End(envelope) => {
                    self.content.extend_from_slice(self.session.content());
                    self.keep(&envelope)
                }
                Event::Hello { .. }
                | Event::Login(_)
                | Event::StartTls
                | Event::Xclient(_)
                | Event::Xforward(_) => Reply::NOT_IMPLEMENTED,
                Event::Closed => {
                    is_over = true;
                    break;
                }
            };
            self.session.answer(&reply);
        }
        self.output.write_all(&self.session.transmit())?;
        self.output.flush()?;
        if is_over { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn keep(&mut self, envelope: &Envelope) -> Reply {
        let letter = Letter { header: std::mem::take(&mut self.content), body: Vec::new() };
        if let Err(reply) = self.gate.letter(&letter) {
            return reply;
        }
        match leave(self.folder, &batch(envelope, letter.len()), &letter) {
            Ok(()) => Reply::OK.with_text("Kept until the server runs"),
            Err(_) => Reply::TRY_LATER,
        }
    }
}

/// Every line is heard for itself: a program that writes all of its side at once has read no reply, as with a drop.
impl<W: Write> Write for Dialogue<'_, W> {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        for line in octets.split_inclusive(|octet| *octet == b'\n') {
            self.session.receive(line);
            self.draw()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// The client's side of the transaction up to DATA.
fn batch(envelope: &Envelope, length: usize) -> String {
    let parameters = &envelope.parameters;
    let mut text = format!("MAIL FROM:{} SIZE={length}", envelope.reverse_path);
    if parameters.body == Body::EightBitMime {
        text += " BODY=8BITMIME";
    }
    if parameters.smtputf8 {
        text += " SMTPUTF8";
    }
    let mut add = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(text, " {key}={value}");
        }
    };
    add("RET", parameters.ret.map(|ret| ret.to_string()));
    add("ENVID", parameters.envelope_id.as_ref().map(ToString::to_string));
    text += "\r\n";
    for recipient in &envelope.recipients {
        let _ = write!(text, "RCPT TO:{}", recipient.path);
        if recipient.notify != Notify::Unsaid {
            let _ = write!(text, " NOTIFY={}", recipient.notify);
        }
        if let Some(original) = &recipient.original {
            let _ = write!(text, " ORCPT={original}");
        }
        text += "\r\n";
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nix::unistd::{Uid, User};

    use super::*;
    use crate::config::Terms;
    use crate::local::drops;

    /// As a user of the name ann.
    fn speak(folder: &Path, input: &str) -> String {
        let mut output = Vec::new();
        let terms = Terms { message_bytes: 100, trusted_users: Vec::new(), origin: None };
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        let user = User { name: "ann".to_owned(), uid: Uid::from_raw(1_000), ..root };
        let gate = Gate { terms: Some(&terms), user: &user };
        let _ = answer(&mut input.as_bytes(), &mut output, folder, gate);
        String::from_utf8(output).unwrap()
    }

    const SESSION: &str = "EHLO x\nMAIL FROM:<ann@localhost> RET=HDRS ENVID=a+2Bb\nRCPT TO:<root@localhost> NOTIFY=NEVER\n\
                           RCPT TO:<bob@example.org>\nDATA\nSubject: x\n\n..dot\n.\nQUIT\n";

    #[test]
    fn what_is_answered_with_250_lies_among_the_drops() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(drops(folder.path())).unwrap();
        let output = speak(folder.path(), SESSION);
        assert!(output.starts_with("220 localhost"), "{output}");
        assert!(output.contains("250 2.0.0 Kept until the server runs\r\n221 "), "{output}");
        let file = std::fs::read_dir(drops(folder.path())).unwrap().next().unwrap().unwrap();
        assert_eq!(
            std::fs::read_to_string(file.path()).unwrap(),
            "EHLO localhost\r\nMAIL FROM:<ann@localhost> SIZE=20 RET=HDRS ENVID=a+2Bb\r\n\
             RCPT TO:<root@localhost> NOTIFY=NEVER\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n\
             Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n"
        );
    }

    #[test]
    fn what_cannot_be_kept_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let output = speak(folder.path(), SESSION);
        assert!(output.contains("\r\n451 4.3.0"), "{output}");
        let cut = SESSION.split_once("\n.\n").unwrap().0;
        std::fs::create_dir(drops(folder.path())).unwrap();
        assert!(!speak(folder.path(), cut).contains("Kept"));
        assert_eq!(std::fs::read_dir(drops(folder.path())).unwrap().count(), 0);
    }

    #[test]
    fn what_the_server_would_refuse_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(drops(folder.path())).unwrap();
        let long = format!("{}\n", "y".repeat(90));
        let cases = [
            ("<ann@", "<bob@", "553 5.7.1"),
            ("..dot\n", long.as_str(), "552 5.3.4"),
            ("Subject: x", "From: a@x\nFrom: b@x", "550 5.6.0"),
        ];
        for (from, to, reply) in cases {
            let output = speak(folder.path(), &SESSION.replacen(from, to, 1));
            assert!(output.contains(&format!("\r\n{reply}")) && !output.contains("Kept"), "{output}");
        }
        assert_eq!(std::fs::read_dir(drops(folder.path())).unwrap().count(), 0);
    }
}
