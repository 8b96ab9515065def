//! Logins by every mechanism over a real file: who gets in, at what cost, and who must wait.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::future::Future;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use kings_directory::{
    ClientFacts, Directory, HostedDomain, Login, LoginError, LoginNames, LoginSettings, Origin, Progress,
    Settings, TokenCheck, TokenError,
};
use kings_mail::domain::Domain;
use kings_sasl::scram::{Binding, Hash, Keys};
use kings_sasl::{Client, CramKeys, Credentials, Mechanism, Mechanisms, Secret, Turn};

const SCRAM: [Mechanism; 2] = [
    Mechanism::Scram { hash: Hash::Sha1, plus: false },
    Mechanism::Scram { hash: Hash::Sha256, plus: false },
];

fn settings(folder: &Path) -> Settings {
    Settings {
        hostname: Domain::parse("mail.example.org").unwrap(),
        domains: vec![HostedDomain { name: Domain::parse("example.org").unwrap(), catch_all: None }],
        accounts: folder.join("users"),
        aliases: Vec::new(),
        machine: None,
        relays: Vec::new(),
        sender_logins: Vec::new(),
        delimiters: "+".to_owned(),
        login: LoginSettings {
            names: LoginNames::default(),
            mechanisms: None,
            channel_binding: false,
            failures_per_minute: 10,
            failures_per_account: 12,
            remember: std::time::Duration::ZERO,
            known: Some(folder.join("logins")),
            secret: Secret::new("of this house"),
        },
    }
}

fn open(folder: &Path, users: &str) -> Directory {
    fs::write(folder.join("users"), users).unwrap();
    Directory::open(settings(folder)).unwrap()
}

fn open_with(folder: &Path, users: &str, mechanisms: &[Mechanism]) -> Directory {
    fs::write(folder.join("users"), users).unwrap();
    let mut settings = settings(folder);
    settings.login.mechanisms = Some(mechanisms.iter().copied().collect());
    Directory::open(settings).unwrap()
}

fn scram_user(name: &str, hash: Hash, password: &str) -> String {
    let scheme = if hash == Hash::Sha1 { "SCRAM-SHA-1" } else { "SCRAM-SHA-256" };
    format!("{name}:{{{scheme}}}{}\n", Keys::derive(hash, password, b"sixteen octets..", 4_096).field())
}

/// Logs in as a client of ours does. Gives the first challenge besides.
async fn log_in(
    login: &mut Login,
    mechanism: Mechanism,
    name: &str,
    password: &str,
) -> (Vec<u8>, Result<Progress, LoginError>) {
    let password = Secret::new(password);
    let mut client = Client::begin(mechanism, name, &password, "abc").unwrap();
    let first = client.respond(b"").unwrap();
    let mut progress = login.take(Turn::Begin(mechanism, Some(first))).await;
    let first = if let Ok(Progress::Challenge(challenge)) = &progress { challenge.clone() } else { vec![] };
    while let Ok(Progress::Challenge(challenge)) = &progress {
        let response = client.respond(challenge).unwrap();
        progress = login.take(Turn::Response(response)).await;
    }
    (first, progress)
}

/// Where a client comes from, and nothing more.
fn from(address: [u8; 4]) -> Origin {
    Origin { protocol: "imap", address: IpAddr::from(address), exempt: false }
}

/// A client that no limit applies to.
fn nobody() -> ClientFacts {
    ClientFacts::new(Origin { exempt: true, ..from([192, 0, 2, 200]) })
}

