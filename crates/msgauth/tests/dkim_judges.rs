//! dkimpy and OpenDKIM judge what we sign, and we judge what dkimpy signs.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the judges are programs that read files and the clock")]

mod support;

use std::fmt::Write as _;
use std::process::Command;

use kings_dns::Zone;
use kings_mail::domain::Domain;
use kings_mail::header::{Field, Fields};
use kings_msgauth::dkim::{
    Canonicalization, PrivateKey, Rules, Selector, Signer, SigningIdentity, Word, check, key_files,
};
use support::judges::{ED25519, Folder, MESSAGES, RSA, keys, message, python, today};
use support::{name, now};

fn zone() -> Zone {
    let add = |zone: Zone, (selector, key): (Selector, PrivateKey)| {
        zone.with_txt(name(&format!("{selector}._domainkey.example.org")), key_files::record(&key))
    };
    keys().into_iter().fold(Zone::default(), add)
}

/// Signs the corpus, a quarter of it in each of the four mixes, and writes what verifiers need to know.
fn signed_corpus(folder: &Folder) {
    use Canonicalization::{Relaxed, Simple};
    let domain = Domain::parse("example.org").unwrap();
    let keys = keys();
    let identities = [0, 1].map(|at| SigningIdentity {
        domain: &domain,
        selector: &keys[at].0,
        key: &keys[at].1,
        agent: None,
    });
    let mut zone = String::new();
    for (selector, key) in &keys {
        writeln!(zone, "{selector}._domainkey.example.org {}", key_files::record(key)).unwrap();
    }
    folder.write("zone", zone);
    for number in 0..MESSAGES {
        let forms = [(Simple, Simple), (Simple, Relaxed), (Relaxed, Simple), (Relaxed, Relaxed)];
        let (header_form, body_form) = forms[(number % 4) as usize];
        let mut signer = Signer::new(Rules { header_form, body_form, ..Rules::default() });
        let message = message(number);
        message.as_bytes().chunks(11).for_each(|piece| signer.push(piece));
        let fields = signer.finish(&identities, today()).unwrap();
        folder.write(&format!("{number:03}.eml"), fields + &message);
    }
}

#[test]
fn dkimpy_verifies_both_of_our_signatures() {
    let folder = Folder::new("dkimpy-verify");
    signed_corpus(&folder);
    folder.write("broken.eml", std::fs::read_to_string(folder.0.join("000.eml")).unwrap() + "more\r\n");
    let verdicts = python(&["verify"], &folder);
    assert_eq!(verdicts.lines().count(), MESSAGES as usize + 1);
    for verdict in verdicts.lines() {
        let expected = if verdict.starts_with("broken") { " False False" } else { " True True" };
        assert!(verdict.ends_with(expected), "{verdict}");
    }
}

#[test]
fn we_verify_what_dkimpy_signs() {
    let folder = Folder::new("dkimpy-sign");
    folder.write("rsa.pem", RSA);
    let body: String = ED25519.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, body).unwrap();
    let seed = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &der[der.len() - 32..]);
    folder.write("ed25519.seed", seed);
    for number in 0..MESSAGES {
        folder.write(&format!("{number:03}.plain"), message(number));
    }
    python(&["sign"], &folder);
    let zone = zone();
    let mut judged = 0;
    for entry in std::fs::read_dir(&folder.0).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "eml") {
            let signed = std::fs::read(&path).unwrap();
            let report = now(check(&signed, &zone, today()));
            assert_eq!(
                report.word(),
                Word::Pass,
                "{}: {report:?}\n{}",
                path.display(),
                signed.escape_ascii()
            );
            let changed = [&signed[..], b"more\r\n"].concat();
            assert_eq!(now(check(&changed, &zone, today())).word(), Word::Fail, "{}", path.display());
            judged += 1;
        }
    }
    assert_eq!(judged, MESSAGES * 8);
}

#[test]
fn opendkim_verifies_both_of_our_signatures() {
    let folder = Folder::new("opendkim");
    signed_corpus(&folder);
    let zone = folder.0.join("zone");
    let settings =
        folder.write("opendkim.conf", format!("Mode v\nTestPublicKeys {}\nSyslog no\n", zone.display()));
    let judge = |name: &str| {
        let output = Command::new("opendkim")
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .arg("-x")
            .arg(&settings)
            .args(["-v", "-v", "-t"])
            .arg(folder.0.join(name))
            .output()
            .expect("opendkim is there: tests/setup.sh installs it");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    // It tells of one signature alone, so that each message is shown to it once with each. It counts no bits of Ed25519.
    for number in 0..MESSAGES {
        let both = std::fs::read(folder.0.join(format!("{number:03}.eml"))).unwrap();
        for (algorithm, bits) in [("rsa", "2048"), ("ed25519", "0")] {
            folder.write("alone.eml", with_signature_of(&both, algorithm));
            let verdict = judge("alone.eml");
            let expected = format!("verification (s={algorithm}, d=example.org, {bits}-bit key) succeeded");
            assert!(verdict.contains(&expected), "{number}: {verdict}");
        }
    }
    folder.write("broken.eml", std::fs::read_to_string(folder.0.join("000.eml")).unwrap() + "more\r\n");
    for algorithm in ["rsa", "ed25519"] {
        let broken = std::fs::read(folder.0.join("broken.eml")).unwrap();
        folder.write("alone.eml", with_signature_of(&broken, algorithm));
        assert!(!judge("alone.eml").contains("succeeded"), "{algorithm}");
    }
}

/// The message with one of its signatures; neither covers the other.
fn with_signature_of(message: &[u8], selector: &str) -> Vec<u8> {
    let is_other =
        |field: &Field<'_>| field.is("DKIM-Signature") && !field.text().contains(&format!(" s={selector};"));
    let others: Vec<_> = Fields::new(message).filter(is_other).map(|field| field.raw.to_vec()).collect();
    let [other] = others.as_slice() else { panic!("two signatures") };
    let at = message.windows(other.len()).position(|window| window == other).unwrap();
    [&message[..at], &message[at + other.len()..]].concat()
}
