//! What the tests of spool and runner share: a disk that fails and crashes on demand, and a deliverer that
//! does as it is told.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use kings_mail::domain::Domain;
use kings_mail::dsn::Status;
use kings_mail::envelope::{Envelope, MailParameters};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use tokio::time::Instant;

use crate::deliver::{
    Attempt, Contact, Deliver, Destination, Finished, Lane, Notification, Outcome, PostError, Report,
};
use crate::disk::{Disk, SystemDisk};
use crate::queue::Settings;

/// Files by their path below the root.
pub(crate) type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The system's disk, with a memory of what a crash after each change would leave.
pub(crate) struct TestDisk {
    root: PathBuf,
    state: Mutex<DiskState>,
}

#[derive(Default)]
struct DiskState {
    /// Content at the last sync, by inode.
    synced: HashMap<u64, Vec<u8>>,
    /// Names at the last sync of their directory, with their inode.
    names: BTreeMap<PathBuf, u64>,
    crashes: Vec<Vec<Files>>,
    operations: usize,
    failing: Option<Failing>,
}

/// Which changes fail.
#[derive(Clone, Copy)]
pub(crate) enum Failing {
    /// The one of this number, counted from 0, and how.
    Nth(usize, io::ErrorKind),
    /// This many writes to come.
    Writes(usize, io::ErrorKind),
}

impl TestDisk {
    pub(crate) fn new(root: &Path) -> Arc<Self> {
        Arc::new(Self { root: root.to_owned(), state: Mutex::default() })
    }

    /// What a crash after each change so far could leave, newest last: after the end of the process, and
    /// after a power cut that keeps nothing that was not synced, or half of it.
    pub(crate) fn take_crashes(&self) -> Vec<Vec<Files>> {
        std::mem::take(&mut self.state.lock().unwrap().crashes)
    }

    pub(crate) fn crash_count(&self) -> usize {
        self.state.lock().unwrap().crashes.len()
    }

    /// Lets changes fail from now on; says how many there were before.
    pub(crate) fn fail(&self, failing: Option<Failing>) -> usize {
        let mut state = self.state.lock().unwrap();
        state.failing = failing;
        std::mem::take(&mut state.operations)
    }

    fn change<T>(&self, is_write: bool, work: impl FnOnce(&mut DiskState) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        let number = state.operations;
        state.operations += 1;
        match state.failing {
            Some(Failing::Nth(nth, kind)) if nth == number => return Err(kind.into()),
            Some(Failing::Writes(left, kind)) if is_write && left > 0 => {
                state.failing = Some(Failing::Writes(left - 1, kind));
                return Err(kind.into());
            }
            _ => {}
        }
        let result = work(&mut state)?;
        let crash = self.survivors(&state);
        state.crashes.push(crash);
        Ok(result)
    }

    fn survivors(&self, state: &DiskState) -> Vec<Files> {
        let now = read_files(&self.root);
        let by_inode: HashMap<u64, &Vec<u8>> =
            now.iter().map(|(path, bytes)| (inode(&self.root.join(path)), bytes)).collect();
        let after_power_cut = |half: bool| {
            let survivor = |inode: &u64| {
                let synced = state.synced.get(inode).cloned().unwrap_or_default();
                match by_inode.get(inode) {
                    Some(bytes) if half && bytes.len() > synced.len() => {
                        bytes[..usize::midpoint(synced.len(), bytes.len())].to_vec()
                    }
                    _ => synced,
                }
            };
            state.names.iter().map(|(path, inode)| (path.clone(), survivor(inode))).collect()
        };
        vec![after_power_cut(false), after_power_cut(true), now]
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap().to_owned()
    }
}

impl Disk for TestDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        self.change(false, |state| {
            let file = SystemDisk.create(path)?;
            state.synced.remove(&file.metadata()?.ino());
            Ok(file)
        })
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(true, |_| SystemDisk.write_at(file, bytes, offset))
    }

    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        self.change(false, |_| SystemDisk.set_len(file, length))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        self.change(false, |state| {
            let inode = file.metadata()?.ino();
            // Through /proc, since the file is open for writing alone.
            let bytes = fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(file)))?;
            state.synced.insert(inode, bytes);
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(false, |_| SystemDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(false, |_| SystemDisk.remove(path))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.change(false, |state| {
            if !path.starts_with(&self.root) {
                return Ok(());
            }
            let folder = self.relative(path);
            state.names.retain(|name, _| name.parent() != Some(&folder));
            for file in fs::read_dir(path)?.map(Result::unwrap).filter(|file| file.path().is_file()) {
                state.names.insert(folder.join(file.file_name()), inode(&file.path()));
            }
            Ok(())
        })
    }
}

