//! Sixty ways to make a server pass mail on for a stranger, for the session alone and for the whole server.
#![allow(dead_code, reason = "each of the tests that share the table looks at some of its words")]

pub(crate) const OUTSIDE: &str = "550 5.7.1";
pub(crate) const UNKNOWN: &str = "550 5.1.1";
pub(crate) const BAD_ADDRESS: &str = "501 5.1.3";
pub(crate) const BAD_ARGUMENT: &str = "501 5.5.4";
pub(crate) const NO_BRACKETS: &str = "501 5.5.2";
pub(crate) const BAD_PARAMETER: &str = "555 5.5.4";
pub(crate) const BAD_LINE: &str = "500 5.5.2";
pub(crate) const NEEDS_SMTPUTF8: &str = "553 5.6.7";
pub(crate) const LOGIN_FIRST: &str = "530 5.7.0";
pub(crate) const OK: &str = "250 2.1.5";

/// What a stranger on port 25 says behind `RCPT`, and the reply. A local part is opaque: with `@here.example`
/// behind it, it names a mailbox here or nobody.
pub(crate) const FORMS: [(&str, &str); 66] = [
    ("TO:<joe@other.example>", OUTSIDE),
    ("TO: <joe@other.example>", OUTSIDE),
    ("TO:<joe@OTHER.EXAMPLE>", OUTSIDE),
    ("TO:<joe@other.example.>", OUTSIDE),
    ("TO:<joe@here.example.other.example>", OUTSIDE),
    ("TO:<joe@other.here.example>", OUTSIDE),
    ("TO:<joe@nothere.example>", OUTSIDE),
    ("TO:<joe@example>", OUTSIDE),
    ("TO:<joe@localhost>", OUTSIDE),
    // The percent hack and bang paths.
    ("TO:<joe%other.example@here.example>", UNKNOWN),
    ("TO:<joe%other.example@mx.here.example>", OUTSIDE),
    ("TO:<joe%other.example>", BAD_ADDRESS),
    ("TO:<joe%other.example@>", BAD_ADDRESS),
    ("TO:<joe%other.example@[192.0.2.25]>", OUTSIDE),
    ("TO:<joe%other.example%here.example@here.example>", UNKNOWN),
    ("TO:<other.example!joe>", BAD_ADDRESS),
    ("TO:<other.example!joe@here.example>", UNKNOWN),
    ("TO:<other.example!joe@[192.0.2.25]>", OUTSIDE),
    ("TO:<here.example!other.example!joe>", BAD_ADDRESS),
    ("TO:<joe=other.example@here.example>", UNKNOWN),
    ("TO:<joe#other.example@here.example>", UNKNOWN),
    // Source routes.
    ("TO:<@here.example:joe@other.example>", OUTSIDE),
    ("TO:<@here.example,@x.example:joe@other.example>", OUTSIDE),
    ("TO:<@[192.0.2.25]:joe@other.example>", OUTSIDE),
    ("TO:<@localhost:joe@other.example>", OUTSIDE),
    ("TO:<@other.example:joe%other.example@here.example>", UNKNOWN),
    ("TO:<@here.example:@x.example:joe@other.example>", BAD_ADDRESS),
    ("TO:<@here.example:other.example!joe>", BAD_ADDRESS),
    ("TO:<@other.example:>", BAD_ADDRESS),
    // Quoted strings.
    ("TO:<\"joe@other.example\">", BAD_ADDRESS),
    ("TO:<\"joe@other.example\"@here.example>", UNKNOWN),
    ("TO:<\"joe@other.example\"@[192.0.2.25]>", OUTSIDE),
    ("TO:<\"joe%other.example\">", BAD_ADDRESS),
    ("TO:<\"joe%other.example\"@here.example>", UNKNOWN),
    ("TO:<\"joe\\@other.example\"@here.example>", UNKNOWN),
    ("TO:<\"ann@here.example\"@other.example>", OUTSIDE),
    ("TO:<\"ann\"@here.example\"@other.example>", BAD_ARGUMENT),
    ("TO:<\"@here.example:joe\"@other.example>", OUTSIDE),
    ("TO:<joe@other.example>@here.example>", BAD_ARGUMENT),
    ("TO:<\"joe@other.example> x\"@here.example>", UNKNOWN),
    // Two hosts.
    ("TO:<joe@other.example@here.example>", BAD_ADDRESS),
    ("TO:<joe@here.example@other.example>", BAD_ADDRESS),
    ("TO:<joe@other.example,ann@here.example>", BAD_ADDRESS),
    ("TO:<joe@other.example> <ann@here.example>", BAD_PARAMETER),
    ("TO:<joe@other.example><ann@here.example>", BAD_ARGUMENT),
    ("TO:<<joe@other.example>@here.example>", BAD_ARGUMENT),
    // Brackets, and what is no address.
    ("TO:<joe@other.example", BAD_ARGUMENT),
    ("TO:joe@other.example", NO_BRACKETS),
    ("TO:joe@other.example>", BAD_ARGUMENT),
    ("TO:<joe(@here.example)@other.example>", BAD_ADDRESS),
    ("TO:<joe@other.example(@here.example)>", BAD_ADDRESS),
    ("TO:<joe\t@other.example>", BAD_ADDRESS),
    ("TO:<joe @other.example>", BAD_ADDRESS),
    ("TO:<joe\0@other.example>", BAD_LINE),
    ("TO:<ann@here.example\r>", BAD_LINE),
    ("TO:<joe@[192.0.2.99]>", OUTSIDE),
    ("TO:<joe@[IPv6:::1]>", OUTSIDE),
    ("TO:<joe@other.example> NOTIFY=NEVER ORCPT=rfc822;ann@here.example", OUTSIDE),
    // Encoded words and look-alikes.
    ("TO:<=?utf-8?q?joe=40other.example=3e=20?=@here.example>", UNKNOWN),
    ("TO:<joe\u{ff20}other.example>", BAD_ADDRESS),
    ("TO:<joe\u{ff20}other.example@here.example>", BAD_ADDRESS),
    ("TO:<joe@here.example\u{3002}other.example>", BAD_ADDRESS),
    ("TO:<joe@here\u{ad}.example>", BAD_ADDRESS),
    ("TO:<joe@h\u{435}re.example>", OUTSIDE),
    ("TO:<j\u{f6}@other.example>", NEEDS_SMTPUTF8),
    // The one name without a host, which lives here.
    ("TO:<postmaster>", OK),
];

/// Senders that some servers trust: nobody, one of ours, our own host.
pub(crate) const SENDERS: [&str; 4] =
    ["<joe@elsewhere.example>", "<>", "<ann@here.example>", "<root@localhost>"];
