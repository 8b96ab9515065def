//! Why a login would succeed or fail, in full, for whoever runs the server: what no client ever hears.

use std::fs;
use std::net::IpAddr;

use kings_mail::address::Address;
use kings_sasl::{Mechanism, Mechanisms, Secret};

use crate::directory::Directory;
use crate::login::{ClientFacts, Origin};
use crate::passwd_file::{self, Entry};

/// What a password would come to, as `doveadm auth test` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examination {
    /// What a client would hear, and why.
    pub verdict: Verdict,
    /// The line that answers; `None` where no line does.
    pub line: Option<AccountLine>,
}

/// The line of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountLine {
    /// The account, folded to lower case.
    pub account: Address,
    /// Its place in the accounts file, from 1.
    pub number: usize,
    /// How its password is stored, as in `SHA512-CRYPT`; `None` where it has none.
    pub scheme: Option<&'static str>,
    /// The mechanisms that we offer and that this password can be proven by.
    pub mechanisms: Mechanisms,
    /// The extra fields as they stand there; the value of Dovecot's `pass`, a password for another server, is left out.
    pub extra_fields: Vec<String>,
}

/// The end of such a login, the first reason that stands in its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeds.
    Succeeds,
    /// There is no such account.
    UnknownAccount,
    /// The account has no password (none is there, or it is closed by `!` or `*`).
    NoPassword,
    /// The password is another one.
    WrongPassword,
    /// The password is right, and `nologin` closes the account.
    NoLogin,
    /// The password is right, and `allow_nets` closes the account to this address.
    NetworkNotAllowed,
}

impl Directory {
    /// Checks a password without counting anything, and tells all. `client`: as if it came from there; without it
    /// `allow_nets` is not looked at. Blocking: slow as a login.
    pub fn examine(&self, login: &str, password: &Secret, client: Option<IpAddr>) -> Examination {
        let files = self.files();
        let who = files.who(login);
        let Some(entry) = who.key.filter(|_| who.opens_something()) else {
            return Examination { verdict: Verdict::UnknownAccount, line: None };
        };
        let verdict = match &entry.password {
            None => Verdict::NoPassword,
            Some(stored) if !stored.matches(password) => Verdict::WrongPassword,
            Some(_) if !entry.can_log_in() => Verdict::NoLogin,
            Some(_) if client.is_some_and(|client| !entry.admits(client)) => Verdict::NetworkNotAllowed,
            Some(_) => Verdict::Succeeds,
        };
        Examination { verdict, line: (!who.is_master()).then(|| self.line_of(entry)) }
    }

    /// Place and extra fields are read from the file again: nobody else needs them in memory.
    fn line_of(&self, entry: &Entry) -> AccountLine {
        let text = fs::read_to_string(&self.settings().accounts).unwrap_or_default();
        let is_it = |line: &str| {
            let default_domain = self.settings().login.names.default_domain.as_ref();
            passwd_file::address_of(passwd_file::name(line), default_domain).as_ref() == Some(&entry.address)
        };
        let (number, line) = passwd_file::lines(&text).find(|(_, line)| is_it(line)).unwrap_or((0, ""));
        AccountLine {
            account: entry.address.clone(),
            number,
            scheme: entry.password.as_ref().map(crate::password::StoredPassword::scheme_name),
            mechanisms: self.mechanisms_of(entry),
            extra_fields: passwd_file::extra(line).split_ascii_whitespace().map(without_password).collect(),
        }
    }

    fn mechanisms_of(&self, entry: &Entry) -> Mechanisms {
        let Some(stored) = &entry.password else { return Mechanisms::default() };
        let nowhere = Origin { protocol: "test", address: IpAddr::from([0; 4]), exempt: true };
        let can_prove = |mechanism: &Mechanism| match mechanism {
            Mechanism::Plain | Mechanism::Login => true,
            Mechanism::Scram { hash, .. } => stored.can_use(*hash),
            Mechanism::CramMd5 => stored.cram_keys().is_some(),
            // These ask for something else than the password.
            Mechanism::External | Mechanism::OAuthBearer | Mechanism::XOAuth2 => false,
        };
        self.mechanisms(&ClientFacts::new(nowhere)).iter().filter(can_prove).collect()
    }
}

fn without_password(field: &str) -> String {
    if field.starts_with("pass=") { "pass=...".to_owned() } else { field.to_owned() }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_password_for_another_server_is_not_shown() {
        assert_eq!(super::without_password("pass=hush"), "pass=...");
        assert_eq!(super::without_password("passive=yes"), "passive=yes");
    }
}
