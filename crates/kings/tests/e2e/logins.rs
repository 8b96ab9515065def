//! Every program with every mechanism that it knows, right and wrong, over submission and IMAP; and what of it is
//! found afterwards on the disk and in the log.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::external::Authority;
use super::oauth::House;
use crate::harness::{
    Folder, Output, Setup, Smtp, letter, messages, plain, program, run, run_with_input, wait_until,
};

const ANN: &str = "ann@example.org";
const JOE: &str = "joe@example.net";
const BOB: &str = "bob@example.org";
/// The password of everybody, and one that nobody has. No other text looks like them.
const RIGHT: &str = "Kx7-right-Wq93";
const WRONG: &str = "Zb2-wrong-Hj58";
const USERS: &str = "ann@example.org:{PLAIN}Kx7-right-Wq93\nbob@example.org:{PLAIN}Kx7-right-Wq93\n";

/// Everything on; guesses without end, since half of the logins here are wrong.
const EVERYTHING: &str = r#"audience = ["kings"]
[login]
mechanisms = ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "EXTERNAL", "OAUTHBEARER", "XOAUTH2"]
[limits]
login_failures_per_minute = 1000
login_failures_per_account = 1000
"#;

/// Who logs in, over what, by what, and how the program calls it. `LOGIN` on IMAP stands for the command and the
/// mechanism. curl's XOAUTH2 is in `oauth.rs`, where it is offered alone: with a token curl takes OAUTHBEARER, whatever it
/// is told.
const TABLE: &[(&str, &str, &str, &str)] = &[
    ("curl", "submission", "PLAIN", "AUTH=PLAIN"),
    ("curl", "submission", "LOGIN", "AUTH=LOGIN"),
    ("curl", "submission", "CRAM-MD5", "AUTH=CRAM-MD5"),
    ("curl", "submission", "OAUTHBEARER", "AUTH=OAUTHBEARER"),
    ("curl", "submission", "EXTERNAL", "AUTH=EXTERNAL"),
    ("curl", "imap", "PLAIN", "AUTH=PLAIN"),
    ("curl", "imap", "LOGIN", "AUTH=LOGIN"),
    ("curl", "imap", "CRAM-MD5", "AUTH=CRAM-MD5"),
    ("curl", "imap", "OAUTHBEARER", "AUTH=OAUTHBEARER"),
    ("curl", "imap", "EXTERNAL", "AUTH=EXTERNAL"),
    ("msmtp", "submission", "PLAIN", "plain"),
    ("msmtp", "submission", "LOGIN", "login"),
    ("msmtp", "submission", "SCRAM-SHA-1", "scram-sha-1"),
    ("msmtp", "submission", "SCRAM-SHA-256", "scram-sha-256"),
    ("msmtp", "submission", "CRAM-MD5", "cram-md5"),
    ("msmtp", "submission", "EXTERNAL", "external"),
    ("msmtp", "submission", "OAUTHBEARER", "oauthbearer"),
    ("msmtp", "submission", "XOAUTH2", "xoauth2"),
    ("swaks", "submission", "PLAIN", "PLAIN"),
    ("swaks", "submission", "LOGIN", "LOGIN"),
    ("swaks", "submission", "CRAM-MD5", "CRAM-MD5"),
    ("mutt", "submission", "PLAIN", "plain"),
    ("mutt", "submission", "LOGIN", "login"),
    ("mutt", "submission", "SCRAM-SHA-1", "scram-sha-1"),
    ("mutt", "submission", "SCRAM-SHA-256", "scram-sha-256"),
    ("mutt", "submission", "CRAM-MD5", "cram-md5"),
    ("mutt", "submission", "OAUTHBEARER", "oauthbearer"),
    ("mutt", "submission", "XOAUTH2", "xoauth2"),
    ("mutt", "submission", "EXTERNAL", "external"),
    ("mutt", "imap", "PLAIN", "plain"),
    ("mutt", "imap", "LOGIN", "login"),
    ("mutt", "imap", "SCRAM-SHA-1", "scram-sha-1"),
    ("mutt", "imap", "SCRAM-SHA-256", "scram-sha-256"),
    ("mutt", "imap", "CRAM-MD5", "cram-md5"),
    ("mutt", "imap", "OAUTHBEARER", "oauthbearer"),
    ("mutt", "imap", "XOAUTH2", "xoauth2"),
    ("mutt", "imap", "EXTERNAL", "external"),
];

