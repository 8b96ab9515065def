//! Replies: every sentence we say to a client, and those that other servers say to us.

use std::borrow::Cow;
use std::fmt;
use std::io::Write as _;

use kings_mail::domain::Domain;
pub use kings_mail::dsn::Status;
use kings_mail::id::TraceId;

/// One SMTP reply: basic code (RFC 5321 §4.2), enhanced code (RFC 3463 §2), and text.
///
/// A line break in the text makes a reply of several lines; other control characters leave as spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The basic code, 200 to 599.
    pub code: u16,
    /// The enhanced code; greeting, EHLO and 354 have none (RFC 2034 §3).
    pub status: Option<Status>,
    /// What a person reads.
    pub text: Cow<'static, str>,
}

impl Reply {
    /// DATA may begin.
    pub const START_MAIL: Self = Self::plain(354, "End with a line holding only a dot");
    /// A command succeeded.
    pub const OK: Self = Self::new(250, Status(2, 0, 0), "OK");
    /// MAIL succeeded.
    pub const SENDER_OK: Self = Self::new(250, Status(2, 1, 0), "OK");
    /// RCPT succeeded.
    pub const RECIPIENT_OK: Self = Self::new(250, Status(2, 1, 5), "OK");
    /// QUIT.
    pub const GOODBYE: Self = Self::new(221, Status(2, 0, 0), "Goodbye");
    /// STARTTLS: the handshake may begin.
    pub const START_TLS: Self = Self::new(220, Status(2, 0, 0), "Ready to start TLS");
    /// The login succeeded.
    pub const LOGGED_IN: Self = Self::new(235, Status(2, 7, 0), "Logged in");
    /// VRFY tells nothing about who exists (RFC 5321 §3.5.3).
    pub const CANNOT_VERIFY: Self = Self::new(252, Status(2, 1, 5), "Send the mail, it will be tried");
    /// HELP.
    pub const HELP: Self = Self::new(214, Status(2, 0, 0), "This is Kings, see RFC 5321");