fn names(mechanisms: Mechanisms) -> String {
    mechanisms.iter().map(Mechanism::name).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn scram_lets_in_whose_password_is_clear_or_stored_as_its_keys() {
    let folder = tempfile::tempdir().unwrap();
    for (hash, mechanism) in [Hash::Sha1, Hash::Sha256].into_iter().zip(SCRAM) {
        let users =
            format!("ann@example.org:{{PLAIN}}secret\n{}", scram_user("bob@example.org", hash, "secret"));
        let directory = open(folder.path(), &users);
        for name in ["ann@example.org", "BOB@example.org"] {
            let mut login = directory.login(nobody());
            let (_, good) = log_in(&mut login, mechanism, name, "secret").await;
            assert!(matches!(good, Ok(Progress::Done(_))), "{mechanism:?} {name}: {good:?}");
            let (_, bad) = log_in(&mut login, mechanism, name, "Secret").await;
            assert_eq!(bad, Err(LoginError::Refused));
            assert_eq!(login.describe(), (mechanism.name(), name));
        }
        // Its keys serve PLAIN just as well.
        let mut login = directory.login(nobody());
        let (_, plain) = log_in(&mut login, Mechanism::Plain, "bob@example.org", "secret").await;
        assert!(matches!(plain, Ok(Progress::Done(_))));
    }
}

#[test]
fn scram_is_offered_when_every_account_can_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let (sha1, sha256) =
        (scram_user("ann@example.org", Hash::Sha1, "x"), scram_user("bob@example.org", Hash::Sha256, "x"));
    let clear = "joe@example.org:{PLAIN}x\n".to_owned();
    let hashed = "eve@example.org:{SHA512-CRYPT}$6$salt$x\n";
    let locked = "tom@example.org:!\n";
    let cases = [
        (clear.clone(), "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"),
        (format!("{sha256}{clear}{locked}"), "SCRAM-SHA-256 PLAIN LOGIN"),
        (format!("{sha1}{clear}"), "SCRAM-SHA-1 PLAIN LOGIN"),
        (format!("{sha1}{sha256}"), "PLAIN LOGIN"),
        (format!("{sha256}{hashed}"), "PLAIN LOGIN"),
        (locked.to_owned(), "PLAIN LOGIN"),
    ];
    for (users, expected) in cases {
        let directory = open(folder.path(), &users);
        assert_eq!(names(directory.mechanisms(&nobody())), expected, "{users}");
    }
    let all = open_with(folder.path(), &format!("{sha256}{hashed}"), &Mechanism::ALL);
    let offered = names(all.mechanisms(&nobody()));
    assert_eq!(
        offered, "SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN CRAM-MD5",
        "neither certificate nor tokens nor binding"
    );
}

/// A name that nobody has, and an account that cannot use SCRAM, hear what an account would: a salt that never changes.
#[tokio::test]
async fn names_cannot_be_told_apart_by_scram() {
    let folder = tempfile::tempdir().unwrap();
    let users = format!(
        "{}tom@example.org:{{SHA512-CRYPT}}$6$salt$x\n",
        scram_user("ann@example.org", Hash::Sha256, "secret")
    );
    let directory = open_with(folder.path(), &users, &SCRAM);
    let mut challenges = Vec::new();
    for name in
        ["nobody@example.org", "NOBODY@example.org", "tom@example.org", "no address", "ann@example.org"]
    {
        let before = directory.hash_operations();
        let mut login = directory.login(nobody());
        let (challenge, result) = log_in(&mut login, SCRAM[1], name, "wrong").await;
        assert_eq!(result, Err(LoginError::Refused), "{name}");
        assert_eq!(directory.hash_operations(), before + 1, "{name}");
        let text = String::from_utf8(challenge).unwrap();
        let (_, salt) = text.split_once(",s=").unwrap();
        assert!(salt.ends_with(",i=4096") && salt.len() == 24 + 7, "{name}: {text}");
        challenges.push(salt.to_owned());
    }
    assert_eq!(challenges[0], challenges[1]);
    assert_ne!(challenges[0], challenges[2]);
    // After a restart it is the same.
    let again =
        Directory::open(Settings { login: directory_settings(folder.path()), ..settings(folder.path()) })
            .unwrap();
    let mut login = again.login(nobody());
    let (challenge, _) = log_in(&mut login, SCRAM[1], "nobody@example.org", "wrong").await;
    assert!(String::from_utf8(challenge).unwrap().ends_with(&challenges[0]));
}

fn directory_settings(folder: &Path) -> LoginSettings {
    LoginSettings { mechanisms: Some(SCRAM.into_iter().collect()), ..settings(folder).login }
}

