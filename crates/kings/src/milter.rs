//! `kings milter`: signs and verifies for another mail server, in the place of OpenDKIM.

mod watch;

use std::collections::HashMap;
use std::fs;
use std::net::ToSocketAddrs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use arc_swap::ArcSwap;
use clap::Args;
use kings_msgauth::dkim::Rules;
use kings_msgauth::dkim::opendkim::{Addresses, Hosts, Matching, SigningTable};
use kings_mta::filter::{self, Filter, Handling, Mode, OtherResults};
use kings_mta::signing::{Key, Private, Signing, Tables};
use kings_mta::{Check, Methods};
use kings_net::{
    Bound, Endpoint, Guard, Listener, Place, Rate, Resolver, ResolverSettings, Shutdown, Slots, TaskTracker,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{error, info, warn};

use crate::command::{Failure, print};
use crate::config::opendkim::{self, AuthservId, Keys, OneKey, OpenDkim};
use crate::config::{DEFAULT_PATH, Settings, SocketAccess, Threads};
use crate::dkim::Checked;
use crate::identity::{Identity, machine_name};
use crate::prepare::ports;
use crate::{dkim, serve};

use self::watch::Watch;

/// Most connections at once: a Postfix opens one for each of its SMTP sessions, 100 unless it is told otherwise.
const CONNECTIONS: usize = 2_000;
/// How often somebody looks whether the keys have changed; they are read again when two looks have seen the same.
const LOOK: Duration = Duration::from_secs(5);
/// How long messages under way may take at shutdown.
const GRACE: Duration = Duration::from_secs(8);

#[derive(Args)]
pub(crate) struct Options {
    /// The config file of Kings, whose keys and checks are used.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// OpenDKIM's config file, in the place of ours.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    opendkim_conf: Option<PathBuf>,
    /// Where to listen, as OpenDKIM writes it: inet:8891@127.0.0.1 or local:/path. Overrules `Socket`.
    #[arg(long)]
    socket: Option<String>,
}

/// Everything that is to be known, from either kind of config.
struct Plan {
    socket: Option<String>,
    user: Option<String>,
    access: SocketAccess,
    pid_file: Option<PathBuf>,
    /// Whether the keys are still those that were read; nobody looks after those of OpenDKIM's config.
    watch: Option<Watch>,
    dns: ResolverSettings,
    threads: Threads,
    filter: filter::Settings,
    warnings: Vec<String>,
}

impl Options {
    fn plan(&self) -> anyhow::Result<Checked<Plan>> {
        let mut plan = match &self.opendkim_conf {
            Some(path) => of_opendkim(path)?,
            None => of_kings(&self.config)?,
        };
        plan.value.socket = self.socket.clone().or(plan.value.socket);
        Ok(plan)
    }
}

/// `kings config check --opendkim-conf`: what has no effect; fails with all that is wrong.
pub(crate) fn check(path: &Path) -> anyhow::Result<Vec<String>> {
    let (plan, mut warnings) = of_opendkim(path)?.checked()?;
    warnings.splice(0..0, plan.warnings);
    match &plan.socket {
        Some(socket) => drop(place(socket)?),
        None => bail!("{}: Socket is missing: add  Socket inet:8891@127.0.0.1", path.display()),
    }
    Ok(warnings)
}

fn of_kings(path: &Path) -> anyhow::Result<Checked<Plan>> {
    let settings = Settings::load(path)?;
    let watch = Watch::new(settings.data_dir.join(dkim::FOLDER));
    let mut notes = Checked::from(());
    let signing = notes.add(dkim::load(&settings)?);
    let warnings: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    let filter = filter::Settings {
        mode: Mode::Both,
        signing,
        rules: Rules::default(),
        peers: Hosts::default(),
        ignored: Hosts::default(),
        exempt: Vec::new(),
        unsigned_to: Addresses::default(),
        results: OtherResults::default(),
        marks: Vec::new(),
        methods: settings.inbound.methods,
        authserv_id: Some(settings.hostname.clone()),
        hostname: settings.hostname.clone(),
        records_unsigned: true,
        replaces_signatures: false,
        handling: Handling::RECORD,
        limits: filter::Limits { message_bytes: settings.limits.message_bytes, ..filter::Limits::default() },
    };
    let plan = Plan {
        socket: None,
        user: settings.user,
        access: SocketAccess { mode: 0o660, group: None },
        pid_file: None,
        watch: Some(watch),
        dns: settings.dns,
        threads: settings.limits.threads,
        filter,
        warnings,
    };
    Ok(notes.with(plan))
}

fn of_opendkim(path: &Path) -> anyhow::Result<Checked<Plan>> {
    let conf = opendkim::load(path).map_err(|complaints| anyhow!(complaints.join("\n")))?;
    // Nobody sees it where the mail server says its own, as all do.
    let hostname = machine_name()?;
    let mut notes = Checked::from(());
    let signing = notes.add(signing(&conf)?);
    let filter = filter::Settings {
        mode: conf.mode,
        signing,
        rules: conf.rules,
        peers: conf.peers,
        ignored: conf.ignored,
        exempt: conf.exempt,
        unsigned_to: conf.unsigned_to,
        results: conf.results,
        marks: conf.marks,
        methods: Methods { dkim: Check::Tag, ..Methods::default() },
        authserv_id: match conf.authserv_id {
            AuthservId::MailServer => None,
            AuthservId::Machine => Some(hostname.clone()),
            AuthservId::Named(name) => Some(name),
        },
        hostname,
        records_unsigned: conf.records_unsigned,
        replaces_signatures: conf.replaces_signatures,
        handling: conf.handling,
        limits: conf.limits,
    };
    let plan = Plan {
        socket: conf.socket,
        user: conf.user,
        access: SocketAccess { mode: 0o777 & !conf.umask, group: conf.group },
        pid_file: conf.pid_file,
        watch: None,
        dns: conf.dns,
        threads: Threads::default(),
        filter,
        warnings: conf.warnings,
    };
    Ok(notes.with(plan))
}

fn signing(conf: &OpenDkim) -> anyhow::Result<Checked<Signing>> {
    let mut notes = Checked::from(());
    let tables = match &conf.keys {
        Keys::None => None,
        Keys::Tables(tables) => Some(notes.add(dkim::tables::load(tables)?)),
        Keys::One(one) => Some(notes.add(tables_of_one(one)?)),
    };
    // How long its signatures are valid stands with the other rules of the filter.
    Ok(notes.with(Signing::new(HashMap::new(), tables, conf.internal.clone(), None, None)))
}

/// The tables that say what `Domain`, `SubDomains`, `Selector` and `KeyFile` say.
fn tables_of_one(one: &OneKey) -> anyhow::Result<Checked<Tables>> {
    let mut notes = Checked::from(());
    let key = Arc::new(dkim::private_key(&one.file)?);
    notes.open_to_others(&one.file, one.safe);
    let (mut lines, mut keys) = (String::new(), HashMap::new());
    for name in &one.domains {
        let pattern = name.pattern();
        lines += &format!("*@{pattern} {pattern}\n");
        if one.subdomains {
            lines += &format!("*@*.{pattern} {pattern}\n");
        }
        let private = Private::Known(key.clone());
        let key = Key { domain: name.domain().cloned(), selector: one.selector.clone(), private };
        keys.insert(pattern.to_owned(), key);
    }
    let signing = SigningTable::parse(&lines, Matching::Wildcards);
    let signing = signing.map_err(|_| anyhow!("Domain: a name that no pattern can be made of"))?;
    Ok(notes.with(Tables { signing, keys, every: false }))
}

/// `inet:port@host`, `inet6:port@host`, `local:/path`, `unix:/path`, `/path`.
fn place(text: &str) -> anyhow::Result<Place> {
    let (kind, rest) = text.split_once(':').unwrap_or(("local", text));
    let usual = match kind {
        "local" | "unix" if rest.starts_with('/') => return Ok(Place::Unix(rest.into())),
        "inet" => "0.0.0.0",
        "inet6" => "::",
        _ => bail!("Socket {text}: write inet:8891@127.0.0.1 or local:/run/kings/milter.sock"),
    };
    let (port, host) = rest.split_once('@').unwrap_or((rest, usual));
    let port: u16 = port.parse().with_context(|| format!("Socket {text}: {port:?} is no port"))?;
    let host = host.trim_matches(['[', ']']);
    let mut addresses =
        (host, port).to_socket_addrs().with_context(|| format!("Socket {text}: cannot look up {host}"))?;
    let fits = addresses.find(|address| address.is_ipv6() == (kind == "inet6"));
    Ok(Place::Tcp(fits.with_context(|| format!("Socket {text}: {host} has no such address"))?))
}

/// Everything that can be wrong before the first connection is 78.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let hangups = serve::hangups()?;
    let prepared = prepare(options).map_err(|error| Failure::config(format!("{error:#}")))?;
    let (mut plan, bound, place) = prepared;
    let watch = plan.watch.take();
    serve::runtime(plan.threads)?.block_on(async {
        let running =
            start(options, &plan, bound, place).map_err(|error| Failure::config(format!("{error:#}")))?;
        let ended = running.until_signalled(hangups, watch).await;
        ended.map_err(|error| Failure::cannot_tell(format!("{error:#}")))
    })
}

