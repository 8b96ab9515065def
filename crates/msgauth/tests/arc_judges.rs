//! dkimpy judges the chains that we seal, and we judge those that it seals: whole ones of any length, and every way to break one.
//! The messages that RFC 8617 prints (Appendix B) come without the keys of their hosts, so that nobody can verify them.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the judges are programs that read files and the clock")]

mod support;

use std::collections::HashMap;

use kings_dns::Zone;
use kings_mail::domain::Domain;
use kings_mail::header::Fields;
use kings_msgauth::arc::{self, Chain, ChainValidation, Fault, MAX_SETS, Sealer};
use kings_msgauth::dkim::{Rules, SigningIdentity, Word, key_files};
use support::judges::{Folder, MESSAGES, RSA, keys, message, python, today};
use support::{name, now};

/// Hosts that pass messages on; dkimpy knows no Ed25519 in ARC.
const HOST: &str = "a.example";
/// What dkimpy seals: the results of the server that it stands for.
const RESULTS: &str = "Authentication-Results: mx.example; arc=pass; spf=pass\r\n";
/// Chains of so many hosts. The last one is the longest that there is (RFC 8617 §4.2.1).
const LENGTHS: [u8; 5] = [1, 2, 3, 10, MAX_SETS];

fn sealed(message: &str, validation: ChainValidation) -> String {
    let (domain, [(selector, key), _]) = (Domain::parse(HOST).unwrap(), keys());
    let mut sealer = Sealer::new(Rules::default());
    sealer.push(message.as_bytes());
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    // Each host says something else.
    let results = format!("mx.example; spf=pass smtp.mailfrom=ann@host{}.example", message.len());
    sealer.finish(&identity, &results, validation, today()).unwrap() + message
}

/// A message that so many of our hosts have passed on.
fn passed_on(message: &str, hosts: u8) -> String {
    let seal = |message: String, at| {
        let validation = if at == 0 { ChainValidation::None } else { ChainValidation::Pass };
        sealed(&format!("Received: by host{at}; now\r\n{message}"), validation)
    };
    (0..hosts).fold(message.to_owned(), seal)
}

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    let [(_, key), _] = keys();
    folder.write("zone", format!("rsa._domainkey.{HOST} {}\n", key_files::record(&key)));
    folder.write("rsa.pem", RSA);
    folder
}

fn chain(message: &[u8]) -> arc::Report {
    let [(_, key), _] = keys();
    let zone = Zone::default().with_txt(name(&format!("rsa._domainkey.{HOST}")), key_files::record(&key));
    now(arc::check(message, &zone, today()))
}

/// What dkimpy says of each file with this ending.
fn verdicts(folder: &Folder, mode: &str) -> HashMap<String, String> {
    let said = python(&[mode], folder);
    let row = |line: &str| line.split_once(' ').map(|(name, verdict)| (name.to_owned(), verdict.to_owned()));
    said.lines().filter_map(row).collect()
}

#[test]
fn chains_of_any_length_hold_for_both_whoever_sealed_them() {
    let folder = folder("arc-lengths");
    for length in LENGTHS {
        folder.write(&format!("ours.{length}.eml"), passed_on(&message(1), length));
        folder.write(&format!("ours.{length}-bad.eml"), passed_on(&message(1), length) + "more\r\n");
    }
    folder.write("its.plain", message(2));
    python(&["grow"], &folder);
    for length in LENGTHS {
        let its = std::fs::read(folder.0.join(format!("its.{length}.eml"))).unwrap();
        let report = chain(&its);
        assert_eq!((report.chain, report.sets.len()), (Chain::Pass, usize::from(length)), "{length}");
        folder.write(&format!("its.{length}-bad.eml"), [&its[..], b"more\r\n"].concat());
        assert_eq!(chain(&[&its[..], b"more\r\n"].concat()).word(), Word::Fail, "{length}");
    }
    let said = verdicts(&folder, "chain");
    assert_eq!(said.len(), LENGTHS.len() * 4);
    for (name, verdict) in said {
        assert_eq!(verdict, if name.contains("-bad") { "fail" } else { "pass" }, "{name}");
    }
}

