//! ENVELOPE: the header fields that mail programs list messages by (RFC 3501 §7.4.2).

use kings_mail::address_list::{self, Entry, Mailbox};
use kings_mail::header::{Field, Fields};

use crate::text::{nstring, string};

/// The fields, in the order of the response.
const NAMES: [&str; 10] =
    ["Date", "Subject", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID"];
const FROM: usize = 2;

/// Appends the ENVELOPE of the message whose header begins `content`.
///
/// Of several equal fields the first counts. Texts come unfolded; encoded words stay, the client
/// decodes them.
pub(crate) fn write(out: &mut Vec<u8>, content: &[u8]) {
    let mut found: [Option<Field<'_>>; NAMES.len()] = [None; NAMES.len()];
    for field in Fields::new(content) {
        if let Some(place) = NAMES.iter().position(|name| field.is(name)) {
            found[place] = found[place].or(Some(field));
        }
    }
    out.push(b'(');
    for (place, field) in found.iter().enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        match NAMES[place] {
            "From" | "To" | "Cc" | "Bcc" => addresses(out, *field),
            // RFC 3501 §7.4.2: both default to From, also when they hold no address.
            "Sender" | "Reply-To" => addresses(out, field.filter(has_address).or(found[FROM])),
            _ => nstring(out, field.map(|field| field.text()).as_deref()),
        }
    }
    out.push(b')');
}

fn has_address(field: &Field<'_>) -> bool {
    !address_list::parse(field.value).is_empty()
}

fn addresses(out: &mut Vec<u8>, field: Option<Field<'_>>) {
    let entries = field.map(|field| address_list::parse(field.value)).unwrap_or_default();
    if entries.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for entry in &entries {
        match entry {
            Entry::Mailbox(mailbox) => address(out, mailbox),
            Entry::GroupStart(name) => {
                out.extend_from_slice(b"(NIL NIL ");
                string(out, name.as_bytes());
                out.extend_from_slice(b" NIL)");
            }
            Entry::GroupEnd => out.extend_from_slice(b"(NIL NIL NIL NIL)"),
        }
    }
    out.push(b')');
}

/// `(name route mailbox host)`. Mailbox and host are never NIL here: that would mean a group.
fn address(out: &mut Vec<u8>, mailbox: &Mailbox) {
    out.push(b'(');
    nstring(out, mailbox.display_name.as_deref());
    out.push(b' ');
    nstring(out, mailbox.route.as_deref());
    out.push(b' ');
    string(out, mailbox.local_part.as_bytes());
    out.push(b' ');
    string(out, mailbox.domain.as_bytes());
    out.push(b')');
}
