//! Address lists of header fields (RFC 5322 §3.4): read leniently for display, strictly for the author.
//!
//! Both readings share one lexer and one way to split the list, so they cannot disagree about where an
//! address ends; they differ in what they forgive.

mod lexer;

use lexer::{Kind, Lexed, Token, lex};

use crate::address::{Address, is_atext};
use crate::header::{MAX_FIELD, unfold};

/// Most mailboxes and group marks read from one field, as many as one transaction has recipients.
/// A longer list is cut for display; the header itself keeps every address.
pub const MAX_ENTRIES: usize = 1_000;

/// One step of an address list, in the order that IMAP ENVELOPE shows (RFC 3501 §7.4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An address, or what stands where one should be.
    Mailbox(Mailbox),
    /// `friends:` with its display name; the mailboxes that follow belong to it.
    GroupStart(String),
    /// `;`, or the end of the field for a group that was not closed.
    GroupEnd,
}

/// An address as it is shown: nothing checked, encoded words left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The phrase before `<`, else the first comment (an older habit that RFC 5322 §3.4 still mentions).
    pub display_name: Option<String>,
    /// `@a,@b` of `<@a,@b:ann@c>` (RFC 5322 §4.4 `obs-route`); means nothing any more.
    pub route: Option<String>,
    /// Unquoted. Everything there is, where there is no `@`.
    pub local_part: String,
    /// Empty where there is none.
    pub domain: String,
}

/// Reads a field value (folded or not) as it comes: whatever it contains, something can be shown.
///
/// Octets beyond [`MAX_FIELD`] and entries beyond [`MAX_ENTRIES`] are ignored.
pub fn parse(value: &[u8]) -> Vec<Entry> {
    let text = unfold(&value[..value.len().min(MAX_FIELD)]);
    let tokens = lex(&text).tokens;
    let mut entries = Vec::new();
    let mut group = false;
    for piece in pieces(&tokens) {
        match piece {
            Piece::Address(tokens) => entries.extend(mailbox(tokens).map(Entry::Mailbox)),
            Piece::GroupStart(tokens) => entries.push(Entry::GroupStart(phrase(tokens))),
            Piece::GroupEnd => entries.push(Entry::GroupEnd),
        }
        group = matches!(
            (entries.last(), group),
            (Some(Entry::GroupStart(_)), _) | (Some(Entry::Mailbox(_)), true)
        );
        if entries.len() >= MAX_ENTRIES {
            break;
        }
    }
    if group {
        entries.push(Entry::GroupEnd);
    }
    entries
}

/// Why a From field does not name its authors beyond doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthors {
    /// Not a plain list of addresses: empty, obsolete, broken, or readable in two ways.
    #[error("the From field is not a list of plain addresses")]
    Malformed,
    /// RFC 6854 permits a group in From, but a group has no address that could be checked.
    #[error("the From field contains a group")]
    Group,
    /// Over [`MAX_ENTRIES`].
    #[error("the From field has more than {MAX_ENTRIES} addresses")]
    TooMany,
}

/// The addresses of a From field, at least one, if there is exactly one way to read it.
///
/// Stricter than RFC 5322 §3.4 on purpose: no routes, no empty list elements, no space or comment inside
/// an address, nothing behind `>`, no unquoted `@` in a display name, no address that looks like an
/// encoded word. Each of them makes some reader see another author than we do.
pub fn authors(value: &[u8]) -> Result<Vec<Address>, BadAuthors> {
    let text = std::str::from_utf8(value).map_err(|_| BadAuthors::Malformed)?;
    if value.len() > MAX_FIELD || !is_properly_folded(text) {
        return Err(BadAuthors::Malformed);
    }
    let text = unfold(value);
    let Lexed { tokens, broken } = lex(&text);
    if broken {
        return Err(BadAuthors::Malformed);
    }
    let pieces = pieces(&tokens);
    if pieces.iter().any(|piece| matches!(piece, Piece::GroupStart(_))) {
        return Err(BadAuthors::Group);
    }
    if pieces.is_empty() || tokens.iter().any(|token| token.is(";")) {
        return Err(BadAuthors::Malformed);
    }
    if pieces.len() > MAX_ENTRIES {
        return Err(BadAuthors::TooMany);
    }
    pieces.iter().map(|piece| author(piece.tokens())).collect()
}

