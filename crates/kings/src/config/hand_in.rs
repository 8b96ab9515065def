//! What `sendmail` must know of the config, read by users who may not read what the rest of it names.

use std::fs;
use std::path::{Path, PathBuf};

use kings_mail::address::{Address, Host};
use kings_mail::domain::Domain;
use toml::de::{DeTable, DeValue};

use super::MESSAGE_BYTES;

/// Where mail is handed in, and what is refused there. Read as far as it goes: to complain is the server's part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HandIn {
    /// `[local] folder`.
    pub(crate) folder: PathBuf,
    /// The rest, where the config can be read.
    pub(crate) terms: Option<Terms>,
}

/// What the server will say of a message, as far as it can be known beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// `[limits] message_bytes`.
    pub(crate) message_bytes: u64,
    /// `[local] trusted_users`.
    pub(crate) trusted_users: Vec<String>,
    /// The domain that the machine's users write from: `[local] origin`, else the first that is hosted.
    pub(crate) origin: Option<Domain>,
}

impl HandIn {
    pub(crate) fn read(path: &Path) -> Self {
        let (Ok(text), Ok(absolute)) = (fs::read_to_string(path), fs::canonicalize(path)) else {
            return Self { folder: crate::local::DEFAULT_FOLDER.into(), terms: None };
        };
        let (table, _) = DeTable::parse_recoverable(&text);
        let key = |section: &str, key: &str| {
            let section = table.get_ref().get(section)?.get_ref().as_table()?;
            section.get(key).map(toml::Spanned::get_ref)
        };
        let folder = key("local", "folder").and_then(|folder| folder.as_str());
        let folder = folder.unwrap_or(crate::local::DEFAULT_FOLDER);
        let bytes = key("limits", "message_bytes").and_then(DeValue::as_integer);
        let bytes = bytes.and_then(|digits| u64::from_str_radix(digits.as_str(), digits.radix()).ok());
        let names = key("local", "trusted_users").and_then(DeValue::as_array).into_iter();
        let names = names.flat_map(|names| names.iter()).filter_map(|name| name.get_ref().as_str());
        let hosted = table.get_ref().get("domain").and_then(|all| all.get_ref().as_array()).into_iter();
        let hosted = hosted.flat_map(|all| all.iter()).filter_map(|domain| domain.get_ref().as_table());
        let first =
            hosted.filter(|domain| domain.get("relay_to").is_none()).find_map(|domain| domain.get("name"));
        let origin =
            key("local", "origin").or(first.map(toml::Spanned::get_ref)).and_then(|name| name.as_str());
        Self {
            folder: absolute.parent().unwrap_or(Path::new("/")).join(folder),
            terms: Some(Terms {
                message_bytes: bytes.unwrap_or(MESSAGE_BYTES),
                trusted_users: names.map(str::to_owned).collect(),
                origin: origin.and_then(|name| Domain::parse(name).ok()),
            }),
        }
    }

    /// `ann@localhost` as others know her.
    pub(crate) fn at_home(&self, address: &Address) -> Address {
        let origin = self.terms.as_ref().and_then(|terms| terms.origin.clone());
        match origin.filter(|_| address.domain().is_some_and(|domain| domain.as_str() == "localhost")) {
            Some(origin) => Address::new(address.local_part.clone(), Host::Domain(origin)),
            None => address.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_config_is_read_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        let terms = |message_bytes, names: &[&str]| {
            let trusted_users = names.iter().map(|&name| name.to_owned()).collect();
            Some(Terms { message_bytes, trusted_users, origin: None })
        };
        let usual = || PathBuf::from(crate::local::DEFAULT_FOLDER);
        let cases = [
            ("", usual(), terms(MESSAGE_BYTES, &[])),
            ("[local]\nfolder = \"/x\"\n[limits]\nmessage_bytes = 1_000\n", "/x".into(), terms(1_000, &[])),
            (
                "[local]\nfolder = \"x\"\ntrusted_users = [\"a\", 1, \"b\"]\n",
                here.join("x"),
                terms(MESSAGE_BYTES, &["a", "b"]),
            ),
            ("local = 1\n[limits]\nmessage_bytes = -1\n", usual(), terms(MESSAGE_BYTES, &[])),
            ("[limits]\nmessage_bytes = 0x1000\n[[[\n", usual(), terms(4_096, &[])),
        ];
        for (text, folder, terms) in cases {
            let path = here.join("kings.toml");
            fs::write(&path, text).unwrap();
            assert_eq!(HandIn::read(&path), HandIn { folder, terms }, "{text}");
        }
        let relayed =
            "[[domain]]\nname = \"r.example\"\nrelay_to = \"x\"\n[[domain]]\nname = \"h.example\"\n";
        for (text, expected) in [
            (relayed.to_owned(), "ann@h.example"),
            (format!("{relayed}[local]\norigin = \"o.example\"\n"), "ann@o.example"),
            ("domain = 1\n".to_owned(), "ann@localhost"),
        ] {
            fs::write(here.join("kings.toml"), &text).unwrap();
            let place = HandIn::read(&here.join("kings.toml"));
            let shown = |address: &str| place.at_home(&Address::parse(address).unwrap()).to_string();
            assert_eq!(
                [shown("ann@localhost"), shown("ann@x.example")],
                [expected, "ann@x.example"],
                "{text}"
            );
        }
        assert_eq!(HandIn::read(&here.join("none")), HandIn { folder: usual(), terms: None });
    }
}
