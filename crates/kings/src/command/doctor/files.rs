//! Files and folders of the server: whose they are, and who may read and write them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kings_ops::doctor::Flaw;
use kings_ops::status::State;
use nix::unistd::{Group, Uid, User};

use crate::command::status::gather::{is_open_to_all, secrets};
use crate::config::Settings;

/// Most entries of a folder that are looked at.
const MAX_ENTRIES: usize = 10_000;

/// Who the server is, or would be.
struct Owner {
    name: String,
    uid: u32,
    groups: Vec<u32>,
}

impl Owner {
    /// The user of the process that runs, or the one of the config, or whoever asks. `None`: there is no such user.
    fn find(settings: &Settings, pid: Option<u64>) -> Option<Self> {
        let running = pid.and_then(|pid| fs::metadata(format!("/proc/{pid}")).ok()).map(|found| found.uid());
        let user = match (running, &settings.user) {
            (None, Some(name)) => return Some(Self::of(User::from_name(name).ok().flatten()?)),
            (Some(uid), _) => User::from_uid(Uid::from_raw(uid)),
            (None, None) => User::from_uid(Uid::effective()),
        };
        let uid = running.unwrap_or_else(|| Uid::effective().as_raw());
        let unnamed = Self { name: format!("user {uid}"), uid, groups: Vec::new() };
        Some(user.ok().flatten().map_or(unnamed, Self::of))
    }

    fn of(user: User) -> Self {
        // Those that name the user in /etc/group count as well.
        let named = fs::read_to_string("/etc/group").unwrap_or_default();
        let group = |line: &str| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            parts.nth(1)?.split(',').any(|member| member == user.name).then(|| name.to_owned())
        };
        let more = named.lines().filter_map(group).filter_map(|name| Group::from_name(&name).ok().flatten());
        let groups = std::iter::once(user.gid.as_raw()).chain(more.map(|group| group.gid.as_raw())).collect();
        Self { name: user.name, uid: user.uid.as_raw(), groups }
    }

    /// Whether it has these rights, as bits of one class of the mode.
    fn may(&self, found: &Metadata, rights: u32) -> bool {
        let shift = match found {
            _ if self.uid == 0 => return true,
            found if found.uid() == self.uid => 6,
            found if self.groups.contains(&found.gid()) => 3,
            _ => 0,
        };
        (found.mode() >> shift) & rights == rights
    }
}

const READ: u32 = 4;
const ALL: u32 = 7;

/// Looks at all of them: whose the server is, how many there were, and what is wrong.
pub(super) fn look(settings: &Settings, pid: Option<u64>) -> (String, usize, Vec<Flaw>) {
    let Some(owner) = Owner::find(settings, pid) else {
        let name = settings.user.clone().unwrap_or_default();
        let fix = format!("useradd --system --user-group {name}");
        let text = format!("there is no user {name}, whom the config names");
        return (name, 0, vec![Flaw { state: State::Fail, text, fix }]);
    };
    let (mut looked_at, mut flaws) = (0, Vec::new());
    for folder in [&settings.data_dir, &settings.mail_dir] {
        looked_at += of_folder(&owner, folder, &mut flaws);
    }
    let secrets: Vec<PathBuf> = secrets(settings).into_iter().filter(|path| path.exists()).collect();
    looked_at += secrets.len();
    for path in secrets {
        if is_open_to_all(&path) {
            let text = format!("any user of this machine may read {}", path.display());
            flaws.push(Flaw { state: State::Fail, text, fix: format!("chmod o-rwx {}", path.display()) });
        }
        // Keys of certbot are read by root before it becomes the user.
        let is_ours = path == settings.accounts || path.starts_with(&settings.data_dir);
        if is_ours && fs::metadata(&path).is_ok_and(|found| !owner.may(&found, READ)) {
            let text = format!("{} cannot read {}", owner.name, path.display());
            flaws.push(Flaw {
                state: State::Fail,
                text,
                fix: format!("chgrp {0} {1} && chmod g+r {1}", owner.name, path.display()),
            });
        }
    }
    (owner.name, looked_at, flaws)
}

/// A folder and what is directly in it; gives the number of what was looked at.
fn of_folder(owner: &Owner, folder: &Path, flaws: &mut Vec<Flaw>) -> usize {
    let path = folder.display();
    let fix = |path: &Path| format!("chown -R {0}: {1} && chmod -R u+rwX {1}", owner.name, path.display());
    let mut fault = |state, text: String, fix: String| flaws.push(Flaw { state, text, fix });
    let found = match fs::metadata(folder) {
        Ok(found) if found.is_dir() => found,
        Ok(_) => {
            fault(State::Fail, format!("{path} is no folder"), format!("mv {path} {path}.old"));
            return 1;
        }
        Err(error) => {
            fault(
                State::Fail,
                format!("{path}: {error}"),
                format!("install -d -o {} -m 750 {path}", owner.name),
            );
            return 1;
        }
    };
    if !owner.may(&found, ALL) {
        fault(State::Fail, format!("{} cannot write in {path}", owner.name), fix(folder));
    }
    if found.mode() & 0o002 != 0 && found.mode() & 0o1000 == 0 {
        fault(
            State::Fail,
            format!("any user of this machine may write in {path}"),
            format!("chmod o-w {path}"),
        );
    }
    let mut looked_at = 1;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES) {
        let path = entry.path();
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        looked_at += 1;
        if found.is_symlink() {
            let to = fs::read_link(&path).unwrap_or_default();
            // Where it leads is the operator's wish, but it must lead somewhere.
            if !path.exists() {
                let text = format!("{} is a link to {}, which is not there", path.display(), to.display());
                fault(State::Fail, text, format!("rm {}, or make what it leads to", path.display()));
            }
        } else if found.is_dir() && !owner.may(&found, ALL) {
            fault(State::Fail, format!("{} cannot write in {}", owner.name, path.display()), fix(&path));
        }
    }
    looked_at
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_folder_that_the_user_cannot_write_in_or_everybody_can_is_a_fault() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let own = fs::metadata(path).unwrap().uid();
        let owner = |uid| Owner { name: "vmail".into(), uid, groups: Vec::new() };
        let flaws = |uid| {
            let mut flaws = Vec::new();
            of_folder(&owner(uid), path, &mut flaws);
            flaws.into_iter().map(|flaw| flaw.text).collect::<Vec<_>>()
        };
        let mode = |mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let nobody = 65_534;
        mode(0o750);
        assert_eq!(flaws(own), [""; 0]);
        assert_eq!(flaws(nobody), [format!("vmail cannot write in {}", path.display())]);
        mode(0o777);
        assert_eq!(flaws(nobody), [format!("any user of this machine may write in {}", path.display())]);
        mode(0o1777);
        assert_eq!(flaws(nobody), [""; 0]);
        symlink("/nowhere/at/all", path.join("queue")).unwrap();
        assert!(flaws(own)[0].ends_with("is a link to /nowhere/at/all, which is not there"));
        mode(0o700);
    }
}
