//! `kings doctor`: each line well, and each line failing with what mends it.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;

use crate::harness::{Kings, NameServer, Output, Setup, free_port, program, rooted, run};

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Starts it in a folder that nobody else may enter.
#[track_caller]
fn start(setup: Setup) -> Kings {
    let kings = setup.start();
    set_mode(kings.folder().path(), 0o700);
    kings
}

fn doctor(kings: &Kings, more: &[&str]) -> Output {
    run(kings.command(&["doctor", "--json"]).args(more))
}

/// That a line is in this state, says this and is mended by that.
#[track_caller]
fn expect(output: &Output, id: &str, state: &str, text: &str, fix: &str) {
    let page: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("no JSON: {output}"));
    let checks = page["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}: {page}"));
    let part = |key: &str| found[key].as_str().unwrap_or_default();
    assert_eq!(part("state"), state, "{found}");
    assert!(part("text").contains(text) && part("fix").contains(fix), "{found}");
    assert_eq!(output.status.code(), Some(i32::from(page["result"] == "fail")), "{page}");
}

/// A time server that is so many seconds ahead of this machine.
fn time_server(ahead: i64) -> String {
    const FROM_1900: u64 = 2_208_988_800;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut message = [0; 48];
        while let Ok((_, client)) = socket.recv_from(&mut message) {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let seconds = (now.as_secs() + FROM_1900).checked_add_signed(ahead).unwrap();
            message.copy_within(40..48, 24);
            (message[0], message[1]) = (0x24, 2);
            message[40..44].copy_from_slice(&u32::try_from(seconds).unwrap().to_be_bytes());
            let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
            message[44..].copy_from_slice(&u32::try_from(fraction).unwrap().to_be_bytes());
            socket.send_to(&message, client).unwrap();
        }
    });
    address
}

#[test]
fn a_machine_that_is_well_fails_nothing_and_each_line_says_what_was_measured() {
    let kings = start(Setup::default());
    let time = time_server(0);
    let output = run(&mut kings.command(&["doctor", "--ntp", &time]));
    let text = output.text();
    for part in [
        "  Server       ok    process ",
        "  Clock        ",
        &format!(" {time}"),
        "  Resolver     FAIL  127.0.0.1:",
        "  DNSSEC       ?     ",
        "  Limits       ",
        "  Permissions  ok    ",
        "files and folders are as",
        "  Listening    ok    ",
        "  Open relay   ?     port 25 is at no address of this machine but loopback",
        "  Disk         ",
        "  System       ok    ",
        ", Linux ",
        "  Crashes      ",
    ] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    assert_eq!(output.status.code(), Some(1), "the resolver of the tests knows nothing: {output}");
}

#[test]
fn a_clock_that_is_wrong_is_told_by_how_much() {
    let kings = start(Setup::default());
    let asked = |ahead: i64| doctor(&kings, &["--ntp", &time_server(ahead)]);
    expect(&asked(3_600), "clock", "fail", "s behind 127.0.0.1:", "timedatectl");
    expect(&asked(-30), "clock", "warn", "s ahead of 127.0.0.1:", "timedatectl");
    let right = doctor(&kings, &["--ntp", &time_server(0)]);
    let page: Value = serde_json::from_slice(&right.stdout).unwrap();
    assert_ne!(page["checks"][1]["state"], "fail", "{page}");
}

#[test]
fn a_resolver_that_is_dead_is_told_from_one_that_answers() {
    let kings = start(Setup { name_server: format!("127.0.0.1:{}", free_port()), ..Setup::default() });
    expect(&doctor(&kings, &[]), "resolver", "fail", "127.0.0.1:", "[dns] servers");
    let server = NameServer::start("example.org", "mail IN A 192.0.2.1\n");
    kings.ask(&server.address);
    expect(&doctor(&kings, &[]), "resolver", "ok", "answered in ", "");
}

#[test]
fn a_resolver_that_is_believed_and_does_not_look_at_signatures_is_told() {
    let kings = start(Setup::default());
    let signed = "mail.example.org. IN A 192.0.2.1\nietf.org. IN A 192.0.2.2\n";
    let plain = NameServer::start(".", signed);
    kings.ask(&plain.address);
    expect(&doctor(&kings, &[]), "dnssec", "warn", "does not validate", "unbound");
    let takes_all = NameServer::start(".", &format!("{signed}dnssec-failed.org. IN A 192.0.2.3\n"));
    kings.ask(&takes_all.address);
    expect(&doctor(&kings, &[]), "dnssec", "fail", "takes a wrong signature for a right one", "unbound");
}

