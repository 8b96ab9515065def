//! What becomes of a whole message from a stranger: one pure function from what is known to accept, junk, defer or reject.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use kings_mail::domain::Domain;
use kings_mail::{header, trace};
use kings_msgauth::dmarc::Policy;
use kings_smtp::reply::{Reply, Status};

use crate::facts::{Facts, Rules, Standing, Verdict};

/// The field that says what we thought of a message, and why.
pub(crate) const FIELD: &str = trace::VERDICT;
/// What is said of a claim on a name of ours.
const UNPROVEN: &str = "which is ours, and does not prove it";
/// What is said of a reverse-path of ours.
const FORGED_PATH: &str = "which is ours, and SPF does not let the client use it";
/// Octets of one line of the field; folded before that (RFC 5322 §2.1.1).
const LINE: usize = 78;

/// One thing that was found out about a message, as a sentence for its reader and for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The EHLO name is none that a mail server has.
    BadHelo,
    /// The EHLO name has no address.
    UnknownHelo,
    /// Mail to the sender's domain would have no way.
    UnknownSenderDomain,
    /// The sender's domain takes no mail.
    SenderTakesNoMail,
    /// Lists in DNS name the client or a domain of the message: a sentence that tells them with their codes.
    Listed(String),
    /// The domain of the EHLO name does not let this client use it, for this reason.
    HeloSpfFail(String),
    /// The sender's domain does not let this client send, for this reason.
    SpfFail(String),
    /// It does not quite forbid it, either.
    SpfSoftFail(String),
    /// The author's domain wants mail like this refused, or put aside, for this reason.
    DmarcFail(String),
    /// It claims to be from one of our own domains and nothing proves it.
    NotOurs(String),
    /// The name for people in From shows an address at the first of these, which is ours, and it is from the second.
    ShowsOurs(String, String),
    /// Its reverse-path is at this domain, which is ours and does not let the client send.
    PathNotOurs(String),
    /// DNS does not tell for now whether its author is who it says, for this reason.
    Undecided(String),
    /// Its From field names nobody whose domain could be asked, for this reason: each reader may see another author.
    NoAuthor(String),
    /// A filter wants it held back, for this reason.
    Quarantine(String),
    /// The sender is new here and is to come again after this time.
    Greylisted(Duration),
    /// This sealer is listed and saw it authentic, so that its failures here do not count.
    Sealed(String),
    /// It comes from this host that passes mail on to us, so that its failures here do not count.
    PassedOn(IpAddr),
    /// That host, or the mail server in front of us, calls it junk.
    JunkBefore(IpAddr),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadHelo => f.write_str("the EHLO name of the client is no name of a mail server"),
            Self::UnknownHelo => f.write_str("the EHLO name of the client does not exist"),
            Self::UnknownSenderDomain => f.write_str("the domain of the sender does not exist"),
            Self::SenderTakesNoMail => f.write_str("the domain of the sender says that it takes no mail"),
            Self::Listed(lists) => f.write_str(lists),
            Self::HeloSpfFail(why) => write!(f, "SPF of the EHLO name fails: {why}"),
            Self::SpfFail(why) => write!(f, "SPF fails: {why}"),
            Self::SpfSoftFail(why) => write!(f, "SPF does not pass (softfail): {why}"),
            Self::DmarcFail(why) => write!(f, "DMARC fails: {why}"),
            Self::NotOurs(domain) => {
                write!(f, "it says to be from {domain}, {UNPROVEN}")
            }
            Self::PathNotOurs(domain) => write!(f, "its reverse-path is at {domain}, {FORGED_PATH}"),
            Self::ShowsOurs(shown, author) => {
                write!(
                    f,
                    "the name in From shows an address at {shown}, which is ours, and it is from {author}"
                )
            }
            Self::Undecided(why) => write!(f, "DMARC cannot tell for now: {why}"),
            Self::NoAuthor(why) => write!(f, "its author cannot be told: {why}"),
            Self::Quarantine(why) => write!(f, "a filter wants it held back: {why}"),
            Self::Greylisted(wait) => {
                write!(f, "the sender is new here (greylisting), try again in {} seconds", wait.as_secs())
            }
            Self::Sealed(sealer) => {
                write!(
                    f,
                    "it fails here, but {sealer}, whose seals count, saw DMARC pass before passing it on"
                )
            }
            Self::PassedOn(host) => write!(f, "it fails here, but {host} passes mail on to us"),
            Self::JunkBefore(host) => write!(f, "{host}, which passes mail on to us, calls it junk"),
        }
    }
}

