//! What happens before there is a runtime: folders, the lock, ports, certificate, and giving up root.

pub(crate) mod holder;
pub(crate) mod ports;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Instant;

use anyhow::{Context, bail};
use kings_acme::{Dns01, Kind, Shelf};
use kings_directory::{Directory, DirectoryError, HostedDomain, LoginSettings, Reach, Resolution};
use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::path::ForwardPath;
use kings_mta::Copies;
use kings_net::{Bound, Place, Resolver};
use kings_sasl::Secret;
use kings_tls::{Certificates, Source};
use rustix::fs::{Access, AtFlags, CWD, FlockOperation, accessat, flock};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

use crate::config::{ENDS_HERE, Limits, Settings};
use crate::dkim::{self, Checked};
use crate::identity::Identity;
use crate::{dns_provider, local};

/// Octets of a secret that we make.
const SECRET_OCTETS: usize = 32;

/// Files open beside those of connections: a delivery holds six on each of 128 threads, and there are logs, records and
/// listeners.
const FILES_BESIDES: u64 = 1_000;

/// A process that holds everything it may need root for.
pub(crate) struct Prepared {
    pub(crate) settings: Settings,
    pub(crate) sockets: Vec<Socket>,
    pub(crate) certificates: Certificates,
    /// Held for as long as the process lives: a second instance on the same data finds it taken.
    pub(crate) _lock: File,
}

/// One bound port and the key of `[listen]` it belongs to.
pub(crate) struct Socket {
    pub(crate) server: Server,
    /// With the port that the kernel chose.
    pub(crate) place: Place,
    pub(crate) bound: Bound,
}

/// The keys of `[listen]` that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Smtp,
    Submission,
    Submissions,
    Lmtp,
    Auth,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    Http,
    Https,
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Lmtp => "lmtp",
            Self::Auth => "auth",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// TLS from the first byte.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Submissions | Self::Imaps | Self::Pop3s | Self::Https)
    }
}

impl Prepared {
    /// In this order: nothing is bound before the data is ours, and root goes only when nothing needs it
    /// any more. Must run before any thread exists.
    pub(crate) fn new(settings: Settings) -> anyhow::Result<Self> {
        let identity = Identity::find(settings.user.as_deref())?;
        for folder in [&settings.data_dir, &settings.mail_dir] {
            ensure_folder(folder, &identity)?;
        }
        if let Some(settings) = &settings.local {
            local::prepare(&settings.folder, &identity)?;
        }
        raise_file_limit(&settings.limits);
        let sockets = ports::bind_all(&settings, &identity)?;
        // Certbot's keys are for root alone; a certificate of our own is for whoever we become.
        let from_files = match &settings.certificate {
            Source::Files { .. } => Some(Certificates::open(&settings.certificate)?),
            Source::SelfSigned { .. } | Source::Acme { .. } => None,
        };
        identity.become_it()?;
        for folder in [&settings.data_dir, &settings.mail_dir] {
            check_writable(folder)?;
        }
        let lock = lock(&settings.data_dir)?;
        if settings.acme.is_some() {
            let folder = settings.data_dir.join(crate::serve::ACME_FOLDER);
            Shelf::open(&folder)
                .with_context(|| format!("cannot keep certificates in {}", folder.display()))?;
        }
        let certificates = match from_files {
            Some(certificates) => certificates,
            None => Certificates::open(&settings.certificate)?,
        };
        Ok(Self { settings, sockets, certificates, _lock: lock })
    }
}

/// Makes the folder of the server's own data where it is not there yet, as the first start would: keys come before it.
pub(crate) fn ensure_data(settings: &Settings) -> anyhow::Result<()> {
    ensure_folder(&settings.data_dir, &Identity::find(settings.user.as_deref())?)
}

/// Makes root, for the rest of this process, the owner of the server's data, where that is another. Comes before anything is
/// written there, and before any thread exists.
pub(crate) fn act_as_owner(settings: &Settings) -> anyhow::Result<()> {
    match Identity::owner_of(&settings.data_dir) {
        Err(_) if !settings.data_dir.exists() => Ok(()),
        owner => owner?.become_it(),
    }
}

/// Makes the folder if its parent exists.
fn ensure_folder(folder: &Path, identity: &Identity) -> anyhow::Result<()> {
    if is_there_or_can_be_made(folder)? {
        return Ok(());
    }
    match DirBuilder::new().mode(0o750).create(folder) {
        // Another start was faster; which of the two goes on is for the lock to say.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made.with_context(|| cannot_be_made(folder)).and_then(|()| identity.own(folder)),
    }
}

