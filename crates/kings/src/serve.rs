//! The composition root: puts everything together, and takes it apart again at the end.

mod answers;
mod background;
mod condition;
mod endpoints;
mod memory;
mod neighbours;
mod open;
mod services;
mod tester;
mod watchdog;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use kings_acme::{Acme, Publish};
use kings_directory::Directory;
use kings_mta::{Local, Reporter, Traffic};
use kings_net::{Place, Resolver, Shutdown, TaskTracker};
use kings_tls::Certificates;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use self::answers::{Answers, Mailroom};
use self::background::{CurrentRelay, purge_expunged, refresh_policies, send_reports};
use self::condition::Life;
use self::endpoints::{Endpoints, listen};
use self::neighbours::Neighbours;
pub(crate) use self::open::open_store;
use self::services::{Kept, Services};
use self::tester::Tester;
use crate::command::{Failure, print};
use crate::config::{Settings, Threads};
use crate::local::QueueRights;
use crate::prepare::{Prepared, Server};
use crate::{control, dkim, local, sandbox};

pub(crate) use self::open::{open_queue, open_records};

/// How long sessions may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(8);
/// Where in `data_dir` the account and the certificates of an authority are.
pub(crate) const ACME_FOLDER: &str = "acme";
/// `kings serve`: everything that can be wrong before the first connection is 78.
pub(crate) fn run(config: &Path) -> Result<(), Failure> {
    let settings = Settings::load(config)?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let hangups = hangups()?;
    let prepared = Prepared::new(settings).map_err(|error| Failure::config(format!("{error:#}")))?;
    // Everything that lies elsewhere is open by now, and no thread there yet.
    sandbox::enter(&prepared.settings);
    runtime(prepared.settings.limits.threads)?.block_on(async {
        let running = Running::start(prepared).map_err(|error| Failure::config(format!("{error:#}")))?;
        running.announce();
        let ended = Box::pin(running.until_signalled(config, hangups)).await;
        ended.map_err(|error| Failure::cannot_tell(format!("{error:#}")))
    })
}

/// SIGHUP from now on. One that comes while we still wait for our ports must not end us: it is a reload that is heard once
/// we run.
pub(crate) fn hangups() -> Result<Signal, Failure> {
    let early = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let heard = early.and_then(|early| {
        let _inside = early.enter();
        signal(SignalKind::hangup())
    });
    heard.map_err(|error| Failure::cannot_tell(format!("cannot hear signals: {error}")))
}

pub(crate) fn runtime(threads: Threads) -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = threads.workers {
        builder.worker_threads(workers);
    }
    let built = builder.max_blocking_threads(threads.blocking).enable_all().build();
    built.map_err(|error| Failure::cannot_tell(format!("cannot start the runtime: {error}")))
}

/// Everything that runs.
pub(crate) struct Running {
    /// Whoever asks for a reload hears how it went.
    reloads: mpsc::Receiver<oneshot::Sender<Result<(), String>>>,
    settings: Settings,
    certificates: Certificates,
    kept: Kept,
    endpoints: Endpoints,
    relay: Arc<CurrentRelay>,
    reporter: Arc<ArcSwap<Reporter<Resolver>>>,
    local: Option<Arc<ArcSwap<Local>>>,
    own: Arc<ArcSwap<Local>>,
    directory: Arc<ArcSwap<Directory>>,
    queue_rights: Arc<ArcSwap<QueueRights>>,
    acme: Acme,
    life: Life,
    tasks: TaskTracker,
    shutdown: Shutdown,
    _prepared: std::fs::File,
}

