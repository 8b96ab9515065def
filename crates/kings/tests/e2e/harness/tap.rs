//! A tap between a server and its name server: it counts the questions, and swallows some.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the name server behind may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the end of the test is looked for.
const TICK: Duration = Duration::from_millis(50);

/// How often each question was seen.
type Seen = Mutex<BTreeMap<String, usize>>;

/// Passes questions on to a name server, by UDP, and by TCP for answers that do not fit. Questions about names that begin with `silent` get no answer.
pub(crate) struct Tap {
    /// As `[dns] servers` wants it.
    pub(crate) address: String,
    seen: Arc<Seen>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Tap {
    /// Stands before the server at `behind`.
    pub(crate) fn before(behind: &str) -> Self {
        let (socket, listener) = pair();
        socket.set_read_timeout(Some(TICK)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let (seen, over): (Arc<Seen>, Arc<AtomicBool>) = Default::default();
        let behind = behind.parse().unwrap();
        let until_over = |mut work: Box<dyn FnMut(&Seen) + Send>| {
            let (seen, over) = (seen.clone(), over.clone());
            std::thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    work(&seen);
                }
            })
        };
        let threads = vec![
            until_over(Box::new(move |seen| pass(&socket, behind, seen))),
            until_over(Box::new(move |seen| match listener.accept() {
                Ok((client, _)) => drop(pass_stream(client, behind, seen)),
                Err(_) => std::thread::sleep(TICK),
            })),
        ];
        Self { address, seen, over, threads }
    }

    /// How often each name and type was asked for, as `name/type number`.
    pub(crate) fn seen(&self) -> BTreeMap<String, usize> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// One port for both.
fn pair() -> (UdpSocket, TcpListener) {
    let both = || {
        let listener = TcpListener::bind("127.0.0.1:0").ok()?;
        let socket = UdpSocket::bind(listener.local_addr().ok()?).ok()?;
        Some((socket, listener))
    };
    (0..20).find_map(|_| both()).expect("a port that is free for UDP and TCP")
}

/// The questions of one connection, each with its length before it (RFC 1035 §4.2.2), one after the other.
fn pass_stream(mut client: TcpStream, behind: SocketAddr, seen: &Seen) -> std::io::Result<()> {
    client.set_nonblocking(false)?;
    client.set_read_timeout(Some(TICK))?;
    let mut beyond = TcpStream::connect(behind)?;
    beyond.set_read_timeout(Some(PATIENCE))?;
    let frame = |stream: &mut TcpStream| {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut content = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut content)?;
        Ok::<_, std::io::Error>([length.to_vec(), content].concat())
    };
    loop {
        let query = frame(&mut client)?;
        *seen.lock().unwrap().entry(question(&query[2..])).or_default() += 1;
        beyond.write_all(&query)?;
        client.write_all(&frame(&mut beyond)?)?;
    }
}

fn pass(socket: &UdpSocket, behind: SocketAddr, seen: &Seen) {
    let mut buffer = [0; 4_096];
    let Ok((length, client)) = socket.recv_from(&mut buffer) else { return };
    let question = question(&buffer[..length]);
    let is_silent = question.starts_with("silent");
    *seen.lock().unwrap().entry(question).or_default() += 1;
    if is_silent {
        return;
    }
    let beyond = UdpSocket::bind("127.0.0.1:0").unwrap();
    beyond.set_read_timeout(Some(PATIENCE)).unwrap();
    beyond.send_to(&buffer[..length], behind).unwrap();
    if let Ok(length) = beyond.recv(&mut buffer) {
        let _ = socket.send_to(&buffer[..length], client);
    }
}

/// The first question of a query (RFC 1035 §4.1.2), as `name/type number`.
fn question(query: &[u8]) -> String {
    let (mut labels, mut at) = (Vec::new(), 12);
    while query[at] != 0 {
        let label = &query[at + 1..=at + usize::from(query[at])];
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += 1 + label.len();
    }
    format!("{}/{}", labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]))
}
