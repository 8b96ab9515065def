//! Mail that aliases send on: through a real Postfix, with a reverse-path of our own, and bounces that find their way.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use crate::harness::{Kings, Postfix, Setup, free_port, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
const DAVE: &str = "dave@example.net";
const DELIVERY: Duration = Duration::from_secs(30);

/// Kings that sends on to Postfix what comes for `away@`.
fn forwarding(postfix: &Postfix, more: &str) -> Kings {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n{more}", postfix.port);
    let away = ("more-aliases", "away@example.org dave@example.net\n");
    let aliases = "files = [\"virtual:more-aliases\"]\n".into();
    Setup { files: vec![away], aliases, tables, ..Setup::default() }.start()
}

#[test]
fn an_alias_sends_on_under_a_reverse_path_of_ours_and_bounces_come_back() {
    let postfix = Postfix::start("virtual_alias_maps = inline:{ carol@example.net=dave@example.net }\n");
    let mut kings = forwarding(&postfix, "");
    let content = letter(CAROL, "away@example.org", "sent on");
    kings.smtp().message(CAROL, &["away@example.org"], &content).unwrap().is("250");
    let message = wait_until("the message at Postfix", DELIVERY, || postfix.delivered().pop());
    let path = message.field("Return-Path").unwrap();
    assert!(path.starts_with("<SRS0=") && path.ends_with("=example.net=carol@example.org>"), "{path}");
    assert!(message.text().contains("Delivered-To: away@example.org"), "{}", message.text());
    // Whoever files it there is told what we think of it.
    assert!(message.text().contains("\nX-Kings-Verdict: accept"), "{}", message.text());
    let there = || messages(&kings.maildir("ann@example.org")).pop();
    kings.smtp().message(CAROL, &["ann@example.org"], &content).unwrap().is("250");
    let kept = wait_until("the message here", DELIVERY, there).text();
    assert!(kept.contains("X-Kings-Verdict: accept"), "{kept}");

    // The address outlives a restart, since the secret does; it is for nobody else to read.
    let secrets = kings.folder().join("data/srs.secrets");
    assert_eq!(std::fs::metadata(secrets).unwrap().permissions().mode() & 0o777, 0o600);
    kings.kill();
    kings.serve();

    // A bounce of the last host finds the first sender; only a bounce does, and only to the address that we made.
    let srs = path.trim_matches(['<', '>']);
    let mut client = kings.smtp();
    for (sender, recipient) in
        [(CAROL, srs), ("", &srs.replace("carol", "dave")), (CAROL, "SRS0=x@example.org")]
    {
        client.command(&format!("MAIL FROM:<{sender}>")).unwrap().is("250");
        client.command(&format!("RCPT TO:<{recipient}>")).unwrap().is("550 5.1.1");
        client.command("RSET").unwrap().is("250");
    }
    let bounce = letter("MAILER-DAEMON@example.net", srs, "it bounced");
    client.message("", &[srs], &bounce).unwrap().is("250");
    let bounced = || postfix.delivered().into_iter().find(|message| message.text().contains("it bounced"));
    let bounce = wait_until("the bounce at the first sender", DELIVERY, bounced);
    assert_eq!(bounce.field("Return-Path").as_deref(), Some("<>"));
}

/// Two customers on one server: neither's mail leaves in the name of the other, and bounces find their way by either.
#[test]
fn each_domain_sends_on_in_its_own_name() {
    let postfix = Postfix::start("");
    let tables =
        format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n[[domain]]\nname = \"list.org\"\n", postfix.port);
    let away = ("more-aliases", "away@example.org dave@example.net\naway@list.org dave@example.net\n");
    let aliases = "files = [\"virtual:more-aliases\"]\n".into();
    let kings = Setup { files: vec![away], aliases, tables, ..Setup::default() }.start();
    for domain in ["example.org", "list.org"] {
        let alias = format!("away@{domain}");
        let content = letter(CAROL, &alias, &format!("by {domain}"));
        kings.smtp().message(CAROL, &[&alias], &content).unwrap().is("250");
        let arrived = || {
            let subject = format!("by {domain}");
            postfix.delivered().into_iter().find(|message| message.field("Subject") == Some(subject.clone()))
        };
        let path = wait_until("the message at Postfix", DELIVERY, arrived).field("Return-Path").unwrap();
        assert!(path.starts_with("<SRS0=") && path.ends_with(&format!("@{domain}>")), "{path}");
        let mut client = kings.smtp();
        client.command("MAIL FROM:<>").unwrap().is("250");
        client.command(&format!("RCPT TO:{path}")).unwrap().is("250");
        let other = path.replace(&format!("@{domain}"), "@elsewhere.org");
        client.command(&format!("RCPT TO:{other}")).unwrap().is("550");
    }
}

