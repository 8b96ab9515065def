//! Private keys, the files that opendkim-genkey writes, and OpenDKIM's tables.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_mail::domain::Domain;
use kings_msgauth::dkim::opendkim::{
    BadLine, Complaint, Hosts, KeySource, Matching, SigningTable, key_table,
};
use kings_msgauth::dkim::{Algorithm, BadPrivateKey, KeyRecord, PrivateKey, Selector, key_files};

const RSA: &str = include_str!("data/rsa2048.pem");
const ED25519: &str = include_str!("data/ed25519.pem");
/// Both written by opendkim-genkey 2.11 of Debian: `opendkim-genkey -s mail -d example.com`.
const GENKEY_PRIVATE: &str = include_str!("data/genkey.private");
const GENKEY_TXT: &str = include_str!("data/genkey.txt");

#[test]
fn keys_are_read_in_every_form_and_publish_what_openssl_says() {
    let cases = [
        (RSA, Algorithm::RsaSha256, Some(2_048), include_str!("data/rsa2048.public")),
        (ED25519, Algorithm::Ed25519Sha256, None, include_str!("data/ed25519.public")),
    ];
    for (pem, algorithm, bits, public) in cases {
        for text in [pem.to_owned(), pem.replace('\n', "\r\n"), format!("# a comment\n{pem}\nmore")] {
            let key = PrivateKey::from_pem(&text).unwrap();
            assert_eq!((key.algorithm(), key.rsa_bits(), key.public().as_str()), (algorithm, bits, public));
            let record = KeyRecord::parse(key_files::record(&key).as_bytes()).unwrap();
            assert_eq!((record.rsa_bits(), record.testing, record.strict), (bits, false, false));
            assert!(!format!("{key:?}").contains(&text[60..70]), "a key is never printed");
        }
    }
    assert_eq!(PrivateKey::from_pem(GENKEY_PRIVATE).unwrap().rsa_bits(), Some(2_048));
}

#[test]
fn what_is_no_key_to_sign_with_is_told_by_its_fault() {
    let cut = RSA.replace("-----END", "-----FIN");
    let damaged = RSA.replacen("MII", "AAA", 1);
    let cases = [
        ("", BadPrivateKey::NotPem),
        ("-----BEGIN PRIVATE KEY-----", BadPrivateKey::NotPem),
        ("-----BEGIN PRIVATE KEY-----\n*\n-----END PRIVATE KEY-----", BadPrivateKey::NotPem),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", BadPrivateKey::NotPem),
        (cut.as_str(), BadPrivateKey::NotPem),
        (damaged.as_str(), BadPrivateKey::Kind),
        ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----", BadPrivateKey::Kind),
        (include_str!("data/p256.pem"), BadPrivateKey::Kind),
        (include_str!("data/encrypted.pem"), BadPrivateKey::Encrypted),
        (include_str!("data/rsa1024.pem"), BadPrivateKey::TooShort),
    ];
    for (text, expected) in cases {
        assert_eq!(PrivateKey::from_pem(text).err(), Some(expected), "{text:.60}");
    }
    assert_eq!(PrivateKey::from_pem(&" ".repeat(70_000)).err(), Some(BadPrivateKey::TooLong));
}

#[test]
fn the_files_of_a_key_are_those_of_opendkim_genkey() {
    let key = PrivateKey::from_pem(GENKEY_PRIVATE).unwrap();
    let (selector, domain) = (Selector::parse("mail").unwrap(), Domain::parse("example.com").unwrap());
    assert_eq!(key_files::zone_line(&selector, &domain, &key), GENKEY_TXT);
    let body: String = GENKEY_PRIVATE.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    assert_eq!(key_files::private_pem(&der), GENKEY_PRIVATE);
}

#[test]
fn a_record_is_cut_into_strings_that_dns_can_carry() {
    for pem in [RSA, ED25519] {
        let key = PrivateKey::from_pem(pem).unwrap();
        let strings = key_files::strings(&key);
        assert!(strings.iter().all(|string| (1..=255).contains(&string.len())), "{strings:?}");
        assert_eq!(strings.concat(), key_files::record(&key));
        let line =
            key_files::zone_line(&Selector::parse("s").unwrap(), &Domain::parse("a.example").unwrap(), &key);
        let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        assert_eq!(quoted.concat(), key_files::record(&key));
        assert!(quoted.iter().all(|string| string.len() <= 255));
    }
}

fn complaints(result: Result<impl Sized, Vec<Complaint>>) -> Vec<(usize, BadLine)> {
    result.err().unwrap_or_default().into_iter().map(|bad| (bad.line, bad.what)).collect()
}

