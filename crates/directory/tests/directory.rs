//! The directory over real files: logins, changes from outside, edits.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use kings_directory::{
    Directory, EditError, HostedDomain, LoginError, LoginNames, LoginSettings, Origin, Place, Reach,
    Resolution, Settings, Socketmap, TableSource,
};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::path::ForwardPath;
use kings_sasl::{Credentials, Secret};

fn open(folder: &Path, users: &str) -> Directory {
    open_with(folder, users, vec![TableSource::Plain(folder.join("aliases"))])
}

fn open_with(folder: &Path, users: &str, aliases: Vec<TableSource>) -> Directory {
    fs::write(folder.join("users"), users).unwrap();
    fs::write(folder.join("aliases"), "").unwrap();
    Directory::open(Settings { aliases, ..settings(folder) }).unwrap()
}

fn settings(folder: &Path) -> Settings {
    let name = Domain::parse("example.org").unwrap();
    Settings {
        hostname: Domain::parse("mail.example.org").unwrap(),
        domains: vec![HostedDomain { name, catch_all: None }],
        accounts: folder.join("users"),
        aliases: vec![TableSource::Plain(folder.join("aliases"))],
        machine: None,
        relays: Vec::new(),
        sender_logins: Vec::new(),
        delimiters: "+".to_owned(),
        login: login_settings(),
    }
}

fn login_settings() -> LoginSettings {
    LoginSettings {
        names: LoginNames::default(),
        mechanisms: None,
        channel_binding: false,
        failures_per_minute: 10,
        failures_per_account: 30,
        remember: std::time::Duration::ZERO,
        known: None,
        secret: Secret::new("of this house"),
    }
}

fn claim(login: &str, password: &str) -> Credentials {
    Credentials { login: login.into(), password: Secret::new(password) }
}

/// A client that no limit holds for.
fn exempt() -> Origin {
    Origin { protocol: "imap", address: IpAddr::from([192, 0, 2, 9]), exempt: true }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[tokio::test]
async fn every_login_costs_exactly_one_hash() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\njoe@example.org:!\n");
    let cases = [
        (claim("ann@example.org", "secret"), true),
        (claim("ANN@example.org", "secret"), true),
        (claim("ann@example.org", "wrong"), false),
        (claim("nobody@example.org", "secret"), false),
        (claim("joe@example.org", "secret"), false),
        (claim("ann", "secret"), false),
        (claim("ann+tag@example.org", "secret"), false),
        (claim("../../etc/passwd", "x"), false),
    ];
    for (count, (credentials, expected)) in cases.into_iter().enumerate() {
        let login = credentials.login.clone();
        let result = directory.log_in(credentials, exempt()).await;
        assert_eq!(result.is_ok(), expected, "{login}");
        assert_eq!(directory.hash_operations(), count as u64 + 1, "{login}");
    }
}

#[tokio::test]
async fn a_closed_account_costs_and_counts_like_a_wrong_password() {
    let folder = tempfile::tempdir().unwrap();
    let users = "ann@example.org:{PLAIN}secret::::::allow_nets=192.0.2.0/28\n\
                 joe@example.org:{PLAIN}secret::::::nologin=on leave\n";
    let directory = open(folder.path(), users);
    let from = |last| Origin { protocol: "imap", address: IpAddr::from([192, 0, 2, last]), exempt: false };
    let cases = [
        ("ann@example.org", "secret", 1, Ok(())),
        ("ann@example.org", "secret", 200, Err(LoginError::Closed)),
        ("ann@example.org", "wrong", 200, Err(LoginError::Refused)),
        ("ann@example.org", "wrong", 1, Err(LoginError::Refused)),
        ("joe@example.org", "secret", 1, Err(LoginError::Closed)),
        ("joe@example.org", "wrong", 1, Err(LoginError::Refused)),
    ];
    for (count, (login, password, last, expected)) in cases.into_iter().enumerate() {
        let result = directory.log_in(claim(login, password), from(last)).await.map(|_| ());
        assert_eq!(result, expected, "{login} {password} {last}");
        assert_eq!(directory.hash_operations(), count as u64 + 1, "{login} {password}");
    }
    for _ in 0..10 {
        let _ = directory.log_in(claim("joe@example.org", "secret"), from(50)).await;
    }
    let again = directory.log_in(claim("joe@example.org", "secret"), from(50)).await;
    assert_eq!(again, Err(LoginError::TooManyFailures));
    assert_eq!(
        directory.accounts(),
        [(address("ann@example.org"), true), (address("joe@example.org"), false)]
    );
}