/// No controls but tabs, and line ends only before white space or at the very end (RFC 5322 §2.2.3).
fn is_properly_folded(text: &str) -> bool {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
    let first = lines.next().unwrap_or_default();
    let is_clean = |line: &str| !line.contains(|c: char| c.is_control() && c != '\t');
    is_clean(first) && lines.all(|line| line.starts_with([' ', '\t']) && is_clean(line))
}

enum Piece<'t, 'a> {
    /// Between two separators; may be empty.
    Address(&'t [Token<'a>]),
    GroupStart(&'t [Token<'a>]),
    GroupEnd,
}

impl<'t, 'a> Piece<'t, 'a> {
    fn tokens(&self) -> &'t [Token<'a>] {
        match self {
            Self::Address(tokens) | Self::GroupStart(tokens) => tokens,
            Self::GroupEnd => &[],
        }
    }
}

/// Splits the list at its separators. A `;` outside a group separates as well, an old habit of some
/// clients; an empty list gives no piece, but each empty place beside a comma does.
fn pieces<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<Piece<'t, 'a>> {
    let mut splitter = Splitter { pieces: Vec::new(), group: false, angle: Angle::Outside, addressed: false };
    let mut start = 0;
    for (at, token) in tokens.iter().enumerate() {
        if splitter.ends_piece(token, &tokens[start..at]) {
            start = at + 1;
        }
    }
    let after_comma = tokens.last().is_some_and(|token| token.is(","));
    if start < tokens.len() || after_comma {
        splitter.pieces.push(Piece::Address(&tokens[start..]));
    }
    if splitter.group {
        splitter.pieces.push(Piece::GroupEnd);
    }
    splitter.pieces
}

struct Splitter<'t, 'a> {
    pieces: Vec<Piece<'t, 'a>>,
    group: bool,
    angle: Angle,
    /// The current element has an `@` or `<`: a colon in it starts no group.
    addressed: bool,
}

impl<'t, 'a> Splitter<'t, 'a> {
    /// Looks at one token, with those since the last separator before it; true if it is a separator.
    fn ends_piece(&mut self, token: &Token<'a>, before: &'t [Token<'a>]) -> bool {
        self.angle = self.angle.after(token);
        self.addressed |= token.is("@") || token.is("<");
        if token.is(":") && !self.group && !self.addressed {
            self.pieces.push(Piece::GroupStart(before));
            self.group = true;
        } else if token.is(",") && self.angle != Angle::Route {
            self.pieces.push(Piece::Address(before));
        } else if token.is(";") {
            self.end_group(before);
        } else {
            return false;
        }
        self.angle = Angle::Outside;
        self.addressed = false;
        true
    }

    fn end_group(&mut self, before: &'t [Token<'a>]) {
        if !before.is_empty() {
            self.pieces.push(Piece::Address(before));
        }
        if std::mem::take(&mut self.group) {
            self.pieces.push(Piece::GroupEnd);
        }
    }
}

/// Where a comma separates addresses and where it belongs to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Angle {
    Outside,
    /// Just behind `<`.
    Opened,
    /// Behind `<@`, before its `:`.
    Route,
    Inside,
}

impl Angle {
    fn after(self, token: &Token<'_>) -> Self {
        match self {
            _ if token.is("<") => Self::Opened,
            _ if token.is(">") => Self::Outside,
            Self::Opened if token.is("@") => Self::Route,
            Self::Opened => Self::Inside,
            Self::Route if token.is(":") => Self::Inside,
            other => other,
        }
    }
}