/// The system's disk without its syncs, for tests that are about numbers and not about crashes.
pub(crate) struct QuickDisk;

impl Disk for QuickDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        SystemDisk.create(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        SystemDisk.write_at(file, bytes, offset)
    }

    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        SystemDisk.set_len(file, length)
    }

    fn sync(&self, _: &File) -> io::Result<()> {
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        SystemDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        SystemDisk.remove(path)
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

/// A quick disk on a machine so busy that whoever renames a file is interrupted right afterwards.
pub(crate) struct Interrupted;

impl Disk for Interrupted {
    fn create(&self, path: &Path) -> io::Result<File> {
        QuickDisk.create(path)
    }

    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        QuickDisk.write_at(file, bytes, offset)
    }

    fn set_len(&self, file: &File, length: u64) -> io::Result<()> {
        QuickDisk.set_len(file, length)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        QuickDisk.sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        QuickDisk.rename(from, to)?;
        std::thread::sleep(std::time::Duration::from_millis(10));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        QuickDisk.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        QuickDisk.sync_directory(path)
    }
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// All files of the folders of a queue.
pub(crate) fn read_files(root: &Path) -> Files {
    let folders = ["entries", "incoming", "damaged"].map(Path::new);
    let mut files = Files::new();
    for folder in folders.into_iter().filter(|folder| root.join(folder).is_dir()) {
        for file in fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap) {
            files.insert(folder.join(file.file_name()), fs::read(file.path()).unwrap());
        }
    }
    files
}

/// Puts back what a crash left.
pub(crate) fn write_files(root: &Path, files: &Files) {
    for (path, bytes) in
        files.iter().filter(|(path, _)| path.starts_with("entries") || path.components().count() > 1)
    {
        fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
        fs::write(root.join(path), bytes).unwrap();
    }
}

/// When the tests begin, in seconds since 1970.
pub(crate) const START: u64 = 1_795_000_000;

/// Settings whose wall clock follows tokio's clock, which tests pause.
pub(crate) fn settings(root: &Path) -> Settings {
    let start = Instant::now();
    Settings {
        wall_clock: Arc::new(move || UNIX_EPOCH + Duration::from_secs(START) + start.elapsed()),
        free_space_reserve: 0,
        ..Settings::new(root, Domain::parse("mx.example.org").unwrap())
    }
}

pub(crate) fn envelope(reverse_path: &str, recipients: &[&str]) -> Envelope {
    let mut envelope = Envelope::new(ReversePath::parse(reverse_path).unwrap(), MailParameters::default());
    envelope.recipients = recipients.iter().map(|text| ForwardPath::parse(text).unwrap().into()).collect();
    envelope
}

pub(crate) fn id(number: u64) -> TraceId {
    TraceId::new(START * 1_000_000 + number, 0)
}

/// A deliverer that goes by the names: local parts say what becomes of a recipient (`ok`, `later`, `never`, and
/// `second` which is deferred once), and domains that begin with `slow` take ten minutes, those with `dead` half
/// a minute to find that nobody answers. All domains below `via.HUB` are behind one host, which is what `HUB` says.
#[derive(Default)]
pub(crate) struct FakeDeliverer {
    pub(crate) log: Mutex<Vec<Delivery>>,
    pub(crate) bounces: Mutex<Vec<(usize, Notification)>>,
    /// Bounces refused so far and to be refused, with the error.
    pub(crate) refuse_bounces: Mutex<Vec<PostError>>,
    pub(crate) disk: Option<Arc<TestDisk>>,
    pub(crate) running: Mutex<Running>,
    /// Every domain has its own way from now on.
    pub(crate) rerouted: AtomicBool,
}

/// How many attempts run.
#[derive(Default)]
pub(crate) struct Running {
    by_lane: BTreeMap<String, usize>,
    /// The most there ever were, in all.
    pub(crate) most: usize,
    /// The most there ever were in one lane.
    pub(crate) most_per_lane: usize,
}

