//! Answers: a status, a few header fields, and a body that is small enough to lie in memory.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName,
    HeaderValue, LOCATION, REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

/// What we answer with.
pub(crate) type Answer = Response<Full<Bytes>>;

/// What a listener without room says, in clear.
pub(crate) const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 30\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Half a year (RFC 6797 §6.1.1): long enough for browsers to remember, short enough to get rid of.
const HSTS: &str = "max-age=15768000";

/// A document of this media type.
pub(crate) fn document(media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    set(&mut answer, CONTENT_TYPE, media_type);
    set(&mut answer, X_CONTENT_TYPE_OPTIONS, "nosniff");
    answer
}

/// A page for people. It has no script and no style, and nobody may frame it.
pub(crate) fn page(body: String) -> Answer {
    let mut answer = document("text/html; charset=utf-8", body);
    set(
        &mut answer,
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    );
    set(&mut answer, REFERRER_POLICY, "no-referrer");
    answer
}

/// A document that is saved under this name, which we made ourselves.
pub(crate) fn attachment(media_type: &'static str, name: &'static str, body: String) -> Answer {
    let mut answer = document(media_type, body);
    set(&mut answer, CONTENT_DISPOSITION, name);
    set(&mut answer, CACHE_CONTROL, "no-store");
    answer
}

/// No document: why, as one line for people.
pub(crate) fn refusal(status: StatusCode, why: &'static str) -> Answer {
    let mut answer = document("text/plain; charset=utf-8", format!("{why}\n"));
    *answer.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set(&mut answer, RETRY_AFTER, "30");
    }
    answer
}

/// Nothing has this name.
pub(crate) fn not_found() -> Answer {
    refusal(StatusCode::NOT_FOUND, "Nothing is here.")
}

/// The resource is there, for these methods (RFC 9110 §15.5.6).
pub(crate) fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, "This resource has no such method.");
    set(&mut answer, ALLOW, allowed);
    answer
}

/// The resource is elsewhere, for ever (RFC 9110 §15.4.9: with the same method).
pub(crate) fn moved(to: &str) -> Answer {
    let mut answer = refusal(StatusCode::PERMANENT_REDIRECT, "This is served over HTTPS.");
    if let Ok(to) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(LOCATION, to);
    }
    answer
}

/// With the promise that this host is reached over HTTPS alone (RFC 6797).
pub(crate) fn with_hsts(mut answer: Answer) -> Answer {
    set(&mut answer, STRICT_TRANSPORT_SECURITY, HSTS);
    answer
}

fn set(answer: &mut Answer, name: HeaderName, value: &'static str) {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
}