/// Postfix's `notify_classes`: a bounce that fails is told to nobody, or to whom the config names.
#[test]
fn whoever_is_to_hear_of_failed_bounces_does_and_nobody_else() {
    let postfix = Postfix::start("");
    let gone = ("more-aliases", "gone@example.org nobody@example.net\n");
    let start = |queue: &str| {
        let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n[queue]\n{queue}", postfix.port);
        let aliases = "files = [\"virtual:more-aliases\"]\n".into();
        Setup { files: vec![gone], aliases, tables, ..Setup::default() }.start()
    };
    let send = |kings: &Kings, from: &str, subject: &str| {
        let content = letter("someone@example.net", "gone@example.org", subject);
        kings.smtp().message(from, &["gone@example.org"], &content).unwrap().is("250");
        wait_until("the attempt", DELIVERY, || {
            let list = run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
            list.contains("\"items\":[]").then_some(())
        });
    };
    let quiet = start("");
    send(&quiet, "", "a bounce");
    let told =
        start("notify_classes = [\"2bounce\", \"bounce\"]\nbounce_notice_recipient = \"bob@example.org\"\n");
    send(&told, "", "a bounce");
    let notice = wait_until("the notice", DELIVERY, || messages(&told.maildir(ANN)).pop()).text();
    assert!(
        notice.contains("no sender who could be told") && notice.contains("Subject: a bounce"),
        "{notice}"
    );
    // A sender of ours hears of his own, and Bob of all of them.
    told.submit(ANN, "nobody@example.net", "a letter");
    let copy = wait_until("the copy", DELIVERY, || messages(&told.maildir(BOB)).pop()).text();
    assert!(copy.contains("Subject: Postmaster copy") && copy.contains("Subject: a letter"), "{copy}");
    wait_until("the bounce", DELIVERY, || (messages(&told.maildir(ANN)).len() == 2).then_some(()));
    assert_eq!(messages(&told.maildir(BOB)).len(), 1);
    assert!(messages(&quiet.maildir(ANN)).is_empty());
}

/// Nobody whose address a stranger forges gets a report of a loop that there never was.
#[test]
fn a_forged_delivered_to_is_refused_while_the_client_is_there() {
    let postfix = Postfix::start("");
    let kings = forwarding(&postfix, "");
    let send = |seen: &str, to: &[&str]| {
        let content = [format!("Delivered-To: {seen}\r\n").into_bytes(), letter(DAVE, ANN, "seen")].concat();
        kings.smtp().message(DAVE, to, &content).unwrap()
    };
    let away = "away@example.org";
    for to in [&[away][..], &[away, BOB]] {
        send(away, to).is("554 5.4.6 Mail forwarding loop");
    }
    // Where it has been elsewhere does not matter, and whatever it says, no account loses it.
    for (seen, to) in [(DAVE, ANN), (ANN, ANN), (ANN, "info@example.org")] {
        send(seen, &[to]).is("250 2.0.0");
    }
    assert_eq!([ANN, BOB].map(|account| messages(&kings.maildir(account)).len()), [3, 1]);
    let queue = run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
    assert!(queue.contains("\"items\":[]"), "{queue}");
    assert_eq!(postfix.delivered().len(), 0);
}

#[test]
fn without_the_switch_and_for_our_own_users_the_reverse_path_stays() {
    let postfix = Postfix::start("");
    for (switch, from_carol) in [("srs = false\n", true), ("", false)] {
        let kings = forwarding(&postfix, switch);
        let before = postfix.delivered().len();
        if from_carol {
            kings.deliver("away@example.org", "sent on");
        } else {
            kings.submit("ann@example.org", "away@example.org", "our own");
        }
        let arrived = || postfix.delivered().len() > before;
        wait_until("the message", DELIVERY, || arrived().then_some(()));
    }
    let mut paths: Vec<String> =
        postfix.delivered().iter().filter_map(|message| message.field("Return-Path")).collect();
    paths.sort();
    assert_eq!(paths, ["<ann@example.org>", "<carol@example.net>"]);
}

/// One of two servers that send on to each other: `from` is its alias, `to` the other one's.
fn of_a_ring(ports: (u16, u16), from: &'static str, to: &str) -> Kings {
    let (_, domain) = from.split_once('@').unwrap();
    let aliases = Box::leak(format!("{from} {to}\n").into_boxed_str());
    Setup {
        listen: format!("smtp = [\"127.0.0.1:{}\"]\n", ports.0),
        files: vec![("more-aliases", aliases)],
        aliases: "files = [\"virtual:more-aliases\"]\n".into(),
        // Both have example.org as well, which their SRS addresses are of, and nobody answers DNS here.
        tables: format!(
            "[outbound]\nsmart_host = \"127.0.0.1:{}\"\ntls = \"none\"\n[inbound]\nspf = \"tag\"\n[[domain]]\nname = \"{domain}\"\n",
            ports.1
        ),
        ..Setup::default()
    }
    .start()
}

#[test]
fn a_ring_of_two_servers_ends_at_its_second_round() {
    let (one, two) = (free_port(), free_port());
    let first = of_a_ring((one, two), "ring@one.example", "ring@two.example");
    let second = of_a_ring((two, one), "ring@two.example", "ring@one.example");
    let content = letter(CAROL, "ring@one.example", "round");
    first.smtp().message(CAROL, &["ring@one.example"], &content).unwrap().is("250");
    let log = |kings: &Kings| std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    wait_until("the end of the ring", DELIVERY, || log(&first).contains("554 5.4.6").then_some(()));
    // Each server has taken it once; the first has refused it the second time, and the sender hears of it.
    let taken = |kings: &Kings| {
        log(kings)
            .lines()
            .filter(|line| line.contains("queued"))
            .filter(|line| line.contains("carol") || line.contains("SRS0"))
            .count()
    };
    assert_eq!((taken(&first), taken(&second)), (1, 1), "{}\n{}", log(&first), log(&second));
}
