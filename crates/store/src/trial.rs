//! The side files of a mailbox apart from the disk, so that any octets may be tried as one.

use std::collections::HashSet;

use crate::concordance::{Behind, Concordance, Front, Packed, sealed_with};
use crate::dir::is_component;
use crate::index::sealed;
use crate::index::sheets::Seal;
use crate::keywords::{Keywords, MAX_KEYWORDS};
use crate::mailbox_layout::MailboxLayout;
use crate::message::Uid;
use crate::name::MailboxName;
use crate::quota::try_file;
use crate::subscriptions::File;
use crate::uidlist::{self, Entry, Health, MAX_UID, Parsed};
use crate::words::Pattern;

/// Reads `bytes` as each of the four side files, writes them anew and reads that; says which promise does not hold.
pub fn try_side_files(bytes: &[u8]) -> Result<(), &'static str> {
    uid_list(bytes)?;
    keywords(bytes)?;
    subscriptions(bytes)?;
    try_file(bytes)
}

/// Looks for `needle` in a message of `text` by its words, and reads `bytes` as a concordance; says which promise does not
/// hold.
pub fn try_words(text: &str, needle: &str, bytes: &[u8]) -> Result<(), &'static str> {
    let mut all = Concordance::default();
    for uid in (1..=3).filter_map(Uid::new) {
        let text = if uid.get() == 2 { text } else { "another text" };
        all.add(uid, Seal::from(0), [text]);
    }
    let packed = all.packed();
    let has = |packed: &Packed| -> Option<bool> {
        let front = Front::read(&packed.front)?;
        let behind = Behind::read(&front, &packed.behind)?;
        let place = front.messages().iter().position(|listed| listed.uid.get() == 2)?;
        let mut patterns = Pattern::all_of(needle).into_iter();
        Some(patterns.all(|pattern| behind.any(&front.find(&pattern)).has(place)))
    };
    promised(!text.contains(needle) || has(&packed) == Some(true), "what has a text is found by its words")?;
    let joined = Concordance::default().with(&packed, |_| true).packed();
    promised(has(&joined) == has(&packed), "what is taken over is found as before")?;
    for front in [bytes.to_vec(), sealed(bytes.to_vec())] {
        let odd = Packed { behind: sealed_with(&front, bytes.to_vec()), front };
        let _ = has(&odd);
        for odd in [
            Packed { front: packed.front.clone(), ..odd.clone() },
            Packed { behind: packed.behind.clone(), ..odd },
        ] {
            let _ = has(&odd);
            let taken = Concordance::default().with(&odd, |_| true).packed();
            promised(Front::read(&taken.front).is_some(), "what is taken over from nonsense is sound")?;
        }
    }
    Ok(())
}

fn uid_list(bytes: &[u8]) -> Result<(), &'static str> {
    let Parsed { header, entries, .. } = uidlist::parse(bytes);
    let rise = entries.is_sorted_by(|a, b| a.uid < b.uid);
    promised(rise, "UIDs rise")?;
    let in_range = entries.iter().all(|entry| (1..=MAX_UID).contains(&entry.uid) && entry.uid < header.next);
    promised(in_range, "UIDs are in range, and below the next one")?;
    let bases: HashSet<&[u8]> = entries.iter().map(|entry| &*entry.base).collect();
    promised(bases.len() == entries.len(), "no file has two UIDs")?;
    promised(entries.iter().all(|entry| is_component(&entry.base)), "a name is one step down")?;
    if header.validity == 0 || header.next == 0 || header.guid.is_none() {
        return Ok(());
    }
    let mut written = Vec::new();
    header.write_to(&mut written);
    let first_line = written.len();
    for entry in &entries {
        entry.write_to(&mut written);
    }
    let again = uidlist::parse(&written);
    promised(again.health == Health::Whole, "what is written is whole")?;
    promised(again.header == header && again.entries == entries, "what is written reads back")?;
    for cut in (first_line..written.len()).rev().take(100) {
        let torn = uidlist::parse(&written[..cut]);
        promised(torn.health != Health::Damaged, "an unfinished append is no damage")?;
        promised(starts_with(&entries, &torn.entries), "an unfinished append costs its own line alone")?;
        promised(torn.header.next == header.next, "the next UID outlives a lost tail")?;
    }
    Ok(())
}

fn starts_with(all: &[Entry], first: &[Entry]) -> bool {
    all.get(..first.len()) == Some(first)
}

fn keywords(bytes: &[u8]) -> Result<(), &'static str> {
    let keywords = Keywords::parse(bytes);
    promised(keywords.known(0).len() <= MAX_KEYWORDS, "no more keywords than letters")?;
    promised(Keywords::parse(keywords.to_text().as_bytes()) == keywords, "keywords read back")
}

fn subscriptions(bytes: &[u8]) -> Result<(), &'static str> {
    for layout in [MailboxLayout::MaildirPlusPlus, MailboxLayout::Fs] {
        let file = File::parse(bytes, layout);
        promised(File::parse(&file.to_bytes(), layout) == file, "subscriptions read back")?;
        let is_name =
            |name: &MailboxName| layout.parted(layout.joined(name).as_bytes()).as_ref() == Some(name);
        promised(file.names().iter().all(is_name), "a subscribed name is a name")?;
        let steps = file.names().into_iter().flat_map(|name| layout.steps(&name).unwrap_or_default());
        let one_down =
            |step: String| is_component(step.as_bytes()) && !["cur", "new", "tmp"].contains(&&*step);
        promised(steps.into_iter().all(one_down), "a folder is one step down, and none of the inbox's own")?;
    }
    Ok(())
}

fn promised(holds: bool, promise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(promise) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_as_dovecot_and_damage_leave_them_keep_the_promises() {
        let guid = "0123456789abcdef0123456789abcdef";
        for text in [
            String::new(),
            format!("3 V1 N9 G{guid} Zx\n1 :1.host\n3 W7 G12 :2.host\n4 :1.host\n"),
            format!("3 V1 N1 G{guid}\n7 :a/b\n"),
            format!("3 V1 N1 G{guid}\n1 :..\n2 :.\n"),
            "1 5 6\n1 a\n2 b:2,S\n".to_owned(),
            "1000S,10C\n300 3\n-100 -1\n".to_owned(),
            "0 $Forwarded\n25 Junk\n26 x\nV\t2\n\nA\tB\n".to_owned(),
        ] {
            assert_eq!(try_side_files(text.as_bytes()), Ok(()), "{text:?}");
        }
        assert_eq!(promised(false, "this"), Err("this"));
    }
}