    /// A command out of place (RFC 5321 §4.1.4).
    pub const BAD_SEQUENCE: Self = Self::new(503, Status(5, 5, 1), "Bad sequence of commands");
    /// No EHLO or HELO yet.
    pub const HELLO_FIRST: Self = Self::new(503, Status(5, 5, 1), "Say EHLO first");
    /// EHLO or HELO to an LMTP server (RFC 2033 §4.1).
    pub const LHLO_ONLY: Self = Self::new(500, Status(5, 5, 1), "This is an LMTP server, say LHLO");
    /// DATA with no accepted recipient.
    pub const NO_RECIPIENTS: Self = Self::new(503, Status(5, 5, 1), "No valid recipients");
    /// More was sent before the answer was read, where that is not allowed (RFC 2920 §3.1).
    pub const PIPELINED: Self = Self::new(503, Status(5, 5, 0), "Wait for the answer before you go on");
    /// The verb means nothing here.
    pub const UNKNOWN_COMMAND: Self = Self::new(500, Status(5, 5, 2), "Command unknown");
    /// The verb is known and never done.
    pub const NOT_IMPLEMENTED: Self = Self::new(502, Status(5, 5, 1), "Command not implemented");
    /// A command line over its limit (RFC 5321 §4.5.3.1.4).
    pub const LINE_TOO_LONG: Self = Self::new(500, Status(5, 5, 2), "Line too long");
    /// A command line with a bare CR, a bare LF, NUL, or bytes that are not UTF-8.
    pub const BAD_LINE: Self = Self::new(500, Status(5, 5, 2), "Lines must be text and end with CR LF");
    /// The argument of a command cannot be read.
    pub const BAD_ARGUMENT: Self = Self::new(501, Status(5, 5, 4), "Syntax error in the argument");
    /// An address stands without its angle brackets.
    pub const NO_BRACKETS: Self =
        Self::new(501, Status(5, 5, 2), "The address must stand in angle brackets, as in <name@example.org>");
    /// The argument of MAIL cannot be read.
    pub const BAD_REVERSE_PATH: Self = Self::new(501, Status(5, 1, 7), "Syntax error in the sender address");
    /// The argument of RCPT cannot be read.
    pub const BAD_FORWARD_PATH: Self =
        Self::new(501, Status(5, 1, 3), "Syntax error in the recipient address");
    /// A parameter of MAIL or RCPT that was not offered (RFC 5321 §4.1.1.11).
    pub const UNKNOWN_PARAMETER: Self = Self::new(555, Status(5, 5, 4), "Parameter not supported");
    /// HOLDFOR or HOLDUNTIL beyond what EHLO has told (RFC 4865 §3).
    pub const HOLD_TOO_LONG: Self = Self::new(501, Status(5, 5, 4), "Mail cannot wait that long here");
    /// XCLIENT or XFORWARD from somebody we do not know.
    pub const NOT_TRUSTED: Self = Self::new(550, Status(5, 7, 0), "You cannot speak for others here");
    /// An address beyond ASCII without SMTPUTF8 (RFC 6531 §3.5).
    pub const NEEDS_SMTPUTF8: Self = Self::new(553, Status(5, 6, 7), "Address needs SMTPUTF8");
    /// A filter refuses in no words of its own.
    pub const FILTER_REJECTS: Self = Self::new(550, Status(5, 7, 1), "Refused by a filter");
    /// A filter refuses for now, or cannot be asked.
    pub const FILTER_DEFERS: Self =
        Self::new(451, Status(4, 7, 1), "A filter does not take it now, try again later");
    /// A filter wants the connection closed.
    pub const FILTER_CLOSES: Self = Self::new(421, Status(4, 7, 1), "Closed by a filter, try again later");
    /// Something came before our greeting (RFC 5321 §4.3.1).
    pub const TALKED_EARLY: Self = Self::new(554, Status(5, 5, 0), "Wait for the greeting before you speak");
    /// BDAT that cannot be read: the session ends, as with Postfix, since its chunk would be taken for commands.
    pub const BAD_CHUNK: Self =
        Self::new(521, Status(5, 5, 4), "Syntax error: BDAT takes a number of octets, and LAST");
    /// No client talks like this by mistake: HTTP and the like.
    pub const NOT_SMTP: Self = Self::new(554, Status(5, 5, 0), "This is an SMTP server");

    /// MAIL or RCPT before the login that this port asks for (RFC 4954 §6).
    pub const LOGIN_FIRST: Self =
        Self::new(530, Status(5, 7, 0), "Log in first, after STARTTLS or on port 465");
    /// AUTH without TLS (RFC 4954 §4).
    pub const TLS_FIRST: Self = Self::new(538, Status(5, 7, 11), "Start TLS before you log in");
    /// A mechanism that is not offered (RFC 4954 §4).
    pub const UNKNOWN_MECHANISM: Self = Self::new(504, Status(5, 5, 4), "Mechanism not supported");
    /// The client gave up its login (RFC 4954 §4).
    pub const LOGIN_CANCELLED: Self = Self::new(501, Status(5, 7, 0), "Login cancelled");
    /// A response that is not base64 or does not fit its mechanism (RFC 4954 §4).
    pub const BAD_LOGIN_DATA: Self = Self::new(501, Status(5, 5, 2), "Cannot decode the response");
    /// Wrong name or password; the same for both (RFC 4954 §6).
    pub const LOGIN_REFUSED: Self = Self::new(535, Status(5, 7, 8), "Login name or password is wrong");
    /// Too many failures or too much to do (RFC 4954 §6).
    pub const LOGIN_LATER: Self = Self::new(454, Status(4, 7, 0), "Too many logins, try again in a minute");

