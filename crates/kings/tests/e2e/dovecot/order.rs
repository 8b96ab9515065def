//! SORT and THREAD: Kings and Dovecot put the same messages in the same order.

use std::fmt::Write as _;

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup, program, run};

const MESSAGES: u32 = 240;

/// A row of numbers that looks like chance and is the same in every run.
struct Dice(u32);

impl Dice {
    fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) % sides
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.roll(u32::try_from(all.len()).unwrap()) as usize]
    }
}

/// A message with whatever headers carry: answers, lists, missing and repeated identifiers, dates of every kind.
fn message(number: u32, dice: &mut Dice) -> String {
    let mut text = String::new();
    let mark =
        dice.one_of(&["", "", "Re: ", "RE[2]: ", "Fwd: ", "[list] ", "[list] Re: ", "Re: [list] fw: "]);
    let subject =
        dice.one_of(&["alpha", "Beta", "gamma delta", "beta", "=?utf-8?q?K=C3=A4se?=", "Alpha", "", "[x]"]);
    let end = dice.one_of(&["", "", "", " (fwd)"]);
    if dice.roll(12) > 0 {
        write!(text, "Subject: {mark}{subject}{end}\r\n").unwrap();
    }
    let (day, hour, zone) = (1 + dice.roll(9), dice.roll(24), dice.one_of(&["+0000", "+0530", "-0800"]));
    match dice.roll(12) {
        0 => {}
        1 => text.push_str("Date: yesterday\r\n"),
        _ => write!(text, "Date: {day} Nov 2026 {hour:02}:00:00 {zone}\r\n").unwrap(),
    }
    if dice.roll(15) > 0 {
        // Some have the identifier of another.
        let id = if dice.roll(20) == 0 { dice.roll(number) } else { number };
        write!(text, "Message-ID: <{id}@x.example>\r\n").unwrap();
    }
    let reference = |dice: &mut Dice| match dice.roll(8) {
        0 => format!("<gone{}@x.example>", dice.roll(9)),
        _ => format!("<{}@x.example>", dice.roll(MESSAGES)),
    };
    let count = [0, 0, 0, 1, 1, 2, 3, 6][dice.roll(8) as usize];
    if count > 0 {
        let references: Vec<String> = (0..count).map(|_| reference(dice)).collect();
        write!(text, "References: {}\r\n", references.join("\r\n ")).unwrap();
    }
    if dice.roll(3) == 0 {
        write!(text, "In-Reply-To: {}\r\n", reference(dice)).unwrap();
    }
    for field in ["From", "To", "Cc"] {
        let address = dice.one_of(&[
            "ann@x.example",
            "\"Zoe Z\" <bob@x.example>",
            "Carl <carl@x.example>, ann@x.example",
            "ANN <Zed@x.example>",
            "=?utf-8?q?=C3=84nne?= <dora@x.example>",
            "friends: bob@x.example, ann@x.example;",
            "",
        ]);
        if !address.is_empty() {
            write!(text, "{field}: {address}\r\n").unwrap();
        }
    }
    write!(text, "\r\n{}\r\n", "x".repeat(dice.roll(40) as usize)).unwrap();
    text
}

/// An inbox of messages, whose UIDs Kings has given.
fn filled(kings: &Kings) {
    kings.deliver(ANN, "the first");
    let cur = kings.folder().join("mail/example.org/ann/cur");
    let mut dice = Dice(4711);
    for number in 1..=MESSAGES {
        let file = cur.join(format!("17000{number:05}.here:2,"));
        std::fs::write(&file, message(number, &mut dice)).unwrap();
        let arrived = std::time::Duration::from_secs(1_700_000_000 + u64::from(dice.roll(500_000)));
        let opened = std::fs::File::options().append(true).open(&file).unwrap();
        opened.set_modified(std::time::UNIX_EPOCH + arrived).unwrap();
    }
    if rustix::process::geteuid().is_root() {
        run(program("chown").arg("-R").arg(OWNER).arg(&cur)).succeeded();
    }
}

/// The one line of data that a command brings.
fn answer(client: &mut Imap, command: &str) -> String {
    let lines = client.command(command);
    let told = lines
        .iter()
        .find(|line| ["* SORT", "* THREAD", "* ESEARCH"].iter().any(|w| line.text.starts_with(w)));
    let text = told.unwrap_or_else(|| panic!("nothing is told: {command}")).text.trim_end().to_owned();
    // Each client counts its own tags.
    text.split_once("(TAG ").map_or(text.clone(), |(_, rest)| rest.split_once(')').unwrap().1.to_owned())
}

#[test]
fn kings_and_dovecot_sort_and_thread_alike() {
    let kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    filled(&kings);
    let mut here = kings.imap(ANN);
    here.command("SELECT INBOX");
    let dovecot = Dovecot::start(&kings);
    let mut there = dovecot.imap(&kings);
    there.command("SELECT INBOX");
    let keys = ["ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"];
    let mut commands = Vec::new();
    for key in keys {
        for program in ["ALL", "UNDELETED 5:100", "FROM bob", "UID 1:*"] {
            commands.push(format!("SORT ({key}) UTF-8 {program}"));
            commands.push(format!("UID SORT (REVERSE {key}) US-ASCII {program}"));
        }
        for second in keys {
            commands.push(format!("UID SORT ({key} REVERSE {second}) UTF-8 ALL"));
        }
        commands.push(format!("SORT RETURN (MIN MAX COUNT ALL) ({key}) UTF-8 LARGER 200"));
    }
    for algorithm in ["REFERENCES", "ORDEREDSUBJECT"] {
        for program in
            ["ALL", "1:50", "50:120", "FROM ann", "SUBJECT alpha", "NOT SUBJECT e", "KEYWORD $Nowhere"]
        {
            commands.push(format!("THREAD {algorithm} UTF-8 {program}"));
            commands.push(format!("UID THREAD {algorithm} US-ASCII {program}"));
        }
    }
    let mut differ = Vec::new();
    for command in &commands {
        let (ours, theirs) = (answer(&mut here, command), answer(&mut there, command));
        if ours != theirs {
            differ.push(format!("{command}\n  Kings   {ours}\n  Dovecot {theirs}"));
        }
    }
    assert!(differ.is_empty(), "{} of {}:\n{}", differ.len(), commands.len(), differ.join("\n"));
}
