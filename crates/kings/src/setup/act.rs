//! The steps themselves. What a command of ours does is left to that command, as a person would type it.

use std::io::{self, BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use kings_ops::machine::ServiceManager;
use kings_sasl::Secret;
use nix::unistd::User;

use super::facts::Facts;
use super::plan::{Planned, Step};
use super::report::Line;
use super::{Options, files};
use crate::command::{Failure, new_password, self_test};
use crate::config::Settings;
use crate::control::{self, Request};
use crate::{dkim, prepare};

/// How long the server may take to start.
pub(super) const START: Duration = Duration::from_secs(30);
/// How long a look at DNS may take.
const LOOK: Duration = Duration::from_secs(5);
/// Octets of a password that nobody knows.
const UNKNOWN: usize = 32;

/// Does the steps of one run.
pub(super) struct Actor<'a> {
    options: &'a Options,
    manager: &'a dyn ServiceManager,
    facts: &'a Facts,
}

impl<'a> Actor<'a> {
    pub(super) fn new(options: &'a Options, manager: &'a dyn ServiceManager, facts: &'a Facts) -> Self {
        Self { options, manager, facts }
    }

    /// Does one step.
    pub(super) fn act(&mut self, planned: &Planned) -> Line {
        let done = match planned.step {
            Step::Rivals => self.retire(),
            Step::User => self.user(),
            Step::Config => self.config(),
            Step::Keys => self.keys(),
            Step::Account => self.account(),
            Step::Service => self.service(),
            Step::SelfTest => return self.self_test(planned),
        };
        match done {
            Ok(what) => Line::changed(planned.step, &what),
            Err(error) => {
                let fix = "run the same command again when that is mended: it goes on from here";
                Line::failed(planned.step, &format!("{error:#}"), fix)
            }
        }
    }

    fn retire(&self) -> anyhow::Result<String> {
        let rivals = self.facts.rivals();
        for service in &rivals {
            self.manager.retire(service)?;
        }
        Ok(format!(
            "{} stopped; start again with  systemctl enable --now {}",
            rivals.join(", "),
            rivals.join(" ")
        ))
    }

