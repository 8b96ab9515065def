//! Full and failing disks under the real binary: nothing acknowledged is lost, and all goes on by itself.
//!
//! Small file systems are mounted for it, so these tests need root, or sudo that asks for no password.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::harness::{
    Daemon, Folder, Kings, Setup, UNVERIFIED, files, free_port, letter, messages, program, rooted, run,
    wait_until,
};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
const JOE: &str = "joe@example.net";
const MEGABYTE: usize = 1024 * 1024;

/// A small file system in memory. It must be dropped after the server that uses it.
struct Disk {
    folder: Folder,
}

impl Disk {
    #[track_caller]
    fn mount(options: &str) -> Self {
        let folder = Folder::new("disk");
        let mut command = rooted("/bin/mount");
        command.args(["-t", "tmpfs", "-o", options, "kings-test"]).arg(folder.path());
        run(&mut command).succeeded();
        run(rooted("/bin/chmod").arg("777").arg(folder.path())).succeeded();
        Self { folder }
    }

    fn text(&self) -> String {
        self.folder.path().to_str().expect("the temporary folder has a name in UTF-8").to_owned()
    }

    /// Takes all octets that are left, but for `spare`.
    fn fill(&self, spare: usize) -> PathBuf {
        let path = self.folder.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(spare as u64)).unwrap();
        forget_the_last_look();
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(rooted("/bin/umount").arg("--lazy").arg(self.folder.path()));
    }
}

/// The server looks at the free space ten times a second, not at every message.
fn forget_the_last_look() {
    sleep(Duration::from_millis(200));
}

/// A server whose mailboxes are on this disk, 1 MB of which stays free; its other data is `elsewhere`.
fn with_mail_on(disk: &Disk, elsewhere: &Folder) -> Kings {
    symlink(elsewhere.path(), disk.folder.join("data")).unwrap();
    let tables = "[limits]\nfree_space_reserve = 1048576\n".to_owned();
    Setup { tables, disk: disk.text(), ..Setup::default() }.start()
}

#[track_caller]
fn send(kings: &Kings, content: &[u8]) -> crate::harness::Reply {
    kings.smtp().message(CAROL, &[ANN], content).unwrap()
}

fn stored(maildir: &Path) -> Vec<String> {
    let mut subjects: Vec<_> =
        messages(maildir).iter().filter_map(|message| message.field("Subject")).collect();
    subjects.sort();
    let tmp = fs::read_dir(maildir.join("tmp")).map(Iterator::count).unwrap_or_default();
    assert_eq!(tmp, 0, "something was left in tmp");
    subjects
}

#[test]
fn a_full_disk_is_452_and_mail_flows_again_when_there_is_room() {
    let disk = Disk::mount("size=8m");
    let elsewhere = Folder::new("data");
    let kings = with_mail_on(&disk, &elsewhere);
    let maildir = disk.folder.join("mail/example.org/ann");
    send(&kings, &letter(CAROL, ANN, "before")).is("250");

    let filler = disk.fill(MEGABYTE / 2);
    send(&kings, &letter(CAROL, ANN, "below the reserve")).is("452 4.3.1");
    fs::remove_file(filler).unwrap();
    send(&kings, &letter(CAROL, ANN, "after")).is("250");

    // Room enough to begin, but not for all of it: the refusal comes at the end.
    let large =
        [letter(CAROL, ANN, "too large for what is left"), b"0123456789abcdef\r\n".repeat(250_000)].concat();
    let filler = disk.fill(2 * MEGABYTE);
    send(&kings, &large).is("452 4.3.1");
    send(&kings, &letter(CAROL, ANN, "small")).is("250");
    fs::remove_file(filler).unwrap();
    assert_eq!(stored(&maildir), ["after", "before", "small"]);
}

