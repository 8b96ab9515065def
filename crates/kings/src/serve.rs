//! The composition root: puts everything together, and takes it apart again at the end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use kings_access::{Imap, Pop3};
use kings_directory::{Directory, HostedDomain};
use kings_fetch::Fetch;
use kings_mail::domain::Domain;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_mta::relay::Relay;
use kings_mta::signing::Signing;
use kings_mta::{Copies, Core, Lmtp, Local, Order, Receive, Reporter, Reports, Srs, Submit, Traffic};
use kings_net::{Bound, Endpoint, Guard, Listener, Place, Resolver, Service, Shutdown, Slots, TaskTracker};
use kings_oauth::Issuers;
use kings_queue::{Attempt, Deliver, Finished, Lane, Notification, PostError, Queue};
use kings_records::Records;
use kings_store::Store;
use kings_tls::{Certificates, ClientTls};
use rustls::ServerConfig;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::command::{Failure, print};
use crate::config::{Settings, Threads};
use crate::control::{self, Answer, Request};
use crate::prepare::{self, Prepared, Server, Socket};
use crate::{dkim, local};

/// How long sessions may take to end at shutdown.
const GRACE: Duration = Duration::from_secs(8);
/// How often policies of MTA-STS that would expire are fetched again.
const REFRESH_POLICIES: Duration = Duration::from_hours(1);
/// How long after a start it is first looked for reports that are due: who started it by mistake has time to stop it.
const FIRST_REPORTS: Duration = Duration::from_mins(5);

