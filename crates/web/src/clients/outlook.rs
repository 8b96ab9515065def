//! Outlook's Autodiscover: the settings as XML, and the way to them as JSON.

use hyper::StatusCode;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
use serde_json::json;

use super::{Protocol, Server, Servers, address_in_query, escaped};
use crate::answer::{Answer, document, refusal};

/// Most events of a question that are read; a real one has about twenty.
const MAX_EVENTS: usize = 200;
/// Longest address that is looked at, in octets.
const MAX_ADDRESS: usize = 1_024;

const NAMESPACE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
const SETTINGS_NAMESPACE: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";

/// The `EMailAddress` that a question asks about; `None` where there is none, or the text is no XML.
pub fn requested_address(body: &[u8]) -> Option<Address> {
    let text = std::str::from_utf8(body).ok()?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let mut inside = false;
    let mut address = String::new();
    for _ in 0..MAX_EVENTS {
        match reader.read_event().ok()? {
            Event::Start(element) => inside = element.local_name().as_ref() == "EMailAddress",
            Event::Text(text) if inside => address.push_str(&text),
            Event::GeneralRef(entity) if inside => match entity.resolve_char_ref().ok()? {
                Some(character) => address.push(character),
                None => address.push_str(resolve_predefined_entity(&entity)?),
            },
            Event::End(_) if inside => return Address::parse(address.trim()).ok(),
            Event::Eof => return None,
            _ => {}
        }
        if address.len() > MAX_ADDRESS {
            return None;
        }
    }
    None
}

/// The settings of an address; without one, what says that the question was not understood.
pub(crate) fn answer(servers: &Servers, address: Option<&Address>) -> String {
    let response = match address {
        Some(address) => settings(servers, address),
        None => "  <Response>\n    <Error>\n      <ErrorCode>600</ErrorCode>\n      <Message>Invalid Request</Message>\n      \
<DebugData/>\n    </Error>\n  </Response>\n"
            .to_owned(),
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover xmlns=\"{NAMESPACE}\">\n{response}</Autodiscover>\n"
    )
}

fn settings(servers: &Servers, address: &Address) -> String {
    let login = escaped(&address.to_string());
    let wanted = [Protocol::Imap, Protocol::Pop3, Protocol::Submission];
    let protocols: String = wanted
        .into_iter()
        .filter_map(|protocol| servers.best(protocol))
        .map(|server| protocol(servers, server, &login))
        .collect();
    format!(
        "  <Response xmlns=\"{SETTINGS_NAMESPACE}\">\n    <User>\n      <DisplayName>{login}</DisplayName>\n    </User>\n    <Account>\n      \
<AccountType>email</AccountType>\n      <Action>settings</Action>\n{protocols}    </Account>\n  </Response>\n"
    )
}

fn protocol(servers: &Servers, server: Server, login: &str) -> String {
    let (kind, rest) = match server.protocol {
        Protocol::Imap => ("IMAP", ""),
        Protocol::Pop3 => ("POP3", ""),
        Protocol::Submission => {
            ("SMTP", "        <UsePOPAuth>off</UsePOPAuth>\n        <SMTPLast>off</SMTPLast>\n")
        }
    };
    // SSL="on" alone means TLS from the first byte; with STARTTLS, Encryption decides and SSL must say the same.
    let encryption = if server.tls_at_once { "SSL" } else { "TLS" };
    format!(
        "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{}</Server>\n        <Port>{}</Port>\n        \
<DomainRequired>off</DomainRequired>\n        <LoginName>{login}</LoginName>\n        <SPA>off</SPA>\n        <SSL>on</SSL>\n        \
<Encryption>{encryption}</Encryption>\n        <AuthRequired>on</AuthRequired>\n{rest}      </Protocol>\n",
        servers.hostname, server.port
    )
}

/// The second version's question: where the settings of the first are.
pub(crate) fn location(hostname: &Domain, query: &str) -> Answer {
    let protocol = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case("Protocol"));
    match protocol {
        Some((_, name)) if name.eq_ignore_ascii_case("AutodiscoverV1") => {
            // The address is not needed to find the way; one that is none is a mistake all the same.
            if query.to_ascii_lowercase().contains("email=") && address_in_query(query).is_none() {
                return refusal(StatusCode::BAD_REQUEST, "Email is no address.");
            }
            let url = format!("https://{hostname}/autodiscover/autodiscover.xml");
            document("application/json", json!({ "Protocol": "AutodiscoverV1", "Url": url }).to_string())
        }
        _ => refusal(StatusCode::BAD_REQUEST, "Only Protocol=AutodiscoverV1 is known here."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::super::tests::servers;
    use super::*;

    fn question(address: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/\
requestschema/2006\"><Request><EMailAddress>{address}</EMailAddress><AcceptableResponseSchema>{SETTINGS_NAMESPACE}\
</AcceptableResponseSchema></Request></Autodiscover>"
        )
    }

    #[test]
    fn the_address_is_read_from_a_question_however_it_is_written() {
        for (body, found) in [
            (question("ann@example.org"), Some("ann@example.org")),
            (format!("\u{feff}{}", question(" ann@example.org\r\n")), Some("ann@example.org")),
            (question("ann&amp;joe@example.org"), Some("ann&joe@example.org")),
            (question("ann&#64;example.org"), Some("ann@example.org")),
            (
                "<a:EMailAddress xmlns:a='x'>ann@example.org</a:EMailAddress>".to_owned(),
                Some("ann@example.org"),
            ),
            (question("ann"), None),
            (question(""), None),
            (question("&unknown;@example.org"), None),
            (question(&"a".repeat(2_000)), None),
            ("<EMailAddress>ann@example.org".to_owned(), None),
            ("<a>".repeat(300) + &question("ann@example.org"), None),
            (String::new(), None),
            ("not XML".to_owned(), None),
        ] {
            let address = requested_address(body.as_bytes()).map(|address| address.to_string());
            assert_eq!(address.as_deref(), found, "{body:.200}");
        }
        assert_eq!(requested_address(b"<EMailAddress>\xff@example.org</EMailAddress>"), None);
    }

    #[test]
    fn the_best_server_of_each_protocol_is_told_with_the_login() {
        let address = Address::parse("ann&joe@example.org").unwrap();
        let text = answer(&servers(), Some(&address));
        let found = |name: &str| {
            let start = format!("<{name}>");
            let parts = text.split(&start).skip(1);
            parts.map(|rest| rest.split('<').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("Type"), ["IMAP", "POP3", "SMTP"]);
        assert_eq!(found("Port"), ["993", "110", "465"]);
        assert_eq!(found("Encryption"), ["SSL", "TLS", "SSL"]);
        assert_eq!(found("LoginName"), ["ann&amp;joe@example.org"; 3]);
        let refused = answer(&servers(), None);
        assert!(
            refused.contains("<ErrorCode>600</ErrorCode>") && !refused.contains("LoginName"),
            "{refused}"
        );
    }

    proptest! {
        #[test]
        fn no_question_makes_it_panic(body in "(<[a-z/]{0,14}>|EMailAddress|&amp;|[ -~é]){0,30}") {
            let _ = requested_address(body.as_bytes());
        }
    }
}
