//! What is behind a server that does not do well: clock, resolver, DNSSEC, limits, permissions, what listens, who may relay.

pub mod clock;
pub mod relay;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::status::{Line, State};

/// A clock that is so far off breaks certificates, signatures and logins; one that is that far off will.
const CLOCK_FAILS: i64 = 60_000;
const CLOCK_WARNS: i64 = 2_000;
/// A resolver that takes so long holds up every message.
const SLOW_ANSWER: Duration = Duration::from_secs(1);
/// What the server needs at the very least, and what it may come to use: 128 threads wait for disks.
const FEWEST_FILES: u64 = 1_024;
const FEWEST_PROCESSES: u64 = 256;
const LEAST_MEMORY: u64 = 256 << 20;
/// One for each mailbox that a client watches.
const FEWEST_WATCHES: u64 = 8_192;
/// The first version whose `syncfs` tells of errors.
const KERNEL: (u32, u32) = (5, 8);

/// What is known of the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Each time server that was asked: how many milliseconds this machine is ahead of it, or why it did not say.
    pub asked: Vec<(String, Result<i64, String>)>,
    /// Whether the system holds its clock to be set by such a server; `None` where it does not say.
    pub is_kept: Option<bool>,
}

/// Whether it is as late as this machine thinks.
pub fn clock(clock: &Clock) -> Line {
    const ID: (&str, &str) = ("clock", "Clock");
    const SET: &str = "timedatectl set-ntp true";
    let told = clock.asked.iter().filter_map(|(server, ahead)| Some((server, *ahead.as_ref().ok()?)));
    let kept = match clock.is_kept {
        Some(true) => ", kept by the system",
        Some(false) => ", kept by nobody",
        None => "",
    };
    if let Some((server, ahead)) = told.max_by_key(|(_, ahead)| ahead.abs()) {
        let side = if ahead < 0 { "behind" } else { "ahead of" };
        let text = format!("{}.{:03} s {side} {server}{kept}", ahead.abs() / 1_000, ahead.abs() % 1_000);
        return match ahead.abs() {
            CLOCK_FAILS.. => Line::not_ok(ID, State::Fail, text, SET),
            CLOCK_WARNS.. => Line::not_ok(ID, State::Warn, text, SET),
            _ if clock.is_kept == Some(false) => Line::not_ok(ID, State::Warn, text, SET),
            _ => Line::ok(ID.0, ID.1, text),
        };
    }
    let why =
        clock.asked.iter().find_map(|(server, ahead)| Some(format!("; {server}: {}", ahead.as_ref().err()?)));
    let why = why.unwrap_or_default();
    match clock.is_kept {
        Some(true) => Line::ok(ID.0, ID.1, format!("kept by the system{why}")),
        Some(false) => Line::not_ok(ID, State::Warn, format!("nobody keeps it{why}"), SET),
        None => {
            let text = format!("no time server was asked, and the system does not say{why}");
            Line::not_ok(ID, State::CannotTell, text, "kings doctor --ntp SERVER")
        }
    }
}

/// What a resolver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Who was asked.
    pub servers: Vec<String>,
    /// How long the answer took, or why there is none.
    pub took: Result<Duration, String>,
}

/// Whether names can be asked for at all.
pub fn resolver(answered: &Answered) -> Line {
    const ID: (&str, &str) = ("resolver", "Resolver");
    let who = if answered.servers.is_empty() { "nobody".to_owned() } else { answered.servers.join(", ") };
    match &answered.took {
        Err(why) => {
            let fix = "name servers that answer: [dns] servers = [\"127.0.0.1:53\"], or /etc/resolv.conf";
            Line::not_ok(ID, State::Fail, format!("{who}: {why}"), fix)
        }
        Ok(took) if *took >= SLOW_ANSWER => {
            let text = format!("{who} took {} ms", took.as_millis());
            Line::not_ok(ID, State::Warn, text, "apt install unbound; [dns] servers = [\"127.0.0.1:53\"]")
        }
        Ok(took) => Line::ok(ID.0, ID.1, format!("{who} answered in {} ms", took.as_millis())),
    }
}

/// What came of questions for a signed name and for one whose signature is wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dnssec {
    /// The AD bit of this resolver counts: it is on this machine, or the config says so.
    pub is_believed: bool,
    /// The AD bit of the signed name; `None` without an answer.
    pub signed: Option<bool>,
    /// Whether the name with the wrong signature got an answer; `None` where that cannot be told.
    pub bogus: Option<bool>,
}

