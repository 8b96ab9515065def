//! What a filter says to a mail server.

use crate::fields::{Fields, Malformed, put};
use crate::options::{Actions, Options};
use crate::packet;

/// Most octets of a reply text that a filter may put into a client's mouth: the longest reply line of RFC 5321
/// §4.5.3.1.5, for each of a handful of lines.
const MAX_REPLY: usize = 4_096;

/// A whole SMTP reply in a filter's words, checked: every line has the same code, 4xx or 5xx.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyText {
    /// 400 to 599.
    pub code: u16,
    /// Enhanced status code (RFC 3463), where the filter gave one of the same class.
    pub status: Option<(u16, u16, u16)>,
    /// What follows, a line each; printable ASCII.
    pub lines: Vec<String>,
}

impl ReplyText {
    /// Reads `550 5.7.1 No` or several lines `550-5.7.1 No`, CRLF between them. `%%` stands for `%`, since filters write for a
    /// Sendmail that formats it, and an enhanced code of another class makes it no reply: both as in Postfix.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= MAX_REPLY)?;
        let mut reply: Option<Self> = None;
        for line in text.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty()) {
            let code = line.get(..3)?.parse().ok().filter(|code| (400..=599).contains(code))?;
            let rest = line[3..].strip_prefix([' ', '-']).or(line[3..].is_empty().then_some(""))?;
            let (status, words) = split_status(rest);
            if status.is_some_and(|(class, ..)| class != code / 100) {
                return None;
            }
            let words = words.replace("%%", "%");
            let words: String =
                words.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
            match &mut reply {
                None => reply = Some(Self { code, status, lines: vec![words] }),
                Some(reply) if reply.code == code => reply.lines.push(words),
                Some(_) => return None,
            }
        }
        reply
    }
}

/// An enhanced status code in front of `text`, of whatever class (RFC 3463 §2).
fn split_status(text: &str) -> (Option<(u16, u16, u16)>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut numbers = word.split('.').map(|number| {
        let short = (1..=3).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit());
        short.then(|| number.parse().ok()).flatten()
    });
    match (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten(), numbers.next()) {
        (Some(class @ (2 | 4 | 5)), Some(subject), Some(detail), None) => {
            (Some((class, subject, detail)), rest)
        }
        _ => (None, text),
    }
}

/// Something a filter does to a message, at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A field at the end of the header: name and value, lines of the value end in LF.
    AddHeader(Vec<u8>, Vec<u8>),
    /// A field before the `n`th of the header, 0 is the very first.
    InsertHeader(u32, Vec<u8>, Vec<u8>),
    /// The `n`th field of this name, from 1; an empty value removes it.
    ChangeHeader(u32, Vec<u8>, Vec<u8>),
    /// A piece of the new body, in order.
    ReplaceBody(Vec<u8>),
    /// One more recipient, and its ESMTP parameters.
    AddRecipient(Vec<u8>, Option<Vec<u8>>),
    /// One recipient less.
    DeleteRecipient(Vec<u8>),
    /// Another reverse-path, and its ESMTP parameters.
    ChangeSender(Vec<u8>, Option<Vec<u8>>),
    /// Hold the message for this reason.
    Quarantine(Vec<u8>),
}

impl Change {
    /// What must have been agreed on before it.
    pub fn needs(&self) -> Actions {
        match self {
            Self::AddHeader(..) | Self::InsertHeader(..) => Actions::ADD_HEADERS,
            Self::ChangeHeader(..) => Actions::CHANGE_HEADERS,
            Self::ReplaceBody(_) => Actions::CHANGE_BODY,
            Self::AddRecipient(_, None) => Actions::ADD_RECIPIENTS,
            Self::AddRecipient(_, Some(_)) => Actions::ADD_RECIPIENTS_WITH_PARAMETERS,
            Self::DeleteRecipient(_) => Actions::DELETE_RECIPIENTS,
            Self::ChangeSender(..) => Actions::CHANGE_SENDER,
            Self::Quarantine(_) => Actions::QUARANTINE,
        }
    }
}

/// One packet of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its half of the agreement.
    Negotiate(Options),
    /// Go on.
    Continue,
    /// Enough seen: this message is fine, or at connect and HELO every message of the client.
    Accept,
    /// Refuse for good.
    Reject,
    /// Refuse for now.
    TempFail,
    /// Say yes and throw it away.
    Discard,
    /// Refuse in these words.
    Reply(Vec<u8>),
    /// No more of the body.
    Skip,
    /// Working on it: the time limit begins anew.
    Progress,
    /// Close the client's connection with 421.
    Shutdown,
    /// Close the client's connection without a word.
    ConnectionFail,
    /// Do something to the message.
    Change(Change),
}

impl Answer {
    /// Reads one packet; `None` for letters that no filter has.
    pub fn parse(letter: u8, data: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut fields = Fields::new(letter, data);
        let answer = match letter {
            b'O' => return Ok(Some(Self::Negotiate(Options::parse(fields)?))),
            b'c' => Self::Continue,
            b'a' => Self::Accept,
            b'r' => Self::Reject,
            b't' => Self::TempFail,
            b'd' => Self::Discard,
            b'y' => Self::Reply(fields.string()?),
            b's' => Self::Skip,
            b'p' => Self::Progress,
            b'4' => Self::Shutdown,
            b'f' => Self::ConnectionFail,
            _ => match change(letter, &mut fields)? {
                Some(change) => Self::Change(change),
                None => return Ok(None),
            },
        };
        fields.end()?;
        Ok(Some(answer))
    }

