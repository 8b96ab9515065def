//! Local programs send mail by `sendmail`, as root and as others, while the server runs and while it does not.

use std::fs::DirEntry;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Folder, Kings, Message, Output, Setup, free_port, messages, program, run, run_with_input, wait_until,
};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
/// A user of every machine that is not root.
const NOBODY: &str = "nobody";

/// A server with a folder for local mail that any user may reach, and `sendmail` and its friends beside it.
struct Machine {
    kings: Kings,
    programs: Folder,
}

impl Machine {
    #[track_caller]
    fn start(tables: &str) -> Self {
        let programs = Folder::new("programs");
        open(&programs.join(""));
        // A user of the machine must be able to run it, wherever it was built.
        let binary = programs.join("kings");
        std::fs::copy(env!("CARGO_BIN_EXE_kings"), &binary).unwrap();
        open(&binary);
        for name in ["sendmail", "mailq", "newaliases"] {
            symlink(&binary, programs.join(name)).unwrap();
        }
        let aliases = programs.write("system-aliases", "root: ann\nnobody: bob\nteam: ann, bob\n");
        let tables = format!("[local]\nfolder = \"local\"\n{tables}");
        let text =
            Setup { aliases: format!("system = \"{}\"\n", aliases.display()), tables, ..Setup::default() };
        let kings = text.start();
        open(kings.folder().path());
        open(&kings.folder().join("kings.toml"));
        Self { kings, programs }
    }

    fn program(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.arg("-C").arg(self.kings.folder().join("kings.toml")).args(arguments);
        command
    }

    /// The same as another user of the machine.
    fn as_nobody(&self, arguments: &[&str]) -> Command {
        let mut command = program("setpriv");
        command.args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups"]);
        command.arg(self.programs.join("sendmail")).arg("-C").arg(self.kings.folder().join("kings.toml"));
        command.args(arguments);
        command
    }

    fn drops(&self) -> PathBuf {
        self.kings.folder().join("local/drop")
    }

    #[track_caller]
    fn only_message(&self, account: &str) -> Message {
        let folder = self.kings.maildir(account);
        wait_until("the message", Duration::from_secs(20), || (!messages(&folder).is_empty()).then_some(()));
        let mut found = messages(&folder);
        assert_eq!(found.len(), 1, "messages of {account}");
        found.remove(0)
    }
}

/// Reports of programs have such lines first of all; those of 998 octets are mail as they are.
#[test]
fn a_line_of_a_program_that_is_too_long_for_mail_is_encoded() {
    for (octets, is_encoded) in [(998, false), (5_000, true)] {
        let machine = Machine::start("");
        let report = format!("Subject: report\n\n{}\n", "x".repeat(octets));
        run_with_input(&mut machine.program("sendmail", &["-i", BOB]), report.as_bytes()).succeeded();
        let text = machine.only_message(BOB).text();
        assert!(text.lines().all(|line| line.len() <= 998), "{text}");
        assert_eq!(text.contains("Content-Transfer-Encoding: "), is_encoded, "{text}");
    }
}

fn left_in(drops: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut left: Vec<String> = std::fs::read_dir(drops).unwrap().map(name).collect();
    left.sort();
    left
}

