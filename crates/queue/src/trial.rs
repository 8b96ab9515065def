//! The files of the queue apart from the disk, so that any octets may be tried as one.

use crate::entry::{END_OF_ENVELOPE, Entry, Head};
use crate::record::{checksum, parse_all};

/// Octets of a checksum in a file.
const SUM: usize = 8;
/// Begins the last line of an envelope.
const ENVELOPE_SUM: &str = "envelope-checksum ";

/// Reads a file of the queue and writes what it says anew, content as it is; `None` for one that is damaged.
pub fn try_entry(file: &[u8]) -> Option<Vec<u8>> {
    let start = end_of_envelope(file)?;
    let (head, seed) = Head::parse(&file[..start]).ok()?;
    let tail = usize::try_from(head.content_length).ok().and_then(|length| start.checked_add(length))?;
    let (content, records) = (file.get(start..tail)?, &file[tail..]);
    let (records, _) = parse_all(records, seed).ok()?;
    let (text, new_seed) = head.encode();
    let mut entry = Entry::new(head, seed, start as u64);
    for record in &records {
        entry.apply(record).ok()?;
    }
    let mut written = [text.as_bytes(), content].concat();
    for record in &records {
        record.write_to(new_seed, &mut written);
    }
    Some(written)
}

/// The same file with the checksums that its envelope and records need: wrong ones find every accident at once, and hide
/// what stands behind them.
pub fn with_true_checksums(file: &[u8]) -> Vec<u8> {
    let parted = end_of_envelope(file).and_then(|start| Some((at_envelope_sum(&file[..start])?, start)));
    let Some((at, start)) = parted else { return file.to_vec() };
    let seed = checksum(0, &file[..at]);
    let mut mended = file[..at].to_vec();
    mended.extend_from_slice(format!("{ENVELOPE_SUM}{seed:08x}\n\n").as_bytes());
    let length = Head::parse(&mended).map_or(0, |(head, _)| head.content_length);
    let rest = &file[start..];
    let (content, records) = rest.split_at(usize::try_from(length).unwrap_or(usize::MAX).min(rest.len()));
    mended.extend_from_slice(content);
    for line in records.split_inclusive(|&octet| octet == b'\n') {
        match line.strip_suffix(b"\n").and_then(|line| line.split_at_checked(SUM)) {
            Some((_, text)) => {
                let text = text.strip_prefix(b" ").unwrap_or(text);
                mended.extend_from_slice(format!("{:08x} ", checksum(seed, text)).as_bytes());
                mended.extend_from_slice(text);
                mended.push(b'\n');
            }
            None => mended.extend_from_slice(line),
        }
    }
    mended
}

fn end_of_envelope(file: &[u8]) -> Option<usize> {
    let at = file.windows(END_OF_ENVELOPE.len()).position(|octets| octets == END_OF_ENVELOPE)?;
    Some(at + END_OF_ENVELOPE.len())
}

fn at_envelope_sum(envelope: &[u8]) -> Option<usize> {
    envelope.windows(ENVELOPE_SUM.len()).rposition(|text| text == ENVELOPE_SUM.as_bytes())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const ENTRY: &str = "kings-queue 2\nid 1f8s0xk2m3n4p5q\narrived 1795000000 x\nreverse-path <ann@example.org>\nbody 7bit\n\
        smtputf8 no\nrecipient <joe@example.net>\ncontent-length 4\ncontent-checksum 89abcdef\n\
        envelope-checksum 01234567\n\nhi\r\n00000000 at=1795000001 recipient=1 outcome=held\n";

    #[test]
    fn wrong_checksums_hide_an_entry_and_true_ones_show_it() {
        assert_eq!(try_entry(ENTRY.as_bytes()), None);
        let written = try_entry(&with_true_checksums(ENTRY.as_bytes())).unwrap();
        let text = std::str::from_utf8(&written).unwrap();
        assert!(text.contains("recipient=1 outcome=held\n"), "{text}");
        assert_eq!(try_entry(&written), Some(written.clone()));
        let of_nobody = ENTRY.replace("recipient=1", "recipient=2");
        assert_eq!(try_entry(&with_true_checksums(of_nobody.as_bytes())), None);
    }
}
