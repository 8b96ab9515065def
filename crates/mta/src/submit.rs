//! Mail from our own users: submission (RFC 6409) on 587 and 465.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use kings_directory::{Account, ClientFacts, Login, Origin, Progress, Unavailable};
use kings_dns::Dns;
use kings_mail::address::Address;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::id::TraceId;
use kings_mail::path::ReversePath;
use kings_mail::trace::{Received, With};
use kings_net::{Connection, Service, Stream};
use kings_sasl::scram::Binding;
use kings_sasl::{Mechanisms, Turn};
use kings_smtp::claim::{Attribute, Claim};
use kings_smtp::reply::Reply;
use kings_smtp::server::{self as smtp, Role, Settings};
use kings_store::{Incoming, StoreError};
use kings_tls::ClientCertificate;
use tracing::{debug, info};

use crate::alerts;
use crate::author::{self, Authors, Completion};
use crate::connection::drive;
use crate::core::{Core, now};
use crate::decide::{Challenge, Decide, Final, Peer};
use crate::delegation::{Access, Caller, Consultation, LoggedIn, Services, Stage, Wishes};
use crate::deliver::{Message, deliver, sole_recipient};
use crate::forgeries;
use crate::greylist;
use crate::inbound::reverse_name;
use crate::intake::{self, Intake};
use crate::limits::Meter;
use crate::long_lines::Shortener;
use crate::milter::{self, Chain, Filtered};
use crate::patience::Patience;
use crate::policy::{self, RcptFacts};
use crate::receive::{BUSY, claimed_address, turn_away};
use crate::traced;
use crate::transaction::{Taken, Transaction, check_header};

/// The service of submission: a login first, then mail to anybody, as oneself unless the operator allows more.
pub struct Submit<D> {
    core: Core,
    shortener: Shortener,
    services: Services,
    dns: Arc<Patience<D>>,
}

impl<D> Clone for Submit<D> {
    fn clone(&self) -> Self {
        let Self { core, shortener, services, dns } = self;
        Self {
            core: core.clone(),
            shortener: shortener.clone(),
            services: services.clone(),
            dns: dns.clone(),
        }
    }
}

impl<D: Dns + 'static> Submit<D> {
    /// Uses directory, store and queue of `core`; policy services are told what `dns` calls a client.
    pub fn new(core: &Core, dns: D) -> Self {
        Self {
            core: core.clone(),
            shortener: Shortener::default(),
            services: Services::new(core.outgoing.policy_service.clone(), Access::default()),
            dns: Arc::new(Patience(dns)),
        }
    }
}

impl<D: Dns + 'static> Submit<D> {
    /// Serves a client of port 25 that may send without a login.
    pub(crate) async fn serve_neighbour(&self, connection: Connection) {
        self.serve_as(connection, Role::Inbound).await;
    }

    /// `role`: with a login, or as a neighbour.
    async fn serve_as(&self, connection: Connection, role: Role) {
        let core = &self.core;
        let is_neighbour = role == Role::Inbound;
        let (client, exempt) = (connection.peer.ip(), connection.exempt);
        let settings = Settings {
            hostname: core.hostname.clone(),
            role,
            start_tls: true,
            message_bytes: core.limits.message_bytes,
            recipients: core.limits.recipients,
            dsn: true,
            bare_paths: true,
            origin: core.directory.origin().cloned(),
            future_release: core.outgoing.future_release().filter(|_| !is_neighbour),
            trust: core.clients.trusted.of(client),
        };
        let login = core.directory.login(ClientFacts::new(origin(client, exempt)));
        let meter = Meter::new(&core.traffic, core.limits.rates, client, exempt);
        let mut smtp = smtp::Session::new(settings, connection.stream.tls().is_some());
        let transcript = core.rules.alerts.transcript();
        smtp.write_down(transcript.clone());
        smtp.ask_about_hello(self.services.are_asked_at(Stage::Ehlo));
        let mut session = Session {
            core,
            shortener: &self.shortener,
            services: &self.services,
            dns: &self.dns,
            certificate: shown(&connection.stream),
            consultation: None,
            said_ehlo: false,
            client,
            ends: (connection.peer, connection.local),
            exempt,
            meter,
            account: None,
            opened: None,
            is_neighbour,
            login,
            filters: Chain::new(&core.milters.submission, core.limits.message_bytes),
            intake: Intake::default(),
        };
        let tls = connection.stream.tls().map(|facts| facts.description);
        let consultation = session.consult(&Peer { client: smtp.client(), tls }, None);
        if let Some(consultation) = consultation
            && let Err(reply) = consultation.judge_client().await
        {
            info!(%client, reply = reply.to_string(), "client refused");
            smtp.turn_away(&reply);
        }
        let tls = if is_neighbour { core.tls.clone() } else { core.tls_for_people.clone() };
        let ended = drive(connection, smtp, tls, &mut session).await;
        debug!(%client, ?ended, "session ended");
        alerts::tell(core, client, transcript).await;
    }
}

