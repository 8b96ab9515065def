//! Lookups with tables of every kind, and how they change.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::*;

/// What a line stands for; `bad` means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word(String);

impl FromStr for Word {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "bad" { Err("bad".to_owned()) } else { Ok(Self(text.to_owned())) }
    }
}

impl Meaning for Word {}

fn open(folder: &Path, keys: Keys, from: &[&str]) -> (Lookup<Word>, Vec<String>) {
    let from = from.iter().map(|text| TableSource::parse(text, folder).unwrap()).collect();
    let (lookup, faults) = Lookup::open("table", keys, from);
    (lookup, faults.iter().map(ToString::to_string).collect())
}

fn found(lookup: &Lookup<Word>, address: &str) -> String {
    let address = (!address.is_empty()).then(|| Address::parse(address).unwrap());
    match lookup.look(address.as_ref(), "+", &Answers::default()) {
        Ok(found) => found.map_or(String::new(), |word| word.0),
        Err(stop) => format!("{stop:?}"),
    }
}

#[test]
fn the_nearest_key_of_any_table_wins_and_patterns_see_whole_addresses() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("plain"),
        "# who\nAnn@example.org ann's\n  and more\n@Example.org all\nann@example.org late\n<> none\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("patterns"),
        "/^ann@example\\.org$/ never\n/^bob\\+.*@example\\.org$/ tagged\n/^(.*)@pattern\\.example$/ $1\n",
    )
    .unwrap();
    let from = ["plain", "regexp:patterns", "inline:{carol@example.org=c, {@pattern.example = p q}}"];
    let (lookup, faults) = open(folder.path(), Keys::Address, &from);
    assert!(faults.is_empty(), "{faults:?}");
    for (address, expected) in [
        ("ann@example.org", "ann's and more"),
        ("ANN+x@Example.ORG", "ann's and more"),
        ("bob+x@example.org", "tagged"),
        ("bob@example.org", "all"),
        ("carol@example.org", "c"),
        ("dan@pattern.example", "dan"),
        // Its own choice of words is none.
        ("\"x y\"@pattern.example", "p q"),
        ("ann@elsewhere.example", ""),
        ("ann@sub.example.org", ""),
        ("ann@[192.0.2.1]", ""),
        ("", "none"),
    ] {
        assert_eq!(found(&lookup, address), expected, "{address}");
    }
    let mut values: Vec<String> = lookup.values().into_iter().map(|word| word.0).collect();
    values.sort_unstable();
    assert_eq!(values, ["all", "ann's and more", "c", "never", "none", "p q", "tagged"]);
}

#[test]
fn transport_keys_go_up_the_domain() {
    let folder = tempfile::tempdir().unwrap();
    let table = "joe@a.example joe\na.example a\n.a.example below a\n.example below\n* all\n";
    fs::write(folder.path().join("transport"), table).unwrap();
    let (lookup, faults) = open(folder.path(), Keys::Transport, &["texthash:transport"]);
    assert!(faults.is_empty(), "{faults:?}");
    for (address, expected) in [
        ("joe+x@a.example", "joe"),
        ("eve@A.example", "a"),
        ("eve@x.y.a.example", "below a"),
        ("eve@b.example", "below"),
        ("eve@example", "all"),
        ("eve@[192.0.2.1]", "all"),
    ] {
        assert_eq!(found(&lookup, address), expected, "{address}");
    }
}

/// What trivial-rewrite(8) forbids.
#[test]
fn no_part_of_an_address_is_filled_in_where_it_must_not() {
    #[derive(Clone, Debug)]
    struct Fixed;
    impl FromStr for Fixed {
        type Err = String;
        fn from_str(_: &str) -> Result<Self, String> {
            Ok(Self)
        }
    }
    impl Meaning for Fixed {
        const MAY_BE_FILLED: bool = false;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("patterns"), "/@a\\.example$/ x\n/@(.*)$/ $1\n").unwrap();
    let from = || vec![TableSource::parse("regexp:patterns", folder.path()).unwrap()];
    let (lookup, faults) = Lookup::<Fixed>::open("table", Keys::Transport, from());
    assert!(faults.len() == 1 && faults[0].to_string().contains("patterns:2: "), "{faults:?}");
    let look = |text: &str| lookup.look(Some(&Address::parse(text).unwrap()), "+", &Answers::default());
    assert!(look("joe@a.example").unwrap().is_some());
    assert_eq!(look("joe@b.example").unwrap_err(), Stop::Unavailable);
    assert!(Lookup::<Word>::open("table", Keys::Transport, from()).1.is_empty());
}

