//! Login names: those without a domain, and those of master users, who open the mail of others.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use kings_directory::{
    ClientFacts, Directory, HostedDomain, LoginError, LoginNames, LoginSettings, Origin, Progress, Settings,
    Verdict,
};
use kings_mail::domain::Domain;
use kings_sasl::scram::{Hash, Keys};
use kings_sasl::{Client, Mechanism, Secret, Turn};

const USERS: &str = "ann@example.org:{PLAIN}secret\n\
                     bob@example.org:{PLAIN}other::::::nologin\n\
                     list@example.org:\n\
                     odd*admin@example.org:{PLAIN}odd\n";
const MASTERS: &str = "admin:{PLAIN}master\n\
                       migration:{PLAIN}moves::::::allow_nets=192.0.2.0/24\n\
                       gone:!{PLAIN}gone\n";

fn settings(folder: &Path, masters: bool) -> Settings {
    fs::write(folder.join("users"), USERS).unwrap();
    fs::write(folder.join("masters"), MASTERS).unwrap();
    let domain = Domain::parse("example.org").unwrap();
    Settings {
        hostname: Domain::parse("mail.example.org").unwrap(),
        domains: vec![HostedDomain { name: domain.clone(), catch_all: None }],
        accounts: folder.join("users"),
        aliases: Vec::new(),
        machine: None,
        relays: Vec::new(),
        sender_logins: Vec::new(),
        delimiters: "+".to_owned(),
        login: LoginSettings {
            names: LoginNames {
                default_domain: Some(domain),
                masters: masters.then(|| folder.join("masters")),
            },
            mechanisms: None,
            channel_binding: false,
            failures_per_minute: 100,
            failures_per_account: 3,
            remember: Duration::ZERO,
            known: Some(folder.join("logins")),
            secret: Secret::new("of this house"),
        },
    }
}

fn client(last: u8, exempt: bool) -> ClientFacts {
    ClientFacts::new(Origin { protocol: "imap", address: IpAddr::from([192, 0, 2, last]), exempt })
}

async fn log_in(
    directory: &Directory,
    facts: ClientFacts,
    mechanism: Mechanism,
    (name, password): (&str, &str),
) -> Result<String, LoginError> {
    let mut login = directory.login(facts);
    let mut client = Client::begin(mechanism, name, &Secret::new(password), "abc").unwrap();
    let first = client.respond(b"").unwrap();
    let mut progress = login.take(Turn::Begin(mechanism, Some(first))).await?;
    loop {
        match progress {
            Progress::Done(account) => return Ok(account.address.to_string()),
            Progress::Challenge(challenge) => {
                let response = client.respond(&challenge).unwrap();
                progress = login.take(Turn::Response(response)).await?;
            }
        }
    }
}

