//! What the machine says of itself: its clock, limits, what listens, the system, how the server ended.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use kings_net::Place;
use kings_ops::doctor::clock::ahead_of;
use kings_ops::doctor::{self, Clock, Ends, Surface, System};
use kings_ops::machine::system_name;
use kings_ops::status::Server;
use serde_json::Value;

use crate::config::{self, Settings};
use crate::control;
use crate::prepare::holder;
use crate::prepare::ports::holder_of;

/// Files open beside those of connections, as the server counts them.
const FILES_BESIDES: u64 = 1_000;
/// Most time servers that are asked.
const MAX_SERVERS: usize = 3;
/// Where time services of Linux name their servers.
const TIME_CONFIGS: [&str; 5] = [
    "/etc/systemd/timesyncd.conf",
    "/etc/chrony/chrony.conf",
    "/etc/chrony.conf",
    "/etc/ntp.conf",
    "/etc/ntpsec/ntp.conf",
];

/// Asks the named time servers, or those of the machine's own time service.
pub(super) async fn clock(named: &[String]) -> Clock {
    let mut servers = named.to_vec();
    if servers.is_empty() {
        let texts = TIME_CONFIGS.iter().map(|path| fs::read_to_string(path).unwrap_or_default());
        servers = texts.flat_map(|text| time_servers(&text)).collect();
    }
    servers.truncate(MAX_SERVERS);
    let mut asked = Vec::new();
    for server in servers {
        let ahead = ahead_of(&server).await;
        asked.push((server, ahead));
    }
    let is_kept = match words(&["timedatectl", "show", "--property=NTPSynchronized", "--value"]).as_deref() {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    };
    Clock { asked, is_kept }
}

/// `NTP=a b` of systemd, `server a iburst` and `pool a` of chrony and ntpd.
fn time_servers(text: &str) -> Vec<String> {
    let line = |line: &str| -> Vec<String> {
        let line = line.trim();
        if let Some(servers) = line.strip_prefix("NTP=") {
            return servers.split_whitespace().map(str::to_owned).collect();
        }
        let mut words = line.split_whitespace();
        match words.next() {
            Some("server" | "pool") => words.next().map(str::to_owned).into_iter().collect(),
            _ => Vec::new(),
        }
    };
    text.lines().flat_map(line).collect()
}

/// What a program of the system says, in one line; `None` where it is not there or does not succeed.
fn words(command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output =
        Command::new(program).args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// The limits of the server's process; of one that would be started from here where none runs.
pub(super) fn limits(wanted: &config::Limits, pid: Option<u64>) -> doctor::Limits {
    let process = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let read = |file: &str| fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
    let limits = read("limits");
    let group = read("cgroup").lines().find_map(|line| line.strip_prefix("0::").map(str::to_owned));
    let memory = group.and_then(|group| fs::read_to_string(format!("/sys/fs/cgroup{group}/memory.max")).ok());
    let watches = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok();
    let number = |text: Option<String>| text?.trim().parse().ok();
    // The server raises its soft limit to the hard one; one that runs has done so.
    doctor::Limits {
        files: limit(&limits, "Max open files"),
        wanted_files: (wanted.smtp_connections + wanted.imap_connections) as u64 + FILES_BESIDES,
        processes: limit(&limits, "Max processes"),
        memory: number(memory),
        watches: number(watches),
    }
}

/// The hard limit of a line of `/proc/PID/limits`; `None` where there is none.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Who can be reached here, and who holds what we want.
pub(super) fn surface(settings: &Settings, pid: Option<u64>, told: &Value) -> Surface {
    let listening = holder::listening();
    let outside: BTreeSet<String> = listening
        .iter()
        .filter(|found| found.is_outside)
        .map(|found| format!("{} {}", found.opening(), found.holders()))
        .collect();
    let listen = &settings.listen;
    let wanted = [
        &listen.smtp,
        &listen.submission,
        &listen.submissions,
        &listen.imap,
        &listen.imaps,
        &listen.pop3,
        &listen.pop3s,
        &listen.http,
        &listen.https,
    ];
    let taken = wanted.into_iter().flatten().filter(|address| address.port() != 0).filter_map(|address| {
        let (name, holders) = holder_of(&Place::Tcp(*address))?;
        let is_ours = pid.is_some_and(|pid| {
            holders.iter().any(|holder| u64::from(*holder) == pid)
                || (holders.is_empty() && tells_of(told, *address))
        });
        (!is_ours).then(|| (address.to_string(), name))
    });
    let files = listen.lmtp.iter().chain(&listen.auth).filter_map(|place| match place {
        Place::Unix(path) => Some(path.clone()),
        Place::Tcp(_) => None,
    });
    let is_open =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o002 != 0);
    Surface {
        outside: outside.into_iter().collect(),
        taken: taken.collect(),
        open_sockets: files.filter(is_open).collect(),
    }
}

/// Whether the server says that it listens there; for those who may not look at its files.
fn tells_of(told: &Value, address: std::net::SocketAddr) -> bool {
    let listeners = told["listeners"].as_array().into_iter().flatten();
    listeners.filter_map(|listener| listener["address"].as_str()).any(|told| told == address.to_string())
}

pub(super) fn system() -> System {
    System {
        name: system_name(),
        kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
        libc: words(&["getconf", "GNU_LIBC_VERSION"]),
    }
}

/// How the server has ended, as far as it has left a trace.
pub(super) fn ends(settings: &Settings, server: &Server) -> Ends {
    let is_down = matches!(server, Server::Stopped { .. });
    let restarts = words(&["systemctl", "show", "--property=NRestarts", "--value", "kings-smtp.service"]);
    Ends {
        left_socket: is_down && control::path(&settings.data_dir).exists(),
        restarts: restarts.and_then(|count| count.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_servers_are_found_in_the_files_of_each_time_service() {
        let text = "# server none\n[Time]\nNTP=a.example b.example\nserver c.example iburst\npool d.example\nserverless\n";
        assert_eq!(time_servers(text), ["a.example", "b.example", "c.example", "d.example"]);
        assert_eq!(time_servers("#NTP=\nFallbackNTP=x\n"), [""; 0]);
    }

    #[test]
    fn the_hard_limit_is_read_and_unlimited_is_none() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             unlimited            unlimited            processes \n\
                    Max open files            1024                 524288               files     \n";
        assert_eq!(limit(text, "Max open files"), Some(524_288));
        assert_eq!(limit(text, "Max processes"), None);
        assert_eq!(limit(text, "Max locks"), None);
    }
}