    fn user(&self) -> anyhow::Result<String> {
        let name = &self.options.user;
        let mut command = Command::new("useradd");
        command.args([
            "--system",
            "--user-group",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            "--home-dir",
        ]);
        let output = command.arg(&self.options.data_dir).arg(name).output().context("cannot run useradd")?;
        if !output.status.success() {
            bail!("useradd {name}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(format!("user {name} made"))
    }

    fn config(&self) -> anyhow::Result<String> {
        let options = self.options;
        let user = self.owner()?;
        let folder = options.config.parent().unwrap_or(Path::new("/"));
        files::folder(folder, 0o755, None)?;
        for folder in [&options.data_dir, &options.mail_dir] {
            files::folder(folder, 0o750, user.as_ref())?;
            files::belongs(folder, user.as_ref())?;
        }
        let told = |failure: Failure| anyhow!("{}", failure.parts().1);
        let ipv6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
        let (config, aliases) = (
            files::config(options, &self.facts.told, ipv6).map_err(told)?,
            files::aliases(options).map_err(told)?,
        );
        // What cannot be used is not written: it would stay.
        let (_, complaints) = Settings::examine_text(&config, folder);
        if !complaints.is_empty() {
            let complaints: Vec<String> = complaints.iter().map(ToString::to_string).collect();
            bail!("these options make no config: {}", complaints.join("; "));
        }
        // The config last: what it names is there when it is.
        let users = "# Who has mail here: an account a line, as Dovecot's passwd-file has it. Changed by  kings account.\n";
        files::file(&folder.join("users"), users, 0o640, user.as_ref())?;
        files::file(&folder.join("aliases"), &aliases, 0o644, user.as_ref())?;
        files::file(&options.config, &config, 0o644, user.as_ref())?;
        self.settings()?;
        Ok(options.config.display().to_string())
    }

    fn keys(&self) -> anyhow::Result<String> {
        let settings = self.settings()?;
        let domain = self.options.domain().map_err(|failure| anyhow!("{}", failure.parts().1))?;
        // What a run before us has begun is completed, and waited for where it goes on without that run.
        let began = Instant::now();
        while !dkim::has_both(&settings.data_dir, domain) {
            let there = dkim::key_files(&settings.data_dir, domain)?;
            let name = there.first().map(|file| file.selector.to_string());
            let name = name.as_deref().map(|name| name.trim_end_matches("-ed25519"));
            let words =
                ["dkim", "create", domain.as_str()].into_iter().chain(name.map(|_| "--selector")).chain(name);
            match self.own_command(&words.collect::<Vec<_>>()) {
                Ok(_) => break,
                Err(error) if began.elapsed() > START || !error.to_string().contains("is at work") => {
                    return Err(error);
                }
                Err(_) => sleep(Duration::from_millis(200)),
            }
        }
        // A running server reads its keys anew; one that does not run needs not.
        let _ = control::ask(&settings.data_dir, &Request::Reload);
        Ok(format!("RSA and Ed25519 keys for {domain}"))
    }

    /// With the password of a prompt or of standard input; without either the account is made with one that nobody knows.
    fn account(&self) -> anyhow::Result<String> {
        let settings = self.settings()?;
        let address = &self.options.address;
        let directory = prepare::open_directory(&settings)?;
        let told = |failure: Failure| anyhow!("{}", failure.parts().1);
        let (password, what) = if self.options.password_stdin {
            let mut line = String::new();
            io::stdin().lock().read_line(&mut line).context("cannot read the password")?;
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                bail!("standard input has no password");
            }
            (Secret::new(line), format!("account {address}"))
        } else if !self.options.yes && io::stdin().is_terminal() {
            (new_password(address).map_err(told)?, format!("account {address}"))
        } else {
            files::file(&self.password_is_wanted(), "", 0o640, self.owner()?.as_ref())?;
            (unknown_password()?, format!("account {address}, which has no password yet"))
        };
        directory.add_account(address, &password)?;
        Ok(what)
    }

    /// Says, as long as it is there, that the first account was made without a password that anybody knows.
    pub(super) fn password_is_wanted(&self) -> PathBuf {
        super::password_is_wanted(&self.options.data_dir)
    }

    fn service(&self) -> anyhow::Result<String> {
        let settings = self.settings()?;
        self.manager.enable()?;
        let began = Instant::now();
        while began.elapsed() < START {
            if matches!(control::ask(&settings.data_dir, &Request::Status), Ok(Some(Ok(_)))) {
                let ports: Vec<String> =
                    super::facts::PORTS.iter().map(|(port, _)| port.to_string()).collect();
                return Ok(format!("the server runs, on {}", ports.join(" ")));
            }
            sleep(Duration::from_millis(100));
        }
        bail!("the server does not answer after {} s; its log: {}", START.as_secs(), self.manager.log())
    }

    fn self_test(&self, planned: &Planned) -> Line {
        let keep = false;
        let tested = self.settings().map_err(|error| error.to_string()).and_then(|settings| {
            let tested = self_test::test(&settings, Some(&self.options.address), keep);
            tested.map_err(|failure| failure.parts().1.to_owned())
        });
        match tested {
            Ok(Some(tested)) => match &tested.signature {
                self_test::Signature::Holds(selectors) => {
                    let ms = tested.steps.last().map_or(0, |(_, ms)| *ms);
                    let seconds = Duration::from_millis(ms).as_secs_f64();
                    let what = format!(
                        "sent a message to yourself: signed ({}), delivered, read over IMAP in {seconds:.1} s",
                        selectors.join(", ")
                    );
                    Line::unchanged(planned.step, &what)
                }
                _ => {
                    Line::failed(planned.step, "a message went through and is not signed", "kings dkim list")
                }
            },
            Ok(None) => Line::failed(planned.step, "the server does not run", &self.manager.log()),
            Err(why) => Line::failed(planned.step, &why, &self.manager.log()),
        }
    }

    /// Whether DNS says all that it should.
    pub(super) fn dns_is_right(&self) -> bool {
        let Ok(program) = std::env::current_exe() else { return false };
        let mut command = Command::new(program);
        command.args(["dns", "check", "--config"]).arg(&self.options.config);
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return false };
        let began = Instant::now();
        while began.elapsed() < LOOK {
            if let Ok(Some(status)) = child.try_wait() {
                return status.success();
            }
            sleep(Duration::from_millis(50));
        }
        // Nobody answers: whatever is published, nobody finds it.
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    pub(super) fn settings(&self) -> anyhow::Result<Settings> {
        Settings::load(&self.options.config).map_err(|error| anyhow!("{error}"))
    }

    /// Who the server runs as; nobody in particular where we are not root.
    fn owner(&self) -> anyhow::Result<Option<User>> {
        Ok(User::from_name(&self.options.user)?)
    }

    /// Runs `kings` with these words and our config.
    fn own_command(&self, words: &[&str]) -> anyhow::Result<String> {
        let program = std::env::current_exe().context("cannot tell where this program is")?;
        let mut command = Command::new(program);
        command.args(words).arg("--config").arg(&self.options.config).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run kings {}", words.join(" ")))?;
        if !output.status.success() {
            bail!("kings {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn unknown_password() -> anyhow::Result<Secret> {
    let mut octets = [0; UNKNOWN];
    getrandom::fill(&mut octets).map_err(|error| anyhow!("no random numbers: {error}"))?;
    Ok(Secret::new(kings_sasl::encode(&octets)))
}
