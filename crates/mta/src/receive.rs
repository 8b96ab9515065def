//! Mail from other servers: port 25.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use kings_directory::Resolution;
use kings_dns::Dns;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_mail::report::Notify;
use kings_mail::trace::{Received, With};
use kings_msgauth::dmarc::author_domains;
use kings_net::{Connection, Service};
use kings_sasl::Turn;
use kings_smtp::claim::{Attribute, Claim};
use kings_smtp::reply::Reply;
use kings_smtp::server::{self as smtp, Role, Settings, Trust};
use kings_store::Incoming;
use tokio::sync::OnceCell;
use tracing::{debug, info};

use crate::authenticate::{Check, Evidence, Findings, Methods, Reporter, Standing};
use crate::connection::drive;
use crate::core::{Core, now};
use crate::decide::{Challenge, Decide, Final, Peer};
use crate::deliver::{Message, deliver, sole_recipient};
use crate::facts::Verdict;
use crate::forgeries;
use crate::greylist::{Circumstances, Stranger};
use crate::inbound::{Case, Checks, Ends, Inbound};
use crate::intake::Intake;
use crate::limits::Meter;
use crate::milter::{Caller, Chain, Filtered};
use crate::observed::Observed;
use crate::policy::ours::Leaving;
use crate::policy::verdict::{self, Known};
use crate::policy::{self, RcptFacts};
use crate::signing::Seal;
use crate::traced;
use crate::transaction::{Taken, Transaction, check_arriving};

/// The service of port 25: strangers may write to our users and to nobody else.
pub struct Receive<D> {
    core: Core,
    checks: Arc<Checks<D>>,
}

impl<D> Clone for Receive<D> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone(), checks: self.checks.clone() }
    }
}

impl<D: Dns + 'static> Receive<D> {
    /// Uses directory, store and queue of `core`, and asks `dns` about senders.
    pub fn new(core: &Core, dns: D, inbound: Inbound) -> Self {
        let checks = Arc::new(Checks::new(dns, core.hostname.clone(), inbound));
        Self { core: core.clone(), checks }
    }
}

impl<D: Dns + 'static> Service for Receive<D> {
    async fn serve(&self, connection: Connection) {
        let core = &self.core;
        let client = connection.peer.ip();
        let settings = Settings {
            hostname: core.hostname.clone(),
            role: Role::Inbound,
            start_tls: true,
            message_bytes: core.limits.message_bytes,
            recipients: core.limits.recipients,
            dsn: core.clients.dsn.is_offered_to(client),
            bare_paths: false,
            future_release: None,
            trust: core.clients.trusted.of(client),
        };
        let mut smtp = smtp::Session::new(settings, connection.stream.tls().is_some());
        let spoke_first = connection.stream.has_spoken(core.clients.greeting_wait).await;
        if let Err(reply) = policy::connect(spoke_first, core.clients.early_talker) {
            info!(%client, reply = reply.to_string(), "client refused");
            smtp.turn_away(&reply);
        }
        let meter = Meter::new(&core.traffic, core.limits.rates, client, connection.exempt);
        let ends = Ends { peer: connection.peer, local: connection.local };
        let mut session = Session {
            core,
            checks: &self.checks,
            client,
            ends,
            meter,
            case: None,
            evidence: None,
            forwarded_for: None,
            filters: Chain::new(&core.milters.inbound, core.limits.message_bytes),
            reverse_name: OnceCell::new(),
            intake: Intake::default(),
        };
        let ended = drive(connection, smtp, core.tls.clone(), &mut session).await;
        debug!(%client, ?ended, "session ended");
    }

    fn busy(&self) -> &'static [u8] {
        BUSY
    }

    fn turn_away(&self, client: IpAddr) -> Option<&'static [u8]> {
        turn_away(&self.core, client)
    }
}

/// The line for a client that has made too many errors of late.
pub(crate) fn turn_away(core: &Core, client: IpAddr) -> Option<&'static [u8]> {
    let shut_out = core.traffic.is_shut_out(client, &core.limits.rates, Instant::now());
    shut_out.then_some(b"421 4.7.0 Too many errors from your address, try again later\r\n")
}

/// The address that a claim gives; one that the other side does not know is nobody's.
pub(crate) fn claimed_address(claim: &Claim) -> Option<IpAddr> {
    match claim.address {
        Attribute::Unsaid => None,
        Attribute::Unavailable => Some(Ipv4Addr::UNSPECIFIED.into()),
        Attribute::Is(address) => Some(address),
    }
}

