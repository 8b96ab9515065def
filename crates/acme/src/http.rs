//! The HTTP that an authority is asked by: our own client under the calls of the ACME library.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, RETRY_AFTER};
use hyper::{Method, Request};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use kings_fetch::{Fetch, Url};
use kings_mail::date::DateTime;

/// Room for a chain of certificates, the largest thing that is sent.
const MAX_BYTES: usize = 256 * 1024;
/// Longest time for one request.
const DEADLINE: Duration = Duration::from_secs(30);

/// What is asked, and how long the authority wants to be left in peace. Clones share it.
#[derive(Clone)]
pub(crate) struct Http {
    fetch: Fetch,
    told: Arc<Mutex<Option<u64>>>,
}

impl Http {
    pub(crate) fn new(fetch: Fetch) -> Self {
        Self { fetch, told: Arc::default() }
    }

    /// When the last refusal said to come again, in seconds since 1970 (RFC 8555 §6.6); asked once.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn exchange(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Error> {
        let other = |error: Box<dyn std::error::Error + Send + Sync>| Error::Other(error);
        let (head, body) = request.into_parts();
        let url = Url::parse(&head.uri.to_string()).map_err(|error| other(Box::new(error)))?;
        let Ok(body) = body.collect().await;
        let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let ask = match head.method {
            Method::HEAD => kings_fetch::Request::head(url),
            Method::GET => kings_fetch::Request::get(url),
            _ => kings_fetch::Request::post(url, content_type.unwrap_or_default(), body.to_bytes()),
        };
        let answer = self.fetch.send(ask.within(DEADLINE).at_most(MAX_BYTES)).await;
        let answer = answer.map_err(|error| other(Box::new(error)))?;
        let is_problem = answer.content_type.as_deref().is_some_and(|kind| kind.contains("json"));
        if answer.status >= 400 {
            let until = answer.field(RETRY_AFTER.as_str()).and_then(retry_at);
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
        // A page for people, of whatever stands before the authority.
        if answer.status >= 500 && !is_problem {
            return Err(other(format!("it answers with status {}", answer.status).into()));
        }
        let mut response = hyper::Response::builder().status(answer.status);
        for (name, value) in &answer.fields {
            response = response.header(name, value);
        }
        let response = response.body(Full::new(Bytes::from(answer.body)));
        Ok(response.map_err(|error| other(Box::new(error)))?.into())
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

/// Seconds from now, or a date (RFC 9110 §10.2.3).
fn retry_at(value: &str) -> Option<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = value.trim().parse().map(|seconds: u64| now.saturating_add(seconds)).ok();
    seconds.or_else(|| u64::try_from(DateTime::parse_rfc5322(value)?.unix()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_when_to_come_again_in_seconds_or_as_a_date() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        assert!(retry_at(" 120 ").is_some_and(|at| (now + 119..now + 122).contains(&at)));
        assert_eq!(retry_at("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for bad in ["", "-1", "soon", "99999999999999999999999"] {
            assert_eq!(retry_at(bad), None, "{bad}");
        }
    }
}
