//! docs/features.md and docs/imap.md: every feature and every capability of IMAP with its tests.

use std::fs;

use anyhow::Context;

use crate::sources;

/// One row of the table.
#[derive(Debug)]
pub struct Feature {
    /// What it is.
    pub name: String,
    /// The test that shows it works: a file, or `file::name`.
    pub test: String,
    /// The test that shows what it refuses.
    pub negative: String,
}

/// The rows of the table: `| feature | source | test | negative test |`.
pub fn rows() -> anyhow::Result<Vec<Feature>> {
    let text = fs::read_to_string(sources::root().join("docs/features.md")).context("docs/features.md")?;
    let split = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let is_row =
        |line: &&str| line.starts_with("| ") && !line.starts_with("| Feature") && !line.starts_with("|--");
    let feature = |cells: Vec<String>| match cells.as_slice() {
        [name, _, positive, negative] => {
            Some(Feature { name: name.clone(), test: positive.clone(), negative: negative.clone() })
        }
        _ => None,
    };
    let rows: Option<Vec<Feature>> = text.lines().filter(is_row).map(split).map(feature).collect();
    rows.context("a row of docs/features.md has not four cells")
}

/// The rows of docs/imap.md: `| capability | RFC | what | test |`, and each capability with its test.
pub fn capabilities() -> anyhow::Result<Vec<Feature>> {
    let page = fs::read_to_string(sources::root().join("docs/imap.md")).context("docs/imap.md")?;
    let rows: Option<Vec<Feature>> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let bare = |cell: &str| cell.trim_matches('`').to_owned();
            match cells.as_slice() {
                [name, _, _, test] => {
                    Some(Feature { name: bare(name), test: bare(test), negative: bare(test) })
                }
                _ => None,
            }
        })
        .collect();
    rows.context("a row of docs/imap.md has not four cells")
}

/// Every test that a row names and that is not there. `not yet` says that a feature is not done.
pub fn missing(rows: &[Feature]) -> Vec<String> {
    let root = sources::root();
    let mut faults = Vec::new();
    for row in rows {
        for test in [&row.test, &row.negative] {
            let (file, name) =
                test.split_once("::").map_or((test.as_str(), None), |(file, name)| (file, Some(name)));
            if test == "not yet" {
                continue;
            }
            let text = fs::read_to_string(root.join(file)).unwrap_or_default();
            let found = match name {
                Some(name) => text.contains(&format!("fn {name}(")),
                None => !text.is_empty(),
            };
            if !found {
                faults.push(format!("{}: no test {test}", row.name));
            }
        }
    }
    faults
}
