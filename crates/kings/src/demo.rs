//! `kings demo`: a whole server on loopback that sends a message through itself and reads it back.

use std::fs::{self, DirBuilder};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use kings_mail::address::Address;
use kings_ops::{Afterwards, Person, Place, Step, send_and_read_back};
use kings_sasl::Secret;
use tokio::signal::unix::{SignalKind, signal};

use crate::command::{Failure, print};
use crate::config::{Settings, Threads};
use crate::prepare::{Prepared, Server};
use crate::serve::{self, Running};

#[derive(Args)]
pub(crate) struct Options {
    /// Stop after the message has been read back.
    #[arg(long)]
    once: bool,
    /// Where the demo keeps its files; without it, in a new folder that goes when the demo ends.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// The ports it would like; a port in use is replaced by a free one.
const PORTS: [(Server, u16); 5] = [
    (Server::Smtp, 2525),
    (Server::Submission, 2587),
    (Server::Submissions, 2465),
    (Server::Imap, 2143),
    (Server::Imaps, 2993),
];
const PASSWORD: &str = "demo";

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let began = Instant::now();
    let folder = Folder::make(options.dir.as_deref()).map_err(failed)?;
    let config = write_files(&folder.path).map_err(failed)?;
    let settings = Settings::load(&config)?;
    print(&format!("Kings demo in {}\n", folder.path.display()));
    let prepared = Prepared::new(settings).map_err(failed)?;
    serve::runtime(Threads::default())?.block_on(async {
        let running = Running::start(prepared).map_err(failed)?;
        step(began, "server is up on loopback, with a self-signed certificate");
        let tested = self_test(&running, began).await;
        if tested.is_ok() && !options.once {
            print(&invitation(&running, &config));
            wait_for_the_end().await.map_err(failed)?;
        }
        running.stop().await;
        tested
    })?;
    if options.once {
        print(&format!("ok: sent, stored and read back in {:.1} s\n", began.elapsed().as_secs_f64()));
    }
    Ok(())
}

#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn failed(error: anyhow::Error) -> Failure {
    Failure::check_failed(format!("{error:#}"))
}

fn step(began: Instant, what: &str) {
    print(&format!("  {:>6.3} s  {what}\n", began.elapsed().as_secs_f64()));
}

async fn self_test(running: &Running, began: Instant) -> Result<(), Failure> {
    let address = |server| running.address(server).context("the demo listens everywhere");
    let [ann, joe] = ["ann", "joe"].map(person);
    let place = Place {
        hostname: kings_mail::domain::Domain::parse("localhost").expect("a plain name"),
        submissions: address(Server::Submissions).map_err(failed)?,
        imaps: address(Server::Imaps).map_err(failed)?,
    };
    let report = |done: Step| match done {
        Step::SubmissionLogin => step(began, "ann logged in at submission, under TLS"),
        Step::Sent(reply) => step(began, &format!("ann sent a message to joe: {reply}")),
        Step::ImapLogin => step(began, "joe logged in over IMAP, under TLS"),
        Step::Arrived(uid) => step(began, &format!("the message is in joe's inbox, UID {uid}")),
        Step::ReadBack => step(began, "joe read it: every byte as ann wrote it"),
    };
    send_and_read_back(&place, &ann, &joe, Afterwards::Keep, report)
        .await
        .map(drop)
        .map_err(|error| Failure::check_failed(error.to_string()))
}

fn person(name: &str) -> Person {
    let account = Address::parse(&format!("{name}@demo.example")).expect("a plain address");
    Person { account, password: Secret::new(PASSWORD) }
}

async fn wait_for_the_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// What a newcomer may try next.
fn invitation(running: &Running, config: &Path) -> String {
    let port = |server| running.address(server).map_or(0, |address| address.port());
    format!(
        "\n\
The server runs until you press Ctrl-C. Accounts ann@demo.example and joe@demo.example, password {PASSWORD}.\n\n\
  From another terminal:\n\
    swaks --server 127.0.0.1:{submission} --tls --auth PLAIN --auth-user ann@demo.example --auth-password {PASSWORD} \\\n\
          --from ann@demo.example --to joe@demo.example\n\
    curl -k --user joe@demo.example:{PASSWORD} 'imaps://127.0.0.1:{imaps}/INBOX;UID=1'\n\
    kings queue list --config {config}\n\
  In a mail program: IMAP 127.0.0.1 port {imaps} (TLS), SMTP 127.0.0.1 port {submissions} (TLS); accept the certificate.\n\
  Mail from other servers comes in on port {smtp}.\n\n",
        submission = port(Server::Submission),
        imaps = port(Server::Imaps),
        submissions = port(Server::Submissions),
        smtp = port(Server::Smtp),
        config = config.display(),
    )
}

/// Where the demo lives; one of its own goes with it.
struct Folder {
    path: PathBuf,
    temporary: bool,
}

impl Folder {
    fn make(wanted: Option<&Path>) -> anyhow::Result<Self> {
        let temporary = wanted.is_none();
        let own = || std::env::temp_dir().join(format!("kings-demo-{}", std::process::id()));
        let path = wanted.map_or_else(own, Path::to_owned);
        let mut builder = DirBuilder::new();
        // Another user's folder of this name must not become ours.
        builder
            .mode(0o700)
            .recursive(!temporary)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path: fs::canonicalize(path)?, temporary })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Config, accounts and aliases; files that are there already stay.
fn write_files(folder: &Path) -> anyhow::Result<PathBuf> {
    let config = folder.join("kings.toml");
    let listen: String =
        PORTS.iter().map(|(server, port)| format!("{} = [\"{}\"]\n", server.name(), free(*port))).collect();
    let text = format!(
        "# The demo: everything on loopback, nothing leaves.\n\
         hostname = \"localhost\"\ndata_dir = \"data\"\nmail_dir = \"mail\"\n\n\
         [[domain]]\nname = \"demo.example\"\n\n[accounts]\nfile = \"users\"\n\n[aliases]\nfile = \"aliases\"\n\n\
         [listen]\n{listen}\n[tls]\nself_signed = true\n\n\
         [[route]]\nsender = \"@demo.example\"\nto = \"error:The demo sends nothing to the outside\"\n"
    );
    let users =
        format!("ann@demo.example:{{PLAIN}}{PASSWORD}::::::\njoe@demo.example:{{PLAIN}}{PASSWORD}::::::\n");
    let aliases = "# Postfix's virtual(5)\nteam@demo.example ann@demo.example, joe@demo.example\n".to_owned();
    for (name, text) in [("kings.toml", text), ("users", users), ("aliases", aliases)] {
        let path = folder.join(name);
        if name == "kings.toml" || !path.exists() {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(config)
}

/// The port on loopback, or port 0 when somebody has it.
fn free(port: u16) -> SocketAddr {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let is_free = TcpListener::bind(address).is_ok();
    if is_free { address } else { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }
}
