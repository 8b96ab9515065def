//! Gather: SPF, DKIM, DMARC, ARC and the reverse name of arriving mail, asked for while the dialogue goes on.

mod chain;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use kings_dns::Dns;
use kings_mail::date::DateTime;
use kings_mail::domain::{DnsName, Domain};
use kings_mail::path::ReversePath;
use kings_mail::visible;
use kings_msgauth::results::{self, MethodResult, ReceivedSpf};
use kings_msgauth::{arc, dkim, dmarc, iprev, spf};
use kings_records::ReportKind;
use tokio::time::{Instant, sleep};

use crate::facts::{Enquiry, Verdict};
use crate::patience::Until;
use crate::policy::ours::{Claimant, Leaving, Ours};
use crate::policy::sealed;
use crate::policy::verdict::{Author, Known};

/// How long all checks together may hold a message whose end has come: ours. What is not known by then is a temporary
/// error, and nothing is refused for that. SPF may take its 20 s (RFC 7208 §4.6.4) where the message takes as long to
/// come; a client that waits for the reply to its last dot is worth more than a late result.
const WHOLE: Duration = Duration::from_secs(5);

/// How long a name of the author's organisation is asked about that SPF has proven in the last moment.
const LAST: Duration = Duration::from_secs(1);

/// How long keys are waited for while the message still comes.
const KEYS: Duration = Duration::from_secs(20);

/// Signatures of which the reason of a DMARC failure tells; of the rest it tells the number.
const SIGNATURES_TOLD: usize = 3;

/// What is done about one method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Check {
    /// Nothing.
    #[default]
    Off,
    /// Its result is recorded in the message.
    Tag,
    /// Its result counts as well.
    Enforce,
}

/// Which methods are used (`[inbound]`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// May this client use this domain?
    pub spf: Check,
    /// Whose signatures are on the message?
    pub dkim: Check,
    /// Does either belong to the author's domain, and what does that domain want?
    pub dmarc: Check,
    /// Does the client's reverse name lead back?
    pub iprev: Check,
    /// What did those who passed the message on see of it? It counts where they are listed.
    pub arc: Check,
    /// SPF stands in a field of its own as well (RFC 7208 §9.1).
    pub received_spf: bool,
}

impl Methods {
    /// What a server does that is told nothing else: it verifies. The reverse name of a client is only recorded, since
    /// honest servers without one are still many.
    pub fn usual() -> Self {
        let enforce = Check::Enforce;
        Self {
            spf: enforce,
            dkim: enforce,
            dmarc: enforce,
            arc: enforce,
            iprev: Check::Tag,
            received_spf: false,
        }
    }

    /// Whether anything is recorded at all.
    fn any(self) -> bool {
        [self.spf, self.dkim, self.dmarc, self.iprev, self.arc].iter().any(|check| *check != Check::Off)
    }

    /// DMARC judges by what the other two found, whether they are recorded or not.
    fn asks_spf(self) -> bool {
        self.spf != Check::Off || self.dmarc != Check::Off || self.received_spf
    }

    fn asks_dkim(self) -> bool {
        self.dkim != Check::Off || self.dmarc != Check::Off
    }
}

/// Who sends, as far as these checks care.
pub(crate) struct Claims<'a> {
    pub(crate) client: IpAddr,
    pub(crate) helo: &'a str,
    pub(crate) reverse_path: &'a ReversePath,
    pub(crate) receiver: &'a Domain,
    pub(crate) now: DateTime,
}

/// The checks of one message that are under way.
pub(crate) struct Evidence {
    methods: Methods,
    /// Who brought it, where that is known.
    client: Option<IpAddr>,
    iprev: Option<Enquiry<iprev::Outcome>>,
    helo: Option<Enquiry<spf::Outcome>>,
    mail_from: Option<Enquiry<spf::Outcome>>,
    signatures: Option<Signatures>,
    links: Option<chain::Links>,
}

