//! The lines of MAIL and RCPT, with the parameters that the server offered to take.

use std::fmt::Write as _;

use kings_mail::envelope::{Body, Recipient};
use kings_mail::report::{Notify, OriginalRecipient};

use super::features::Features;
use super::transaction::Transaction;

/// MAIL with SIZE (RFC 1870 §6), BODY (RFC 6152 §3), SMTPUTF8 (RFC 6531 §3.4), RET and ENVID (RFC 3461 §5.2.1), and
/// REQUIRETLS (RFC 8689 §4.2.1).
pub(super) fn mail(transaction: &Transaction, features: &Features) -> String {
    let Transaction { reverse_path, parameters, content, .. } = transaction;
    let mut line = format!("MAIL FROM:{reverse_path}");
    // Writing to a String cannot fail.
    if features.size.is_some() {
        let _ = write!(line, " SIZE={}", content.octets);
    }
    if features.eight_bit_mime && (content.eight_bit || parameters.body == Body::EightBitMime) {
        line.push_str(" BODY=8BITMIME");
    }
    if features.smtputf8 && (parameters.smtputf8 || transaction.needs_smtputf8()) {
        line.push_str(" SMTPUTF8");
    }
    if features.dsn {
        if let Some(ret) = &parameters.ret {
            let _ = write!(line, " RET={ret}");
        }
        if let Some(id) = &parameters.envelope_id {
            let _ = write!(line, " ENVID={id}");
        }
    }
    if features.require_tls && parameters.require_tls {
        line.push_str(" REQUIRETLS");
    }
    line
}

/// RCPT with NOTIFY and ORCPT as they came, and without what was not said (RFC 3461 §5.2.1).
pub(super) fn rcpt(recipient: &Recipient, features: &Features) -> String {
    let mut line = format!("RCPT TO:{}", recipient.path);
    if features.dsn {
        if recipient.notify != Notify::Unsaid {
            let _ = write!(line, " NOTIFY={}", recipient.notify);
        }
        if let Some(original) = &recipient.original {
            let _ = write!(line, " ORCPT={}", in_ascii_unless(features.smtputf8, original));
        }
    }
    line
}

/// UTF-8 in ORCPT is spelt out for a server that has not learnt it (RFC 6533 §3).
fn in_ascii_unless(smtputf8: bool, original: &OriginalRecipient) -> String {
    let text = original.to_string();
    if smtputf8 || text.is_ascii() {
        return text;
    }
    let spelt = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\x{{{:X}}}", u32::from(c)) };
    text.chars().map(spelt).collect()
}