impl Running {
    /// Starts all that runs; must be called inside the runtime. When it returns every listener accepts.
    pub(crate) fn start(prepared: Prepared) -> anyhow::Result<Self> {
        let Prepared { settings, sockets, certificates, _lock: lock } = prepared;
        let store = open_store(&settings)?;
        let queue = open_queue(&settings)?;
        let memory = memory::budget(settings.limits.memory);
        let records = open_records(&settings);
        let listening: Vec<_> = sockets.iter().map(|socket| (socket.server, socket.place.clone())).collect();
        let (traffic, publish) = (Traffic::default(), Publish::default());
        let kept = Kept { store, queue, records, traffic, memory, publish, listening };
        let signing = dkim::load(&settings)?.whatever_is_wrong();
        let services = Services::new(&settings, signing, &certificates, &kept)?;
        let endpoints = Endpoints::new(&settings, &certificates.server(), &services, &kept.memory);
        let relay = Arc::new(CurrentRelay(ArcSwap::from_pointee(services.relay)));
        let reporter = Arc::new(ArcSwap::from_pointee(services.reporter));
        let local = services.local.map(|local| Arc::new(ArcSwap::from_pointee(local)));
        let own = Arc::new(ArcSwap::from_pointee(services.own));
        let directory = Arc::new(ArcSwap::from_pointee(services.directory));
        let control = control::listen(&settings.data_dir).context("cannot open the control socket")?;

        let (tasks, shutdown) = (TaskTracker::new(), Shutdown::new());
        listen(sockets, &endpoints, &tasks, &shutdown)?;
        let (runner, stop, deliver) = (kept.queue.clone(), shutdown.clone(), relay.clone());
        tasks.spawn(async move { runner.run(deliver, stop).await });
        tokio::spawn(refresh_policies(relay.clone()));
        tokio::spawn(send_reports(reporter.clone()));
        tokio::spawn(purge_expunged(kept.store.clone(), directory.clone()));

        take_local_mail(&settings, local.as_ref(), &tasks, &shutdown)?;

        let queue_rights = settings.local.as_ref().map(|local| local.queue.clone()).unwrap_or_default();
        let queue_rights = Arc::new(ArcSwap::from_pointee(queue_rights));
        let (ask_to_reload, reloads) = mpsc::channel(1);
        let acme = Acme::new(&settings.data_dir.join(ACME_FOLDER), certificates.clone());
        acme.configure(services.acme).context("cannot keep certificates")?;
        tokio::spawn(acme.clone().run());
        let running = Self {
            reloads,
            settings,
            certificates,
            kept,
            endpoints,
            relay,
            reporter,
            local,
            own,
            directory,
            queue_rights,
            acme,
            life: Life::begin(),
            tasks,
            shutdown,
            _prepared: lock,
        };
        let answers = Answers {
            reloads: ask_to_reload,
            records: running.kept.records.clone(),
            queue: running.kept.queue.clone(),
            reporter: running.reporter.clone(),
            mailroom: Mailroom {
                own: running.own.clone(),
                store: running.kept.store.clone(),
                directory: running.directory.clone(),
                shutdown: running.shutdown.clone(),
            },
            certificates: running.certificates.clone(),
            acme: running.acme.clone(),
            status: running.status(),
            life: running.life.clone(),
            tester: Tester {
                hostname: running.settings.hostname.clone(),
                directory: running.directory.clone(),
                listening: running.kept.listening.clone(),
                alone: Arc::default(),
            },
        };
        let answer = move |request, caller| answers.clone().answer(request, caller);
        tokio::spawn(control::serve(control, None, answer));
        running.hear_neighbours()?;
        Ok(running)
    }

    /// The machine's own users ask about the queue where they hand in mail.
    fn hear_neighbours(&self) -> anyhow::Result<()> {
        let Some(local) = &self.settings.local else { return Ok(()) };
        let (queue, records) = (self.kept.queue.clone(), self.kept.records.clone());
        Neighbours { queue, records, rights: self.queue_rights.clone() }.serve(&local.folder)
    }