impl<D: Dns + 'static> Service for Submit<D> {
    async fn serve(&self, connection: Connection) {
        self.serve_as(connection, Role::Submission).await;
    }

    fn busy(&self) -> &'static [u8] {
        BUSY
    }

    fn turn_away(&self, client: IpAddr) -> Option<&'static [u8]> {
        turn_away(&self.core, client)
    }
}

struct Session<'a, D> {
    core: &'a Core,
    shortener: &'a Shortener,
    services: &'a Services,
    dns: &'a Arc<Patience<D>>,
    /// What the client has shown, for policy services.
    certificate: Option<ClientCertificate>,
    /// What the policy services say of the transaction that goes on.
    consultation: Option<Consultation>,
    /// Whether the client said EHLO the last time; told to them.
    said_ehlo: bool,
    client: IpAddr,
    /// The other end of the connection, and ours.
    ends: (SocketAddr, SocketAddr),
    exempt: bool,
    meter: Meter,
    account: Option<Address>,
    /// How it was opened.
    opened: Option<Account>,
    /// It needs no account: its network is trusted.
    is_neighbour: bool,
    login: Login,
    filters: Chain,
    intake: Intake,
}

fn shown(stream: &Stream) -> Option<ClientCertificate> {
    stream.peer_certificate().map(ClientCertificate::of)
}

fn origin(address: IpAddr, exempt: bool) -> Origin {
    Origin { protocol: "submission", address, exempt }
}

impl<D: Dns + 'static> Decide for Session<'_, D> {
    fn mechanisms(&mut self, stream: &Stream) -> Mechanisms {
        let facts = ClientFacts {
            origin: origin(self.client, self.exempt),
            certificate_names: stream.peer_certificate().map(kings_tls::names_of_client).unwrap_or_default(),
            bindings: Binding::of(
                stream.exporter(),
                stream.shown_certificate().and_then(kings_tls::end_point),
            ),
        };
        self.certificate = shown(stream);
        let mechanisms = self.core.directory.mechanisms(&facts);
        self.login = self.core.directory.login(facts);
        mechanisms
    }

    async fn log_in(&mut self, turn: Turn) -> Result<Reply, Challenge> {
        let progress = self.login.take(turn).await;
        let (mechanism, login) = self.login.describe();
        let origin = origin(self.client, self.exempt);
        match progress {
            Ok(Progress::Challenge(challenge)) => Err(Challenge(challenge)),
            Ok(Progress::Done(account)) => {
                origin.log(login, mechanism, Ok(&account.address));
                self.account = Some(account.address.clone());
                self.opened = Some(account);
                Ok(Reply::LOGGED_IN)
            }
            Err(error) => {
                origin.log(login, mechanism, Err(&error));
                Ok(policy::login_refusal(error))
            }
        }
    }

    async fn hello(&mut self, name: &str, extended: bool, peer: &Peer<'_>) -> Reply {
        let Some(consultation) = self.consult(peer, None) else { return Reply::OK };
        let judged = consultation.judge_name(name, extended, self.said_ehlo).await;
        self.said_ehlo = extended;
        judged.err().unwrap_or(Reply::OK)
    }

    async fn mail(&mut self, path: &ReversePath, parameters: MailParameters, peer: &Peer<'_>) -> Reply {
        self.forget_closed_account();
        if let Err(reply) = self.judge_sender(path).await {
            return reply;
        }
        if let Err(reply) = self.meter.message(self.account.as_ref(), Instant::now()) {
            return reply;
        }
        self.consultation = self.consult(peer, Some(&parameters));
        if let Some(consultation) = &mut self.consultation
            && let Err(reply) = consultation.judge_sender(path).await
        {
            return reply;
        }
        self.tell_filters(path, &parameters, peer).await.err().unwrap_or(Reply::SENDER_OK)
    }