/// Whether the folder is there. It may be missing if its parent is not: that is more often a slip than a wish.
fn is_there_or_can_be_made(folder: &Path) -> anyhow::Result<bool> {
    let path = folder.display();
    match fs::metadata(folder) {
        Ok(found) if found.is_dir() => return Ok(true),
        Ok(_) => bail!("{path} is a file and must be a folder: move it away with  mv {path} {path}.old"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => bail!("cannot look at {path}: {error}; see who may with  namei -l {path}"),
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        bail!("{path} cannot be made, since {0} is no folder: mkdir -p {0}", parent.display());
    }
    Ok(false)
}

fn cannot_be_made(folder: &Path) -> String {
    let path = folder.display();
    format!(
        "cannot make {path}: make it and give it to the user that runs Kings, mkdir {path} && chown USER {path}"
    )
}

fn check_writable(folder: &Path) -> anyhow::Result<()> {
    may_write(folder).with_context(|| {
        let path = folder.display();
        format!("cannot write in {path}: give it to the user that runs Kings, chown -R USER {path}")
    })
}

fn may_write(folder: &Path) -> rustix::io::Result<()> {
    accessat(CWD, folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)
}

/// Takes the data for this process alone. The lock ends with the process, however it ends; the one before us, which
/// has been told to stop, is waited for.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    let (began, mut is_first) = (Instant::now(), true);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if began.elapsed() < ports::PATIENCE => {
                if std::mem::take(&mut is_first) {
                    tracing::warn!("another instance still uses {}: waiting for its end", data_dir.display());
                }
                sleep(ports::PAUSE);
            }
            Err(Errno::WOULDBLOCK) => bail!(
                "another instance uses {}: stop it first, or give this one a data_dir of its own",
                data_dir.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot lock {}", path.display())),
        }
    }
}

/// The text of a file that holds a secret; made at the first start that needs it, for its user alone.
pub(crate) fn secret(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(secret) => return Ok(secret),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let mut random = [0; SECRET_OCTETS];
    getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let secret: String = random.iter().map(|octet| format!("{octet:02x}")).chain(["\n".to_owned()]).collect();
    make_durable(path, &secret).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(secret)
}

/// Written aside and renamed: a crash leaves the whole secret or none, never another one at the next start.
fn make_durable(path: &Path, secret: &str) -> io::Result<()> {
    let partial = path.with_extension("new");
    // One that a crash has left may be open to others.
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Every connection is a file descriptor, and the soft limit of 1,024 is a relic: it is raised to the hard one. Where
/// even that is too low, connections wait while all are in use, and the operator is told.
fn raise_file_limit(limits: &Limits) {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let connections = (limits.smtp_connections + limits.imap_connections) as u64;
    let wanted = connections + FILES_BESIDES;
    // None is no limit.
    if let Some(files) = getrlimit(Resource::Nofile).current.filter(|files| *files < wanted) {
        tracing::warn!(
            "only {files} files may be open, but the {connections} connections of [limits] and the mail on its way \
             may need {wanted}: set LimitNOFILE={wanted} in the service (ulimit -Hn), or lower smtp_connections and \
             imap_connections"
        );
    }
}

/// Opens accounts and aliases, to look at them and to change them.
pub(crate) fn open_directory(settings: &Settings) -> Result<Directory, DirectoryError> {
    Directory::open(directory_settings(settings, None, Secret::new("nobody logs in")))
}

/// Opens accounts and aliases for a server that people log in to.
pub(crate) fn serve_directory(settings: &Settings) -> anyhow::Result<Directory> {
    let secret = login_secret(&settings.data_dir).context("cannot keep a secret for logins")?;
    Ok(Directory::open(directory_settings(settings, Some(settings.data_dir.join("logins")), secret))?)
}

/// The secret that made-up salts come from: made once, so that they stay the same.
fn login_secret(data_dir: &Path) -> io::Result<Secret> {
    let path = data_dir.join("login-secret");
    match fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Secret::new(text.trim())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random)?;
    let text = kings_sasl::encode(&random);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    Ok(Secret::new(text))
}

fn directory_settings(
    settings: &Settings,
    known: Option<PathBuf>,
    secret: Secret,
) -> kings_directory::Settings {
    kings_directory::Settings {
        hostname: settings.hostname.clone(),
        domains: settings.domains.clone(),
        accounts: settings.accounts.clone(),
        aliases: settings.aliases.clone(),
        machine: settings.machine.clone(),
        relays: settings.relays.clone(),
        sender_logins: settings.sender_logins.clone(),
        delimiters: settings.delimiters.clone(),
        login: LoginSettings {
            names: settings.login.names.clone(),
            mechanisms: settings.login.mechanisms,
            channel_binding: settings.login.channel_binding,
            failures_per_minute: settings.limits.login_failures_per_minute,
            failures_per_account: settings.limits.login_failures_per_account,
            remember: settings.login.remember,
            known,
            secret,
        },
    }
}

/// What a look at everything that the config names has found.
pub(crate) struct Findings {
    /// The server would not start with these.
    pub(crate) faults: Vec<String>,
    /// It would with these.
    pub(crate) odd: Vec<String>,
    /// As far as its files make sense; `None` where nobody can tell who has an account.
    pub(crate) directory: Option<Directory>,
}

