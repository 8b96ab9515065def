//! A server that gets no thread, cannot read a part of its queue, or is killed while it starts: nothing is lost or doubled,
//! and it is well again without help.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Signal, geteuid, getrlimit};

use crate::harness::{
    Daemon, Kings, Setup, Smtp, UNVERIFIED, files, free_port, letter, messages, program, rooted, run,
    wait_until,
};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
const JOE: &str = "joe@example.net";
/// An account that runs nothing else.
const ACCOUNT: &str = "games";
const NO_LIMITS: &str = "[limits]\nexempt = [\"127.0.0.0/8\"]\n";

/// Sends everything to this port, where nobody listens yet.
fn before(port: u16) -> Kings {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\n{NO_LIMITS}");
    Setup { tables, ..Setup::default() }.start()
}

/// What takes all of it in the end.
fn next_hop(port: u16) -> Kings {
    let catch_all = format!(
        "{UNVERIFIED}[[domain]]\nname = \"example.net\"\ncatch_all = \"ann@example.org\"\n{NO_LIMITS}"
    );
    Setup { listen: format!("smtp = [\"127.0.0.1:{port}\"]\n"), tables: catch_all, ..Setup::default() }
        .start()
}

fn arrived(next_hop: &Kings) -> Vec<String> {
    let all = messages(&next_hop.maildir(ANN));
    let mut subjects: Vec<String> = all.iter().filter_map(|message| message.field("Subject")).collect();
    subjects.sort();
    subjects
}

fn retry(kings: &Kings) {
    run(&mut kings.command(&["queue", "retry"]));
}

fn queue(kings: &Kings) -> String {
    run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text()
}

#[test]
fn a_start_that_is_cut_short_again_and_again_loses_and_doubles_nothing() {
    const COUNT: usize = 40;
    let port = free_port();
    let mut kings = before(port);
    let mut client = kings.submissions(ANN);
    let expected: Vec<String> = (0..COUNT).map(|number| format!("number {number:02}")).collect();
    for subject in &expected {
        client.message(ANN, &[JOE], &letter(ANN, JOE, subject)).unwrap().is("250 2.0.0");
    }
    kings.kill();
    for round in 0..30 {
        let mut serve = kings.command(&["serve"]);
        let mut short = serve.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(15 * round));
        short.kill().unwrap();
        short.wait().unwrap();
    }
    let next_hop = next_hop(port);
    kings.serve();
    wait_until("an empty queue", Duration::from_mins(1), || {
        retry(&kings);
        queue(&kings).contains("\"items\":[]").then_some(())
    });
    assert_eq!(arrived(&next_hop), expected, "each once");
}

/// Makes every read of one file by a running server fail until it is dropped.
fn unreadable(kings: &Kings, file: &PathBuf) -> Daemon {
    let reads = "read,pread64,readv,preadv,preadv2";
    let mut command = rooted(program("strace").get_program());
    command.args(["-f", "-qq", "-e", &format!("trace={reads}"), "-e", &format!("inject={reads}:error=EIO")]);
    command.arg("-P").arg(file).args(["-p", &kings.process().to_string()]);
    let daemon = Daemon::start("strace", &mut command, &kings.folder().join("strace.log"));
    let status = format!("/proc/{}/status", kings.process());
    wait_until("strace to attach", Duration::from_secs(10), || {
        let traced = fs::read_to_string(&status).unwrap();
        (!traced.lines().any(|line| line == "TracerPid:\t0")).then_some(())
    });
    // It attaches to one thread after the other.
    thread::sleep(Duration::from_millis(500));
    daemon
}

#[test]
fn an_entry_that_cannot_be_read_waits_and_the_others_leave() {
    let port = free_port();
    let mut kings = before(port);
    for subject in ["first", "second"] {
        kings.submit(ANN, JOE, subject);
    }
    wait_until("both attempts", Duration::from_secs(20), || {
        (queue(&kings).matches("\"attempts\":1").count() == 2).then_some(())
    });
    // What has just come may still be in memory.
    kings.kill();
    kings.serve();
    let is_first = |file: &&PathBuf| fs::read_to_string(file).unwrap_or_default().contains("Subject: first");
    let first = files(&kings.folder().join("data/queue/entries")).iter().find(is_first).cloned().unwrap();
    let failing = unreadable(&kings, &first);
    let next_hop = next_hop(port);
    retry(&kings);
    wait_until("the other one", Duration::from_secs(30), || (arrived(&next_hop) == ["second"]).then_some(()));
    thread::sleep(Duration::from_secs(1));
    assert_eq!(arrived(&next_hop), ["second"]);
    failing.signal(Signal::INT);
    thread::sleep(Duration::from_millis(300));
    assert!(failing.log().contains("EIO"), "nobody tried to read it");
    wait_until("the first one", Duration::from_mins(1), || {
        retry(&kings);
        (arrived(&next_hop) == ["first", "second"]).then_some(())
    });
    assert!(queue(&kings).contains("\"items\":[]"), "{}", queue(&kings));
}

/// How many the account of the server may have, all its processes together. Only itself may say so, for want of a
/// capability that containers do not have.
fn most_threads(kings: &Kings, most: Option<u64>) {
    let most = most.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
    let prlimit = program("prlimit").get_program().to_owned();
    let mut command = if geteuid().is_root() { program("setpriv") } else { program("env") };
    if geteuid().is_root() {
        command.args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"]);
    }
    command.arg(prlimit).args(["--pid", &kings.process().to_string(), &format!("--nproc={most}:")]);
    run(&mut command).succeeded();
}

#[test]
fn without_threads_mail_is_taken_or_put_off_and_all_is_well_afterwards() {
    const CLIENTS: usize = 30;
    let kings = Setup { account: Some(ACCOUNT), tables: NO_LIMITS.to_owned(), ..Setup::default() }.start();
    kings.deliver(ANN, "before");
    let threads = || fs::read_dir(format!("/proc/{}/task", kings.process())).unwrap().count() as u64;
    let few = threads();
    most_threads(&kings, Some(few));
    let address = kings.address("smtp");
    // More than is kept in memory, so that all of them need a thread that may wait for the disk.
    let large = [letter(CAROL, ANN, "meanwhile"), b"x".repeat(78).repeat(5_000), b"\r\n".to_vec()].concat();
    let send = |large: &[u8]| {
        let mut client = Smtp::connect(address).ok()?;
        client.command("EHLO client.example.net").ok()?;
        Some(client.message(CAROL, &[ANN], large).ok()?.code)
    };
    let crowd = || -> Vec<Option<u16>> {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| send(&large))).collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        })
    };
    let codes = crowd();
    assert!(codes.iter().all(|code| matches!(code, Some(250 | 421 | 451 | 452))), "{codes:?}");
    assert!(threads() <= few, "the limit does not act");
    let taken = codes.iter().filter(|code| **code == Some(250)).count();
    most_threads(&kings, getrlimit(Resource::Nproc).maximum);
    assert_eq!(crowd(), [Some(250); CLIENTS]);
    assert!(threads() > few, "it would have liked to have more");
    assert_eq!(messages(&kings.maildir(ANN)).len(), 1 + taken + CLIENTS);
}
