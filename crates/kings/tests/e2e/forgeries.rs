//! Forgeries of every kind over port 25, each filed or refused with its reason in words, and their honest mirrors.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::arc::{ChainValidation, Sealer};
use kings_msgauth::dkim::{PrivateKey, Rules, Selector, Signer, SigningIdentity};

use crate::harness::{
    Kings, Message, NameServer, Reply, Setup, Smtp, Tap, letter, messages, run, wait_until,
};

const BOB: &str = "bob@example.org";
/// All domains of the zone sign with this key.
const KEY: &str = include_str!("../../../msgauth/tests/data/ed25519.pem");
const PUBLIC: &str = include_str!("../../../msgauth/tests/data/ed25519.public");
/// The host that `bank.test` lets send, and one that nobody but `evil.test` does.
const BANK: &str = "192.0.2.1";
const STRANGER: &str = "198.51.100.7";

fn zone() -> String {
    let domains = [
        "bank.test",
        "shop.test",
        "strict.test",
        "evil.test",
        "notbank.test",
        "list.test",
        "other.test",
        // Our own, which has no policy.
        "example.org",
    ];
    let keys = domains
        .map(|domain| format!("k._domainkey.{domain}. IN TXT \"v=DKIM1; k=ed25519; p={}\"\n", PUBLIC.trim()));
    let policies = "bank.test. IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.bank.test. IN TXT \"v=DMARC1; p=reject\"\n\
        mail.bank.test. IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\nmail.bank.test. IN A 192.0.2.1\n\
        shop.test. IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n_dmarc.shop.test. IN TXT \"v=DMARC1; p=quarantine\"\n\
        news.strict.test. IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n\
        _dmarc.strict.test. IN TXT \"v=DMARC1; p=reject; adkim=s; aspf=s\"\n\
        evil.test. IN TXT \"v=spf1 +all\"\nexample.org. IN TXT \"v=spf1 ip4:192.0.2.1 -all\"\n";
    keys.concat() + policies
}

/// The server as it comes, but that it believes one sealer, and the test speaks for clients of all addresses.
fn home(dns: &NameServer) -> Kings {
    let tables = "[inbound]\narc_sealers = [\"list.test\"]\nimpersonation = \"junk\"\n".to_owned();
    let mut setup = Setup { tables, name_server: dns.address.clone(), ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.0/8\"]\n";
    setup.start()
}

/// One message as it comes in.
struct Case {
    name: &'static str,
    client: &'static str,
    helo: &'static str,
    reverse_path: &'static str,
    content: String,
}

/// From a stranger, with a reverse-path that SPF lets pass.
fn of_stranger(name: &'static str, content: String) -> Case {
    Case { name, client: STRANGER, helo: "mx.evil.test", reverse_path: "joe@evil.test", content }
}

/// The same from the bank's own host, in the bank's own name.
fn of_bank(name: &'static str, content: String) -> Case {
    Case { name, client: BANK, helo: "mail.bank.test", reverse_path: "ceo@bank.test", content }
}

#[track_caller]
fn send(kings: &Kings, case: &Case) -> Reply {
    let mut smtp = Smtp::connect(kings.address("smtp")).unwrap();
    smtp.command("EHLO proxy.example.net").unwrap().is("250");
    smtp.command(&format!("XCLIENT ADDR={}", case.client)).unwrap().is("220");
    smtp.command(&format!("EHLO {}", case.helo)).unwrap().is("250");
    let content = case.content.replace("SUBJECT", case.name);
    smtp.message(case.reverse_path, &[BOB], content.as_bytes()).unwrap()
}

fn from(field: &str) -> String {
    format!(
        "From: {field}\r\nTo: {BOB}\r\nSubject: SUBJECT\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
         Message-ID: <1@bank.test>\r\n\r\nPlease pay.\r\n"
    )
}

/// A letter that names no author, and this line where the empty one should be: it begins the body.
fn behind_the_header(line: &str) -> String {
    let header = from("x").replace("From: x\r\n", "");
    header.replacen("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"), 1)
}

fn today() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Signed as Kings signs; `SUBJECT` is no part of what may be changed afterwards.
fn signed(domain: &str, content: &str, rules: Rules, at: i64) -> String {
    let (domain, selector) = (Domain::parse(domain).unwrap(), Selector::parse("k").unwrap());
    let key = PrivateKey::from_pem(KEY).unwrap();
    let mut signer = Signer::new(rules);
    signer.push(content.as_bytes());
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    signer.finish(&[identity], DateTime::from_unix(at)).unwrap() + content
}

fn signed_now(domain: &str, subject: &str, field: &str) -> String {
    signed(domain, &from(field).replace("SUBJECT", subject), Rules::default(), today())
}

/// Sealed by somebody who says that all was well.
fn sealed(sealer: &str, claim: &str, content: &str) -> String {
    let (domain, selector) = (Domain::parse(sealer).unwrap(), Selector::parse("k").unwrap());
    let key = PrivateKey::from_pem(KEY).unwrap();
    let mut work = Sealer::new(Rules::default());
    work.push(content.as_bytes());
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    work.finish(&identity, claim, ChainValidation::None, DateTime::from_unix(today())).unwrap() + content
}

/// A signature by hand, over From and the first octets of the body: what no signer of ours would make.
fn signed_by_hand(algorithm: &str, with_length: bool) -> String {
    let body = "Please pay.\r\n";
    let hash = STANDARD.encode(digest(&SHA256, body.as_bytes()));
    let length = if with_length { format!(" l={};", body.len()) } else { String::new() };
    let field = format!(
        "DKIM-Signature: v=1; a={algorithm}; c=simple/simple; d=bank.test; s=k; h=from:to;{length} bh={hash}; b="
    );
    let der: String = KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&STANDARD.decode(der).unwrap()).unwrap();
    let covered = digest(&SHA256, format!("From: ceo@bank.test\r\nTo: {BOB}\r\n{field}").as_bytes());
    let signature = STANDARD.encode(pair.sign(covered.as_ref()));
    format!("{field}{signature}\r\n{}", from("ceo@bank.test"))
}

