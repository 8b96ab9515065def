//! Whether the parts of a message are put together as MIME wants it.

use kings_mail::charset;
use kings_mail::mime::{Kind, Part};
use kings_mail::transfer::Encoding;

use super::super::Rule;
use super::super::subject::{Subject, shown};
use super::when;

pub(super) const RULES: &[&Rule] = &[
    &Rule {
        id: "mime-version-missing",
        weight: 3,
        source: "RFC 2045 §4",
        what: "There is a Content-Type and no MIME-Version",
        why: "Without it the message is plain text by the letter of the standard, and filters suspect a script.",
        fix: "Add \"MIME-Version: 1.0\".",
        check: |subject| {
            let is_mime = subject.first("Content-Type").is_some();
            when(is_mime && subject.first("MIME-Version").is_none(), || "no MIME-Version field".into())
        },
    },
    &Rule {
        id: "boundary-missing",
        weight: 10,
        source: "RFC 2046 §5.1.1",
        what: "A multipart has no boundary",
        why: "Nobody can tell its parts: it is shown as one raw text.",
        fix: "Give the Content-Type a boundary parameter, or repair the program that dropped it.",
        check: |subject| {
            let broken = subject.own_parts().into_iter().find_map(|part| {
                let written = subject.written_type(part)?;
                let is_open = matches!(part.kind, Kind::Multipart(_)) || !part.encoding.is_identity();
                (written.kind == "multipart" && !is_open).then_some(written)
            })?;
            when(broken.parameters.get("boundary").is_none_or(|boundary| boundary.trim().is_empty()), || {
                format!("multipart/{} without a boundary", broken.subtype)
            })
        },
    },
    &Rule {
        id: "multipart-unclosed",
        weight: 5,
        source: "RFC 2046 §5.1.1",
        what: "A multipart is not closed",
        why: "The message looks cut off on its way.",
        fix: "End the last part with the boundary and two dashes behind it.",
        check: |subject| {
            multipart(subject, |part, children| {
                let last = children.last()?;
                let is_closed = last.body.end < part.body.end || last.header.is_empty();
                when(!is_closed, || format!("multipart/{} has no last delimiter", part.content_type.subtype))
            })
        },
    },
    &Rule {
        id: "multipart-empty",
        weight: 5,
        source: "RFC 2046 §5.1",
        what: "A multipart holds no part",
        why: "Broken structure is how content is hidden from filters.",
        fix: "Leave the multipart out, or put a part into it.",
        check: |subject| {
            multipart(subject, |part, children| {
                let is_empty =
                    children.len() == 1 && children[0].header.is_empty() && children[0].body.is_empty();
                when(is_empty, || format!("multipart/{} without parts", part.content_type.subtype))
            })
        },
    },
    &Rule {
        id: "multipart-encoded",
        weight: 5,
        source: "RFC 2045 §6.4",
        what: "A part that holds others is encoded as a whole",
        why: "It is forbidden, readers do not open it, and filters cannot look into it.",
        fix: "Encode the parts inside it, each on its own.",
        check: |subject| {
            let part = subject.own_parts().into_iter().find(|part| {
                !part.encoding.is_identity()
                    && subject.written_type(part).is_some_and(|written| written.kind == "multipart")
            })?;
            Some(format!("a multipart in {}", part.encoding.as_str()))
        },
    },
    &Rule {
        id: "encoding-unknown",
        weight: 5,
        source: "RFC 2045 §6.4",
        what: "A Content-Transfer-Encoding is unknown",
        why: "Readers offer the part as a file, whatever it is.",
        fix: "Use 7bit, 8bit, quoted-printable or base64.",
        check: |subject| {
            let other = subject.parts().find(|part| matches!(part.encoding, Encoding::Other(_)))?;
            Some(format!("Content-Transfer-Encoding: {}", other.encoding.as_str()))
        },
    },
    &Rule {
        id: "base64-malformed",
        weight: 3,
        source: "RFC 2045 §6.8",
        what: "A part in base64 holds something else",
        why: "Each decoder reads it in its own way, so filters treat it as an attempt to hide.",
        fix: "Encode the whole part, in lines of 76 characters.",
        check: |subject| {
            let leaves =
                subject.parts().filter(|part| part.encoding == Encoding::Base64 && part.kind == Kind::Leaf);
            leaves.into_iter().find_map(|part| {
                let body = &subject.message[part.body.clone()];
                let is_odd = |octet: &u8| !(octet.is_ascii_alphanumeric() || b"+/=\r\n \t".contains(octet));
                let odd = body.iter().find(|octet| is_odd(octet))?;
                Some(format!("the octet {odd:#04x} in base64"))
            })
        },
    },
    &Rule {
        id: "octets-undeclared",
        weight: 3,
        source: "RFC 2045 §6.2",
        what: "A part holds 8-bit octets and says 7bit",
        why: "A server without 8BITMIME may break it, and filters count it.",
        fix: "Say \"Content-Transfer-Encoding: 8bit\", or better quoted-printable.",
        check: |subject| {
            let is_odd = |part: &&Part| {
                part.kind == Kind::Leaf
                    && part.encoding == Encoding::SevenBit
                    && !subject.message[part.body.clone()].is_ascii()
            };
            let part = subject.parts().find(is_odd)?;
            Some(format!("{}/{} in 7bit", part.content_type.kind, part.content_type.subtype))
        },
    },
    &Rule {
        id: "charset-unknown",
        weight: 3,
        source: "RFC 2046 §4.1.2",
        what: "A text is in a character set that nobody knows",
        why: "Readers guess, and filters see what readers do not.",
        fix: "Use utf-8.",
        check: |subject| {
            let texts = shown(&subject.root).into_iter();
            let label =
                texts.map(|part| part.content_type.charset()).find(|label| !charset::is_known(label))?;
            Some(format!("charset={label}"))
        },
    },
    &Rule {
        id: "charset-wrong",
        weight: 3,
        source: "RFC 2046 §4.1.2",
        what: "A text is not in the character set that it names",
        why: "Readers see wrong letters, and filters count it.",
        fix: "Name the character set that the text is in; best write utf-8 and say so.",
        check: charset_wrong,
    },
];

/// The first answer for a multipart of the message itself.
fn multipart(subject: &Subject<'_>, check: impl Fn(&Part, &[Part]) -> Option<String>) -> Option<String> {
    subject.own_parts().into_iter().find_map(|part| match &part.kind {
        Kind::Multipart(children) => check(part, children),
        Kind::Leaf | Kind::Message(_) => None,
    })
}

fn charset_wrong(subject: &Subject<'_>) -> Option<String> {
    shown(&subject.root).into_iter().find_map(|part| {
        let label = part.content_type.charset().trim().to_ascii_lowercase();
        let content = part.content(&subject.message);
        let is_wrong = match label.as_str() {
            "utf-8" | "utf8" => std::str::from_utf8(&content).is_err(),
            // What claims 7 bits as well is the matter of another rule.
            "us-ascii" | "ascii" => part.encoding != Encoding::SevenBit && !content.is_ascii(),
            _ => false,
        };
        when(is_wrong, || format!("a text that is no {label}"))
    })
}
