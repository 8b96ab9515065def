//! The command line: noun, then verb.

mod account;
mod auth;
mod certificate;
mod check_message;
mod dkim;
mod dns;
mod doctor;
mod firewall;
mod mail;
mod papers;
mod pw;
mod queue;
mod quota;
mod report;
mod score;
pub(crate) mod self_test;
mod status;
mod tls;
mod trace;
mod undelete;
mod verify;

pub(crate) use self::account::new_password;
pub(crate) use self::certificate::answer as certificate_answer;
pub(crate) use self::queue::Reach;
pub(crate) use self::queue::{Desk as QueueDesk, answer as queue_answer};
pub(crate) use self::report::answer as report_answer;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, DEFAULT_PATH, Settings};
use crate::control::{self, Answer, Request};
use crate::{demo, log, milter, prepare, serve, setup};

/// A complete mail system in one binary.
#[derive(Parser)]
#[command(name = "kings", version, disable_help_subcommand = true)]
#[command(
    after_help = "Called as sendmail, mailq or newaliases, or as  kings sendmail ...,  it behaves as those programs do."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server in the foreground; it logs to standard error.
    Serve(Common),
    /// Sign and verify for a Postfix over the milter protocol, in the place of OpenDKIM.
    Milter(milter::Options),
    /// Run a whole server on loopback, send a message through it and read it back.
    Demo(demo::Options),
    /// Make a mail server of this machine: config, keys, the first account, and the server itself.
    ///
    /// It looks first, tells what it will do, and can be run again at any time: what is there stays as it is.
    Setup(Box<setup::Options>),
    /// Look at the config.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// What this server would do with a message, and why: every check with its result. Needs no running server.
    ///
    /// Left out: milters, header and body rules, the policy service, greylisting, and who is trusted (trusted hosts,
    /// XCLIENT and XFORWARD).
    CheckMessage(check_message::Options),
    /// How a message looks to those who receive it: up to ten points, each with what was measured and what to do.
    Score(score::Options),
    /// The accounts that receive mail and log in.
    #[command(subcommand)]
    Account(account::Command),
    /// How much mail accounts hold, and may hold.
    #[command(subcommand)]
    Quota(quota::Command),
    /// Are the mailboxes as they should be? UID lists, names, sizes, quotas and the index, and mends them on request.
    ///
    /// It runs beside the server, and never stops at the first fault.
    Verify(verify::Options),
    /// Logins.
    #[command(subcommand)]
    Auth(auth::Command),
    /// The keys that mail is signed with.
    #[command(subcommand)]
    Dkim(dkim::Command),
    /// The records in DNS that this server and its domains need.
    #[command(subcommand)]
    Dns(dns::Command),
    /// A password's hash for a passwd-file; the password comes from a prompt or from standard input.
    Pw(pw::Options),
    /// Mail that waits to leave.
    #[command(subcommand)]
    Queue(queue::Command),
    /// Where is my mail? Each step of each message, with the words of the servers it met.
    Trace(trace::Options),
    /// Reports: what others say about mail and TLS of our domains, and what we tell theirs.
    #[command(subcommand)]
    Report(report::Command),
    /// Our own certificates.
    #[command(subcommand)]
    Certificate(certificate::Command),
    /// The TLS of other servers.
    #[command(subcommand)]
    Tls(tls::Command),
    /// The machine's firewall: SSH's ports and those of the config open, all others closed.
    #[command(subcommand)]
    Firewall(firewall::Command),
    /// Write manual pages and completions into a folder.
    #[command(hide = true)]
    Papers(papers::Options),
    /// Send a message through the running server and read it back: submission, signature, delivery, IMAP.
    SelfTest(self_test::Options),
    /// What is behind a server that does not do well: clock, resolver, DNSSEC, limits, permissions, what listens, open relay, disks,
    /// crashes. It needs no server that runs.
    Doctor(doctor::Options),
    /// How the server is, on one screen: mail in and out, queue, mailboxes, certificates as its ports show them, DNS, disk, security;
    /// each line that fails ends with what mends it.
    Status(status::Options),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check the config with the files it names; prints every complaint with its remedy.
    Check(Check),
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    common: Common,
    /// Check OpenDKIM's config file as `kings milter` reads it, and nothing else.
    #[arg(long, value_name = "FILE")]
    opendkim_conf: Option<PathBuf>,
}

/// What every command takes.
#[derive(Args)]
pub(crate) struct Common {
    /// The config file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
}

impl Common {
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        Settings::load(&self.config).map_err(Failure::from)
    }
}

/// What every command takes that reads.
#[derive(Args)]
pub(crate) struct Output {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// This user may not ask the server.
fn not_ours() -> Failure {
    Failure::not_allowed("only root and the user that runs the server may ask it: try with sudo")
}

/// Asks the server; `None` where none runs on this data.
fn ask(data_dir: &Path, request: &Request) -> Result<Option<Answer>, Failure> {
    control::ask(data_dir, request).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => not_ours(),
        _ => Failure::cannot_tell(format!("cannot ask the server: {error}")),
    })
}

/// Why a command did not succeed, and the exit code that says so.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    text: String,
}

impl Failure {
    /// A check failed: 1.
    pub(crate) fn check_failed(text: impl Into<String>) -> Self {
        Self { code: 1, text: text.into() }
    }

