//! What a trusted host says of the client it speaks for: the arguments of Postfix's XCLIENT and XFORWARD.
//!
//! A filter or a balancer in front of us hands on what it knows of the real client, as `NAME=value` with spaces
//! between and values in xtext (RFC 3461 §4). Whether a host is trusted is not decided here.

use std::net::IpAddr;

use kings_mail::report::decode;

/// Attributes of XCLIENT as EHLO lists them.
pub const XCLIENT: &str = "NAME REVERSE_NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
/// Attributes of XFORWARD as EHLO lists them.
pub const XFORWARD: &str = "NAME ADDR PORT PROTO HELO IDENT SOURCE";
/// Longest value, decoded; no host name or login is longer.
const MAX_VALUE: usize = 255;

/// One attribute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Attribute<T> {
    /// Not mentioned: what was known stays.
    #[default]
    Unsaid,
    /// `[UNAVAILABLE]` or `[TEMPUNAVAIL]`: the other side does not know it.
    Unavailable,
    /// Its value.
    Is(T),
}

/// The attributes of one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Reverse name of the client.
    pub name: Attribute<String>,
    /// Address of the client; never an IPv4-mapped one.
    pub address: Attribute<IpAddr>,
    /// Port of the client.
    pub port: Attribute<u16>,
    /// Whether the client said EHLO, not HELO.
    pub extended: Attribute<bool>,
    /// What the client called itself.
    pub helo: Attribute<String>,
    /// Who logged in at the other side (XCLIENT).
    pub login: Attribute<String>,
    /// The name of the message at the other side (XFORWARD).
    pub ident: Attribute<String>,
}

/// The argument is no list of attributes that were offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadClaim;

impl Claim {
    /// Parses the argument of a command that offers the attributes `offered`.
    pub fn parse(text: &str, offered: &str) -> Result<Self, BadClaim> {
        let mut claim = Self::default();
        let mut seen: Vec<&str> = Vec::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let (name, value) = word.split_once('=').ok_or(BadClaim)?;
            let known = offered.split(' ').find(|known| known.eq_ignore_ascii_case(name)).ok_or(BadClaim)?;
            if seen.contains(&known) {
                return Err(BadClaim);
            }
            seen.push(known);
            claim.set(known, value)?;
        }
        if seen.is_empty() { Err(BadClaim) } else { Ok(claim) }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), BadClaim> {
        match name {
            "NAME" => self.name = attribute(value, word)?,
            // Unproven, and asked for by ourselves where it matters.
            "REVERSE_NAME" => attribute(value, word).map(|_| ())?,
            "ADDR" => self.address = attribute(value, address)?,
            "PORT" => self.port = attribute(value, port)?,
            "PROTO" => self.extended = attribute(value, protocol)?,
            "HELO" => self.helo = attribute(value, word)?,
            "LOGIN" => self.login = attribute(value, line)?,
            "IDENT" => self.ident = attribute(value, word)?,
            // Our own side of the connection, or where a message comes from: read, checked, of no use here.
            "DESTADDR" => attribute(value, address).map(|_| ())?,
            "DESTPORT" => attribute(value, port).map(|_| ())?,
            "SOURCE" => attribute(value, source).map(|_| ())?,
            _ => return Err(BadClaim),
        }
        Ok(())
    }
}

fn attribute<T>(value: &str, read: impl Fn(&str) -> Option<T>) -> Result<Attribute<T>, BadClaim> {
    if ["[UNAVAILABLE]", "[TEMPUNAVAIL]"].iter().any(|mark| value.eq_ignore_ascii_case(mark)) {
        return Ok(Attribute::Unavailable);
    }
    let decoded = decode(value).filter(|text| (1..=MAX_VALUE).contains(&text.len()));
    decoded.and_then(|text| read(&text)).map(Attribute::Is).ok_or(BadClaim)
}

/// Text without controls: nothing that could end a line of ours.
fn line(text: &str) -> Option<String> {
    text.chars().all(|c| !c.is_control()).then(|| text.to_owned())
}

/// The same without white space.
fn word(text: &str) -> Option<String> {
    line(text).filter(|text| !text.contains(char::is_whitespace))
}

/// `192.0.2.1` or `IPV6:2001:db8::1`; the prefix may be missing.
fn address(text: &str) -> Option<IpAddr> {
    let bare = match text.split_at_checked(5) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("IPV6:") => rest,
        _ => text,
    };
    bare.parse().ok().map(|address: IpAddr| address.to_canonical())
}

fn port(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn protocol(text: &str) -> Option<bool> {
    match text.to_ascii_uppercase().as_str() {
        "ESMTP" => Some(true),
        "SMTP" => Some(false),
        _ => None,
    }
}

fn source(text: &str) -> Option<()> {
    ["LOCAL", "REMOTE"].iter().any(|known| text.eq_ignore_ascii_case(known)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_postfix_writes_them() {
        let text = "NAME=mail.example+2Borg ADDR=IPV6:2001:db8::1 PORT=4711 PROTO=ESMTP HELO=[UNAVAILABLE] \
                    login=ann+20lee REVERSE_NAME=other.example DESTADDR=192.0.2.25 DESTPORT=25";
        let expected = Claim {
            name: Attribute::Is("mail.example+org".to_owned()),
            address: Attribute::Is(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
            port: Attribute::Is(4_711),
            extended: Attribute::Is(true),
            helo: Attribute::Unavailable,
            login: Attribute::Is("ann lee".to_owned()),
            ident: Attribute::Unsaid,
        };
        assert_eq!(Claim::parse(text, XCLIENT), Ok(expected));
        let forwarded =
            Claim::parse("SOURCE=REMOTE IDENT=4Cq3 ADDR=::ffff:192.0.2.1", XFORWARD).expect("a claim");
        assert_eq!(forwarded.address, Attribute::Is(IpAddr::from([192, 0, 2, 1])));
        assert_eq!(forwarded.ident, Attribute::Is("4Cq3".to_owned()));
    }

    #[test]
    fn what_is_no_claim_is_refused_whole() {
        let long = format!("HELO={}", "x".repeat(256));
        let cases = [
            "",
            "ADDR",
            "ADDR=",
            "ADDR=192.0.2",
            "ADDR=192.0.2.1 ADDR=192.0.2.2",
            "ADDR=192.0.2.1 COLOUR=red",
            "IDENT=1",
            "PORT=65536",
            "PORT=+2B1",
            "PORT=-1",
            "PROTO=LMTP",
            "HELO=x+0D+0ARCPT",
            "HELO=x+00",
            "HELO=x+20y",
            "HELO=x+0d",
            "HELO=x=y",
            "NAME=x+7F",
            "LOGIN=ann+0A",
            long.as_str(),
        ];
        for text in cases {
            assert_eq!(Claim::parse(text, XCLIENT), Err(BadClaim), "{text}");
        }
        assert_eq!(Claim::parse("LOGIN=ann", XFORWARD), Err(BadClaim));
    }
}
