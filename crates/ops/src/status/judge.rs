//! The judgements: pure, so that each bound has its row in a table.

use std::time::Duration;

use super::facts::{
    Certificate, Disk, Guesses, Mailboxes, Order, Port, Process, Seen, Server, Space, Today, Waiting,
    WaitsFor,
};
use super::{Line, State};
use crate::dns::Report;

/// Mail that has waited for so long is worth a look: some attempts have failed by then.
pub(super) const LONG: Duration = Duration::from_hours(4);
/// So many destinations that are all silent are no longer their own trouble.
const ALL_DEAD: usize = 3;
/// Less than this part of its life left, and a certificate should have been renewed (`kings certificate check` has the same);
/// less than this many days, and it is a fault.
const OVERDUE: i64 = 4;
const LAST_DAYS: i64 = 3;
const DAY: i64 = 24 * 60 * 60;
/// Free space in per cent, of octets and of inodes, below which it is worth a look.
const LOW: u64 = 10;
/// A disk that takes so long for one small write holds up every message.
const SLOW_SYNC: Duration = Duration::from_millis(500);

/// Whether there is a server at all.
pub fn server(server: &Server) -> Line {
    const ID: (&str, &str) = ("server", "Server");
    match server {
        Server::Runs { pid, up, memory, refused: None } => Line::ok(
            ID.0,
            ID.1,
            format!("process {pid}, up {}, {} of memory", duration(*up), octets(*memory)),
        ),
        Server::Runs { refused: Some(why), .. } => Line::not_ok(
            ID,
            State::Fail,
            format!("the config was refused when it was read again, and the one before acts: {why}"),
            "kings config check && systemctl reload kings-smtp",
        ),
        Server::Stopped { start } => Line::not_ok(ID, State::Fail, "it does not run", start.clone()),
        Server::Silent { waited } => Line::not_ok(
            ID,
            State::Fail,
            format!("it has its control socket open and gives no answer within {} s", waited.as_secs()),
            "journalctl -u kings-smtp -n 50; systemctl restart kings-smtp",
        ),
        Server::Odd(said) => Line::not_ok(
            ID,
            State::Fail,
            format!("it answers with \"{said}\": is it of another version?"),
            "systemctl restart kings-smtp",
        ),
    }
}

/// `smtp 3 ms, lmtp 1 ms`, or the first one that is silent.
fn answers(ports: &[&Port]) -> Result<String, (State, String)> {
    let mut told = Vec::new();
    for Port { name, place, seen } in ports {
        match seen {
            Seen::Answers { took, .. } => told.push(format!("{name} {} ms", took.as_millis())),
            Seen::Silent(why) => {
                return Err((State::Fail, format!("{name} at {place} does not answer: {why}")));
            }
            Seen::Unasked(why) => told.push(format!("{name} not asked: {why}")),
        }
    }
    let asked = |port: &&&Port| !matches!(port.seen, Seen::Unasked(_));
    match told.join(", ") {
        told if ports.iter().any(|port| asked(&port)) || ports.is_empty() => Ok(told),
        told => Err((State::CannotTell, told)),
    }
}

fn of<'a>(ports: &'a [Port], names: &[&str]) -> Vec<&'a Port> {
    ports.iter().filter(|port| names.contains(&port.name.as_str())).collect()
}

const LOOK_AT_LOG: &str = "journalctl -u kings-smtp -n 50";

/// A line about listeners; whoever stands in front of them must send a PROXY header, and so must we not.
fn about_ports(
    id: (&'static str, &'static str),
    ports: &[&Port],
    rest: &str,
    none: (State, &str, &str),
) -> Line {
    let (state, what, fix) = none;
    if ports.is_empty() {
        return match state {
            State::Ok => Line::ok(id.0, id.1, format!("{what}; {rest}")),
            state => Line::not_ok(id, state, format!("{what}; {rest}"), fix),
        };
    }
    match answers(ports) {
        Ok(told) => Line::ok(id.0, id.1, format!("{told}; {rest}")),
        Err((State::Fail, why)) => Line::not_ok(id, State::Fail, why, LOOK_AT_LOG),
        Err((state, why)) => {
            let fix = "ask from another machine: openssl s_client -connect HOST:PORT";
            Line::not_ok(id, state, format!("{why}; {rest}"), fix)
        }
    }
}

