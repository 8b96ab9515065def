//! `kings setup`: from a bare machine to a mail server. Each step looks first, does what is missing, and can be run again.

mod act;
mod facts;
mod files;
mod plan;
mod report;

use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_net::is_public;
use kings_ops::machine::{Detached, Elsewhere, ServiceManager, Systemd};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use self::act::Actor;
use self::facts::{Existing, Facts};
use self::plan::{Plan, Wanted};
use self::report::{Line, Report};
use crate::command::{Failure, goes_on, print};
use crate::config::{DEFAULT_PATH, Settings};

/// Folders and user of a server that nobody wants elsewhere.
const DATA_DIR: &str = "/var/lib/kings-smtp";
const MAIL_DIR: &str = "/var/mail/vmail";
const USER: &str = "kings";

#[derive(Args, Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(crate) struct Options {
    /// Your address: its domain is hosted here, and it is the first account.
    #[arg(value_parser = |text: &str| Address::parse(text).map_err(|error| error.to_string()))]
    pub(crate) address: Address,
    /// The name of this machine; default: mail.DOMAIN.
    #[arg(long, value_parser = |text: &str| Domain::parse(text).map_err(|error| error.to_string()))]
    pub(crate) hostname: Option<Domain>,
    /// Tell what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Ask nothing. The password of the first account comes from standard input with --password-stdin, or is set later.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Take one line of standard input for the password of the first account.
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// The config file, which is written where there is none; accounts and aliases lie beside it.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    pub(crate) config: PathBuf,
    /// Queue, keys and index.
    #[arg(long, value_name = "FOLDER", default_value = DATA_DIR)]
    pub(crate) data_dir: PathBuf,
    /// The mailboxes.
    #[arg(long, value_name = "FOLDER", default_value = MAIL_DIR)]
    pub(crate) mail_dir: PathBuf,
    /// Who the server runs as.
    #[arg(long, value_name = "USER", default_value = USER)]
    pub(crate) user: String,
    /// Mail leaves through this host, for networks that close port 25: HOST:PORT.
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) smart_host: Option<String>,
    /// The login at the smart host; its password stands in --smart-host-password-file.
    #[arg(long, value_name = "NAME", requires = "smart_host", requires = "smart_host_password_file")]
    pub(crate) smart_host_user: Option<String>,
    /// A file with the password at the smart host.
    #[arg(long, value_name = "FILE", requires = "smart_host_user")]
    pub(crate) smart_host_password_file: Option<PathBuf>,
    /// A certificate of your own, with its chain (PEM).
    #[arg(long, value_name = "FILE", requires = "private_key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) private_key: Option<PathBuf>,
    /// A certificate that the server signs itself, which no other server or mail program believes: for a trial.
    #[arg(long, conflicts_with = "certificate")]
    pub(crate) self_signed: bool,
    /// Ask this name server instead of those of the machine.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) name_server: Vec<SocketAddr>,
    /// The address by which the world knows this machine, where it cannot be found out.
    #[arg(long, value_name = "ADDRESS", value_parser = public)]
    pub(crate) public_address: Vec<IpAddr>,
    /// Look at these places, and not at well-known mail servers, whether port 25 of others can be reached.
    #[arg(long, value_name = "ADDRESS:PORT", hide = true)]
    pub(crate) probe: Vec<SocketAddr>,
}

/// An address that can stand in DNS for others to reach.
fn public(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.parse().map_err(|_| "this is no IP address".to_owned())?;
    if is_public(address) { Ok(address) } else { Err("nobody outside can reach this address".to_owned()) }
}

impl Options {
    /// What is in force where a config is there: that, and not what this run was told.
    fn in_force(&self, settings: &Settings) -> Self {
        let host = settings.outbound.smart_hosts.first();
        Self {
            hostname: Some(settings.hostname.clone()),
            data_dir: settings.data_dir.clone(),
            mail_dir: settings.mail_dir.clone(),
            user: settings.user.clone().unwrap_or_else(|| self.user.clone()),
            smart_host: host.map(|host| format!("{}:{}", host.host, host.port)),
            ..self.clone()
        }
    }

    /// What goes behind commands of ours, for these to be about the same server.
    fn with_config(&self) -> String {
        if self.config == Path::new(DEFAULT_PATH) {
            String::new()
        } else {
            format!(" --config {}", self.config.display())
        }
    }

    /// The domain of the first account.
    pub(crate) fn domain(&self) -> Result<&Domain, Failure> {
        let domain = self.address.domain();
        domain.ok_or_else(|| {
            Failure::usage(format!("{} has no domain: give an address such as you@example.org", self.address))
        })
    }

    /// With paths that mean the same from everywhere.
    fn absolute(&self) -> Result<Self, Failure> {
        let absolute = |path: &Path| {
            let path = std::path::absolute(path);
            path.map_err(|error| Failure::cannot_tell(format!("cannot tell the current folder: {error}")))
        };
        Ok(Self {
            config: absolute(&self.config)?,
            data_dir: absolute(&self.data_dir)?,
            mail_dir: absolute(&self.mail_dir)?,
            ..self.clone()
        })
    }