/// What `serve` would find wrong, without changing anything: the same questions in the same order, and all
/// answers at once. The process becomes the user that `serve` would, so nothing may follow that needs root.
///
/// Ports and the lock of the data are left out: a server that runs holds them, and that is no fault.
pub(crate) fn check(settings: &Settings) -> Findings {
    let mut complaints = Complaints::default();
    let identity = complaints.take(Identity::find(settings.user.as_deref()));
    let folders = [&settings.data_dir, &settings.mail_dir];
    let there = folders.map(|folder| complaints.take(is_there_or_can_be_made(folder)));
    for folder in
        folders.iter().zip(there).filter(|(_, there)| *there == Some(false)).map(|(folder, _)| folder)
    {
        let parent = folder.parent().unwrap_or(Path::new("/"));
        complaints.take(may_write(parent).with_context(|| cannot_be_made(folder)));
    }
    // One of our own is made when the server starts, not by a look at the config.
    if let source @ Source::Files { .. } = &settings.certificate {
        complaints.take(Certificates::open(source).map_err(anyhow::Error::from));
    }
    if let Some(identity) = identity {
        complaints.take(identity.become_it());
    }
    for folder in
        folders.iter().zip(there).filter(|(_, there)| *there == Some(true)).map(|(folder, _)| folder)
    {
        complaints.take(check_writable(folder));
    }
    complaints
        .take(Resolver::new(&settings.dns).map_err(Into::into).and_then(|dns| proves_by_dns(settings, &dns)));
    let keys = complaints.take(dkim::load(settings).and_then(Checked::checked));
    let survey = Directory::survey(directory_settings(settings, None, Secret::new("nobody logs in")));
    complaints.0.extend(survey.faults.iter().map(ToString::to_string));
    Findings {
        faults: complaints.0,
        odd: keys.map(|(_, warnings)| warnings).unwrap_or_default(),
        directory: survey.is_certain.then_some(survey.directory),
    }
}

/// Who puts proofs for certificates into DNS, where that is a way to prove a name. One that cannot be had is a fault only where
/// there is no other way.
pub(crate) fn proves_by_dns(settings: &Settings, dns: &Resolver) -> anyhow::Result<Option<Arc<dyn Dns01>>> {
    let kinds = settings.acme.as_ref().map_or(&[][..], |acme| &acme.settings.kinds);
    if !kinds.contains(&Kind::Dns01) {
        return Ok(None);
    }
    match dns_provider::open(settings, dns, true) {
        Ok(provider) => Ok(provider.map(|provider| Arc::new(provider) as Arc<dyn Dns01>)),
        Err(error) if kinds.len() == 1 => Err(error),
        Err(error) => {
            warn!("no name is proved by DNS: {error:#}");
            Ok(None)
        }
    }
}

/// What is wrong so far, each in one line or more.
#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    /// Keeps the error, gives the value.
    fn take<T>(&mut self, result: anyhow::Result<T>) -> Option<T> {
        result.map_err(|error| self.0.push(format!("{error:#}"))).ok()
    }
}

/// Copies for an archive that nobody would get, and nobody would miss: their failure is reported to no one.
pub(crate) async fn lost_copies(copies: &Copies, directory: &Directory) -> Vec<String> {
    let mut lost = Vec::new();
    for target in copies.targets() {
        let resolution = directory.resolve(&ForwardPath::Address(target.clone()), Reach::Everywhere).await;
        if matches!(resolution, Resolution::Unknown | Resolution::Looping) {
            lost.push(format!(
                "copies of mail are for {target}, which is no account (always_bcc, sender_bcc, recipient_bcc): kings account add \
                 {target}"
            ));
        }
    }
    lost
}

/// What is odd about the config and the accounts together, and possible.
pub(crate) async fn doubts(domains: &[HostedDomain], directory: &Directory) -> Vec<String> {
    let mut doubts = Vec::new();
    for (domain, target) in
        domains.iter().filter_map(|hosted| Some((&hosted.name, hosted.catch_all.as_ref()?)))
    {
        let resolution = directory.resolve(&ForwardPath::Address(target.clone()), Reach::Everywhere).await;
        // One that names nobody is caught by itself.
        if matches!(resolution, Resolution::Unknown | Resolution::Looping) {
            doubts.push(format!(
                "catch_all of {domain} names {target}, which is no account: kings account add {target}"
            ));
        }
    }
    doubts
}

/// Patterns of the table of routes that are about accounts and domains of ours, where they never act.
pub(crate) fn idle_patterns(settings: &Settings, directory: &Directory) -> Vec<String> {
    let Some(postmaster) = LocalPart::parse("postmaster").ok() else { return Vec::new() };
    let hosted = settings.domains.iter().map(|hosted| Host::Domain(hosted.name.clone()));
    let of_domains = hosted.map(|host| Address::new(postmaster.clone(), host));
    let accounts = directory.accounts().into_iter().map(|(account, _)| account);
    let mut told: BTreeMap<String, Address> = BTreeMap::new();
    for address in of_domains.chain(accounts) {
        if let Some(place) = settings.outbound.routes.transports.pattern_of(&address) {
            told.entry(place).or_insert(address);
        }
    }
    let idle = |(place, address): (String, Address)| {
        format!("[outbound] transport: {place} does not act for {address}, {ENDS_HERE}")
    };
    told.into_iter().map(idle).collect()
}
