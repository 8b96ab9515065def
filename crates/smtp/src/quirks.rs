//! Tolerances for broken clients, each with its name and a transcript.

/// `MAIL FROM: <a@b>`: Outlook, old scanners and many scripts put a space after the colon
/// (transcript `outlook_space_after_colon.smtp`).
pub(crate) fn skip_space_after_colon(argument: &str) -> &str {
    argument.trim_start_matches(' ')
}

/// White space before CRLF is allowed for by RFC 5321 §4.1.1 (transcript `trailing_white_space.smtp`).
pub(crate) fn trim_line(line: &str) -> &str {
    line.trim_end_matches([' ', '\t'])
}