impl Reason {
    /// Whether its reader must know of it though the message is taken: nobody is to believe it unwarned.
    fn is_always_told(&self) -> bool {
        matches!(self, Self::NotOurs(_) | Self::PathNotOurs(_) | Self::ShowsOurs(..) | Self::Undecided(_))
    }
}

/// What the results of message authentication lead to (`[inbound]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// The client may not use the domain of the reverse-path.
    pub spf_fail: Verdict,
    /// The client probably may not use it.
    pub spf_softfail: Verdict,
    /// The client may not use the EHLO name.
    pub spf_helo_fail: Verdict,
    /// Lists in DNS name the client or a domain of the message, with weights that reach `dnsbl_threshold`.
    pub dnsbl_listed: Verdict,
    /// The sum of weights from which that counts, as Postfix's `postscreen_dnsbl_threshold`.
    pub dnsbl_threshold: i32,
    /// DMARC failed and the author's domain asks for `reject`.
    pub dmarc_reject: Verdict,
    /// DMARC failed and the author's domain asks for `quarantine`.
    pub dmarc_quarantine: Verdict,
    /// DNS does not tell for now what DMARC wants to know. Never [`Verdict::Reject`]: it may be our own trouble.
    pub dmarc_temperror: Verdict,
    /// A stranger's name for people shows an address of ours.
    pub impersonation: Verdict,
    /// No author can be told.
    pub no_author: Verdict,
}

impl Default for Verdicts {
    /// What the domains ask for; SPF alone breaks forwarded mail, so it is left to DMARC.
    fn default() -> Self {
        Self {
            spf_fail: Verdict::Accept,
            spf_softfail: Verdict::Accept,
            spf_helo_fail: Verdict::Accept,
            dnsbl_listed: Verdict::Reject,
            dnsbl_threshold: 1,
            dmarc_reject: Verdict::Reject,
            dmarc_quarantine: Verdict::Junk,
            dmarc_temperror: Verdict::Accept,
            // Lists name their members so: "'ann@example.org' via list".
            impersonation: Verdict::Accept,
            no_author: Verdict::Junk,
        }
    }
}

impl Verdicts {
    fn of(self, policy: Policy) -> Verdict {
        match policy {
            Policy::None => Verdict::Accept,
            Policy::Quarantine => self.dmarc_quarantine,
            Policy::Reject => self.dmarc_reject,
        }
    }
}

/// One list that a client is on, or a domain of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The domain, where it is not the client.
    pub domain: Option<Domain>,
    /// The list.
    pub zone: String,
    /// What it counts; a negative weight speaks for the client.
    pub weight: i32,
    /// What the list answers.
    pub codes: Vec<Ipv4Addr>,
}

/// All lists that a client and the domains of its message are on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listings {
    /// Those that speak against it, or by a negative weight for it.
    pub block: Vec<Listing>,
    /// Those of good senders.
    pub welcome: Vec<Listing>,
}

impl Listings {
    /// What the lists say against it, where these weigh enough and no list of good senders knows the client.
    fn against(&self, threshold: i32) -> Option<String> {
        let score = self.block.iter().map(|listing| listing.weight).fold(0, i32::saturating_add);
        if score < threshold || !self.welcome.is_empty() {
            return None;
        }
        let mut bad = self.block.iter().filter(|listing| listing.weight > 0).peekable();
        bad.peek()?;
        let (mut text, mut before) = (String::new(), None);
        for Listing { domain, zone, codes, .. } in bad {
            let codes: Vec<String> = codes.iter().map(Ipv4Addr::to_string).collect();
            text += &match domain {
                _ if before == Some(domain) => " and the list ".to_owned(),
                Some(domain) if before.is_some() => format!(", the domain {domain} is on the list "),
                Some(domain) => format!("the domain {domain} is on the list "),
                None => "the client is on the list ".to_owned(),
            };
            text += &format!("{zone} ({})", codes.join(", "));
            before = Some(domain);
        }
        Some(text)
    }
}

