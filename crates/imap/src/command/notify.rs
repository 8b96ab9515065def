//! NOTIFY (RFC 5465 §3.1): which news a client wants of which mailboxes.

use super::fetch::{self, Item};
use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::{MAX_EVENT_GROUPS, MAX_EVENTS, MAX_FETCH_ITEMS, MAX_NAMED_MAILBOXES};
use crate::response::OTHERS_PREFIX;

/// NOTIFY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notify {
    /// No news at all.
    None,
    /// These, in the place of those before.
    Set(Wanted),
    /// An event was named that there is none of here: nothing changes (RFC 5465 §3.1).
    BadEvent,
}

/// What a client wants to hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// STATUS of each mailbox is told first.
    pub status: bool,
    /// News of the selected mailbox; none where nothing is said (RFC 5465 §3.1).
    pub selected: Option<SelectedNews>,
    /// News of others, and of names.
    pub groups: Vec<Group>,
}

/// News of the mailbox that is selected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedNews {
    /// Removals wait for a command that may tell them (RFC 5465 §6.1.2).
    pub delayed: bool,
    /// Message events alone.
    pub events: Events,
    /// What is told of each new message.
    pub items: Vec<Item>,
}

/// Mailboxes, and what is told of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which.
    pub mailboxes: Mailboxes,
    /// Nothing is NONE: those mailboxes are not told of, whatever stands behind.
    pub events: Events,
}

/// A choice of mailboxes (RFC 5465 §6, RFC 7377 §2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mailboxes {
    /// The selected one; only for MULTISEARCH.
    Selected,
    /// Those to which mail is delivered.
    Inboxes,
    /// All of the user.
    Personal,
    /// Those that are subscribed.
    Subscribed,
    /// These, and all below them.
    Subtree(Vec<String>),
    /// These, and those one level below them; only for MULTISEARCH.
    SubtreeOne(Vec<String>),
    /// These.
    Named(Vec<String>),
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one word that a client has said or has not")]
pub struct Events {
    /// `MessageNew` and `MessageExpunge`, which always come together (RFC 5465 §5).
    pub messages: bool,
    /// `FlagChange`
    pub flags: bool,
    /// `MailboxName`
    pub names: bool,
    /// `SubscriptionChange`
    pub subscriptions: bool,
    /// `MailboxMetadataChange`
    pub metadata: bool,
    /// `ServerMetadataChange`
    pub server_metadata: bool,
}

impl Events {
    /// Every event there is, as BADEVENT lists them (RFC 5465 §3.1). Messages have no annotations here.
    pub(crate) const WORDS: &'static str = "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
         MailboxMetadataChange ServerMetadataChange";

    /// Whether there is none: NONE.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Those of either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            messages: self.messages || other.messages,
            flags: self.flags || other.flags,
            names: self.names || other.names,
            subscriptions: self.subscriptions || other.subscriptions,
            metadata: self.metadata || other.metadata,
            server_metadata: self.server_metadata || other.server_metadata,
        }
    }

    fn are_of_messages(self) -> bool {
        Self { messages: self.messages, flags: self.flags, ..Self::default() } == self
    }
}

/// What is known of a mailbox when it is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Unicode, its levels parted by the separator.
    pub name: &'a str,
    /// In the list of subscriptions.
    pub subscribed: bool,
    /// Mail is delivered to it.
    pub is_inbox: bool,
}

impl Mailboxes {
    /// Whether a mailbox is among them. The selected one is for the caller to know.
    pub fn have(&self, mailbox: Candidate<'_>, separator: char) -> bool {
        let below = |name: &str| {
            mailbox.name.strip_prefix(name).filter(|rest| rest.is_empty() || rest.starts_with(separator))
        };
        match self {
            Self::Selected => false,
            Self::Inboxes => mailbox.is_inbox,
            Self::Personal => true,
            Self::Subscribed => mailbox.subscribed,
            Self::Subtree(names) => names.iter().any(|name| below(name).is_some()),
            Self::SubtreeOne(names) => {
                names.iter().any(|name| below(name).is_some_and(|rest| rest.matches(separator).count() <= 1))
            }
            Self::Named(names) => names.iter().any(|name| name == mailbox.name),
        }
    }