/// A server that takes every mechanism and logs all it can, and what its clients need.
struct Everything {
    house: House,
    people: Folder,
    tokens: [String; 2],
}

impl Everything {
    fn new() -> Self {
        let people = Folder::new("people");
        let (ours, theirs) = (Authority::new("People"), Authority::new("Strangers"));
        ours.certify(&people, "right", ANN, 2090);
        theirs.certify(&people, "wrong", ANN, 2090);
        let tls = format!("client_ca = \"{}\"\n", ours.write(&people).display());
        let setup = Setup { tls, files: vec![("users", USERS)], log: "trace", ..Setup::default() };
        let house = House::with(setup, EVERYTHING);
        let tokens = [house.token(&["email=bob@example.org"]), house.token(&["email=ann@example.org"])];
        Self { house, people, tokens }
    }

    /// What proves to be ann, or does not.
    fn secret(&self, mechanism: &str, good: bool) -> &str {
        match (mechanism, good) {
            ("OAUTHBEARER" | "XOAUTH2", good) => &self.tokens[usize::from(good)],
            (_, true) => RIGHT,
            (_, false) => WRONG,
        }
    }

    fn certificate(&self, good: bool) -> [PathBuf; 2] {
        let name = if good { "right" } else { "wrong" };
        ["pem", "key"].map(|end| self.people.join(&format!("{name}.{end}")))
    }

    fn authority(&self) -> &Path {
        &self.house.kings.certificates.authority
    }

    fn at(&self, protocol: &str) -> String {
        self.house.kings.at(if protocol == "imap" { "imaps" } else { "submissions" })
    }

    /// One login; on submission it sends a letter with this subject.
    fn attempt(&self, row: (&str, &str, &str, &str), good: bool, subject: &str) -> Output {
        let (program, protocol, mechanism, option) = row;
        let secret = self.secret(mechanism, good);
        match program {
            "curl" => self.curl(protocol, mechanism, option, secret, good, subject),
            "msmtp" => self.msmtp(mechanism, option, secret, good, subject),
            "swaks" => self.swaks(option, secret, subject),
            _ => {
                let certificate =
                    if mechanism == "EXTERNAL" { self.certificate_of_mutt(good) } else { String::new() };
                match protocol {
                    "imap" => self.mutt_reads(option, secret, &certificate),
                    _ => self.mutt_sends(option, secret, &certificate, subject),
                }
            }
        }
    }

    fn curl(
        &self,
        protocol: &str,
        mechanism: &str,
        option: &str,
        secret: &str,
        good: bool,
        subject: &str,
    ) -> Output {
        let mut command = program("curl");
        command.args(["--silent", "--show-error", "--max-time", "30", "--login-options", option]);
        command.arg("--cacert").arg(self.authority());
        match mechanism {
            "OAUTHBEARER" | "XOAUTH2" => {
                command.args(["--user", &format!("{ANN}:"), "--oauth2-bearer", secret])
            }
            "EXTERNAL" => {
                let [certificate, key] = self.certificate(good);
                command.arg("--cert").arg(certificate).arg("--key").arg(key);
                command.args(["--user", &format!("{ANN}:")])
            }
            _ => command.args(["--user", &format!("{ANN}:{secret}")]),
        };
        if protocol == "imap" {
            return run(command
                .arg(format!("imaps://{}/INBOX", self.at(protocol)))
                .args(["--request", "NOOP"]));
        }
        command.args(["--mail-from", ANN, "--mail-rcpt", BOB, "--upload-file", "-"]);
        run_with_input(command.arg(format!("smtps://{}", self.at(protocol))), &letter(ANN, BOB, subject))
    }

    fn msmtp(&self, mechanism: &str, option: &str, secret: &str, good: bool, subject: &str) -> Output {
        let port = self.house.kings.address("submissions").port();
        let mut settings = format!(
            "account default\nhost localhost\nport {port}\nfrom {ANN}\nuser {ANN}\nauth {option}\ntls on\n\
             tls_starttls off\ntls_trust_file {}\npasswordeval \"cat {}\"\n",
            self.authority().display(),
            self.people.write("secret", format!("{secret}\n")).display()
        );
        if mechanism == "EXTERNAL" {
            let [certificate, key] = self.certificate(good);
            fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            settings += &format!("tls_cert_file {}\ntls_key_file {}\n", certificate.display(), key.display());
        }
        let mut command = program("msmtp");
        command.arg(format!("--file={}", self.people.write("msmtprc", settings).display())).arg(BOB);
        run_with_input(&mut command, &letter(ANN, BOB, subject))
    }

