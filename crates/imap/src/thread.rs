//! THREAD: puts messages into threads (RFC 5256 §3) and writes the trees.

mod forest;
mod references;
mod subjects;

use std::fmt::Display;
use std::io::Write;
use std::ops::Range;

use crate::learn::Threading;
use crate::limits::MAX_THREAD_OCTETS;
use crate::text::put;

pub use crate::command::sort::Algorithm;

/// A message in a thread. A node without one holds together what belongs together.
pub(crate) type Place = usize;

/// More work than one command may have: who wants it narrows the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much to put into threads")]
pub struct TooMuch;

/// Takes messages in any order and gives them back in threads.
#[derive(Debug)]
pub struct Threader {
    algorithm: Algorithm,
    octets: Vec<u8>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    place: Place,
    arrived: i64,
    sheet: Range<usize>,
}

/// What counts of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<'a> {
    /// The Date field's moment, or that of arrival (RFC 5256 §2.2), and the place for what is equal.
    pub(crate) order: (i64, Place),
    pub(crate) threading: Threading<'a>,
}

/// Some messages that stand side by side, each with what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trees {
    /// The top level.
    pub(crate) roots: Vec<usize>,
    /// For each node its message, if there is one, and the nodes below it.
    pub(crate) nodes: Vec<(Option<Place>, Vec<usize>)>,
}

impl Threader {
    /// For messages of one mailbox.
    pub fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, octets: Vec::new(), rows: Vec::new() }
    }

    /// Takes the message at a place of the mailbox, with its sheet; without one, it is alone.
    pub fn take(&mut self, place: Place, arrived: i64, sheet: &[u8]) {
        let start = self.octets.len();
        self.octets.extend(sheet);
        self.rows.push(Row { place, arrived, sheet: start..self.octets.len() });
    }

    /// Whether there is no room for more.
    pub fn is_full(&self) -> bool {
        self.octets.len() > MAX_THREAD_OCTETS
    }

    /// All threads as they go out; `name` tells what the client calls the message at a place.
    pub fn threads<N: Display>(mut self, name: impl Fn(Place) -> N) -> Result<Vec<u8>, TooMuch> {
        self.rows.sort_unstable_by_key(|row| row.place);
        let member = |row: &Row| {
            let sheet = self.octets.get(row.sheet.clone()).unwrap_or_default();
            let threading = Threading::unpack(sheet).unwrap_or(Threading::NOTHING);
            Member { order: (threading.sent.unwrap_or(row.arrived), row.place), threading }
        };
        let members: Vec<Member<'_>> = self.rows.iter().map(member).collect();
        let trees = match self.algorithm {
            Algorithm::OrderedSubject => subjects::threads(&members),
            Algorithm::References => references::threads(&members)?,
        };
        Ok(trees.written(name))
    }
}

impl Trees {
    /// RFC 5256 §4 `thread-list`s. A client's depth is not ours to bound; this needs no stack of its own.
    fn written<N: Display>(&self, name: impl Fn(Place) -> N) -> Vec<u8> {
        enum Step {
            Node(usize),
            Text(u8),
        }
        let mut out = Vec::new();
        let list = |steps: &mut Vec<Step>, nodes: &[usize]| {
            for node in nodes.iter().rev() {
                steps.extend([Step::Text(b')'), Step::Node(*node), Step::Text(b'(')]);
            }
        };
        let mut steps = Vec::new();
        list(&mut steps, &self.roots);
        while let Some(step) = steps.pop() {
            match step {
                Step::Text(octet) => out.push(octet),
                Step::Node(node) => {
                    let Some((place, below)) = self.nodes.get(node) else { continue };
                    if let Some(place) = place {
                        put!(out, "{}", name(*place));
                    }
                    match below.as_slice() {
                        [] => {}
                        [only] => steps.extend([Step::Node(*only), Step::Text(b' ')]),
                        several => {
                            list(&mut steps, several);
                            if place.is_some() {
                                steps.push(Step::Text(b' '));
                            }
                        }
                    }
                }
            }
        }
        out
    }
}

#[cfg(test)]
mod tests;
