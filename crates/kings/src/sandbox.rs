//! What the server takes from itself once it has all it needs: to write anywhere but in its own folders, to run programs, and
//! system calls that no mail server has a use for. It cannot be taken back, and holds for every thread that comes after.
//!
//! Reading is left to the rights of the user that the server is: tables, keys and certificates may be anywhere, and a reload
//! may name new ones.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use kings_net::Place;
use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    path_beneath_rules,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::config::Settings;

/// `[security] sandbox`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sandbox {
    /// As far as the kernel can.
    #[default]
    Auto,
    Off,
}

/// Where the kernel has at least this, a file can be renamed from one folder to another within the sandbox (Linux 5.19): a
/// Maildir lives by that, so an older one is as good as none.
const LEAST: ABI = ABI::V2;

/// Calls that change the machine, look into other programs, make a program of somebody else's choice run, or are a second way
/// around all of this. They fail with EPERM, as they would for a user without rights.
const FORBIDDEN: [libc::c_long; 48] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    // What is done through it is seen by no filter of calls.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_personality,
];

/// Kernels with the x32 ABI take every call under a second number, and some under a third.
#[cfg(target_arch = "x86_64")]
const X32: i64 = 0x4000_0000;
/// Of [`FORBIDDEN`]: execve, ptrace, `kexec_load`, `process_vm_readv`, `process_vm_writev`, execveat.
#[cfg(target_arch = "x86_64")]
const ONLY_X32: [i64; 6] = [520, 521, 528, 539, 540, 545];

/// Flags of clone(2) that begin a namespace: there an intruder would be root, before parts of the kernel that only root reaches.
const NAMESPACES: [i32; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Shuts this thread in, and those that it will start. Must come when nothing is to be opened any more that lies elsewhere.
pub(crate) fn enter(settings: &Settings) {
    if settings.security.sandbox == Sandbox::Off {
        return;
    }
    let files = shut_files(&writable(settings));
    if let Err(error) = &files {
        tracing::warn!(%error, "the kernel does not keep the server from writing elsewhere (landlock, Linux 5.19)");
    }
    let calls = shut_calls();
    if let Err(error) = &calls {
        tracing::warn!(%error, "the kernel does not keep the server from system calls (seccomp)");
    }
}

/// Folders and files that the server writes: its data, the mailboxes, what the machine's users hand in, its sockets, and
/// places for temporary files. Below `mail_dir` no link is followed by the store, so none is by this.
fn writable(settings: &Settings) -> BTreeSet<PathBuf> {
    let mut paths: BTreeSet<PathBuf> = BTreeSet::from([settings.data_dir.clone(), settings.mail_dir.clone()]);
    paths.extend(settings.local.as_ref().map(|local| local.folder.clone()));
    let sockets = settings.listen.lmtp.iter().chain(&settings.listen.auth);
    paths.extend(sockets.filter_map(|place| match place {
        Place::Unix(path) => path.parent().map(Path::to_owned),
        Place::Tcp(_) => None,
    }));
    paths.extend([std::env::temp_dir(), "/var/tmp".into(), "/dev/null".into()]);
    // A queue or an index may be on another disk.
    paths.extend(links_in(&settings.data_dir));
    paths
}

/// Where the links lead that an administrator has put into a folder. Those of the server's user are not followed: an intruder
/// would make one, and find the whole disk open after the next start.
fn links_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut targets = Vec::new();
    for path in entries.map(|entry| entry.path()).filter(|path| path.is_symlink()) {
        let is_roots = fs::symlink_metadata(&path).is_ok_and(|link| link.uid() == 0);
        let Ok(target) = fs::canonicalize(&path) else { continue };
        if is_roots {
            targets.push(target);
        } else {
            tracing::warn!(
                "{0} is a link that is not root's: nothing is written behind it. To have it followed:  chown -h root {0}",
                path.display()
            );
        }
    }
    targets
}

/// Writing, making, moving and removing, and running programs: all of that is handled, and allowed where said.
fn shut_files(writable: &BTreeSet<PathBuf>) -> Result<(), RulesetError> {
    let rights = AccessFs::from_write(ABI::V3);
    let needed = AccessFs::from_write(LEAST) | AccessFs::Execute;
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(needed)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(rights)?
        .create()?
        .add_rules(path_beneath_rules(writable, rights))?
        .restrict_self()?;
    Ok(())
}

/// For all threads at once: one may have begun to write the log.
fn shut_calls() -> io::Result<()> {
    let eperm = libc::EPERM.unsigned_abs();
    seccompiler::apply_filter_all_threads(&filter(forbidden()?, eperm)?).map_err(io::Error::other)?;
    // What this one is asked for stands in memory, where no filter sees it. The C library takes clone(2) where there is none.
    let unseen = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    seccompiler::apply_filter_all_threads(&filter(unseen, libc::ENOSYS.unsigned_abs())?)
        .map_err(io::Error::other)
}