/// The message as it passes by, and the keys of its signatures on their way.
struct Signatures {
    verifier: dkim::Verifier,
    keys: Option<Enquiry<dkim::Keys>>,
}

/// Who the sender is as far as anything is proven.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The author's domain where DMARC passed, else that of the reverse-path where SPF did.
    pub(crate) proven: Option<String>,
    /// A check says that the sender is not who it says.
    pub(crate) is_doubtful: bool,
}

/// Who is proven to have written a report, by what the report is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reporter {
    pub(crate) mail: Option<Domain>,
    pub(crate) tls: Option<Domain>,
}

impl Reporter {
    pub(crate) fn of(&self, kind: ReportKind) -> Option<&str> {
        match kind {
            ReportKind::Dmarc => self.mail.as_ref(),
            ReportKind::Tls => self.tls.as_ref(),
        }
        .map(Domain::as_str)
    }
}

/// Everything that was found out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) client: Option<IpAddr>,
    pub(crate) iprev: Option<iprev::Outcome>,
    pub(crate) helo: Option<spf::Outcome>,
    pub(crate) mail_from: Option<spf::Outcome>,
    pub(crate) dkim: Option<dkim::Report>,
    pub(crate) dmarc: Option<dmarc::Outcome>,
    pub(crate) arc: Option<arc::Report>,
}

impl Evidence {
    /// Asks what `methods` want to know of the sender, and waits for nothing.
    pub(crate) fn begin<D: Dns + 'static>(dns: &Arc<D>, methods: Methods, claims: &Claims<'_>) -> Self {
        Self::of_content(methods)
            .and_of_address(dns, claims)
            .and_of_helo(dns, claims)
            .and_of_reverse_path(dns, claims)
    }

    /// Asks for the client's reverse name.
    pub(crate) fn and_of_address<D: Dns + 'static>(mut self, dns: &Arc<D>, claims: &Claims<'_>) -> Self {
        self.client = Some(claims.client);
        self.iprev = (self.methods.iprev != Check::Off).then(|| {
            let (dns, client) = (dns.clone(), claims.client);
            let late = iprev::Outcome::timed_out(client);
            Enquiry::within(spf::TIME, async move { iprev::check(&*dns, client).await }, late)
        });
        self
    }

    /// Asks whether the client may use its EHLO name.
    pub(crate) fn and_of_helo<D: Dns + 'static>(mut self, dns: &Arc<D>, claims: &Claims<'_>) -> Self {
        self.helo = self.methods.asks_spf().then(|| check_spf(dns, claims, None));
        self
    }

    /// Asks whether the client may use the reverse-path.
    pub(crate) fn and_of_reverse_path<D: Dns + 'static>(mut self, dns: &Arc<D>, claims: &Claims<'_>) -> Self {
        let path = || Some(claims.reverse_path.clone());
        self.mail_from = self.methods.asks_spf().then(|| check_spf(dns, claims, path()));
        self
    }

    /// Asks what the content alone can tell, nothing of the client.
    pub(crate) fn of_content(methods: Methods) -> Self {
        Self {
            methods,
            client: None,
            iprev: None,
            helo: None,
            mail_from: None,
            signatures: methods
                .asks_dkim()
                .then(|| Signatures { verifier: dkim::Verifier::new(), keys: None }),
            links: (methods.arc != Check::Off).then(chain::Links::default),
        }
    }

    /// Takes a piece of the message. As soon as its header is whole the keys are asked for.
    pub(crate) fn content<D: Dns + 'static>(&mut self, dns: &Arc<D>, piece: &[u8]) {
        if let Some(links) = &mut self.links {
            links.content(dns, piece);
        }
        let Some(signatures) = &mut self.signatures else { return };
        signatures.verifier.push(piece);
        if signatures.keys.is_none() {
            signatures.keys = signatures.verifier.questions().map(|questions| ask_keys(dns, questions));
        }
    }

    /// All results; `head` is the header of the message. Takes [`WHOLE`] and [`LAST`] at most.
    ///
    /// Each question to DNS that is open when the time is over is doubt about what hangs on it, and about nothing else:
    /// who names one author with a slow name server beside another learns nothing but what is to be known of each.
    pub(crate) async fn findings<D: Dns + 'static>(
        self,
        dns: &Arc<D>,
        head: &[u8],
        now: DateTime,
    ) -> Findings {
        let end = Instant::now() + WHOLE;
        let until = Until(&**dns, end);
        let Self { methods, client, iprev, helo, mail_from, signatures, links } = self;
        let of_client =
            async { (answer(iprev, end).await, answer(helo, end).await, answer(mail_from, end).await) };
        let of_author = async {
            let policy = async {
                if methods.dmarc == Check::Off { None } else { Some(dmarc::discover(&until, head).await) }
            };
            let report = async {
                match signatures {
                    Some(signatures) => Some(signatures.report(dns, now, end).await),
                    None => None,
                }
            };
            let (mut policy, report) = tokio::join!(policy, report);
            // Whose signatures those are does not wait for SPF.
            if let Some(policy) = &mut policy {
                let dkim = proofs(report.as_ref());
                policy.ask(&until, dmarc::Evidence { dkim: &dkim, spf: None }).await;
            }
            (policy, report)
        };
        let of_chain = async {
            match links {
                Some(links) => Some(links.report(dns, now, end).await),
                None => None,
            }
        };
        let ((iprev, helo, mail_from), (policy, dkim), arc) = tokio::join!(of_client, of_author, of_chain);
        let mut findings = Findings { client, iprev, helo, mail_from, dkim, arc, dmarc: None };
        if let Some(policy) = policy {
            findings.dmarc = Some(findings.judge(&Until(&**dns, end + LAST), policy).await);
        }
        findings
    }

    pub(crate) fn methods(&self) -> Methods {
        self.methods
    }
}

