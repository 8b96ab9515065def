//! Links: where they lead, and what they say that they lead to.

use std::net::IpAddr;

use url::{Host, Url};

/// Most links of one message that are looked at.
pub(super) const MAX_LINKS: usize = 1_000;
/// Longest target that is parsed; browsers cut at about as much.
const MAX_TARGET: usize = 8 * 1024;
/// Services that hide where a link leads.
const SHORTENERS: [&str; 38] = [
    "1url.com",
    "adf.ly",
    "bit.do",
    "bit.ly",
    "bl.ink",
    "buff.ly",
    "clck.ru",
    "cutt.ly",
    "dlvr.it",
    "fb.me",
    "goo.gl",
    "hubs.ly",
    "is.gd",
    "j.mp",
    "lnkd.in",
    "mcaf.ee",
    "ow.ly",
    "qr.ae",
    "rb.gy",
    "rebrand.ly",
    "s.id",
    "shorte.st",
    "shorturl.at",
    "snip.ly",
    "soo.gd",
    "su.pr",
    "t.co",
    "t.ly",
    "tiny.cc",
    "tinyurl.com",
    "tr.im",
    "trib.al",
    "u.to",
    "urlz.fr",
    "v.gd",
    "wp.me",
    "x.co",
    "zpr.io",
];
/// Ends of names that are taken for one though nothing else says so: "node.js" is no host, "example.com" is.
const PLAIN_ENDS: [&str; 7] = ["biz", "com", "edu", "gov", "info", "net", "org"];

/// One link.
#[derive(Clone, Debug)]
pub(super) struct Link {
    /// As written.
    pub(super) target: String,
    /// What is shown for it; empty in plain text.
    pub(super) text: String,
    /// What a browser would open.
    pub(super) url: Option<Url>,
}

impl Link {
    pub(super) fn new(target: &str, text: &str) -> Self {
        let url = (target.len() <= MAX_TARGET).then(|| Url::parse(target).ok()).flatten();
        let end = target.floor_char_boundary(MAX_TARGET.min(target.len()));
        Self { target: target[..end].to_owned(), text: text.to_owned(), url }
    }

    /// The target, where it is on the web.
    fn web(&self) -> Option<&Url> {
        self.url.as_ref().filter(|url| matches!(url.scheme(), "http" | "https"))
    }

    /// The name of the host that it leads to.
    pub(super) fn host(&self) -> Option<String> {
        match self.web()?.host()? {
            Host::Domain(name) => Some(name.trim_end_matches('.').to_owned()),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        }
    }

    /// The address that it leads to, however that is written.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.web()?.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }

    pub(super) fn is_shortened(&self) -> bool {
        self.host().is_some_and(|host| SHORTENERS.contains(&host.strip_prefix("www.").unwrap_or(&host)))
    }

    pub(super) fn is_insecure(&self) -> bool {
        self.web().is_some_and(|url| url.scheme() == "http")
    }

    /// A name in front of the host, which looks like one: `https://bank.example@evil.example/`.
    pub(super) fn has_name_before_host(&self) -> bool {
        self.web().is_some_and(|url| !url.username().is_empty() || url.password().is_some())
    }

    /// The scheme, where it is one that runs or opens something else than a page or a letter.
    pub(super) fn forbidden_scheme(&self) -> Option<&str> {
        let scheme = self.url.as_ref()?.scheme();
        matches!(scheme, "data" | "file" | "javascript" | "vbscript" | "smb" | "ms-msdt" | "search-ms")
            .then_some(scheme)
    }

    /// The host that the text names, where that is another one than the link leads to.
    pub(super) fn other_host_in_text(&self) -> Option<String> {
        let host = self.host().or_else(|| self.address().map(|address| address.to_string()))?;
        let named = named_host(self.text.trim())?;
        (!are_related(&host, &named)).then_some(named)
    }
}

/// The host that a text names: an address of the web, or what everybody takes for one.
fn named_host(text: &str) -> Option<String> {
    if text.is_empty() || text.contains(char::is_whitespace) || text.contains('@') {
        return None;
    }
    let lower = text.to_lowercase();
    let has_scheme = lower.starts_with("http://") || lower.starts_with("https://");
    let url = Url::parse(&if has_scheme { lower } else { format!("https://{lower}") }).ok()?;
    let Host::Domain(name) = url.host()? else { return None };
    let end = name.rsplit_once('.')?.1;
    (has_scheme || name.starts_with("www.") || PLAIN_ENDS.contains(&end)).then(|| name.to_owned())
}

/// Whether two names belong together as far as names tell: one above the other, or both below the same two labels.
fn are_related(one: &str, other: &str) -> bool {
    fn top(name: &str) -> &str {
        let dots: Vec<usize> = name.rmatch_indices('.').map(|(at, _)| at).take(2).collect();
        dots.get(1).map_or(name, |at| &name[at + 1..])
    }
    top(one) == top(other)
}

/// The addresses of the web in a plain text.
pub(super) fn in_text(text: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("://").filter(|_| links.len() < MAX_LINKS) {
        let (before, after) = rest.split_at(at);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '"' | '\''));
        let behind = &after[..end.unwrap_or(after.len())];
        let scheme = ["https", "http"].into_iter().find(|scheme| {
            before.len() >= scheme.len()
                && before.as_bytes()[before.len() - scheme.len()..].eq_ignore_ascii_case(scheme.as_bytes())
        });
        if let Some(scheme) = scheme {
            let behind = behind.trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']']);
            links.push(Link::new(&format!("{scheme}{behind}"), ""));
        }
        rest = &after[behind.len().max("://".len())..];
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_another_host_is_told() {
        let cases = [
            ("https://evil.example/", "https://bank.example/login", Some("bank.example")),
            ("https://evil.example/", "www.Bank.example", Some("www.bank.example")),
            ("https://evil.example/", "bank.com", Some("bank.com")),
            ("http://192.0.2.1/", "bank.com/x", Some("bank.com")),
            ("https://click.shop.example/x", "https://shop.example", None),
            ("https://evil.example/", "Node.js", None),
            ("https://evil.example/", "our page at bank.com", None),
            ("https://evil.example/", "ann@bank.com", None),
            ("mailto:ann@bank.com", "https://bank.example", None),
        ];
        for (target, text, expected) in cases {
            assert_eq!(Link::new(target, text).other_host_in_text().as_deref(), expected, "{target} {text}");
        }
    }

    #[test]
    fn addresses_are_told_however_they_are_written() {
        for target in
            ["http://192.0.2.1/", "http://0xc0000201/", "http://3221225985/", "http://[2001:db8::1]/"]
        {
            assert!(Link::new(target, "").address().is_some(), "{target}");
        }
        assert_eq!(Link::new("https://192.0.2.1.example/", "").address(), None);
    }

    #[test]
    fn plain_text_has_its_links_without_the_marks_behind_them() {
        let found =
            in_text("See https://a.example/x, (http://b.example/). ftp://c.example <HTTPS://d.example/?a=b>");
        let found: Vec<&str> = found.iter().map(|link| link.target.as_str()).collect();
        assert_eq!(found, ["https://a.example/x", "http://b.example/", "https://d.example/?a=b"]);
        assert!(in_text("://://://é://").is_empty());
    }
}
