//! What a sender asks for about reports: the parameters of the DSN extension (RFC 3461 §4).

use std::fmt;

/// Longest ENVID, in octets of its encoded form (RFC 3461 §4.4).
const MAX_ENVELOPE_ID: usize = 100;
/// Longest ORCPT, in octets of its encoded form (RFC 3461 §4.2).
const MAX_ORIGINAL: usize = 500;

/// When the sender of a message wants to hear of one recipient (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notify {
    /// Not said: failures, and delays where this server warns of them.
    #[default]
    Unsaid,
    /// Never, whatever happens.
    Never,
    /// In these cases and no others; at least one of them.
    When {
        /// When it was delivered.
        success: bool,
        /// When it failed for good.
        failure: bool,
        /// When it takes long.
        delay: bool,
    },
}

impl Notify {
    /// Reads `NEVER`, or `SUCCESS`, `FAILURE` and `DELAY` with commas between, in any case; a word that comes twice says
    /// no more than once, as with Postfix.
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Some(Self::Never);
        }
        let (mut success, mut failure, mut delay) = (false, false, false);
        for word in text.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => success = true,
                "FAILURE" => failure = true,
                "DELAY" => delay = true,
                _ => return None,
            }
        }
        Some(Self::When { success, failure, delay })
    }

    /// Whether a failure is to be reported.
    pub fn on_failure(self) -> bool {
        match self {
            Self::Unsaid => true,
            Self::Never => false,
            Self::When { failure, .. } => failure,
        }
    }

    /// Whether a delay is to be reported; unsaid, it is up to the server.
    pub fn on_delay(self) -> bool {
        match self {
            Self::Unsaid => true,
            Self::Never => false,
            Self::When { delay, .. } => delay,
        }
    }

    /// The same without success: for those that take the place of a recipient whose success has been reported
    /// (RFC 3461 §5.2.7.3).
    #[must_use]
    pub fn without_success(self) -> Self {
        match self {
            Self::When { failure: false, delay: false, .. } => Self::Never,
            Self::When { failure, delay, .. } => Self::When { success: false, failure, delay },
            Self::Unsaid | Self::Never => self,
        }
    }

    /// What two recipients want who turn out to be one: all that either does.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, wanted) | (wanted, Self::Never) => wanted,
            (Self::Unsaid, Self::Unsaid) => Self::Unsaid,
            _ => Self::When {
                success: self.on_success() || other.on_success(),
                failure: self.on_failure() || other.on_failure(),
                delay: self.on_delay() || other.on_delay(),
            },
        }
    }

    /// Whether a success is to be reported.
    pub fn on_success(self) -> bool {
        matches!(self, Self::When { success: true, .. })
    }
}

impl fmt::Display for Notify {
    /// The value of `NOTIFY=`; empty when nothing was said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Unsaid => Ok(()),
            Self::Never => f.write_str("NEVER"),
            Self::When { success, failure, delay } => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let words: Vec<&str> =
                    words.into_iter().filter(|(asked, _)| *asked).map(|(_, word)| word).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}

/// How much of a message its failure report returns (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Return {
    /// The whole message.
    Full,
    /// Its header alone.
    Headers,
}

impl Return {
    /// Reads `FULL` or `HDRS`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_uppercase().as_str() {
            "FULL" => Some(Self::Full),
            "HDRS" => Some(Self::Headers),
            _ => None,
        }
    }
}

impl fmt::Display for Return {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// The sender's own name for a transaction, for its reports (RFC 3461 §4.4).
///
/// Kept as it was encoded, since it must travel on unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeId(String);

impl EnvelopeId {
    /// Reads the xtext of `ENVID=`; what it encodes must be printable, so that no report can be forged with it.
    pub fn parse(xtext: &str) -> Option<Self> {
        let fits = (1..=MAX_ENVELOPE_ID).contains(&xtext.len());
        (fits && is_printable(&decode(xtext)?)).then(|| Self(xtext.to_owned()))
    }

    /// What the sender meant, for a report.
    pub fn decoded(&self) -> String {
        decode(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for EnvelopeId {
    /// The value of `ENVID=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom the sender wrote to (RFC 3461 §4.2): a type such as `rfc822`, and an address.
///
/// Kept as it was encoded, since it must travel on unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginalRecipient(String);

impl OriginalRecipient {
    /// Reads `type;xtext`. UTF-8 may stand in it as it is (RFC 6533 §3); controls may not, encoded or not.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, address) = text.split_once(';')?;
        let is_atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        let fits = text.len() <= MAX_ORIGINAL && !kind.is_empty() && kind.chars().all(is_atom);
        let decoded = decode(address)?;
        (fits && !decoded.is_empty() && is_printable(&decoded)).then(|| Self(text.to_owned()))
    }

    /// `type;address` with the address decoded, for a report.
    pub fn decoded(&self) -> String {
        let (kind, address) = self.0.split_once(';').unwrap_or((&self.0, ""));
        format!("{kind};{}", decode(address).unwrap_or_default())
    }
}

impl fmt::Display for OriginalRecipient {
    /// The value of `ORCPT=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Encodes text as xtext: `+`, `=` and all but printable ASCII as `+XX` (RFC 3461 §4).
pub fn xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'+' && byte != b'=' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("+{byte:02X}")),
        }
    }
    encoded
}

/// Decodes xtext; `None` for what is none. UTF-8 passes.
pub fn decode(xtext: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(xtext.len());
    let mut bytes = xtext.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => decoded.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?),
            b'=' | 0..=b' ' | 0x7f => return None,
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).ok()
}