/// [`Reply::BUSY`] in wire form.
pub(crate) const BUSY: &[u8] = b"421 4.7.0 Too many connections, try again later\r\n";

/// What message authentication found.
#[derive(Default)]
struct Authenticated {
    /// The fields that say so.
    fields: String,
    /// What may count against the message.
    known: Known,
    standing: Standing,
    /// How it leaves where an alias sends it on.
    leaving: Leaving,
    /// Who has written it, if it is a report.
    reporter: Reporter,
    /// What those are told that it is sent on or passed on to.
    seal: Option<Arc<Seal>>,
    /// What a report to the author's domain will tell.
    observed: Vec<Observed>,
}

struct Session<'a, D> {
    core: &'a Core,
    checks: &'a Checks<D>,
    client: IpAddr,
    ends: Ends,
    meter: Meter,
    /// The transaction that goes on.
    case: Option<Case>,
    /// What is found out about it by SPF, DKIM and DMARC.
    evidence: Option<Evidence>,
    /// Where a trusted host says that the next message came from.
    forwarded_for: Option<IpAddr>,
    filters: Chain,
    /// The client's name by DNS, once it was asked for: filters want it.
    reverse_name: OnceCell<Option<String>>,
    intake: Intake,
}

impl<D: Dns + 'static> Decide for Session<'_, D> {
    async fn log_in(&mut self, _: Turn) -> Result<Reply, Challenge> {
        Ok(Reply::NOT_IMPLEMENTED)
    }

    async fn mail(&mut self, path: &ReversePath, parameters: MailParameters, peer: &Peer<'_>) -> Reply {
        if let Err(reply) = self.meter.message(None, Instant::now()) {
            return reply;
        }
        self.case = Some(self.checks.begin(path, parameters.size, peer, self.ends));
        self.evidence = Some(self.checks.evidence(path, &peer.client.name, self.client));
        self.tell_filters(path, &parameters, peer).await.err().unwrap_or(Reply::SENDER_OK)
    }

    async fn rcpt(&mut self, recipient: &Recipient, envelope: &Envelope) -> Reply {
        let Err(reply) = self.judge_recipient(recipient, envelope).await else { return Reply::RECIPIENT_OK };
        let (client, reverse_path) = (self.client, &envelope.reverse_path);
        info!(%client, %reverse_path, forward_path = %recipient.path, reply = reply.to_string(), "recipient refused");
        traced::recipient_refused(self.core, client, reverse_path, &recipient.path, &reply);
        reply
    }

    async fn begin(&mut self) -> Reply {
        if let Err(reply) = self.filters.data().await {
            return reply;
        }
        self.intake.begin(&self.core.store).await
    }

    async fn content(&mut self, piece: &[u8]) {
        if let Some(evidence) = &mut self.evidence {
            evidence.content(self.checks.dns(), piece);
        }
        self.intake.content(piece).await;
    }

    fn discard(&mut self) {
        self.intake.discard();
    }

    fn faults(&mut self, so_far: usize) {
        self.meter.errors(so_far, Instant::now());
    }

    async fn end(&mut self, envelope: Envelope, peer: &Peer<'_>) -> Final {
        let mut transaction = Transaction::new(self.client, &envelope, self.intake.len());
        if let Some(case) = &mut self.case {
            transaction.note(case.facts().await);
        }
        let accepted = self.accept(&transaction, envelope, peer).await;
        Final::Same(transaction.forwarded_for(self.forwarded_for.take()).finish(self.core, None, accepted))
    }

    /// A login at the other side opens nothing here: port 25 knows no logins.
    fn become_other(&mut self, claim: &Claim) -> Reply {
        info!(client = %self.client, ?claim, "speaks for another client");
        if let Some(client) = claimed_address(claim) {
            self.client = client;
            self.ends.peer.set_ip(client);
            self.meter = Meter::new(&self.core.traffic, self.core.limits.rates, client, false);
            self.filters = Chain::new(&self.core.milters.inbound, self.core.limits.message_bytes);
            self.reverse_name = OnceCell::new();
        }
        Reply::OK
    }

    fn forwarded(&mut self, claim: &Claim) -> Reply {
        self.forwarded_for = claimed_address(claim).or(self.forwarded_for);
        Reply::OK
    }
}

