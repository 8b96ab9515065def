//! Programs that insist on accounts and folders of their own get them in a mount namespace, which ends with them.

use std::process::Command;

use super::{Folder, rooted};

/// The owner of what such programs write; the number of the account `mail` on every Debian (package base-passwd).
pub(crate) const OWNER: &str = "8";

/// A command that runs `script` as root, with the unpacked `part` at `/mnt` and these accounts (name, number) beside
/// those of the machine. Nothing outside sees any of it.
pub(crate) fn in_namespace(folder: &Folder, part: &str, accounts: &[(&str, &str)], script: &str) -> Command {
    let with = |file: &str, rest: &str| {
        let known = std::fs::read_to_string(file).unwrap();
        let added = accounts.iter().map(|(name, number)| format!("{name}:x:{number}:{rest}\n"));
        known + &added.collect::<String>()
    };
    let passwd = folder.write("passwd", with("/etc/passwd", &format!("{OWNER}::/nonexistent:/bin/false")));
    let group = folder.write("group", with("/etc/group", ""));
    let part = super::part(part);
    let mounts = [(passwd.as_path(), "/etc/passwd"), (&group, "/etc/group"), (&part, "/mnt")];
    let mounts = mounts.map(|(from, to)| format!("mount --bind {} {to}\n", from.display())).concat();
    let mut command = rooted("/usr/bin/unshare");
    command.args(["--mount", "/bin/sh", "-e", "-c"]).arg(mounts + script);
    command
}
