//! What the policy service answers, as Postfix's access(5) defines it.

use kings_mail::address::Address;
use kings_smtp::reply::{Reply, Status};

/// Longest text of a reply, and longest header field: one line each (RFC 5321 §4.5.3.1.5, RFC 5322 §2.1.1).
const MAX_REPLY_TEXT: usize = 400;
const MAX_FIELD: usize = 998;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on, and ask the next one: `DUNNO`.
    Continue,
    /// Go on, and ask no other: `OK` and the like.
    Permit,
    /// Go on, with this line in the log: `WARN`, `INFO`.
    Note(String),
    /// Refuse with this reply.
    Refuse(Reply),
    /// Refuse with this reply unless another one refuses.
    DeferIfPermit(Reply),
    /// Refuse with this reply if another one refuses for good.
    DeferIfReject(Reply),
    /// Put this header field, without its line end, in front of the message.
    Prepend(String),
    /// Say that the message was taken, and drop it.
    Discard,
    /// Deliver the message to this address and to nobody else.
    Redirect(Address),
    /// Deliver it to this address as well.
    Bcc(Address),
    /// Keep it in the queue until an operator releases it, for this reason.
    Hold(String),
}

/// An answer that does not mean anything here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAction {
    /// No line `action=...`.
    #[error("it names no action")]
    Missing,
    /// Not UTF-8, or a control character.
    #[error("it is not plain text")]
    NotText,
    /// An action that is not known, or one whose argument is wrong.
    #[error("action {0:?}")]
    Unknown(String),
}

impl Action {
    /// Reads an answer: lines of `name=value`, of which only `action` counts.
    pub fn read(answer: &[u8]) -> Result<Self, BadAction> {
        let text = std::str::from_utf8(answer).map_err(|_| BadAction::NotText)?;
        let action = text.lines().find_map(|line| line.strip_prefix("action="));
        Self::parse(action.ok_or(BadAction::Missing)?)
    }

    /// Reads one action such as `DEFER_IF_PERMIT Greylisted`.
    pub fn parse(text: &str) -> Result<Self, BadAction> {
        if text.contains(|c: char| c.is_control() && c != '\t') {
            return Err(BadAction::NotText);
        }
        let text = text.trim();
        let (verb, argument) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let argument = argument.trim();
        let unknown = || BadAction::Unknown(text.chars().take(80).collect());
        Ok(match verb.to_ascii_uppercase().as_str() {
            // Nothing at all says nothing.
            "DUNNO" | "" => Self::Continue,
            "OK" | "RELAY" | "PERMIT" => Self::Permit,
            "WARN" | "INFO" => Self::Note(in_one_line(argument)),
            "REJECT" => Self::Refuse(refusal(554, Status(5, 7, 1), argument)),
            "DEFER" => Self::Refuse(refusal(450, Status(4, 7, 1), argument)),
            "DEFER_IF_PERMIT" => Self::DeferIfPermit(refusal(450, Status(4, 7, 1), argument)),
            "DEFER_IF_REJECT" => Self::DeferIfReject(refusal(450, Status(4, 7, 1), argument)),
            "PREPEND" if is_field(argument) => Self::Prepend(argument.to_owned()),
            "DISCARD" => Self::Discard,
            "REDIRECT" => Self::Redirect(Address::parse(argument).map_err(|_| unknown())?),
            "BCC" => Self::Bcc(Address::parse(argument).map_err(|_| unknown())?),
            "HOLD" if argument.is_empty() => Self::Hold("the policy service wants it so".to_owned()),
            "HOLD" => Self::Hold(in_one_line(argument)),
            // Some services answer with a time stamp where they mean OK.
            digits if argument.is_empty() && is_number(digits) && !is_refusal_code(digits) => Self::Permit,
            digits => match digits.parse().ok().filter(|_| is_refusal_code(digits)) {
                Some(code @ 400..=499) => Self::Refuse(refusal(code, Status(4, 7, 1), argument)),
                Some(code) => Self::Refuse(refusal(code, Status(5, 7, 1), argument)),
                // FILTER and the names of restrictions ask for machinery that is not here; going on without it would be
                // worse than a second try.
                None => return Err(unknown()),
            },
        })
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

fn is_refusal_code(digits: &str) -> bool {
    digits.len() == 3 && is_number(digits) && digits.starts_with(['4', '5'])
}

fn in_one_line(text: &str) -> String {
    text.chars().take(MAX_REPLY_TEXT).map(|c| if c == '\t' { ' ' } else { c }).collect()
}

/// The text may open with an enhanced code of its own; the reply code decides its class, as with Postfix.
fn refusal(code: u16, usual: Status, text: &str) -> Reply {
    let (first, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
    let own = Status::parse(first).map(|Status(_, subject, detail)| Status(usual.0, subject, detail));
    let (status, text) = own.map_or((usual, text), |status| (status, rest.trim()));
    let printable = |c: char| if c.is_ascii() && !c.is_control() { c } else { '?' };
    let text: String = in_one_line(text).chars().map(printable).collect();
    let text = if text.is_empty() { "Access denied".to_owned() } else { text };
    Reply::new(code, status, "").with_text(text)
}

/// One line with a name of printable characters (RFC 5322 §2.2).
fn is_field(line: &str) -> bool {
    let Some((name, _)) = line.split_once(':') else { return false };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    is_name && line.len() <= MAX_FIELD
}
