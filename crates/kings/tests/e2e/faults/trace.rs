//! What strace wrote of a server, call by call: when each began and ended, with which arguments.

use std::collections::HashMap;

/// The calls that change a disk or tell somebody something.
pub(super) const CALLS: &str = "open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,\
                                unlink,unlinkat,rmdir,write,writev,pwrite64,pwritev,pwritev2,lseek,truncate,ftruncate,fallocate,\
                                copy_file_range,sendfile,splice,fsync,fdatasync,sync,syncfs,sync_file_range,sendto,sendmsg";

/// One call as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) thread: u32,
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
}

/// One argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument {
    /// An open file: its number, and the path or the two ends that belong to it.
    Open(i64, String),
    /// Octets: a path, or what is written.
    Text(Vec<u8>),
    /// Anything else, as it stands there.
    Word(String),
}

/// A call begins, or it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    /// Microseconds since 1970.
    pub(super) at: u64,
    /// Which call: the same number at its beginning and at its end.
    pub(super) call: usize,
    /// What it gave, at its end; nothing at its beginning.
    pub(super) result: Option<Outcome>,
}

/// How a call ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The number it gave; below zero for an error.
    pub(super) number: i64,
    /// The path that belongs to the file it opened.
    pub(super) path: Option<String>,
}

/// Calls and their beginnings and ends in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) calls: Vec<Call>,
    pub(super) events: Vec<Event>,
}

impl Trace {
    /// Reads what `strace -f -ttt -yy` wrote.
    pub(super) fn parse(log: &str) -> Self {
        let mut this = Self::default();
        // What each thread has begun: the number of the call, and its text so far.
        let mut begun: HashMap<u32, (usize, String)> = HashMap::new();
        for line in log.lines() {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let Some((at, rest)) = rest.trim_start().split_once(' ') else { continue };
            let (Ok(thread), Some(at)) = (thread.parse(), microseconds(at)) else { continue };
            if let Some(rest) = rest.strip_prefix("<... ") {
                let Some((call, before)) = begun.remove(&thread) else { continue };
                let (_, after) =
                    rest.split_once(" resumed>").unwrap_or_else(|| panic!("no resumption: {line}"));
                let whole = before + after;
                this.calls[call] =
                    Call::parse(thread, &whole).unwrap_or_else(|| panic!("cannot be read: {whole}"));
                this.events.push(Event { at, call, result: Some(Outcome::parse(&whole)) });
            } else if let Some(first) = rest.strip_suffix("<unfinished ...>") {
                let call = this.begin(thread, at, first);
                begun.insert(thread, (call, first.to_owned()));
            } else if rest.contains('(') && rest.contains(" = ") {
                let call = this.begin(thread, at, rest);
                this.events.push(Event { at, call, result: Some(Outcome::parse(rest)) });
            }
        }
        this
    }

    /// How many of the calls have ended.
    pub(super) fn ended(&self) -> usize {
        self.events.iter().filter(|event| event.result.is_some()).count()
    }

    fn begin(&mut self, thread: u32, at: u64, text: &str) -> usize {
        let call = self.calls.len();
        self.calls.push(Call::parse(thread, text).unwrap_or_else(|| panic!("cannot be read: {text}")));
        self.events.push(Event { at, call, result: None });
        call
    }
}

impl Call {
    fn parse(thread: u32, text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        Some(Self { thread, name: name.to_owned(), arguments: arguments(rest) })
    }
}

impl Outcome {
    /// Behind the last ` = `, which no argument can hold: strings come before it.
    fn parse(text: &str) -> Self {
        let (_, result) = text.rsplit_once(" = ").unwrap_or_else(|| panic!("no result: {text}"));
        let number: String = result.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
        let path = result.split_once('<').and_then(|(_, rest)| Some(rest.split_once('>')?.0.to_owned()));
        Self { number: number.parse().unwrap_or(-1), path: path.filter(|path| path.starts_with('/')) }
    }
}

/// The arguments up to the bracket that closes the call; structures and lists give the strings in them.
fn arguments(text: &str) -> Vec<Argument> {
    let bytes = text.as_bytes();
    let (mut found, mut word, mut at) = (Vec::new(), String::new(), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let (octets, end) = quoted(bytes, at + 1);
                found.push(Argument::Text(octets));
                at = end;
                word.clear();
                continue;
            }
            b'<' if word.starts_with(|c: char| c.is_ascii_digit()) || word == "AT_FDCWD" => {
                let end = end_of_path(bytes, at + 1);
                let path = String::from_utf8_lossy(&bytes[at + 1..end]).into_owned();
                found.push(Argument::Open(word.parse().unwrap_or(-100), path));
                word.clear();
                at = end;
            }
            b',' | b'[' | b']' | b'{' | b'}' => flush(&mut word, &mut found),
            b')' => {
                flush(&mut word, &mut found);
                return found;
            }
            b' ' if word.is_empty() => {}
            other => word.push(char::from(other)),
        }
        at += 1;
    }
    flush(&mut word, &mut found);
    found
}

