//! Everything that the screen shows, looked at side by side, so that all of it takes a few seconds at most.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kings_net::Place;
use kings_ops::dns::Report;
use kings_ops::ports::{Visit, visit};
use kings_ops::status::{
    self, Certificate, Disk, Guesses, Line, Mailboxes, Order, Port, Process, Seen, Server, Space, Today,
    Waiting, WaitsFor,
};
use kings_tls::{ClientTls, Source};
use nix::unistd::{Uid, User};
use rustix::fs::{CWD, Mode, OFlags, fsync, openat, statvfs};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::super::{Failure, dns};
use crate::config::{Settings, Threads};
use crate::control::{self, Request};
use crate::serve;

/// How long the server may take to say how it is. Counting mailboxes may take 3 s of it.
const SERVER: Duration = Duration::from_secs(4);
/// How long a port may take for greeting, TLS and its list.
const PORT: Duration = Duration::from_secs(3);
/// How long DNS may take; where it takes longer `kings dns check` waits.
const DNS: Duration = Duration::from_secs(5);
/// How long a disk may take for one small write.
const DISK: Duration = Duration::from_secs(5);
/// What that write writes.
const OCTETS: usize = 4_096;

/// What was found.
pub(super) struct Gathered {
    /// What the server told; of one that does not, what is left to say.
    pub(super) told: Value,
    server: Server,
    ports: Vec<Port>,
    dns: Result<Report, String>,
    disks: Vec<Disk>,
    exposed: Vec<PathBuf>,
    renews_itself: bool,
    now: Duration,
}

/// What is said in the place of a server.
pub(super) fn nothing(state: &str) -> Value {
    json!({ "schema": 1, "version": env!("CARGO_PKG_VERSION"), "state": state, "listeners": [] })
}

pub(super) fn start(config: &Path) -> String {
    format!("kings serve --config {}", config.display())
}

impl Gathered {
    pub(super) fn new(settings: &Settings, config: &Path) -> Result<Self, Failure> {
        let runtime = serve::runtime(Threads { workers: Some(2), blocking: 16 })?;
        let gathered = runtime.block_on(Self::look(settings, config));
        // A disk that hangs must not hold us up any longer.
        runtime.shutdown_background();
        gathered
    }

    async fn look(settings: &Settings, config: &Path) -> Result<Self, Failure> {
        let dns = async {
            match timeout(DNS, dns::look(settings)).await {
                Ok(Ok(report)) => Ok(report),
                Ok(Err(failure)) => Err(failure.parts().1.to_owned()),
                Err(_) => Err(format!("no answer within {} s", DNS.as_secs())),
            }
        };
        let server = async {
            let asked = ask(settings, config).await;
            let ports = match &asked {
                Ok((_, told)) => ports(settings, told).await,
                Err(_) => Vec::new(),
            };
            asked.map(|asked| (asked, ports))
        };
        let (asked, dns, disks) = tokio::join!(server, dns, disks(settings));
        let ((server, told), ports) = asked?;
        Ok(Self {
            told,
            server,
            ports,
            dns,
            disks,
            exposed: secrets(settings).into_iter().filter(|path| is_open_to_all(path)).collect(),
            renews_itself: settings.acme.is_some(),
            now: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        })
    }

    /// Whether somebody answers.
    pub(super) fn runs(&self) -> bool {
        matches!(self.server, Server::Runs { .. })
    }

    /// All subjects; of a server that does not answer, those that can be looked at without it.
    pub(super) fn lines(&self) -> Vec<Line> {
        let mut lines = vec![status::server(&self.server)];
        let (waiting, today) = (self.waiting(), self.today());
        if self.runs() {
            lines.extend([
                status::receiving(&self.ports, today),
                status::sending(&self.ports, &waiting, today),
                status::queue(&waiting),
                status::mailboxes(&self.ports, self.mailboxes().as_ref()),
                status::certificates(&self.ports, &self.orders(), self.renews_itself),
            ]);
        }
        lines.push(status::dns(self.dns.as_ref().map_err(String::as_str)));
        lines.push(status::disk(&self.disks));
        lines.push(status::security(self.process().as_ref(), &self.exposed, self.guesses()));
        lines
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.told.pointer(path).and_then(Value::as_u64)
    }