/// Mail from other servers: whether its listeners answer, and what came.
pub fn receiving(ports: &[Port], today: Today) -> Line {
    let ours = of(ports, &["smtp", "lmtp"]);
    let rest = format!("{} received in 24 h, {} refused", today.received, today.refused);
    let none = (State::Warn, "no listener for mail from others", "set  smtp = [\"[::]:25\"]  in [listen]");
    about_ports(("receiving", "Receiving"), &ours, &rest, none)
}

/// Mail to other servers: whether people can hand it in, and whether anybody takes it.
pub fn sending(ports: &[Port], waiting: &Waiting, today: Today) -> Line {
    const ID: (&str, &str) = ("sending", "Sending");
    let ours = of(ports, &["submission", "submissions"]);
    let rest = format!("{} sent in 24 h, {} failed", today.delivered, today.failed);
    let dead = waiting.reasons.iter().filter(|one| one.is_dead).count();
    if dead >= ALL_DEAD && dead == waiting.reasons.len() && today.delivered == 0 {
        let text = format!(
            "none of {dead} destinations answers, and nothing left in 24 h: is port 25 to the outside closed?"
        );
        let fix = "ask the provider to open port 25 (kings setup prints the text), or set  smart_host  in [outbound]";
        return Line::not_ok(ID, State::Fail, text, fix);
    }
    let line = about_ports(ID, &ours, &rest, (State::Ok, "no submission", ""));
    if line.state == State::Ok && dead > 0 {
        let names: Vec<&str> = waiting
            .reasons
            .iter()
            .filter(|one| one.is_dead)
            .map(|one| one.destination.as_str())
            .take(3)
            .collect();
        let text = format!("{}; no answer from {}", line.text, names.join(", "));
        return Line { text, ..line };
    }
    line
}

/// What waits to leave.
pub fn queue(waiting: &Waiting) -> Line {
    const ID: (&str, &str) = ("queue", "Queue");
    let Waiting { count, looked_at, deferred, held, damaged, oldest, reasons } = waiting;
    if *count == 0 && *damaged == 0 {
        return Line::ok(ID.0, ID.1, "empty");
    }
    let age = oldest.map_or(String::new(), |age| format!(", the oldest for {}", duration(age)));
    let part = if looked_at < count { format!(" (of the oldest {looked_at})") } else { String::new() };
    let why = reasons.first().map_or(String::new(), |WaitsFor { destination, count, reply, .. }| {
        format!("; {count} for {destination}: {reply}")
    });
    let text = format!("{count} wait{age}; {deferred} deferred, {held} held{part}{why}");
    if *damaged > 0 {
        let text = format!("{damaged} cannot be read and are set aside; {text}");
        return Line::not_ok(ID, State::Fail, text, "kings queue list");
    }
    if *held > 0 {
        return Line::not_ok(ID, State::Warn, text, "kings queue list --state held; kings queue release ID");
    }
    if oldest.is_some_and(|age| age >= LONG) {
        return Line::not_ok(ID, State::Warn, text, "kings queue list --older 4h");
    }
    Line::ok(ID.0, ID.1, text)
}

/// Who has mail here, and whether they reach it.
pub fn mailboxes(ports: &[Port], mailboxes: Option<&Mailboxes>) -> Line {
    const ID: (&str, &str) = ("mailboxes", "Mailboxes");
    let ours = of(ports, &["imap", "imaps", "pop3", "pop3s", "auth"]);
    let Some(Mailboxes { accounts, counted, octets: size, full }) = mailboxes else {
        return about_ports(ID, &ours, "sizes not counted", (State::Ok, "no IMAP or POP3", ""));
    };
    let counted = if counted < accounts {
        format!("at least {} in {counted} of them", octets(*size))
    } else {
        octets(*size)
    };
    let rest = format!("{}, {counted}", plural(*accounts, "account", "accounts"));
    let line = about_ports(ID, &ours, &rest, (State::Ok, "no IMAP or POP3", ""));
    if line.state == State::Fail {
        return line;
    }
    if *accounts == 0 {
        return Line::not_ok(ID, State::Warn, line.text, "kings account add you@DOMAIN");
    }
    if let Some(first) = full.first() {
        let more = if full.len() > 1 { format!(" and {} more", full.len() - 1) } else { String::new() };
        let text = format!("{first}{more} may hold no more; {}", line.text);
        return Line::not_ok(ID, State::Warn, text, "kings quota get");
    }
    line
}

