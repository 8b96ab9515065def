//! The grammar of commands: from one line to one value.

mod parameters;
mod paths;

use kings_mail::domain::Domain;
use kings_mail::envelope::{MailParameters, Recipient};
use kings_mail::path::ReversePath;

use self::parameters::{mail_parameters, rcpt_parameters};
use self::paths::{forward_path, path_argument, reverse_path, without_route};
use crate::claim::{self, Claim};
use crate::lines::announces_chunk;
use crate::quirks;
use crate::reply::Reply;

/// One command (RFC 5321 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `EHLO name`; the name is any single printable token, judging it is policy.
    Ehlo(String),
    /// `HELO name`
    Helo(String),
    /// `LHLO name`: EHLO of LMTP (RFC 2033 §4.1).
    Lhlo(String),
    /// `MAIL FROM:<path> parameters`
    Mail(ReversePath, MailParameters),
    /// `RCPT TO:<path> parameters`
    Rcpt(Recipient),
    /// `DATA`
    Data,
    /// `BDAT size [LAST]` (RFC 3030 §2); the chunk follows at once.
    Bdat(Chunk),
    /// `RSET`
    Rset,
    /// `NOOP [anything]`
    Noop,
    /// `VRFY anything`
    Vrfy,
    /// `HELP [anything]`
    Help,
    /// `QUIT`
    Quit,
    /// `STARTTLS`
    StartTls,
    /// `AUTH mechanism [initial-response]`, the response still in base64 (RFC 4954 §4).
    Auth {
        /// As the client wrote it.
        mechanism: String,
        /// `=` is an empty one.
        initial_response: Option<String>,
    },
    /// `XCLIENT attributes`: the client is another one.
    Xclient(Box<Claim>),
    /// `XFORWARD attributes`: where the next message came from.
    Xforward(Box<Claim>),
}

/// What BDAT announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Octets to come.
    pub left: u64,
    /// The message ends with them.
    pub last: bool,
}

/// What this session has offered, as far as the grammar depends on it (RFC 5321 §4.1.1.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one extension")]
pub struct Offered<'a> {
    /// Paths need no angle brackets: the client is one of our own users.
    pub bare_paths: bool,
    /// What completes an address without a domain; `None`: nothing does.
    pub origin: Option<&'a Domain>,
    /// AUTH, and with it a parameter of MAIL (RFC 4954 §5).
    pub auth: bool,
    /// DSN, and with it parameters of MAIL and RCPT (RFC 3461 §4).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: bool,
    /// FUTURERELEASE (RFC 4865 §3).
    pub future_release: bool,
    /// XCLIENT: the host is trusted.
    pub xclient: bool,
    /// XFORWARD: the host is trusted.
    pub xforward: bool,
}

impl Offered<'_> {
    /// Everything there is.
    pub const ALL: Self = Self {
        dsn: true,
        bare_paths: false,
        origin: None,
        auth: true,
        require_tls: true,
        future_release: true,
        xclient: true,
        xforward: true,
    };
}

/// Why a line is not a command we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxError {
    /// The verb means nothing.
    UnknownVerb,
    /// A verb of another protocol: the peer is not a mail client.
    NotSmtp,
    /// The verb is known and never done here (EXPN, ETRN, TURN).
    NotImplemented,
    /// The argument cannot be read.
    BadArgument,
    /// BDAT of which nobody can tell how many octets follow: they cannot be told from commands (RFC 3030 §2).
    BadChunk,
    /// An address stands without angle brackets.
    NoBrackets,
    /// The address of MAIL cannot be read.
    BadReversePath,
    /// The address of RCPT cannot be read.
    BadForwardPath,
    /// A parameter that was not offered.
    UnknownParameter,
    /// XCLIENT or XFORWARD from a host that is not trusted with it.
    NotTrusted,
    /// Not text, or not ended by CR LF alone.
    BrokenLine,
    /// Over the limit.
    TooLong,
}

