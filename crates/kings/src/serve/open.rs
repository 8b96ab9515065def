//! Opening what is on disk: mailboxes, queue, records.

use anyhow::Context;
use kings_queue::Queue;
use kings_records::Records;
use kings_store::Store;
use tracing::error;

use crate::config::Settings;

pub(crate) fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let store = Store::open(kings_store::Settings {
        mail_dir: settings.mail_dir.clone(),
        index_dir: Some(settings.data_dir.join("index")),
        layout: settings.mail_layout.clone(),
        mailboxes: settings.mailboxes.naming.layout,
        trust_inotify: true,
        free_space_reserve: settings.limits.free_space_reserve,
    });
    store.with_context(|| format!("cannot open the mailboxes in {}", settings.mail_dir.display()))
}

/// Records that cannot be kept cost an operator the trace, and nobody their mail.
pub(crate) fn open_records(settings: &Settings) -> Records {
    Records::open(settings.records.clone()).unwrap_or_else(|error| {
        error!(%error, file = %settings.records.file.display(), "nothing is put on record");
        Records::none()
    })
}

pub(crate) fn open_queue(settings: &Settings) -> anyhow::Result<Queue> {
    let root = settings.data_dir.join("queue");
    let mut queue = kings_queue::Settings::new(&root, settings.hostname.clone());
    queue.free_space_reserve = settings.limits.free_space_reserve;
    queue.limits = settings.queue.limits;
    queue.delay_warning = settings.queue.delay_warning;
    queue.lifetimes = settings.queue.lifetimes;
    queue.notices = settings.queue.notices.clone();
    Queue::open(queue).with_context(|| format!("cannot open the queue in {}", root.display()))
}
