//! A tap between a server and its name server: it counts the questions, and swallows some.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the name server behind may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often the end of the test is looked for.
const TICK: Duration = Duration::from_millis(50);

/// Passes UDP on to a name server. Questions about names that begin with `silent` get no answer.
pub(crate) struct Tap {
    /// As `[dns] servers` wants it.
    pub(crate) address: String,
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tap {
    /// Stands before the server at `behind`.
    pub(crate) fn before(behind: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(TICK)).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let (seen, over): (Arc<Mutex<BTreeMap<_, _>>>, Arc<AtomicBool>) = Default::default();
        let behind = behind.parse().unwrap();
        let thread = std::thread::spawn({
            let (seen, over) = (seen.clone(), over.clone());
            move || {
                while !over.load(Ordering::Relaxed) {
                    pass(&socket, behind, &seen);
                }
            }
        });
        Self { address, seen, over, thread: Some(thread) }
    }

    /// How often each name and type was asked for, as `name/type number`.
    pub(crate) fn seen(&self) -> BTreeMap<String, usize> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn pass(socket: &UdpSocket, behind: SocketAddr, seen: &Mutex<BTreeMap<String, usize>>) {
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
