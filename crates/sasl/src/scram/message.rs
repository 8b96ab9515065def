//! The messages of SCRAM, read strictly (RFC 5802 §7).

use super::normalize;
use crate::base64::decode;
use crate::server::BadExchange;

/// Longest name, in octets (as in PLAIN), and longest nonce of the other side.
const MAX_NAME: usize = 1_024;
const MAX_NONCE: usize = 1_024;

/// What a client thinks of channel binding (RFC 5802 §7 `gs2-cbind-flag`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flag<'a> {
    /// `n`: it cannot do it.
    Unsupported,
    /// `y`: it can, and thinks that we cannot.
    NotOffered,
    /// `p=NAME`: it does, with this type.
    Used(&'a str),
}

/// The first message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    pub(super) flag: Flag<'a>,
    /// Everything before [`ClientFirst::bare`], which the second message repeats.
    pub(super) gs2_header: &'a str,
    pub(super) bare: &'a str,
    pub(super) identity: Option<String>,
    pub(super) login: String,
    pub(super) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(message: &'a str) -> Result<Self, BadExchange> {
        let mut parts = message.splitn(3, ',');
        let mut next = || parts.next().ok_or(BadExchange::Malformed);
        let (flag, identity, bare) = (next()?, next()?, next()?);
        let flag = match flag {
            "n" => Flag::Unsupported,
            "y" => Flag::NotOffered,
            _ => Flag::Used(
                flag.strip_prefix("p=").filter(|name| is_binding_name(name)).ok_or(BadExchange::Malformed)?,
            ),
        };
        let identity = match identity {
            "" => None,
            text => Some(name(text.strip_prefix("a=").ok_or(BadExchange::Malformed)?)?),
        };
        // `m=` would stand here: an extension that must be understood (RFC 5802 §5.1), and none is.
        let (login, rest) =
            bare.strip_prefix("n=").and_then(|rest| rest.split_once(',')).ok_or(BadExchange::Malformed)?;
        let nonce =
            rest.split(',').next().and_then(|part| part.strip_prefix("r=")).ok_or(BadExchange::Malformed)?;
        if !is_nonce(nonce) || !rest.split(',').skip(1).all(is_extension) {
            return Err(BadExchange::Malformed);
        }
        let gs2_header = &message[..message.len() - bare.len()];
        Ok(Self { flag, gs2_header, bare, identity, login: name(login)?, nonce })
    }
}

/// The second message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientFinal<'a> {
    /// GS2 header and channel binding data.
    pub(super) binding: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: Vec<u8>,
    /// Everything before `,p=`.
    pub(super) without_proof: &'a str,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(message: &'a str) -> Option<Self> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut parts = without_proof.split(',');
        let binding = decode(parts.next()?.strip_prefix("c=")?.as_bytes()).ok()?;
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        if !parts.all(is_extension) {
            return None;
        }
        Some(Self { binding, nonce, proof: decode(proof.as_bytes()).ok()?, without_proof })
    }
}

/// The first message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(message: &'a str) -> Option<Self> {
        let mut parts = message.split(',');
        let nonce = parts.next()?.strip_prefix("r=").filter(|nonce| is_nonce(nonce))?;
        let salt =
            decode(parts.next()?.strip_prefix("s=")?.as_bytes()).ok().filter(|salt| !salt.is_empty())?;
        let iterations = parts.next()?.strip_prefix("i=")?.parse().ok()?;
        parts.all(is_extension).then_some(Self { nonce, salt, iterations })
    }
}

/// `=2C` and `=3D` stand for comma and equals sign, and nothing else may follow one (RFC 5802 §5.1).
fn name(text: &str) -> Result<String, BadExchange> {
    let mut decoded = String::with_capacity(text.len());
    let mut pieces = text.split('=');
    decoded.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (sign, rest) = if let Some(rest) = piece.strip_prefix("2C") {
            (',', rest)
        } else {
            ('=', piece.strip_prefix("3D").ok_or(BadExchange::Malformed)?)
        };
        decoded.push(sign);
        decoded.push_str(rest);
    }
    let fits = (1..=MAX_NAME).contains(&decoded.len());
    fits.then(|| normalize(&decoded)).flatten().filter(|name| !name.is_empty()).ok_or(BadExchange::Malformed)
}

/// The opposite of what [`name`] reads.
pub(super) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// Printable ASCII without the comma, which parts the attributes.
fn is_nonce(text: &str) -> bool {
    (1..=MAX_NONCE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
}

fn is_binding_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte))
}

/// An optional extension: a letter, `=`, a value. It may be ignored (RFC 5802 §5.1).
fn is_extension(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b'=' && !bytes.contains(&0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_messages_are_read_whole() {
        let message = "p=tls-exporter,a=joe,n=ann=2Cbob=3D,r=abc,x=1";
        let first = ClientFirst::parse(message).expect("a whole message");
        assert_eq!(first.flag, Flag::Used("tls-exporter"));
        assert_eq!((first.gs2_header, first.bare), ("p=tls-exporter,a=joe,", "n=ann=2Cbob=3D,r=abc,x=1"));
        assert_eq!(
            (first.identity.as_deref(), first.login.as_str(), first.nonce),
            (Some("joe"), "ann,bob=", "abc")
        );
        assert_eq!(escape("ann,bob="), "ann=2Cbob=3D");
        assert_eq!(ClientFirst::parse("n,,n=I\u{ad}X,r=abc").map(|first| first.login), Ok("IX".to_owned()));
    }

    #[test]
    fn broken_first_messages_are_refused() {
        let broken = [
            "",
            "n",
            "n,,",
            "n,,n=ann",
            "n,,r=abc,n=ann",
            "x,,n=ann,r=abc",
            "p=,,n=ann,r=abc",
            "p=a b,,n=ann,r=abc",
            "n,ann,n=ann,r=abc",
            "n,,n=,r=abc",
            "n,,n=a=b,r=abc",
            "n,,n=a=2c,r=abc",
            "n,,n=ann,r=",
            "n,,n=ann,r=a b",
            "n,,n=ann,r=é",
            "n,,m=x,n=ann,r=abc",
            "n,,n=ann,r=abc,",
            "n,,n=ann,r=abc,xy",
            "n,,n=a\u{7}b,r=abc",
            "n,,n=\u{ad},r=abc",
        ];
        for message in broken {
            assert_eq!(ClientFirst::parse(message), Err(BadExchange::Malformed), "{message}");
        }
    }

    #[test]
    fn broken_second_messages_are_refused() {
        assert!(ClientFinal::parse("c=biws,r=abc,p=AAAA").is_some());
        for message in [
            "",
            "c=biws,r=abc",
            "c=bi,r=abc,p=AAAA",
            "r=abc,c=biws,p=AAAA",
            "c=biws,r=,p=AAAA",
            "c=biws,r=abc,p=A",
            "c=biws,r=abc,xx,p=AAAA",
        ] {
            assert_eq!(ClientFinal::parse(message), None, "{message}");
        }
        assert!(ServerFirst::parse("r=abc,s=AAAA,i=4096,x=1").is_some());
        for message in [
            "",
            "r=abc,s=AAAA",
            "r=abc,s=,i=1",
            "r=abc,s=AAAA,i=-1",
            "r=abc,s=AAAA,i=99999999999",
            "e=other-error",
        ] {
            assert_eq!(ServerFirst::parse(message), None, "{message}");
        }
    }
}
