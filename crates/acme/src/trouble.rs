//! Why there is no new certificate, and what mends it.

use std::io;

use instant_acme::{Error, Problem};
use kings_fetch::FetchError;
use kings_mail::domain::Domain;
use kings_tls::NotProven;
use rustls::CertificateError;

use crate::challenge::Kind;

/// What an error of an authority is called (RFC 8555 §6.7), before its own name.
const ERROR: &str = "urn:ietf:params:acme:error:";

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// DNS does not have the name, so nobody needs to be asked.
    #[error("DNS has no address for {0}")]
    NotInDns(Domain),
    /// The authority cannot be reached, or fails.
    #[error("the authority cannot be reached: {0}")]
    Unreachable(String),
    /// The certificate of the authority itself is out of date, or not yet good.
    #[error("the certificate of the authority itself is not good at the time that this machine has: {0}")]
    Clock(String),
    /// The authority has had enough for now.
    #[error("the authority wants to be asked less often: {0}")]
    RateLimited(String),
    /// The authority looked, and did not find what it wanted.
    #[error("{kind} failed: {text}")]
    Challenge {
        /// What it looked for.
        kind: Kind,
        /// In its words.
        text: String,
    },
    /// No way to prove the name is both offered and possible here.
    #[error("the authority offers no challenge that can be answered here")]
    NoChallenge,
    /// The authority refuses for another reason.
    #[error("the authority refuses: {0}")]
    Refused(String),
    /// What it gave must not serve.
    #[error(transparent)]
    NotProven(#[from] NotProven),
    /// Files cannot be read or written.
    #[error("cannot keep it: {0}")]
    Disk(#[from] io::Error),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    /// Takes the error of the library apart.
    pub(crate) fn of(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::of_problem(&problem),
            Error::Other(inner) => match inner.downcast_ref::<FetchError>() {
                Some(FetchError::Tls { cause, .. }) if is_about_time(cause) => Self::Clock(cause.to_string()),
                _ => Self::Unreachable(inner.to_string()),
            },
            Error::Timeout(_) => Self::Other("the authority did not decide in time".to_owned()),
            Error::Json(_) => Self::Unreachable("its answer makes no sense".to_owned()),
            other => Self::Other(other.to_string()),
        }
    }

    fn of_problem(problem: &Problem) -> Self {
        let text = told(problem);
        match problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(ERROR)) {
            Some("rateLimited") => Self::RateLimited(text),
            Some("serverInternal") => Self::Unreachable(text),
            _ if problem.status.is_some_and(|status| status == 429) => Self::RateLimited(text),
            _ => Self::Refused(text),
        }
    }

    /// What the person who runs this server does about it.
    pub fn fix(&self, name: &Domain) -> String {
        match self {
            Self::NotInDns(_) => format!("add A and AAAA records for {name}; it is looked for every minute"),
            Self::Unreachable(_) => {
                "nothing to do if it is down; else see whether this machine reaches it: directory in [tls] acme".to_owned()
            }
            Self::Clock(_) | Self::NotProven(NotProven::NotYet | NotProven::Expired) => {
                "set the clock: timedatectl set-ntp true".to_owned()
            }
            Self::RateLimited(_) => "wait; it is tried again when the authority allows it".to_owned(),
            Self::Challenge { kind: Kind::Http01, .. } => {
                format!("port 80 of {name} must lead here: open it in the firewall, and see what else answers there with  curl -v http://{name}/")
            }
            Self::Challenge { kind: Kind::TlsAlpn01, .. } => {
                format!("port 443 of {name} must lead here, with no proxy before it that ends TLS: open it in the firewall")
            }
            Self::Challenge { kind: Kind::Dns01, .. } => {
                format!("see what name servers say with  dig TXT _acme-challenge.{name}")
            }
            Self::NoChallenge => {
                "give [listen] http = [\"[::]:80\"] or https = [\"[::]:443\"], and name it in [tls] acme challenges".to_owned()
            }
            Self::Refused(_) => format!("does a CAA record forbid it?  dig CAA {name}"),
            Self::Disk(_) => "make room on the disk, and see that the folder belongs to the user that runs Kings".to_owned(),
            Self::NotProven(_) | Self::Other(_) => format!("try again with  kings certificate renew {name}"),
        }
    }
}

/// The words of a problem with those of its parts.
pub(crate) fn told(problem: &Problem) -> String {
    let parts = problem.subproblems.iter().filter_map(|part| part.detail.as_deref());
    let words: Vec<&str> = problem.detail.as_deref().into_iter().chain(parts).collect();
    let kind = problem.r#type.as_deref().unwrap_or_default();
    let kind = kind.strip_prefix(ERROR).unwrap_or(kind);
    // It is shown on terminals and in logs.
    let clean = |text: &str| text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    let words: String = clean(&words.join("; "));
    if kind.is_empty() { words } else { format!("{words} ({})", clean(kind)) as String }
}

pub(crate) fn is_bad_nonce(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:badNonce"))
}

fn is_about_time(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        inner,
        Some(rustls::Error::InvalidCertificate(
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ))
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn problem(kind: &str, status: u16) -> Trouble {
        let text = format!(
            r#"{{"type": "{ERROR}{kind}", "detail": "too many\u001b[2J", "status": {status}, "subproblems": [{{"detail": "x"}}]}}"#
        );
        Trouble::of(Error::Api(serde_json::from_str(&text).unwrap()))
    }

    #[test]
    fn errors_are_told_by_what_mends_them() {
        let limited = problem("rateLimited", 429);
        assert!(
            matches!(&limited, Trouble::RateLimited(text) if text == "too many [2J; x (rateLimited)"),
            "{limited:?}"
        );
        assert!(matches!(problem("badCSR", 429), Trouble::RateLimited(_)));
        assert!(matches!(problem("serverInternal", 500), Trouble::Unreachable(_)));
        assert!(matches!(problem("caa", 403), Trouble::Refused(_)));
        assert!(is_bad_nonce(&Error::Api(
            serde_json::from_str(&format!(r#"{{"type": "{ERROR}badNonce"}}"#)).unwrap()
        )));
        let wrong = io::Error::other(rustls::Error::InvalidCertificate(CertificateError::Expired));
        let tls = |cause| Error::Other(Box::new(FetchError::Tls { host: "ca.example".to_owned(), cause }));
        assert!(matches!(Trouble::of(tls(wrong)), Trouble::Clock(_)));
        let other = io::Error::other(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer));
        assert!(matches!(Trouble::of(tls(other)), Trouble::Unreachable(_)));
    }
}