impl SyntaxError {
    /// The only place where a syntax error becomes a reply.
    pub fn reply(self) -> Reply {
        match self {
            Self::UnknownVerb => Reply::UNKNOWN_COMMAND,
            Self::NotSmtp => Reply::NOT_SMTP,
            Self::NotImplemented => Reply::NOT_IMPLEMENTED,
            Self::BadArgument => Reply::BAD_ARGUMENT,
            Self::BadChunk => Reply::BAD_CHUNK,
            Self::NoBrackets => Reply::NO_BRACKETS,
            Self::BadReversePath => Reply::BAD_REVERSE_PATH,
            Self::BadForwardPath => Reply::BAD_FORWARD_PATH,
            Self::UnknownParameter => Reply::UNKNOWN_PARAMETER,
            Self::NotTrusted => Reply::NOT_TRUSTED,
            Self::BrokenLine => Reply::BAD_LINE,
            Self::TooLong => Reply::LINE_TOO_LONG,
        }
    }
}

/// Parses one command line, without its CRLF (RFC 5321 §4.1.1).
pub fn parse(line: &str, offered: Offered<'_>) -> Result<Command, SyntaxError> {
    let line = quirks::trim_line(line);
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    match Upper::new(verb).as_str() {
        "EHLO" => name(rest).map(Command::Ehlo),
        "HELO" => name(rest).map(Command::Helo),
        "LHLO" => name(rest).map(Command::Lhlo),
        "MAIL" => mail(rest, offered),
        "RCPT" => rcpt(rest, offered),
        "DATA" => bare(rest, Command::Data),
        "BDAT" => bdat(rest),
        "RSET" => bare(rest, Command::Rset),
        "QUIT" => bare(rest, Command::Quit),
        "STARTTLS" => bare(rest, Command::StartTls),
        "NOOP" => Ok(Command::Noop),
        "HELP" => Ok(Command::Help),
        "VRFY" if !rest.is_empty() => Ok(Command::Vrfy),
        "VRFY" => Err(SyntaxError::BadArgument),
        "AUTH" => auth(rest),
        "XCLIENT" if !offered.xclient => Err(SyntaxError::NotTrusted),
        "XFORWARD" if !offered.xforward => Err(SyntaxError::NotTrusted),
        "XCLIENT" => claim(rest, claim::XCLIENT).map(Command::Xclient),
        "XFORWARD" => claim(rest, claim::XFORWARD).map(Command::Xforward),
        "EXPN" | "ETRN" | "TURN" | "ATRN" | "SEND" | "SOML" | "SAML" => Err(SyntaxError::NotImplemented),
        "GET" | "POST" | "PUT" | "HEAD" | "OPTIONS" | "CONNECT" => Err(SyntaxError::NotSmtp),
        _ if announces_chunk(line.as_bytes()) => Err(SyntaxError::BadChunk),
        _ if !verb.starts_with(|c: char| c.is_ascii_alphabetic()) && !verb.is_empty() => {
            Err(SyntaxError::NotSmtp)
        }
        _ => Err(SyntaxError::UnknownVerb),
    }
}

/// A short word in capitals, made without a place on the heap; a longer one is no word of ours.
struct Upper {
    letters: [u8; 16],
    length: usize,
}

impl Upper {
    fn new(word: &str) -> Self {
        let mut letters = [0; 16];
        let Some(place) = letters.get_mut(..word.len()) else { return Self { letters, length: 0 } };
        place.copy_from_slice(word.as_bytes());
        place.make_ascii_uppercase();
        Self { letters, length: word.len() }
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters[..self.length]).unwrap_or_default()
    }
}

fn claim(rest: &str, offered: &str) -> Result<Box<Claim>, SyntaxError> {
    Claim::parse(rest, offered).map(Box::new).map_err(|_| SyntaxError::BadArgument)
}

