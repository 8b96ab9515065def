//! `[rewriting]`: what addresses of our own users' mail are called instead (Postfix's `canonical_maps` and their like).

use kings_directory::Keys;
use kings_mail::domain::Domain;
use kings_mta::{Canonical, Class, Classes, Masquerade, Rewriting};

use super::reader::{Section, Source};

use Class::{EnvelopeRecipient, EnvelopeSender, HeaderRecipient, HeaderSender};

const WORDS: [(&str, Class); 4] = [
    ("envelope_sender", EnvelopeSender),
    ("envelope_recipient", EnvelopeRecipient),
    ("header_sender", HeaderSender),
    ("header_recipient", HeaderRecipient),
];

pub(super) fn read(source: &mut Source<'_>, top: &mut Section<'_>, delimiters: &str) -> Rewriting {
    let mut section = top.section(source, "rewriting");
    let rewriting = read_section(source, &mut section, delimiters);
    section.finish(source);
    rewriting
}

fn read_section(source: &mut Source<'_>, section: &mut Section<'_>, delimiters: &str) -> Rewriting {
    let mut table = |names: &'static str, key: &'static str, usual: &[Class]| Canonical {
        names: section.lookup(source, names, Keys::Address),
        classes: classes(source, section, key, usual),
    };
    let senders = table("sender_canonical", "sender_canonical_classes", &[EnvelopeSender, HeaderSender]);
    let recipients =
        table("recipient_canonical", "recipient_canonical_classes", &[EnvelopeRecipient, HeaderRecipient]);
    let all = table("canonical", "canonical_classes", &WORDS.map(|(_, class)| class));
    let what = "domains such as \"example.org\", or \"!lab.example.org\" for one that is left alone";
    let domains = section.list(source, "masquerade_domains", what, |text| {
        let domain = text.strip_prefix('!');
        Domain::parse(domain.unwrap_or(text)).map(|parsed| (parsed, domain.is_none()))
    });
    let exceptions = section.list(source, "masquerade_exceptions", "names such as \"root\"", |text| {
        if text.contains('@') { Err("a whole address") } else { Ok(text.to_owned()) }
    });
    let usual = [EnvelopeSender, HeaderSender, HeaderRecipient];
    let classes = classes(source, section, "masquerade_classes", &usual);
    Rewriting {
        tables: vec![senders, recipients, all],
        masquerade: Masquerade { domains, exceptions, classes },
        delimiters: delimiters.to_owned(),
    }
}

fn classes(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    usual: &[Class],
) -> Classes {
    if section.value(key).is_none() {
        return Classes::of(usual.iter().copied());
    }
    let what =
        "a list of \"envelope_sender\", \"envelope_recipient\", \"header_sender\" and \"header_recipient\"";
    Classes::of(section.list(source, key, what, |text| {
        WORDS.into_iter().find(|(word, _)| *word == text).map(|(_, class)| class).ok_or("another place")
    }))
}
