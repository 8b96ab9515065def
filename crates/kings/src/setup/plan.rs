//! What is to be done, decided from what there is: a pure function, which a dry run shows.

use std::path::Path;

use kings_mail::domain::Domain;
use kings_tls::Source;

use super::facts::{Existing, Facts, Held};
use super::{DATA_DIR, MAIL_DIR, Options, USER};
use crate::command::Failure;
use crate::config::Settings;

/// A step, in the order in which they are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Who the server runs as.
    User,
    /// Config, accounts and aliases, with their folders.
    Config,
    /// The keys that mail is signed with.
    Keys,
    /// The first account.
    Account,
    /// Other mail servers end.
    Rivals,
    /// The server runs, now and at every boot.
    Service,
    /// A message goes through it.
    SelfTest,
}

impl Step {
    /// Its name in JSON.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Rivals => "rivals",
            Self::User => "user",
            Self::Config => "config",
            Self::Keys => "keys",
            Self::Account => "account",
            Self::Service => "service",
            Self::SelfTest => "self-test",
        }
    }
}

/// What becomes of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// It is as it should be.
    There,
    ToDo,
    /// It cannot be done, and so nothing is begun.
    Impossible {
        why: String,
        fix: String,
    },
}

/// A step and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) step: Step,
    /// For people: what it makes, or what is there.
    pub(crate) what: String,
    pub(crate) wanted: Wanted,
}

/// All steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Planned>,
}

impl Plan {
    /// Decides.
    pub(crate) fn new(options: &Options, facts: &Facts) -> Result<Self, Failure> {
        let domain = first_account(options)?;
        let mut steps = Vec::new();
        let mut add = |step, what: String, wanted| steps.push(Planned { step, what, wanted });
        let user = &options.user;
        let is_user = facts.has_user || !facts.is_root;
        add(Step::User, format!("user {user}"), if is_user { Wanted::There } else { Wanted::ToDo });
        let config = match &facts.config {
            Existing::Missing => may(facts, options),
            Existing::Broken(why) => Wanted::Impossible {
                why: why.clone(),
                fix: format!("mend {0}, or move it away:  mv {0} {0}.old", options.config.display()),
            },
            Existing::Usable(settings) if settings.domains.iter().any(|hosted| hosted.name == *domain) => {
                otherwise(options, settings)
            }
            Existing::Usable(_) => Wanted::Impossible {
                why: format!(
                    "{} is there and does not host {domain}; setup changes no config that it has not written in this run",
                    options.config.display()
                ),
                fix: format!("add  [[domain]] name = \"{domain}\"  to it, and run this again"),
            },
        };
        add(Step::Config, options.config.display().to_string(), config);
        let keys = match &facts.lost_key {
            _ if facts.has_keys => Wanted::There,
            Some(lost) => Wanted::Impossible {
                why: format!(
                    "the key {lost} of {domain} is gone, and DNS may still name it: mail waits for it"
                ),
                fix: format!(
                    "put {lost}.private back from a backup, or give it up with  kings dkim rotate {domain} --start{}",
                    options.with_config()
                ),
            },
            None => Wanted::ToDo,
        };
        add(Step::Keys, format!("keys that mail of {domain} is signed with"), keys);
        let account = if facts.has_account { Wanted::There } else { Wanted::ToDo };
        add(Step::Account, format!("account {}", options.address), account);
        // As late as can be: what fails before leaves the old server running.
        let rivals = facts.rivals();
        if !rivals.is_empty() {
            let what = format!("stop {} and keep it from starting", rivals.join(" and "));
            add(Step::Rivals, what, may(facts, options));
        }
        add(Step::Service, format!("the server, under {}", facts.manager), service(facts));
        add(
            Step::SelfTest,
            "a message to yourself: signed, delivered, read over IMAP".to_owned(),
            Wanted::ToDo,
        );
        Ok(Self { steps })
    }

    /// How many steps change something. The self-test is none of them: it leaves nothing.
    pub(crate) fn changes(&self) -> usize {
        self.steps
            .iter()
            .filter(|planned| planned.wanted == Wanted::ToDo && planned.step != Step::SelfTest)
            .count()
    }