    fn today(&self) -> Today {
        let count = |step: &str| self.number(&format!("/day/{step}")).unwrap_or_default();
        Today {
            received: count("received"),
            refused: count("refused"),
            delivered: count("delivered"),
            failed: count("failed"),
        }
    }

    /// How long the oldest entry waits.
    pub(super) fn oldest(&self) -> Option<Duration> {
        let arrived = self.number("/queue/oldest")?;
        Some(Duration::from_secs(self.now.as_secs().saturating_sub(arrived)))
    }

    fn waiting(&self) -> Waiting {
        let count = |path: &str| self.number(path).unwrap_or_default();
        let destinations = self.told.pointer("/queue/destinations").and_then(Value::as_array);
        let reason = |one: &Value| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            let (reply, count) = (text("reply"), one["count"].as_u64().unwrap_or_default());
            // So says the relay where no connection came about, and the queue where it did not even try for that reason.
            let is_dead =
                reply.trim_start_matches("not tried, for just before: ").starts_with("cannot connect");
            WaitsFor { destination: text("destination"), count, reply, is_dead }
        };
        Waiting {
            count: count("/queued"),
            looked_at: count("/queue/looked_at"),
            deferred: count("/queue/deferred"),
            held: count("/queue/held"),
            damaged: count("/damaged"),
            oldest: self.oldest(),
            reasons: destinations.into_iter().flatten().map(reason).collect(),
        }
    }

    fn mailboxes(&self) -> Option<Mailboxes> {
        let full = self.told.pointer("/mailboxes/full").and_then(Value::as_array);
        let name = |one: &Value| Some(one.as_str()?.to_owned());
        Some(Mailboxes {
            accounts: self.number("/mailboxes/accounts")?,
            counted: self.number("/mailboxes/counted")?,
            octets: self.number("/mailboxes/octets")?,
            full: full.into_iter().flatten().filter_map(name).collect(),
        })
    }

    fn orders(&self) -> Vec<Order> {
        let items = self.told["certificates"].as_array();
        let order = |item: &Value| {
            let text = |key: &str| item[key].as_str().unwrap_or_default().to_owned();
            let error = item["error"].as_str()?.to_owned();
            Some(Order { name: text("name"), error, fix: text("fix") })
        };
        items.into_iter().flatten().filter_map(order).collect()
    }

    fn guesses(&self) -> Option<Guesses> {
        Some(Guesses {
            failures: self.number("/logins/failed")?,
            networks_shut_out: self.number("/logins/networks_shut_out")?,
        })
    }

    fn process(&self) -> Option<Process> {
        let Server::Runs { pid, .. } = self.server else { return None };
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let outside = self.told["listeners"].as_array().into_iter().flatten().filter_map(|listener| {
            let place: Place = listener["address"].as_str()?.parse().ok()?;
            matches!(place, Place::Tcp(address) if !address.ip().to_canonical().is_loopback())
                .then(|| place.to_string())
        });
        let uid: u32 = of_process(&text, "Uid")?.split_whitespace().nth(1)?.parse().ok()?;
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        Some(Process {
            user: user.map_or_else(|| format!("user {uid}"), |user| user.name),
            is_root: uid == 0,
            no_new_privileges: of_process(&text, "NoNewPrivs") == Some("1"),
            has_seccomp: of_process(&text, "Seccomp").is_some_and(|mode| mode != "0"),
            outside: outside.collect(),
        })
    }

    /// Seconds that the certificate is good for which ends first.
    pub(super) fn certificate_left(&self) -> Option<i64> {
        let left = |port: &Port| match &port.seen {
            Seen::Answers { certificate, .. } => certificate.as_ref().map(|certificate| certificate.left),
            Seen::Silent(_) | Seen::Unasked(_) => None,
        };
        self.ports.iter().filter_map(left).min()
    }

    /// Of the fuller disk.
    pub(super) fn free_per_cent(&self) -> Option<i64> {
        let free = |disk: &Disk| {
            let space = disk.space.as_ref().ok()?;
            i64::try_from(space.free.saturating_mul(100).checked_div(space.total)?).ok()
        };
        self.disks.iter().filter_map(free).min()
    }
}

