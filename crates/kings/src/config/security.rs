//! `[firewall]` and `[security]`: what the machine lets in, and what the server may do on it.

use std::collections::BTreeSet;

use super::reader::{Section, Source};
use super::{firewall, section};
use crate::firewall::Opening;
use crate::sandbox::Sandbox;

/// What keeps others out, and us in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Security {
    /// Ports of others that the firewall leaves open.
    pub(crate) openings: BTreeSet<Opening>,
    pub(crate) sandbox: Sandbox,
}

pub(super) fn read(source: &mut Source<'_>, top: &mut Section<'_>) -> Security {
    let openings = section(source, top, "firewall", firewall::read);
    let sandbox = section(source, top, "security", |source, section| {
        section
            .choice(source, "sandbox", &[("auto", Sandbox::Auto), ("off", Sandbox::Off)])
            .unwrap_or_default()
    });
    Security { openings, sandbox }
}
