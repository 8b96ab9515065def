//! The written form of a dialogue, for the players of both sides.
//!
//! The first line is a comment that names its RFC section. `@ words` lines at the top are settings; `C: text` and
//! `S: text` are lines of client and server, `C\: text` and `S\: text` the same with escapes (`\r`, `\n`, `\0`,
//! `\xff`, `\\`, `\{90*x}` for ninety `x`) and without the line end added; `S! closed` says that the server has
//! closed, `= words` what came of it, `#` a comment.

use std::fmt::Write as _;
use std::path::PathBuf;

/// How the bytes of one line arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    Whole,
    Octets,
}

impl Chunk {
    pub(crate) fn pieces(self, bytes: &[u8]) -> std::slice::Chunks<'_, u8> {
        bytes.chunks(if self == Self::Whole { bytes.len().max(1) } else { 1 })
    }
}

/// Plays every transcript of a folder whole and one octet at a time, which must give the same dialogue.
/// With `UPDATE=1` in the environment the files are written anew: then read the diff.
pub(crate) fn check(folder: &str, play: impl Fn(&str, Chunk) -> String) -> usize {
    let update = std::env::var_os("UPDATE").is_some();
    let files = files(folder);
    for path in &files {
        let mut expected = std::fs::read_to_string(path).unwrap();
        let name = path.display();
        let first = expected.lines().next().unwrap_or_default();
        assert!(first.starts_with("# ") && first.contains("RFC ") && first.contains(" §"), "{name}: {first}");
        if update {
            expected = play(&expected, Chunk::Whole);
            std::fs::write(path, &expected).unwrap();
        }
        assert_eq!(play(&expected, Chunk::Whole), expected, "{name}");
        // What RFC 2920 §3.1 forbids shows only when it comes in one piece.
        if !expected.lines().any(|line| line == "@ chunk whole") {
            assert_eq!(play(&expected, Chunk::Octets), expected, "{name}, one octet at a time");
        }
    }
    files.len()
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "smtp")).collect();
    files.sort();
    files
}

/// Settings and comments at the top, and the rest.
pub(crate) fn split_head(dialogue: &str) -> (Vec<&str>, Vec<&str>) {
    let mut lines = dialogue.lines().peekable();
    let head = std::iter::from_fn(|| lines.next_if(|line| line.starts_with(['#', '@']))).collect();
    (head, lines.collect())
}

/// The bytes that a line like `C: text` or `C\: text` stands for; `side` is its first letter.
pub(crate) fn wire(line: &str, side: char) -> Option<Vec<u8>> {
    let rest = line.strip_prefix(side)?;
    if let Some(text) = rest.strip_prefix("\\: ") {
        return Some(unescape(text));
    }
    let text = rest.strip_prefix(':')?;
    Some(format!("{}\r\n", text.strip_prefix(' ').unwrap_or(text)).into_bytes())
}

/// Logs what one side said; the transcript shows no white space at the end of a line.
pub(crate) fn log_lines(log: &mut String, side: char, output: &[u8]) {
    if output.is_empty() {
        return;
    }
    let text = output.strip_suffix(b"\r\n").expect("output ends with CRLF");
    for line in std::str::from_utf8(text).expect("output is UTF-8").split("\r\n") {
        writeln!(log, "{}", format!("{side}: {line}").trim_end()).unwrap();
    }
}

/// Resolves the escapes of a line.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        out.extend_from_slice(before.as_bytes());
        rest = &escape[1..];
        match escape.as_bytes()[0] {
            b'r' => out.push(b'\r'),
            b'n' => out.push(b'\n'),
            b'0' => out.push(0),
            b'\\' => out.push(b'\\'),
            b'x' => {
                out.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            b'{' => {
                let (repeated, after) = rest.split_once('}').expect("a closing brace");
                let (times, what) = repeated.split_once('*').expect("a number and a star");
                out.extend(unescape(what).repeat(times.parse().unwrap()));
                rest = after;
            }
            other => panic!("no escape: \\{}", char::from(other)),
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}
