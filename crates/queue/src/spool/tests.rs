//! The spool: what a crash between any two steps leaves.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::{FileExt, PermissionsExt};

use kings_mail::dsn::Status;
use kings_mail::envelope::Envelope;

use super::*;
use crate::deliver::{Handover, Report};
use crate::disk::SystemDisk;
use crate::record::Fact;
use crate::testing::{Failing, Files, TestDisk, envelope, id, read_files, write_files};
use tempfile::{TempDir, tempdir};

const CONTENT: &[u8] = b"Subject: hi\r\n\r\nhello\r\n";

fn open(root: &Path) -> Spool {
    Spool::open(root, 0, Arc::new(SystemDisk)).unwrap()
}

fn spool() -> (TempDir, Spool) {
    let folder = tempdir().unwrap();
    let spool = open(folder.path());
    (folder, spool)
}

fn spool_on_test_disk() -> (TempDir, Arc<TestDisk>, Spool) {
    let folder = tempdir().unwrap();
    let disk = TestDisk::new(folder.path());
    let spool = Spool::open(folder.path(), 0, disk.clone()).unwrap();
    (folder, disk, spool)
}

fn draft(spool: &Spool, content: &[u8]) -> (Head, Draft) {
    let mut draft = Draft::new();
    content.chunks(100_000).for_each(|chunk| draft.write(chunk, spool).unwrap());
    let envelope = envelope("ann@example.org", &["joe@elsewhere.example", "sue@third.example"]);
    let head = Head {
        id: id(1),
        arrived: 1_000,
        envelope,
        content_length: draft.length(),
        content_checksum: draft.checksum(),
    };
    (head, draft)
}

fn submit(spool: &Spool, content: &[u8]) -> Result<Name, SubmitError> {
    let (head, draft) = draft(spool, content);
    commit(spool, &head, &draft)
}

/// Both steps of taking an entry in.
fn commit(spool: &Spool, head: &Head, draft: &Draft) -> Result<Name, SubmitError> {
    spool.stage(head, draft, &[])?;
    spool.publish(&[(head, head.first_attempt())]).map(|names| names[0])
}

