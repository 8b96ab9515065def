//! A queue of a million: how long the start and the first look take, what an entry costs, and what one message and one
//! attempt cost beside it.
//!
//! `cargo run --release -p kings-queue --example scale -- FOLDER 1000000` writes that many entries that are due tomorrow
//! into an empty folder, and prints figures; with 10 it shows what the same costs in a small queue. The figures stand in
//! `docs/performance.md`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program that only measures")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::{
    Attempt, Deliver, Destination, Finished, Lane, Notification, Order, Outcome, PostError, Queue, Report,
    Settings,
};
use tokio_util::sync::CancellationToken;

/// Takes everything, but for what is to be tried later.
#[derive(Default)]
struct Sink(AtomicUsize);

impl Sink {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// How often each thing is done that is timed.
const ROUNDS: u32 = 500;
/// How often it is looked whether it is done.
const SOON: Duration = Duration::from_micros(200);

impl Deliver for Sink {
    fn lane(&self, _: &ReversePath, _: &MailParameters, recipient: &ForwardPath) -> Lane {
        Lane::Destination(Destination::from(recipient))
    }

    async fn deliver(&self, attempt: Attempt) -> Finished {
        self.0.fetch_add(1, Ordering::SeqCst);
        let outcome = |recipient: &Recipient| match recipient.path.to_string().as_str() {
            "<later@elsewhere.example>" => Outcome::Deferred(Report::ours(Status(4, 3, 0), "later")),
            _ => Outcome::Relayed(Report::ours(Status::DONE, "taken")),
        };
        attempt.recipients.iter().map(outcome).collect::<Vec<_>>().into()
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
        resident().saturating_sub(before) / count
    );
    one_after_the_other(&queue, &sink).await;
    put_off(&queue, &sink).await;
    let (began, burst) = (Instant::now(), 1_000);
    let tasks: Vec<_> = (0..burst)
        .map(|number| {
            let queue = queue.clone();
            tokio::spawn(async move { submit(&queue, (1 << 53) + number, "joe").await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    println!("{burst} taken together: {:?} each", began.elapsed() / u32::try_from(burst).unwrap());
    stop.cancel();
    task.await.unwrap();
}

/// Messages that come alone and are delivered at once.
async fn one_after_the_other(queue: &Queue, sink: &Sink) {
    let (began, cpu, before) = (Instant::now(), processor_time(), sink.count());
    for number in 0..ROUNDS {
        submit(queue, (1 << 54) + u64::from(number), "joe").await;
        while sink.count() <= before + number as usize {
            tokio::time::sleep(SOON).await;
        }
    }
    let cpu = processor_time().saturating_sub(cpu) / ROUNDS;
    println!("one message in and out: {:?}, {cpu:?} of processor time", began.elapsed() / ROUNDS);
}

/// One entry that is tried over and over, and put off each time: a record, another name, and a sync for each.
async fn put_off(queue: &Queue, sink: &Sink) {
    let id = submit(queue, 1 << 55, "later").await;
    let attempts =
        || async { queue.details(id).await.map_or(0, |details| details.entry.recipients[0].attempts) };
    while attempts().await == 0 {
        tokio::time::sleep(SOON).await;
    }
    let (began, cpu, before) = (Instant::now(), processor_time(), sink.count());
    for number in 0..ROUNDS as usize {
        while sink.count() <= before + number {
            // An order that comes while the last attempt is being written down finds the entry taken and does nothing.
            queue.order(id, Order::Retry).await.unwrap();
            tokio::time::sleep(SOON).await;
        }
    }
    let cpu = processor_time().saturating_sub(cpu) / ROUNDS;
    println!("one attempt that is put off: {:?}, {cpu:?} of processor time", began.elapsed() / ROUNDS);
    queue.order(id, Order::Hold).await.ok();
}

async fn submit(queue: &Queue, number: u64, to: &str) -> TraceId {
    let sender = ReversePath::parse("ann@example.org").unwrap();
    let mut envelope = Envelope::new(sender, MailParameters::default());
    envelope.recipients.push(ForwardPath::parse(&format!("{to}@elsewhere.example")).unwrap().into());
    let id = TraceId::new(number, 0);
    queue.submit(id, envelope, &b"Subject: hi\r\n\r\nhello\r\n"[..]).await.unwrap();
    id
}

/// Writes copies of one entry under other ids, without syncs: a million of these would take hours.
async fn fill(root: &Path, count: u64, queue: Queue) {
    submit(&queue, 1, "joe").await;
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
        let head = head.replacen(&old, &id.to_string(), 1);
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

/// Processor time of this process, in steps of 10 ms: fields 14 and 15 of `/proc/self/stat`.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