fn flush(word: &mut String, found: &mut Vec<Argument>) {
    let whole = std::mem::take(word);
    if !whole.trim().is_empty() {
        found.push(Argument::Word(whole.trim().to_owned()));
    }
}

/// The place of the `>` that ends what belongs to an open file; the two ends of a connection have an arrow in them.
fn end_of_path(bytes: &[u8], from: usize) -> usize {
    let is_end = |at: &usize| bytes[*at] == b'>' && bytes[*at - 1] != b'-';
    (from..bytes.len()).find(is_end).unwrap_or(bytes.len())
}

/// The octets of a string in quotes, and the place behind it.
fn quoted(bytes: &[u8], mut at: usize) -> (Vec<u8>, usize) {
    let mut octets = Vec::new();
    while at < bytes.len() && bytes[at] != b'"' {
        if bytes[at] != b'\\' {
            octets.push(bytes[at]);
            at += 1;
            continue;
        }
        let (octet, length) = escaped(&bytes[at + 1..]);
        octets.push(octet);
        at += 1 + length;
    }
    (octets, at + 1)
}

/// What stands behind a backslash: the octet, and how many characters say it.
fn escaped(rest: &[u8]) -> (u8, usize) {
    let number = |digits: &[u8], base: u32| {
        u8::from_str_radix(std::str::from_utf8(digits).unwrap(), base).expect("an octet of strace")
    };
    match rest[0] {
        b'n' => (b'\n', 1),
        b'r' => (b'\r', 1),
        b't' => (b'\t', 1),
        b'v' => (0x0b, 1),
        b'f' => (0x0c, 1),
        b'x' => (number(&rest[1..3], 16), 3),
        b'0'..=b'7' => {
            let count = rest.iter().take(3).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
            (number(&rest[..count], 8), count)
        }
        other => (other, 1),
    }
}

fn microseconds(text: &str) -> Option<u64> {
    let (seconds, micros) = text.split_once('.')?;
    Some(seconds.parse::<u64>().ok()? * 1_000_000 + micros.parse::<u64>().ok()?)
}

#[test]
fn calls_are_read_as_strace_writes_them() {
    let log = r#"10 1795000000.000001 write(9<TCP:[127.0.0.1:25->127.0.0.1:40]>, "250 ok\r\n", 8) = 8
11 1795000000.000002 fsync(5</m/new> <unfinished ...>
10 1795000000.000003 openat(5</m/tmp>, "a b", O_RDWR|O_CREAT|O_EXCL, 0600) = 7</m/tmp/a b>
11 1795000000.000004 <... fsync resumed>) = -1 EIO (Input/output error) (INJECTED)
10 1795000000.000005 writev(7</m/tmp/a b>, [{iov_base="x\0\1\x7f", iov_len=4}, {iov_base="\"", iov_len=1}], 2) = 5
"#;
    let trace = Trace::parse(log);
    let names: Vec<&str> = trace.calls.iter().map(|call| call.name.as_str()).collect();
    assert_eq!(names, ["write", "fsync", "openat", "writev"]);
    let open = |number, path: &str| Argument::Open(number, path.to_owned());
    assert_eq!(trace.calls[0].arguments[0], open(9, "TCP:[127.0.0.1:25->127.0.0.1:40]"));
    assert_eq!(trace.calls[0].arguments[1], Argument::Text(b"250 ok\r\n".to_vec()));
    assert_eq!(trace.calls[1].arguments, [open(5, "/m/new")]);
    assert_eq!(trace.calls[2].arguments[1], Argument::Text(b"a b".to_vec()));
    let texts = trace.calls[3].arguments.iter().filter_map(|argument| match argument {
        Argument::Text(text) => Some(text.clone()),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>().concat(), b"x\0\x01\x7f\"");
    let ends: Vec<(usize, i64)> =
        trace.events.iter().filter_map(|event| Some((event.call, event.result.as_ref()?.number))).collect();
    assert_eq!(ends, [(0, 8), (2, 7), (1, -1), (3, 5)]);
    assert_eq!(trace.events[4].result.as_ref().unwrap().path.as_deref(), Some("/m/tmp/a b"));
}
