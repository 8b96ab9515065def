//! What a mail server says to a filter.

use crate::fields::{Fields, Malformed, put};
use crate::options::{Options, bare, braced};
use crate::packet;

/// Most macros in one packet; libmilter's own peers send a dozen.
const MAX_MACROS: usize = 256;

/// The steps of a session that a filter hears of, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// A client came.
    Connect,
    /// It said its name.
    Helo,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA, before any content.
    Data,
    /// A command that the server does not know.
    Unknown,
    /// One header field.
    Header,
    /// The empty line.
    EndOfHeader,
    /// A piece of the body.
    Body,
    /// The end of the message: the only place for changes.
    EndOfBody,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Connect,
        Self::Helo,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Unknown,
        Self::Header,
        Self::EndOfHeader,
        Self::Body,
        Self::EndOfBody,
    ];

    /// Its letter on the wire (`SMFIC_*`).
    pub fn letter(self) -> u8 {
        match self {
            Self::Connect => b'C',
            Self::Helo => b'H',
            Self::Mail => b'M',
            Self::Rcpt => b'R',
            Self::Data => b'T',
            Self::Unknown => b'U',
            Self::Header => b'L',
            Self::EndOfHeader => b'N',
            Self::Body => b'B',
            Self::EndOfBody => b'E',
        }
    }

    fn of_letter(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.letter() == letter)
    }

    /// Its number where macros are chosen (`SMFIM_*`); not every stage has one.
    pub(crate) fn symbols(self) -> Option<u32> {
        match self {
            Self::Connect => Some(0),
            Self::Helo => Some(1),
            Self::Mail => Some(2),
            Self::Rcpt => Some(3),
            Self::Data => Some(4),
            Self::EndOfBody => Some(5),
            Self::EndOfHeader => Some(6),
            Self::Unknown | Self::Header | Self::Body => None,
        }
    }

    pub(crate) fn of_symbols(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.symbols() == Some(number))
    }
}

/// The kind of a client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A path.
    Unix,
    /// IPv4 in text.
    Ipv4,
    /// IPv6 in text; Postfix and sendmail put `IPv6:` in front of it, and either form is read.
    Ipv6,
}

/// Where a client comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The kind of address.
    pub family: Family,
    /// 0 where there is none.
    pub port: u16,
    /// The address as text.
    pub address: Vec<u8>,
}

/// One packet of a mail server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The first word.
    Negotiate(Options),
    /// What the next command is about, by the letter of that command.
    Macros(u8, Vec<(String, Vec<u8>)>),
    /// The client's name by DNS (`[1.2.3.4]` without one), and its address where it has one.
    Connect(Vec<u8>, Option<Peer>),
    /// The client's name by its own word.
    Helo(Vec<u8>),
    /// The reverse-path in angle brackets, and the ESMTP parameters.
    Mail(Vec<Vec<u8>>),
    /// A recipient in angle brackets, and the ESMTP parameters.
    Rcpt(Vec<Vec<u8>>),
    /// DATA.
    Data,
    /// A command nobody knows, as it came.
    Unknown(Vec<u8>),
    /// Name and value; lines of the value end in LF alone.
    Header(Vec<u8>, Vec<u8>),
    /// The empty line.
    EndOfHeader,
    /// A piece of the body with its CRLFs, at most [`packet::MAX_CHUNK`].
    Body(Vec<u8>),
    /// The message is complete; a last piece of body may come with it.
    EndOfBody(Vec<u8>),
    /// This message is dropped, the connection stays.
    Abort,
    /// Farewell.
    Quit,
    /// The client has gone, and another may come over the same connection.
    QuitNewConnection,
}

