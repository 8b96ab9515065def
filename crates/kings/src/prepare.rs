//! What happens before there is a runtime: folders, the lock, ports, certificate, and giving up root.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use kings_directory::{Directory, DirectoryError};
use kings_net::{Access as SocketAccess, Bound, Place};
use kings_tls::{Certificates, Source};
use rustix::fs::{Access, AtFlags, CWD, FlockOperation, accessat, flock};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;
use crate::identity::Identity;
use crate::local;

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
    Imap,
    Imaps,
}

impl Server {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Lmtp => "lmtp",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
        }
    }

    /// TLS from the first byte.
    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Submissions | Self::Imaps)
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
        raise_file_limit();
        let sockets = bind_all(&settings, &identity)?;
        // Certbot's keys are for root alone; a certificate of our own is for whoever we become.
        let from_files = match &settings.certificate {
            Source::Files { .. } => Some(Certificates::open(&settings.certificate)?),
            Source::SelfSigned { .. } => None,
        };
        identity.become_it()?;
        for folder in [&settings.data_dir, &settings.mail_dir] {
            check_writable(folder)?;
        }
        let lock = lock(&settings.data_dir)?;
        let certificates = match from_files {
            Some(certificates) => certificates,
            None => Certificates::open(&settings.certificate)?,
        };
        Ok(Self { settings, sockets, certificates, _lock: lock })
    }
}

/// Makes the folder if its parent exists: a missing parent is more often a slip than a wish.
fn ensure_folder(folder: &Path, identity: &Identity) -> anyhow::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    if !parent.is_dir() {
        bail!(
            "{} cannot be made, since {} does not exist: mkdir -p {}",
            folder.display(),
            parent.display(),
            parent.display()
        );
    }
    DirBuilder::new()
        .mode(0o750)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    identity.own(folder)
}

fn check_writable(folder: &Path) -> anyhow::Result<()> {
    let access =
        accessat(CWD, folder, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    access.with_context(|| {
        format!(
            "cannot write in {}: give it to the user that runs Kings, chown USER {}",
            folder.display(),
            folder.display()
        )
    })
}

/// Takes the data for this process alone. The lock ends with the process, however it ends.
pub(crate) fn lock(data_dir: &Path) -> anyhow::Result<File> {
    let path = data_dir.join("lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
    let file = file.with_context(|| format!("cannot open {}", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => {
            bail!(
                "another instance uses {}: stop it first, or give this one a data_dir of its own",
                data_dir.display()
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

fn bind_all(settings: &Settings, identity: &Identity) -> anyhow::Result<Vec<Socket>> {
    let listen = &settings.listen;
    let tcp = |addresses: &[SocketAddr]| addresses.iter().copied().map(Place::Tcp).collect();
    let all: [(Server, Vec<Place>); 6] = [
        (Server::Smtp, tcp(&listen.smtp)),
        (Server::Submission, tcp(&listen.submission)),
        (Server::Submissions, tcp(&listen.submissions)),
        (Server::Lmtp, listen.lmtp.clone()),
        (Server::Imap, tcp(&listen.imap)),
        (Server::Imaps, tcp(&listen.imaps)),
    ];
    let access = identity.socket_access(&listen.lmtp_access)?;
    let mut sockets = Vec::new();
    for (server, places) in all {
        for place in places {
            sockets.push(bind(server, &place, access)?);
        }
    }
    Ok(sockets)
}

fn bind(server: Server, place: &Place, access: SocketAccess) -> anyhow::Result<Socket> {
    let (bound, place) = kings_net::bind(place, access).with_context(|| {
        let remedy = match place {
            Place::Tcp(address) => {
                format!("see who uses the port with  ss -ltnp 'sport = :{}'", address.port())
            }
            Place::Unix(path) => format!("see who uses it with  ss -lxp src {}", path.display()),
        };
        format!("[listen] {}: {remedy}", server.name())
    })?;
    Ok(Socket { server, place, bound })
}

/// Every connection is a file descriptor; the soft limit of 1,024 is a relic. Failing that, fewer fit.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Opens accounts and aliases.
pub(crate) fn open_directory(settings: &Settings) -> Result<Directory, DirectoryError> {
    Directory::open(kings_directory::Settings {
        hostname: settings.hostname.clone(),
        domains: settings.domains.clone(),
        accounts: settings.accounts.clone(),
        aliases: settings.aliases.clone(),
        machine: settings.machine.clone(),
        relays: settings.relays.clone(),
        delimiters: settings.delimiters.clone(),
        login_failures_per_minute: settings.limits.login_failures_per_minute,
    })
}

/// What `serve` would find wrong with the files that the config names, without changing any of them.
pub(crate) fn check(settings: &Settings) -> anyhow::Result<()> {
    let mut complaints = Vec::new();
    if let Err(error) = open_directory(settings) {
        complaints.push(error.to_string());
    }
    // One of our own is made when the server starts, not by a look at the config.
    if let source @ Source::Files { .. } = &settings.certificate
        && let Err(error) = Certificates::open(source)
    {
        complaints.push(error.to_string());
    }
    for folder in [&settings.data_dir, &settings.mail_dir] {
        let parent = folder.parent().unwrap_or(Path::new("/"));
        if !folder.is_dir() && !parent.is_dir() {
            complaints.push(format!("{} cannot be made: mkdir -p {}", folder.display(), parent.display()));
        } else if fs::metadata(folder).is_ok_and(|found| !found.is_dir()) {
            complaints.push(format!("{} is not a folder", folder.display()));
        }
    }
    if complaints.is_empty() { Ok(()) } else { bail!(complaints.join("\n")) }
}