impl<D: Dns + 'static> Session<'_, D> {
    async fn judge_recipient(&mut self, recipient: &Recipient, envelope: &Envelope) -> Result<(), Reply> {
        self.meter.hold_back().await?;
        self.meter.recipient(None, Instant::now())?;
        let resolution =
            self.core.resolve(&recipient.path, &envelope.reverse_path, policy::reach(false)).await;
        if matches!(resolution, Resolution::Unknown) {
            self.meter.unknown_recipient(Instant::now());
        }
        policy::rcpt(&RcptFacts {
            logged_in: false,
            resolution: &resolution,
            no_way: self.core.no_way(&recipient.path, &envelope.reverse_path, &resolution),
            recipients_so_far: envelope.recipients.len(),
            most_recipients: self.core.limits.recipients,
        })?;
        let case = self.case.as_mut().ok_or(Reply::BAD_SEQUENCE)?;
        case.judge_recipient(recipient, envelope).await?;
        self.filters.rcpt(recipient).await
    }

    /// The filters hear of a transaction, and before their first one who the client is.
    async fn tell_filters(
        &mut self,
        path: &ReversePath,
        parameters: &MailParameters,
        peer: &Peer<'_>,
    ) -> Result<(), Reply> {
        if self.filters.is_empty() {
            return Ok(());
        }
        let reverse_name =
            self.reverse_name.get_or_init(|| self.checks.confirmed_name(self.client)).await.as_deref();
        let caller = Caller {
            daemon: "smtp",
            hostname: &self.core.hostname,
            peer: self.ends.peer,
            local: self.ends.local,
            reverse_name,
            helo: &peer.client.name,
            tls: peer.tls.as_deref(),
            account: None,
            mechanism: "",
        };
        self.filters.mail(&caller, path, parameters).await
    }

    /// The signature of our domains under what hosts bring that are trusted with it.
    async fn signature(&self, content: &Arc<Incoming>) -> Result<String, Reply> {
        if !self.is_trusted().await {
            return Ok(String::new());
        }
        self.core.signing.fields(content).await.map_err(|cause| cause.reply())
    }

    /// The results of message authentication; nothing for mail that is signed as our own.
    async fn authenticate(
        &mut self,
        content: &Incoming,
        envelope: &Envelope,
        peer: &Peer<'_>,
    ) -> Authenticated {
        if self.is_trusted().await {
            return Authenticated::default();
        }
        let ours = self.core.ours();
        let Some(evidence) = self.evidence.take() else {
            let findings = Findings::default();
            let known = findings.known(Methods::default(), content.head(), ours);
            let leaving = findings.leaving(Methods::default(), content.head(), &envelope.reverse_path, ours);
            return Authenticated { known, leaving, ..Authenticated::default() };
        };
        let methods = evidence.methods();
        let findings = evidence.findings(self.checks.dns(), content.head(), now()).await;
        let field = findings.field(methods, &self.core.hostname);
        let claims = self.checks.claims(&envelope.reverse_path, &peer.client.name, self.client);
        let mut known = findings.known(methods, content.head(), ours);
        let path = &envelope.reverse_path;
        // SPF of a host that passes mail on says nothing of who wrote it.
        let lent = if self.checks.passes_on(self.client) {
            Leaving::Suited
        } else {
            findings.lent(methods, content.head(), path, ours)
        };
        known.forged_path = lent.forged(path);
        let leaving = findings.leaving(methods, content.head(), path, ours).max(lent);
        known.sealed = findings.voucher(methods, self.checks.arc_sealers()).map(Domain::to_string);
        let seal = findings
            .arc
            .as_ref()
            .and_then(|report| Seal::new(&self.core.signing, &self.core.hostname, &field, report));
        let fields = field + &findings.received_spf(methods, &claims);
        let observed = Observed::each(&findings, self.client, envelope, content.head(), &self.core.reports);
        let (standing, reporter) = (findings.standing(), findings.reporter(content.head()));
        Authenticated { fields, known, standing, leaving, reporter, seal: seal.map(Arc::new), observed }
    }

    /// Whether the client's mail is signed as our own, and not verified.
    async fn is_trusted(&self) -> bool {
        let signing = &self.core.signing;
        if !signing.trusts_anybody() {
            return false;
        }
        let name = self.reverse_name.get_or_init(|| self.checks.confirmed_name(self.client)).await;
        signing.trusts(self.client, name.as_deref())
    }