impl Command {
    /// The stage it belongs to; none for what is about the conversation itself.
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Self::Connect(..) => Some(Stage::Connect),
            Self::Helo(_) => Some(Stage::Helo),
            Self::Mail(_) => Some(Stage::Mail),
            Self::Rcpt(_) => Some(Stage::Rcpt),
            Self::Data => Some(Stage::Data),
            Self::Unknown(_) => Some(Stage::Unknown),
            Self::Header(..) => Some(Stage::Header),
            Self::EndOfHeader => Some(Stage::EndOfHeader),
            Self::Body(_) => Some(Stage::Body),
            Self::EndOfBody(_) => Some(Stage::EndOfBody),
            Self::Negotiate(_) | Self::Macros(..) | Self::Abort | Self::Quit | Self::QuitNewConnection => {
                None
            }
        }
    }

    /// Reads one packet; `None` for letters that no mail server has.
    pub fn parse(letter: u8, data: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut fields = Fields::new(letter, data);
        let command = match letter {
            b'O' => return Ok(Some(Self::Negotiate(Options::parse(fields)?))),
            b'D' => return Ok(Some(macros(fields)?)),
            b'A' => Self::Abort,
            b'Q' => Self::Quit,
            b'K' => Self::QuitNewConnection,
            _ => match Stage::of_letter(letter) {
                Some(stage) => of_stage(stage, &mut fields)?,
                None => return Ok(None),
            },
        };
        fields.end()?;
        Ok(Some(command))
    }

    /// Appends the wire form.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        let letter = match self {
            Self::Negotiate(options) => {
                options.write(&mut data);
                b'O'
            }
            Self::Macros(about, pairs) => {
                data.push(*about);
                for (name, value) in pairs {
                    put(&mut data, braced(name).as_bytes());
                    put(&mut data, value);
                }
                b'D'
            }
            Self::Connect(host, peer) => {
                put(&mut data, host);
                put_peer(&mut data, peer.as_ref());
                b'C'
            }
            Self::Helo(text) | Self::Unknown(text) => {
                put(&mut data, text);
                self.stage().map_or(0, Stage::letter)
            }
            Self::Mail(words) | Self::Rcpt(words) => {
                for word in words {
                    put(&mut data, word);
                }
                self.stage().map_or(0, Stage::letter)
            }
            Self::Header(name, value) => {
                put(&mut data, name);
                put(&mut data, value);
                b'L'
            }
            Self::Body(piece) | Self::EndOfBody(piece) => {
                packet::write(out, self.stage().map_or(0, Stage::letter), piece);
                return;
            }
            Self::Data => b'T',
            Self::EndOfHeader => b'N',
            Self::Abort => b'A',
            Self::Quit => b'Q',
            Self::QuitNewConnection => b'K',
        };
        packet::write(out, letter, &data);
    }
}

fn of_stage(stage: Stage, fields: &mut Fields<'_>) -> Result<Command, Malformed> {
    Ok(match stage {
        Stage::Connect => Command::Connect(fields.string()?, peer(fields)?),
        Stage::Helo => Command::Helo(fields.string()?),
        Stage::Mail => Command::Mail(words(fields)?),
        Stage::Rcpt => Command::Rcpt(words(fields)?),
        Stage::Data => Command::Data,
        Stage::Unknown => Command::Unknown(fields.string()?),
        Stage::Header => {
            let name = fields.string()?;
            Command::Header(name, fields.string()?)
        }
        Stage::EndOfHeader => Command::EndOfHeader,
        Stage::Body => Command::Body(fields.rest()),
        Stage::EndOfBody => Command::EndOfBody(fields.rest()),
    })
}

/// A path and its parameters; the path must be there.
fn words(fields: &mut Fields<'_>) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut words = vec![fields.string()?];
    words.append(&mut fields.strings()?);
    Ok(words)
}

fn peer(fields: &mut Fields<'_>) -> Result<Option<Peer>, Malformed> {
    let family = match fields.byte()? {
        b'L' => Family::Unix,
        b'4' => Family::Ipv4,
        b'6' => Family::Ipv6,
        _ => {
            fields.rest();
            return Ok(None);
        }
    };
    let port = fields.short()?;
    let address = fields.string()?;
    let address = match family {
        Family::Ipv6 if address.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case(b"IPv6:")) => {
            address[5..].to_vec()
        }
        Family::Unix | Family::Ipv4 | Family::Ipv6 => address,
    };
    Ok(Some(Peer { family, port, address }))
}

fn put_peer(data: &mut Vec<u8>, peer: Option<&Peer>) {
    let Some(peer) = peer else { return data.push(b'U') };
    let (letter, tag): (u8, &[u8]) = match peer.family {
        Family::Unix => (b'L', b""),
        Family::Ipv4 => (b'4', b""),
        Family::Ipv6 => (b'6', b"IPv6:"),
    };
    data.push(letter);
    data.extend_from_slice(&peer.port.to_be_bytes());
    put(data, &[tag, &peer.address].concat());
}

fn macros(mut fields: Fields<'_>) -> Result<Command, Malformed> {
    let about = fields.byte()?;
    let words = fields.strings()?;
    // A name without a value stands for an empty one.
    let pairs = words
        .chunks(2)
        .take(MAX_MACROS)
        .map(|pair| (bare(&String::from_utf8_lossy(&pair[0])), pair.get(1).cloned().unwrap_or_default()));
    Ok(Command::Macros(about, pairs.collect()))
}