/// `size [LAST]`. A size beyond 64 bits is no size.
fn bdat(rest: &str) -> Result<Command, SyntaxError> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let left = words.next().and_then(digits).ok_or(SyntaxError::BadChunk)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(SyntaxError::BadChunk),
    };
    match words.next() {
        None => Ok(Command::Bdat(Chunk { left, last })),
        Some(_) => Err(SyntaxError::BadChunk),
    }
}

/// Nothing but digits, and a number that 64 bits can hold.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn bare(rest: &str, command: Command) -> Result<Command, SyntaxError> {
    rest.is_empty().then_some(command).ok_or(SyntaxError::BadArgument)
}

/// A single token of visible characters, at most as long as a domain or address literal may be.
fn name(rest: &str) -> Result<String, SyntaxError> {
    let rest = rest.trim_start_matches(' ');
    let fits = (1..=255).contains(&rest.len()) && rest.chars().all(|c| !c.is_whitespace() && !c.is_control());
    fits.then(|| rest.to_owned()).ok_or(SyntaxError::BadArgument)
}

/// `FROM:<path> [parameters]` (RFC 5321 §4.1.1.2).
fn mail(rest: &str, offered: Offered<'_>) -> Result<Command, SyntaxError> {
    let (path, parameters) = path_argument(rest, "FROM:", offered)?;
    let reverse_path =
        reverse_path(without_route(path), offered.origin).ok_or(SyntaxError::BadReversePath)?;
    Ok(Command::Mail(reverse_path, mail_parameters(parameters, offered)?))
}

/// `TO:<path> [parameters]` (RFC 5321 §4.1.1.3).
fn rcpt(rest: &str, offered: Offered<'_>) -> Result<Command, SyntaxError> {
    let (path, parameters) = path_argument(rest, "TO:", offered)?;
    let forward_path =
        forward_path(without_route(path), offered.origin).ok_or(SyntaxError::BadForwardPath)?;
    rcpt_parameters(parameters, forward_path, offered).map(Command::Rcpt)
}

/// `AUTH mechanism [initial-response]` (RFC 4954 §4).
fn auth(rest: &str) -> Result<Command, SyntaxError> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(SyntaxError::BadArgument)?.to_owned();
    let initial_response = words.next().map(str::to_owned);
    if words.next().is_some() {
        return Err(SyntaxError::BadArgument);
    }
    Ok(Command::Auth { mechanism, initial_response })
}

#[cfg(test)]
mod tests {
    use SyntaxError::{
        BadArgument, BadChunk, BadForwardPath, BadReversePath, NoBrackets, NotImplemented, NotSmtp,
        NotTrusted, UnknownParameter, UnknownVerb,
    };

    use kings_mail::envelope::{Body, Hold};
    use kings_mail::path::ForwardPath;
    use kings_mail::report::{EnvelopeId, Notify, OriginalRecipient, Return};

    use super::*;

    fn mail(path: &str, parameters: MailParameters) -> Command {
        Command::Mail(ReversePath::parse(path).expect("a path"), parameters)
    }

    fn rcpt(path: &str) -> Command {
        Command::Rcpt(ForwardPath::parse(path).expect("a path").into())
    }

