//! `cargo xtask rfc` writes the RFC index, docs/rfc.md.

use anyhow::{Context, bail};
use xtask::{rfc, sources};

fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("rfc") => {
            let path = sources::root().join("docs/rfc.md");
            std::fs::write(&path, rfc::index()?).with_context(|| format!("cannot write {}", path.display()))
        }
        _ => bail!("known: cargo xtask rfc"),
    }
}
