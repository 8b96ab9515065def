//! The scenes that the power-cut judge looks at: what a server promises to clients, to the next hop and to local programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::image::{Found, Image};
use super::judge::{Ledger, Moment, Verdict, now};
use super::next_hop::NextHop;
use super::strace::Strace;
use super::trace::Trace;
use crate::harness::{Kings, Setup, Smtp, files, letter, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
/// The next hop never says anything about a message to this one before it is told to.
const SILENT: &str = "silent@two.example";
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough for everything that nobody waits for.
const QUIET: Duration = Duration::from_millis(400);
const ENTRIES: &str = "data/queue/entries/";

/// Some work of a server, and what it promises with it.
pub(super) struct Scene {
    pub(super) name: &'static str,
    /// Done before, unseen.
    prepare: fn(&Kings),
    /// What strace does to the calls.
    inject: &'static [&'static str],
    play: fn(&Kings, &NextHop, &mut Ledger),
}

impl Scene {
    /// Plays it with a healthy server, or with one in which a fault is planted, and judges what a power cut at any of its
    /// calls would have left.
    pub(super) fn run(&self, mutant: Option<&'static str>) -> Verdict {
        let next_hop = NextHop::start();
        let mut kings = setup(next_hop.1, mutant).start();
        (self.prepare)(&kings);
        let image = Image::of(kings.folder().path(), &["data/queue", "mail", "local"]);
        let log = kings.folder().join("trace");
        let strace = Strace::watch(kings.process(), &log, self.inject);
        let mut ledger = Ledger::default();
        (self.play)(&kings, &next_hop, &mut ledger);
        strace.detach();
        kings.kill();
        next_hop.release();
        ledger.judge(image, &Trace::parse(&fs::read_to_string(log).unwrap()))
    }
}

/// All of them.
pub(super) const RECEIVE: Scene = Scene { name: "receive", prepare: nothing, inject: &[], play: receive };
pub(super) const FAILED_SYNC: Scene = Scene {
    name: "receive while a sync fails",
    prepare: |kings| kings.deliver(ANN, "warm up"),
    inject: &["-e", "inject=fsync:error=EIO:when=1"],
    play: receive_in_vain,
};
pub(super) const LMTP: Scene =
    Scene { name: "receive by LMTP", prepare: nothing, inject: &[], play: receive_by_lmtp };
pub(super) const SUBMIT: Scene = Scene { name: "submit", prepare: nothing, inject: &[], play: submit };
pub(super) const RELAY: Scene = Scene { name: "relay", prepare: nothing, inject: &[], play: relay };
pub(super) const BOUNCE: Scene = Scene { name: "bounce", prepare: nothing, inject: &[], play: bounce };
pub(super) const DROP: Scene =
    Scene { name: "take a drop", prepare: nothing, inject: &[], play: take_a_drop };
pub(super) const MAILBOX: Scene = Scene { name: "mailbox", prepare: nothing, inject: &[], play: mailbox };

fn nothing(_: &Kings) {}

fn setup([one, two]: [u16; 2], mutant: Option<&'static str>) -> Setup {
    let mut setup = Setup { mutant, ..Setup::default() };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    setup.files = vec![("aliases", "out@example.org silent@two.example\n")];
    setup.tables = format!(
        "[limits]\nworker_threads = 1\nblocking_threads = 1\n[local]\nfolder = \"local\"\n\
         [outbound]\nsmart_host = \"127.0.0.1:{one}\"\n\
         [[route]]\ndomain = \"two.example\"\nto = \"smtp:127.0.0.1:{two}\"\n"
    );
    setup
}

fn receive(kings: &Kings, _: &NextHop, ledger: &mut Ledger) {
    let mut client = kings.smtp();
    for subject in ["first", "second"] {
        client.message(CAROL, &[ANN], &letter(CAROL, ANN, subject)).unwrap().is("250");
        ledger.vow(format!("{subject} in the mailbox"), Moment::told(client.port()), stored(ANN, subject));
    }
    std::thread::sleep(QUIET);
}

