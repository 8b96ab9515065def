//! What the listeners serve: put together from the config, anew at every reload.

use std::sync::Arc;

use anyhow::Context;
use kings_access::{Auth, Imap, Pop3};
use kings_acme::{Kind, Publish};
use kings_directory::{Directory, HostedDomain};
use kings_fetch::Fetch;
use kings_mail::domain::Domain;
use kings_mta::relay::Relay;
use kings_mta::scoring::Scoring;
use kings_mta::signing::Signing;
use kings_mta::{Copies, Core, Lmtp, Local, Passes, Receive, Reporter, Reports, Srs, Submit, Traffic};
use kings_net::{Memory, Place, Resolver};
use kings_oauth::Issuers;
use kings_queue::Queue;
use kings_records::Records;
use kings_store::Store;
use kings_tls::{Certificates, ClientTls};
use kings_web::{HostedSite, Names, Plain, Servers, Site};
use rustls::ServerConfig;
use tracing::{error, info, warn};

use crate::config::Settings;
use crate::prepare::{self, Server};

/// The parts that a config alone decides, made anew at every reload.
pub(super) struct Services {
    pub(super) receive: Receive<Resolver>,
    pub(super) submit: Submit<Resolver>,
    pub(super) lmtp: Lmtp,
    pub(super) auth: Auth,
    pub(super) imap: Imap,
    pub(super) pop3: Pop3,
    pub(super) plain: Plain,
    pub(super) site: Site,
    pub(super) relay: Relay<Resolver>,
    pub(super) reporter: Reporter<Resolver>,
    /// For the machine's own users, where it has any.
    pub(super) local: Option<Local>,
    /// The same for what the server writes itself.
    pub(super) own: Local,
    pub(super) directory: Directory,
    /// What listeners show where people log in.
    pub(super) tls_for_people: Arc<ServerConfig>,
    /// What the listener for HTTPS shows, also to an authority that looks whether a name is ours.
    pub(super) tls_for_web: Arc<ServerConfig>,
    /// How certificates are ordered, if they are.
    pub(super) acme: Option<kings_acme::Parts>,
}

/// The parts that outlive a reload.
pub(super) struct Kept {
    pub(super) store: Store,
    pub(super) queue: Queue,
    pub(super) records: Records,
    pub(super) traffic: Traffic,
    pub(super) memory: Memory,
    /// Where it is proved that our names are ours while certificates are ordered.
    pub(super) publish: Publish,
    /// What is bound, with the ports that the kernel chose.
    pub(super) listening: Vec<(Server, Place)>,
}

