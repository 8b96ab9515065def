//! The budget of memory: what the config says, or a part of what the system allows this service.

use std::fs;
use std::path::Path;

use kings_net::Memory;
use tracing::info;

/// Of what the system allows, in per cent: the rest is for what is begun already, and for the cache of the disk, which
/// counts as well.
const SHARE: u64 = 75;

/// `said`: the config's word, where 0 is no limit.
pub(super) fn budget(said: Option<u64>) -> Memory {
    let allowed = || allowed(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").ok()?);
    let budget = said.or_else(|| allowed().map(|octets| octets / 100 * SHARE));
    match budget.filter(|octets| *octets > 0) {
        None => Memory::default(),
        Some(octets) => {
            info!(octets, "above this much memory new work is put off");
            Memory::new(octets)
        }
    }
}

/// The least `memory.max` of the control groups (version 2) that hold this process; systemd's `MemoryMax` is one.
fn allowed(root: &Path, groups: &str) -> Option<u64> {
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = root.join(own);
    let around = folder.ancestors().take_while(|folder| folder.starts_with(root));
    let limit = |folder: &Path| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok();
    around.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_tightest_group_around_us_counts_and_none_that_is_not() {
        let root = tempfile::tempdir().unwrap();
        let limit = |folder: &str, text: &str| {
            fs::create_dir_all(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("memory.max"), text).unwrap();
        };
        limit("system.slice", "900000000\n");
        limit("system.slice/kings.service", "max\n");
        limit("system.slice/other.service", "1\n");
        limit("user.slice/tight", "200000000\n");
        fs::write(root.path().join("user.slice/memory.max"), "900000000\n").unwrap();
        let cases = [
            ("0::/system.slice/kings.service\n", Some(900_000_000)),
            ("4:memory:/x\n0::/user.slice/tight\n", Some(200_000_000)),
            ("0::/\n", None),
            ("0::/nowhere/at/all\n", None),
            ("4:memory:/x\n", None),
            ("", None),
        ];
        for (groups, expected) in cases {
            assert_eq!(allowed(root.path(), groups), expected, "{groups:?}");
        }
    }
}