/// All that is known of a whole message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) sender: Facts,
    /// The lists that the client is on.
    pub(crate) listings: Listings,
    /// Why SPF of the EHLO name failed, where it did and counts.
    pub(crate) spf_helo_fail: Option<String>,
    /// Why SPF failed, where it did and counts.
    pub(crate) spf_fail: Option<String>,
    /// What the author's domain wants done, and why, where DMARC failed and counts.
    pub(crate) dmarc_fail: Option<(Policy, String)>,
    /// One of our domains, where the author says to be of it and nothing proved it, and what follows.
    pub(crate) unproven: Option<(String, Verdict)>,
    /// A domain of ours that the name in From shows an address of, and the other domain that it is from.
    pub(crate) shows_ours: Option<(String, String)>,
    /// One of our domains, where the reverse-path is of it and SPF does not let the client use it.
    pub(crate) forged_path: Option<String>,
    /// Why SPF came to softfail, where it did and counts.
    pub(crate) spf_softfail: Option<String>,
    /// Why DMARC could not be decided for now, where it counts.
    pub(crate) undecided: Option<String>,
    /// Why DMARC cannot tell its author, where it cannot and counts.
    pub(crate) no_author: Option<String>,
    /// Why a filter wants it held back.
    pub(crate) quarantine: Option<String>,
    /// How long its sender is to wait, who is new here.
    pub(crate) greylisted: Option<Duration>,
    /// The listed sealer that saw DMARC pass for this author (RFC 8617 §7.2).
    pub(crate) sealed: Option<String>,
    /// The host that brings it, where that passes mail of others on to us.
    pub(crate) forwarder: Option<IpAddr>,
    /// Such a host, or the mail server in front of us, calls it junk.
    pub(crate) junk_before: Option<IpAddr>,
}

/// What becomes of it, and what spoke for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    /// Those that led to the verdict, then those that would have if the verdict were milder.
    pub(crate) reasons: Vec<Reason>,
    /// How many of them led to it.
    pub(crate) decisive: usize,
}

/// Decides. What is only recorded is no reason; doubt is none either unless the operator wants it so, and a DNS that does
/// not answer refuses nothing for good. Some things are told though nothing follows from them.
pub(crate) fn message(known: &Known, rules: Rules, verdicts: Verdicts) -> Decision {
    let sender = known.sender;
    if let Some(host) = known.forwarder.filter(|_| known.is_unauthentic()) {
        let mut decision = message(&known.passed_on(), rules, verdicts);
        decision.reasons.push(Reason::PassedOn(host));
        return decision;
    }
    if let Some(sealer) = known.sealed.as_ref().filter(|_| known.is_unauthentic()) {
        let mut decision = message(&known.believed(), rules, verdicts);
        decision.reasons.push(Reason::Sealed(sealer.clone()));
        return decision;
    }
    let listed = known.listings.against(verdicts.dnsbl_threshold);
    let helo = known.spf_helo_fail.clone().map(|why| (Reason::HeloSpfFail(why), verdicts.spf_helo_fail));
    let spf = known.spf_fail.clone().map(|why| (Reason::SpfFail(why), verdicts.spf_fail));
    let softly = known.spf_softfail.clone().map(|why| (Reason::SpfSoftFail(why), verdicts.spf_softfail));
    let dmarc = known.dmarc_fail.clone().map(|(policy, why)| (Reason::DmarcFail(why), verdicts.of(policy)));
    let unproven = known.unproven.clone().map(|(domain, verdict)| (Reason::NotOurs(domain), verdict));
    let shown = known.shows_ours.clone();
    let shown = shown.map(|(shown, author)| (Reason::ShowsOurs(shown, author), verdicts.impersonation));
    let undecided = known.undecided.clone().map(|why| (Reason::Undecided(why), verdicts.dmarc_temperror));
    let no_author = known.no_author.clone().map(|why| (Reason::NoAuthor(why), verdicts.no_author));
    let greylisted = known.greylisted.map(|wait| (Reason::Greylisted(wait), Verdict::Defer));
    let findings = [
        sender.bad_helo.then_some((Reason::BadHelo, rules.bad_helo)),
        (sender.helo == Some(Standing::Unknown)).then_some((Reason::UnknownHelo, rules.unknown_helo)),
        match sender.sender_domain {
            Some(Standing::Unknown) => Some((Reason::UnknownSenderDomain, rules.unknown_sender_domain)),
            Some(Standing::NullMx) => Some((Reason::SenderTakesNoMail, rules.unknown_sender_domain)),
            Some(Standing::Known | Standing::Unsure) | None => None,
        },
        listed.map(|lists| (Reason::Listed(lists), verdicts.dnsbl_listed)),
        helo,
        spf,
        softly,
        dmarc,
        unproven,
        known.forged_path.clone().map(|domain| (Reason::PathNotOurs(domain), Verdict::Accept)),
        shown,
        undecided,
        no_author,
        known.junk_before.map(|host| (Reason::JunkBefore(host), Verdict::Junk)),
        greylisted,
    ];
    let counts =
        |(reason, verdict): &(Reason, Verdict)| *verdict != Verdict::Accept || reason.is_always_told();
    let findings: Vec<(Reason, Verdict)> = findings.into_iter().flatten().filter(counts).collect();
    let verdict = findings.iter().map(|(_, verdict)| *verdict).max().unwrap_or_default();
    let (led, others): (Vec<_>, Vec<_>) = findings.into_iter().partition(|(_, one)| *one == verdict);
    let decisive = led.len();
    // Nobody is to come again who is refused for good.
    let others = others.into_iter().filter(|(reason, _)| !matches!(reason, Reason::Greylisted(_)));
    let mut reasons: Vec<Reason> = led.into_iter().chain(others).map(|(reason, _)| reason).collect();
    // It is held whatever else is thought of it; released, it goes where it would have gone.
    reasons.extend(known.quarantine.clone().map(Reason::Quarantine));
    Decision { verdict, reasons, decisive }
}

