//! The decisions: pure functions from facts to verdicts. Only this module decides.

pub(crate) mod answering;
pub(crate) mod filter;
pub(crate) mod greylist;
pub(crate) mod ours;
pub(crate) mod sealed;
pub(crate) mod verdict;

use kings_directory::{LoginError, Reach, Resolution};
use kings_mail::address::Address;
use kings_mail::address_list::BadAuthors;
use kings_mail::envelope::MAX_RECEIVED_FIELDS;
use kings_mail::header::{BadHeader, HeaderSummary};
use kings_msgauth::dmarc::NoAuthor;
use kings_smtp::reply::{Reply, Status};

use crate::authenticate::Check;
use crate::author::{Authors, BadAuthor};
use crate::facts::{Facts, Rules, Standing, Verdict};
use crate::header_checks::Ruling;
use crate::relay::in_session;

/// `[inbound] early_talker`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EarlyTalker {
    /// As if it had waited.
    Accept,
    /// No mail from it: real servers wait for the greeting (RFC 5321 §4.3.1).
    #[default]
    Reject,
}

/// Decides whether a client is greeted at all.
pub(crate) fn connect(spoke_first: bool, early_talker: EarlyTalker) -> Result<(), Reply> {
    match early_talker {
        EarlyTalker::Reject if spoke_first => Err(Reply::TALKED_EARLY),
        EarlyTalker::Accept | EarlyTalker::Reject => Ok(()),
    }
}

/// `[submission] foreign_senders`: addresses that a logged-in account has neither itself nor by an alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignSenders {
    /// As from itself; the mail log says which account it was. Postfix without `reject_sender_login_mismatch`.
    Accept,
    /// Neither in MAIL nor in the header (RFC 6409 §6.1).
    #[default]
    Reject,
}

/// Everything the RCPT decision may look at, gathered beforehand.
pub(crate) struct RcptFacts<'a> {
    /// The client may send to everybody: it has logged in, or its network is trusted.
    pub(crate) may_send: bool,
    /// What the recipient stands for.
    pub(crate) resolution: &'a Resolution,
    /// Why it would come back at once, where all of it leaves.
    pub(crate) no_way: Option<Reply>,
    /// What it would hear where everything it stands for is a mailbox here without room.
    pub(crate) full: Option<Reply>,
    /// Recipients accepted in this transaction so far.
    pub(crate) recipients_so_far: usize,
    /// Most recipients of one transaction.
    pub(crate) most_recipients: usize,
}

/// Whose aliases count for a recipient at RCPT. A stranger hears nothing of those of other domains, and no program is
/// asked about them: such mail is refused in any case.
pub(crate) fn reach(may_send: bool) -> Reach {
    if may_send { Reach::Everywhere } else { Reach::Ours }
}

/// Decides one RCPT. "Are we an open relay?" is answered by the last two lines.
pub(crate) fn rcpt(facts: &RcptFacts<'_>) -> Result<(), Reply> {
    if facts.recipients_so_far >= facts.most_recipients {
        return Err(Reply::TOO_MANY_RECIPIENTS);
    }
    let on_its_way = || facts.no_way.clone().map_or(Ok(()), Err);
    match (facts.resolution, facts.may_send) {
        (Resolution::Targets(_), _) => on_its_way().and_then(|()| facts.full.clone().map_or(Ok(()), Err)),
        (Resolution::Unknown, _) => Err(Reply::UNKNOWN_USER),
        (Resolution::Looping, _) => Err(Reply::ALIAS_LOOP),
        (Resolution::Unavailable, _) => Err(Reply::TRY_LATER),
        (Resolution::Elsewhere(_), true) => on_its_way(),
        (Resolution::Elsewhere(_), false) => Err(Reply::RELAY_DENIED),
    }
}

/// Whether a recipient that [`rcpt`] refuses is the queue's to settle, where nobody reads our replies and the sender is a
/// user of this machine: the queue bounces those that nobody knows, and asks again about those that cannot be told now.
pub(crate) fn is_for_queue(resolution: &Resolution) -> bool {
    matches!(resolution, Resolution::Unknown | Resolution::Looping | Resolution::Unavailable)
}

