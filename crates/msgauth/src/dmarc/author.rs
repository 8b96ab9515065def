//! Whose mail a message claims to be: the one domain of its From field (RFC 9989 §5.3.1).

use kings_mail::address::{Address, Host};
use kings_mail::address_list::{BadAuthors, authors};
use kings_mail::domain::Domain;
use kings_mail::header;

/// Why a message has no author domain that could be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAuthor {
    /// No From field.
    #[error("there is no From field")]
    NoField,
    /// More than one From field (RFC 5322 §3.6 allows one).
    #[error("there are {0} From fields")]
    Fields(usize),
    /// The field cannot be read in one way only.
    #[error("{0}")]
    Malformed(#[from] BadAuthors),
    /// Authors in different domains: each could be the one a reader sees.
    #[error("the From field names authors in different domains")]
    Several,
    /// `ann@[192.0.2.1]`: nobody publishes a policy for it.
    #[error("the author has no domain")]
    Literal,
}

/// The author domain of a message, from its header. Several authors are one where they share their domain.
pub fn author_domain(head: &[u8]) -> Result<Domain, NoAuthor> {
    let fields: Vec<_> = header::all(head, "From").collect();
    match fields.as_slice() {
        [] => Err(NoAuthor::NoField),
        [field] => one_domain(&authors(field.value)?),
        fields => Err(NoAuthor::Fields(fields.len())),
    }
}

fn one_domain(authors: &[Address]) -> Result<Domain, NoAuthor> {
    let mut domains = authors.iter().map(|author| match &author.host {
        Host::Domain(domain) => Ok(domain),
        Host::Literal(_) => Err(NoAuthor::Literal),
    });
    let first = domains.next().ok_or(NoAuthor::NoField)??;
    for domain in domains {
        if domain? != first {
            return Err(NoAuthor::Several);
        }
    }
    Ok(first.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_domain_is_the_author() {
        let cases: [(&str, Result<&str, &str>); 11] = [
            ("From: Ann <ann@Example.org>\r\n", Ok("example.org")),
            ("Subject: x\r\nfrom: ann@example.org\r\n", Ok("example.org")),
            ("From: ann@example.org, bob@EXAMPLE.org\r\n", Ok("example.org")),
            ("From: ann@m\u{fc}nchen.example\r\n", Ok("xn--mnchen-3ya.example")),
            ("From: ann@example.org, bob@example.net\r\n", Err("different domains")),
            ("From: ann@example.org\r\nFrom: ann@example.org\r\n", Err("2 From fields")),
            ("Subject: x\r\n", Err("no From field")),
            ("From: Friends: ann@example.org;\r\n", Err("group")),
            ("From: \r\n", Err("plain addresses")),
            ("From: ann@[192.0.2.1]\r\n", Err("no domain")),
            ("From: ann@example.org <bob@example.net>\r\n", Err("plain addresses")),
        ];
        for (head, expected) in cases {
            match (author_domain(head.as_bytes()), expected) {
                (Ok(domain), Ok(expected)) => assert_eq!(domain.as_str(), expected, "{head}"),
                (Err(bad), Err(expected)) => assert!(bad.to_string().contains(expected), "{head}: {bad}"),
                (got, _) => panic!("{head}: {got:?}"),
            }
        }
    }
}
