//! `kings dns`: the records that this server and its domains need, and whether they are there.

mod apply;

use std::io::{self, IsTerminal, Write};

use clap::{Args, Subcommand};
use kings_dns::plan::plan;
use kings_mail::domain::Domain;
use kings_msgauth::mta_sts::Policy;
use kings_net::Resolver;
use kings_net::authority::Authorities;
use kings_ops::dns::{self, FORMS, Form, Look, Report, State};
use kings_tls::ClientTls;
use serde_json::{Value, json};

use super::{Common, Failure, print};
use crate::config::{Settings, Threads};
use crate::{dns_facts, serve};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// The records to publish: as a table, as a zone file, as JSON, or as the web page of a provider takes them.
    Records(Records),
    /// Ask the name servers of each zone directly, and tell for each record whether it is right and what to do.
    Check(Check),
    /// Put the records where the config says they can be changed: shows what would change, and asks before it does it.
    ///
    /// Records of others are kept, SPF is extended, and what is in the way is left with the reason (then the exit code is 1).
    Apply(apply::Apply),
}

#[derive(Args)]
pub(crate) struct Records {
    /// Only what stands in this domain or below it.
    #[arg(value_parser = |text: &str| Domain::parse(text).map_err(|error| error.to_string()))]
    domain: Option<Domain>,
    /// As lines of a zone file, to be included into a zone.
    #[arg(long, conflicts_with_all = ["json", "provider"])]
    zonefile: bool,
    /// As JSON.
    #[arg(long, conflicts_with = "provider")]
    json: bool,
    /// Field by field, for the web page of this provider.
    #[arg(long, value_name = "NAME", value_parser = form)]
    provider: Option<Form>,
    #[command(flatten)]
    common: Common,
}

fn form(text: &str) -> Result<Form, String> {
    let known = || FORMS.map(|form| form.name).join(", ");
    let found = FORMS.into_iter().find(|form| form.name == text);
    found.ok_or_else(|| format!("known are: {}; others take what --zonefile prints", known()))
}

#[derive(Args)]
pub(crate) struct Check {
    /// Show what is well, too.
    #[arg(short, long)]
    verbose: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    common: Common,
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Records(options) => records(&options),
        Command::Check(options) => check(&options),
        Command::Apply(options) => apply::run(&options),
    }
}

fn records(options: &Records) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let facts = dns_facts::gather(&settings)?;
    let (plan, domain) = (plan(&facts), options.domain.as_ref());
    print(&match (&options.provider, options.zonefile, options.json) {
        (Some(form), ..) => dns::paste(&plan, domain, form),
        (None, true, _) => dns::zone_file(&plan, domain),
        (None, _, true) => format!("{}\n", dns::json(&plan, domain)),
        _ => dns::table(&plan, domain),
    });
    if facts.addresses.is_empty() {
        let text = "the public addresses of this server are not known, so that A, AAAA and PTR are missing above: name them in the \
                    config, [dns] addresses = [\"203.0.113.10\"]";
        return Err(Failure::cannot_tell(text));
    }
    Ok(())
}

fn check(options: &Check) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let report = {
        let _shown = Patience::shown();
        serve::runtime(Threads::default())?.block_on(look(&settings))?
    };
    print(&if options.json { format!("{}\n", to_json(&report)) } else { report.text(options.verbose) });
    match report.worst() {
        State::Ok | State::Warn => Ok(()),
        State::Wait | State::CannotTell => Err(Failure::cannot_tell("")),
        State::Fail => Err(Failure::check_failed("")),
    }
}

/// What somebody reads at a terminal who waits; gone when there is something to say.
struct Patience {
    is_shown: bool,
}

impl Patience {
    fn shown() -> Self {
        let is_shown = io::stderr().is_terminal();
        if is_shown {
            // Nobody is left to tell when standard error is closed.
            let asking = format!("asking the name servers, {} seconds at most ...", dns::DEADLINE.as_secs());
            let _ = io::stderr().write_all(asking.as_bytes());
        }
        Self { is_shown }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
    }
}

/// Looks at the records of this server as the world sees them.
pub(crate) async fn look(settings: &Settings) -> Result<Report, Failure> {
    let facts = dns_facts::gather(settings)?;
    let resolver = Resolver::new(&settings.dns).map_err(|error| Failure::cannot_tell(error.to_string()))?;
    let authorities = Authorities::new(&settings.dns, resolver.clone());
    let names = settings.domains.iter().map(|hosted| &hosted.name);
    let policies: Vec<(Domain, Policy)> =
        names.filter_map(|name| Some((name.clone(), dns_facts::policy(settings, name)?))).collect();
    let tls = ClientTls::with_authorities(&settings.authorities);
    let allow_private = settings.outbound.allow_private.clone();
    let fetch = kings_fetch::Fetch::new(resolver.clone(), &tls, kings_fetch::Settings { allow_private });
    let look =
        Look { authorities: &authorities, resolver: &resolver, fetch: Some(&fetch), policies: &policies };
    Ok(dns::check(&facts, &look).await)
}

fn to_json(report: &Report) -> Value {
    let zone = |(zone, servers): &(_, Vec<String>)| json!({ "zone": format!("{zone}"), "asked": servers });
    let item = |finding: &dns::Finding| {
        json!({
            "state": finding.state.key(),
            "type": finding.kind,
            "name": finding.name,
            "purpose": finding.purpose,
            "what": finding.what,
            "fix": finding.fix,
        })
    };
    let zones: Vec<Value> = report.zones.iter().map(zone).collect();
    let items: Vec<Value> = report.findings.iter().map(item).collect();
    json!({ "schema": 1, "state": report.worst().key(), "zones": zones, "items": items })
}
