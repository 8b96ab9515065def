//! Kings as a filter of another mail server: signs and verifies in the place of OpenDKIM, over the milter protocol.
//!
//! A socket ([`wire`]) carries the dialogue, a session knows the client, and a message is hashed as it passes by.

mod message;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use kings_dns::Dns;
use kings_mail::domain::Domain;
use kings_msgauth::dkim::Rules;
use kings_msgauth::dkim::opendkim::{Addresses, Hosts};
use kings_msgauth::results;

use crate::authenticate::Methods;
pub use crate::policy::filter::{Action, Handling, Mode};
use crate::signing::Signing;

/// Everything that is to be known for it. Hosts of ours are those that [`Signing`] trusts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is for.
    pub mode: Mode,
    /// The keys, for whom they are, and whose mail is ours (OpenDKIM's `InternalHosts`).
    pub signing: Signing,
    /// How to sign.
    pub rules: Rules,
    /// Clients that are left alone (`PeerList`).
    pub peers: Hosts,
    /// Clients that send as our domains and are no news for the log (`ExternalIgnoreList`).
    pub ignored: Hosts,
    /// Authors whose mail is left alone (`ExemptDomains`).
    pub exempt: Vec<Domain>,
    /// Recipients of whose mail, where one of them gets it, ours is left alone (`DontSignMailTo`).
    pub unsigned_to: Addresses,
    /// Which results of others go.
    pub results: OtherResults,
    /// What the mail server may say that makes mail ours (`MacroList`, `MTA`).
    pub marks: Vec<Mark>,
    /// What is checked of mail that is not ours. Nothing here refuses mail but `handling`.
    pub methods: Methods,
    /// Who says so in Authentication-Results; the mail server's own name where it is not said. Nobody else may have said
    /// anything in either name.
    pub authserv_id: Option<Domain>,
    /// Our name, where the mail server does not say its own.
    pub hostname: Domain,
    /// Results are recorded though nobody has signed (`AlwaysAddARHeader`).
    pub records_unsigned: bool,
    /// Signatures that a message of ours has already are removed (`RemoveOldSignatures`).
    pub replaces_signatures: bool,
    /// What the mail server is asked to do with messages.
    pub handling: Handling,
    /// How much is taken.
    pub limits: Limits,
}

/// The names in which results are those of the mail server and its filters, and of nobody who sends mail to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Names {
    /// In which we write.
    authserv_id: Domain,
    /// What the mail server calls itself (its macro `j`): whoever reads its mail may believe it, whatever name we have.
    mail_server: Option<Domain>,
}

impl Names {
    fn all(&self) -> impl Iterator<Item = &Domain> {
        let other = self.mail_server.as_ref().filter(|name| **name != self.authserv_id);
        std::iter::once(&self.authserv_id).chain(other)
    }
}

/// Authentication-Results that a message has when it comes. Those in our own name and in that of the mail server go unless
/// all are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OtherResults {
    /// None goes (`KeepAuthResults`).
    pub kept: bool,
    /// Those of these hosts go, of names below them where they begin with a dot (`RemoveARFrom`).
    pub from: Vec<String>,
    /// Whatever they say, and not only about DKIM (`RemoveARAll`).
    pub all: bool,
}

impl OtherResults {
    fn goes(&self, ours: &Names, value: &[u8]) -> bool {
        if self.kept {
            return false;
        }
        let is_named = || {
            results::written_by(value).is_some_and(|id| {
                self.from
                    .iter()
                    .any(|host| id == *host || (host.starts_with('.') && id.ends_with(host.as_str())))
            })
        };
        let text = String::from_utf8_lossy(value);
        let is_about_dkim =
            || results::read(text.trim()).is_none_or(|said| said.iter().any(|one| one.method == "dkim"));
        ours.all().any(|name| results::claims_to_be(name, value))
            || (is_named() && (self.all || is_about_dkim()))
    }
}

/// A macro of the mail server, and the values of it that count; any where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Without braces.
    pub name: String,
    /// Compared octet by octet.
    pub values: Vec<String>,
}

/// Largest message that is signed or verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of the header (`MaximumHeaders`).
    pub header_bytes: usize,
    /// Octets of the whole message.
    pub message_bytes: u64,
}

impl Default for Limits {
    /// The header as large as anywhere in Kings. The body is not kept, so that the mail server's own limit is the one
    /// that matters; ours ends what has no end.
    fn default() -> Self {
        Self { header_bytes: kings_mail::header::MAX_HEADER_BLOCK, message_bytes: 1 << 30 }
    }
}

/// The service behind the socket. Clones share what it knows.
#[derive(Debug)]
pub struct Filter<D>(Arc<Shared<D>>);

#[derive(Debug)]
struct Shared<D> {
    settings: Settings,
    dns: Arc<D>,
}

impl<D> Clone for Filter<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<D: Dns + 'static> Filter<D> {
    /// Keys come from `dns`.
    pub fn new(settings: Settings, dns: D) -> Self {
        Self(Arc::new(Shared { settings, dns: Arc::new(dns) }))
    }
}
