//! `kings status`: each line well, and each line failing with the command that mends it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Folder, Kings, Output, Setup, free_port, program, rooted, run, wait_until};

/// A server whose certificate this machine trusts.
fn setup() -> Setup {
    Setup { tls: "authorities = \"authority.pem\"\n".to_owned(), ..Setup::default() }
}

/// Starts it in a folder that nobody else may enter.
#[track_caller]
fn start(setup: Setup) -> Kings {
    let kings = setup.start();
    set_mode(kings.folder().path(), 0o700);
    kings
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn status(kings: &Kings, more: &[&str]) -> Output {
    run(kings.command(&["status"]).args(more))
}

/// All lines, as programs read them.
#[track_caller]
fn full(kings: &Kings) -> Value {
    let output = status(kings, &["--json", "--full"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output}"))
}

/// State, text and remedy of one line.
#[track_caller]
fn line(page: &Value, id: &str) -> [String; 3] {
    let checks = page["checks"].as_array().unwrap_or_else(|| panic!("no checks: {page}"));
    let found = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {page}"));
    ["state", "text", "fix"].map(|key| found[key].as_str().unwrap_or_default().to_owned())
}

/// That a line is in this state, says this and is mended by that.
#[track_caller]
fn expect(page: &Value, id: &str, state: &str, text: &str, fix: &str) {
    let found = line(page, id);
    assert_eq!(found[0], state, "{found:?}");
    assert!(found[1].contains(text) && found[2].contains(fix), "{found:?}");
}

#[test]
fn a_server_that_is_well_says_so_on_one_screen_within_seconds() {
    let kings = start(setup());
    kings.deliver("ann@example.org", "hello");
    let began = Instant::now();
    let output = status(&kings, &[]);
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(output.status.code(), Some(0), "{output}");
    let text = output.text();
    for part in [
        "running  mail.example.org\n",
        "  Server        ok    process ",
        "  Receiving     ok    smtp ",
        " received in 24 h, 0 refused",
        "  Sending       ok    submission ",
        "  Queue         ok    empty",
        "  Mailboxes     ok    imap ",
        "; 2 accounts, ",
        "  Certificates  ok    ",
        " days left, as shown by smtp submission submissions imap imaps pop3 pop3s",
        "  DNS           ?     ",
        "fix: kings dns check",
        "  Disk          ",
        "  Security      ",
        "Listening: smtp 127.0.0.1:",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert!(text.lines().count() <= 24, "one screen:\n{text}");
}

#[test]
fn json_asks_the_server_alone_unless_all_of_it_is_wanted() {
    let kings = start(setup());
    let plain = status(&kings, &["--json"]).succeeded();
    let page: Value = serde_json::from_slice(&plain.stdout).unwrap();
    assert_eq!((page["schema"].as_u64(), page["state"].as_str()), (Some(1), Some("running")), "{page}");
    assert!(page["listeners"].as_array().is_some_and(|listeners| listeners.len() == 7), "{page}");
    assert!(page["checks"].is_null() && page["up"].is_u64() && page["memory"].is_u64(), "{page}");
    let page = full(&kings);
    assert!(page["listeners"].as_array().is_some_and(|listeners| listeners.len() == 7), "{page}");
    expect(&page, "certificates", "ok", "as shown by smtp", "");
    expect(&page, "receiving", "ok", "smtp ", "");
    assert_eq!(status(&kings, &["--full"]).status.code(), Some(2), "it belongs to --json");
    assert_eq!(status(&kings, &["--json", "--nagios"]).status.code(), Some(2));
}

#[test]
fn nagios_hears_one_line_with_figures_and_its_own_exit_codes() {
    let mut kings = start(setup());
    let nagios = |kings: &Kings| {
        let output = status(kings, &["--nagios"]);
        (output.status.code(), output.text())
    };
    // DNS that nobody can ask is what cannot be told; all else is well.
    let (code, text) = nagios(&kings);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.starts_with("KINGS UNKNOWN - DNS: ") && text.lines().count() == 1, "{text}");
    for figure in [" | queued=0;; deferred=0;; held=0;0; damaged=0;;0 ", "oldest", "memory=", "disk_free="] {
        assert!(text.contains(figure) || figure == "oldest", "no {figure} in {text}");
    }
    // A plugin that may not ask, or finds no config, knows nothing.
    let unknown = run(std::process::Command::new(env!("CARGO_BIN_EXE_kings")).args([
        "status",
        "--nagios",
        "--config",
        "/nowhere/kings.toml",
    ]));
    assert_eq!(unknown.status.code(), Some(3), "{unknown}");
    assert!(unknown.text().starts_with("KINGS UNKNOWN - cannot read /nowhere/kings.toml"), "{unknown}");

    // One that hangs is told from one that is down.
    signal(&kings, Signal::STOP);
    let (code, text) = nagios(&kings);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with("KINGS CRITICAL - Server: it has its control socket open"), "{text}");
    signal(&kings, Signal::CONT);
    kings.kill();
    let (code, text) = nagios(&kings);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.starts_with("KINGS CRITICAL - Server: it does not run"), "{text}");
    let stopped = status(&kings, &[]);
    assert_eq!(stopped.status.code(), Some(1), "{stopped}");
    assert!(stopped.errors().contains("start it with: kings serve --config"), "{stopped}");
    assert!(stopped.text().contains("  Disk "), "the disk can be looked at all the same: {stopped}");
    kings.serve();
}

