//! The disk as it may be found after a power cut: what is certain, and what is possible.
//!
//! The worst disk that POSIX allows: octets are on it when their file was synced, and a name when its folder was. What
//! was not synced may be there or not: a removal counts as possible at once. A rename is one step, as on every file
//! system with a journal. A sync that failed has lost what it was about: a later one that succeeds does not bring it back.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

type Number = usize;
type Name = (Number, String);
const ROOT: Number = 0;

/// Folders and files below one folder.
#[derive(Debug, Default)]
pub(super) struct Image {
    root: String,
    nodes: Vec<Node>,
    /// The names as a running system sees them.
    now: HashMap<Name, Number>,
    /// Counts all changes of names.
    step: usize,
    /// Counts all changes.
    changes: usize,
}

/// A file or a folder, under whatever names.
#[derive(Debug, Default)]
struct Node {
    is_folder: bool,
    /// What a cut leaves for sure, and what a running system sees.
    durable: Vec<u8>,
    current: Vec<u8>,
    /// A sync has failed since the file was written anew.
    lost: bool,
    /// The names it may have after a cut: the oldest of these states for sure, or any of those behind it.
    states: Vec<State>,
}

#[derive(Debug, Clone, Default)]
struct State {
    step: usize,
    /// The folder whose sync makes it last.
    by: Number,
    names: BTreeSet<Name>,
}

/// What a sync is to make last: begun now, done later.
#[derive(Debug, Clone)]
pub(super) struct Promise {
    node: Number,
    step: usize,
    content: Vec<u8>,
}

/// A file that may be there after a cut.
pub(super) struct Found<'a> {
    image: &'a Image,
    node: &'a Node,
}

impl Image {
    /// What lies below a folder, all of it on disk.
    pub(super) fn of(root: &Path, parts: &[&str]) -> Self {
        let mut this = Self { root: root.to_str().unwrap().to_owned(), ..Self::default() };
        this.nodes.push(Node { is_folder: true, states: vec![State::default()], ..Node::default() });
        for part in parts {
            let mut path = root.to_path_buf();
            for name in part.split('/') {
                path.push(name);
                if path.exists() && this.find(path.to_str().unwrap()).is_none() {
                    this.add_folder(&path);
                }
            }
            this.add_all_below(&path);
        }
        this
    }