/// Forged names, each with what is done and a part of the reason. They come from a stranger unless said otherwise.
fn forged_names() -> Vec<(Case, &'static str, &'static str)> {
    let reject = "reject";
    let dmarc = "DMARC fails for ";
    let bank = "ceo@bank.test";
    let ours = "which is ours, and does not prove it";
    vec![
        (of_stranger("our own domain", from("ann@example.org")), "junk", ours),
        (of_stranger("ours in capitals", from("Ann <ANN@EXAMPLE.ORG>")), "junk", ours),
        (of_stranger("ours by a stranger's SPF", from("ann@example.org")).from("x@evil.test"), "junk", ours),
        (
            of_stranger(
                "ours by a stranger's DKIM",
                signed_now("evil.test", "ours by a stranger's DKIM", "ann@example.org"),
            ),
            "junk",
            ours,
        ),
        (of_stranger("ours as null sender", from("postmaster@example.org")).null(), "junk", ours),
        (
            of_stranger("ours as a name", from("\"boss@example.org\" <joe@evil.test>")),
            "junk",
            "shows an address at example.org, which is ours, and it is from evil.test",
        ),
        (
            of_stranger("ours as an encoded name", from("=?utf-8?q?boss=40example=2Eorg?= <joe@evil.test>")),
            "junk",
            "shows an address at example.org",
        ),
        (
            of_stranger("ours as a comment", from("joe@evil.test (boss@example.org)")),
            "junk",
            "shows an address",
        ),
        (
            of_stranger(
                "ours as a name, signed",
                signed_now("evil.test", "ours as a name, signed", "\"boss@example.org\" <joe@evil.test>"),
            ),
            "junk",
            "shows an address",
        ),
        (of_stranger("reject policy", from(bank)), reject, dmarc),
        (of_stranger("quarantine policy", from("news@shop.test")), "junk", dmarc),
        (of_stranger("another address as name", from("\"joe@evil.test\" <ceo@bank.test>")), reject, dmarc),
        (
            of_stranger("address in a comment", from("(joe@evil.test) ceo@bank.test (joe@evil.test)")),
            reject,
            dmarc,
        ),
        (of_stranger("encoded name", from("=?utf-8?q?joe=40evil=2Etest?= <ceo@bank.test>")), reject, dmarc),
        (of_stranger("folded address", from("Joe\r\n <ceo@bank.test>")), reject, dmarc),
        (of_stranger("folded in the address", from("Joe <ceo@bank\r\n .test>")), reject, dmarc),
        (of_stranger("blanks before the colon", from(bank).replace("From:", "From \t:")), reject, dmarc),
        (
            of_stranger(
                "a line of more than 998",
                from(&format!("\"{}\" <ceo@bank.test>", "x".repeat(1_200))),
            ),
            reject,
            dmarc,
        ),
        (of_stranger("NUL in the author", from("ceo\0@bank.test")), "550", "NUL"),
        (of_stranger("two From fields", format!("From: joe@evil.test\r\n{}", from(bank))), "550", "From"),
        (
            of_stranger("no author at all", from("x").replace("From: x\r\n", "")),
            "junk",
            "its author cannot be told",
        ),
        (
            of_stranger("no From that a mail server knows", behind_the_header("From\u{a0}: ceo@bank.test")),
            "junk",
            "cannot be told",
        ),
        (
            of_stranger(
                "an author behind a line that is no field",
                behind_the_header("x\r\nFrom: ceo@bank.test"),
            ),
            "junk",
            "its author cannot be told",
        ),
        (
            of_stranger("a header that goes on in ours", format!(" x\r\n{}", from("joe@evil.test"))),
            "550",
            "begins with a blank",
        ),
        (of_stranger("a subdomain that is none", from("ceo@secure.bank.test")), reject, dmarc),
        (of_stranger("a subdomain of theirs", from("ceo@mail.bank.test")), reject, dmarc),
        (of_stranger("null sender", from(bank)).null(), reject, dmarc),
        (
            of_stranger("SPF that lets everybody pass", from(bank)),
            reject,
            "what passed belongs to other domains",
        ),
    ]
}