#[test]
fn a_key_table_reads_like_this() {
    let text = "# keys\n\nmail._domainkey.example.org  example.org:mail:/etc/opendkim/keys/mail.private # old\n\
        any\t%:2026a:/etc/keys/a:b\n";
    let table = key_table(text).unwrap();
    let seen: Vec<_> = table
        .iter()
        .map(|entry| {
            let domain = entry.domain.as_ref().map_or("%", Domain::as_str);
            let KeySource::File(path) = &entry.key else { panic!("{entry:?}") };
            (entry.name.as_str(), domain, entry.selector.as_str(), path.as_str())
        })
        .collect();
    let expected = [
        ("mail._domainkey.example.org", "example.org", "mail", "/etc/opendkim/keys/mail.private"),
        ("any", "%", "2026a", "/etc/keys/a:b"),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn every_bad_line_of_a_key_table_is_told() {
    let text = "a\nb x:y\nc a..b:s:/f\nd example.org:s/../x:/f\ne example.org:s:\nf example.org:s:/f\n\
        g example.org:s:keys/x.private\nh example.org:s:AAAA\n";
    let expected = [
        (1, BadLine::NoValue),
        (2, BadLine::NotAKey),
        (3, BadLine::Domain),
        (4, BadLine::Selector),
        (5, BadLine::NotAKey),
        (7, BadLine::PrivateKey(BadPrivateKey::NotPem)),
        (8, BadLine::PrivateKey(BadPrivateKey::Kind)),
    ];
    assert_eq!(complaints(key_table(text)), expected);
}

#[test]
fn a_key_may_stand_in_the_key_table_itself_and_is_never_printed() {
    let base64 = |pem: &str| pem.lines().filter(|line| !line.starts_with('-')).collect::<String>();
    for (pem, bits) in [(RSA, Some(2048)), (ED25519, None)] {
        let body = base64(pem);
        let table = key_table(&format!("k example.org:s:{body}\n")).unwrap();
        let KeySource::Here(key) = &table[0].key else { panic!("{table:?}") };
        assert_eq!(key.public(), PrivateKey::from_pem(pem).unwrap().public());
        assert_eq!(key.rsa_bits(), bits);
        assert!(!format!("{table:?}").contains(&body[..20]));
        let damaged = key_table(&format!("k example.org:s:{}\n", &body[4..])).unwrap_err();
        assert!(!damaged[0].to_string().contains(&body[4..24]), "{}", damaged[0]);
    }
}

fn names<'a>(table: &'a SigningTable, author: &str, every: bool) -> Vec<&'a str> {
    table.keys(author, every).into_iter().map(|entry| entry.key.as_str()).collect()
}

#[test]
fn a_signing_table_may_name_who_signs_and_the_domain_of_the_author() {
    let table = "a@x.example k:ann@%\nb@x.example %\nc@x.example k: # none\nd@x.example k\n";
    let table = SigningTable::parse(table, Matching::Wildcards).unwrap();
    let said = table.entries().iter().map(|entry| (entry.key.as_str(), entry.identity.as_deref()));
    let expected = [("k", Some("ann@%")), ("%", None), ("k", None), ("k", None)];
    assert_eq!(said.collect::<Vec<_>>(), expected);
}

#[test]
fn a_plain_signing_table_asks_from_the_address_upwards() {
    let text = "ann@a.example.org exact\na.example.org host\nbob@.example.org bob-below\n.example.org below\n\
        eve@* eve\n* rest\na.example.org host-2\n";
    let table = SigningTable::parse(text, Matching::Plain).unwrap();
    let cases: [(&str, &[&str]); 10] = [
        ("ann@a.example.org", &["exact", "host", "below", "rest"]),
        ("ANN@A.Example.ORG", &["exact", "host", "below", "rest"]),
        ("joe@a.example.org", &["host", "below", "rest"]),
        ("bob@b.example.org", &["bob-below", "below", "rest"]),
        ("joe@x.b.example.org", &["below", "rest"]),
        ("joe@example.org", &["rest"]),
        ("joe@notexample.org", &["rest"]),
        ("eve@example.net", &["eve", "rest"]),
        ("joe@example.net", &["rest"]),
        ("no address", &[]),
    ];
    for (author, keys) in cases {
        assert_eq!(names(&table, author, true), keys, "{author}");
        assert_eq!(names(&table, author, false), &keys[..keys.len().min(1)], "{author}");
    }
    assert_eq!(
        complaints(SigningTable::parse("*@example.org k\nx\n", Matching::Plain)),
        [(1, BadLine::Pattern), (2, BadLine::NoValue)]
    );
}

#[test]
fn a_signing_table_with_wildcards_takes_what_matches_in_order() {
    let text =
        "*@example.org one\nann@* two:@example.org\n*@*.example.org three\na*b*c@x.example four\n* five\n";
    let table = SigningTable::parse(text, Matching::Wildcards).unwrap();
    let cases: [(&str, &[&str]); 8] = [
        ("ann@example.org", &["one", "two", "five"]),
        ("joe@EXAMPLE.org", &["one", "five"]),
        ("joe@a.example.org", &["three", "five"]),
        ("joe@a.b.example.org", &["three", "five"]),
        ("joe@example.org.evil.example", &["five"]),
        ("abc@x.example", &["four", "five"]),
        ("a-cc-b@x.example", &["five"]),
        ("axbxc@x.example", &["four", "five"]),
    ];
    for (author, keys) in cases {
        assert_eq!(names(&table, author, true), keys, "{author}");
    }
    let hostile = SigningTable::parse(&format!("{}b k\n", "a*".repeat(2_000)), Matching::Wildcards).unwrap();
    assert!(hostile.keys(&"a".repeat(100_000), true).is_empty());
}