/// Whose name a user of this machine writes under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalSender {
    /// Its own, or that of nobody (`<>`).
    Own,
    /// Somebody else's, and the config trusts this user.
    Trusted,
    /// Somebody else's.
    Foreign,
}

/// Decides whether a user of this machine may use a reverse-path.
pub(crate) fn local_sender(sender: LocalSender) -> Result<(), Reply> {
    match sender {
        LocalSender::Own | LocalSender::Trusted => Ok(()),
        LocalSender::Foreign => Err(Reply::SENDER_NOT_YOURS),
    }
}

/// Decides by what the operator's rules say about the header.
pub(crate) fn header_rules(ruling: &Ruling) -> Result<(), Reply> {
    let Some(text) = &ruling.reject else { return Ok(()) };
    Err(in_session(text))
}

/// Decides about a message by its header alone.
pub(crate) fn header(summary: Result<HeaderSummary, BadHeader>) -> Result<(), Reply> {
    let malformed = |text| Err(Reply::new(550, Status(5, 6, 0), text));
    match summary {
        Ok(summary) if summary.received > MAX_RECEIVED_FIELDS => Err(Reply::LOOP),
        Ok(_) => Ok(()),
        Err(BadHeader::SecondFrom) => malformed("Message has more than one From field"),
        Err(BadHeader::TooLarge) => malformed("Message header is too large"),
        Err(BadHeader::FieldTooLong) => malformed("Message has a header field that is too long"),
        Err(BadHeader::TooManyFields) => malformed("Message has too many header fields"),
        Err(BadHeader::LeadingBlank) => malformed("Message begins with a blank, so that it has no header"),
        Err(BadHeader::Nul) => Err(Reply::BAD_LINE_ENDS),
    }
}

/// Decides about a message from outside by why its authors cannot be judged. So many that not all are judged are refused:
/// any of them could be the one that a reader sees (RFC 9989 §11.5). Where DMARC does not count, nor does that.
pub(crate) fn authors(unjudged: Option<&NoAuthor>, dmarc: Check) -> Result<(), Reply> {
    match unjudged {
        Some(NoAuthor::Several | NoAuthor::Malformed(BadAuthors::TooMany)) if dmarc == Check::Enforce => {
            Err(Reply::new(550, Status(5, 6, 0), "From field names too many authors, or is too long"))
        }
        Some(
            NoAuthor::NoField
            | NoAuthor::Several
            | NoAuthor::Fields(_)
            | NoAuthor::Malformed(_)
            | NoAuthor::Literal
            | NoAuthor::OddHost,
        )
        | None => Ok(()),
    }
}

/// Decides whether a logged-in account may use a reverse-path (RFC 6409 §6.1). That of nobody (`<>`) is anybody's.
pub(crate) fn reverse_path(is_own: bool, foreign: ForeignSenders) -> Result<(), Reply> {
    match foreign {
        ForeignSenders::Reject if !is_own => Err(Reply::SENDER_NOT_YOURS),
        ForeignSenders::Accept | ForeignSenders::Reject => Ok(()),
    }
}

/// Decides whether a logged-in account may write as these authors (RFC 6409 §6.1, §8.1). A header that does not name
/// them beyond doubt is refused to everybody: two readers of it would see two authors.
///
/// Whoever sends again what others wrote answers for that alone (RFC 5322 §3.6.6). But nobody writes as another one of
/// ours by saying so: those who wrote it must be `elsewhere`, where nobody takes our word for them, or be the account's own.
pub(crate) fn author(
    authors: &Result<Authors, BadAuthor>,
    is_own: impl Fn(&Address) -> bool,
    is_elsewhere: impl Fn(&Address) -> bool,
    foreign: ForeignSenders,
) -> Result<(), Reply> {
    let malformed = |text: String| Err(Reply { code: 550, status: Some(Status(5, 6, 0)), text: text.into() });
    let answers = |Authors { now, before }: &Authors| {
        now.iter().all(&is_own) && before.iter().all(|author| is_own(author) || is_elsewhere(author))
    };
    match authors {
        Ok(authors) if foreign == ForeignSenders::Accept || answers(authors) => Ok(()),
        Ok(_) => Err(Reply::AUTHOR_NOT_YOURS),
        Err(BadAuthor::Authors(name)) => {
            malformed(format!("{name} field does not name its author beyond doubt"))
        }
        Err(BadAuthor::Sender(name)) => malformed(format!("{name} field is not one plain address")),
    }
}