#[test]
fn a_server_that_may_open_too_few_files_is_told() {
    let kings = start(Setup::default());
    let files = |count: &str| {
        let pid = kings.process().to_string();
        run(program("prlimit").args(["--pid", &pid, &format!("--nofile={count}:{count}")])).succeeded();
    };
    files("1500");
    expect(&doctor(&kings, &[]), "limits", "warn", "few open files: 1500 files", "LimitNOFILE=26000");
    files("500");
    expect(&doctor(&kings, &[]), "limits", "fail", "too few open files: 500 files", "LimitNOFILE=26000");
}

#[test]
fn what_the_server_cannot_write_or_others_may_read_is_told() {
    let kings = start(Setup::default());
    let data = kings.folder().join("data");
    expect(&doctor(&kings, &[]), "permissions", "ok", "files and folders are as", "");
    set_mode(&kings.folder().join("mail"), 0o777);
    expect(
        &doctor(&kings, &[]),
        "permissions",
        "fail",
        "any user of this machine may write in ",
        "chmod o-w ",
    );
    set_mode(&kings.folder().join("mail"), 0o750);
    symlink("/nowhere/at/all", data.join("old")).unwrap();
    expect(&doctor(&kings, &[]), "permissions", "fail", "is a link to /nowhere/at/all", "rm ");
    fs::remove_file(data.join("old")).unwrap();
    set_mode(&kings.folder().join("tls.key"), 0o644);
    set_mode(kings.folder().path(), 0o755);
    expect(&doctor(&kings, &[]), "permissions", "fail", "any user of this machine may read ", "chmod o-rwx ");
}

#[test]
fn it_works_without_a_server_and_tells_a_crash_and_who_has_taken_a_port() {
    let port = free_port();
    let mut setup = Setup::default();
    setup.listen = setup.listen.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    let mut kings = start(setup);
    expect(&doctor(&kings, &[]), "surface", "ok", "", "");
    kings.kill();
    let output = doctor(&kings, &[]);
    expect(&output, "server", "fail", "does not run", "kings serve --config ");
    expect(&output, "crash", "fail", "did not end in the usual way", "journalctl");
    expect(&output, "relay", "cannot_tell", "no server", "swaks");
    let rival = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let text = format!("127.0.0.1:{port} of the config is held by ");
    expect(&doctor(&kings, &[]), "surface", "fail", &text, "stop ");
    drop(rival);
    kings.serve();
}

/// What the doctor says of a server that has an address of the world, in a network of its own.
#[track_caller]
fn as_seen_from_outside(tables: &str) -> Output {
    let setup = Setup { tables: tables.to_owned(), ..Setup::default() };
    // The folder and its files; the server itself runs apart.
    let mut kings = start(setup);
    kings.kill();
    let config = kings.folder().join("kings.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replacen("smtp = [\"127.0.0.1:0\"]", "smtp = [\"0.0.0.0:2525\"]", 1);
    fs::write(&config, text.replacen("[dns]\n", "[dns]\naddresses = [\"203.0.113.77\"]\n", 1)).unwrap();
    let kings_program = env!("CARGO_BIN_EXE_kings");
    let script = format!(
        "ip link set lo up\nip address add 203.0.113.77/32 dev lo\n{kings_program} serve --config {0} >/dev/null 2>&1 &\n\
         server=$!\nfor i in $(seq 200); do {kings_program} status --json --config {0} >/dev/null && break; sleep 0.1; done\n\
         code=0; {kings_program} doctor --json --config {0} || code=$?\n\
         {kings_program} queue list --json --config {0} >&2\nkill $server; wait $server || true; exit $code\n",
        config.display()
    );
    let output = run(rooted("/usr/bin/unshare").args(["--net", "/bin/sh", "-c", &script]));
    assert!(output.errors().contains("\"items\":[]"), "nothing was queued by it: {output}");
    kings.serve();
    output
}

#[test]
fn no_stranger_relays_and_a_network_that_is_trusted_too_far_is_found() {
    let closed = as_seen_from_outside("");
    expect(&closed, "relay", "ok", "forms refused, as a stranger from 203.0.113.77", "");
    let open = as_seen_from_outside("[submission]\nnetworks = [\"203.0.113.0/24\"]\n");
    expect(&open, "relay", "fail", "taken without a login from 203.0.113.77: RCPT TO:<joe@", "[submission]");
}