/// Digits and capitals only (RFC 3461 §4).
fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn is_printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_names_cases_or_never() {
        let when = |success, failure, delay| Some(Notify::When { success, failure, delay });
        let cases = [
            ("NEVER", Some(Notify::Never)),
            ("never", Some(Notify::Never)),
            ("SUCCESS,FAILURE,DELAY", when(true, true, true)),
            ("delay", when(false, false, true)),
            ("FAILURE,SUCCESS", when(true, true, false)),
            ("SUCCESS,success", when(true, false, false)),
            ("NEVER,FAILURE", None),
            ("FAILURE,", None),
            ("", None),
            ("SOMETIMES", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Notify::parse(text), expected, "{text}");
        }
        assert_eq!(
            when(true, true, false).map(|notify| notify.to_string()).as_deref(),
            Some("SUCCESS,FAILURE")
        );
    }

    #[test]
    fn two_that_turn_out_to_be_one_get_all_that_either_wants() {
        let cases = [
            ("NEVER", "NEVER", "NEVER"),
            ("NEVER", "", ""),
            ("", "", ""),
            ("NEVER", "SUCCESS", "SUCCESS"),
            ("SUCCESS", "FAILURE", "SUCCESS,FAILURE"),
            ("", "SUCCESS", "SUCCESS,FAILURE,DELAY"),
        ];
        let notify = |text| Notify::parse(text).unwrap_or_default();
        for (one, other, expected) in cases {
            assert_eq!(notify(one).and(notify(other)).to_string(), expected, "{one} {other}");
            assert_eq!(notify(other).and(notify(one)).to_string(), expected, "{other} {one}");
        }
    }

    #[test]
    fn unsaid_means_failures_and_no_success() {
        let unsaid = Notify::default();
        assert!(unsaid.on_failure() && unsaid.on_delay() && !unsaid.on_success());
        let never = Notify::Never;
        assert!(!never.on_failure() && !never.on_delay() && !never.on_success());
    }

    #[test]
    fn what_is_left_without_success_still_reads_back() {
        let cases = [
            ("SUCCESS", "NEVER"),
            ("SUCCESS,FAILURE,DELAY", "FAILURE,DELAY"),
            ("NEVER", "NEVER"),
            ("DELAY", "DELAY"),
        ];
        for (text, expected) in cases {
            let left = Notify::parse(text).map(Notify::without_success);
            assert_eq!(left, Notify::parse(expected), "{text}");
        }
        assert_eq!(Notify::Unsaid.without_success(), Notify::Unsaid);
    }

    #[test]
    fn xtext_carries_text_and_smuggles_nothing() {
        let cases = [
            ("QQ314159", Some("QQ314159")),
            ("ann+2Btag@example.org", Some("ann+tag@example.org")),
            ("a+20b", Some("a b")),
            ("a+0D+0AAction:+20delivered", None),
            ("a+00", None),
            ("a+2b", None),
            ("a+2", None),
            ("a=b", None),
            ("a b", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let found = EnvelopeId::parse(text).map(|id| id.decoded());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        assert!(EnvelopeId::parse(&"x".repeat(100)).is_some());
        assert!(EnvelopeId::parse(&"x".repeat(101)).is_none());
        for text in ["ann+tag@example.org", "a=b c\u{e9}\r\n"] {
            assert_eq!(decode(&xtext(text)).as_deref(), Some(text));
        }
    }

    #[test]
    fn an_original_recipient_has_a_type_and_an_address() {
        let cases = [
            ("rfc822;Joe+2Bx@example.com", Some("rfc822;Joe+x@example.com")),
            ("utf-8;jürgen@example.com", Some("utf-8;jürgen@example.com")),
            ("rfc822;", None),
            (";joe@example.com", None),
            ("joe@example.com", None),
            ("rf c822;joe@example.com", None),
            ("rfc822;joe+0A@example.com", None),
        ];
        for (text, expected) in cases {
            let found = OriginalRecipient::parse(text);
            assert_eq!(found.as_ref().map(OriginalRecipient::decoded).as_deref(), expected, "{text}");
            assert!(found.is_none_or(|original| original.to_string() == text));
        }
    }
}
