//! Who the process is: gives up root once the ports are bound.

use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use anyhow::{Context, bail};
use kings_mail::domain::{BadDomain, Domain};
use nix::unistd::{Group, Uid, User, initgroups, setgid, setuid};
use tracing::warn;

use crate::config::SocketAccess;

/// The user to become, if there is one to become.
pub(crate) struct Identity(Option<User>);

impl Identity {
    /// Looks the user up. Without one, root stays root and is told so once.
    pub(crate) fn find(name: Option<&str>) -> anyhow::Result<Self> {
        if !Uid::effective().is_root() {
            return Ok(Self(None));
        }
        let Some(name) = name else {
            warn!("running as root: name a user in the config, user = \"vmail\"");
            return Ok(Self(None));
        };
        let user = User::from_name(name).with_context(|| format!("cannot look up user {name}"))?;
        match user {
            Some(user) => Ok(Self(Some(user))),
            None => bail!("there is no user {name}: create it with  useradd --system --user-group {name}"),
        }
    }

    /// Whom a folder belongs to. What root writes there is written as that one: root itself would follow whatever links the
    /// owner has put there, and what it made would be for root alone.
    pub(crate) fn owner_of(folder: &Path) -> anyhow::Result<Self> {
        let owner =
            fs::metadata(folder).with_context(|| format!("cannot look at {}", folder.display()))?.uid();
        if !Uid::effective().is_root() || owner == 0 {
            return Ok(Self(None));
        }
        let user = User::from_uid(owner.into()).with_context(|| format!("cannot look up user {owner}"))?;
        match user {
            Some(user) => Ok(Self(Some(user))),
            None => bail!(
                "{0} belongs to {owner}, which is no user of this machine: give it to the one that runs Kings, chown -R USER {0}",
                folder.display()
            ),
        }
    }

    /// Gives a folder that was just made to the user.
    pub(crate) fn own(&self, path: &Path) -> anyhow::Result<()> {
        let Some(user) = &self.0 else { return Ok(()) };
        // A link in its place, which somebody has put there since, is not followed.
        lchown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("cannot give {} to {}", path.display(), user.name))
    }

    /// Who may open our socket files: the user itself, and the group of the config or its own.
    pub(crate) fn socket_access(&self, wanted: &SocketAccess) -> anyhow::Result<kings_net::Access> {
        let group = match &wanted.group {
            None => self.0.as_ref().map(|user| user.gid.as_raw()),
            Some(name) => {
                match Group::from_name(name).with_context(|| format!("cannot look up group {name}"))? {
                    Some(group) => Some(group.gid.as_raw()),
                    None => bail!(
                        "there is no group {name} for the socket: create it with  groupadd --system {name}"
                    ),
                }
            }
        };
        Ok(kings_net::Access {
            mode: wanted.mode,
            owner: self.0.as_ref().map(|user| user.uid.as_raw()),
            group,
        })
    }

    /// Becomes the user for good. Must come before any thread exists, since it concerns the whole process.
    pub(crate) fn become_it(self) -> anyhow::Result<()> {
        let Some(user) = self.0 else { return Ok(()) };
        let name = std::ffi::CString::new(user.name.as_str()).context("a user name with NUL")?;
        initgroups(&name, user.gid)
            .and_then(|()| setgid(user.gid))
            .and_then(|()| setuid(user.uid))
            .with_context(|| format!("cannot become {}", user.name))
    }
}
/// The name of this machine; localhost where what it has is none.
pub(crate) fn machine_name() -> Result<Domain, BadDomain> {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Domain::parse(&name).or_else(|_| Domain::parse("localhost"))
}