#[test]
fn a_disk_without_inodes_is_452_and_mail_flows_again() {
    let disk = Disk::mount("size=8m,nr_inodes=300");
    let elsewhere = Folder::new("data");
    let kings = with_mail_on(&disk, &elsewhere);
    let maildir = disk.folder.join("mail/example.org/ann");
    send(&kings, &letter(CAROL, ANN, "before")).is("250");
    let crowd = disk.folder.create("crowd");
    let made = (0..300).take_while(|number| File::create(crowd.join(number.to_string())).is_ok()).count();
    assert!(made > 10, "only {made} files fitted");
    forget_the_last_look();
    send(&kings, &letter(CAROL, ANN, "no inode")).is("452 4.3.1");
    fs::remove_dir_all(crowd).unwrap();
    send(&kings, &letter(CAROL, ANN, "after")).is("250");
    assert_eq!(stored(&maildir), ["after", "before"]);
}

/// The subjects that a server has stored for ann.
fn arrived(kings: &Kings) -> Vec<String> {
    stored(&kings.maildir(ANN))
}

#[test]
fn the_queue_drains_on_a_disk_that_is_full_to_the_last_block() {
    const COUNT: usize = 20;
    let disk = Disk::mount("size=8m");
    let port = free_port();
    let tables =
        format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\n[limits]\nfree_space_reserve = 1048576\n");
    let kings = Setup { tables, disk: disk.text(), ..Setup::default() }.start();
    for number in 0..COUNT {
        kings.submit(ANN, JOE, &format!("number {number:02}"));
    }
    let filler = disk.fill(0);
    let mut client = kings.submissions(ANN);
    client.message(ANN, &[JOE], &letter(ANN, JOE, "refused")).unwrap().is("452 4.3.1");

    // The next hop appears only now: every outcome must be recorded without a free block.
    let tables = format!("{UNVERIFIED}[[domain]]\nname = \"example.net\"\ncatch_all = \"ann@example.org\"\n");
    let listen = format!("smtp = [\"127.0.0.1:{port}\"]\n");
    let next_hop = Setup { listen, tables, ..Setup::default() }.start();
    let queued = || {
        run(&mut kings.command(&["queue", "retry"])).succeeded();
        let listing = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
        let listing: serde_json::Value = serde_json::from_slice(&listing.stdout).unwrap();
        listing["items"].as_array().map_or(0, Vec::len)
    };
    wait_until("an empty queue", Duration::from_secs(30), || (queued() == 0).then_some(()));
    let expected: Vec<String> = (0..COUNT).map(|number| format!("number {number:02}")).collect();
    assert_eq!(arrived(&next_hop), expected, "each once");

    fs::remove_file(filler).unwrap();
    kings.submit(ANN, JOE, "after");
    wait_until("the next message", Duration::from_secs(20), || {
        (messages(&next_hop.maildir(ANN)).len() > COUNT).then_some(())
    });
}

