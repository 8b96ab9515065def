//! `kings setup` on a machine of its own: a network namespace, where nobody has the ports of a mail server.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Daemon, Folder, Output, make_readable, rooted, run, run_with_input};

const KINGS: &str = env!("CARGO_BIN_EXE_kings");

/// Processes and network of its own; all that runs there ends with it.
struct Machine {
    // First, so that the processes end before their folder goes.
    holder: Daemon,
    folder: Folder,
}

impl Machine {
    fn start() -> Self {
        let folder = Folder::new("setup");
        make_readable(folder.path());
        let mut command = rooted("/usr/bin/unshare");
        command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "/bin/sh", "-c"]);
        command.arg("/usr/sbin/ip link set lo up && echo up && exec /bin/sleep infinity");
        let mut holder = Daemon::start("unshare", &mut command, &folder.join("machine.log"));
        holder.wait_for("its network", Duration::from_secs(20), |holder| holder.log().contains("up"));
        Self { holder, folder }
    }

    /// A command on this machine.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let inside =
            std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.holder.id())).unwrap();
        let mut command = rooted("/usr/bin/nsenter");
        command.args(["--target", inside.trim(), "--net", "--pid", "--mount"]).arg(program);
        command
    }

    /// `kings setup` with folders of its own.
    fn setup(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(KINGS);
        command.args(["setup", "ann@example.org", "--yes", "--self-signed", "--user", "mail"]);
        command.args([
            "--probe",
            "127.0.0.1:1",
            "--public-address",
            "203.0.113.10",
            "--name-server",
            "127.0.0.1:53",
        ]);
        command.arg("--config").arg(self.folder.join("etc/kings.toml"));
        command.arg("--data-dir").arg(self.folder.join("lib/data"));
        command.arg("--mail-dir").arg(self.folder.join("lib/mail"));
        command.args(arguments);
        command
    }

    /// SIGKILL for the setup that runs there, and not for the server that it may have started.
    fn kill_setup(&self, child: &mut Child) {
        let mut command = self.command("/usr/bin/pkill");
        let _ = run(command.args(["-KILL", "-f", "kings setup ann@example.org"]));
        child.wait().unwrap();
    }

    fn kings(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(KINGS);
        run(command.args(arguments).arg("--config").arg(self.folder.join("etc/kings.toml")))
    }
}

fn json(output: &Output) -> Value {
    serde_json::from_str(output.text().lines().last().unwrap()).unwrap()
}

fn states(report: &Value) -> Vec<(&str, &str)> {
    let steps = report["steps"].as_array().unwrap().iter();
    steps.map(|step| (step["step"].as_str().unwrap(), step["state"].as_str().unwrap())).collect()
}

#[test]
fn a_bare_machine_becomes_a_mail_server_and_a_second_run_changes_nothing() {
    let machine = Machine::start();
    let dry = run(&mut machine.setup(&["--dry-run", "--json"])).succeeded();
    assert_eq!(json(&dry)["changes"], 4, "{dry}");
    assert!(!machine.folder.join("etc").exists() && !machine.folder.join("lib").exists());

    let first = run_with_input(&mut machine.setup(&["--password-stdin"]), b"correct horse\n").succeeded();
    let told = first.text();
    assert!(told.contains("port 25 is closed: mail comes in"), "{told}");
    assert!(told.contains("signed (") && told.contains("read over IMAP in"), "{told}");
    assert!(told.contains("ONE thing to do now: publish the records of example.org"), "{told}");
    assert!(told.contains("Then: ask your provider to open port 25"), "{told}");
    assert!(told.contains("Please open outbound TCP port 25 for 203.0.113.10"), "{told}");
    assert!(told.contains("Then: close all ports but those of mail and SSH"), "{told}");
    let records = machine.kings(&["dns", "records"]).succeeded().text();
    assert!(
        records.lines().any(|line| line.starts_with("mail.example.org. ") && line.ends_with("203.0.113.10")),
        "{records}"
    );
    assert!(!told.contains("correct horse") && !first.errors().contains("correct horse"), "{first}");
    // The person logs in, and others' mail comes in.
    let mut fetch = machine.command("/usr/bin/curl");
    fetch.args([
        "--silent",
        "--show-error",
        "--insecure",
        "--user",
        "ann@example.org:correct horse",
        "imaps://127.0.0.1/",
    ]);
    run(&mut fetch).succeeded().says("INBOX");
    let mut deliver = machine.command("/usr/bin/swaks");
    deliver.args(["--server", "127.0.0.1", "--from", "carol@example.net", "--to", "postmaster@example.org"]);
    run(&mut deliver).succeeded();

    let files = ["kings.toml", "users", "aliases"]
        .map(|name| std::fs::read(machine.folder.join("etc").join(name)).unwrap());
    let keys = machine.kings(&["dkim", "list"]).succeeded().text();
    let second = run(&mut machine.setup(&["--json"])).succeeded();
    let report = json(&second);
    assert_eq!(report["changed"], 0, "{second}");
    assert!(states(&report).iter().all(|(_, state)| *state == "ok"), "{second}");
    let again = ["kings.toml", "users", "aliases"]
        .map(|name| std::fs::read(machine.folder.join("etc").join(name)).unwrap());
    assert!(files == again && keys == machine.kings(&["dkim", "list"]).succeeded().text());
    assert!(run(&mut machine.setup(&[])).succeeded().text().contains("No change"), "text");
}