/// What a real postmap says of it stands in the end-to-end tests.
#[test]
fn a_line_without_a_right_side_is_passed_over_where_it_means_nothing() {
    #[derive(Clone, Debug, PartialEq, Eq)]
    struct Full(String);
    impl FromStr for Full {
        type Err = String;
        fn from_str(text: &str) -> Result<Self, String> {
            Ok(Self(text.to_owned()))
        }
    }
    impl Meaning for Full {
        const NEEDS_VALUE: bool = true;
    }
    let folder = tempfile::tempdir().unwrap();
    let table = "a.example\nb.example \t\nc.example :\nd.example\n  there\n* all\n";
    fs::write(folder.path().join("table"), table).unwrap();
    let from = || vec![TableSource::parse("texthash:table", folder.path()).unwrap()];
    let (lookup, faults) = Lookup::<Full>::open("table", Keys::Transport, from());
    assert!(faults.is_empty(), "{faults:?}");
    let full = |address: &str| {
        let address = Address::parse(address).unwrap();
        lookup.look(Some(&address), "+", &Answers::default()).unwrap().unwrap().0
    };
    let all = ["x@a.example", "x@b.example", "x@c.example", "x@d.example"].map(full);
    assert_eq!(all, ["all", "all", ":", "there"]);
    let told = lookup.passed_over();
    assert!(told.len() == 2 && told[0].contains("table:1: ") && told[1].contains("table:2: "), "{told:?}");
    let (listed, _) = open(folder.path(), Keys::Transport, &["table"]);
    assert_eq!((found(&listed, "x@a.example"), listed.passed_over().len()), (String::new(), 0));
}

#[test]
fn a_fixed_text_is_found_for_everybody_behind_the_tables_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let (lookup, faults) =
        open(folder.path(), Keys::Transport, &["inline:{ann@a.example=ann}", "static:all $1"]);
    assert!(faults.is_empty(), "{faults:?}");
    let all = ["ann@a.example", "ann+x@a.example", "joe@a.example", "\"x y\"@b.example", ""]
        .map(|to| found(&lookup, to));
    assert_eq!(all, ["ann", "all $1", "all $1", "all $1", "all $1"]);
    assert_eq!(lookup.pattern_of(&Address::parse("joe@a.example").unwrap()), None);
    let (_, faults) = open(folder.path(), Keys::Address, &["static:bad"]);
    assert!(faults.len() == 1 && faults[0].contains("static:1: bad"), "{faults:?}");
}

#[test]
fn the_pattern_that_decides_is_named_unless_it_is_for_everybody() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plain"), "ann@example.org x\n").unwrap();
    fs::write(folder.path().join("patterns"), "/^joe@/ x\n/@example\\.org$/ y\n/./ z\n").unwrap();
    let (lookup, _) = open(folder.path(), Keys::Transport, &["plain", "regexp:patterns"]);
    let place = |text: &str| {
        let place = lookup.pattern_of(&Address::parse(text).unwrap());
        place.and_then(|place| place.rsplit_once(':').map(|(_, line)| line.to_owned()))
    };
    assert_eq!(place("joe@example.org").as_deref(), Some("1"));
    assert_eq!(place("ann@example.org").as_deref(), Some("2"));
    assert_eq!(place("ann@example.net"), None);
    assert_eq!(Lookup::<Word>::default().pattern_of(&Address::parse("a@b.example").unwrap()), None);
}

#[test]
fn every_fault_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("plain"), "ann@example.org x\nann y\n@ z\nbob@example.org bad\n").unwrap();
    fs::write(folder.path().join("patterns"), "/fine/ x\n/(/ x\n/x/ bad\n/(y)/ bad$1\n").unwrap();
    let (_, faults) = open(folder.path(), Keys::Address, &["plain", "pcre:patterns", "missing"]);
    let told = faults.join("\n");
    for place in ["plain:2:", "plain:3:", "plain:4: bad", "patterns:2:", "patterns:3: bad", "missing"] {
        assert!(told.contains(place), "{place}: {told}");
    }
    assert!(!told.contains("plain:1:") && !told.contains("patterns:4:"), "{told}");
}

