//! `[firewall]`: what is open beside the ports of `[listen]` and SSH's.

use std::collections::BTreeSet;

use super::reader::{Section, Source};
use crate::firewall::Opening;

/// `allow`: ports of other programs of this machine.
pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> BTreeSet<Opening> {
    let what = "a port such as \"8080\" (TCP) or \"51820/udp\"";
    section.list(source, "allow", what, str::parse::<Opening>).into_iter().collect()
}