/// What a reader is shown for one element of the list; nothing for an empty one.
fn mailbox(tokens: &[Token<'_>]) -> Option<Mailbox> {
    let (comments, tokens): (Vec<Token<'_>>, Vec<Token<'_>>) =
        tokens.iter().copied().partition(|token| token.kind == Kind::Comment);
    if tokens.is_empty() {
        return None;
    }
    let opening = tokens.iter().position(|token| token.is("<"));
    let (name, address) = match opening {
        Some(at) => (&tokens[..at], &tokens[at + 1..]),
        None => (&tokens[..0], &tokens[..]),
    };
    let end = address.iter().position(|token| token.is(">")).unwrap_or(address.len());
    let (route, address) = split_route(&address[..end]);
    let at = address.iter().rposition(|token| token.is("@"));
    let (local_part, domain) = at.map_or((address, &address[..0]), |at| (&address[..at], &address[at + 1..]));
    let display_name = [phrase(name), comments.first().map(Token::text).unwrap_or_default()];
    Some(Mailbox {
        display_name: display_name.into_iter().find(|name| !name.is_empty()),
        route: (!route.is_empty()).then(|| phrase(route)),
        local_part: phrase(local_part),
        domain: phrase(domain),
    })
}

/// `@a,@b` and the rest behind its colon (RFC 5322 §4.4).
fn split_route<'t, 'a>(address: &'t [Token<'a>]) -> (&'t [Token<'a>], &'t [Token<'a>]) {
    let colon = address.iter().position(|token| token.is(":"));
    match (address.first(), colon) {
        (Some(first), Some(at)) if first.is("@") => (&address[..at], &address[at + 1..]),
        _ => (&address[..0], address),
    }
}

/// Texts of the tokens, joined as they stand, with one space where there was any. Comments go.
fn phrase(tokens: &[Token<'_>]) -> String {
    let mut out = String::new();
    for token in tokens.iter().filter(|token| token.kind != Kind::Comment) {
        if token.spaced && !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&token.text());
    }
    out
}

/// One element of the list as `name-addr` or `addr-spec` of RFC 5322 §3.4, without the obsolete forms.
fn author(tokens: &[Token<'_>]) -> Result<Address, BadAuthors> {
    let address = match tokens.iter().position(|token| token.is("<")) {
        Some(at) => {
            let (name, rest) = (&tokens[..at], &tokens[at + 1..]);
            let end = rest.iter().position(|token| token.is(">")).ok_or(BadAuthors::Malformed)?;
            let behind = &rest[end + 1..];
            if !name.iter().all(is_word) || !behind.iter().all(|token| token.kind == Kind::Comment) {
                return Err(BadAuthors::Malformed);
            }
            &rest[..end]
        }
        None => without_outer_comments(tokens),
    };
    addr_spec(address).ok_or(BadAuthors::Malformed)
}

/// Comments around a bare address are display names in the old style; inside it they are refused.
fn without_outer_comments<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    let is_address = |token: &Token<'_>| token.kind != Kind::Comment;
    let start = tokens.iter().position(is_address).unwrap_or(tokens.len());
    let end = tokens.iter().rposition(is_address).map_or(start, |at| at + 1);
    &tokens[start..end]
}

/// A word of a display name: quoted, or an atom with the dots that RFC 5322 §4.1 `obs-phrase` lets in.
fn is_word(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Quoted | Kind::Comment => true,
        Kind::Atom => token.raw.chars().all(|c| is_atext(c) || c == '.'),
        Kind::Literal | Kind::Special => false,
    }
}

fn addr_spec(tokens: &[Token<'_>]) -> Option<Address> {
    let [local_part, at, host] = tokens else { return None };
    let joined = at.is("@") && !at.spaced && !host.spaced;
    let kinds = matches!(local_part.kind, Kind::Atom | Kind::Quoted)
        && matches!(host.kind, Kind::Atom | Kind::Literal);
    // A reader that decodes encoded words everywhere would find another address in it.
    if !joined || !kinds || local_part.raw.contains("=?") {
        return None;
    }
    Address::parse(&format!("{}@{}", local_part.raw, host.raw)).ok()
}

#[cfg(test)]
mod tests;