/// The same without an inode to spare: what comes is 452, what waits leaves all the same.
#[test]
fn the_queue_drains_on_a_disk_without_inodes() {
    const COUNT: usize = 10;
    let disk = Disk::mount("size=8m,nr_inodes=400");
    let port = free_port();
    let tables =
        format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\n[limits]\nfree_space_reserve = 1048576\n");
    let kings = Setup { tables, disk: disk.text(), ..Setup::default() }.start();
    for number in 0..COUNT {
        kings.submit(ANN, JOE, &format!("number {number:02}"));
    }
    let crowd = disk.folder.create("crowd");
    let made = (0..400).take_while(|number| File::create(crowd.join(number.to_string())).is_ok()).count();
    assert!(made > 10, "only {made} files fitted");
    forget_the_last_look();
    let mut client = kings.submissions(ANN);
    client.message(ANN, &[JOE], &letter(ANN, JOE, "refused")).unwrap().is("452 4.3.1");

    let tables = format!("{UNVERIFIED}[[domain]]\nname = \"example.net\"\ncatch_all = \"ann@example.org\"\n");
    let listen = format!("smtp = [\"127.0.0.1:{port}\"]\n");
    let next_hop = Setup { listen, tables, ..Setup::default() }.start();
    wait_until("an empty queue", Duration::from_secs(30), || {
        run(&mut kings.command(&["queue", "retry"])).succeeded();
        let listing = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
        let listing: serde_json::Value = serde_json::from_slice(&listing.stdout).unwrap();
        listing["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let mut expected: Vec<String> = (0..COUNT).map(|number| format!("number {number:02}")).collect();
    assert_eq!(arrived(&next_hop), expected, "each once");

    fs::remove_dir_all(crowd).unwrap();
    forget_the_last_look();
    kings.submit(ANN, JOE, "then");
    expected.push("then".to_owned());
    wait_until("the next message", Duration::from_secs(20), || {
        (messages(&next_hop.maildir(ANN)).len() > COUNT).then_some(())
    });
    assert_eq!(arrived(&next_hop), expected);
}

const SYNCS: &str = "fsync,fdatasync,syncfs";
const RENAMES: &str = "rename,renameat,renameat2,link,linkat";
/// Only files are written to at a place: sockets and what wakes threads go on.
const WRITES: &str = "pwrite64,pwritev,pwritev2";

/// Makes every call of these of a running server fail with this error until it is dropped.
struct Failing(Daemon, &'static str);

impl Failing {
    #[track_caller]
    fn start(kings: &Kings, calls: &str) -> Self {
        Self::with("EIO", kings, calls)
    }

    #[track_caller]
    fn with(error: &'static str, kings: &Kings, calls: &str) -> Self {
        let mut command = rooted(program("strace").get_program());
        command.args(["-f", "-qq", "-e", &format!("trace={calls}")]);
        command.args(["-e", &format!("inject={calls}:error={error}"), "-p", &kings.process().to_string()]);
        let log = kings.folder().join("strace.log");
        let daemon = Daemon::start("strace", &mut command, &log);
        let status = format!("/proc/{}/status", kings.process());
        wait_until("strace to attach", Duration::from_secs(10), || {
            let traced = fs::read_to_string(&status).unwrap();
            (!traced.lines().any(|line| line == "TracerPid:\t0")).then_some(())
        });
        // It attaches to one thread after the other.
        sleep(Duration::from_millis(500));
        Self(daemon, error)
    }

    /// They work again; gives how many of them failed.
    fn stop(self) -> usize {
        self.0.signal(Signal::INT);
        sleep(Duration::from_millis(300));
        self.0.log().matches(self.1).count()
    }
}

#[test]
fn a_sync_that_fails_is_451_and_nothing_of_the_message_stays() {
    let kings = Kings::start();
    send(&kings, &letter(CAROL, ANN, "before")).is("250");
    let failing = Failing::start(&kings, SYNCS);
    let mut client = kings.smtp();
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "lost")).unwrap().is("451 4.3.0");
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "lost too")).unwrap().is("451 4.3.0");
    assert!(failing.stop() >= 2, "each message asked for a sync of its own");
    assert_eq!(stored(&kings.maildir(ANN)), ["before"]);
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "after")).unwrap().is("250");
    assert_eq!(stored(&kings.maildir(ANN)), ["after", "before"]);
}

#[test]
fn a_sync_that_fails_in_the_queue_is_451_and_nothing_is_queued() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let kings = Setup { tables, ..Setup::default() }.start();
    let mut client = kings.submissions(ANN);
    let failing = Failing::start(&kings, SYNCS);
    client.message(ANN, &[JOE], &letter(ANN, JOE, "lost")).unwrap().is("451 4.3.0");
    assert!(failing.stop() >= 1);
    let listed = |kings: &Kings| run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
    assert!(!listed(&kings).contains(JOE), "{}", listed(&kings));
    client.message(ANN, &[JOE], &letter(ANN, JOE, "after")).unwrap().is("250");
    wait_until("the message in the queue", Duration::from_secs(5), || {
        listed(&kings).contains(JOE).then_some(())
    });
}

