//! Amazon's metadata service, version 2: a token first, then questions with it. Whoever does not answer within a second is none.

use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Where it is on every machine of EC2.
const ENDPOINT: &str = "169.254.169.254:80";
/// How long it may take to answer: it is next door.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most octets of an answer.
const MAX_ANSWER: usize = 16 * 1024;

/// What a machine in the cloud is told of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cloud {
    /// `us-east-1`
    pub region: String,
    /// `t4g.small`
    pub kind: String,
    /// `i-0123456789abcdef0`
    pub instance: String,
    /// The address by which the world knows it.
    pub public_address: Option<IpAddr>,
}

/// Asks the metadata service, or the one at `endpoint` (`host:port`). `None` off the cloud.
pub async fn cloud(endpoint: Option<&str>) -> Option<Cloud> {
    let service = Service { endpoint: endpoint.unwrap_or(ENDPOINT).to_owned() };
    let token = service.token().await?;
    let region = service.value(&token, "placement/region").await?;
    let kind = service.value(&token, "instance-type").await.unwrap_or_default();
    let instance = service.value(&token, "instance-id").await.unwrap_or_default();
    let public_address = service.value(&token, "public-ipv4").await.and_then(|text| text.parse().ok());
    Some(Cloud { region, kind, instance, public_address })
}

/// What the metadata service lends for the role of this machine: JSON. `None` off the cloud, or without a role.
pub async fn role_key(endpoint: Option<&str>) -> Option<String> {
    let service = Service { endpoint: endpoint.unwrap_or(ENDPOINT).to_owned() };
    let token = service.token().await?;
    let folder = "iam/security-credentials/";
    let role = service.value(&token, folder).await?;
    let field = format!("X-aws-ec2-metadata-token: {token}");
    service.ask("GET", &format!("/latest/meta-data/{folder}{role}"), &field, whole).await
}

struct Service {
    endpoint: String,
}

impl Service {
    async fn token(&self) -> Option<String> {
        let lifetime = "X-aws-ec2-metadata-token-ttl-seconds: 60";
        self.ask("PUT", "/latest/api/token", lifetime, body).await
    }

    async fn value(&self, token: &str, name: &str) -> Option<String> {
        let field = format!("X-aws-ec2-metadata-token: {token}");
        self.ask("GET", &format!("/latest/meta-data/{name}"), &field, body).await
    }

    /// One question over a connection of its own: what `read` makes of the answer.
    async fn ask(
        &self,
        method: &str,
        path: &str,
        field: &str,
        read: fn(&[u8]) -> Option<String>,
    ) -> Option<String> {
        let asked = async {
            let mut socket = TcpStream::connect(&self.endpoint).await.ok()?;
            let host = &self.endpoint;
            let request =
                format!("{method} {path} HTTP/1.0\r\nHost: {host}\r\n{field}\r\nContent-Length: 0\r\n\r\n");
            socket.write_all(request.as_bytes()).await.ok()?;
            let mut answer = Vec::new();
            socket.take(MAX_ANSWER as u64).read_to_end(&mut answer).await.ok()?;
            read(&answer)
        };
        timeout(PATIENCE, asked).await.ok()?
    }
}

/// The body of an answer of 200, if it is one line of printable ASCII.
fn body(answer: &[u8]) -> Option<String> {
    whole(answer).filter(|body| body.bytes().all(|octet| octet.is_ascii_graphic()))
}

/// The body of an answer of 200, whatever it is.
fn whole(answer: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(answer).ok()?;
    let (header, body) = text.split_once("\r\n\r\n")?;
    let status = header.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    let body = body.trim();
    (status == "200" && !body.is_empty()).then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::{Arc, Mutex};

    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request with what `answer` says of its first line and its fields.
    async fn service(answer: fn(&str) -> &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (endpoint, heard) =
            (listener.local_addr().unwrap().to_string(), Arc::new(Mutex::new(Vec::new())));
        let seen = heard.clone();
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 2_000];
                let count = socket.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..count]).into_owned();
                let answer = answer(&request);
                seen.lock().unwrap().push(request);
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        (endpoint, heard)
    }

    #[tokio::test]
    async fn a_machine_is_asked_with_a_token_and_one_without_a_public_address_has_none() {
        let (endpoint, heard) = service(|request| match request.split(' ').nth(1).unwrap() {
            "/latest/api/token" => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nT0==",
            "/latest/meta-data/placement/region" => "HTTP/1.1 200 OK\r\n\r\neu-west-1\n",
            "/latest/meta-data/instance-type" => "HTTP/1.1 200 OK\r\n\r\nt4g.small",
            "/latest/meta-data/instance-id" => "HTTP/1.1 200 OK\r\n\r\ni-01",
            _ => "HTTP/1.1 404 Not Found\r\n\r\n<html>none</html>",
        })
        .await;
        let found = cloud(Some(&endpoint)).await.unwrap();
        assert_eq!(
            (found.region.as_str(), found.kind.as_str(), found.public_address),
            ("eu-west-1", "t4g.small", None)
        );
        let heard = heard.lock().unwrap();
        assert!(
            heard[0].starts_with("PUT /latest/api/token ") && heard[0].contains("token-ttl-seconds: 60\r\n")
        );
        assert!(heard[1..].iter().all(|request| request.contains("X-aws-ec2-metadata-token: T0==\r\n")));
    }

    #[tokio::test]
    async fn what_is_no_metadata_service_is_no_cloud() {
        for answer in [
            |_: &str| "HTTP/1.1 403 Forbidden\r\n\r\n",
            |_: &str| "HTTP/1.1 200 OK\r\n\r\n<html>a captive portal\nwith lines</html>",
            |_: &str| "SSH-2.0-OpenSSH\r\n",
            |_: &str| "",
        ] {
            let (endpoint, _) = service(answer).await;
            assert_eq!(cloud(Some(&endpoint)).await, None);
        }
        assert_eq!(cloud(Some("127.0.0.1:1")).await, None);
    }
}