    async fn rcpt(&mut self, recipient: &Recipient, envelope: &Envelope) -> Reply {
        self.forget_closed_account();
        if let Err(reply) = self.meter.recipient(self.account.as_ref(), Instant::now()) {
            return reply;
        }
        let reach = policy::reach(self.may_send());
        let path = match self.core.rules.rewriting.recipient(&recipient.path).await {
            Ok(path) => path,
            Err(reply) => return reply,
        };
        let resolution = self.core.resolve(&path, &envelope.reverse_path, reach).await;
        let facts = RcptFacts {
            may_send: self.may_send(),
            resolution: &resolution,
            no_way: self.core.no_way(&path, &envelope.reverse_path, (&resolution, reach)).await,
            full: self.core.full(&resolution, envelope.parameters.size).await,
            recipients_so_far: envelope.recipients.len(),
            most_recipients: self.core.limits.recipients,
        };
        if let Err(reply) = policy::rcpt(&facts) {
            return reply;
        }
        if let Some(consultation) = &mut self.consultation
            && let Err(reply) = consultation.judge_recipient(&recipient.path, &envelope.reverse_path).await
        {
            return reply;
        }
        self.filters.rcpt(recipient).await.err().unwrap_or(Reply::RECIPIENT_OK)
    }

    async fn begin(&mut self, envelope: &Envelope) -> Reply {
        if let Some(consultation) = &mut self.consultation
            && let Err(reply) = consultation.judge_data(envelope).await
        {
            return reply;
        }
        if let Err(reply) = self.filters.data().await {
            return reply;
        }
        self.intake.begin(self.core).await
    }

    async fn content(&mut self, piece: &[u8]) {
        self.intake.content(piece).await;
    }

    fn discard(&mut self) {
        self.intake.discard();
    }

    fn faults(&mut self, so_far: usize) {
        self.meter.errors(so_far, Instant::now());
    }

    async fn end(&mut self, envelope: Envelope, peer: &Peer<'_>) -> Final {
        let transaction = Transaction::new(self.client, &envelope, self.intake.len());
        self.forget_closed_account();
        let accepted = self.accept(&transaction, envelope, peer).await;
        Final::Same(transaction.finish(self.core, self.account.as_ref(), accepted))
    }

    /// The other side has checked the login; the account must be one of ours all the same.
    fn become_other(&mut self, claim: &Claim) -> Reply {
        let account = match &claim.login {
            Attribute::Unsaid => self.account.clone(),
            Attribute::Unavailable => None,
            Attribute::Is(login) => match Address::parse(login) {
                Ok(address) if self.core.directory.has_account(&address) => Some(address),
                Ok(_) | Err(_) => return Reply::LOGIN_REFUSED,
            },
        };
        info!(client = %self.client, ?claim, "speaks for another client");
        if !matches!(claim.login, Attribute::Unsaid) {
            self.opened = account.clone().map(|address| Account { address, master: None });
        }
        self.account = account;
        self.is_neighbour = false;
        if let Some(client) = claimed_address(claim) {
            self.client = client;
            self.ends.0.set_ip(client);
            self.filters = Chain::new(&self.core.milters.submission, self.core.limits.message_bytes);
            self.exempt = false;
            self.certificate = None;
            // Its failures are its own, `allow_nets` means it, and what the speaker's TLS proves says nothing of it.
            self.login = self.core.directory.login(ClientFacts::new(origin(client, false)));
            self.meter = Meter::new(&self.core.traffic, self.core.limits.rates, client, false);
        }
        Reply::OK
    }

    /// For the log alone, where a submission has its login.
    fn forwarded(&mut self, claim: &Claim) -> Reply {
        info!(client = %self.client, ?claim, "forwards for another client");
        Reply::OK
    }
}

impl<D: Dns + 'static> Session<'_, D> {
    /// An account that was removed or closed since its login sends nothing more.
    fn forget_closed_account(&mut self) {
        let is_open = |account: &Account| self.core.directory.still_admits(account, self.client);
        if !self.opened.as_ref().is_some_and(is_open) {
            (self.account, self.opened) = (None, None);
        }
    }