impl Signatures {
    async fn report<D: Dns + 'static>(self, dns: &Arc<D>, now: DateTime, end: Instant) -> dkim::Report {
        let ended = self.verifier.end();
        let keys = self.keys.unwrap_or_else(|| ask_keys(dns, ended.questions()));
        ended.finish(&keys.answer_by(end).await, now)
    }
}

/// All keys of a message are asked for together. One that does not come in time is a temporary error of its signature.
fn ask_keys<D: Dns + 'static>(dns: &Arc<D>, questions: dkim::Questions) -> Enquiry<dkim::Keys> {
    let dns = dns.clone();
    Enquiry::within(KEYS, async move { questions.ask(&*dns).await }, dkim::Keys::default())
}

async fn answer<T: Clone + Send + 'static>(enquiry: Option<Enquiry<T>>, end: Instant) -> Option<T> {
    match enquiry {
        Some(enquiry) => Some(enquiry.answer_by(end).await),
        None => None,
    }
}

/// The time that SPF itself grants is kept by the check, which then says so.
fn check_spf<D: Dns + 'static>(
    dns: &Arc<D>,
    claims: &Claims<'_>,
    mail_from: Option<ReversePath>,
) -> Enquiry<spf::Outcome> {
    let dns = dns.clone();
    let identity = SpfIdentity {
        client: claims.client,
        helo: claims.helo.to_owned(),
        mail_from,
        receiver: claims.receiver.to_string(),
        time: u64::try_from(claims.now.unix()).unwrap_or(0),
    };
    let late = spf::timed_out(&identity.question());
    let check = async move { spf::check(&*dns, &identity.question(), sleep(spf::TIME)).await };
    Enquiry::within(spf::TIME + Duration::from_secs(1), check, late)
}

/// What SPF is asked, owned: the check outlives the command that began it.
struct SpfIdentity {
    client: IpAddr,
    helo: String,
    mail_from: Option<ReversePath>,
    receiver: String,
    time: u64,
}

