//! A message as a local program writes it, made fit for SMTP: line ends, header, recipients of its header.

use kings_mail::address::{Address, LocalPart};
use kings_mail::address_list::{self, Entry};
use kings_mail::header;

/// Header and body with CRLF at each line's end, the empty line between them included in the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) header: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Letter {
    /// Reads what a program wrote. With `dots` a line that is only a dot ends it, as sendmail(1) does without `-i`.
    ///
    /// The mbox line `From ...` at the top is dropped, as Postfix does; text without a header gets an empty one. A CR
    /// inside a line breaks the line in the body (progress bars in the output of cron jobs) and is a space in the
    /// header; NUL is dropped: neither may travel (RFC 5321 §2.3.8).
    pub(crate) fn read(input: &[u8], dots: bool) -> Self {
        let mut letter = Self::default();
        let mut in_header = true;
        let body = input.strip_suffix(b"\n").unwrap_or(input);
        let lines = if input.is_empty() { None } else { Some(body.split(|octet| *octet == b'\n')) };
        for (number, line) in lines.into_iter().flatten().enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if dots && line == b"." {
                break;
            }
            if number == 0 && (line.starts_with(b"From ") || line.starts_with(b">From ")) {
                continue;
            }
            in_header = in_header && letter.takes_into_header(line);
            if !in_header {
                letter.add_to_body(line);
            }
        }
        if !letter.header.ends_with(b"\r\n\r\n") && letter.header != b"\r\n" {
            letter.header.extend_from_slice(b"\r\n");
        }
        letter
    }

    /// False when the header is over and this line belongs to the body.
    fn takes_into_header(&mut self, line: &[u8]) -> bool {
        if self.header.ends_with(b"\r\n\r\n") || self.header == b"\r\n" {
            return false;
        }
        let folded = !self.header.is_empty() && line.starts_with_any(b" \t");
        if !(line.is_empty() || folded || is_field(line)) {
            self.header.extend_from_slice(b"\r\n");
            return false;
        }
        let clean =
            line.iter().filter(|octet| **octet != 0).map(|octet| if *octet == b'\r' { b' ' } else { *octet });
        self.header.extend(clean);
        self.header.extend_from_slice(b"\r\n");
        true
    }

    fn add_to_body(&mut self, line: &[u8]) {
        for part in line.split(|octet| *octet == b'\r') {
            self.body.extend(part.iter().filter(|octet| **octet != 0));
            self.body.extend_from_slice(b"\r\n");
        }
    }

    pub(crate) fn has(&self, field: &str) -> bool {
        header::first(&self.header, field).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.header.len() + self.body.len()
    }

    /// Whom the header names: Resent-To, Resent-Cc and Resent-Bcc where there are any, else To, Cc and Bcc, as with
    /// Postfix's `-t`.
    pub(crate) fn recipients(&self) -> Result<Vec<Address>, String> {
        let resent = ["Resent-To", "Resent-Cc", "Resent-Bcc"];
        let names = if resent.iter().any(|name| self.has(name)) { resent } else { ["To", "Cc", "Bcc"] };
        let mut found = Vec::new();
        for name in names {
            for field in header::all(&self.header, name) {
                found.extend(addresses(field.value)?);
            }
        }
        Ok(found)
    }

    /// Writes the content of DATA with its dots doubled and its end (RFC 5321 §4.5.2).
    pub(crate) fn stuffed(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len() + 64);
        for line in self
            .header
            .split_inclusive(|octet| *octet == b'\n')
            .chain(self.body.split_inclusive(|octet| *octet == b'\n'))
        {
            if line.starts_with(b".") {
                out.push(b'.');
            }
            out.extend_from_slice(line);
        }
        out.extend_from_slice(b".\r\n");
        out
    }
}

trait StartsWithAny {
    fn starts_with_any(&self, octets: &[u8]) -> bool;
}

impl StartsWithAny for [u8] {
    fn starts_with_any(&self, octets: &[u8]) -> bool {
        self.first().is_some_and(|first| octets.contains(first))
    }
}

/// `Name:`, with the white space before the colon that RFC 5322 §4.5 allows.
fn is_field(line: &[u8]) -> bool {
    let name = line.iter().take_while(|octet| octet.is_ascii_graphic() && **octet != b':').count();
    let gap = line[name..].iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    name > 0 && line.get(name + gap) == Some(&b':')
}

