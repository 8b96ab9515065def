//! Address lists of header fields (RFC 5322 §3.4): as one reader shows them, and whom any reader could take for the author.
//!
//! Both readings share one lexer and one way to split the list, so that whatever address is shown is among the authors.

mod authors;
mod lexer;
pub(crate) mod names;
mod places;

pub use authors::{Authors, BadAuthors, MAX_AUTHORS, authors};
use lexer::{Kind, Token, lex};
pub use places::places;

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
    let tokens = lex(&text);
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

enum Piece<'t, 'a> {
    /// Between two separators; may be empty.
    Address(&'t [Token<'a>]),
    GroupStart(&'t [Token<'a>]),
    GroupEnd,
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

#[cfg(test)]
mod tests;
