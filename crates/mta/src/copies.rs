//! Copies for an archive: of everything, or by sender or recipient (Postfix's `always_bcc`, `sender_bcc_maps`,
//! `recipient_bcc_maps`).

use std::collections::{BTreeSet, HashMap};

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::envelope::Recipient;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::Notify;

/// Who else gets a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// A copy of everything.
    pub always: Option<Address>,
    /// By the reverse-path.
    pub by_sender: AddressMap,
    /// By each recipient.
    pub by_recipient: AddressMap,
    /// What parts a name from its tag: `ann+tag@` is ann's unless it has a line of its own.
    pub delimiters: String,
}

/// One address for another, or for all of a domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressMap {
    addresses: HashMap<Address, Address>,
    domains: HashMap<Domain, Address>,
}

impl AddressMap {
    /// Reads `user@domain target` or `@domain target`, one a line; `#` begins a comment. All complaints at once, each
    /// with its line.
    pub fn parse(text: &str) -> Result<Self, Vec<(usize, String)>> {
        let mut map = Self::default();
        let mut complaints = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') && map.insert(line).is_none() {
                complaints
                    .push((at + 1, format!("\"{line}\" is not  user@domain address  or  @domain address")));
            }
        }
        if complaints.is_empty() { Ok(map) } else { Err(complaints) }
    }

    fn insert(&mut self, line: &str) -> Option<()> {
        let (pattern, target) = line.split_once(char::is_whitespace)?;
        let target = Address::parse(target.trim()).ok()?;
        match pattern.strip_prefix('@') {
            Some(domain) => self.domains.insert(Domain::parse(domain).ok()?, target),
            None => self.addresses.insert(Address::parse(pattern).ok()?.folded(), target),
        };
        Some(())
    }

    fn targets(&self) -> impl Iterator<Item = &Address> {
        self.addresses.values().chain(self.domains.values())
    }

    /// The whole address, then the one without its tag, then its domain, as Postfix asks.
    fn find(&self, address: &Address, delimiters: &str) -> Option<&Address> {
        let folded = address.folded();
        let base = || self.addresses.get(&folded.without_tag(delimiters)?);
        self.addresses.get(&folded).or_else(base).or_else(|| self.domains.get(address.domain()?))
    }
}

impl Copies {
    /// Everybody that may get a copy, each once.
    pub fn targets(&self) -> BTreeSet<Address> {
        let maps = self.by_sender.targets().chain(self.by_recipient.targets());
        self.always.iter().chain(maps).map(Address::folded).collect()
    }

    /// Adds the copies of one message to its recipients, each once. Nobody hears of their fate.
    pub(crate) fn add(&self, reverse_path: &ReversePath, recipients: &mut Vec<Recipient>) {
        let by_sender =
            reverse_path.address().and_then(|sender| self.by_sender.find(sender, &self.delimiters));
        let by_recipient = recipients.iter().filter_map(|recipient| match &recipient.path {
            ForwardPath::Address(address) => self.by_recipient.find(address, &self.delimiters),
            ForwardPath::Postmaster => None,
        });
        let wanted: Vec<Address> = self.always.iter().chain(by_sender).chain(by_recipient).cloned().collect();
        for address in wanted {
            add_copy(recipients, address);
        }
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
    use super::*;

    fn to(text: &str) -> Recipient {
        Recipient::from(ForwardPath::parse(text).unwrap())
    }

    #[test]
    fn everybody_who_may_get_a_copy_is_named_once() {
        let map = |text| AddressMap::parse(text).unwrap();
        let copies = Copies {
            always: Some(Address::parse("Archive@example.org").unwrap()),
            by_sender: map("ann@example.org boss@example.org\n"),
            by_recipient: map("@y.example archive@example.org\n"),
            delimiters: String::new(),
        };
        let targets: Vec<String> = copies.targets().iter().map(Address::to_string).collect();
        assert_eq!(targets, ["archive@example.org", "boss@example.org"]);
        assert!(Copies::default().targets().is_empty());
    }

    #[test]
    fn copies_are_added_once_and_in_silence() {
        let copies = Copies {
            always: Some(Address::parse("archive@example.org").unwrap()),
            by_sender: AddressMap::parse(
                "# who\nann@example.org boss@example.org\n@x.example x@example.org\n",
            )
            .unwrap(),
            by_recipient: AddressMap::parse("@y.example archive@example.org\njoe@y.example y@example.org\n")
                .unwrap(),
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
            copies.add(&ReversePath::parse(sender).unwrap(), &mut recipients);
            let added: Vec<String> = recipients[1..].iter().map(|added| added.path.to_string()).collect();
            assert_eq!(added.join(" "), expected, "{sender} {recipient}");
            assert!(recipients[1..].iter().all(|added| added.notify == Notify::Never));
        }
        let mut recipients = vec![to("bob@example.org")];
        Copies::default().add(&ReversePath::Null, &mut recipients);
        assert_eq!(recipients.len(), 1);
    }

    #[test]
    fn bad_lines_are_named() {
        let complaints = AddressMap::parse("a@b.example c@d.example\nlonely\n@ x@y.example\n").unwrap_err();
        assert_eq!(complaints.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
    }
}
