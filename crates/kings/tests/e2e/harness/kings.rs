//! The server under test: the real binary, with a configuration and folders of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Certificates, Daemon, Folder, Imap, Smtp, clueless, rooted, run};

/// How long the start may take; it is milliseconds unless the machine is busy.
const START: Duration = Duration::from_secs(20);

/// Whole `[inbound]` of a server that takes all mail as it comes: two servers of one test may host the same domain.
pub(crate) const UNVERIFIED: &str =
    "[inbound]\nspf = \"off\"\ndkim = \"off\"\ndmarc = \"off\"\niprev = \"off\"\narc = \"off\"\n";

/// The configuration of one server. The default is one domain, `example.org`, with two accounts whose password is
/// `secret`, an alias, and every listener of this version on a port the kernel chooses.
pub(crate) struct Setup {
    /// Two servers of one test that send each other mail by MX records need names of their own.
    pub(crate) hostname: &'static str,
    /// The names in the certificate that the test makes.
    pub(crate) names: &'static [&'static str],
    /// Keys before the first table.
    pub(crate) top: String,
    pub(crate) listen: String,
    /// Further files beside the configuration.
    pub(crate) files: Vec<(&'static str, &'static str)>,
    /// Further keys of `[aliases]`.
    pub(crate) aliases: String,
    /// Whole tables, after all others.
    pub(crate) tables: String,
    /// More keys of `[tls]`.
    pub(crate) tls: String,
    /// What stands in `[tls]` in the place of the pair made by the test.
    pub(crate) certificate: Option<String>,
    /// Where DNS questions go; nobody there knows anything unless a test says so.
    pub(crate) name_server: String,
    /// Where queue and mailboxes go; the folder of the test unless said otherwise.
    pub(crate) disk: String,
    /// The pair made by the test, or a certificate that the server signs itself.
    pub(crate) self_signed: bool,
    /// What is logged, as in `KINGS_LOG`.
    pub(crate) log: &'static str,
    /// The account to become when the tests run as root; Dovecot does not serve mail that belongs to root.
    pub(crate) account: Option<&'static str>,
    /// The fault to plant, in the program built for that.
    pub(crate) mutant: Option<&'static str>,
}

impl Default for Setup {
    fn default() -> Self {
        let names = ["smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"];
        let listen = names.map(|name| format!("{name} = [\"127.0.0.1:0\"]\n")).concat();
        let name_server = clueless();
        Self {
            hostname: "mail.example.org",
            names: &["mail.example.org", "localhost", "127.0.0.1"],
            top: String::new(),
            listen,
            files: Vec::new(),
            aliases: String::new(),
            tables: String::new(),
            tls: String::new(),
            certificate: None,
            name_server,
            disk: ".".to_owned(),
            self_signed: false,
            log: "info",
            account: None,
            mutant: None,
        }
    }
}

impl Setup {
    /// Writes the files and starts the server; returns when it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Kings {
        let folder = Folder::new("e2e");
        let certificates = Certificates::for_names(&folder, self.names);
        folder.write("users", "ann@example.org:{PLAIN}secret\nbob@example.org:{PLAIN}secret\n");
        folder.write("aliases", "info@example.org ann@example.org, bob@example.org\n");
        for (name, content) in &self.files {
            folder.write(name, content);
        }
        folder.write("kings.toml", self.text());
        if let Some(account) = self.account.filter(|_| is_root()) {
            run(rooted("/bin/chown").arg("-R").arg(format!("{account}:")).arg(folder.path())).succeeded();
        }
        let (log, mutant) = (self.log, self.mutant);
        let mut kings = Kings { folder, certificates, log, mutant, daemon: None, listeners: BTreeMap::new() };
        kings.serve();
        kings
    }

    fn text(&self) -> String {
        let Self { hostname, listen, tables, name_server, self_signed, disk, .. } = self;
        let account = self.account.filter(|_| is_root()).map(|name| format!("user = \"{name}\"\n"));
        let top = self.top.clone() + &account.unwrap_or_default();
        let tls = match &self.certificate {
            Some(certificate) => certificate,
            None if *self_signed => "self_signed = true",
            None => "certificate = \"tls.pem\"\nprivate_key = \"tls.key\"",
        };
        let mut text = format!(
            "hostname = \"{hostname}\"\ndata_dir = \"{disk}/data\"\nmail_dir = \"{disk}/mail\"\n{top}\n"
        );
        text += "[[domain]]\nname = \"example.org\"\n";
        text += "[accounts]\nfile = \"users\"\n[aliases]\nfile = \"aliases\"\n";
        text += &self.aliases;
        write!(text, "[listen]\n{listen}[tls]\n{tls}\n{}", self.tls).unwrap();
        write!(text, "[dns]\nservers = [\"{name_server}\"]\n{tables}").unwrap();
        text
    }
}

/// The program under test.
const KINGS: &str = env!("CARGO_BIN_EXE_kings");

/// The same program with faults planted on purpose. `test.sh` has built it before; here cargo sees to it that it is that
/// of these sources.
fn with_mutants() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(KINGS).ancestors().nth(2).expect("TARGET/PROFILE/kings");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--locked", "--package", "kings", "--features", "mutants"]);
        build.args(["--bin", "kings-mutants", "--target-dir"]).arg(target);
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
        assert!(status.success(), "the program with planted faults cannot be built: {build:?}");
        target.join("debug/kings-mutants")
    })
}

