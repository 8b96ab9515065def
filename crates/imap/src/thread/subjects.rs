//! ORDEREDSUBJECT: one thread for each base subject, its first message above all others (RFC 5256 §3).

use super::{Member, Trees};

pub(super) fn threads(members: &[Member<'_>]) -> Trees {
    let mut by_subject: Vec<usize> = (0..members.len()).collect();
    by_subject.sort_unstable_by_key(|member| {
        let member = &members[*member];
        (member.threading.subject, member.order)
    });
    let mut threads: Vec<&[usize]> =
        by_subject.chunk_by(|a, b| members[*a].threading.subject == members[*b].threading.subject).collect();
    threads.sort_unstable_by_key(|thread| thread.first().map(|first| members[*first].order));
    let mut trees = Trees {
        roots: Vec::with_capacity(threads.len()),
        nodes: members.iter().map(|member| (Some(member.order.1), Vec::new())).collect(),
    };
    for thread in threads {
        let Some((first, others)) = thread.split_first() else { continue };
        trees.roots.push(*first);
        trees.nodes[*first].1 = others.to_vec();
    }
    trees
}