    /// Tells systemd, the log, and whoever waits at standard output.
    pub(crate) fn announce(&self) {
        for (server, place) in &self.kept.listening {
            info!(server = server.name(), address = %place, "listening");
        }
        info!("{} ready", self.settings.hostname);
        print(&format!("kings {} ready\n", env!("CARGO_PKG_VERSION")));
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            warn!(%error, "cannot notify the service manager");
        }
        tokio::spawn(watchdog::feed());
    }

    /// SIGHUP reloads; SIGTERM and SIGINT drain, and the server ends.
    async fn until_signalled(mut self, config: &Path, mut hangups: Signal) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = hangups.recv() => drop(self.reload(config)),
                Some(done) = self.reloads.recv() => {
                    // Whoever asked may be gone.
                    let _ = done.send(self.reload(config));
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        self.stop().await;
        Ok(())
    }

    /// A config that is wrong changes nothing.
    fn reload(&mut self, config: &Path) -> Result<(), String> {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Reloading]);
        let read = self.try_reload(config).map_err(|error| format!("{error:#}"));
        self.life.refused.store(read.as_ref().err().cloned().map(Arc::new));
        match &read {
            Ok(()) => info!("config read again"),
            Err(error) => error!(error, "the config stays as it was"),
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        read
    }

    fn try_reload(&mut self, config: &Path) -> anyhow::Result<()> {
        let mut settings = Settings::load(config)?;
        let signing = dkim::load(&settings)?.only_if_right()?;
        let services = Services::new(&settings, signing, &self.certificates, &self.kept)?;
        self.certificates.reload(&settings.certificate)?;
        self.keep_what_needs_a_restart(&mut settings);
        let (tls, memory) = (self.certificates.server(), &self.kept.memory);
        self.endpoints.replace(&Endpoints::new(&settings, &tls, &services, memory));
        self.relay.0.store(Arc::new(services.relay));
        self.reporter.store(Arc::new(services.reporter));
        if let (Some(current), Some(local)) = (&self.local, services.local) {
            current.store(Arc::new(local));
        }
        self.own.store(Arc::new(services.own));
        self.directory.store(Arc::new(services.directory));
        self.acme.configure(services.acme).context("cannot keep certificates")?;
        if let Some(local) = &settings.local {
            self.queue_rights.store(Arc::new(local.queue.clone()));
        }
        self.settings = settings;
        Ok(())
    }

    fn keep_what_needs_a_restart(&self, new: &mut Settings) {
        let old = &self.settings;
        let keep = |name: &str, differs: bool| {
            if differs {
                warn!("{name} has changed in the config and acts after a restart");
            }
        };
        keep("[listen]", old.listen.with_networks_of(&new.listen) != new.listen);
        let folder = |settings: &Settings| settings.local.as_ref().map(|local| local.folder.clone());
        keep("[local] folder", folder(new) != folder(old));
        keep("data_dir", new.data_dir != old.data_dir);
        keep("mail_dir", new.mail_dir != old.mail_dir);
        keep("[queue]", new.queue != old.queue);
        keep("[limits] memory", new.limits.memory != old.limits.memory);
        keep("user", new.user != old.user);
        keep("[security] sandbox", new.security.sandbox != old.security.sandbox);
        keep("[mailboxes] layout, separator and prefix", new.mailboxes.naming != old.mailboxes.naming);
        new.data_dir.clone_from(&old.data_dir);
        new.mail_dir.clone_from(&old.mail_dir);
    }

    /// Ends all sessions and the queue. What was acknowledged is on disk, so the grace is a courtesy.
    pub(crate) async fn stop(self) {
        info!("stopping");
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        self.shutdown.cancel();
        self.tasks.close();
        if timeout(GRACE, self.tasks.wait()).await.is_err() {
            warn!(sessions = self.tasks.len(), "some sessions did not end in time and are cut off");
        }
        let records = self.kept.records.clone();
        let _ = tokio::task::spawn_blocking(move || records.flush()).await;
        let _ = std::fs::remove_file(control::path(&self.settings.data_dir));
        for (_, place) in &self.kept.listening {
            if let Place::Unix(path) = place {
                let _ = std::fs::remove_file(path);
            }
        }
        if let Some(local) = &self.settings.local {
            let _ = std::fs::remove_file(local::socket(&local.folder));
            let _ = std::fs::remove_file(local.folder.join(local::QUEUE_SOCKET));
        }
        info!("stopped");
    }

    /// The address of a server.
    pub(crate) fn address(&self, server: Server) -> Option<std::net::SocketAddr> {
        self.kept.listening.iter().find_map(|(known, place)| match place {
            Place::Tcp(address) if *known == server => Some(*address),
            Place::Tcp(_) | Place::Unix(_) => None,
        })
    }

    fn status(&self) -> serde_json::Value {
        let listener = |(server, address): &(Server, Place)| json!({ "name": server.name(), "address": address.to_string(), "tls": server.is_tls() });
        let listeners: Vec<_> = self.kept.listening.iter().map(listener).collect();
        let version = env!("CARGO_PKG_VERSION");
        json!({ "schema": 1, "version": version, "state": "running", "pid": std::process::id(), "listeners": listeners })
    }
}

/// Opens the socket for the machine's own users, and takes what they left meanwhile.
fn take_local_mail(
    settings: &Settings,
    current: Option<&Arc<ArcSwap<Local>>>,
    tasks: &TaskTracker,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let (Some(local), Some(current)) = (&settings.local, current) else { return Ok(()) };
    let listener = local::listen(&local.folder).context("cannot open the socket for local mail")?;
    tasks.spawn(local::pick_up(local.folder.clone(), current.clone(), shutdown.clone()));
    tasks.spawn(local::serve(listener, current.clone(), tasks.clone(), shutdown.clone()));
    Ok(())
}