/// `kings serve`: everything that can be wrong before the first connection is 78.
pub(crate) fn run(config: &Path) -> Result<(), Failure> {
    let settings = Settings::load(config)?;
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    let hangups = hangups()?;
    let prepared = Prepared::new(settings).map_err(|error| Failure::config(format!("{error:#}")))?;
    runtime(prepared.settings.limits.threads)?.block_on(async {
        let running = Running::start(prepared).map_err(|error| Failure::config(format!("{error:#}")))?;
        running.announce();
        let ended = running.until_signalled(config, hangups).await;
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
    listening: Vec<(Server, Place)>,
    tasks: TaskTracker,
    shutdown: Shutdown,
    _prepared: std::fs::File,
}

/// What each listener serves; a reload swaps it.
struct Endpoints {
    smtp: Arc<ArcSwap<Endpoint<Receive<Resolver>>>>,
    submission: Arc<ArcSwap<Endpoint<Submit>>>,
    submissions: Arc<ArcSwap<Endpoint<Submit>>>,
    lmtp: Arc<ArcSwap<Endpoint<Lmtp>>>,
    imap: Arc<ArcSwap<Endpoint<Imap>>>,
    imaps: Arc<ArcSwap<Endpoint<Imap>>>,
    pop3: Arc<ArcSwap<Endpoint<Pop3>>>,
    pop3s: Arc<ArcSwap<Endpoint<Pop3>>>,
}

/// The parts that a config alone decides, made anew at every reload.
struct Services {
    receive: Receive<Resolver>,
    submit: Submit,
    lmtp: Lmtp,
    imap: Imap,
    pop3: Pop3,
    relay: Relay<Resolver>,
    reporter: Reporter<Resolver>,
    /// For the machine's own users, where it has any.
    local: Option<Local>,
    /// What listeners show where people log in.
    tls_for_people: Arc<ServerConfig>,
}

/// The parts that outlive a reload.
struct Kept {
    store: Store,
    queue: Queue,
    records: Records,
    traffic: Traffic,
}

impl Services {
    fn new(
        settings: &Settings,
        signing: Signing,
        certificates: &Certificates,
        kept: &Kept,
    ) -> anyhow::Result<Self> {
        let Kept { store, queue, records, traffic } = kept;
        let directory = prepare::serve_directory(settings)?;
        for warning in directory.warnings() {
            warn!("{warning}");
        }
        tokio::spawn(tell_doubts(
            settings.domains.clone(),
            settings.house_rules.copies.clone(),
            directory.clone(),
        ));
        let dns = Resolver::new(&settings.dns)?;
        if !dns.trusts_ad() {
            info!("DANE is off: it needs a validating resolver on this machine, or [dns] trust_ad = true");
        }
        let tls = ClientTls::with_authorities(&settings.authorities);
        if let Some(check) = issuers(settings, &dns, &tls) {
            directory.trust_tokens(Arc::new(check));
        }
        let allow_private = settings.outbound.allow_private.clone();
        let fetch = Fetch::new(dns.clone(), &tls, kings_fetch::Settings { allow_private });
        let limits = kings_mta::Limits {
            message_bytes: settings.limits.message_bytes,
            recipients: settings.limits.recipients,
            rates: settings.limits.rates,
        };
        let core = Core::new(kings_mta::Parts {
            hostname: settings.hostname.clone(),
            limits,
            traffic: traffic.clone(),
            clients: settings.clients.clone(),
            outgoing: settings.submission.clone(),
            milters: settings.milters.clone(),
            signing,
            directory: directory.clone(),
            srs: sender_rewriting(settings)?,
            rules: settings.house_rules.clone(),
            ways: settings.outbound.ways(),
            store: store.clone(),
            queue: queue.clone(),
            reports: settings.reports.clone().map(Reports::new).unwrap_or_default(),
            records: records.clone(),
            tls: certificates.server(),
            tls_for_people: certificates.server_for_people(settings.client_authorities.as_ref()),
        });
        let people = kings_access::People {
            directory,
            store: store.clone(),
            tls: core.tls_for_people.clone(),
            connections_per_account: settings.limits.imap_connections_per_account,
            connections_per_address: settings.limits.imap_connections_per_address,
        };
        let pop3 = kings_access::Pop3Parts {
            people: people.clone(),
            uidl: settings.mailboxes.pop3_uidl.clone(),
            login_delay: settings.limits.pop3_login_delay,
            lock_session: settings.mailboxes.pop3_lock_session,
        };
        let imap = kings_access::Parts {
            people,
            append_octets: settings.limits.message_bytes,
            separator: settings.mailboxes.separator,
        };
        Ok(Self {
            tls_for_people: core.tls_for_people.clone(),
            receive: Receive::new(&core, dns.clone(), settings.inbound.clone()),
            submit: Submit::new(&core),
            lmtp: Lmtp::new(&core),
            local: local_mail(settings, &core),
            imap: Imap::new(imap),
            pop3: Pop3::new(pop3),
            reporter: Reporter::new(&core, dns.clone(), Some(fetch.clone())),
            relay: Relay::new(&core, dns, tls, Some(fetch), settings.outbound.clone()),
        })
    }
}

/// Reads the secrets, and makes one at the first start.
fn sender_rewriting(settings: &Settings) -> anyhow::Result<Option<Srs>> {
    if !settings.srs || settings.domains.is_empty() {
        return Ok(None);
    }
    let path = settings.data_dir.join("srs.secrets");
    let secrets = prepare::secret(&path)?;
    let srs = Srs::new(&secrets);
    Ok(Some(srs.with_context(|| format!("{}: remove it, and a new one is made", path.display()))?))
}

/// What tokens are checked with, if any issuer is trusted. Each has a client that goes where its own block allows.
fn issuers(settings: &Settings, dns: &Resolver, tls: &ClientTls) -> Option<Issuers> {
    let issuers = settings.oauth.iter().map(|oauth| {
        let allow_private = oauth.allow_private.clone();
        (oauth.issuer.clone(), Fetch::new(dns.clone(), tls, kings_fetch::Settings { allow_private }))
    });
    (!settings.oauth.is_empty()).then(|| Issuers::new(issuers))
}

fn local_mail(settings: &Settings, core: &Core) -> Option<Local> {
    let (local, machine) = (settings.local.as_ref()?, settings.machine.as_ref()?);
    Some(Local::new(core, machine.origin.clone(), &local.trusted_users))
}

/// Not waited for: a table of another program may have to be asked.
async fn tell_doubts(domains: Vec<HostedDomain>, copies: Copies, directory: Directory) {
    // `config check` refuses this one; a server that runs, or must, does not stop for an account that is gone.
    for lost in prepare::lost_copies(&copies, &directory).await {
        error!("{lost}");
    }
    for doubt in prepare::doubts(&domains, &directory).await {
        warn!("{doubt}");
    }
}

impl Endpoints {
    fn new(settings: &Settings, tls: &Arc<ServerConfig>, services: &Services) -> Self {
        let Services { receive, submit, lmtp, imap, pop3, tls_for_people: people, .. } = services;
        Self {
            smtp: swap(endpoint(settings, Server::Smtp, tls, receive)),
            submission: swap(endpoint(settings, Server::Submission, people, submit)),
            submissions: swap(endpoint(settings, Server::Submissions, people, submit)),
            lmtp: swap(endpoint(settings, Server::Lmtp, tls, lmtp)),
            imap: swap(endpoint(settings, Server::Imap, people, imap)),
            imaps: swap(endpoint(settings, Server::Imaps, people, imap)),
            pop3: swap(endpoint(settings, Server::Pop3, people, pop3)),
            pop3s: swap(endpoint(settings, Server::Pop3s, people, pop3)),
        }
    }

    /// Puts the new services in the place of the old ones; connections that stand keep theirs.
    fn replace(&self, new: &Self) {
        self.smtp.store(new.smtp.load_full());
        self.submission.store(new.submission.load_full());
        self.submissions.store(new.submissions.load_full());
        self.lmtp.store(new.lmtp.load_full());
        self.imap.store(new.imap.load_full());
        self.imaps.store(new.imaps.load_full());
        self.pop3.store(new.pop3.load_full());
        self.pop3s.store(new.pop3s.load_full());
    }
}

fn swap<S>(endpoint: Endpoint<S>) -> Arc<ArcSwap<Endpoint<S>>> {
    Arc::new(ArcSwap::from_pointee(endpoint))
}

fn endpoint<S: Clone>(
    settings: &Settings,
    server: Server,
    tls: &Arc<ServerConfig>,
    service: &S,
) -> Endpoint<S> {
    let limits = &settings.limits;
    let (connections, connections_per_address, arrivals_per_address) = match server {
        Server::Smtp | Server::Submission | Server::Submissions | Server::Lmtp => {
            (limits.smtp_connections, limits.smtp_connections_per_address, limits.smtp_arrivals)
        }
        // Logged-in sessions are counted by account; how many an address may have is up to its users.
        Server::Imap | Server::Imaps | Server::Pop3 | Server::Pop3s => {
            (limits.imap_connections, limits.imap_connections, limits.imap_arrivals)
        }
    };
    let guard = Guard {
        proxy_from: settings.listen.proxy_from.clone(),
        exempt: limits.exempt.clone(),
        connections,
        connections_per_address,
        arrivals_per_address,
    };
    Endpoint { service: service.clone(), tls: server.is_tls().then(|| for_server(tls, server)), guard }
}

/// TLS from the first byte, for clients that mean this protocol or say nothing about it (RFC 7301 §3.2): a
/// browser that was sent to a mail port offers only its own protocols, and its handshake must fail before it
/// has said anything a mail server could take for commands.
fn for_server(tls: &ServerConfig, server: Server) -> Arc<ServerConfig> {
    let protocols: &[&str] = match server {
        // No name is registered for SMTP; these are the ones Exim uses.
        Server::Smtp | Server::Submission | Server::Submissions | Server::Lmtp => &["smtp", "esmtp"],
        Server::Imap | Server::Imaps => &["imap"],
        Server::Pop3 | Server::Pop3s => &["pop3"],
    };
    let mut tls = tls.clone();
    tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(tls)
}

impl Running {
    /// Starts all that runs; must be called inside the runtime. When it returns every listener accepts.
    pub(crate) fn start(prepared: Prepared) -> anyhow::Result<Self> {
        let Prepared { settings, sockets, certificates, _lock: lock } = prepared;
        let store = open_store(&settings)?;
        let queue = open_queue(&settings)?;
        let kept = Kept { store, queue, records: open_records(&settings), traffic: Traffic::default() };
        let signing = dkim::load(&settings)?.whatever_is_wrong();
        let services = Services::new(&settings, signing, &certificates, &kept)?;
        let endpoints = Endpoints::new(&settings, &certificates.server(), &services);
        let relay = Arc::new(CurrentRelay(ArcSwap::from_pointee(services.relay)));
        let reporter = Arc::new(ArcSwap::from_pointee(services.reporter));
        let local = services.local.map(|local| Arc::new(ArcSwap::from_pointee(local)));
        let control = control::listen(&settings.data_dir).context("cannot open the control socket")?;

        let (tasks, shutdown) = (TaskTracker::new(), Shutdown::new());
        let listening = sockets.iter().map(|socket| (socket.server, socket.place.clone())).collect();
        listen(sockets, &endpoints, &tasks, &shutdown)?;
        let (runner, stop, deliver) = (kept.queue.clone(), shutdown.clone(), relay.clone());
        tasks.spawn(async move { runner.run(deliver, stop).await });
        tokio::spawn(refresh_policies(relay.clone()));
        tokio::spawn(send_reports(reporter.clone()));

        take_local_mail(&settings, local.as_ref(), &tasks, &shutdown)?;

        let (ask_to_reload, reloads) = mpsc::channel(1);
        let running = Self {
            reloads,
            settings,
            certificates,
            kept,
            endpoints,
            relay,
            reporter,
            local,
            listening,
            tasks,
            shutdown,
            _prepared: lock,
        };
        let answers = Answers {
            reloads: ask_to_reload,
            records: running.kept.records.clone(),
            queue: running.kept.queue.clone(),
            reporter: running.reporter.clone(),
            status: running.status(),
        };
        tokio::spawn(control::serve(control, move |request, caller| answers.clone().answer(request, caller)));
        Ok(running)
    }

    /// Tells systemd, the log, and whoever waits at standard output.
    pub(crate) fn announce(&self) {
        for (server, place) in &self.listening {
            info!(server = server.name(), address = %place, "listening");
        }
        info!("{} ready", self.settings.hostname);
        print(&format!("kings {} ready\n", env!("CARGO_PKG_VERSION")));
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            warn!(%error, "cannot notify the service manager");
        }
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
        self.endpoints.replace(&Endpoints::new(&settings, &self.certificates.server(), &services));
        self.relay.0.store(Arc::new(services.relay));
        self.reporter.store(Arc::new(services.reporter));
        if let (Some(current), Some(local)) = (&self.local, services.local) {
            current.store(Arc::new(local));
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
        keep("user", new.user != old.user);
        keep("[mailboxes] separator", new.mailboxes.separator != old.mailboxes.separator);
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
        for (_, place) in &self.listening {
            if let Place::Unix(path) = place {
                let _ = std::fs::remove_file(path);
            }
        }
        if let Some(local) = &self.settings.local {
            let _ = std::fs::remove_file(local::socket(&local.folder));
        }
        info!("stopped");
    }

    /// The address of a server.
    pub(crate) fn address(&self, server: Server) -> Option<std::net::SocketAddr> {
        self.listening.iter().find_map(|(known, place)| match place {
            Place::Tcp(address) if *known == server => Some(*address),
            Place::Tcp(_) | Place::Unix(_) => None,
        })
    }

    fn status(&self) -> serde_json::Value {
        let listener = |(server, address): &(Server, Place)| json!({ "name": server.name(), "address": address.to_string(), "tls": server.is_tls() });
        let listeners: Vec<_> = self.listening.iter().map(listener).collect();
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

/// Starts a task for every socket. Those of one protocol share their count of connections, and so do IMAP and POP3.
fn listen(
    sockets: Vec<Socket>,
    endpoints: &Endpoints,
    tasks: &TaskTracker,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let [smtp, submission, lmtp, imap] = [(); 4].map(|()| Slots::default());
    for Socket { server, bound, .. } in sockets {
        let start = Start { server, socket: bound, tasks, shutdown };
        match server {
            Server::Smtp => start.listener(&endpoints.smtp, &smtp)?,
            Server::Submission => start.listener(&endpoints.submission, &submission)?,
            Server::Submissions => start.listener(&endpoints.submissions, &submission)?,
            Server::Lmtp => start.listener(&endpoints.lmtp, &lmtp)?,
            Server::Imap => start.listener(&endpoints.imap, &imap)?,
            Server::Imaps => start.listener(&endpoints.imaps, &imap)?,
            Server::Pop3 => start.listener(&endpoints.pop3, &imap)?,
            Server::Pop3s => start.listener(&endpoints.pop3s, &imap)?,
        }
    }
    Ok(())
}

struct Start<'a> {
    server: Server,
    socket: Bound,
    tasks: &'a TaskTracker,
    shutdown: &'a Shutdown,
}

impl Start<'_> {
    fn listener<S: Service>(self, endpoint: &Arc<ArcSwap<Endpoint<S>>>, slots: &Slots) -> anyhow::Result<()> {
        let listener = Listener::new(self.server.name(), self.socket, endpoint.clone(), slots.clone())?;
        self.tasks.spawn(listener.run(self.tasks.clone(), self.shutdown.clone()));
        Ok(())
    }
}

/// The relay of the present config.
struct CurrentRelay(ArcSwap<Relay<Resolver>>);

impl Deliver for CurrentRelay {
    fn lane(&self, reverse_path: &ReversePath, recipient: &ForwardPath) -> Lane {
        self.0.load().lane(reverse_path, recipient)
    }

    async fn deliver(&self, attempt: Attempt) -> Finished {
        self.0.load_full().deliver(attempt).await
    }

    async fn notify(&self, notification: Notification) -> Result<(), PostError> {
        self.0.load_full().notify(notification).await
    }
}

/// What the control socket answers from.
#[derive(Clone)]
struct Answers {
    reloads: mpsc::Sender<oneshot::Sender<Result<(), String>>>,
    queue: Queue,
    records: Records,
    reporter: Arc<ArcSwap<Reporter<Resolver>>>,
    status: serde_json::Value,
}

impl Answers {
    async fn answer(self, request: Request, caller: control::Caller) -> Answer {
        match request {
            Request::Status => {
                let mut status = self.status;
                status["queued"] = self.queue.len().into();
                status["damaged"] = self.queue.count_damaged().await.unwrap_or_default().into();
                Ok(status)
            }
            Request::Reload => {
                let (done, told) = oneshot::channel();
                self.reloads.send(done).await.map_err(|_| "the server is stopping".to_owned())?;
                told.await.map_err(|_| "the server is stopping".to_owned())??;
                Ok(serde_json::json!({ "schema": 1 }))
            }
            Request::ReportSend { dry_run, domain, day } => {
                let domain = domain.map(|text| Domain::parse(&text)).transpose();
                let domain = domain.map_err(|error| error.to_string())?;
                let order = Order { day, domain, dry_run };
                Ok(crate::command::report_answer(&self.reporter.load_full().send(&order).await))
            }
            request
            @ (Request::QueueList { .. } | Request::QueueShow { .. } | Request::QueueOrder { .. }) => {
                let desk = crate::command::QueueDesk { queue: &self.queue, records: &self.records, caller };
                crate::command::queue_answer(desk, request).await
            }
        }
    }
}

fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let store = Store::open(kings_store::Settings {
        mail_dir: settings.mail_dir.clone(),
        layout: settings.mail_layout.clone(),
        separator: settings.mailboxes.separator,
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

/// Asks for policies of MTA-STS again before they expire, for ever; at once after a start, for nobody knows how long the
/// server was down.
async fn refresh_policies(relay: Arc<CurrentRelay>) {
    loop {
        relay.0.load_full().refresh_policies().await;
        tokio::time::sleep(REFRESH_POLICIES).await;
    }
}

/// Sends reports as they fall due, for ever.
async fn send_reports(reporter: Arc<ArcSwap<Reporter<Resolver>>>) {
    let (mut last, mut pause) = (None, FIRST_REPORTS);
    loop {
        tokio::time::sleep(pause).await;
        let done = reporter.load_full().send_due(last).await;
        (last, pause) = (Some(done.began), done.pause);
    }
}

pub(crate) fn open_queue(settings: &Settings) -> anyhow::Result<Queue> {
    let root = settings.data_dir.join("queue");
    let mut queue = kings_queue::Settings::new(&root, settings.hostname.clone());
    queue.free_space_reserve = settings.limits.free_space_reserve;
    queue.limits = settings.queue.limits;
    queue.delay_warning = settings.queue.delay_warning;
    queue.lifetimes = settings.queue.lifetimes;
    Queue::open(queue).with_context(|| format!("cannot open the queue in {}", root.display()))
}
