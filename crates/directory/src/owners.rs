//! Who may write as an address, as a table says it (Postfix's `smtpd_sender_login_maps`).

use std::str::FromStr;

use kings_mail::address::Address;

use crate::lookup::Meaning;

/// The accounts that one line names, folded.
#[derive(Clone, Debug)]
pub(crate) struct Owners(Vec<Address>);

impl Owners {
    /// Whether this (folded) account is one of them.
    pub(crate) fn have(&self, account: &Address) -> bool {
        self.0.contains(account)
    }
}

impl Meaning for Owners {}

impl FromStr for Owners {
    type Err = String;

    /// `login[, login]`: logins are whole addresses here.
    fn from_str(text: &str) -> Result<Self, String> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        let login = |word: &str| {
            let address = Address::parse(word);
            address
                .map(|address| address.folded())
                .map_err(|_| format!("\"{word}\" is no login: logins are addresses"))
        };
        let owners = words.map(login).collect::<Result<Vec<_>, _>>()?;
        if owners.is_empty() {
            Err("no login may write as it: name one".to_owned())
        } else {
            Ok(Self(owners))
        }
    }
}