/// A running server; it is asked to end, and must do so, when this is dropped.
pub(crate) struct Kings {
    // First, so that the process ends before its folder goes.
    daemon: Option<Daemon>,
    folder: Folder,
    log: &'static str,
    mutant: Option<&'static str>,
    pub(crate) certificates: Certificates,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Kings {
    #[track_caller]
    pub(crate) fn start() -> Self {
        Setup::default().start()
    }

    /// The `kings` program with `--config`, for any command.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match self.mutant {
            None => Command::new(KINGS),
            Some(mutant) => {
                let mut command = Command::new(with_mutants());
                command.env("KINGS_MUTANT", mutant);
                command
            }
        };
        command.args(arguments).arg("--config").arg(self.folder.join("kings.toml"));
        command
    }

    /// The id of the process.
    #[track_caller]
    pub(crate) fn process(&self) -> u32 {
        self.daemon.as_ref().expect("it runs").id()
    }

    /// Whether it ends by itself, or by somebody else's hand, within this time.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let daemon = self.daemon.as_mut().expect("it ran");
        let start = std::time::Instant::now();
        while !daemon.has_ended() {
            if start.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        true
    }

    /// Ends it without warning, as a power cut or the kernel would.
    pub(crate) fn kill(&mut self) {
        self.daemon.take().expect("it runs").kill();
    }

    /// Starts it again on the same folders after [`Kings::kill`]; the ports are new ones.
    #[track_caller]
    pub(crate) fn serve(&mut self) {
        let mut serve = self.command(&["serve"]);
        let log = self.folder.join("kings.log");
        // Counted before it starts: it may be ready before anybody looks.
        let before = ready_lines(&std::fs::read_to_string(&log).unwrap_or_default());
        let mut daemon = Daemon::start("kings", serve.env("KINGS_LOG", self.log), &log);
        daemon
            .wait_for("the line that ends in ` ready`", START, |daemon| ready_lines(&daemon.log()) > before);
        self.daemon = Some(daemon);
        let status = run(&mut self.command(&["status", "--json"])).succeeded();
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let listeners = status["listeners"].as_array().expect("status lists the listeners");
        let entry = |listener: &serde_json::Value| {
            let address = listener["address"].as_str()?.parse().ok()?;
            Some((listener["name"].as_str()?.to_owned(), address))
        };
        self.listeners = listeners.iter().filter_map(entry).collect();
    }

    /// Asks another name server from its next start on; so do other programs from now on.
    #[track_caller]
    pub(crate) fn ask(&self, name_server: &str) {
        let text = std::fs::read_to_string(self.folder.join("kings.toml")).unwrap();
        let (before, rest) = text.split_once("[dns]\nservers = [\"").expect("it has [dns]");
        let (_, after) = rest.split_once('"').expect("a string");
        self.folder.write("kings.toml", format!("{before}[dns]\nservers = [\"{name_server}\"{after}"));
    }

    /// The address of a listener, by its key in `[listen]`.
    #[track_caller]
    pub(crate) fn address(&self, name: &str) -> SocketAddr {
        *self.listeners.get(name).unwrap_or_else(|| panic!("no listener {name} in {:?}", self.listeners))
    }

    /// The same as `localhost:PORT`, the name in the certificate.
    #[track_caller]
    pub(crate) fn at(&self, name: &str) -> String {
        format!("localhost:{}", self.address(name).port())
    }

    pub(crate) fn maildir(&self, account: &str) -> PathBuf {
        let (user, domain) = account.split_once('@').expect("an address");
        self.folder.join("mail").join(domain).join(user)
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// A raw client on port 25 that has said EHLO.
    #[track_caller]
    pub(crate) fn smtp(&self) -> Smtp {
        let mut client = Smtp::connect(self.address("smtp")).unwrap();
        client.command("EHLO client.example.net").unwrap().is("250");
        client
    }

    /// A raw client, logged in.
    #[track_caller]
    pub(crate) fn imap(&self, account: &str) -> Imap {
        Imap::login(self.address("imaps"), &self.certificates, account)
    }

    /// A raw client on port 465, logged in.
    #[track_caller]
    pub(crate) fn submissions(&self, account: &str) -> Smtp {
        let client = Smtp::connect_silently(self.address("submissions")).unwrap();
        let mut client = client.secure(&self.certificates);
        client.reply().unwrap().is("220");
        client.command("EHLO client.example.org").unwrap().is("250");
        client.command(&format!("AUTH PLAIN {}", plain(account, "secret"))).unwrap().is("235 2.7.0");
        client
    }

    /// Delivers one message to an account over port 25.
    #[track_caller]
    pub(crate) fn deliver(&self, account: &str, subject: &str) {
        let content = letter("carol@example.net", account, subject);
        self.smtp().message("carol@example.net", &[account], &content).unwrap().is("250 2.0.0");
    }

    /// Submits one message of an account over port 465.
    #[track_caller]
    pub(crate) fn submit(&self, account: &str, to: &str, subject: &str) {
        let content = letter(account, to, subject);
        self.submissions(account).message(account, &[to], &content).unwrap().is("250 2.0.0");
    }
}

impl Drop for Kings {
    fn drop(&mut self) {
        let Some(mut daemon) = self.daemon.take() else { return };
        let status = daemon.stop();
        assert!(
            std::thread::panicking() || status.success(),
            "SIGTERM ended it with {status}\n{}",
            daemon.log()
        );
    }
}

/// A small message; its Message-ID is the subject with dots.
pub(crate) fn letter(from: &str, to: &str, subject: &str) -> Vec<u8> {
    let id = subject.replace(' ', ".");
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <{id}@example.net>\r\n\r\nHello, this is {subject}.\r\n"
    )
    .into_bytes()
}

/// The argument of AUTH PLAIN (RFC 4616 §2).
pub(crate) fn plain(account: &str, password: &str) -> String {
    STANDARD.encode(format!("\0{account}\0{password}"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn ready_lines(log: &str) -> usize {
    log.lines().filter(|line| line.ends_with(" ready")).count()
}