    /// Whether the client may send to everybody.
    fn may_send(&self) -> bool {
        self.account.is_some() || self.is_neighbour
    }

    /// Whether the client may use this reverse-path; whose network is trusted may use any.
    async fn judge_sender(&self, path: &ReversePath) -> Result<(), Reply> {
        let Some(account) = &self.account else {
            return if self.is_neighbour { Ok(()) } else { Err(Reply::LOGIN_FIRST) };
        };
        let own = self.own(account, path.address()).await.map_err(|Unavailable| Reply::TRY_LATER)?;
        let is_own = path.address().is_none_or(|address| own.contains(address));
        policy::reverse_path(is_own, self.core.outgoing.foreign_senders).inspect_err(|_| {
            info!(client = %self.client, %account, reverse_path = %path, "sender refused");
        })
    }

    /// The questions about this client, and about a transaction with these parameters.
    fn consult(&self, peer: &Peer<'_>, parameters: Option<&MailParameters>) -> Option<Consultation> {
        let login = self
            .account
            .as_ref()
            .map(|account| LoggedIn { mechanism: self.login.describe().0, account: account.to_string() });
        let caller = Caller {
            helo: peer.client.name.clone(),
            extended: peer.client.extended,
            tls: peer.tls.clone(),
            peer: self.ends.0,
            local: self.ends.1,
            certificate: self.certificate.clone(),
            reverse_name: None,
            login,
            submitter: parameters.and_then(|parameters| parameters.submitter.clone()),
        };
        let announced = parameters.and_then(|parameters| parameters.size);
        let consultation = Consultation::new(self.services, caller, announced)?;
        Some(consultation.naming(reverse_name(self.dns, self.ends.0.ip())))
    }

    async fn accept(
        &mut self,
        transaction: &Transaction,
        envelope: Envelope,
        peer: &Peer<'_>,
    ) -> Result<Taken, Reply> {
        if !self.may_send() {
            return Err(Reply::LOGIN_FIRST);
        }
        let content = self.intake.take()?;
        check_header(&content)?;
        let returned = self.core.passes.read(self.client, content.head());
        let content = forgeries::scrub(self.core, content, forgeries::Source::of(&returned)).await?;
        let content = self.with_whole_names(content).await?;
        // Those of what a filter hands back were judged when it came.
        if !returned.is_back() {
            self.judge_authors(content.head()).await?;
        }

        let (id, date, hostname) = (transaction.id, now(), &self.core.hostname);
        let account = self.account.as_ref().or(envelope.reverse_path.address());
        let completion = Completion { account, hostname, id, date }.missing_fields(content.head());
        let utf8 = envelope.parameters.smtputf8;
        let received = Received {
            helo: &peer.client.name,
            // Where a user writes from is nobody else's business, unless the operator says so; a machine is no user.
            client: (self.is_neighbour || self.core.outgoing.client_in_received).then_some(self.client),
            by: hostname,
            with: With {
                lmtp: false,
                extended: peer.client.extended,
                tls: peer.client.tls,
                login: self.account.is_some(),
                utf8,
            },
            tls: peer.tls.as_deref(),
            id,
            recipient: sole_recipient(&envelope),
            date,
        };
        let prefix = received.field();
        let content =
            self.complete(content, &completion, (utf8, id)).await.map_err(|error| intake::refusal(&error))?;
        let content = self.shortener.shorten(&self.core.store, content, id).await;
        let content = content.map_err(|error| intake::refusal(&error))?;
        let (content, mut ruling) = self.core.rules.submission.rule(&self.core.store, content, id).await?;
        let mut wishes = Wishes::default();
        if let Some(mut consultation) = self.consultation.take() {
            consultation.judge_message(&envelope, content.len(), &id.to_string()).await?;
            wishes = consultation.into_wishes();
        }
        let filtered = Filtered::new(id, envelope, content);
        let Filtered { envelope, content, discard, quarantine, .. } =
            self.filters.message(&self.core.store, filtered).await?;
        if wishes.discard || discard || ruling.discard {
            let why = "a policy service, a filter or a header rule wants it so";
            traced::dropped(self.core, id, &envelope.reverse_path, why);
            return Ok(Taken::Dropped);
        }
        let (envelope, content) = self.core.renamed((envelope, content), &returned).await?;
        let Envelope { reverse_path, recipients, parameters } = envelope;
        let signature = self.core.signature(&content, &returned).await?;
        let (filter, pass) = self.core.passes.issue(ruling.filter.take(), &returned, id);
        let prefix = wishes.fields() + &signature + &prefix;
        let parameters = MailParameters { filter, ..parameters };
        let waits = wishes.hold.take();
        let mut recipients = ruling.recipients(wishes.recipients(recipients));
        if self.core.outgoing.remembers_correspondents {
            greylist::written_to(&self.core.records, &recipients);
        }
        self.core.rules.copies.add(&reverse_path, &mut recipients).await.map_err(|error| error.reply())?;
        let envelope = Envelope { reverse_path, recipients, parameters };
        let hold = quarantine.or(waits).or(ruling.hold);
        let taken = Taken::of(hold.as_deref(), returned.is_junk());
        let message = Message { hold, ..Message::of_ours(id, envelope, prefix, content) };
        let message = message.noted(self.core, &returned, &pass);
        deliver(self.core, message).await.map_err(|error| error.reply())?;
        Ok(taken)
    }

