//! Files that outlive the server: those of the queue, and those beside a Maildir's messages.

use kings_queue::{try_entry, with_true_checksums};
use kings_store::{try_side_files, try_words};

/// What an entry says can be written and read again; its records may be cut anywhere, as a crash does, and no flipped bit
/// of its envelope passes.
pub fn queue_entry(data: &[u8]) {
    let _ = try_entry(data);
    let Some(written) = try_entry(&with_true_checksums(data)) else { return };
    assert_eq!(try_entry(&written).as_ref(), Some(&written));
    let envelope = written.windows(2).position(|octets| octets == b"\n\n").expect("an envelope") + 2;
    let content = content_length(&written[..envelope]);
    for cut in (envelope + content..written.len()).rev().take(100) {
        let kept = try_entry(&written[..cut]).expect("a torn record is no damage");
        assert!(written.starts_with(&kept), "what was whole before the cut stays");
    }
    let mut flipped = written;
    flipped[envelope / 2] ^= 1;
    assert_eq!(try_entry(&flipped), None);
}

fn content_length(envelope: &[u8]) -> usize {
    let text = String::from_utf8_lossy(envelope);
    let mut lengths = text.lines().filter_map(|line| line.strip_prefix("content-length ")?.parse().ok());
    lengths.next_back().expect("a length")
}

/// `dovecot-uidlist`, `dovecot-keywords` and `subscriptions` keep what the store promises of them.
pub fn side_files(data: &[u8]) {
    assert_eq!(try_side_files(data), Ok(()));
}

/// A text is found by the words of the message that has it; the rest, as a file of words, is no harm.
pub fn words_of_messages(data: &[u8]) {
    let text = String::from_utf8_lossy(data).to_lowercase();
    let mut thirds = text.splitn(3, '\0');
    let (text, needle) = (thirds.next().unwrap_or_default(), thirds.next().unwrap_or_default());
    assert_eq!(try_words(text, needle, data), Ok(()));
    // And a part of the text itself.
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let part = places.len() / 3..places.len() * 2 / 3;
    if let (Some(start), Some(end)) = (places.get(part.start), places.get(part.end)) {
        assert_eq!(try_words(text, &text[*start..*end], b""), Ok(()));
    }
}
