//! Other names for the addresses of our own users: Kings and Postfix make the same of the same tables.

use std::time::Duration;

use crate::harness::{Folder, Kings, Message, Postfix, Setup, Smtp, messages, wait_until};

const DAVE: &str = "dave@example.net";

const CANONICAL: &str = "ann@example.org Ann.Lee@example.org\n@old.example.org @example.org\n\
                         joe@example.org joseph@mail.example.org\njoseph@mail.example.org j.doe@example.org\n\
                         yan@elsewhere.example yan@example.org\n";
const SENDERS: &str = "/^(bob)\\+(.*)@example\\.org$/ robert.$2@example.org\n";
const RECIPIENTS: &str =
    "david@example.net dave@example.net\nteam@lists.example.org everybody@lists.example.org\n";

/// Reverse-path, forward-path and the fields of one message.
const MESSAGES: &[(&str, &str, &str)] = &[
    ("ann@example.org", DAVE, "From: Ann <ann@example.org>\r\nTo: dave@example.net\r\n"),
    (
        "ann+news@example.org",
        "david@example.net",
        "From: ann+news@example.org (Ann)\r\nSender: \"Lee, Ann\" <ANN@Example.org>\r\nTo: Dave <david@example.net>,\r\n joe@example.org\r\nCc: \
         team@lists.example.org\r\nReply-To: team@lists.example.org\r\n",
    ),
    (
        "bob+x@example.org",
        DAVE,
        "From: bob+x@example.org\r\nTo: bob+x@example.org, dave@example.net\r\nErrors-To: <bob+y@example.org>\r\n",
    ),
    (
        "ann@old.example.org",
        DAVE,
        "From: ann@old.example.org\r\nTo: friends: who@old.example.org, Dave <dave@example.net>;\r\nSubject: ann@example.org\r\n",
    ),
    (
        "carl@desk.example.org",
        DAVE,
        "From: carl@desk.example.org\r\nTo: root@desk.example.org, eve@x.lab.example.org\r\nCc: carl@a.b.example.org\r\n",
    ),
    ("root@desk.example.org", DAVE, "From: Root <root@desk.example.org>\r\nTo: dave@example.net\r\n"),
    ("zoe@elsewhere.example", DAVE, "From: zoe@elsewhere.example\r\nTo: dave@example.net, a@b.example\r\n"),
];

/// The fields with addresses, each on one line with its spaces made one, and who the sender is.
fn told(message: &Message) -> Vec<String> {
    let text = message.text().replace("\r\n", "\n");
    let header = text.split("\n\n").next().unwrap().replace("\n ", " ").replace("\n\t", " ");
    let names = ["Return-Path", "From", "Sender", "To", "Cc", "Reply-To", "Errors-To", "Subject"];
    let fields =
        header.lines().filter(|line| line.split_once(':').is_some_and(|(name, _)| names.contains(&name)));
    let mut fields: Vec<String> =
        fields.map(|line| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
    fields.sort();
    fields
}

fn send(client: &mut Smtp, (from, to, fields): (&str, &str, &str)) {
    let message = format!(
        "{fields}Date: Sat, 28 Nov 2026 10:00:00 +0000\r\nMessage-ID: <x@example.org>\r\n\r\nann@example.org\r\n"
    );
    client.message(from, &[to], message.as_bytes()).unwrap().is("250");
}

fn start(tables: &Folder, submission: &str) -> Kings {
    let rewriting = format!(
        "[[domain]]\nname = \"example.net\"\n[submission]\n{submission}[rewriting]\ncanonical = \"{}\"\n\
         sender_canonical = \"regexp:{}\"\nrecipient_canonical = \"{}\"\n\
         masquerade_domains = [\"!lab.example.org\", \"!lists.example.org\", \"example.org\"]\nmasquerade_exceptions = [\"root\"]\n",
        tables.text("canonical"),
        tables.text("senders"),
        tables.text("recipients"),
    );
    let users = "ann@example.org:{PLAIN}secret\ndave@example.net:{PLAIN}secret\n";
    Setup { tables: rewriting, files: vec![("users", users)], aliases: String::new(), ..Setup::default() }
        .start()
}

fn tables() -> Folder {
    let folder = Folder::new("canonical");
    folder.write("canonical", CANONICAL);
    folder.write("senders", SENDERS);
    folder.write("recipients", RECIPIENTS);
    folder
}

#[test]
fn kings_and_postfix_make_the_same_of_the_same_tables() {
    let tables = tables();
    let kings = start(&tables, "networks = [\"127.0.0.0/8\"]\n");
    let postfix = Postfix::start(&format!(
        "canonical_maps = texthash:{}\nsender_canonical_maps = regexp:{}\nrecipient_canonical_maps = texthash:{}\n\
         masquerade_domains = !lab.example.org !lists.example.org example.org\nmasquerade_exceptions = root\n\
         local_header_rewrite_clients = permit_mynetworks\nrecipient_delimiter = +\n",
        tables.text("canonical"),
        tables.text("senders"),
        tables.text("recipients"),
    ));
    for message in MESSAGES {
        send(&mut kings.smtp(), *message);
        let mut client = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
        client.command("EHLO client.example.net").unwrap().is("250");
        send(&mut client, *message);
        let count = MESSAGES.iter().position(|known| known == message).unwrap() + 1;
        wait_until("the message at Postfix", Duration::from_secs(20), || {
            (postfix.delivered().len() == count).then_some(())
        });
    }
    let mut here: Vec<_> = messages(&kings.maildir(DAVE)).iter().map(told).collect();
    let mut there: Vec<_> = postfix.delivered().iter().map(told).collect();
    here.sort();
    there.sort();
    assert_eq!(here, there);
    let all = here.concat().join("\n");
    for changed in
        ["Ann.Lee+news@example.org", "robert.x@example.org", "j.doe@example.org", "carl@example.org"]
    {
        assert!(all.contains(changed), "{changed}: {all}");
    }
}

#[test]
fn mail_of_strangers_keeps_its_names_and_whom_a_recipient_stands_for_counts_at_rcpt() {
    let kings = start(&tables(), "");
    let stranger = ("yan@elsewhere.example", DAVE, "From: yan@elsewhere.example\r\nTo: joe@example.org\r\n");
    send(&mut kings.smtp(), stranger);
    let found = messages(&kings.maildir(DAVE));
    let expected =
        ["From: yan@elsewhere.example", "Return-Path: <yan@elsewhere.example>", "To: joe@example.org"];
    assert_eq!(told(&found[0]), expected);
    // One that is known only by its other name is refused to strangers.
    let mut client = kings.smtp();
    client.command("MAIL FROM:<zoe@elsewhere.example>").unwrap().is("250");
    client.command("RCPT TO:<david@example.net>").unwrap().is("550 5.1.1");
    let mut client = kings.submissions("ann@example.org");
    send(
        &mut client,
        ("ann@example.org", "david@example.net", "From: ann@example.org\r\nTo: david@example.net\r\n"),
    );
    let found: Vec<_> = messages(&kings.maildir(DAVE)).iter().map(told).collect();
    let expected =
        ["From: Ann.Lee@example.org", "Return-Path: <Ann.Lee@example.org>", "To: dave@example.net"];
    assert!(found.iter().any(|fields| *fields == expected), "{found:?}");
    client.command("RSET").unwrap().is("250");
    client.command("MAIL FROM:<ann@example.org>").unwrap().is("250");
    client.command("RCPT TO:<nobody@example.net>").unwrap().is("550 5.1.1");
}
