//! Reading a Maildir as any other program would.

use std::fs;
use std::path::Path;

/// One message file.
pub(crate) struct Message {
    pub(crate) content: Vec<u8>,
}

impl Message {
    /// The value of the first field of this name, unfolded no further than its first line.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.content).into_owned();
        let header = text.split("\r\n\r\n").next().unwrap_or_default().to_owned();
        header.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

/// The messages in `new` and `cur` of one mailbox, in the order of their names.
pub(crate) fn messages(maildir: &Path) -> Vec<Message> {
    let mut files: Vec<_> = ["new", "cur"]
        .iter()
        .filter_map(|folder| fs::read_dir(maildir.join(folder)).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort_by(|left, right| left.file_name().cmp(&right.file_name()));
    // A file may move from `new` to `cur` under our eyes; the next look finds it there.
    files.iter().filter_map(|file| Some(Message { content: fs::read(file).ok()? })).collect()
}
