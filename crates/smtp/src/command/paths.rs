//! The path of MAIL and RCPT, parted from what follows it (RFC 5321 §4.1.2).

use kings_mail::address::{Address, MAX_PATH};

use crate::quirks;

/// Splits `KEYWORD<path> rest` into the text between the brackets and the rest. A `>` inside a quoted
/// string does not end the path.
pub(super) fn path_argument<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let head = rest.get(..keyword.len())?;
    if !head.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let inside = quirks::skip_space_after_colon(&rest[keyword.len()..]).strip_prefix('<')?;
    let end = closing_bracket(inside)?;
    let after = &inside[end + 1..];
    let well_parted = after.is_empty() || after.starts_with(' ');
    (well_parted && end <= MAX_PATH - 2).then_some((&inside[..end], after.trim_start_matches(' ')))
}

fn closing_bracket(inside: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in inside.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Drops a source route, `@one,@two:user@domain`: it must be understood and ought to be ignored
/// (RFC 5321 §4.1.1.3). What is left is judged like any other address.
pub(super) fn without_route(path: &str) -> &str {
    let Some((route, address)) = path.split_once(':') else { return path };
    let is_hop =
        |hop: &str| hop.strip_prefix('@').is_some_and(|host| Address::parse(&format!("x@{host}")).is_ok());
    if route.split(',').all(is_hop) { address } else { path }
}