    /// The name of this machine.
    pub(crate) fn hostname(&self) -> Result<Domain, Failure> {
        let domain = self.domain()?;
        let usual = || Domain::parse(&format!("mail.{domain}"));
        self.hostname.clone().map_or_else(usual, Ok).map_err(|error| Failure::usage(error.to_string()))
    }
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let options = &options.absolute()?;
    // Before anything is looked at: who waits would act on what was true before.
    let _alone = if options.dry_run { None } else { Some(alone(options)?) };
    let manager = manager(options)?;
    let facts = Facts::gather(options, manager.as_ref())?;
    let plan = Plan::new(options, &facts)?;
    let options = &match &facts.config {
        Existing::Usable(settings) => options.in_force(settings),
        Existing::Missing | Existing::Broken(_) => options.clone(),
    };
    let manager = self::manager(options)?;
    if !options.json {
        print(&report::head(options, &facts, &plan)?);
    }
    if let Some((why, fix)) = plan.obstacle() {
        let fix = format!("{why}\nfix: {fix}");
        return Err(if options.json {
            refused_as_json(options, &plan, &fix)
        } else {
            Failure::check_failed(fix)
        });
    }
    if options.dry_run {
        if options.json {
            print(&format!("{}\n", report::plan_as_json(options, &plan)));
        } else {
            print("nothing was changed (--dry-run)\n");
        }
        return Ok(());
    }
    if plan.changes() > 0 && !options.yes && !agreed()? {
        return Err(Failure::check_failed("nothing was changed"));
    }
    let report = carry_out(options, &plan, &facts, manager.as_ref())?;
    let failed = report.failed();
    if options.json {
        print(&format!("{}\n", report.to_json(options)));
    } else {
        print(&report.tail(options)?);
    }
    if failed { Err(Failure::check_failed("")) } else { Ok(()) }
}

fn manager(options: &Options) -> Result<Box<dyn ServiceManager>, Failure> {
    if Systemd::is_there() {
        return Ok(Box::new(Systemd { elsewhere: elsewhere(options) }));
    }
    let program = std::env::current_exe();
    let program = program
        .map_err(|error| Failure::cannot_tell(format!("cannot tell where this program is: {error}")))?;
    // Beside the config, which is root's: the folders of the data are the server's, and may hold a link of that name.
    let (config, log) = (options.config.clone(), options.config.with_file_name("serve.log"));
    Ok(Box::new(Detached { program, config, log }))
}

/// What the unit of the package does not know.
fn elsewhere(options: &Options) -> Elsewhere {
    let folders = [(&options.data_dir, DATA_DIR), (&options.mail_dir, MAIL_DIR)].into_iter();
    Elsewhere {
        config: Some(options.config.clone()).filter(|config| config != Path::new(DEFAULT_PATH)),
        user: Some(options.user.clone()).filter(|user| user != USER),
        folders: folders
            .filter(|(folder, usual)| *folder != Path::new(usual))
            .map(|(folder, _)| folder.clone())
            .collect(),
    }
}

fn refused_as_json(options: &Options, plan: &Plan, fix: &str) -> Failure {
    print(&format!("{}\n", report::plan_as_json(options, plan)));
    Failure::check_failed(fix)
}

/// What setup leaves where it made an account without a password that anybody knows.
fn password_is_wanted(data_dir: &Path) -> PathBuf {
    data_dir.join("password-is-wanted")
}

/// Somebody has chosen a password: setup asks for it no more.
pub(crate) fn password_is_set(data_dir: &Path) {
    // Mostly it is not there; and a reminder too many harms nobody.
    let _ = std::fs::remove_file(password_is_wanted(data_dir));
}

/// One setup of these folders at a time, by a lock that ends with us, however we end. The folder that is locked is there in
/// every case, and nobody removes it.
fn alone(options: &Options) -> Result<File, Failure> {
    let cannot = |error: io::Error| {
        Failure::cannot_tell(format!("cannot lock the folder of {}: {error}", options.config.display()))
    };
    let there = options.config.ancestors().skip(2).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"));
    let folder = File::open(there).map_err(cannot)?;
    match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(folder),
        Err(Errno::WOULDBLOCK) => {
            Err(Failure::cannot_tell("another  kings setup  is at work; try again when it has ended"))
        }
        Err(error) => Err(cannot(error.into())),
    }
}

/// Yes, unless the person says no. Without a person nothing is done: `--yes` says it for one.
fn agreed() -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("nobody is here to agree: look with --dry-run, then run it with --yes"));
    }
    goes_on(true)
}

/// Does what is to be done, in its order, until something fails: what comes after would build on it.
fn carry_out(
    options: &Options,
    plan: &Plan,
    facts: &Facts,
    manager: &dyn ServiceManager,
) -> Result<Report, Failure> {
    let mut actor = Actor::new(options, manager, facts);
    let mut report = Report::default();
    let all = plan.steps.len();
    for (number, planned) in (1..).zip(&plan.steps) {
        let line = match &planned.wanted {
            Wanted::There => Line::unchanged(planned.step, &planned.what),
            Wanted::ToDo => actor.act(planned),
            Wanted::Impossible { why, fix } => Line::failed(planned.step, why, fix),
        };
        if !options.json {
            print(&line.describe(number, all));
        }
        let is_over = line.has_failed();
        report.lines.push(line);
        if is_over {
            return Ok(report);
        }
    }
    report.look_around(options, &actor, facts)?;
    Ok(report)
}
