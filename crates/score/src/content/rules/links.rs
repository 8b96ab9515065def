//! Where the links lead.

use super::super::Rule;
use super::super::link::Link;
use super::super::subject::Subject;
use super::when;

/// More than a long newsletter has.
const MANY: usize = 100;

pub(super) const RULES: &[&Rule] = &[
    &Rule {
        id: "link-shortened",
        weight: 5,
        source: "Spamhaus DBL: abused redirectors; SpamAssassin URI_SHORTENER",
        what: "A link goes through a shortener",
        why: "Nobody sees where it leads; the lists of bad names have whole shorteners on them.",
        fix: "Link to the page itself.",
        check: |subject| first(subject, Link::is_shortened),
    },
    &Rule {
        id: "link-names-another",
        weight: 8,
        source: "Thunderbird: scam detection; SpamAssassin SPOOFED_URL",
        what: "The text of a link names another host than it leads to",
        why: "It is what phishing is.",
        fix: "Write words as the text of the link, or the host that it leads to.",
        check: |subject| {
            let (link, named) =
                subject.links.iter().find_map(|link| Some((link, link.other_host_in_text()?)))?;
            Some(format!("\"{named}\" leads to {}", link.target))
        },
    },
    &Rule {
        id: "link-address",
        weight: 8,
        source: "SpamAssassin NUMERIC_HTTP_ADDR, NORMAL_HTTP_TO_IP",
        what: "A link leads to an address instead of a name",
        why: "Proper pages have a name; machines that were broken into have none.",
        fix: "Link to a name with a certificate.",
        check: |subject| first(subject, |link| link.address().is_some()),
    },
    &Rule {
        id: "link-with-user",
        weight: 8,
        source: "RFC 3986 §7.6",
        what: "A link has a user name in front of its host",
        why: "\"https://bank.example@evil.example\" looks like the bank; programs warn of it.",
        fix: "Take the part in front of the @ out.",
        check: |subject| first(subject, Link::has_name_before_host),
    },
    &Rule {
        id: "link-scheme",
        weight: 10,
        source: "Gmail and Outlook: blocked schemes",
        what: "A link runs something or opens a file",
        why: "javascript:, data: and file: are dropped by programs and counted by filters.",
        fix: "Link to a page by https.",
        check: |subject| first(subject, |link| link.forbidden_scheme().is_some()),
    },
    &Rule {
        id: "link-insecure",
        weight: 1,
        source: "RFC 9110 §4.2.2",
        what: "A link leads to a page without TLS",
        why: "Browsers call it not secure, and anybody on the way can change it.",
        fix: "Link by https.",
        check: |subject| {
            // Addresses are the matter of another rule, and have seldom a certificate.
            first(subject, |link| link.is_insecure() && link.address().is_none())
        },
    },
    &Rule {
        id: "links-many",
        weight: 3,
        source: "Kings: ten times what a letter has",
        what: "There are more than a hundred links",
        why: "Each one is looked up by filters, and any bad one spoils the message.",
        fix: "Link to one page that has them all.",
        check: |subject| {
            let count = subject.links.len();
            when(count > MANY, || format!("{count} links"))
        },
    },
];

fn first(subject: &Subject<'_>, is_bad: impl Fn(&Link) -> bool) -> Option<String> {
    subject.links.iter().find(|link| is_bad(link)).map(|link| link.target.clone())
}