#[tokio::test]
async fn a_master_opens_the_mail_of_others_with_his_own_password() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(settings(folder.path(), true)).unwrap();
    let (ann, bob) = (Ok("ann@example.org".to_owned()), Ok("bob@example.org".to_owned()));
    let list = Ok("list@example.org".to_owned());
    let odd = Ok("odd*admin@example.org".to_owned());
    let cases = [
        ("ann@example.org*admin", "master", ann.clone()),
        ("ANN*Admin", "master", ann.clone()),
        ("ann*migration", "moves", ann.clone()),
        // Closed to their owners, and there.
        ("bob*admin", "master", bob),
        ("list@example.org*admin", "master", list),
        // A real account is nobody's disguise.
        ("odd*admin@example.org", "odd", odd),
        ("odd*admin@example.org", "master", Err(LoginError::Refused)),
        ("ann*admin", "secret", Err(LoginError::Refused)),
        ("ann*admin", "moves", Err(LoginError::Refused)),
        ("ann*ann@example.org", "secret", Err(LoginError::Refused)),
        ("bob*ann", "secret", Err(LoginError::Refused)),
        ("nobody*admin", "master", Err(LoginError::Refused)),
        ("ann*nobody", "master", Err(LoginError::Refused)),
        ("ann*gone", "gone", Err(LoginError::Refused)),
        ("admin", "master", Err(LoginError::Refused)),
        ("*admin", "master", Err(LoginError::Refused)),
        ("ann*", "", Err(LoginError::Refused)),
        // Without a master it is as it was.
        ("ann", "secret", ann.clone()),
        ("bob", "other", Err(LoginError::Closed)),
    ];
    let scram = Mechanism::Scram { hash: Hash::Sha256, plus: false };
    for (name, password, expected) in cases {
        for mechanism in [Mechanism::Plain, Mechanism::Login, scram] {
            if mechanism != Mechanism::Plain && password.is_empty() {
                continue;
            }
            let found = log_in(&directory, client(1, true), mechanism, (name, password)).await;
            assert_eq!(found, expected, "{mechanism:?} {name} {password}");
        }
    }
    let outside =
        ClientFacts::new(Origin { protocol: "imap", address: IpAddr::from([198, 51, 100, 1]), exempt: true });
    let found = log_in(&directory, outside, Mechanism::Plain, ("ann*migration", "moves")).await;
    assert_eq!(found, Err(LoginError::Closed), "his own line says from where");
    // PLAIN has a place of its own for both names (RFC 4616 §2).
    let mut login = directory.login(client(1, true));
    let both = Turn::Begin(Mechanism::Plain, Some(b"ann\0admin\0master".to_vec()));
    assert!(
        matches!(login.take(both).await, Ok(Progress::Done(account)) if Ok(account.address.to_string()) == ann)
    );
    // A certificate says who somebody is, and nobody's certificate says that he may be everybody.
    for (name, asked, expected) in [("ann*admin", "", false), ("ann@example.org", "ann", true)] {
        let facts = ClientFacts { certificate_names: vec![name.to_owned()], ..client(1, true) };
        let mut login = directory.login(facts);
        let found = login.take(Turn::Begin(Mechanism::External, Some(asked.as_bytes().to_vec()))).await;
        assert_eq!(found.is_ok(), expected, "{name}: {found:?}");
    }
    assert_eq!(directory.examine("ann*admin", &Secret::new("master"), None).verdict, Verdict::Succeeds);
    assert_eq!(directory.examine("x*admin", &Secret::new("master"), None).verdict, Verdict::UnknownAccount);
}

#[tokio::test]
async fn without_masters_the_separator_is_a_character_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(settings(folder.path(), false)).unwrap();
    for (name, password) in
        [("ann*admin", "master"), ("ann*admin", "secret"), ("ann*ann@example.org", "secret")]
    {
        let found = log_in(&directory, client(1, true), Mechanism::Plain, (name, password)).await;
        assert_eq!(found, Err(LoginError::Refused), "{name}");
    }
    let mut login = directory.login(client(1, true));
    let both = Turn::Begin(Mechanism::Plain, Some(b"ann\0admin\0master".to_vec()));
    assert_eq!(login.take(both).await, Err(LoginError::Refused));
}

/// Whoever guesses at a master's password must not get more tries by naming other accounts, and a master's success does
/// not make his network the home of the account.
#[tokio::test]
async fn failures_of_a_master_count_together_whatever_account_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(settings(folder.path(), true)).unwrap();
    let good = log_in(&directory, client(1, false), Mechanism::Plain, ("ann*admin", "master")).await;
    assert!(good.is_ok());
    for account in ["ann", "bob@example.org", "nobody"] {
        let name = format!("{account}*admin");
        let found = log_in(&directory, client(2, false), Mechanism::Plain, (&name, "wrong")).await;
        assert_eq!(found, Err(LoginError::Refused));
    }
    for (name, password) in [("list*admin", "master"), ("ANN*ADMIN", "master")] {
        let found = log_in(&directory, client(1, false), Mechanism::Plain, (name, password)).await;
        assert_eq!(found, Err(LoginError::TooManyFailures), "{name}");
    }
    let found = log_in(&directory, client(1, false), Mechanism::Plain, ("ann", "secret")).await;
    assert!(found.is_ok(), "the account's owner is not held up");
    // The owner's own failures by both of its names count together.
    for name in ["ann", "ann@example.org", "Ann"] {
        let found = log_in(&directory, client(3, false), Mechanism::Plain, (name, "wrong")).await;
        assert_eq!(found, Err(LoginError::Refused));
    }
    let found = log_in(&directory, client(4, false), Mechanism::Plain, ("ann", "secret")).await;
    assert_eq!(found, Err(LoginError::TooManyFailures), "the master's address was not noted as Ann's");
}