impl Services {
    pub(super) fn new(
        settings: &Settings,
        signing: Signing,
        certificates: &Certificates,
        kept: &Kept,
    ) -> anyhow::Result<Self> {
        let Kept { store, queue, records, traffic, memory, publish, listening } = kept;
        let directory = prepare::serve_directory(settings)?;
        for warning in directory.warnings() {
            warn!("{warning}");
        }
        tokio::spawn(tell_doubts(
            settings.domains.clone(),
            settings.house_rules.copies.clone(),
            directory.clone(),
        ));
        let (quotas, accounts) = (settings.quotas.clone(), directory.clone());
        store.limit_by(move |account| quotas.of(account, &accounts.quota_rule(account)));
        let retention = settings.mailboxes.retention.clone();
        store.keep_expunged_for(move |account| retention.of(account));
        let dns = Resolver::new(&settings.dns)?;
        if !dns.trusts_ad() {
            info!("DANE is off: it needs a validating resolver on this machine, or [dns] trust_ad = true");
        }
        let tls = ClientTls::with_authorities(&settings.authorities);
        if let Some(check) = issuers(settings, &dns, &tls) {
            directory.trust_tokens(Arc::new(check));
        }
        let allow_private = settings.outbound.allow_private.clone();
        let fetch = Fetch::new(dns.clone(), &tls, kings_fetch::Settings { allow_private });
        let limits = kings_mta::Limits {
            message_bytes: settings.limits.message_bytes,
            recipients: settings.limits.recipients,
            rates: settings.limits.rates,
        };
        let core = Core::new(kings_mta::Parts {
            hostname: settings.hostname.clone(),
            limits,
            traffic: traffic.clone(),
            memory: memory.clone(),
            clients: settings.clients.clone(),
            outgoing: settings.submission.clone(),
            milters: settings.milters.clone(),
            signing,
            directory: directory.clone(),
            srs: sender_rewriting(settings)?,
            rules: settings.house_rules.clone(),
            passes: passes(settings)?,
            ways: settings.outbound.ways(),
            store: store.clone(),
            queue: queue.clone(),
            reports: settings.reports.clone().map(Reports::new).unwrap_or_default(),
            scoring: Scoring::new(
                settings.score_addresses.clone(),
                dns.clone(),
                settings.hostname.clone(),
                settings.inbound.clone(),
            ),
            records: records.clone(),
            tls: certificates.server(),
            tls_for_people: certificates.server_for_people(settings.client_authorities.as_ref()),
        });
        let (imap, pop3) = readers(settings, &core, &directory, store);
        let submit = Submit::new(&core, dns.clone());
        let acme = acme(settings, &dns, publish)?;
        let names = names(settings);
        Ok(Self {
            directory: directory.clone(),
            tls_for_people: core.tls_for_people.clone(),
            tls_for_web: certificates.server_for_web(&publish.alpn),
            acme,
            receive: Receive::new(&core, dns.clone(), settings.inbound.clone(), submit.clone()),
            submit,
            lmtp: Lmtp::new(&core),
            auth: Auth::new(directory, settings.limits.exempt.clone()),
            local: local_mail(settings, &core),
            own: Local::new(&core, directory_origin(settings), &[]),
            imap,
            pop3,
            plain: Plain::new(names.clone(), publish.tokens.clone(), port(listening, Server::Https)),
            site: Site::new(names, servers(settings, listening)),
            reporter: Reporter::new(&core, dns.clone(), Some(fetch.clone())),
            relay: Relay::new(&core, dns, tls, Some(fetch), settings.outbound.clone()),
        })
    }
}

/// IMAP and POP3, which share their people.
fn readers(settings: &Settings, core: &Core, directory: &Directory, store: &Store) -> (Imap, Pop3) {
    let people = kings_access::People {
        directory: directory.clone(),
        store: store.clone(),
        tls: core.tls_for_people.clone(),
        connections_per_account: settings.limits.imap_connections_per_account,
        connections_per_address: settings.limits.imap_connections_per_address,
    };
    let pop3 = kings_access::Pop3Parts {
        people: people.clone(),
        uidl: settings.mailboxes.pop3_uidl.clone(),
        login_delay: settings.limits.pop3_login_delay,
        lock_session: settings.mailboxes.pop3_lock_session,
    };
    let imap = kings_access::Parts {
        people,
        append_octets: settings.limits.message_bytes,
        naming: settings.mailboxes.naming,
        sharing: settings.mailboxes.sharing,
        shares_with_anyone: settings.mailboxes.shares_with_anyone,
    };
    (Imap::new(imap), Pop3::new(pop3))
}

/// The names that HTTP answers to.
fn names(settings: &Settings) -> Names {
    let site = |domain: &HostedDomain| HostedSite {
        domain: domain.name.clone(),
        mta_sts: settings.mta_sts.policy(&domain.name).map(|policy| policy.to_string()),
    };
    Names::new(settings.hostname.clone(), settings.domains.iter().map(site))
}

/// Where mail programs are sent to.
fn servers(settings: &Settings, listening: &[(Server, Place)]) -> Servers {
    let port = |server| port(listening, server);
    Servers {
        hostname: settings.hostname.clone(),
        imaps: port(Server::Imaps),
        imap: port(Server::Imap),
        pop3s: port(Server::Pop3s),
        pop3: port(Server::Pop3),
        submissions: port(Server::Submissions),
        submission: port(Server::Submission),
    }
}

