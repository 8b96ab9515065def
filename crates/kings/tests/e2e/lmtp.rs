//! LMTP: Postfix and swaks hand mail over, by a unix socket and by TCP, with an answer for each recipient.

use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Folder, Kings, Message, Output, Postfix, Setup, Smtp, free_port, letter, messages, program, run,
    wait_until,
};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
const DAVE: &str = "dave@example.net";
const DELIVERY: Duration = Duration::from_secs(30);

/// A server with LMTP in a socket file, which everybody may open, and on TCP.
fn start(folder: &Folder) -> Kings {
    let mut setup = Setup::default();
    let socket = folder.text("lmtp.sock");
    setup.listen += &format!("lmtp = [\"unix:{socket}\", \"127.0.0.1:0\"]\nlmtp_mode = \"0666\"\n");
    setup.start()
}

fn first_message(kings: &Kings, account: &str) -> Message {
    let maildir = kings.maildir(account);
    wait_until("a message in the Maildir", DELIVERY, || messages(&maildir).pop())
}

/// Postfix that hands mail of `example.org` over by LMTP.
fn postfix_before(next_hop: &str) -> Postfix {
    Postfix::start(&format!("transport_maps = inline:{{ example.org=lmtp:{next_hop} }}\n"))
}

fn send_through(postfix: &Postfix, to: &[&str], subject: &str) {
    let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client.message(DAVE, to, &letter(DAVE, to[0], subject)).unwrap().is("250 2.0.0");
}

#[test]
fn postfix_delivers_through_the_socket_file() {
    let folder = Folder::new("lmtp");
    let kings = start(&folder);
    let postfix = postfix_before(&format!("unix:{}", folder.text("lmtp.sock")));
    send_through(&postfix, &[ANN, BOB], "by socket");
    for account in [ANN, BOB] {
        let message = first_message(&kings, account);
        assert_eq!(message.field("Subject").as_deref(), Some("by socket"));
        assert_eq!(message.field("Delivered-To").as_deref(), Some(account));
        assert!(message.text().contains("by mail.example.org with LMTP\r\n"), "{}", message.text());
    }
}

#[test]
fn postfix_delivers_over_tcp_and_hears_of_each_recipient() {
    let folder = Folder::new("lmtp");
    let kings = start(&folder);
    let postfix = postfix_before(&format!("inet:{}", kings.address("lmtp")));
    send_through(&postfix, &[ANN, "nobody@example.org"], "for two");
    assert_eq!(first_message(&kings, ANN).field("Subject").as_deref(), Some("for two"));
    let bounce = wait_until("a bounce at Postfix", DELIVERY, || postfix.delivered().pop()).text();
    assert!(bounce.contains("Status: 5.1.1") && bounce.contains("nobody@example.org"), "{bounce}");
    assert!(!bounce.contains("Final-Recipient: rfc822; ann@example.org"), "{bounce}");
}

fn swaks(kings: &Kings, arguments: &[&str]) -> Output {
    let mut command: Command = program("swaks");
    let server = format!("127.0.0.1:{}", kings.address("lmtp").port());
    command.args([
        "--server",
        &server,
        "--protocol",
        "LMTP",
        "--timeout",
        "20",
        "--helo",
        "client.example.net",
    ]);
    run(command.args(arguments))
}

#[test]
fn swaks_delivers_and_is_refused() {
    let folder = Folder::new("lmtp");
    let kings = start(&folder);
    swaks(&kings, &["--from", CAROL, "--to", ANN, "--header", "Subject: first"]).succeeded();
    assert_eq!(first_message(&kings, ANN).field("Subject").as_deref(), Some("first"));
    swaks(&kings, &["--from", CAROL, "--to", "nobody@example.org"]).failed().says("550 5.1.1");
    swaks(&kings, &["--from", ANN, "--to", "joe@elsewhere.example"]).failed().says("550 5.7.1");
}

/// Whoever hands over by LMTP has rules of its own, as with Dovecot's LMTP: copies, header rules and filters of port 25
/// would act twice on its mail. What they do on port 25 is the mirror.
#[test]
fn what_acts_on_port_25_leaves_alone_what_comes_by_lmtp() {
    let filter = format!("[[milter]]\naddress = \"inet:127.0.0.1:{}\"\n", free_port());
    for (rules, filter, refusal) in [(true, "", "550 5.7.1 No pills"), (false, &filter[..], "451 4.7.1")] {
        let inbound =
            if rules { "[inbound]\nheader_checks = \"rules\"\nbody_checks = \"rules\"\n" } else { "" };
        let mut setup = Setup {
            files: vec![("rules", "/pills/ REJECT No pills\n/^X-Mark/ IGNORE\n")],
            top: "always_bcc = \"bob@example.org\"\n".into(),
            tables: format!("{inbound}{filter}"),
            ..Setup::default()
        };
        setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
        let kings = setup.start();
        let content = [b"X-Mark: x\r\n".to_vec(), letter(CAROL, ANN, "pills")].concat();
        kings.smtp().message(CAROL, &[ANN], &content).unwrap().is(refusal);
        let mut front = Smtp::connect(kings.address("lmtp")).unwrap();
        front.command("LHLO front.example.net").unwrap().is("250");
        front.message(CAROL, &[ANN], &content).unwrap().is("250 2.0.0");
        assert!(first_message(&kings, ANN).text().contains("X-Mark: x\r\n"));
        if rules {
            kings.smtp().message(CAROL, &[ANN], &letter(CAROL, ANN, "other")).unwrap().is("250 2.0.0");
        }
        let copies: Vec<_> =
            messages(&kings.maildir(BOB)).iter().filter_map(|copy| copy.field("Subject")).collect();
        assert_eq!(copies, if rules { vec!["other".to_owned()] } else { vec![] });
    }
}

/// One mailbox that cannot be written does not hold up the other one.
#[test]
fn each_recipient_has_an_outcome_of_its_own() {
    let folder = Folder::new("lmtp");
    let kings = start(&folder);
    kings.deliver(ANN, "before");
    std::fs::write(kings.maildir(BOB), "no folder").unwrap();
    let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
    client.command("LHLO postfix.example.net").unwrap().is("250");
    client
        .message(CAROL, &["ann", BOB, "info@example.org"], &letter(CAROL, ANN, "mixed"))
        .unwrap()
        .is("250 2.0.0");
    client.reply().unwrap().is("451 4.3.0");
    // One of the alias's two accounts has its copy, so the other one is the queue's to try again.
    client.reply().unwrap().is("250 2.0.0");
    let subjects: Vec<_> =
        messages(&kings.maildir(ANN)).iter().filter_map(|message| message.field("Subject")).collect();
    assert_eq!(subjects.iter().filter(|subject| *subject == "mixed").count(), 1, "{subjects:?}");
}

#[test]
fn the_socket_file_has_its_permissions_and_status_names_it() {
    use std::os::unix::fs::PermissionsExt;

    let folder = Folder::new("lmtp");
    let kings = start(&folder);
    let mode = std::fs::metadata(folder.join("lmtp.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let status = run(&mut kings.command(&["status", "--json"])).succeeded().text();
    assert!(status.contains(&format!("unix:{}", folder.text("lmtp.sock"))), "{status}");
    drop(kings);
    assert!(!folder.join("lmtp.sock").exists());
}