    /// Why nothing is begun, and what to do about it.
    pub(crate) fn obstacle(&self) -> Option<(&str, &str)> {
        self.steps.iter().find_map(|planned| match &planned.wanted {
            Wanted::Impossible { why, fix } => Some((why.as_str(), fix.as_str())),
            Wanted::There | Wanted::ToDo => None,
        })
    }
}

/// The domain of the first account, if it is one that can log in, and others can write to.
fn first_account(options: &Options) -> Result<&Domain, Failure> {
    let domain = options.domain()?;
    let address = &options.address;
    let local = address.local_part.as_str();
    if local.contains('+') {
        return Err(Failure::usage(format!(
            "{address} is a name of the account before the +, which mail to it reaches: give that one"
        )));
    }
    if !domain.as_str().contains('.') {
        return Err(Failure::usage(format!(
            "no other server finds {domain}: give an address such as you@example.org"
        )));
    }
    Ok(domain)
}

/// A config that is there is in force: what the options say otherwise would be told, and not be so.
fn otherwise(options: &Options, settings: &Settings) -> Wanted {
    let hosts = &settings.outbound.smart_hosts;
    let has_host = |wanted: &str| hosts.iter().any(|host| wanted == format!("{}:{}", host.host, host.port));
    let has_login =
        |name: &str| hosts.iter().filter_map(|host| host.login.as_ref()).any(|login| login.name == name);
    let is_other = |folder: &Path, usual: &str, said: &Path| folder != Path::new(usual) && folder != said;
    let is_certificate = |file: &Path| match &settings.certificate {
        Source::Files { default, .. } => {
            std::path::absolute(file).is_ok_and(|file| file == default.certificate)
        }
        Source::Acme { .. } | Source::SelfSigned { .. } => false,
    };
    let (servers, addresses) = (&options.name_server, &options.public_address);
    let claims = [
        ("--hostname", options.hostname.as_ref().is_some_and(|name| *name != settings.hostname)),
        ("--smart-host", options.smart_host.as_deref().is_some_and(|host| !has_host(host))),
        ("--smart-host-user", options.smart_host_user.as_deref().is_some_and(|name| !has_login(name))),
        ("--data-dir", is_other(&options.data_dir, DATA_DIR, &settings.data_dir)),
        ("--mail-dir", is_other(&options.mail_dir, MAIL_DIR, &settings.mail_dir)),
        ("--user", options.user != USER && settings.user.as_ref().is_some_and(|user| *user != options.user)),
        ("--certificate", options.certificate.as_deref().is_some_and(|file| !is_certificate(file))),
        ("--self-signed", options.self_signed && !matches!(settings.certificate, Source::SelfSigned { .. })),
        ("--name-server", !servers.is_empty() && *servers != settings.dns.servers),
        ("--public-address", !addresses.is_empty() && *addresses != settings.published.addresses),
    ];
    let Some((other, _)) = claims.into_iter().find(|(_, is_other)| *is_other) else { return Wanted::There };
    let config = options.config.display();
    Wanted::Impossible {
        why: format!(
            "{config} is there and says something else than {other}; setup changes no config that it has not written in this run"
        ),
        fix: format!(
            "change {config},  kings config check --config {config},  and run this again without {other}"
        ),
    }
}

/// Users, units and low ports are for root.
fn may(facts: &Facts, options: &Options) -> Wanted {
    if facts.is_root {
        return Wanted::ToDo;
    }
    Wanted::Impossible {
        why: "only root may use the ports of a mail server".to_owned(),
        fix: format!("sudo kings setup {}", options.address),
    }
}

