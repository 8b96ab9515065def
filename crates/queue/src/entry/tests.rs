//! The entry format: read back, cut, damaged.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use kings_mail::report::{EnvelopeId, Notify, OriginalRecipient, Return};

use super::*;
use crate::deliver::{Handover, Report};
use crate::record::{self, parse_all};
use crate::testing::envelope;

fn head() -> Head {
    Head {
        id: TraceId::new(1_795_000_000_000_000, 7),
        arrived: 1_795_000_000,
        envelope: Envelope {
            parameters: MailParameters { body: Body::EightBitMime, ..MailParameters::default() },
            ..envelope("ann@example.org", &["joe@elsewhere.example", "postmaster", "\"a>b c\"@[192.0.2.1]"])
        },
        content_length: 5,
        content_checksum: checksum(0, b"hello"),
    }
}

/// A whole file with these records.
fn file(head: &Head, content: &[u8], records: &[Record]) -> Vec<u8> {
    let (text, seed) = head.encode();
    let mut bytes = [text.as_bytes(), content].concat();
    for record in records {
        record.write_to(seed, &mut bytes);
    }
    bytes
}

/// Reads a file as the spool does, from memory.
fn read(bytes: &[u8]) -> Result<Entry, Damage> {
    let end = bytes.windows(2).position(|pair| pair == END_OF_ENVELOPE).ok_or(Damage::Envelope)? + 2;
    let (head, seed) = Head::parse(&bytes[..end])?;
    let mut entry = Entry::new(head, seed, end as u64);
    let after = usize::try_from(entry.tail).map_err(|_| Damage::Content)?;
    let content = bytes.get(end..after).ok_or(Damage::Content)?;
    if checksum(0, content) != entry.content.checksum {
        return Err(Damage::Content);
    }
    let (records, whole) = parse_all(&bytes[after..], seed)?;
    records.iter().try_for_each(|record| entry.apply(record))?;
    entry.tail += whole as u64;
    Ok(entry)
}

#[test]
fn the_envelope_is_readable_text() {
    let (text, seed) = head().encode();
    let id = head().id;
    assert_eq!(
        text,
        format!(
            "kings-queue 2\nid {id}\narrived 1795000000 Wed, 18 Nov 2026 11:06:40 +0000\n\
             reverse-path <ann@example.org>\nbody 8bitmime\nsmtputf8 no\nrecipient <joe@elsewhere.example>\n\
             recipient <Postmaster>\nrecipient <\"a>b c\"@[192.0.2.1]>\ncontent-length 5\n\
             content-checksum 3610a686\nenvelope-checksum {seed:08x}\n\n"
        )
    );
    assert_eq!(Head::parse(text.as_bytes()), Ok((head(), seed)));
}

#[test]
fn the_null_reverse_path_and_utf8_read_back() {
    let mut head = Head { envelope: envelope("", &["jürgen@münchen.example"]), ..head() };
    head.envelope.parameters.smtputf8 = true;
    let (text, seed) = head.encode();
    assert_eq!(Head::parse(text.as_bytes()), Ok((head, seed)));
}

#[test]
fn what_the_sender_asked_for_reads_back() {
    let mut head = head();
    head.envelope.parameters = MailParameters {
        smtputf8: true,
        ret: Some(Return::Full),
        envelope_id: EnvelopeId::parse("QQ+2B314159"),
        require_tls: true,
        hold: Some(Hold::Until(1_795_003_600)),
        ..MailParameters::default()
    };
    let recipients = &mut head.envelope.recipients;
    recipients[0].notify = Notify::When { success: true, failure: true, delay: false };
    recipients[0].original = OriginalRecipient::parse("rfc822;Joe+2Bx>@a.example>");
    recipients[1].original = OriginalRecipient::parse("rfc822;postmaster>");
    recipients[1].resolved = true;
    recipients[2].notify = Notify::Never;
    recipients[2].added = true;
    let (text, seed) = head.encode();
    assert!(
        text.contains("\nret FULL\nenvelope-id QQ+2B314159\nrequire-tls yes\nhold-until 1795003600\n"),
        "{text}"
    );
    assert!(text.contains("\nrecipient <\"a>b c\"@[192.0.2.1]> notify=NEVER added=yes\n"), "{text}");
    assert_eq!(Head::parse(text.as_bytes()), Ok((head, seed)));
}

/// In a version of its own: a server that knew no filter would leave the line out of account, or call it damage.
#[test]
fn the_filter_of_an_entry_reads_back_in_a_later_version() {
    let mut head = head();
    head.envelope.parameters.filter = Some("smtp:[127.0.0.1]:10025".into());
    let (text, seed) = head.encode();
    assert!(
        text.starts_with("kings-queue 3\n") && text.contains("\nfilter smtp:[127.0.0.1]:10025\n"),
        "{text}"
    );
    assert_eq!(Head::parse(text.as_bytes()), Ok((head, seed)));
}

#[test]
fn entries_of_the_first_version_are_read() {
    let (text, _) = head().encode();
    let covered = text.split("envelope-checksum").next().unwrap().replace("kings-queue 2", "kings-queue 1");
    let seed = checksum(0, covered.as_bytes());
    let old = format!("{covered}envelope-checksum {seed:08x}\n\n");
    assert_eq!(Head::parse(old.as_bytes()), Ok((head(), seed)));
}