fn signal(kings: &Kings, signal: Signal) {
    let pid = rustix::process::Pid::from_raw(kings.process().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn a_config_that_was_refused_is_told_until_it_is_mended() {
    let kings = start(setup());
    let config = kings.folder().join("kings.toml");
    let right = fs::read_to_string(&config).unwrap();
    let hang_up = || run(program("kill").args(["-HUP", &kings.process().to_string()])).succeeded();
    let is = |state: &str| (line(&full(&kings), "server")[0] == state).then_some(());
    fs::write(&config, format!("{right}\n[dkim]\nkey_table = \"none\"\nsigning_table = \"none\"\n")).unwrap();
    hang_up();
    fs::write(&config, &right).unwrap();
    wait_until("it is told", Duration::from_secs(10), || is("fail"));
    expect(&full(&kings), "server", "fail", "refused", "kings config check");
    hang_up();
    wait_until("it is well again", Duration::from_secs(10), || is("ok"));
}

/// A certificate for these names and this span, and its key.
fn pair(name: &str, from: (i32, u8, u8), until: (i32, u8, u8)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.not_before = date_time_ymd(from.0, from.1, from.2);
    parameters.not_after = date_time_ymd(until.0, until.1, until.2);
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[test]
fn a_certificate_is_judged_by_what_the_ports_show() {
    let mut kings = start(setup());
    for ((certificate, key), state, text) in [
        (pair("mail.example.org", (2020, 1, 1), (2020, 4, 1)), "fail", "out of date for "),
        (pair("mail.example.org", (2020, 1, 1), (2120, 4, 1)), "warn", "self-signed on smtp"),
    ] {
        kings.folder().write("tls.pem", certificate);
        kings.folder().write("tls.key", key);
        kings.kill();
        kings.serve();
        expect(&full(&kings), "certificates", state, text, "");
    }
    let screen = status(&kings, &[]);
    assert_eq!(screen.status.code(), Some(0), "a warning is no failure: {screen}");
}

#[test]
fn keys_that_any_user_may_read_fail_the_line_of_security() {
    let kings = start(setup());
    let key = kings.folder().join("tls.key");
    set_mode(&key, 0o644);
    set_mode(&kings.folder().join("users"), 0o640);
    assert_ne!(line(&full(&kings), "security")[0], "fail", "nobody else may enter the folder");
    set_mode(kings.folder().path(), 0o755);
    expect(&full(&kings), "security", "fail", &format!("may read {}", key.display()), "chmod o-rwx ");
    let fix = line(&full(&kings), "security")[2].clone();
    run(program("sh").args(["-c", &fix])).succeeded();
    assert_ne!(line(&full(&kings), "security")[0], "fail");
    assert!(line(&full(&kings), "security")[1].contains("0 failed logins"));
    let mut guess = program("curl");
    guess
        .args(["--silent", "--user", "ann@example.org:wrong"])
        .arg("--cacert")
        .arg(&kings.certificates.authority);
    run(guess.arg(format!("imaps://{}/", kings.at("imaps")))).failed();
    assert!(line(&full(&kings), "security")[1].contains("1 failed login,"));
}

#[test]
fn a_disk_that_is_full_fails_its_line() {
    let disk = Folder::new("status-disk");
    let mut mount = rooted("/bin/mount");
    run(mount.args(["-t", "tmpfs", "-o", "size=90m", "kings-test"]).arg(disk.path())).succeeded();
    run(rooted("/bin/chmod").arg("777").arg(disk.path())).succeeded();
    let text = disk.path().to_str().unwrap().to_owned();
    {
        let tables = "[limits]\nfree_space_reserve = 67108864\n".to_owned();
        let kings = start(Setup { disk: text, tables, ..setup() });
        expect(&full(&kings), "disk", "ok", "MB free", "");
        fs::write(disk.join("filler"), vec![0; 40 << 20]).unwrap();
        expect(&full(&kings), "disk", "fail", "new mail is put off", "du -xh ");
        assert_eq!(status(&kings, &[]).status.code(), Some(1));
        fs::remove_file(disk.join("filler")).unwrap();
    }
    run(rooted("/bin/umount").arg("--lazy").arg(disk.path()));
}

#[test]
fn mail_that_cannot_leave_is_told_with_what_it_waits_for() {
    // Nobody listens there.
    let port = free_port();
    let routes: String = (1..=3)
        .map(|number| format!("[[route]]\ndomain = \"d{number}.example\"\nto = \"smtp:127.0.0.1:{port}\"\n"))
        .collect();
    let kings = start(Setup { tables: routes, ..setup() });
    let send = |to: &str| {
        let mut swaks = program("swaks");
        swaks.args([
            "--server",
            &kings.at("submissions"),
            "--tls-on-connect",
            "--from",
            "ann@example.org",
            "--to",
            to,
        ]);
        run(swaks.args(["--auth", "PLAIN", "--auth-user", "ann@example.org", "--auth-password", "secret"]))
            .succeeded();
    };
    send("joe@d1.example");
    let deferred = |count: u64| {
        let page = full(&kings);
        (page["queue"]["deferred"] == count).then_some(page)
    };
    let page = wait_until("the first attempt", Duration::from_secs(20), || deferred(1));
    expect(&page, "queue", "ok", "1 wait, the oldest for ", "");
    expect(&page, "queue", "ok", "1 for d1.example: cannot connect to ", "");
    expect(&page, "sending", "ok", "no answer from d1.example", "");
    send("joe@d2.example");
    send("joe@d3.example");
    let page = wait_until("all attempts", Duration::from_secs(20), || deferred(3));
    expect(&page, "sending", "fail", "none of 3 destinations answers", "port 25");
    run(&mut kings.command(&["queue", "hold", "all"])).succeeded();
    expect(&full(&kings), "queue", "warn", "3 held", "kings queue release");
}

#[test]
fn a_port_that_another_program_has_taken_from_it_fails_its_subject() {
    // What stops answering while the server goes on: its socket file is taken away.
    let folder = Folder::new("status");
    let socket = folder.join("lmtp.sock");
    let mut setup = setup();
    setup.listen += &format!("lmtp = [\"unix:{}\"]\n", socket.display());
    let kings = start(setup);
    expect(&full(&kings), "receiving", "ok", "lmtp ", "");
    fs::remove_file(&socket).unwrap();
    expect(&full(&kings), "receiving", "fail", "does not answer", "journalctl");
}

#[test]
fn a_listener_behind_a_proxy_cannot_be_asked_from_here() {
    let mut setup = setup();
    setup.listen += "proxy_from = [\"127.0.0.0/8\"]\n";
    let kings = start(setup);
    let page = full(&kings);
    expect(&page, "receiving", "cannot_tell", "PROXY", "from another machine");
    assert_eq!(page["result"], "cannot_tell", "{page}");
    assert_eq!(status(&kings, &[]).status.code(), Some(0));
}