#[tokio::test]
async fn scram_is_offered_when_masters_can_use_it_too_and_tells_nobody_which_masters_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::derive(Hash::Sha256, "master", b"sixteen octets..", 4_096).field();
    let scram = Mechanism::Scram { hash: Hash::Sha256, plus: false };
    let directory = Directory::open(settings(folder.path(), true)).unwrap();
    assert!(directory.mechanisms(&client(1, true)).contains(scram));
    fs::write(folder.path().join("masters"), "admin:{SHA512-CRYPT}$6$salt$x\n").unwrap();
    fs::write(folder.path().join("users"), format!("ann@example.org:{{SCRAM-SHA-256}}{keys}\n")).unwrap();
    let text = format!("admin:{{SCRAM-SHA-256}}{keys}\n");
    let with = |masters: &str| {
        let settings = settings(folder.path(), true);
        fs::write(folder.path().join("users"), format!("ann@example.org:{{SCRAM-SHA-256}}{keys}\n")).unwrap();
        fs::write(folder.path().join("masters"), masters).unwrap();
        Directory::open(settings).unwrap()
    };
    assert!(!with("admin:{SHA512-CRYPT}$6$salt$x\n").mechanisms(&client(1, true)).contains(scram));
    let directory = with(&text);
    let found = log_in(&directory, client(1, true), scram, ("ann*admin", "master")).await;
    assert_eq!(found.as_deref(), Ok("ann@example.org"));
    let mut salts = Vec::new();
    for name in ["ann*admin", "bob*admin", "ann*nobody", "bob*nobody"] {
        let mut login = directory.login(client(1, true));
        let mut client = Client::begin(scram, name, &Secret::new("x"), "abc").unwrap();
        let first = client.respond(b"").unwrap();
        let Ok(Progress::Challenge(challenge)) = login.take(Turn::Begin(scram, Some(first))).await else {
            panic!("no challenge")
        };
        let challenge = String::from_utf8(challenge).unwrap();
        salts.push(challenge.split_once(",s=").unwrap().1.to_owned());
    }
    assert_eq!(salts[0], salts[1]);
    assert_eq!(salts[2], salts[3], "of a master who is not there as of one who is");
    assert_ne!(salts[0], salts[2]);
}

/// A session goes on by the line of who opened it: a master's by his own, whatever closes the account to its owner.
#[tokio::test]
async fn a_session_of_a_master_goes_on_until_his_own_line_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let directory = Directory::open(settings(folder.path(), true)).unwrap();
    let here = IpAddr::from([192, 0, 2, 1]);
    let mut login = directory.login(client(1, true));
    let turn = Turn::Begin(Mechanism::Plain, Some(b"bob\0migration\0moves".to_vec()));
    let Ok(Progress::Done(opened)) = login.take(turn).await else { panic!("no login") };
    assert_eq!(opened.master.as_deref(), Some("migration"));
    assert!(directory.still_admits(&opened, here), "bob is closed to himself alone");
    assert!(!directory.still_admits(&opened, IpAddr::from([198, 51, 100, 1])), "his own networks");
    let own = kings_directory::Account { master: None, ..opened.clone() };
    assert!(!directory.still_admits(&own, here));
    let gone = kings_directory::Account { master: Some("nobody".to_owned()), ..opened };
    assert!(!directory.still_admits(&gone, here));
}
