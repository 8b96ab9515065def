//! Targets for the message parsers of `kings-mail`.

use kings_mail::address::{Address, Host};
use kings_mail::address_list::{self, Entry, MAX_ENTRIES};
use kings_mail::content_type::{ContentType, Disposition, MAX_PARAMETERS, Parameters};
use kings_mail::header::{self, Fields, Keep};
use kings_mail::mime::{self, Facet, Kind, MAX_DEPTH, MAX_PARTS, Part};
use kings_mail::seam::Seam;
use kings_mail::surrogate::Surrogate;
use kings_mail::trace;
use kings_mail::transfer::{base64, quoted_printable};
use kings_mail::{charset, encoded_word, raw_header, seven_bit, utf7};

/// The tree covers the message, ranges nest, limits hold, every part is found under its number, and
/// nothing decodes to more than three times its size.
pub fn mime(data: &[u8]) {
    let root = mime::parse(data);
    assert_eq!(root.section(&[], Facet::Whole), Some(0..data.len()));
    assert!(root.walk().count() <= MAX_PARTS);
    nested(&root, data, 0);
    numbered(&root, &root, &mut Vec::new(), true);
    for part in root.walk() {
        let content = part.content(data);
        assert!(content.len() <= part.body.len());
        assert!(part.text(data).len() <= 3 * content.len());
        assert!(part.file_name().is_none_or(|name| is_one_line(&name)));
        parameters(&part.content_type.parameters);
    }
}

/// What is converted is 7-bit, has the same parts, and is not changed by another conversion. The same of short lines, and of
/// headers alone.
pub fn seven_bit(data: &[u8]) {
    let surrogate = Surrogate::of(data).pieces(data).collect::<Vec<_>>().concat();
    assert!(Surrogate::of(&surrogate).is_empty());
    assert_eq!(mime::parse(&surrogate).walk().count(), mime::parse(data).walk().count());
    if let Some(encoded) = raw_header::encoded(data) {
        assert_eq!(Fields::new(&encoded).count(), Fields::new(data).count());
        assert_eq!(raw_header::encoded(&encoded), None);
        assert_eq!(&encoded[header::header_end(&encoded)..], &data[header::header_end(data)..]);
    }
    if let Ok(short) = seven_bit::to_short_lines(data) {
        assert_eq!(seven_bit::to_short_lines(&short).as_deref(), Ok(&short[..]));
        assert!(short == data || seven_bit::has_long_line(data));
    }
    let Ok(converted) = seven_bit::to_seven_bit(data) else { return };
    assert!(converted.is_ascii());
    assert_eq!(seven_bit::to_seven_bit(&converted).as_deref(), Ok(&converted[..]));
    let (before, after) = (mime::parse(data), mime::parse(&converted));
    let leaves = |root: &Part, message: &[u8]| -> Vec<Vec<u8>> {
        let leaves = root.walk().filter(|part| part.kind == Kind::Leaf);
        leaves.map(|part| part.content(message).into_owned()).collect()
    };
    // What is encoded as a whole is not opened any more.
    if before.walk().all(|part| !part.content_type.is("message", "global")) {
        assert_eq!(leaves(&after, &converted), leaves(&before, data));
    }
}

fn nested(part: &Part, data: &[u8], depth: usize) {
    assert!(depth <= MAX_DEPTH);
    assert!(part.header.start <= part.header.end && part.header.end == part.body.start);
    let body = &data[part.body.clone()];
    assert_eq!(part.lines, body.split(|&octet| octet == b'\n').count() - 1);
    assert_eq!(part.content_type.kind == "multipart", matches!(part.kind, Kind::Multipart(_)));
    let mut at = part.body.start;
    for child in children(part) {
        assert!(at <= child.header.start && child.body.end <= part.body.end);
        at = child.body.end;
        nested(child, data, depth + 1);
    }
    assert!(part.content_type.kind != "multipart" || at > 0);
}

fn children(part: &Part) -> &[Part] {
    match &part.kind {
        Kind::Leaf => &[],
        Kind::Multipart(parts) => parts,
        Kind::Message(message) => std::slice::from_ref(message),
    }
}

/// Walks down with IMAP's part numbers (RFC 9051 §6.4.5.1) and asks for each part by its path.
fn numbered(root: &Part, part: &Part, path: &mut Vec<u32>, is_message: bool) {
    match &part.kind {
        Kind::Multipart(parts) => {
            for (number, part) in (1..).zip(parts) {
                path.push(number);
                found(root, part, path);
                path.pop();
            }
        }
        Kind::Leaf | Kind::Message(_) if is_message => {
            path.push(1);
            found(root, part, path);
            path.pop();
        }
        Kind::Leaf => {}
        Kind::Message(message) => numbered(root, message, path, true),
    }
}

fn found(root: &Part, part: &Part, path: &mut Vec<u32>) {
    assert!(root.find(path).is_some_and(|found| std::ptr::eq(found, part)));
    assert_eq!(root.section(path, Facet::Whole), Some(part.body.clone()));
    let holds_message = matches!(part.kind, Kind::Message(_));
    assert_eq!(root.section(path, Facet::Header).is_some(), holds_message);
    numbered(root, part, path, false);
}

