//! What is done to a zone, what is left, and the way back.

#![allow(clippy::unwrap_used, reason = "tests")]
use kings_dns::plan::{Facts, Hosted, Services, SigningKey, plan};
use kings_dns::{Opaque, Shelf};
use kings_mail::domain::Domain;

use super::*;

fn name(text: &str) -> DnsName {
    DnsName::parse(text).unwrap()
}

fn set(at: &str, kind: Kind, texts: &[&str]) -> RecordSet {
    let data = texts.iter().map(|text| Data::parse(kind, text).unwrap()).collect();
    RecordSet { name: name(at), kind, ttl: 300, data }
}

fn facts(key: &str) -> Facts {
    let domain = |text| Domain::parse(text).unwrap();
    Facts {
        hostname: domain("mail.example.org"),
        addresses: vec!["203.0.113.10".parse().unwrap()],
        domains: vec![Hosted {
            name: domain("example.org"),
            keys: vec![SigningKey { selector: key.to_owned(), record: format!("v=DKIM1; p={key}") }],
            mta_sts: None,
            reports: Some(("dmarc@example.org".to_owned(), domain("example.org"))),
        }],
        services: Services { smtp: true, https: Some(443), ..Services::default() },
        tls_keys: vec![vec![1; 32]],
        authorities: vec!["letsencrypt.org".to_owned()],
        smart_host: false,
    }
}

/// Drafts and does it; gives what was refused and how many sets changed.
async fn apply(shelf: &Shelf, journal: &mut Journal, facts: &Facts, undo: bool) -> (Vec<String>, usize) {
    let draft = draft(shelf, &plan(facts), journal, undo).await.unwrap();
    carry_out(shelf, &draft, journal).await.unwrap();
    (
        draft.refused.iter().map(|refused| format!("{} {}", refused.name, refused.why)).collect(),
        draft.changes(),
    )
}

fn shelf() -> Shelf {
    Shelf::new([name("example.org")])
}

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path()).unwrap();
    (folder, journal)
}

#[tokio::test]
async fn an_empty_zone_gets_all_a_second_run_changes_nothing_and_undo_leaves_it_empty() {
    let (_folder, mut journal) = journal();
    let shelf = shelf();
    let (refused, changed) = apply(&shelf, &mut journal, &facts("a"), false).await;
    assert_eq!((refused.len(), shelf.changes()), (0, 1));
    assert!(changed > 10 && shelf.sets().len() == changed);
    assert_eq!(apply(&shelf, &mut journal, &facts("a"), false).await.1, 0);
    assert_eq!(shelf.changes(), 1, "nothing to change is no change");
    assert_eq!(apply(&shelf, &mut journal, &facts("a"), true).await.1, changed);
    assert!(shelf.sets().is_empty() && journal.items.is_empty());
    assert_eq!(apply(&shelf, &mut journal, &facts("a"), true).await.1, 0);
}

#[tokio::test]
async fn records_of_others_are_kept_edited_or_left_with_a_reason() {
    let (_folder, mut journal) = journal();
    let before = [
        set(
            "example.org",
            Kind::Txt,
            &["\"google-site-verification=1\"", "\"v=spf1 include:crm.example ~all\""],
        ),
        set("example.org", Kind::Mx, &["10 aspmx.example.net."]),
        set("_dmarc.example.org", Kind::Txt, &["\"v=DMARC1; p=reject\""]),
        set("mail.example.org", Kind::Caa, &["0 issue \"digicert.com\""]),
        set("autoconfig.example.org", Kind::A, &["198.51.100.1"]),
        set("a._domainkey.example.org", Kind::Txt, &["\"v=DKIM1; p=other\""]),
    ];
    let shelf = before.iter().cloned().fold(shelf(), Shelf::with).with_opaque(Opaque {
        name: name("mail.example.org"),
        kind: "A".to_owned(),
        why: "an alias of the provider".to_owned(),
    });
    let (refused, _) = apply(&shelf, &mut journal, &facts("a"), false).await;
    for expected in [
        "example.org MX 10 aspmx",
        "autoconfig.example.org A 198.51.100.1",
        "a._domainkey",
        "mail.example.org A is there: an alias of the provider",
    ] {
        assert!(refused.iter().any(|refused| refused.starts_with(expected)), "{expected}: {refused:?}");
    }
    assert_eq!(refused.len(), 4);
    let at = |at: &str, kind| {
        let sets = shelf.sets();
        let set = sets.iter().find(|set| set.name == name(at) && set.kind == kind).unwrap().clone();
        shown(&set.data)
    };
    let apex = at("example.org", Kind::Txt);
    assert_eq!(apex, "\"google-site-verification=1\" and \"v=spf1 mx include:crm.example ~all\"");
    assert_eq!(at("_dmarc.example.org", Kind::Txt), "\"v=DMARC1; p=reject\"");
    assert_eq!(at("mail.example.org", Kind::Caa), "0 issue \"digicert.com\" and 0 issue \"letsencrypt.org\"");
    assert_eq!(apply(&shelf, &mut journal, &facts("a"), false).await.1, 0, "the second run");
    apply(&shelf, &mut journal, &facts("a"), true).await;
    let mut expected = before.to_vec();
    expected.sort_by(|a, b| (&a.name, a.kind).cmp(&(&b.name, b.kind)));
    let found = shelf.sets();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    assert!(found.iter().zip(&expected).all(|(found, expected)| found.says_the_same(expected)), "{found:?}");
}