/// The value of a field of `/proc/PID/status`.
fn of_process<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim)
}

/// Who answers, and what. Whoever may not ask is told so, and nothing else.
pub(in super::super) async fn ask(settings: &Settings, config: &Path) -> Result<(Server, Value), Failure> {
    let socket = control::path(&settings.data_dir);
    let asked = spawn_blocking(move || control::ask_within(&socket, &Request::Condition, SERVER)).await;
    let asked = asked.map_err(|error| Failure::cannot_tell(error.to_string()))?;
    Ok(match asked {
        Ok(None) => (Server::Stopped { start: start(config) }, nothing("stopped")),
        Ok(Some(Ok(told))) => {
            let number = |key: &str| told[key].as_u64().unwrap_or_default();
            let server = Server::Runs {
                pid: number("pid"),
                up: Duration::from_secs(number("up")),
                memory: number("memory"),
                refused: told["refused_config"].as_str().map(str::to_owned),
            };
            (server, told)
        }
        Ok(Some(Err(said))) => (Server::Odd(said), nothing("unknown")),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(super::super::not_ours()),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            (Server::Silent { waited: SERVER }, nothing("silent"))
        }
        Err(error) => (Server::Odd(error.to_string()), nothing("unknown")),
    })
}

/// All listeners, visited at once.
async fn ports(settings: &Settings, told: &Value) -> Vec<Port> {
    let tls = ClientTls::with_authorities(&settings.authorities);
    let listeners = told["listeners"].as_array().into_iter().flatten();
    let visits: Vec<_> = listeners
        .filter_map(|listener| {
            let (name, place) =
                (listener["name"].as_str()?.to_owned(), listener["address"].as_str()?.to_owned());
            let at: Place = place.parse().ok()?;
            let (tls, hostname) = (tls.clone(), settings.hostname.clone());
            let unasked = is_proxied(settings, &at);
            let key = name.clone();
            let visit = async move {
                if unasked {
                    return Some(Seen::Unasked("it wants a PROXY header from here".to_owned()));
                }
                match timeout(PORT, visit(&at, &key, &hostname, &tls)).await {
                    Ok(None) => None,
                    Ok(Some(Ok(visit))) => Some(seen(&visit)),
                    Ok(Some(Err(error))) => Some(Seen::Silent(error.to_string())),
                    Err(_) => Some(Seen::Silent(format!("no answer within {} s", PORT.as_secs()))),
                }
            };
            Some((name, place, tokio::spawn(visit)))
        })
        .collect();
    let mut ports = Vec::new();
    for (name, place, visit) in visits {
        let seen = visit.await.unwrap_or_else(|error| Some(Seen::Unasked(error.to_string())));
        ports.extend(seen.map(|seen| Port { name, place, seen }));
    }
    ports
}

fn seen(visit: &Visit) -> Seen {
    let certificate = visit.tls.as_ref().and_then(|shown| {
        let certificate = shown.certificate.as_ref()?;
        let now = unix(SystemTime::now());
        Some(Certificate {
            left: unix(certificate.not_after) - now,
            life: unix(certificate.not_after) - unix(certificate.not_before),
            distrust: shown.verdict.clone().err(),
            is_self_signed: certificate.is_self_signed,
        })
    });
    Seen::Answers { took: visit.took, certificate }
}

fn unix(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Whether connections of this machine are not heard there without such a header.
fn is_proxied(settings: &Settings, place: &Place) -> bool {
    let Place::Tcp(address) = place else { return false };
    let from = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        ip => ip,
    };
    settings.listen.proxy_from.iter().any(|network| network.contains(&from))
}