/// Fields lie inside the header, a partial copy and its complement hold every field once, and an
/// accepted header is within its limits.
pub fn header(data: &[u8]) {
    let end = header::header_end(data);
    assert!(end <= data.len());
    let fields: usize = Fields::new(data).map(|field| field.raw.len()).sum();
    assert!(fields <= end);
    let names = ["from", "SUBJECT", "content-type"];
    let kept = header::select(data, &names, Keep::Named);
    let others = header::select(data, &names, Keep::Others);
    let empty_line = header::select(data, &[], Keep::Named).len();
    assert_eq!(kept.len() + others.len(), fields + 2 * empty_line);
    assert!(Fields::new(data).all(|field| is_one_line(&field.text())));
    if let Ok(summary) = header::check(data) {
        assert!(end <= header::MAX_HEADER_BLOCK && summary.fields <= header::MAX_FIELDS);
        assert_eq!(summary.has_from, header::all(data, "from").count() == 1);
        assert_eq!(summary.received, header::all(data, "Received").count());
    }
    seam(data);
    assert!(trace::client_of(data).is_none_or(|origin| !origin.helo.contains(char::is_whitespace)));
    assert!(trace::reverse_path_of(data).is_none() || header::first(data, "return-path").is_some());
}

/// However a message is cut, the seam is put in once, and what is above it is fields.
fn seam(data: &[u8]) {
    let passed = |data: &[u8], size: usize| {
        let mut seam = Seam::default();
        let mut out: Vec<u8> = data.chunks(size).flat_map(|piece| seam.pass(piece).into_owned()).collect();
        out.extend(seam.finish());
        out
    };
    let whole = passed(data, data.len().max(1));
    assert_eq!(passed(data, 1), whole);
    assert_eq!(passed(&whole, 7), whole);
    let header = &whole[..header::header_end(&whole)];
    assert!(header.ends_with(b"\n"));
    let stray = header::check(header).map(|summary| summary.stray_line);
    assert!(stray.is_err() || stray == Ok(None));
}

/// Display shows at most so many entries with groups closed; whoever it shows is an author, and each author's address
/// reads back as itself.
pub fn address_list(data: &[u8]) {
    let shown = address_list::parse(data);
    assert!(shown.len() <= MAX_ENTRIES + 1);
    let authors = address_list::authors(data);
    let mut in_group = false;
    for entry in &shown {
        match entry {
            Entry::GroupStart(name) => assert!(is_one_line(name) && !std::mem::replace(&mut in_group, true)),
            Entry::GroupEnd => assert!(std::mem::replace(&mut in_group, false)),
            Entry::Mailbox(mailbox) => {
                assert!(is_one_line(&mailbox.local_part) && is_one_line(&mailbox.domain));
                if let (Ok(host), Ok(authors)) = (Host::parse(&mailbox.domain), &authors) {
                    assert!(authors.hosts().contains(&host), "{host} is shown");
                }
            }
        }
    }
    assert!(!in_group);
    let mut behind = 0;
    for place in address_list::places(data) {
        assert!(behind <= place.start && place.start < place.end && data[place.clone()].contains(&b'@'));
        behind = place.end;
    }
    let Ok(authors) = authors else { return };
    assert!((1..=MAX_ENTRIES).contains(&authors.hosts().len()) && authors.addresses().len() <= MAX_ENTRIES);
    for author in authors.addresses() {
        assert!(authors.hosts().contains(&author.host));
        assert_eq!(Address::parse(&author.to_string()).as_ref(), Ok(author));
    }
}

/// Everything that is one word, one value or one name: encoded words, mailbox names, parameters, transfer
/// encodings and character sets.
pub fn words(data: &[u8]) {
    let text = charset::guess(data);
    assert!(text.len() <= 3 * data.len());
    let value = header::unfold(data);
    let decoded = encoded_word::decode(&value);
    assert!(is_one_line(&decoded) && decoded.len() <= 3 * value.len());
    let other = encoded_word::decode_otherwise(&value);
    assert!(
        other.is_none_or(|other| is_one_line(&other) && other != decoded && other.len() <= 3 * value.len())
    );
    let name = utf7::encode(&text);
    assert_eq!(utf7::decode(&name).as_deref(), Ok(&*text));
    if let Ok(name) = utf7::decode(&text) {
        assert_eq!(utf7::encode(&name), text);
    }
    if let Some(content_type) = ContentType::parse(data) {
        parameters(&content_type.parameters);
    }
    if let Some(disposition) = Disposition::parse(data) {
        parameters(&disposition.parameters);
    }
    assert!(base64(data).len() <= data.len() && quoted_printable(data).len() <= data.len());
    // The first line names a character set for the rest.
    let mut lines = data.splitn(2, |&octet| octet == b'\n');
    let label = charset::guess(lines.next().unwrap_or_default());
    let rest = lines.next().unwrap_or_default();
    assert!(charset::decode(rest, &label).len() <= 3 * rest.len());
    assert!(charset::decode_otherwise(rest, &label).is_none_or(|other| other.len() <= 3 * rest.len()));
}

fn parameters(parameters: &Parameters) {
    assert!(parameters.listed().count() <= MAX_PARAMETERS);
    for (name, value) in parameters.listed() {
        assert!(is_one_line(&name) && is_one_line(&value));
        let decoded = parameters.get(name.trim_end_matches('*'));
        assert!(decoded.is_some_and(|decoded| is_one_line(&decoded)));
    }
}

fn is_one_line(text: &str) -> bool {
    !text.contains(['\r', '\n', '\0'])
}
