//! What an operator wants beside the delivery of a message: copies, and rules about headers.

use std::time::Duration;

use crate::harness::{Setup, Sink, free_port, letter, messages, run, wait_until};

const CAROL: &str = "carol@example.net";

#[test]
fn copies_and_header_rules_act_on_what_arrives() {
    let tables = "[inbound]\nheader_checks = \"rules\"\n";
    let rules = "/^Subject:.*pills/ REJECT No pills here\n/^X-Secret:/ IGNORE\n/^Subject: drop/ DISCARD\n";
    let kings = Setup {
        files: vec![("rules", rules)],
        top: "always_bcc = \"bob@example.org\"\n".into(),
        tables: tables.into(),
        ..Setup::default()
    }
    .start();
    let ann = "ann@example.org";
    let send = |subject: &str| kings.smtp().message(CAROL, &[ann], &letter(CAROL, ann, subject)).unwrap();
    send("cheap pills").is("550 5.7.1 No pills here");
    send("drop me").is("250 2.0.0");
    // What a message says of its way keeps it neither from a mailbox nor out of the archive.
    let way = b"X-Secret: x\r\nDelivered-To: bob@example.org\r\nDelivered-To: ann@example.org\r\n".to_vec();
    let secret = [way, letter(CAROL, ann, "kept")].concat();
    kings.smtp().message(CAROL, &[ann], &secret).unwrap().is("250 2.0.0");
    for account in [ann, "bob@example.org"] {
        let found = messages(&kings.maildir(account));
        assert_eq!(found.len(), 1, "{account}");
        assert!(
            found[0].text().contains("Subject: kept") && !found[0].text().contains("X-Secret"),
            "{}",
            found[0].text()
        );
    }
    wait_until("the trace tells what a rule threw away", Duration::from_secs(10), || {
        let story = run(&mut kings.command(&["trace", "--sender", CAROL])).text();
        story.contains("taken and thrown away for the recipients: ").then_some(())
    });
}

#[test]
fn rules_about_bodies_and_parts_act_on_both_ways_in() {
    let tables = "[inbound]\nbody_checks = \"body\"\nmime_header_checks = \"parts\"\n[submission]\nbody_checks = \"body\"\n";
    let files = vec![
        ("body", "/cheap pills/ REJECT\n/^(secret) .*/ REPLACE $1\n"),
        ("parts", "/name=.*\\.exe/ REJECT\n"),
    ];
    let kings = Setup { files, tables: tables.into(), ..Setup::default() }.start();
    let ann = "ann@example.org";
    let send = |body: &str| {
        let mixed = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n";
        let content = format!("From: {CAROL}\r\nSubject: cheap pills\r\n{mixed}{body}\r\n--b--\r\n");
        kings.smtp().message(CAROL, &[ann], content.as_bytes()).unwrap()
    };
    send("\r\nbuy cheap pills").is("550 5.7.1 Message content rejected");
    send("Content-Type: application/x; name=a.exe\r\n\r\nx").is("550 5.7.1");
    send("\r\nsecret word\r\nname=a.exe").is("250 2.0.0");
    let text = messages(&kings.maildir(ann))[0].text();
    assert!(text.contains("\nsecret\r\nname=a.exe\r\n--b--"), "{text}");
    let own = [letter(ann, ann, "x"), b"cheap pills\r\n".to_vec()].concat();
    kings.submissions(ann).message(ann, &[ann], &own).unwrap().is("550 5.7.1");
}

#[test]
fn what_a_rule_holds_waits_with_its_reason_over_a_restart_and_goes_where_it_would_have_gone() {
    let tables = "[inbound]\nheader_checks = \"rules\"\n[submission]\nheader_checks = \"rules\"\n";
    let rules = "/^Subject: (odd.*)$/ HOLD look at $1\n";
    let (files, tables) = (vec![("rules", rules)], tables.into());
    let mut kings = Setup { files, tables, ..Setup::default() }.start();
    let (ann, bob) = ("ann@example.org", "bob@example.org");
    kings.smtp().message(CAROL, &[ann, bob], &letter(CAROL, ann, "odd one")).unwrap().is("250 2.0.0");
    kings.submit(ann, bob, "odd two");
    kings.submit(ann, bob, "even");
    kings.kill();
    kings.serve();
    let held = |text: &str| {
        let found = run(kings.command(&["queue", "search", "--state", "held"]).args(["--reason", text]));
        found.succeeded().text()
    };
    assert!(held("look at odd one").contains("<bob@example.org>"), "{}", held("look at odd one"));
    assert!(held("look at odd two").contains("<ann@example.org>"), "{}", held("look at odd two"));
    let count = |account: &str| messages(&kings.maildir(account)).len();
    assert_eq!((count(ann), count(bob)), (0, 1));
    run(&mut kings.command(&["queue", "release", "--reason", "odd one"])).succeeded();
    wait_until("both have it", Duration::from_secs(10), || {
        ((count(ann), count(bob)) == (1, 2)).then_some(())
    });
    run(&mut kings.command(&["queue", "drop", "--reason", "odd two"])).succeeded().says("1 entry dropped");
    assert!(run(&mut kings.command(&["queue", "list"])).text().contains("nothing found"));
}

