//! Who starts the server at boot and ends it: systemd, or on machines without it nobody, and the server is started once.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The unit that runs the server.
const UNIT: &str = "kings-smtp.service";
/// Units of the servers whose ports we need.
const OTHERS: [&str; 7] = [
    "postfix.service",
    "exim4.service",
    "sendmail.service",
    "opensmtpd.service",
    "dovecot.service",
    "nginx.service",
    "apache2.service",
];

/// A service could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The program did not start.
    #[error("cannot run or write {program}: {cause}")]
    NotRun {
        /// Its name.
        program: String,
        /// What the system said.
        cause: io::Error,
    },
    /// It said no.
    #[error("{command}: {said}")]
    Refused {
        /// What was called.
        command: String,
        /// Its words.
        said: String,
    },
}

/// What setup asks of whoever manages services. The seam is here so that a machine without systemd, and a test, is one
/// more implementation.
pub trait ServiceManager {
    /// Its name for people.
    fn name(&self) -> &'static str;
    /// The service that a process which uses a port of ours belongs to, if it is one of those that we take the place of.
    fn rival(&self, process: u32) -> Option<String>;
    /// Stops one of them, for good.
    fn retire(&self, service: &str) -> Result<(), ServiceError>;
    /// Whether the server is started now and at every boot.
    fn is_enabled(&self) -> bool;
    /// Starts it now and at every boot.
    fn enable(&self) -> Result<(), ServiceError>;
    /// Where its log is read.
    fn log(&self) -> String;
}

/// systemd, asked by `systemctl`.
#[derive(Clone, Debug, Default)]
pub struct Systemd {
    /// What the server here has elsewhere than the unit says.
    pub elsewhere: Elsewhere,
}

/// Where a server differs from what its unit says; all empty where it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elsewhere {
    /// Its config.
    pub config: Option<PathBuf>,
    /// Who it runs as.
    pub user: Option<String>,
    /// Folders that it writes in.
    pub folders: Vec<PathBuf>,
}

/// What setup adds to the unit, for systemd to read beside it.
const DROP_IN: &str = "/etc/systemd/system/kings-smtp.service.d/setup.conf";

impl Elsewhere {
    /// The text of the drop-in for it; `None` where the unit is right as it is.
    pub fn drop_in(&self, program: &Path) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let (mut unit, mut service) = (String::new(), String::new());
        if let Some(config) = &self.config {
            unit += &format!("[Unit]\nConditionPathExists=\nConditionPathExists={}\n\n", plain(config));
            service +=
                &format!("ExecStart=\nExecStart={} serve --config {}\n", quoted(program), quoted(config));
        }
        if let Some(user) = &self.user {
            // The group of a user is its own one where nothing is said.
            service += &format!("User={user}\nGroup=\n");
        }
        for folder in &self.folders {
            service += &format!("ReadWritePaths={}\n", quoted(folder));
        }
        let at_home =
            |path: &PathBuf| ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
        if self.folders.iter().chain(&self.config).any(at_home) {
            service += "ProtectHome=no\n";
        }
        Some(format!(
            "# Written by  kings setup: what this server has elsewhere.\n{unit}[Service]\n{service}"
        ))
    }
}

/// As units have it: a percent sign begins a specifier.
fn plain(path: &Path) -> String {
    path.display().to_string().replace('%', "%%")
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", plain(path).replace('\\', "\\\\").replace('"', "\\\""))
}

impl Systemd {
    /// Whether this machine was booted by it (sd_booted(3)).
    pub fn is_there() -> bool {
        Path::new("/run/systemd/system").is_dir()
    }

    fn is(state: &str, unit: &str) -> bool {
        let asked = Command::new("systemctl").args([state, "--quiet", unit]).stdin(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }
}

impl ServiceManager for Systemd {
    fn name(&self) -> &'static str {
        "systemd"
    }

    fn rival(&self, process: u32) -> Option<String> {
        rival(&fs::read_to_string(format!("/proc/{process}/cgroup")).ok()?).map(str::to_owned)
    }

    fn retire(&self, service: &str) -> Result<(), ServiceError> {
        run(Command::new("systemctl").args(["disable", "--now", service]))
    }

    fn is_enabled(&self) -> bool {
        Self::is("is-enabled", UNIT) && Self::is("is-active", UNIT)
    }

    fn enable(&self) -> Result<(), ServiceError> {
        let not_run = |cause| ServiceError::NotRun { program: DROP_IN.to_owned(), cause };
        let program = std::env::current_exe().map_err(not_run)?;
        if let Some(text) = self.elsewhere.drop_in(&program) {
            let folder = Path::new(DROP_IN).parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(folder).and_then(|()| fs::write(DROP_IN, text)).map_err(not_run)?;
            run(Command::new("systemctl").arg("daemon-reload"))?;
        }
        run(Command::new("systemctl").args(["enable", "--now", UNIT]))
    }