    fn add_all_below(&mut self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                self.add_folder(&path);
                self.add_all_below(&path);
            } else {
                self.add_file(path.to_str().unwrap(), &fs::read(&path).unwrap_or_default());
            }
        }
    }

    fn add_folder(&mut self, path: &Path) {
        self.make(path.to_str().unwrap(), true);
        self.settle_last();
    }

    /// A file that somebody else made, and synced.
    pub(super) fn add_file(&mut self, path: &str, content: &[u8]) {
        self.make(path, false);
        self.settle_last();
        let node = self.nodes.last_mut().unwrap();
        (node.durable, node.current) = (content.to_vec(), content.to_vec());
    }

    fn settle_last(&mut self) {
        let states = &mut self.nodes.last_mut().unwrap().states;
        *states = states.split_off(states.len() - 1);
    }

    /// The folder and the name of a path, if it is below the root.
    fn name(&self, path: &str) -> Option<Name> {
        let rest = path.strip_prefix(&self.root)?.strip_prefix('/')?;
        let (folder, name) = rest.rsplit_once('/').unwrap_or(("", rest));
        let mut at = ROOT;
        for step in folder.split('/').filter(|step| !step.is_empty() && *step != ".") {
            at = *self.now.get(&(at, step.to_owned()))?;
        }
        Some((at, name.to_owned()))
    }

    fn find(&self, path: &str) -> Option<Number> {
        if path == self.root {
            return Some(ROOT);
        }
        self.now.get(&self.name(path)?).copied()
    }

    /// Another number after each change.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    fn change(&mut self, node: Number, by: Number, change: impl FnOnce(&mut BTreeSet<Name>)) {
        self.step += 1;
        self.changes += 1;
        let states = &mut self.nodes[node].states;
        let mut names = states.last().map(|state| state.names.clone()).unwrap_or_default();
        change(&mut names);
        states.push(State { step: self.step, by, names });
    }

    /// A new file or folder; what is there already stays.
    pub(super) fn make(&mut self, path: &str, is_folder: bool) {
        let Some(name) = self.name(path) else { return };
        if self.now.contains_key(&name) {
            return;
        }
        let node = self.nodes.len();
        self.nodes.push(Node { is_folder, states: vec![State::default()], ..Node::default() });
        self.now.insert(name.clone(), node);
        self.change(node, name.0, |names| _ = names.insert(name));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let (Some(from), Some(to)) = (self.name(from), self.name(to)) else { return };
        let Some(node) = self.now.remove(&from) else { return };
        if let Some(replaced) = self.now.insert(to.clone(), node).filter(|replaced| *replaced != node) {
            self.change(replaced, to.0, |names| _ = names.remove(&to));
        }
        self.change(node, to.0, |names| {
            names.remove(&from);
            names.insert(to);
        });
    }

    pub(super) fn link(&mut self, from: &str, to: &str) {
        let (Some(node), Some(to)) = (self.find(from), self.name(to)) else { return };
        self.now.insert(to.clone(), node);
        self.change(node, to.0, |names| _ = names.insert(to));
    }

    pub(super) fn remove(&mut self, path: &str) {
        let Some(name) = self.name(path) else { return };
        let Some(node) = self.now.remove(&name) else { return };
        self.change(node, name.0, |names| _ = names.remove(&name));
    }

    pub(super) fn write(&mut self, path: &str, at: usize, octets: &[u8]) {
        let Some(node) = self.find(path) else { return };
        self.changes += 1;
        let node = &mut self.nodes[node];
        let end = at + octets.len();
        if node.current.len() < end {
            node.current.resize(end, 0);
        }
        node.current[at..end].copy_from_slice(octets);
    }

    pub(super) fn set_len(&mut self, path: &str, length: usize) {
        let Some(node) = self.find(path) else { return };
        self.changes += 1;
        let node = &mut self.nodes[node];
        node.current.resize(length, 0);
        // All of it is written anew then.
        node.lost &= length > 0;
    }

    pub(super) fn len(&self, path: &str) -> usize {
        self.find(path).map_or(0, |node| self.nodes[node].current.len())
    }

    /// A sync of a file or folder begins: what it will make last.
    pub(super) fn begin_sync(&self, path: &str) -> Option<Promise> {
        let node = self.find(path)?;
        Some(Promise { node, step: self.step, content: self.nodes[node].current.clone() })
    }

    /// It ends.
    pub(super) fn end_sync(&mut self, Promise { node, step, content }: Promise, succeeded: bool) {
        self.changes += 1;
        if !succeeded {
            self.nodes[node].lost = true;
        } else if self.nodes[node].is_folder {
            for states in self.nodes.iter_mut().map(|node| &mut node.states) {
                if let Some(last) = states.iter().rposition(|state| state.by == node && state.step <= step) {
                    states.drain(..last);
                }
            }
        } else if !self.nodes[node].lost {
            self.nodes[node].durable = content;
        }
    }

    /// All files that may be there.
    pub(super) fn files(&self) -> impl Iterator<Item = Found<'_>> {
        let is_file =
            |node: &&Node| !node.is_folder && node.states.iter().any(|state| !state.names.is_empty());
        self.nodes.iter().filter(is_file).map(|node| Found { image: self, node })
    }

    /// Those that may stand at a path below the root; `None` if there may be none at all.
    pub(super) fn at(&self, path: &str) -> Option<Vec<Found<'_>>> {
        let all: Vec<Found<'_>> = self.files().filter(|file| file.may_be(|name| name == path)).collect();
        let stands = |file: &Found<'_>| file.names(&file.node.states[0]).any(|name| name == path);
        all.iter().any(stands).then_some(all)
    }

    fn path(&self, (folder, name): &Name) -> String {
        if *folder == ROOT {
            return name.clone();
        }
        let above = self.nodes[*folder].states.last().and_then(|state| state.names.first());
        above.map_or_else(|| format!("(gone)/{name}"), |above| format!("{}/{name}", self.path(above)))
    }

    fn is_certain(&self, folder: Number) -> bool {
        let reached = |state: &State| state.names.iter().any(|(above, _)| self.is_certain(*above));
        folder == ROOT || self.nodes[folder].states.iter().all(reached)
    }
}