/// Whatever the reply is: if it takes the message, the message is there.
fn receive_in_vain(kings: &Kings, _: &NextHop, ledger: &mut Ledger) {
    let mut client = kings.smtp();
    let reply = client.message(CAROL, &[ANN], &letter(CAROL, ANN, "unlucky")).unwrap();
    if reply.code == 250 {
        ledger.vow("the unlucky one in the mailbox", Moment::told(client.port()), stored(ANN, "unlucky"));
    } else {
        reply.is("451");
    }
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "lucky")).unwrap().is("250");
    ledger.vow("the lucky one in the mailbox", Moment::told(client.port()), stored(ANN, "lucky"));
}

fn receive_by_lmtp(kings: &Kings, _: &NextHop, ledger: &mut Ledger) {
    let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
    client.command("LHLO front.example.net").unwrap().is("250");
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    for recipient in [ANN, BOB, "out@example.org"] {
        client.command(&format!("RCPT TO:<{recipient}>")).unwrap().is("250");
    }
    client.command("DATA").unwrap().is("354");
    client.send(&[letter(CAROL, ANN, "by LMTP"), b".\r\n".to_vec()].concat()).unwrap();
    for _ in 0..3 {
        client.reply().unwrap().is("250");
    }
    let told = Moment::told(client.port());
    for account in [ANN, BOB] {
        ledger.vow(format!("the mail of {account}"), told, stored(account, "by LMTP"));
    }
    ledger.vow("the mail for outside", told, queued("by LMTP"));
    std::thread::sleep(QUIET);
}

/// The next hop keeps silent: the message stays in the queue all the time.
fn submit(kings: &Kings, _: &NextHop, ledger: &mut Ledger) {
    let mut client = kings.submissions(ANN);
    for subject in ["first", "second"] {
        client.message(ANN, &[SILENT], &letter(ANN, SILENT, subject)).unwrap().is("250");
        ledger.vow(format!("{subject} in the queue"), Moment::told(client.port()), queued(subject));
    }
    std::thread::sleep(QUIET);
}

/// One recipient is taken at once; the other one is silent, then put off, and taken when it is tried again.
fn relay(kings: &Kings, next_hop: &NextHop, ledger: &mut Ledger) {
    let mut client = kings.submissions(ANN);
    let recipients = ["joe@one.example", SILENT];
    client.message(ANN, &recipients, &letter(ANN, SILENT, "for two")).unwrap().is("250");
    let told = Moment::told(client.port());
    next_hop.answered(1);
    std::thread::sleep(QUIET);
    let recorded = Moment::now();
    next_hop.release();
    next_hop.answered(2);
    wait_until("the second recipient to be put off", PATIENCE, || deferred(kings).then_some(()));
    // Where a fault has removed the entry there is nothing to be tried again.
    let taken = files(&kings.folder().join(ENTRIES)).first().map(|entry| {
        let id = entry.file_stem().unwrap().to_str().unwrap();
        assert!(kings.command(&["queue", "retry", id]).output().unwrap().status.success());
        Moment::Clock(next_hop.answered(3))
    });
    until_empty(kings);
    let taken_by = next_hop.recipients();
    ledger.vow("nobody gets it twice", Moment::now(), move |_| {
        taken_by.iter().filter(|recipient| *recipient == "joe@one.example").count() == 1
    });
    ledger.vow_between("the message in the queue until both are taken", told, taken, queued("for two"));
    let joe = |image: &Image| entries(image).any(|entry| entry.holds("recipient=1 outcome=relayed"));
    ledger.vow_between("the record that the first recipient was taken", recorded, taken, joe);
    ledger.vow("no entry comes back that is done", Moment::now(), |image| {
        !image.files().any(|file| file.may_be(|name| name.starts_with(ENTRIES)))
    });
}

