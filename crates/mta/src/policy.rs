//! The decisions: pure functions from facts to verdicts. Only this file decides.

use kings_directory::{LoginError, Resolution};
use kings_mail::address::Address;
use kings_mail::envelope::MAX_RECEIVED_FIELDS;
use kings_mail::header::{BadHeader, HeaderSummary};
use kings_smtp::reply::{Reply, Status};

use crate::author::BadAuthor;

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

/// Everything the RCPT decision may look at, gathered beforehand.
pub(crate) struct RcptFacts<'a> {
    /// The client has logged in.
    pub(crate) logged_in: bool,
    /// What the recipient stands for.
    pub(crate) resolution: &'a Resolution,
    /// Recipients accepted in this transaction so far.
    pub(crate) recipients_so_far: usize,
    /// Most recipients of one transaction.
    pub(crate) most_recipients: usize,
}

/// Decides one RCPT. "Are we an open relay?" is answered by the last two lines.
pub(crate) fn rcpt(facts: &RcptFacts<'_>) -> Result<(), Reply> {
    if facts.recipients_so_far >= facts.most_recipients {
        return Err(Reply::TOO_MANY_RECIPIENTS);
    }
    match (facts.resolution, facts.logged_in) {
        (Resolution::Targets(_), _) => Ok(()),
        (Resolution::Unknown, _) => Err(Reply::UNKNOWN_USER),
        (Resolution::Looping, _) => Err(Reply::ALIAS_LOOP),
        (Resolution::Unavailable, _) => Err(Reply::TRY_LATER),
        (Resolution::Elsewhere(_), true) => Ok(()),
        (Resolution::Elsewhere(_), false) => Err(Reply::RELAY_DENIED),
    }
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
        Err(BadHeader::Nul) => Err(Reply::BAD_LINE_ENDS),
    }
}

/// Decides whether a logged-in account may write as these authors (RFC 6409 §6.1, §8.1).
pub(crate) fn author(
    authors: &Result<Vec<Address>, BadAuthor>,
    is_own: impl Fn(&Address) -> bool,
) -> Result<(), Reply> {
    let malformed = |text| Err(Reply::new(550, Status(5, 6, 0), text));
    match authors {
        Ok(authors) if authors.iter().all(is_own) => Ok(()),
        Ok(_) => Err(Reply::AUTHOR_NOT_YOURS),
        Err(BadAuthor::From) => malformed("From field does not name its author beyond doubt"),
        Err(BadAuthor::Sender) => malformed("Sender field is not one plain address"),
    }
}

/// What a client hears whose login failed.
pub(crate) fn login_refusal(error: LoginError) -> Reply {
    match error {
        LoginError::Refused => Reply::LOGIN_REFUSED,
        LoginError::TooManyFailures | LoginError::Busy => Reply::LOGIN_LATER,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_directory::Target;

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
        let local = Resolution::Targets(vec![Target::Account(ann.clone())]);
        let forwarded = Resolution::Targets(vec![Target::Remote(ann.clone())]);
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
                logged_in,
                resolution,
                recipients_so_far,
                most_recipients: 2,
            };
            assert_eq!(rcpt(&facts(1)), expected, "{resolution:?} {logged_in}");
            assert_eq!(rcpt(&facts(2)), Err(Reply::TOO_MANY_RECIPIENTS));
        }
    }

    #[test]
    fn the_hundred_and_first_hop_is_a_loop() {
        let summary = |received| Ok(HeaderSummary { received, ..HeaderSummary::default() });
        assert_eq!(header(summary(100)), Ok(()));
        assert_eq!(header(summary(101)), Err(Reply::LOOP));
    }

    #[test]
    fn each_bad_header_has_a_permanent_reply_of_its_own() {
        let all = [
            BadHeader::TooLarge,
            BadHeader::FieldTooLong,
            BadHeader::TooManyFields,
            BadHeader::Nul,
            BadHeader::SecondFrom,
        ];
        let mut replies: Vec<Reply> = all.map(|bad| header(Err(bad)).unwrap_err()).into();
        assert!(replies.iter().all(Reply::is_permanent));
        replies.dedup();
        assert_eq!(replies.len(), all.len());
    }

    #[test]
    fn every_author_must_be_the_accounts_own() {
        let [ann, joe] = ["ann@example.org", "joe@example.org"].map(|text| Address::parse(text).unwrap());
        let is_ann = |address: &Address| *address == ann;
        assert_eq!(author(&Ok(vec![ann.clone()]), is_ann), Ok(()));
        assert_eq!(author(&Ok(vec![ann.clone(), joe]), is_ann), Err(Reply::AUTHOR_NOT_YOURS));
        assert!(author(&Err(BadAuthor::From), is_ann).is_err());
    }
}