impl SpfIdentity {
    fn question(&self) -> spf::Question<'_> {
        spf::Question {
            client: self.client,
            helo: &self.helo,
            mail_from: self.mail_from.as_ref(),
            receiver: &self.receiver,
            time: self.time,
            limits: spf::Limits::default(),
        }
    }
}

/// Whose signatures prove what.
fn proofs(report: Option<&dkim::Report>) -> Vec<(DnsName, dmarc::Proof)> {
    let signatures = report.into_iter().flat_map(|report| &report.signatures);
    let proof = |checked: &dkim::Checked| {
        let domain = DnsName::from(&checked.claim.as_ref()?.domain);
        Some((domain, proof_of_dkim(checked.verdict.word())))
    };
    signatures.filter_map(proof).collect()
}

/// Why SPF failed; what the domain says about it is told as its words, not ours (RFC 7208 §6.2).
fn explained(outcome: &spf::Outcome) -> String {
    match &outcome.explanation {
        Some(text) => {
            let domain = outcome.domain.as_ref().map_or("its domain", DnsName::as_str);
            format!("{}; {domain} explains: {text}", outcome.reason)
        }
        None => outcome.reason.to_string(),
    }
}

impl Findings {
    /// Whether what was proven belongs to the author's domain.
    async fn judge(&self, dns: &impl Dns, policy: dmarc::Discovery) -> dmarc::Outcome {
        let dkim = proofs(self.dkim.as_ref());
        let spf = self
            .mail_from
            .as_ref()
            .and_then(|outcome| Some((outcome.domain.as_ref()?, proof_of_spf(outcome.result))));
        let evidence = dmarc::Evidence { dkim: &dkim, spf };
        policy.judge(dns, evidence).await
    }

    /// What of it may count against the message: failures of methods that are enforced, and a claim on one of our domains
    /// whether DMARC is enforced or not. `head` is the header of the message.
    pub(crate) fn known(&self, methods: Methods, head: &[u8], ours: Ours<'_>) -> Known {
        let authors = self.authors(head);
        let domains: Vec<&Domain> = authors.iter().map(|(author, _)| &author.domain).collect();
        let unproven = authors.iter().filter(|(_, is_proven)| !is_proven).filter_map(|(author, _)| {
            let verdict = ours.unproven(&author.domain, methods.dmarc, author.result)?;
            Some((author.domain.to_string(), verdict))
        });
        let in_crowd = ours.among_many(head).map(|domain| (domain.to_string(), Verdict::Accept));
        let spf = self.mail_from.as_ref().filter(|_| methods.spf == Check::Enforce);
        let helo = self.helo.as_ref().filter(|_| methods.spf == Check::Enforce);
        let spf_helo_fail = helo.filter(|outcome| outcome.result == spf::SpfResult::Fail);
        let spf_fail = spf.filter(|outcome| outcome.result == spf::SpfResult::Fail);
        let spf_softfail = spf.filter(|outcome| outcome.result == spf::SpfResult::SoftFail);
        let names = dmarc::author_domains(head).map(|authors| authors.names).unwrap_or_default();
        let dmarc = self.dmarc.as_ref().filter(|_| methods.dmarc == Check::Enforce);
        let of_result = |result| {
            let each = dmarc.into_iter().flat_map(dmarc::Outcome::each);
            each.filter(move |outcome| outcome.result == result)
        };
        let author = |outcome: &dmarc::Outcome| Author {
            domain: outcome.author.as_ref().map(Domain::to_string),
            is_name: outcome.author.as_ref().is_some_and(|author| names.contains(author)),
            why: match outcome.result {
                dmarc::DmarcResult::Fail => format!("{} ({})", outcome.reason, self.by_method()),
                _ => outcome.reason.to_string(),
            },
        };
        let dmarc_fail = of_result(dmarc::DmarcResult::Fail);
        let undecided = of_result(dmarc::DmarcResult::TempError);
        let undecided = undecided.filter(|outcome| outcome.reason != dmarc::Reason::Unasked);
        let mut each = dmarc.into_iter().flat_map(dmarc::Outcome::each);
        let no_author = each.find(|outcome| matches!(outcome.reason, dmarc::Reason::NoAuthor(_)));
        Known {
            spf_helo_fail: spf_helo_fail.map(explained),
            spf_fail: spf_fail.map(explained),
            spf_softfail: spf_softfail.map(explained),
            several: several(dmarc, &names),
            no_author: no_author.map(|outcome| outcome.reason.to_string()),
            dmarc_fail: dmarc_fail.map(|outcome| (outcome.policy, author(outcome))).collect(),
            unproven: unproven.chain(in_crowd).max_by_key(|(_, verdict)| *verdict),
            shows_ours: ours
                .shown(&domains, head)
                .map(|(shown, author)| (shown.to_string(), author.to_string())),
            undecided: undecided.map(|outcome| (outcome.policy, author(outcome))).collect(),
            ..Known::default()
        }
    }