#[test]
fn setup_that_is_killed_at_any_step_goes_on_where_it_stopped() {
    let machine = Machine::start();
    for step in 1..=5 {
        let mut child = machine
            .setup(&[])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mark = format!("  [{step}/");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reached = lines.map_while(Result::ok).any(|line| line.starts_with(&mark));
        assert!(reached, "step {step} is told");
        machine.kill_setup(&mut child);
    }
    // And at moments that no line tells.
    for milliseconds in [20, 150, 400] {
        let other = Machine::start();
        let mut child = other
            .setup(&[])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        other.kill_setup(&mut child);
        let ended = run(&mut other.setup(&["--json"])).succeeded();
        assert_eq!(json(&ended)["failed"], false, "after {milliseconds} ms: {ended}");
        assert_eq!(json(&run(&mut other.setup(&["--json"])).succeeded())["changed"], 0);
    }
    let ended = run(&mut machine.setup(&["--json"])).succeeded();
    let report = json(&ended);
    assert_eq!(report["changed"], 0, "{ended}");
    let config = machine.folder.join("etc/kings.toml");
    let password = format!("kings account password ann@example.org --config {}", config.display());
    assert_eq!(report["next"]["command"], password.as_str(), "{ended}");
    let mut password = machine.command(KINGS);
    password
        .args(["account", "password", "ann@example.org", "--config"])
        .arg(machine.folder.join("etc/kings.toml"));
    run_with_input(&mut password, b"correct horse\n").succeeded();
    let ended = run(&mut machine.setup(&["--json"])).succeeded();
    assert!(json(&ended)["next"]["text"].as_str().unwrap().contains("publish the records"), "{ended}");
}

#[test]
fn what_stands_in_the_way_is_told_before_anything_is_done() {
    let machine = Machine::start();
    let refused = |arguments: &[&str], why: &str| {
        let output = run(&mut machine.setup(arguments)).failed();
        assert!(output.errors().contains(why), "{output}");
        assert_eq!(output.status.code(), Some(1), "{output}");
        output
    };
    let script = "import socket, time; s = socket.create_server(('127.0.0.1', 587)); print('up', flush=True); time.sleep(600)";
    let mut other = machine.command("/usr/bin/python3");
    let mut other = Daemon::start("python3", other.args(["-c", script]), &machine.folder.join("other.log"));
    other.wait_for("its port", Duration::from_secs(20), |other| other.log().contains("up"));
    let told = refused(&[], "port 587 is in use by python3");
    assert!(told.errors().contains("fix: stop it"), "{told}");
    assert!(!machine.folder.join("etc").exists());
    let mut end = machine.command("/usr/bin/pkill");
    run(end.args(["-KILL", "python3"])).succeeded();
    drop(other);

    machine.folder.create("etc");
    machine.folder.write("etc/kings.toml", "hostname = 7\n");
    refused(&[], "line 1: hostname must be");
    assert_eq!(std::fs::read(machine.folder.join("etc/kings.toml")).unwrap(), b"hostname = 7\n");
    std::fs::remove_file(machine.folder.join("etc/kings.toml")).unwrap();

    let mut unprivileged = machine.command("/usr/bin/setpriv");
    unprivileged.args([
        "--reuid",
        "8",
        "--regid",
        "8",
        "--clear-groups",
        KINGS,
        "setup",
        "ann@example.org",
        "--yes",
    ]);
    let output = run(unprivileged.arg("--config").arg(machine.folder.join("none/kings.toml"))).failed();
    assert!(output.errors().contains("fix: sudo kings setup ann@example.org"), "{output}");

    // Nobody is there to agree.
    let mut silent = machine.command(KINGS);
    silent.args(["setup", "ann@example.org", "--probe", "127.0.0.1:1", "--user", "mail", "--self-signed"]);
    silent.arg("--config").arg(machine.folder.join("none/kings.toml"));
    let output = run(&mut silent).failed();
    assert_eq!(output.status.code(), Some(2), "{output}");
    assert!(!machine.folder.join("none").exists());
}

