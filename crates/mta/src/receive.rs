//! Mail from other servers: port 25.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_mail::trace::{Received, With};
use kings_net::{Connection, Service};
use kings_sasl::Credentials;
use kings_smtp::claim::{Attribute, Claim};
use kings_smtp::reply::Reply;
use kings_smtp::server::{self as smtp, Role, Settings};
use tracing::{debug, info};

use crate::connection::drive;
use crate::core::{Core, now};
use crate::decide::{Decide, Final, Peer};
use crate::deliver::{Message, deliver, sole_recipient};
use crate::intake::Intake;
use crate::policy::{self, RcptFacts};
use crate::traced;
use crate::transaction::{Transaction, check_header};

/// The service of port 25: strangers may write to our users and to nobody else.
#[derive(Clone)]
pub struct Receive(Core);

impl Receive {
    /// Uses directory, store and queue of `core`.
    pub fn new(core: &Core) -> Self {
        Self(core.clone())
    }
}

impl Service for Receive {
    async fn serve(&self, connection: Connection) {
        let core = &self.0;
        let client = connection.peer.ip();
        let settings = Settings {
            hostname: core.hostname.clone(),
            role: Role::Inbound,
            start_tls: true,
            message_bytes: core.limits.message_bytes,
            recipients: core.limits.recipients,
            future_release: None,
            trust: core.inbound.trusted.of(client),
        };
        let mut smtp = smtp::Session::new(settings, connection.stream.tls().is_some());
        let spoke_first = connection.stream.has_spoken(core.inbound.greeting_wait).await;
        if let Err(reply) = policy::connect(spoke_first, core.inbound.early_talker) {
            info!(%client, reply = reply.to_string(), "client refused");
            smtp.turn_away(&reply);
        }
        let mut session = Session { core, client, forwarded_for: None, intake: Intake::default() };
        let ended = drive(connection, smtp, core.tls.clone(), &mut session).await;
        debug!(%client, ?ended, "session ended");
    }

    fn busy(&self) -> &'static [u8] {
        BUSY
    }
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

struct Session<'a> {
    core: &'a Core,
    client: IpAddr,
    /// Where a trusted host says that the next message came from.
    forwarded_for: Option<IpAddr>,
    intake: Intake,
}

impl Decide for Session<'_> {
    async fn log_in(&mut self, _: Credentials) -> Reply {
        Reply::NOT_IMPLEMENTED
    }

    async fn mail(&mut self, _: &ReversePath, _: MailParameters) -> Reply {
        Reply::SENDER_OK
    }

    async fn rcpt(&mut self, recipient: &Recipient, envelope: &Envelope) -> Reply {
        let facts = RcptFacts {
            logged_in: false,
            resolution: &self.core.directory.resolve(&recipient.path).await,
            recipients_so_far: envelope.recipients.len(),
            most_recipients: self.core.limits.recipients,
        };
        let Err(reply) = policy::rcpt(&facts) else { return Reply::RECIPIENT_OK };
        let (client, reverse_path) = (self.client, &envelope.reverse_path);
        info!(%client, %reverse_path, forward_path = %recipient.path, reply = reply.to_string(), "recipient refused");
        traced::recipient_refused(self.core, client, reverse_path, &recipient.path, &reply);
        reply
    }

    async fn begin(&mut self) -> Reply {
        self.intake.begin(&self.core.store).await
    }

    async fn content(&mut self, piece: &[u8]) {
        self.intake.content(piece).await;
    }

    fn discard(&mut self) {
        self.intake.discard();
    }

    async fn end(&mut self, envelope: Envelope, peer: &Peer<'_>) -> Final {
        let transaction = Transaction::new(self.client, &envelope, self.intake.len());
        let accepted = self.accept(&transaction, envelope, peer).await;
        Final::Same(transaction.forwarded_for(self.forwarded_for.take()).finish(self.core, None, accepted))
    }

    /// A login at the other side opens nothing here: port 25 knows no logins.
    fn become_other(&mut self, claim: &Claim) -> Reply {
        info!(client = %self.client, ?claim, "speaks for another client");
        self.client = claimed_address(claim).unwrap_or(self.client);
        Reply::OK
    }

    fn forwarded(&mut self, claim: &Claim) -> Reply {
        self.forwarded_for = claimed_address(claim).or(self.forwarded_for);
        Reply::OK
    }
}

impl Session<'_> {
    async fn accept(
        &mut self,
        transaction: &Transaction,
        envelope: Envelope,
        peer: &Peer<'_>,
    ) -> Result<(), Reply> {
        let content = self.intake.take()?;
        check_header(&content)?;
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
        let prefix = received.field();
        let Envelope { reverse_path, recipients, parameters } = envelope;
        let id = transaction.id;
        let content = Arc::new(content);
        let message = Message { id, reverse_path, parameters, recipients, prefix, content };
        deliver(self.core, message).await.map_err(|error| error.reply())
    }
}