fn open(path: &std::path::Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[track_caller]
fn exits(output: Output, code: i32, says: &str) {
    assert_eq!(output.status.code(), Some(code), "{output}");
    output.says(says);
}

#[test]
fn root_sends_with_recipients_from_the_header() {
    let machine = Machine::start("");
    let letter = "To: Ann Lee <ann@example.org>, bob\nCc: team\nBcc: root\nSubject: from root\n\nhello\n..dots\n.\nnot read\n";
    run_with_input(&mut machine.program("sendmail", &["-t"]), letter.as_bytes()).succeeded();
    for account in [ANN, BOB] {
        let text = machine.only_message(account).text();
        assert!(
            text.contains(
                "\r\nTo: Ann Lee <ann@example.org>,\r\n\tbob@example.org\r\nCc: team@example.org\r\n"
            ),
            "{text}"
        );
        assert!(
            text.contains("Return-Path: <root@example.org>") && text.contains("from user root, uid 0"),
            "{text}"
        );
        assert!(
            text.contains("<root@example.org>\r\n")
                && text.contains("\r\nMessage-ID: <")
                && text.contains("\r\nDate: "),
            "{text}"
        );
        assert!(!text.contains("Bcc") && text.ends_with("\r\n\r\nhello\r\n..dots\r\n"), "{text}");
    }
}

#[test]
fn cron_mail_of_any_user_reaches_whoever_reads_it() {
    let machine = Machine::start("");
    // As cron calls it, with output that draws a progress bar.
    let letter = "From: nobody (Cron Daemon)\nTo: root\nSubject: Cron <nobody@host> backup\nContent-Type: text/plain; charset=UTF-8\n\n10%\r100%\n";
    run_with_input(
        &mut machine.as_nobody(&["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"]),
        letter.as_bytes(),
    )
    .succeeded();
    let text = machine.only_message(ANN).text();
    assert!(
        text.contains("\r\nTo: root@example.org\r\n") && text.contains("from user nobody, uid"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\n10%\r\n100%\r\n"), "{text}");
}

#[test]
fn a_user_writes_as_itself_and_a_trusted_one_as_anybody() {
    let machine = Machine::start("");
    let letter = b"From: ann@example.org\nSubject: not quite\n\nx\n";
    exits(run_with_input(&mut machine.as_nobody(&["-f", ANN, BOB]), letter), 77, "553 5.7.1");
    run_with_input(&mut machine.as_nobody(&[BOB]), letter).succeeded();
    let text = machine.only_message(BOB).text();
    assert!(text.contains("Return-Path: <nobody@example.org>"), "{text}");
    assert!(text.contains("\r\nSender: <nobody@example.org>\r\n"), "{text}");

    let trusting = Machine::start("trusted_users = [\"nobody\"]\n");
    run_with_input(&mut trusting.as_nobody(&["-f", ANN, BOB]), letter).succeeded();
    let text = trusting.only_message(BOB).text();
    assert!(text.contains("Return-Path: <ann@example.org>") && !text.contains("Sender:"), "{text}");
}

/// The header is ASCII whatever the name, and an ASCII name stays as it is.
#[test]
fn a_name_that_is_not_ascii_is_encoded() {
    for (name, expected) in [
        ("Ré Zoë", "\r\nFrom: =?utf-8?Q?R=C3=A9_Zo=C3=AB?= <root@example.org>\r\n"),
        ("R. E.", "\r\nFrom: \"R. E.\" <root@example.org>\r\n"),
    ] {
        let machine = Machine::start("");
        let letter = "Subject: schön\n\nx\n".as_bytes();
        run_with_input(&mut machine.program("sendmail", &["-F", name, BOB]), letter).succeeded();
        let text = machine.only_message(BOB).text();
        assert!(text.contains("\r\nSubject: =?utf-8?Q?sch=C3=B6n?=\r\n"), "{text}");
        assert!(text.is_ascii() && text.contains(expected), "{text}");
    }
}

#[test]
fn what_is_said_by_smtp_is_from_its_sender_and_for_whom_it_reaches() {
    let machine = Machine::start("");
    let dialogue = |sender: &str, header: &str| {
        format!(
            "EHLO x\nMAIL FROM:<{sender}>\nRCPT TO:<nobody@localhost>\nDATA\n{header}Subject: x\n\nx\n.\nQUIT\n"
        )
    };
    for (place, (sender, header, from)) in [
        ("joe@elsewhere.example", "", "\r\nFrom: <joe@elsewhere.example>\r\n"),
        ("ann@localhost", "", "\r\nFrom: <ann@example.org>\r\n"),
        ("bob", "", "\r\nFrom: <bob@example.org>\r\n"),
        ("", "", "\r\nFrom: <root@example.org>\r\n"),
        ("joe@elsewhere.example", "From: eve@x.example\n", "\r\nFrom: eve@x.example\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let input = dialogue(sender, header);
        run_with_input(&mut machine.program("sendmail", &["-bs"]), input.as_bytes())
            .succeeded()
            .says("250 2.0.0");
        let folder = machine.kings.maildir(BOB);
        wait_until("the message", Duration::from_secs(20), || {
            (messages(&folder).len() > place).then_some(())
        });
        let texts: Vec<String> = messages(&folder).iter().map(Message::text).collect();
        assert!(texts.iter().any(|text| text.contains(from)), "{texts:?}");
        assert!(texts.iter().all(|text| text.contains("for <nobody@example.org>;")), "{texts:?}");
    }
}

#[test]
fn exit_codes_are_those_of_sysexits() {
    let machine = Machine::start("");
    let letter = b"Subject: x\n\nx\n";
    let sendmail =
        |arguments: &[&str], input: &[u8]| run_with_input(&mut machine.program("sendmail", arguments), input);
    exits(sendmail(&[], letter), 64, "recipients must stand");
    exits(sendmail(&["-t"], letter), 64, "names no recipient");
    exits(sendmail(&["-bd"], letter), 64, "kings serve");
    exits(sendmail(&["-Z"], letter), 64, "not known");
    exits(sendmail(&["root"], b"From: a@x\nFrom: b@x\n\nx\n"), 65, "more than one From");
    exits(sendmail(&["stranger"], letter), 67, "stranger@localhost: 550 5.1.1");
    // The others get it all the same.
    exits(sendmail(&["stranger", "root"], letter), 67, "550 5.1.1");
    machine.only_message(ANN);
    run_with_input(&mut machine.program("newaliases", &[]), b"").succeeded();
}

/// As getopt has it for Postfix's sendmail: `-o i` is `-oi`, and no recipient; and VERP, which list managers ask for.
#[test]
fn options_have_their_values_where_postfix_looks_for_them() {
    let machine = Machine::start("");
    let send = |options: &[&str], text: &str| {
        run_with_input(&mut machine.program("sendmail", options), text.as_bytes())
    };
    send(&["-o", "i", "-e", "m", "-A", "c", ANN], "Subject: dots\n\n.\nbehind the dot\n").succeeded();
    let text = machine.only_message(ANN).text();
    assert!(text.ends_with("\r\n.\r\nbehind the dot\r\n"), "{text}");
    send(&["-XV", "-f", "owner@example.org", BOB], "Subject: verp\n\nx\n").succeeded();
    let text = machine.only_message(BOB).text();
    assert!(text.starts_with("Return-Path: <owner+bob=example.org@example.org>\r\n"), "{text}");
    exits(send(&["-XV-=", "-f", "", ANN], "x\n"), 64, "-XV needs a sender");
}

#[test]
fn an_alias_that_pipes_stops_neither_the_server_nor_the_other_aliases() {
    let mut machine = Machine::start("");
    machine.kings.kill();
    let aliases = "bob: \"|/usr/bin/vacation bob\"\nbin: /dev/null\nroot: ann\n";
    let path = machine.programs.write("system-aliases", aliases);
    let warning = format!("warning: {}:1: mail for bob is put off: ", path.display());
    run(&mut machine.kings.command(&["config", "check"])).succeeded().says(&warning);
    run_with_input(&mut machine.program("newaliases", &[]), b"").succeeded().says(&warning);
    machine.kings.serve();
    let reply = machine.kings.smtp().message("x@elsewhere.example", &[BOB], b"Subject: x\r\n\r\nx\r\n");
    assert_eq!(reply.unwrap().code, 451);
    let letter = b"Subject: x\n\nx\n";
    run_with_input(&mut machine.program("sendmail", &["bin"]), letter).succeeded();
    run_with_input(&mut machine.program("sendmail", &["root"]), letter).succeeded();
    machine.only_message(ANN);
    assert_eq!(messages(&machine.kings.maildir(BOB)).len(), 0);
    // Who is put off is left to the queue, and the others have it at once.
    run_with_input(&mut machine.program("sendmail", &["root", "bob"]), letter).succeeded();
    wait_until("the others' copy", Duration::from_secs(20), || {
        (messages(&machine.kings.maildir(ANN)).len() == 2).then_some(())
    });
    run(&mut machine.program("mailq", &[])).succeeded().says("bob@").says("in 1 Request");
    wait_until("the trace tells where it went", Duration::from_secs(10), || {
        let story = run(&mut machine.kings.command(&["trace", "--recipient", "bin@localhost"])).text();
        story.contains("taken and thrown away for <bin@localhost>: an alias leads to /dev/null").then_some(())
    });
}

#[test]
fn programs_speak_smtp_on_standard_input() {
    let machine = Machine::start("");
    // EHLO waits for its reply (RFC 2920 §3.1).
    let mut shell = Command::new("sh");
    let script = "(echo EHLO x; sleep 1; printf 'MAIL FROM:<root@localhost>\\nRCPT TO:<ann@example.org>\\nRSET\\n'; sleep 1) | \"$@\"";
    shell.args(["-c", script, "sh"]).arg(machine.programs.join("sendmail")).arg("-C");
    let output =
        run_with_input(shell.arg(machine.kings.folder().join("kings.toml")).arg("-bs"), b"").succeeded();
    assert!(
        output.text().starts_with("220 mail.example.org") && output.text().contains("250 2.1.5"),
        "{output}"
    );
}

/// As Postfix takes it: nothing waits for a reply (`sendmail -bs < file`).
#[test]
fn a_script_may_write_all_of_its_side_of_smtp_at_once() {
    let machine = Machine::start("");
    // Two messages, the first longer than anything is read at once, and another EHLO between them.
    let long = "0123456789abcdef\r\n".repeat(40_000);
    let message = |body: &str| {
        format!(
            "EHLO x\r\nMAIL FROM:root@localhost\r\nRCPT TO:ann@example.org\r\nDATA\r\nSubject: scripted\r\n\r\n..dot\r\n{body}.\r\n"
        )
    };
    let script = message(&long) + &message("") + "QUIT\r\n";
    let output = run_with_input(&mut machine.program("sendmail", &["-bs"]), script.as_bytes()).succeeded();
    assert_eq!(output.text().matches("\r\n354 ").count(), 2, "{output}");
    assert!(output.text().contains("\r\n221 "), "{output}");
    let found: Vec<String> = messages(&machine.kings.maildir(ANN)).iter().map(Message::text).collect();
    for body in [long.as_str(), ""] {
        let end = format!("Subject: scripted\r\n\r\n.dot\r\n{body}");
        assert!(found.iter().any(|text| text.ends_with(&end)), "{} octets of body", body.len());
    }
}

/// As with Postfix (`authorized_mailq_users`, `authorized_flush_users`): all may, unless the config says who.
#[test]
fn any_user_lists_and_flushes_the_queue_unless_the_config_says_who() {
    let mut machine = Machine::start(&format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port()));
    run_with_input(&mut machine.program("sendmail", &["joe@elsewhere.example"]), b"Subject: x\n\nx\n")
        .succeeded();
    wait_until("it was tried", Duration::from_secs(20), || {
        run(&mut machine.as_nobody(&["-bp"])).succeeded().text().contains("refused").then_some(())
    });
    let text = run(&mut machine.as_nobody(&["-bp"])).succeeded().text();
    assert_eq!(text, run(&mut machine.program("mailq", &[])).succeeded().text(), "the same as for root");
    let ordered = |machine: &Machine| {
        let story =
            run(&mut machine.kings.command(&["trace", "--recipient", "joe@elsewhere.example"])).text();
        story.matches("ordered: retry").count()
    };
    run(&mut machine.as_nobody(&["-q"])).succeeded();
    run(&mut machine.as_nobody(&["-qRelsewhere.example"])).succeeded();
    wait_until("both orders are on record", Duration::from_secs(20), || {
        (ordered(&machine) == 2).then_some(())
    });
    exits(run(&mut machine.as_nobody(&["-qSroot"])), 77, "only root and the user that runs the server");
    let mut command = program("setpriv");
    command.args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups"]);
    command.arg(machine.programs.join("kings")).args(["status", "--config"]);
    exits(run(command.arg(machine.kings.folder().join("kings.toml"))), 77, "only root");

    let config = machine.kings.folder().join("kings.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let narrow = "[local]\nmay_list_queue = []\nmay_flush_queue = [\"www-data\"]\n";
    std::fs::write(&config, text.replacen("[local]\n", narrow, 1)).unwrap();
    machine.kings.kill();
    exits(run(&mut machine.as_nobody(&["-bp"])), 69, "the mail system is down");
    machine.kings.serve();
    exits(
        run(&mut machine.as_nobody(&["-bp"])),
        77,
        "only root and the user that runs the server may look at the queue",
    );
    exits(run(&mut machine.as_nobody(&["-q"])), 77, "only root and the user that runs the server");
    run(&mut machine.program("mailq", &[])).succeeded().says("in 1 Request");
    run(&mut machine.program("sendmail", &["-q"])).succeeded();
}

#[test]
fn programs_name_themselves_as_they_were_called_and_miss_a_config_that_is_not_there() {
    let machine = Machine::start("");
    for name in ["sendmail", "mailq", "newaliases"] {
        let mut command = Command::new(machine.programs.join(name));
        let output = run(command.args(["-C", "/nonexistent.toml"]));
        assert_eq!(output.status.code(), Some(78), "{output}");
        assert!(
            output.to_string().contains(&format!("{name}: cannot read the config /nonexistent.toml: ")),
            "{output}"
        );
    }
}

#[test]
fn mailq_lists_what_waits_as_postfix_does() {
    let machine = Machine::start("");
    run_with_input(&mut machine.program("mailq", &[]), b"").succeeded().says("Mail queue is empty");
    run_with_input(&mut machine.program("sendmail", &["joe@elsewhere.example"]), b"Subject: x\n\nx\n")
        .succeeded();
    let output = run_with_input(&mut machine.program("sendmail", &["-bp"]), b"").succeeded();
    assert!(
        output.text().starts_with("-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"),
        "{output}"
    );
    assert!(
        output.text().contains("root@example.org\n")
            && output.text().ends_with("\n-- 1 Kbytes in 1 Request.\n"),
        "{output}"
    );
}

#[test]
fn mailq_lists_what_is_left_while_the_server_is_down() {
    let mut machine = Machine::start("");
    machine.kings.kill();
    let mailq = |machine: &Machine| run(&mut machine.program("mailq", &[])).succeeded();
    mailq(&machine).says("Mail queue is empty");
    let letter = b"Subject: x\n\nx\n";
    run_with_input(&mut machine.program("sendmail", &["joe@elsewhere.example", BOB]), letter).succeeded();
    let output = mailq(&machine);
    assert!(!output.text().contains("Mail queue is empty"), "{output}");
    for said in [
        " root@localhost\n",
        "(left for the server, which has not taken it yet)\n",
        " joe@elsewhere.example\n",
    ] {
        assert!(output.text().contains(said), "{said}: {output}");
    }
    assert!(output.text().ends_with("-- 1 Kbytes in 1 Request.\n"), "{output}");
    let id = output.text().lines().nth(1).unwrap().split(' ').next().unwrap().to_owned();
    assert!(machine.drops().join(format!("{id}.drop")).exists(), "the file is found by its id");
    machine.kings.serve();
    machine.only_message(BOB);
    wait_until("the drop to be taken", Duration::from_secs(20), || {
        left_in(&machine.drops()).is_empty().then_some(())
    });
    assert!(!mailq(&machine).text().contains("left for the server"));
}

#[test]
fn addresses_are_verified_and_nothing_is_sent() {
    let mut machine = Machine::start("");
    let verify = |machine: &Machine, addresses: &[&str]| {
        run_with_input(
            &mut machine.program("sendmail", &[&["-bv"], addresses].concat()),
            b"Subject: x\n\nx\n",
        )
    };
    let output = verify(&machine, &["root", "joe@elsewhere.example"]).succeeded();
    assert_eq!(output.text(), "root@example.org... deliverable\njoe@elsewhere.example... deliverable\n");
    let output = verify(&machine, &["stranger", "root"]);
    assert!(output.text().starts_with("stranger@example.org... undeliverable: 550 5.1.1 "), "{output}");
    assert!(output.text().ends_with("root@example.org... deliverable\n"), "{output}");
    exits(output, 67, "not all of these");
    exits(verify(&machine, &[]), 64, "which addresses");
    run(&mut machine.program("mailq", &[])).succeeded().says("Mail queue is empty");
    assert!(messages(&machine.kings.maildir(ANN)).is_empty());
    machine.kings.kill();
    exits(verify(&machine, &["root"]), 75, "does not tell now");
    assert_eq!(std::fs::read_dir(machine.drops()).unwrap().count(), 0);
}

#[test]
fn what_is_tried_at_once_is_what_was_named() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let machine = Machine::start(&tables);
    for (sender, recipient) in
        [("root", "joe@a.example"), ("root", "joe@b.example"), ("ann", "joe@c.example")]
    {
        let arguments = ["-f", sender, recipient];
        run_with_input(&mut machine.program("sendmail", &arguments), b"Subject: x\n\nx\n").succeeded();
    }
    let tried = |option: &str, recipients: [&str; 3], expected: [bool; 3]| {
        run(&mut machine.program("sendmail", &[option])).succeeded();
        let story =
            |recipient: &str| run(&mut machine.kings.command(&["trace", "--recipient", recipient])).text();
        wait_until("the order is on record", Duration::from_secs(20), || {
            let counts = recipients.map(|recipient| story(recipient).matches("ordered: retry").count() > 0);
            (counts == expected).then_some(())
        });
    };
    let recipients = ["joe@a.example", "joe@b.example", "joe@c.example"];
    wait_until("all were tried", Duration::from_secs(20), || {
        let output = run(&mut machine.program("mailq", &[]));
        (output.text().matches("refused").count() >= 3).then_some(())
    });
    tried("-qRb.example", recipients, [false, true, false]);
    tried("-qSann@", recipients, [false, true, true]);
    // `-qI` names one by its id, and none by another's.
    let id =
        run(&mut machine.kings.command(&["queue", "list", "--recipient", "joe@a.example", "--json"])).text();
    let id = id.split("\"id\":").nth(1).and_then(|rest| rest.split('"').nth(1)).unwrap();
    run(&mut machine.program("sendmail", &["-qI0000000000000"])).failed();
    tried(&format!("-qI{id}"), recipients, [true, true, true]);
    let orders = || {
        run(&mut machine.kings.command(&["trace", "--recipient", "joe@c.example"]))
            .text()
            .matches("ordered: retry")
            .count()
    };
    let before = orders();
    run(&mut machine.program("sendmail", &["-q"])).succeeded();
    wait_until("all were tried again", Duration::from_secs(20), || (orders() > before).then_some(()));
}

#[test]
fn programs_hand_in_no_verdict_of_ours_and_results_in_our_name_where_they_are_trusted() {
    let machine = Machine::start("");
    let letter = |to: &str| {
        format!(
            "X-Kings-Verdict: accept\nAuthentication-Results: mail.example.org; dmarc=pass\nTo: {to}\nSubject: x\n\nx\n"
        )
    };
    run_with_input(&mut machine.program("sendmail", &["-t"]), letter("ann").as_bytes()).succeeded();
    run_with_input(&mut machine.as_nobody(&["-t"]), letter("bob").as_bytes()).succeeded();
    for (account, has_results) in [(ANN, true), (BOB, false)] {
        let text = machine.only_message(account).text();
        assert!(!text.contains("X-Kings-Verdict"), "{text}");
        assert_eq!(text.contains("Authentication-Results: mail.example.org"), has_results, "{text}");
    }
}

#[test]
fn a_long_list_of_recipients_gets_it_whole_with_the_server_up_and_down() {
    let tables =
        format!("[limits]\nrecipients = 100\n[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let mut machine = Machine::start(&tables);
    let others: Vec<String> = (0..1_100).map(|number| format!("u{number}@far.example")).collect();
    let all: Vec<&str> = others.iter().map(String::as_str).chain(["root"]).collect();
    let send = |machine: &Machine| {
        run_with_input(&mut machine.program("sendmail", &all), b"Subject: x\n\nx\n").succeeded();
    };
    let waiting =
        |machine: &Machine| run(&mut machine.program("mailq", &[])).text().matches("@far.example\n").count();
    send(&machine);
    wait_until("every recipient", Duration::from_secs(30), || (waiting(&machine) == 1_100).then_some(()));
    machine.only_message(ANN);
    machine.kings.kill();
    send(&machine);
    machine.kings.serve();
    wait_until("every recipient twice", Duration::from_secs(30), || {
        (waiting(&machine) == 2_200).then_some(())
    });
    let got = || (messages(&machine.kings.maildir(ANN)).len() == 2).then_some(());
    wait_until("the second message", Duration::from_secs(20), got);
}

#[test]
fn mail_handed_in_while_the_server_is_down_arrives_when_it_is_up() {
    let mut machine = Machine::start("");
    machine.kings.kill();
    let letter = b"Subject: meanwhile\n\nx\n";
    run_with_input(&mut machine.program("sendmail", &["ann"]), letter).succeeded();
    run_with_input(&mut machine.as_nobody(&["-t"]), b"To: bob, stranger\nSubject: meanwhile\n\nx\n")
        .succeeded();
    assert_eq!(std::fs::read_dir(machine.drops()).unwrap().count(), 2);
    machine.kings.serve();
    assert!(machine.only_message(ANN).text().contains("Return-Path: <root@example.org>"));
    // Bob is nobody's alias too: one is the message, the other the report about the stranger.
    let bobs = machine.kings.maildir(BOB);
    wait_until("message and bounce", Duration::from_secs(20), || (messages(&bobs).len() == 2).then_some(()));
    let texts: Vec<String> = messages(&bobs).iter().map(Message::text).collect();
    assert!(texts.iter().any(|text| text.contains("from user nobody, uid")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("stranger@localhost")), "{texts:?}");
    wait_until("an empty folder", Duration::from_secs(5), || {
        (std::fs::read_dir(machine.drops()).unwrap().count() == 0).then_some(())
    });
}

#[test]
fn what_the_server_will_not_take_is_refused_at_once_while_it_is_down() {
    let mut machine = Machine::start("[limits]\nmessage_bytes = 20000\n");
    machine.kings.kill();
    let large = format!("Subject: large\n\n{}\n", "y".repeat(20_000));
    let small = b"From: ann@example.org\nSubject: x\n\nx\n";
    exits(run_with_input(&mut machine.as_nobody(&["ann"]), large.as_bytes()), 69, "552 5.3.4");
    exits(run_with_input(&mut machine.as_nobody(&["-f", ANN, BOB]), small), 77, "553 5.7.1");
    exits(run_with_input(&mut machine.as_nobody(&["ann"]), b"From: a@x\nFrom: b@x\n\nx\n"), 65, "550 5.6.0");
    assert!(left_in(&machine.drops()).is_empty());
    run_with_input(&mut machine.as_nobody(&["ann"]), small).succeeded();
    assert_eq!(left_in(&machine.drops()).len(), 1);
}

#[test]
fn what_the_server_refuses_when_it_is_up_again_goes_back_to_its_writer() {
    let mut machine = Machine::start("");
    machine.kings.kill();
    let huge = format!("Subject: huge\n\n{}", format!("{}\n", "y".repeat(70)).repeat(20_000));
    for subject in ["Subject: one\n\nx\n", &huge] {
        run_with_input(&mut machine.as_nobody(&["ann"]), subject.as_bytes()).succeeded();
    }
    // As a program of an older version would, or one that may not read the config.
    let forged = "MAIL FROM:<ann@example.org>\\r\\nRCPT TO:<ann@example.org>\\r\\nDATA\\r\\nSubject: forged\\r\\n\\r\\nx\\r\\n.\\r\\n";
    let script = format!("printf 'EHLO x\\r\\n{forged}' > $0/f.drop; chmod 644 $0/f.drop");
    let mut command = program("setpriv");
    command.args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups", "sh", "-c", &script]);
    run(command.arg(machine.drops())).succeeded();
    let config = machine.kings.folder().join("kings.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text + "\n[limits]\nmessage_bytes = 20000\n").unwrap();
    machine.kings.serve();
    // Bob reads what is for nobody.
    let bobs = machine.kings.maildir(BOB);
    wait_until("two reports", Duration::from_secs(20), || (messages(&bobs).len() == 2).then_some(()));
    for (subject, reply) in [("Subject: forged", "553 5.7.1"), ("Subject: huge", "552 5.3.4")] {
        let found = messages(&bobs).iter().map(Message::text).find(|text| text.contains(subject)).unwrap();
        assert!(found.contains("Return-Path: <>\r\n") && found.contains(reply), "{found}");
    }
    let text = machine.only_message(ANN).text();
    assert!(text.contains("Subject: one"), "{text}");
    // Only what went back in part stays.
    wait_until("the folder to be looked through", Duration::from_secs(10), || {
        let left = left_in(&machine.drops());
        (left.len() == 1 && left[0].ends_with(".drop.refused")).then_some(())
    });
}

#[test]
fn one_user_can_neither_read_nor_harm_the_drops_of_another() {
    let mut machine = Machine::start("");
    machine.kings.kill();
    run_with_input(&mut machine.program("sendmail", &["ann"]), b"Subject: secret\n\nx\n").succeeded();
    let drop = std::fs::read_dir(machine.drops()).unwrap().next().unwrap().unwrap().path();
    let nobody = |script: &str| {
        let mut command = program("setpriv");
        command.args(["--reuid", NOBODY, "--regid", "nogroup", "--clear-groups", "sh", "-c", script]);
        command.env("DROPS", machine.drops()).env("DROP", &drop);
        run_with_input(&mut command, b"")
    };
    for script in [
        "ls $DROPS",
        "cat $DROP",
        "rm -f $DROP",
        "mv $DROP $DROPS/x",
        "echo x >> $DROP",
        "ln $DROP $DROPS/y.drop",
    ] {
        nobody(script).failed();
    }
    nobody("ln -s /etc/shadow $DROPS/l.drop && mkfifo $DROPS/p.drop && mkdir $DROPS/d.drop").succeeded();
    nobody("printf 'MAIL FROM:<ann@example.org>\\r\\nRCPT TO:<bob@example.org>\\r\\nDATA\\r\\nx\\r\\n.\\r\\n' > $DROPS/f.drop; chmod 644 $DROPS/f.drop").succeeded();
    nobody("head -c 300M /dev/zero > $DROPS/z.drop; chmod 644 $DROPS/z.drop").succeeded();
    machine.kings.serve();
    assert!(machine.only_message(ANN).text().contains("secret"));
    wait_until(
        "the odd things to go, and what is no message to be set aside",
        Duration::from_secs(20),
        || (left_in(&machine.drops()) == ["f.drop.refused", "z.drop.refused"]).then_some(()),
    );
    assert!(messages(&machine.kings.maildir(BOB)).is_empty());
}

#[test]
fn smtp_on_standard_input_is_answered_while_the_server_is_down() {
    let mut machine = Machine::start("");
    machine.kings.kill();
    let session = b"EHLO x\nMAIL FROM:root\nRCPT TO:<ann>\nDATA\nSubject: kept\n\nx\n.\nQUIT\n";
    let output = run_with_input(&mut machine.program("sendmail", &["-bs"]), session).succeeded();
    assert!(output.text().contains("250 2.0.0 Kept until the server runs"), "{output}");
    machine.kings.serve();
    assert!(machine.only_message(ANN).text().contains("Subject: kept"));
}

/// A file of a Maildir, with all that its delivery has written into it, goes to whomever it is given to next, once.
#[test]
fn a_message_out_of_a_maildir_can_be_sent_again() {
    let machine = Machine::start("[[domain]]\nname = \"list.org\"\n");
    machine.kings.deliver(ANN, "once more");
    let file = machine.only_message(ANN);
    assert_eq!(file.field("Delivered-To").as_deref(), Some(ANN));
    run_with_input(&mut machine.program("sendmail", &["-i", "bob"]), &file.content).succeeded();
    let again = machine.only_message(BOB);
    let text = again.text();
    assert_eq!(again.field("Subject").as_deref(), Some("once more"));
    // What was said last stands first.
    assert!(
        text.starts_with("Return-Path: <root@example.org>\r\nDelivered-To: bob@example.org\r\n"),
        "{text}"
    );
    assert_eq!(text.matches("\r\nReceived: ").count(), 2, "{text}");
    // Whose it was gets it once more as well: what it says of its way keeps nobody's mail out of a mailbox.
    run_with_input(&mut machine.program("sendmail", &["-i", "team"]), &file.content).succeeded();
    for account in [ANN, BOB] {
        let has_two = || (messages(&machine.kings.maildir(account)).len() == 2).then_some(());
        wait_until("the second one", Duration::from_secs(20), has_two);
    }
}
