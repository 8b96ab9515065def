//! What every flow of mail needs: our name, the limits, and the places where things are.

use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kings_directory::{Directory, Place, Reach, Resolution};
use kings_mail::address::{Address, Host};
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_net::{IpNet, Memory};
use kings_queue::Queue;
use kings_records::Records;
use kings_smtp::reply::Reply;
use kings_smtp::server::{FutureRelease, Trust};
use kings_store::{Incoming, Store, StoreError};
use rustls::ServerConfig;

use crate::alerts::Alerts;
use crate::content_checks::ContentChecks;
use crate::copies::Copies;
use crate::delegation;
use crate::inbound::is_in;
use crate::limits::{Rates, Traffic};
use crate::milter::Milters;
use crate::passes::{Passes, Returned};
use crate::policy::ours::Ours;
use crate::policy::{EarlyTalker, ForeignSenders};
use crate::relay::Ways;
use crate::reporting::Reports;
use crate::rewriting::Rewriting;
use crate::scoring::Scoring;
use crate::signing::Signing;
use crate::srs::{BadSrs, Srs};

/// The limits of the mail flow that an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in octets.
    pub message_bytes: u64,
    /// Most recipients of one message.
    pub recipients: usize,
    /// How much in which time.
    pub rates: Rates,
}

/// What an operator may say of clients, before any of them has said a word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// What a client hears that speaks before our greeting.
    pub early_talker: EarlyTalker,
    /// How long the greeting waits for such a client; zero: only bytes that are there already count.
    pub greeting_wait: Duration,
    /// Who may ask for reports.
    pub dsn: Dsn,
    /// Hosts that speak for others.
    pub trusted: Trusted,
}

/// Whom port 25 offers DSN (RFC 3461 §3), and so reports of success. Failures are reported without it too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Dsn {
    /// Everybody, as Postfix does.
    #[default]
    Everybody,
    /// Hosts of these networks, as with `dsn` in Postfix's `smtpd_discard_ehlo_keyword_address_maps` for all others.
    Networks(Vec<IpNet>),
}

impl Dsn {
    pub(crate) fn is_offered_to(&self, client: IpAddr) -> bool {
        match self {
            Self::Everybody => true,
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&client)),
        }
    }
}

/// Who may say that mail is somebody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    /// Hosts that may use XCLIENT.
    pub xclient_from: Vec<IpNet>,
    /// Hosts that may use XFORWARD.
    pub xforward_from: Vec<IpNet>,
}

impl Trusted {
    /// What this client may say.
    pub(crate) fn of(&self, client: IpAddr) -> Trust {
        let holds = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        Trust { xclient: holds(&self.xclient_from), xforward: holds(&self.xforward_from) }
    }
}

/// What an operator may say of submission.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// The address a user writes from stands in Received.
    pub client_in_received: bool,
    /// Longest time that mail may be held (RFC 4865 §3); zero: FUTURERELEASE is not offered.
    pub longest_hold: Duration,
    /// Whether a user may write as somebody else.
    pub foreign_senders: ForeignSenders,
    /// Whom they write to need not wait where greylisting would have it so.
    pub remembers_correspondents: bool,
    /// Programs that have a say.
    pub policy_service: Option<delegation::Settings>,
    /// Whose clients send to everybody over port 25 without a login, in any name (Postfix's `mynetworks`).
    pub networks: Vec<IpNet>,
}

impl Outgoing {
    /// Whether this client is of a network that the operator trusts. A host that speaks for others is not taken for them.
    pub(crate) fn trusts(&self, client: IpAddr, trust: Trust) -> bool {
        !trust.xclient && is_in(&self.networks, client)
    }

    /// What EHLO offers to a session that begins now.
    pub(crate) fn future_release(&self) -> Option<FutureRelease> {
        let longest = self.longest_hold.as_secs();
        let latest =
            DateTime::from_unix(now().unix().saturating_add(i64::try_from(longest).unwrap_or(i64::MAX)));
        (longest > 0).then_some(FutureRelease { longest, latest })
    }
}

/// What a sender hears whose recipient has no room left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FullMailbox {
    /// To come again: there may be room before he gives up.
    #[default]
    Defer,
    /// No, at once.
    Reject,
}

impl FullMailbox {
    /// The reply to RCPT, or of a message with this recipient alone.
    pub(crate) fn reply(self) -> Reply {
        match self {
            Self::Defer => Reply::MAILBOX_FULL,
            Self::Reject => Reply::MAILBOX_FULL_NOW,
        }
    }
}

/// What an operator wants beside the delivery of a message. Mail that comes by LMTP is left alone: the server in front
/// has rules of its own.
#[derive(Clone, Debug, Default)]
pub struct HouseRules {
    /// Who gets copies.
    pub copies: Copies,
    /// What addresses of our users' mail are called instead.
    pub rewriting: Box<Rewriting>,
    /// Who is let in on port 25.
    pub access: delegation::Access,
    /// Who hears of sessions that went wrong.
    pub alerts: Alerts,
    /// Rules about header and body of what comes from other servers.
    pub inbound: ContentChecks,
    /// The same for what our users send.
    pub submission: ContentChecks,
    /// What becomes of mail for an account that is over its quota.
    pub full_mailbox: FullMailbox,
}