impl Known {
    fn is_unauthentic(&self) -> bool {
        self.spf_fail.is_some()
            || self.spf_softfail.is_some()
            || self.dmarc_fail.is_some()
            || self.unproven.is_some()
            || self.undecided.is_some()
    }

    /// The same without what it proves of nobody that another host brings it. A claim on us stays a claim.
    fn passed_on(&self) -> Self {
        let unproven = self.unproven.clone().map(|(domain, _)| (domain, Verdict::Accept));
        Self { unproven, forwarder: None, spf_helo_fail: None, ..self.believed() }
    }

    /// The same without what passing on explains.
    fn believed(&self) -> Self {
        Self {
            spf_fail: None,
            spf_softfail: None,
            dmarc_fail: None,
            unproven: None,
            undecided: None,
            sealed: None,
            ..self.clone()
        }
    }
}

impl Decision {
    /// Why it waits in the queue until an operator releases it, where it is taken.
    pub(crate) fn hold(&self) -> Option<&str> {
        self.reasons.iter().find_map(|reason| match reason {
            Reason::Quarantine(why) => Some(why.as_str()),
            _ => None,
        })
    }

    /// The refusal, where the verdict is one; it names what led to it, since the sender's postmaster is to act on that. What
    /// else was found is for our own eyes.
    pub(crate) fn refusal(&self) -> Option<Reply> {
        let (code, class) = match self.verdict {
            Verdict::Accept | Verdict::Junk => return None,
            Verdict::Defer => (451, 4),
            Verdict::Reject => (550, 5),
        };
        let text = format!("Not accepted: {}", sentences(self.reasons.iter().take(self.decisive)));
        Some(Reply { code, status: Some(Status(class, 7, 1)), text: text.into() })
    }

    /// The field that goes in front of the message.
    pub(crate) fn field(&self) -> String {
        fold(&format!("{FIELD}: {self}"))
    }
}

impl fmt::Display for Decision {
    /// The verdict, and a sentence for each reason.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verdict.as_str())?;
        if self.reasons.is_empty() { Ok(()) } else { write!(f, "; {}", sentences(&self.reasons)) }
    }
}

fn sentences<'a>(reasons: impl IntoIterator<Item = &'a Reason>) -> String {
    reasons.into_iter().map(Reason::to_string).collect::<Vec<_>>().join("; ")
}

/// Breaks a line at blanks. Words that are too long for a line stand in one of their own.
fn fold(text: &str) -> String {
    let (mut out, mut line) = (String::new(), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if line > 0 && line + 1 + length > LINE {
            out.push_str("\r\n\t");
            line = 8;
        } else if line > 0 {
            out.push(' ');
            line += 1;
        }
        out.push_str(word);
        line += length;
    }
    out + "\r\n"
}

/// Whether our field in front of a message files it into the junk: for copies that are tried again.
pub(crate) fn is_junk(head: &[u8]) -> bool {
    header::first(head, FIELD).is_some_and(|field| field.text().split(';').next() == Some("junk"))
}

/// Whether our field in front of a message says that it claims to be ours and proves nothing.
pub(crate) fn is_unproven(head: &[u8]) -> bool {
    header::first(head, FIELD).is_some_and(|field| field.text().replace('\t', " ").contains(UNPROVEN))
}

