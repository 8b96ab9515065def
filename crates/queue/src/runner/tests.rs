//! The runner with a fake deliverer, in paused time.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use kings_mail::envelope::{Hold, MailParameters};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mail::report::{Notify, Return};
use tempfile::{TempDir, tempdir};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::Notices;
use crate::lanes::Limits;
use crate::list::{Filter, ListedEntry, ListedRecipient};
use crate::order::{Order, OrderError};
use crate::queue::{Beginning, Settings};
use crate::recipient::RecipientState;
use crate::schedule::Lifetimes;
use crate::testing::{
    Failing, FakeDeliverer, Files, Interrupted, QuickDisk, START, TestDisk, envelope, id, read_files,
    settings, write_files,
};

mod load;
mod orders;
mod reports;

const CONTENT: &[u8] = b"Subject: hi\r\n\r\nhello\r\n";
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// A queue that runs, with a fake deliverer and a clock that jumps to whatever is waited for.
struct Rig {
    queue: Queue,
    deliverer: Arc<FakeDeliverer>,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
    folder: TempDir,
    began: Instant,
}

impl Rig {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempdir().unwrap();
        let mut settings = settings(folder.path());
        change(&mut settings);
        Self::start(folder, Queue::open(settings).unwrap(), Arc::default())
    }

    /// On a disk whose syncs cost nothing, for thousands of messages.
    fn quick() -> Self {
        let folder = tempdir().unwrap();
        let queue = Queue::open_on(settings(folder.path()), Arc::new(QuickDisk)).unwrap();
        Self::start(folder, queue, Arc::default())
    }

    fn start(folder: TempDir, queue: Queue, deliverer: Arc<FakeDeliverer>) -> Self {
        let shutdown = CancellationToken::new();
        let (running, deliver, stop) = (queue.clone(), Arc::clone(&deliverer), shutdown.clone());
        let task = tokio::spawn(async move { running.run(deliver, stop).await });
        Self { queue, deliverer, shutdown, task, folder, began: Instant::now() }
    }

    /// Stops and starts again on the same folder, with a fresh memory and a fresh log.
    async fn restart(self) -> Self {
        let folder = self.stop().await;
        let queue = Queue::open(settings(folder.path())).unwrap();
        Self::start(folder, queue, Arc::default())
    }

    async fn stop(self) -> TempDir {
        self.shutdown.cancel();
        self.task.await.unwrap();
        self.folder
    }

    async fn submit(&self, number: u64, reverse_path: &str, recipients: &[&str]) -> TraceId {
        let id = id(number);
        self.queue.submit(id, envelope(reverse_path, recipients), Cursor::new(CONTENT)).await.unwrap();
        id
    }

    /// One recipient, whose sender asked for something.
    async fn submit_asking(&self, number: u64, recipient: &str, notify: &str, parameters: MailParameters) {
        let mut envelope = envelope("ann@example.org", &[recipient]);
        envelope.recipients[0].notify = Notify::parse(notify).unwrap_or_default();
        envelope.parameters = parameters;
        self.queue.submit(id(number), envelope, Cursor::new(CONTENT)).await.unwrap();
    }

    /// Lets this much time pass.
    async fn wait(&self, time: Duration) {
        sleep(time).await;
    }

    /// Waits until no entry is left.
    async fn settled(&self) {
        while !self.queue.is_empty() {
            sleep(MINUTE).await;
        }
    }

    async fn entries(&self) -> Vec<ListedEntry> {
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let page = self.queue.page(Filter::default(), after).await;
            entries.extend(page.entries);
            after = page.next;
            if after.is_none() {
                return entries;
            }
        }
    }

    fn recipients(&self) -> Vec<String> {
        self.deliverer.recipients()
    }

    /// Minutes from the start of the rig to each attempt.
    fn minutes(&self) -> Vec<u64> {
        let log = self.deliverer.log.lock().unwrap();
        log.iter().map(|delivery| (delivery.at - self.began).as_secs() / 60).collect()
    }

    fn files(&self) -> Vec<String> {
        names(self.folder.path())
    }
}