/// Keys are read and the socket is made while we may; then root goes. Must run before any thread exists.
fn prepare(options: &Options) -> anyhow::Result<(Plan, Bound, Place)> {
    let plan = options.plan()?.whatever_is_wrong();
    for warning in &plan.warnings {
        warn!("{warning}");
    }
    let socket = plan.socket.as_deref().context("say where to listen: --socket inet:8891@127.0.0.1")?;
    let identity = Identity::find(plan.user.as_deref())?;
    let access = identity.socket_access(&plan.access)?;
    let (bound, place) = ports::bind(&place(socket)?, access, ports::patience_ends())?;
    identity.become_it()?;
    // Not as root: its folder is the user's, who could put a link there.
    if let Some(file) = &plan.pid_file {
        fs::write(file, format!("{}\n", std::process::id()))
            .with_context(|| format!("PidFile: cannot write {}", file.display()))?;
    }
    Ok((plan, bound, place))
}

struct Running<'a> {
    options: &'a Options,
    endpoint: Arc<ArcSwap<Endpoint<Filter<Resolver>>>>,
    place: Place,
    pid_file: Option<PathBuf>,
    tasks: TaskTracker,
    shutdown: Shutdown,
}

fn endpoint(plan: &Plan) -> anyhow::Result<Endpoint<Filter<Resolver>>> {
    let service = Filter::new(plan.filter.clone(), Resolver::new(&plan.dns)?);
    // All connections come from one mail server, so that a limit by address would be the same one.
    let guard = Guard {
        proxy_from: Vec::new(),
        exempt: Vec::new(),
        connections: CONNECTIONS,
        connections_per_address: CONNECTIONS,
        arrivals_per_address: Rate::minute(0),
        memory: kings_net::Memory::default(),
    };
    Ok(Endpoint { service, tls: None, guard })
}

