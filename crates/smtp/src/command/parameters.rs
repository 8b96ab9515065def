//! Parameters of MAIL and RCPT (RFC 5321 §4.1.1.11): what extensions add, each only where it was offered.

use kings_mail::date::DateTime;
use kings_mail::envelope::{Body, Hold, MailParameters, Recipient};
use kings_mail::path::ForwardPath;
use kings_mail::report::{EnvelopeId, Notify, OriginalRecipient, Return};

use super::{Offered, SyntaxError, Upper, digits};

/// `KEYWORD[=value]` with spaces between; none may come twice (RFC 5321 §4.1.1.11).
fn keywords(text: &str) -> Result<Vec<(&str, Option<&str>)>, SyntaxError> {
    let mut found: Vec<(&str, Option<&str>)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (keyword, value) =
            word.split_once('=').map_or((word, None), |(keyword, value)| (keyword, Some(value)));
        if found.iter().any(|(known, _)| known.eq_ignore_ascii_case(keyword)) {
            return Err(SyntaxError::BadArgument);
        }
        found.push((keyword, value));
    }
    Ok(found)
}

pub(super) fn mail_parameters(text: &str, offered: Offered<'_>) -> Result<MailParameters, SyntaxError> {
    let mut parameters = MailParameters::default();
    for (keyword, value) in keywords(text)? {
        match (Upper::new(keyword).as_str(), value) {
            ("SIZE", Some(value)) => parameters.size = Some(size(value)?),
            ("BODY", Some(value)) => parameters.body = body(value)?,
            ("SMTPUTF8", None) => parameters.smtputf8 = true,
            ("RET", Some(value)) if offered.dsn => {
                parameters.ret = Some(Return::parse(value).ok_or(SyntaxError::BadArgument)?);
            }
            ("ENVID", Some(value)) if offered.dsn => {
                parameters.envelope_id = Some(EnvelopeId::parse(value).ok_or(SyntaxError::BadArgument)?);
            }
            ("AUTH", Some(value)) if offered.auth => parameters.submitter = Some(value.into()),
            ("REQUIRETLS", None) if offered.require_tls => parameters.require_tls = true,
            ("HOLDFOR" | "HOLDUNTIL", Some(_)) if offered.future_release && parameters.hold.is_some() => {
                return Err(SyntaxError::BadArgument);
            }
            ("HOLDFOR", Some(value)) if offered.future_release => parameters.hold = Some(hold_for(value)?),
            ("HOLDUNTIL", Some(value)) if offered.future_release => {
                parameters.hold = Some(hold_until(value)?);
            }
            ("AUTH", None) if offered.auth => return Err(SyntaxError::BadArgument),
            ("REQUIRETLS", Some(_)) if offered.require_tls => return Err(SyntaxError::BadArgument),
            ("HOLDFOR" | "HOLDUNTIL", None) if offered.future_release => {
                return Err(SyntaxError::BadArgument);
            }
            ("RET" | "ENVID", _) if offered.dsn => return Err(SyntaxError::BadArgument),
            ("SIZE" | "BODY" | "SMTPUTF8", _) => return Err(SyntaxError::BadArgument),
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    Ok(parameters)
}

/// Seconds, of at most nine digits (RFC 4865 §3).
fn hold_for(value: &str) -> Result<Hold, SyntaxError> {
    let seconds = (1..=9).contains(&value.len()).then(|| digits(value)).flatten();
    seconds.map(Hold::For).ok_or(SyntaxError::BadArgument)
}

/// A moment in the form of RFC 3339 §5.6 (RFC 4865 §3).
fn hold_until(value: &str) -> Result<Hold, SyntaxError> {
    let moment = DateTime::parse_rfc3339(value).and_then(|moment| u64::try_from(moment.unix()).ok());
    moment.map(Hold::Until).ok_or(SyntaxError::BadArgument)
}

/// `NOTIFY=` and `ORCPT=` (RFC 3461 §4.1, §4.2).
pub(super) fn rcpt_parameters(
    text: &str,
    path: ForwardPath,
    offered: Offered<'_>,
) -> Result<Recipient, SyntaxError> {
    let mut recipient = Recipient::from(path);
    for (keyword, value) in keywords(text)? {
        match (Upper::new(keyword).as_str(), value) {
            _ if !offered.dsn => return Err(SyntaxError::UnknownParameter),
            ("NOTIFY", Some(value)) => {
                recipient.notify = Notify::parse(value).ok_or(SyntaxError::BadArgument)?;
            }
            ("ORCPT", Some(value)) => {
                recipient.original = Some(OriginalRecipient::parse(value).ok_or(SyntaxError::BadArgument)?);
            }
            ("NOTIFY" | "ORCPT", None) => return Err(SyntaxError::BadArgument),
            _ => return Err(SyntaxError::UnknownParameter),
        }
    }
    Ok(recipient)
}

/// Up to 20 digits (RFC 1870 §6.1); a number beyond 64 bits is simply larger than any limit.
fn size(value: &str) -> Result<u64, SyntaxError> {
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX)).ok_or(SyntaxError::BadArgument)
}

/// BINARYMIME is not offered (RFC 3030 §3), so it is a parameter value we do not know.
fn body(value: &str) -> Result<Body, SyntaxError> {
    match Upper::new(value).as_str() {
        "7BIT" => Ok(Body::SevenBit),
        "8BITMIME" => Ok(Body::EightBitMime),
        _ => Err(SyntaxError::UnknownParameter),
    }
}
