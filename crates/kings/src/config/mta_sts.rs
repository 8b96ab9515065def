//! `[mta_sts]`: what senders that look for a policy are told about our hosts (RFC 8461).

use std::time::Duration;

use kings_mail::domain::Domain;
use kings_msgauth::mta_sts::{MAX_AGE, Mode, Pattern, Policy};

use super::listen::Listen;
use super::queue::duration;
use super::reader::{Complaint, Section, Source};
use super::section;

/// How long a policy is kept where nothing else is said: short enough to come back from a mistake (RFC 8461 §3.2 wants weeks
/// once all is well).
const USUAL_AGE: Duration = Duration::from_hours(7 * 24);

/// The policies of the domains that are hosted here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MtaSts {
    /// For domains that say nothing themselves.
    all: Wish,
    domains: Vec<(Domain, Wish)>,
    max_age: Duration,
    mx: Vec<Pattern>,
}

/// Whether there is a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Off,
    On(Mode),
}

impl MtaSts {
    /// What one domain wants of its senders.
    pub(crate) fn policy(&self, domain: &Domain) -> Option<Policy> {
        let own = self.domains.iter().find(|(name, _)| name == domain).map(|(_, wish)| *wish);
        let Wish::On(mode) = own.unwrap_or(self.all) else { return None };
        Some(Policy { mode, max_age: self.max_age, mx: self.mx.clone() })
    }
}

/// What a domain says for itself.
pub(super) fn wish(source: &mut Source<'_>, section: &mut Section<'_>, key: &'static str) -> Option<Wish> {
    let known = "\"off\", \"testing\", \"enforce\" or \"none\" (RFC 8461 §5)";
    section.parsed(source, key, known, |text| match text {
        "off" => Ok(Wish::Off),
        "testing" => Ok(Wish::On(Mode::Testing)),
        "enforce" => Ok(Wish::On(Mode::Enforce)),
        "none" => Ok(Wish::On(Mode::None)),
        _ => Err("another word"),
    })
}

/// Where HTTPS is served, and nothing is said, a policy in the mode for testing is there: it refuses nothing.
pub(super) fn read(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    hostname: Option<&Domain>,
    domains: Vec<(Domain, Wish)>,
    listen: &Listen,
) -> MtaSts {
    let https = !listen.https.is_empty();
    section(source, top, "mta_sts", |source, section| {
        let told = wish(source, section, "mode");
        let age = "a time such as \"7d\", from a minute to a year";
        let max_age = section.parsed(source, "max_age", age, |text| {
            let range = Duration::from_mins(1)..=MAX_AGE;
            duration(text).filter(|age| range.contains(age)).ok_or("another time")
        });
        let host = "a host such as \"mail.example.org\" or \"*.example.org\"";
        let mut mx = section.list(source, "mx", host, |text| Pattern::parse(text).ok_or("no host"));
        if mx.is_empty() {
            mx.extend(hostname.and_then(|name| Pattern::parse(name.as_str())));
        }
        if !https && domains.iter().map(|(_, wish)| *wish).chain(told).any(|wish| wish != Wish::Off) {
            source.warnings.push(not_served());
        }
        let usual = if https { Wish::On(Mode::Testing) } else { Wish::Off };
        MtaSts { all: told.unwrap_or(usual), domains, max_age: max_age.unwrap_or(USUAL_AGE), mx }
    })
}

fn not_served() -> Complaint {
    Complaint {
        line: None,
        what: "[mta_sts] has a policy that this server does not serve: add https = [\"[::]:443\"] to [listen], or serve it at \
               https://mta-sts.DOMAIN/.well-known/mta-sts.txt elsewhere"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;
    use crate::config::Settings;
    use crate::config::tests::SMALLEST;

    fn parse(domain: &str, listen: &str, own: &str) -> Result<Settings, Vec<Complaint>> {
        let text = SMALLEST.replacen("[accounts]", &format!("{domain}\n[accounts]"), 1);
        let text = text.replacen("[listen]", &format!("[listen]\n{listen}"), 1);
        Settings::parse(&format!("{text}\n[mta_sts]\n{own}\n"), Path::new("/etc/kings-smtp"))
    }

    #[test]
    fn a_policy_is_there_where_https_is_and_a_domain_stands_above_the_rest() {
        let https = "https = [\"127.0.0.1:0\"]";
        for (domain, listen, own, expected) in [
            ("", "", "", None),
            ("", https, "", Some(Mode::Testing)),
            ("", https, "mode = \"enforce\"", Some(Mode::Enforce)),
            ("", https, "mode = \"off\"", None),
            ("mta_sts = \"off\"", https, "mode = \"enforce\"", None),
            ("mta_sts = \"none\"", https, "", Some(Mode::None)),
            ("mta_sts = \"enforce\"", "", "", Some(Mode::Enforce)),
        ] {
            let settings = parse(domain, listen, own).unwrap();
            let policy = settings.mta_sts.policy(&settings.domains[0].name);
            assert_eq!(policy.map(|policy| policy.mode), expected, "{domain} {listen} {own}");
            let warned = settings.warnings.iter().any(|warning| warning.what.contains("does not serve"));
            assert_eq!(warned, expected.is_some() && listen.is_empty(), "{domain} {listen} {own}");
        }
    }

    #[test]
    fn the_policy_names_the_host_unless_others_are_told() {
        let https = "https = [\"127.0.0.1:0\"]";
        let text = |own| {
            let settings = parse("", https, own).unwrap();
            settings.mta_sts.policy(&settings.domains[0].name).unwrap().to_string()
        };
        let hostname = parse("", https, "").unwrap().hostname;
        assert_eq!(text(""), format!("version: STSv1\nmode: testing\nmax_age: 604800\nmx: {hostname}\n"));
        let told = text("max_age = \"1d\"\nmx = [\"a.example.org\", \"*.b.example.org\"]");
        assert!(told.ends_with("max_age: 86400\nmx: a.example.org\nmx: *.b.example.org\n"), "{told}");
        for bad in
            ["mode = \"on\"", "max_age = \"1s\"", "max_age = \"9000d\"", "mx = [\"*.\"]", "mx = [\"a b\"]"]
        {
            assert!(parse("", https, bad).is_err(), "{bad}");
        }
    }
}