    #[test]
    fn each_line_is_one_command_or_one_error() {
        let none = MailParameters::default;
        let all = MailParameters {
            body: Body::EightBitMime,
            smtputf8: true,
            size: Some(12),
            ..MailParameters::default()
        };
        let reported = MailParameters {
            ret: Some(Return::Headers),
            envelope_id: EnvelopeId::parse("QQ+2B1"),
            ..MailParameters::default()
        };
        let joe = Recipient {
            notify: Notify::When { success: true, failure: false, delay: true },
            original: OriginalRecipient::parse("rfc822;Joe+2Bx@a.example"),
            ..Recipient::from(ForwardPath::parse("joe@example.org").expect("a path"))
        };
        let huge = MailParameters { size: Some(u64::MAX), ..none() };
        let auth = |mechanism: &str, response: Option<&str>| {
            Ok(Command::Auth { mechanism: mechanism.into(), initial_response: response.map(str::to_owned) })
        };
        let long_path = format!("MAIL FROM:<{}@example.org>", "a".repeat(300));
        let cases = [
            ("EHLO client.example", Ok(Command::Ehlo("client.example".into()))),
            ("ehlo [192.0.2.1]", Ok(Command::Ehlo("[192.0.2.1]".into()))),
            ("EHLO a_b!", Ok(Command::Ehlo("a_b!".into()))),
            ("HELO x", Ok(Command::Helo("x".into()))),
            ("EHLO", Err(BadArgument)),
            ("EHLO two words", Err(BadArgument)),
            ("MAIL FROM:<>", Ok(mail("", none()))),
            ("mail from:<>", Ok(mail("", none()))),
            ("MAIL FROM: <>", Ok(mail("", none()))),
            ("MAIL FROM:<ann@example.org> SIZE=12 BODY=8BITMIME SMTPUTF8", Ok(mail("ann@example.org", all))),
            ("MAIL FROM:<ann@example.org> size=99999999999999999999", Ok(mail("ann@example.org", huge))),
            ("MAIL FROM:<\"a>b\"@example.org>", Ok(mail("\"a>b\"@example.org", none()))),
            ("MAIL FROM:<@relay.example:ann@example.org>", Ok(mail("ann@example.org", none()))),
            ("MAIL FROM:ann@example.org", Err(NoBrackets)),
            ("RCPT TO: ann@example.org NOTIFY=NEVER", Err(NoBrackets)),
            ("MAIL FROM:<ann@example.org", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org>SIZE=1", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> SIZE=1 SIZE=2", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> SIZE=-1", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> SIZE=0x10", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> SIZE", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> SMTPUTF8=1", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> BODY=BINARYMIME", Err(UnknownParameter)),
            ("MAIL FROM:<ann@example.org> RET=hdrs ENVID=QQ+2B1", Ok(mail("ann@example.org", reported))),
            ("MAIL FROM:<ann@example.org> RET=SOME", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> ENVID=a+0Ab", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> NOTIFY=NEVER", Err(UnknownParameter)),
            ("MAIL FROM:<any@legit(a.attack)>", Err(BadReversePath)),
            ("MAIL FROM:<Postmaster>", Err(BadReversePath)),
            ("MAIL", Err(BadArgument)),
            ("MAIL TO:<ann@example.org>", Err(BadArgument)),
            (long_path.as_str(), Err(BadArgument)),
            ("RCPT TO:<joe@example.org>", Ok(rcpt("joe@example.org"))),
            ("RCPT TO:<Postmaster>", Ok(rcpt("postmaster"))),
            ("RCPT TO:<@us.example,@x.example:joe@example.org>", Ok(rcpt("joe@example.org"))),
            ("RCPT TO:<@us.example:>", Err(BadForwardPath)),
            ("RCPT TO:<>", Err(BadForwardPath)),
            ("RCPT TO:<joe>", Err(BadForwardPath)),
            ("RCPT TO:<joe@other@us.example>", Err(BadForwardPath)),
            (
                "RCPT TO:<joe@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Joe+2Bx@a.example",
                Ok(Command::Rcpt(joe)),
            ),
            ("RCPT TO:<joe@example.org> NOTIFY=NEVER,DELAY", Err(BadArgument)),
            ("RCPT TO:<joe@example.org> NOTIFY=NEVER NOTIFY=NEVER", Err(BadArgument)),
            ("RCPT TO:<joe@example.org> ORCPT=joe", Err(BadArgument)),
            ("RCPT TO:<joe@example.org> RET=HDRS", Err(UnknownParameter)),
            ("DATA", Ok(Command::Data)),
            ("DATA \t ", Ok(Command::Data)),
            ("DATA now", Err(BadArgument)),
            ("RSET x", Err(BadArgument)),
            ("NOOP anything at all", Ok(Command::Noop)),
            ("QUIT", Ok(Command::Quit)),
            ("STARTTLS", Ok(Command::StartTls)),
            ("STARTTLS now", Err(BadArgument)),
            ("VRFY ann", Ok(Command::Vrfy)),
            ("VRFY", Err(BadArgument)),
            ("HELP me", Ok(Command::Help)),
            ("AUTH PLAIN", auth("PLAIN", None)),
            ("auth plain =", auth("plain", Some("="))),
            ("AUTH PLAIN AGEAYg== x", Err(BadArgument)),
            ("AUTH", Err(BadArgument)),
            ("EXPN list", Err(NotImplemented)),
            ("ETRN example.org", Err(NotImplemented)),
            ("GET / HTTP/1.1", Err(NotSmtp)),
            ("\u{16}\u{3}\u{1}", Err(NotSmtp)),
            ("DATAX", Err(UnknownVerb)),
            ("", Err(UnknownVerb)),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2", Err(UnknownVerb)),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line, Offered::ALL), expected, "{line}");
        }
    }

    #[test]
    fn mail_may_ask_for_tls_and_for_a_wait() {
        let none = MailParameters::default;
        let secured = MailParameters { require_tls: true, ..none() };
        let held = |hold| Ok(mail("ann@example.org", MailParameters { hold: Some(hold), ..none() }));
        let cases = [
            ("MAIL FROM:<ann@example.org> requiretls", Ok(mail("ann@example.org", secured))),
            ("MAIL FROM:<ann@example.org> REQUIRETLS=YES", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> HOLDFOR=86400", held(Hold::For(86_400))),
            ("MAIL FROM:<ann@example.org> HOLDFOR=0", held(Hold::For(0))),
            ("MAIL FROM:<ann@example.org> HOLDFOR=1234567890", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> HOLDFOR=-1", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> HOLDFOR=", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> HOLDFOR", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> HOLDUNTIL=1970-01-02T01:00:00+01:00", held(Hold::Until(86_400))),
            ("MAIL FROM:<ann@example.org> HOLDUNTIL=tomorrow", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> HOLDFOR=1 HOLDUNTIL=1970-01-02T00:00:00Z", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org> MT-PRIORITY=3", Err(UnknownParameter)),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line, Offered::ALL), expected, "{line}");
        }
    }