/// The corpus, with two sets of ours below the one of dkimpy.
#[test]
fn dkimpy_seals_on_top_of_us_and_both_hold_and_break_the_same_chains() {
    let folder = folder("arc");
    for number in 0..MESSAGES / 3 {
        let twice = passed_on(&format!("{RESULTS}{}", message(number)), 2);
        folder.write(&format!("{number:03}.eml"), &twice);
        let changed = twice.replacen("i=1; mx.example; spf=pass", "i=1; mx.example; spf=fail", 1);
        folder.write(&format!("{number:03}-bad.eml"), changed);
    }
    let said = verdicts(&folder, "chain");
    assert_eq!(said.len(), MESSAGES as usize / 3 * 2);
    for (name, verdict) in said {
        assert_eq!(verdict, if name.contains("-bad") { "fail" } else { "pass" }, "{name}");
    }
    for number in 0..MESSAGES / 3 {
        std::fs::remove_file(folder.0.join(format!("{number:03}-bad.eml"))).unwrap();
    }
    python(&["seal"], &folder);
    for number in 0..MESSAGES / 3 {
        let message = std::fs::read(folder.0.join(format!("{number:03}.sealed"))).unwrap();
        let report = chain(&message);
        assert_eq!((report.chain, report.sets.len()), (Chain::Pass, 3), "{}", message.escape_ascii());
        assert_eq!(chain(&[&message[..], b"more\r\n"].concat()).word(), Word::Fail);
    }
}

/// The fields of a header, in their order.
type Header = Vec<String>;

fn changed(message: &str, change: impl FnOnce(&mut Header)) -> String {
    let mut fields = Fields::new(message.as_bytes());
    let mut header: Header =
        fields.by_ref().map(|field| String::from_utf8(field.raw.to_vec()).unwrap()).collect();
    let rest = &message[header.concat().len()..];
    change(&mut header);
    header.concat() + rest
}

const NAMES: [&str; 3] = ["ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results"];

fn is_of(field: &str, name: &str, instance: u8) -> bool {
    let value = field.strip_prefix(name).and_then(|rest| rest.strip_prefix(':'));
    value.is_some_and(|value| value.trim_start().starts_with(&format!("i={instance};")))
}

fn field<'a>(header: &'a mut Header, name: &str, instance: u8) -> &'a mut String {
    header.iter_mut().find(|field| is_of(field, name, instance)).unwrap()
}

fn drop_set(header: &mut Header, instance: u8) {
    header.retain(|field| NAMES.iter().all(|name| !is_of(field, name, instance)));
}

fn edit(header: &mut Header, name: &str, instance: u8, from: &str, to: &str) {
    let field = field(header, name, instance);
    assert!(field.contains(from), "no {from:?} in {field}");
    *field = field.replacen(from, to, 1);
}

/// Another octet in the middle of the signature of a field.
fn flip(header: &mut Header, name: &str, instance: u8) {
    let field = field(header, name, instance);
    let start = [" b=", "\tb="].into_iter().find_map(|tag| field.find(tag)).unwrap() + 40;
    let at = start + field[start..].find(|letter: char| letter.is_ascii_alphanumeric()).unwrap();
    let other = if &field[at..=at] == "A" { "B" } else { "A" };
    field.replace_range(at..=at, other);
}

/// What two sets have beside their numbers changes places.
fn swap(header: &mut Header, name: &str) {
    let mut take = |instance| std::mem::take(field(header, name, instance));
    let (one, two) = (take(1), take(2));
    let [to_two, to_one] = [one.replacen("i=1;", "i=2;", 1), two.replacen("i=2;", "i=1;", 1)];
    header.retain(|field| !field.is_empty());
    header.splice(0..0, [to_two, to_one]);
}

fn double(header: &mut Header, name: &str, instance: u8) {
    let twin = field(header, name, instance).clone();
    header.insert(0, twin);
}

fn renumber(header: &mut Header, instance: u8, number: &str) {
    for name in NAMES {
        edit(header, name, instance, &format!("i={instance};"), &format!("i={number};"));
    }
}

/// The fields of the chain in another order, in front of all others.
fn reorder(header: &mut Header, order: fn(&mut Header)) {
    let (mut chain, others): (Header, Header) =
        std::mem::take(header).into_iter().partition(|field| field.starts_with("ARC-"));
    order(&mut chain);
    *header = chain.into_iter().chain(others).collect();
}