    fn swaks(&self, option: &str, secret: &str, subject: &str) -> Output {
        let mut command = program("swaks");
        command.args(["--server", &self.at("submission"), "--tlsc", "--timeout", "30", "--tls-verify"]);
        command.arg("--tls-ca-path").arg(self.authority()).args(["--from", ANN, "--to", BOB]);
        command.args(["--auth", option, "--auth-user", ANN, "--auth-password", secret]);
        run(command.args(["--header", &format!("Subject: {subject}")]))
    }

    /// What mutt needs for both protocols.
    fn mutt(&self, protocol: &str, option: &str, secret: &str, more: &str) -> Command {
        let here = self.people.path().display();
        let token = self.people.write("secret", format!("{secret}\n"));
        let settings = format!(
            "set from = '{ANN}'\nset {protocol}_authenticators = '{option}'\nset {protocol}_pass = '{secret}'\n\
             set {protocol}_oauth_refresh_command = 'cat {}'\nset ssl_ca_certificates_file = '{}'\n\
             set ssl_verify_host = yes\nset tmpdir = '{here}'\nset copy = no\nset header_cache = ''\n\
             set wait_key = no\nset sleep_time = 0\nset quit = yes\n{more}\n",
            token.display(),
            self.authority().display()
        );
        let file = self.people.write("muttrc", settings);
        let mut command = program(if protocol == "imap" { "script" } else { "mutt" });
        command.env("HOME", self.people.path()).env("TERM", "xterm");
        if protocol == "imap" {
            command.args(["--quiet", "--return", "--command"]);
            // In the foreground: under a shell that waits for it, mutt could not use the terminal and stopped.
            command.arg(format!("timeout --foreground 20 mutt -n -F {}", file.display()));
            command.arg(self.people.join("terminal"));
        } else {
            command.arg("-n").arg("-F").arg(file);
        }
        command
    }

    /// One file has certificate and key.
    fn certificate_of_mutt(&self, good: bool) -> String {
        let both = self.certificate(good).map(|file| fs::read_to_string(file).unwrap()).concat();
        format!("set ssl_client_cert = '{}'\n", self.people.write("both.pem", both).display())
    }

    fn mutt_sends(&self, option: &str, secret: &str, certificate: &str, subject: &str) -> Output {
        let at = self.at("submission");
        let more = format!("{certificate}set smtp_url = 'smtps://ann%40example.org@{at}/'");
        let mut command = self.mutt("smtp", option, secret, &more);
        run_with_input(command.args(["-s", subject, BOB]), b"Hello.\n")
    }

    fn mutt_reads(&self, option: &str, secret: &str, certificate: &str) -> Output {
        let at = self.at("imap");
        let more = format!(
            "{certificate}set imap_user = '{ANN}'\nset folder = 'imaps://{at}/'\nset spoolfile = 'imaps://{at}/INBOX'\n\
             push '<quit>'"
        );
        run(&mut self.mutt("imap", option, secret, &more))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.house.kings.folder().join("kings.log")).unwrap()
    }

    /// How many logins by this mechanism ended so.
    fn ended(&self, protocol: &str, mechanism: &str, result: &str) -> usize {
        let [protocol, mechanism, result] = [
            format!("protocol={protocol:?}"),
            format!("mechanism={mechanism:?}"),
            format!("result={result:?}"),
        ];
        let is_it = |line: &&str| [&protocol, &mechanism, &result].iter().all(|part| line.contains(*part));
        self.log().lines().filter(is_it).count()
    }

    /// What may stand nowhere: secrets as they are and as they are sent, and parts of them.
    fn needles(&self) -> BTreeSet<String> {
        let mut needles = BTreeSet::new();
        for password in [RIGHT, WRONG] {
            needles.insert(password.to_owned());
            needles.insert(STANDARD.encode(password));
            needles.insert(STANDARD.encode(format!("\0{ANN}\0{password}")));
            needles.insert(STANDARD.encode(format!("{ANN}\0{ANN}\0{password}")));
        }
        for token in &self.tokens {
            // A header of a token is the same for all; claims and signature are its own.
            needles.extend(token.split('.').skip(1).map(str::to_owned));
            needles.insert(STANDARD.encode(format!("user={ANN}\u{1}auth=Bearer {token}\u{1}\u{1}")));
            // However its base64 falls into that of the message around it.
            let middle = &token[token.len() / 2..];
            for skipped in 0..3 {
                let inner = STANDARD.encode(&middle[skipped..]);
                needles.insert(inner[4..inner.len() - 8].to_owned());
            }
        }
        needles
    }
}

