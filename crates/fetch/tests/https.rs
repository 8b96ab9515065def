//! Fetching from a real TLS server on loopback: what comes back, and what is refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kings_fetch::{Fetch, FetchError, Request, Response, Settings, Url};
use kings_net::{Resolver, ResolverSettings};
use kings_tls::{Authorities, ClientTls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server that gives each connection the next of its answers, as text, and keeps what it was asked.
struct Server {
    address: SocketAddr,
    authorities: Authorities,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// With a certificate for `name`.
    async fn start(name: &str, answers: Vec<String>) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authority.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        let authorities = Authorities::read(&file).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        tokio::spawn(async move {
            for answer in answers {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = TlsAcceptor::from(Arc::new(config.clone())).accept(socket).await else {
                    continue;
                };
                let mut buffer = vec![0; 4096];
                let count = stream.read(&mut buffer).await.unwrap();
                log.lock().unwrap().push(String::from_utf8_lossy(&buffer[..count]).into_owned());
                stream.write_all(answer.as_bytes()).await.unwrap();
                if answer.is_empty() {
                    // A server that never answers.
                    tokio::time::sleep(Duration::from_mins(5)).await;
                }
                let _ = stream.shutdown().await;
            }
        });
        Self { address, authorities, asked }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("https://{}{path}", self.address)).unwrap()
    }

    fn fetch(&self) -> Fetch {
        let settings = Settings { allow_private: vec!["127.0.0.0/8".parse().unwrap()] };
        Fetch::new(resolver(), &ClientTls::with_authorities(&self.authorities), settings)
    }

    async fn get(&self, path: &str) -> Result<Response, FetchError> {
        self.send(Request::get(self.url(path))).await
    }

    async fn send(&self, request: Request) -> Result<Response, FetchError> {
        self.fetch().send(request).await
    }
}

/// Nobody answers there.
fn resolver() -> Resolver {
    let servers = vec!["127.0.0.1:9".parse().unwrap()];
    Resolver::new(&ResolverSettings { servers, trust_ad: false }).unwrap()
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: public, max-age=60\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_page_comes_back_whole_with_its_type_and_age() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n";
    let server = Server::start("127.0.0.1", vec![ok("version: STSv1\n"), chunked.to_owned()]).await;
    let page = server.get("/.well-known/mta-sts.txt").await.unwrap();
    assert_eq!((page.status, page.max_age), (200, Some(60)));
    assert_eq!(page.content_type.as_deref(), Some("text/plain"));
    assert_eq!(page.body, b"version: STSv1\n");
    assert_eq!(server.get("/").await.unwrap().body, b"hello there");
    let asked = server.asked.lock().unwrap()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /.well-known/mta-sts.txt http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("host: {}\r\n", server.address)), "{asked}");
}

#[tokio::test]
async fn a_post_carries_its_body_and_fields() {
    let server = Server::start("127.0.0.1", vec![ok("{}")]).await;
    let post = Request::post(server.url("/introspect"), "application/x-www-form-urlencoded", "token=abc");
    let post = post.with_field("authorization", "Basic eHh4");
    assert_eq!(server.fetch().send(post).await.unwrap().body, b"{}");
    let asked = server.asked.lock().unwrap()[0].clone();
    assert!(asked.starts_with("POST /introspect HTTP/1.1\r\n") && asked.ends_with("token=abc"), "{asked}");
    assert!(asked.to_ascii_lowercase().contains("authorization: basic ehh4\r\n"), "{asked}");
}

#[tokio::test]
async fn redirects_are_an_answer_unless_the_request_follows_them() {
    let there = "HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n".to_owned();
    let clear = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n".to_owned();
    let answers = vec![there.clone(), there.clone(), ok("moved"), there.clone(), there, clear];
    let server = Server::start("127.0.0.1", answers).await;
    assert_eq!(server.get("/").await.unwrap().status, 302);
    let get = |redirects| server.send(Request::get(server.url("/")).following(redirects));
    assert_eq!(get(1).await.unwrap().body, b"moved");
    assert_eq!(get(1).await.unwrap().status, 302, "one is followed, the second is not");
    assert!(matches!(get(1).await, Err(FetchError::BadRedirect { .. })));
}

#[tokio::test]
async fn a_certificate_for_another_name_or_from_a_stranger_is_refused() {
    let server = Server::start("mta-sts.example.org", vec![ok("x"), ok("x")]).await;
    assert!(matches!(server.get("/").await, Err(FetchError::Tls { .. })));
    let right = Server::start("127.0.0.1", vec![ok("x")]).await;
    let settings = Settings { allow_private: vec!["127.0.0.0/8".parse().unwrap()] };
    let stranger = Fetch::new(resolver(), &ClientTls::new(), settings);
    assert!(matches!(stranger.send(Request::get(right.url("/"))).await, Err(FetchError::Tls { .. })));
}

#[tokio::test]
async fn private_addresses_are_not_asked_unless_allowed() {
    let server = Server::start("127.0.0.1", vec![ok("x")]).await;
    let strict = Fetch::new(
        resolver(),
        &ClientTls::with_authorities(&server.authorities),
        Settings { allow_private: vec!["10.0.0.0/8".parse().unwrap()] },
    );
    let refused = strict.send(Request::get(server.url("/"))).await;
    assert!(matches!(refused, Err(FetchError::Private(host)) if host == "127.0.0.1"));
    assert!(server.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn size_and_time_are_bounded() {
    let endless = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(5_000);
    let server = Server::start("127.0.0.1", vec![ok(&"x".repeat(101)), endless, String::new()]).await;
    let small = || server.send(Request::get(server.url("/")).at_most(100));
    for _ in 0..2 {
        assert!(matches!(small().await, Err(FetchError::TooLarge(100))));
    }
    let hurried = Request::get(server.url("/")).within(Duration::from_millis(300));
    assert!(matches!(server.fetch().send(hurried).await, Err(FetchError::TimedOut)));
}

#[tokio::test]
async fn nonsense_and_silence_are_errors_with_names() {
    let cut = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_owned();
    let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "y".repeat(100_000));
    let server = Server::start("127.0.0.1", vec!["220 mail ESMTP\r\n".to_owned(), cut, header]).await;
    for _ in 0..3 {
        let result = server.get("/").await;
        assert!(matches!(result, Err(FetchError::Http { .. })), "{result:?}");
    }
    let unknown = Request::get(Url::parse("https://nobody.example/").unwrap()).within(Duration::from_secs(1));
    assert!(matches!(
        server.fetch().send(unknown).await,
        Err(FetchError::Lookup { .. } | FetchError::TimedOut)
    ));
}
