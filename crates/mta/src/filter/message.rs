//! One message on its way through a filter: its header is kept until it ends, its body is hashed and forgotten.

use kings_dns::Dns;
use kings_mail::address::Address;
use kings_mail::header::{Fields, without_lookalikes};
use kings_mail::path::ReversePath;
use kings_milter::{Answer, Change};
use kings_msgauth::dkim::Signer;
use kings_msgauth::results;
use tracing::{error, info, warn};

use super::session::Client;
use super::{Action, Names, Settings, Shared};
use crate::authenticate::{Check, Claims, Evidence};
use crate::author;
use crate::core::now;
use crate::policy::filter::{self as policy, Mode, Origin, Role};

const SIGNATURE: &str = "DKIM-Signature";

pub(super) struct Message {
    reverse_path: ReversePath,
    names: Names,
    /// The header so far, with CRLFs.
    head: Vec<u8>,
    octets: u64,
    results: Numbered,
    signatures: Numbered,
    work: Work,
    /// One of its recipients gets no mail that we have signed.
    goes_unsigned: bool,
}

/// Fields of one name, and which of them have to go, counted from 1 (`smfi_chgheader`).
#[derive(Default)]
struct Numbered {
    seen: u32,
    to_remove: Vec<u32>,
}

impl Numbered {
    fn see(&mut self, goes: bool) {
        self.seen = self.seen.saturating_add(1);
        if goes {
            self.to_remove.push(self.seen);
        }
    }

    /// From the last to the first: mail servers differ in whether a field that has gone still counts.
    fn removals(&self, name: &str) -> impl Iterator<Item = Change> {
        self.to_remove.iter().rev().map(move |at| Change::ChangeHeader(*at, name.into(), Vec::new()))
    }
}

enum Work {
    Nothing,
    Sign(Address, Box<Signer>),
    Verify(Box<Evidence>),
    TooLarge,
}

impl Message {
    pub(super) fn new(reverse_path: ReversePath, names: Names) -> Self {
        Self {
            reverse_path,
            names,
            head: Vec::new(),
            octets: 0,
            results: Numbered::default(),
            signatures: Numbered::default(),
            work: Work::Nothing,
            goes_unsigned: false,
        }
    }

    /// Takes a recipient; the mail server may refuse it yet, as OpenDKIM does not see either.
    pub(super) fn recipient<D>(&mut self, shared: &Shared<D>, address: &str) {
        self.goes_unsigned |= shared.settings.unsigned_to.contains(address);
    }

    /// Takes one field. `spaced` says that the value has the blank behind the colon, if there is one.
    pub(super) fn header<D>(&mut self, shared: &Shared<D>, name: &[u8], value: &[u8], spaced: bool) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is(results::FIELD) {
            self.results.see(shared.settings.results.goes(&self.names, value));
        } else if is(SIGNATURE) {
            self.signatures.see(shared.settings.replaces_signatures);
        }
        if self.head.len() + name.len() + value.len() + 4 > shared.settings.limits.header_bytes {
            self.work = Work::TooLarge;
            return;
        }
        self.head.extend_from_slice(name);
        self.head.extend_from_slice(if spaced { b":" } else { b": " });
        for (number, line) in value.split(|octet| *octet == b'\n').enumerate() {
            if number > 0 {
                self.head.extend_from_slice(b"\r\n");
            }
            self.head.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        }
        self.head.extend_from_slice(b"\r\n");
    }

    /// The header is whole: decides what is done. False where nothing is, and the rest need not be seen.
    pub(super) fn end_of_header<D: Dns + 'static>(
        &mut self,
        shared: &Shared<D>,
        client: &Client,
        origin: Origin,
    ) -> bool {
        if matches!(self.work, Work::TooLarge) {
            return true;
        }
        let Settings { mode, signing, rules, methods, .. } = &shared.settings;
        let author = author::first_author(&self.head);
        let domain = author.as_ref().and_then(Address::domain);
        if domain.is_some_and(|domain| shared.settings.exempt.contains(domain)) {
            return !self.results.to_remove.is_empty();
        }
        let author = author.filter(|author| signing.has_key(author));
        if self.goes_unsigned && origin == Origin::Ours && author.is_some() && *mode != Mode::Verify {
            return !self.results.to_remove.is_empty();
        }
        let head = [&self.head[..], b"\r\n"].concat();
        self.octets = head.len() as u64;
        match (policy::role(*mode, origin, author.is_some()), author) {
            (Role::Sign, Some(author)) => {
                let mut signer = Signer::new(rules.clone());
                // What is removed must not be signed.
                let goes = |value: &[u8]| shared.settings.results.goes(&self.names, value);
                let rest = without_lookalikes(&head, |line| line.is(results::FIELD) && goes(line.value));
                signer.push(&rest.unwrap_or(head));
                self.work = Work::Sign(author, Box::new(signer));
            }
            (Role::Verify, author) => {
                if let Some(author) = author.filter(|_| origin == Origin::Outside) {
                    tell_of_stranger(shared, client, &author);
                }
                let claims = Claims {
                    client: client.address,
                    helo: &client.helo,
                    reverse_path: &self.reverse_path,
                    receiver: &self.names.authserv_id,
                    now: now(),
                };
                let mut evidence = Evidence::begin(&shared.dns, *methods, &claims);
                evidence.content(&shared.dns, &head);
                self.work = Work::Verify(Box::new(evidence));
            }
            (Role::Sign | Role::Nothing, _) => return !self.results.to_remove.is_empty(),
        }
        true
    }

    /// Takes a piece of the body.
    pub(super) fn body<D: Dns + 'static>(&mut self, shared: &Shared<D>, piece: &[u8]) {
        self.octets = self.octets.saturating_add(piece.len() as u64);
        if self.octets > shared.settings.limits.message_bytes {
            self.work = Work::TooLarge;
        }
        match &mut self.work {
            Work::Sign(_, signer) => signer.push(piece),
            Work::Verify(evidence) => evidence.content(&shared.dns, piece),
            Work::Nothing | Work::TooLarge => {}
        }
    }

    /// The message is whole: what is changed, and what becomes of it.
    pub(super) async fn finish<D: Dns + 'static>(
        mut self,
        shared: &Shared<D>,
        id: &str,
        spaced: bool,
    ) -> (Vec<Change>, Answer) {
        let mut changes: Vec<Change> = self.results.removals(results::FIELD).collect();
        let (fields, action, reason) = match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => (String::new(), Action::Accept, Reason::Ourselves),
            Work::TooLarge => {
                warn!(id, "larger than any message that is signed or verified");
                (String::new(), shared.settings.handling.security, Reason::Ourselves)
            }
            Work::Sign(author, signer) => {
                let (fields, action) = sign(shared, author, *signer, id).await;
                if !fields.is_empty() {
                    changes.extend(self.signatures.removals(SIGNATURE));
                }
                (fields, action, Reason::Ourselves)
            }
            Work::Verify(evidence) => {
                let (field, action) = self.verify(shared, *evidence, id).await;
                (field, action, Reason::Signatures)
            }
        };
        changes.extend(insertions(&fields, spaced));
        outcome(changes, action, reason)
    }

    async fn verify<D: Dns + 'static>(
        &self,
        shared: &Shared<D>,
        evidence: Evidence,
        id: &str,
    ) -> (String, Action) {
        let Settings { methods, handling, records_unsigned, .. } = &shared.settings;
        let findings = evidence.findings(&shared.dns, &self.head, now()).await;
        let report = findings.dkim.as_ref();
        let action = report.map_or(Action::Accept, |report| policy::verified(report, *handling));
        let word = report.map(|report| report.word().as_str());
        info!(id, dkim = word, ?action, "verified");
        let others =
            [methods.spf, methods.dmarc, methods.iprev, methods.arc].iter().any(|check| *check != Check::Off);
        let is_signed = report.is_some_and(|report| !report.signatures.is_empty());
        if !(others || is_signed || *records_unsigned) {
            return (String::new(), action);
        }
        (findings.field(*methods, &self.names.authserv_id), action)
    }
}