fn forbidden() -> io::Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        FORBIDDEN.iter().map(|call| (*call, Vec::new())).collect();
    let begins = |flag: &i32| {
        let flag = u64::from(flag.unsigned_abs());
        let asked = SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(flag), flag)?;
        SeccompRule::new(vec![asked])
    };
    let begins: Result<Vec<SeccompRule>, _> = NAMESPACES.iter().map(begins).collect();
    rules.insert(libc::SYS_clone, begins.map_err(io::Error::other)?);
    #[cfg(target_arch = "x86_64")]
    {
        let twins: Vec<_> = rules.iter().map(|(call, asked)| (call | X32, asked.clone())).collect();
        rules.extend(twins);
        rules.extend(ONLY_X32.map(|call| (call | X32, Vec::new())));
    }
    Ok(rules)
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: u32) -> io::Result<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), architecture);
    filter.and_then(TryInto::try_into).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs::{File, OpenOptions};
    use std::os::unix::fs::{chroot, lchown, symlink};
    use std::process::Command;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_is_shut_in_writes_in_its_folders_reads_everywhere_and_runs_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["own", "own/tmp", "own/new", "other"] {
            fs::create_dir(path(name)).unwrap();
        }
        fs::write(path("other/read"), "text").unwrap();
        fs::write(path("other/moved"), "text").unwrap();
        let denied = |result: io::Result<()>| result.unwrap_err().kind() == io::ErrorKind::PermissionDenied;
        thread::scope(|scope| {
            let shut_in = || {
                shut_files(&BTreeSet::from([path("own")])).unwrap();
                // What a Maildir lives by.
                fs::write(path("own/tmp/a"), "text").unwrap();
                fs::rename(path("own/tmp/a"), path("own/new/a")).unwrap();
                fs::hard_link(path("own/new/a"), path("own/tmp/b")).unwrap();
                File::open(path("own/new")).unwrap().sync_all().unwrap();
                fs::remove_file(path("own/new/a")).unwrap();
                assert_eq!(fs::read_to_string(path("other/read")).unwrap(), "text");
                // And nothing beside it.
                assert!(denied(fs::write(path("other/new"), "text")));
                assert!(denied(OpenOptions::new().append(true).open(path("other/read")).map(drop)));
                assert!(denied(fs::remove_file(path("other/read"))));
                assert!(denied(fs::create_dir(path("other/folder"))));
                assert!(fs::rename(path("other/moved"), path("own/moved")).is_err());
                assert!(denied(Command::new("/bin/true").status().map(drop)));
                // Nor in a thread that comes later.
                thread::scope(|scope| {
                    scope.spawn(|| assert!(denied(fs::write(path("other/new"), "text")))).join().unwrap();
                });
            };
            scope.spawn(shut_in).join().unwrap();
        });
        // The others go on as before.
        fs::write(path("other/new"), "text").unwrap();
        assert!(Command::new("/bin/true").status().unwrap().success());
    }

    #[test]
    fn calls_of_an_intruder_fail_in_every_thread_and_threads_still_begin() {
        let work = || {
            let is_allowed = chroot("/").is_ok();
            assert_eq!(is_allowed, rustix::process::geteuid().is_root());
            let (ask, asked) = mpsc::channel();
            let older = thread::spawn(move || {
                asked.recv().unwrap();
                chroot("/").unwrap_err().raw_os_error()
            });
            shut_calls().unwrap();
            ask.send(()).unwrap();
            assert_eq!(older.join().unwrap(), Some(libc::EPERM));
            assert_eq!(
                thread::spawn(|| chroot("/").unwrap_err().raw_os_error()).join().unwrap(),
                Some(libc::EPERM)
            );
        };
        // nextest has a process for each test; others of this one are not to be shut in.
        if std::env::var_os("NEXTEST").is_some() {
            work();
        }
    }

    #[test]
    fn a_call_is_forbidden_under_each_of_its_numbers_and_clone_for_namespaces_alone() {
        let rules = forbidden().unwrap();
        assert_eq!(rules[&libc::SYS_execve], []);
        assert_eq!(rules[&libc::SYS_clone].len(), NAMESPACES.len());
        #[cfg(target_arch = "x86_64")]
        for call in [520, libc::SYS_execve | 0x4000_0000, libc::SYS_clone | 0x4000_0000] {
            assert!(rules.contains_key(&(call | 0x4000_0000)), "{call}");
        }
        for call in [libc::SYS_openat, libc::SYS_fsync, libc::SYS_sendto, libc::SYS_prctl] {
            assert!(!rules.contains_key(&call), "{call}");
        }
    }

    #[test]
    fn a_link_of_root_in_the_data_is_followed_and_one_of_another_user_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().canonicalize().unwrap();
        for name in ["data", "disk/queue", "disk/index"] {
            fs::create_dir_all(here.join(name)).unwrap();
        }
        symlink("../disk/queue", here.join("data/queue")).unwrap();
        symlink(here.join("disk/index"), here.join("data/index")).unwrap();
        symlink("/nowhere", here.join("data/gone")).unwrap();
        let is_root = rustix::process::geteuid().is_root();
        if is_root {
            lchown(here.join("data/index"), Some(65534), None).unwrap();
        }
        let expected = if is_root { vec![here.join("disk/queue")] } else { Vec::new() };
        assert_eq!(links_in(&here.join("data")), expected);
        assert_eq!(links_in(&here.join("none")), Vec::<PathBuf>::new());
    }
}