    /// Whether a mailbox that somebody else shares may be among them. *personal* and *inboxes* are one's own (RFC 5465 §6).
    pub fn may_be_of_others(&self) -> bool {
        let is_there = |name: &String| OTHERS_PREFIX.starts_with(name) || name.starts_with(OTHERS_PREFIX);
        match self {
            Self::Selected | Self::Inboxes | Self::Personal => false,
            Self::Subscribed => true,
            Self::Subtree(names) | Self::SubtreeOne(names) | Self::Named(names) => names.iter().any(is_there),
        }
    }

    /// The names that it says; they may be spelt otherwise than the mailboxes are.
    pub fn names_mut(&mut self) -> &mut [String] {
        match self {
            Self::Subtree(names) | Self::SubtreeOne(names) | Self::Named(names) => names,
            Self::Selected | Self::Inboxes | Self::Personal | Self::Subscribed => &mut [],
        }
    }
}

impl Wanted {
    /// What is wanted of a mailbox that is not selected: what any group says, up to one that says NONE.
    pub fn of(&self, mailbox: Candidate<'_>, separator: char) -> Events {
        all_of(self.groups.iter().filter(|group| group.mailboxes.have(mailbox, separator)))
    }

    /// The same of one that somebody else shares.
    pub fn of_shared(&self, mailbox: Candidate<'_>, separator: char) -> Events {
        let shared = self.groups.iter().filter(|group| group.mailboxes.may_be_of_others());
        all_of(shared.filter(|group| group.mailboxes.have(mailbox, separator)))
    }

    /// Whether anything is wanted of what somebody else may share.
    pub fn may_be_of_others(&self) -> bool {
        self.groups.iter().any(|group| group.mailboxes.may_be_of_others() && !group.events.is_none())
    }

    /// What is wanted of any mailbox.
    pub fn of_any(&self) -> Events {
        self.groups.iter().fold(Events::default(), |all, group| all.or(group.events))
    }
}

/// Up to one that says NONE.
fn all_of<'a>(groups: impl Iterator<Item = &'a Group>) -> Events {
    let groups = groups.take_while(|group| !group.events.is_none());
    groups.fold(Events::default(), |all, group| all.or(group.events))
}

/// What stands in the parentheses of one group, or NONE.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is one word that a client has said or has not")]
struct Said {
    new: bool,
    expunge: bool,
    /// FlagChange or AnnotationChange.
    of_messages: bool,
    is_bad: bool,
    events: Events,
    items: Vec<Item>,
}

pub(super) fn notify(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let notify = match cursor.word()?.as_str() {
        "NONE" => Notify::None,
        "SET" => set(cursor)?,
        _ => return Err(SyntaxError::Event),
    };
    Ok(Command::Request(Request::Notify(notify)))
}

fn set(cursor: &mut Cursor<'_>) -> Result<Notify, SyntaxError> {
    let status = cursor.eat_word(" STATUS");
    let mut wanted = Wanted { status, ..Wanted::default() };
    let (mut is_bad, mut groups) = (false, 0);
    while cursor.eat(b' ') {
        groups += 1;
        if groups > MAX_EVENT_GROUPS {
            return Err(SyntaxError::TooMany);
        }
        is_bad |= group(cursor, &mut wanted)?;
    }
    if groups == 0 {
        return Err(SyntaxError::Event);
    }
    Ok(if is_bad { Notify::BadEvent } else { Notify::Set(wanted) })
}

/// `(personal (MessageNew MessageExpunge))`; whether an event is not known.
fn group(cursor: &mut Cursor<'_>, wanted: &mut Wanted) -> Result<bool, SyntaxError> {
    cursor.expect(b'(', SyntaxError::Parenthesis)?;
    let word = cursor.word()?;
    let mailboxes = match word.as_str() {
        "SELECTED" | "SELECTED-DELAYED" => None,
        word => Some(filter(cursor, word)?),
    };
    cursor.space()?;
    let said = events(cursor)?;
    cursor.expect(b')', SyntaxError::Parenthesis)?;
    match mailboxes {
        // Nothing of a message is told unless its mailbox is selected (RFC 5465 §8).
        Some(_) if !said.items.is_empty() => return Err(SyntaxError::Event),
        Some(mailboxes) => wanted.groups.push(Group { mailboxes, events: said.events }),
        // Once, and for messages alone (RFC 5465 §6.1).
        None if wanted.selected.is_some() || !said.events.are_of_messages() => {
            return Err(SyntaxError::Event);
        }
        None => {
            let delayed = word == "SELECTED-DELAYED";
            wanted.selected = Some(SelectedNews { delayed, events: said.events, items: said.items });
        }
    }
    Ok(said.is_bad)
}

