//! The records as the server writes them and commands read them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_mail::domain::Domain;
use kings_mail::id::TraceId;
use kings_records::{
    Event, Query, Records, RecordsError, Settings, Step, TlsFailure, TlsPolicy, TlsResult, reader,
};

/// Text as the fields of an event hold it.
macro_rules! some {
    ($text:literal) => {
        Some($text.to_owned())
    };
}

struct Place {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("records.sqlite");
        Self { _folder: folder, file }
    }

    fn open(&self) -> Records {
        self.keeping(Duration::from_hours(24))
    }

    fn keeping(&self, keep: Duration) -> Records {
        Records::open(Settings { file: self.file.clone(), keep }).unwrap()
    }

    fn find(&self, query: &Query) -> Vec<String> {
        let found = reader::find(&self.file, query).unwrap();
        found.iter().map(|event| format!("{} {}", event.id, event.step.word())).collect()
    }
}

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn id(number: u64) -> TraceId {
    TraceId::new(number, 0)
}

/// Two messages of ann's to joe, of which one was delivered and one waits; a third of bob's was refused.
fn three_stories(records: &Records) {
    for number in [1, 2] {
        let message_id = Some(format!("<{number}@example.org>"));
        records.trace(Event {
            sender: some!("ann@example.org"),
            message_id,
            ..Event::new(id(number), Step::Received)
        });
        records.trace(Event { recipient: some!("Joe@Far.example"), ..Event::new(id(number), Step::Queued) });
    }
    let remote = some!("mx.far.example[192.0.2.1]");
    let (recipient, reply) = (some!("Joe@Far.example"), some!("250 2.0.0 taken"));
    records.trace(Event { recipient, remote: remote.clone(), reply, ..Event::new(id(1), Step::Delivered) });
    let (recipient, reply) = (some!("Joe@Far.example"), some!("450 4.2.0 greylisted"));
    records.trace(Event { recipient, remote, reply, ..Event::new(id(2), Step::Deferred) });
    let (sender, recipient) = (some!("bob@example.org"), some!("nobody@example.org"));
    records.trace(Event {
        sender,
        recipient,
        reply: some!("550 5.1.1 no"),
        ..Event::new(id(3), Step::Refused)
    });
    records.flush();
}

#[test]
fn a_question_finds_the_whole_story_of_every_message_that_fits() {
    let place = Place::new();
    let records = place.open();
    three_stories(&records);
    let [one, two, three] = [1, 2, 3].map(id);
    let first = [format!("{one} received"), format!("{one} queued"), format!("{one} delivered")];
    let second = [format!("{two} received"), format!("{two} queued"), format!("{two} deferred")];
    let third = [format!("{three} refused")];
    let ask = |query: Query| {
        let mut found = place.find(&query);
        found.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
        found
    };
    let both = [first.clone(), second.clone()].concat();
    assert_eq!(ask(Query { sender: some!("ANN@example.org"), ..Query::default() }), both);
    assert_eq!(ask(Query { recipient: some!("joe@far.example"), ..Query::default() }), both);
    assert_eq!(ask(Query { message_id: some!("<2@example.org>"), ..Query::default() }), second);
    assert_eq!(ask(Query { id: Some(one.to_string()), ..Query::default() }), first);
    assert_eq!(ask(Query { recipient: some!("nobody@example.org"), ..Query::default() }), third);
    // All that is given must fit one message, in whichever of its steps.
    let (sender, recipient) = (some!("ann@example.org"), some!("joe@far.example"));
    assert_eq!(ask(Query { sender, recipient, ..Query::default() }), both);
    let (sender, recipient) = (some!("bob@example.org"), some!("joe@far.example"));
    assert_eq!(ask(Query { sender, recipient, ..Query::default() }), Vec::<String>::new());
    assert_eq!(ask(Query::default()).len(), 7);
    assert_eq!(ask(Query { sender: some!("' OR 1=1 --"), ..Query::default() }), Vec::<String>::new());
}

#[test]
fn messages_of_a_span_are_counted_by_step_and_older_ones_are_not() {
    let place = Place::new();
    let records = place.open();
    three_stories(&records);
    let counted = |since: Duration| records.steps_since(since).unwrap();
    let all = [("deferred", 1), ("delivered", 1), ("queued", 2), ("received", 2), ("refused", 1)];
    assert_eq!(counted(Duration::ZERO), all.map(|(step, count)| (step.to_owned(), count)));
    assert_eq!(counted(Duration::from_secs(1 << 40)), []);
    assert_eq!(Records::none().steps_since(Duration::ZERO).unwrap(), []);
}

#[test]
fn the_steps_of_all_entries_of_a_message_are_one_story() {
    let place = Place::new();
    let records = place.open();
    three_stories(&records);
    let further = id(1).behind(1);
    records.trace(Event { recipient: some!("sue@far.example"), ..Event::new(further, Step::Queued) });
    records.flush();
    let story = place.find(&Query { id: Some(id(1).to_string()), ..Query::default() });
    assert_eq!(story.len(), 4);
    assert_eq!(story[3], format!("{further} queued"));
    assert_eq!(place.find(&Query { id: Some(further.to_string()), ..Query::default() }), story);
    assert_eq!(place.find(&Query { recipient: some!("sue@far.example"), ..Query::default() }), story);
    let (sender, recipient) = (some!("ann@example.org"), some!("sue@far.example"));
    assert_eq!(place.find(&Query { sender, recipient, ..Query::default() }), story);
    let (id, recipient) = (Some(id(2).to_string()), some!("sue@far.example"));
    assert_eq!(place.find(&Query { id, recipient, ..Query::default() }), Vec::<String>::new());
}

