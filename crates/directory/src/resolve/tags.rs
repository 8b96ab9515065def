//! Tags behind a name: `ann+tag@` is Ann's (RFC 5233 §1).

use kings_mail::address::{Address, LocalPart};

use super::Book;
use super::roles::{OWNER, REQUEST};

impl Book<'_> {
    /// The account that an address is by itself, with or without a tag.
    pub(super) fn account_of(&self, folded: &Address) -> Option<Address> {
        let (base, _) = self.split_tag(folded);
        [folded, &base].into_iter().find(|address| self.accounts.get(address).is_some()).cloned()
    }

    /// `ann+tag@x` as (`ann@x`, `+tag`); without a tag the address itself. `owner-list` and `list-request` are names, also
    /// where a tag begins with `-`.
    pub(super) fn split_tag(&self, address: &Address) -> (Address, Option<String>) {
        let text = address.local_part.as_str();
        let is_special = |text: &str| text.starts_with(OWNER) || text.ends_with(REQUEST);
        let is_name = self.delimiters.contains('-') && is_special(&text.to_lowercase());
        let at = text.find(|c| self.delimiters.contains(c)).filter(|at| *at > 0 && !is_name);
        let base = at.and_then(|at| Some((LocalPart::parse(&text[..at]).ok()?, &text[at..])));
        match base {
            Some((name, tag)) => (Address::new(name, address.host.clone()), Some(tag.to_owned())),
            None => (address.clone(), None),
        }
    }

    /// A tag travels along the alias, as with Postfix's `propagate_unmatched_extensions`.
    pub(super) fn with_tag(&self, target: Address, tag: Option<&str>) -> Address {
        let tagged = tag.filter(|_| self.split_tag(&target).1.is_none());
        let name =
            tagged.and_then(|tag| LocalPart::parse(&format!("{}{tag}", target.local_part.as_str())).ok());
        name.map_or(target.clone(), |name| Address::new(name, target.host))
    }
}