    /// Appends the wire form.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        let letter = match self {
            Self::Negotiate(options) => {
                options.write(&mut data);
                b'O'
            }
            Self::Continue => b'c',
            Self::Accept => b'a',
            Self::Reject => b'r',
            Self::TempFail => b't',
            Self::Discard => b'd',
            Self::Reply(text) => {
                put(&mut data, text);
                b'y'
            }
            Self::Skip => b's',
            Self::Progress => b'p',
            Self::Shutdown => b'4',
            Self::ConnectionFail => b'f',
            Self::Change(change) => return write_change(change, out),
        };
        packet::write(out, letter, &data);
    }
}

fn change(letter: u8, fields: &mut Fields<'_>) -> Result<Option<Change>, Malformed> {
    let optional = |fields: &mut Fields<'_>| (!fields.is_empty()).then(|| fields.string()).transpose();
    Ok(Some(match letter {
        b'h' => Change::AddHeader(fields.string()?, value(fields)?),
        b'i' => Change::InsertHeader(fields.long()?, fields.string()?, value(fields)?),
        b'm' => Change::ChangeHeader(fields.long()?, fields.string()?, value(fields)?),
        b'b' => Change::ReplaceBody(fields.rest()),
        b'+' => Change::AddRecipient(fields.string()?, None),
        b'2' => Change::AddRecipient(fields.string()?, Some(optional(fields)?.unwrap_or_default())),
        b'-' => Change::DeleteRecipient(fields.string()?),
        b'e' => Change::ChangeSender(fields.string()?, optional(fields)?),
        b'q' => Change::Quarantine(fields.string()?),
        _ => return Ok(None),
    }))
}

/// A value may be missing altogether where it is empty.
fn value(fields: &mut Fields<'_>) -> Result<Vec<u8>, Malformed> {
    if fields.is_empty() { Ok(Vec::new()) } else { fields.string() }
}

fn write_change(change: &Change, out: &mut Vec<u8>) {
    let mut data = Vec::new();
    let letter = match change {
        Change::AddHeader(name, value) => {
            put(&mut data, name);
            put(&mut data, value);
            b'h'
        }
        Change::InsertHeader(at, name, value) | Change::ChangeHeader(at, name, value) => {
            data.extend_from_slice(&at.to_be_bytes());
            put(&mut data, name);
            put(&mut data, value);
            if matches!(change, Change::InsertHeader(..)) { b'i' } else { b'm' }
        }
        Change::ReplaceBody(piece) => return packet::write(out, b'b', piece),
        Change::AddRecipient(path, parameters) => {
            put(&mut data, path);
            if let Some(parameters) = parameters {
                put(&mut data, parameters);
            }
            if parameters.is_some() { b'2' } else { b'+' }
        }
        Change::DeleteRecipient(path) => {
            put(&mut data, path);
            b'-'
        }
        Change::ChangeSender(path, parameters) => {
            put(&mut data, path);
            if let Some(parameters) = parameters {
                put(&mut data, parameters);
            }
            b'e'
        }
        Change::Quarantine(reason) => {
            put(&mut data, reason);
            b'q'
        }
    };
    packet::write(out, letter, &data);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_taken_only_in_the_form_a_client_may_hear() {
        let reply = |code, status, lines: &[&str]| {
            Some(ReplyText { code, status, lines: lines.iter().map(|line| (*line).to_owned()).collect() })
        };
        let cases: [(&str, Option<ReplyText>); 16] = [
            ("550 5.7.1 No, thanks", reply(550, Some((5, 7, 1)), &["No, thanks"])),
            ("451 4.7.1", reply(451, Some((4, 7, 1)), &[""])),
            ("451", reply(451, None, &[""])),
            ("550 4.7.1 another class", None),
            ("451-4.7.1 one\r\n451 2.0.0 another class", None),
            ("550 3.14.15 is a number", reply(550, None, &["3.14.15 is a number"])),
            ("550 5.7.1 100%% sure, %n, %%%", reply(550, Some((5, 7, 1)), &["100% sure, %n, %%"])),
            ("550 5.7.1.2 not a code", reply(550, None, &["5.7.1.2 not a code"])),
            ("550 5..1 nor this", reply(550, None, &["5..1 nor this"])),
            ("550-5.7.1 one\r\n550 5.7.1 two\r\n", reply(550, Some((5, 7, 1)), &["one", "two"])),
            ("550-one\r\n551 two", None),
            ("250 fine", None),
            ("354 go", None),
            ("999 what", None),
            ("", None),
            ("550 bell \x07 \u{e9}", reply(550, None, &["bell ? ?"])),
        ];
        for (text, expected) in cases {
            assert_eq!(ReplyText::parse(text.as_bytes()), expected, "{text:?}");
        }
        let long = |size| format!("550 {}", "x".repeat(size));
        assert!(ReplyText::parse(long(MAX_REPLY - 4).as_bytes()).is_some());
        assert!(ReplyText::parse(long(MAX_REPLY - 3).as_bytes()).is_none());
    }
}