#[test]
fn a_domain_that_an_existing_config_does_not_host_is_not_forced_into_it() {
    let machine = Machine::start();
    run(&mut machine.setup(&[])).succeeded();
    let before = std::fs::read(machine.folder.join("etc/kings.toml")).unwrap();
    let mut command = machine.command(KINGS);
    command.args(["setup", "ann@example.net", "--yes", "--probe", "127.0.0.1:1", "--user", "mail"]);
    let output = run(command.arg("--config").arg(machine.folder.join("etc/kings.toml"))).failed();
    assert!(
        output.errors().contains("does not host example.net")
            && output.errors().contains("fix: add  [[domain]]"),
        "{output}"
    );
    assert_eq!(std::fs::read(machine.folder.join("etc/kings.toml")).unwrap(), before);
}

#[test]
fn a_full_disk_fails_its_step_and_the_next_run_goes_on() {
    let machine = Machine::start();
    let small = machine.folder.create("lib");
    let mut mount = machine.command("/bin/mount");
    run(mount.args(["-t", "tmpfs", "-o", "size=16k", "small"]).arg(&small)).succeeded();
    let output = run(&mut machine.setup(&[])).failed();
    assert!(
        output.text().contains("FAIL") && output.text().contains("fix: run the same command again"),
        "{output}"
    );
    let mut grow = machine.command("/bin/mount");
    run(grow.args(["-o", "remount,size=512m"]).arg(&small)).succeeded();
    run(&mut machine.setup(&[])).succeeded();
    let mut unmount = machine.command("/bin/umount");
    run(unmount.arg("--lazy").arg(&small)).succeeded();
}

#[test]
fn options_that_make_no_config_leave_none_behind() {
    let machine = Machine::start();
    let refused = run(&mut machine.setup(&["--smart-host", "a b:99999"])).failed();
    assert!(
        refused.text().contains("these options make no config") && refused.text().contains("smart_host"),
        "{refused}"
    );
    assert!(!machine.folder.join("etc/kings.toml").exists());
    run(&mut machine.setup(&["--smart-host", "192.0.2.25:587"])).succeeded();
}

#[test]
fn root_follows_no_link_that_the_servers_user_has_put_into_its_folders() {
    let machine = Machine::start();
    run(&mut machine.setup(&[])).succeeded();
    let data = machine.folder.join("lib/data");
    let victim = machine.folder.create("victim");
    machine.folder.write("victim/shadow", "root:secret");
    std::fs::rename(data.join("dkim"), data.join("dkim.was")).unwrap();
    symlink(&victim, data.join("dkim")).unwrap();
    let refused = run(&mut machine.setup(&[])).failed();
    assert!(refused.text().contains("FAIL") && refused.text().contains("dkim"), "{refused}");
    for path in [victim.clone(), victim.join("shadow")] {
        assert_eq!(
            std::fs::metadata(&path).unwrap().uid(),
            std::fs::metadata("/proc/self").unwrap().uid(),
            "{}",
            path.display()
        );
    }
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1);
    // Nor do the commands that root gives.
    machine.kings(&["dkim", "create", "example.org"]).failed();
    std::fs::remove_file(data.join("dkim")).unwrap();
    std::fs::rename(data.join("dkim.was"), data.join("dkim")).unwrap();
    let config = std::fs::read_to_string(machine.folder.join("etc/kings.toml")).unwrap();
    let provider =
        "[dns]\nprovider = { kind = \"rfc2136\", server = \"127.0.0.1\", key = \"k\", key_file = \"k.key\" }";
    machine.folder.write("etc/kings.toml", config.replace("[dns]", provider));
    machine.folder.write("etc/k.key", "key \"k\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };");
    symlink(victim.join("lock"), data.join("dns.lock")).unwrap();
    let refused = machine.kings(&["dns", "apply", "--dry-run"]).failed();
    assert!(refused.errors().contains("dns.lock: Permission denied"), "{refused}");
    assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 1);
    // What the owner has made is still for the owner, and root's own command makes more of it.
    machine.kings(&["dkim", "rotate", "example.org", "--start", "--force"]).succeeded();
    let owner = std::fs::metadata(&data).unwrap().uid();
    for key in std::fs::read_dir(data.join("dkim/example.org")).unwrap() {
        let key = key.unwrap();
        assert_eq!(key.metadata().unwrap().uid(), owner, "{}", key.path().display());
    }
}

