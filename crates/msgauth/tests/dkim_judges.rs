//! dkimpy and OpenDKIM judge what we sign and seal, and we judge what dkimpy does.
#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::disallowed_methods, reason = "the judges are programs that read files and the clock")]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use kings_dns::Zone;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::header::{Field, Fields};
use kings_msgauth::arc::{self, Chain, ChainValidation, Sealer};
use kings_msgauth::dkim::{
    Canonicalization, PrivateKey, Rules, Selector, Signer, SigningIdentity, Word, check, key_files,
};
use support::{name, now};

const RSA: &str = include_str!("data/rsa2048.pem");
const ED25519: &str = include_str!("data/ed25519.pem");
/// Messages of the corpus.
const MESSAGES: u32 = 60;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("dkim-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// The same numbers on every run: a failure can be looked at again.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 33).unwrap() % end
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(u32::try_from(choices.len()).unwrap()) as usize]
    }
}

/// Pieces of field values.
const VALUE: &[&str] = &["word", "K\u{e4}se", " ", "  ", "\t", "\r\n ", "\r\n\tx", ";", ":", "\"q\"", "(c)"];
/// Pieces of bodies.
const BODY: &[&str] =
    &["word", "K\u{e4}se", " ", "  ", "\t", "\r\n", "\r\n\r\n", " \r\n", "\t \r\n", ".", "\u{a0}", "=20"];

/// A message as SMTP carries it: odd, but without bare CR, bare LF and NUL.
fn message(number: u32) -> String {
    let mut numbers = Numbers(u64::from(number) + 1);
    let mut words = |count: u32, choices: &[&str]| -> String {
        (0..numbers.below(count)).map(|_| numbers.one_of(choices)).collect()
    };
    let mut message = format!("From: Ann{} <ann@example.org>\r\n", words(4, &[" ", "Lee", "\r\n ", "\t"]));
    for name in
        ["To", "subject", "DATE", "Message-ID", "Received", "Cc", "X-Odd", "MIME-Version", "References", "To"]
    {
        if words(3, &["x"]).is_empty() {
            let value = words(12, VALUE);
            // A line of white space alone ends the header for some readers.
            let value = value.replace("\r\n ", "\r\n y").replace("\r\n\t", "\r\n\ty");
            write!(message, "{name}: v{value}\r\n").unwrap();
        }
    }
    // What SMTP carries ends in CRLF (RFC 5321 §4.1.1.4); white space behind the last one dkimpy would keep.
    message + "\r\n" + &words(60, BODY) + "\r\n"
}

fn keys() -> [(Selector, PrivateKey); 2] {
    [("rsa", RSA), ("ed25519", ED25519)]
        .map(|(selector, pem)| (Selector::parse(selector).unwrap(), PrivateKey::from_pem(pem).unwrap()))
}

fn zone() -> Zone {
    let add = |zone: Zone, (selector, key): (Selector, PrivateKey)| {
        zone.with_txt(name(&format!("{selector}._domainkey.example.org")), key_files::record(&key))
    };
    keys().into_iter().fold(Zone::default(), add)
}

fn today() -> DateTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    DateTime::from_unix(i64::try_from(now.as_secs()).unwrap())
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

/// The Python that has dkimpy: that of `./test.sh`, which puts it in front of the path, or its folder in the cache.
fn python(arguments: &[&str], folder: &Folder) -> String {
    let cache = |variable: &str, rest: &str| Some(PathBuf::from(std::env::var_os(variable)?).join(rest));
    let cache = cache("KINGS_CACHE", "")
        .or_else(|| cache("XDG_CACHE_HOME", "kings"))
        .or_else(|| cache("HOME", ".cache/kings"));
    let own = cache.map(|cache| cache.join("python/bin/python3")).filter(|python| python.exists());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/judges/dkimpy.py");
    let output = Command::new(own.unwrap_or_else(|| "python3".into()))
        .arg(script)
        .args(arguments)
        .arg(&folder.0)
        .output()
        .expect("python3 runs; ./test.sh sets it up");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dkimpy (./test.sh installs it): {complaint}");
    String::from_utf8(output.stdout).unwrap()
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

/// Hosts that pass messages on; dkimpy knows no Ed25519 in ARC.
const HOST: &str = "a.example";

fn sealed(message: &str, validation: ChainValidation) -> String {
    let (domain, [(selector, key), _]) = (Domain::parse(HOST).unwrap(), keys());
    let mut sealer = Sealer::new(Rules::default());
    sealer.push(message.as_bytes());
    let identity = SigningIdentity { domain: &domain, selector: &selector, key: &key, agent: None };
    let results = "mx.example; spf=pass smtp.mailfrom=ann@example.org";
    sealer.finish(&identity, results, validation, today()).unwrap() + message
}

#[test]
fn dkimpy_and_we_hold_and_break_the_same_chains() {
    let folder = Folder::new("arc");
    let [(_, key), _] = keys();
    folder.write("zone", format!("rsa._domainkey.{HOST} {}\n", key_files::record(&key)));
    folder.write("rsa.pem", RSA);
    for number in 0..MESSAGES / 3 {
        let message =
            format!("Authentication-Results: mx.example; arc=pass; spf=pass\r\n{}", message(number));
        let once = sealed(&message, ChainValidation::None);
        let twice = sealed(&format!("Received: by b.example; now\r\n{once}"), ChainValidation::Pass);
        folder.write(&format!("{number:03}.eml"), &twice);
        folder.write(
            &format!("{number:03}-bad.eml"),
            twice.replacen("i=1; mx.example; spf=pass", "i=1; mx.example; spf=fail", 1),
        );
    }
    let verdicts = python(&["chain"], &folder);
    assert_eq!(verdicts.lines().count(), MESSAGES as usize / 3 * 2);
    for verdict in verdicts.lines() {
        let expected = if verdict.contains("-bad") { " fail" } else { " pass" };
        assert!(verdict.ends_with(expected), "{verdict}");
    }

    // dkimpy seals the third set on top of our two.
    for number in 0..MESSAGES / 3 {
        std::fs::remove_file(folder.0.join(format!("{number:03}-bad.eml"))).unwrap();
    }
    let zone = Zone::default().with_txt(name(&format!("rsa._domainkey.{HOST}")), key_files::record(&key));
    python(&["seal"], &folder);
    for number in 0..MESSAGES / 3 {
        let message = std::fs::read(folder.0.join(format!("{number:03}.sealed"))).unwrap();
        let report = now(arc::check(&message, &zone, today()));
        assert_eq!((report.chain, report.sets.len()), (Chain::Pass, 3), "{}", message.escape_ascii());
        let changed = [&message[..], b"more\r\n"].concat();
        assert_eq!(now(arc::check(&changed, &zone, today())).word(), Word::Fail);
    }
}