/// A program that is silent, and nonsense, are doubt: never "no such address".
#[tokio::test]
async fn another_program_that_is_away_is_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let source = format!("socketmap:unix:{}:users", socket.display());
    let (lookup, _) = open(folder.path(), Keys::Address, &["inline:{ann@example.org=known}", &source]);
    let address = |text: &str| Address::parse(text).unwrap();
    let ann = address("ann@example.org");
    assert_eq!(lookup.find(Some(&ann), "+").await, Ok(Some(Word("known".to_owned()))));
    let bob = address("bob@example.org");
    assert_eq!(lookup.find(Some(&bob), "+").await, Err(Unavailable));
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let program = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut asked = Vec::new();
        for reply in ["9:NOTFOUND ,", "9:NOTFOUND ,", "7:OK here,", "6:OK bad,"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 200];
            let count = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..count]).into_owned());
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
        asked
    });
    let tagged = address("Bob+x@example.org");
    assert_eq!(lookup.find(Some(&tagged), "+").await, Ok(Some(Word("here".to_owned()))));
    assert_eq!(lookup.find(Some(&bob), "+").await, Err(Unavailable));
    let asked = program.await.unwrap();
    let expected = ["bob+x@example.org", "bob@example.org", "@example.org", "bob@example.org"];
    for (request, key) in asked.iter().zip(expected) {
        assert!(request.ends_with(&format!(":users {key},")), "{request}");
    }
}

#[test]
fn a_change_acts_and_a_damaged_table_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain");
    fs::write(&path, "ann@example.org one\n").unwrap();
    let (lookup, _) = open(folder.path(), Keys::Address, &["plain"]);
    for (text, expected) in [
        ("ann@example.org two\n", "two"),
        ("ann@example.org bad\n", "two"),
        ("", "two"),
        ("bob@example.org x\n", ""),
    ] {
        fs::write(&path, text).unwrap();
        sleep(Duration::from_millis(600));
        assert_eq!(found(&lookup, "ann@example.org"), expected, "{text}");
    }
}

/// access(5), with the keys of each kind in its order.
#[test]
fn what_access_tables_are_asked_for() {
    let keys = |sought: Sought| sought.keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>().join(" ");
    let of = |text: &str| keys(Keys::Access.of(Address::parse(text).ok().as_ref(), "+"));
    assert_eq!(
        of("Ann+x@Mx.Far.example"),
        "ann+x@mx.far.example ann@mx.far.example mx.far.example .far.example far.example .example example ann+x@"
    );
    assert_eq!(of("ann@[192.0.2.1]"), "ann@[192.0.2.1] ann@");
    assert_eq!(of(""), "<>");
    assert_eq!(
        keys(Sought::host("MX.far.example")),
        "mx.far.example .far.example far.example .example example"
    );
    assert_eq!(keys(Sought::host("[192.0.2.1]")), "[192.0.2.1]");
    let client = |text: &str| keys(Sought::client(text.parse().unwrap()));
    assert_eq!(client("192.0.2.17"), "192.0.2.17 192.0.2 192.0 192");
    assert_eq!(client("::ffff:192.0.2.17"), "192.0.2.17 192.0.2 192.0 192");
    assert_eq!(client("2001:db8::1"), "2001:db8::1 2001:db8 2001");
    for (word, expected) in [
        ("<>", Some("<>")),
        ("Ann@", Some("ann@")),
        ("Ann@Far.example", Some("ann@far.example")),
        (".Far.example", Some(".far.example")),
        ("Far.example", Some("far.example")),
        ("192.0.2", Some("192.0.2")),
        ("10", Some("10")),
        ("2001:DB8", Some("2001:db8")),
        ("@far.example", None),
        ("192.0.2.0/24", None),
        ("a b", None),
        ("*", None),
    ] {
        assert_eq!(Keys::Access.read(word).ok().as_deref(), expected, "{word}");
    }
}
