//! Rotations that are broken off after each of their steps.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const TRANSIT: Duration = Duration::from_hours(24);

fn domain() -> Domain {
    Domain::parse("example.org").unwrap()
}

fn ring(data: &Path) -> Keyring {
    Keyring::read(data, &domain()).unwrap()
}

/// A folder with a pair of keys in use.
fn signing() -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    for (name, algorithm) in pair("old") {
        create(data.path(), &domain(), &Selector::parse(&name).unwrap(), algorithm, Stage::Active).unwrap();
    }
    data
}

fn at(data: &Path, stage: Stage) -> Vec<String> {
    ring(data).of(stage).map(|file| file.selector.to_string()).collect()
}

/// Takes steps until nothing is to be done; broken off after `limit` of them.
fn go_on(data: &Path, start: bool, limit: usize) -> Vec<Action> {
    let mut done = Vec::new();
    loop {
        let actions = ring(data).actions(start && done.is_empty(), true, TRANSIT);
        if actions.is_empty() || done.len() == limit {
            return done;
        }
        for action in actions {
            if done.len() == limit {
                return done;
            }
            ring(data).perform(&action).unwrap();
            let active = at(data, Stage::Active);
            assert!(
                active.iter().any(|name| pair(name).iter().all(|(name, _)| active.contains(name))),
                "no whole pair signs after {action:?}: {active:?}"
            );
            done.push(action);
        }
    }
}

#[test]
fn a_rotation_ends_the_same_wherever_it_was_broken_off() {
    let whole = signing();
    let steps = go_on(whole.path(), true, usize::MAX);
    let expected = (at(whole.path(), Stage::Active), at(whole.path(), Stage::Retired));
    assert_eq!(expected.1, ["old", "old-ed25519"]);
    assert_eq!(steps.len(), 9, "{steps:?}");
    for limit in 0..steps.len() {
        let data = signing();
        let begun = go_on(data.path(), true, limit);
        assert_eq!(begun.len(), limit);
        // Before its first step there is nothing to go on with.
        go_on(data.path(), limit == 0, usize::MAX);
        let found = (at(data.path(), Stage::Active), at(data.path(), Stage::Retired));
        assert_eq!(found, expected, "broken off after {begun:?}");
        assert_eq!(ring(data.path()).phase(), Phase::Transit);
        assert_eq!(go_on(data.path(), false, usize::MAX), [], "nothing begins unasked");
        assert_eq!(go_on(data.path(), true, usize::MAX), [], "nor before the old keys are gone");
    }
}

#[test]
fn old_keys_go_when_their_mail_has_arrived_and_no_name_comes_back() {
    let aged = || {
        let data = signing();
        go_on(data.path(), true, usize::MAX);
        for file in ring(data.path()).of(Stage::Retired) {
            let then = SystemTime::now() - TRANSIT - Duration::from_secs(5);
            fs::File::options().append(true).open(&file.path).unwrap().set_modified(then).unwrap();
        }
        data
    };
    let steps = go_on(aged().path(), false, usize::MAX);
    assert_eq!(steps.len(), 4, "{steps:?}");
    for limit in 0..=steps.len() {
        let data = aged();
        go_on(data.path(), false, limit);
        go_on(data.path(), false, usize::MAX);
        let ring = ring(data.path());
        assert_eq!((ring.phase(), ring.files.len()), (Phase::Idle, 2), "broken off after {limit}");
        assert!(ring.is_used("old") && ring.is_used("old-ed25519"));
        assert!(ring.orphans.is_empty() && ring.bare.is_empty());
        let selector = Selector::parse("old").unwrap();
        let again = create(data.path(), &domain(), &selector, Algorithm::RsaSha256, Stage::Active);
        assert!(format!("{:#}", again.unwrap_err()).contains("had a key"));
        let first = ring.target.clone().unwrap_or_else(|| ring.new_name());
        assert!(!ring.is_used(&first), "{first}");
    }
}

#[test]
fn nothing_signs_before_its_record_is_there() {
    let data = signing();
    for action in ring(data.path()).actions(true, false, TRANSIT) {
        ring(data.path()).perform(&action).unwrap();
    }
    assert_eq!(ring(data.path()).phase(), Phase::Publish);
    for start in [false, true] {
        assert_eq!(ring(data.path()).actions(start, false, TRANSIT), []);
    }
    assert_eq!(at(data.path(), Stage::Active), ["old", "old-ed25519"]);
}

#[test]
fn half_pairs_of_files_are_made_whole_or_put_away() {
    let data = signing();
    let place = folder(data.path(), &domain());
    // What a crash leaves of a file that was being written is no key.
    fs::write(place.join("new.tmp"), "-----BEGIN").unwrap();
    fs::remove_file(place.join("old.txt")).unwrap();
    fs::write(place.join("lost.txt"), "lost._domainkey\tIN\tTXT\t( \"v=DKIM1\" )\n").unwrap();
    fs::write(place.join("notes.txt"), "ask Ann\n").unwrap();
    let done = go_on(data.path(), false, usize::MAX);
    assert_eq!(done, [Action::Record("old".to_owned()), Action::Bury("lost".to_owned())]);
    let line = fs::read_to_string(place.join("old.txt")).unwrap();
    assert!(line.starts_with("old._domainkey"), "{line}");
    assert!(place.join("lost.gone").exists() && place.join("notes.txt").exists());
    assert_eq!(at(data.path(), Stage::Active).len(), 2);
}

#[test]
fn names_go_on_behind_the_letters() {
    let mut ring = ring(tempfile::tempdir().unwrap().path());
    let first = ring.new_name();
    let year = first[..4].to_owned();
    assert_eq!(first, format!("{year}a"));
    ring.used.extend(('a'..='z').map(|letter| format!("{year}{letter}-ed25519")));
    assert_eq!(ring.new_name(), format!("{year}a1"));
}

/// A key that is gone is given up once another one signs, and not before.
#[test]
fn a_lost_key_is_missed_until_another_one_signs() {
    let data = signing();
    fs::remove_file(folder(data.path(), &domain()).join("old.private")).unwrap();
    assert_eq!(ring(data.path()).actions(false, true, TRANSIT), []);
    let begun = ring(data.path()).actions(true, true, TRANSIT);
    assert!(matches!(&begun[..], [Action::Begin(_), Action::Make(..), Action::Make(..)]), "{begun:?}");
    for action in &begun {
        ring(data.path()).perform(action).unwrap();
    }
    let switch = ring(data.path()).actions(false, true, TRANSIT);
    let retire = Action::Retire("old-ed25519".to_owned());
    assert_eq!(switch[2..], [retire, Action::Bury("old".to_owned()), Action::Reload, Action::End]);
}
