//! What is asked, with its limits, and what comes back.

use std::time::Duration;

use hyper::Method;

use crate::url::Url;

/// Longest time from the first DNS question to the last octet, unless a request says otherwise
/// (RFC 8461 §3.3 suggests one minute for a policy).
const DEADLINE: Duration = Duration::from_mins(1);
/// Most octets of a body, unless a request says otherwise.
const MAX_BYTES: usize = 64 * 1024;

/// One request, complete with its limits.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) deadline: Duration,
    pub(crate) max_bytes: usize,
    pub(crate) redirects: usize,
}

impl Request {
    /// GET: one minute, 64 KB, no redirects.
    pub fn get(url: Url) -> Self {
        Self {
            url,
            method: Method::GET,
            fields: Vec::new(),
            body: Vec::new(),
            deadline: DEADLINE,
            max_bytes: MAX_BYTES,
            redirects: 0,
        }
    }

    /// HEAD: what GET would say of itself, with the same limits.
    pub fn head(url: Url) -> Self {
        Self { method: Method::HEAD, ..Self::get(url) }
    }

    /// POST of `body` as `content_type`, with the same limits.
    pub fn post(url: Url, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let get = Self::get(url).with_field("content-type", content_type);
        Self { method: Method::POST, body: body.into(), ..get }
    }

    /// Adds a header field, `authorization` perhaps. Redirects to another host do not take fields along.
    #[must_use]
    pub fn with_field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Longest time from the first DNS question to the last octet.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Most octets of the body; one more is an error.
    #[must_use]
    pub fn at_most(self, max_bytes: usize) -> Self {
        Self { max_bytes, ..self }
    }

    /// Follows this many redirects of a GET; each target has the same rules as the first address.
    #[must_use]
    pub fn following(self, redirects: usize) -> Self {
        Self { redirects, ..self }
    }
}

/// What the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code (RFC 9110 §15).
    pub status: u16,
    /// The value of Content-Type, as sent.
    pub content_type: Option<String>,
    /// Seconds that Cache-Control's `max-age` allows to keep it (RFC 9111 §5.2.2.1).
    pub max_age: Option<u64>,
    /// All fields of the header that are text, with their names in small letters.
    pub fields: Vec<(String, String)>,
    /// The body, whole.
    pub body: Vec<u8>,
    /// Where a redirect that was not followed leads.
    pub location: Option<String>,
}

impl Response {
    /// The first field of this name, in small letters.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the status is 301, 302, 303, 307 or 308 with a place to go.
    pub(crate) fn redirect(&self) -> Option<&str> {
        matches!(self.status, 301 | 302 | 303 | 307 | 308).then_some(self.location.as_deref()).flatten()
    }
}
