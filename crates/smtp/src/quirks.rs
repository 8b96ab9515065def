//! Tolerances for broken clients, each with its name and a transcript.

use kings_mail::address::MAX_PATH;

/// `RCPT  TO:<a@b>`: some scripts put two spaces behind the verb, which Postfix takes as well
/// (transcript `two_spaces_behind_the_verb.smtp`).
pub(crate) fn skip_space_before_keyword(argument: &str) -> &str {
    argument.trim_start_matches(' ')
}

/// `MAIL FROM: <a@b>`: Outlook, old scanners and many scripts put a space after the colon
/// (transcript `outlook_space_after_colon.smtp`).
pub(crate) fn skip_space_after_colon(argument: &str) -> &str {
    argument.trim_start_matches(' ')
}

/// `MAIL FROM:ann@example.org SIZE=1`: the address up to the first space, and the rest. Scripts that hand in mail leave
/// the brackets out, and Postfix takes it (`strict_rfc821_envelopes = no`); so do we from our own users. Mail servers
/// write them all, so on port 25 and over LMTP whoever does not is told to (transcripts `no_angle_brackets.smtp`, `no_angle_brackets_from_users.smtp`).
///
/// Only what is an address and nothing else: without brackets a quoted string has no end. Where names are `completed` by a
/// domain, one without `@` is an address too.
pub(crate) fn bare_path(argument: &str, completed: bool) -> Option<(&str, &str)> {
    let (path, rest) = argument.split_once(' ').unwrap_or((argument, ""));
    // `Bob <bob@a>` is a name for people in front of an address.
    let is_address = path.contains('@') || (completed && !path.is_empty() && !rest.contains('<'));
    let is_plain = is_address && !path.contains(['<', '>', '"', '\\', ':', ',']);
    (is_plain && path.len() <= MAX_PATH - 2).then(|| (path, rest.trim_start_matches(' ')))
}

/// White space before CRLF is allowed for by RFC 5321 §4.1.1 (transcript `trailing_white_space.smtp`).
pub(crate) fn trim_line(line: &str) -> &str {
    line.trim_end_matches([' ', '\t'])
}