#[tokio::test]
async fn a_guesser_is_stopped_before_any_hash_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\n");
    let limited = |last| Origin { protocol: "imap", address: IpAddr::from([192, 0, 2, last]), exempt: false };
    let guesser = limited(1);
    for _ in 0..10 {
        assert_eq!(directory.log_in(claim("ann@example.org", "x"), guesser).await, Err(LoginError::Refused));
    }
    let before = directory.hash_operations();
    let right = claim("ann@example.org", "secret");
    assert_eq!(directory.log_in(right.clone(), guesser).await, Err(LoginError::TooManyFailures));
    assert_eq!(directory.hash_operations(), before);
    assert!(directory.log_in(right, limited(2)).await.is_ok());
}

#[tokio::test]
async fn a_changed_file_acts_within_a_second_and_a_broken_one_does_not_act() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\n");
    let joe = ForwardPath::parse("joe@example.org").unwrap();
    assert_eq!(directory.resolve(&joe, Reach::Ours).await, Resolution::Unknown);
    fs::write(folder.path().join("aliases"), "joe@example.org ann@example.org\n").unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    while directory.resolve(&joe, Reach::Ours).await == Resolution::Unknown {
        assert!(Instant::now() < deadline, "the change must act within a second");
        std::thread::sleep(Duration::from_millis(20));
    }
    fs::write(folder.path().join("users"), "broken\n").unwrap();
    std::thread::sleep(Duration::from_millis(600));
    assert!(directory.has_account(&address("ann@example.org")));
}

/// One answer to one question, as a program on the other side of a socketmap would give it.
fn answering(socket: &Path, reply: &'static [u8]) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 200];
            let length = stream.read(&mut request).await.unwrap();
            let is_joe = request[..length].ends_with(b":virtual joe@example.org,");
            stream.write_all(if is_joe { reply } else { b"9:NOTFOUND ," }).await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_table_that_does_not_answer_refuses_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let joe = ForwardPath::parse("joe@example.org").unwrap();
    let ann = Resolution::Targets(vec![Place::Account(address("ann@example.org")).into()]);
    let cases: [(&str, &[u8], Resolution); 5] = [
        ("found", b"18:OK ann@example.org,", ann),
        ("absent", b"9:NOTFOUND ,", Resolution::Unknown),
        ("trouble", b"12:TEMP oh dear,", Resolution::Unavailable),
        ("nonsense", b"hello", Resolution::Unavailable),
        ("bad-target", b"7:OK a@@b,", Resolution::Unavailable),
    ];
    for (name, reply, expected) in cases {
        let socket = folder.path().join(name);
        answering(&socket, reply);
        let place = format!("unix:{}:virtual", socket.display());
        let table = TableSource::Socketmap(Socketmap::parse(&place).unwrap());
        let directory = open_with(folder.path(), "ann@example.org:{PLAIN}secret\n", vec![table]);
        assert_eq!(directory.resolve(&joe, Reach::Ours).await, expected, "{name}");
    }
    let nobody = TableSource::Socketmap(Socketmap::parse("unix:/nonexistent/socket:virtual").unwrap());
    let directory = open_with(folder.path(), "ann@example.org:{PLAIN}secret\n", vec![nobody]);
    assert_eq!(directory.resolve(&joe, Reach::Ours).await, Resolution::Unavailable);
}

#[test]
fn a_file_that_is_missing_is_told_with_what_to_do() {
    for name in ["users", "aliases"] {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), "ann@example.org:{PLAIN}secret\n");
        let path = folder.path().join(name);
        fs::remove_file(&path).unwrap();
        let error = Directory::open(settings(folder.path())).unwrap_err().to_string();
        assert!(error.ends_with(&format!("touch {}", path.display())), "{error}");
    }
}

/// Waits for more than one look at the files, so that one that saw half of something is followed by another.
fn look_twice(directory: &Directory) {
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(550));
        directory.accounts();
    }
}