/// The next hop refuses: the message is in the queue until the report is in the sender's mailbox.
fn bounce(kings: &Kings, _: &NextHop, ledger: &mut Ledger) {
    let mut client = kings.submissions(ANN);
    client.message(ANN, &["refused@one.example"], &letter(ANN, JIM, "refused")).unwrap().is("250");
    ledger.vow("the message in the queue, or its report", Moment::told(client.port()), |image| {
        queued("refused")(image) || in_mailbox(image, ANN).any(|file| file.holds("Subject: refused\r\n"))
    });
    until_empty(kings);
}

/// What `sendmail` left while there was no server is there, or in the mailbox.
fn take_a_drop(kings: &Kings, _: &NextHop, ledger: &mut Ledger) {
    let content = String::from_utf8(letter(ANN, BOB, "dropped")).unwrap();
    let dialogue =
        format!("EHLO localhost\r\nMAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n{content}.\r\nQUIT\r\n");
    let drop = kings.folder().join("local/drop/one.drop");
    let partial = drop.with_extension("part");
    fs::write(&partial, &dialogue).unwrap();
    ledger.gift(now(), drop.to_str().unwrap(), dialogue.into_bytes());
    ledger.vow("the drop, or its message", Moment::now(), |image| {
        let waits = |file: &Found<'_>| file.must_be(|name| name == "local/drop/one.drop");
        stored(BOB, "dropped")(image) || image.files().any(|file| waits(&file))
    });
    fs::rename(&partial, &drop).unwrap();
    wait_until("the drop to be taken", PATIENCE, || (!drop.exists()).then_some(()));
    wait_until("its message", PATIENCE, || (!bases(&kings.maildir(BOB)).is_empty()).then_some(()));
    std::thread::sleep(QUIET);
}

/// What an IMAP client was shown or told: UIDs, numbers of changes, flags, notes, what is gone, what was added and copied.
fn mailbox(kings: &Kings, _: &NextHop, ledger: &mut Ledger) {
    kings.deliver(ANN, "one");
    kings.deliver(ANN, "two");
    let mut imap = kings.imap(ANN);
    let (shown, _) = imap.result("SELECT INBOX (CONDSTORE)");
    let told = Moment::told(imap.port());
    let text: String = shown.iter().map(|line| line.text.as_str()).collect();
    let validity = number_behind(&text, "UIDVALIDITY ");
    let highest = number_behind(&text, "HIGHESTMODSEQ ");
    ledger.vow("the ceiling above what was shown", told, move |image| {
        holds_at(image, "kings-state", &|text| number_behind(text, "modseq-ceiling ") >= highest)
    });
    vow_uids(kings, ledger, told, (validity, &[(1, "one")]));

    kings.deliver(ANN, "three");
    imap.command("NOOP");
    vow_uids(kings, ledger, Moment::told(imap.port()), (validity, &[(3, "three")]));

    imap.command("STORE 1 +FLAGS (\\Flagged)");
    ledger.vow("the flag", Moment::told(imap.port()), |image| {
        let flagged = |name: &str| name.rsplit_once(":2,").is_some_and(|(_, flags)| flags.contains('F'));
        in_mailbox(image, ANN).any(|file| file.holds(&body("one")) && file.must_be(flagged))
    });

    imap.command("SETMETADATA INBOX (/private/comment \"noted\")");
    ledger.vow("the note", Moment::told(imap.port()), |image| {
        holds_at(image, "kings-metadata", &|text| text.ends_with("/private/comment 5\nnoted\n"))
    });

    let draft = String::from_utf8(letter(ANN, BOB, "appended")).unwrap();
    imap.command(&format!("APPEND Sent {{{}+}}\r\n{draft}", draft.len()));
    ledger.vow("the added message", Moment::told(imap.port()), in_folder(".Sent/", "appended"));
    imap.command("COPY 1 Sent");
    ledger.vow("the copy", Moment::told(imap.port()), in_folder(".Sent/", "one"));

    imap.command("STORE 2 +FLAGS.SILENT (\\Deleted)");
    imap.command("EXPUNGE");
    ledger.vow("that the removed message is gone", Moment::told(imap.port()), |image| {
        !image
            .files()
            .any(|file| file.may_hold(&body("two")) && file.may_be(|name| name.starts_with("mail/")))
    });
    // With a gap in it the list is written anew.
    kings.deliver(ANN, "four");
    imap.command("NOOP");
    vow_uids(kings, ledger, Moment::told(imap.port()), (validity, &[(4, "four")]));
    std::thread::sleep(QUIET);
}

