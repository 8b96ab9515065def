//! What an administrator installs: units, accounts and folders, judged by systemd's own tools, which need no running systemd.

mod deb;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Folder, Output, program, rooted, run};

const KINGS: &str = env!("CARGO_BIN_EXE_kings");
const UNITS: [&str; 2] = ["kings-smtp.service", "kings-smtp-firewall.service"];
/// What `systemd-analyze security` may find in the server's unit, in tenths.
const EXPOSURE: &str = "16";

fn packaging(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

/// The unit as it is but for `from`, with the program under test in the place of the installed one.
fn unit(folder: &Folder, name: &str, [from, to]: [&str; 2]) -> PathBuf {
    let text = fs::read_to_string(packaging(name)).unwrap();
    assert!(text.contains(from), "{name} has no {from:?}");
    folder.write(name, text.replace(from, to).replace("/usr/bin/kings", KINGS))
}

fn verify(unit: &Path) -> Output {
    run(program("systemd-analyze").args(["verify", "--man=no"]).arg(unit))
}

fn security(unit: &Path) -> Output {
    let options = ["security", "--no-pager", "--offline=true", "--threshold", EXPOSURE];
    run(program("systemd-analyze").args(options).arg(unit))
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units_and_names_a_key_that_it_does_not_know() {
    let folder = Folder::new("units");
    for name in UNITS {
        let output = verify(&unit(&folder, name, ["", ""])).succeeded();
        assert_eq!(output.text() + &output.errors(), "", "{name}");
    }
    verify(&unit(&folder, UNITS[0], ["WatchdogSec=", "WatchDogSec="])).says("'WatchDogSec' in section");
}

#[test]
fn the_server_is_shut_in_as_far_as_promised_and_one_open_door_is_noticed() {
    let folder = Folder::new("units");
    security(&unit(&folder, UNITS[0], ["", ""])).succeeded();
    for door in ["ProtectSystem=strict", "SystemCallFilter=~@privileged @resources", "NoNewPrivileges=yes"] {
        security(&unit(&folder, UNITS[0], [door, ""])).failed();
    }
    // The right to change the network is the firewall's alone.
    let text = |name: &str| fs::read_to_string(packaging(name)).unwrap();
    assert!(!text(UNITS[0]).contains("NET_ADMIN"));
    assert!(text(UNITS[1]).contains("NET_ADMIN"));
}

/// `@system-service` and the like, down to names of calls.
fn calls(set: &str) -> BTreeSet<String> {
    let output = run(program("systemd-analyze").args(["--no-pager", "syscall-filter", set])).succeeded();
    let text = output.text();
    let names = text.lines().map(str::trim).filter(|line| *line != set && !line.starts_with('#'));
    names
        .filter(|name| !name.is_empty())
        .flat_map(|name| if name.starts_with('@') { calls(name) } else { BTreeSet::from([name.to_owned()]) })
        .collect()
}

/// What the lines of the unit leave, in their order: the first list allows, those with a tilde take away.
fn allowed(unit: &str) -> BTreeSet<String> {
    let mut allowed = calls("@default");
    for list in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        for set in list.trim_start_matches('~').split(' ') {
            let calls = if set.starts_with('@') { calls(set) } else { BTreeSet::from([set.to_owned()]) };
            if list.starts_with('~') {
                allowed.retain(|call| !calls.contains(call));
            } else {
                allowed.extend(calls);
            }
        }
    }
    allowed
}

/// The calls of a whole demo: a server starts, takes a message, stores it and has it read, and ends.
#[test]
fn the_server_makes_no_system_call_that_its_unit_forbids() {
    let allowed = allowed(&fs::read_to_string(packaging(UNITS[0])).unwrap());
    assert!(allowed.contains("fsync") && !allowed.contains("ptrace") && !allowed.contains("setuid"));
    // By these it shuts itself in, which `kings demo` does not.
    assert!(
        ["landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self", "seccomp", "prctl"]
            .iter()
            .all(|call| allowed.contains(*call))
    );
    let folder = Folder::new("calls");
    let trace = folder.join("trace");
    let mut demo = program("strace");
    demo.args(["-f", "-qq", "-o"])
        .arg(&trace)
        .args([KINGS, "demo", "--once", "--dir"])
        .arg(folder.join("demo"));
    run(&mut demo).succeeded();
    let trace = fs::read_to_string(trace).unwrap();
    // `123 openat(AT_FDCWD, ...`; the first call of all is strace's own.
    let made =
        trace.lines().skip(1).filter_map(|line| Some(line.split_once(' ')?.1.trim().split_once('(')?.0));
    let made: BTreeSet<&str> = made
        .filter(|name| name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'_'))
        .collect();
    assert!(made.contains("fdatasync") || made.contains("fsync"), "{made:?}");
    let forbidden: Vec<_> = made.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
}

/// Runs one of systemd's tools on a folder in the place of `/`.
fn on(root: &Path, tool: &str, options: &[&str], file: &str) -> Output {
    let mut command: Command = rooted(program(tool).get_program());
    command.args(options).arg(format!("--root={}", root.display())).arg(packaging(file));
    run(&mut command)
}

#[test]
fn account_and_folders_are_made_once_and_what_is_there_keeps_its_owner() {
    let folder = Folder::new("root");
    let root = folder.path();
    folder.create("etc");
    for path in ["var/mail", "var/spool", "var/lib"] {
        folder.create(path);
    }
    for _ in 0..2 {
        on(root, "systemd-sysusers", &[], "kings-smtp.sysusers").succeeded();
        let passwd = fs::read_to_string(root.join("etc/passwd")).unwrap();
        assert_eq!(passwd.matches("kings:").count(), 1, "{passwd}");
        assert!(passwd.contains(":/var/lib/kings-smtp:/usr/sbin/nologin"), "{passwd}");
        on(root, "systemd-tmpfiles", &["--create"], "kings-smtp.tmpfiles").succeeded();
    }
    let owner = fs::metadata(root.join("var/mail/vmail")).unwrap().uid();
    let made = [
        ("lib/kings-smtp", 0o750),
        ("mail/vmail", 0o750),
        ("spool/kings-smtp", 0o755),
        ("spool/kings-smtp/drop", 0o3733),
    ];
    for (path, mode) in made {
        let found = fs::metadata(root.join("var").join(path)).unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (mode, owner), "{path}");
    }
    // Mail that another server has left belongs to whom it belonged.
    run(rooted("/bin/chown").arg("12:12").arg(root.join("var/mail/vmail"))).succeeded();
    run(rooted("/bin/chmod").arg("0700").arg(root.join("var/mail/vmail"))).succeeded();
    on(root, "systemd-tmpfiles", &["--create"], "kings-smtp.tmpfiles").succeeded();
    let found = fs::metadata(root.join("var/mail/vmail")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o700, 12, 12));
}
