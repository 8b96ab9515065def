//! The header under other names: addresses are put in the place of others, and everything around them keeps its octets.

use std::collections::HashMap;

use kings_mail::address::Address;
use kings_mail::address_list;
use kings_mail::header::{self, Fields};

use super::{Class, Fault, Rewriting};

/// Fields that name who writes, as Postfix has it.
const SENDERS: [&str; 9] = [
    "From",
    "Sender",
    "Reply-To",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Errors-To",
    "Return-Receipt-To",
    "Disposition-Notification-To",
];
/// Fields that name who is written to.
const RECIPIENTS: [&str; 7] = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc", "Apparently-To"];

fn class(name: &str) -> Option<Class> {
    let is_of = |names: &[&str]| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if is_of(&SENDERS) {
        return Some(Class::HeaderSender);
    }
    is_of(&RECIPIENTS).then_some(Class::HeaderRecipient)
}

impl Rewriting {
    /// The head with other names; `None` where it stays as it is.
    pub(super) async fn header(&self, head: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
        let mut known = HashMap::new();
        let (mut done, mut copied) = (Vec::new(), 0);
        let mut fields = Fields::new(&head[..header::header_end(head)]);
        while let Some(field) = fields.next() {
            let Some(class) = class(field.name) else { continue };
            let start = fields.position() - field.value.len();
            for place in address_list::places(field.value) {
                let text = std::str::from_utf8(&field.value[place.clone()]).ok();
                let Some(address) = text.and_then(|text| Address::parse(text).ok()) else { continue };
                let other = match known.get(&(class, address.clone())) {
                    Some(other) => Option::clone(other),
                    None => {
                        let other = self.rewritten(class, address.clone()).await?;
                        let other = (other != address).then_some(other);
                        known.insert((class, address), other.clone());
                        other
                    }
                };
                let Some(other) = other else { continue };
                done.extend_from_slice(&head[copied..start + place.start]);
                done.extend_from_slice(other.to_string().as_bytes());
                copied = start + place.end;
            }
        }
        if copied == 0 {
            return Ok(None);
        }
        done.extend_from_slice(&head[copied..]);
        Ok(Some(done))
    }
}