/// Whether forged answers are found out (RFC 7672 §2.1.1 asks for that before DANE).
pub fn dnssec(found: Dnssec) -> Line {
    const ID: (&str, &str) = ("dnssec", "DNSSEC");
    const FIX: &str = "apt install unbound; [dns] servers = [\"127.0.0.1:53\"]";
    match found {
        Dnssec { signed: None, .. } => Line::not_ok(
            ID,
            State::CannotTell,
            "no answer for a name that is signed",
            "kings doctor, once the resolver answers",
        ),
        Dnssec { is_believed: true, bogus: Some(true), .. } => Line::not_ok(
            ID,
            State::Fail,
            "the resolver is believed, and takes a wrong signature for a right one",
            FIX,
        ),
        Dnssec { is_believed: true, signed: Some(false), .. } => {
            Line::not_ok(ID, State::Warn, "the resolver does not validate: DANE is off", FIX)
        }
        Dnssec { is_believed: false, .. } => Line::not_ok(
            ID,
            State::Warn,
            "the resolver is not on this machine, so its word is not believed: DANE is off",
            FIX,
        ),
        Dnssec { is_believed: true, signed: Some(true), bogus } => {
            let bogus = if bogus == Some(false) { ", and a wrong signature is found out" } else { "" };
            Line::ok(ID.0, ID.1, format!("answers are validated on this machine{bogus}"))
        }
    }
}

/// How much the server may have; `None` where there is no limit, or nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Open files, and how many it may come to need.
    pub files: Option<u64>,
    /// See `files`.
    pub wanted_files: u64,
    /// Processes and threads of its user.
    pub processes: Option<u64>,
    /// Octets of memory of its control group.
    pub memory: Option<u64>,
    /// Folders that can be watched.
    pub watches: Option<u64>,
}

/// Whether there is enough of everything.
pub fn limits(limits: Limits) -> Line {
    const ID: (&str, &str) = ("limits", "Limits");
    let Limits { files, wanted_files, processes, memory, watches } = limits;
    let shown = |limit: Option<u64>| limit.map_or("no limit of".to_owned(), |limit| limit.to_string());
    let told = format!("{} files, {} processes, {} watches", shown(files), shown(processes), shown(watches));
    let below = |limit: Option<u64>, least| limit.is_some_and(|limit| limit < least);
    if below(files, FEWEST_FILES) {
        let fix = format!("LimitNOFILE={wanted_files} in the service (systemctl edit kings-smtp)");
        return Line::not_ok(ID, State::Fail, format!("too few open files: {told}"), fix);
    }
    let short = [
        (
            below(files, wanted_files),
            "open files",
            format!("LimitNOFILE={wanted_files} in the service, or lower connections in [limits]"),
        ),
        (
            below(processes, FEWEST_PROCESSES),
            "processes",
            format!("LimitNPROC={FEWEST_PROCESSES} in the service"),
        ),
        (below(memory, LEAST_MEMORY), "memory", "MemoryMax=512M in the service".to_owned()),
        (below(watches, FEWEST_WATCHES), "watches", "sysctl -w fs.inotify.max_user_watches=65536".to_owned()),
    ];
    match short.into_iter().find(|(is_short, ..)| *is_short) {
        Some((_, what, fix)) => Line::not_ok(ID, State::Warn, format!("few {what}: {told}"), fix),
        None => Line::ok(ID.0, ID.1, told),
    }
}

/// What is wrong with a file or folder of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// How bad it is.
    pub state: State,
    /// What was found, with the path.
    pub text: String,
    /// What mends it.
    pub fix: String,
}

/// Whether the server can write what it must, and others cannot read what they must not.
pub fn permissions(user: &str, looked_at: usize, flaws: &[Flaw]) -> Line {
    const ID: (&str, &str) = ("permissions", "Permissions");
    let Some(worst) = flaws.iter().max_by_key(|flaw| flaw.state) else {
        return Line::ok(ID.0, ID.1, format!("{looked_at} files and folders are as {user} needs them"));
    };
    let more = if flaws.len() > 1 { format!(" (and {} more)", flaws.len() - 1) } else { String::new() };
    Line::not_ok(ID, worst.state, format!("{}{more}", worst.text), worst.fix.clone())
}