fn names(spool: &Spool) -> Vec<Name> {
    let mut names = Vec::new();
    let scanned = spool.scan(|batch| {
        names.extend_from_slice(batch);
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    names
}

fn reschedule(spool: &Spool, name: Name, next: u64) -> io::Result<Name> {
    let renamed = spool.rename(name, next)?;
    spool.sync_names().map(|()| renamed)
}

fn record(recipient: usize) -> Record {
    Record {
        at: 2_000,
        recipient,
        fact: Fact::Delivered(Handover::Relayed, Report::ours(Status::DONE, "250 ok")),
    }
}

fn append(spool: &Spool, name: Name, record: &Record) -> io::Result<u64> {
    let entry = spool.load(name).unwrap();
    let mut bytes = Vec::new();
    record.write_to(entry.seed, &mut bytes);
    spool.append(name, entry.tail, &bytes)
}

/// What a new process makes of such a folder: every entry with its content, none damaged.
fn recovered(files: &Files) -> Vec<(Name, Entry, Vec<u8>)> {
    let folder = tempdir().unwrap();
    write_files(folder.path(), files);
    let spool = open(folder.path());
    let left = read_files(folder.path());
    assert!(left.keys().all(|path| path.starts_with("entries")), "leftovers stay: {:?}", left.keys());
    let whole = |name: Name| {
        let entry = spool.load(name).unwrap();
        let mut content = Vec::new();
        spool.content(name, entry.content).unwrap().reader().read_to_end(&mut content).unwrap();
        (name, entry, content)
    };
    names(&spool).into_iter().map(whole).collect()
}

/// Runs one step and looks at every crash in and after it: the old state or the new one, and after the step
/// the new one alone.
fn survives_crashes(
    disk: &TestDisk,
    before: &mut Vec<(Name, Entry, Vec<u8>)>,
    name: &str,
    step: impl FnOnce(),
) {
    disk.take_crashes();
    step();
    let crashes = disk.take_crashes();
    let after = recovered(&crashes.last().unwrap()[0]);
    assert_ne!(*before, after, "{name} does something");
    for (number, survivors) in crashes.iter().enumerate() {
        let complete = number + 1 == crashes.len();
        for (kind, files) in survivors.iter().enumerate() {
            let state = recovered(files);
            let allowed = state == after || (!complete && state == *before);
            assert!(allowed, "{name}, crash {number} of kind {kind}: {state:?}");
        }
    }
    *before = after;
}

#[test]
fn no_crash_loses_what_was_acknowledged_or_leaves_half_of_anything() {
    for size in [0, 300_000] {
        let (_folder, disk, spool) = spool_on_test_disk();
        let content = [CONTENT, &vec![b'x'; size]].concat();
        let mut name = Name { id: id(1), next: 1_000 };
        let state = &mut Vec::new();
        survives_crashes(&disk, state, "submit", || assert_eq!(submit(&spool, &content).unwrap(), name));
        survives_crashes(&disk, state, "append", || assert!(append(&spool, name, &record(0)).is_ok()));
        survives_crashes(&disk, state, "reschedule", || name = reschedule(&spool, name, 5_000).unwrap());
        survives_crashes(&disk, state, "hold", || name = reschedule(&spool, name, HELD).unwrap());
        survives_crashes(&disk, state, "append again", || assert!(append(&spool, name, &record(1)).is_ok()));
        let entry = spool.load(name).unwrap();
        assert!(entry.is_settled());
        survives_crashes(&disk, state, "remove", || spool.remove(name).unwrap());
    }
}

#[test]
fn a_submission_that_fails_at_any_step_leaves_nothing() {
    let (folder, disk, spool) = spool_on_test_disk();
    let (head, large) = draft(&spool, &vec![b'x'; 300_000]);
    disk.fail(None);
    spool.remove(commit(&spool, &head, &large).unwrap()).unwrap();
    let steps = disk.fail(None) - 2;
    assert!(steps >= 8, "create, writes, sync, rename, sync: {steps}");
    for nth in 0..steps {
        for kind in [io::ErrorKind::Other, io::ErrorKind::StorageFull] {
            disk.fail(Some(Failing::Nth(nth, kind)));
            let error = commit(&spool, &head, &large).unwrap_err();
            assert_eq!(matches!(error, SubmitError::NoSpace), kind == io::ErrorKind::StorageFull, "{error}");
            assert_eq!(read_files(folder.path()), Files::new(), "step {nth}");
        }
    }
    disk.fail(None);
    commit(&spool, &head, &large).unwrap();
}

#[test]
fn on_a_full_disk_records_take_the_reserve_and_deletion_needs_nothing() {
    let (folder, disk, spool) = spool_on_test_disk();
    let name = submit(&spool, CONTENT).unwrap();
    let reserve = || folder.path().join("reserve").metadata().unwrap().len();
    let full = reserve();
    disk.fail(Some(Failing::Writes(3, io::ErrorKind::StorageFull)));
    append(&spool, name, &record(0)).unwrap();
    assert!(reserve() < full && reserve() > 0);
    disk.fail(Some(Failing::Writes(1_000, io::ErrorKind::StorageFull)));
    assert_eq!(append(&spool, name, &record(1)).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(reserve(), 0);
    assert!(!spool.load(name).unwrap().is_settled());
    let name = reschedule(&spool, name, 9_000).unwrap();
    spool.remove(name).unwrap();
    assert_eq!(names(&spool), []);
    spool.check_space().unwrap();
    assert_eq!(reserve(), full, "taken again once there is room");
}

/// A sync that failed says nothing about the bytes; only writing them again does.
#[test]
fn a_record_whose_sync_failed_is_written_again_before_the_next_sync() {
    let (_folder, disk, spool) = spool_on_test_disk();
    let name = submit(&spool, CONTENT).unwrap();
    disk.fail(Some(Failing::Nth(1, io::ErrorKind::Other)));
    append_at_tail(&spool, name).unwrap_err();
    assert_eq!(disk.fail(None), 2, "write, sync");
    append_at_tail(&spool, name).unwrap();
    assert_eq!(disk.fail(None), 3, "cut, write, sync");
    assert_eq!(spool.load(name).unwrap().recipients[0].attempts, 1);
}

fn append_at_tail(spool: &Spool, name: Name) -> io::Result<u64> {
    let head_and_content = spool.load(name).unwrap();
    let (seed, tail) =
        (head_and_content.seed, head_and_content.content.start + head_and_content.content.length);
    let mut bytes = Vec::new();
    record(0).write_to(seed, &mut bytes);
    spool.append(name, tail, &bytes)
}

#[test]
fn a_torn_record_is_cut_off_by_the_next_append() {
    let (_folder, spool) = spool();
    let name = submit(&spool, CONTENT).unwrap();
    let tail = append(&spool, name, &record(0)).unwrap();
    let file = OpenOptions::new().write(true).open(spool.path(name)).unwrap();
    file.write_all_at(&[0; 5_000], tail).unwrap();
    let entry = spool.load(name).unwrap();
    assert_eq!((entry.tail, entry.recipients[0].attempts), (tail, 1));
    append(&spool, name, &record(1)).unwrap();
    assert!(spool.load(name).unwrap().is_settled());
}

#[test]
fn damage_is_found_and_set_aside_and_a_later_version_is_left_alone() {
    let (folder, spool) = spool();
    let name = submit(&spool, CONTENT).unwrap();
    let good = fs::read(spool.path(name)).unwrap();
    let entry = spool.load(name).unwrap();
    let content = usize::try_from(entry.content.start).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let cases = [
        ("empty", Vec::new(), Damage::NotAnEntry),
        ("zeroed", vec![0; good.len()], Damage::NotAnEntry),
        ("cut in the envelope", good[..40].to_vec(), Damage::Envelope),
        ("changed envelope", changed(30, b'~'), Damage::Envelope),
        ("cut in the content", good[..content + 3].to_vec(), Damage::Content),
        ("changed content", changed(content, b'~'), Damage::Content),
        ("another version", changed(12, b'4'), Damage::LaterVersion),
        ("no empty line", vec![b'x'; MAX_ENVELOPE + 10_000], Damage::NotAnEntry),
    ];
    for (case, bytes, expected) in cases {
        fs::write(spool.path(name), bytes).unwrap();
        let error = spool.load(name).and_then(|entry| spool.content(name, entry.content)).unwrap_err();
        assert!(matches!(&error, LoadError::Damaged(damage) if *damage == expected), "{case}: {error}");
    }
    fs::write(spool.path(Name { id: id(2), ..name }), &good).unwrap();
    assert!(matches!(spool.load(Name { id: id(2), ..name }), Err(LoadError::Damaged(Damage::Name))));
    spool.set_aside(name).unwrap();
    assert!(matches!(spool.load(name), Err(LoadError::Gone)));
    let damaged = spool.damaged().unwrap();
    assert_eq!(
        (damaged[0].0.as_str(), damaged[0].1.to_string()),
        (&*name.to_string(), Damage::NotAnEntry.to_string())
    );
    assert_eq!(spool.count_damaged().unwrap(), 1);
    assert!(folder.path().join("damaged").join(name.to_string()).is_file());
}

#[test]
fn one_id_is_one_entry() {
    let (_folder, spool) = spool();
    submit(&spool, CONTENT).unwrap();
    assert!(matches!(submit(&spool, b"other"), Err(SubmitError::DuplicateId(twice)) if twice == id(1)));
    assert_eq!(names(&spool).len(), 1);
}

#[test]
fn envelopes_that_would_not_read_back_are_refused() {
    let (folder, spool) = spool();
    let (head, draft) = draft(&spool, CONTENT);
    let with =
        |recipients| Head { envelope: Envelope { recipients, ..head.envelope.clone() }, ..head.clone() };
    let nobody = with(vec![]);
    let crowd = with(vec![head.envelope.recipients[0].clone(); MAX_ENVELOPE / 30]);
    for head in [nobody, crowd] {
        assert!(matches!(commit(&spool, &head, &draft), Err(SubmitError::BadEnvelope)));
    }
    assert_eq!(read_files(folder.path()), Files::new());
}

#[test]
fn names_are_read_in_one_form_only() {
    let id = id(1);
    let cases = [
        (format!("{id}.1000"), Some(Name { id, next: 1_000 })),
        (format!("{id}.0"), Some(Name { id, next: 0 })),
        (format!("{id}.held"), Some(Name { id, next: HELD })),
        (format!("{id}.{}", u64::MAX), None),
        (format!("{id}-2.1000"), Some(Name { id: id.behind(1), next: 1_000 })),
        (format!("{id}-1.1000"), None),
        (format!("{id}.HELD"), None),
        (format!("{id}.01000"), None),
        (format!("{id}.+1000"), None),
        (format!("{id}."), None),
        (format!("{id}.1.1"), None),
        (id.to_string(), None),
        ("x.1000".into(), None),
        (".gitignore".into(), None),
    ];
    for (text, expected) in cases {
        assert_eq!(Name::parse(&text), expected, "{text}");
    }
}

#[test]
fn cut_off_submissions_and_foreign_files_do_no_harm() {
    let (folder, spool) = spool();
    submit(&spool, CONTENT).unwrap();
    fs::write(folder.path().join("incoming/left"), "half").unwrap();
    fs::write(folder.path().join("entries/README"), "not ours").unwrap();
    let spool = open(folder.path());
    assert_eq!(names(&spool).len(), 1);
    assert!(!folder.path().join("incoming/left").exists() && folder.path().join("entries/README").exists());
}

#[test]
fn nobody_else_can_read_the_queue() {
    let (folder, spool) = spool();
    let name = submit(&spool, CONTENT).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&spool.path(name)), mode(&folder.path().join("entries"))), (0o600, 0o700));
}

