//! What this server would do with a message, and why: the same questions, by the same code, and the same decision as on
//! port 25, for somebody who asks (`kings check-message`).

mod line_ends;
mod oddities;
mod recipients;

use std::net::IpAddr;
use std::sync::Arc;

use kings_dns::Dns;
use kings_mail::domain::Domain;
use kings_mail::header;
use kings_mail::path::ReversePath;
use kings_mail::seam::Seam;
use kings_mail::trace;
use kings_msgauth::{arc, dkim, dmarc, iprev, spf};
use kings_smtp::reply::Reply;
use kings_store::HEAD_OCTETS;

use self::line_ends::LineEnds;
pub use self::recipients::Addressees;
use self::recipients::Loops;
use crate::authenticate::{Check, Claims, Evidence, Findings, Methods};
use crate::core::now;
use crate::facts::{Enquiries, Facts, Rules, Sender, Verdict};
use crate::inbound::{Inbound, is_in};
use crate::lists::ListEnquiries;
use crate::patience::Patience;
use crate::policy::ours::Ours;
use crate::policy::verdict::{self, Listings};
use crate::transaction::check_arriving;

/// What is known of a message beside its octets; what nobody tells is not judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Who brought it.
    pub client: Option<IpAddr>,
    /// What that client said in EHLO.
    pub helo: Option<String>,
    /// The reverse-path.
    pub mail_from: Option<ReversePath>,
}

/// What follows from the findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What is done with the message.
    pub verdict: Verdict,
    /// A sentence for each thing that counts.
    pub reasons: Vec<String>,
}

/// All that was found, and what follows.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The message as a whole, in octets.
    pub octets: u64,
    /// What was known beside it.
    pub circumstances: Circumstances,
    /// The client's reverse name.
    pub iprev: Option<iprev::Outcome>,
    /// SPF of the EHLO name.
    pub helo: Option<spf::Outcome>,
    /// SPF of the reverse-path.
    pub mail_from: Option<spf::Outcome>,
    /// Every signature.
    pub dkim: dkim::Report,
    /// The judgement by the author's domain.
    pub dmarc: dmarc::Outcome,
    /// The chain of those who passed it on.
    pub arc: arc::Report,
    /// The lists in DNS that the client is on.
    pub listings: Listings,
    /// What is odd about the header, a sentence each.
    pub oddities: Vec<String>,
    /// What the client's words say against it, in the words of the log.
    pub sender: Vec<&'static str>,
    /// What is done with it as the config wants it.
    pub judgement: Judgement,
    /// The same where every method counts.
    pub strictly: Judgement,
    /// What is done with it as the config wants it if SPF fails, where that is not told and makes a difference.
    pub if_spf_fails: Option<Judgement>,
    /// The Authentication-Results field that the config wants; empty where it wants none.
    pub field: String,
    /// What could not be judged, and what would be needed for it.
    pub untold: Vec<&'static str>,
}

impl Circumstances {
    /// Fills what nobody told with what the topmost Received and Return-Path fields say. Whoever wrote the message can
    /// write these too: they are worth something only where our own server, or one that is trusted, put them there.
    #[must_use]
    pub fn or_of_trace(self, head: &[u8]) -> Self {
        let received = trace::client_of(head);
        Self {
            client: self.client.or(received.as_ref().map(|origin| origin.address)),
            helo: self.helo.or(received.map(|origin| origin.helo)),
            mail_from: self.mail_from.or_else(|| trace::reverse_path_of(head)),
        }
    }

    /// Whether SPF could prove an author of whom nothing else is proven, if its question were told: the identity is one that
    /// DMARC compares with the author's domain (RFC 9989 §4.4.2), as far as it is told.
    fn could_prove(&self, outcome: &dmarc::Outcome) -> bool {
        let identity = match (&self.mail_from, &self.helo) {
            (Some(ReversePath::Address(address)), _) => address.domain().cloned(),
            (Some(ReversePath::Null), Some(helo)) => Domain::parse(helo).ok(),
            (Some(ReversePath::Null) | None, _) => return true,
        };
        let (Some(identity), Some(author)) = (identity, &outcome.author) else { return false };
        let record = outcome.published.as_ref().map(|(_, record)| record);
        match record.map(|record| record.aspf).unwrap_or_default() {
            dmarc::Alignment::Strict => identity == *author,
            dmarc::Alignment::Relaxed => identity.is_within(outcome.organisation.as_ref().unwrap_or(author)),
        }
    }

    /// What cannot be judged without what was not told.
    fn untold(&self) -> Vec<&'static str> {
        let needs_helo = self.mail_from == Some(ReversePath::Null) && self.helo.is_none();
        let missing = [
            self.client
                .is_none()
                .then_some("SPF, the reverse name and DNS lists need the client's address (--ip)"),
            self.helo.is_none().then_some("SPF and the rules about the EHLO name need that name (--helo)"),
            self.mail_from
                .is_none()
                .then_some("SPF and the rules about the sender's domain need the reverse-path (--mail-from)"),
            needs_helo.then_some("SPF of a null reverse-path is that of the EHLO name (--helo)"),
        ];
        missing.into_iter().flatten().collect()
    }
}

