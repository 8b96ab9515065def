//! LIST and LSUB (RFC 3501 §6.3.8, RFC 3501 §6.3.9).

use std::collections::BTreeSet;

use kings_imap::command::List;
use kings_imap::pattern::Pattern;
use kings_imap::response::Attribute;
use kings_imap::{Response, Tagged};
use kings_mail::utf7;
use kings_store::{Listed, MailboxName, SpecialUse};

use super::{Client, Trouble};
use crate::connection::Wire;
use crate::socket::Link;

impl Client {
    pub(super) async fn list<S: Link>(&self, wire: &mut Wire<S>, list: &List) -> Result<Tagged, Trouble> {
        let all = self.on_account(kings_store::Account::list).await?;
        for response in responses(list, &all, self.separator()) {
            wire.respond(&response).await?;
        }
        Ok(Tagged::DONE)
    }
}

/// The answer. Pure: same mailboxes, same answer.
fn responses(list: &List, all: &[Listed], separator: char) -> Vec<Response> {
    let line = |attributes, mailbox| Response::List { lsub: list.lsub, attributes, separator, mailbox };
    // An empty pattern asks for the separator (RFC 3501 §6.3.8).
    if list.patterns.iter().all(Vec::is_empty) {
        return vec![line(vec![Attribute::NoSelect], String::new())];
    }
    let patterns: Vec<Pattern> =
        list.patterns.iter().map(|pattern| Pattern::new(&list.reference, pattern, separator)).collect();
    let matches = |name: &MailboxName| {
        let wire = utf7::encode(&name.text(separator));
        patterns.iter().any(|pattern| pattern.matches(&wire))
    };
    let chosen = all.iter().filter(|listed| is_chosen(list, listed) && matches(&listed.name));
    let mut lines: Vec<Response> =
        chosen.map(|listed| line(attributes(list, listed), listed.name.text(separator))).collect();
    if list.lsub {
        let parents = parents_of_hidden(all, &matches).into_iter().filter(matches);
        lines.extend(parents.map(|name| line(vec![Attribute::NoSelect], name.text(separator))));
    }
    lines
}

/// Whether the selection options want it (RFC 5258 §3.1); names that only stand in the subscriptions show
/// where those are asked for.
fn is_chosen(list: &List, listed: &Listed) -> bool {
    let is_there = listed.exists || listed.has_children;
    (if list.select.subscribed { listed.subscribed } else { is_there })
        && (!list.select.special_use || listed.special_use.is_some())
}

fn attributes(list: &List, listed: &Listed) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    if !listed.exists {
        // RFC 3501 has no word for a name that is only subscribed; RFC 5258 §3 has.
        let is_missing = !listed.has_children && !list.lsub;
        attributes.push(if is_missing { Attribute::NonExistent } else { Attribute::NoSelect });
    }
    if list.lsub {
        return attributes;
    }
    attributes.push(if listed.has_children { Attribute::HasChildren } else { Attribute::HasNoChildren });
    if listed.subscribed && (list.tell.subscribed || list.select.subscribed) {
        attributes.push(Attribute::Subscribed);
    }
    attributes.extend(listed.special_use.map(special_use));
    attributes
}

fn special_use(special: SpecialUse) -> Attribute {
    match special {
        SpecialUse::Archive => Attribute::Archive,
        SpecialUse::Drafts => Attribute::Drafts,
        SpecialUse::Junk => Attribute::Junk,
        SpecialUse::Sent => Attribute::Sent,
        SpecialUse::Trash => Attribute::Trash,
    }
}

/// Names above subscribed ones that do not match themselves: for `LSUB "" %` they stand for those below
/// (RFC 3501 §6.3.9).
fn parents_of_hidden(all: &[Listed], matches: &impl Fn(&MailboxName) -> bool) -> BTreeSet<MailboxName> {
    let subscribed: BTreeSet<&MailboxName> =
        all.iter().filter(|listed| listed.subscribed).map(|listed| &listed.name).collect();
    let hidden = subscribed.iter().filter(|name| !matches(name));
    let parents = hidden.flat_map(|name| std::iter::successors(name.parent(), MailboxName::parent));
    parents.filter(|name| !subscribed.contains(name)).collect()
}