    /// Where strangers are to come again: whether the sender is one.
    async fn stranger(&self, envelope: &Envelope, known: &Known, standing: &Standing) -> Option<Stranger> {
        let greylist = self.checks.greylist()?;
        let speaks_for_others = self.core.clients.trusted.of(self.client) != Trust::default();
        let circumstances = Circumstances {
            client: self.client,
            is_trusted: speaks_for_others || known.forwarder.is_some() || self.is_trusted().await,
            is_welcome: !known.listings.welcome.is_empty(),
            standing,
        };
        Some(Stranger::look_up(greylist, &self.core.records, envelope, circumstances))
    }

    async fn accept(
        &mut self,
        transaction: &Transaction,
        envelope: Envelope,
        peer: &Peer<'_>,
    ) -> Result<Taken, Reply> {
        let content = self.intake.take()?;
        let dmarc = self.evidence.as_ref().map_or(Check::Off, |evidence| evidence.methods().dmarc);
        check_arriving(content.head(), content.len(), dmarc)?;
        let Authenticated { fields: authenticated, mut known, standing, leaving, reporter, seal, observed } =
            self.authenticate(&content, &envelope, peer).await;
        known.forwarder = Some(self.client).filter(|client| self.checks.passes_on(*client));
        known.junk_before = known.forwarder.filter(|_| verdict::is_junk(content.head()));
        let authors = author_domains(content.head()).map(|authors| authors.domains).unwrap_or_default();
        let content = forgeries::scrub(self.core, content, forgeries::Source::Anybody).await?;
        let id = transaction.id;
        let (content, ruling) = self.core.rules.inbound.rule(&self.core.store, content, id).await?;
        let mut case = self.case.take().ok_or(Reply::BAD_SEQUENCE)?;
        case.judge_message(&envelope, content.len(), &transaction.id.to_string()).await?;
        if !self.is_trusted().await {
            known.listings = case.listings(self.checks.dns(), &authors).await;
        }
        let mut wishes = case.into_wishes();
        let filtered = Filtered::new(transaction.id, envelope, content);
        let filtered = self.filters.message(&self.core.store, filtered).await?;
        let Filtered { envelope, content, discard, quarantine, .. } = filtered;
        known.sender = transaction.facts();
        known.quarantine = quarantine;
        let stranger = self.stranger(&envelope, &known, &standing).await;
        known.greylisted = stranger.as_ref().and_then(Stranger::wait);
        let decision = verdict::message(&known, self.checks.rules(self.client), self.checks.verdicts());
        traced::judged(self.core, id, &envelope.reverse_path, &decision);
        for observed in observed {
            observed.note(&self.core.records, &decision);
        }
        if let Some(stranger) = stranger {
            stranger.remember(&self.core.records, id, &decision);
        }
        if let Some(reply) = decision.refusal() {
            return Err(reply);
        }
        let with = With {
            lmtp: false,
            extended: peer.client.extended,
            tls: peer.client.tls,
            login: false,
            utf8: envelope.parameters.smtputf8,
        };
        let received = Received {
            helo: &peer.client.name,
            client: Some(self.client),
            by: &self.core.hostname,
            with,
            tls: peer.tls.as_deref(),
            id: transaction.id,
            recipient: sole_recipient(&envelope),
            date: now(),
        };
        let signature = self.signature(&content).await?;
        let prefix = wishes.fields() + &signature + &authenticated + &received.field();
        if wishes.discard || discard || ruling.discard {
            let why = "the policy service, a filter or a header rule wants it so";
            traced::dropped(self.core, id, &envelope.reverse_path, why);
            return Ok(Taken::Dropped);
        }
        let Envelope { reverse_path, recipients, parameters } = envelope;
        let waits = wishes.hold.take();
        let mut recipients = ruling.recipients(wishes.recipients(recipients));
        if known.forged_path.is_some() {
            // Whose address was taken for it is to hear nothing of what he never sent.
            for recipient in &mut recipients {
                recipient.notify = Notify::Never;
            }
        }
        self.core.rules.copies.add(&reverse_path, &mut recipients);
        let (verdict, junk) = (decision.field(), decision.verdict == Verdict::Junk);
        let hold = decision.hold().map(str::to_owned).or(waits).or(ruling.hold);
        let taken = Taken::of(hold.as_deref(), junk);
        let message = Message {
            id,
            reverse_path,
            parameters,
            recipients,
            prefix,
            verdict,
            hold,
            junk,
            vouched: false,
            leaving,
            reporter,
            seal,
            content,
        };
        deliver(self.core, message).await.map_err(|error| error.reply())?;
        Ok(taken)
    }
}
