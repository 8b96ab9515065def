//! The layers: which crate may use which, and what the lower ones may not touch.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail};
use serde::Deserialize;

use crate::sources;

/// Every crate with its layer and the crates it may use, as ARCHITECTURE.md draws them.
pub const LAYERS: &[(&str, u8, &[&str])] = &[
    ("kings-mail", 0, &[]),
    ("kings-mutants", 0, &[]),
    ("kings-sasl", 1, &["kings-mail"]),
    ("kings-smtp", 1, &["kings-mail", "kings-sasl"]),
    ("kings-imap", 1, &["kings-mail", "kings-sasl"]),
    ("kings-pop3", 1, &["kings-sasl"]),
    ("kings-milter", 1, &["kings-mail"]),
    ("kings-dns", 1, &["kings-mail"]),
    ("kings-msgauth", 1, &["kings-mail", "kings-dns"]),
    ("kings-score", 1, &["kings-mail", "kings-msgauth"]),
    ("kings-net", 2, &["kings-mail", "kings-dns"]),
    ("kings-tls", 2, &["kings-mail", "kings-net", "kings-dns"]),
    ("kings-fetch", 2, &["kings-net", "kings-tls"]),
    ("kings-acme", 2, &["kings-mail", "kings-dns", "kings-net", "kings-tls", "kings-fetch"]),
    ("kings-directory", 2, &["kings-mail", "kings-sasl"]),
    ("kings-store", 2, &["kings-mail", "kings-mutants"]),
    ("kings-queue", 2, &["kings-mail", "kings-mutants"]),
    ("kings-records", 2, &["kings-mail"]),
    (
        "kings-mta",
        3,
        &[
            "kings-mail",
            "kings-mutants",
            "kings-sasl",
            "kings-smtp",
            "kings-milter",
            "kings-dns",
            "kings-msgauth",
            "kings-score",
            "kings-net",
            "kings-tls",
            "kings-fetch",
            "kings-directory",
            "kings-store",
            "kings-queue",
            "kings-records",
        ],
    ),
    (
        "kings-access",
        3,
        &[
            "kings-mail",
            "kings-sasl",
            "kings-imap",
            "kings-pop3",
            "kings-net",
            "kings-tls",
            "kings-directory",
            "kings-store",
        ],
    ),
    ("kings-web", 3, &["kings-mail", "kings-net", "kings-tls"]),
    ("kings-oauth", 3, &["kings-mail", "kings-sasl", "kings-fetch", "kings-directory"]),
    (
        "kings-ops",
        3,
        &[
            "kings-mail",
            "kings-sasl",
            "kings-smtp",
            "kings-imap",
            "kings-dns",
            "kings-msgauth",
            "kings-score",
            "kings-net",
            "kings-tls",
            "kings-fetch",
            "kings-directory",
            "kings-store",
            "kings-queue",
            "kings-mta",
        ],
    ),
];

/// What layers 0 and 1 never depend on: they have no clock, files, sockets, threads or chance.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-util",
    "tokio-rustls",
    "rustls",
    "getrandom",
    "rustix",
    "socket2",
    "inotify",
    "tempfile",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

/// The crates of the workspace with what each uses outside its tests.
pub fn dependencies() -> anyhow::Result<BTreeMap<String, Vec<String>>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--locked", "--offline"])
        .current_dir(sources::root())
        .output()
        .context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let used = |package: &Package| {
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
        normal.map(|dependency| dependency.name.clone()).collect()
    };
    Ok(metadata.packages.iter().map(|package| (package.name.clone(), used(package))).collect())
}

/// Every edge that the layers do not allow, in words.
pub fn faults(dependencies: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, used) in dependencies {
        let Some((_, layer, allowed)) = LAYERS.iter().find(|(known, ..)| known == name) else {
            if name.starts_with("kings-") && !["kings-fuzz", "kings-bench"].contains(&name.as_str()) {
                faults.push(format!("{name} has no layer"));
            }
            continue;
        };
        for dependency in used {
            if dependency.starts_with("kings-") && !allowed.contains(&dependency.as_str()) {
                faults.push(format!("{name} may not use {dependency}"));
            }
            if *layer <= 1 && IMPURE.contains(&dependency.as_str()) {
                faults.push(format!("{name} is in layer {layer} and may not use {dependency}"));
            }
            if dependency == "anyhow" {
                faults.push(format!("{name} is a library: errors are typed there"));
            }
        }
    }
    faults
}
