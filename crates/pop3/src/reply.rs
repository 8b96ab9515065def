//! Every reply we say, with the codes of RFC 2449 §8 and RFC 3206.

use crate::command::BadCommand;

/// What programs read of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Another session has the maildrop (RFC 2449 §8.1.2).
    InUse,
    /// Too soon after the last login (RFC 2449 §8.1.1).
    LoginDelay,
    /// The credentials are at fault: ask for them again (RFC 3206 §5).
    Auth,
    /// Trouble that passes (RFC 3206 §4).
    SysTemp,
    /// Trouble that stays until somebody acts (RFC 3206 §4).
    SysPerm,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Self::InUse => "IN-USE",
            Self::LoginDelay => "LOGIN-DELAY",
            Self::Auth => "AUTH",
            Self::SysTemp => "SYS/TEMP",
            Self::SysPerm => "SYS/PERM",
        }
    }
}

/// One status line (RFC 1939 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// `+OK`, or else `-ERR`.
    pub is_ok: bool,
    /// For programs.
    pub code: Option<Code>,
    /// For people.
    pub text: &'static str,
}

impl Reply {
    /// The login succeeded.
    pub const LOGGED_IN: Self = Self::ok("Logged in");
    /// Name or password is wrong; the same for every reason, so that nobody learns which names exist.
    pub const LOGIN_FAILED: Self = Self::err(Code::Auth, "Login name or password is wrong");
    /// The response does not fit the mechanism.
    pub const BAD_RESPONSE: Self = Self::err(Code::Auth, "Malformed response");
    /// Too many failures within a minute.
    pub const TOO_MANY_FAILURES: Self =
        Self::err(Code::SysTemp, "Too many failed logins, try again in a minute");
    /// Logins cannot be checked now.
    pub const LOGIN_UNAVAILABLE: Self = Self::err(Code::SysTemp, "Logins are not possible now, try again");
    /// As many sessions as one account may have.
    pub const TOO_MANY_SESSIONS: Self = Self::err(Code::InUse, "Too many sessions of this account");
    /// Another session has the maildrop for itself.
    pub const IN_USE: Self = Self::err(Code::InUse, "Another session reads this mailbox");
    /// The last login was a moment ago.
    pub const LOGIN_DELAY: Self = Self::err(Code::LoginDelay, "Logged in a moment ago, try again later");
    /// The message was removed by another session or program.
    pub const GONE: Self = Self::bare("This message was removed elsewhere");
    /// Reading or removing failed for now.
    pub const TRY_LATER: Self = Self::err(Code::SysTemp, "Mail storage failed, try again later");
    /// A defect of ours.
    pub const SERVER_BUG: Self = Self::err(Code::SysPerm, "Internal error");
    /// The message is larger than anything that is read.
    pub const TOO_LARGE: Self = Self::err(Code::SysPerm, "This message is too large to be read");
    /// Not everything that was marked could be removed (RFC 1939 §6).
    pub const NOT_ALL_REMOVED: Self =
        Self::err(Code::SysTemp, "Some messages were not removed, they are still here");

    pub(crate) const GREETING: Self = Self::ok("Kings ready");
    pub(crate) const DONE: Self = Self::ok("Done");
    pub(crate) const PRIVACY_REQUIRED: Self = Self::bare("Begin TLS with STLS before logging in");
    pub(crate) const NO_STLS: Self = Self::bare("STLS is not available");
    pub(crate) const BEGIN_TLS: Self = Self::ok("Begin the TLS handshake");
    pub(crate) const UTF8: Self = Self::ok("Messages are sent as they are");
    pub(crate) const NO_STLS_BEHIND_UTF8: Self = Self::bare("STLS comes before UTF8");
    pub(crate) const PASSWORD_WANTED: Self = Self::ok("And the password, with PASS");
    pub(crate) const USER_FIRST: Self = Self::bare("USER comes before PASS");
    pub(crate) const USE_AUTH: Self = Self::bare("Use AUTH");
    pub(crate) const UNKNOWN_MECHANISM: Self = Self::bare("Unknown mechanism");
    pub(crate) const NOT_BASE64: Self = Self::bare("The response is not base64");
    pub(crate) const CANCELLED: Self = Self::bare("Login cancelled");
    pub(crate) const LOG_IN_FIRST: Self = Self::bare("Log in first");
    pub(crate) const ALREADY: Self = Self::bare("Already logged in");
    pub(crate) const NO_SUCH_MESSAGE: Self = Self::bare("There is no message of this number");
    pub(crate) const IS_DELETED: Self = Self::bare("This message is marked as deleted");
    pub(crate) const MARKED: Self = Self::ok("Marked as deleted");
    pub(crate) const BYE: Self = Self::ok("Logging out");
    pub(crate) const REMOVED: Self = Self::ok("Logging out, the marked messages are removed");
    pub(crate) const LINE_TOO_LONG: Self = Self::bare("The line is too long");

    const fn ok(text: &'static str) -> Self {
        Self { is_ok: true, code: None, text }
    }

    const fn err(code: Code, text: &'static str) -> Self {
        Self { is_ok: false, code: Some(code), text }
    }

    const fn bare(text: &'static str) -> Self {
        Self { is_ok: false, code: None, text }
    }

    /// A line of ours that ends the session.
    pub(crate) const fn bye(text: &'static str) -> Self {
        Self::err(Code::SysTemp, text)
    }

    pub(crate) fn write_to(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.is_ok { b"+OK " } else { b"-ERR " });
        if let Some(code) = self.code {
            out.extend_from_slice(format!("[{}] ", code.text()).as_bytes());
        }
        out.extend_from_slice(self.text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

impl From<BadCommand> for Reply {
    fn from(error: BadCommand) -> Self {
        Self::bare(match error {
            BadCommand::Unknown => "Unknown command",
            BadCommand::Missing => "An argument is missing",
            BadCommand::TooMany => "Too many arguments",
            BadCommand::NotANumber => "That is not the number of a message",
            BadCommand::NotACount => "That is not a number of lines",
            BadCommand::NotText => "An argument is not text",
        })
    }
}
