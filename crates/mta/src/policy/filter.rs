//! What a filter of another mail server does with a message, and what that server is to do with it: pure functions.

use kings_msgauth::dkim::{Report, SignError, Verdict, Word};

use crate::signing::{CannotSign, Fault};

/// What the mail server is asked to do with a message (opendkim.conf(5), `On-BadSignature`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    #[default]
    Accept,
    /// Say yes and throw it away.
    Discard,
    /// Hold it back for a person to look at.
    Quarantine,
    /// Refuse it for good.
    Reject,
    /// Refuse it for now.
    TempFail,
}

/// The `On-` settings of opendkim.conf(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    /// A signature is not the message's, and none is good.
    pub bad_signature: Action,
    /// The key cannot be had now.
    pub dns_error: Action,
    /// Something is wrong with ourselves.
    pub internal_error: Action,
    /// There is no such key.
    pub key_not_found: Action,
    /// Nobody has signed.
    pub no_signature: Action,
    /// The message is larger than any that we look at.
    pub security: Action,
    /// The message is ours and cannot be signed.
    pub signature_error: Action,
}

impl Default for Handling {
    /// OpenDKIM's.
    fn default() -> Self {
        Self {
            bad_signature: Action::Accept,
            dns_error: Action::TempFail,
            internal_error: Action::TempFail,
            key_not_found: Action::Accept,
            no_signature: Action::Accept,
            security: Action::TempFail,
            signature_error: Action::Reject,
        }
    }
}

impl Handling {
    /// Nothing is refused: results are recorded alone.
    pub const RECORD: Self = Self {
        bad_signature: Action::Accept,
        dns_error: Action::Accept,
        internal_error: Action::TempFail,
        key_not_found: Action::Accept,
        no_signature: Action::Accept,
        security: Action::Accept,
        signature_error: Action::TempFail,
    };
}

/// `Mode`: what a filter is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `s`
    Sign,
    /// `v`
    Verify,
    /// `sv`
    Both,
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A host of ours, a login, or a macro that the operator trusts.
    Ours,
    /// Anywhere else.
    Outside,
}

/// What is done with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Sign,
    Verify,
    Nothing,
}

/// Decides between the two, as OpenDKIM does: what is ours and has a key is signed, everything else is verified.
pub(crate) fn role(mode: Mode, origin: Origin, has_key: bool) -> Role {
    match (mode, origin) {
        (Mode::Sign | Mode::Both, Origin::Ours) if has_key => Role::Sign,
        (Mode::Verify | Mode::Both, _) => Role::Verify,
        (Mode::Sign, _) => Role::Nothing,
    }
}

/// Decides what follows from the signatures. One that is good is enough; of several that are not, one whose key may
/// come later speaks first, since a later try may pass. A domain that tests its key is held to nothing (RFC 6376 §3.6.1).
pub(crate) fn verified(report: &Report, handling: Handling) -> Action {
    if report.too_large.is_some() {
        return handling.security;
    }
    if report.signatures.is_empty() {
        return handling.no_signature;
    }
    let is = |word: Word| report.signatures.iter().any(|checked| checked.verdict.word() == word);
    if is(Word::Pass) {
        return Action::Accept;
    }
    if is(Word::TempError) {
        return handling.dns_error;
    }
    let counts = report.signatures.iter().find(|checked| !checked.testing);
    match counts.map(|checked| &checked.verdict) {
        None => Action::Accept,
        Some(Verdict::NoKey) => handling.key_not_found,
        Some(_) => handling.bad_signature,
    }
}

/// Decides what becomes of mail of ours that cannot be signed, as OpenDKIM does: a key that is not there is waited for
/// whatever the settings say, one that is none is an error of ours.
pub(crate) fn unsigned(cause: &CannotSign, handling: Handling) -> Action {
    match cause {
        CannotSign::UnknownKey(_) | CannotSign::Key { fault: Fault::Unreadable(_), .. } => Action::TempFail,
        CannotSign::Message(SignError::TooLarge(_)) => handling.security,
        CannotSign::Message(SignError::NoFrom) => handling.signature_error,
        CannotSign::Key { fault: Fault::NoKey(_), .. }
        | CannotSign::Read(_)
        | CannotSign::Message(SignError::Crypto) => handling.internal_error,
    }
}

#[cfg(test)]
mod tests {
    use kings_mail::domain::Domain;
    use kings_msgauth::dkim::Checked;

    use super::*;

    #[test]
    fn ours_with_a_key_is_signed_and_the_rest_is_verified() {
        let cases = [
            (Mode::Both, Origin::Ours, true, Role::Sign),
            (Mode::Both, Origin::Ours, false, Role::Verify),
            (Mode::Both, Origin::Outside, true, Role::Verify),
            (Mode::Sign, Origin::Ours, true, Role::Sign),
            (Mode::Sign, Origin::Ours, false, Role::Nothing),
            (Mode::Sign, Origin::Outside, true, Role::Nothing),
            (Mode::Verify, Origin::Ours, true, Role::Verify),
        ];
        for (mode, origin, has_key, expected) in cases {
            assert_eq!(role(mode, origin, has_key), expected, "{mode:?} {origin:?} {has_key}");
        }
    }

    #[test]
    fn mail_that_cannot_be_signed_is_held_against_whoever_is_at_fault() {
        let handling = Handling::default();
        let key = |fault: fn(String) -> Fault| CannotSign::Key {
            domain: Domain::parse("example.org").expect("a domain"),
            selector: "s".to_owned(),
            fault: fault(String::new()),
        };
        let lenient = Handling { internal_error: Action::Accept, ..handling };
        let cases = [
            (SignError::NoFrom.into(), handling, Action::Reject),
            (SignError::Crypto.into(), handling, Action::TempFail),
            (CannotSign::UnknownKey(String::new()), lenient, Action::TempFail),
            (key(Fault::Unreadable), lenient, Action::TempFail),
            (key(Fault::NoKey), handling, Action::TempFail),
            (key(Fault::NoKey), lenient, Action::Accept),
        ];
        for (cause, handling, expected) in cases {
            assert_eq!(unsigned(&cause, handling), expected, "{cause:?}");
        }
    }

    #[test]
    fn each_outcome_has_the_action_of_its_name() {
        let strict = Handling {
            bad_signature: Action::Reject,
            dns_error: Action::TempFail,
            key_not_found: Action::Discard,
            no_signature: Action::Quarantine,
            ..Handling::default()
        };
        let valid = || Verdict::Valid { rsa_bits: None };
        let late = || Verdict::KeyUnavailable(String::new());
        let cases = [
            (vec![], Action::Quarantine),
            (vec![(valid(), false)], Action::Accept),
            (vec![(Verdict::BodyChanged, false)], Action::Reject),
            (vec![(Verdict::BodyChanged, true)], Action::Accept),
            (vec![(Verdict::NoKey, false)], Action::Discard),
            (vec![(Verdict::BodyChanged, false), (valid(), false)], Action::Accept),
            (vec![(Verdict::BodyChanged, false), (late(), false)], Action::TempFail),
            (vec![(Verdict::HeaderChanged, true), (Verdict::NoKey, false)], Action::Discard),
        ];
        for (verdicts, expected) in cases {
            let checked = |(verdict, testing)| Checked { verdict, testing, claim: None };
            let report =
                Report { signatures: verdicts.into_iter().map(checked).collect(), ..Report::default() };
            assert_eq!(verified(&report, strict), expected, "{report:?}");
        }
    }
}
