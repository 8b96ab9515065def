//! ACL, LISTRIGHTS and MYRIGHTS on their way out (RFC 4314 §4). Rights go in quotes, for there may be none.

use std::io::Write;

use kings_mail::rights::Rights;

use crate::command::Enabled;
use crate::text::{self, put};

pub(super) fn write_acl(
    out: &mut Vec<u8>,
    (mailbox, entries): (&str, &[(String, Rights)]),
    enabled: Enabled,
) {
    out.extend_from_slice(b"* ACL ");
    text::mailbox(out, mailbox, enabled);
    for (identifier, rights) in entries {
        out.push(b' ');
        text::astring(out, identifier);
        put!(out, " \"{}\"", rights.with_obsolete());
    }
}

/// Each right that is not there in any case can be given by itself.
pub(super) fn write_list(
    out: &mut Vec<u8>,
    mailbox: &str,
    (identifier, required): (&str, Rights),
    enabled: Enabled,
) {
    out.extend_from_slice(b"* LISTRIGHTS ");
    text::mailbox(out, mailbox, enabled);
    out.push(b' ');
    text::astring(out, identifier);
    put!(out, " \"{required}\"");
    let optional = Rights::LETTERS.iter().filter(|(_, right)| !required.contain(*right));
    for (letter, _) in optional.chain(&Rights::OBSOLETE) {
        put!(out, " {letter}");
    }
}

pub(super) fn write_mine(out: &mut Vec<u8>, mailbox: &str, rights: Rights, enabled: Enabled) {
    out.extend_from_slice(b"* MYRIGHTS ");
    text::mailbox(out, mailbox, enabled);
    put!(out, " \"{}\"", rights.with_obsolete());
}