#[test]
fn trusted_hosts_are_addresses_networks_and_names() {
    let text = "127.0.0.1\n::1\n[2001:db8::]/32\nlocalhost\n10.0.0.0/8 # inside\n!10.1.0.0/16\n10.1.2.3\n!10.9.9.9\n\
        mail.example.org\n.example.net\n!bad.example.net\n";
    let (hosts, odd) = Hosts::parse(text, Matching::Plain);
    assert_eq!(odd, []);
    let cases = [
        ("127.0.0.1", None, true),
        ("::ffff:127.0.0.1", None, true),
        ("127.0.0.2", None, false),
        ("127.0.0.2", Some("localhost"), true),
        ("::1", None, true),
        ("2001:db8::9", None, true),
        ("2001:db9::9", None, false),
        ("10.2.3.4", None, true),
        ("10.1.0.1", None, false),
        ("10.1.2.3", None, true),
        ("10.9.9.9", None, false),
        ("192.0.2.1", None, false),
        ("192.0.2.1", Some("MAIL.example.org."), true),
        ("192.0.2.1", Some("example.org"), false),
        ("192.0.2.1", Some("a.example.net"), true),
        ("192.0.2.1", Some("a.b.example.net"), true),
        ("192.0.2.1", Some("example.net"), false),
        ("192.0.2.1", Some("notexample.net"), false),
        ("192.0.2.1", Some("bad.example.net"), false),
        ("10.2.3.4", Some("bad.example.net"), true),
    ];
    for (address, name, expected) in cases {
        assert_eq!(hosts.contains(address.parse().unwrap(), name), expected, "{address} {name:?}");
    }
    assert!(!Hosts::default().contains("127.0.0.1".parse().unwrap(), Some("localhost")));
    let (everybody, _) = Hosts::parse("0.0.0.0/0", Matching::Plain);
    assert!(everybody.contains("192.0.2.1".parse().unwrap(), None));
}

/// As a real OpenDKIM 2.11 does with each: it takes the line, and nobody is meant by it.
#[test]
fn entries_that_mean_nobody_are_told_with_what_to_write() {
    let cases = [
        ("10.1.0.0/255.255.0.0", "write 10.1.0.0/16"),
        ("!10.2.0.1/16", "write 10.2.0.0/16"),
        ("2001:db8::1/32", "write 2001:db8::/32"),
        ("*.example.org", "write .example.org"),
        ("10.0.0.0/33", "write an address"),
        ("10.0.0.0/255.0.255.0", "write an address"),
        ("::/129", "write an address"),
        ("10.0.0.0/x", "write an address"),
        ("*", "write an address"),
        ("10.2.*", "write an address"),
        ("!", "write an address"),
        ("300.0.0.0/8", "write an address"),
    ];
    for (entry, expected) in cases {
        let (hosts, odd) = Hosts::parse(entry, Matching::Plain);
        assert_eq!(hosts, Hosts::default(), "{entry}");
        let [complaint] = odd.as_slice() else { panic!("{odd:?}") };
        assert!(complaint.to_string().contains(expected), "{complaint}");
    }
    let (hosts, odd) = Hosts::parse("10.0.0.1 the gateway\n", Matching::Plain);
    assert!(odd.is_empty() && hosts.contains("10.0.0.1".parse().unwrap(), None));
}

#[test]
fn patterns_of_a_refile_stand_for_addresses_and_for_their_own_opposite() {
    let (hosts, odd) =
        Hosts::parse("10.2.*\n*.example.org\n192.0.2.1\nmail.example.net\n", Matching::Wildcards);
    assert_eq!(odd.iter().map(|complaint| complaint.line).collect::<Vec<_>>(), [1, 2]);
    let cases = [
        ("10.2.3.4", None, true),
        // As "10.2.0.0/15", which is asked about as well.
        ("10.3.3.4", None, true),
        ("10.4.3.4", None, false),
        ("192.0.2.1", None, true),
        ("192.0.2.2", Some("mail.example.net"), true),
        // "!a.example.org" matches as well, and is asked first.
        ("192.0.2.2", Some("a.example.org"), false),
    ];
    for (address, name, expected) in cases {
        assert_eq!(hosts.contains(address.parse().unwrap(), name), expected, "{address} {name:?}");
    }
    let (nobody, _) = Hosts::parse("*\n", Matching::Wildcards);
    assert!(!nobody.contains("192.0.2.1".parse().unwrap(), Some("a.example.org")));
}