#[test]
fn a_second_run_claims_nothing_that_the_config_does_not_say_and_replaces_no_lost_key() {
    let machine = Machine::start();
    run(&mut machine.setup(&[])).succeeded();
    for option in [
        ["--smart-host", "relay.example.net:587"],
        ["--hostname", "mx9.example.net"],
        ["--public-address", "203.0.113.11"],
        ["--name-server", "127.0.0.1:54"],
    ] {
        let refused = run(&mut machine.setup(&option)).failed();
        assert!(refused.errors().contains(&format!("says something else than {}", option[0])), "{refused}");
    }
    let same = run(&mut machine.setup(&["--hostname", "mail.example.org"])).succeeded();
    assert!(same.text().contains("No change") && same.text().contains("kings status --config "), "{same}");

    let keys = machine.folder.join("lib/data/dkim/example.org");
    let key = std::fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().path());
    let is_rsa = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|end| end == "private") && !path.to_str().unwrap().contains("ed25519")
    };
    let key = key.into_iter().find(is_rsa).unwrap();
    let record = std::fs::read(key.with_extension("txt")).unwrap();
    std::fs::rename(&key, machine.folder.join("backup")).unwrap();
    let refused = run(&mut machine.setup(&[])).failed();
    assert!(refused.errors().contains("back from a backup, or give it up"), "{refused}");
    let selector = key.file_stem().unwrap().to_str().unwrap();
    let refused = machine.kings(&["dkim", "create", "example.org", "--selector", selector]).failed();
    assert!(refused.errors().contains("back from a backup, or give it up"), "{refused}");
    assert_eq!(std::fs::read(key.with_extension("txt")).unwrap(), record);
    std::fs::rename(machine.folder.join("backup"), &key).unwrap();
    run(&mut machine.setup(&[])).succeeded();
}

#[test]
fn empty_folders_of_root_are_given_to_the_server_and_others_are_told_of() {
    let machine = Machine::start();
    machine.folder.create("lib/mail");
    machine.folder.write("lib/mail/somebody", "x");
    // The folder behind a link, and not the link.
    symlink(machine.folder.create("disk"), machine.folder.join("lib/data")).unwrap();
    let refused = run(&mut machine.setup(&[])).failed();
    assert!(
        refused.text().contains("belongs to somebody else") && refused.text().contains("chown -R mail "),
        "{refused}"
    );
    std::fs::remove_file(machine.folder.join("lib/mail/somebody")).unwrap();
    run(&mut machine.setup(&[])).succeeded();
    let owner = std::fs::metadata(machine.folder.join("disk")).unwrap().uid();
    assert_eq!(owner, std::fs::metadata(machine.folder.join("lib/mail")).unwrap().uid());
    assert_eq!(std::fs::symlink_metadata(machine.folder.join("lib/data")).unwrap().uid(), 0);
}

#[test]
fn root_sets_the_rights_of_no_folder_that_a_link_stands_for() {
    let machine = Machine::start();
    run(&mut machine.setup(&[])).succeeded();
    let mut stop = machine.command("/usr/bin/pkill");
    let _ = run(stop.args(["-TERM", "-f", "kings serve"]));
    let victim = machine.folder.create("victim");
    let spool = machine.folder.create("spool");
    let owner = std::fs::metadata(machine.folder.join("lib/data")).unwrap();
    chown(&spool, Some(owner.uid()), Some(owner.gid())).unwrap();
    symlink(&victim, spool.join("drop")).unwrap();
    let config = std::fs::read_to_string(machine.folder.join("etc/kings.toml")).unwrap();
    let local = format!("{config}\n[local]\nfolder = \"{}\"\n", spool.display());
    machine.folder.write("etc/kings.toml", &local);
    let rights = |folder: &std::path::Path| std::fs::metadata(folder).unwrap().mode();
    let before = rights(&victim);
    let refused = machine.kings(&["serve"]).failed();
    assert!(
        refused.text().contains("must be a folder") || refused.errors().contains("must be a folder"),
        "{refused}"
    );
    assert_eq!(rights(&victim), before);
    std::fs::remove_file(spool.join("drop")).unwrap();
    run(&mut machine.setup(&[])).succeeded();
    assert_eq!(rights(&spool.join("drop")) & 0o7777, 0o3733);
}
