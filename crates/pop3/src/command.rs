//! The grammar of commands (RFC 1939 §3 and on).

use std::num::NonZeroU32;

use kings_sasl::Secret;

/// A message's number in this session, from one (RFC 1939 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageNumber(pub NonZeroU32);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// CAPA (RFC 2449 §5).
    Capa,
    /// STLS (RFC 2595 §4).
    Stls,
    /// UTF8 (RFC 6856 §2.1).
    Utf8,
    /// USER with its name.
    User(String),
    /// PASS with all that follows, blanks too (RFC 1939 §7).
    Pass(Secret),
    /// AUTH with a mechanism and perhaps a first response, in base64 (RFC 5034 §4).
    Auth {
        /// The mechanism's name as the client writes it.
        mechanism: String,
        /// The first response.
        initial: Option<String>,
    },
    /// AUTH alone: which mechanisms are there? Older than its RFC, and many clients still ask.
    AuthList,
    /// STAT.
    Stat,
    /// LIST of one message or of all.
    List(Option<MessageNumber>),
    /// UIDL of one message or of all.
    Uidl(Option<MessageNumber>),
    /// RETR.
    Retr(MessageNumber),
    /// TOP: the header and so many lines of the body.
    Top(MessageNumber, u64),
    /// DELE.
    Dele(MessageNumber),
    /// NOOP.
    Noop,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCommand {
    /// No command of this name.
    #[error("Unknown command")]
    Unknown,
    /// An argument is missing.
    #[error("An argument is missing")]
    Missing,
    /// More arguments than the command has.
    #[error("Too many arguments")]
    TooMany,
    /// Messages are counted from one.
    #[error("That is not the number of a message")]
    NotANumber,
    /// TOP wants a count of lines.
    #[error("That is not a number of lines")]
    NotACount,
    /// An argument is not UTF-8 (RFC 1939 §3 has printable ASCII).
    #[error("An argument is not text")]
    NotText,
}

/// Reads a line without its line end.
pub fn parse(line: &[u8]) -> Result<Command, BadCommand> {
    let end = line.iter().position(|octet| *octet == b' ').unwrap_or(line.len());
    let (word, rest) = line.split_at(end);
    let rest = rest.strip_prefix(b" ");
    let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
    // These two take all that follows: names and passwords may hold blanks.
    if is("USER") {
        return text(rest.filter(|name| !name.is_empty()).ok_or(BadCommand::Missing)?).map(Command::User);
    }
    if is("PASS") {
        return text(rest.ok_or(BadCommand::Missing)?).map(|password| Command::Pass(Secret::new(password)));
    }
    let mut arguments = Arguments(rest.unwrap_or_default());
    let command = if is("CAPA") {
        Command::Capa
    } else if is("STLS") {
        Command::Stls
    } else if is("UTF8") {
        Command::Utf8
    } else if is("AUTH") {
        auth(&mut arguments)?
    } else if is("STAT") {
        Command::Stat
    } else if is("LIST") {
        Command::List(arguments.next().map(number).transpose()?)
    } else if is("UIDL") {
        Command::Uidl(arguments.next().map(number).transpose()?)
    } else if is("RETR") {
        Command::Retr(number(arguments.needed()?)?)
    } else if is("TOP") {
        Command::Top(number(arguments.needed()?)?, count(arguments.needed()?)?)
    } else if is("DELE") {
        Command::Dele(number(arguments.needed()?)?)
    } else if is("NOOP") {
        Command::Noop
    } else if is("RSET") {
        Command::Rset
    } else if is("QUIT") {
        Command::Quit
    } else {
        return Err(BadCommand::Unknown);
    };
    match arguments.next() {
        None => Ok(command),
        Some(_) => Err(BadCommand::TooMany),
    }
}

fn auth(arguments: &mut Arguments<'_>) -> Result<Command, BadCommand> {
    let Some(mechanism) = arguments.next() else { return Ok(Command::AuthList) };
    let initial = arguments.next().map(text).transpose()?;
    Ok(Command::Auth { mechanism: text(mechanism)?, initial })
}

/// Words, blanks between them; blanks at the end, which some clients send, are nothing.
struct Arguments<'a>(&'a [u8]);

impl<'a> Arguments<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|octet| *octet != b' ')?;
        let rest = &self.0[start..];
        let end = rest.iter().position(|octet| *octet == b' ').unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }

    fn needed(&mut self) -> Result<&'a [u8], BadCommand> {
        self.next().ok_or(BadCommand::Missing)
    }
}

fn text(octets: &[u8]) -> Result<String, BadCommand> {
    std::str::from_utf8(octets).map(str::to_owned).map_err(|_| BadCommand::NotText)
}

