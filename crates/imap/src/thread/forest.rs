//! Who is whose parent, while references are read (RFC 5256 §3, REFERENCES step 1): never a loop.

use super::TooMuch;
use crate::limits::MAX_THREAD_STEPS;

/// Nodes with parents.
#[derive(Debug, Default)]
pub(super) struct Forest {
    parents: Vec<Option<usize>>,
    /// How many nodes stand below each: without any it cannot be above another.
    below: Vec<usize>,
    /// Steps taken towards roots.
    steps: usize,
}

impl Forest {
    /// Adds a node without parent.
    pub(super) fn add(&mut self) -> usize {
        self.parents.push(None);
        self.below.push(0);
        self.parents.len() - 1
    }

    /// Makes `child`, which has no parent yet, one of `parent`, unless that would make a loop.
    pub(super) fn link_free(&mut self, parent: usize, child: usize) -> Result<(), TooMuch> {
        if self.parents[child].is_none() && !self.is_above(child, parent)? {
            self.parents[child] = Some(parent);
            self.below[parent] += 1;
        }
        Ok(())
    }

    /// Gives `child` another parent, or none, also where the other one would make a loop.
    pub(super) fn link(&mut self, parent: Option<usize>, child: usize) -> Result<(), TooMuch> {
        if let Some(old) = self.parents[child].take() {
            self.below[old] -= 1;
        }
        parent.map_or(Ok(()), |parent| self.link_free(parent, child))
    }

    /// For each node those below it, and the nodes without parent.
    pub(super) fn children(&self) -> (Vec<Vec<usize>>, Vec<usize>) {
        let mut children: Vec<Vec<usize>> =
            self.below.iter().map(|below| Vec::with_capacity(*below)).collect();
        let mut roots = Vec::new();
        for (node, parent) in self.parents.iter().enumerate() {
            match parent {
                Some(parent) => children[*parent].push(node),
                None => roots.push(node),
            }
        }
        (children, roots)
    }

    /// Whether `node` is `other` or stands above it. The way up may be long, so all of them together have a limit.
    fn is_above(&mut self, node: usize, other: usize) -> Result<bool, TooMuch> {
        if node == other || self.below[node] == 0 {
            return Ok(node == other);
        }
        let mut at = Some(other);
        while let Some(here) = at {
            if here == node {
                return Ok(true);
            }
            self.steps += 1;
            if self.steps > MAX_THREAD_STEPS {
                return Err(TooMuch);
            }
            at = self.parents[here];
        }
        Ok(false)
    }
}
