//! Port 80: the tokens of certificate orders (RFC 8555 §8.3); everything else is told the way to HTTPS.

use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Method, Request};
use kings_net::{Connection, Service};
use kings_tls::acme::Tokens;

use crate::answer::{Answer, BUSY, document, moved, not_found, wrong_method};
use crate::connection;
use crate::names::{Names, host_of};

/// Where the tokens of certificate orders are asked for.
const CHALLENGE: &str = "/.well-known/acme-challenge/";

/// The server on port 80. Clones share everything.
#[derive(Clone, Debug)]
pub struct Plain {
    names: Names,
    tokens: Tokens,
    /// The port of HTTPS, if we serve it.
    https: Option<u16>,
}

impl Plain {
    /// Serves `tokens`, and sends all else to the port of HTTPS, where there is one.
    pub fn new(names: Names, tokens: Tokens, https: Option<u16>) -> Self {
        Self { names, tokens, https }
    }

    fn answer(&self, request: &Request<Incoming>) -> Answer {
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        self.answer_to(
            request.method(),
            host,
            request.uri().path_and_query().map_or("/", |path| path.as_str()),
        )
    }

    fn answer_to(&self, method: &Method, host: Option<&str>, path: &str) -> Answer {
        if let Some(token) = path.strip_prefix(CHALLENGE) {
            if ![Method::GET, Method::HEAD].contains(method) {
                return wrong_method("GET, HEAD");
            }
            return match self.tokens.answer(token) {
                Some(authorization) => document("application/octet-stream", authorization),
                None => not_found(),
            };
        }
        let Some(port) = self.https else { return not_found() };
        // Only to names of our own: a link with this machine's address must not lead elsewhere.
        let known = host.and_then(host_of).filter(|host| self.names.role(host).is_some());
        let host = known.as_deref().unwrap_or(self.names.hostname().as_str());
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let path = if path.starts_with('/') { path } else { "/" };
        moved(&format!("https://{host}{port}{path}"))
    }
}

impl Service for Plain {
    async fn serve(&self, connection: Connection) {
        connection::serve(connection, |request| std::future::ready(self.answer(&request))).await;
    }

    fn busy(&self) -> &'static [u8] {
        BUSY
    }
}