/// Digits alone: Rust's own reading would take a sign as well.
fn digits(octets: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(octets).ok()?;
    text.bytes().all(|octet| octet.is_ascii_digit()).then_some(text)
}

fn number(octets: &[u8]) -> Result<MessageNumber, BadCommand> {
    let number = digits(octets).and_then(|text| text.parse().ok());
    number.map(MessageNumber).ok_or(BadCommand::NotANumber)
}

/// A count beyond 64 bits means the whole message, as any count beyond its lines does.
fn count(octets: &[u8]) -> Result<u64, BadCommand> {
    let text = digits(octets).filter(|text| !text.is_empty()).ok_or(BadCommand::NotACount)?;
    Ok(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn message(number: u32) -> MessageNumber {
        MessageNumber(NonZeroU32::new(number).unwrap())
    }

    #[test]
    fn commands_have_their_arguments_and_no_others() {
        let pass = |password: &str| Ok(Command::Pass(Secret::new(password)));
        let user = |name: &str| Ok(Command::User(name.to_owned()));
        let auth = |mechanism: &str, initial: Option<&str>| {
            Ok(Command::Auth { mechanism: mechanism.to_owned(), initial: initial.map(str::to_owned) })
        };
        let cases: [(&[u8], Result<Command, BadCommand>); 50] = [
            (b"CAPA", Ok(Command::Capa)),
            (b"capa", Ok(Command::Capa)),
            (b"CAPA ", Ok(Command::Capa)),
            (b"CAPA x", Err(BadCommand::TooMany)),
            (b"STLS", Ok(Command::Stls)),
            (b"utf8", Ok(Command::Utf8)),
            (b"UTF8 USER", Err(BadCommand::TooMany)),
            (b"USER ann@example.org", user("ann@example.org")),
            (b"USER ann lee", user("ann lee")),
            (b"USER", Err(BadCommand::Missing)),
            (b"USER ", Err(BadCommand::Missing)),
            (b"USER \xff", Err(BadCommand::NotText)),
            (b"PASS secret", pass("secret")),
            (b"PASS two words ", pass("two words ")),
            (b"PASS  led by a blank", pass(" led by a blank")),
            (b"PASS ", pass("")),
            (b"PASS", Err(BadCommand::Missing)),
            (b"PASS \xc3\xa4", pass("\u{e4}")),
            (b"PASS \xff", Err(BadCommand::NotText)),
            (b"AUTH", Ok(Command::AuthList)),
            (b"AUTH PLAIN", auth("PLAIN", None)),
            (b"auth plain =", auth("plain", Some("="))),
            (b"AUTH PLAIN a b", Err(BadCommand::TooMany)),
            (b"STAT", Ok(Command::Stat)),
            (b"STAT 1", Err(BadCommand::TooMany)),
            (b"LIST", Ok(Command::List(None))),
            (b"LIST 7", Ok(Command::List(Some(message(7))))),
            (b"LIST  7 ", Ok(Command::List(Some(message(7))))),
            (b"LIST 7 8", Err(BadCommand::TooMany)),
            (b"UIDL", Ok(Command::Uidl(None))),
            (b"UIDL 7", Ok(Command::Uidl(Some(message(7))))),
            (b"RETR 1", Ok(Command::Retr(message(1)))),
            (b"RETR 0001", Ok(Command::Retr(message(1)))),
            (b"RETR", Err(BadCommand::Missing)),
            (b"RETR 0", Err(BadCommand::NotANumber)),
            (b"RETR -1", Err(BadCommand::NotANumber)),
            (b"RETR +1", Err(BadCommand::NotANumber)),
            (b"RETR 4294967296", Err(BadCommand::NotANumber)),
            (b"RETR 1x", Err(BadCommand::NotANumber)),
            (b"TOP 1 0", Ok(Command::Top(message(1), 0))),
            (b"TOP 1 99999999999999999999999", Ok(Command::Top(message(1), u64::MAX))),
            (b"TOP 1", Err(BadCommand::Missing)),
            (b"TOP 1 -1", Err(BadCommand::NotACount)),
            (b"DELE 2", Ok(Command::Dele(message(2)))),
            (b"NOOP", Ok(Command::Noop)),
            (b"RSET", Ok(Command::Rset)),
            (b"QUIT", Ok(Command::Quit)),
            (b"", Err(BadCommand::Unknown)),
            (b" STAT", Err(BadCommand::Unknown)),
            (b"APOP ann c4c9334bac560ecc979e58001b3e22fb", Err(BadCommand::Unknown)),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), expected, "{}", line.escape_ascii());
        }
    }
}
