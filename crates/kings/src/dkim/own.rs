//! The keys of a domain that `kings dkim` keeps, with faults that concern its mail alone: it waits, that of others goes.

use std::ffi::OsStr;
use std::path::Path;

use kings_mail::domain::Domain;
use kings_msgauth::dkim::{Algorithm, Selector};
use kings_mta::signing::{Fault, Key, Private};

use super::{Checked, KeyFile, Stage, folder, places, rotation};

/// What a key is called whose file has no name that a key could have, or none at all.
const NAMELESS: &str = "unknown";

/// The keys that sign for a domain, and those that should: one that cannot be read, and one of which there is only the
/// record. Without the first its mail would leave unsigned and nobody would know.
pub(super) fn keys(data_dir: &Path, domain: &Domain) -> Checked<Vec<Key>> {
    let mut keys = Checked::from(Vec::new());
    let folder = folder(data_dir, domain);
    let key = |name: &str, private| {
        let selector = Selector::parse(name).or_else(|| Selector::parse(NAMELESS))?;
        Some(Key { domain: Some(domain.clone()), selector, private })
    };
    let (found, lost) = match places(&folder).and_then(|found| Ok((found, rotation::orphans(&folder)?))) {
        Ok(both) => both,
        Err(error) => {
            let why = format!("{error:#}: mail of {domain} waits until it can be read");
            keys.value.extend(key(NAMELESS, Private::Missing(Fault::Unreadable(why.clone()))));
            keys.faults.push(why);
            return keys;
        }
    };
    let mut signs = false;
    for (stage, path) in &found {
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        match (KeyFile::read(path.clone(), *stage), stage) {
            (Ok(file), Stage::Active) => {
                signs |= file.key.algorithm() == Algorithm::RsaSha256;
                keys.value.extend(key(name, file.key.into()));
            }
            (Err(error), Stage::Active) => {
                let why = format!(
                    "{error:#}: mail of {domain} waits until it is put back from a backup, or removed and replaced: rm {}  and  \
                     kings dkim create {domain}",
                    path.display()
                );
                keys.value.extend(key(name, Private::Missing(Fault::NoKey(why.clone()))));
                keys.faults.push(why);
            }
            // Nothing waits for it, and the rotation would not go on.
            (Err(error), Stage::Next) => keys.faults.push(format!(
                "{error:#}: remove it, and  kings dkim rotate {domain}  makes another: rm {}",
                path.display()
            )),
            (Err(error), Stage::Retired) => {
                keys.warnings.push(format!("{error:#}: no mail needs it, remove it"));
            }
            (Ok(_), Stage::Next | Stage::Retired) => {}
        }
    }
    let new = match found.is_empty() {
        true => format!("kings dkim create {domain}"),
        // What signs so that everybody can verify it is enough to give another key up.
        false if signs => format!("kings dkim rotate {domain}"),
        false => format!("kings dkim rotate {domain} --start"),
    };
    for name in lost {
        let why = format!(
            "{}: the record of a key that is gone: mail of {domain} waits until {name}.private is put back from a backup, or given \
             up: {new}",
            folder.join(format!("{name}.txt")).display()
        );
        keys.value.extend(key(&name, Private::Missing(Fault::Unreadable(why.clone()))));
        keys.faults.push(why);
    }
    keys
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    type Change = fn(&Path);

    /// The keys of a domain with a pair `one` in use, of which something was done to the files: which sign, which are missed,
    /// what is said of them, and of what is odd.
    fn found(change: impl FnOnce(&Path)) -> (Vec<String>, Vec<String>, Vec<String>, Vec<String>) {
        let data = tempfile::tempdir().unwrap();
        let domain = Domain::parse("example.org").unwrap();
        for (name, algorithm) in rotation::pair("one") {
            let selector = Selector::parse(&name).unwrap();
            super::super::create(data.path(), &domain, &selector, algorithm, Stage::Active).unwrap();
        }
        let place = folder(data.path(), &domain);
        change(&place);
        let Checked { value, faults, warnings } = keys(data.path(), &domain);
        let (missed, signing): (Vec<_>, Vec<_>) =
            value.into_iter().partition(|key| matches!(key.private, Private::Missing(_)));
        let names = |keys: Vec<Key>| keys.into_iter().map(|key| key.selector.to_string()).collect();
        (names(signing), names(missed), faults, warnings)
    }

    #[test]
    fn a_key_that_is_gone_or_broken_is_missed_and_the_command_that_helps_is_named() {
        let create = "kings dkim create example.org";
        let rotate = "kings dkim rotate example.org --start";
        let cases: [(Change, &[&str], &[&str], &str); 10] = [
            (|_| (), &["one", "one-ed25519"], &[], ""),
            // A key without its record signs.
            (|place| fs::remove_file(place.join("one.txt")).unwrap(), &["one", "one-ed25519"], &[], ""),
            (|place| fs::remove_file(place.join("one.private")).unwrap(), &["one-ed25519"], &["one"], rotate),
            (
                |place| {
                    fs::remove_file(place.join("one.private")).unwrap();
                    fs::remove_file(place.join("one-ed25519.private")).unwrap();
                },
                &[],
                &["one", "one-ed25519"],
                create,
            ),
            (|place| fs::write(place.join("one.private"), "").unwrap(), &["one-ed25519"], &["one"], create),
            (
                |place| fs::write(place.join("one.private"), [0xff; 99]).unwrap(),
                &["one-ed25519"],
                &["one"],
                create,
            ),
            (
                |place| {
                    fs::remove_file(place.join("one-ed25519.private")).unwrap();
                    fs::create_dir(place.join("one-ed25519.private")).unwrap();
                },
                &["one"],
                &["one-ed25519"],
                create,
            ),
            (
                |place| fs::rename(place.join("one.private"), place.join("o n e.private")).unwrap(),
                &["one-ed25519"],
                &["unknown", "one"],
                "kings dkim ",
            ),
            (
                |place| fs::remove_file(place.join("one-ed25519.private")).unwrap(),
                &["one"],
                &["one-ed25519"],
                "up: kings dkim rotate example.org",
            ),
            (
                |place| {
                    fs::remove_dir_all(place).unwrap();
                    fs::write(place, "").unwrap();
                },
                &[],
                &["unknown"],
                "waits until it can be read",
            ),
        ];
        for (at, (change, signing, missed, remedy)) in cases.into_iter().enumerate() {
            let (signs, misses, faults, warnings) = found(change);
            assert_eq!((&signs[..], &misses[..]), (&text(signing)[..], &text(missed)[..]), "{at} {faults:?}");
            assert_eq!((faults.len(), warnings.len()), (missed.len(), 0), "{at} {faults:?}");
            assert!(faults.iter().all(|fault| fault.contains(remedy)), "{at} {faults:?}");
        }
    }

    /// What signs no more, or not yet, or never did, keeps no mail.
    #[test]
    fn other_files_of_the_folder_are_missed_by_nobody() {
        let retire: Change = |place| {
            fs::rename(place.join("one.private"), place.join("one.retired")).unwrap();
        };
        let cases: [(Change, &[&str], usize, usize); 6] = [
            (retire, &["one-ed25519"], 0, 0),
            (|place| fs::write(place.join("old.retired"), "").unwrap(), &["one", "one-ed25519"], 0, 1),
            (|place| fs::write(place.join("new.next"), "").unwrap(), &["one", "one-ed25519"], 1, 0),
            (|place| fs::write(place.join("notes.txt"), "ask Ann\n").unwrap(), &["one", "one-ed25519"], 0, 0),
            (|place| fs::write(place.join("x.gone"), "x._domainkey").unwrap(), &["one", "one-ed25519"], 0, 0),
            (|place| fs::remove_dir_all(place).unwrap(), &[], 0, 0),
        ];
        for (at, (change, signing, faults, warnings)) in cases.into_iter().enumerate() {
            let (signs, misses, said, warned) = found(change);
            assert_eq!((&signs[..], misses.len()), (&text(signing)[..], 0), "{at} {said:?}");
            assert_eq!((said.len(), warned.len()), (faults, warnings), "{at} {said:?} {warned:?}");
        }
    }

    fn text(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}
