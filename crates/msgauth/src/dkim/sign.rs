//! Signing: the message passes by, and the fields to put in front of it come out.

use aws_lc_rs::digest::{Context, Digest, SHA256};
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;

use super::base64;
use super::canonical::{BodyHasher, Canonicalization};
use super::fold::Folder;
use super::header::{Header, HeaderTooLarge};
use super::private_key::PrivateKey;
use super::signature::Selector;
use super::stream::{self, Stream};

/// How often a signature covers a name (RFC 6376 §5.4, §8.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// As often as the field is there.
    Present,
    /// Once more where it is there, so that none can be added.
    PresentAndOneMore,
    /// Once more always, so that none can be added where there was none.
    OneMore,
}

/// How to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The fields to cover; From is covered whether it stands here or not.
    pub names: Vec<(String, Cover)>,
    /// `c=`, first half.
    pub header_form: Canonicalization,
    /// `c=`, second half.
    pub body_form: Canonicalization,
    /// Seconds until `x=`; without it a signature stays valid.
    pub valid_for: Option<u64>,
}

/// Fields that people see or that change how the message reads: nobody may add one.
const NEVER_ADDED: &[&str] =
    &["from", "reply-to", "subject", "to", "cc", "content-type", "content-transfer-encoding"];
/// Fields that a message has once, if at all.
const ONCE: &[&str] = &["sender", "date", "message-id", "mime-version", "in-reply-to", "references"];
/// Fields that others may add on the way: resending, and mailing lists (RFC 6376 §5.4.1).
const WHERE_PRESENT: &[&str] = &[
    "content-id",
    "content-description",
    "resent-date",
    "resent-from",
    "resent-sender",
    "resent-to",
    "resent-cc",
    "resent-message-id",
    "list-id",
    "list-help",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "list-subscribe",
    "list-post",
    "list-owner",
    "list-archive",
    "feedback-id",
    "autocrypt",
];

impl Default for Rules {
    /// The fields of RFC 6376 §5.4.1 and those that large receivers ask for (RFC 8058 §4), relaxed/relaxed, valid
    /// for ever.
    fn default() -> Self {
        let of = |names: &[&'static str], cover| {
            names.iter().map(|name| ((*name).to_owned(), cover)).collect::<Vec<_>>()
        };
        let names = [
            of(NEVER_ADDED, Cover::OneMore),
            of(ONCE, Cover::PresentAndOneMore),
            of(WHERE_PRESENT, Cover::Present),
        ];
        Self {
            names: names.concat(),
            header_form: Canonicalization::Relaxed,
            body_form: Canonicalization::Relaxed,
            valid_for: None,
        }
    }
}

impl Rules {
    /// `h=` for a header: each name as often as its rule says.
    pub(crate) fn names_for(&self, header: &Header) -> Result<Vec<String>, SignError> {
        if header.named("from").len() == 0 {
            return Err(SignError::NoFrom);
        }
        let mut covered = Vec::new();
        let from = ("from".to_owned(), Cover::OneMore);
        let from = self.names.iter().all(|(name, _)| !name.eq_ignore_ascii_case("from")).then_some(&from);
        for (name, cover) in from.into_iter().chain(&self.names) {
            let name = name.to_ascii_lowercase();
            let present = header.named(&name).len();
            let more = match cover {
                Cover::Present => 0,
                Cover::PresentAndOneMore => usize::from(present > 0),
                Cover::OneMore => 1,
            };
            covered.extend(std::iter::repeat_n(name, present + more));
        }
        Ok(covered)
    }
}

/// In whose name to sign.
#[derive(Clone, Copy, Debug)]
pub struct SigningIdentity<'a> {
    /// `d=`
    pub domain: &'a Domain,
    /// `s=`: where the public half of the key is published.
    pub selector: &'a Selector,
    /// The key.
    pub key: &'a PrivateKey,
    /// `i=`: who in or below that domain signs, in Unicode. Not said, it is the domain.
    pub agent: Option<&'a str>,
}

/// Why a message cannot be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The header is larger than any message of ours.
    #[error("{0}")]
    TooLarge(#[from] HeaderTooLarge),
    /// A signature must cover it (RFC 6376 §5.4).
    #[error("the message has no From field")]
    NoFrom,
    /// The library refused, for lack of memory or of chance.
    #[error("the signature could not be made")]
    Crypto,
}