/// The whole message in one piece, for our own mailboxes too, as Postfix's content filters get it; what waits for a filter does
/// so over a restart; what comes back from it goes on as ever.
#[test]
fn a_message_goes_through_its_filter_and_comes_back() {
    let port = free_port();
    let tables = "[inbound]\nheader_checks = \"rules\"\n[submission]\nheader_checks = \"rules\"\n\
                  [[route]]\ndomain = \"*\"\nto = \"error:5.7.1 never asked\"\n\
                  [[route]]\ndomain = \".example.net\"\nto = \"smtp:127.0.0.1:1\"\n";
    let rules = format!("/^Subject: scan/ FILTER smtp:[127.0.0.1]:{port}\n");
    let (files, tables) = (vec![("rules", &*rules.leak())], tables.into());
    let mut kings = Setup { files, tables, ..Setup::default() }.start();
    let (ann, bob) = ("ann@example.org", "bob@example.org");
    kings.smtp().message(CAROL, &[ann, bob], &letter(CAROL, ann, "scan one")).unwrap().is("250 2.0.0");
    let (joe, eve) = ("joe@d1.example.net", "eve@d2.example.net");
    let two = letter(ann, bob, "scan two");
    kings.submissions(ann).message(ann, &[bob, joe, eve], &two).unwrap().is("250 2.0.0");
    kings.submit(ann, bob, "plain");
    kings.kill();
    kings.serve();
    let (of_ann, of_bob) = (kings.maildir(ann), kings.maildir(bob));
    let count = |account: &str| messages(if account == ann { &of_ann } else { &of_bob }).len();
    assert_eq!((count(ann), count(bob)), (0, 1));
    let place = format!("[127.0.0.1]:{port}");
    wait_until("the filter was asked for", Duration::from_secs(10), || {
        let list = run(&mut kings.command(&["queue", "list"])).succeeded().text();
        (list.matches(&format!("127.0.0.1{place}: ")).count() == 5).then_some(())
    });
    let list = run(&mut kings.command(&["queue", "list"])).succeeded().text();
    assert_eq!(list.matches(&format!("waits for its filter smtp:{place}, ")).count(), 2, "{list}");
    let sink = Sink::at(port);
    run(&mut kings.command(&["queue", "retry"])).succeeded();
    wait_until("both at the filter", Duration::from_secs(40), || {
        let both = [
            "<ann@example.org> <bob@example.org>",
            "<bob@example.org> <joe@d1.example.net> <eve@d2.example.net>",
        ];
        (sink.recipients() == both).then_some(())
    });
    assert_eq!((count(ann), count(bob)), (0, 1), "only the filter has them");
    // What the filter hands back carries what we gave it, over a restart too.
    kings.kill();
    kings.serve();
    let kept = |subject: &str| sink.contents().into_iter().find(|text| text.contains(subject)).unwrap();
    kings.smtp().message(CAROL, &[bob], kept("scan one").as_bytes()).unwrap().is("250 2.0.0");
    wait_until("it is back", Duration::from_secs(10), || (count(bob) == 2).then_some(()));
    kings.submissions(ann).message(ann, &[bob], kept("scan two").as_bytes()).unwrap().is("250 2.0.0");
    wait_until("the other too", Duration::from_secs(10), || (count(bob) == 3).then_some(()));
    let delivered = messages(&kings.maildir(bob));
    assert!(delivered.iter().all(|message| message.field("X-Kings-Filter").is_none()));
    assert_eq!(sink.recipients().len(), 2, "nothing goes there twice");
}

/// The address of the filter is shared with everybody on the machine, and each knows the id that a message was given.
#[test]
fn nobody_passes_a_filter_by_with_trace_fields_of_his_own() {
    let sink = Sink::start();
    let tables = "[inbound]\nheader_checks = \"rules\"\n[submission]\nheader_checks = \"rules\"\n";
    let rules = format!("/^Subject: scan/ FILTER smtp:[127.0.0.1]:{}\n", sink.port);
    let files = vec![("rules", &*rules.leak())];
    let kings = Setup { files, tables: tables.into(), ..Setup::default() }.start();
    let (ann, bob) = ("ann@example.org", "bob@example.org");
    let reply = kings.smtp().message(CAROL, &[bob], &letter(CAROL, bob, "scan this")).unwrap();
    let id = reply.text.split(' ').next_back().unwrap().to_owned();
    let forged = |sender: &str| {
        let fields = format!(
            "Received: from x by mail.example.org with ESMTP id {id}; Fri, 27 Nov 2026 00:00:00 +0000\r\n\
             X-Kings-Filter: {id} 0000000000000000000000000000000000000000000000000000000000000000\r\n"
        );
        [fields.as_bytes(), &letter(sender, bob, "scan forged")].concat()
    };
    kings.smtp().message(CAROL, &[bob], &forged(CAROL)).unwrap().is("250 2.0.0");
    kings.submissions(ann).message(ann, &[bob], &forged(ann)).unwrap().is("250 2.0.0");
    wait_until("all at the filter", Duration::from_secs(40), || {
        (sink.recipients() == ["<bob@example.org>"; 3]).then_some(())
    });
    assert_eq!(messages(&kings.maildir(bob)).len(), 0);
    let forged = sink.contents().into_iter().filter(|text| text.contains("scan forged")).collect::<Vec<_>>();
    let passes = |text: &String| text.matches("X-Kings-Filter:").count();
    assert_eq!(forged.iter().map(passes).collect::<Vec<_>>(), [1, 1], "ours and no other");
}

#[test]
fn a_rule_that_is_not_done_is_named_with_its_line() {
    let tables = "[inbound]\nheader_checks = \"rules\"\n";
    let kings =
        Setup { files: vec![("rules", "/^X:/ IGNORE\n")], tables: tables.into(), ..Setup::default() }.start();
    kings.folder().write("rules", "/^X:/ IGNORE\n/^Y:/ FILTER smtp:x\n/^Z:/ HOLD\n/^Z:/ SOMETHING\n");
    let check = run(&mut kings.command(&["config", "check"]));
    check
        .failed()
        .says("rules:2: FILTER \"smtp:x\" must name an address")
        .says("rules:4: SOMETHING is no action");
}
