//! What was found out about a message, as sentences for its reader and for the log.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use kings_msgauth::dmarc::Policy;

/// What is said of a claim on a name of ours.
pub(super) const UNPROVEN: &str = "which is ours, and does not prove it";
/// What is said of a reverse-path of ours.
pub(super) const FORGED_PATH: &str = "which is ours, and SPF does not let the client use it";

/// One of those whom a message says to be from, and what DMARC found wrong with that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Author {
    /// Whose domain it is, where that is known.
    pub(crate) domain: Option<String>,
    /// It stands in no more than the name that From shows.
    pub(crate) is_name: bool,
    pub(crate) why: String,
}

impl Author {
    /// What happened, with the word that leads to the author.
    fn tell(&self, f: &mut fmt::Formatter<'_>, what: &str, link: &str) -> fmt::Result {
        f.write_str(what)?;
        if let Some(domain) = &self.domain {
            write!(f, " {link} {domain}")?;
        }
        if self.is_name {
            f.write_str(", an address that the name in From shows")?;
        }
        write!(f, ": {}", self.why)
    }
}

/// One thing that was found out about a message, as a sentence for its reader and for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The EHLO name is none that a mail server has.
    BadHelo,
    /// The EHLO name has no address.
    UnknownHelo,
    /// Mail to the sender's domain would have no way.
    UnknownSenderDomain,
    /// The sender's domain takes no mail.
    SenderTakesNoMail,
    /// Lists in DNS name the client or a domain of the message: a sentence that tells them with their codes.
    Listed(String),
    /// The domain of the EHLO name does not let this client use it, for this reason.
    HeloSpfFail(String),
    /// The sender's domain does not let this client send, for this reason.
    SpfFail(String),
    /// It does not quite forbid it, either.
    SpfSoftFail(String),
    /// An author's domain wants mail like this refused, or put aside.
    DmarcFail(Author),
    /// It claims to be from one of our own domains and nothing proves it.
    NotOurs(String),
    /// The name for people in From shows an address at the first of these, which is ours, and it is from the second.
    ShowsOurs(String, String),
    /// Its reverse-path is at this domain, which is ours and does not let the client send.
    PathNotOurs(String),
    /// DNS does not tell for now whether an author is who it says, whose domain wants this done of what fails.
    Undecided(Policy, Author),
    /// A good signature of this domain has come to so many recipients before: a mailing, or a replay.
    Repeated(String, u64),
    /// Its From field names authors of these domains.
    Several(Vec<String>),
    /// Its From field names nobody whose domain could be asked, for this reason: each reader may see another author.
    NoAuthor(String),
    /// A filter wants it held back, for this reason.
    Quarantine(String),
    /// The sender is new here and is to come again after this time.
    Greylisted(Duration),
    /// This sealer is listed and saw it authentic, so that its failures here do not count.
    Sealed(String),
    /// It comes from this host that passes mail on to us, so that its failures here do not count.
    PassedOn(IpAddr),
    /// That host, or the mail server in front of us, calls it junk.
    JunkBefore(IpAddr),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadHelo => f.write_str("the EHLO name of the client is no name of a mail server"),
            Self::UnknownHelo => f.write_str("the EHLO name of the client does not exist"),
            Self::UnknownSenderDomain => f.write_str("the domain of the sender does not exist"),
            Self::SenderTakesNoMail => f.write_str("the domain of the sender says that it takes no mail"),
            Self::Listed(lists) => f.write_str(lists),
            Self::HeloSpfFail(why) => write!(f, "SPF of the EHLO name fails: {why}"),
            Self::SpfFail(why) => write!(f, "SPF fails: {why}"),
            Self::SpfSoftFail(why) => write!(f, "SPF does not pass (softfail): {why}"),
            Self::DmarcFail(author) => author.tell(f, "DMARC fails", "for"),
            Self::NotOurs(domain) => {
                write!(f, "it says to be from {domain}, {UNPROVEN}")
            }
            Self::PathNotOurs(domain) => write!(f, "its reverse-path is at {domain}, {FORGED_PATH}"),
            Self::ShowsOurs(shown, author) => {
                write!(
                    f,
                    "the name in From shows an address at {shown}, which is ours, and it is from {author}"
                )
            }
            Self::Undecided(policy, author) => {
                author.tell(f, "DMARC cannot tell for now", "about")?;
                match policy {
                    Policy::None => Ok(()),
                    Policy::Quarantine => f.write_str(" (what fails is to be put aside, says its policy)"),
                    Policy::Reject => f.write_str(" (what fails is to be refused, says its policy)"),
                }
            }
            Self::Repeated(domain, recipients) => {
                write!(
                    f,
                    "its signature of {domain} has come to {recipients} recipients within a day, a mailing or a replay"
                )
            }
            Self::Several(domains) => write!(f, "it has authors of several domains: {}", domains.join(", ")),
            Self::NoAuthor(why) => write!(f, "its author cannot be told: {why}"),
            Self::Quarantine(why) => write!(f, "a filter wants it held back: {why}"),
            Self::Greylisted(wait) => {
                write!(f, "the sender is new here (greylisting), try again in {} seconds", wait.as_secs())
            }
            Self::Sealed(sealer) => {
                write!(
                    f,
                    "it fails here, but {sealer}, whose seals count, saw DMARC pass before passing it on"
                )
            }
            Self::PassedOn(host) => write!(f, "it fails here, but {host} passes mail on to us"),
            Self::JunkBefore(host) => write!(f, "{host}, which passes mail on to us, calls it junk"),
        }
    }
}

impl Reason {
    /// Whether its reader must know of it though the message is taken: nobody is to believe it unwarned.
    pub(super) fn is_always_told(&self) -> bool {
        matches!(
            self,
            Self::NotOurs(_)
                | Self::PathNotOurs(_)
                | Self::ShowsOurs(..)
                | Self::Undecided(..)
                | Self::Repeated(..)
        )
    }
}