#[tokio::test]
async fn a_bound_login_is_good_for_its_own_connection_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("users"), "ann@example.org:{PLAIN}secret\n").unwrap();
    let mut settings = settings(folder.path());
    settings.login.channel_binding = true;
    let directory = Directory::open(settings).unwrap();
    let facts = ClientFacts { bindings: vec![Binding::exporter([7; 32])], ..nobody() };
    assert_eq!(
        names(directory.mechanisms(&facts)),
        "SCRAM-SHA-256-PLUS SCRAM-SHA-1-PLUS SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"
    );
    let mut login = directory.login(facts);
    // A client that could bind and saw no offer has been lied to.
    let downgraded = Turn::Begin(SCRAM[1], Some(b"y,,n=ann@example.org,r=abc".to_vec()));
    assert_eq!(login.take(downgraded).await, Err(LoginError::Refused));
    let plus = Mechanism::Scram { hash: Hash::Sha256, plus: true };
    let bound = Turn::Begin(plus, Some(b"p=tls-exporter,,n=ann@example.org,r=abc".to_vec()));
    assert!(matches!(login.take(bound).await, Ok(Progress::Challenge(_))));
    assert_eq!(login.take(Turn::Response(b"garbage".to_vec())).await, Err(LoginError::Malformed));
    assert_eq!(login.take(Turn::Response(vec![])).await, Err(LoginError::Malformed), "it is over");
}

#[tokio::test]
async fn cram_md5_takes_clear_and_its_own_and_is_off_unless_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let users = format!(
        "ann@example.org:{{PLAIN}}secret\nbob@example.org:{{CRAM-MD5}}{}\ntom@example.org:{{SHA512-CRYPT}}$6$salt$x\n",
        CramKeys::derive("secret").to_hex()
    );
    assert!(!names(open(folder.path(), &users).mechanisms(&nobody())).contains("CRAM"));
    let directory = open_with(folder.path(), &users, &[Mechanism::CramMd5]);
    for (name, password, expected) in [
        ("ann@example.org", "secret", true),
        ("bob@example.org", "secret", true),
        ("bob@example.org", "wrong", false),
        ("tom@example.org", "", false),
        ("nobody@example.org", "", false),
    ] {
        let mut login = directory.login(nobody());
        let Ok(Progress::Challenge(challenge)) = login.take(Turn::Begin(Mechanism::CramMd5, None)).await
        else {
            panic!("a challenge comes first");
        };
        let digest = CramKeys::derive(password).digest(&challenge);
        let result = login.take(Turn::Response(format!("{name} {digest}").into_bytes())).await;
        assert_eq!(result.is_ok(), expected, "{name}: {result:?}");
    }
}

#[tokio::test]
async fn a_certificate_logs_in_the_account_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let directory =
        open(folder.path(), "ann@example.org:{PLAIN}x\njoe@example.org:{PLAIN}x\noff@example.org:!\n");
    let facts = |name: &str| ClientFacts { certificate_names: vec![name.to_owned()], ..nobody() };
    assert!(!names(directory.mechanisms(&nobody())).contains("EXTERNAL"));
    let without = directory.login(nobody()).take(Turn::Begin(Mechanism::External, Some(vec![]))).await;
    assert_eq!(without, Err(LoginError::Malformed), "not offered");
    for (name, asked, expected) in [
        ("Ann@example.org", "", true),
        ("ann@example.org", "ann@example.org", true),
        ("ann@example.org", "joe@example.org", false),
        ("nobody@example.org", "", false),
        ("off@example.org", "", false),
    ] {
        let mut login = directory.login(facts(name));
        let result = login.take(Turn::Begin(Mechanism::External, Some(asked.as_bytes().to_vec()))).await;
        assert_eq!(result.is_ok(), expected, "{name} {asked}: {result:?}");
    }
}

#[derive(Debug)]
struct Tokens;

impl TokenCheck for Tokens {
    fn check<'a>(
        &'a self,
        token: &'a Secret,
    ) -> Pin<Box<dyn Future<Output = Result<String, TokenError>> + Send + 'a>> {
        let result = match token.expose() {
            "ann" => Ok("ann@example.org".to_owned()),
            "nobody" => Ok("nobody@example.org".to_owned()),
            "down" => Err(TokenError::Unavailable("no answer".to_owned())),
            _ => Err(TokenError::Refused("unknown".to_owned())),
        };
        Box::pin(std::future::ready(result))
    }

    fn refusal(&self) -> String {
        r#"{"status":"invalid_token"}"#.to_owned()
    }
}