impl Running {
    fn start(&mut self, lane: &str) {
        let here = self.by_lane.entry(lane.to_owned()).or_default();
        *here += 1;
        self.most_per_lane = self.most_per_lane.max(*here);
        self.most = self.most.max(self.by_lane.values().sum());
    }

    fn end(&mut self, lane: &str) {
        *self.by_lane.get_mut(lane).unwrap() -= 1;
    }
}

/// One attempt as the fake saw it.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) at: Instant,
    pub(crate) number: u32,
    pub(crate) recipients: Vec<String>,
    /// Crash points passed before the remote server answered.
    pub(crate) crashes: usize,
}

impl FakeDeliverer {
    pub(crate) fn on(disk: &Arc<TestDisk>) -> Arc<Self> {
        Arc::new(Self { disk: Some(Arc::clone(disk)), ..Self::default() })
    }

    fn crashes(&self) -> usize {
        self.disk.as_ref().map_or(0, |disk| disk.crash_count())
    }

    /// The recipients of all attempts, in order.
    pub(crate) fn recipients(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().flat_map(|delivery| delivery.recipients.clone()).collect()
    }

    pub(crate) fn bounce_texts(&self) -> Vec<String> {
        let bounces = self.bounces.lock().unwrap();
        bounces.iter().map(|(_, bounce)| String::from_utf8(bounce.content.clone()).unwrap()).collect()
    }
}

impl Deliver for FakeDeliverer {
    fn lane(&self, _: &ReversePath, _: &MailParameters, recipient: &ForwardPath) -> Lane {
        let destination = Destination::from(recipient);
        match destination.to_string().split_once(".via.") {
            Some((_, hub)) if !self.rerouted.load(Ordering::SeqCst) => Lane::NextHop(hub.to_owned()),
            _ => Lane::Destination(destination),
        }
    }

    async fn deliver(&self, attempt: Attempt) -> Finished {
        let lane = self.lane(&attempt.reverse_path, &attempt.parameters, &attempt.recipients[0].path);
        let destination = match lane {
            Lane::NextHop(hub) => hub,
            Lane::Destination(destination) => destination.to_string(),
        };
        self.running.lock().unwrap().start(&destination);
        let dead = destination.starts_with("dead");
        if dead {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        if destination.starts_with("slow") {
            tokio::time::sleep(Duration::from_mins(10)).await;
        }
        assert_eq!(attempt.content.read_at(0, 8).await.unwrap(), b"Subject:");
        let outcome = |path: &ForwardPath| {
            let name = path.to_string();
            let report = |status, reply: &str| Report {
                status,
                remote: Some("mx.example".into()),
                reply: reply.into(),
            };
            match name.trim_start_matches('<').split(['@', '.']).next().unwrap() {
                _ if dead => Outcome::Deferred(report(Status(4, 4, 1), "no answer")),
                "later" => Outcome::Deferred(report(Status(4, 2, 0), "450 later")),
                "second" if attempt.number == 1 => {
                    Outcome::Deferred(report(Status(4, 2, 0), "450 greylisted"))
                }
                "never" => Outcome::Failed(report(Status(5, 1, 1), "550 no such user")),
                "panic" => panic!("a fault in the deliverer"),
                "boxed" => Outcome::Delivered(report(Status::DONE, "250 stored")),
                "promised" => Outcome::PassedOn(report(Status::DONE, "250 ok")),
                _ => Outcome::Relayed(report(Status::DONE, "250 ok")),
            }
        };
        let outcomes: Vec<_> = attempt.recipients.iter().map(|recipient| outcome(&recipient.path)).collect();
        self.running.lock().unwrap().end(&destination);
        self.log.lock().unwrap().push(Delivery {
            at: Instant::now(),
            number: attempt.number,
            recipients: attempt.recipients.iter().map(|recipient| recipient.path.to_string()).collect(),
            crashes: self.crashes(),
        });
        let contact = if dead { Contact::Silent } else { Contact::Answered };
        Finished { outcomes, contact }
    }

    async fn notify(&self, notification: Notification) -> Result<(), PostError> {
        if let Some(error) = self.refuse_bounces.lock().unwrap().pop() {
            return Err(error);
        }
        self.bounces.lock().unwrap().push((self.crashes(), notification));
        Ok(())
    }
}
