//! The authors of a From field: every address that a mail program could show for one, however the field is written.
//!
//! Programs forgive differently, so that there is no one right reading of a field that breaks the grammar. All readings
//! that are known are taken together: whoever checks them all has checked the one that a reader sees. What the known
//! programs share: the address in `<>` counts and what stands before it is a name (Thunderbird, Outlook, Gmail); comments
//! and quoted text are names, never addresses; a route means nothing (RFC 5322 §4.4); commas separate, quoted or not, as
//! soon as a quote is missing; an element of the list that holds no address is shown as it stands, quotes and all. Where
//! they differ: several `<>` in a row (Outlook shows the first, others the last); an
//! unquoted address before `<>`; encoded words in place of an address, which the apps of phones decode before they look
//! for one, a few of them from UTF-7 too; what stands behind a NUL or line end that comes out of such a word. There each one is an author.

use std::collections::HashSet;

use super::lexer::{Kind, Token, lex, lex_mended};
use super::{MAX_ENTRIES, Piece, pieces, split_route};
use crate::address::{Address, Host, LocalPart};
use crate::charset;
use crate::domain::Domain;
use crate::encoded_word::{decode_otherwise_with_breaks, decode_with_breaks};
use crate::header::unfold;
use crate::visible::as_seen;

/// Stands for a character behind which some readers see nothing: what is on either side is read as an element of its own.
const BREAK: char = ',';

/// Longest field whose authors are told, in octets: ours, three hundred addresses. It is read in every way that a reader may
/// have, by each step that asks whose a message is; the longest header field would keep a processor busy for nobody honest.
pub const MAX_AUTHORS: usize = 8 * 1024;

/// Why a From field names no author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAuthors {
    /// Nothing in it could be taken for an address with a host.
    #[error("the From field names no address")]
    Malformed,
    /// `undisclosed-recipients:;` (RFC 6854 permits a group in From): its members count, and there are none.
    #[error("the From field names a group without an address")]
    Group,
    /// Over [`MAX_ENTRIES`], or longer than [`MAX_AUTHORS`].
    #[error("the From field names more than {MAX_ENTRIES} addresses, or is longer than {MAX_AUTHORS} octets")]
    TooMany,
}

/// Everybody whom a reader could take for an author; at least one host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authors {
    addresses: Vec<Address>,
    hosts: Vec<Host>,
    names: Vec<Host>,
    odd_addresses: bool,
    odd_hosts: bool,
}

impl Authors {
    /// The addresses, each once: those in `<>` before those that a name hides.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// All addresses, unless something else is shown as one beside them.
    pub fn all_addresses(&self) -> Option<&[Address]> {
        (!self.odd_addresses && !self.odd_hosts).then_some(&self.addresses)
    }

    /// Where they live, each once; also of what has no local part that an address may have.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Those of the hosts that stand in no more than a name: `ann@x.example <bob@y.example>`, as careless programs write it,
    /// is from `y.example` to most readers.
    pub fn names(&self) -> &[Host] {
        &self.names
    }

    /// Whether something is shown as an address whose host is none.
    pub fn has_odd_host(&self) -> bool {
        self.odd_hosts
    }
}

/// The authors that a From field names, read as tolerantly as any mail program reads it.
pub fn authors(value: &[u8]) -> Result<Authors, BadAuthors> {
    if value.len() > MAX_AUTHORS {
        return Err(BadAuthors::TooMany);
    }
    let mut reader = Reader::default();
    let (broken, whole, shown) = (broken_at_controls(value), without_controls(value), unfold(value));
    reader.list(&broken, Encoded::Decode);
    if whole != broken {
        reader.list(&whole, Encoded::Decode);
    }
    if shown != whole && shown != broken {
        // A control is a letter like any other to our own display.
        reader.list(&shown, Encoded::Decode);
    }
    if reader.found.hosts.is_empty() {
        reader.last_resort(&whole);
    }
    let firm = std::mem::take(&mut reader.firm);
    reader.found.names = reader.found.hosts.iter().filter(|host| !firm.contains(host)).cloned().collect();
    match reader {
        Reader { found, .. } if found.hosts.len() > MAX_ENTRIES || found.addresses.len() > MAX_ENTRIES => {
            Err(BadAuthors::TooMany)
        }
        Reader { found, .. } if !found.hosts.is_empty() => Ok(found),
        Reader { group: true, .. } => Err(BadAuthors::Group),
        Reader { .. } => Err(BadAuthors::Malformed),
    }
}