#[tokio::test]
async fn a_token_logs_in_the_account_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}x\njoe@example.org:{PLAIN}x\n");
    assert!(!names(directory.mechanisms(&nobody())).contains("OAUTH"));
    directory.trust_tokens(Arc::new(Tokens));
    assert!(names(directory.mechanisms(&nobody())).ends_with("OAUTHBEARER XOAUTH2"));
    let refused = || Ok(Progress::Challenge(br#"{"status":"invalid_token"}"#.to_vec()));
    for (user, token, expected) in [
        ("a=ann@example.org", "ann", None),
        ("", "ann", None),
        ("a=joe@example.org", "ann", Some(refused())),
        ("", "nobody", Some(refused())),
        ("", "stolen", Some(refused())),
        ("", "down", Some(Err(LoginError::Busy))),
    ] {
        let mut login = directory.login(nobody());
        let message = format!("n,{user},\u{1}auth=Bearer {token}\u{1}\u{1}");
        let result = login.take(Turn::Begin(Mechanism::OAuthBearer, Some(message.into_bytes()))).await;
        match expected {
            None => assert!(matches!(result, Ok(Progress::Done(_))), "{user} {token}"),
            Some(expected) => {
                let fails = matches!(expected, Ok(Progress::Challenge(_)));
                assert_eq!(result, expected, "{user} {token}");
                if fails {
                    assert_eq!(login.take(Turn::Response(vec![1])).await, Err(LoginError::Refused));
                }
            }
        }
    }
}

/// HOSTILE: guesses from many networks must not keep the owner out of where the owner usually is.
#[tokio::test]
async fn a_burst_of_guesses_never_locks_out_an_accounts_usual_address() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\n");
    let claim =
        |password: &str| Credentials { login: "ann@example.org".into(), password: Secret::new(password) };
    let address = |last: u8| from([192, 0, 2, last]);
    let (home, cafe) = (address(1), address(2));
    assert!(directory.log_in(claim("secret"), home).await.is_ok());
    for last in 100..112 {
        assert_eq!(directory.log_in(claim("guess"), address(last)).await, Err(LoginError::Refused));
    }
    let before = directory.hash_operations();
    assert_eq!(directory.log_in(claim("secret"), cafe).await, Err(LoginError::TooManyFailures));
    assert_eq!(directory.hash_operations(), before, "no hash for a stranger");
    assert!(directory.log_in(claim("secret"), home).await.is_ok());
    // A name that nobody has is closed in the same way.
    for last in 100..112 {
        let unknown = Credentials { login: "nobody@example.org".into(), password: Secret::new("guess") };
        let result = directory.log_in(unknown, address(last)).await;
        assert_eq!(result, Err(LoginError::Refused));
    }
    let unknown = Credentials { login: "nobody@example.org".into(), password: Secret::new("guess") };
    assert_eq!(directory.log_in(unknown, cafe).await, Err(LoginError::TooManyFailures));
}

#[tokio::test]
async fn the_usual_address_is_remembered_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let home = from([192, 0, 2, 1]);
    let claim =
        |password: &str| Credentials { login: "ann@example.org".into(), password: Secret::new(password) };
    assert!(
        open(folder.path(), "ann@example.org:{PLAIN}secret\n").log_in(claim("secret"), home).await.is_ok()
    );
    for _ in 0..200 {
        if folder.path().join("logins").exists() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\n");
    for last in 100..112 {
        let _ = directory.log_in(claim("guess"), from([192, 0, 2, last])).await;
    }
    assert!(directory.log_in(claim("secret"), home).await.is_ok());
}

