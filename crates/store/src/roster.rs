//! Which message of a mailbox has which UID and which file: the part that decides, without touching disk.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::maildir;
use crate::scan::{Place, Seen};
use crate::uidlist::{Entry, Header, Parsed};

/// One line of the uidlist and the file that goes with it.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) entry: Entry,
    /// `None`: the file is gone, only the line is left until the list is written anew.
    pub(crate) file: Option<Located>,
}

/// Where a message's file is: the rest of its name is the entry's base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) place: Place,
    /// What follows the base, such as `:2,S`; shared, since few differ.
    pub(crate) info: Arc<[u8]>,
}

impl Member {
    /// The file's whole name, when there is a file.
    pub(crate) fn file_name(&self) -> Option<(Place, Vec<u8>)> {
        let file = self.file.as_ref()?;
        Some((file.place, [&*self.entry.base, &*file.info].concat()))
    }
}

/// How files seen belong to members.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Matching {
    /// For each member the number of its file.
    pub(crate) files: Vec<Option<usize>>,
    /// Files that no member has.
    pub(crate) strangers: Vec<usize>,
    /// Files with the base of a file seen before, and that file.
    pub(crate) twins: Vec<(usize, usize)>,
}

/// Finds the member of every file by its base.
///
/// `exists` tells whether a file is still where it was seen: one that was renamed while the folders were
/// read may have been seen under both names.
pub(crate) fn match_files(
    members: &[Member],
    seen: &[Seen],
    mut exists: impl FnMut(&Seen) -> bool,
) -> Matching {
    enum Owner {
        Member(usize),
        Stranger(usize),
    }
    let mut owners: HashMap<&[u8], Owner> = HashMap::with_capacity(members.len());
    for (number, member) in members.iter().enumerate() {
        owners.insert(&member.entry.base, Owner::Member(number));
    }
    let mut out = Matching { files: vec![None; members.len()], ..Matching::default() };
    for (number, file) in seen.iter().enumerate() {
        let slot = match owners.get(file.base()) {
            Some(Owner::Member(member)) => out.files[*member].get_or_insert(number),
            Some(Owner::Stranger(stranger)) => &mut out.strangers[*stranger],
            None => {
                owners.insert(file.base(), Owner::Stranger(out.strangers.len()));
                out.strangers.push(number);
                continue;
            }
        };
        if *slot == number || !exists(file) {
            continue;
        }
        if exists(&seen[*slot]) {
            out.twins.push((*slot, number));
        } else {
            *slot = number;
        }
    }
    out
}

/// Takes files that this reading missed, and an earlier one of the same look saw, to be where they were
/// seen last. They are not gone; whoever needs one and does not find it there looks again.
pub(crate) fn recall(earlier: &[(Vec<Seen>, Matching)], seen: &mut Vec<Seen>, matching: &mut Matching) {
    for (member, file) in matching.files.iter_mut().enumerate().filter(|(_, file)| file.is_none()) {
        let sighting = earlier.iter().rev().find_map(|(seen, matching)| seen.get(matching.files[member]?));
        if let Some(sighting) = sighting {
            *file = Some(seen.len());
            seen.push(sighting.clone());
        }
    }
}

/// What the list on disk means for what is known here.
#[derive(Debug)]
pub(crate) enum Reconciled {
    /// These members hold from now on.
    Members {
        /// By rising UID.
        members: Vec<Member>,
        /// The first line, its `next` never lower than it was.
        header: Header,
        /// The list lacks lines that hold here: it is to be written anew.
        incomplete: bool,
    },
    /// The UIDs have come to mean other messages: a higher UIDVALIDITY is needed.
    Contradiction,
}

/// Joins the list on disk with the members known from before, both under the same UIDVALIDITY.
///
/// A UID keeps its meaning: a list that gives it to another file contradicts. A list that lost lines
/// (cut, or restored from an older copy) gets them back as long as their files are there.
pub(crate) fn reconcile(known: Vec<Member>, header: &Header, disk: Parsed) -> Reconciled {
    let mut members: Vec<Member> =
        disk.entries.into_iter().map(|entry| Member { entry, file: None }).collect();
    let mut lost = Vec::new();
    for old in known {
        match members.binary_search_by_key(&old.entry.uid, |member| member.entry.uid) {
            Ok(place) if members[place].entry.base == old.entry.base => members[place].file = old.file,
            Ok(_) => return Reconciled::Contradiction,
            Err(_) if old.file.is_some() => lost.push(old),
            Err(_) => {}
        }
    }
    if !lost.is_empty() {
        let bases: HashSet<&[u8]> = members.iter().map(|member| &*member.entry.base).collect();
        lost.retain(|old| !bases.contains(&*old.entry.base));
    }
    let incomplete = !lost.is_empty();
    members.extend(lost);
    members.sort_by_key(|member| member.entry.uid);
    let header = Header { next: disk.header.next.max(header.next), ..disk.header };
    Reconciled::Members { members, header, incomplete }
}

/// Makes infos shared: thousands of messages have the same few.
#[derive(Debug, Default)]
pub(crate) struct Infos(HashMap<Box<[u8]>, Arc<[u8]>>);