/// All files below, but for those where a password belongs.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(files(&entry.path())),
            kind if kind.is_file() && entry.file_name() != "users" => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

fn holds(content: &[u8], needle: &str) -> bool {
    content.windows(needle.len()).any(|part| part == needle.as_bytes())
}

#[test]
fn every_program_submits_by_every_mechanism_and_leaves_no_secret_behind() {
    let everything = Everything::new();
    let subjects = play_table(&everything, "submission");
    let found: BTreeSet<String> = messages(&everything.house.kings.maildir(BOB))
        .iter()
        .filter_map(|message| message.field("Subject"))
        .collect();
    assert_eq!(found, subjects);
    secrets_are_nowhere(&everything);
}

#[test]
fn every_program_reads_by_every_mechanism_and_leaves_no_secret_behind() {
    let everything = Everything::new();
    play_table(&everything, "imap");
    everything.house.kings.deliver(BOB, "so that there is mail");
    secrets_are_nowhere(&everything);
}

/// All logins over one protocol, each wrong and right; gives the subjects of what was sent by the right ones.
#[track_caller]
fn play_table(everything: &Everything, over: &str) -> BTreeSet<String> {
    let mut subjects = BTreeSet::new();
    for row in TABLE.iter().copied().filter(|(_, protocol, ..)| *protocol == over) {
        let (name, protocol, mechanism, option) = row;
        for good in [false, true] {
            let result = if good { "ok" } else { "fail" };
            let subject = format!("{name} {option} {result}");
            let before = everything.ended(protocol, mechanism, result);
            let output = everything.attempt(row, good, &subject);
            // Without a certificate of ours EXTERNAL is not offered, so that no login begins. A program may hang up
            // on a refusal, and the line comes after that.
            let expected = before + usize::from(good || mechanism != "EXTERNAL");
            let what = format!("a line in the log: {row:?} {result}: {output}");
            wait_until(&what, Duration::from_secs(10), || {
                (everything.ended(protocol, mechanism, result) >= expected).then_some(())
            });
            // How mutt ends after it has shown a mailbox, or none, says nothing.
            let is_told = (name, protocol) != ("mutt", "imap");
            assert!(!is_told || output.status.success() == good, "{row:?} {result}: {output}");
            if good && protocol == "submission" {
                subjects.insert(subject);
            }
        }
    }
    subjects
}

#[track_caller]
fn secrets_are_nowhere(everything: &Everything) {
    // No name server answers, so it waits in the queue.
    let client = Smtp::connect_silently(everything.house.kings.address("submissions")).unwrap();
    let mut client = client.secure(&everything.house.kings.certificates);
    client.reply().unwrap().is("220");
    client.command("EHLO client.example.org").unwrap().is("250");
    client.command(&format!("AUTH PLAIN {}", plain(ANN, RIGHT))).unwrap().is("235");
    client.message(ANN, &[JOE], &letter(ANN, JOE, "waits")).unwrap().is("250");
    let needles = everything.needles();
    // What is searched for would be found.
    let token = &everything.tokens[1];
    let sent = STANDARD
        .encode(format!("n,a={ANN},\u{1}host=localhost\u{1}port=1\u{1}auth=Bearer {token}\u{1}\u{1}"));
    assert!(needles.iter().any(|needle| holds(sent.as_bytes(), needle)), "the needles miss a token");
    let files = files(everything.house.kings.folder().path());
    let named = |part: &str| files.iter().any(|file| file.display().to_string().contains(part));
    for part in ["kings.log", "data/queue/", "records", "mail/example.org/bob/new/"] {
        assert!(named(part), "{part} is not among {files:?}");
    }
    for file in &files {
        let content = fs::read(file).unwrap_or_default();
        for needle in &needles {
            assert!(!holds(&content, needle), "{needle:?} stands in {}", file.display());
        }
    }
}
