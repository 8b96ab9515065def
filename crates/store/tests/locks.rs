//! Whom the log says to have broken a lock: another program where one did, and nobody where a mailbox has gone or moved.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Here, name};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Keeps what is warned of.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl Warnings {
    fn listen() -> Self {
        let warnings = Self::default();
        tracing::subscriber::set_global_default(warnings.clone()).unwrap();
        warnings
    }

    fn say_broken(&self) -> bool {
        self.0.lock().unwrap().contains("another program broke our lock")
    }
}

impl Visit for &Warnings {
    fn record_debug(&mut self, _: &Field, value: &dyn Debug) {
        writeln!(self.0.lock().unwrap(), "{value:?}").unwrap();
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut &*self);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Another program brings a message.
fn bring(folder: &Path, number: u32) {
    // The folder may be gone.
    let _ = std::fs::write(folder.join(format!("new/17000{number:05}.M1P1.other")), "Subject: x\n\n");
}

#[test]
fn whoever_breaks_a_lock_is_told_of_and_a_mailbox_that_goes_breaks_none() {
    let warnings = Warnings::listen();
    let here = Here::new();
    let account = here.account();
    for round in 0..30 {
        account.create(&name("Work")).unwrap();
        let work = account.open(&name("Work")).unwrap();
        let reader = std::thread::spawn(move || while work.refresh().is_ok() {});
        for number in 0..20 {
            bring(&here.file(".Work"), round * 100 + number);
        }
        account.rename(&name("Work"), &name("Play")).unwrap();
        for number in 20..40 {
            bring(&here.file(".Play"), round * 100 + number);
        }
        account.delete(&name("Play")).unwrap();
        reader.join().unwrap();
    }
    assert!(!warnings.say_broken(), "{}", warnings.0.lock().unwrap());

    // Another program that takes locks away.
    account.create(&name("Work")).unwrap();
    let work = account.open(&name("Work")).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let (folder, over) = (here.file(".Work"), Arc::clone(&is_over));
    let robber = std::thread::spawn(move || {
        while !over.load(Relaxed) {
            let _ = std::fs::remove_file(folder.join("dovecot-uidlist.lock"));
        }
    });
    let began = Instant::now();
    for number in 0.. {
        bring(&here.file(".Work"), 10_000 + number);
        let _ = work.refresh();
        if warnings.say_broken() {
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "a broken lock is told of");
    }
    is_over.store(true, Relaxed);
    robber.join().unwrap();
}
