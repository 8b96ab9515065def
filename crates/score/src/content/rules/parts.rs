//! What a message is made of: text beside HTML, attachments, size.

use kings_mail::mime::{Kind, Part};

use super::super::Rule;
use super::super::subject::Subject;
use super::super::words;
use super::when;

/// What Gmail receives at most with its attachments.
const MAX_MESSAGE: usize = 25 * 1024 * 1024;
/// What Gmail does not take, in archives neither.
const EXECUTABLE: [&str; 57] = [
    "ade",
    "adp",
    "apk",
    "appx",
    "appxbundle",
    "bat",
    "cab",
    "chm",
    "cmd",
    "com",
    "cpl",
    "diagcab",
    "diagcfg",
    "diagpkg",
    "dll",
    "dmg",
    "ex",
    "ex_",
    "exe",
    "hta",
    "img",
    "ins",
    "iso",
    "isp",
    "jar",
    "jnlp",
    "js",
    "jse",
    "lib",
    "lnk",
    "mde",
    "mjs",
    "msc",
    "msi",
    "msix",
    "msixbundle",
    "msp",
    "mst",
    "nsh",
    "pif",
    "ps1",
    "scr",
    "sct",
    "shb",
    "sys",
    "vb",
    "vbe",
    "vbs",
    "vhd",
    "vxd",
    "wsc",
    "wsf",
    "wsh",
    "xll",
    "reg",
    "url",
    "vhdx",
];
const MACROS: [&str; 7] = ["docm", "dotm", "pptm", "potm", "xlam", "xlsm", "xltm"];

pub(super) const RULES: &[&Rule] = &[
    &Rule {
        id: "text-missing",
        weight: 4,
        source: "RFC 2046 §5.1.4; SpamAssassin MIME_HTML_ONLY",
        what: "There is HTML and no plain text beside it",
        why: "Filters count it, and readers without HTML see nothing.",
        fix: "Send multipart/alternative with a text/plain part in front of the HTML.",
        check: |subject| {
            when(subject.html.is_some() && subject.plain.is_none(), || "HTML without plain text".into())
        },
    },
    &Rule {
        id: "text-empty",
        weight: 5,
        source: "SpamAssassin EMPTY_MESSAGE",
        what: "The message says nothing",
        why: "Empty mail is what address collectors send, and no reader knows what it is for.",
        fix: "Write a text.",
        check: |subject| {
            let is_blank = |text: &str| !text.chars().any(|c| !c.is_whitespace());
            let plain = subject.plain.as_deref().is_none_or(is_blank);
            let html =
                subject.html.as_ref().is_none_or(|page| is_blank(&page.text) && page.images.is_empty());
            let holds_others = subject.parts().any(|part| part.kind == Kind::Leaf && !is_text(part));
            when(plain && html && !holds_others, || "no text, no image, no attachment".into())
        },
    },
    &Rule {
        id: "alternative-order",
        weight: 3,
        source: "RFC 2046 §5.1.4",
        what: "The plain text stands behind the HTML",
        why: "The last alternative is the best one: readers show the plain text and never the HTML.",
        fix: "Put text/plain first and text/html last.",
        check: |subject| {
            alternatives(subject).find_map(|parts| {
                let place =
                    |subtype: &str| parts.iter().position(|part| part.content_type.is("text", subtype));
                let (html, plain) = (place("html")?, place("plain")?);
                when(html < plain, || "text/html before text/plain".into())
            })
        },
    },
    &Rule {
        id: "alternative-differs",
        weight: 4,
        source: "RFC 2046 §5.1.4; SpamAssassin MPART_ALT_DIFF",
        what: "The plain text and the HTML say different things",
        why: "A harmless text for the filter beside another one for the reader is an old trick.",
        fix: "Make the plain text from the HTML.",
        check: |subject| {
            alternatives(subject).next()?;
            let (shared, most) = words::shared(subject.plain.as_deref()?, &subject.html.as_ref()?.text)?;
            when(shared * 2 < most, || format!("{shared} of {most} words are in both"))
        },
    },
    &Rule {
        id: "attachment-executable",
        weight: 20,
        source: "Gmail: blocked file types; Outlook: blocked attachments",
        what: "An attachment can be run",
        why: "Gmail and Outlook refuse such files (552 5.7.0), whatever is in them.",
        fix: "Send a link to the file.",
        check: |subject| attachment(subject, &EXECUTABLE),
    },
    &Rule {
        id: "attachment-macros",
        weight: 5,
        source: "Microsoft: macros from the Internet are blocked",
        what: "An attachment is an office document with macros",
        why: "Office does not run macros of mail any more, and filters file such mail.",
        fix: "Send the document without macros, or as PDF.",
        check: |subject| attachment(subject, &MACROS),
    },
    &Rule {
        id: "message-large",
        weight: 3,
        source: "Gmail: 25 MB with attachments",
        what: "The message is larger than 25 MB",
        why: "Many receivers refuse it (552 5.3.4).",
        fix: "Send a link to the file.",
        check: |subject| {
            let octets = subject.message.len();
            when(octets > MAX_MESSAGE, || format!("{} MB", octets.div_ceil(1024 * 1024)))
        },
    },
];

fn is_text(part: &Part) -> bool {
    part.content_type.is("text", "plain") || part.content_type.is("text", "html")
}

/// The parts of each multipart/alternative.
fn alternatives<'s>(subject: &'s Subject<'_>) -> impl Iterator<Item = &'s [Part]> {
    subject.own_parts().into_iter().filter_map(|part| match &part.kind {
        Kind::Multipart(parts) if part.content_type.subtype == "alternative" => Some(parts.as_slice()),
        _ => None,
    })
}

/// The first attachment whose name ends in one of these; spaces and dots behind it go, as on Windows.
fn attachment(subject: &Subject<'_>, ends: &[&str]) -> Option<String> {
    subject.parts().filter(|part| part.kind == Kind::Leaf).find_map(|part| {
        let name = part.file_name()?;
        let end = name.trim_end_matches([' ', '.']).rsplit_once('.')?.1.to_ascii_lowercase();
        when(ends.contains(&end.as_str()), || format!("the attachment {name}"))
    })
}