/// Fields in which one reader sees another author than the next.
fn forged_forms() -> Vec<(Case, &'static str, &'static str)> {
    let (reject, dmarc) = ("reject", "DMARC fails for ");
    vec![
        (of_stranger("two authors", from("joe@evil.test, ceo@bank.test")), reject, dmarc),
        (of_stranger("a group of authors", from("Friends: joe@evil.test, ceo@bank.test;")), reject, dmarc),
        (of_stranger("two addresses in one", from("joe@evil.test <ceo@bank.test>")), reject, dmarc),
        (
            of_stranger("a name that is an address", from("ceo@bank.test <joe@evil.test>")),
            "junk",
            "DMARC fails for bank.test, an address that the name in From shows",
        ),
        (of_stranger("two in brackets", from("<joe@evil.test> <ceo@bank.test>")), reject, dmarc),
        (of_stranger("a name without quotes", from("Boss, The <ceo@bank.test>")), reject, dmarc),
        (of_stranger("a quote that never ends", from("\"The Boss <ceo@bank.test>")), reject, dmarc),
        (of_stranger("a comment that never ends", from("(joe@evil.test <ceo@bank.test>")), reject, dmarc),
        (of_stranger("a comment in the address", from("ceo(x)@(y)bank.test")), reject, dmarc),
        (of_stranger("junk behind", from("<ceo@bank.test> the boss")), reject, dmarc),
        (of_stranger("an encoded address", from("=?utf-8?q?Boss_=3Cceo=40bank=2Etest=3E?=")), reject, dmarc),
        (
            of_stranger("NUL in an encoded word", from("=?utf-8?b?Y2VvQGJhbmsudGVzdAA=?=@evil.test")),
            reject,
            dmarc,
        ),
        (of_stranger("a route", from("<@evil.test:ceo@bank.test>")), reject, dmarc),
        (of_stranger("UTF-7 beside", from("=?utf-7?q?ceo+AEA-bank.test?=, joe@evil.test")), reject, dmarc),
        (
            of_stranger(
                "UTF-16 beside",
                from("=?utf-16?q?=00c=00=40=00b=00a=00n=00k=00.=00t=00e=00s=00t?=, joe@evil.test"),
            ),
            reject,
            dmarc,
        ),
        (of_stranger("UTF-7 alone", from("=?utf-7?q?Boss_+ADw-ceo+AEA-bank.test+AD4-?=")), reject, dmarc),
        (
            of_stranger("a local part too long", from(&format!("<{}@bank.test>", "a".repeat(65)))),
            reject,
            dmarc,
        ),
        (
            of_stranger("U+2028 before the address", from("joe@evil.test\u{2028}<ceo@bank.test>")),
            reject,
            dmarc,
        ),
        (
            of_stranger("U+2028 as if a field began", from("joe@evil.test\u{2028}From: ceo@bank.test")),
            reject,
            dmarc,
        ),
        (
            of_stranger("U+2028 in the address", from("ceo@bank\u{2028}.test")),
            "junk",
            "its author cannot be told",
        ),
        (of_stranger("a quoted address alone", from("\"ceo@bank.test\"")), reject, dmarc),
        (
            of_stranger("ours as a name without brackets", from("\"boss@example.org\" joe@evil.test")),
            "junk",
            "shows an address at example.org, which is ours",
        ),
        (
            of_stranger("ours beside another", from("ann@example.org, joe@evil.test")),
            "junk",
            "says to be from example.org, which is ours, and does not prove it",
        ),
        (of_stranger("a group of nobody", from("Friends:;")), "junk", "its author cannot be told"),
        (
            of_stranger(
                "a second From with a blank",
                format!("From : joe@evil.test\r\n{}", from("ceo@bank.test")),
            ),
            "550",
            "more than one From field",
        ),
        (
            of_stranger("60 KB of author", from(&format!("{} <ceo@bank.test>", "x ".repeat(30_000)))),
            "550",
            "too many authors, or is too long",
        ),
        (of_stranger("an author who is none", from("ceo@bank..test")), "junk", "its author cannot be told"),
        (
            of_stranger("too many authors", from("a@a.test, b@b.test, c@c.test, d@d.test, ceo@bank.test")),
            "550",
            "too many authors",
        ),
    ]
}

/// Hosts that go on behind a sign that no host has.
fn forged_hosts() -> Vec<(Case, &'static str, &'static str)> {
    vec![
        (
            of_stranger("a sign in the host", from("<joe@evil.test+.example.org>")),
            "junk",
            "shows an address at example.org",
        ),
        (
            of_stranger("a colon in the host", from("Boss <joe@evil.test:example.org>")),
            "junk",
            "cannot be told",
        ),
        (of_stranger("a sign in a host of the bank", from("<ceo@x*.bank.test>")), "junk", "cannot be told"),
        (of_stranger("a blank in the host", from("<joe@evil.test bank.test>")), "junk", "cannot be told"),
        (
            of_stranger("a sign in a host in quotes", from("\"ceo@bank%.bank.test\", <joe@evil.test>")),
            "junk",
            "cannot be told",
        ),
        (
            of_stranger("quotes behind the host", from("ceo@bank.test\"Boss\"")),
            "reject",
            "DMARC fails for bank.test: ",
        ),
        (
            of_stranger("quotes behind the host in brackets", from("Boss <ceo@bank.test.\"x\">")),
            "reject",
            "DMARC fails for bank.test: ",
        ),
        (
            of_stranger(
                "quotes behind a name that is an address",
                from("ceo@bank.test\"Boss\" <joe@evil.test>"),
            ),
            "junk",
            "DMARC fails for bank.test",
        ),
        (
            of_stranger("quotes behind a host of ours", from("ann@example.org\"Boss\"")),
            "junk",
            "which is ours",
        ),
        (
            of_stranger("a second bracket in the host", from("<joe@evil.test<.bank.test>")),
            "junk",
            "cannot be told",
        ),
    ]
}

/// Signatures that come to nothing, above the content: of nobody, of strangers, of the domain.
fn beset(content: &str, domain: &str) -> String {
    let signature = |domain: &str| {
        format!(
            "DKIM-Signature: v=1; a=ed25519-sha256; d={domain}; s=s; h=from; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA\r\n"
        )
    };
    let nobodys = "DKIM-Signature: v=1; d=bank.test\r\n".repeat(8);
    format!("{nobodys}{}{}{content}", signature("list.test").repeat(8), signature(domain).repeat(8))
}