    /// What SPF and DKIM came to, and why: whoever is refused is to see what to mend, an expired signature or a missing key.
    fn by_method(&self) -> String {
        let spf = self.mail_from.as_ref().map_or("none", |outcome| outcome.result.as_str());
        let signatures = self.dkim.as_ref().map(|report| &report.signatures[..]).unwrap_or_default();
        let mut told = vec![format!("spf={spf}")];
        if signatures.is_empty() {
            told.push("dkim=none".to_owned());
        }
        told.extend(signatures.iter().take(SIGNATURES_TOLD).map(|checked| {
            let signer =
                checked.claim.as_ref().map(|claim| format!(" of {}", claim.domain)).unwrap_or_default();
            format!(
                "dkim={}{signer}: {}",
                checked.verdict.word().as_str(),
                visible::line(&checked.verdict.to_string())
            )
        }));
        match signatures.len().saturating_sub(SIGNATURES_TOLD) {
            0 => {}
            more => told.push(format!("{more} more")),
        }
        told.join(", ")
    }

    /// How it leaves where an alias sends it on. What a sealer has seen proves nothing to others.
    pub(crate) fn leaving(
        &self,
        methods: Methods,
        head: &[u8],
        path: &ReversePath,
        ours: Ours<'_>,
    ) -> Leaving {
        let authors = self.authors(head);
        if !authors.is_empty() && authors.iter().all(|(_, is_proven)| *is_proven) {
            return Leaving::Suited;
        }
        let unproven = authors.into_iter().filter(|(_, is_proven)| !is_proven);
        let unproven: Vec<Claimant> = unproven.map(|(author, _)| author).collect();
        ours.sent_on(head, &unproven, path, methods.dmarc)
    }

    /// How it leaves by its reverse-path alone, where that is of ours and SPF counts. What one of ours has written and signed
    /// is ours, whoever brings it back.
    pub(crate) fn lent(&self, methods: Methods, head: &[u8], path: &ReversePath, ours: Ours<'_>) -> Leaving {
        let Some(spf) = self.mail_from.as_ref().filter(|_| methods.spf == Check::Enforce) else {
            return Leaving::Suited;
        };
        let is_from_ours = || {
            self.authors(head).iter().any(|(author, is_proven)| *is_proven && ours.is_known(&author.domain))
        };
        match ours.lent(path, spf.result) {
            Leaving::Never | Leaving::NotYet if is_from_ours() => Leaving::Suited,
            leaving => leaving,
        }
    }

    /// All authors, and whether SPF or DKIM proves them: as DMARC compares their domains, policy or none, and where DMARC
    /// is not asked the very same domain.
    fn authors(&self, head: &[u8]) -> Vec<(Claimant, bool)> {
        let Some(outcome) = &self.dmarc else {
            let all = Claimant::all(head).into_iter();
            return all.map(|author| (author.clone(), self.proves(&author.domain))).collect();
        };
        let claimant = |outcome: &dmarc::Outcome| {
            let published = outcome.published.as_ref();
            let organisation = published.and(outcome.organisation.clone());
            let author =
                Claimant { domain: outcome.author.clone()?, organisation, result: Some(outcome.result) };
            // Nobody is told to lie for want of what nobody was told.
            Some((author, outcome.dkim_aligned || outcome.spf_aligned || outcome.spf_unasked))
        };
        outcome.each().filter_map(claimant).collect()
    }

