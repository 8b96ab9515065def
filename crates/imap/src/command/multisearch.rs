//! ESEARCH: a search of several mailboxes (RFC 7377 §2.1).

use super::notify::{self, Mailboxes};
use super::search::{self, Key, Returns, Search};
use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::MAX_EVENT_GROUPS;

/// ESEARCH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiSearch {
    /// Which mailboxes: those of any of these. The selected one, where nothing is said.
    pub mailboxes: Vec<Mailboxes>,
    /// What to look for and to tell; always by UIDs.
    pub search: Search,
}

impl MultiSearch {
    /// Whether it means something that only the selected mailbox has: what was saved, or is to be (RFC 7377 §2.2).
    pub fn uses_saved(&self) -> bool {
        let saves = self.search.returns.is_some_and(|returns| returns.save);
        saves || self.search.key.as_ref().is_some_and(Key::has_saved)
    }

    /// Whether it names the selected mailbox.
    pub fn needs_selected(&self) -> bool {
        self.mailboxes.contains(&Mailboxes::Selected)
    }
}

pub(super) fn multi_search(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    let mut mailboxes = vec![Mailboxes::Selected];
    if cursor.eat_word(" IN ") {
        mailboxes = cursor.list(MAX_EVENT_GROUPS, source)?;
        if mailboxes.is_empty() {
            return Err(SyntaxError::MailboxChoice);
        }
    }
    let mut search = search::read(cursor, true)?;
    search.returns = search.returns.or(Some(Returns { all: true, ..Returns::default() }));
    Ok(Command::Request(Request::MultiSearch(MultiSearch { mailboxes, search })))
}

fn source(cursor: &mut Cursor<'_>) -> Result<Mailboxes, SyntaxError> {
    match cursor.word()?.as_str() {
        "SELECTED" => Ok(Mailboxes::Selected),
        "SUBTREE-ONE" => notify::names(cursor).map(Mailboxes::SubtreeOne),
        word => notify::filter(cursor, word),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parsed(text: &str) -> Result<MultiSearch, SyntaxError> {
        match crate::command::parse(format!("a ESEARCH{text}").as_bytes())? {
            Command::Request(Request::MultiSearch(search)) => Ok(search),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn mailboxes_come_in_every_kind() {
        let all = Some(Returns { all: true, ..Returns::default() });
        let cases = [
            (" ALL", vec![Mailboxes::Selected], all),
            (" IN (selected) ALL", vec![Mailboxes::Selected], all),
            (
                " IN (inboxes personal subscribed) RETURN () ALL",
                vec![Mailboxes::Inboxes, Mailboxes::Personal, Mailboxes::Subscribed],
                all,
            ),
            (
                " IN (mailboxes \"a b\" subtree (c d) subtree-one e) RETURN (COUNT) ALL",
                vec![
                    Mailboxes::Named(vec!["a b".into()]),
                    Mailboxes::Subtree(vec!["c".into(), "d".into()]),
                    Mailboxes::SubtreeOne(vec!["e".into()]),
                ],
                Some(Returns { count: true, ..Returns::default() }),
            ),
        ];
        for (text, mailboxes, returns) in cases {
            let search = parsed(text).unwrap();
            assert_eq!((search.mailboxes, search.search.returns), (mailboxes, returns), "{text}");
            assert!(search.search.uid);
        }
        for (text, expected) in [
            (" IN (selected) $", true),
            (" NOT (OR SEEN UID $)", true),
            (" RETURN (SAVE) ALL", true),
            (" RETURN (ALL) 1:*", false),
        ] {
            assert_eq!(parsed(text).unwrap().uses_saved(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_choice_of_mailboxes_is_refused() {
        for text in [
            "",
            " IN () ALL",
            " IN (selected-delayed) ALL",
            " IN (\"selected\") ALL",
            " IN selected ALL",
            " IN (bogus) ALL",
            " IN (subtree) ALL",
            " IN (subtree-one ) ALL",
            " IN (subtree-one (a) ) ALL",
            " IN (mailboxes ()) ALL",
            " IN (selected) (option) RETURN () ALL ()",
            " IN (selected (option)) ALL",
            " IN (selected)ALL",
            " IN (selected)",
            " RETURN (ALL)",
            " RETURN (BOGUS) ALL",
            "  ALL",
        ] {
            assert!(parsed(text).is_err(), "{text}: {:?}", parsed(text));
        }
    }
}