fn names(root: &Path) -> Vec<String> {
    read_files(root).keys().map(|path| path.display().to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn recipients_given_up_before_the_first_attempt_are_reported_and_never_tried() {
    let rig = Rig::new();
    let mut submission = rig.queue.begin().unwrap();
    submission.write(CONTENT).unwrap();
    let envelope = envelope("ann@example.org", &["ok@a.example", "ok@b.example"]);
    let report = Report::ours(Status(5, 4, 6), "Mail loop detected");
    let staged =
        submission.stage(id(1), &envelope, &Beginning { given_up: vec![(1, report)], held: None }).unwrap();
    sleep(HOUR).await;
    assert!(rig.deliverer.recipients().is_empty(), "it does not count before its commit");
    staged.commit().unwrap();
    sleep(HOUR).await;
    assert_eq!(rig.deliverer.recipients(), ["<ok@a.example>"]);
    let bounces = rig.deliverer.bounce_texts();
    assert!(bounces.len() == 1 && bounces[0].contains("\r\nStatus: 5.4.6\r\n"), "{bounces:?}");
    assert!(rig.queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_rule_holds_from_the_start_is_tried_only_after_its_release() {
    let rig = Rig::new();
    let mut submission = rig.queue.begin().unwrap();
    submission.write(CONTENT).unwrap();
    let envelope = envelope("ann@example.org", &["ok@a.example", "ok@b.example"]);
    let report = |text: &str| Report::ours(Status(4, 7, 0), text);
    let beginning =
        Beginning { given_up: vec![(1, report("Mail loop detected"))], held: Some(report("odd \"look\"")) };
    submission.stage(id(1), &envelope, &beginning).unwrap().commit().unwrap();
    sleep(30 * 24 * HOUR).await;
    rig.queue.retry_all(&BTreeSet::new());
    sleep(HOUR).await;
    assert!(rig.deliverer.recipients().is_empty());
    let held = Filter { reason: Some("odd \"look\"".into()), ..Filter::default() };
    let page = rig.queue.page(held, None).await;
    assert_eq!(page.entries[0].recipients[0].state, RecipientState::Held);
    assert_eq!(page.entries[0].recipients[0].attempts, 0);
    rig.queue.order(id(1), Order::Release).await.unwrap();
    sleep(HOUR).await;
    assert_eq!(rig.deliverer.recipients(), ["<ok@a.example>"]);
    assert!(rig.queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_staged_message_that_is_dropped_leaves_nothing() {
    let rig = Rig::new();
    let submission = rig.queue.begin().unwrap();
    drop(
        submission
            .stage(id(1), &envelope("ann@example.org", &["ok@a.example"]), &Beginning::default())
            .unwrap(),
    );
    assert_eq!(read_files(rig.folder.path()), Files::new());
    rig.submit(1, "ann@example.org", &["ok@a.example"]).await;
    sleep(HOUR).await;
    assert_eq!(rig.deliverer.recipients(), ["<ok@a.example>"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_message_is_delivered_at_once_and_its_entry_removed() {
    let rig = Rig::new();
    rig.wait(DAY).await;
    rig.submit(1, "ann@example.org", &["ok@elsewhere.example"]).await;
    rig.settled().await;
    assert_eq!((rig.recipients(), rig.minutes()), (vec!["<ok@elsewhere.example>".to_owned()], vec![24 * 60]));
    assert_eq!(rig.files(), [""; 0]);
    assert_eq!(rig.deliverer.bounce_texts(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn each_recipient_has_its_own_outcome() {
    let rig = Rig::new();
    rig.submit(1, "ann@example.org", &["ok@a.example", "never@a.example", "later@b.example", "postmaster"])
        .await;
    rig.wait(MINUTE).await;
    let entry = &rig.entries().await[0];
    let recipients: Vec<_> = entry
        .recipients
        .iter()
        .map(|r| {
            (
                r.state,
                r.attempts,
                r.next_attempt.map(|date| date.unix() - i64::try_from(START).unwrap() >= 300),
                r.last_reply.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        recipients,
        [
            (RecipientState::Delivered, 1, None, Some("250 ok")),
            (RecipientState::Failed, 1, None, Some("550 no such user")),
            (RecipientState::Deferred, 1, Some(true), Some("450 later")),
            (RecipientState::Delivered, 1, None, Some("250 ok")),
        ]
    );
    assert_eq!((entry.bytes, entry.arrived.unix()), (CONTENT.len() as u64, i64::try_from(START).unwrap()));
    let bounces = rig.deliverer.bounce_texts();
    assert_eq!(bounces.len(), 1);
    assert!(
        bounces[0].contains("<never@a.example>") && !bounces[0].contains("ok@a.example"),
        "{}",
        bounces[0]
    );
    assert!(
        bounces[0].contains("\r\nTo: <ann@example.org>\r\n") && bounces[0].contains("\r\nSubject: hi\r\n")
    );
}

#[tokio::test(start_paused = true)]
async fn a_deferred_message_is_tried_again_and_delivered() {
    let rig = Rig::new();
    rig.submit(1, "ann@example.org", &["second@a.example", "ok@a.example"]).await;
    rig.settled().await;
    assert_eq!(rig.recipients(), ["<second@a.example>", "<ok@a.example>", "<second@a.example>"]);
    assert_eq!(rig.minutes(), [0, 5]);
    assert_eq!(rig.deliverer.bounces.lock().unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_five_days_the_sender_is_told() {
    let rig = Rig::with(|settings| settings.delay_warning = None);
    rig.submit(1, "ann@example.org", &["later@a.example"]).await;
    rig.settled().await;
    let minutes = rig.minutes();
    assert!((30..=38).contains(&minutes.len()), "{minutes:?}");
    assert!(
        minutes[..3].iter().zip([0, 5, 15]).all(|(at, plan)| (plan..plan + 3).contains(at)),
        "{minutes:?}"
    );
    assert!((7_200..7_202).contains(minutes.last().unwrap()), "{minutes:?}");
    let bounces = rig.deliverer.bounce_texts();
    assert_eq!(bounces.len(), 1);
    assert!(
        bounces[0].contains("It was tried for 5 days.") && bounces[0].contains("450 later"),
        "{}",
        bounces[0]
    );
}

/// Nobody is told unless an operator wants to be, as with Postfix.
#[tokio::test(start_paused = true)]
async fn a_message_without_a_sender_makes_no_bounce_but_a_notice_where_it_is_wanted() {
    let to = |text: &str| Some(ForwardPath::parse(text).unwrap());
    let notices = [
        (Notices::default(), "", vec![]),
        (Notices { double_bounces: to("postmaster"), ..Notices::default() }, "", vec!["<Postmaster>"]),
        (Notices { double_bounces: to("ops@b.example"), ..Notices::default() }, "", vec!["<ops@b.example>"]),
        // Of copies it gets none, and a sender is told in any case.
        (Notices { bounces: to("postmaster"), ..Notices::default() }, "", vec![]),
        (Notices::default(), "ann@example.org", vec!["<ann@example.org>"]),
        (
            Notices { bounces: to("ops@b.example"), delays: to("late@b.example"), ..Notices::default() },
            "ann@example.org",
            vec!["<ann@example.org>", "<ops@b.example>"],
        ),
    ];
    for (notices, sender, expected) in notices {
        let rig = Rig::with(|settings| settings.notices = notices.clone());
        rig.submit(1, sender, &["never@a.example"]).await;
        rig.settled().await;
        let told: Vec<_> =
            rig.deliverer.bounces.lock().unwrap().iter().map(|(_, b)| b.forward_path.to_string()).collect();
        assert_eq!(told, expected, "{notices:?} {sender}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_goes_on_where_it_stopped() {
    let rig = Rig::new();
    rig.submit(1, "ann@example.org", &["later@a.example", "ok@a.example"]).await;
    rig.wait(18 * MINUTE).await;
    assert_eq!(rig.minutes().len(), 3, "{:?}", rig.minutes());
    let due = rig.entries().await[0].recipients[0].next_attempt.unwrap();
    let before = names(rig.folder.path());
    // The clock of the settings starts anew with each rig: this restart takes the clock back to the start.
    let rig = rig.restart().await;
    assert_eq!(names(rig.folder.path()), before, "nothing changes by being read");
    let wait = u64::try_from(due.unix()).unwrap() - START;
    rig.wait(Duration::from_secs(wait - 60)).await;
    assert_eq!(rig.recipients(), [""; 0]);
    rig.wait(2 * MINUTE).await;
    assert_eq!(rig.recipients(), ["<later@a.example>"]);
    assert_eq!(rig.deliverer.log.lock().unwrap()[0].number, 4);
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_attempts_but_not_for_ever() {
    let rig = Rig::with(|settings| settings.shutdown_grace = 11 * MINUTE);
    rig.submit(1, "ann@example.org", &["ok@slow.example"]).await;
    rig.wait(MINUTE).await;
    assert_eq!(names(rig.stop().await.path()), [""; 0], "it had the time to end");

    let rig = Rig::new();
    let deliverer = Arc::clone(&rig.deliverer);
    rig.submit(1, "ann@example.org", &["ok@slow.example", "ok@a.example"]).await;
    rig.wait(MINUTE).await;
    let asked = Instant::now();
    let folder = rig.stop().await;
    assert_eq!(asked.elapsed().as_secs(), 10);
    assert_eq!(deliverer.recipients(), ["<ok@a.example>"]);
    assert_eq!(names(folder.path()).len(), 1, "the other one is kept");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_attempt_is_repeated_after_the_restart_and_a_recorded_one_is_not() {
    let rig = Rig::new();
    rig.submit(1, "ann@example.org", &["ok@slow.example", "ok@a.example"]).await;
    rig.wait(MINUTE).await;
    let rig = rig.restart().await;
    rig.wait(HOUR).await;
    assert!(rig.queue.is_empty());
    assert_eq!(rig.recipients(), ["<ok@slow.example>"]);
}

#[tokio::test(start_paused = true)]
async fn a_bounce_that_cannot_be_posted_is_made_again() {
    let rig = Rig::new();
    let refusals =
        [PostError::Never("no".into()), PostError::Later("full".into()), PostError::Later("full".into())];
    rig.deliverer.refuse_bounces.lock().unwrap().extend(refusals);
    rig.submit(1, "ann@example.org", &["never@a.example"]).await;
    rig.wait(4 * MINUTE).await;
    assert_eq!(rig.queue.len(), 1);
    rig.wait(7 * MINUTE).await;
    assert!(rig.queue.is_empty(), "given up at the third time");
    assert_eq!(rig.recipients().len(), 1, "the attempt itself is not repeated");
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_the_deliverer_costs_one_attempt() {
    let rig = Rig::new();
    rig.submit(1, "ann@example.org", &["panic@a.example", "ok@b.example"]).await;
    rig.wait(MINUTE).await;
    let entry = rig.entries().await.remove(0);
    assert_eq!(
        (entry.recipients[0].state, entry.recipients[1].state),
        (RecipientState::Deferred, RecipientState::Delivered)
    );
}

#[tokio::test(start_paused = true)]
async fn damaged_entries_are_set_aside_and_stop_nobody() {
    let rig = Rig::new();
    let folder = rig.stop().await;
    let queue = Queue::open(settings(folder.path())).unwrap();
    for number in 1..=3 {
        let submission = envelope("ann@example.org", &["ok@a.example"]);
        queue.submit(id(number), submission, Cursor::new(CONTENT)).await.unwrap();
    }
    let file = |number| folder.path().join(format!("entries/{}.{START}", id(number)));
    std::fs::write(file(1), "rubbish").unwrap();
    let mut bytes = std::fs::read(file(2)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file(2), bytes).unwrap();
    drop(queue);
    let queue = Queue::open(settings(folder.path())).unwrap();
    let rig = Rig::start(folder, queue, Arc::default());
    rig.wait(MINUTE).await;
    rig.settled().await;
    assert_eq!(rig.recipients(), ["<ok@a.example>"]);
    let damaged = rig.queue.damaged().await.unwrap();
    let damaged: Vec<_> = damaged.iter().map(|damaged| damaged.name.clone()).collect();
    assert_eq!(
        damaged.into_iter().collect::<BTreeSet<_>>(),
        [1, 2].map(|n| format!("{}.{START}", id(n))).into()
    );
}

#[tokio::test(start_paused = true)]
async fn on_a_disk_that_takes_no_records_nothing_is_delivered_twice() {
    let folder = tempdir().unwrap();
    let disk = TestDisk::new(folder.path());
    let queue = Queue::open_on(settings(folder.path()), disk.clone()).unwrap();
    for (number, recipients) in [(1, vec!["ok@a.example", "later@b.example"]), (2, vec!["ok@c.example"])] {
        let envelope = envelope("ann@example.org", &recipients);
        queue.submit(id(number), envelope, Cursor::new(CONTENT)).await.unwrap();
    }
    disk.fail(Some(Failing::Writes(usize::MAX, std::io::ErrorKind::Other)));
    let rig = Rig::start(folder, queue, Arc::default());
    rig.wait(2 * HOUR).await;
    let tried = |rig: &Rig, name: &str| rig.recipients().iter().filter(|to| to.contains(name)).count();
    assert_eq!((tried(&rig, "ok@a.example"), tried(&rig, "ok@c.example")), (1, 1), "{:?}", rig.recipients());
    let later = tried(&rig, "later@b.example");
    assert!((3..20).contains(&later), "it waits for its destination, not for the disk: {later}");
    assert_eq!(rig.queue.len(), 1, "what is wholly delivered is gone, for deleting needs no room");
    disk.fail(None);
    rig.wait(HOUR).await;
    let entry = rig.entries().await.remove(0);
    assert_eq!(entry.recipients[0].state, RecipientState::Delivered);
    assert!(usize::try_from(entry.recipients[1].attempts).unwrap() > later, "all attempts are recorded then");
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_no_records_keeps_no_mail_from_being_delivered_and_gone() {
    let folder = tempdir().unwrap();
    let disk = TestDisk::new(folder.path());
    let queue = Queue::open_on(settings(folder.path()), disk.clone()).unwrap();
    let envelope = envelope("ann@example.org", &["ok@a.example", "second@b.example"]);
    queue.submit(id(1), envelope, Cursor::new(CONTENT)).await.unwrap();
    disk.fail(Some(Failing::Writes(usize::MAX, std::io::ErrorKind::StorageFull)));
    let rig = Rig::start(folder, queue, Arc::default());
    rig.wait(2 * HOUR).await;
    assert_eq!(rig.queue.len(), 0, "{:?}", rig.recipients());
    assert_eq!(rig.recipients().iter().filter(|to| to.contains("ok@a")).count(), 1);
}

/// The clock jumps while nobody looks: no mail expires for it and none is held back.
#[tokio::test(start_paused = true)]
async fn a_wrong_clock_at_start_neither_expires_nor_holds_mail() {
    for (name, seconds) in [("a year ahead", START + 365 * 86_400), ("1970", 60)] {
        let rig = Rig::new();
        rig.submit(1, "ann@example.org", &["later@a.example"]).await;
        rig.wait(HOUR).await;
        let folder = rig.stop().await;
        let began = Instant::now();
        let mut settings = settings(folder.path());
        settings.delay_warning = None;
        settings.wall_clock =
            Arc::new(move || std::time::UNIX_EPOCH + Duration::from_secs(seconds) + began.elapsed());
        let rig = Rig::start(folder, Queue::open(settings).unwrap(), Arc::default());
        rig.wait(5 * HOUR).await;
        assert!((1..=12).contains(&rig.recipients().len()), "{name}: {:?}", rig.minutes());
        assert_eq!(rig.deliverer.bounces.lock().unwrap().len(), 0, "{name}");
        rig.wait(6 * DAY).await;
        assert_eq!(rig.deliverer.bounces.lock().unwrap().len(), 1, "{name}: in the end it does expire");
    }
}

#[tokio::test]
async fn ten_thousand_entries_are_known_at_once_without_being_opened() {
    let folder = tempdir().unwrap();
    let queue = Queue::open(settings(folder.path())).unwrap();
    for number in 0..10_000 {
        // Links to nowhere in place of files: whoever opens one finds the entry gone, and forgets it.
        let name = folder.path().join(format!("entries/{}.{}", id(number), START + 86_400));
        std::os::unix::fs::symlink("nowhere", name).unwrap();
    }
    let started = std::time::Instant::now();
    let rig = Rig::start(folder, queue, Arc::default());
    while rig.queue.len() < 10_000 {
        tokio::task::yield_now().await;
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(rig.queue.timetable().next_due().map(|due| due / 3_600_000), Some(4), "no wait is longer");
    assert_eq!(rig.queue.len(), 10_000);
}

/// Every crash in the life of a message: what was acknowledged is delivered or bounced by the process that
/// died or by the next one, and only what was not on record is repeated.
#[tokio::test(start_paused = true)]
async fn no_crash_in_the_life_of_a_message_loses_a_recipient() {
    let folder = tempdir().unwrap();
    let disk = TestDisk::new(folder.path());
    let queue = Queue::open_on(settings(folder.path()), disk.clone()).unwrap();
    disk.take_crashes();
    let recipients = ["ok@a.example", "never@a.example", "second@b.example", "second@a.example"];
    queue.submit(id(1), envelope("ann@example.org", &recipients), Cursor::new(CONTENT)).await.unwrap();
    let acknowledged = disk.crash_count();
    let deliverer = FakeDeliverer::on(&disk);
    let rig = Rig::start(folder, queue, Arc::clone(&deliverer));
    rig.settled().await;
    let crashes = disk.take_crashes();
    assert!(crashes.len() >= acknowledged + 10, "{} points", crashes.len());
    let mut repeated = 0;
    for (point, survivors) in crashes.iter().enumerate().skip(acknowledged - 1) {
        for (kind, files) in survivors.iter().enumerate() {
            repeated +=
                finish_after_crash(&deliverer, point, files, &format!("point {point}, kind {kind}")).await;
        }
    }
    // Only between a reply and the sync of its record is it sent again: around two points, three kinds each.
    assert!((1..=9).contains(&repeated), "{repeated}");
}

/// Lets a new process finish what a crash left; returns how many deliveries were made twice.
async fn finish_after_crash(first: &FakeDeliverer, point: usize, files: &Files, name: &str) -> usize {
    let folder = tempdir().unwrap();
    write_files(folder.path(), files);
    let queue = Queue::open(settings(folder.path())).unwrap();
    let rig = Rig::start(folder, queue, Arc::default());
    rig.wait(DAY).await;
    assert_eq!(rig.files(), [""; 0], "{name}");
    let earlier: Vec<String> = {
        let log = first.log.lock().unwrap();
        log.iter()
            .filter(|delivery| delivery.crashes <= point)
            .flat_map(|delivery| delivery.recipients.clone())
            .collect()
    };
    let later = rig.recipients();
    for recipient in ["<ok@a.example>", "<never@a.example>", "<second@b.example>", "<second@a.example>"] {
        assert!(earlier.iter().chain(&later).any(|tried| tried == recipient), "{name}: {recipient} is lost");
    }
    let bounced_before = first.bounces.lock().unwrap().iter().any(|(crashes, _)| *crashes <= point);
    let bounced_after = !rig.deliverer.bounces.lock().unwrap().is_empty();
    assert!(bounced_before || bounced_after, "{name}: the failure is not reported");
    let repeated =
        later.iter().filter(|recipient| recipient.contains("ok@") && earlier.contains(recipient)).count();
    drop(rig.stop().await);
    repeated
}

#[tokio::test(start_paused = true)]
async fn a_new_message_is_sent_from_memory_and_one_that_an_operator_had_in_hand_from_its_file() {
    for in_hand in [false, true] {
        let folder = tempdir().unwrap();
        let queue = Queue::open(settings(folder.path())).unwrap();
        let envelope = envelope("ann@example.org", &["ok@a.example"]);
        queue.submit(id(1), envelope, Cursor::new(CONTENT)).await.unwrap();
        std::fs::write(folder.path().join(&names(folder.path())[0]), "no entry").unwrap();
        if in_hand {
            assert!(queue.order(id(1), Order::Hold).await.is_err());
        }
        let rig = Rig::start(folder, queue, Arc::default());
        rig.settled().await;
        let sent: &[&str] = if in_hand { &[] } else { &["<ok@a.example>"] };
        assert_eq!(rig.recipients(), sent);
        assert_eq!(rig.files().len(), usize::from(in_hand), "set aside: {:?}", rig.files());
    }
}

/// A copy in memory that missed an attempt would send the message again.
#[tokio::test(start_paused = true)]
async fn what_a_look_at_the_folder_found_before_its_commit_ended_is_read_from_its_file() {
    for found in [false, true] {
        let folder = tempdir().unwrap();
        let queue = Queue::open(settings(folder.path())).unwrap();
        let mut submission = queue.begin().unwrap();
        submission.write(CONTENT).unwrap();
        let staged = submission
            .stage(id(1), &envelope("ann@example.org", &["ok@a.example"]), &Beginning::default())
            .unwrap();
        if found {
            assert!(queue.timetable().add(Name { id: id(1), next: START }, 0));
        }
        staged.commit().unwrap();
        assert_eq!(queue.fresh().take(id(1)).is_none(), found);
        assert_eq!(queue.len(), 1);
    }
}