    /// Names without a domain in the header are completed as those of the envelope are, before it is judged who has written it.
    async fn with_whole_names(&self, content: Incoming) -> Result<Incoming, Reply> {
        let Some(origin) = self.core.directory.origin() else { return Ok(content) };
        let head = author::completed_by(content.head(), origin);
        if head == content.head() {
            return Ok(content);
        }
        let content = intake::with_head(&self.core.store, content, head).await;
        content.map_err(|error| intake::refusal(&error))
    }

    /// Whoever has an account writes as itself; machines whose network is trusted write as they like.
    async fn judge_authors(&self, head: &[u8]) -> Result<(), Reply> {
        let Some(account) = &self.account else { return Ok(()) };
        let authors = author::authors(head);
        let all: Vec<&Address> = authors.as_ref().map(Authors::all).unwrap_or_default();
        let own = self.own(account, all).await.map_err(|Unavailable| Reply::TRY_LATER)?;
        let (ours, foreign) = (self.core.ours(), self.core.outgoing.foreign_senders);
        policy::author(&authors, |address| own.contains(address), ours.elsewhere(head), foreign)
    }

    /// Those of the addresses that belong to the account.
    async fn own<'a>(
        &self,
        account: &Address,
        addresses: impl IntoIterator<Item = &'a Address>,
    ) -> Result<Vec<Address>, Unavailable> {
        let mut own = Vec::new();
        for address in addresses {
            if self.core.directory.may_send_as(account, address).await? {
                own.push(address.clone());
            }
        }
        Ok(own)
    }

    /// A message that lacks fields, has Bcc fields or raw 8-bit text in its header is copied with the first, without the
    /// second, and with the third encoded; all others pass untouched. Filters and signatures are to see what leaves.
    async fn complete(
        &self,
        content: Incoming,
        missing: &str,
        (utf8, id): (bool, TraceId),
    ) -> Result<Incoming, StoreError> {
        let without_secrets = author::without_secrets(content.head());
        let head = without_secrets.as_deref().unwrap_or(content.head());
        let in_words = author::in_words(head, utf8, id);
        let head = [missing.as_bytes(), in_words.as_deref().unwrap_or(head)].concat();
        intake::with_head(&self.core.store, content, head).await
    }

    /// The filters hear of a transaction, and before their first one who the client is.
    async fn tell_filters(
        &mut self,
        path: &ReversePath,
        parameters: &MailParameters,
        peer: &Peer<'_>,
    ) -> Result<(), Reply> {
        let caller = milter::Caller {
            daemon: if self.is_neighbour { "smtp" } else { "submission" },
            hostname: &self.core.hostname,
            peer: self.ends.0,
            local: self.ends.1,
            // Users come from anywhere: their address has no name that would say anything.
            reverse_name: None,
            helo: &peer.client.name,
            tls: peer.tls.as_deref(),
            account: self.account.as_ref(),
            mechanism: self.login.describe().0,
        };
        self.filters.mail(&caller, path, parameters).await
    }
}