/// Decides about a sender by what is known of it. Doubt never refuses for good: what DNS did not answer is
/// 451, and only where its "no" would have been heard.
pub(crate) fn sender(facts: Facts, rules: Rules) -> Result<(), Reply> {
    let findings = [
        (facts.bad_helo, rules.bad_helo, Reply::BAD_HELO),
        (facts.helo == Some(Standing::Unknown), rules.unknown_helo, Reply::UNKNOWN_HELO),
        (
            facts.sender_domain == Some(Standing::Unknown),
            rules.unknown_sender_domain,
            Reply::UNKNOWN_SENDER_DOMAIN,
        ),
        (
            facts.sender_domain == Some(Standing::NullMx),
            rules.unknown_sender_domain,
            Reply::SENDER_TAKES_NO_MAIL,
        ),
    ];
    let found = |wanted| findings.iter().find(|(found, verdict, _)| *found && *verdict == wanted);
    if let Some((_, _, reply)) = found(Verdict::Reject) {
        return Err(reply.clone());
    }
    let unsure = |standing, verdict: Verdict| standing == Some(Standing::Unsure) && verdict.refuses();
    if unsure(facts.helo, rules.unknown_helo) || unsure(facts.sender_domain, rules.unknown_sender_domain) {
        return Err(Reply::SENDER_UNSURE);
    }
    found(Verdict::Defer).map_or(Ok(()), |(_, _, reply)| Err(for_now(reply.clone())))
}

/// The same refusal, worth another try.
fn for_now(reply: Reply) -> Reply {
    let status = reply.status.map(|Status(_, subject, detail)| Status(4, subject, detail));
    Reply { code: 450, status, ..reply }
}

/// Delayed answers before a session gets its answers at once again: a mailing list with many dead names is
/// slowed, not stopped.
const MAX_DELAYS: u32 = 30;
/// Sessions that may wait for a delayed answer at once: guessers must not hold all slots.
const MAX_WAITING: usize = 100;

/// What is known of a client that may be guessing at names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guesses {
    /// Unknown recipients it named in this session.
    pub(crate) of_session: u32,
    /// Unknown recipients its address named of late.
    pub(crate) of_address: u32,
    /// How many an address may name; 0 for any number.
    pub(crate) allowed: u32,
    /// Answers of this session that were delayed.
    pub(crate) delays: u32,
    /// Sessions of all clients that wait now.
    pub(crate) waiting: usize,
}

/// How a recipient of such a client is treated, before anybody looks whether it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Answer,
    Wait,
    HangUp,
}

/// Decides how long a client waits for an answer to RCPT.
pub(crate) fn guessing(guesses: &Guesses) -> Patience {
    let Guesses { of_session, of_address, allowed, delays, waiting } = *guesses;
    let suspicious = of_address >= allowed || of_session >= allowed.div_ceil(2);
    match allowed {
        0 => Patience::Answer,
        _ if of_address >= allowed.saturating_mul(2) => Patience::HangUp,
        _ if !suspicious || delays >= MAX_DELAYS => Patience::Answer,
        _ if waiting >= MAX_WAITING => Patience::HangUp,
        _ => Patience::Wait,
    }
}