    /// The command line makes no sense: 2, as for any other misuse of it.
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { code: 2, text: text.into() }
    }

    /// Cannot tell right now: 75 (EX_TEMPFAIL of sysexits.h).
    pub(crate) fn cannot_tell(text: impl Into<String>) -> Self {
        Self { code: 75, text: text.into() }
    }

    /// This user may not: 77 (EX_NOPERM of sysexits.h).
    pub(crate) fn not_allowed(text: impl Into<String>) -> Self {
        Self { code: 77, text: text.into() }
    }

    /// The config or what it names cannot be used: 78 (EX_CONFIG of sysexits.h).
    pub(crate) fn config(text: impl Into<String>) -> Self {
        Self { code: 78, text: text.into() }
    }

    /// A code of another protocol, such as that of Nagios, where all is said.
    pub(crate) fn exit(code: u8) -> Self {
        Self { code, text: String::new() }
    }

    /// The exit code and what to say, for those who say it under another name.
    pub(crate) fn parts(&self) -> (u8, &str) {
        (self.code, &self.text)
    }

    /// Tells the person and the shell.
    pub(crate) fn report(&self) -> ExitCode {
        if !self.text.is_empty() {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "kings: {}", self.text.replace('\n', "\nkings: "));
        }
        ExitCode::from(self.code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::config(error.to_string())
    }
}

/// Asks a person, and takes an end of the input for no; nothing but a line end is the `usual` answer.
pub(crate) fn goes_on(usual: bool) -> Result<bool, Failure> {
    print(if usual { "  Go on? [Y/n] " } else { "Go on? [y/N] " });
    let mut answer = String::new();
    let heard = io::stdin().read_line(&mut answer);
    let count = heard.map_err(|error| Failure::cannot_tell(format!("cannot hear an answer: {error}")))?;
    Ok(match answer.trim().to_lowercase().as_str() {
        "" => usual && count > 0,
        said => matches!(said, "y" | "yes"),
    })
}

/// Prints for a person or a program; a closed pipe is how both say that they have seen enough.
pub(crate) fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes()).and_then(|()| io::stdout().flush());
}

/// Runs one command.
pub(crate) fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(common) => with_log(|| serve::run(&common.config)),
        Command::Milter(options) => with_log(|| milter::run(&options)),
        Command::Demo(options) => demo::run(&options),
        Command::Setup(options) => setup::run(&options),
        Command::Config(ConfigCommand::Check(options)) => match &options.opendkim_conf {
            Some(path) => check_opendkim(path),
            None => check(&options.common),
        },
        Command::CheckMessage(options) => check_message::run(options),
        Command::Score(options) => score::run(options),
        Command::Account(command) => account::run(command),
        Command::Quota(command) => quota::run(&command),
        Command::Verify(options) => verify::run(&options),
        Command::Auth(command) => auth::run(&command),
        Command::Dkim(command) => dkim::run(command),
        Command::Dns(command) => dns::run(command),
        Command::Pw(options) => pw::run(&options),
        Command::Queue(command) => queue::run(command),
        Command::Trace(options) => trace::run(options),
        Command::Report(command) => report::run(&command),
        Command::Certificate(command) => certificate::run(&command),
        Command::Tls(command) => tls::run(&command),
        Command::Firewall(command) => firewall::run(&command),
        Command::Papers(options) => papers::run(&options),
        Command::SelfTest(options) => self_test::run(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Status(options) => status::run(&options),
    }
}

/// Does the work of a server: its log is started before, and whole after it.
fn with_log(work: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    log::start();
    let ended = work();
    log::flush();
    ended
}

/// The config, the files it names, and what only a second look finds: all of it, whatever else is wrong.
fn check(common: &Common) -> Result<(), Failure> {
    let path = common.config.display();
    let (settings, complaints) = Settings::examine(&common.config)?;
    let mut wrong: Vec<String> = complaints.iter().map(|complaint| format!("{path}: {complaint}")).collect();
    let Some(settings) = settings else { return Err(Failure::config(wrong.join("\n"))) };
    let found = prepare::check(&settings);
    wrong.extend(found.faults);
    let mut odd: Vec<String> = settings.warnings.iter().map(ToString::to_string).collect();
    odd.extend(found.odd);
    // Who exists depends on all of the config.
    if let Some(directory) = found.directory.filter(|_| complaints.is_empty()) {
        odd.extend(directory.warnings());
        let runtime = serve::runtime(settings.limits.threads)?;
        wrong.extend(runtime.block_on(prepare::lost_copies(&settings.house_rules.copies, &directory)));
        odd.extend(runtime.block_on(prepare::doubts(&settings.domains, &directory)));
        odd.extend(prepare::idle_patterns(&settings, &directory));
    }
    print(&odd.iter().map(|warning| format!("warning: {warning}\n")).collect::<String>());
    if !wrong.is_empty() {
        return Err(Failure::config(wrong.join("\n")));
    }
    print(&format!("ok: {path}\n"));
    Ok(())
}

fn check_opendkim(path: &Path) -> Result<(), Failure> {
    let warnings = milter::check(path).map_err(|error| Failure::config(format!("{error:#}")))?;
    let warnings: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
    print(&format!("{warnings}ok: {}\n", path.display()));
    Ok(())
}
