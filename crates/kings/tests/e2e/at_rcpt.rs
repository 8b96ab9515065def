//! What is refused in the session, and would otherwise come back as a bounce: routes that say no, address literals, and
//! messages without one author.

use crate::harness::{Kings, Setup, Smtp, letter, messages};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";

fn kings() -> Kings {
    let mut setup = Setup {
        files: vec![(
            "more-aliases",
            "moved@example.org joe@gone.test\nboth@example.org joe@gone.test, ann@example.org\n",
        )],
        aliases: "files = [\"virtual:more-aliases\"]\n".into(),
        tables: "[[route]]\ndomain = \"gone.test\"\nto = \"error:5.1.6 They moved to new.test\"\n\
                 [[route]]\ndomain = \"later.test\"\nto = \"error:4.3.2 Back on Monday\"\n"
            .into(),
        ..Setup::default()
    };
    setup.listen += "lmtp = [\"127.0.0.1:0\"]\n";
    setup.start()
}

/// Begins a transaction, and says what RCPT is answered for each of these.
#[track_caller]
fn expect(client: &mut Smtp, sender: &str, cases: &[(&str, &str)]) {
    client.command(&format!("MAIL FROM:<{sender}>")).unwrap().is("250");
    for (recipient, expected) in cases {
        let reply = client.command(&format!("RCPT TO:<{recipient}>")).unwrap();
        assert!(
            format!("{} {}", reply.code, reply.text).starts_with(expected),
            "{recipient}: {} {}",
            reply.code,
            reply.text
        );
    }
    client.command("RSET").unwrap().is("250");
}

#[test]
fn a_route_that_refuses_does_so_at_rcpt_with_its_own_words() {
    let kings = kings();
    let cases = [
        ("joe@gone.test", "550 5.1.6 They moved to new.test"),
        ("joe@later.test", "450 4.3.2 Back on Monday"),
        ("moved@example.org", "550 5.1.6 They moved to new.test"),
        // One of its targets is here.
        ("both@example.org", "250"),
        ("joe@elsewhere.test", "250"),
    ];
    expect(&mut kings.submissions(ANN), ANN, &cases);
    let cases = [
        ("joe@gone.test", "550 5.7.1"),
        ("moved@example.org", "550 5.1.6 They moved to new.test"),
        ("both@example.org", "250"),
    ];
    expect(&mut kings.smtp(), CAROL, &cases);
}

/// RFC 5321 §4.1.3, §4.5.1.
#[test]
fn our_own_literal_is_a_name_of_ours_and_others_are_judged_at_once() {
    let kings = kings();
    let own = [
        ("postmaster@[127.0.0.1]", "250"),
        ("Postmaster", "250"),
        ("ann@[127.0.0.1]", "250"),
        ("nobody@[127.0.0.1]", "550 5.1.1"),
    ];
    let lmtp = || {
        let mut client = Smtp::connect(kings.address("lmtp")).unwrap();
        client.command("LHLO client.example.net").unwrap().is("250");
        client
    };
    for mut client in [kings.smtp(), kings.submissions(ANN), lmtp()] {
        expect(&mut client, ANN, &own);
    }
    expect(&mut kings.smtp(), CAROL, &[("joe@[10.9.9.9]", "550 5.7.1"), ("joe@[9.9.9.9]", "550 5.7.1")]);
    let foreign = [("joe@[10.9.9.9]", "550 5.4.4 [10.9.9.9] is no public address"), ("joe@[9.9.9.9]", "250")];
    expect(&mut kings.submissions(ANN), ANN, &foreign);

    let to = "ann@[127.0.0.1]";
    kings.smtp().message(CAROL, &[to], &letter(CAROL, to, "literal")).unwrap().is("250");
    assert_eq!(messages(&kings.maildir(ANN)).len(), 1);
}

/// RFC 5322 §3.6.2; RFC 9989 §11.5: no more domains than are judged.
#[test]
fn a_message_has_one_from_field_and_authors_of_few_domains() {
    let kings = kings();
    let cases = [
        ("From: joe@one.test, bob@two.test\r\nSender: joe@one.test\r\n", "250"),
        ("From: a@a.test, b@b.test, c@c.test, d@d.test, e@e.test\r\n", "550 5.6.0"),
        ("From: joe@one.test\r\nFrom: joe@one.test\r\n", "550 5.6.0"),
        ("From: joe@one.test, bob@one.test\r\nSender: joe@one.test\r\n", "250"),
        ("Subject: no author\r\n", "250"),
    ];
    for (header, expected) in cases {
        let content = format!("{header}Date: Thu, 1 Jan 2026 00:00:00 +0000\r\n\r\nx\r\n");
        kings.smtp().message("joe@one.test", &[ANN], content.as_bytes()).unwrap().is(expected);
    }
    let content = "From: ann@example.org\r\nFrom: ann@example.org\r\n\r\nx\r\n";
    kings.submissions(ANN).message(ANN, &["bob@example.org"], content.as_bytes()).unwrap().is("550 5.6.0");
}