    fn proves(&self, author: &Domain) -> bool {
        let author = DnsName::from(author);
        let sender = self.mail_from.iter().filter(|outcome| outcome.result == spf::SpfResult::Pass);
        let mut senders = sender.filter_map(|outcome| outcome.domain.clone());
        let signatures = self.dkim.iter().flat_map(|report| &report.signatures);
        let valid = signatures.filter(|checked| checked.verdict.word() == dkim::Word::Pass);
        let mut signers = valid.filter_map(|checked| Some(DnsName::from(&checked.claim.as_ref()?.domain)));
        senders.any(|domain| domain == author) || signers.any(|domain| domain == author)
    }

    /// Whose report it is, where it is one: the domain of its only author, which DMARC or a signature proves. A key that is
    /// for TLS reports alone proves these (RFC 8460 §3).
    pub(crate) fn reporter(&self, head: &[u8]) -> Reporter {
        let authors = self.authors(head);
        let [(author, is_proven)] = authors.as_slice() else { return Reporter::default() };
        let signatures = self.dkim.iter().flat_map(|report| &report.signatures);
        let mut reporters = signatures
            .filter(|checked| checked.verdict == dkim::Verdict::TlsReportsOnly)
            .filter_map(|checked| checked.claim.as_ref());
        let signs_reports = reporters.any(|claim| author.domain.is_within(&claim.domain));
        let domain = || author.domain.clone();
        Reporter { mail: is_proven.then(domain), tls: (*is_proven || signs_reports).then(domain) }
    }

    /// Who the sender is, whatever is done about that.
    pub(crate) fn standing(&self) -> Standing {
        use dmarc::DmarcResult;
        use spf::SpfResult;
        let dmarc = self.dmarc.as_ref();
        let spf = self.mail_from.as_ref();
        let author = dmarc.filter(|outcome| outcome.result == DmarcResult::Pass);
        let author = author.and_then(|outcome| outcome.author.as_ref()).map(Domain::to_string);
        let sender = spf.filter(|outcome| outcome.result == SpfResult::Pass);
        let sender = sender.and_then(|outcome| outcome.domain.as_ref()).map(DnsName::to_string);
        let fails = |outcome: &spf::Outcome| matches!(outcome.result, SpfResult::Fail | SpfResult::SoftFail);
        let is_forged =
            dmarc.is_some_and(|outcome| outcome.each().any(|one| one.result == DmarcResult::Fail));
        Standing { proven: author.or(sender), is_doubtful: is_forged || spf.is_some_and(fails) }
    }

    /// The listed sealer who saw DMARC pass before the message was passed on, where chains count.
    pub(crate) fn voucher(&self, methods: Methods, sealers: &[Domain]) -> Option<&Domain> {
        let report = self.arc.as_ref().filter(|_| methods.arc == Check::Enforce)?;
        // A sealer that speaks of one author has said nothing of the others.
        let judged = self.dmarc.as_ref().filter(|outcome| outcome.others.is_empty())?;
        sealed::voucher(report, sealers, judged.author.as_ref()?)
    }

