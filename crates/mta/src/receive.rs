//! Mail from other servers: port 25.

mod whole;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use kings_directory::Resolution;
use kings_dns::Dns;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_net::{Connection, Service};
use kings_sasl::Turn;
use kings_smtp::claim::{Attribute, Claim};
use kings_smtp::reply::Reply;
use kings_smtp::server::{self as smtp, Role, Settings};
use tokio::sync::OnceCell;
use tracing::{debug, info};

use crate::alerts;
use crate::authenticate::Evidence;
use crate::connection::drive;
use crate::core::Core;
use crate::decide::{Challenge, Decide, Final, Peer};
use crate::delegation::Stage;
use crate::inbound::{Case, Checks, Ends, Inbound};
use crate::intake::Intake;
use crate::limits::Meter;
use crate::long_lines::Shortener;
use crate::milter::{Caller, Chain};
use crate::policy::{self, RcptFacts};
use crate::submit::Submit;
use crate::traced;
use crate::transaction::Transaction;

/// The service of port 25: strangers may write to our users and to nobody else.
pub struct Receive<D> {
    core: Core,
    /// For clients of networks that the operator trusts: theirs is mail of ours.
    neighbours: Submit<D>,
    checks: Arc<Checks<D>>,
    /// For mail that we sign, as that of our users.
    shortener: Shortener,
}

impl<D> Clone for Receive<D> {
    fn clone(&self) -> Self {
        let Self { core, neighbours, checks, shortener } = self;
        Self {
            core: core.clone(),
            neighbours: neighbours.clone(),
            checks: checks.clone(),
            shortener: shortener.clone(),
        }
    }
}

impl<D: Dns + 'static> Receive<D> {
    /// Uses directory, store and queue of `core`, and asks `dns` about senders.
    ///
    /// `neighbours` takes what comes from networks that are trusted.
    pub fn new(core: &Core, dns: D, inbound: Inbound, neighbours: Submit<D>) -> Self {
        let checks = Arc::new(Checks::new(dns, core.hostname.clone(), inbound, core.rules.access.clone()));
        Self { core: core.clone(), neighbours, checks, shortener: Shortener::default() }
    }
}

impl<D: Dns + 'static> Service for Receive<D> {
    async fn serve(&self, connection: Connection) {
        let core = &self.core;
        let client = connection.peer.ip();
        if core.outgoing.trusts(client, core.clients.trusted.of(client)) {
            return Box::pin(self.neighbours.serve_neighbour(connection)).await;
        }
        let settings = Settings {
            hostname: core.hostname.clone(),
            role: Role::Inbound,
            start_tls: true,
            message_bytes: core.limits.message_bytes,
            recipients: core.limits.recipients,
            dsn: core.clients.dsn.is_offered_to(client),
            bare_paths: false,
            origin: None,
            future_release: None,
            trust: core.clients.trusted.of(client),
        };
        let mut smtp = smtp::Session::new(settings, connection.stream.tls().is_some());
        let transcript = core.rules.alerts.transcript();
        smtp.write_down(transcript.clone());
        let spoke_first = connection.stream.has_spoken(core.clients.greeting_wait).await;
        if let Err(reply) = policy::connect(spoke_first, core.clients.early_talker) {
            info!(%client, reply = reply.to_string(), "client refused");
            smtp.turn_away(&reply);
        }
        let meter = Meter::new(&core.traffic, core.limits.rates, client, connection.exempt);
        let ends = Ends { peer: connection.peer, local: connection.local };
        let services = self.checks.services();
        smtp.ask_about_hello(services.are_asked_at(Stage::Ehlo));
        if services.are_asked_at(Stage::Connect) && !spoke_first {
            let tls = connection.stream.tls().map(|facts| facts.description);
            let peer = Peer { client: smtp.client(), tls };
            if let Some(consultation) = self.checks.consultation(&peer, ends, None)
                && let Err(reply) = consultation.judge_client().await
            {
                info!(%client, reply = reply.to_string(), "client refused");
                smtp.turn_away(&reply);
            }
        }
        let mut session = Session {
            core,
            checks: &self.checks,
            shortener: &self.shortener,
            client,
            ends,
            meter,
            said_ehlo: false,
            case: None,
            evidence: None,
            forwarded_for: None,
            filters: Chain::new(&core.milters.inbound, core.limits.message_bytes),
            reverse_name: OnceCell::new(),
            intake: Intake::default(),
        };
        let ended = drive(connection, smtp, core.tls.clone(), &mut session).await;
        debug!(%client, ?ended, "session ended");
        alerts::tell(core, client, transcript).await;
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

struct Session<'a, D> {
    core: &'a Core,
    checks: &'a Checks<D>,
    shortener: &'a Shortener,
    client: IpAddr,
    ends: Ends,
    meter: Meter,
    /// Whether the client said EHLO the last time; told to policy services.
    said_ehlo: bool,
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

    async fn hello(&mut self, name: &str, extended: bool, peer: &Peer<'_>) -> Reply {
        let Some(consultation) = self.checks.consultation(peer, self.ends, None) else { return Reply::OK };
        let judged = consultation.judge_name(name, extended, self.said_ehlo).await;
        self.said_ehlo = extended;
        judged.err().unwrap_or(Reply::OK)
    }

    async fn mail(&mut self, path: &ReversePath, parameters: MailParameters, peer: &Peer<'_>) -> Reply {
        if let Err(reply) = self.meter.message(None, Instant::now()) {
            return reply;
        }
        let mut case = self.checks.begin(path, parameters.size, peer, self.ends);
        if let Err(reply) = case.judge_sender(path).await {
            return reply;
        }
        self.case = Some(case);
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

    async fn begin(&mut self, envelope: &Envelope) -> Reply {
        if let Some(case) = &mut self.case
            && let Err(reply) = case.judge_data(envelope).await
        {
            return reply;
        }
        if let Err(reply) = self.filters.data().await {
            return reply;
        }
        self.intake.begin(self.core).await
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
        // Sessions wait for most of their time, and need no room for what a whole message takes.
        let accepted = Box::pin(self.accept(&transaction, envelope, peer)).await;
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
        let reach = policy::reach(false);
        let resolution = self.core.resolve(&recipient.path, &envelope.reverse_path, reach).await;
        if matches!(resolution, Resolution::Unknown) {
            self.meter.unknown_recipient(Instant::now());
        }
        policy::rcpt(&RcptFacts {
            may_send: false,
            resolution: &resolution,
            no_way: self.core.no_way(&recipient.path, &envelope.reverse_path, (&resolution, reach)).await,
            full: self.core.full(&resolution, envelope.parameters.size).await,
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
}