fn start<'a>(options: &'a Options, plan: &Plan, bound: Bound, place: Place) -> anyhow::Result<Running<'a>> {
    let endpoint = Arc::new(ArcSwap::from_pointee(endpoint(plan)?));
    let (tasks, shutdown) = (TaskTracker::new(), Shutdown::new());
    let listener = Listener::new("milter", bound, endpoint.clone(), Slots::default())?;
    tasks.spawn(listener.run(tasks.clone(), shutdown.clone()));
    info!(server = "milter", address = %place, "listening");
    print(&format!("kings {} ready\n", env!("CARGO_PKG_VERSION")));
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        warn!(%error, "cannot notify the service manager");
    }
    Ok(Running { options, endpoint, place, pid_file: plan.pid_file.clone(), tasks, shutdown })
}

impl Running<'_> {
    /// SIGHUP reads config and keys again, and so do keys that have changed; SIGTERM and SIGINT end it once messages under
    /// way have their answers.
    async fn until_signalled(self, mut hangups: Signal, mut watch: Option<Watch>) -> anyhow::Result<()> {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = hangups.recv() => self.reload(&mut watch),
                _ = looks.tick() => {
                    if watch.as_mut().is_some_and(Watch::has_changed) {
                        info!("the keys have changed");
                        self.reload(&mut watch);
                    }
                }
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        self.stop().await;
        Ok(())
    }

    /// A config that is wrong changes nothing.
    fn reload(&self, watch: &mut Option<Watch>) {
        let read = || {
            let plan = self.options.plan().and_then(Checked::only_if_right)?;
            Ok::<_, anyhow::Error>((endpoint(&plan)?, plan.watch))
        };
        match read() {
            Ok((endpoint, keys)) => {
                self.endpoint.store(Arc::new(endpoint));
                *watch = keys;
                info!("config read again");
            }
            Err(error) => error!(error = format!("{error:#}"), "the config stays as it was"),
        }
    }

    async fn stop(self) {
        info!("stopping");
        self.shutdown.cancel();
        self.tasks.close();
        if timeout(GRACE, self.tasks.wait()).await.is_err() {
            warn!(connections = self.tasks.len(), "some messages did not end in time and are cut off");
        }
        if let Place::Unix(path) = &self.place {
            let _ = fs::remove_file(path);
        }
        if let Some(file) = &self.pid_file {
            let _ = fs::remove_file(file);
        }
        info!("stopped");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn sockets_are_written_as_opendkim_writes_them() {
        let cases = [
            ("inet:8891@127.0.0.1", "127.0.0.1:8891"),
            ("inet:8891@localhost", "127.0.0.1:8891"),
            ("inet:8891", "0.0.0.0:8891"),
            ("inet6:8891@[::1]", "[::1]:8891"),
            ("local:/run/x.sock", "unix:/run/x.sock"),
            ("/run/x.sock", "unix:/run/x.sock"),
        ];
        for (text, expected) in cases {
            assert_eq!(place(text).unwrap().to_string(), expected, "{text}");
        }
        for text in ["inet:x@127.0.0.1", "local:run/x", "fifo:/x", "inet:1@::1", ""] {
            assert!(place(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_table_may_hold_the_key_and_its_mistakes_are_told() {
        const KEY: &str = include_str!("../../msgauth/tests/data/ed25519.pem");
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("opendkim.conf");
        fs::write(&conf, "Mode s\nKeyTable file:keys\nSigningTable refile:who\nSocket inet:8891@localhost\n")
            .unwrap();
        fs::write(folder.path().join("who"), "*@example.org main\n").unwrap();
        let key: String = KEY.lines().filter(|line| !line.starts_with('-')).collect();
        fs::write(folder.path().join("keys"), format!("main example.org:s:{key}\n")).unwrap();
        assert!(check(&conf).unwrap().is_empty());
        fs::write(folder.path().join("keys"), "main example.org:s:s.private\n").unwrap();
        let error = check(&conf).unwrap_err().to_string();
        assert!(error.contains("keys: line 1: the key is neither a path"), "{error}");
        fs::write(folder.path().join("keys"), "main example.org:s:./s.private\n").unwrap();
        assert!(check(&conf).unwrap_err().to_string().contains("s.private"));
    }
}