    /// A content line with a bare CR, a bare LF or NUL (RFC 5321 §2.3.8).
    pub const BAD_LINE_ENDS: Self = Self::new(
        550,
        Status(5, 5, 2),
        "Message holds a bare CR, a bare LF or NUL: lines must end with CR LF",
    );
    /// Over the limit, announced or not (RFC 1870 §6).
    pub const MESSAGE_TOO_LARGE: Self = Self::new(552, Status(5, 3, 4), "Message is larger than we take");
    /// Over the limit of one transaction; more may follow in another (RFC 5321 §4.5.3.1.10).
    pub const TOO_MANY_RECIPIENTS: Self = Self::new(452, Status(4, 5, 3), "Too many recipients");
    /// No such account or alias.
    pub const UNKNOWN_USER: Self = Self::new(550, Status(5, 1, 1), "No such mailbox");
    /// A stranger writes to somebody who is not ours (RFC 5321 §3.6.2).
    pub const RELAY_DENIED: Self = Self::new(550, Status(5, 7, 1), "Relaying denied");
    /// Something here does not work now; the cause stays in our log.
    pub const TRY_LATER: Self = Self::new(451, Status(4, 3, 0), "Local trouble, try again later");
    /// Mail of ours that should be signed, and the key cannot be used; the cause stays in our log.
    pub const UNSIGNED: Self =
        Self::new(451, Status(4, 7, 0), "The message cannot be signed now, try again later");
    /// DNS gives no answer about the sender, and mail is refused where it says no (RFC 3463 §3.5).
    pub const SENDER_UNSURE: Self =
        Self::new(451, Status(4, 4, 3), "Cannot look up the sender's name now, try again later");
    /// No mail server calls itself this.
    pub const BAD_HELO: Self = Self::new(550, Status(5, 7, 1), "EHLO name is not a full host name");
    /// The name in EHLO leads nowhere.
    pub const UNKNOWN_HELO: Self = Self::new(550, Status(5, 7, 1), "EHLO name is not in DNS");
    /// The sender's domain leads nowhere.
    pub const UNKNOWN_SENDER_DOMAIN: Self = Self::new(550, Status(5, 1, 8), "Sender domain does not exist");
    /// The sender's domain takes no mail, so no report could reach it (RFC 7505 §4.2).
    pub const SENDER_TAKES_NO_MAIL: Self = Self::new(550, Status(5, 7, 27), "Sender domain takes no mail");
    /// The disk is full.
    pub const NO_SPACE: Self = Self::new(452, Status(4, 3, 1), "Not enough space, try again later");
    /// Memory is short.
    pub const NO_MEMORY: Self =
        Self::new(421, Status(4, 3, 1), "Too much mail on its way for our memory, try again later");
    /// The recipient's mailbox is full, and may have room later (RFC 3463 §3.3).
    pub const MAILBOX_FULL: Self = Self::new(452, Status(4, 2, 2), "Mailbox full, try again later");
    /// The same where the sender shall hear of it at once.
    pub const MAILBOX_FULL_NOW: Self = Self::new(552, Status(5, 2, 2), "Mailbox full");
    /// Aliases lead to each other.
    pub const ALIAS_LOOP: Self =
        Self::new(451, Status(4, 3, 5), "Alias does not end, the postmaster must mend it");
    /// The message has been here too often (RFC 5321 §6.3).
    pub const LOOP: Self = Self::new(554, Status(5, 4, 6), "Too many hops, the message is looping");
    /// An alias has sent the message on before, as its Delivered-To says (RFC 9228 §4).
    pub const FORWARDING_LOOP: Self =
        Self::new(554, Status(5, 4, 6), "Mail forwarding loop, an alias here has sent it on before");
    /// An alias would send it to another server, which would believe us that it is ours.
    pub const IN_OUR_NAME: Self =
        Self::new(550, Status(5, 7, 1), "Not sent on: it says to be from here and does not prove it");
    /// The same where DNS does not tell.
    pub const OURS_UNSURE: Self = Self::new(
        451,
        Status(4, 4, 3),
        "Cannot tell now whether it is from here, as it says, try again later",
    );
    /// The account may not write as this reverse-path.
    pub const SENDER_NOT_YOURS: Self = Self::new(553, Status(5, 7, 1), "Sender address is not yours");
    /// The account may not write as this author.
    pub const AUTHOR_NOT_YOURS: Self = Self::new(550, Status(5, 7, 1), "From address is not yours");
    /// The client or the account is over one of its rates, as Postfix says it.
    pub const TOO_MUCH_MAIL: Self = Self::new(450, Status(4, 7, 1), "Too much mail at once, try again later");