/// OpenDKIM's "external host attempted to send as": most often a host that is missing among those of ours.
fn tell_of_stranger<D>(shared: &Shared<D>, client: &Client, author: &Address) {
    let Client { address, name, .. } = client;
    if !shared.settings.ignored.contains(*address, name.as_deref()) {
        warn!(client = %address, %author, "a client from outside sends in the name of our domain");
    }
}

/// The signatures of a message of ours, and what becomes of it.
async fn sign<D>(shared: &Shared<D>, author: Address, signer: Signer, id: &str) -> (String, Action) {
    let Settings { signing, handling, .. } = &shared.settings;
    match signing.finish(author.clone(), signer).await {
        Ok(fields) => {
            info!(id, %author, "signed");
            (fields, Action::Accept)
        }
        Err(cause) => {
            error!(id, %author, %cause, "a message of ours cannot be signed");
            (String::new(), policy::unsigned(&cause, *handling))
        }
    }
}

/// Puts fields at the very top, in their order: each goes before the one that was put there before it.
fn insertions(fields: &str, spaced: bool) -> Vec<Change> {
    let insertion = |name: &str, value: &[u8]| {
        let value: Vec<u8> = value.iter().copied().filter(|octet| *octet != b'\r').collect();
        let value = value.strip_suffix(b"\n").unwrap_or(&value);
        let value = if spaced { value } else { value.strip_prefix(b" ").unwrap_or(value) };
        Change::InsertHeader(0, name.into(), value.to_vec())
    };
    let mut changes: Vec<Change> =
        Fields::new(fields.as_bytes()).map(|field| insertion(field.name, field.value)).collect();
    changes.reverse();
    changes
}

/// What a refusal is about.
#[derive(Clone, Copy)]
enum Reason {
    /// The message has no good signature.
    Signatures,
    /// It is too large for us, or we could not sign it.
    Ourselves,
}

/// The one place where an action becomes a word of the protocol. A message that is refused is not changed.
///
/// 5.7.20 says that no signature passed (RFC 7372 §3.1); a key that cannot be had now is no verdict on the message but
/// what 4.7.5 is for (RFC 3463 §3.8).
fn outcome(mut changes: Vec<Change>, action: Action, reason: Reason) -> (Vec<Change>, Answer) {
    let reply: &[u8] = match (action, reason) {
        (Action::Accept, _) => return (changes, Answer::Accept),
        (Action::Quarantine, _) => {
            changes.push(Change::Quarantine(b"message authentication".to_vec()));
            return (changes, Answer::Accept);
        }
        (Action::Discard, _) => return (Vec::new(), Answer::Discard),
        (Action::Reject, Reason::Signatures) => b"550 5.7.20 No passing DKIM signature found",
        (Action::Reject, Reason::Ourselves) => b"550 5.7.0 The message cannot be signed or verified",
        (Action::TempFail, Reason::Signatures) => b"451 4.7.5 DKIM signatures cannot be verified now",
        (Action::TempFail, Reason::Ourselves) => b"451 4.7.0 The message cannot be signed or verified now",
    };
    (Vec::new(), Answer::Reply(reply.to_vec()))
}
