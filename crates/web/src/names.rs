//! Host names of requests: which of them are ours, and what each is for.

use std::collections::BTreeMap;
use std::sync::Arc;

use kings_mail::domain::Domain;

/// What is served for a domain that is hosted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedSite {
    /// The domain.
    pub domain: Domain,
    /// Its MTA-STS policy, as served (RFC 8461 §3.2); `None` where it has none.
    pub mta_sts: Option<String>,
}

/// The names that this machine answers to. Clones share them.
#[derive(Clone, Debug)]
pub struct Names {
    hostname: Domain,
    /// Domain to policy.
    domains: Arc<BTreeMap<String, Option<String>>>,
}

/// What a request's host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role<'a> {
    /// The server itself.
    Server,
    /// A domain that is hosted here.
    Domain(&'a str),
    /// `autoconfig.` or `autodiscover.` of one.
    Settings(&'a str),
    /// `mta-sts.` of one.
    Policy(&'a str),
}

impl Names {
    /// The server's own name, and the domains.
    pub fn new(hostname: Domain, domains: impl IntoIterator<Item = HostedSite>) -> Self {
        let domains = domains.into_iter().map(|site| (site.domain.as_str().to_owned(), site.mta_sts));
        Self { hostname, domains: Arc::new(domains.collect()) }
    }

    /// The server's own name.
    pub(crate) fn hostname(&self) -> &Domain {
        &self.hostname
    }

    /// A domain of that name, if it is hosted here.
    pub(crate) fn hosted(&self, name: &str) -> Option<&str> {
        self.domains.get_key_value(name).map(|(name, _)| name.as_str())
    }

    /// The policy of a domain.
    pub(crate) fn policy(&self, domain: &str) -> Option<&str> {
        self.domains.get(domain)?.as_deref()
    }

    /// What the host of a request is here; `None` for names that are not ours.
    pub(crate) fn role(&self, host: &str) -> Option<Role<'_>> {
        if host == self.hostname.as_str() {
            return Some(Role::Server);
        }
        if let Some(domain) = self.hosted(host) {
            return Some(Role::Domain(domain));
        }
        let (label, rest) = host.split_once('.')?;
        let domain = self.hosted(rest)?;
        match label {
            "autoconfig" | "autodiscover" => Some(Role::Settings(domain)),
            "mta-sts" => Some(Role::Policy(domain)),
            _ => None,
        }
    }
}

/// The name in a Host field, in small letters, without port and final dot; `None` for what is no name.
///
/// Outlook asks through servers that put a dot behind the name.
pub fn host_of(field: &str) -> Option<String> {
    let name = match field.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) => return None,
        None => field,
    };
    Some(Domain::parse(name).ok()?.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_name_of_ours_has_its_role_and_no_other() {
        let site = |name: &str| HostedSite { domain: Domain::parse(name).unwrap(), mta_sts: None };
        let names = Names::new(
            Domain::parse("mail.example.org").unwrap(),
            [site("example.org"), site("mta-sts.example.net")],
        );
        for (host, role) in [
            ("mail.example.org", Some(Role::Server)),
            ("example.org", Some(Role::Domain("example.org"))),
            ("autoconfig.example.org", Some(Role::Settings("example.org"))),
            ("autodiscover.example.org", Some(Role::Settings("example.org"))),
            ("mta-sts.example.org", Some(Role::Policy("example.org"))),
            ("mta-sts.example.net", Some(Role::Domain("mta-sts.example.net"))),
            ("www.example.org", None),
            ("mta-sts.mail.example.org", None),
            ("autoconfig.autoconfig.example.org", None),
            ("example.com", None),
            ("org", None),
        ] {
            assert_eq!(names.role(host), role, "{host}");
        }
    }

    #[test]
    fn a_host_field_is_a_name_with_or_without_port_and_dot() {
        for (field, name) in [
            ("mail.example.org", Some("mail.example.org")),
            ("MAIL.Example.Org:8443", Some("mail.example.org")),
            ("autodiscover.example.org.", Some("autodiscover.example.org")),
            ("autodiscover.example.org.:443", Some("autodiscover.example.org")),
            ("mail.example.org:", Some("mail.example.org")),
            ("mail.example.org:x", None),
            ("mail.example.org..", None),
            ("a@mail.example.org", None),
            ("mail.example.org/evil", None),
            ("[::1]:80", None),
            ("", None),
        ] {
            assert_eq!(host_of(field).as_deref(), name, "{field}");
        }
    }
}
