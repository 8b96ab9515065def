//! What balancers, HTTPS servers and HTTP clients say, as `kings-net`, `kings-fetch` and `kings-web` read it.

use kings_fetch::{Url, try_response};
use kings_net::try_proxy_header;
use kings_web::fuzzing::{address_in_query, host_of, requested_address};

/// Most octets of a body in [`http_response`].
const MAX_BODY: usize = 1_000;
/// Octets that every header may have.
const SMALL: usize = 16 * 1024;

/// A header is read to its last octet and not beyond, however it comes; a shorter one is none, and what it says can be
/// said again.
pub fn proxy_header(data: &[u8]) {
    let whole = try_proxy_header(data, usize::MAX);
    for at_once in [1, 3, 12] {
        assert_eq!(try_proxy_header(data, at_once), whole, "{at_once} octets at a time");
    }
    let Some((said, taken)) = whole else { return };
    let more = [&data[..taken], b"\r\nEHLO x\r\n"].concat();
    assert_eq!(try_proxy_header(&more, usize::MAX), whole, "what stands behind it changes nothing");
    for length in (0..taken).rev().take(32) {
        assert_eq!(try_proxy_header(&data[..length], usize::MAX), None, "a part of it is none");
    }
    let Some((client, server)) = said else { return };
    assert_eq!(client.is_ipv4(), server.is_ipv4());
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (client.ip(), server.ip());
    let line = format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), server.port());
    assert_eq!(try_proxy_header(line.as_bytes(), usize::MAX), Some((said, line.len())));
}

/// Whatever a server answers, and however it is cut, it is over when the connection is; no body is larger than asked for,
/// and no redirect leads anywhere but to HTTPS.
pub fn http_response(data: &[u8]) {
    let whole = try_response(data, usize::MAX, MAX_BODY);
    let pieces = try_response(data, 1, MAX_BODY);
    // Where the answer is broken, how much of it was read first may decide which fault is named; and whether a header is
    // too large is seen when more of it is waited for.
    assert!(data.len() > SMALL || whole.as_ref().ok() == pieces.as_ref().ok());
    let Ok(response) = whole else { return };
    assert!(response.body.len() <= MAX_BODY && (100..1_000).contains(&response.status));
    let mut fields = response.location.iter().chain(&response.content_type);
    assert!(fields.all(|text| !text.contains(['\r', '\n', '\0'])));
    if let Some(url) = response.location.as_deref().and_then(|text| Url::parse(text).ok()) {
        assert_eq!(Url::parse(&url.to_string()).as_ref(), Ok(&url));
        assert!(url.port() != 0 && !url.host().is_empty() && !url.host().contains(['@', '/', '[', ' ']));
    }
}

/// A host field, a query or a question of Outlook's: whatever it is, a host is a name in small letters that is read again as
/// itself, and an address is one.
pub fn http_request(data: &[u8]) {
    if let Some(address) = requested_address(data) {
        assert!(!address.to_string().contains(['\r', '\n', '\0', '<']) || address.to_string().contains('"'));
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(host) = host_of(text) {
        assert_eq!(host_of(&host).as_ref(), Some(&host));
        assert_eq!(host_of(&format!("{host}.:443")).as_ref(), Some(&host));
        assert!(!host.contains(['/', '@', ':', ' ', '\r', '\n']) && host == host.to_lowercase());
    }
    if let Some(address) = address_in_query(text) {
        assert_eq!(
            address_in_query(&format!("address={}", escaped(&address.to_string()))).as_ref(),
            Some(&address)
        );
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02x}")).collect()
}