/// What [`Core`] is made of.
#[derive(Clone)]
pub struct Parts {
    /// Our name in greetings and trace fields.
    pub hostname: Domain,
    /// The limits.
    pub limits: Limits,
    /// What clients have brought of late.
    pub traffic: Traffic,
    /// What the process may take.
    pub memory: Memory,
    /// What is made of clients.
    pub clients: Clients,
    /// The switches of submission.
    pub outgoing: Outgoing,
    /// Who else has a say.
    pub milters: Milters,
    /// The keys that what leaves is signed with.
    pub signing: Signing,
    /// Copies, and rules about headers.
    pub rules: HouseRules,
    /// How mail is known that comes back from a filter of these rules.
    pub passes: Passes,
    /// What is known of the ways to other servers.
    pub ways: Ways,
    /// Who exists.
    pub directory: Directory,
    /// Gives mail that aliases send on a reverse-path of ours, where that is wanted.
    pub srs: Option<Srs>,
    /// Where mail for our accounts goes.
    pub store: Store,
    /// Where mail for others waits.
    pub queue: Queue,
    /// Reports that domains ask for, and those of others.
    pub reports: Reports,
    /// Addresses that answer with the score of what comes to them.
    pub scoring: Scoring,
    /// What is remembered of all of it.
    pub records: Records,
    /// What STARTTLS shows to other servers.
    pub tls: Arc<ServerConfig>,
    /// What it shows to people who may log in.
    pub tls_for_people: Arc<ServerConfig>,
}

/// Shared by all sessions of all flows. Clones share one value.
#[derive(Clone)]
pub struct Core(Arc<Parts>);

impl Core {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// What a recipient of a message with this reverse-path stands for: also the first sender of a message that an
    /// alias sent on, when a bounce comes back to the reverse-path that it was given.
    ///
    /// Only a bounce finds its way there. Whoever learns such an address must not be able to write through us.
    pub(crate) async fn resolve(
        &self,
        path: &ForwardPath,
        reverse_path: &ReversePath,
        reach: Reach,
    ) -> Resolution {
        if let (Some(srs), ForwardPath::Address(address), ReversePath::Null) = (&self.srs, path, reverse_path)
            && address.domain().is_some_and(|domain| self.directory.hosts(domain))
        {
            match srs.reverse(address, today()) {
                Ok(sender) => return Resolution::Targets(vec![Place::Remote(sender).into()]),
                Err(BadSrs::Forged | BadSrs::Expired) => return Resolution::Unknown,
                Err(BadSrs::NotSrs) => {}
            }
        }
        match path {
            // One of our own address literals is one of our names (RFC 5321 §4.1.3).
            ForwardPath::Address(Address { local_part, host: Host::Literal(ip) }) if self.ways.have(*ip) => {
                let path = ForwardPath::Address(self.directory.at_home(local_part));
                self.directory.resolve(&path, reach).await
            }
            path => self.directory.resolve(path, reach).await,
        }
    }

    /// Why mail for a recipient would come back at once, if all of it leaves for other servers. What a stranger may not send
    /// to is looked up in no table.
    pub(crate) async fn no_way(
        &self,
        path: &ForwardPath,
        reverse_path: &ReversePath,
        (resolution, reach): (&Resolution, Reach),
    ) -> Option<Reply> {
        let targets = match resolution {
            Resolution::Elsewhere(_) if reach == Reach::Ours => return None,
            Resolution::Elsewhere(address) => return self.ways.refusal(reverse_path, address).await,
            Resolution::Targets(targets) => targets,
            Resolution::Unknown | Resolution::Looping | Resolution::Unavailable => return None,
        };
        let mut first = None;
        for target in targets.iter().filter(|target| !matches!(target.place, Place::Nobody(_))) {
            let Place::Remote(address) = &target.place else { return None };
            let is_as_it_came = matches!(path, ForwardPath::Address(path) if path == address);
            let sent_on = (!is_as_it_came).then(|| self.sent_on_by(path, reverse_path, address));
            let refusal = self.ways.refusal(sent_on.as_ref().unwrap_or(reverse_path), address).await?;
            first.get_or_insert(refusal);
        }
        first
    }

    /// The signatures of our domains under what our users send. What a stranger has written is not ours because a filter
    /// hands it back.
    pub(crate) async fn signature(
        &self,
        content: &Arc<Incoming>,
        returned: &Returned,
    ) -> Result<String, Reply> {
        if returned.verdict().is_some() {
            return Ok(String::new());
        }
        self.signing.fields(content).await.map_err(|cause| cause.reply())
    }

    /// A message of one of our users under the names that the operator wants. What a filter hands back has them already.
    pub(crate) async fn renamed(
        &self,
        (envelope, content): (Envelope, Arc<Incoming>),
        returned: &Returned,
    ) -> Result<(Envelope, Arc<Incoming>), Reply> {
        if returned.is_back() {
            return Ok((envelope, content));
        }
        self.rules.rewriting.message(&self.store, (envelope, content)).await
    }

