//! What a server offers in its reply to EHLO or LHLO.

/// What the server offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one keyword that stands there or does not")]
pub struct Features {
    /// What the server calls itself (RFC 5321 §4.1.1.1); also in a reply to HELO.
    pub host: Option<String>,
    /// STARTTLS (RFC 3207 §2).
    pub start_tls: bool,
    /// PIPELINING (RFC 2920 §2).
    pub pipelining: bool,
    /// CHUNKING (RFC 3030 §2).
    pub chunking: bool,
    /// 8BITMIME (RFC 6152 §2).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531 §3.1).
    pub smtputf8: bool,
    /// DSN (RFC 3461 §3).
    pub dsn: bool,
    /// REQUIRETLS (RFC 8689 §2).
    pub require_tls: bool,
    /// SIZE (RFC 1870 §3); `Some(0)` names no limit.
    pub size: Option<u64>,
    /// Mechanisms of AUTH (RFC 4954 §3).
    pub mechanisms: Vec<String>,
}

impl Features {
    /// Reads the name in the first line of an EHLO reply, and what the lines after it offer.
    pub(super) fn parse(text: &str) -> Self {
        let mut features = Self { host: Self::host(text), ..Self::default() };
        for line in text.lines().skip(1) {
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "STARTTLS" => features.start_tls = true,
                "PIPELINING" => features.pipelining = true,
                "CHUNKING" => features.chunking = true,
                "8BITMIME" => features.eight_bit_mime = true,
                "SMTPUTF8" => features.smtputf8 = true,
                "DSN" => features.dsn = true,
                "REQUIRETLS" => features.require_tls = true,
                "SIZE" => features.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                "AUTH" => features.mechanisms = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        features
    }

    /// What a server calls itself that offers nothing.
    pub(super) fn of_helo(text: &str) -> Self {
        Self { host: Self::host(text), ..Self::default() }
    }

    fn host(text: &str) -> Option<String> {
        text.split_ascii_whitespace().next().map(str::to_owned)
    }
}