impl Infos {
    /// Notes in `file` where a file was seen; what did not change costs nothing.
    pub(crate) fn note(&mut self, file: &mut Option<Located>, seen: &Seen) {
        let info = maildir::split(&seen.name).1;
        match file {
            Some(located) if *located.info == *info => located.place = seen.place,
            file => *file = Some(Located { place: seen.place, info: self.shared(info) }),
        }
    }

    /// The place and shared info of a file.
    pub(crate) fn locate(&mut self, seen: &Seen) -> Located {
        Located { place: seen.place, info: self.shared(maildir::split(&seen.name).1) }
    }

    fn shared(&mut self, info: &[u8]) -> Arc<[u8]> {
        match self.0.get(info) {
            Some(shared) => Arc::clone(shared),
            None => Arc::clone(self.0.entry(info.into()).or_insert(info.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::uidlist;

    fn member(uid: u32, base: &str, info: Option<&str>) -> Member {
        let file = info.map(|info| Located { place: Place::Cur, info: info.as_bytes().into() });
        Member { entry: Entry { uid, extensions: None, base: base.as_bytes().into() }, file }
    }

    fn seen(names: &[&str]) -> Vec<Seen> {
        names.iter().map(|name| Seen { place: Place::Cur, name: name.as_bytes().into() }).collect()
    }

    fn disk(text: &str) -> Parsed {
        uidlist::parse(format!("3 V5 N1 G5176b62dd4d7046bf65c000083ecc375\n{text}").as_bytes())
    }

    #[test]
    fn files_find_their_members_by_base() {
        let members = [member(1, "a", None), member(2, "b", None), member(4, "c", None)];
        let seen = seen(&["b:2,S", "new", "a", "other:2,"]);
        let matching = match_files(&members, &seen, |_| true);
        assert_eq!(matching.files, [Some(2), Some(0), None]);
        assert_eq!(matching.strangers, [1, 3]);
        assert!(matching.twins.is_empty());
    }

    #[test]
    fn a_file_seen_under_its_old_and_new_name_is_one_file() {
        let members = [member(1, "a", None)];
        let seen = seen(&["a:2,", "a:2,S", "x:2,", "x:2,F", "x:2,FS"]);
        let renamed = match_files(&members, &seen, |file| matches!(&*file.name, b"a:2,S" | b"x:2,FS"));
        assert_eq!(renamed, Matching { files: vec![Some(1)], strangers: vec![4], twins: vec![] });
        let both = match_files(&members, &seen[..2], |_| true);
        assert_eq!(both, Matching { files: vec![Some(0)], strangers: vec![], twins: vec![(0, 1)] });
    }

    #[test]
    fn a_file_missed_by_one_reading_is_where_an_earlier_one_saw_it() {
        let members = [member(1, "a", None), member(2, "b", None), member(3, "c", None)];
        let reading = |names: &[&str]| {
            let seen = seen(names);
            let matching = match_files(&members, &seen, |_| true);
            (seen, matching)
        };
        let earlier = [reading(&["a:2,", "b:2,"]), reading(&["b:2,S"])];
        let (mut seen, mut matching) = reading(&["x"]);
        recall(&earlier, &mut seen, &mut matching);
        let names = matching.files.iter().map(|file| file.map(|number| &*seen[number].name));
        assert_eq!(names.collect::<Vec<_>>(), [Some(b"a:2,".as_slice()), Some(b"b:2,S"), None]);
        assert_eq!(matching.strangers, [0]);
    }

    #[test]
    fn lists_from_disk_are_joined_with_what_is_known() {
        let header = Header { validity: 5, next: 10, guid: None, further: Vec::new() };
        let known = || vec![member(1, "a", Some(":2,")), member(3, "c", Some("")), member(4, "gone", None)];
        let uids = |reconciled| match reconciled {
            Reconciled::Members { members, header, incomplete } => {
                let found =
                    members.iter().filter(|m| m.file.is_some()).map(|m| m.entry.uid).collect::<Vec<_>>();
                Some((
                    members.iter().map(|m| m.entry.uid).collect::<Vec<_>>(),
                    found,
                    header.next,
                    incomplete,
                ))
            }
            Reconciled::Contradiction => None,
        };
        let cases = [
            ("1 :a\n3 :c\n4 :gone\n5 :d\n", Some((vec![1, 3, 4, 5], vec![1, 3], 10, false))),
            ("1 :a\n3 :c\n20 :d\n", Some((vec![1, 3, 20], vec![1, 3], 21, false))),
            // Cut: the line of UID 3 comes back, that of a file that is gone does not.
            ("1 :a\n", Some((vec![1, 3], vec![1, 3], 10, true))),
            // Another program gave the file a new UID because it had been away.
            ("1 :a\n11 :c\n", Some((vec![1, 11], vec![1], 12, false))),
            ("1 :a\n3 :other\n", None),
        ];
        for (text, expected) in cases {
            assert_eq!(uids(reconcile(known(), &header, disk(text))), expected, "{text}");
        }
    }
}
