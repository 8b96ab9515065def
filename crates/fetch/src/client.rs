//! One request over one connection of its own.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::Method;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT,
};
use hyper_util::rt::TokioIo;
use kings_net::{IpNet, Resolver, Stream, is_public};
use kings_tls::{ClientTls, Trust};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::error::FetchError;
use crate::request::{Request, Response};
use crate::url::Url;

/// Longest wait for one address, so that a dead one leaves time for the next.
const CONNECT: Duration = Duration::from_secs(10);
/// Most addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;
/// Room for the header of a response.
const MAX_HEADER: usize = 32 * 1024;

/// What fetching depends on.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Networks that may be asked though they are not public.
    pub allow_private: Vec<IpNet>,
}

/// Fetches over HTTPS, verified against the trusted authorities. Clones share everything.
#[derive(Clone)]
pub struct Fetch {
    resolver: Resolver,
    tls: Arc<ClientConfig>,
    allow_private: Arc<[IpNet]>,
}

impl Fetch {
    /// Looks hosts up with `resolver` and trusts the authorities of `tls`.
    pub fn new(resolver: Resolver, tls: &ClientTls, settings: Settings) -> Self {
        let mut config = (*tls.config(Trust::Authorities)).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { resolver, tls: Arc::new(config), allow_private: settings.allow_private.into() }
    }

    /// Sends the request and takes the whole answer, whatever its status, within the request's limits.
    pub async fn send(&self, request: Request) -> Result<Response, FetchError> {
        match timeout(request.deadline, self.follow(request)).await {
            Ok(result) => result,
            Err(_) => Err(FetchError::TimedOut),
        }
    }

    async fn follow(&self, mut request: Request) -> Result<Response, FetchError> {
        loop {
            let response = self.exchange(&request).await?;
            let Some(location) =
                response.redirect().filter(|_| request.redirects > 0 && request.method != Method::POST)
            else {
                return Ok(response);
            };
            let url = request.url.join(location);
            let url =
                url.map_err(|cause| FetchError::BadRedirect { location: location.to_owned(), cause })?;
            // A token for one host is none of another's business.
            if url.authority() != request.url.authority() {
                request.fields.clear();
            }
            request.url = url;
            request.redirects -= 1;
        }
    }

    async fn exchange(&self, request: &Request) -> Result<Response, FetchError> {
        let stream = self.connect(&request.url).await?;
        talk(request, stream).await
    }

    async fn connect(&self, url: &Url) -> Result<Stream, FetchError> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in self.addresses(url).await? {
            match timeout(CONNECT, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => return self.secure(url, socket).await,
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(FetchError::Connect { host: url.host().to_owned(), cause: last })
    }

    async fn secure(&self, url: &Url, socket: TcpStream) -> Result<Stream, FetchError> {
        let failed = |cause| FetchError::Tls { host: url.host().to_owned(), cause };
        let _ = socket.set_nodelay(true);
        let name = ServerName::try_from(url.host().to_owned());
        let name = name.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        Stream::Plain(socket).connect_tls(self.tls.clone(), name).await.map_err(failed)
    }

    /// What stands in an address or in a foreign DNS must not steer us into the networks around us.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, FetchError> {
        let found = match url.host().parse() {
            Ok(address) => vec![address],
            Err(_) => {
                let lookup = |cause| FetchError::Lookup { host: url.host().to_owned(), cause };
                self.resolver.addresses(url.host()).await.map_err(lookup)?
            }
        };
        let allowed = |ip: &IpAddr| is_public(*ip) || self.allow_private.iter().any(|net| net.contains(ip));
        let usable = found.into_iter().filter(allowed).take(MAX_ADDRESSES);
        let usable: Vec<SocketAddr> = usable.map(|ip| SocketAddr::new(ip, url.port())).collect();
        if usable.is_empty() { Err(FetchError::Private(url.host().to_owned())) } else { Ok(usable) }
    }
}

/// One request and its answer over a connection that is there.
pub(crate) async fn talk<S>(request: &Request, stream: S) -> Result<Response, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let message = message(request)?;
    let failed = |cause: hyper::Error| http(&request.url, &cause);
    let mut builder = http1::Builder::new();
    builder.max_buf_size(MAX_HEADER);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let exchange = async {
        let response = sender.send_request(message).await.map_err(failed)?;
        read(request, response).await
    };
    tokio::pin!(exchange, connection);
    // The connection moves the octets; when it ends first, what it has read is still to be taken.
    tokio::select! {
        result = &mut exchange => return result,
        _ = &mut connection => {}
    }
    exchange.await
}

fn http(url: &Url, cause: &impl std::error::Error) -> FetchError {
    let text = match cause.source() {
        Some(source) => format!("{cause}: {source}"),
        None => cause.to_string(),
    };
    FetchError::Http { host: url.host().to_owned(), cause: text }
}

fn message(request: &Request) -> Result<hyper::Request<Full<Bytes>>, FetchError> {
    let mut message = hyper::Request::builder()
        .method(request.method.clone())
        .uri(request.url.target())
        .header(HOST, request.url.authority())
        .header(USER_AGENT, concat!("kings/", env!("CARGO_PKG_VERSION")));
    for (name, value) in &request.fields {
        message = message.header(name, value);
    }
    let message = message.body(Full::new(Bytes::from(request.body.clone())));
    message.map_err(|error| FetchError::BadRequest(error.to_string()))
}

async fn read(request: &Request, response: hyper::Response<Incoming>) -> Result<Response, FetchError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, request.max_bytes).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return FetchError::TooLarge(request.max_bytes);
        }
        FetchError::Http { host: request.url.host().to_owned(), cause: error.to_string() }
    })?;
    Ok(Response {
        status: head.status.as_u16(),
        content_type: field(&head.headers, &CONTENT_TYPE),
        max_age: field(&head.headers, &CACHE_CONTROL).and_then(|value| max_age(&value)),
        fields: fields(&head.headers),
        body: body.to_bytes().to_vec(),
        location: field(&head.headers, &LOCATION),
    })
}

fn fields(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

fn field(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn max_age(cache_control: &str) -> Option<u64> {
    let mut directives = cache_control.split(',').map(str::trim);
    directives.find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok())
}
