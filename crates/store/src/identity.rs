//! What a message keeps for as long as it is in its mailbox: the name of its content, and when it came here.
//!
//! Both stand in the name of its file and in its line of the uidlist, where every program leaves them alone.

use crate::error::StoreError;
use crate::mailbox::Mailbox;
use crate::maildir;
use crate::message::Uid;
use crate::roster::Member;
use crate::uidlist::Entry;

/// Longest name of a content, in octets (RFC 8474 §7).
const MAX_ID: usize = 255;
/// Octets of a longer one that stay readable; a checksum over all of it stands behind them.
const KEPT: usize = 200;

/// What is fixed of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Names the content: copies have it too (RFC 8474 §5.1). Letters, digits, `-` and `_`.
    pub email_id: String,
    /// When it came into this mailbox, in seconds since 1970 (RFC 8514 §4.2): the start of its file's name. `None` where
    /// that is no date.
    pub saved: Option<i64>,
}

impl Identity {
    pub(crate) fn of(entry: &Entry) -> Self {
        Self { email_id: email_id(guid(entry)), saved: maildir::named_at(&entry.base) }
    }
}

impl Mailbox {
    /// What is fixed of each message; `None` for one that is gone.
    pub fn identities(&self, uids: &[Uid]) -> Result<Vec<Option<Identity>>, StoreError> {
        let state = self.0.state()?;
        let identity = |uid: &Uid| state.member(*uid).map(|member: &Member| Identity::of(&member.entry));
        Ok(uids.iter().map(identity).collect())
    }

    /// The mailbox's own name, which stays over renames (RFC 8474 §4): 32 hexadecimal digits.
    pub fn id(&self) -> Result<String, StoreError> {
        Ok(self.0.state()?.header.guid.clone().unwrap_or_default())
    }
}

/// As Dovecot has it: the extension `G`, or else the base of the file's name.
fn guid(entry: &Entry) -> &[u8] {
    entry.extension(b'G').unwrap_or(&entry.base)
}

/// The extension that has a copy keep the name of its content.
pub(crate) fn inherited(entry: &Entry) -> Box<[u8]> {
    let guid = guid(entry);
    let fits = guid.iter().all(u8::is_ascii_graphic);
    let name = if fits { guid.to_vec() } else { email_id(guid).into_bytes() };
    [b"G", &*name].concat().into()
}

/// Other octets as `_` and two digits, so that what is one already stays as it is.
fn email_id(guid: &[u8]) -> String {
    let mut id = String::with_capacity(guid.len() + 16);
    for &octet in guid {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => id.push(char::from(octet)),
            other => id.push_str(&format!("_{other:02x}")),
        }
    }
    if id.len() > MAX_ID {
        let sum = crc32fast::hash(guid);
        let mut end = 0xcbf2_9ce4_8422_2325_u64;
        for &octet in guid {
            end = (end ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
        }
        id.truncate(KEPT);
        id.push_str(&format!("-{sum:08x}{end:016x}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(extensions: Option<&str>, base: &[u8]) -> Entry {
        Entry { uid: 7, extensions: extensions.map(|text| text.as_bytes().into()), base: base.into() }
    }

    #[test]
    fn a_content_keeps_its_name_and_a_file_says_when_it_came() {
        let original = entry(None, b"1795479508.M1P2.host,S=23");
        let identity = Identity::of(&original);
        assert_eq!(identity.email_id, "1795479508_2eM1P2_2ehost_2cS_3d23");
        assert_eq!(identity.saved, Some(1_795_479_508));
        let inherited_by = |entry: &Entry| String::from_utf8(inherited(entry).into()).unwrap_or_default();
        let copy = entry(Some(&format!("{} W27", inherited_by(&original))), b"1795479999.M3P2.host");
        assert_eq!(copy.extensions.as_deref(), Some(&b"G1795479508.M1P2.host,S=23 W27"[..]));
        let second = Identity::of(&copy);
        assert_eq!((second.email_id, second.saved), (identity.email_id, Some(1_795_479_999)));
        assert_eq!(inherited_by(&copy), "G1795479508.M1P2.host,S=23");
    }

    #[test]
    fn odd_names_of_files_make_good_names_of_contents() {
        let odd = entry(None, b"my letter\xff.eml");
        let identity = Identity::of(&odd);
        assert_eq!((identity.email_id.as_str(), identity.saved), ("my_20letter_ff_2eeml", None));
        let text = String::from_utf8(inherited(&odd).into()).unwrap_or_default();
        assert_eq!(Identity::of(&entry(Some(&text), b"1795479999.M3P2.host")).email_id, identity.email_id);
        let (long, longer) = (entry(None, &[b'.'; 200]), entry(None, &[b'.'; 201]));
        let (one, other) = (Identity::of(&long).email_id, Identity::of(&longer).email_id);
        assert!(one != other && one.len() <= MAX_ID && other.len() <= MAX_ID, "{one} {other}");
        let guid = "0123456789abcdef0123456789abcdef";
        assert_eq!(Identity::of(&entry(Some(&format!("G{guid}")), b"x")).email_id, guid);
    }
}
