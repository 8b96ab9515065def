//! BODYSTRUCTURE and BODY: the MIME tree in parentheses (RFC 3501 §7.4.2).

use std::io::Write;

use kings_mail::content_type::{Disposition, Parameters};
use kings_mail::mime::{Kind, Part};

use super::envelope;
use crate::text::{nstring, put, spaced, string};

/// How much to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// BODY: without extension data.
    Plain,
    /// BODYSTRUCTURE: with disposition, language and location.
    Extended,
}

/// Appends the structure of `part` and all below it; the parser bounds the depth.
pub(crate) fn write(out: &mut Vec<u8>, part: &Part, content: &[u8], detail: Detail) {
    out.push(b'(');
    match &part.kind {
        Kind::Multipart(parts) => {
            for part in parts {
                write(out, part, content, detail);
            }
            out.push(b' ');
            string(out, part.content_type.subtype.as_bytes());
        }
        Kind::Leaf | Kind::Message(_) => single(out, part, content, detail),
    }
    if detail == Detail::Extended {
        extension(out, part);
    }
    out.push(b')');
}

/// RFC 3501 §9 `body-type-1part` without its extension.
fn single(out: &mut Vec<u8>, part: &Part, content: &[u8], detail: Detail) {
    let content_type = &part.content_type;
    string(out, content_type.kind.as_bytes());
    out.push(b' ');
    string(out, content_type.subtype.as_bytes());
    out.push(b' ');
    parameters(out, &content_type.parameters);
    out.push(b' ');
    nstring(out, part.id.as_deref());
    out.push(b' ');
    nstring(out, part.description.as_deref());
    out.push(b' ');
    string(out, part.encoding.as_str().as_bytes());
    put!(out, " {}", part.body.len());
    if let Kind::Message(message) = &part.kind {
        out.push(b' ');
        envelope::write(out, content.get(message.header.clone()).unwrap_or_default());
        out.push(b' ');
        write(out, message, content, detail);
    }
    if content_type.kind == "text" || matches!(part.kind, Kind::Message(_)) {
        put!(out, " {}", part.lines);
    }
}

/// RFC 3501 §9 `body-ext-1part` and `body-ext-mpart`: they differ in their first field alone.
fn extension(out: &mut Vec<u8>, part: &Part) {
    out.push(b' ');
    match part.kind {
        Kind::Multipart(_) => parameters(out, &part.content_type.parameters),
        Kind::Leaf | Kind::Message(_) => nstring(out, part.md5.as_deref()),
    }
    out.push(b' ');
    disposition(out, part.disposition.as_ref());
    out.push(b' ');
    match part.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        tags => {
            out.push(b'(');
            spaced(out, tags, |out, tag| string(out, tag.as_bytes()));
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(out, part.location.as_deref());
}

fn disposition(out: &mut Vec<u8>, disposition: Option<&Disposition>) {
    let Some(disposition) = disposition else { return out.extend_from_slice(b"NIL") };
    out.push(b'(');
    string(out, disposition.kind.as_bytes());
    out.push(b' ');
    parameters(out, &disposition.parameters);
    out.push(b')');
}

fn parameters(out: &mut Vec<u8>, parameters: &Parameters) {
    let mut listed = parameters.listed().peekable();
    if listed.peek().is_none() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    spaced(out, listed, |out, (name, value)| {
        string(out, name.as_bytes());
        out.push(b' ');
        string(out, value.as_bytes());
    });
    out.push(b')');
}