    /// What a recipient hears where all it stands for are mailboxes here that have no room for a message of `size` octets,
    /// or of any where nothing is said. What has room while others have none is served at the end of the message.
    pub(crate) async fn full(&self, resolution: &Resolution, size: Option<u64>) -> Option<Reply> {
        let Resolution::Targets(targets) = resolution else { return None };
        let mut accounts = Vec::new();
        for target in targets {
            match &target.place {
                Place::Account(account) if self.store.is_limited(account) => accounts.push(account.clone()),
                Place::Account(_) | Place::Remote(_) => return None,
                Place::Nobody(_) => {}
            }
        }
        if accounts.is_empty() {
            return None;
        }
        let (store, size) = (self.store.clone(), size.unwrap_or(1));
        let all_full = move || {
            let full = |account| matches!(store.has_room(account, size), Err(StoreError::OverQuota));
            accounts.iter().all(full)
        };
        blocking(all_full).await.then(|| self.rules.full_mailbox.reply())
    }

    /// The same for one that may have been resolved before it waited: what its aliases lead to beside it has been
    /// served then. An account that is gone meanwhile is looked for like any address.
    pub(crate) async fn resolve_again(
        &self,
        recipient: &Recipient,
        reverse_path: &ReversePath,
    ) -> Resolution {
        match &recipient.path {
            ForwardPath::Address(account) if recipient.resolved && self.directory.has_account(account) => {
                Resolution::Targets(vec![Place::Account(account.clone()).into()])
            }
            path => self.resolve(path, reverse_path, Reach::Everywhere).await,
        }
    }
}

impl Core {
    /// The names that only we may write from.
    pub(crate) fn ours(&self) -> Ours<'_> {
        Ours { hostname: &self.hostname, domains: self.directory.domains() }
    }

    fn ends_here(&self, address: &Address) -> bool {
        address.domain().is_some_and(|domain| self.directory.ends_here(domain))
    }

    /// Whether mail for it ends here or with a server that is behind this one.
    pub(crate) fn is_of_ours(&self, target: &Address) -> bool {
        self.ends_here(target) || target.domain().is_some_and(|domain| self.directory.relays(domain))
    }

    /// Whether no stranger gets to see mail for it, and judges it: it goes to one of ours, or to a program of this machine.
    pub(crate) fn keeps(&self, reverse_path: &ReversePath, target: &Address) -> bool {
        self.is_of_ours(target) || self.ways.end_here(reverse_path, target)
    }

    /// The reverse-path of what an alias sends on to `target`: one of ours only where a foreign sender meets a foreign
    /// target, whose SPF check would find us where the sender should be. It is of the domain of the alias: one customer's
    /// mail does not leave in the name of another.
    pub(crate) fn sent_on_by(
        &self,
        alias: &ForwardPath,
        sender: &ReversePath,
        target: &Address,
    ) -> ReversePath {
        let foreign = sender.address().filter(|sender| !self.ends_here(sender) && !self.is_of_ours(target));
        let rewritten = foreign.and_then(|sender| {
            let (srs, domain) = (self.srs.as_ref()?, self.bounce_domain(alias)?);
            srs.forward(sender, domain, today())
        });
        rewritten.map_or_else(|| sender.clone(), ReversePath::Address)
    }

    /// Where bounces of what an alias sends on come back to: its own domain, or the first one where that is no domain
    /// whose mail is looked for by name here, but one that we relay for, or the name of this machine.
    fn bounce_domain<'a>(&'a self, alias: &'a ForwardPath) -> Option<&'a Domain> {
        let own = match alias {
            ForwardPath::Address(alias) => alias.domain().filter(|domain| self.directory.hosts(domain)),
            ForwardPath::Postmaster => None,
        };
        own.or_else(|| self.directory.domains().first())
    }
}

/// A name for a message that arrives now.
pub(crate) fn new_id() -> TraceId {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut random = [0; 4];
    // Without random bytes two messages of the same microsecond could share a name; nothing worse.
    let _ = getrandom::fill(&mut random);
    TraceId::new(u64::try_from(since_1970.as_micros()).unwrap_or(0), u32::from_ne_bytes(random))
}

impl std::ops::Deref for Core {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Days since 1970.
pub(crate) fn today() -> u64 {
    u64::try_from(now().unix()).unwrap_or_default() / 86_400
}

/// The wall clock, for trace fields.
pub(crate) fn now() -> DateTime {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    DateTime::from_unix(i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX))
}

/// Octets of content read at once: most messages are one piece, and clearing more room would cost more than reading.
const PIECE: usize = 16 * 1024;

/// Reads to the end, piece by piece. Blocking.
pub(crate) fn for_each_piece<E: From<io::Error>>(
    mut reader: impl Read,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut buffer = vec![0; PIECE];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => take(&buffer[..count])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The one place of this crate where blocking work leaves the runtime's own threads.
///
/// A panic inside is a fault of ours and goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Blocking tasks are cancelled only when the runtime is gone, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}