    /// Too many unknown recipients from one client.
    pub const TOO_MANY_GUESSES: Self =
        Self::new(421, Status(4, 7, 0), "Too many unknown recipients, goodbye");
    /// Too many errors in one session.
    pub const TOO_MANY_ERRORS: Self = Self::new(421, Status(4, 7, 0), "Too many errors, goodbye");
    /// Too many commands that move no mail.
    pub const TOO_MANY_IDLE_COMMANDS: Self =
        Self::new(421, Status(4, 7, 0), "Too many commands without mail, goodbye");
    /// A command took too long, or the session did nothing for too long.
    pub const TIMEOUT: Self = Self::new(421, Status(4, 4, 2), "Too slow, goodbye");
    /// The server is going down.
    pub const SHUTDOWN: Self = Self::new(421, Status(4, 3, 2), "Server is stopping, try again soon");
    /// Too many connections.
    pub const BUSY: Self = Self::new(421, Status(4, 7, 0), "Too many connections, try again later");

    /// A reply with an enhanced code.
    pub const fn new(code: u16, status: Status, text: &'static str) -> Self {
        Self { code, status: Some(status), text: Cow::Borrowed(text) }
    }

    /// A reply without an enhanced code.
    pub const fn plain(code: u16, text: &'static str) -> Self {
        Self { code, status: None, text: Cow::Borrowed(text) }
    }

    /// The same code with another text.
    #[must_use]
    pub fn with_text(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// The first line of a session (RFC 5321 §4.3.1).
    pub fn greeting(hostname: &Domain, protocol: &str) -> Self {
        Self { code: 220, status: None, text: format!("{hostname} {protocol} Kings").into() }
    }

    /// The final reply to a message: we are responsible from here (RFC 5321 §6.1).
    pub fn accepted(id: TraceId) -> Self {
        Self { code: 250, status: Some(Status(2, 0, 0)), text: id.to_string().into() }
    }

    /// 2xx or 3xx.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// 4xx: worth a retry.
    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// 5xx: the same request will fail again.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// Whether nothing comes after it: 421 (RFC 5321 §3.8), and 521 as Postfix's access(5) has it, for clients that are
    /// not worth another word.
    pub fn hangs_up(&self) -> bool {
        matches!(self.code, 421 | 521)
    }

    /// Appends the wire form; every line repeats the code (RFC 5321 §4.2.1) and the enhanced code (RFC 2034 §4).
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            // Writing to a Vec cannot fail.
            let _ = match self.status {
                Some(status) => write!(out, "{}{mark}{status} ", self.code),
                None => write!(out, "{}{mark}", self.code),
            };
            push_visible(line, out);
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Control characters leave as spaces.
fn push_visible(line: &str, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(line.as_bytes());
    if line.chars().any(char::is_control) {
        out.truncate(start);
        let visible = line.chars().map(|c| if c.is_control() { ' ' } else { c });
        out.extend(visible.collect::<String>().into_bytes());
    }
}

impl fmt::Display for Reply {
    /// In one line, for logs, queue records and bounces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        let line: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match line.trim_end() {
            "" => Ok(()),
            line => write!(f, " {line}"),
        }
    }
}

/// Takes an enhanced code such as `5.1.1` from the start of a reply text (RFC 2034 §4); gives what follows it too.
pub(crate) fn split_status(text: &str) -> Option<(Status, &str)> {
    let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
    Some((Status::parse(code)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_repeats_both_codes() {
        let mut out = Vec::new();
        Reply::UNKNOWN_USER.with_text("first\nsecond\rthird").write_to(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), "550-5.1.1 first\r\n550 5.1.1 second third\r\n");
    }

    #[test]
    fn enhanced_codes_are_told_from_other_numbers() {
        let cases = [
            ("5.1.1 No such user", Some((Status(5, 1, 1), "No such user"))),
            ("2.0.0", Some((Status(2, 0, 0), ""))),
            ("4.7.26 x", Some((Status(4, 7, 26), "x"))),
            ("192.0.2.1 is listed", None),
            ("5.1 x", None),
            ("3.0.0 x", None),
            ("5.1.1000 x", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(split_status(text), expected, "{text}");
        }
    }
}
