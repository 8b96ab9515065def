//! The ports that SSH was seen at, kept for the next boot: the firewall comes up before anything can be seen.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::super::FirewallError;
use super::config::port;

/// Root's own, and not a folder of the server's user, who has no say in what is open.
const FOLDER: &str = "/var/lib/kings-smtp-firewall";
const FILE: &str = "ssh-ports";

pub(super) fn recall() -> BTreeSet<u16> {
    read(Path::new(FOLDER))
}

pub(super) fn keep(ports: &BTreeSet<u16>) -> Result<(), FirewallError> {
    write(Path::new(FOLDER), ports).map_err(|cause| FirewallError::NotWritten { path: FOLDER, cause })
}

fn read(folder: &Path) -> BTreeSet<u16> {
    fs::read_to_string(folder.join(FILE)).unwrap_or_default().lines().filter_map(port).collect()
}

/// Whole or not at all, and nothing where it says so already.
fn write(folder: &Path, ports: &BTreeSet<u16>) -> io::Result<()> {
    if read(folder) == *ports {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    let new = folder.join(format!("{FILE}.new"));
    let lines: String = ports.iter().map(|port| format!("{port}\n")).collect();
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
    file.write_all(
        format!("# where kings firewall apply saw an SSH server last; read at boot\n{lines}").as_bytes(),
    )?;
    file.sync_all()?;
    fs::rename(&new, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn ports_are_kept_and_what_is_none_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("made");
        assert_eq!(read(&inner), BTreeSet::new());
        let ports = BTreeSet::from([22, 2222]);
        write(&inner, &ports).unwrap();
        assert_eq!(read(&inner), ports);
        write(&inner, &BTreeSet::from([7])).unwrap();
        assert_eq!(read(&inner), BTreeSet::from([7]));
        fs::write(inner.join(FILE), "# 1\n0\n65536\nten\n2222\n").unwrap();
        assert_eq!(read(&inner), BTreeSet::from([2222]));
        assert!(write(Path::new("/proc/none"), &ports).is_err());
    }
}
