//! A message of another server that is there as a whole: verify, judge, deliver.

use std::sync::Arc;
use std::time::Instant;

use kings_dns::Dns;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, MailParameters};
use kings_mail::id::TraceId;
use kings_mail::path::ReversePath;
use kings_mail::report::Notify;
use kings_mail::trace::{Received, With};
use kings_msgauth::dmarc::author_domains;
use kings_smtp::reply::Reply;
use kings_smtp::server::Trust;
use kings_store::Incoming;

use super::Session;
use crate::authenticate::{Check, Findings, Methods, Reporter, Standing};
use crate::author;
use crate::core::now;
use crate::decide::Peer;
use crate::deliver::{Message, deliver, sole_recipient};
use crate::facts::Verdict;
use crate::forgeries;
use crate::greylist::{Circumstances, Stranger};
use crate::intake;
use crate::milter::Filtered;
use crate::observed::Observed;
use crate::passes::Returned;
use crate::policy::ours::Leaving;
use crate::policy::verdict::{self, Known};
use crate::relay::here;
use crate::repeats::Signatures;
use crate::signing::Seal;
use crate::traced;
use crate::transaction::{Taken, Transaction, check_arriving};

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
    /// Those that are good.
    signatures: Signatures,
}

impl<D: Dns + 'static> Session<'_, D> {
    /// The signature of our domains under what hosts bring that are trusted with it.
    async fn signature(&self, content: &Arc<Incoming>, returned: &Returned) -> Result<String, Reply> {
        if !self.is_trusted().await {
            return Ok(String::new());
        }
        self.core.signature(content, returned).await
    }

    /// The message without lines that other servers would break with the signature that it gets here; as it came where it
    /// gets none, which is for its writer to mind.
    async fn shortened(&self, content: Incoming, id: TraceId) -> Result<Incoming, Reply> {
        let is_signed =
            || author::first_author(content.head()).is_some_and(|author| self.core.signing.has_key(&author));
        if !self.is_trusted().await || !is_signed() {
            return Ok(content);
        }
        let content = self.shortener.shorten(&self.core.store, content, id).await;
        content.map_err(|error| intake::refusal(&error))
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
        let signatures = self.checks.repeats().signatures(findings.dkim.as_ref());
        known.repeated = self.checks.repeats().most(&signatures, Instant::now());
        let seal = seal.map(Arc::new);
        Authenticated { fields, known, standing, leaving, reporter, seal, observed, signatures }
    }

    /// What was found when it came first: its filter is no stranger, and the author's domain does not know it.
    fn authenticated_before(
        &self,
        content: &Incoming,
        path: &ReversePath,
        returned: &Returned,
    ) -> Authenticated {
        let verdict = returned.verdict().unwrap_or_default();
        let is_forged = verdict::has_forged_path(verdict.as_bytes());
        let domain = path.address().and_then(Address::domain).filter(|_| is_forged);
        let known = Known {
            junk_before: Some(self.client).filter(|_| returned.is_junk()),
            forged_path: domain.map(Domain::to_string),
            ..Known::default()
        };
        let leaving = here::leaving(self.core, content.head(), path, verdict);
        Authenticated { known, leaving, ..Authenticated::default() }
    }

    /// Our trace field.
    fn received(&self, id: TraceId, envelope: &Envelope, peer: &Peer<'_>) -> String {
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
            id,
            recipient: sole_recipient(envelope),
            date: now(),
        };
        received.field()
    }

    /// What is found about a message whose header can be one.
    async fn find(
        &mut self,
        content: &Incoming,
        envelope: &Envelope,
        peer: &Peer<'_>,
    ) -> Result<(Returned, Authenticated), Reply> {
        let returned = self.core.passes.read(self.client, content.head());
        if returned.is_back() {
            self.evidence = None;
        }
        let dmarc = self.evidence.as_ref().map_or(Check::Off, |evidence| evidence.methods().dmarc);
        check_arriving(content.head(), content.len(), dmarc)?;
        let mut found = if returned.is_back() {
            self.authenticated_before(content, &envelope.reverse_path, &returned)
        } else {
            self.authenticate(content, envelope, peer).await
        };
        let known = &mut found.known;
        known.forwarder = Some(self.client).filter(|client| self.checks.passes_on(*client));
        let brings_junk = verdict::is_junk(content.head());
        known.junk_before = known.junk_before.or(known.forwarder.filter(|_| brings_junk));
        Ok((returned, found))
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

    pub(super) async fn accept(
        &mut self,
        transaction: &Transaction,
        envelope: Envelope,
        peer: &Peer<'_>,
    ) -> Result<Taken, Reply> {
        let content = self.intake.take()?;
        let (returned, found) = self.find(&content, &envelope, peer).await?;
        let Authenticated { fields: authenticated, mut known, standing, leaving, reporter, seal, .. } = found;
        let (observed, signatures) = (found.observed, found.signatures);
        let authors = author_domains(content.head()).map(|authors| authors.domains).unwrap_or_default();
        let content = forgeries::scrub(self.core, content, forgeries::Source::of(&returned)).await?;
        let id = transaction.id;
        let content = self.shortened(content, id).await?;
        let (content, mut ruling) = self.core.rules.inbound.rule(&self.core.store, content, id).await?;
        let mut case = self.case.take().ok_or(Reply::BAD_SEQUENCE)?;
        case.judge_message(&envelope, content.len(), &transaction.id.to_string()).await?;
        if !returned.is_back() && !self.is_trusted().await {
            known.listings = case.listings(self.checks.dns(), &authors).await;
        }
        let mut wishes = case.into_wishes();
        let filtered = Filtered::new(transaction.id, envelope, content);
        let filtered = self.filters.message(&self.core.store, filtered).await?;
        let Filtered { envelope, content, discard, quarantine, .. } = filtered;
        known.sender = transaction.facts();
        known.quarantine = quarantine;
        let stranger =
            if returned.is_back() { None } else { self.stranger(&envelope, &known, &standing).await };
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
        self.checks.repeats().note(&signatures, envelope.recipients.len(), Instant::now());
        let signature = self.signature(&content, &returned).await?;
        let received = self.received(id, &envelope, peer);
        let prefix = wishes.fields() + &signature + &authenticated + &received;
        if wishes.discard || discard || ruling.discard {
            let why = "the policy service, a filter or a header rule wants it so";
            traced::dropped(self.core, id, &envelope.reverse_path, why);
            return Ok(Taken::Dropped);
        }
        let Envelope { reverse_path, recipients, parameters } = envelope;
        let (filter, pass) = self.core.passes.issue(ruling.filter.take(), &returned, id);
        let parameters = MailParameters { filter, ..parameters };
        let waits = wishes.hold.take();
        let mut recipients = ruling.recipients(wishes.recipients(recipients));
        if known.forged_path.is_some() {
            // Whose address was taken for it is to hear nothing of what he never sent.
            for recipient in &mut recipients {
                recipient.notify = Notify::Never;
            }
        }
        self.core.rules.copies.add(&reverse_path, &mut recipients).await.map_err(|error| error.reply())?;
        let (verdict, junk) = (decision.field(), decision.verdict == Verdict::Junk);
        let verdict = returned.verdict().map_or(verdict, str::to_owned) + &pass;
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
