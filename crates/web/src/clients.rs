//! Settings that mail programs find by themselves: which servers there are, in the words of each program.

pub(crate) mod apple;
pub(crate) mod outlook;
pub(crate) mod thunderbird;

use kings_mail::address::Address;
use kings_mail::domain::Domain;

/// The servers that people's mail programs use; a port is `None` where the server does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// The host of all of them, which stands in the certificate.
    pub hostname: Domain,
    /// IMAP under TLS from the first byte.
    pub imaps: Option<u16>,
    /// IMAP with STARTTLS.
    pub imap: Option<u16>,
    /// POP3 under TLS from the first byte.
    pub pop3s: Option<u16>,
    /// POP3 with STLS.
    pub pop3: Option<u16>,
    /// Submission under TLS from the first byte.
    pub submissions: Option<u16>,
    /// Submission with STARTTLS.
    pub submission: Option<u16>,
}

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Imap,
    Pop3,
    Submission,
}

/// One server as a mail program needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
    /// TLS from the first byte; STARTTLS otherwise. None is used in clear.
    pub(crate) tls_at_once: bool,
}

impl Servers {
    /// All of them, the best of each protocol first: TLS from the first byte (RFC 8314 §3), IMAP before POP3.
    pub(crate) fn all(&self) -> impl Iterator<Item = Server> {
        [
            (Protocol::Imap, self.imaps, true),
            (Protocol::Imap, self.imap, false),
            (Protocol::Pop3, self.pop3s, true),
            (Protocol::Pop3, self.pop3, false),
            (Protocol::Submission, self.submissions, true),
            (Protocol::Submission, self.submission, false),
        ]
        .into_iter()
        .filter_map(|(protocol, port, tls_at_once)| Some(Server { protocol, port: port?, tls_at_once }))
    }

    /// The best one of a protocol.
    pub(crate) fn best(&self, protocol: Protocol) -> Option<Server> {
        self.all().find(|server| server.protocol == protocol)
    }
}

/// Longest query that is looked at, in octets.
const MAX_QUERY: usize = 2_048;

/// The address in `emailaddress=`, `email=` or `address=` of a query.
pub fn address_in_query(query: &str) -> Option<Address> {
    let keys = ["emailaddress", "email", "address"];
    let pairs = query.get(..query.len().min(MAX_QUERY))?.split('&').filter_map(|pair| pair.split_once('='));
    let mut values = pairs.filter(|(key, _)| keys.iter().any(|known| key.eq_ignore_ascii_case(known)));
    let (_, value) = values.next()?;
    Address::parse(&unescaped(value)?).ok()
}

/// Percent-encoding undone (RFC 3986 §2.1). A plus sign stays one: addresses have them, and nothing that asks us has spaces.
fn unescaped(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet != b'%' {
            octets.push(octet);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        octets.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(octets).ok()
}

/// Text within an element or an attribute.
pub(crate) fn escaped(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn servers() -> Servers {
        Servers {
            hostname: Domain::parse("mail.example.org").unwrap(),
            imaps: Some(993),
            imap: None,
            pop3s: None,
            pop3: Some(110),
            submissions: Some(465),
            submission: Some(587),
        }
    }

    #[test]
    fn an_address_is_found_in_a_query_under_each_of_its_names() {
        for (query, found) in [
            ("emailaddress=ann@example.org", Some("ann@example.org")),
            ("emailaddress=ann%40example.org", Some("ann@example.org")),
            ("Email=ann%40example.org&Protocol=AutodiscoverV1", Some("ann@example.org")),
            ("x=y&address=ann+lists@example.org", Some("ann+lists@example.org")),
            ("address=ann%2Blists@example.org", Some("ann+lists@example.org")),
            ("emailaddress=ann%4", None),
            ("emailaddress=%zz", None),
            ("emailaddress=%ff@example.org", None),
            ("emailaddress=ann", None),
            ("emailaddress", None),
            ("", None),
        ] {
            assert_eq!(
                address_in_query(query).map(|address| address.to_string()).as_deref(),
                found,
                "{query}"
            );
        }
    }

    #[test]
    fn the_best_server_is_under_tls_from_the_first_byte() {
        let servers = servers();
        assert_eq!(servers.best(Protocol::Submission).unwrap().port, 465);
        assert_eq!(
            servers.best(Protocol::Pop3),
            Some(Server { protocol: Protocol::Pop3, port: 110, tls_at_once: false })
        );
        let without = Servers { imaps: None, ..servers };
        assert_eq!(without.best(Protocol::Imap), None);
    }

    proptest! {
        #[test]
        fn no_query_makes_it_panic(query in "[ -~é%]{0,60}") {
            let _ = address_in_query(&query);
        }
    }
}
