//! Lookups at another program by the socketmap protocol of Sendmail and Postfix (socketmap_table(5)): netstrings over
//! a socket.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

/// Longest reply (Postfix's `socketmap_max_reply_size`).
const MAX_REPLY: usize = 100_000;
/// Longest wait for one answer: a client stands waiting for its reply to RCPT.
const PATIENCE: Duration = Duration::from_secs(10);
/// After so long a wait in vain a program is asked by one client alone, and by nobody for this long: the others are told at
/// once to come again.
const REST: Duration = Duration::from_secs(30);

/// How long an answer is remembered, for those who cannot wait for another one.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Most answers of one program that are remembered, and the longest of them.
const MOST_REMEMBERED: usize = 10_000;
const LONGEST_REMEMBERED: usize = 1_024;

/// A table that another program answers for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Socketmap {
    endpoint: Endpoint,
    /// Which of its tables.
    name: String,
    silence: Silence,
    memory: Memory,
}

/// What a program has answered of late, by key.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<HashMap<String, Remembered>>>);

#[derive(Clone, Debug)]
struct Remembered {
    answer: Answer,
    since: Instant,
}

impl Memory {
    fn keep(&self, key: &str, answer: &Answer) {
        if matches!(answer, Answer::Found(text) if text.len() > LONGEST_REMEMBERED) {
            return;
        }
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST_REMEMBERED {
            answers.retain(|_, one| one.since.elapsed() < REMEMBERED);
        }
        if answers.len() >= MOST_REMEMBERED {
            answers.clear();
        }
        answers.insert(key.to_owned(), Remembered { answer: answer.clone(), since: Instant::now() });
    }

    fn recall(&self, key: &str) -> Option<Answer> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Remembered { answer, since } = answers.get(key)?;
        (since.elapsed() < REMEMBERED).then(|| answer.clone())
    }
}

/// Until when a program is not asked; all who read it from one place in the config share it.
#[derive(Clone, Debug, Default)]
struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    /// Whether it may be asked now. Where it was silent, whoever comes first behind its rest asks, and others after him.
    fn may_ask(&self) -> bool {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(rests_until) = *until else { return true };
        let now = Instant::now();
        let is_over = now >= rests_until;
        if is_over {
            *until = Some(now + PATIENCE);
        }
        is_over
    }

    fn learn(&self, was_silent: bool) {
        let until = was_silent.then(|| Instant::now() + REST);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// How a program has answered is no part of what a table is.
macro_rules! is_no_part {
    ($name:ident) => {
        impl PartialEq for $name {
            fn eq(&self, _: &Self) -> bool {
                true
            }
        }

        impl Eq for $name {}

        impl Hash for $name {
            fn hash<H: Hasher>(&self, _: &mut H) {}
        }
    };
}

is_no_part!(Silence);
is_no_part!(Memory);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Endpoint {
    Unix(PathBuf),
    /// `host:port`
    Tcp(String),
}

/// What the other program knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `OK data`
    Found(String),
    /// `NOTFOUND`
    NotFound,
}

/// Why there is no answer: always a reason to ask again later, never to refuse.
#[derive(Debug, thiserror::Error)]
pub enum SocketmapError {
    /// It cannot be reached.
    #[error("cannot ask: {0}")]
    Io(#[from] io::Error),
    /// It takes too long.
    #[error("no answer within {} seconds", PATIENCE.as_secs())]
    Slow,
    /// It took too long just before.
    #[error("not asked, for just before there was no answer within {} seconds", PATIENCE.as_secs())]
    Silent,
    /// It says something that is no reply.
    #[error("the answer is no socketmap reply")]
    Malformed,
    /// `TEMP`, `TIMEOUT` or `PERM`, and its reason.
    #[error("the other side says {0}")]
    Trouble(String),
}

impl Socketmap {
    /// Reads `unix:/path:name` or `inet:host:port:name`, as in Postfix's `socketmap:unix:/path:name`.
    pub fn parse(text: &str) -> Option<Self> {
        let (place, name) = text.rsplit_once(':').filter(|(_, name)| !name.is_empty())?;
        let is_word = |text: &str| !text.contains(|c: char| c.is_whitespace() || c.is_control());
        let endpoint = match place.split_once(':')? {
            ("unix", path) if path.starts_with('/') => Endpoint::Unix(path.into()),
            ("inet", place) => {
                let (host, port) = place.rsplit_once(':')?;
                (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| Endpoint::Tcp(place.to_owned()))?
            }
            _ => return None,
        };
        let (silence, memory) = (Silence::default(), Memory::default());
        is_word(name).then(|| Self { endpoint, name: name.to_owned(), silence, memory })
    }