/// How often a certificate is renewed by itself, and what to run where it is not.
pub fn certificates(ports: &[Port], orders: &[Order], renews_itself: bool) -> Line {
    const ID: (&str, &str) = ("certificates", "Certificates");
    let renew = if renews_itself {
        "kings certificate renew"
    } else {
        "renew the files of [tls], then  systemctl reload kings-smtp"
    };
    let shown: Vec<(&str, &Certificate)> = ports
        .iter()
        .filter_map(|port| match &port.seen {
            Seen::Answers { certificate, .. } => Some((port.name.as_str(), certificate.as_ref()?)),
            Seen::Silent(_) | Seen::Unasked(_) => None,
        })
        .collect();
    let names = |wanted: &dyn Fn(&Certificate) -> bool| {
        shown.iter().filter(|(_, one)| wanted(one)).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
    };
    let more = if orders.len() > 1 { format!(" and {} more", orders.len() - 1) } else { String::new() };
    let order = orders.first().map(|order| (order, format!("{}{more}: {}", order.name, order.error)));
    let Some(left) = shown.iter().map(|(_, one)| one.left).min() else {
        return match order {
            Some((order, text)) => Line::not_ok(ID, State::Warn, text, order.fix.clone()),
            None => Line::not_ok(ID, State::CannotTell, "no port showed one", "kings certificate check"),
        };
    };
    if left < 0 {
        let text = format!("out of date for {} on {}", duration(seconds(-left)), names(&|one| one.left < 0));
        return Line::not_ok(ID, State::Fail, text, renew);
    }
    let days = left / DAY;
    if days < LAST_DAYS && shown.iter().any(|(_, one)| overdue(one)) {
        let text =
            format!("only {} left on {}", duration(seconds(left)), names(&|one| one.left / DAY == days));
        return Line::not_ok(ID, State::Fail, text, renew);
    }
    if let Some((_, Certificate { distrust: Some(why), is_self_signed, .. })) =
        shown.iter().find(|(_, one)| one.distrust.is_some())
    {
        let bad = names(&|one| one.distrust.is_some());
        return match (is_self_signed, order) {
            (true, Some((order, text))) => {
                let text = format!("a stand-in until the authority gives one; {text}");
                Line::not_ok(ID, State::Wait, text, order.fix.clone())
            }
            (true, None) => {
                let fix = "get one from an authority: acme = { contact = \"mailto:...\" } in [tls]";
                Line::not_ok(ID, State::Warn, format!("self-signed on {bad}: mail programs warn of it"), fix)
            }
            (false, order) => {
                let (text, fix) = (format!("clients turn away from {bad}: {why}"), "kings certificate check");
                match order {
                    None => Line::not_ok(ID, State::Fail, text, fix),
                    Some((order, why)) => Line::not_ok(
                        ID,
                        State::Fail,
                        format!("{text}; {why}"),
                        format!("{fix}; {}", order.fix),
                    ),
                }
            }
        };
    }
    let text =
        format!("{} left, as shown by {}", plural(days.unsigned_abs(), "day", "days"), names(&|_| true));
    if let Some((order, why)) = order {
        return Line::not_ok(ID, State::Warn, format!("{why}; {text}"), order.fix.clone());
    }
    if shown.iter().any(|(_, one)| overdue(one)) {
        return Line::not_ok(ID, State::Warn, format!("{text}, and no new one"), renew);
    }
    Line::ok(ID.0, ID.1, text)
}

fn overdue(certificate: &Certificate) -> bool {
    certificate.left < certificate.life / OVERDUE
}

/// What a look at DNS found; `None` where it was not done in time, or why it could not be done.
pub fn dns(report: Result<&Report, &str>) -> Line {
    const ID: (&str, &str) = ("dns", "DNS");
    const CHECK: &str = "kings dns check";
    let report = match report {
        Ok(report) => report,
        Err(why) => return Line::not_ok(ID, State::CannotTell, why, CHECK),
    };
    let all = report.findings.len();
    let good = format!("{} of {all} as they should be", report.count(State::Ok));
    let state = report.worst();
    let Some(finding) = report.findings.iter().find(|finding| finding.state == state && state != State::Ok)
    else {
        return Line::ok(ID.0, ID.1, good);
    };
    let text = format!("{good}; {} {}: {}", finding.kind, finding.name, finding.what);
    Line::not_ok(ID, state, text, CHECK)
}