#[test]
fn replies_and_times_come_back_as_they_were() {
    let place = Place::new();
    let records = place.open();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    three_stories(&records);
    let found = records.find(&Query { id: Some(id(2).to_string()), ..Query::default() }).unwrap();
    let last = found.last().unwrap();
    assert_eq!(last.reply.as_deref(), Some("450 4.2.0 greylisted"));
    assert_eq!(last.remote.as_deref(), Some("mx.far.example[192.0.2.1]"));
    assert!(found.is_sorted_by_key(|event| event.time));
    let second = Duration::from_secs(1);
    assert!(last.time + second >= before && last.time < before + 60 * second, "{:?}", last.time);
    let later = Query { since: Some(before + 3600 * second), ..Query::default() };
    assert!(records.find(&later).unwrap().is_empty());
    let earlier = Query { until: Some(before.saturating_sub(3600 * second)), ..Query::default() };
    assert!(records.find(&earlier).unwrap().is_empty());
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let place = Place::new();
    let records = place.open();
    records.trace(Event { reply: Some("é".repeat(5_000)), ..Event::new(id(1), Step::Failed) });
    records.flush();
    let found = records.find(&Query::default()).unwrap();
    assert_eq!(found[0].reply.as_deref(), Some("é".repeat(500).as_str()));
}

#[test]
fn the_files_are_for_their_owner_alone() {
    let place = Place::new();
    std::fs::write(&place.file, "").unwrap();
    std::fs::set_permissions(&place.file, Permissions::from_mode(0o644)).unwrap();
    let records = place.open();
    three_stories(&records);
    for ending in ["sqlite", "sqlite-wal", "sqlite-shm"] {
        let mode = place.file.with_extension(ending).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{ending}");
    }
}

#[test]
fn what_is_too_old_goes() {
    let place = Place::new();
    three_stories(&place.open());
    assert_eq!(place.find(&Query::default()).len(), 7);
    let forgetful = place.keeping(Duration::ZERO);
    forgetful.trace(Event::new(id(4), Step::Received));
    forgetful.flush();
    assert_eq!(place.find(&Query::default()), Vec::<String>::new());
}

#[test]
fn sessions_are_counted_by_day_domain_policy_and_failure() {
    let place = Place::new();
    let records = place.open();
    let result = |failure| TlsResult {
        domain: domain("far.example"),
        policy: TlsPolicy::Sts,
        policy_text: "version: STSv1".to_owned(),
        host: "mx.far.example".to_owned(),
        failure,
    };
    for failure in
        [None, None, Some(TlsFailure::CertificateExpired), Some(TlsFailure::StartTlsNotSupported), None]
    {
        records.tls(result(failure));
    }
    records.tls(TlsResult { policy: TlsPolicy::None, policy_text: String::new(), ..result(None) });
    records.flush();
    let days = reader::tls_results(&place.file).unwrap();
    assert_eq!(days.len(), 2);
    let [none, sts] = [&days[0], &days[1]];
    assert_eq!((none.policy.as_str(), none.successful, none.failures.len()), ("no-policy-found", 1, 0));
    assert_eq!((sts.domain.as_str(), sts.successful), ("far.example", 3));
    let failure = |word: &str| (word.to_owned(), "mx.far.example".to_owned(), 1);
    assert_eq!(sts.failures, [failure("certificate-expired"), failure("starttls-not-supported")]);
}

#[test]
fn policies_outlive_a_restart_and_expire() {
    let place = Place::new();
    {
        let records = place.open();
        records.keep_policy(&domain("a.example"), "1", "text", Duration::from_hours(1));
        records.keep_policy(&domain("a.example"), "2", "newer", Duration::from_hours(1));
        records.keep_policy(&domain("b.example"), "1", "text", Duration::ZERO);
        records.flush();
    }
    let records = place.open();
    let kept = records.policy(&domain("a.example")).unwrap();
    assert_eq!((kept.id.as_str(), kept.policy.as_str()), ("2", "newer"));
    assert_eq!(records.policy(&domain("b.example")), None);
    assert_eq!(records.policies_expiring_within(Duration::from_mins(30)), []);
    assert_eq!(records.policies_expiring_within(Duration::from_hours(2)).len(), 1);
}

#[test]
fn a_damaged_file_is_set_aside_and_a_later_one_is_left_alone() {
    let place = Place::new();
    std::fs::write(&place.file, "this is no database at all, whatever its name may say".repeat(100)).unwrap();
    three_stories(&place.open());
    assert_eq!(place.find(&Query::default()).len(), 7);
    assert!(place.file.with_extension("damaged").exists());

    let later = Place::new();
    rusqlite::Connection::open(&later.file).unwrap().pragma_update(None, "user_version", 9).unwrap();
    let result = Records::open(Settings { file: later.file.clone(), keep: Duration::from_hours(1) });
    assert!(matches!(result, Err(RecordsError::Newer(9))));
    let asked = reader::find(&later.file, &Query::default());
    assert!(matches!(asked, Err(RecordsError::Newer(9))));
}

#[test]
fn a_writer_that_is_behind_costs_notes_and_never_time() {
    let place = Place::new();
    let records = place.open();
    // Another process holds the file: the writer waits, we must not.
    let other = rusqlite::Connection::open(&place.file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let began = std::time::Instant::now();
    for number in 0..40_000 {
        records.trace(Event::new(id(number), Step::Received));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(records.dropped() > 10_000, "{}", records.dropped());
}

#[test]
fn without_a_file_nothing_is_remembered_and_nothing_fails() {
    let records = Records::none();
    three_stories(&records);
    records.keep_policy(&domain("a.example"), "1", "text", Duration::from_hours(1));
    assert_eq!(records.policy(&domain("a.example")), None);
    assert!(records.find(&Query::default()).unwrap().is_empty());
}