    /// Asks for one key, on a connection of its own; a program that has just kept somebody waiting in vain is left alone.
    pub(crate) async fn ask(&self, key: &str) -> Result<Answer, SocketmapError> {
        if !self.silence.may_ask() {
            return Err(SocketmapError::Silent);
        }
        let result = self.ask_now(key).await;
        self.silence.learn(matches!(result, Err(SocketmapError::Slow)));
        if let Ok(answer) = &result {
            self.memory.keep(key, answer);
        }
        result
    }

    /// What the program has answered of late, without asking it.
    pub(crate) fn recall(&self, key: &str) -> Option<Answer> {
        self.memory.recall(key)
    }

    async fn ask_now(&self, key: &str) -> Result<Answer, SocketmapError> {
        let request = netstring(&format!("{} {key}", self.name));
        let exchange = async {
            match &self.endpoint {
                Endpoint::Unix(path) => converse(UnixStream::connect(path).await?, &request).await,
                Endpoint::Tcp(place) => converse(TcpStream::connect(place.as_str()).await?, &request).await,
            }
        };
        timeout(PATIENCE, exchange).await.unwrap_or(Err(SocketmapError::Slow))
    }
}

async fn converse<S>(mut stream: S, request: &[u8]) -> Result<Answer, SocketmapError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    let mut received = Vec::new();
    loop {
        if let Some(reply) = split_netstring(&received)? {
            return answer(reply);
        }
        if stream.read_buf(&mut received).await? == 0 {
            return Err(SocketmapError::Malformed);
        }
    }
}

fn netstring(text: &str) -> Vec<u8> {
    format!("{}:{text},", text.len()).into_bytes()
}

/// The inside of `LENGTH:bytes,`; `None` while more must come.
fn split_netstring(bytes: &[u8]) -> Result<Option<&[u8]>, SocketmapError> {
    let digits = bytes.iter().take_while(|octet| octet.is_ascii_digit()).count();
    // More digits than the largest length has are a lie already; a length has no leading zero.
    if digits > 6 || (digits > 1 && bytes[0] == b'0') {
        return Err(SocketmapError::Malformed);
    }
    match bytes.get(digits) {
        None => return Ok(None),
        Some(b':') if digits > 0 => {}
        Some(_) => return Err(SocketmapError::Malformed),
    }
    let length = std::str::from_utf8(&bytes[..digits]).ok().and_then(|digits| digits.parse().ok());
    let length = length.filter(|length| *length <= MAX_REPLY).ok_or(SocketmapError::Malformed)?;
    let inside = &bytes[digits + 1..];
    match inside.get(length) {
        None => Ok(None),
        Some(b',') => Ok(Some(&inside[..length])),
        Some(_) => Err(SocketmapError::Malformed),
    }
}

fn answer(reply: &[u8]) -> Result<Answer, SocketmapError> {
    let text = std::str::from_utf8(reply).map_err(|_| SocketmapError::Malformed)?;
    let (status, data) = text.split_once(' ').unwrap_or((text, ""));
    match status {
        "OK" => Ok(Answer::Found(data.to_owned())),
        "NOTFOUND" => Ok(Answer::NotFound),
        "TEMP" | "TIMEOUT" | "PERM" => {
            Err(SocketmapError::Trouble(text.chars().filter(|c| !c.is_control()).take(200).collect()))
        }
        _ => Err(SocketmapError::Malformed),
    }
}

