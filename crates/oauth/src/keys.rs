//! Where an issuer's keys come from: an address, its discovery document, or a file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kings_fetch::{Fetch, Request, Response, Url};
use serde::Deserialize;

use crate::jwks::KeySet;

/// Longest wait for one of the two answers: a mail program waits behind it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most octets of a discovery document or a set of keys.
const MAX_OCTETS: usize = 64 * 1024;
/// A file is read again after this many seconds.
const FILE_LIFE: u64 = 60;

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// At this address (RFC 7517 §5).
    Url(Url),
    /// Where the document at this address says (OpenID Connect Discovery 1.0 §4).
    Discovery(Url),
    /// In this file.
    File(PathBuf),
}

/// The members of a discovery document that we need.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    /// Gets the keys, and for how many seconds they may be kept. The error says why there are none.
    pub(crate) async fn get(&self, fetch: &Fetch, issuer: &str) -> Result<(KeySet, Option<u64>), String> {
        let (body, life) = match self {
            Self::Url(url) => taken(page(fetch, url).await?),
            Self::Discovery(url) => {
                let url = keys_address(&page(fetch, url).await?.body, issuer)?;
                taken(page(fetch, &url).await?)
            }
            Self::File(path) => {
                let file = path.clone();
                let read = tokio::task::spawn_blocking(move || read_file(&file)).await;
                (read.map_err(|error| error.to_string())??, Some(FILE_LIFE))
            }
        };
        let keys = KeySet::parse(&body).map_err(|error| format!("keys of {issuer}: {error}"))?;
        Ok((keys, life))
    }
}

fn taken(response: Response) -> (Vec<u8>, Option<u64>) {
    (response.body, response.max_age)
}

async fn page(fetch: &Fetch, url: &Url) -> Result<Response, String> {
    let request = Request::get(url.clone()).within(PATIENCE).at_most(MAX_OCTETS).following(1);
    let response = fetch.send(request).await.map_err(|error| error.to_string())?;
    match response.status {
        200 => Ok(response),
        status => Err(format!("{} answers {status}", url.host())),
    }
}

/// OpenID Connect Discovery 1.0 §4.3: the document must be about the issuer that was asked.
fn keys_address(document: &[u8], issuer: &str) -> Result<Url, String> {
    let document: Discovery = serde_json::from_slice(document)
        .map_err(|_| format!("the discovery document of {issuer} lacks issuer or jwks_uri"))?;
    if document.issuer != issuer {
        return Err(format!("the discovery document of {issuer} is about {:?}", document.issuer));
    }
    Url::parse(&document.jwks_uri)
        .map_err(|error| format!("jwks_uri of {issuer} is {:?}: {error}", document.jwks_uri))
}

/// Whether the file holds keys now; the error says why not.
pub fn try_key_file(path: &Path) -> Result<(), String> {
    let octets = read_file(path)?;
    KeySet::parse(&octets).map(drop).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a file of keys, to the limit.
fn read_file(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut octets = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_OCTETS as u64).read_to_end(&mut octets).map_err(failed)?;
    Ok(octets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_discovery_document_must_be_about_its_issuer_and_lead_to_https() {
        let issuer = "https://id.example.org";
        let read = |text: &str| keys_address(text.as_bytes(), issuer);
        let good = r#"{"issuer":"https://id.example.org","jwks_uri":"https://id.example.org/jwks","x":1}"#;
        assert_eq!(read(good), Ok(Url::parse("https://id.example.org/jwks").unwrap()));
        for bad in [
            "",
            "{}",
            r#"{"issuer":"https://id.example.org"}"#,
            r#"{"issuer":"https://id.example.org/","jwks_uri":"https://id.example.org/jwks"}"#,
            r#"{"issuer":"https://id.example.org","jwks_uri":"http://id.example.org/jwks"}"#,
            r#"{"issuer":"https://id.example.org","jwks_uri":"file:///etc/passwd"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