/// What listens on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surface {
    /// Ports that others than this machine reach, with who has them: `25/tcp kings`.
    pub outside: Vec<String>,
    /// Ports of the config that another program has, with its name and number.
    pub taken: Vec<(String, String)>,
    /// Socket files of ours that any user may open.
    pub open_sockets: Vec<PathBuf>,
}

/// Who can be reached, and by whom.
pub fn surface(surface: &Surface) -> Line {
    const ID: (&str, &str) = ("surface", "Listening");
    if let Some((place, holder)) = surface.taken.first() {
        let fix = format!("stop {holder}, or listen elsewhere in [listen]");
        return Line::not_ok(ID, State::Fail, format!("{place} of the config is held by {holder}"), fix);
    }
    let told = match surface.outside.as_slice() {
        [] => "nothing is reached from outside".to_owned(),
        ports => format!("reached from outside: {}", ports.join(", ")),
    };
    if let Some(path) = surface.open_sockets.first() {
        let text = format!("any user of this machine may open {}; {told}", path.display());
        return Line::not_ok(ID, State::Warn, text, "lmtp_mode or auth_mode = \"0660\" in [listen]");
    }
    Line::ok(ID.0, ID.1, told)
}

/// Whether strangers can send mail through this server.
pub fn open_relay(tried: &Result<(IpAddr, bool, relay::Outcome), String>) -> Line {
    const ID: (&str, &str) = ("relay", "Open relay");
    match tried {
        Err(why) => {
            let fix =
                "ask from another machine: swaks --to joe@elsewhere.example --quit-after RCPT --server HOST";
            Line::not_ok(ID, State::CannotTell, why.as_str(), fix)
        }
        Ok((from, _, relay::Outcome::Refused(count))) => {
            Line::ok(ID.0, ID.1, format!("all {count} forms refused, as a stranger from {from}"))
        }
        Ok((from, is_trusted, relay::Outcome::Taken(form))) => {
            let text = format!("mail to others is taken without a login from {from}: {form}");
            let fix = if *is_trusted {
                "take that network out of  networks  in [submission]"
            } else {
                "close port 25 (kings firewall) and report this form to the authors of Kings"
            };
            Line::not_ok(ID, State::Fail, text, fix)
        }
        Ok((from, _, relay::Outcome::Unfinished(why))) => {
            Line::not_ok(ID, State::CannotTell, format!("from {from}: {why}"), "kings status")
        }
    }
}

/// The system below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct System {
    /// For people.
    pub name: String,
    /// `6.1.0-18-amd64`
    pub kernel: String,
    /// `glibc 2.36`, where it says so.
    pub libc: Option<String>,
}

/// Whether the system is one that keeps what it has promised.
pub fn system(system: &System) -> Line {
    const ID: (&str, &str) = ("system", "System");
    let libc = system.libc.as_ref().map_or(String::new(), |libc| format!(", {libc}"));
    let told = format!("{}, Linux {}{libc}", system.name, system.kernel);
    let mut numbers =
        system.kernel.split(|one: char| !one.is_ascii_digit()).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < KERNEL {
        let text = format!("{told}: before Linux {}.{} a failed sync may go unnoticed", KERNEL.0, KERNEL.1);
        return Line::not_ok(ID, State::Warn, text, "update the system: apt full-upgrade");
    }
    Line::ok(ID.0, ID.1, told)
}

/// How the server ended before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// It does not run and has left its control socket: nothing ended it in the usual way.
    pub left_socket: bool,
    /// How often the service manager has started it again by itself.
    pub restarts: Option<u64>,
}

/// Whether it has crashed.
pub fn crashes(ends: Ends) -> Line {
    const ID: (&str, &str) = ("crash", "Crashes");
    const LOOK: &str = "journalctl -u kings-smtp -p warning -n 100";
    match ends {
        Ends { left_socket: true, .. } => Line::not_ok(
            ID,
            State::Fail,
            "it does not run, and did not end in the usual way: a crash, or it was killed",
            LOOK,
        ),
        Ends { restarts: Some(count @ 1..), .. } => {
            Line::not_ok(ID, State::Warn, format!("systemd has started it again {count} times"), LOOK)
        }
        Ends { restarts: Some(0), .. } => Line::ok(ID.0, ID.1, "none since systemd started it"),
        Ends { restarts: None, .. } => Line::ok(ID.0, ID.1, "no trace of one"),
    }
}

#[cfg(test)]
mod tests;
