//! `kings-state`: what a mailbox must not forget and Dovecot's files have no place for.
//!
//! A first line with the version, then in each line a word and what it says. Lines that nobody here knows are kept.

use std::io::{self, Read, Write};

use kings_mutants::planted;

use crate::dir::{Dir, found};
use crate::message::ModSeq;
use crate::name::SpecialUse;

const NAME: &str = "kings-state";
/// Where it is written before it takes the old one's place.
const UNFINISHED: &str = "kings-state.tmp";
const VERSION: &str = "kings-state 1";
const CEILING: &str = "modseq-ceiling ";
const SPECIAL_USE: &str = "special-use ";
/// Far beyond what will ever stand in it.
const MAX_OCTETS: u64 = 1 << 20;

/// No number above this one was ever given; zero when nobody knows.
pub(crate) fn ceiling(folder: &Dir) -> io::Result<ModSeq> {
    Ok(ceiling_in(&text(folder)?))
}

/// Puts a new ceiling on disk.
pub(crate) fn raise_ceiling(folder: &Dir, ceiling: ModSeq) -> io::Result<()> {
    replace(folder, &with_ceiling(&text(folder)?, ceiling))
}

/// Whether the file, if there is one, begins as it should.
pub(crate) fn is_sound(folder: &Dir) -> io::Result<bool> {
    let is_there = found(folder.stat_at(NAME.as_bytes()))?.is_some();
    Ok(!is_there || text(folder)?.starts_with("kings-state "))
}

fn replace(folder: &Dir, new: &str) -> io::Result<()> {
    folder.unlink(UNFINISHED)?;
    let mut file = folder.create_file(UNFINISHED)?;
    file.write_all(new.as_bytes())?;
    if !planted("ceiling-renamed-before-its-sync") {
        file.sync_all()?;
    }
    folder.rename(UNFINISHED.as_bytes(), folder, NAME.as_bytes())?;
    if planted("ceiling-folder-not-synced") {
        return Ok(());
    }
    folder.sync()
}

/// What the mailbox was made for; nothing where its name tells.
pub(crate) fn special_uses(folder: &Dir) -> io::Result<Vec<SpecialUse>> {
    let text = text(folder)?;
    Ok(text.lines().filter_map(|line| SpecialUse::read(line.strip_prefix(SPECIAL_USE)?.trim())).collect())
}

/// Changes what the mailbox is for, durably; nothing has its name tell.
pub(crate) fn assign(folder: &Dir, uses: &[SpecialUse]) -> io::Result<()> {
    let old = text(folder)?;
    let mut new: String =
        old.lines().filter(|line| !line.starts_with(SPECIAL_USE)).flat_map(|line| [line, "\n"]).collect();
    if new.is_empty() {
        new = format!("{VERSION}\n");
    }
    for special_use in uses {
        new.extend([SPECIAL_USE, special_use.as_str(), "\n"]);
    }
    replace(folder, &new)
}

/// Begins the file of a mailbox that is being made for these uses. The folder is synced by the caller.
pub(crate) fn begin(folder: &Dir, uses: &[SpecialUse]) -> io::Result<()> {
    if uses.is_empty() {
        return Ok(());
    }
    let mut text = format!("{VERSION}\n");
    for special_use in uses {
        text.extend([SPECIAL_USE, special_use.as_str(), "\n"]);
    }
    let mut file = folder.create_file(NAME)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn text(folder: &Dir) -> io::Result<String> {
    let Some(file) = found(folder.open_file(NAME))? else { return Ok(String::new()) };
    let mut octets = Vec::new();
    file.take(MAX_OCTETS).read_to_end(&mut octets)?;
    Ok(String::from_utf8_lossy(&octets).into_owned())
}

fn ceiling_in(text: &str) -> ModSeq {
    let told = text.lines().filter_map(|line| line.strip_prefix(CEILING)?.trim().parse().ok());
    told.map(ModSeq::new).max().unwrap_or_default()
}

fn with_ceiling(text: &str, ceiling: ModSeq) -> String {
    let version = text.lines().next().filter(|line| line.starts_with("kings-state ")).unwrap_or(VERSION);
    let kept = text.lines().filter(|line| !line.starts_with("kings-state ") && !line.starts_with(CEILING));
    let mut new = format!("{version}\n{CEILING}{ceiling}\n");
    for line in kept {
        new.push_str(line);
        new.push('\n');
    }
    new
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_ceiling_is_kept_and_so_is_what_nobody_knows() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        assert_eq!(ceiling(&folder).unwrap(), ModSeq::ZERO);
        std::fs::write(temp.path().join(UNFINISHED), "left by a crash").unwrap();
        raise_ceiling(&folder, ModSeq::new(7)).unwrap();
        let file = temp.path().join(NAME);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "kings-state 1\nmodseq-ceiling 7\n");
        std::fs::write(&file, "kings-state 2\nsave-dates 3\nmodseq-ceiling 8\n").unwrap();
        assert_eq!(ceiling(&folder).unwrap(), ModSeq::new(8));
        raise_ceiling(&folder, ModSeq::new(9)).unwrap();
        assert_eq!(
            std::fs::read_to_string(&file).unwrap(),
            "kings-state 2\nmodseq-ceiling 9\nsave-dates 3\n"
        );
        assert!(!temp.path().join(UNFINISHED).exists());
    }

    #[test]
    fn a_mailbox_keeps_what_it_was_made_for() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Dir::open_root(temp.path()).unwrap();
        begin(&folder, &[]).unwrap();
        assert_eq!(special_uses(&folder).unwrap(), []);
        begin(&folder, &[SpecialUse::Sent, SpecialUse::Junk]).unwrap();
        raise_ceiling(&folder, ModSeq::new(7)).unwrap();
        assert_eq!(special_uses(&folder).unwrap(), [SpecialUse::Sent, SpecialUse::Junk]);
        assign(&folder, &[SpecialUse::Drafts]).unwrap();
        assert_eq!(
            (special_uses(&folder).unwrap(), ceiling(&folder).unwrap()),
            (vec![SpecialUse::Drafts], ModSeq::new(7))
        );
        assign(&folder, &[]).unwrap();
        assert_eq!((special_uses(&folder).unwrap(), ceiling(&folder).unwrap()), (vec![], ModSeq::new(7)));
        let file = temp.path().join(NAME);
        std::fs::write(&file, "kings-state 2\nspecial-use all\nspecial-use\nspecial-use trash\n").unwrap();
        assert_eq!(
            special_uses(&folder).unwrap(),
            [SpecialUse::Trash],
            "one of a later version is passed over"
        );
    }

    #[test]
    fn damage_is_no_ceiling_and_no_panic() {
        for text in [
            "",
            "modseq-ceiling",
            "modseq-ceiling x",
            "modseq-ceiling -1",
            "\u{fffd}",
            "modseq-ceiling 99999999999999999999",
        ] {
            assert_eq!(ceiling_in(text), ModSeq::ZERO, "{text}");
        }
        assert_eq!(ceiling_in("modseq-ceiling 5\nmodseq-ceiling 4"), ModSeq::new(5));
    }
}