fn service(facts: &Facts) -> Wanted {
    if facts.runs {
        return Wanted::There;
    }
    // What a rival holds is free when it has ended.
    let stranger = facts.held.iter().find(|held| held.rival.is_none());
    stranger.map_or(Wanted::ToDo, |Held { port, holder, .. }| Wanted::Impossible {
        why: format!("port {port} is in use by {holder}"),
        fix: format!("stop it, and run this again; see it with  ss -ltnp 'sport = :{port}'"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use clap::Parser;
    use kings_ops::machine::Outbound;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Options {
        Line::parse_from([&["setup", "ann@example.org"], arguments].concat()).options
    }

    fn held(port: u16, holder: &str, rival: Option<&str>) -> Held {
        Held { port, holder: holder.to_owned(), rival: rival.map(str::to_owned) }
    }

    fn bare() -> Facts {
        Facts {
            system: "Debian".to_owned(),
            is_root: true,
            cloud: None,
            told: Vec::new(),
            addresses: Vec::new(),
            outbound: Outbound::Open,
            manager: "systemd",
            held: Vec::new(),
            has_user: false,
            config: Existing::Missing,
            has_keys: false,
            lost_key: None,
            has_account: false,
            runs: false,
        }
    }

    #[test]
    fn everything_is_done_on_a_bare_machine_and_only_what_is_missing_later() {
        let plan = Plan::new(&options(&[]), &bare()).unwrap();
        let all = [Step::User, Step::Config, Step::Keys, Step::Account, Step::Service, Step::SelfTest];
        assert_eq!(plan.steps.iter().map(|planned| planned.step).collect::<Vec<_>>(), all);
        assert!(plan.steps.iter().all(|planned| planned.wanted == Wanted::ToDo) && plan.obstacle().is_none());
        assert_eq!(plan.changes(), 5);
        let later = Facts { has_user: true, has_keys: true, has_account: true, ..bare() };
        assert_eq!(Plan::new(&options(&[]), &later).unwrap().changes(), 2);
    }

    #[test]
    fn a_first_account_can_log_in_and_be_written_to() {
        for (address, told) in
            [("ann+list@example.org", "before the +"), ("ann@localhost", "no other server")]
        {
            let options = Line::parse_from(["setup", address]).options;
            assert!(Plan::new(&options, &bare()).unwrap_err().parts().1.contains(told), "{address}");
        }
        for address in ["ann@example.org", "Ann.B@mail.example.org"] {
            assert!(Plan::new(&Line::parse_from(["setup", address]).options, &bare()).is_ok(), "{address}");
        }
        for (address, is_public) in [
            ("198.51.100.7", true),
            ("2001:db8::1", true),
            ("10.0.0.1", false),
            ("0.0.0.0", false),
            ("127.0.0.1", false),
            ("ff02::1", false),
            ("fe80::1", false),
            ("x", false),
        ] {
            let parsed = Line::try_parse_from(["setup", "ann@example.org", "--public-address", address]);
            assert_eq!(parsed.is_ok(), is_public, "{address}");
        }
    }

    #[test]
    fn a_lost_key_is_not_replaced_under_its_name() {
        let facts = Facts { lost_key: Some("2026a".to_owned()), ..bare() };
        let plan = Plan::new(&options(&[]), &facts).unwrap();
        assert!(plan.obstacle().unwrap().1.contains("put 2026a.private back"), "{plan:?}");
        let there = Facts { has_keys: true, ..facts };
        assert!(Plan::new(&options(&[]), &there).unwrap().obstacle().is_none());
    }

    #[test]
    fn what_stands_in_the_way_is_told_before_anything_is_done() {
        for (facts, told) in [
            (Facts { is_root: false, ..bare() }, "only root"),
            (Facts { config: Existing::Broken("kings.toml:3: no".to_owned()), ..bare() }, "kings.toml:3"),
            (
                Facts { held: vec![held(25, "exim4 (process 7)", None)], ..bare() },
                "port 25 is in use by exim4",
            ),
        ] {
            let plan = Plan::new(&options(&[]), &facts).unwrap();
            assert!(plan.obstacle().unwrap().0.contains(told), "{plan:?}");
        }
        let postfix = held(25, "master (process 7)", Some("postfix.service"));
        let rival = Facts { held: vec![postfix.clone()], ..bare() };
        let plan = Plan::new(&options(&[]), &rival).unwrap();
        let steps: Vec<Step> = plan.steps.iter().map(|planned| planned.step).collect();
        assert!(
            plan.obstacle().is_none() && steps[4..] == [Step::Rivals, Step::Service, Step::SelfTest],
            "{plan:?}"
        );
        // Beside a rival, a stranger is one all the same.
        let both = Facts { held: vec![postfix, held(80, "caddy (process 8)", None)], ..bare() };
        let plan = Plan::new(&options(&[]), &both).unwrap();
        assert!(plan.obstacle().unwrap().0.contains("port 80 is in use by caddy"), "{plan:?}");
    }
}