    /// What is taken from our own users; half a pair of brackets is taken from nobody.
    #[test]
    fn paths_without_brackets_are_addresses_and_nothing_else() {
        let offered = Offered { bare_paths: true, ..Offered::ALL };
        let none = MailParameters::default;
        let sized = MailParameters { size: Some(12), ..none() };
        let long_path = format!("RCPT TO:{}@example.org", "a".repeat(300));
        let cases = [
            ("MAIL FROM:ann@example.org", Ok(mail("ann@example.org", none()))),
            ("mail from: ann@example.org SIZE=12", Ok(mail("ann@example.org", sized))),
            ("MAIL FROM:<ann@example.org>", Ok(mail("ann@example.org", none()))),
            ("MAIL FROM:<>", Ok(mail("", none()))),
            ("RCPT TO:joe@example.org", Ok(rcpt("joe@example.org"))),
            ("RCPT TO:joe@[192.0.2.1]", Ok(rcpt("joe@[192.0.2.1]"))),
            ("RCPT TO:<Postmaster>", Ok(rcpt("postmaster"))),
            ("MAIL FROM:", Err(BadArgument)),
            ("MAIL FROM: SIZE=12", Err(BadArgument)),
            ("MAIL FROM:ann", Err(BadArgument)),
            ("MAIL FROM:ann@example.org>", Err(BadArgument)),
            ("MAIL FROM:<ann@example.org", Err(BadArgument)),
            ("MAIL FROM:ann@", Err(BadReversePath)),
            ("MAIL FROM:@example.org", Err(BadReversePath)),
            ("MAIL FROM:ann@example.org x@example.org", Err(UnknownParameter)),
            ("MAIL FROM:Ann <ann@example.org>", Err(BadArgument)),
            ("RCPT TO:\"a b\"@example.org", Err(BadArgument)),
            ("RCPT TO:@us.example:joe@example.org", Err(BadArgument)),
            ("RCPT TO:joe@example.org,sue@example.org", Err(BadArgument)),
            ("RCPT TO:joe@other@us.example", Err(BadForwardPath)),
            ("RCPT TO:joe@example.org SIZE=1", Err(UnknownParameter)),
            (long_path.as_str(), Err(BadArgument)),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line, offered), expected, "{line}");
        }
    }

    #[test]
    fn a_chunk_has_a_size_that_fits() {
        let chunk = |left, last| Ok(Command::Bdat(Chunk { left, last }));
        let cases = [
            ("BDAT 5", chunk(5, false)),
            ("bdat 0 last", chunk(0, true)),
            ("BDAT 18446744073709551615 LAST", chunk(u64::MAX, true)),
            ("BDAT 18446744073709551616", Err(BadChunk)),
            ("BDAT -1", Err(BadChunk)),
            ("BDAT +1", Err(BadChunk)),
            ("BDAT 0x10", Err(BadChunk)),
            ("BDAT 1e3", Err(BadChunk)),
            ("BDAT", Err(BadChunk)),
            ("BDAT LAST", Err(BadChunk)),
            ("BDAT\t5 LAST", Err(BadChunk)),
            (" bdat 5 LAST", Err(BadChunk)),
            ("BDAT\u{a0}5", Err(BadChunk)),
            ("BDAT:5", Err(BadChunk)),
            ("BDATA 5", Err(UnknownVerb)),
            ("BDA T5", Err(UnknownVerb)),
            ("BDAT 5 FIRST", Err(BadChunk)),
            ("BDAT 5 LAST LAST", Err(BadChunk)),
            ("LHLO client.example", Ok(Command::Lhlo("client.example".into()))),
            ("LHLO", Err(BadArgument)),
            ("XCLIENT ADDR=192.0.2", Err(BadArgument)),
            ("CLIENTID UUID 1", Err(UnknownVerb)),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line, Offered::ALL), expected, "{line}");
        }
    }

    #[test]
    fn what_was_not_offered_is_not_known() {
        let nothing = Offered {
            bare_paths: false,
            origin: None,
            auth: false,
            dsn: false,
            require_tls: false,
            future_release: false,
            xclient: false,
            xforward: false,
        };
        let cases = [
            ("MAIL FROM:<> AUTH=<>", UnknownParameter),
            ("MAIL FROM:<> REQUIRETLS", UnknownParameter),
            ("MAIL FROM:<> RET=HDRS", UnknownParameter),
            ("MAIL FROM:<> ENVID=x", UnknownParameter),
            ("RCPT TO:<a@b> NOTIFY=SUCCESS", UnknownParameter),
            ("RCPT TO:<a@b> NOTIFY", UnknownParameter),
            ("RCPT TO:<a@b> ORCPT=rfc822;a@b", UnknownParameter),
            ("MAIL FROM:<> HOLDFOR=1", UnknownParameter),
            ("MAIL FROM:<> HOLDUNTIL=1970-01-02T00:00:00Z", UnknownParameter),
            ("XCLIENT ADDR=192.0.2.1", NotTrusted),
            ("XCLIENT nonsense", NotTrusted),
            ("XFORWARD ADDR=192.0.2.1", NotTrusted),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line, nothing), Err(expected), "{line}");
        }
    }

    #[test]
    fn who_submitted_a_message_is_read_as_it_is_said() {
        for by in ["<>", "joe+40a.example", "+4"] {
            let command = parse(&format!("MAIL FROM:<ann@example.org> AUTH={by}"), Offered::ALL);
            let Ok(Command::Mail(_, parameters)) = command else { panic!("{by}: {command:?}") };
            assert_eq!(parameters.submitter.as_deref(), Some(by));
        }
    }
}