#[tokio::test]
async fn a_file_that_vanishes_or_is_blank_or_half_written_leaves_the_old_reading() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\njoe@example.org:\n");
    let (users, aliases) = (folder.path().join("users"), folder.path().join("aliases"));
    fs::write(&aliases, "info@example.org joe@example.org\n").unwrap();
    let reaches = async || {
        look_twice(&directory);
        let mut reached = [false; 3];
        for (reached, name) in
            reached.iter_mut().zip(["ann@example.org", "joe@example.org", "info@example.org"])
        {
            let path = ForwardPath::parse(name).unwrap();
            *reached = directory.resolve(&path, Reach::Ours).await != Resolution::Unknown;
        }
        reached
    };
    assert_eq!(reaches().await, [true; 3]);
    for text in ["", " \n\n", "ann@example.org:{PLAIN}sec"] {
        fs::write(&users, text).unwrap();
        assert_eq!(reaches().await, [true; 3], "{text:?}");
    }
    fs::write(&users, "ann@example.org:{PLAIN}secret\n").unwrap();
    fs::remove_file(&aliases).unwrap();
    // Both files are one reading: while one of them is gone, neither acts.
    assert_eq!(reaches().await, [true; 3]);
    fs::write(&aliases, "info@example.org ann@example.org\n").unwrap();
    assert_eq!(reaches().await, [true, false, true]);
}

#[test]
fn a_file_without_a_last_line_end_acts_when_nobody_writes_it_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\n");
    fs::write(folder.path().join("users"), "joe@example.org:{PLAIN}secret").unwrap();
    let joe = address("joe@example.org");
    look_twice(&directory);
    assert!(!directory.has_account(&joe));
    std::thread::sleep(Duration::from_secs(1));
    assert!(directory.has_account(&joe));
}

#[test]
fn removing_the_last_account_acts_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}secret\n");
    let server = Directory::open(settings(folder.path())).unwrap();
    directory.remove_account(&address("ann@example.org")).unwrap();
    assert!(directory.accounts().is_empty());
    look_twice(&server);
    assert!(server.accounts().is_empty());
    directory.add_account(&address("joe@example.org"), &Secret::new("x")).unwrap();
    assert_eq!(directory.accounts().len(), 1);
}

#[tokio::test]
async fn accounts_are_added_changed_and_removed_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let users = "# family\nann@example.org:{PLAIN}secret:5000:5000::::userdb_quota_rule=*:storage=1G\n";
    let directory = open(folder.path(), users);
    let [ann, joe] = ["ann@example.org", "joe@example.org"].map(address);

    directory.add_account(&joe, &Secret::new("first")).unwrap();
    assert!(matches!(directory.add_account(&joe, &Secret::new("x")), Err(EditError::Exists(_))));
    let elsewhere = address("joe@elsewhere.example");
    assert!(matches!(directory.add_account(&elsewhere, &Secret::new("x")), Err(EditError::NotHosted(_))));
    assert!(directory.log_in(claim("joe@example.org", "first"), exempt()).await.is_ok());

    for name in ["a/b@example.org", r#"".x"@example.org"#, r#""a:b"@example.org"#, "#x@example.org"] {
        let added = directory.add_account(&address(name), &Secret::new("x"));
        assert!(matches!(added, Err(EditError::BadName(_))), "{name}: {added:?}");
    }
    directory.add_account(&address("o'hara=x@example.org"), &Secret::new("x")).unwrap();
    directory.remove_account(&address("o'hara=x@example.org")).unwrap();

    directory.set_password(&ann, &Secret::new("second")).unwrap();
    assert!(directory.log_in(claim("ann@example.org", "second"), exempt()).await.is_ok());
    let text = fs::read_to_string(folder.path().join("users")).unwrap();
    assert!(text.starts_with("# family\nann@example.org:{ARGON2ID}$argon2id$"), "{text}");
    assert!(text.lines().nth(1).unwrap().ends_with(":5000:5000::::userdb_quota_rule=*:storage=1G"), "{text}");

    directory.remove_account(&joe).unwrap();
    assert!(matches!(directory.remove_account(&joe), Err(EditError::Unknown(_))));
    assert_eq!(directory.accounts(), [(ann, true)]);
}

#[tokio::test]
async fn whoever_waits_hears_of_a_new_reading_and_of_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(folder.path(), "ann@example.org:{PLAIN}x\n");
    for users in ["", "ann@example.org:{PLAIN}x\njoe@example.org:{PLAIN}x\n"] {
        // The second one comes after the task has ended for want of listeners, or while it still looks.
        let mut changes = directory.changes();
        let heard = |seconds| Duration::from_secs(seconds);
        if users.is_empty() {
            assert!(tokio::time::timeout(heard(3), changes.next()).await.is_err(), "nothing has changed");
            continue;
        }
        std::fs::write(folder.path().join("users"), users).unwrap();
        tokio::time::timeout(heard(10), changes.next()).await.unwrap();
        assert!(directory.has_account(&Address::parse("joe@example.org").unwrap()));
    }
}
