//! Copies for an archive: of everything, or by sender or recipient (Postfix's `always_bcc`, `sender_bcc_maps`,
//! `recipient_bcc_maps`).

use std::collections::BTreeSet;
use std::str::FromStr;

use kings_directory::{Lookup, Meaning, Unavailable};
use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::Notify;

use crate::deliver::DeliveryError;

/// Who else gets a message.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    /// A copy of everything.
    pub always: Option<Address>,
    /// By the reverse-path.
    pub by_sender: Lookup<CopyTo>,
    /// By each recipient.
    pub by_recipient: Lookup<CopyTo>,
    /// What parts a name from its tag: `ann+tag@` is ann's unless it has a line of its own.
    pub delimiters: String,
}

/// Who gets the copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyTo(Address);

impl Meaning for CopyTo {}

impl FromStr for CopyTo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Address::parse(text)
            .map(Self)
            .map_err(|_| format!("\"{text}\" is not the one address that gets the copy"))
    }
}

impl Copies {
    /// Everybody that may get a copy, each once, as far as files can tell.
    pub fn targets(&self) -> BTreeSet<Address> {
        let maps = [&self.by_sender, &self.by_recipient].into_iter().flat_map(Lookup::values);
        self.always.iter().cloned().chain(maps.map(|to| to.0)).map(|address| address.folded()).collect()
    }

    /// Adds the copies of one message to its recipients, each once. Nobody hears of their fate. A table that does not
    /// answer leaves the message with its sender: an archive has no gaps.
    pub(crate) async fn add(
        &self,
        reverse_path: &ReversePath,
        recipients: &mut Vec<Recipient>,
    ) -> Result<(), DeliveryError> {
        let away = |Unavailable| DeliveryError::Unavailable;
        let mut wanted: Vec<Address> = self.always.iter().cloned().collect();
        if let Some(sender) = reverse_path.address() {
            let found = self.by_sender.find(Some(sender), &self.delimiters).await.map_err(away)?;
            wanted.extend(found.map(|to| to.0));
        }
        for recipient in recipients.iter() {
            if let ForwardPath::Address(address) = &recipient.path {
                let found = self.by_recipient.find(Some(address), &self.delimiters).await.map_err(away)?;
                wanted.extend(found.map(|to| to.0));
            }
        }
        for address in wanted {
            add_copy(recipients, address);
        }
        Ok(())
    }
}

/// Adds a recipient that nobody asked for, once: the sender is not told what becomes of it, and nothing that the message
/// says of its way keeps it out.
pub(crate) fn add_copy(recipients: &mut Vec<Recipient>, address: Address) {
    let path = ForwardPath::Address(address);
    if recipients.iter().all(|recipient| recipient.path != path) {
        recipients.push(Recipient { notify: Notify::Never, added: true, ..Recipient::from(path) });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use kings_directory::{Keys, TableSource};

    use super::*;

    fn to(text: &str) -> Recipient {
        Recipient::from(ForwardPath::parse(text).unwrap())
    }

    fn map(pairs: &str) -> Lookup<CopyTo> {
        let from = TableSource::parse(&format!("inline:{{{pairs}}}"), Path::new("/")).unwrap();
        let (lookup, faults) = Lookup::open("copies", Keys::Address, vec![from]);
        assert!(faults.is_empty(), "{faults:?}");
        lookup
    }

    #[test]
    fn everybody_who_may_get_a_copy_is_named_once() {
        let copies = Copies {
            always: Some(Address::parse("Archive@example.org").unwrap()),
            by_sender: map("ann@example.org=boss@example.org"),
            by_recipient: map("@y.example=archive@example.org"),
            delimiters: String::new(),
        };
        let targets: Vec<String> = copies.targets().iter().map(Address::to_string).collect();
        assert_eq!(targets, ["archive@example.org", "boss@example.org"]);
        assert!(Copies::default().targets().is_empty());
    }

    #[tokio::test]
    async fn copies_are_added_once_and_in_silence() {
        let copies = Copies {
            always: Some(Address::parse("archive@example.org").unwrap()),
            by_sender: map("ann@example.org=boss@example.org, @x.example=x@example.org"),
            by_recipient: map("@y.example=archive@example.org, joe@y.example=y@example.org"),
            delimiters: "+".to_owned(),
        };
        let cases = [
            ("Ann@example.org", "bob@z.example", "<archive@example.org> <boss@example.org>"),
            ("any@x.example", "joe@y.example", "<archive@example.org> <x@example.org> <y@example.org>"),
            (
                "Ann+x@example.org",
                "Joe+x@y.example",
                "<archive@example.org> <boss@example.org> <y@example.org>",
            ),
            ("", "bob@y.example", "<archive@example.org>"),
            ("", "archive@example.org", ""),
        ];
        for (sender, recipient, expected) in cases {
            let mut recipients = vec![to(recipient)];
            copies.add(&ReversePath::parse(sender).unwrap(), &mut recipients).await.unwrap();
            let added: Vec<String> = recipients[1..].iter().map(|added| added.path.to_string()).collect();
            assert_eq!(added.join(" "), expected, "{sender} {recipient}");
            assert!(recipients[1..].iter().all(|added| added.notify == Notify::Never));
        }
        let mut recipients = vec![to("bob@example.org")];
        Copies::default().add(&ReversePath::Null, &mut recipients).await.unwrap();
        assert_eq!(recipients.len(), 1);
    }

    #[tokio::test]
    async fn a_table_that_does_not_answer_leaves_the_message_with_its_sender() {
        let away = TableSource::parse("socketmap:unix:/nonexistent/socket:bcc", Path::new("/")).unwrap();
        let (away, _) = Lookup::open("copies", Keys::Address, vec![away]);
        let (by_sender, by_recipient) = (Lookup::default(), away);
        let copies = Copies { by_sender, by_recipient, ..Copies::default() };
        let mut recipients = vec![to("bob@example.org")];
        assert!(copies.add(&ReversePath::Null, &mut recipients).await.is_err());
    }
}