#[test]
fn new_mail_is_refused_before_the_disk_is_full() {
    let folder = tempdir().unwrap();
    let greedy = Spool::open(folder.path(), u64::MAX, Arc::new(SystemDisk)).unwrap();
    assert!(matches!(greedy.check_space(), Err(SubmitError::NoSpace)));
    open(folder.path()).check_space().unwrap();
}

#[test]
fn entries_that_count_or_go_together_share_a_sync_and_none_counts_where_one_cannot() {
    let (folder, disk, spool) = spool_on_test_disk();
    let staged = || {
        let stage = |number| {
            let (head, draft) = draft(&spool, CONTENT);
            let head = Head { id: id(number), ..head };
            spool.stage(&head, &draft, &[]).unwrap();
            head
        };
        [1, 2, 3].map(stage)
    };
    let steps = 4;
    for nth in 0..steps {
        let heads = staged();
        disk.fail(Some(Failing::Nth(nth, io::ErrorKind::Other)));
        assert!(
            spool.publish(&heads.each_ref().map(|head| (head, head.first_attempt()))).is_err(),
            "step {nth}"
        );
        assert_eq!(read_files(folder.path()), Files::new(), "step {nth}");
        disk.fail(None);
    }
    let heads = staged();
    disk.fail(None);
    let names = spool.publish(&heads.each_ref().map(|head| (head, head.first_attempt()))).unwrap();
    assert_eq!(disk.fail(None), steps, "three renames and one sync");
    disk.fail(Some(Failing::Nth(3, io::ErrorKind::Other)));
    assert!(spool.remove_all(&names).iter().all(Result::is_err), "nobody knows what is on disk");
    disk.fail(None);
    assert!(spool.remove_all(&names).iter().all(Result::is_ok));
    assert_eq!(disk.fail(None), steps, "three removals and one sync");
    assert_eq!(read_files(folder.path()), Files::new());
}
