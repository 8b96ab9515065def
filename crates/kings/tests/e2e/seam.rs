//! Where a header ends that no empty line ends: the same place on every way in, and the same as in Postfix.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use kings_mail::header;

use crate::harness::{Kings, Postfix, Setup, Smtp, UNVERIFIED, messages, run_with_input, wait_until};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";
const FIELDS: &str = "From: ann@example.org\r\nSubject: seam\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
    Message-ID: <seam@example.org>\r\n";

/// What follows the fields, and what of it is the body.
const ENDS: [(&str, &str); 6] = [
    ("", ""),
    ("text\r\n", "text\r\n"),
    ("text\r\nFrom: joe@evil.test\r\n\r\nmore\r\n", "text\r\nFrom: joe@evil.test\r\n\r\nmore\r\n"),
    ("some text: of it\r\n", "some text: of it\r\n"),
    (".dot\r\n\r\nmore\r\n", ".dot\r\n\r\nmore\r\n"),
    // The mirror: it is there, and nothing is put in.
    ("\r\ntext\r\n\r\nmore\r\n", "text\r\n\r\nmore\r\n"),
];

fn start() -> Kings {
    let tables = format!("{UNVERIFIED}[local]\nfolder = \"local\"\n");
    let mut setup = Setup { tables, ..Setup::default() };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    setup.start()
}

/// Header and body of the only message, whose lines end in LF.
#[track_caller]
fn taken(text: &str, way: &str) -> (String, String) {
    let text = text.replace("\r\n", "\n");
    let summary = header::check(text.as_bytes()).unwrap();
    assert_eq!(summary.stray_line, None, "{way}: {text}");
    let at = header::header_end(text.as_bytes());
    (text[..at].to_owned(), text[at..].to_owned())
}

#[track_caller]
fn newest(kings: &Kings, so_far: &mut usize, way: &str) -> (String, String) {
    let found = wait_until("the message", Duration::from_secs(20), || {
        let found = messages(&kings.maildir(ANN));
        (found.len() > *so_far).then_some(found)
    });
    *so_far += 1;
    let newest = found.iter().max_by_key(|message| number(&message.text())).unwrap();
    taken(&newest.text(), way)
}

/// Each message of a test says which one it is.
fn number(text: &str) -> usize {
    let line = text.lines().find_map(|line| line.strip_prefix("X-Number: "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_default()
}

#[test]
fn every_way_in_puts_the_empty_line_where_postfix_does() {
    let kings = start();
    let postfix = Postfix::start("");
    let mut so_far = 0;
    for (number, (end, body)) in ENDS.into_iter().enumerate() {
        let body = body.replace("\r\n", "\n");
        let content = |way: usize| format!("X-Number: {}\r\n{FIELDS}{end}", 10 * number + way + 1);
        let check = |(header, found): (String, String), way: &str| {
            assert_eq!(found, body, "{way} {end:?}");
            assert!(header.ends_with("Message-ID: <seam@example.org>\n\n"), "{way} {end:?}: {header}");
        };
        kings.smtp().message(DAVE, &[ANN], content(0).as_bytes()).unwrap().is("250 2.0.0");
        check(newest(&kings, &mut so_far, "port 25"), "port 25");

        let chunked = content(1);
        let mut client = kings.smtp();
        client.command(&format!("MAIL FROM:<{DAVE}>")).unwrap().is("250");
        client.command(&format!("RCPT TO:<{ANN}>")).unwrap().is("250");
        client.send(format!("BDAT {} LAST\r\n{chunked}", chunked.len()).as_bytes()).unwrap();
        client.reply().unwrap().is("250 2.0.0");
        check(newest(&kings, &mut so_far, "BDAT"), "BDAT");

        kings.submissions(ANN).message(ANN, &[ANN], content(2).as_bytes()).unwrap().is("250 2.0.0");
        check(newest(&kings, &mut so_far, "submission"), "submission");

        let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
        client.command("LHLO front.example.net").unwrap().is("250");
        client.message(DAVE, &[ANN], content(3).as_bytes()).unwrap().is("250 2.0.0");
        check(newest(&kings, &mut so_far, "LMTP"), "LMTP");

        let mut sendmail = Command::new(env!("CARGO_BIN_EXE_kings"));
        sendmail.arg0("sendmail").arg("-C").arg(kings.folder().join("kings.toml")).arg("-bs");
        let stuffed = content(5).replace("\r\n.", "\r\n..");
        let dialogue = format!("EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{ANN}>\r\nDATA\r\n{stuffed}.\r\nQUIT\r\n");
        run_with_input(&mut sendmail, dialogue.as_bytes()).succeeded();
        check(newest(&kings, &mut so_far, "sendmail -bs"), "sendmail -bs");

        let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
        client.command("EHLO client.example.net").unwrap().is("250");
        client.message(ANN, &[DAVE], content(4).as_bytes()).unwrap().is("250 2.0.0");
        let theirs = wait_until("the message at Postfix", Duration::from_secs(30), || {
            let found = postfix.delivered();
            (found.len() > number).then_some(found)
        });
        let newest = theirs.iter().max_by_key(|message| self::number(&message.text())).unwrap();
        assert_eq!(taken(&newest.text(), "Postfix").1, body, "Postfix {end:?}");
    }
}