/// HOSTILE AU-08: a closed account is closed by every mechanism, and its client hears no more than any other.
#[tokio::test]
async fn a_closed_account_is_refused_by_every_mechanism() {
    let folder = tempfile::tempdir().unwrap();
    let users = "ann@example.org:{PLAIN}secret::::::nologin\nbob@example.org:{PLAIN}secret::::::allow_nets=198.51.100.0/24\n";
    let directory = open_with(folder.path(), users, &Mechanism::ALL);
    directory.trust_tokens(Arc::new(Tokens));
    for name in ["ann@example.org", "bob@example.org"] {
        let facts = ClientFacts { certificate_names: vec![name.to_owned()], ..nobody() };
        let mut login = directory.login(facts);
        for mechanism in [SCRAM[0], SCRAM[1], Mechanism::Plain] {
            let (_, result) = log_in(&mut login, mechanism, name, "secret").await;
            assert_eq!(result, Err(LoginError::Closed), "{name} {mechanism:?}");
        }
        let external = login.take(Turn::Begin(Mechanism::External, Some(vec![]))).await;
        assert_eq!(external, Err(LoginError::Closed), "{name}");
        let Ok(Progress::Challenge(challenge)) = login.take(Turn::Begin(Mechanism::CramMd5, None)).await
        else {
            panic!("a challenge comes first");
        };
        let digest = CramKeys::derive("secret").digest(&challenge);
        let cram = login.take(Turn::Response(format!("{name} {digest}").into_bytes())).await;
        assert_eq!(cram, Err(LoginError::Closed), "{name}");
    }
    let mut login = directory.login(nobody());
    let token =
        Turn::Begin(Mechanism::XOAuth2, Some(b"user=ann@example.org\x01auth=Bearer ann\x01\x01".to_vec()));
    assert!(
        matches!(login.take(token).await, Ok(Progress::Challenge(_))),
        "the refusal, and then the failure"
    );
}

/// What a client does with an exchange that it has heard the salt of.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// It proves its password, right or wrong.
    Proof(&'static str),
    /// It answers with something else.
    Nonsense,
    /// It is gone.
    Gone,
    /// It begins anew and logs in with the right password, by this mechanism.
    Anew(Mechanism),
    /// It says nothing more until it has to wait.
    Late,
}

/// Plays the beginning of a SCRAM exchange and its ending; gives the directory that it was played on.
async fn play(folder: &Path, most: u32, name: &str, ending: Ending) -> Directory {
    fs::write(folder.join("users"), scram_user("ann@example.org", Hash::Sha256, "secret")).unwrap();
    let mut settings = settings(folder);
    settings.login.failures_per_minute = most;
    let directory = Directory::open(settings).unwrap();
    let client = || ClientFacts::new(from([192, 0, 2, 1]));
    let mut login = directory.login(client());
    if let Ending::Proof(password) = ending {
        let _ = log_in(&mut login, SCRAM[1], name, password).await;
        return directory;
    }
    let first = format!("n,,n={name},r=abc").into_bytes();
    let heard = login.take(Turn::Begin(SCRAM[1], Some(first))).await;
    assert!(matches!(heard, Ok(Progress::Challenge(_))), "{heard:?}");
    match ending {
        Ending::Proof(_) | Ending::Gone => {}
        Ending::Nonsense => {
            assert_eq!(login.take(Turn::Response(b"nonsense".to_vec())).await, Err(LoginError::Malformed));
            assert_eq!(login.take(Turn::Response(b"more".to_vec())).await, Err(LoginError::Malformed));
        }
        Ending::Anew(mechanism) => {
            let (_, result) = log_in(&mut login, mechanism, "ann@example.org", "secret").await;
            let allowed = if most > 1 { Ok(()) } else { Err(LoginError::TooManyFailures) };
            assert_eq!(result.map(|_| ()), allowed, "one failure, and no more, stands in its way");
        }
        Ending::Late => {
            for _ in 0..most {
                let (_, wrong) =
                    log_in(&mut directory.login(client()), Mechanism::Plain, "joe@example.org", "x").await;
                assert_eq!(wrong, Err(LoginError::Refused));
            }
            let late = login.take(Turn::Response(b"c=biws,r=abc,p=AAAA".to_vec())).await;
            assert_eq!(late, Err(LoginError::TooManyFailures));
            assert_eq!(login.take(Turn::Response(vec![])).await, Err(LoginError::Malformed), "it is over");
        }
    }
    directory
}