/// The same of proofs: signatures, results and seals.
fn forged_proofs() -> Vec<(Case, &'static str, &'static str)> {
    let bank = "ceo@bank.test";
    let results = |field: &str| format!("{field}\r\n{}", from(bank));
    let passed = "other.test; spf=pass smtp.mailfrom=bank.test; dkim=pass header.d=bank.test; dmarc=pass header.from=bank.test";
    let expired = Rules { valid_for: Some(3_600), ..Rules::default() };
    let cases = [
        of_stranger("signed by a stranger", signed_now("evil.test", "signed by a stranger", bank)),
        of_stranger(
            "signed by a name that ends alike",
            signed_now("notbank.test", "signed by a name that ends alike", bank),
        ),
        of_stranger(
            "a changed body",
            signed_now("bank.test", "a changed body", bank).replace("Please pay", "Pay me"),
        ),
        of_stranger("text behind l=", signed_by_hand("ed25519-sha256", true) + "And pay twice.\r\n"),
        of_stranger("sha1", signed_by_hand("rsa-sha1", false)),
        of_stranger(
            "expired",
            signed("bank.test", &from(bank).replace("SUBJECT", "expired"), expired, today() - 7_200),
        ),
        of_stranger(
            "replayed with another From",
            signed_now("evil.test", "replayed with another From", "joe@evil.test")
                .replace("From: joe@evil.test", "From: ceo@bank.test"),
        ),
        of_stranger(
            "a second Subject",
            format!("Subject: SUBJECT\r\n{}", signed_now("bank.test", "oversigned", bank)),
        ),
        of_stranger(
            "another To above a careless signature",
            format!("To: all@bank.test\r\n{}", signed_by_hand("ed25519-sha256", false)),
        ),
        of_stranger(
            "beset by the bank's",
            beset(&signed_now("bank.test", "beset by the bank's", bank), "bank.test"),
        ),
        of_stranger(
            "results in our name",
            results("Authentication-Results: mail.example.org; dmarc=pass header.from=bank.test"),
        ),
        of_stranger(
            "results, folded and in capitals",
            results("AUTHENTICATION-RESULTS :\r\n (our (own)) \"MAIL.Example.ORG\" 1;\r\n\tdmarc=pass"),
        ),
        of_stranger(
            "sealed by whomever",
            sealed("other.test", passed, &from(bank).replace("SUBJECT", "sealed by whomever")),
        ),
        of_stranger(
            "sealed in the name of the list",
            sealed(
                "list.test",
                &passed.replace("other", "list"),
                &from(bank).replace("SUBJECT", "sealed in the name of the list"),
            )
            .replace("Please pay", "Pay me"),
        ),
        of_bank("a subdomain where alignment is strict", from("ceo@strict.test"))
            .from("ceo@news.strict.test"),
    ];
    let why = |name| match name {
        "a changed body" => "(spf=pass, dkim=fail of bank.test: the body was changed)",
        "expired" => "dkim=policy of bank.test: the signature has expired",
        "sha1" => "dkim=fail of bank.test: rsa-sha1 is no longer valid",
        "signed by a stranger" => "(spf=pass, dkim=pass of evil.test: Ed25519 key)",
        "replayed with another From" => "dkim=fail of evil.test: the signature does not match the header",
        "results in our name" => "(spf=pass, dkim=none)",
        "beset by the bank's" => "dkim=permerror of bank.test: there is no key, 5 more)",
        _ => "DMARC fails for bank.test: ",
    };
    let (strict, cases): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.client == BANK);
    let of_strict = strict.into_iter().map(|case| (case, "reject", "DMARC fails for strict.test: "));
    cases
        .into_iter()
        .map(|case| {
            let why = why(case.name);
            (case, "reject", why)
        })
        .chain(of_strict)
        .collect()
}

impl Case {
    fn null(self) -> Self {
        Self { reverse_path: "", ..self }
    }

    fn from(self, reverse_path: &'static str) -> Self {
        Self { reverse_path, ..self }
    }
}

#[test]
fn forgeries_are_filed_or_refused_and_the_reason_is_told() {
    let dns = NameServer::start(".", &zone());
    let kings = home(&dns);
    let mut junk = Vec::new();
    let forgeries: Vec<_> =
        [forged_names(), forged_forms(), forged_hosts(), forged_proofs()].into_iter().flatten().collect();
    for (case, verdict, reason) in &forgeries {
        let reply = send(&kings, case);
        let told = format!("{}: {} {}", case.name, reply.code, reply.text);
        if *verdict == "junk" {
            assert_eq!(reply.code, 250, "{told}");
            junk.push((case.name, *reason));
        } else {
            assert!(reply.code == 550 && reply.text.contains(reason), "{told}");
        }
    }
    let inbox: Vec<String> = messages(&kings.maildir(BOB)).iter().map(Message::text).collect();
    assert!(inbox.is_empty(), "{inbox:?}");
    let filed = messages(&kings.maildir(BOB).join(".Junk"));
    assert_eq!(filed.len(), junk.len());
    for (name, reason) in junk {
        let message = filed.iter().find(|message| message.field("Subject").as_deref() == Some(name)).unwrap();
        let text = message.text().replace("\r\n\t", " ");
        let verdict = text.lines().find(|line| line.starts_with("X-Kings-Verdict: junk; ")).expect(name);
        assert!(verdict.contains(reason), "{name}: {verdict}");
    }
    // The trace tells the same to whoever asks later.
    let judged = forgeries
        .iter()
        .filter(|(case, verdict, _)| *verdict != "550" && case.reverse_path == "joe@evil.test");
    let story = wait_until("all of them in the trace", Duration::from_secs(30), || {
        let text = run(&mut kings.command(&["trace", "--sender", "joe@evil.test"])).text();
        (text.matches("judged: ").count() >= judged.clone().count()).then_some(text)
    });
    for (case, verdict, reason) in judged {
        let is_told =
            story.lines().any(|line| line.contains(&format!("judged: {verdict}; ")) && line.contains(reason));
        assert!(is_told, "{}: {verdict}; {reason}\n{story}", case.name);
    }
}

const TWICE: &str =
    "To: joe@evil.test\r\nDate: Tue, 24 Nov 2026 10:00:00 +0000\r\nMessage-ID: <2@bank.test>\r\n";

