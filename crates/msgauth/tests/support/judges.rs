//! What the tests share that have other programs for judges.
#![allow(clippy::disallowed_methods, reason = "the judges are programs that read files and the clock")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kings_mail::date::DateTime;
use kings_msgauth::dkim::{PrivateKey, Selector};

/// Messages of the corpus.
pub(crate) const MESSAGES: u32 = 60;
pub(crate) const RSA: &str = include_str!("../data/rsa2048.pem");
pub(crate) const ED25519: &str = include_str!("../data/ed25519.pem");

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("judged-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The same numbers on every run: a failure can be looked at again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % end
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(u32::try_from(choices.len()).unwrap()) as usize]
    }
}

/// Pieces of field values.
const VALUE: &[&str] = &["word", "K\u{e4}se", " ", "  ", "\t", "\r\n ", "\r\n\tx", ";", ":", "\"q\"", "(c)"];
/// Pieces of bodies.
const BODY: &[&str] =
    &["word", "K\u{e4}se", " ", "  ", "\t", "\r\n", "\r\n\r\n", " \r\n", "\t \r\n", ".", "\u{a0}", "=20"];

/// A message as SMTP carries it: odd, but without bare CR, bare LF and NUL.
pub(crate) fn message(number: u32) -> String {
    let mut numbers = Numbers(u64::from(number) + 1);
    let mut words = |count: u32, choices: &[&str]| -> String {
        (0..numbers.below(count)).map(|_| numbers.one_of(choices)).collect()
    };
    let mut message = format!("From: Ann{} <ann@example.org>\r\n", words(4, &[" ", "Lee", "\r\n ", "\t"]));
    for name in
        ["To", "subject", "DATE", "Message-ID", "Received", "Cc", "X-Odd", "MIME-Version", "References", "To"]
    {
        if words(3, &["x"]).is_empty() {
            let value = words(12, VALUE);
            // A line of white space alone ends the header for some readers.
            let value = value.replace("\r\n ", "\r\n y").replace("\r\n\t", "\r\n\ty");
            write!(message, "{name}: v{value}\r\n").unwrap();
        }
    }
    // What SMTP carries ends in CRLF (RFC 5321 §4.1.1.4); white space behind the last one dkimpy would keep.
    message + "\r\n" + &words(60, BODY) + "\r\n"
}

pub(crate) fn keys() -> [(Selector, PrivateKey); 2] {
    [("rsa", RSA), ("ed25519", ED25519)]
        .map(|(selector, pem)| (Selector::parse(selector).unwrap(), PrivateKey::from_pem(pem).unwrap()))
}

pub(crate) fn today() -> DateTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    DateTime::from_unix(i64::try_from(now.as_secs()).unwrap())
}

/// The Python that has dkimpy: that of `./test.sh`, which puts it in front of the path, or its folder in the cache.
pub(crate) fn python(arguments: &[&str], folder: &Folder) -> String {
    let cache = |variable: &str, rest: &str| Some(PathBuf::from(std::env::var_os(variable)?).join(rest));
    let cache = cache("KINGS_CACHE", "")
        .or_else(|| cache("XDG_CACHE_HOME", "kings"))
        .or_else(|| cache("HOME", ".cache/kings"));
    let own = cache.map(|cache| cache.join("python/bin/python3")).filter(|python| python.exists());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/dkimpy.py");
    let output = Command::new(own.unwrap_or_else(|| "python3".into()))
        .arg(script)
        .args(arguments)
        .arg(&folder.0)
        .output()
        .expect("python3 runs; ./test.sh sets it up");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dkimpy (./test.sh installs it): {complaint}");
    String::from_utf8(output.stdout).unwrap()
}