/// HOSTILE: who hears of a salt and breaks off has tried the name. Counted once, whatever the way out and whoever it is.
#[tokio::test]
async fn an_exchange_that_is_broken_off_is_one_failure() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ann@example.org", "nobody@example.org"] {
        for (ending, expected) in [
            (Ending::Proof("secret"), u32::from(name != "ann@example.org")),
            (Ending::Proof("wrong"), 1),
            (Ending::Nonsense, 1),
            (Ending::Gone, 1),
            (Ending::Anew(SCRAM[1]), 1),
            (Ending::Anew(Mechanism::Plain), 1),
        ] {
            let mut counted = 0;
            for most in 1..=3 {
                let directory = play(folder.path(), most, name, ending).await;
                let next = ClientFacts::new(from([192, 0, 2, 1]));
                let (_, result) =
                    log_in(&mut directory.login(next), Mechanism::Plain, "ann@example.org", "secret").await;
                counted += u32::from(result == Err(LoginError::TooManyFailures));
            }
            assert_eq!(counted, expected, "{name} {ending:?}");
        }
        play(folder.path(), 3, name, Ending::Late).await;
    }
}

/// The mirror: what was given up before any keys were heard of has told nothing, and is no failure.
#[tokio::test]
async fn an_exchange_that_never_heard_of_keys_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let users = scram_user("ann@example.org", Hash::Sha256, "secret");
    fs::write(folder.path().join("users"), users).unwrap();
    let mut settings = settings(folder.path());
    settings.login.failures_per_minute = 1;
    let directory = Directory::open(settings).unwrap();
    let client = ClientFacts::new(from([192, 0, 2, 1]));
    for (mechanism, initial) in [
        (SCRAM[1], None),
        (SCRAM[1], Some(b"nonsense".to_vec())),
        (Mechanism::Plain, None),
        (Mechanism::Login, Some(b"ann@example.org".to_vec())),
    ] {
        let _ = directory.login(client.clone()).take(Turn::Begin(mechanism, initial)).await;
    }
    let (_, result) = log_in(&mut directory.login(client), SCRAM[1], "ann@example.org", "secret").await;
    assert!(matches!(result, Ok(Progress::Done(_))), "{result:?}");
}

/// A house that remembers passwords that were right.
fn remembering(folder: &Path, users: &str) -> Directory {
    fs::write(folder.join("users"), users).unwrap();
    let mut settings = settings(folder);
    settings.login.remember = std::time::Duration::from_mins(10);
    Directory::open(settings).unwrap()
}

/// Logs in with a password, and gives how many hashes that took.
async fn costs(
    directory: &Directory,
    name: &str,
    password: &str,
    origin: Origin,
) -> (Result<(), LoginError>, u64) {
    let before = directory.hash_operations();
    let claim = Credentials { login: name.to_owned(), password: Secret::new(password) };
    let result = directory.log_in(claim, origin).await.map(|_| ());
    (result, directory.hash_operations() - before)
}

/// Only what was right is cheaper the next time, whoever asks; a guesser pays each time and hears the same.
#[tokio::test]
async fn a_password_that_was_right_costs_one_hash_and_a_wrong_one_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let directory = remembering(folder.path(), &scram_user("ann@example.org", Hash::Sha256, "secret"));
    let client = nobody().origin;
    for (name, password, expected) in [
        ("ann@example.org", "wrong", (Err(LoginError::Refused), 1)),
        ("ann@example.org", "wrong", (Err(LoginError::Refused), 1)),
        ("ann@example.org", "secret", (Ok(()), 1)),
        ("ann@example.org", "secret", (Ok(()), 0)),
        ("ANN@example.org", "secret", (Ok(()), 0)),
        ("ann@example.org", "wrong", (Err(LoginError::Refused), 1)),
        ("ann@example.org", "secre", (Err(LoginError::Refused), 1)),
        ("nobody@example.org", "secret", (Err(LoginError::Refused), 1)),
        ("nobody@example.org", "secret", (Err(LoginError::Refused), 1)),
    ] {
        assert_eq!(costs(&directory, name, password, client).await, expected, "{name} {password}");
    }
    // Without the switch, and for what is no slower than its mark, nothing is remembered.
    let forgetful = open(folder.path(), &scram_user("ann@example.org", Hash::Sha256, "secret"));
    let plain = remembering(folder.path(), "ann@example.org:{PLAIN}secret\n");
    for directory in [forgetful, plain] {
        for _ in 0..2 {
            assert_eq!(costs(&directory, "ann@example.org", "secret", client).await, (Ok(()), 1));
        }
    }
}

