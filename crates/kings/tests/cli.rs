//! The program as an operator meets it: exit codes, complaints, accounts, reload, shutdown.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use serde_json::Value;

const CONFIG: &str = r#"
hostname = "mail.example.org"
data_dir = "data"
mail_dir = "mail"
[[domain]]
name = "example.org"
[accounts]
file = "users"
[listen]
smtp = ["127.0.0.1:0"]
[tls]
self_signed = true
"#;

/// A folder with a config that works.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("kings.toml"), CONFIG).unwrap();
    fs::write(folder.path().join("users"), "ann@example.org:{PLAIN}secret\n").unwrap();
    folder
}

fn kings(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
    command.args(words).arg("--config").arg(folder.join("kings.toml")).stdin(Stdio::null());
    command
}

fn run(folder: &Path, words: &[&str]) -> Output {
    kings(folder, words).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs with one line on standard input.
fn run_with_input(folder: &Path, words: &[&str], input: &str) -> Output {
    let mut child = kings(folder, words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that needs no input may have ended before it is offered some.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// A server that runs, and ends with the test.
struct Server(Child);

impl Server {
    fn start(folder: &Path) -> Self {
        Self::start_with(kings(folder, &["serve"]))
    }

    fn start_with(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.trim_end().ends_with(" ready"), "{line}");
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }

    /// Waits for the end and says how it ended.
    fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + Duration::from_secs(15);
        while Instant::now() < deadline {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server does not end");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn status(folder: &Path) -> Value {
    serde_json::from_slice(&run(folder, &["status", "--json"]).stdout).unwrap()
}

/// Where the first listener is.
fn address(folder: &Path) -> String {
    status(folder)["listeners"][0]["address"].as_str().unwrap().to_owned()
}

/// An SMTP dialogue in clear.
struct Smtp(BufReader<TcpStream>);

impl Smtp {
    fn connect(folder: &Path) -> Self {
        Self::connect_to(&address(folder))
    }

    fn connect_to(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut smtp = Self(BufReader::new(stream));
        assert!(smtp.reply().starts_with("220 mail.example.org ESMTP"));
        smtp
    }

    fn reply(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line.trim_end().to_owned();
            }
        }
    }

    fn ask(&mut self, line: &str) -> String {
        self.0.get_mut().write_all(format!("{line}\r\n").as_bytes()).unwrap();
        self.reply()
    }

    /// What RCPT says to this recipient in a transaction of its own.
    fn rcpt(address: &str, recipient: &str) -> String {
        let mut smtp = Self::connect_to(address);
        smtp.ask("EHLO test.example");
        smtp.ask("MAIL FROM:<>");
        smtp.ask(&format!("RCPT TO:<{recipient}>"))
    }
}

/// Looks for up to two seconds.
fn soon(mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(2);
    while Instant::now() < deadline {
        if holds() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// A way to break a folder, and what must be said about it.
type Damage = (fn(&Path), &'static [&'static str]);

const DAMAGES: [Damage; 14] = [
    (|folder| fs::remove_file(folder.join("kings.toml")).unwrap(), &["name another file with --config FILE"]),
    (|folder| replace(folder, "hostname", "hostnam"), &["did you mean \"hostname\"?"]),
    (
        |folder| fs::remove_file(folder.join("users")).unwrap(),
        &["cannot read accounts file", "an empty one will do: touch "],
    ),
    (
        |folder| replace(folder, "[listen]", "[aliases]\nfile = \"aliases\"\n[listen]"),
        &["cannot read alias file", "an empty one will do: touch "],
    ),
    (
        |folder| fs::write(folder.join("users"), "ann:{PLAIN}x\n").unwrap(),
        &["users:1: ", "write accounts in full"],
    ),
    (
        |folder| fs::write(folder.join("users"), "a/b@example.org:{PLAIN}x\n").unwrap(),
        &["cannot have a folder"],
    ),
    (|folder| with_certificate(folder, None, None), &["cannot read certificate", "certbot certonly"]),
    (
        |folder| with_certificate(folder, Some(""), None),
        &["cannot read certificate", "no certificate in the file", "certbot certonly"],
    ),
    (
        |folder| with_certificate(folder, Some(&pair().0), Some("")),
        &["cannot read private key", "private_key in [tls]", "certbot certonly"],
    ),
    (
        |folder| with_certificate(folder, Some(&pair().0), Some(&pair().1)),
        &["does not go with its key", "openssl x509 -noout -pubkey -in ", "openssl pkey -pubout -in "],
    ),
    (
        |folder| replace(folder, "data_dir = \"data\"", "data_dir = \"no/data\""),
        &["cannot be made", "mkdir -p "],
    ),
    (
        |folder| fs::write(folder.join("data"), "a file").unwrap(),
        &["data is a file and must be a folder", "mv "],
    ),
    (|folder| fs::write(folder.join("mail"), "").unwrap(), &["mail is a file and must be a folder", "mv "]),
    (
        |folder| replace(folder, "mail_dir = \"mail\"", "mail_dir = \"users/mail\""),
        &["cannot look at ", "namei -l "],
    ),
];

/// A certificate with a key of its own.
fn pair() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["mail.example.org".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Names both files in the config and makes those that are given.
fn with_certificate(folder: &Path, certificate: Option<&str>, key: Option<&str>) {
    replace(folder, "self_signed = true", "certificate = \"tls.pem\"\nprivate_key = \"tls.key\"");
    for (name, text) in [("tls.pem", certificate), ("tls.key", key)] {
        if let Some(text) = text {
            fs::write(folder.join(name), text).unwrap();
        }
    }
}

#[test]
fn what_is_missing_or_broken_is_78_and_says_what_to_do() {
    for (damage, expected) in DAMAGES {
        let folder = folder();
        damage(folder.path());
        // What keeps the server from starting is found by a look at the config as well.
        for words in [&["serve"][..], &["config", "check"]] {
            let output = run(folder.path(), words);
            assert_eq!(output.status.code(), Some(78), "{words:?} {expected:?}: {}", said(&output));
            for expected in expected {
                assert!(said(&output).contains(expected), "{words:?} {expected}: {}", said(&output));
            }
        }
    }
    let folder = folder();
    replace(folder.path(), "127.0.0.1:0", "192.0.2.1:1");
    let output = run(folder.path(), &["serve"]);
    assert_eq!(output.status.code(), Some(78));
    assert!(said(&output).contains("cannot listen on 192.0.2.1:1"), "{}", said(&output));
}

/// Root may do anything, so it becomes a user who may not.
#[test]
fn a_folder_of_somebody_else_is_78_for_serve_and_for_config_check() {
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(folder.path().join("mail")).unwrap();
    if Uid::effective().is_root() {
        replace(folder.path(), "[[domain]]", "user = \"nobody\"\n[[domain]]");
    } else {
        fs::set_permissions(folder.path().join("mail"), fs::Permissions::from_mode(0o500)).unwrap();
    }
    for words in [&["config", "check"][..], &["serve"]] {
        let output = run(folder.path(), words);
        assert_eq!(output.status.code(), Some(78), "{words:?}: {}", said(&output));
        assert!(
            said(&output).contains("mail: give it to the user that runs Kings, chown -R USER "),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn a_catch_all_that_is_no_account_is_worth_a_warning() {
    let folder = folder();
    replace(
        folder.path(),
        "name = \"example.org\"",
        "name = \"example.org\"\ncatch_all = \"eve@example.org\"",
    );
    let output = run(folder.path(), &["config", "check"]);
    assert_eq!(output.status.code(), Some(0));
    let text = said(&output);
    assert!(
        text.contains("warning: catch_all of example.org names eve@example.org") && text.contains("ok: "),
        "{text}"
    );
    replace(folder.path(), "eve@example.org", "ann@example.org");
    let output = run(folder.path(), &["config", "check"]);
    assert!(said(&output).starts_with("ok: "), "{}", said(&output));
}

/// Both halves: copies that reach somebody, here or elsewhere, and copies that reach nobody.
#[test]
fn copies_for_an_archive_that_is_no_account_are_refused() {
    for (archive, code) in [
        ("ann@example.org", 0),
        ("ann+archive@example.org", 0),
        ("archive@elsewhere.example", 0),
        ("archive@example.org", 78),
    ] {
        let folder = folder();
        replace(folder.path(), "data_dir", &format!("always_bcc = \"{archive}\"\ndata_dir"));
        let output = run(folder.path(), &["config", "check"]);
        assert_eq!(output.status.code(), Some(code), "{archive}: {}", said(&output));
        assert_eq!(said(&output).contains("copies of mail are for archive@example.org"), code == 78);
    }
}

#[test]
fn aliases_that_lead_to_nobody_are_worth_a_warning() {
    let folder = folder();
    let aliases = "sales@example.org ann@example.org, eve@example.org\nall@example.org joe@elsewhere.example\n\
                   lost@example.org sales@example.org, fallen@example.org\nfallen@example.org eve@example.org\n";
    fs::write(folder.path().join("aliases"), aliases).unwrap();
    replace(folder.path(), "[accounts]", "[aliases]\nfile = \"aliases\"\n[accounts]");
    let output = run(folder.path(), &["config", "check"]);
    assert_eq!(output.status.code(), Some(0));
    let text = said(&output);
    let warnings: Vec<&str> = text.lines().filter(|line| line.starts_with("warning: alias ")).collect();
    let expected = [
        ("fallen@example.org", "eve@example.org"),
        ("lost@example.org", "fallen@example.org"),
        ("sales@example.org", "eve@example.org"),
    ];
    let expected = expected.map(|(alias, target)| {
        format!("warning: alias {alias} leads to {target}, which is no account and no alias that ends")
    });
    assert_eq!(warnings, expected, "{text}");
}

fn replace(folder: &Path, from: &str, to: &str) {
    let path = folder.join("kings.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn config_check_tells_everything_at_once_and_changes_nothing() {
    let folder = folder();
    let output = run(folder.path(), &["config", "check"]);
    assert_eq!(
        (output.status.code(), said(&output).starts_with("ok: ")),
        (Some(0), true),
        "{}",
        said(&output)
    );
    assert!(!folder.path().join("data").exists());
    replace(folder.path(), "127.0.0.1:0", "nowhere");
    replace(folder.path(), "self_signed = true", "self_signed = 1");
    let output = run(folder.path(), &["config", "check"]);
    assert_eq!(output.status.code(), Some(78));
    let text = said(&output);
    assert!(text.contains("smtp must be") && text.contains("self_signed must be"), "{text}");
}

/// The config, rules, accounts and aliases each have a fault, and an alias leads to nobody.
#[test]
fn no_class_of_faults_hides_another() {
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("aliases", "sales@example.org eve@example.org\nbad@example.org\n");
    write("more", "more@example.org\n");
    write("rules", "/(/ REJECT\n/a/ NONSENSE\n");
    replace(
        folder.path(),
        "[accounts]",
        "[aliases]\nfile = \"aliases\"\nfiles = [\"virtual:more\"]\n[accounts]",
    );
    let check = || {
        let output = run(folder.path(), &["config", "check"]);
        let text = [&output.stdout[..], &output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let (code, text) = check();
    assert_eq!(code, Some(78));
    for part in ["warning: alias sales@example.org leads to eve@example.org", "aliases:2: ", "more:1: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("ok: "), "{text}");
    replace(folder.path(), "[accounts]", "[inbound]\nheader_checks = \"rules\"\nnonsense = 1\n[accounts]");
    let (code, text) = check();
    assert_eq!(code, Some(78));
    for part in ["rules:1: ", "rules:2: ", "unknown key \"nonsense\"", "aliases:2: ", "more:1: "] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let users = fs::read_to_string(folder.path().join("users")).unwrap();
    write("users", &format!("{users}nonsense\n"));
    let (_, text) = check();
    assert!(text.contains("users:") && text.contains("aliases:2: "), "{text}");
    assert!(!text.contains("leads to"), "who has an account is not known: {text}");
}

#[test]
fn usage_errors_are_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_kings")).args(["account", "add"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn accounts_are_added_listed_changed_and_removed() {
    let folder = folder();
    let folder = folder.path();
    let added = run_with_input(folder, &["account", "add", "joe@example.org"], "secret\n");
    assert_eq!(added.status.code(), Some(0), "{}", said(&added));
    assert_eq!(run_with_input(folder, &["account", "add", "joe@example.org"], "x\n").status.code(), Some(1));
    assert_eq!(
        run_with_input(folder, &["account", "add", "joe@elsewhere.example"], "x\n").status.code(),
        Some(1)
    );
    let nowhere = run_with_input(folder, &["account", "add", "a/b@example.org"], "x\n");
    assert_eq!(nowhere.status.code(), Some(1));
    assert!(said(&nowhere).contains("without quotes, slash or colon"), "{}", said(&nowhere));
    assert_eq!(run_with_input(folder, &["account", "add", "eve@example.org"], "\n").status.code(), Some(1));
    assert_eq!(run_with_input(folder, &["account", "add", "not an address"], "x\n").status.code(), Some(2));

    let list: Value = serde_json::from_slice(&run(folder, &["account", "list", "--json"]).stdout).unwrap();
    assert_eq!(list["schema"], 1);
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|item| item["account"].as_str().unwrap()).collect();
    assert_eq!(names, ["ann@example.org", "joe@example.org"]);

    let before = fs::read_to_string(folder.join("users")).unwrap();
    assert!(before.contains("\njoe@example.org:{ARGON2ID}$argon2id$"), "{before}");
    assert_eq!(
        run_with_input(folder, &["account", "password", "joe@example.org"], "new\n").status.code(),
        Some(0)
    );
    assert_ne!(fs::read_to_string(folder.join("users")).unwrap(), before);
    assert_eq!(
        run_with_input(folder, &["account", "password", "eve@example.org"], "x\n").status.code(),
        Some(1)
    );
    assert_eq!(run(folder, &["account", "remove", "joe@example.org"]).status.code(), Some(0));
    assert_eq!(run(folder, &["account", "remove", "joe@example.org"]).status.code(), Some(1));
}

/// The right login, and each way to fail, with the line that answers; the password never stands in the arguments.
#[test]
fn a_login_is_tested_and_told_why_it_fails() {
    let folder = folder();
    let folder = folder.path();
    run_with_input(folder, &["account", "password", "ann@example.org"], "secret\n");
    let argon2 = fs::read_to_string(folder.join("users")).unwrap();
    let argon2 = argon2.trim().split(':').nth(1).unwrap();
    let users = format!(
        "# people\nann@example.org:{{PLAIN}}secret\nbob@example.org:{argon2}::::::allow_nets=192.0.2.0/24 pass=hush\n\
         joe@example.org:!{{PLAIN}}secret\ntom@example.org:{{PLAIN}}secret::::::nologin\n"
    );
    fs::write(folder.join("users"), users).unwrap();
    for (login, password, ip, code, result, line, scheme) in [
        ("Ann@example.org", "secret", "198.51.100.1", 0, "ok", 2, "PLAIN"),
        ("ann@example.org", "Secret", "198.51.100.1", 1, "wrong-password", 2, "PLAIN"),
        ("ann@example.org", "", "198.51.100.1", 1, "wrong-password", 2, "PLAIN"),
        ("bob@example.org", "secret", "192.0.2.9", 0, "ok", 3, "ARGON2ID"),
        ("bob@example.org", "secret", "198.51.100.1", 1, "allow_nets", 3, "ARGON2ID"),
        ("bob@example.org", "wrong", "198.51.100.1", 1, "wrong-password", 3, "ARGON2ID"),
        ("joe@example.org", "secret", "198.51.100.1", 1, "no-password", 4, ""),
        ("tom@example.org", "secret", "198.51.100.1", 1, "nologin", 5, "PLAIN"),
        ("eve@example.org", "secret", "198.51.100.1", 1, "unknown", 0, ""),
        ("no address", "secret", "198.51.100.1", 1, "unknown", 0, ""),
    ] {
        let words = ["auth", "test", login, "--ip", ip, "--json"];
        let output = run_with_input(folder, &words, &format!("{password}\n"));
        assert_eq!(output.status.code(), Some(code), "{login} {password}: {}", said(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["result"], result, "{told}");
        assert_eq!(told["line"].as_u64().unwrap_or(0), line, "{told}");
        assert_eq!(told["scheme"].as_str().unwrap_or(""), scheme, "{told}");
        assert!(!said(&output).contains("secret") && !said(&output).contains("hush"), "{told}");
    }
    let text = said(&run_with_input(folder, &["auth", "test", "bob@example.org"], "secret\n"));
    for part in ["the login succeeds", "users:3", "ARGON2ID", "PLAIN LOGIN", "pass=...", "--ip ADDRESS"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let argument = run(folder, &["auth", "test", "ann@example.org", "secret"]);
    assert_eq!(argument.status.code(), Some(2), "no password among the arguments: {}", said(&argument));
}

#[test]
fn a_stopped_server_is_told_as_such() {
    let folder = folder();
    let output = run(folder.path(), &["status", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&status["schema"], &status["state"]), (&Value::from(1), &Value::from("stopped")));
}

#[test]
fn a_running_server_is_ready_for_systemd_and_names_its_listeners() {
    let folder = folder();
    let socket = folder.path().join("notify");
    let notify = UnixDatagram::bind(&socket).unwrap();
    notify.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = kings(folder.path(), &["serve"]);
    command.env("NOTIFY_SOCKET", &socket);
    let _server = Server::start_with(command);
    let mut buffer = [0; 100];
    let count = notify.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..count], b"READY=1\n");
    let status = status(folder.path());
    assert_eq!(
        (&status["state"], &status["listeners"][0]["name"]),
        (&Value::from("running"), &Value::from("smtp"))
    );
    let queue: Value =
        serde_json::from_slice(&run(folder.path(), &["queue", "list", "--json"]).stdout).unwrap();
    assert_eq!((&queue["schema"], queue["items"].as_array().unwrap().len()), (&Value::from(1), 0));
}

/// systemd's watchdog ends a server that does not say in time that it lives.
#[test]
fn the_watchdog_is_fed_where_there_is_one_and_falls_silent_with_the_server() {
    let folder = folder();
    let socket = folder.path().join("notify");
    let notify = UnixDatagram::bind(&socket).unwrap();
    let heard = || {
        let mut buffer = [0; 100];
        notify.recv(&mut buffer).map(|count| String::from_utf8_lossy(&buffer[..count]).into_owned())
    };
    let start = |limit: Option<&str>| {
        let mut command = kings(folder.path(), &["serve"]);
        command.env("NOTIFY_SOCKET", &socket).envs(limit.map(|limit| ("WATCHDOG_USEC", limit)));
        Server::start_with(command)
    };
    notify.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut server = start(Some("300000"));
    assert_eq!(heard().unwrap(), "READY=1\n");
    for _ in 0..5 {
        assert_eq!(heard().unwrap(), "WATCHDOG=1\n");
    }
    server.signal(Signal::SIGSTOP);
    notify.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    // What was said before it stopped may still be on its way.
    assert!((0..4).any(|_| heard().is_err()), "a server that stands still says nothing");
    server.signal(Signal::SIGCONT);
    assert_eq!(heard().unwrap(), "WATCHDOG=1\n");
    server.signal(Signal::SIGTERM);
    server.wait();
    while heard().is_ok() {}
    let _server = start(None);
    assert_eq!(heard().unwrap(), "READY=1\n");
    assert!(heard().is_err(), "nobody has asked for it");
}

/// DNS comes before mail: keys are made, and their records published, before the server starts for the first time.
#[test]
fn keys_are_made_before_the_first_start() {
    let folder = folder();
    let made = run(folder.path(), &["dkim", "create", "example.org", "--selector", "one"]);
    assert_eq!(made.status.code(), Some(0), "{}", said(&made));
    assert!(said(&made).contains("one._domainkey"), "{}", said(&made));
    assert_eq!(fs::metadata(folder.path().join("data")).unwrap().mode() & 0o777, 0o750);
    Server::start(folder.path());
    // Where not even the place for it is, the config is more likely wrong than the disk.
    replace(folder.path(), "data_dir = \"data\"", "data_dir = \"nowhere/data\"");
    let made = run(folder.path(), &["dkim", "create", "example.org", "--selector", "two"]);
    assert_ne!(made.status.code(), Some(0));
    assert!(said(&made).contains("nowhere"), "{}", said(&made));
}

#[test]
fn a_second_instance_on_the_same_data_refuses_to_start() {
    let folder = folder();
    let mut server = Server::start(folder.path());
    let second = run(folder.path(), &["serve"]);
    assert_eq!(second.status.code(), Some(78));
    assert!(said(&second).contains("another instance uses"), "{}", said(&second));
    // The lock of a process that was killed is no lock.
    server.signal(Signal::SIGKILL);
    server.wait();
    let _third = Server::start(folder.path());
}

/// The identity of the process as the kernel sees it: user of `/proc/PID/status`.
fn user_of(server: &Server) -> u32 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.0.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    let ids: Vec<u32> = line.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "real, effective and saved differ: {line}");
    ids[0]
}

#[test]
fn root_becomes_the_user_of_the_config_and_anyone_else_stays() {
    let folder = folder();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    replace(folder.path(), "[[domain]]", "user = \"nobody\"\n[[domain]]");
    let server = Server::start(folder.path());
    let (started_as, nobody) = (Uid::effective(), User::from_name("nobody").unwrap().unwrap().uid);
    let expected = if started_as.is_root() { nobody } else { started_as };
    assert_eq!(user_of(&server), expected.as_raw());
    // What it makes from then on is its own: mail is stored as that user.
    let address = address(folder.path());
    let mut smtp = Smtp::connect_to(&address);
    for line in ["EHLO test.example", "MAIL FROM:<>", "RCPT TO:<ann@example.org>", "DATA"] {
        smtp.ask(line);
    }
    assert!(smtp.ask("Subject: x\r\n\r\nx\r\n.").starts_with("250 2.0.0 "));
    let owner = fs::metadata(folder.path().join("mail/example.org/ann/new")).unwrap().uid();
    assert_eq!(owner, expected.as_raw());
}

#[test]
fn a_user_that_does_not_exist_is_78_for_root() {
    let folder = folder();
    replace(folder.path(), "[[domain]]", "user = \"no-such-user\"\n[[domain]]");
    if Uid::effective().is_root() {
        for words in [&["serve"][..], &["config", "check"]] {
            let output = run(folder.path(), words);
            assert_eq!(output.status.code(), Some(78));
            assert!(said(&output).contains("useradd"), "{}", said(&output));
        }
    } else {
        let _server = Server::start(folder.path());
    }
}

#[test]
fn accounts_and_aliases_act_within_a_second_without_a_reload() {
    let folder = folder();
    replace(folder.path(), "[listen]", "[aliases]\nfile = \"aliases\"\n[listen]");
    fs::write(folder.path().join("aliases"), "").unwrap();
    let _server = Server::start(folder.path());
    let address = address(folder.path());
    let replies = |recipient: &str| Smtp::rcpt(&address, recipient);
    assert!(replies("joe@example.org").starts_with("550 5.1.1 "));
    run_with_input(folder.path(), &["account", "add", "joe@example.org"], "secret\n");
    assert!(soon(|| replies("joe@example.org").starts_with("250 2.1.5 ")));
    fs::write(folder.path().join("aliases"), "sales@example.org ann@example.org\n").unwrap();
    assert!(soon(|| replies("sales@example.org").starts_with("250 2.1.5 ")));
    run(folder.path(), &["account", "remove", "joe@example.org"]);
    assert!(soon(|| replies("joe@example.org").starts_with("550 5.1.1 ")));
}

#[test]
fn sighup_reads_the_config_again_and_a_broken_one_changes_nothing() {
    let folder = folder();
    let server = Server::start(folder.path());
    let address = address(folder.path());
    let accepts = |recipient: &str| Smtp::rcpt(&address, recipient).starts_with("250 ");
    assert!(!accepts("ann@second.example"));
    replace(
        folder.path(),
        "[accounts]",
        "[[domain]]\nname = \"second.example\"\ncatch_all = \"ann@example.org\"\n[accounts]",
    );
    server.signal(Signal::SIGHUP);
    assert!(soon(|| accepts("ann@second.example")));
    replace(folder.path(), "hostname", "hostnam");
    server.signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(500));
    assert!(accepts("ann@second.example") && accepts("ann@example.org"));
}

#[test]
fn sigterm_lets_a_message_end_and_says_goodbye_to_the_rest() {
    let folder = folder();
    let mut server = Server::start(folder.path());
    let (mut idle, mut busy) = (Smtp::connect(folder.path()), Smtp::connect(folder.path()));
    for line in ["EHLO test.example", "MAIL FROM:<>", "RCPT TO:<ann@example.org>", "DATA"] {
        busy.ask(line);
    }
    server.signal(Signal::SIGTERM);
    assert!(idle.reply().starts_with("421 4.3.2 "));
    assert!(
        busy.ask("From: joe@elsewhere.example\r\nSubject: late\r\n\r\nbut in time\r\n.")
            .starts_with("250 2.0.0 ")
    );
    assert!(busy.reply().starts_with("421 4.3.2 "));
    assert_eq!(server.wait(), Some(0));
    let mut text = String::new();
    let inbox = folder.path().join("mail/example.org/ann/new");
    let file = fs::read_dir(inbox).unwrap().next().unwrap().unwrap().path();
    fs::File::open(file).unwrap().read_to_string(&mut text).unwrap();
    assert!(text.ends_with("From: joe@elsewhere.example\r\nSubject: late\r\n\r\nbut in time\r\n"), "{text}");
}