/// Reads what a socketmap server sent, as far as it has come: `None` while the reply is not whole.
///
/// Apart from the socket, so that any octets may be tried.
pub fn read_reply(bytes: &[u8]) -> Result<Option<Answer>, SocketmapError> {
    split_netstring(bytes)?.map(answer).transpose()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn places_are_written_as_in_postfix() {
        let unix = Socketmap::parse("unix:/run/x:virtual").unwrap();
        assert_eq!((unix.endpoint, unix.name.as_str()), (Endpoint::Unix("/run/x".into()), "virtual"));
        let tcp = Socketmap::parse("inet:localhost:2525:users").unwrap();
        assert_eq!(tcp.endpoint, Endpoint::Tcp("localhost:2525".into()));
        for wrong in
            ["", "unix:/run/x", "unix:run/x:n", "inet:localhost:n", "inet::1:n", "unix:/x:", "unix:/x:a b"]
        {
            assert_eq!(Socketmap::parse(wrong), None, "{wrong}");
        }
    }

    /// How long each question took, in seconds, and whether it was answered.
    #[tokio::test(start_paused = true)]
    async fn a_program_that_hangs_keeps_one_client_waiting_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("s");
        let listener = tokio::net::UnixListener::bind(&place).unwrap();
        let answers = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let answering = Arc::clone(&answers);
        tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                if answering.load(std::sync::atomic::Ordering::SeqCst) {
                    let _ = stream.write_all(b"9:NOTFOUND ,").await;
                }
                held.push(stream);
            }
        });
        let map = Socketmap::parse(&format!("unix:{}:n", place.display())).unwrap();
        let ask = async |map: Socketmap| {
            let began = Instant::now();
            let answer = map.ask("x").await.is_ok();
            (began.elapsed().as_secs(), answer)
        };
        assert_eq!(ask(map.clone()).await, (10, false));
        assert_eq!((ask(map.clone()).await, ask(map.clone()).await), ((0, false), (0, false)));
        tokio::time::sleep(REST).await;
        assert_eq!(tokio::join!(ask(map.clone()), ask(map.clone())), ((10, false), (0, false)), "one asks");
        answers.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(ask(map.clone()).await, (0, false), "it rests");
        tokio::time::sleep(REST).await;
        assert_eq!((ask(map.clone()).await, ask(map.clone()).await), ((0, true), (0, true)), "it is back");
        // One that refuses is no slow one: whoever asks hears it at once, and it is asked each time.
        let gone = Socketmap::parse("unix:/nonexistent/socket:n").unwrap();
        for _ in 0..2 {
            assert!(matches!(gone.ask("x").await, Err(SocketmapError::Io(_))));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_remembered_for_a_day_and_within_bounds() {
        let (map, other) = (Socketmap::parse("unix:/x:n").unwrap(), Socketmap::parse("unix:/x:n").unwrap());
        let found = |text: &str| Answer::Found(text.to_owned());
        map.memory.keep("a", &found("b"));
        map.memory.keep("none", &Answer::NotFound);
        map.memory.keep("long", &found(&"x".repeat(LONGEST_REMEMBERED + 1)));
        let clone = map.clone();
        assert_eq!(clone.recall("a"), Some(found("b")));
        assert_eq!(clone.recall("none"), Some(Answer::NotFound));
        assert_eq!((clone.recall("long"), clone.recall("b")), (None, None));
        assert_eq!(other.recall("a"), None, "another place of the config");
        assert_eq!(map, other);
        tokio::time::sleep(REMEMBERED).await;
        assert_eq!(map.recall("a"), None);
        for number in 0..=MOST_REMEMBERED {
            map.memory.keep(&number.to_string(), &Answer::NotFound);
        }
        assert!(map.memory.0.lock().unwrap().len() <= MOST_REMEMBERED);
        assert_eq!(map.recall(&MOST_REMEMBERED.to_string()), Some(Answer::NotFound));
    }

    #[test]
    fn replies_are_read_strictly() {
        let read = |bytes: &str| read_reply(bytes.as_bytes());
        assert_eq!(read("18:OK ann@example.org,").unwrap(), Some(Answer::Found("ann@example.org".into())));
        assert_eq!(read("9:NOTFOUND ,").unwrap(), Some(Answer::NotFound));
        for unfinished in ["", "1", "18:", "18:OK ann@example.org"] {
            assert_eq!(read(unfinished).unwrap(), None, "{unfinished}");
        }
        for wrong in [
            ":",
            "x",
            "2:OKx",
            "9999999",
            "100001:",
            "003:OK ,",
            "03",
            "00",
            "0:,",
            "5:MAYBE,",
            "-1:,",
            "3:OK\u{0},",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(read("11:TEMP oh dear,"), Err(SocketmapError::Malformed)));
        assert!(
            matches!(read("12:TEMP oh dear,"), Err(SocketmapError::Trouble(text)) if text == "TEMP oh dear")
        );
    }
}