#[tokio::test]
async fn our_own_records_follow_the_server_and_what_others_added_since_stays() {
    let (_folder, mut journal) = journal();
    let shelf = shelf();
    apply(&shelf, &mut journal, &facts("old"), false).await;
    // Somebody proves to somebody that the domain is his.
    let apex = set("example.org", Kind::Txt, &["\"v=spf1 mx -all\""]);
    let more = set("example.org", Kind::Txt, &["\"v=spf1 mx -all\"", "\"proof=1\""]);
    let change = Change { name: name("example.org"), kind: Kind::Txt, before: Some(apex), after: Some(more) };
    shelf.change(&name("example.org"), &[change]).await.unwrap();
    let mut facts = facts("new");
    facts.addresses = vec!["203.0.113.11".parse().unwrap()];
    assert_eq!(
        apply(&shelf, &mut journal, &facts, false).await.1,
        3,
        "the address, the new key, the old key"
    );
    let sets = shelf.sets();
    let keys: Vec<String> =
        sets.iter().map(|set| set.name.to_string()).filter(|name| name.contains("domainkey")).collect();
    assert_eq!(keys, ["new._domainkey.example.org"]);
    apply(&shelf, &mut journal, &facts, true).await;
    let left = shelf.sets();
    assert_eq!((left.len(), shown(&left[0].data)), (1, "\"proof=1\"".to_owned()));
}

#[tokio::test]
async fn whatever_ends_it_the_next_run_knows_its_own_records() {
    for (error, noted) in [
        (ProviderError::Temporary("reset".to_owned()), true),
        (ProviderError::Refused("no".to_owned()), false),
    ] {
        let (folder, mut journal) = journal();
        let shelf = shelf();
        shelf.fail(error.clone());
        let first = draft(&shelf, &plan(&facts("a")), &journal, false).await.unwrap();
        assert!(
            matches!(carry_out(&shelf, &first, &mut journal).await, Err(ApplyError::Provider(found)) if found == error)
        );
        assert_eq!(Journal::open(folder.path()).unwrap().items.is_empty(), !noted);
        // Where the connection broke it may have been done.
        if noted {
            shelf.change(&first.zones[0].0, &first.zones[0].1).await.unwrap();
        }
        let mut journal = Journal::open(folder.path()).unwrap();
        apply(&shelf, &mut journal, &facts("b"), false).await;
        apply(&shelf, &mut journal, &facts("b"), true).await;
        assert!(shelf.sets().is_empty(), "{:?}", shelf.sets());
    }
}

#[tokio::test]
async fn nothing_is_changed_that_cannot_be_noted() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::open(folder.path()).unwrap();
    std::fs::write(folder.path().join("dns"), "a file where the folder should be").unwrap();
    let shelf = shelf();
    let draft = draft(&shelf, &plan(&facts("a")), &journal, false).await.unwrap();
    assert!(matches!(carry_out(&shelf, &draft, &mut journal).await, Err(ApplyError::Journal(_))));
    assert_eq!((shelf.sets().len(), shelf.changes()), (0, 0));
}

#[tokio::test]
async fn a_zone_that_is_not_ours_is_left_and_the_others_are_done() {
    let (_folder, mut journal) = journal();
    let mut facts = facts("a");
    facts.domains.push(Hosted {
        name: Domain::parse("example.net").unwrap(),
        keys: Vec::new(),
        mta_sts: None,
        reports: None,
    });
    let shelf = shelf();
    let (refused, changed) = apply(&shelf, &mut journal, &facts, false).await;
    assert!(changed > 10);
    assert!(
        !refused.is_empty() && refused.iter().all(|refused| refused.contains("example.net is in no zone")),
        "{refused:?}"
    );
}

/// A foreign record that asks ten times gets no eleventh question; one with nine does, and one that was broken before is as
/// it would be.
#[tokio::test]
async fn a_record_of_others_is_not_made_to_ask_once_too_often() {
    let includes = |count: usize| (0..count).map(|at| format!(" include:p{at}.example")).collect::<String>();
    let zone = (0..12).fold(kings_dns::Zone::default(), |zone, at| {
        zone.with_txt(name(&format!("p{at}.example")), "v=spf1 ip4:192.0.2.1 -all")
    });
    let host = name("mail.example.org");
    let zone = zone.with_mx(name("example.org"), 10, Some(host.clone()));
    let zone = zone.with_address(host, "203.0.113.10".parse().unwrap());
    for (count, is_spared) in [(9, false), (10, true), (11, false)] {
        let (_folder, journal) = journal();
        let before = set("example.org", Kind::Txt, &[&format!("\"v=spf1{} -all\"", includes(count))]);
        let shelf = shelf().with(before);
        let mut draft = draft(&shelf, &plan(&facts("a")), &journal, false).await.unwrap();
        let edits = |draft: &Draft| {
            let all = draft.zones.iter().flat_map(|(_, changes)| changes);
            all.filter(|change| change.name == name("example.org") && change.kind == Kind::Txt).count()
        };
        assert_eq!(edits(&draft), 1, "{count}");
        let host = Domain::parse("mail.example.org").unwrap();
        spare_spf(&mut draft, &host, &zone).await;
        assert_eq!(edits(&draft), usize::from(!is_spared), "{count}");
        let told = draft.refused.iter().any(|refused| refused.why.starts_with("with mx in it "));
        assert_eq!(told, is_spared, "{count}: {:?}", draft.refused);
    }
}

#[test]
fn nothing_of_a_foreign_zone_acts_on_a_terminal() {
    let evil = Refused { name: name("a.example"), kind: Kind::Txt, why: "x\x1b[2J\n  + forged".to_owned() };
    let draft = Draft { refused: vec![evil], ..Draft::default() };
    assert_eq!(draft.diff(), "  left as it is: a.example TXT: x\u{fffd}[2J   + forged\n");
}