#[test]
fn what_is_no_entry_says_why() {
    let (text, _) = head().encode();
    let later = text.replacen("kings-queue 2\n", "kings-queue 4\n", 1);
    let cases = [
        (String::new(), Damage::NotAnEntry),
        ("kings-queue 0\n\n".into(), Damage::NotAnEntry),
        ("kings-queue 10\n\n".into(), Damage::LaterVersion),
        ("From: somebody\n\n".into(), Damage::NotAnEntry),
        ("kings-queue 1\n\n".into(), Damage::Envelope),
        (later, Damage::LaterVersion),
        (text.replacen("ann@", "bob@", 1), Damage::Envelope),
        (text.trim_end().to_owned(), Damage::Envelope),
    ];
    for (text, expected) in cases {
        assert_eq!(Head::parse(text.as_bytes()), Err(expected), "{text}");
    }
}

/// A right checksum over wrong fields: the reader does not rely on the checksum alone.
#[test]
fn wrong_fields_under_a_right_checksum_are_damage() {
    let (text, _) = head().encode();
    let covered = text.split_once("envelope-checksum").unwrap().0;
    let cases = [
        ("id ", "id x"),
        ("arrived 1", "arrived x"),
        ("<ann@", "<<ann@"),
        ("body 8bitmime", "body binarymime"),
        ("smtputf8 no", "smtputf8 maybe"),
        ("recipient <joe", "recipient joe"),
        ("content-length 5", "content-length -5"),
        ("content-length 5", "priority 5\ncontent-length 5"),
    ];
    for (from, to) in cases {
        let covered = covered.replacen(from, to, 1);
        let text = format!("{covered}envelope-checksum {:08x}\n\n", checksum(0, covered.as_bytes()));
        assert_eq!(Head::parse(text.as_bytes()), Err(Damage::Envelope), "{to}");
    }
    let nobody: String = covered.split_inclusive('\n').filter(|l| !l.starts_with("recipient")).collect();
    let text = format!("{nobody}envelope-checksum {:08x}\n\n", checksum(0, nobody.as_bytes()));
    assert_eq!(Head::parse(text.as_bytes()), Err(Damage::Envelope));
}

#[test]
fn a_record_about_nobody_is_damage() {
    let stranger = Record { at: 1, recipient: 3, fact: Fact::Reported };
    assert_eq!(read(&file(&head(), b"hello", &[stranger])), Err(Damage::Record));
}

#[test]
fn recipients_move_from_open_to_settled() {
    let report = Report::ours(kings_mail::dsn::Status(4, 0, 0), "later");
    let mut entry = read(&file(&head(), b"hello", &[])).unwrap();
    assert_eq!(
        (entry.next(), entry.due(entry.arrived, None).collect::<Vec<_>>()),
        (Some(entry.arrived), vec![0, 1, 2])
    );
    let steps = [
        (0, Fact::Deferred { report: report.clone(), next: 900 }),
        (1, Fact::Failed(report.clone())),
        (2, Fact::Delivered(Handover::Relayed, report.clone())),
    ];
    for (recipient, fact) in steps {
        entry.apply(&Record { at: 600, recipient, fact }).unwrap();
    }
    assert_eq!(
        (entry.next(), entry.due(899, Some(599)).count(), entry.due(900, None).count()),
        (Some(900), 0, 1)
    );
    assert_eq!(entry.due(0, Some(600)).collect::<Vec<_>>(), [0], "asked for since its last attempt");
    assert_eq!((entry.owed(Occasion::Failure), entry.is_settled()), (vec![1], false));
    entry.apply(&Record { at: 601, recipient: 1, fact: Fact::Reported }).unwrap();
    entry
        .apply(&Record { at: 901, recipient: 0, fact: Fact::Delivered(Handover::Relayed, report.clone()) })
        .unwrap();
    assert!(entry.is_settled() && entry.owed(Occasion::Failure).is_empty() && entry.next().is_none());
    assert_eq!((entry.recipients[0].attempts, entry.recipients[1].attempts), (2, 1));
    assert_eq!(entry.recipients[1].last, Some((600, report)));
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    proptest::collection::vec(record::tests::record(3), 0..6)
}

/// The states after no record, after one, and so on.
fn prefix_states(head: &Head, records: &[Record]) -> Vec<Entry> {
    (0..=records.len()).map(|count| read(&file(head, b"hello", &records[..count])).unwrap()).collect()
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let _ = read(&[MAGIC.as_bytes(), b"\n", &bytes].concat());
    }

    /// Cut anywhere: inside envelope or content it is found out, behind them the whole records are kept.
    #[test]
    fn a_file_cut_anywhere_is_found_out_or_loses_only_the_torn_record(records in any_records(), cut in 0.0f64..1.0) {
        let whole = file(&head(), b"hello", &records);
        let states = prefix_states(&head(), &records);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place in the file")]
        let cut = (whole.len() as f64 * cut) as usize;
        let before = states[0].tail;
        match read(&whole[..cut]) {
            Err(_) => prop_assert!((cut as u64) < before, "a torn tail is no damage"),
            Ok(entry) => {
                let kept = states.iter().rfind(|state| state.tail <= cut as u64);
                prop_assert_eq!(Some(&entry), kept);
            }
        }
    }

    /// One byte changed anywhere: found out, or exactly the state before the record it hit.
    #[test]
    fn a_byte_changed_anywhere_is_found_out_or_ends_the_records_there(records in any_records(), at in any::<proptest::sample::Index>(), mask in 1u8..) {
        let mut bytes = file(&head(), b"hello", &records);
        let states = prefix_states(&head(), &records);
        let at = at.index(bytes.len());
        bytes[at] ^= mask;
        if let Ok(entry) = read(&bytes) {
            let before = states.iter().rfind(|state| state.tail <= at as u64);
            prop_assert_eq!(Some(&entry), before);
        }
    }
}
