//! One question and its answer: a datagram first, a connection where that is too short.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use kings_mail::domain::DnsName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Octets that an answer in one datagram may have: what crosses all networks in one piece (RFC 9715 §3.1).
const DATAGRAM: u16 = 1232;

/// A question.
#[derive(Clone)]
pub(super) struct Asked {
    message: Message,
}

impl Asked {
    /// Asks who must know it himself.
    pub(super) fn new(name: &DnsName, kind: RecordType) -> Self {
        let name = Name::from_labels(name.as_str().split('.').map(str::as_bytes)).unwrap_or_default();
        Self::about(name, kind)
    }

    pub(super) fn about(name: Name, kind: RecordType) -> Self {
        let mut message = Message::new(random_id(), MessageType::Query, OpCode::Query);
        message.add_query(Query::query(name, kind));
        let mut edns = Edns::new();
        edns.set_max_payload(DATAGRAM);
        message.set_edns(edns);
        Self { message }
    }

    /// Asks who may ask others.
    pub(super) fn recursive(mut self) -> Self {
        self.message.metadata.recursion_desired = true;
        self
    }
}

/// An id that nobody can guess: an answer with another one is somebody else's.
pub(super) fn random_id() -> u16 {
    let mut octets = [0; 2];
    // Without random numbers the question is still asked; the port is random as well.
    let _ = getrandom::fill(&mut octets);
    u16::from_be_bytes(octets)
}

/// Asks one server. `Err` says in words why there is no answer.
pub(super) async fn exchange(
    server: SocketAddr,
    asked: Asked,
    patience: Duration,
    tries: usize,
) -> Result<Message, String> {
    let octets = asked.message.to_vec().map_err(|error| error.to_string())?;
    let mut last = "no answer".to_owned();
    for _ in 0..tries {
        match timeout(patience, by_datagram(server, &asked.message, &octets)).await {
            Ok(Ok(answer)) if answer.metadata.truncation => break,
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => last = error.to_string(),
            Err(_) => "no answer".clone_into(&mut last),
        }
    }
    // Also where datagrams do not come through.
    match timeout(patience, by_connection(server, &octets)).await {
        Ok(Ok(answer)) => {
            let answer =
                Message::from_vec(&answer).map_err(|error| format!("an answer nobody can read: {error}"))?;
            if is_answer(&asked.message, &answer) {
                Ok(answer)
            } else {
                Err("an answer to another question".to_owned())
            }
        }
        Ok(Err(_)) | Err(_) => Err(last),
    }
}

async fn by_datagram(server: SocketAddr, question: &Message, octets: &[u8]) -> io::Result<Message> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(octets).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let count = socket.recv(&mut buffer).await?;
        // What is no answer to this may be anybody's.
        match Message::from_vec(&buffer[..count]) {
            Ok(answer) if is_answer(question, &answer) => return Ok(answer),
            Ok(_) | Err(_) => {}
        }
    }
}

fn is_answer(question: &Message, answer: &Message) -> bool {
    let same = |one: &Query, other: &Query| {
        one.name().to_lowercase() == other.name().to_lowercase() && one.query_type() == other.query_type()
    };
    let asked = question.queries.first().zip(answer.queries.first());
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && asked.is_none_or(|(one, other)| same(one, other))
}

/// Sends one message over a connection of its own and takes one back (RFC 7766 §8).
pub(super) async fn by_connection(server: SocketAddr, octets: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(octets.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut stream = TcpStream::connect(server).await?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.extend_from_slice(octets);
    stream.write_all(&whole).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
