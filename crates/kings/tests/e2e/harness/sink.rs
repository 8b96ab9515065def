//! Postfix's smtp-sink, which takes every message and keeps it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{Daemon, Folder, free_port, listening, part};

const PATIENCE: Duration = Duration::from_secs(20);

/// It runs until it is dropped.
pub(crate) struct Sink {
    _daemon: Daemon,
    folder: Folder,
    pub(crate) port: u16,
}

impl Sink {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// One that answers every RCPT with 5xx.
    pub(crate) fn refusing() -> Self {
        Self::with(&["-f", "rcpt"])
    }

    /// One at this port.
    pub(crate) fn at(port: u16) -> Self {
        Self::answering(&[], port)
    }

    /// One at this port that takes 7 bits alone (RFC 6152 §3).
    pub(crate) fn seven_bit_at(port: u16) -> Self {
        Self::answering(&["-8"], port)
    }

    fn with(options: &[&str]) -> Self {
        Self::answering(options, free_port())
    }

    fn answering(options: &[&str], port: u16) -> Self {
        let (folder, postfix) = (Folder::new("sink"), part("postfix"));
        folder.create("mail");
        let mut command = Command::new(postfix.join("usr/sbin/smtp-sink"));
        command
            .env("LD_LIBRARY_PATH", postfix.join("usr/lib/postfix"))
            .args(["-u", "root"])
            .args(options)
            .arg("-d");
        command.arg(folder.join("mail/%H.")).arg(format!("127.0.0.1:{port}")).arg("100");
        let mut daemon = Daemon::start("smtp-sink", &mut command, &folder.join("log"));
        daemon.wait_for("its port", PATIENCE, |_| listening(port));
        Self { _daemon: daemon, folder, port }
    }

    /// To whom each message went, whole or not, in the order of their names.
    pub(crate) fn recipients(&self) -> Vec<String> {
        let lines = |path: &PathBuf| {
            let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
            let to = |line: &str| Some(line.strip_prefix("X-Rcpt-Args: ")?.trim_end().to_owned());
            text.lines().filter_map(to).collect::<Vec<_>>().join(" ")
        };
        let mut all: Vec<String> = files(&self.folder.join("mail")).iter().map(lines).collect();
        all.sort();
        all
    }

    /// All messages with the lines that it puts before them, as they would be sent on.
    pub(crate) fn contents(&self) -> Vec<String> {
        let text = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let sent = |text: String| text.trim_end().replace('\n', "\r\n") + "\r\n";
        files(&self.folder.join("mail")).iter().map(text).map(sent).collect()
    }

    /// The subjects of all [`letter`](super::letter)s that came whole.
    pub(crate) fn subjects(&self) -> Vec<String> {
        let text = |path: &PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let subject = |text: &str| {
            let (_, rest) = text.split_once("\nSubject: ")?;
            let subject = rest.lines().next()?.trim_end();
            rest.contains(&format!("Hello, this is {subject}.")).then(|| subject.to_owned())
        };
        files(&self.folder.join("mail")).iter().filter_map(|path| subject(&text(path))).collect()
    }
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let entries = entries.map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
