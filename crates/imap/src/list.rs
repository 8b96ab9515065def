//! What LIST and LSUB answer (RFC 3501 §6.3.8, RFC 5258 §3). Pure: same mailboxes, same answer.

use std::collections::BTreeMap;

use kings_mail::net_unicode::composed;
use kings_mail::utf7;

use crate::command::{List, ListOptions};
use crate::pattern::Pattern;
use crate::response::{Attribute, Response};

/// A mailbox, or a name that is only subscribed or only stands above others.
#[allow(clippy::struct_excessive_bools, reason = "each answers a question of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Unicode, its levels parted by the separator.
    pub name: String,
    /// In the list of subscriptions.
    pub subscribed: bool,
    /// It can be selected.
    pub exists: bool,
    /// It stands for itself although it cannot be selected: a folder that others may be in.
    pub is_level: bool,
    /// What it is for (RFC 6154 §2).
    pub special_uses: Vec<Attribute>,
    /// A mailbox that exists, or such a folder, stands below it.
    pub has_children: bool,
}

/// One response, and the mailbox whose STATUS, or METADATA, the client wants to hear behind it (RFC 5819 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// LIST or LSUB.
    pub response: Response,
    /// Unicode; only one that can be selected.
    pub more_of: Option<String>,
}

/// The answer to `list` where these are `all` mailboxes.
pub fn lines(list: &List, all: &[Listed], separator: char) -> Vec<Line> {
    let answer = Answer::new(list, separator);
    // An empty pattern asks for the separator (RFC 3501 §6.3.8).
    if list.patterns.iter().all(Vec::is_empty) {
        return vec![answer.line(vec![Attribute::NoSelect], String::new(), false)];
    }
    let above = if list.lsub || list.recursive { answer.above_chosen(all) } else { BTreeMap::new() };
    let mut lines = Vec::new();
    for listed in all.iter().filter(|listed| answer.matches(&listed.name)) {
        let hides = above.get(listed.name.as_str()).copied().filter(|_| list.recursive);
        if is_chosen(list, listed) || hides == Some(true) {
            let attributes = attributes(list, listed);
            let mut line = answer.line(attributes, listed.name.clone(), hides.is_some());
            line.more_of = (listed.exists
                && (!list.status.is_empty() || !list.metadata.is_empty() || list.my_rights))
                .then(|| listed.name.clone());
            lines.push(line);
        }
    }
    let known =
        |name: &str| all.iter().any(|listed| listed.name == name && (!list.lsub || listed.subscribed));
    let parents = above.iter().filter(|(name, hides)| **hides && !known(name) && answer.matches(name));
    for (name, _) in parents {
        let attributes = if list.lsub {
            vec![Attribute::NoSelect]
        } else {
            vec![Attribute::NonExistent, Attribute::HasChildren]
        };
        lines.push(answer.line(attributes, (*name).to_owned(), list.recursive));
    }
    lines
}

/// What SELECT tells of its mailbox in IMAP4rev2 (RFC 9051 §6.3.2).
pub fn selected(listed: &Listed, separator: char) -> Response {
    let mut attributes =
        vec![if listed.has_children { Attribute::HasChildren } else { Attribute::HasNoChildren }];
    attributes.extend(&listed.special_uses);
    let mailbox = listed.name.clone();
    Response::List { lsub: false, attributes, separator, mailbox, child_info: Vec::new(), old_name: None }
}

/// What NOTIFY tells of a name that is new, gone, subscribed or not, or was another one before (RFC 5465 §5.4, RFC 5465 §5.5).
pub fn changed(listed: &Listed, separator: char, old_name: Option<String>) -> Response {
    let mut attributes = Vec::new();
    if !listed.exists {
        attributes.push(if listed.is_level { Attribute::NoSelect } else { Attribute::NonExistent });
    }
    attributes.push(if listed.has_children { Attribute::HasChildren } else { Attribute::HasNoChildren });
    attributes.extend(listed.subscribed.then_some(Attribute::Subscribed));
    attributes.extend(&listed.special_uses);
    let mailbox = listed.name.clone();
    Response::List { lsub: false, attributes, separator, mailbox, child_info: Vec::new(), old_name }
}