/// Which mailboxes, but for the selected one.
pub(super) fn filter(cursor: &mut Cursor<'_>, word: &str) -> Result<Mailboxes, SyntaxError> {
    match word {
        "INBOXES" => Ok(Mailboxes::Inboxes),
        "PERSONAL" => Ok(Mailboxes::Personal),
        "SUBSCRIBED" => Ok(Mailboxes::Subscribed),
        "SUBTREE" => names(cursor).map(Mailboxes::Subtree),
        "MAILBOXES" => names(cursor).map(Mailboxes::Named),
        _ => Err(SyntaxError::MailboxChoice),
    }
}

/// A name, or several in parentheses, with the space before them.
pub(super) fn names(cursor: &mut Cursor<'_>) -> Result<Vec<String>, SyntaxError> {
    cursor.space()?;
    let names = match cursor.peek() {
        Some(b'(') => cursor.list(MAX_NAMED_MAILBOXES, Cursor::mailbox)?,
        _ => vec![cursor.mailbox()?],
    };
    if names.is_empty() { Err(SyntaxError::MailboxChoice) } else { Ok(names) }
}

fn events(cursor: &mut Cursor<'_>) -> Result<Said, SyntaxError> {
    let mut said = Said::default();
    if cursor.eat_word("NONE") {
        return Ok(said);
    }
    let all = cursor.list(MAX_EVENTS, |cursor| event(cursor, &mut said))?;
    // RFC 5465 §5: each of them is nothing without the other, and what changes of messages is nothing without both.
    let is_whole = said.new == said.expunge && (said.new || !said.of_messages);
    if all.is_empty() || !is_whole {
        return Err(SyntaxError::Event);
    }
    said.events.messages = said.new;
    Ok(said)
}

fn event(cursor: &mut Cursor<'_>, said: &mut Said) -> Result<(), SyntaxError> {
    match cursor.word()?.as_str() {
        "MESSAGENEW" => {
            said.new = true;
            if cursor.eat_word(" (") {
                said.items = items(cursor)?;
            }
        }
        "MESSAGEEXPUNGE" => said.expunge = true,
        "FLAGCHANGE" => (said.events.flags, said.of_messages) = (true, true),
        "ANNOTATIONCHANGE" => (said.is_bad, said.of_messages) = (true, true),
        "MAILBOXNAME" => said.events.names = true,
        "SUBSCRIPTIONCHANGE" => said.events.subscriptions = true,
        "MAILBOXMETADATACHANGE" => said.events.metadata = true,
        "SERVERMETADATACHANGE" => said.events.server_metadata = true,
        _ => said.is_bad = true,
    }
    Ok(())
}