/// Vows that these messages keep their UIDs.
fn vow_uids(kings: &Kings, ledger: &mut Ledger, told: Moment, (validity, uids): (u64, &[(u32, &str)])) {
    let bases = bases(&kings.maildir(ANN));
    for (uid, subject) in uids {
        let (start, end) = (format!("{uid} "), format!(":{}", bases[*subject]));
        ledger.vow(format!("UID {uid}"), told, move |image| {
            holds_at(image, "dovecot-uidlist", &|text| {
                text.contains(&format!(" V{validity} "))
                    && text.lines().any(|line| line.starts_with(&start) && line.ends_with(&end))
            })
        });
    }
}

/// The name of each message without its flags, by its subject.
fn bases(maildir: &Path) -> BTreeMap<String, String> {
    let all = ["new", "cur"].into_iter().flat_map(|part| files(&maildir.join(part)));
    let named = all.filter_map(|path| {
        let text = String::from_utf8_lossy(&fs::read(&path).ok()?).into_owned();
        let subject = text.split_once("\r\nSubject: ")?.1.lines().next()?.to_owned();
        let name = path.file_name()?.to_str()?.to_owned();
        Some((subject, name.split_once(":2,").map_or(name.clone(), |(base, _)| base.to_owned())))
    });
    named.collect()
}

const JIM: &str = "jim@one.example";

fn until_empty(kings: &Kings) {
    wait_until("the queue to be empty", PATIENCE, || {
        files(&kings.folder().join(ENTRIES)).is_empty().then_some(())
    });
    std::thread::sleep(QUIET);
}

fn body(subject: &str) -> String {
    format!("Hello, this is {subject}.\r\n")
}

fn stored(account: &'static str, subject: &'static str) -> impl Fn(&Image) -> bool {
    move |image| in_mailbox(image, account).any(|file| file.holds(&body(subject)))
}

fn in_mailbox<'a>(image: &'a Image, account: &str) -> impl Iterator<Item = Found<'a>> {
    let (user, domain) = account.split_once('@').unwrap();
    let places = ["new", "cur"].map(|part| format!("mail/{domain}/{user}/{part}/"));
    image.files().filter(move |file| file.must_be(|name| places.iter().any(|place| name.starts_with(place))))
}

fn in_folder(folder: &'static str, subject: &'static str) -> impl Fn(&Image) -> bool {
    move |image| {
        image.files().any(|file| file.must_be(|name| name.contains(folder)) && file.holds(&body(subject)))
    }
}

fn entries(image: &Image) -> impl Iterator<Item = Found<'_>> {
    image.files().filter(|file| file.must_be(|name| name.starts_with(ENTRIES)))
}

fn queued(subject: &'static str) -> impl Fn(&Image) -> bool {
    move |image| entries(image).any(|entry| entry.holds(&body(subject)))
}

/// Whether a side file of ann's inbox is there, and this is true of it, whatever a cut leaves.
fn holds_at(image: &Image, name: &str, is_true: &dyn Fn(&str) -> bool) -> bool {
    let found = image.at(&format!("mail/example.org/ann/{name}"));
    found.is_some_and(|found| found.iter().all(|file| file.all(is_true)))
}

fn number_behind(text: &str, word: &str) -> u64 {
    let digits = text.split_once(word).map_or("", |(_, rest)| rest);
    digits.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
}

/// Whether the one entry waits for a later attempt, as its name says.
fn deferred(kings: &Kings) -> bool {
    let later = |path: &Path| {
        let next = path.extension()?.to_str()?.parse::<u64>().ok()?;
        Some(next * 1_000_000 > now() + 30_000_000)
    };
    files(&kings.folder().join(ENTRIES)).iter().all(|path| later(path).unwrap_or(false))
}