/// RFC 4013 §2: an accented letter may come as one character or as two, and the hash may have been made of either.
#[tokio::test]
async fn a_password_is_right_in_each_spelling_that_saslprep_makes_one() {
    let folder = tempfile::tempdir().unwrap();
    let users = "ann@example.org:{PLAIN}p\u{e4}ss\nbob@example.org:{PLAIN}pa\u{308}ss\n";
    let directory = open(folder.path(), users);
    for (name, password, is_right) in [
        ("ann@example.org", "p\u{e4}ss", true),
        ("ann@example.org", "pa\u{308}ss", true),
        ("ann@example.org", "pass", false),
        ("ann@example.org", "pa\u{300}ss", false),
        ("bob@example.org", "pa\u{308}ss", true),
        ("nobody@example.org", "pa\u{308}ss", false),
    ] {
        let (found, _) = costs(&directory, name, password, nobody().origin).await;
        assert_eq!(found.is_ok(), is_right, "{name} {password}");
    }
}

/// HOSTILE: a client that guesses must not get past its limit by what somebody else has proven.
#[tokio::test]
async fn whoever_must_wait_waits_though_the_password_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let directory = remembering(folder.path(), &scram_user("ann@example.org", Hash::Sha256, "secret"));
    let (home, guesser) = (from([192, 0, 2, 1]), from([192, 0, 2, 2]));
    assert_eq!(costs(&directory, "ann@example.org", "secret", home).await, (Ok(()), 1));
    for _ in 0..10 {
        assert_eq!(
            costs(&directory, "ann@example.org", "guess", guesser).await,
            (Err(LoginError::Refused), 1)
        );
    }
    let late = costs(&directory, "ann@example.org", "secret", guesser).await;
    assert_eq!(late, (Err(LoginError::TooManyFailures), 0));
    assert_eq!(costs(&directory, "ann@example.org", "secret", home).await, (Ok(()), 0));
}

/// Whatever changes in the file acts as if nothing were remembered; who is closed out pays like a guesser, so that
/// time does not tell that the password is right.
#[tokio::test]
async fn a_remembered_password_outlives_no_change_of_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let line = |password: &str| scram_user("ann@example.org", Hash::Sha256, password);
    let with = |extra: &str| format!("{}::::::{extra}\n", line("secret").trim_end());
    let keys = Keys::derive(Hash::Sha256, "secret", b"another sixteen.", 4_096).field();
    let closed = Err(LoginError::Closed);
    for (change, first, second) in [
        (line("new"), (Err(LoginError::Refused), 1), (Err(LoginError::Refused), 1)),
        (format!("ann@example.org:{{SCRAM-SHA-256}}{keys}\n"), (Ok(()), 1), (Ok(()), 0)),
        (
            scram_user("bob@example.org", Hash::Sha256, "secret"),
            (Err(LoginError::Refused), 1),
            (Err(LoginError::Refused), 1),
        ),
        ("ann@example.org:!\n".to_owned(), (Err(LoginError::Refused), 1), (Err(LoginError::Refused), 1)),
        (with("nologin"), (closed, 1), (closed, 1)),
        (with("allow_nets=198.51.100.0/24"), (closed, 1), (closed, 1)),
        (with("allow_nets=192.0.2.0/24"), (Ok(()), 0), (Ok(()), 0)),
    ] {
        let directory = remembering(folder.path(), &line("secret"));
        let client = nobody().origin;
        assert_eq!(costs(&directory, "ann@example.org", "secret", client).await, (Ok(()), 1));
        let mut changes = directory.changes();
        fs::write(folder.path().join("users"), &change).unwrap();
        changes.next().await;
        assert_eq!(costs(&directory, "ann@example.org", "secret", client).await, first, "{change}");
        assert_eq!(costs(&directory, "ann@example.org", "secret", client).await, second, "{change}");
    }
}
