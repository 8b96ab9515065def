//! A queue of a million: how long the start and the first look take, what an entry costs, and what one message
//! costs beside it.
//!
//! `cargo run -p kings-queue --example scale -- FOLDER 1000000` writes that many entries that are due tomorrow into an
//! empty folder, and prints figures. On 2 virtual cores and ext4, unoptimised and beside other work, a million were
//! looked at in 10 s, at 114 bytes of memory each; the queue was open after 0.1 s. Counted with
//! `strace -f -e trace=fsync,fdatasync`, a message in and out alone costs 2.2 syncs, and one of many that come
//! together 1.2, removal included.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program that only measures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::envelope::{Envelope, MailParameters};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::{Attempt, Deliver, Finished, Notification, Outcome, PostError, Queue, Report, Settings};
use tokio_util::sync::CancellationToken;

/// Takes everything.
#[derive(Default)]
struct Sink(AtomicUsize);

impl Deliver for Sink {
    async fn deliver(&self, attempt: Attempt) -> Finished {
        self.0.fetch_add(1, Ordering::SeqCst);
        vec![Outcome::Relayed(Report::ours(Status::DONE, "taken")); attempt.recipients.len()].into()
    }

    async fn notify(&self, _: Notification) -> Result<(), PostError> {
        Ok(())
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().expect("FOLDER"));
    let count: u64 = arguments.next().and_then(|count| count.parse().ok()).expect("a number of entries");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&root, count));
}

async fn measure(root: &Path, count: u64) {
    let settings = || Settings::new(root, Domain::parse("mx.example.org").unwrap());
    fill(root, count, Queue::open(settings()).unwrap()).await;
    let before = resident();
    let began = Instant::now();
    let queue = Queue::open(settings()).unwrap();
    println!("open: {:?}", began.elapsed());
    let (sink, stop) = (Arc::new(Sink::default()), CancellationToken::new());
    let (runner, deliver, stopped) = (queue.clone(), sink.clone(), stop.clone());
    let task = tokio::spawn(async move { runner.run(deliver, stopped).await });
    while !queue.is_scanned() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (looked, entries) = (began.elapsed(), queue.len());
    println!(
        "first look: {entries} entries in {looked:?}, {} bytes of memory each",
        (resident() - before) / count
    );
    let began = Instant::now();
    let messages = 200;
    for number in 0..messages {
        submit(&queue, (1 << 54) + number).await;
        while sink.0.load(Ordering::SeqCst) <= usize::try_from(number).unwrap() {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }
    println!("one message in and out: {:?}", began.elapsed() / u32::try_from(messages).unwrap());
    let (began, burst) = (Instant::now(), 1_000);
    let tasks: Vec<_> = (0..burst)
        .map(|number| {
            let queue = queue.clone();
            tokio::spawn(async move { submit(&queue, (1 << 53) + number).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!("{burst} taken together: {:?} each", began.elapsed() / u32::try_from(burst).unwrap());
    stop.cancel();
    task.await.unwrap();
}

async fn submit(queue: &Queue, number: u64) {
    let sender = ReversePath::parse("ann@example.org").unwrap();
    let mut envelope = Envelope::new(sender, MailParameters::default());
    envelope.recipients.push(ForwardPath::parse("joe@elsewhere.example").unwrap().into());
    let id = TraceId::new(number, 0);
    queue.submit(id, envelope, &b"Subject: hi\r\n\r\nhello\r\n"[..]).await.unwrap();
}

/// Writes copies of one entry under other ids, without syncs: a million of these would take hours.
async fn fill(root: &Path, count: u64, queue: Queue) {
    submit(&queue, 1).await;
    let entries = root.join("entries");
    let only = fs::read_dir(&entries).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&only).unwrap();
    fs::remove_file(only).unwrap();
    let (head, rest) = text.split_once("envelope-checksum ").unwrap();
    let (_, content) = rest.split_once("\n\n").unwrap();
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 86_400;
    let old = TraceId::new(1, 0).to_string();
    for number in 0..count {
        let id = TraceId::new(1_000_000 + number * 997, 0);
        let head = head.replacen(&old, id.as_str(), 1);
        let sum = crc32fast::hash(head.as_bytes());
        let entry = format!("{head}envelope-checksum {sum:08x}\n\n{content}");
        fs::write(entries.join(format!("{id}.{tomorrow}")), entry).unwrap();
    }
}

/// Bytes of memory that this process holds.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