/// One message on its way through all checks.
pub struct Examiner<D> {
    dns: Arc<Patience<D>>,
    hostname: Domain,
    inbound: Inbound,
    told: Circumstances,
    evidence: Evidence,
    enquiries: Enquiries,
    lists: ListEnquiries,
    addressees: Option<Addressees>,
    /// The head of the message as it was written, and as the server takes it.
    written: Vec<u8>,
    head: Vec<u8>,
    seam: Seam,
    lines: LineEnds,
    octets: u64,
}

impl<D: Dns + 'static> Examiner<D> {
    /// Asks what the circumstances allow, as a server of this name and these settings does at MAIL.
    pub fn begin(dns: D, hostname: Domain, inbound: Inbound, told: Circumstances) -> Self {
        let dns = Arc::new(Patience(dns));
        let reverse_path = told.mail_from.clone().unwrap_or(ReversePath::Null);
        let sender = Sender {
            helo: told.helo.as_deref().unwrap_or_default(),
            reverse_path: &reverse_path,
            hostname: &hostname,
        };
        let client = told.client.filter(|client| !is_in(&inbound.forwarders, *client));
        let mut lists =
            client.map(|client| ListEnquiries::begin(&dns, &inbound.lists, client)).unwrap_or_default();
        sender.domains().for_each(|domain| lists.ask_about(&dns, &domain));
        Self {
            evidence: evidence(&dns, &hostname, &told, &reverse_path),
            enquiries: Enquiries::begin(&dns, inbound.rules, &sender),
            lists,
            addressees: None,
            dns,
            hostname,
            inbound,
            told,
            written: Vec::new(),
            head: Vec::new(),
            seam: Seam::default(),
            lines: LineEnds::default(),
            octets: 0,
        }
    }

    /// For whom it is, so that a message that comes round is told.
    #[must_use]
    pub fn addressed(self, addressees: Addressees) -> Self {
        Self { addressees: Some(addressees), ..self }
    }

    /// Takes the next octets. No more than the head of the message is kept.
    pub fn content(&mut self, piece: &[u8]) {
        fill(&mut self.written, piece);
        self.lines.read(piece);
        self.octets += piece.len() as u64;
        let passed = self.seam.pass(piece);
        self.evidence.content(&self.dns, &passed);
        fill(&mut self.head, &passed);
    }

    /// [`Examiner::finish`] where no domain is hosted that could be forged.
    pub(crate) async fn finish_alone(self) -> Examination {
        self.finish(&[]).await
    }

    /// Waits for all answers and decides. `domains` are hosted here or passed on from here.
    pub async fn finish(mut self, domains: &[Domain]) -> Examination {
        let rest = std::mem::take(&mut self.seam).finish();
        self.evidence.content(&self.dns, &rest);
        fill(&mut self.head, &rest);
        let line_ends = std::mem::take(&mut self.lines).refusal();
        let Self {
            dns,
            hostname,
            inbound,
            told,
            evidence,
            enquiries,
            mut lists,
            addressees,
            written,
            head,
            octets,
            ..
        } = self;
        let loops = match &addressees {
            Some(addressees) => addressees.loops(&head).await,
            None => Loops::default(),
        };
        let sender = facts(enquiries, &inbound, &told).await;
        for author in dmarc::author_domains(&head).map(|authors| authors.domains).unwrap_or_default() {
            lists.ask_about(&dns, &author);
        }
        let listings = lists.listings().await;
        let findings = evidence.findings(&dns, &head, now()).await;
        let refused = |methods: Methods| {
            let checked = line_ends.clone().map_or_else(|| check_arriving(&head, octets, methods.dmarc), Err);
            checked.err().map(|reply| reply.text.into_owned())
        };
        let ours = Ours { hostname: &hostname, domains };
        let judge = |findings: &Findings, methods| {
            let mut known = findings.known(methods, &head, ours);
            (known.sender, known.listings) = (sender, listings.clone());
            known.sealed = findings.voucher(methods, &inbound.arc_sealers).map(Domain::to_string);
            known.forwarder = told.client.filter(|client| is_in(&inbound.forwarders, *client));
            let path = told.mail_from.as_ref().filter(|_| known.forwarder.is_none());
            known.forged_path = path.and_then(|path| findings.lent(methods, &head, path, ours).forged(path));
            known.junk_before = known.forwarder.filter(|_| verdict::is_junk(&head));
            let rules = if known.forwarder.is_some() { Rules::default() } else { inbound.rules };
            let decision = verdict::message(&known, rules, inbound.verdicts);
            let reasons: Vec<String> = decision.reasons.iter().map(ToString::to_string).collect();
            // What has come round is refused at the end, where nothing else refuses it.
            let ring = (!loops.whole.is_empty() && !decision.verdict.refuses())
                .then(|| Reply::FORWARDING_LOOP.text.into_owned());
            match refused(methods).or(ring) {
                None => Judgement { verdict: decision.verdict, reasons },
                Some(refused) => {
                    let reasons = std::iter::once(refused).chain(reasons).collect();
                    Judgement { verdict: Verdict::Reject, reasons }
                }
            }
        };
        let mut open = findings.clone();
        if findings.mail_from.is_none() {
            open.dmarc = open.dmarc.map(|outcome| outcome.without_spf(|outcome| told.could_prove(outcome)));
        }
        let (judgement, strictly) = (judge(&open, inbound.methods), judge(&open, every(Check::Enforce)));
        let if_spf_fails = judge(&findings, inbound.methods);
        let if_spf_fails = Some(if_spf_fails).filter(|other| other.verdict != judgement.verdict);
        let findings = open;
        let field = findings.field(inbound.methods, &hostname);
        let mut oddities = oddities::of_header(&written, &hostname);
        oddities.extend(loops.in_part.iter().map(|alias| {
            format!("by its Delivered-To the alias {alias} has sent it on before: its accounts here get it, nobody else")
        }));
        let mut untold = told.untold();
        if addressees.is_none() && header::first(&head, "Delivered-To").is_some() {
            untold.push("whether an alias here has sent it on before needs its recipients (--recipient)");
        }
        let Findings { client: _, iprev, helo, mail_from, dkim, dmarc, arc } = findings;
        Examination {
            octets,
            untold,
            circumstances: told,
            iprev,
            helo,
            mail_from,
            dkim: dkim.unwrap_or_default(),
            dmarc: dmarc.unwrap_or_else(|| dmarc::Outcome::timed_out(&head)),
            arc: arc.unwrap_or(arc::Report { chain: arc::Chain::None, sets: Vec::new() }),
            listings,
            oddities,
            sender: sender.words().collect(),
            judgement,
            strictly,
            if_spf_fails,
            field,
        }
    }
}