    fn log(&self) -> String {
        format!("journalctl -u {UNIT} -n 50")
    }
}

/// A machine without a service manager, such as a container: the server is started here and outlives us.
#[derive(Clone, Debug)]
pub struct Detached {
    /// The `kings` program.
    pub program: PathBuf,
    /// Its config.
    pub config: PathBuf,
    /// What it logs.
    pub log: PathBuf,
}

impl ServiceManager for Detached {
    fn name(&self) -> &'static str {
        "no service manager"
    }

    fn rival(&self, _process: u32) -> Option<String> {
        None
    }

    fn retire(&self, _service: &str) -> Result<(), ServiceError> {
        Ok(())
    }

    /// Nothing starts it at boot: whether it runs is seen elsewhere.
    fn is_enabled(&self) -> bool {
        true
    }

    fn enable(&self) -> Result<(), ServiceError> {
        let not_run = |cause| ServiceError::NotRun { program: self.program.display().to_string(), cause };
        let log = File::options().create(true).append(true).open(&self.log).map_err(not_run)?;
        let copy = log.try_clone().map_err(not_run)?;
        let mut command = Command::new(&self.program);
        command.args(["serve", "--config"]).arg(&self.config);
        command.stdin(Stdio::null()).stdout(log).stderr(copy).process_group(0);
        command.spawn().map(drop).map_err(not_run)
    }

    fn log(&self) -> String {
        format!("tail -n 50 {}", self.log.display())
    }
}

/// The unit in a process's line of `/proc/PID/cgroup`, if it is a known one; that of an instance is the unit it is made from.
fn rival(cgroup: &str) -> Option<&'static str> {
    let names = cgroup.lines().filter_map(|line| line.rsplit('/').next());
    let mut units = names.filter_map(|name| name.strip_suffix(".service"));
    let unit = units.next()?;
    let base = unit.split('@').next()?;
    OTHERS.into_iter().find(|other| other.strip_suffix(".service") == Some(base))
}

fn run(command: &mut Command) -> Result<(), ServiceError> {
    let said = |command: &Command| {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    };
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|cause| ServiceError::NotRun { program: said(command), cause })?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(ServiceError::Refused { command: said(command), said: text })
}

/// The system's name for people, such as `Debian GNU/Linux 12 (bookworm)`.
pub fn system_name() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    line.map_or_else(|| "Linux".to_owned(), |name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_elsewhere_gets_a_drop_in_and_no_other_one_does() {
        let program = Path::new("/usr/bin/kings");
        assert_eq!(Elsewhere::default().drop_in(program), None);
        let elsewhere = Elsewhere {
            config: Some("/srv/my mail/100%.toml".into()),
            user: Some("vmail".to_owned()),
            folders: vec!["/srv/data".into(), "/home/mail".into()],
        };
        assert_eq!(
            elsewhere.drop_in(program).as_deref(),
            Some(
                "# Written by  kings setup: what this server has elsewhere.\n\
                 [Unit]\nConditionPathExists=\nConditionPathExists=/srv/my mail/100%%.toml\n\n\
                 [Service]\nExecStart=\nExecStart=\"/usr/bin/kings\" serve --config \"/srv/my mail/100%%.toml\"\n\
                 User=vmail\nGroup=\nReadWritePaths=\"/srv/data\"\nReadWritePaths=\"/home/mail\"\nProtectHome=no\n"
            )
        );
        let folders = Elsewhere { folders: vec!["/srv/mail".into()], ..Elsewhere::default() };
        let text = folders.drop_in(program).unwrap_or_default();
        assert!(
            text.ends_with("[Service]\nReadWritePaths=\"/srv/mail\"\n") && !text.contains("ExecStart"),
            "{text}"
        );
    }

    #[test]
    fn a_process_is_of_the_known_service_that_its_cgroup_names() {
        for (cgroup, unit) in [
            ("0::/system.slice/nginx.service\n", Some("nginx.service")),
            ("0::/system.slice/system-postfix.slice/postfix@-.service\n", Some("postfix.service")),
            ("12:cpu:/\n1:name=systemd:/system.slice/dovecot.service\n", Some("dovecot.service")),
            ("0::/system.slice/caddy.service\n", None),
            ("0::/system.slice/kings-smtp.service\n", None),
            ("0::/user.slice/user-0.slice/session-1.scope\n", None),
            ("", None),
        ] {
            assert_eq!(rival(cgroup), unit, "{cgroup}");
        }
    }
}
