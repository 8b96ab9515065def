//! What there is: the machine, its network, and what an earlier run has done.

use std::net::{IpAddr, SocketAddr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use kings_net::{Place, Resolver, ResolverSettings, public_addresses};
use kings_ops::machine::{Cloud, Outbound, ServiceManager, cloud, outbound, system_name};
use nix::unistd::{Uid, User};

use super::Options;
use super::act::START;
use crate::command::Failure;
use crate::config::{Settings, Threads};
use crate::control::{self, Request};
use crate::{dkim, prepare, serve};

/// The ports of a mail server, with what each is for.
pub(crate) const PORTS: [(u16, &str); 6] =
    [(25, "smtp"), (80, "http"), (443, "https"), (465, "submissions"), (587, "submission"), (993, "imaps")];

/// Where the metadata service is, as Amazon's own programs are told.
const METADATA: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";

/// All that the plan depends on.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Facts {
    /// `Debian GNU/Linux 12 (bookworm)`
    pub(crate) system: String,
    pub(crate) is_root: bool,
    pub(crate) cloud: Option<Cloud>,
    /// Addresses that the machine cannot see itself: those of the command line, or that of the cloud.
    pub(crate) told: Vec<IpAddr>,
    /// The public addresses of the machine.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) outbound: Outbound,
    /// `systemd`, or what there is instead.
    pub(crate) manager: &'static str,
    /// Ports of ours that somebody has, and who.
    pub(crate) held: Vec<Held>,
    pub(crate) has_user: bool,
    pub(crate) config: Existing,
    pub(crate) has_keys: bool,
    /// A key of the domain whose record is there alone.
    pub(crate) lost_key: Option<String>,
    pub(crate) has_account: bool,
    /// Whether the server runs and is started at boot.
    pub(crate) runs: bool,
}

/// A port of ours that somebody has.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) port: u16,
    /// For people: `exim4 (process 7)`.
    pub(crate) holder: String,
    /// Its service, if it is one that we take the place of.
    pub(crate) rival: Option<String>,
}

impl Facts {
    /// Services that we take the place of, each once.
    pub(crate) fn rivals(&self) -> Vec<&str> {
        let mut rivals: Vec<&str> = self.held.iter().filter_map(|held| held.rival.as_deref()).collect();
        rivals.sort_unstable();
        rivals.dedup();
        rivals
    }
}

/// The config as it is.
#[derive(Debug)]
pub(crate) enum Existing {
    Missing,
    /// Not by setup's will: it stays as it is.
    Usable(Box<Settings>),
    /// It cannot be used, and why.
    Broken(String),
}

impl Facts {
    /// Looks. Nothing is changed by it.
    pub(crate) fn gather(options: &Options, manager: &dyn ServiceManager) -> Result<Self, Failure> {
        let config = existing(options);
        let dns = match &config {
            Existing::Usable(settings) => settings.dns.clone(),
            _ => ResolverSettings { servers: options.name_server.clone(), ..ResolverSettings::default() },
        };
        let resolver = Resolver::new(&dns).map_err(|error| Failure::cannot_tell(error.to_string()))?;
        let endpoint = std::env::var(METADATA).ok();
        let endpoint =
            endpoint.as_deref().map(|text| text.trim_start_matches("http://").trim_end_matches('/'));
        let (cloud, outbound) = serve::runtime(Threads::default())?
            .block_on(async { tokio::join!(cloud(endpoint), outbound(&resolver, &options.probe)) });
        let settings = match &config {
            Existing::Usable(settings) => Some(settings.as_ref()),
            Existing::Missing | Existing::Broken(_) => None,
        };
        let (answers, held) = who_serves(settings, manager);
        Ok(Self {
            system: system_name(),
            is_root: Uid::effective().is_root(),
            told: told(options, cloud.as_ref()),
            addresses: addresses(options, cloud.as_ref()),
            cloud,
            outbound,
            manager: manager.name(),
            held,
            has_user: matches!(User::from_name(&options.user), Ok(Some(_))),
            lost_key: settings
                .and_then(|settings| dkim::lost_key(&settings.data_dir, options.address.domain()?)),
            has_keys: settings.is_some_and(|settings| has_keys(settings, options)),
            has_account: settings.is_some_and(|settings| {
                prepare::open_directory(settings)
                    .is_ok_and(|directory| directory.has_account(&options.address))
            }),
            runs: answers && manager.is_enabled(),
            config,
        })
    }
}

fn existing(options: &Options) -> Existing {
    if !options.config.exists() {
        return Existing::Missing;
    }
    match Settings::load(&options.config) {
        Ok(settings) => Existing::Usable(Box::new(settings)),
        Err(error) => Existing::Broken(error.to_string()),
    }
}

/// Whether our server answers, and who has its ports if not. One that has just been started is waited for.
fn who_serves(settings: Option<&Settings>, manager: &dyn ServiceManager) -> (bool, Vec<Held>) {
    let answers = || {
        settings.is_some_and(|settings| {
            matches!(control::ask(&settings.data_dir, &Request::Status), Ok(Some(Ok(_))))
        })
    };
    let began = Instant::now();
    loop {
        if answers() {
            return (true, Vec::new());
        }
        let held = held(manager);
        let is_ours = settings.is_some() && held.iter().any(|held| held.holder.starts_with("kings "));
        if !is_ours || began.elapsed() > START {
            return (false, held);
        }
        sleep(Duration::from_millis(100));
    }
}

fn has_keys(settings: &Settings, options: &Options) -> bool {
    let domain = options.address.domain();
    domain.is_some_and(|domain| dkim::has_both(&settings.data_dir, domain))
}

/// Ports that somebody has, by trying them; who it is, as far as we may know.
fn held(manager: &dyn ServiceManager) -> Vec<Held> {
    let held = PORTS.into_iter().filter_map(|(port, _)| {
        let place = Place::Tcp(SocketAddr::from(([0, 0, 0, 0], port)));
        let (holder, processes) = prepare::ports::holder_of(&place)?;
        let rival = processes.into_iter().find_map(|process| manager.rival(process));
        Some(Held { port, holder, rival })
    });
    held.collect()
}

fn told(options: &Options, cloud: Option<&Cloud>) -> Vec<IpAddr> {
    if !options.public_address.is_empty() {
        return options.public_address.clone();
    }
    cloud.and_then(|cloud| cloud.public_address).into_iter().collect()
}

/// What was told, and the machine's own that are public.
fn addresses(options: &Options, cloud: Option<&Cloud>) -> Vec<IpAddr> {
    let mut found = told(options, cloud);
    if !options.public_address.is_empty() {
        return found;
    }
    for own in public_addresses() {
        if !found.iter().any(|known| known.is_ipv4() == own.is_ipv4()) {
            found.push(own);
        }
    }
    found
}
