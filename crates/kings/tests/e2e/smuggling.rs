//! What leaves on the wire when every mix of line ends around a dot comes in, by each entrance: one content for each
//! message that was taken, lines that end in CRLF alone, dots doubled, and no command that nobody gave.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use crate::harness::{Kings, Recorder, Setup, Sink, Smtp, letter, plain, run_with_input, wait_until};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
const JOE: &str = "joe@elsewhere.example";
/// An alias for somebody outside.
const FORWARDED: &str = "joe@example.org";

/// What may stand before and behind the dot; all but CRLF on both sides is no end of anything.
const ENDS: [&str; 7] = ["\r", "\n", "\r\n", "\n\r", "\r\r\n", "\0", ""];

const EVIL: &str =
    "MAIL FROM:<evil@example.net>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n";

/// The grid: each message ends once, by the CRLF.CRLF that is appended to it, or before that in its own.
fn grid() -> Vec<Vec<u8>> {
    let pairs = ENDS.iter().flat_map(|before| ENDS.map(|after| (*before, after)));
    let pairs = pairs.filter(|pair| *pair != ("\r\n", "\r\n"));
    let content = |(before, after)| {
        let begin = String::from_utf8(letter(ANN, JOE, "dots")).unwrap();
        format!("{begin}.. two\r\ntext{before}.{after}{EVIL}").into_bytes()
    };
    pairs.map(content).collect()
}

/// Whether every CR and LF stands in a CRLF, and there is no NUL.
fn is_clean(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content).replace("\r\n", "");
    !text.contains(['\r', '\n', '\0'])
}

fn start(smart_host: u16) -> Kings {
    let mut setup = Setup {
        aliases: "files = [\"virtual:outside\"]\n".to_owned(),
        files: vec![("outside", "joe@example.org joe@elsewhere.example\n")],
        tables: format!(
            "[local]\nfolder = \"local\"\n[limits]\nexempt = [\"127.0.0.0/8\"]\n\
             [outbound]\nsmart_host = \"127.0.0.1:{smart_host}\"\ntls = \"none\"\n"
        ),
        ..Setup::default()
    };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    setup.start()
}

/// The entrances that speak SMTP, each with who writes to whom.
fn enter(kings: &Kings, entrance: &str) -> (Smtp, &'static str, &'static str) {
    let login = |client: &mut Smtp| {
        client.command("EHLO client.example.org").unwrap().is("250");
        client.command(&format!("AUTH PLAIN {}", plain(ANN, "secret"))).unwrap().is("235");
    };
    match entrance {
        "smtp" => (kings.smtp(), CAROL, FORWARDED),
        "lmtp" => {
            let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
            client.command("LHLO client.example.net").unwrap().is("250");
            (client, CAROL, FORWARDED)
        }
        "submission" => {
            let mut client = Smtp::connect(kings.address("submission")).unwrap();
            client.command("EHLO client.example.org").unwrap().is("250");
            client.command("STARTTLS").unwrap().is("220");
            let mut client = client.secure(&kings.certificates);
            login(&mut client);
            (client, ANN, JOE)
        }
        _ => (kings.submissions(ANN), ANN, JOE),
    }
}

/// Sends `content` as it is; whether it was taken.
fn send(kings: &Kings, entrance: &str, content: &[u8]) -> bool {
    let (mut client, from, to) = enter(kings, entrance);
    client.command(&format!("MAIL FROM:<{from}>")).unwrap().is("250");
    client.command(&format!("RCPT TO:<{to}>")).unwrap().is("250");
    client.command("DATA").unwrap().is("354");
    client.send(&[content, b".\r\n"].concat()).unwrap();
    let reply = client.reply().unwrap();
    reply.is(if is_clean(content) { "250 2.0.0" } else { "550 5.5.2" });
    reply.code == 250
}

/// The same by `sendmail`, to which a line may end as it likes.
fn hand_in(kings: &Kings, from: &str, to: &[&str], content: &[u8]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
    command.arg0("sendmail").arg("-C").arg(kings.folder().join("kings.toml")).args(["-i", "-f", from]);
    command.args(to);
    run_with_input(&mut command, content).status.success()
}

/// The contents that one connection carried, read by the letter of RFC 5321 §2.3.8 and §4.5.2.
fn contents(wire: &[u8]) -> Vec<Vec<String>> {
    let text = String::from_utf8_lossy(wire).into_owned();
    let lines = text.strip_suffix("\r\n").map(|text| text.split("\r\n")).into_iter().flatten();
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut in_data = false;
    for line in lines {
        assert!(!line.contains(['\r', '\n', '\0']), "{line:?} in {text}");
        match (in_data, line.strip_prefix('.')) {
            (true, Some("")) => in_data = false,
            (true, Some(rest)) if rest.starts_with('.') => found.last_mut().unwrap().push(rest.to_owned()),
            (true, Some(_)) => panic!("{line:?} has a single dot in {text}"),
            (true, None) => found.last_mut().unwrap().push(line.to_owned()),
            (false, _) => {
                let verb = line.split([' ', ':']).next().unwrap_or_default();
                assert!(["EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT"].contains(&verb), "{line:?}");
                assert!(!line.contains("evil"), "{line:?} was smuggled in {text}");
                if verb == "DATA" {
                    in_data = true;
                    found.push(Vec::new());
                }
            }
        }
    }
    found
}

#[test]
fn nothing_leaves_by_any_entrance_that_a_reader_could_split() {
    let sink = Sink::start();
    let (recorder, port) = Recorder::start(sink.port);
    let kings = start(port);
    let mut taken = 0;
    for entrance in ["smtp", "lmtp", "submission", "submissions"] {
        let here = grid().iter().filter(|content| send(&kings, entrance, content)).count();
        // Nothing on one side, and on the other nothing or CRLF.
        assert_eq!(here, 3, "{entrance}");
        taken += here;
    }
    taken += grid().iter().filter(|content| hand_in(&kings, ANN, &[JOE], content)).count();
    assert!(taken > 12 + 30, "sendmail took too few to show anything: {taken} in all");
    // And a report about a message with dots, which leaves for its sender: one of the recipients has had it before.
    let seen = format!("Delivered-To: {FORWARDED}\r\n");
    let content = [seen.as_bytes(), &letter(CAROL, FORWARDED, "dots"), b".\r\n..\r\n. one\r\n"].concat();
    assert!(hand_in(&kings, CAROL, &[FORWARDED, ANN], &content));
    taken += 1;

    let all = || recorder.heard().iter().flat_map(|wire| contents(wire)).collect::<Vec<_>>();
    wait_until("all of them on the wire", Duration::from_mins(1), || (all().len() >= taken).then_some(()));
    wait_until("an empty queue", Duration::from_mins(1), || {
        let list = kings.command(&["queue", "list", "--json"]).output().unwrap();
        String::from_utf8(list.stdout).unwrap().contains("\"items\":[]").then_some(())
    });
    let all = all();
    assert_eq!(all.len(), taken);
    let is_report =
        |content: &&Vec<String>| content.iter().any(|line| line.contains("message/delivery-status"));
    assert_eq!(all.iter().filter(is_report).count(), 1, "one of them is the report");
    for content in all.iter().filter(|content| !is_report(content)) {
        assert!(content.iter().any(|line| line.ends_with(". two")), "{content:?}");
        assert!(content.iter().any(|line| line.contains("evil@example.net")), "all of it came: {content:?}");
    }
}