/// The same machinery from its honest side: nothing of this is filed away.
fn honest() -> Vec<(Case, &'static str)> {
    let bank = "ceo@bank.test";
    let passed = "list.test; spf=pass smtp.mailfrom=bank.test; dkim=pass header.d=bank.test; dmarc=pass header.from=bank.test";
    let listed = sealed(
        "list.test",
        passed,
        &signed_now("bank.test", "a list", bank).replace("Subject: a list", "Subject: [l] a list"),
    );
    let forwarded = signed_now("bank.test", "forwarded", bank);
    let foreign = format!("Authentication-Results: relay.other.test; dmarc=fail\r\n{}", from(bank));
    vec![
        (of_stranger("forwarded", forwarded).from(bank), "dmarc=pass (aligned: DKIM)"),
        (of_stranger("[l] a list", listed).from("bounces@evil.test"), "arc=pass (i=1, sealed by list.test)"),
        (
            of_bank("a subdomain, relaxed", from(bank)).from("bounces@mail.bank.test"),
            "dmarc=pass (aligned: SPF)",
        ),
        (of_bank("SPF alone", from(bank)), "dmarc=pass (aligned: SPF)"),
        (
            of_bank("4 KB of author", from(&format!("{} <ceo@bank.test>", "x ".repeat(2_000)))),
            "dmarc=pass (aligned: SPF)",
        ),
        (of_bank("U+2028 in a name", from("CEO\u{2028}(Bank) <ceo@bank.test>")), "dmarc=pass (aligned: SPF)"),
        (
            of_stranger("DKIM alone", signed_now("bank.test", "DKIM alone", bank)),
            "dmarc=pass (aligned: DKIM)",
        ),
        (
            of_stranger(
                "beset by strangers'",
                beset(&signed_now("bank.test", "beset by strangers'", bank), "mail.bank.test"),
            ),
            "dmarc=pass (aligned: DKIM)",
        ),
        // What is signed is header, empty line and body; the line got lost on the way.
        (
            of_stranger(
                "no empty line",
                signed_now("bank.test", "no empty line", bank).replace("\r\n\r\n", "\r\n"),
            ),
            "dmarc=pass (aligned: DKIM)",
        ),
        // What the forgeries spoil is whole before: the signature by hand holds without l=.
        (
            of_stranger("signed by hand", signed_by_hand("ed25519-sha256", false)),
            "dmarc=pass (aligned: DKIM)",
        ),
        // What says the same once more deceives nobody.
        (
            of_stranger(
                "a field that came twice",
                format!("To: {BOB}\r\n{}", signed_by_hand("ed25519-sha256", false)),
            ),
            "dmarc=pass (aligned: DKIM)",
        ),
        (of_bank("both", signed_now("bank.test", "both", bank)), "dmarc=pass (aligned: DKIM and SPF)"),
        (of_bank("a bounce", from("MAILER-DAEMON@mail.bank.test")).null(), "dmarc=pass (aligned: SPF)"),
        (
            of_bank(
                "a group that is no author",
                from(bank).replace(&format!("To: {BOB}"), "To: Friends: bob@example.org;"),
            ),
            "dmarc=pass",
        ),
        (of_bank("ours by SPF", from("ann@example.org")).from("ann@example.org"), "dmarc=none"),
        (
            of_stranger("ours by DKIM", signed_now("example.org", "ours by DKIM", "ann@example.org")),
            "dmarc=none",
        ),
        (of_bank("results of others", foreign), "dmarc=pass (aligned: SPF)"),
        (
            of_bank("a blank before the colon", from(bank).replace("From:", "From :")),
            "dmarc=pass (aligned: SPF)",
        ),
        (
            of_bank("fields that are there twice", format!("{TWICE}{}", from(bank))),
            "dmarc=pass (aligned: SPF)",
        ),
        (of_stranger("nobody in particular", from("joe@evil.test")), "dmarc=none"),
        (of_stranger("its own address as a name", from("\"joe@evil.test\" <joe@evil.test>")), "dmarc=none"),
        (
            of_stranger("a name that only ends like ours", from("\"ann@notexample.org\" <joe@evil.test>")),
            "dmarc=none",
        ),
    ]
}

#[test]
fn their_honest_mirrors_reach_the_inbox() {
    let dns = NameServer::start(".", &zone());
    let kings = home(&dns);
    let honest = honest();
    for (case, _) in &honest {
        let reply = send(&kings, case);
        assert_eq!(reply.code, 250, "{}: {}", case.name, reply.text);
    }
    // Our own user, whose mail nobody but the login proves.
    kings.submit("ann@example.org", BOB, "our own user");
    let inbox = messages(&kings.maildir(BOB));
    let find = |name: &str| inbox.iter().find(|message| message.field("Subject").as_deref() == Some(name));
    for (case, results) in &honest {
        let text = find(case.name).unwrap_or_else(|| panic!("{} is not in the inbox", case.name)).text();
        let text = text.replace("\r\n\t", " ").replace("  ", " ");
        assert!(text.contains(results) && text.contains("X-Kings-Verdict: accept"), "{}: {text}", case.name);
    }
    assert!(find("our own user").is_some() && inbox.len() == honest.len() + 1);
    // What nobody has signed is kept as it came, though it should be there once (RFC 5322 §3.6).
    let text = find("fields that are there twice").unwrap().text();
    assert!(text.contains(TWICE) && text.contains("Message-ID: <1@bank.test>"), "{text}");
    // What others found stays, and stands below ours.
    let text = find("results of others").unwrap().text();
    assert!(text.contains("Authentication-Results: relay.other.test; dmarc=fail"), "{text}");
}

/// Mail for a relay domain goes on, and nobody outside writes in its name unproven.
#[test]
fn relay_domains_are_ours_as_well() {
    let dns = NameServer::start(".", "behind.test. IN TXT \"v=spf1 ip4:127.0.0.1 -all\"\n");
    let tables = "[[domain]]\nname = \"behind.test\"\nrelay_to = \"smtp:127.0.0.1:7\"\n";
    let kings = Setup { tables: tables.into(), name_server: dns.address.clone(), ..Setup::default() }.start();
    let content = letter("joe@behind.test", BOB, "hello");
    for sender in ["eve@evil.test", "joe@behind.test"] {
        kings.smtp().message(sender, &[BOB], &content).unwrap().is("250");
    }
    let [junk] = &messages(&kings.maildir(BOB).join(".Junk"))[..] else { panic!("one in the junk") };
    let text = junk.text().replace("\r\n\t", " ");
    assert!(text.contains("says to be from behind.test, which is ours, and does not prove it"), "{text}");
    let [proven] = &messages(&kings.maildir(BOB))[..] else { panic!("one in the inbox") };
    assert!(proven.text().contains("X-Kings-Verdict: accept\r\n"), "{}", proven.text());
}