/// A command with its patterns ready to match.
struct Answer<'a> {
    list: &'a List,
    patterns: Vec<Pattern>,
    separator: char,
}

impl<'a> Answer<'a> {
    fn new(list: &'a List, separator: char) -> Self {
        let as_said = |pattern: &Vec<u8>| Pattern::new(&list.reference, pattern, separator);
        let mut patterns: Vec<Pattern> = list.patterns.iter().map(as_said).collect();
        // A client may spell a name otherwise than it is told (RFC 9051 §5.1).
        if let Some(reference) = respelt(&list.reference) {
            let respelt = list.patterns.iter().filter_map(|pattern| respelt(pattern));
            patterns.extend(respelt.map(|pattern| Pattern::new(&reference, &pattern, separator)));
            patterns.dedup();
        }
        Self { list, patterns, separator }
    }

    fn matches(&self, name: &str) -> bool {
        let wire = utf7::encode(name);
        self.patterns.iter().any(|pattern| pattern.matches(&wire))
    }

    /// Every name above one that is chosen, and whether one of those below it does not match the patterns, so that only
    /// the name above can tell of it (RFC 5258 §3.5). For `LSUB "" %` they stand for those below (RFC 3501 §6.3.9), and
    /// with RECURSIVEMATCH too (RFC 5258 §3.1).
    fn above_chosen<'n>(&self, all: &'n [Listed]) -> BTreeMap<&'n str, bool> {
        let mut above = BTreeMap::new();
        for listed in all.iter().filter(|listed| is_chosen(self.list, listed)) {
            let is_hidden = !self.matches(&listed.name);
            for (end, _) in listed.name.match_indices(self.separator) {
                *above.entry(&listed.name[..end]).or_default() |= is_hidden;
            }
        }
        above
    }

    fn line(&self, attributes: Vec<Attribute>, mailbox: String, tells_of_children: bool) -> Line {
        let ListOptions { subscribed, special_use } = self.list.select;
        let criteria = [(subscribed, "SUBSCRIBED"), (special_use, "SPECIAL-USE")];
        let child_info = criteria.into_iter().filter(|(asked, _)| tells_of_children && *asked);
        let response = Response::List {
            lsub: self.list.lsub,
            attributes,
            separator: self.separator,
            mailbox,
            child_info: child_info.map(|(_, word)| word).collect(),
            old_name: None,
        };
        Line { response, more_of: None }
    }
}

/// A name or pattern of the wire in the one spelling of Net-Unicode (RFC 5198 §3).
fn respelt(wire: &[u8]) -> Option<Vec<u8>> {
    let text = utf7::decode(std::str::from_utf8(wire).ok()?).ok()?;
    Some(utf7::encode(&composed(&text)).into_bytes())
}

/// Whether the selection options want it (RFC 5258 §3.1); names that only stand in the subscriptions show
/// where those are asked for.
fn is_chosen(list: &List, listed: &Listed) -> bool {
    let is_there = listed.exists || listed.is_level || listed.has_children;
    (if list.select.subscribed { listed.subscribed } else { is_there })
        && (!list.select.special_use || !listed.special_uses.is_empty())
}

fn attributes(list: &List, listed: &Listed) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    if !listed.exists {
        // RFC 3501 has no word for a name that is only subscribed; RFC 5258 §3 has.
        let is_missing = !listed.is_level && !listed.has_children && !list.lsub;
        attributes.push(if is_missing { Attribute::NonExistent } else { Attribute::NoSelect });
    }
    if list.lsub {
        return attributes;
    }
    attributes.push(if listed.has_children { Attribute::HasChildren } else { Attribute::HasNoChildren });
    if listed.subscribed && (list.tell.subscribed || list.select.subscribed) {
        attributes.push(Attribute::Subscribed);
    }
    attributes.extend(&listed.special_uses);
    attributes
}