/// A mailbox and the queue, each where its files get their names, and the queue where they are written.
#[test]
fn a_write_or_a_rename_that_fails_is_451_and_nothing_of_the_message_stays() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    for (to, calls) in [(ANN, RENAMES), (JOE, RENAMES), (JOE, WRITES)] {
        let kings = Setup { tables: tables.clone(), ..Setup::default() }.start();
        let mut client = kings.submissions(ANN);
        let failing = Failing::start(&kings, calls);
        client.message(ANN, &[to], &letter(ANN, to, "lost")).unwrap().is("451 4.3.0");
        assert!(failing.stop() >= 1, "{calls} were not asked for");
        client.message(ANN, &[to], &letter(ANN, to, "after")).unwrap().is("250");
        // A file that gets its next name meanwhile is looked for again.
        let holding = |subject: &str| {
            let all =
                [files(&kings.folder().join("mail")), files(&kings.folder().join("data/queue"))].concat();
            let text =
                |file: &PathBuf| String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
            all.iter().filter(|file| text(file).contains(&format!("Subject: {subject}"))).count()
        };
        wait_until("the message that came after", Duration::from_secs(10), || {
            (holding("after") == 1).then_some(())
        });
        assert_eq!(holding("lost"), 0, "{to} {calls}");
    }
}

/// The owner of the files has used up its quota of the disk (EDQUOT): new mail is put off as on a full disk, and what waits
/// leaves, since a file that goes needs no room. Kernels of test machines know no quotas, so its calls fail by strace.
#[test]
fn a_quota_of_the_disk_that_is_used_up_is_452_and_what_waits_leaves() {
    let port = free_port();
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\n");
    let kings = Setup { tables, ..Setup::default() }.start();
    let maildir = kings.maildir(ANN);
    send(&kings, &letter(CAROL, ANN, "before")).is("250");
    let refused = |calls: &str, to: &str| {
        let failing = Failing::with("EDQUOT", &kings, calls);
        let sent = if to == ANN {
            send(&kings, &letter(CAROL, to, "refused"))
        } else {
            kings.submissions(ANN).message(ANN, &[to], &letter(ANN, to, "refused")).unwrap()
        };
        sent.is("452 4.3.1");
        failing
    };
    for (calls, to) in [("writev", ANN), (RENAMES, ANN), (RENAMES, JOE)] {
        assert!(refused(calls, to).stop() >= 1, "{calls} were not asked for");
    }
    assert_eq!(stored(&maildir), ["before"]);
    kings.submit(ANN, JOE, "waits");
    let listing = || {
        let listing = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
        serde_json::from_slice::<serde_json::Value>(&listing.stdout).unwrap()["items"].clone()
    };
    wait_until("the first attempt", Duration::from_secs(20), || {
        (listing()[0]["recipients"][0]["state"] == "deferred").then_some(())
    });
    let failing = refused(WRITES, JOE);
    let tables = format!("{UNVERIFIED}[[domain]]\nname = \"example.net\"\ncatch_all = \"ann@example.org\"\n");
    let listen = format!("smtp = [\"127.0.0.1:{port}\"]\n");
    let next_hop = Setup { listen, tables, ..Setup::default() }.start();
    run(&mut kings.command(&["queue", "retry"])).succeeded();
    wait_until("an empty queue", Duration::from_secs(30), || {
        listing().as_array().is_some_and(Vec::is_empty).then_some(())
    });
    assert!(failing.stop() >= 1);
    assert_eq!(arrived(&next_hop), ["waits"]);
    kings.submit(ANN, JOE, "after");
    send(&kings, &letter(CAROL, ANN, "after")).is("250");
    wait_until("the next message", Duration::from_secs(20), || (arrived(&next_hop).len() == 2).then_some(()));
    assert_eq!(arrived(&next_hop), ["after", "waits"]);
    assert_eq!(stored(&maildir), ["after", "before"]);
}

#[test]
fn mailboxes_that_cannot_be_written_are_451_and_mail_flows_again() {
    let disk = Disk::mount("size=8m");
    let elsewhere = Folder::new("data");
    let kings = with_mail_on(&disk, &elsewhere);
    let remount = |how: &str| {
        let mut command = rooted("/bin/mount");
        run(command.args(["-o", &format!("remount,{how}")]).arg(disk.folder.path())).succeeded();
    };
    send(&kings, &letter(CAROL, ANN, "before")).is("250");
    remount("ro");
    send(&kings, &letter(CAROL, ANN, "read-only")).is("451 4.3.0");
    remount("rw");
    send(&kings, &letter(CAROL, ANN, "after")).is("250");
    assert_eq!(stored(&disk.folder.join("mail/example.org/ann")), ["after", "before"]);
}
