//! A power cut on a disk of its own: what was acknowledged is there afterwards, and a server that only pretended to
//! sync is caught.
//!
//! The disk is an ext4 in a file. The cut is `FS_IOC_SHUTDOWN` without a flush: the file system forgets at once all
//! that its journal does not hold yet, as a disk without power does.

use std::path::PathBuf;

use super::strace::Strace;
use crate::crash::queued_subjects_below;
use crate::harness::{Folder, Kings, Setup, free_port, letter, messages, program, rooted, run};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const JOE: &str = "joe@example.net";
/// Messages before each cut, and cuts.
const MESSAGES: usize = 5;
const CUTS: usize = 6;
/// Every sync says that it went well, and did nothing.
const NO_SYNC: &str = "inject=fsync,fdatasync:retval=0";

/// What a server that keeps its word may lose: nothing.
#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    let mut disk = Disk::new();
    let mut kings = start(&disk);
    for round in 0..CUTS {
        send_all(&kings, round);
        disk.cut(&mut kings);
        assert_eq!(missing(&disk, round), [""; 0], "cut {round}");
    }
}

/// Planted faults: a sync left out, and a file renamed before its own sync (only every second sync, that of the
/// folder, is real). The same check must see both at the first cut.
#[test]
fn a_server_that_only_pretends_to_sync_is_caught() {
    for (fault, inject) in [
        ("no sync at all", NO_SYNC),
        ("no sync of the file before its rename", "inject=fsync,fdatasync:retval=0:when=1+2"),
    ] {
        let mut disk = Disk::new();
        let mut kings = start(&disk);
        plant(&mut kings, inject, &mut disk, |_| {});
        assert_ne!(missing(&disk, 1), [""; 0], "{fault}: nothing was lost, so nothing is proven");
    }
}

/// The third planted fault: 250 before the sync. The syncs the server asks for while it answers do nothing, and the
/// disk is synced when all is acknowledged. A cut before that is seen at the first time, and a cut after it costs
/// nothing: what is caught is the order, not a sync that never comes.
#[test]
fn a_server_that_says_250_before_the_sync_is_caught() {
    let mut disk = Disk::new();
    let mut kings = start(&disk);
    plant(&mut kings, NO_SYNC, &mut disk, |_| {});
    assert_ne!(missing(&disk, 1), [""; 0], "nothing was lost between 250 and sync, so nothing is proven");

    let mut disk = Disk::new();
    let mut kings = start(&disk);
    plant(&mut kings, NO_SYNC, &mut disk, Disk::sync);
    assert_eq!(missing(&disk, 1), [""; 0], "the late sync saves everything from a cut that is later still");
}

/// Lets a server with a fault acknowledge a round of messages, does `late`, and cuts the power.
fn plant(kings: &mut Kings, inject: &str, disk: &mut Disk, late: fn(&Disk)) {
    // Accounts and folders are made before, honestly.
    send_all(kings, 0);
    let strace = Strace::attach(kings.process(), &["-e", "trace=fsync,fdatasync", "-e", inject]);
    send_all(kings, 1);
    late(disk);
    disk.cut_under(kings, strace);
}

fn start(disk: &Disk) -> Kings {
    let tables = format!(
        "[limits]\nworker_threads = 1\nblocking_threads = 1\nfree_space_reserve = 1000000\n\
         [outbound]\nsmart_host = \"127.0.0.1:{}\"\n",
        free_port()
    );
    Setup { tables, disk: disk.mounted().to_str().unwrap().to_owned(), ..Setup::default() }.start()
}

/// Messages for an account, for two of them, and for elsewhere; all are acknowledged.
fn send_all(kings: &Kings, round: usize) {
    for number in 0..MESSAGES {
        let subject = subject(round, number);
        let content = letter(JOE, ANN, &subject);
        kings.smtp().message(JOE, &[ANN, BOB], &content).unwrap().is("250 2.0.0");
        kings.submit(ANN, JOE, &subject);
    }
}

fn subject(round: usize, number: usize) -> String {
    format!("round {round} number {number} end")
}

/// Which copies of a round are not there, whole.
fn missing(disk: &Disk, round: usize) -> Vec<String> {
    let queued = queued_subjects_below(&disk.mounted().join("data/queue"));
    let in_mailbox = |account: &str, subject: &str| {
        let (user, domain) = account.split_once('@').unwrap();
        let maildir = disk.mounted().join("mail").join(domain).join(user);
        let whole = format!("Hello, this is {subject}.\r\n");
        messages(&maildir).iter().any(|message| message.text().ends_with(&whole))
    };
    let mut missing = Vec::new();
    for subject in (0..MESSAGES).map(|number| subject(round, number)) {
        missing.extend(
            [ANN, BOB]
                .iter()
                .filter(|account| !in_mailbox(account, &subject))
                .map(|account| format!("{subject} for {account}")),
        );
        missing.extend((!queued.contains(&subject)).then(|| format!("{subject} in the queue")));
    }
    missing
}

/// A file system of its own, in a file.
struct Disk {
    folder: Folder,
    is_mounted: bool,
}

impl Disk {
    fn new() -> Self {
        let folder = Folder::new("disk");
        let image = folder.join("image");
        std::fs::File::create(&image).unwrap().set_len(256 * 1024 * 1024).unwrap();
        run(program("mkfs.ext4").arg("-q").arg(&image)).succeeded();
        folder.create("mounted");
        let mut this = Self { folder, is_mounted: false };
        this.mount();
        this
    }

    fn mounted(&self) -> PathBuf {
        self.folder.join("mounted")
    }

    fn mount(&mut self) {
        run(rooted("/bin/mount").arg("-o").arg("loop").arg(self.folder.join("image")).arg(self.mounted()))
            .succeeded();
        self.is_mounted = true;
    }

    fn unmount(&mut self) {
        run(rooted("/bin/umount").arg(self.mounted())).succeeded();
        self.is_mounted = false;
    }

    /// Cuts the power, and starts disk and server again.
    fn cut(&mut self, kings: &mut Kings) {
        self.shut_down();
        kings.kill();
        self.unmount();
        self.mount();
        kings.serve();
    }

    /// The same for a server in the hands of strace.
    fn cut_under(&mut self, kings: &mut Kings, strace: Strace) {
        self.shut_down();
        kings.kill();
        drop(strace);
        self.unmount();
        self.mount();
        kings.serve();
    }

    /// Puts everything on the disk, whoever wrote it.
    fn sync(&self) {
        run(rooted("/bin/sync").arg("--file-system").arg(self.mounted())).succeeded();
    }

    /// `FS_IOC_SHUTDOWN` with `NOLOGFLUSH`.
    fn shut_down(&self) {
        const SCRIPT: &str = "import fcntl, os, struct, sys\n\
             fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        run(rooted("/usr/bin/python3").arg("-c").arg(SCRIPT).arg(self.mounted())).succeeded();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            let mut unmount = rooted("/bin/umount");
            let _ = unmount.arg("--lazy").arg(self.mounted()).status();
        }
    }
}