/// What is told of new messages. Nothing of it makes them seen.
fn items(cursor: &mut Cursor<'_>) -> Result<Vec<Item>, SyntaxError> {
    let mut items = Vec::new();
    loop {
        items.push(fetch::item(cursor)?.peeking());
        if items.len() > MAX_FETCH_ITEMS {
            return Err(SyntaxError::TooMany);
        }
        if cursor.eat(b')') {
            return Ok(items);
        }
        cursor.expect(b' ', SyntaxError::Parenthesis)?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parsed(text: &str) -> Result<Notify, SyntaxError> {
        match crate::command::parse(format!("a NOTIFY {text}").as_bytes())? {
            Command::Request(Request::Notify(notify)) => Ok(notify),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn news_are_chosen_by_mailbox_and_kind() {
        let messages = Events { messages: true, ..Events::default() };
        let flags = Events { flags: true, ..messages };
        let set = |wanted| Ok(Notify::Set(wanted));
        let group = |mailboxes, events| Group { mailboxes, events };
        let cases = [
            ("none", Ok(Notify::None)),
            (
                "SET (SELECTED (MessageNew (UID BODY[TEXT]) MessageExpunge))",
                set(Wanted {
                    selected: Some(SelectedNews {
                        delayed: false,
                        events: messages,
                        items: vec![Item::Uid, crate::command::fetch::tests::text_peeked()],
                    }),
                    ..Wanted::default()
                }),
            ),
            (
                "set status (selected-delayed (flagchange messagenew messageexpunge)) (subtree (a \"b c\") NONE)",
                set(Wanted {
                    status: true,
                    selected: Some(SelectedNews { delayed: true, events: flags, items: Vec::new() }),
                    groups: vec![group(
                        Mailboxes::Subtree(vec!["a".into(), "b c".into()]),
                        Events::default(),
                    )],
                }),
            ),
            (
                "SET (mailboxes INBOX (MailboxName)) (inboxes (MessageNew MessageExpunge))",
                set(Wanted {
                    groups: vec![
                        group(
                            Mailboxes::Named(vec!["INBOX".into()]),
                            Events { names: true, ..Events::default() },
                        ),
                        group(Mailboxes::Inboxes, messages),
                    ],
                    ..Wanted::default()
                }),
            ),
            ("SET (personal (MessageNew MessageExpunge AnnotationChange))", Ok(Notify::BadEvent)),
            ("SET (personal (Unheard))", Ok(Notify::BadEvent)),
            (
                "SET (SELECTED NONE)",
                set(Wanted {
                    selected: Some(SelectedNews {
                        delayed: false,
                        events: Events::default(),
                        items: Vec::new(),
                    }),
                    ..Wanted::default()
                }),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for text in [
            "",
            "SET",
            "SET STATUS",
            "SET ()",
            "SET (personal)",
            "SET (personal ())",
            "SET (personal (MessageNew))",
            "SET (personal (MessageExpunge))",
            "SET (personal (FlagChange))",
            "SET (personal (AnnotationChange))",
            "SET (selected (MailboxName))",
            "SET (selected NONE) (selected-delayed NONE)",
            "SET (subtree () (MailboxName))",
            "SET (subtree (MailboxName))",
            "SET (subtree-one a (MailboxName))",
            "SET (mailboxes \"\" (MailboxName))",
            "SET (somewhere (MailboxName))",
            "SET (personal (MessageNew () MessageExpunge))",
            "SET (personal (MessageNew (ALL) MessageExpunge))",
            "SET (personal (MessageNew (UID) MessageExpunge))",
            "SET (personal (MailboxName)",
            "SET (personal (MailboxName)))",
            "SET  (personal (MailboxName))",
            "NONE (personal NONE)",
        ] {
            assert!(parsed(text).is_err(), "{text}: {:?}", parsed(text));
        }
        let many = vec!["(personal NONE)"; MAX_EVENT_GROUPS + 1].join(" ");
        assert_eq!(parsed(&format!("SET {many}")), Err(SyntaxError::TooMany));
    }

    #[test]
    fn the_first_none_ends_the_choice() {
        let Ok(Notify::Set(wanted)) = parsed(
            "SET (mailboxes Quiet NONE) (subtree Work (MailboxName)) (subscribed (MessageNew MessageExpunge)) \
             (personal (SubscriptionChange))",
        ) else {
            panic!()
        };
        let of = |name, subscribed| wanted.of(Candidate { name, subscribed, is_inbox: false }, '.');
        let subscriptions = Events { subscriptions: true, ..Events::default() };
        assert_eq!(of("Quiet", true), Events::default());
        assert_eq!(of("Quiet.Other", false), subscriptions);
        assert_eq!(of("Work.a.b", false), Events { names: true, ..subscriptions });
        assert_eq!(of("Workshop", true), Events { messages: true, ..subscriptions });
    }

    #[test]
    fn a_level_below_is_no_more_than_one() {
        let one = Mailboxes::SubtreeOne(vec!["a".into()]);
        for (name, expected) in [("a", true), ("a/b", true), ("a/b/c", false), ("ab", false), ("b", false)] {
            assert_eq!(
                one.have(Candidate { name, subscribed: false, is_inbox: false }, '/'),
                expected,
                "{name}"
            );
        }
    }
}