/// For whom a chain holds.
#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Both,
    Neither,
    /// RFC 8617 §5.1.1 orders sets by their numbers; dkimpy takes the fields of each kind from the bottom up.
    Ours,
}

use Holds::{Both, Neither, Ours};

type Change = (&'static str, fn(&mut Header), Holds);

/// Chains of three sets, changed, and whether they still hold.
const CHANGES: &[Change] = &[
    ("nothing", |_| (), Both),
    ("a trace field more", |header| header.insert(0, "Received: by x; now\r\n".into()), Both),
    (
        "results of another server",
        |header| header.insert(0, "Authentication-Results: x; arc=fail\r\n".into()),
        Both,
    ),
    ("the sets in another order", |header| reorder(header, |sets| sets.reverse()), Ours),
    (
        "the kinds in another order",
        |header| reorder(header, |sets| sets.sort_by_key(|field| field[..8].to_owned())),
        Both,
    ),
    (
        "names in capitals",
        |header| header.iter_mut().for_each(|field| *field = field.replacen("ARC-Seal:", "ARC-SEAL:", 1)),
        Both,
    ),
    ("folded anew", |header| edit(header, NAMES[2], 2, "; ", ";\r\n\t"), Both),
    // What the host before had.
    ("the newest set gone", |header| drop_set(header, 3), Both),
    ("set 1 gone", |header| drop_set(header, 1), Neither),
    ("set 2 gone", |header| drop_set(header, 2), Neither),
    ("seal 1 gone", |header| field(header, NAMES[0], 1).clear(), Neither),
    ("seal 2 gone", |header| field(header, NAMES[0], 2).clear(), Neither),
    ("seal 3 gone", |header| field(header, NAMES[0], 3).clear(), Neither),
    ("signature 1 gone", |header| field(header, NAMES[1], 1).clear(), Neither),
    ("signature 3 gone", |header| field(header, NAMES[1], 3).clear(), Neither),
    ("results 2 gone", |header| field(header, NAMES[2], 2).clear(), Neither),
    ("results 3 gone", |header| field(header, NAMES[2], 3).clear(), Neither),
    ("seal 2 twice", |header| double(header, NAMES[0], 2), Neither),
    ("seal 3 twice", |header| double(header, NAMES[0], 3), Neither),
    ("signature 1 twice", |header| double(header, NAMES[1], 1), Neither),
    ("results 1 twice", |header| double(header, NAMES[2], 1), Neither),
    ("results 3 twice", |header| double(header, NAMES[2], 3), Neither),
    ("sets 1 and 2 with changed numbers", |header| NAMES.iter().for_each(|name| swap(header, name)), Neither),
    ("seals 1 and 2 with changed numbers", |header| swap(header, NAMES[0]), Neither),
    ("signatures 1 and 2 with changed numbers", |header| swap(header, NAMES[1]), Neither),
    ("results 1 and 2 with changed numbers", |header| swap(header, NAMES[2]), Neither),
    ("set 3 as set 4", |header| renumber(header, 3, "4"), Neither),
    ("set 3 as set 0", |header| renumber(header, 3, "0"), Neither),
    ("set 3 as set 51", |header| renumber(header, 3, "51"), Neither),
    ("set 1 as set 2", |header| renumber(header, 1, "2"), Neither),
    ("a seal without a number", |header| edit(header, NAMES[0], 3, "i=3;", ""), Neither),
    ("results without a number", |header| edit(header, NAMES[2], 3, "i=3;", ""), Neither),
    ("results 1 say something else", |header| edit(header, NAMES[2], 1, "spf=pass", "spf=fail"), Neither),
    ("results 3 say something else", |header| edit(header, NAMES[2], 3, "spf=pass", "spf=fail"), Neither),
    ("cv=pass in set 1", |header| edit(header, NAMES[0], 1, "cv=none", "cv=pass"), Neither),
    ("cv=none in set 2", |header| edit(header, NAMES[0], 2, "cv=pass", "cv=none"), Neither),
    ("cv=fail in set 1", |header| edit(header, NAMES[0], 1, "cv=none", "cv=fail"), Neither),
    ("cv=fail in set 2", |header| edit(header, NAMES[0], 2, "cv=pass", "cv=fail"), Neither),
    ("cv=fail in set 3", |header| edit(header, NAMES[0], 3, "cv=pass", "cv=fail"), Neither),
    ("cv= of no kind", |header| edit(header, NAMES[0], 3, "cv=pass", "cv=sure"), Neither),
    ("an octet of seal 1", |header| flip(header, NAMES[0], 1), Neither),
    ("an octet of seal 2", |header| flip(header, NAMES[0], 2), Neither),
    ("an octet of seal 3", |header| flip(header, NAMES[0], 3), Neither),
    ("an octet of signature 1", |header| flip(header, NAMES[1], 1), Neither),
    ("an octet of signature 3", |header| flip(header, NAMES[1], 3), Neither),
    (
        "a key that is not there, of the first seal",
        |header| edit(header, NAMES[0], 1, "s=rsa", "s=gone"),
        Neither,
    ),
    (
        "a key that is not there, of the last seal",
        |header| edit(header, NAMES[0], 3, "s=rsa", "s=gone"),
        Neither,
    ),
    ("h= in a seal", |header| edit(header, NAMES[0], 3, "cv=pass;", "cv=pass; h=from;"), Neither),
    (
        "another author",
        |header| header.iter_mut().for_each(|field| *field = field.replacen("ann@", "eve@", 1)),
        Neither,
    ),
];

/// RFC 8617 §5.2, of what we have sealed, of what dkimpy has, and of what we have on top of it.
#[test]
fn every_way_to_break_a_chain_breaks_it_for_both() {
    let folder = folder("arc-changes");
    folder.write("its.plain", message(3));
    python(&["grow"], &folder);
    let its = |length| std::fs::read_to_string(folder.0.join(format!("its.{length}.eml"))).unwrap();
    let mixed = sealed(&format!("Received: by host3; now\r\n{}", its(2)), ChainValidation::Pass);
    let bases = [("ours", passed_on(&message(3), 3)), ("its", its(3)), ("mixed", mixed)];
    for length in LENGTHS {
        std::fs::remove_file(folder.0.join(format!("its.{length}.eml"))).unwrap();
    }
    let mut expected = HashMap::new();
    for (base, message) in &bases {
        for (number, (what, change, holds)) in CHANGES.iter().enumerate() {
            let changed = changed(message, change);
            assert!(changed != *message || number == 0, "{base}: {what}");
            let file = format!("{base}-{number}.eml");
            folder.write(&file, &changed);
            let report = chain(changed.as_bytes());
            let word = if *holds == Neither { Word::Fail } else { Word::Pass };
            assert_eq!(report.word(), word, "{base}: {what}: {:?}\n{changed}", report.chain);
            expected.insert(file, (format!("{base}: {what}"), *holds));
        }
    }
    let said = verdicts(&folder, "chain");
    assert_eq!(said.len(), expected.len());
    let differs = |(file, (_, holds)): &(String, (String, Holds))| (said[file] == "pass") != (*holds == Both);
    let wrong: Vec<_> = expected.into_iter().filter(differs).map(|(_, (what, _))| what).collect();
    assert!(wrong.is_empty(), "dkimpy disagrees: {wrong:?}");
}

/// RFC 8617 §5.1.2: what is sealed as broken covers its own set alone, and stays broken whoever seals on top of it.
#[test]
fn a_chain_that_is_sealed_as_broken_stays_so() {
    let folder = folder("arc-broken");
    let broken = passed_on(&message(4), 2) + "more\r\n";
    let told = sealed(&broken, ChainValidation::Fail);
    folder.write("told.eml", format!("{RESULTS}{told}"));
    assert_eq!(verdicts(&folder, "newest")["told.eml"], "3 fail True True");
    assert_eq!(verdicts(&folder, "chain")["told.eml"], "ended");
    assert_eq!(chain(told.as_bytes()).chain, Chain::Fail(Fault::BrokenBefore));
    // dkimpy seals whatever its server says.
    python(&["seal"], &folder);
    let lie = std::fs::read_to_string(folder.0.join("told.sealed")).unwrap();
    assert!(lie.contains("i=4; cv=pass"), "{lie}");
    assert_eq!(chain(lie.as_bytes()).word(), Word::Fail);
    folder.write("lie.eml", lie);
    assert_eq!(verdicts(&folder, "chain")["lie.eml"], "ended");
}
