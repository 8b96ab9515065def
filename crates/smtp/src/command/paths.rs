//! The path of MAIL and RCPT, parted from what follows it (RFC 5321 §4.1.2).

use kings_mail::address::{Address, Host, LocalPart, MAX_PATH};
use kings_mail::domain::Domain;
use kings_mail::path::{ForwardPath, ReversePath};

use super::{Offered, SyntaxError};
use crate::quirks;

/// Splits `KEYWORD<path> rest` into the text between the brackets and the rest. A `>` inside a quoted
/// string does not end the path. Where bare paths are taken the brackets may be missing.
pub(super) fn path_argument<'a>(
    rest: &'a str,
    keyword: &str,
    offered: Offered<'_>,
) -> Result<(&'a str, &'a str), SyntaxError> {
    let rest = quirks::skip_space_before_keyword(rest);
    let head = rest.get(..keyword.len()).filter(|head| head.eq_ignore_ascii_case(keyword));
    let argument = quirks::skip_space_after_colon(&rest[head.ok_or(SyntaxError::BadArgument)?.len()..]);
    match quirks::bare_path(argument, offered.origin.is_some()) {
        Some(parts) if offered.bare_paths => Ok(parts),
        Some(_) => Err(SyntaxError::NoBrackets),
        None => in_brackets(argument).ok_or(SyntaxError::BadArgument),
    }
}

/// The reverse-path, completed where it is a local part alone.
pub(super) fn reverse_path(text: &str, origin: Option<&Domain>) -> Option<ReversePath> {
    let parsed = ReversePath::parse(text).ok();
    parsed.or_else(|| completed(text, origin?).map(ReversePath::Address))
}

/// The same of a forward-path; `<Postmaster>` stays what it is everywhere (RFC 5321 §4.5.1).
pub(super) fn forward_path(text: &str, origin: Option<&Domain>) -> Option<ForwardPath> {
    let parsed = ForwardPath::parse(text).ok();
    parsed.or_else(|| completed(text, origin?).map(ForwardPath::Address))
}

/// `bob` at the origin. A name with a mark of a route in it, `joe%far.example` or `far.example!joe`, was meant for another
/// host by whoever wrote it, and is refused as ever.
fn completed(text: &str, origin: &Domain) -> Option<Address> {
    let name = LocalPart::parse(text).ok().filter(|name| !name.as_str().contains(['%', '!', '@', ':']))?;
    Address::join(name, Host::Domain(origin.clone())).ok()
}

fn in_brackets(argument: &str) -> Option<(&str, &str)> {
    let inside = argument.strip_prefix('<')?;
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