/// Free space; below the reserve mail is put off.
pub fn disk(disks: &[Disk]) -> Line {
    const ID: (&str, &str) = ("disk", "Disk");
    let fix = |disk: &Disk| format!("du -xh --max-depth=2 {} | sort -h | tail", disk.path.display());
    let judged: Vec<(State, String)> = disks.iter().map(one_disk).collect();
    let state = judged.iter().map(|(state, _)| *state).max().unwrap_or(State::Ok);
    match disks.iter().zip(&judged).find(|(_, (one, _))| *one == state && state != State::Ok) {
        Some((disk, (_, text))) => Line::not_ok(ID, state, text.as_str(), fix(disk)),
        None => {
            let told: Vec<&str> = judged.iter().map(|(_, text)| text.as_str()).collect();
            Line::ok(ID.0, ID.1, told.join("; "))
        }
    }
}

fn one_disk(disk: &Disk) -> (State, String) {
    let path = disk.path.display();
    let space = match &disk.space {
        Err(why) => return (State::Fail, format!("{path}: {why}")),
        Ok(space) => *space,
    };
    let sync = disk.sync.map_or(String::new(), |sync| format!(", synced in {} ms", sync.as_millis()));
    let inodes = match space.inodes {
        0 => String::new(),
        inodes => format!(" and {} % of its inodes", share(space.free_inodes, inodes)),
    };
    let text = format!("{} of {} free{inodes} at {path}{sync}", octets(space.free), octets(space.total));
    match judge_space(space) {
        State::Fail => (State::Fail, format!("new mail is put off: {text}")),
        State::Ok if disk.sync.is_some_and(|sync| sync >= SLOW_SYNC) => {
            (State::Warn, format!("the disk is slow: {text}"))
        }
        state => (state, text),
    }
}

fn judge_space(space: Space) -> State {
    let Space { total, free, inodes, free_inodes, reserve } = space;
    if free < reserve || (inodes > 0 && free_inodes < inodes / 100) {
        State::Fail
    } else if share(free, total) < LOW || share(free_inodes, inodes) < LOW {
        State::Warn
    } else {
        State::Ok
    }
}

fn share(free: u64, total: u64) -> u64 {
    free.saturating_mul(100).checked_div(total).unwrap_or(100)
}

/// Who the server is, what it can do, who tries passwords, and what lies open.
pub fn security(process: Option<&Process>, exposed: &[std::path::PathBuf], guesses: Option<Guesses>) -> Line {
    const ID: (&str, &str) = ("security", "Security");
    let mut told = Vec::new();
    if let Some(process) = process {
        told.push(format!("runs as {}", process.user));
        let fences = [(process.no_new_privileges, "no new privileges"), (process.has_seccomp, "seccomp")];
        told.extend(fences.iter().filter(|(is_on, _)| *is_on).map(|(_, name)| (*name).to_owned()));
        told.push(format!("{} open to others", plural(process.outside.len() as u64, "port", "ports")));
    }
    if let Some(Guesses { failures, networks_shut_out }) = guesses {
        told.push(format!(
            "{}, {} shut out now",
            plural(failures, "failed login", "failed logins"),
            plural(networks_shut_out, "network", "networks")
        ));
    }
    let told = told.join(", ");
    if let Some(first) = exposed.first() {
        let files: Vec<String> = exposed.iter().map(|path| path.display().to_string()).collect();
        let text = format!("any user of this machine may read {}; {told}", first.display());
        return Line::not_ok(ID, State::Fail, text, format!("chmod o-rwx {}", files.join(" ")));
    }
    if process.is_some_and(|process| process.is_root) {
        let fix = "set  user = \"vmail\"  in the config, chown its folders, and restart";
        return Line::not_ok(ID, State::Warn, told, fix);
    }
    if process.is_none() && guesses.is_none() {
        return Line::ok(ID.0, ID.1, "no key lies open");
    }
    Line::ok(ID.0, ID.1, told)
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(count.unsigned_abs())
}

fn plural(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// `3 d 4 h`, `12 min`, `40 s`.
pub(crate) fn duration(time: Duration) -> String {
    let minutes = time.as_secs() / 60;
    match (minutes / (24 * 60), minutes / 60 % 24, minutes % 60) {
        (0, 0, 0) => format!("{} s", time.as_secs()),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

/// `12.3 GB`, `512 MB`, `7 KB`.
pub(crate) fn octets(count: u64) -> String {
    match count >> 10 {
        kilobytes if kilobytes < 1 << 10 => format!("{kilobytes} KB"),
        kilobytes if kilobytes < 10 << 20 => format!("{} MB", kilobytes >> 10),
        kilobytes => format!("{} GB", kilobytes >> 20),
    }
}

#[cfg(test)]
mod tests;