/// The first port of a server.
fn port(listening: &[(Server, Place)], wanted: Server) -> Option<u16> {
    listening.iter().find_map(|(server, place)| match place {
        Place::Tcp(address) if *server == wanted => Some(address.port()),
        Place::Tcp(_) | Place::Unix(_) => None,
    })
}

/// Reads the secrets, and makes one at the first start.
fn sender_rewriting(settings: &Settings) -> anyhow::Result<Option<Srs>> {
    if !settings.srs || settings.domains.is_empty() {
        return Ok(None);
    }
    let path = settings.data_dir.join("srs.secrets");
    let secrets = prepare::secret(&path)?;
    let srs = Srs::new(&secrets);
    Ok(Some(srs.with_context(|| format!("{}: remove it, and a new one is made", path.display()))?))
}

/// Kept, so that what is at a filter during a restart is known when it comes back.
fn passes(settings: &Settings) -> anyhow::Result<Passes> {
    let rules = &settings.house_rules;
    let path = settings.data_dir.join("filter.secret");
    // Mail may be on its way from a filter whose rule is gone.
    if !rules.inbound.has_filter() && !rules.submission.has_filter() && !path.exists() {
        return Ok(Passes::default());
    }
    let passes = Passes::new(&prepare::secret(&path)?);
    passes.with_context(|| format!("{}: remove it, and a new one is made", path.display()))
}

/// How certificates are ordered. The authority is the operator's choice, so it may be in any network.
fn acme(settings: &Settings, dns: &Resolver, publish: &Publish) -> anyhow::Result<Option<kings_acme::Parts>> {
    let Some(acme) = &settings.acme else { return Ok(None) };
    let roots = ClientTls::with_authorities(&settings.authorities.and(&acme.root));
    let allow_private = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
    let mut wanted = acme.settings.clone();
    let changes_dns = prepare::proves_by_dns(settings, dns)?;
    if changes_dns.is_none() {
        wanted.kinds.retain(|kind| *kind != Kind::Dns01);
    }
    Ok(Some(kings_acme::Parts {
        settings: wanted,
        fetch: Fetch::new(dns.clone(), &roots, kings_fetch::Settings { allow_private }),
        resolver: dns.clone(),
        roots,
        publish: Publish { dns: changes_dns, ..publish.clone() },
    }))
}

/// What tokens are checked with, if any issuer is trusted. Each has a client that goes where its own block allows.
fn issuers(settings: &Settings, dns: &Resolver, tls: &ClientTls) -> Option<Issuers> {
    let issuers = settings.oauth.iter().map(|oauth| {
        let allow_private = oauth.allow_private.clone();
        (oauth.issuer.clone(), Fetch::new(dns.clone(), tls, kings_fetch::Settings { allow_private }))
    });
    (!settings.oauth.is_empty()).then(|| Issuers::new(issuers))
}

/// What completes names without a domain.
fn directory_origin(settings: &Settings) -> Domain {
    let machine = settings.machine.as_ref().map(|machine| &machine.origin);
    let first = settings.domains.first().map(|hosted| &hosted.name);
    machine.or(first).unwrap_or(&settings.hostname).clone()
}

fn local_mail(settings: &Settings, core: &Core) -> Option<Local> {
    let (local, machine) = (settings.local.as_ref()?, settings.machine.as_ref()?);
    Some(Local::new(core, machine.origin.clone(), &local.trusted_users))
}

/// Not waited for: a table of another program may have to be asked.
async fn tell_doubts(domains: Vec<HostedDomain>, copies: Copies, directory: Directory) {
    // `config check` refuses this one; a server that runs, or must, does not stop for an account that is gone.
    for lost in prepare::lost_copies(&copies, &directory).await {
        error!("{lost}");
    }
    for doubt in prepare::doubts(&domains, &directory).await {
        warn!("{doubt}");
    }
}