#[test]
fn a_name_server_that_knows_nothing_files_nothing_but_what_says_to_be_ours() {
    let kings = Setup::default().start();
    let mut client = kings.smtp();
    for author in ["ceo@bank.test", "ann@example.org"] {
        client.message("joe@evil.test", &[BOB], &letter(author, BOB, "hello")).unwrap().is("250");
    }
    let inbox = messages(&kings.maildir(BOB)).remove(0).text();
    assert!(inbox.contains("dmarc=temperror") && inbox.contains("From: ceo@bank.test"), "{inbox}");
    assert!(
        inbox.contains("X-Kings-Verdict: accept; DMARC cannot tell for now about bank.test: "),
        "{inbox}"
    );
    assert_eq!(messages(&kings.maildir(BOB).join(".Junk")).len(), 1);
}

#[test]
fn an_operator_may_put_off_what_dmarc_cannot_tell_and_never_refuse_it_for_good() {
    let tables = "[inbound]\ndmarc_temperror = \"defer\"\n";
    let kings = Setup { tables: tables.into(), ..Setup::default() }.start();
    let content = letter("ceo@bank.test", BOB, "hello");
    let reply = kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap();
    reply.is("451 4.7.1 Not accepted: DMARC cannot tell for now about bank.test: ");
    let config = std::fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    kings.folder().write("kings.toml", config.replace("\"defer\"", "\"reject\""));
    run(&mut kings.command(&["config", "check"])).failed().says("dmarc_temperror");
}

/// Of several authors that counts from which the most follows, as the operator has it, and the reply says whose it is.
#[test]
fn of_several_authors_the_configured_consequence_decides_and_its_domain_is_named() {
    let dns = NameServer::start(".", &zone());
    let both = letter("ceo@bank.test, news@shop.test", BOB, "two authors");
    let with = |tables: &str| {
        Setup { tables: tables.into(), name_server: dns.address.clone(), ..Setup::default() }.start()
    };
    let send =
        |kings: &Kings, content: &[u8]| kings.smtp().message("joe@evil.test", &[BOB], content).unwrap();
    send(&with(""), &both).is("550 5.7.26 Not accepted: DMARC fails for bank.test: ");
    let swapped = with("[inbound]\ndmarc_reject = \"junk\"\ndmarc_quarantine = \"reject\"\n");
    send(&swapped, &both).is("550 5.7.26 Not accepted: DMARC fails for shop.test: ");
    send(&swapped, &letter("ceo@bank.test", BOB, "one author")).is("250");
    let mild = with("[inbound]\ndmarc_reject = \"accept\"\n");
    send(&mild, &both).is("250");
    let [filed] = &messages(&mild.maildir(BOB).join(".Junk"))[..] else { panic!("one in the junk") };
    let text = filed.text().replace("\r\n\t", " ");
    assert!(text.contains("X-Kings-Verdict: junk; DMARC fails for shop.test: "), "{text}");
}

/// Where DMARC does not count, nor does it how many authors there are; that one of them is of us is told all the same.
#[test]
fn too_many_authors_are_nobodys_business_where_dmarc_does_not_count() {
    let crowd = "a@a.test, b@b.test, c@c.test, d@d.test, ann@example.org";
    let content = letter(crowd, BOB, "a crowd");
    for dmarc in ["off", "tag"] {
        let tables = format!("[inbound]\ndmarc = \"{dmarc}\"\n");
        let kings = Setup { tables, ..Setup::default() }.start();
        kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap().is("250");
        let [taken] = &messages(&kings.maildir(BOB))[..] else { panic!("one in the inbox") };
        let text = taken.text().replace("\r\n\t", " ");
        let told =
            "X-Kings-Verdict: accept; it says to be from example.org, which is ours, and does not prove it";
        assert!(text.contains(told), "{dmarc}: {text}");
    }
    let kings = Setup::default().start();
    let reply = kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap();
    reply.is("550 5.6.0 From field names too many authors");
}

/// While DNS is silent an operator may have it filed.
#[test]
fn what_dmarc_cannot_tell_may_be_filed() {
    let tables = "[inbound]\ndmarc_temperror = \"junk\"\n";
    let kings = Setup { tables: tables.into(), ..Setup::default() }.start();
    let content = letter("ceo@bank.test", BOB, "hello");
    kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap().is("250");
    let [filed] = &messages(&kings.maildir(BOB).join(".Junk"))[..] else { panic!("one in the junk") };
    let text = filed.text().replace("\r\n\t", " ");
    assert!(text.contains("X-Kings-Verdict: junk; DMARC cannot tell for now about bank.test: "), "{text}");
    assert!(messages(&kings.maildir(BOB)).is_empty());
}