/// The field on one line without controls: some readers drop them and read on.
fn without_controls(value: &[u8]) -> String {
    unfold(value).chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

/// The field on one line with a break for each control that has no business there: some readers see nothing behind it.
fn broken_at_controls(value: &[u8]) -> String {
    let mut line = Vec::with_capacity(value.len());
    let mut folds = false;
    for &octet in value.trim_ascii().iter().rev() {
        // RFC 5322 §2.2.3: a line end before white space is folding.
        folds = if b"\r\n".contains(&octet) { folds } else { b" \t".contains(&octet) };
        if !(folds && b"\r\n".contains(&octet)) {
            line.push(octet);
        }
    }
    line.reverse();
    charset::guess(&line).chars().map(|c| if c.is_control() && c != '\t' { BREAK } else { c }).collect()
}

/// Whether encoded words are still to be looked into: what comes out of one holds none (RFC 2047 §2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoded {
    Decode,
    Decoded,
}

/// Where an address stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In `<>`: all of it is the address.
    Angle,
    /// Where no `<>` has one: words before and behind it are names and junk.
    Bare,
    /// Among the words before `<>`. `Ann @ Work` and `me@home` are names.
    Name,
}

#[derive(Default)]
struct Reader {
    found: Authors,
    seen: HashSet<Address>,
    seen_hosts: HashSet<Host>,
    /// Those that stand elsewhere than in a name.
    firm: HashSet<Host>,
    group: bool,
}

impl Reader {
    fn list(&mut self, text: &str, encoded: Encoded) {
        self.as_written(text, encoded);
        // What people take for `@`, `<` or a dot some programs do as well.
        let seen: String = text.chars().filter_map(as_seen).collect();
        if seen != text {
            self.as_written(&seen, encoded);
        }
    }

    fn as_written(&mut self, text: &str, encoded: Encoded) {
        let (mended, whole) = (lex_mended(text), lex(text));
        self.tokens(&mended, encoded);
        // What is opened and never closed goes to the end for other readers, such as our own display.
        if whole.len() != mended.len() {
            self.tokens(&whole, encoded);
        }
    }