/// What a client hears whose login failed.
pub(crate) fn login_refusal(error: LoginError) -> Reply {
    match error {
        // One answer for both: a second one would tell a guesser that the password is right.
        LoginError::Refused | LoginError::Closed => Reply::LOGIN_REFUSED,
        LoginError::Malformed => Reply::BAD_LOGIN_DATA,
        LoginError::TooManyFailures | LoginError::Busy => Reply::LOGIN_LATER,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_directory::Place;

    use super::*;

    #[test]
    fn who_speaks_first_is_heard_only_where_the_switch_says_so() {
        assert_eq!(connect(true, EarlyTalker::default()), Err(Reply::TALKED_EARLY));
        assert_eq!(connect(false, EarlyTalker::Reject), Ok(()));
        assert_eq!(connect(true, EarlyTalker::Accept), Ok(()));
    }

    #[test]
    fn only_a_login_opens_the_way_out() {
        let ann = Address::parse("ann@example.org").unwrap();
        let local = Resolution::Targets(vec![Place::Account(ann.clone()).into()]);
        let forwarded = Resolution::Targets(vec![Place::Remote(ann.clone()).into()]);
        let elsewhere = Resolution::Elsewhere(ann);
        let cases = [
            (false, &local, Ok(())),
            (true, &local, Ok(())),
            (false, &forwarded, Ok(())),
            (false, &elsewhere, Err(Reply::RELAY_DENIED)),
            (true, &elsewhere, Ok(())),
            (false, &Resolution::Unknown, Err(Reply::UNKNOWN_USER)),
            (true, &Resolution::Unknown, Err(Reply::UNKNOWN_USER)),
            (false, &Resolution::Looping, Err(Reply::ALIAS_LOOP)),
            (false, &Resolution::Unavailable, Err(Reply::TRY_LATER)),
            (true, &Resolution::Unavailable, Err(Reply::TRY_LATER)),
        ];
        for (logged_in, resolution, expected) in cases {
            let facts = |recipients_so_far| RcptFacts {
                may_send: logged_in,
                resolution,
                no_way: None,
                full: None,
                recipients_so_far,
                most_recipients: 2,
            };
            assert_eq!(rcpt(&facts(1)), expected, "{resolution:?} {logged_in}");
            assert_eq!(rcpt(&facts(2)), Err(Reply::TOO_MANY_RECIPIENTS));
            // A way that ends at once is told to those alone who may go it.
            let no_way = Some(Reply::BUSY);
            let expected = expected.and(Err(Reply::BUSY));
            assert_eq!(rcpt(&RcptFacts { no_way, ..facts(1) }), expected, "{resolution:?} {logged_in}");
            let full = Some(Reply::BUSY);
            let expected =
                if matches!(resolution, Resolution::Elsewhere(_)) { rcpt(&facts(1)) } else { expected };
            assert_eq!(rcpt(&RcptFacts { full, ..facts(1) }), expected, "{resolution:?} {logged_in}");
        }
    }

    #[test]
    fn a_closed_account_sounds_like_a_wrong_password() {
        assert_eq!(login_refusal(LoginError::Closed), login_refusal(LoginError::Refused));
        assert_eq!(login_refusal(LoginError::Refused), Reply::LOGIN_REFUSED);
        assert_eq!(login_refusal(LoginError::Busy), Reply::LOGIN_LATER);
    }

    #[test]
    fn the_hundred_and_first_hop_is_a_loop() {
        let summary = |received| Ok(HeaderSummary { received, ..HeaderSummary::default() });
        assert_eq!(header(summary(100)), Ok(()));
        assert_eq!(header(summary(101)), Err(Reply::LOOP));
    }

    #[test]
    fn too_many_authors_are_refused_where_dmarc_counts_and_nowhere_else() {
        let several = || NoAuthor::Several;
        let many = || NoAuthor::Malformed(BadAuthors::TooMany);
        let cases = [
            (Some(several()), Check::Enforce, false),
            (Some(many()), Check::Enforce, false),
            (Some(several()), Check::Tag, true),
            (Some(several()), Check::Off, true),
            (Some(many()), Check::Off, true),
            (Some(NoAuthor::Malformed(BadAuthors::Malformed)), Check::Enforce, true),
            (Some(NoAuthor::NoField), Check::Enforce, true),
            (None, Check::Enforce, true),
        ];
        for (why, check, expected) in cases {
            assert_eq!(authors(why.as_ref(), check).is_ok(), expected, "{why:?} {check:?}");
        }
    }

    #[test]
    fn only_a_rule_that_rejects_refuses() {
        assert_eq!(header_rules(&Ruling { discard: true, ..Ruling::default() }), Ok(()));
        let reply =
            header_rules(&Ruling { reject: Some("No pills".into()), ..Ruling::default() }).unwrap_err();
        assert_eq!(reply.to_string(), "550 5.7.1 No pills");
        // As Postfix has it: a status of its own in front.
        for (text, expected) in
            [("4.7.1 come back", "450 4.7.1 come back"), ("5.7.9 never", "550 5.7.9 never")]
        {
            let ruling = Ruling { reject: Some(text.into()), ..Ruling::default() };
            assert_eq!(header_rules(&ruling).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn each_bad_header_has_a_permanent_reply_of_its_own() {
        let all = [
            BadHeader::TooLarge,
            BadHeader::FieldTooLong,
            BadHeader::TooManyFields,
            BadHeader::Nul,
            BadHeader::LeadingBlank,
            BadHeader::SecondFrom,
        ];
        let mut replies: Vec<Reply> = all.map(|bad| header(Err(bad)).unwrap_err()).into();
        assert!(replies.iter().all(Reply::is_permanent));
        replies.dedup();
        assert_eq!(replies.len(), all.len());
    }

    #[test]
    fn every_author_must_be_the_accounts_own() {
        let [ann, joe, far] = ["ann@example.org", "joe@example.org", "far@elsewhere.example"]
            .map(|text| Address::parse(text).unwrap());
        let is_ann = |address: &Address| *address == ann;
        let is_elsewhere = |address: &Address| *address == far;
        let refused = || Err(Reply::AUTHOR_NOT_YOURS);
        let cases = [
            (vec![], vec![], Ok(())),
            (vec![&ann], vec![], Ok(())),
            (vec![&ann, &joe], vec![], refused()),
            (vec![&joe], vec![], refused()),
            (vec![&far], vec![], refused()),
            // Sent again.
            (vec![&ann], vec![&far], Ok(())),
            (vec![&ann], vec![&far, &ann], Ok(())),
            (vec![&ann], vec![&joe], refused()),
            (vec![&ann], vec![&far, &joe], refused()),
            (vec![&joe], vec![&far], refused()),
            (vec![&far], vec![&ann], refused()),
        ];
        for (now, before, usual) in cases {
            let list = |list: Vec<&Address>| list.into_iter().cloned().collect();
            let authors = Ok(Authors { now: list(now), before: list(before) });
            let found = |foreign| author(&authors, is_ann, is_elsewhere, foreign);
            assert_eq!(found(ForeignSenders::default()), usual, "{authors:?}");
            assert_eq!(found(ForeignSenders::Accept), Ok(()), "{authors:?}");
        }
        for foreign in [ForeignSenders::Reject, ForeignSenders::Accept] {
            let unclear =
                author(&Err(BadAuthor::Authors("Resent-From")), is_ann, is_elsewhere, foreign).unwrap_err();
            let expected = "550 5.6.0 Resent-From field does not name its author beyond doubt";
            assert_eq!(unclear.to_string(), expected);
        }
    }

    #[test]
    fn a_foreign_reverse_path_is_taken_only_where_the_switch_says_so() {
        let cases = [
            (true, ForeignSenders::Reject, Ok(())),
            (true, ForeignSenders::Accept, Ok(())),
            (false, ForeignSenders::Reject, Err(Reply::SENDER_NOT_YOURS)),
            (false, ForeignSenders::Accept, Ok(())),
        ];
        for (is_own, foreign, expected) in cases {
            assert_eq!(reverse_path(is_own, foreign), expected, "{is_own} {foreign:?}");
        }
        assert_eq!(reverse_path(false, ForeignSenders::default()), Err(Reply::SENDER_NOT_YOURS));
    }

    #[test]
    fn guessers_wait_and_then_are_left() {
        let none = Guesses { of_session: 0, of_address: 0, allowed: 20, delays: 0, waiting: 0 };
        let cases = [
            (none, Patience::Answer),
            (Guesses { of_session: 9, of_address: 9, ..none }, Patience::Answer),
            (Guesses { of_session: 10, of_address: 10, ..none }, Patience::Wait),
            (Guesses { of_address: 19, ..none }, Patience::Answer),
            (Guesses { of_address: 20, ..none }, Patience::Wait),
            (Guesses { of_address: 39, delays: 29, ..none }, Patience::Wait),
            (Guesses { of_address: 39, delays: 30, ..none }, Patience::Answer),
            (Guesses { of_address: 40, delays: 30, ..none }, Patience::HangUp),
            (Guesses { of_address: 20, waiting: 99, ..none }, Patience::Wait),
            (Guesses { of_address: 20, waiting: 100, ..none }, Patience::HangUp),
            (
                Guesses { of_session: 99, of_address: 99, allowed: 0, delays: 0, waiting: 200 },
                Patience::Answer,
            ),
        ];
        for (guesses, expected) in cases {
            assert_eq!(guessing(&guesses), expected, "{guesses:?}");
        }
    }

    #[test]
    fn a_sender_is_refused_only_where_the_rules_say_so_and_dns_is_sure() {
        let all =
            |verdict| Rules { bad_helo: verdict, unknown_helo: verdict, unknown_sender_domain: verdict };
        let bad_helo = Facts { bad_helo: true, ..Facts::default() };
        let helo = |standing| Facts { helo: Some(standing), ..Facts::default() };
        let domain = |standing| Facts { sender_domain: Some(standing), ..Facts::default() };
        let (reject, defer) = (all(Verdict::Reject), all(Verdict::Defer));
        let deferred = |reply| Err(for_now(reply));
        let cases = [
            (Facts::default(), reject, Ok(())),
            (bad_helo, reject, Err(Reply::BAD_HELO)),
            (bad_helo, defer, deferred(Reply::BAD_HELO)),
            (bad_helo, all(Verdict::Junk), Ok(())),
            (helo(Standing::Known), reject, Ok(())),
            (helo(Standing::NullMx), reject, Ok(())),
            (helo(Standing::Unknown), reject, Err(Reply::UNKNOWN_HELO)),
            (helo(Standing::Unsure), reject, Err(Reply::SENDER_UNSURE)),
            (domain(Standing::Known), reject, Ok(())),
            (domain(Standing::Unknown), reject, Err(Reply::UNKNOWN_SENDER_DOMAIN)),
            (domain(Standing::Unknown), defer, deferred(Reply::UNKNOWN_SENDER_DOMAIN)),
            (domain(Standing::Unknown), all(Verdict::Accept), Ok(())),
            (domain(Standing::NullMx), reject, Err(Reply::SENDER_TAKES_NO_MAIL)),
            (domain(Standing::Unsure), reject, Err(Reply::SENDER_UNSURE)),
            (domain(Standing::Unsure), defer, Err(Reply::SENDER_UNSURE)),
            (domain(Standing::Unsure), all(Verdict::Junk), Ok(())),
            (Facts { bad_helo: true, ..domain(Standing::Unsure) }, reject, Err(Reply::BAD_HELO)),
            (Facts { bad_helo: true, ..domain(Standing::Unsure) }, defer, Err(Reply::SENDER_UNSURE)),
        ];
        for (facts, rules, expected) in cases {
            assert_eq!(sender(facts, rules), expected, "{facts:?} {rules:?}");
        }
        let deferred = for_now(Reply::UNKNOWN_SENDER_DOMAIN);
        assert_eq!((deferred.code, deferred.status), (450, Some(Status(4, 1, 8))));
    }
}