impl Found<'_> {
    fn names<'b>(&'b self, state: &'b State) -> impl Iterator<Item = String> + 'b {
        state
            .names
            .iter()
            .filter(|(folder, _)| self.image.is_certain(*folder))
            .map(|name| self.image.path(name))
    }

    /// Whether it has such a path, below the root, whatever a cut leaves.
    pub(super) fn must_be(&self, at: impl Fn(&str) -> bool) -> bool {
        self.node.states.iter().all(|state| self.names(state).any(|name| at(&name)))
    }

    /// Whether it may have such a path.
    pub(super) fn may_be(&self, at: impl Fn(&str) -> bool) -> bool {
        let mut names = self.node.states.iter().flat_map(|state| &state.names);
        names.any(|name| at(&self.image.path(name)))
    }

    /// Whether all that was written into it is on disk.
    pub(super) fn is_whole(&self) -> bool {
        self.node.durable == self.node.current && !self.node.lost
    }

    /// Whether these octets are in it whatever a cut leaves.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.all(|content| content.contains(text))
    }

    /// Whether this is true of its text whatever a cut leaves.
    pub(super) fn all(&self, is_true: impl Fn(&str) -> bool) -> bool {
        [&self.node.durable, &self.node.current]
            .iter()
            .all(|content| is_true(&String::from_utf8_lossy(content)))
    }

    /// Whether these octets may be in it.
    pub(super) fn may_hold(&self, text: &str) -> bool {
        [&self.node.durable, &self.node.current]
            .iter()
            .any(|content| String::from_utf8_lossy(content).contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(image: &mut Image, path: &str) {
        let promise = image.begin_sync(path).unwrap();
        image.end_sync(promise, true);
    }

    fn empty() -> Image {
        let mut image = Image { root: "/r".to_owned(), ..Image::default() };
        image.nodes.push(Node { is_folder: true, states: vec![State::default()], ..Node::default() });
        for folder in ["/r/tmp", "/r/new"] {
            image.make(folder, true);
            sync(&mut image, "/r");
        }
        image
    }

    fn is_safe(image: &Image) -> bool {
        image.files().any(|file| file.must_be(|name| name.starts_with("new/")) && file.holds("hello"))
    }

    /// The steps of a delivery, and each of them left out.
    #[test]
    fn a_message_is_safe_when_file_and_folder_were_synced_in_this_order() {
        let steps: [&dyn Fn(&mut Image); 5] = [
            &|image| image.make("/r/tmp/a", false),
            &|image| image.write("/r/tmp/a", 0, b"hello"),
            &|image| sync(image, "/r/tmp/a"),
            &|image| image.rename("/r/tmp/a", "/r/new/a"),
            &|image| sync(image, "/r/new"),
        ];
        let mut image = empty();
        for (number, step) in steps.iter().enumerate() {
            assert!(!is_safe(&image), "before step {number}");
            step(&mut image);
        }
        assert!(is_safe(&image));
        for left_out in [1, 2, 3, 4] {
            let mut image = empty();
            for (number, step) in steps.iter().enumerate().filter(|(number, _)| *number != left_out) {
                if left_out != 3 || number != 4 {
                    step(&mut image);
                }
            }
            assert!(!is_safe(&image), "without step {left_out}");
        }
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next_one() {
        let mut image = empty();
        image.make("/r/new/a", false);
        image.write("/r/new/a", 0, b"hello");
        sync(&mut image, "/r/new");
        let promise = image.begin_sync("/r/new/a").unwrap();
        image.end_sync(promise, false);
        sync(&mut image, "/r/new/a");
        assert!(!is_safe(&image));
        image.set_len("/r/new/a", 0);
        image.write("/r/new/a", 0, b"hello");
        sync(&mut image, "/r/new/a");
        assert!(is_safe(&image));
    }

    #[test]
    fn what_is_removed_may_be_gone_at_once_and_is_gone_for_sure_after_the_sync() {
        let mut image = empty();
        image.make("/r/new/a", false);
        image.write("/r/new/a", 0, b"hello");
        sync(&mut image, "/r/new/a");
        sync(&mut image, "/r/new");
        assert!(is_safe(&image));
        image.remove("/r/new/a");
        assert!(!is_safe(&image));
        assert_eq!(image.files().count(), 1);
        sync(&mut image, "/r/new");
        assert_eq!(image.files().count(), 0);
    }

    #[test]
    fn a_folder_that_was_not_synced_takes_all_in_it_along() {
        let mut image = empty();
        image.make("/r/new/deep", true);
        image.make("/r/new/deep/a", false);
        image.write("/r/new/deep/a", 0, b"hello");
        sync(&mut image, "/r/new/deep/a");
        sync(&mut image, "/r/new/deep");
        assert!(!is_safe(&image));
        sync(&mut image, "/r/new");
        assert!(is_safe(&image));
    }

    #[test]
    fn either_of_two_files_may_stand_where_one_replaced_the_other() {
        let mut image = empty();
        image.add_file("/r/list", b"one");
        image.make("/r/list.tmp", false);
        image.write("/r/list.tmp", 0, b"one two");
        sync(&mut image, "/r/list.tmp");
        image.rename("/r/list.tmp", "/r/list");
        let all_hold = |image: &Image, text| image.at("list").unwrap().iter().all(|file| file.holds(text));
        assert!(all_hold(&image, "one") && !all_hold(&image, "two"));
        sync(&mut image, "/r");
        assert!(all_hold(&image, "two"));
        assert!(image.at("other").is_none());
    }
}