    fn tokens(&mut self, tokens: &[Token<'_>], encoded: Encoded) {
        for piece in pieces(tokens) {
            match piece {
                Piece::Address(tokens) => self.element(tokens, encoded),
                Piece::GroupStart(_) => self.group = true,
                Piece::GroupEnd => {}
            }
            if self.found.hosts.len() > MAX_ENTRIES {
                break;
            }
        }
    }

    /// One element of the list, between two separators.
    fn element(&mut self, tokens: &[Token<'_>], encoded: Encoded) {
        let (name, angles) = regions(tokens);
        let mut named = false;
        self.found.odd_hosts |= goes_on_in_brackets(&angles);
        for Angle { tokens: angle, .. } in &angles {
            named |= self.addresses(angle, Place::Angle);
            self.decoded(angle, encoded);
        }
        let place = if named { Place::Name } else { Place::Bare };
        named |= self.addresses(&name, place);
        let all: Vec<Token<'_>> = tokens.iter().copied().filter(is_no_comment).collect();
        if !named && !angles.is_empty() {
            // `=?utf-8?q?Ann_<ann?=@x.example>`
            self.decoded(&all, encoded);
        }
        if place == Place::Bare {
            self.decoded(&name, encoded);
        }
        if !named {
            self.last_resort(&raw(&all));
        }
    }

    /// What is read by those who decode before they look for an address, though RFC 2047 §5 allows no encoded word there.
    fn decoded(&mut self, tokens: &[Token<'_>], encoded: Encoded) {
        if encoded == Encoded::Decode && tokens.iter().any(|token| token.raw.contains("=?")) {
            let written = raw(tokens);
            self.list(&decode_with_breaks(&written, BREAK), Encoded::Decoded);
            if let Some(other) = decode_otherwise_with_breaks(&written, BREAK) {
                self.list(&other, Encoded::Decoded);
            }
        }
    }

    /// Every `@` with what stands around it; whether any has a host.
    fn addresses(&mut self, tokens: &[Token<'_>], place: Place) -> bool {
        let tokens = match split_route(tokens) {
            (route, rest) if place == Place::Angle && !route.is_empty() && rest.iter().any(is_at) => rest,
            _ => tokens,
        };
        let mut any = false;
        let mut start = 0;
        for at in (0..tokens.len()).filter(|at| is_at(&tokens[*at])) {
            let next = tokens[at + 1..].iter().position(is_at).map_or(tokens.len(), |next| at + 1 + next);
            let (before, behind) = (&tokens[start..at], &tokens[at + 1..next]);
            start = at + 1;
            let joined = !tokens[at].spaced && behind.first().is_some_and(|token| !token.spaced);
            if place == Place::Name && !(joined && before.last().is_some_and(is_word)) {
                continue;
            }
            any |= self.address(local_text(before, place).as_deref(), behind, place);
            // What the name for people shows beside the author is looked at as a name.
            self.found.odd_hosts |= place != Place::Name && goes_on(behind, place, next < tokens.len());
        }
        any
    }

    fn address(&mut self, local: Option<&str>, behind: &[Token<'_>], place: Place) -> bool {
        let (host, rest) = host_behind(behind);
        if place == Place::Name
            && !matches!(&host, Some(Host::Domain(domain)) if domain.as_str().contains('.'))
        {
            return false;
        }
        let Some(host) = host else {
            self.found.odd_hosts = true;
            return false;
        };
        self.host(&host, place);
        if let Some(other) = unquoted_host(behind) {
            self.host(&other, place);
            self.found.odd_addresses |= other != host;
        }
        let local = local.map(|text| match text.strip_prefix('\'') {
            // `'ann@x.example'`, as Outlook writes names that are addresses.
            Some(inner) if rest.starts_with('\'') => inner,
            _ => text,
        });
        match local.and_then(local_part).and_then(|local| Address::join(local, host).ok()) {
            Some(address) => {
                if self.seen.insert(address.clone()) {
                    self.found.addresses.push(address);
                }
            }
            None => self.found.odd_addresses = true,
        }
        true
    }

    fn host(&mut self, host: &Host, place: Place) {
        if self.seen_hosts.insert(host.clone()) {
            self.found.hosts.push(host.clone());
        }
        if place != Place::Name {
            self.firm.insert(host.clone());
        }
    }

    /// Where nothing is an address, programs show the text as it is: `"ceo@bank.example"`, beside others or alone, and
    /// `(ceo@bank.example)` where the field holds nothing else. It stands for its host and is nobody's to write as.
    fn last_resort(&mut self, text: &str) {
        self.shown(&decode_with_breaks(text, BREAK));
        if let Some(other) = decode_otherwise_with_breaks(text, BREAK) {
            self.shown(&other);
        }
    }

    fn shown(&mut self, text: &str) {
        let text: String = text.chars().filter_map(as_seen).collect();
        let mut parts = text.split('@');
        let mut before = parts.next().unwrap_or_default();
        for behind in parts {
            let local = word_before(std::mem::replace(&mut before, behind));
            let word = behind.split_whitespace().next().unwrap_or_default();
            let (domain, rest) = domain_prefix(word);
            self.found.odd_hosts |= local.is_some() && is_name(word) && holds_text(rest);
            let domain = Domain::parse(domain).ok();
            let Some(domain) = domain.filter(|domain| local.is_some() && domain.as_str().contains('.'))
            else {
                continue;
            };
            let host = Host::Domain(domain);
            // What another reading has found already is odd no more.
            let address =
                local.and_then(local_part).and_then(|local| Address::join(local, host.clone()).ok());
            self.found.odd_addresses |= address.is_none_or(|address| !self.seen.contains(&address));
            self.host(&host, Place::Bare);
        }
    }
}

/// The word at the end of a text, up to what cannot stand in a local part without quotes.
fn word_before(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let ends = |c: char| c.is_whitespace() || "<>()[]\",;:".contains(c);
    let start = text.rfind(ends).map_or(0, |at| at + text[at..].chars().next().map_or(1, char::len_utf8));
    Some(&text[start..]).filter(|_| !text.is_empty())
}

fn is_at(token: &Token<'_>) -> bool {
    token.is("@")
}

fn is_word(token: &Token<'_>) -> bool {
    matches!(token.kind, Kind::Atom | Kind::Quoted)
}

fn is_quoted(token: &Token<'_>) -> bool {
    token.kind == Kind::Quoted
}

fn is_no_comment(token: &Token<'_>) -> bool {
    token.kind != Kind::Comment
}

/// What stands behind one `<`, up to its `>` or the next `<`.
struct Angle<'a> {
    tokens: Vec<Token<'a>>,
    /// Whether its `>` came before the next `<`.
    closed: bool,
}

/// What stands outside of `<>`, and what in each of them; without comments. A `>` stays outside, where it ends words.
fn regions<'a>(tokens: &[Token<'a>]) -> (Vec<Token<'a>>, Vec<Angle<'a>>) {
    let (mut name, mut angles) = (Vec::new(), Vec::<Angle<'a>>::new());
    let mut inside = false;
    for token in tokens.iter().copied().filter(is_no_comment) {
        if token.is("<") {
            angles.push(Angle { tokens: Vec::new(), closed: false });
            inside = true;
            continue;
        }
        if token.is(">") {
            inside = false;
            if let Some(angle) = angles.last_mut() {
                angle.closed = true;
            }
        }
        match angles.last_mut().filter(|_| inside) {
            Some(angle) => angle.tokens.push(token),
            None => name.push(token),
        }
    }
    (name, angles)
}

/// The tokens as they were written.
fn raw(tokens: &[Token<'_>]) -> String {
    join(tokens, |token| token.raw.to_owned())
}

/// Texts in a row, with a space where there was one, but for those around the dots of an address (RFC 5322 §4.4).
fn join(tokens: &[Token<'_>], text: impl Fn(&Token<'_>) -> String) -> String {
    let mut out = String::new();
    for token in tokens {
        if token.spaced && !out.is_empty() && !is_dotted(&out, token) {
            out.push(' ');
        }
        out.push_str(&text(token));
    }
    out
}

fn is_dotted(before: &str, token: &Token<'_>) -> bool {
    before.ends_with('.') || token.raw.starts_with('.')
}

/// What stands before the `@`: all of it in `<>`, else the last word.
fn local_text(before: &[Token<'_>], place: Place) -> Option<String> {
    match &before[local_start(before, place)..] {
        [] => None,
        [word] => Some(word.raw.to_owned()),
        words => Some(join(words, text_of)),
    }
}

fn local_start(before: &[Token<'_>], place: Place) -> usize {
    match place {
        Place::Angle => before.iter().rposition(|token| !is_word(token)).map_or(0, |at| at + 1),
        Place::Bare | Place::Name => {
            let words = before.iter().rev().take_while(|token| is_word(token)).count();
            let mut start = before.len();
            while start > before.len() - words
                && before.get(start).is_none_or(|next| !next.spaced || is_dotted(before[start - 1].raw, next))
            {
                start -= 1;
            }
            start
        }
    }
}

fn text_of(token: &Token<'_>) -> String {
    token.text()
}

/// A local part as it is, or as the quoted text that a reader sees.
fn local_part(text: &str) -> Option<LocalPart> {
    let quoted = || format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    LocalPart::parse(text).or_else(|_| LocalPart::parse(&quoted())).ok()
}

/// The host behind an `@`, and what its word goes on with. What cannot stand in a name ends it: some readers make a link of
/// what is before that.
fn host_behind(behind: &[Token<'_>]) -> (Option<Host>, String) {
    let Some(first) = behind.first() else { return (None, String::new()) };
    if first.kind == Kind::Literal {
        return (Host::parse(first.raw).ok(), String::new());
    }
    let word = &behind[..host_word(behind)];
    // What stands before a quote is shown by some readers as all of it, and quotes first by none.
    let text = match word.iter().position(is_quoted) {
        Some(1..) => raw(word),
        Some(0) | None => join(word, text_of),
    };
    if let Ok(host) = Host::parse(&text) {
        return (Some(host), String::new());
    }
    let (domain, rest) = domain_prefix(&text);
    if let Ok(domain) = Domain::parse(domain) {
        return (Some(Host::Domain(domain)), rest.to_owned());
    }
    let seen: String = text.chars().filter_map(as_seen).collect();
    (Domain::parse(domain_prefix(&seen).0).ok().map(Host::Domain), String::new())
}

/// The host of `bank."example"` to those who read on through the quotes.
fn unquoted_host(behind: &[Token<'_>]) -> Option<Host> {
    let word = &behind[..host_word(behind)];
    word.iter().any(is_quoted).then(|| join(word, text_of)).and_then(|text| Host::parse(&text).ok())
}

/// How many of the tokens behind an `@` are its word: as far as no blank ends it, but one beside a dot (RFC 5322 §4.4).
fn host_word(behind: &[Token<'_>]) -> usize {
    let mut text = String::new();
    for (at, token) in behind.iter().enumerate() {
        if !is_word(token) || token.spaced && !text.is_empty() && !is_dotted(&text, token) {
            return at;
        }
        text.push_str(&token.text());
    }
    behind.len()
}

/// Whether more is shown behind an `@` than a host that could be read. Some readers show `<joe@x.example*.bank.example>` as it
/// stands, to others the `*` is the end: `x.example` has no word in what the first of them take it for. Marks alone are left
/// over from brackets and quotes. In no brackets words may follow behind a blank, and the local part of a next address, but
/// nothing that looks like a name of a host.
fn goes_on(behind: &[Token<'_>], place: Place, is_followed: bool) -> bool {
    let end = match behind.first() {
        Some(first) if first.kind == Kind::Literal => 1,
        _ => host_word(behind),
    };
    let (word, rest) = behind.split_at(end);
    // No host has quotes: `<joe@x.example"bank">`. All of one in quotes is read alike by who reads it at all.
    if word.iter().any(is_quoted) && word.iter().skip(1).any(|token| holds_text(token.raw)) {
        return true;
    }
    if Host::parse(&join(word, text_of)).is_err() && holds_text(&host_behind(word).1) {
        return true;
    }
    if place == Place::Angle {
        return holds_text(&join(rest, text_of));
    }
    let is_joined =
        |at: &usize| !behind[*at].spaced || *at > 0 && is_dotted(&behind[at - 1].text(), &behind[*at]);
    let joined = (end..behind.len()).take_while(is_joined).count();
    let (joined, mut apart) = rest.split_at(joined);
    if is_followed {
        apart = &apart[..local_start(apart, place)];
    }
    let words: String = apart
        .iter()
        .flat_map(|token| [if token.spaced { " " } else { "" }.to_owned(), token.text()])
        .collect();
    holds_text(&join(joined, text_of)) || words.split_whitespace().any(is_name)
}

/// The same of what stands behind a second `<`, in `<joe@x.example<.bank.example>`: one more sign that no host has.
fn goes_on_in_brackets(angles: &[Angle<'_>]) -> bool {
    let mut is_open = false;
    angles.iter().any(|Angle { tokens, closed }| {
        let has_at = tokens.iter().any(is_at);
        let goes_on = is_open && !has_at && holds_text(&raw(tokens));
        is_open = !closed && (is_open || has_at);
        goes_on
    })
}

fn holds_text(text: &str) -> bool {
    text.contains(char::is_alphanumeric)
}

/// Whether text could be read as the name of a host: some dot has a letter or digit behind it.
fn is_name(word: &str) -> bool {
    let mut letters = word.chars();
    letters.any(|c| c == '.') && letters.any(char::is_alphanumeric)
}

/// The longest beginning that could be a domain, and the rest.
fn domain_prefix(text: &str) -> (&str, &str) {
    let is_of_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_') || !c.is_ascii();
    let end = text.find(|c| !is_of_domain(c)).unwrap_or(text.len());
    (text[..end].trim_end_matches(['.', '-']), &text[end..])
}
