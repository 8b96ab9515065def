//! Mail from a mail server in front of us: LMTP (RFC 2033), with a reply for each recipient.

use std::net::IpAddr;
use std::sync::Arc;

use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::path::ReversePath;
use kings_mail::trace::{Received, With};
use kings_net::{Connection, Service};
use kings_sasl::Turn;
use kings_smtp::reply::Reply;
use kings_smtp::server::{self as smtp, Role, Settings, Trust};
use tracing::debug;

use crate::alerts;
use crate::authenticate::Check;
use crate::connection::drive;
use crate::core::{Core, now};
use crate::decide::{Challenge, Decide, Final, Peer};
use crate::deliver::{Message, deliver_each, sole_recipient};
use crate::facts::Rules;
use crate::forgeries;
use crate::intake::Intake;
use crate::policy::ours::Claimant;
use crate::policy::verdict::{self, Decision, Known, Verdicts};
use crate::policy::{self, RcptFacts};
use crate::receive::BUSY;
use crate::transaction::{Taken, Transaction, check_header};

/// The service of LMTP. Whoever may connect may write to our users, and to nobody else.
#[derive(Clone)]
pub struct Lmtp(Core);

impl Lmtp {
    /// Uses directory, store and queue of `core`.
    pub fn new(core: &Core) -> Self {
        Self(core.clone())
    }
}

impl Service for Lmtp {
    async fn serve(&self, connection: Connection) {
        let core = &self.0;
        let settings = Settings {
            hostname: core.hostname.clone(),
            role: Role::Lmtp,
            start_tls: !connection.stream.is_unix(),
            message_bytes: core.limits.message_bytes,
            recipients: core.limits.recipients,
            dsn: true,
            bare_paths: false,
            origin: core.directory.origin().cloned(),
            future_release: None,
            trust: Trust::default(),
        };
        let client = connection.peer.ip();
        let mut smtp = smtp::Session::new(settings, connection.stream.tls().is_some());
        let transcript = core.rules.alerts.transcript();
        smtp.write_down(transcript.clone());
        let mut session = Session { core, client, intake: Intake::default() };
        let ended = drive(connection, smtp, core.tls.clone(), &mut session).await;
        debug!(%client, ?ended, "session ended");
        alerts::tell(core, client, transcript).await;
    }

    fn busy(&self) -> &'static [u8] {
        BUSY
    }
}

struct Session<'a> {
    core: &'a Core,
    client: IpAddr,
    intake: Intake,
}

impl Decide for Session<'_> {
    async fn log_in(&mut self, _: Turn) -> Result<Reply, Challenge> {
        Ok(Reply::NOT_IMPLEMENTED)
    }

    async fn mail(&mut self, _: &ReversePath, _: MailParameters, _: &Peer<'_>) -> Reply {
        Reply::SENDER_OK
    }

    async fn rcpt(&mut self, recipient: &Recipient, envelope: &Envelope) -> Reply {
        let reach = policy::reach(false);
        let resolution = self.core.resolve(&recipient.path, &envelope.reverse_path, reach).await;
        let facts = RcptFacts {
            may_send: false,
            resolution: &resolution,
            no_way: self.core.no_way(&recipient.path, &envelope.reverse_path, (&resolution, reach)).await,
            full: self.core.full(&resolution, envelope.parameters.size).await,
            recipients_so_far: envelope.recipients.len(),
            most_recipients: self.core.limits.recipients,
        };
        policy::rcpt(&facts).err().unwrap_or(Reply::RECIPIENT_OK)
    }

    async fn begin(&mut self, _: &Envelope) -> Reply {
        self.intake.begin(self.core).await
    }

    async fn content(&mut self, piece: &[u8]) {
        self.intake.content(piece).await;
    }

    fn discard(&mut self) {
        self.intake.discard();
    }

    async fn end(&mut self, envelope: Envelope, peer: &Peer<'_>) -> Final {
        let transaction = Transaction::new(self.client, &envelope, self.intake.len());
        match self.accept(&transaction, envelope, peer).await {
            Ok(outcomes) => transaction.finish_each(self.core, outcomes),
            Err(reply) => Final::Same(transaction.finish(self.core, None, Err(reply))),
        }
    }
}

impl Session<'_> {
    /// What became of each recipient, or the reply that refuses the message for all of them.
    async fn accept(
        &mut self,
        transaction: &Transaction,
        envelope: Envelope,
        peer: &Peer<'_>,
    ) -> Result<Vec<Result<Taken, Reply>>, Reply> {
        let content = self.intake.take()?;
        check_header(&content)?;
        // The server in front has judged it. Whoever forges that it did so forges it against himself.
        let junk_before = Some(self.client).filter(|_| verdict::is_junk(content.head()));
        let judged = junk_before.map(|_| Known { junk_before, ..Known::default() });
        let judged = judged.map(|known| verdict::message(&known, Rules::default(), Verdicts::default()));
        let content = forgeries::scrub(self.core, content, forgeries::Source::Trusted).await?;
        let with = With {
            lmtp: true,
            extended: true,
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
        // Whether the author is proven it does not say.
        let (head, path) = (content.head(), &envelope.reverse_path);
        let leaving = self.core.ours().sent_on(head, &Claimant::all(head), path, Check::Off);
        let message = Message::of_ours(transaction.id, envelope, prefix, Arc::new(content));
        let message = Message {
            vouched: false,
            leaving,
            junk: judged.is_some(),
            verdict: judged.as_ref().map(Decision::field).unwrap_or_default(),
            ..message
        };
        let taken = Taken::of(None, message.junk);
        let outcomes = deliver_each(self.core, &message).await;
        Ok(outcomes.into_iter().map(|outcome| outcome.map(|()| taken)).collect())
    }
}
