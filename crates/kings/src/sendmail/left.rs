//! What lies in the drop folder, as far as whoever asks may read it: `mailq` lists it, as Postfix's lists its maildrop.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kings_mail::date::DateTime;
use serde_json::{Value, json};

use crate::local::{WHOLE, drops, open};

/// Most drops that are listed.
const MOST: usize = 10_000;
/// Octets of a drop that are looked through for its envelope: some thousand recipients.
const ENVELOPE: u64 = 1 << 20;
/// What is said of each recipient.
const WHY: &str = "left for the server, which has not taken it yet";

/// The drops in `folder` as items of the queue, the oldest first. Only root and the server's user may list them: for others
/// there are none.
pub(super) fn items(folder: &Path) -> Vec<Value> {
    let entries = fs::read_dir(drops(folder)).into_iter().flatten().flatten();
    let is_whole = |path: &PathBuf| path.extension().is_some_and(|extension| extension == WHOLE);
    let mut found: Vec<(i64, Value)> = entries
        .map(|entry| entry.path())
        .filter(is_whole)
        .take(MOST)
        .filter_map(|path| item(&path))
        .collect();
    found.sort_by_key(|(arrived, _)| *arrived);
    found.into_iter().map(|(_, item)| item).collect()
}

fn item(path: &Path) -> Option<(i64, Value)> {
    let (file, _) = open(path).ok()?;
    let facts = file.metadata().ok()?;
    let mut envelope = String::new();
    for line in BufReader::new(file.take(ENVELOPE)).split(b'\n') {
        let line = String::from_utf8_lossy(&line.ok()?).into_owned();
        if line.trim().eq_ignore_ascii_case("DATA") {
            break;
        }
        envelope.extend([line.as_str(), "\n"]);
    }
    let named =
        |verb: &str| -> Vec<String> { envelope.lines().filter_map(|line| path_of(line, verb)).collect() };
    let sender = named("MAIL FROM:").into_iter().next().unwrap_or_default();
    let recipients = named("RCPT TO:").into_iter();
    let recipients: Vec<Value> = recipients
        .map(|path| json!({ "forward_path": path, "state": "deferred", "last_reply": WHY }))
        .collect();
    let item = json!({
        "id": path.file_stem()?.to_str()?,
        "bytes": facts.len(),
        "arrived": DateTime::from_unix(facts.mtime()).to_string(),
        "reverse_path": sender,
        "recipients": recipients,
    });
    Some((facts.mtime(), item))
}

/// The path of such a command, without its parameters. Whoever wrote the drop shows nothing odd on the terminal of another.
fn path_of(line: &str, verb: &str) -> Option<String> {
    let (start, rest) = line.trim_end().split_at_checked(verb.len())?;
    let end = rest.find("> ").map_or(rest.len(), |at| at + 1);
    let shown = || rest[..end].chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    start.eq_ignore_ascii_case(verb).then(shown)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn whole_drops_are_items_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        assert!(items(folder.path()).is_empty(), "there is no folder");
        let drops = drops(folder.path());
        fs::create_dir(&drops).unwrap();
        let text = "MAIL FROM:<ann@here.example> BODY=8BITMIME SIZE=9\r\nRCPT TO:<joe@far.example> NOTIFY=NEVER\r\n\
                    rcpt to:<\"a> b\"@far.example>\r\nRCPT TO:<x\x1b[2J@far.example>\r\nDATA\r\nRCPT TO:<no>\r\n.\r\n";
        fs::write(drops.join("a.drop"), text).unwrap();
        for (name, text) in [("b.part", text), ("c.drop.refused", text), ("d", text)] {
            fs::write(drops.join(name), text).unwrap();
        }
        symlink(drops.join("d"), drops.join("e.drop")).unwrap();
        fs::write(drops.join("f"), text).unwrap();
        fs::hard_link(drops.join("f"), drops.join("g.drop")).unwrap();
        fs::create_dir(drops.join("h.drop")).unwrap();
        let found = items(folder.path());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((&found[0]["id"], &found[0]["bytes"]), (&json!("a"), &json!(text.len())));
        assert_eq!(found[0]["reverse_path"], "<ann@here.example>");
        let paths: Vec<_> =
            found[0]["recipients"].as_array().unwrap().iter().map(|to| to["forward_path"].clone()).collect();
        assert_eq!(paths, ["<joe@far.example>", "<\"a>", "<x?[2J@far.example>"]);
        fs::write(drops.join("a.drop"), "\0\u{ff}nonsense").unwrap();
        assert_eq!(items(folder.path())[0]["recipients"], json!([]));
    }
}
