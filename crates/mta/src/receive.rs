//! Mail from other servers: port 25.

use std::net::IpAddr;
use std::sync::Arc;

use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_mail::trace::{Received, With};
use kings_net::{Connection, Service};
use kings_sasl::Credentials;
use kings_smtp::reply::Reply;
use kings_smtp::server::Settings;
use tracing::{debug, info};

use crate::connection::drive;
use crate::core::{Core, now};
use crate::decide::{Decide, Peer};
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
        let settings = Settings {
            hostname: core.hostname.clone(),
            login_required: false,
            start_tls: true,
            message_bytes: core.limits.message_bytes,
        };
        let client = connection.peer.ip();
        let mut session = Session { core, client, intake: Intake::default() };
        let ended = drive(connection, settings, core.tls.clone(), &mut session).await;
        debug!(%client, ?ended, "session ended");
    }

    fn busy(&self) -> &'static [u8] {
        BUSY
    }
}

/// [`Reply::BUSY`] in wire form.
pub(crate) const BUSY: &[u8] = b"421 4.7.0 Too many connections, try again later\r\n";

struct Session<'a> {
    core: &'a Core,
    client: IpAddr,
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

    async fn end(&mut self, envelope: Envelope, peer: &Peer<'_>) -> Reply {
        let transaction = Transaction::new(self.client, &envelope, self.intake.len());
        let accepted = self.accept(&transaction, envelope, peer).await;
        transaction.finish(self.core, None, accepted)
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
