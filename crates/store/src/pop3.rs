//! What Dovecot keeps of a message for POP3, in its line of the uidlist.

use crate::message::Uid;
use crate::uidlist::Entry;

/// One message as POP3 may have to name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pop3Facts {
    /// The message.
    pub uid: Uid,
    /// The unique-id that it had on an earlier server (extension `P`).
    pub uidl: Option<Box<str>>,
    /// Its place in the maildrop of an earlier server (extension `O`); messages that have one come first.
    pub order: Option<u32>,
    /// Its own name, which it keeps wherever it is copied: the GUID (extension `G`), or else the base of its file's name.
    /// Empty where it was not asked for.
    pub name: Box<str>,
}

impl Pop3Facts {
    /// `None` where there is nothing to tell.
    pub(crate) fn of(entry: &Entry, with_names: bool) -> Option<Self> {
        if entry.extensions.is_none() && !with_names {
            return None;
        }
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned().into_boxed_str();
        let uidl = entry.extension(b'P').map(text);
        let order = entry.extension(b'O').and_then(|value| std::str::from_utf8(value).ok()?.parse().ok());
        if uidl.is_none() && order.is_none() && !with_names {
            return None;
        }
        let name =
            if with_names { text(entry.extension(b'G').unwrap_or(&entry.base)) } else { Box::default() };
        Some(Self { uid: Uid::new(entry.uid)?, uidl, order, name })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn entry(extensions: Option<&str>) -> Entry {
        let extensions = extensions.map(|text| text.as_bytes().into());
        Entry { uid: 7, extensions, base: (*b"1795479508.M1P2.host,S=23,W=27").into() }
    }

    #[test]
    fn what_an_earlier_server_called_a_message_is_found() {
        let facts = Pop3Facts::of(&entry(Some("Pold-id.3 O12 W27")), false).unwrap();
        assert_eq!((facts.uidl.as_deref(), facts.order, &*facts.name), (Some("old-id.3"), Some(12), ""));
        assert_eq!(Pop3Facts::of(&entry(None), false), None);
        assert_eq!(Pop3Facts::of(&entry(Some("W27")), false), None);
        assert_eq!(Pop3Facts::of(&entry(Some("Ox")), false), None);
        let named = |extensions| Pop3Facts::of(&entry(extensions), true).unwrap().name;
        assert_eq!(&*named(None), "1795479508.M1P2.host,S=23,W=27");
        assert_eq!(&*named(Some("G0123abcd W27")), "0123abcd");
    }
}