/// Takes the message that will be sent, in pieces of any size.
pub struct Signer {
    rules: Rules,
    stream: Stream<SignedBody>,
}

/// The message from its empty line on.
pub(crate) struct SignedBody {
    pub(crate) header: Header,
    pub(crate) hasher: BodyHasher,
}

impl SignedBody {
    pub(crate) fn new(header: Header, form: Canonicalization) -> Self {
        Self { header, hasher: BodyHasher::new(form, None) }
    }
}

impl stream::Body for SignedBody {
    fn push(&mut self, piece: &[u8]) {
        self.hasher.push(piece);
    }
}

impl Signer {
    /// Waits for the first octet.
    pub fn new(rules: Rules) -> Self {
        Self { rules, stream: Stream::default() }
    }

    /// Takes the next octets as they will be sent, before dots are stuffed. LF alone counts as CRLF, as which it
    /// will be sent; everything else is signed as it is.
    pub fn push(&mut self, piece: &[u8]) {
        let form = self.rules.body_form;
        self.stream.push(piece, |header| SignedBody::new(header, form));
    }

    /// The message is whole: one DKIM-Signature field for each identity, in order, each with its CRLF, to be put
    /// in front of the message.
    pub fn finish(self, identities: &[SigningIdentity<'_>], now: DateTime) -> Result<String, SignError> {
        let form = self.rules.body_form;
        let SignedBody { header, hasher } = self.stream.end(|header| SignedBody::new(header, form))?;
        let names = self.rules.names_for(&header)?;
        let body_hash = base64::encode(hasher.finish().hash);
        let now = u64::try_from(now.unix()).unwrap_or(0);
        let mut covered = Context::new(&SHA256);
        header.hash(&names, self.rules.header_form, &mut covered);
        let mut fields = String::new();
        for identity in identities {
            let mut field = self.rules.unsigned(identity, &names, &body_hash, now);
            let hash = with_field(covered.clone(), self.rules.header_form, field.text());
            field.base64(&base64::encode(identity.key.sign(&hash).ok_or(SignError::Crypto)?));
            fields.push_str(&field.finish());
        }
        Ok(fields)
    }
}

/// RFC 6376 §3.7: the field itself comes last, without its CRLF.
pub(crate) fn with_field(mut covered: Context, form: Canonicalization, field: &str) -> Digest {
    let mut canonical = Vec::new();
    form.field(field.as_bytes(), &mut canonical);
    covered.update(&canonical);
    covered.finish()
}

/// RFC 6376 §2.11; what is beyond ASCII is encoded octet by octet.
fn quoted_printable(text: &str) -> String {
    let is_safe = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b';' | b'=' | b'|');
    let octet = |octet: u8| {
        if is_safe(octet) { char::from(octet).to_string() } else { format!("={octet:02X}") }
    };
    text.bytes().map(octet).collect()
}

impl Rules {
    /// The field up to `b=`.
    fn unsigned(
        &self,
        identity: &SigningIdentity<'_>,
        names: &[String],
        body_hash: &str,
        now: u64,
    ) -> Folder {
        let mut field = Folder::new("DKIM-Signature:");
        field.word(" v=1;");
        if let Some(agent) = identity.agent {
            field.word(&format!(" i={};", quoted_printable(agent)));
        }
        self.claims(&mut field, identity, names, body_hash, now);
        field
    }

    /// The tags that DKIM and ARC share, up to `b=`.
    pub(crate) fn claims(
        &self,
        field: &mut Folder,
        identity: &SigningIdentity<'_>,
        names: &[String],
        body_hash: &str,
        now: u64,
    ) {
        field.word(&format!(" a={};", identity.key.algorithm().as_str()));
        field.word(&format!(" c={}/{};", self.header_form.as_str(), self.body_form.as_str()));
        field.word(&format!(" d={};", identity.domain));
        field.word(&format!(" s={};", identity.selector));
        field.word(&format!(" t={now};"));
        if let Some(seconds) = self.valid_for {
            field.word(&format!(" x={};", now.saturating_add(seconds)));
        }
        field.list(" h=", names);
        field.word(&format!(" bh={body_hash};"));
        field.word(" b=");
    }
}