impl Examination {
    /// Whether it is taken as far as anything is told, and what is not told decides.
    pub fn is_open(&self) -> bool {
        self.judgement.verdict == Verdict::Accept && self.if_spf_fails.is_some()
    }

    /// Whether DNS left a question open, so that the verdict may be another one later. The reverse name decides nothing.
    pub fn is_unsure(&self) -> bool {
        let temporary = |outcome: &spf::Outcome| outcome.result == spf::SpfResult::TempError;
        self.helo.iter().chain(&self.mail_from).any(temporary)
            || self.dkim.signatures.iter().any(|one| one.verdict.word() == dkim::Word::TempError)
            || self.arc.word() == dkim::Word::TempError
            || self.dmarc.each().any(|outcome| {
                outcome.result == dmarc::DmarcResult::TempError && outcome.reason != dmarc::Reason::Unasked
            })
            || self.sender.iter().any(|word| word.ends_with("_unsure"))
    }
}

/// Keeps what belongs to the head of a message.
fn fill(head: &mut Vec<u8>, piece: &[u8]) {
    let room = HEAD_OCTETS - head.len();
    head.extend_from_slice(&piece[..piece.len().min(room)]);
}

/// Every method, whatever the config makes of it.
fn every(check: Check) -> Methods {
    Methods { spf: check, dkim: check, dmarc: check, iprev: check, arc: check, received_spf: false }
}

fn evidence<D: Dns + 'static>(
    dns: &Arc<D>,
    hostname: &Domain,
    told: &Circumstances,
    reverse_path: &ReversePath,
) -> Evidence {
    let evidence = Evidence::of_content(every(Check::Tag));
    let Some(client) = told.client else { return evidence };
    let helo = told.helo.as_deref().unwrap_or("unknown");
    let claims = Claims { client, helo, reverse_path, receiver: hostname, now: now() };
    let mut evidence = evidence.and_of_address(dns, &claims);
    if told.helo.is_some() {
        evidence = evidence.and_of_helo(dns, &claims);
    }
    if told.mail_from.as_ref().is_some_and(|path| *path != ReversePath::Null || told.helo.is_some()) {
        evidence = evidence.and_of_reverse_path(dns, &claims);
    }
    evidence
}

/// What the client's words say against the message; of a name that nobody told they say nothing.
async fn facts(mut enquiries: Enquiries, inbound: &Inbound, told: &Circumstances) -> Facts {
    let facts = enquiries.facts(|_| true, inbound.rules).await;
    if told.helo.is_some() { facts } else { Facts { bad_helo: false, helo: None, ..facts } }
}

#[cfg(test)]
mod tests;
