//! Whose mail a message claims to be: the domains that its From field names (RFC 9989 §5.3.1).

use kings_mail::address::Host;
use kings_mail::address_list::{BadAuthors, authors};
use kings_mail::domain::Domain;
use kings_mail::header;

/// Most domains of authors that are judged: ours. Honest mail has one; each more is a tree walk.
pub const MAX_AUTHOR_DOMAINS: usize = 4;

/// Why a message has no author domain that could be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAuthor {
    /// No From field.
    #[error("there is no From field")]
    NoField,
    /// More than one From field (RFC 5322 §3.6 allows one).
    #[error("there are {0} From fields")]
    Fields(usize),
    /// The field names no address.
    #[error("{0}")]
    Malformed(#[from] BadAuthors),
    /// Over [`MAX_AUTHOR_DOMAINS`].
    #[error("the From field names authors in more than {MAX_AUTHOR_DOMAINS} domains")]
    Several,
    /// `ann@[192.0.2.1]`: nobody publishes a policy for it.
    #[error("the author has no domain")]
    Literal,
    /// `ann@x..example`
    #[error("an address in the From field has no domain that could be read")]
    OddHost,
}

/// Where the authors live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorDomains {
    /// At least one, each once, in the order of [`kings_mail::address_list::Authors`].
    pub domains: Vec<Domain>,
    /// Those of them that stand in no more than a name ([`kings_mail::address_list::Authors::names`]).
    pub names: Vec<Domain>,
    /// Why there is somebody else beside them who cannot be judged.
    pub odd: Option<NoAuthor>,
}

/// The domains of a message's authors, from its header. Authors who share one are one.
pub fn author_domains(head: &[u8]) -> Result<AuthorDomains, NoAuthor> {
    let fields: Vec<_> = header::all(head, "From").collect();
    let authors = match fields.as_slice() {
        [] => return Err(NoAuthor::NoField),
        [field] => authors(field.value)?,
        fields => return Err(NoAuthor::Fields(fields.len())),
    };
    let of = |hosts: &[Host]| hosts.iter().filter_map(Host::domain).cloned().collect::<Vec<Domain>>();
    let (domains, names) = (of(authors.hosts()), of(authors.names()));
    let has_literal = domains.len() < authors.hosts().len();
    match domains.len() {
        0 => Err(NoAuthor::Literal),
        count if count > MAX_AUTHOR_DOMAINS => Err(NoAuthor::Several),
        _ if authors.has_odd_host() => Ok(AuthorDomains { domains, names, odd: Some(NoAuthor::OddHost) }),
        _ => Ok(AuthorDomains { domains, names, odd: has_literal.then_some(NoAuthor::Literal) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_domains_of_all_authors_are_told() {
        let cases: [(&str, Result<&str, &str>); 16] = [
            ("From: Ann <ann@Example.org>\r\n", Ok("example.org")),
            ("Subject: x\r\nfrom: ann@example.org\r\n", Ok("example.org")),
            ("From: ann@example.org, bob@EXAMPLE.org\r\n", Ok("example.org")),
            ("From: ann@m\u{fc}nchen.example\r\n", Ok("xn--mnchen-3ya.example")),
            ("From: ann@example.org, bob@example.net\r\n", Ok("example.org example.net")),
            ("From: ann@example.org <bob@example.net>\r\n", Ok("example.net example.org")),
            ("From: Friends: ann@example.org;\r\n", Ok("example.org")),
            ("From: ann@example.org, bob@[192.0.2.1]\r\n", Ok("example.org + the author has no domain")),
            (
                "From: ann@example.org, bob@x..example\r\n",
                Ok("example.org + an address in the From field has no domain that could be read"),
            ),
            (
                "From: a@a.example, a@b.example, a@c.example, a@d.example, b@a.example\r\n",
                Ok("a.example b.example c.example d.example"),
            ),
            (
                "From: a@a.example, a@b.example, a@c.example, a@d.example, a@e.example\r\n",
                Err("more than 4 domains"),
            ),
            ("From: ann@example.org\r\nFrom: ann@example.org\r\n", Err("2 From fields")),
            ("Subject: x\r\n", Err("no From field")),
            ("From: Friends:;\r\n", Err("group")),
            ("From: \r\n", Err("names no address")),
            ("From: ann@[192.0.2.1]\r\n", Err("no domain")),
        ];
        for (head, expected) in cases {
            match (author_domains(head.as_bytes()), expected) {
                (Ok(AuthorDomains { domains, names: _, odd }), Ok(expected)) => {
                    let domains = domains.iter().map(Domain::as_str).collect::<Vec<_>>().join(" ");
                    let odd = odd.map(|odd| format!(" + {odd}")).unwrap_or_default();
                    assert_eq!(domains + &odd, expected, "{head}");
                }
                (Err(bad), Err(expected)) => assert!(bad.to_string().contains(expected), "{head}: {bad}"),
                (got, _) => panic!("{head}: {got:?}"),
            }
        }
    }
}