/// The addresses of a list; a bare name is one of this machine's.
pub(crate) fn addresses(list: &[u8]) -> Result<Vec<Address>, String> {
    let mut found = Vec::new();
    for entry in address_list::parse(list) {
        let Entry::Mailbox(mailbox) = entry else { continue };
        let domain = if mailbox.domain.is_empty() { "localhost" } else { mailbox.domain.as_str() };
        let quoted = || format!("\"{}\"", mailbox.local_part.replace('\\', "\\\\").replace('"', "\\\""));
        let local_part = LocalPart::parse(&mailbox.local_part).or_else(|_| LocalPart::parse(&quoted()));
        let address = local_part.ok().and_then(|local| Address::parse(&format!("{local}@{domain}")).ok());
        let wrong = || format!("{}@{domain} is no address", mailbox.local_part.escape_debug());
        found.push(address.ok_or_else(wrong)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(input: &str, dots: bool) -> (String, String) {
        let Letter { header, body } = Letter::read(input.as_bytes(), dots);
        (String::from_utf8(header).unwrap(), String::from_utf8(body).unwrap())
    }

    #[test]
    fn what_programs_write_becomes_a_message() {
        let cases = [
            ("Subject: a\n\nb\n", "Subject: a\r\n\r\n", "b\r\n"),
            ("Subject: a\r\n\r\nb\r\n", "Subject: a\r\n\r\n", "b\r\n"),
            ("Subject: a\n b\n\nc", "Subject: a\r\n b\r\n\r\n", "c\r\n"),
            ("From root Fri Nov  6\nSubject: a\n\nFrom x\n", "Subject: a\r\n\r\n", "From x\r\n"),
            ("hello\nworld\n", "\r\n", "hello\r\nworld\r\n"),
            ("  hello\nA: b\n", "\r\n", "  hello\r\nA: b\r\n"),
            ("Subject: a\nhello\n", "Subject: a\r\n\r\n", "hello\r\n"),
            ("\nhello\n", "\r\n", "hello\r\n"),
            ("Subject: a\n", "Subject: a\r\n\r\n", ""),
            ("", "\r\n", ""),
            ("Subject: a\rBcc: x@y\n\n10%\r100%\n", "Subject: a Bcc: x@y\r\n\r\n", "10%\r\n100%\r\n"),
            ("A: b\0c\n\nd\0e\n", "A: bc\r\n\r\n", "de\r\n"),
            ("A: b\n\nc\n.\nd\n", "A: b\r\n\r\n", "c\r\n"),
            ("A: b\n\n\n\nc\n", "A: b\r\n\r\n", "\r\n\r\nc\r\n"),
        ];
        for (input, header, body) in cases {
            assert_eq!(read(input, true), (header.to_owned(), body.to_owned()), "{input:?}");
        }
        assert_eq!(read("A: b\n\nc\n.\nd\n", false).1, "c\r\n.\r\nd\r\n");
    }

    #[test]
    fn dots_are_doubled_and_no_line_ends_the_message_early() {
        let letter = Letter::read(b"A: b\n\n.\n..c\n\r.\r\nd\n", false);
        assert_eq!(
            String::from_utf8(letter.stuffed()).unwrap(),
            "A: b\r\n\r\n..\r\n...c\r\n\r\n..\r\nd\r\n.\r\n"
        );
    }

    #[test]
    fn the_header_names_the_recipients() {
        let all = |input: &str| {
            let found = Letter::read(input.as_bytes(), false).recipients();
            found.map(|list| list.iter().map(Address::to_string).collect::<Vec<_>>().join(" "))
        };
        let cases = [
            (
                "To: root\nCc: Ann Lee <ann@x.example>, bob@y.example\nBcc: c@z.example\n",
                "root@localhost ann@x.example bob@y.example c@z.example",
            ),
            ("To: a@x.example\nResent-To: b@x.example\nResent-Bcc: c@x.example\n", "b@x.example c@x.example"),
            ("To: undisclosed-recipients:;\n", ""),
            ("To: team: a@x.example, b@x.example;\n", "a@x.example b@x.example"),
            ("To: \"odd name\"@x.example\n", "\"odd name\"@x.example"),
            ("Subject: x\n\nTo: body@x.example\n", ""),
        ];
        for (input, expected) in cases {
            assert_eq!(all(input).as_deref(), Ok(expected), "{input}");
        }
        assert!(all("To: a@b..c\n").is_err());
    }
}