/// Whether our field in front of a message says that its reverse-path is forged in our name.
pub(crate) fn has_forged_path(head: &[u8]) -> bool {
    header::first(head, FIELD).is_some_and(|field| field.text().replace('\t', " ").contains(FORGED_PATH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(verdict: Verdict, reasons: Vec<Reason>) -> Decision {
        Decision { verdict, decisive: reasons.len(), reasons }
    }

    fn known(helo: Option<Standing>, sender_domain: Option<Standing>, quarantine: Option<&str>) -> Known {
        let sender = Facts { bad_helo: false, helo, sender_domain };
        Known { sender, quarantine: quarantine.map(str::to_owned), ..Known::default() }
    }

    #[test]
    fn the_strongest_finding_decides_and_all_that_count_are_named() {
        let rules = |bad_helo, unknown_helo, unknown_sender_domain| Rules {
            bad_helo,
            unknown_helo,
            unknown_sender_domain,
        };
        let (accept, junk, reject) = (Verdict::Accept, Verdict::Junk, Verdict::Reject);
        let unknown = Some(Standing::Unknown);
        let why = || Reason::Quarantine("spam".to_owned());
        let cases = [
            (known(None, None, None), rules(reject, reject, reject), accept, vec![]),
            (known(unknown, None, None), rules(accept, accept, reject), accept, vec![]),
            (known(unknown, None, None), rules(accept, junk, accept), junk, vec![Reason::UnknownHelo]),
            (
                known(None, unknown, None),
                rules(accept, accept, junk),
                junk,
                vec![Reason::UnknownSenderDomain],
            ),
            (
                known(None, Some(Standing::NullMx), None),
                rules(junk, junk, junk),
                junk,
                vec![Reason::SenderTakesNoMail],
            ),
            (
                known(Some(Standing::Unsure), Some(Standing::Unsure), None),
                rules(junk, junk, junk),
                accept,
                vec![],
            ),
            (
                known(Some(Standing::Known), Some(Standing::Known), None),
                rules(junk, junk, junk),
                accept,
                vec![],
            ),
            (known(None, None, Some("spam")), Rules::default(), accept, vec![why()]),
            (
                known(unknown, None, Some("spam")),
                rules(accept, reject, accept),
                reject,
                vec![Reason::UnknownHelo, why()],
            ),
        ];
        for (known, rules, verdict, reasons) in cases {
            let decision = message(&known, rules, Verdicts::default());
            assert_eq!((decision.verdict, decision.reasons), (verdict, reasons), "{known:?}");
        }
        let bad = Known { sender: Facts { bad_helo: true, ..Facts::default() }, ..Known::default() };
        assert_eq!(
            message(&bad, rules(junk, accept, accept), Verdicts::default()).reasons,
            [Reason::BadHelo]
        );
    }

    #[test]
    fn domains_get_what_they_ask_for_and_ours_are_never_believed_unproven() {
        let why = || "because".to_owned();
        let spf = Known { spf_fail: Some(why()), ..Known::default() };
        let dmarc = |policy| Known { dmarc_fail: Some((policy, why())), ..Known::default() };
        let nobody = Known { no_author: Some(why()), ..Known::default() };
        let ours =
            |verdict| Known { unproven: Some(("example.org".to_owned(), verdict)), ..Known::default() };
        let doubt = Known { undecided: Some(why()), ..Known::default() };
        let usual = Verdicts::default();
        let patient = Verdicts { dmarc_temperror: Verdict::Defer, ..usual };
        let mild = Verdicts { dmarc_reject: Verdict::Junk, dmarc_quarantine: Verdict::Accept, ..usual };
        let strict = Verdicts { spf_fail: Verdict::Reject, ..usual };
        let shows_ours = Some(("example.org".to_owned(), "bad.example".to_owned()));
        let shown = Known { shows_ours, sealed: Some("lists.example".to_owned()), ..Known::default() };
        let wary = Verdicts { impersonation: Verdict::Junk, ..usual };
        let severe = Verdicts { impersonation: Verdict::Reject, ..usual };
        let cases = [
            (&spf, usual, Verdict::Accept),
            (&spf, strict, Verdict::Reject),
            (&nobody, mild, Verdict::Junk),
            (&dmarc(Policy::None), strict, Verdict::Accept),
            (&dmarc(Policy::Quarantine), usual, Verdict::Junk),
            (&dmarc(Policy::Quarantine), mild, Verdict::Accept),
            (&dmarc(Policy::Reject), usual, Verdict::Reject),
            (&dmarc(Policy::Reject), mild, Verdict::Junk),
            (&ours(Verdict::Junk), mild, Verdict::Junk),
            (&ours(Verdict::Accept), strict, Verdict::Accept),
            (&shown, strict, Verdict::Accept),
            (&shown, wary, Verdict::Junk),
            (&shown, severe, Verdict::Reject),
            (&doubt, strict, Verdict::Accept),
            (&doubt, patient, Verdict::Defer),
        ];
        for (known, verdicts, expected) in cases {
            assert_eq!(
                message(known, Rules::default(), verdicts).verdict,
                expected,
                "{known:?} {verdicts:?}"
            );
        }
    }

    #[test]
    fn doubt_and_a_claim_on_us_are_told_even_where_nothing_follows() {
        let unproven = Some(("example.org".to_owned(), Verdict::Accept));
        let known = Known { unproven, undecided: Some("no answer".to_owned()), ..Known::default() };
        let decision = message(&known, Rules::default(), Verdicts::default());
        assert_eq!(
            decision.to_string(),
            "accept; it says to be from example.org, which is ours, and does not prove it; DMARC cannot tell for now: no answer"
        );
        assert_eq!(decision.refusal(), None);
        let shows_ours = Some(("example.org".to_owned(), "bad.example".to_owned()));
        let shown = Known { shows_ours, ..Known::default() };
        let shown = message(&shown, Rules::default(), Verdicts::default());
        assert_eq!(
            shown.to_string(),
            "accept; the name in From shows an address at example.org, which is ours, and it is from bad.example"
        );
        let patient = Verdicts { dmarc_temperror: Verdict::Defer, ..Verdicts::default() };
        let undecided = Known { unproven: None, ..known };
        let reply = message(&undecided, Rules::default(), patient).refusal().map(|reply| reply.to_string());
        assert_eq!(reply.as_deref(), Some("451 4.7.1 Not accepted: DMARC cannot tell for now: no answer"));
    }

    #[test]
    fn a_listed_sealer_explains_failures_of_authentication_and_nothing_else() {
        let why = || "because".to_owned();
        let sealed = Known {
            spf_fail: Some(why()),
            dmarc_fail: Some((Policy::Reject, why())),
            unproven: Some(("example.org".to_owned(), Verdict::Junk)),
            sealed: Some("lists.example".to_owned()),
            ..Known::default()
        };
        let strict = Verdicts { spf_fail: Verdict::Reject, ..Verdicts::default() };
        let reason = || Reason::Sealed("lists.example".to_owned());
        let saved = message(&sealed, Rules::default(), strict);
        assert_eq!((saved.verdict, &saved.reasons[..]), (Verdict::Accept, &[reason()][..]));
        assert!(
            saved.field().replace("\r\n\t", " ").contains("lists.example, whose seals count"),
            "{}",
            saved.field()
        );

        let spam = Known { quarantine: Some(why()), ..sealed.clone() };
        let held_back = message(&spam, Rules::default(), strict);
        let reasons = [Reason::Quarantine(why()), reason()];
        assert_eq!((held_back.verdict, &held_back.reasons[..]), (Verdict::Accept, &reasons[..]));
        assert_eq!((held_back.hold(), saved.hold()), (Some(why().as_str()), None));
        let unsealed = Known { sealed: None, ..sealed };
        assert_eq!(message(&unsealed, Rules::default(), strict).verdict, Verdict::Reject);
        // Where nothing fails there is nothing to explain.
        let fine = Known { sealed: Some("lists.example".to_owned()), ..Known::default() };
        assert_eq!(message(&fine, Rules::default(), strict).reasons, []);
    }

    #[test]
    fn lists_count_by_their_weights_and_not_against_those_who_are_welcome() {
        let on = |zone: &str, weight| Listing {
            domain: None,
            zone: zone.to_owned(),
            weight,
            codes: vec![Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 10)],
        };
        let usual = Verdicts::default();
        let junk = Verdicts { dnsbl_listed: Verdict::Junk, ..usual };
        let high = Verdicts { dnsbl_threshold: 3, ..usual };
        let (a, b, good) = (on("a.test", 2), on("b.test", 1), on("good.test", -2));
        let cases = [
            (vec![], vec![], usual, Verdict::Accept),
            (vec![a.clone()], vec![], usual, Verdict::Reject),
            (vec![a.clone()], vec![], junk, Verdict::Junk),
            (vec![a.clone()], vec![b.clone()], usual, Verdict::Accept),
            (vec![a.clone()], vec![], high, Verdict::Accept),
            (vec![a.clone(), b.clone()], vec![], high, Verdict::Reject),
            (vec![a.clone(), good.clone()], vec![], usual, Verdict::Accept),
            (vec![good], vec![], Verdicts { dnsbl_threshold: -5, ..usual }, Verdict::Accept),
        ];
        for (block, welcome, verdicts, expected) in cases {
            let known = Known { listings: Listings { block, welcome }, ..Known::default() };
            assert_eq!(
                message(&known, Rules::default(), verdicts).verdict,
                expected,
                "{known:?} {verdicts:?}"
            );
        }
        let of = |domain: &str| Listing { domain: Domain::parse(domain).ok(), ..on("d.test", 1) };
        let sentence =
            |block: Vec<Listing>| Listings { block, welcome: vec![] }.against(1).unwrap_or_default();
        let codes = "(127.0.0.2, 127.0.0.10)";
        assert_eq!(
            sentence(vec![a.clone(), of("evil.test")]),
            format!(
                "the client is on the list a.test {codes}, the domain evil.test is on the list d.test {codes}"
            )
        );
        assert_eq!(
            sentence(vec![of("evil.test")]),
            format!("the domain evil.test is on the list d.test {codes}")
        );
        let known = Known { listings: Listings { block: vec![a, b], welcome: vec![] }, ..Known::default() };
        let reply = message(&known, Rules::default(), usual).refusal().map(|reply| reply.to_string());
        assert_eq!(
            reply.as_deref(),
            Some(
                "550 5.7.1 Not accepted: the client is on the list a.test (127.0.0.2, 127.0.0.10) and the list b.test \
                 (127.0.0.2, 127.0.0.10)"
            )
        );
    }

    #[test]
    fn the_ehlo_name_counts_only_where_the_switch_says_so() {
        let known = Known { spf_helo_fail: Some("why".to_owned()), ..Known::default() };
        let usual = Verdicts::default();
        assert_eq!(message(&known, Rules::default(), usual).verdict, Verdict::Accept);
        let strict = Verdicts { spf_helo_fail: Verdict::Junk, ..usual };
        let decision = message(&known, Rules::default(), strict);
        assert_eq!(decision.field(), "X-Kings-Verdict: junk; SPF of the EHLO name fails: why\r\n");
    }

    #[test]
    fn a_refusal_says_why_and_anything_else_is_no_refusal() {
        let decision = |verdict| decided(verdict, vec![Reason::UnknownHelo]);
        assert_eq!(decision(Verdict::Accept).refusal(), None);
        assert_eq!(decision(Verdict::Junk).refusal(), None);
        let deferred = decision(Verdict::Defer).refusal().map(|reply| reply.to_string());
        assert_eq!(
            deferred.as_deref(),
            Some("451 4.7.1 Not accepted: the EHLO name of the client does not exist")
        );
        assert_eq!(decision(Verdict::Reject).refusal().map(|reply| reply.code), Some(550));
    }

    #[test]
    fn what_a_known_host_passes_on_fails_nothing_and_claims_are_told_all_the_same() {
        let why = || "because".to_owned();
        let host = IpAddr::from([192, 0, 2, 1]);
        let failing = Known {
            spf_fail: Some(why()),
            spf_helo_fail: Some(why()),
            dmarc_fail: Some((Policy::Reject, why())),
            unproven: Some(("example.org".to_owned(), Verdict::Junk)),
            ..Known::default()
        };
        let strict =
            Verdicts { spf_fail: Verdict::Reject, spf_helo_fail: Verdict::Reject, ..Verdicts::default() };
        assert_eq!(message(&failing, Rules::default(), strict).verdict, Verdict::Reject);
        let known = Known { forwarder: Some(host), ..failing };
        let passed = message(&known, Rules::default(), strict);
        assert_eq!(passed.verdict, Verdict::Accept);
        assert_eq!(passed.reasons, [Reason::NotOurs("example.org".to_owned()), Reason::PassedOn(host)]);
        // What it says itself counts, and what the content says.
        let junk = message(&Known { junk_before: Some(host), ..known.clone() }, Rules::default(), strict);
        assert_eq!((junk.verdict, junk.decisive), (Verdict::Junk, 1));
        assert_eq!(junk.reasons.first(), Some(&Reason::JunkBefore(host)));
        let nobody = Known { no_author: Some(why()), ..known };
        assert_eq!(message(&nobody, Rules::default(), strict).verdict, Verdict::Junk);
        let fine = Known { forwarder: Some(host), ..Known::default() };
        assert_eq!(message(&fine, Rules::default(), strict).reasons, []);
    }

    #[test]
    fn softfail_and_a_missing_author_lead_to_what_the_switches_say() {
        let softly = Known { spf_softfail: Some("why".to_owned()), ..Known::default() };
        let nobody = Known { no_author: Some("why".to_owned()), ..Known::default() };
        let usual = Verdicts::default();
        for verdict in [Verdict::Accept, Verdict::Junk, Verdict::Defer, Verdict::Reject] {
            let set = Verdicts { spf_softfail: verdict, no_author: verdict, ..usual };
            assert_eq!(message(&softly, Rules::default(), set).verdict, verdict);
            assert_eq!(message(&nobody, Rules::default(), set).verdict, verdict);
        }
        assert_eq!(message(&softly, Rules::default(), usual).verdict, Verdict::Accept);
        assert_eq!(message(&nobody, Rules::default(), usual).verdict, Verdict::Junk);
    }

    #[test]
    fn a_refusal_tells_what_led_to_it_and_nothing_else() {
        let listing = Listing { domain: None, zone: "a.test".to_owned(), weight: 1, codes: vec![] };
        let listings = Listings { block: vec![listing], welcome: vec![] };
        let greylisted = Some(Duration::from_mins(5));
        let unproven = Some(("example.org".to_owned(), Verdict::Junk));
        let listed = Known { listings, unproven: unproven.clone(), greylisted, ..Known::default() };
        let refused = message(&listed, Rules::default(), Verdicts::default());
        let text = |decision: &Decision| decision.refusal().map(|reply| reply.text.into_owned());
        assert_eq!(text(&refused).as_deref(), Some("Not accepted: the client is on the list a.test ()"));
        // The trace tells what else was found, and nobody was told to come again.
        let told = refused.to_string();
        assert!(told.contains("which is ours") && !told.contains("greylisting"), "{told}");
        let stranger = Known { unproven, greylisted, ..Known::default() };
        let deferred = message(&stranger, Rules::default(), Verdicts::default());
        let sentence = "the sender is new here (greylisting), try again in 300 seconds";
        assert_eq!(text(&deferred), Some(format!("Not accepted: {sentence}")));
        assert!(
            deferred.to_string().starts_with(&format!("defer; {sentence}; it says to be from")),
            "{deferred}"
        );
    }

    #[test]
    fn the_field_is_folded_and_read_back() {
        let clean = decided(Verdict::Accept, vec![]);
        assert_eq!(clean.field(), "X-Kings-Verdict: accept\r\n");
        let reasons = vec![Reason::UnknownHelo, Reason::Quarantine("x".repeat(100))];
        let junk = decided(Verdict::Junk, reasons).field();
        assert!(junk.lines().all(|line| line.len() < 120), "{junk}");
        assert!(junk.starts_with(
            "X-Kings-Verdict: junk; the EHLO name of the client does not exist; a filter\r\n\twants"
        ));
        assert!(is_junk(junk.as_bytes()));
        assert!(!is_junk(clean.field().as_bytes()));
        assert!(!is_junk(b"Subject: junk\r\n\r\nX-Kings-Verdict: junk\r\n"));
        assert!(!is_unproven(junk.as_bytes()));
        for domain in ["example.org", "a-very-long-name-that-breaks-the-line-behind-it.example.org"] {
            let reasons = vec![Reason::UnknownHelo, Reason::NotOurs(domain.to_owned())];
            assert!(is_unproven(decided(Verdict::Junk, reasons).field().as_bytes()), "{domain}");
        }
        for domain in ["example.org", "a-very-long-name-that-breaks-the-line-behind-it.example.org"] {
            let known = Known { forged_path: Some(domain.to_owned()), ..Known::default() };
            let told = message(&known, Rules::default(), Verdicts::default());
            let field = told.field();
            assert_eq!(told.verdict, Verdict::Accept);
            assert!(has_forged_path(field.as_bytes()) && !is_unproven(field.as_bytes()), "{field}");
        }
        assert!(!has_forged_path(junk.as_bytes()) && !has_forged_path(clean.field().as_bytes()));
        assert!(!is_junk(b"X-Kings-Verdict: junkyard\r\n\r\n"));
    }
}