    /// Received-SPF (RFC 7208 §9.1) of the MAIL FROM check, where it is wanted.
    pub(crate) fn received_spf(&self, methods: Methods, claims: &Claims<'_>) -> String {
        let Some(outcome) = self.mail_from.as_ref().filter(|_| methods.received_spf) else {
            return String::new();
        };
        let reverse_path = claims.reverse_path.to_string();
        let pairs = vec![
            ("client-ip", claims.client.to_canonical().to_string()),
            ("envelope-from", reverse_path.trim_matches(['<', '>']).to_owned()),
            ("helo", claims.helo.to_owned()),
            ("identity", outcome.identity.as_str().to_owned()),
            ("receiver", claims.receiver.to_string()),
        ];
        let comment = format!("{}: {}", claims.receiver, outcome.reason);
        ReceivedSpf { result: outcome.result.as_str(), comment, pairs }.field()
    }

    /// Our field for the top of the message; empty where no method is used.
    pub(crate) fn field(&self, methods: Methods, hostname: &Domain) -> String {
        if !methods.any() {
            return String::new();
        }
        let mut all = Vec::new();
        if methods.spf != Check::Off {
            all.extend(self.mail_from.as_ref().map(of_spf));
            all.extend(self.helo.as_ref().map(of_spf));
        }
        if let Some(report) = self.dkim.as_ref().filter(|_| methods.dkim != Check::Off) {
            all.extend(results::of_dkim(report));
        }
        let dmarc = self.dmarc.as_ref().filter(|_| methods.dmarc != Check::Off);
        all.extend(dmarc.into_iter().flat_map(dmarc::Outcome::each).map(of_dmarc));
        let arc = self.arc.as_ref().filter(|_| methods.arc != Check::Off);
        all.extend(arc.map(|report| chain::result(report, self.client)));
        all.extend(self.iprev.as_ref().filter(|_| methods.iprev != Check::Off).map(of_iprev));
        results::field(hostname, &all)
    }
}

/// The domains of all authors who are more than a name, where they are more than one.
fn several(dmarc: Option<&dmarc::Outcome>, names: &[Domain]) -> Vec<String> {
    let authors =
        dmarc.into_iter().flat_map(dmarc::Outcome::each).filter_map(|outcome| outcome.author.as_ref());
    let firm = authors.filter(|author| !names.contains(author));
    let domains: Vec<String> = firm.map(Domain::to_string).collect();
    if domains.len() > 1 { domains } else { Vec::new() }
}

fn proof_of_dkim(word: dkim::Word) -> dmarc::Proof {
    match word {
        dkim::Word::Pass => dmarc::Proof::Pass,
        dkim::Word::TempError => dmarc::Proof::TempError,
        _ => dmarc::Proof::Other,
    }
}

fn proof_of_spf(result: spf::SpfResult) -> dmarc::Proof {
    match result {
        spf::SpfResult::Pass => dmarc::Proof::Pass,
        spf::SpfResult::TempError => dmarc::Proof::TempError,
        _ => dmarc::Proof::Other,
    }
}

/// RFC 8601 §2.7.2.
fn of_spf(outcome: &spf::Outcome) -> MethodResult {
    let property = match outcome.identity {
        spf::Identity::MailFrom => "smtp.mailfrom",
        spf::Identity::Helo => "smtp.helo",
    };
    let result = MethodResult::new("spf", outcome.result.as_str()).because(&outcome.reason);
    match &outcome.domain {
        Some(domain) => result.about(property, domain.as_str()),
        None => result,
    }
}

/// RFC 9989 §9.1; the policy stands beside it for those who read it later.
fn of_dmarc(outcome: &dmarc::Outcome) -> MethodResult {
    let result = MethodResult::new("dmarc", outcome.result.as_str()).because(&outcome.reason);
    let result = match &outcome.published {
        Some(_) => result.about("policy.published-domain-policy", outcome.requested.as_str()),
        None => result,
    };
    match &outcome.author {
        Some(author) => result.about("header.from", author),
        None => result,
    }
}

/// RFC 8601 §2.7.3.
fn of_iprev(outcome: &iprev::Outcome) -> MethodResult {
    MethodResult::new("iprev", outcome.result.as_str())
        .because(&outcome.reason)
        .about("policy.iprev", &outcome.client)
}

#[cfg(test)]
mod tests;