/// Whoever silences our own name servers writes as nobody of ours, nor as anybody below; of others the doubt is told.
#[test]
fn while_dns_is_silent_names_below_ours_open_no_inbox() {
    let kings = Setup::default().start();
    for author in ["eve@example.org", "eve@news.example.org", "eve@notexample.org"] {
        kings.smtp().message("joe@evil.test", &[BOB], &letter(author, BOB, author)).unwrap().is("250");
    }
    let subjects = |mail: Vec<Message>| {
        let mut subjects: Vec<_> = mail.iter().filter_map(|message| message.field("Subject")).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(subjects(messages(&kings.maildir(BOB))), ["eve@notexample.org"]);
    let filed = subjects(messages(&kings.maildir(BOB).join(".Junk")));
    assert_eq!(filed, ["eve@example.org", "eve@news.example.org"]);
}

/// Doubt is no way into the inbox of a protected name: a forger names a signer of the bank's whose name servers are dead.
/// For a domain that asks for nothing the same doubt is told and files nothing.
#[test]
fn a_signer_whose_name_server_is_dead_opens_no_inbox_to_who_forges_a_protected_name() {
    let records = format!("{}_dmarc.calm.test. IN TXT \"v=DMARC1; p=none\"\n", zone());
    let dns = NameServer::start(".", &records);
    let tap = Tap::before(&dns.address);
    // Of no octets, which fits every body: nothing but the key is open.
    let hash = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let told = "DMARC cannot tell for now about ";
    let cases = [
        ("ceo@bank.test", "bank.test", "junk", "(what fails is to be refused, says its policy)"),
        ("ceo@bank.test", "silent.bank.test", "junk", "(what fails is to be refused, says its policy)"),
        ("news@shop.test", "shop.test", "junk", "(what fails is to be put aside, says its policy)"),
        ("joe@calm.test", "calm.test", "accept", told),
    ];
    for (choice, files) in [("", true), ("dmarc_temperror = \"accept\"\n", false)] {
        let tables = format!("[inbound]\n{choice}");
        let kings = Setup { tables, name_server: tap.address.clone(), ..Setup::default() }.start();
        for (author, signer, _, _) in cases {
            let field = format!(
                "DKIM-Signature: v=1; a=rsa-sha256; d={signer}; s=silent; h=from; l=0; bh={hash}; b=AA==\r\n"
            );
            let content = [field.as_bytes(), &letter(author, BOB, signer)[..]].concat();
            kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap().is("250");
        }
        let mut taken = messages(&kings.maildir(BOB));
        taken.extend(messages(&kings.maildir(BOB).join(".Junk")));
        assert_eq!(taken.len(), cases.len());
        for (author, signer, verdict, why) in cases {
            let verdict = if files { verdict } else { "accept" };
            let found = |text: &String| text.contains(&format!("Subject: {signer}\r\n"));
            let mut texts = taken.iter().map(|message| message.text().replace("\r\n\t", " "));
            let text = texts.find(found).unwrap();
            let expected =
                format!("X-Kings-Verdict: {verdict}; {told}{}: ", author.split_once('@').unwrap().1);
            assert!(text.contains(&expected) && text.contains(why), "{expected}: {text}");
        }
        let filed = messages(&kings.maildir(BOB).join(".Junk")).len();
        assert_eq!(filed, if files { 3 } else { 0 });
    }
}

/// A stolen message verifies as often as it is sent: from the number on that the config says its reader is told, or it is
/// filed. Copies that do not verify count against nobody, nor does anything against another message of the same domain.
#[test]
fn a_good_signature_that_comes_again_and_again_is_told_or_filed_and_no_other() {
    let dns = NameServer::start(".", &zone());
    for (choice, verdict) in [("", "accept"), ("dkim_repeats = \"junk\"\n", "junk")] {
        let tables = format!("[inbound]\ndkim_repeats_from = 3\n{choice}");
        let kings = Setup { tables, name_server: dns.address.clone(), ..Setup::default() }.start();
        let stolen = signed_now("bank.test", "stolen", "ceo@bank.test");
        let mut client = kings.smtp();
        let mut send = |content: &str| client.message("joe@evil.test", &[BOB], content.as_bytes()).unwrap();
        for _ in 0..4 {
            send(&stolen.replace("Please pay", "Pay me")).is("550 5.7.26 Not accepted: DMARC fails");
        }
        for _ in 0..4 {
            send(&stolen).is("250");
        }
        send(&signed_now("bank.test", "another", "ceo@bank.test")).is("250");
        let mut taken = messages(&kings.maildir(BOB));
        let filed = messages(&kings.maildir(BOB).join(".Junk"));
        assert_eq!(filed.len(), usize::from(verdict == "junk"));
        taken.extend(filed);
        let texts: Vec<String> = taken.iter().map(|message| message.text().replace("\r\n\t", " ")).collect();
        let why = "its signature of bank.test has come to 3 recipients within a day, a mailing or a replay";
        let told = format!("X-Kings-Verdict: {verdict}; {why}");
        let count = |part: &str| texts.iter().filter(|text| text.contains(part)).count();
        assert_eq!([texts.len(), count(&told), count("X-Kings-Verdict: accept\r\n")], [5, 1, 4], "{texts:?}");
        assert!(
            texts.iter().all(
                |text| text.contains("dmarc=pass") && !(text.contains("another") && text.contains(&told))
            )
        );
        wait_until("the trace", Duration::from_secs(30), || {
            let text = run(&mut kings.command(&["trace", "--sender", "joe@evil.test"])).text();
            text.contains(&format!("judged: {verdict}; {why}")).then_some(())
        });
    }
}

/// Several authors are judged one by one, unless the operator wants none of it: then whose domain they share, and names that
/// look like one, are still one author.
#[test]
fn authors_of_several_domains_are_refused_where_the_switch_says_so_and_no_others() {
    let dns = NameServer::start(".", &zone());
    let fields = [
        ("joe@evil.test, eve@other.test", false),
        ("Friends: joe@evil.test, eve@other.test;", false),
        ("joe@evil.test <eve@other.test>, ann@list.test", false),
        ("joe@evil.test, eve@evil.test", true),
        ("joe@evil.test <eve@other.test>", true),
        ("\"joe@evil.test\" <eve@other.test>", true),
        ("Joe <joe@evil.test>", true),
    ];
    for (tables, refuses) in [("", false), ("[inbound]\nseveral_authors = \"reject\"\n", true)] {
        let kings =
            Setup { tables: tables.into(), name_server: dns.address.clone(), ..Setup::default() }.start();
        for (field, is_one) in fields {
            let content = letter(field, BOB, "several");
            let reply = kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap();
            let refused = "550 5.7.1 Not accepted: it has authors of several domains: ";
            reply.is(if refuses && !is_one { refused } else { "250" });
        }
    }
}

/// As the server comes: what stands in From beside a real address, quoted or in full-width signs, is an author of its own
/// to those programs that show it; before a real address in `<>` it is a name, of which a reader is told where it is ours.
#[test]
fn addresses_in_disguise_beside_real_ones_are_found_as_the_server_comes() {
    let dns = NameServer::start(".", &zone());
    let kings = Setup { name_server: dns.address.clone(), ..Setup::default() }.start();
    let send =
        |field: &str| kings.smtp().message("joe@evil.test", &[BOB], &letter(field, BOB, field)).unwrap();
    for field in [
        "\"ceo@bank.test\", joe@evil.test",
        "joe@evil.test, \"ceo@bank.test\"",
        "\"CEO <ceo@bank.test>\", <joe@evil.test>",
        "ceo\u{ff20}bank.test, joe@evil.test",
        "joe@evil.test, ceo\u{ff20}bank\u{ff0e}test",
        "\u{ff1c}ceo@bank.test\u{ff1e}, joe@evil.test",
        "[ceo@bank.test], joe@evil.test",
        "=?utf-8?b?Y2Vv77ygYmFuay50ZXN0?=, joe@evil.test",
        "=?utf-7?q?ceo+AEA-bank.test?=, joe@evil.test",
    ] {
        send(field).is("550 5.7.26 Not accepted: DMARC fails for bank.test: ");
    }
    for field in ["\"ann@example.org\", joe@evil.test", "ann\u{ff20}example.org, joe@evil.test"] {
        send(field).is("250");
    }
    let junk = messages(&kings.maildir(BOB).join(".Junk"));
    assert_eq!(junk.len(), 2);
    for message in junk {
        let text = message.text().replace("\r\n\t", " ");
        assert!(text.contains("says to be from example.org, which is ours, and does not prove it"), "{text}");
    }
    // Names: what is ours is told, and the address of somebody else in quotes is nobody's business here.
    let names = [
        ("\"boss@example.org\" <joe@evil.test>", true),
        ("\"boss\u{ff20}example.org\" <joe@evil.test>", true),
        ("=?utf-7?q?boss+AEA-example.org?= <joe@evil.test>", true),
        ("\"ceo@bank.test\" <joe@evil.test>", false),
        ("\"joe@evil.test\" <joe@evil.test>", false),
        ("=?utf-7?q?J+APY-rg?= <joe@evil.test>", false),
    ];
    for (field, _) in names {
        send(field).is("250");
    }
    let inbox = messages(&kings.maildir(BOB));
    assert_eq!(inbox.len(), names.len());
    for (field, is_told) in names {
        let has = |text: &String| text.contains(&format!("From: {field}\r\n"));
        let text =
            inbox.iter().map(crate::harness::Message::text).find(has).expect(field).replace("\r\n\t", " ");
        assert_eq!(
            text.contains("shows an address at example.org, which is ours"),
            is_told,
            "{field}: {text}"
        );
    }
}

#[test]
fn who_may_show_our_addresses_as_names_is_the_operators_choice() {
    let content = letter("\"boss@example.org\" <joe@evil.test>", BOB, "hello");
    let with = |choice: &str| {
        Setup { tables: format!("[inbound]\nimpersonation = \"{choice}\"\n"), ..Setup::default() }.start()
    };
    let kings = with("accept");
    kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap().is("250");
    let text = messages(&kings.maildir(BOB)).remove(0).text().replace("\r\n\t", " ");
    assert!(
        text.contains("X-Kings-Verdict: accept; the name in From shows an address at example.org"),
        "{text}"
    );
    let kings = with("reject");
    let reply = kings.smtp().message("joe@evil.test", &[BOB], &content).unwrap();
    reply.is("550 5.7.1 Not accepted: the name in From shows an address at example.org");
    let own = letter("\"boss@example.org\" <ann@example.org>", BOB, "hello");
    kings.submissions("ann@example.org").message("ann@example.org", &[BOB], &own).unwrap().is("250");
}

/// Whoever hands a message in has not written what only we write. A server in front of us may hold our results.
#[test]
fn nobody_hands_in_a_verdict_of_ours_and_no_user_results_in_our_name() {
    let mut setup = Setup::default();
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    let kings = setup.start();
    let forged = |subject: &str| {
        let fields =
            b"X-Kings-Verdict : accept; friend of the house\r\nRETURN-PATH :\r\n <eve@evil.test>\r\n\
            Authentication-Results: mail.example.org; dmarc=pass\r\n\
            Authentication-Results: relay.other.test; dmarc=pass\r\n";
        [&fields[..], &letter("ann@example.org", BOB, subject)].concat()
    };
    kings
        .submissions("ann@example.org")
        .message("ann@example.org", &[BOB], &forged("of a user"))
        .unwrap()
        .is("250");
    let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
    client.command("LHLO front.example.net").unwrap().is("250");
    client.message("ann@example.org", &[BOB], &forged("of a server")).unwrap().is("250");
    let inbox = messages(&kings.maildir(BOB));
    assert_eq!(inbox.len(), 2);
    for message in inbox {
        let text = message.text();
        assert!(!text.contains("Verdict") && text.contains("relay.other.test; dmarc=pass"), "{text}");
        // The reverse-path is whose the envelope says, once.
        assert!(text.starts_with("Return-Path: <ann@example.org>\r\n"), "{text}");
        assert_eq!(text.to_lowercase().matches("return-path").count(), 1, "{text}");
        let has_ours = text.contains("Authentication-Results: mail.example.org; dmarc=pass");
        assert_eq!(has_ours, text.contains("Subject: of a server"), "{text}");
    }
}

/// Where DMARC is not to decide, a reader still hears that mail in our own name proves nothing.
#[test]
fn mail_in_our_own_name_is_told_of_even_where_dmarc_does_not_count() {
    for dmarc in ["tag", "off"] {
        let tables = format!(
            "[inbound]\ndmarc = \"{dmarc}\"\nspf = \"{dmarc}\"\ndkim = \"{dmarc}\"\narc = \"{dmarc}\"\niprev = \"{dmarc}\"\n"
        );
        let kings = Setup { tables, ..Setup::default() }.start();
        let mut client = kings.smtp();
        for author in ["ann@example.org", "root@mail.example.org", "joe@evil.test"] {
            client.message("joe@evil.test", &[BOB], &letter(author, BOB, author)).unwrap().is("250");
        }
        for message in messages(&kings.maildir(BOB)) {
            let text = message.text().replace("\r\n\t", " ");
            let is_told = text.contains("which is ours, and does not prove it");
            assert_eq!(is_told, !text.contains("From: joe@evil.test"), "{dmarc}: {text}");
        }
    }
}