/// The folders that data is written to, each on a thread of its own: a file system that hangs must hold up nobody else.
pub(in super::super) async fn disks(settings: &Settings) -> Vec<Disk> {
    let reserve = settings.limits.free_space_reserve;
    let folders = [settings.data_dir.clone(), settings.mail_dir.clone()];
    let looks = folders.map(|path| (path.clone(), spawn_blocking(move || look_at_disk(&path, reserve))));
    let mut disks: Vec<Disk> = Vec::new();
    for (path, look) in looks {
        let found = match timeout(DISK, look).await {
            Ok(Ok(Ok((space, sync)))) => (Ok(space), sync),
            Ok(Ok(Err(error))) => (Err(error.to_string()), None),
            Ok(Err(error)) => (Err(error.to_string()), None),
            Err(_) => (Err(format!("no answer from the disk within {} s", DISK.as_secs())), None),
        };
        disks.push(Disk { path, space: found.0, sync: found.1 });
    }
    disks
}

fn look_at_disk(path: &Path, reserve: u64) -> io::Result<(Space, Option<Duration>)> {
    let found = statvfs(path)?;
    let space = Space {
        total: found.f_blocks.saturating_mul(found.f_frsize),
        free: found.f_bavail.saturating_mul(found.f_frsize),
        inodes: found.f_files,
        free_inodes: found.f_favail,
        reserve,
    };
    Ok((space, time_sync(path)?))
}

/// How long a small write takes until it is on disk. The file has no name, so that nothing is left and no link is followed;
/// `None` where there are none such, no room, or no right to it.
fn time_sync(path: &Path) -> io::Result<Option<Duration>> {
    use rustix::io::Errno;
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let began = Instant::now();
    let written = openat(CWD, path, flags, Mode::RUSR | Mode::WUSR).and_then(|file| {
        rustix::io::write(&file, &[0; OCTETS])?;
        fsync(&file)
    });
    match written {
        Ok(()) => Ok(Some(began.elapsed())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::ACCESS | Errno::PERM | Errno::NOSPC | Errno::DQUOT) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Files that hold a secret.
pub(in super::super) fn secrets(settings: &Settings) -> Vec<PathBuf> {
    let mut files = vec![settings.accounts.clone(), settings.data_dir.join("login-secret")];
    match &settings.certificate {
        Source::Files { default, more } => {
            files.extend(std::iter::once(default).chain(more).map(|pair| pair.private_key.clone()));
        }
        Source::SelfSigned { folder, .. } => files.push(folder.join("self-signed.key")),
        Source::Acme { live, names, .. } => {
            files.extend(names.iter().map(|name| live.join(name.as_str()).join("privkey.pem")));
        }
    }
    let domains = fs::read_dir(settings.data_dir.join("dkim")).into_iter().flatten().flatten();
    for domain in domains {
        let keys = fs::read_dir(domain.path()).into_iter().flatten().flatten().map(|file| file.path());
        let is_key = |path: &PathBuf| {
            path.extension()
                .is_some_and(|end| ["private", "next", "retired"].iter().any(|stage| end == *stage))
        };
        files.extend(keys.filter(is_key));
    }
    files
}

/// Whether any user of the machine may read it: the file itself, and every folder on the way, lets them.
pub(in super::super) fn is_open_to_all(path: &Path) -> bool {
    let mode = |path: &Path| fs::metadata(path).map_or(0, |found| found.permissions().mode());
    let Ok(path) = fs::canonicalize(path) else { return false };
    mode(&path) & 0o004 != 0 && path.ancestors().skip(1).all(|folder| mode(folder) & 0o001 != 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_file_lies_open_only_where_the_way_to_it_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "secret").unwrap();
        let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        for (of_folder, of_file, is_open) in
            [(0o755, 0o644, true), (0o755, 0o640, false), (0o700, 0o644, false), (0o711, 0o604, true)]
        {
            set(folder.path(), of_folder);
            set(&path, of_file);
            assert_eq!(is_open_to_all(&path), is_open, "{of_folder:o} {of_file:o}");
        }
        assert!(!is_open_to_all(&folder.path().join("none")));
    }

    #[test]
    fn a_disk_is_measured_without_a_trace_and_a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (space, _) = look_at_disk(folder.path(), 7).unwrap();
        assert!(space.total > 0 && space.reserve == 7);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(look_at_disk(&folder.path().join("none"), 0).is_err());
    }

    #[test]
    fn fields_of_a_process_are_found_by_their_whole_name() {
        let text = "Name:\tkings\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(of_process(text, "Seccomp"), Some("2"));
        assert_eq!(of_process(text, "Secc"), None);
    }
}
