//! REFERENCES: threads by what messages refer to, then by subject (RFC 5256 §3, steps 1 to 6).

use std::collections::HashMap;

use super::forest::Forest;
use super::{Member, TooMuch, Trees};

pub(super) fn threads(members: &[Member<'_>]) -> Result<Trees, TooMuch> {
    let (forest, messages) = linked(members)?;
    let (children, roots) = forest.children();
    let mut threads = Threads { members, messages, children };
    let roots = threads.without_dummies(roots);
    let roots = threads.sorted_roots(roots);
    let roots = threads.merged_by_subject(roots);
    let roots = threads.sorted(roots);
    let place = |message: &Option<usize>| message.map(|member: usize| members[member].order.1);
    let nodes = threads.messages.iter().map(place).zip(threads.children).collect();
    Ok(Trees { roots, nodes })
}

/// Step 1: a node for each identifier, with its message where there is one, linked as the fields say.
fn linked(members: &[Member<'_>]) -> Result<(Forest, Vec<Option<usize>>), TooMuch> {
    let mut nodes = Nodes::default();
    for (number, member) in members.iter().enumerate() {
        let own = nodes.of_message(member.threading.id, number);
        let mut nearest = None;
        for reference in member.threading.references() {
            let node = nodes.of_id(reference);
            if let Some(parent) = nearest {
                nodes.forest.link_free(parent, node)?;
            }
            nearest = Some(node);
        }
        nodes.forest.link(nearest, own)?;
    }
    Ok((nodes.forest, nodes.messages))
}

#[derive(Default)]
struct Nodes<'a> {
    forest: Forest,
    /// For each node its message.
    messages: Vec<Option<usize>>,
    known: HashMap<&'a [u8], usize>,
}

impl<'a> Nodes<'a> {
    fn of_id(&mut self, id: &'a [u8]) -> usize {
        if let Some(node) = self.known.get(id) {
            return *node;
        }
        let node = self.add(None);
        self.known.insert(id, node);
        node
    }

    /// A second message under one identifier, and one without any, has a node that nobody can refer to.
    fn of_message(&mut self, id: &'a [u8], message: usize) -> usize {
        if id.is_empty() {
            return self.add(Some(message));
        }
        let node = self.of_id(id);
        if self.messages[node].is_some() {
            return self.add(Some(message));
        }
        self.messages[node] = Some(message);
        node
    }

    fn add(&mut self, message: Option<usize>) -> usize {
        self.messages.push(message);
        self.forest.add()
    }
}

struct Threads<'m> {
    members: &'m [Member<'m>],
    /// For each node its message; a dummy has none.
    messages: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
}

impl Threads<'_> {
    /// Step 3: dummies go, and what was below them moves up; at the top only where it is one message.
    fn without_dummies(&mut self, roots: Vec<usize>) -> Vec<usize> {
        for node in self.deepest_first(&roots) {
            let mut kept: Vec<usize> = Vec::new();
            for child in std::mem::take(&mut self.children[node]) {
                if self.messages[child].is_some() {
                    kept.push(child);
                } else {
                    // The shorter row moves to the longer one, so that none moves often.
                    let mut promoted = std::mem::take(&mut self.children[child]);
                    if promoted.len() > kept.len() {
                        std::mem::swap(&mut promoted, &mut kept);
                    }
                    kept.append(&mut promoted);
                }
            }
            self.children[node] = kept;
        }
        let top = |node: usize| match (self.messages[node], self.children[node].as_slice()) {
            (None, []) => None,
            (None, [only]) => Some(*only),
            _ => Some(node),
        };
        roots.into_iter().filter_map(top).collect()
    }

    /// Every node below these and themselves, each before the one above it.
    fn deepest_first(&self, roots: &[usize]) -> Vec<usize> {
        let mut nodes = roots.to_vec();
        let mut next = 0;
        while let Some(node) = nodes.get(next).copied() {
            nodes.extend(&self.children[node]);
            next += 1;
        }
        nodes.reverse();
        nodes
    }

    /// What a node is sorted by; a dummy by its first child, once those are sorted.
    fn order(&self, node: usize) -> Option<(i64, usize)> {
        self.member(node).map(|member| member.order)
    }

    /// The message of a node; of a dummy the first one below it.
    fn member(&self, node: usize) -> Option<&Member<'_>> {
        let first = || self.children[node].first().and_then(|child| self.messages[*child]);
        self.messages[node].or_else(first).and_then(|member| self.members.get(member))
    }

    /// Step 4: the top level by date. What is below a dummy comes first.
    fn sorted_roots(&mut self, mut roots: Vec<usize>) -> Vec<usize> {
        for root in &roots {
            if self.messages[*root].is_none() {
                self.sort_children(*root);
            }
        }
        roots.sort_by_key(|root| self.order(*root));
        roots
    }

    fn sort_children(&mut self, node: usize) {
        let mut children = std::mem::take(&mut self.children[node]);
        children.sort_by_key(|child| self.order(*child));
        self.children[node] = children;
    }

    /// Step 6: all siblings by date, the youngest rows first.
    fn sorted(&mut self, roots: Vec<usize>) -> Vec<usize> {
        for node in self.deepest_first(&roots) {
            self.sort_children(node);
        }
        self.sorted_roots(roots)
    }

    /// Step 5: threads of one subject become one.
    fn merged_by_subject(&mut self, roots: Vec<usize>) -> Vec<usize> {
        let subjects: Vec<&[u8]> =
            roots.iter().map(|root| self.member(*root).map_or(&b""[..], |m| m.threading.subject)).collect();
        let subjects: Vec<Vec<u8>> = subjects.into_iter().map(<[u8]>::to_vec).collect();
        let mut table: HashMap<&[u8], usize> = HashMap::new();
        for (root, subject) in roots.iter().zip(&subjects).filter(|(_, subject)| !subject.is_empty()) {
            let entry = table.entry(subject).or_insert(*root);
            if self.takes_precedence(*root, *entry) {
                *entry = *root;
            }
        }
        let mut merged = vec![false; self.messages.len()];
        let mut added = Vec::new();
        for (root, subject) in roots.iter().zip(&subjects) {
            let Some(entry) = table.get_mut(subject.as_slice()) else { continue };
            if *entry == *root || merged[*root] {
                continue;
            }
            let (other, current) = (*entry, *root);
            merged[current] = true;
            match (self.messages[other].is_none(), self.messages[current].is_none()) {
                (true, true) => {
                    let mut children = std::mem::take(&mut self.children[current]);
                    self.children[other].append(&mut children);
                }
                (true, false) => self.children[other].push(current),
                _ if self.is_reply(current) && !self.is_reply(other) => self.children[other].push(current),
                _ => {
                    merged[other] = true;
                    merged.push(false);
                    self.messages.push(None);
                    self.children.push(vec![other, current]);
                    *entry = self.messages.len() - 1;
                    added.push(*entry);
                }
            }
        }
        roots.into_iter().chain(added).filter(|root| !merged[*root]).collect()
    }

    /// Whether a thread replaces the one that stands for its subject so far.
    fn takes_precedence(&self, current: usize, entry: usize) -> bool {
        let is_dummy = |node: usize| self.messages[node].is_none();
        !is_dummy(entry) && (is_dummy(current) || self.is_reply(entry) && !self.is_reply(current))
    }

    fn is_reply(&self, node: usize) -> bool {
        self.messages[node].and_then(|member| self.members.get(member)).is_some_and(|m| m.threading.is_reply)
    }
}
