//! An `https:` address, taken apart once.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use hyper::Uri;

/// Where HTTPS is when the address names no port (RFC 9110 §4.2.2).
const HTTPS: u16 = 443;

/// An address of the form `https://host[:port]/path[?query]` (RFC 9110 §4.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    host: String,
    port: u16,
    target: String,
}

/// The text is not an address that we fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address of the form https://host/path")]
pub struct BadUrl;

impl Url {
    /// Takes `https:` alone; a user name before the host is how addresses lie about their host, and refused.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let uri: Uri = text.parse().map_err(|_| BadUrl)?;
        let authority = uri.authority().ok_or(BadUrl)?;
        if uri.scheme_str() != Some("https") || authority.as_str().contains('@') {
            return Err(BadUrl);
        }
        let host = host(authority.host())?;
        let after_host = authority.as_str().rsplit_once(']').map_or(authority.as_str(), |(_, rest)| rest);
        let port = match authority.port_u16() {
            Some(port) => port,
            None if after_host.contains(':') => return Err(BadUrl),
            None => HTTPS,
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        if host.is_empty() || port == 0 { Err(BadUrl) } else { Ok(Self { host, port, target }) }
    }

    /// What a `Location` field leads to from here (RFC 9110 §10.2.2): an absolute address or an absolute path.
    pub(crate) fn join(&self, location: &str) -> Result<Self, BadUrl> {
        if location.starts_with('/') && !location.starts_with("//") {
            return Self::parse(&format!("https://{}{location}", self.authority()));
        }
        Self::parse(location)
    }

    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 443 unless the address says another.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The value of the `Host` field (RFC 9112 §3.2).
    pub fn authority(&self) -> String {
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
            _ => self.host.clone(),
        };
        if self.port == HTTPS { host } else { format!("{host}:{}", self.port) }
    }
}

/// A name or an address of IPv4 as it stands; brackets are for whole addresses of IPv6 (RFC 3986 §3.2.2).
fn host(text: &str) -> Result<String, BadUrl> {
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| BadUrl)?;
        return Ok(address.to_string());
    }
    if text.contains(['[', ']']) { Err(BadUrl) } else { Ok(text.to_ascii_lowercase()) }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.authority(), self.target)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_are_https_with_a_host_and_nobody_before_it() {
        let cases = [
            ("https://mta-sts.example.org/.well-known/mta-sts.txt", Some("mta-sts.example.org 443")),
            ("https://Example.org:8443/a?b=c", Some("example.org 8443")),
            ("https://example.org", Some("example.org 443")),
            ("https://[::1]:9/", Some("::1 9")),
            ("https://[2001:DB8:0::1]/", Some("2001:db8::1 443")),
            ("https://[::1/", None),
            ("https://[x]/", None),
            ("https://[127.0.0.1]/", None),
            ("https://other[::1]x/", None),
            ("https://127.0.0.1/", Some("127.0.0.1 443")),
            ("http://example.org/", None),
            ("https://ann@example.org/", None),
            ("https://example.org@evil.example/", None),
            ("https:///path", None),
            ("https://example.org:0/", None),
            ("https://example.org:99999/", None),
            ("https://example.org:x/", None),
            ("ftp://example.org/", None),
            ("/path", None),
            ("https://a b/", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let found = Url::parse(text).map(|url| format!("{} {}", url.host(), url.port()));
            assert_eq!(found.ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_redirect_may_name_a_path_or_another_https_address() {
        let base = Url::parse("https://example.org:8443/keys").unwrap();
        let cases = [
            ("/other?x", Some("https://example.org:8443/other?x")),
            ("https://example.net/k", Some("https://example.net/k")),
            ("http://example.net/k", None),
            ("//example.net/k", None),
            ("other", None),
        ];
        for (location, expected) in cases {
            let found = base.join(location).map(|url| url.to_string());
            assert_eq!(found.ok().as_deref(), expected, "{location}");
        }
    }
}
