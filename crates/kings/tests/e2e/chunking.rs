//! BDAT against the real binary: content kept as it came, and nothing kept of what did not come whole.

use std::time::Duration;

use crate::harness::{Kings, Postfix, Setup, Smtp, letter, messages, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";
const DAVE: &str = "dave@example.net";
const DOTS: &str = "\r\n.\r\n..two\r\n.\r\nQUIT\r\n.end\r\n";

/// MAIL and RCPT, both accepted.
fn begin(client: &mut Smtp, from: &str, to: &str) {
    client.command(&format!("MAIL FROM:<{from}>")).unwrap().is("250 2.1.0");
    client.command(&format!("RCPT TO:<{to}>")).unwrap().is("250 2.1.5");
}

fn chunk(content: &[u8], last: &str) -> Vec<u8> {
    [format!("BDAT {}{last}\r\n", content.len()).as_bytes(), content].concat()
}

fn dotted(from: &str, to: &str) -> Vec<u8> {
    [letter(from, to, "dots"), DOTS.as_bytes().to_vec()].concat()
}

#[test]
fn chunks_are_stored_as_they_came() {
    let kings = Kings::start();
    let mut client = kings.smtp();
    begin(&mut client, CAROL, ANN);
    let content = dotted(CAROL, ANN);
    let (first, second) = content.split_at(100);
    client.send(&[chunk(first, ""), chunk(second, " LAST")].concat()).unwrap();
    client.reply().unwrap().is("250 2.0.0");
    client.reply().unwrap().is("250 2.0.0");
    let message = messages(&kings.maildir(ANN)).remove(0).text();
    assert!(message.ends_with(DOTS), "{message}");
}

#[test]
fn dots_of_chunks_are_doubled_on_their_way_out() {
    let postfix = Postfix::start("smtpd_discard_ehlo_keywords = chunking\n");
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", postfix.port);
    let kings = Setup { tables, ..Setup::default() }.start();
    let mut client = kings.submissions(ANN);
    begin(&mut client, ANN, DAVE);
    client.send(&chunk(&dotted(ANN, DAVE), " LAST")).unwrap();
    client.reply().unwrap().is("250 2.0.0");
    let message =
        wait_until("a message at Postfix", Duration::from_secs(30), || postfix.delivered().pop()).text();
    assert!(message.replace("\r\n", "\n").ends_with(&DOTS.replace("\r\n", "\n")), "{message}");
}

/// Dead in the middle of a chunk, in clear and under TLS; TLS ends with a proper goodbye here, and what comes in clear
/// behind it is not heard.
#[test]
fn nothing_is_stored_of_a_chunk_cut_short() {
    let kings = Kings::start();
    let half = [b"BDAT 1000 LAST\r\n", &letter(CAROL, ANN, "half")[..]].concat();
    let mut client = kings.smtp();
    begin(&mut client, CAROL, ANN);
    client.send(&half).unwrap();
    drop(client);

    let mut client = kings.submissions(BOB);
    begin(&mut client, BOB, ANN);
    client.send(&half).unwrap();
    let rest = [&b"x".repeat(1_000)[..], b"\r\nNOOP\r\n"].concat();
    assert!(client.end_tls_and_send(&rest).unwrap().is_none(), "the session goes on behind close_notify");

    // The same in DATA, where the end of the message comes in clear.
    let mut client = kings.submissions(BOB);
    begin(&mut client, BOB, ANN);
    client.command("DATA").unwrap().is("354");
    client.send(&letter(BOB, ANN, "half")).unwrap();
    assert!(
        client.end_tls_and_send(b".\r\nNOOP\r\n").unwrap().is_none(),
        "the session goes on behind close_notify"
    );

    kings.deliver(ANN, "whole");
    let subjects: Vec<_> =
        messages(&kings.maildir(ANN)).iter().filter_map(|message| message.field("Subject")).collect();
    assert_eq!(subjects, ["whole"]);
}

#[test]
fn a_bare_line_feed_in_a_chunk_is_refused_and_its_reason_arrives() {
    let kings = Kings::start();
    let mut client = kings.smtp();
    begin(&mut client, CAROL, ANN);
    let evil = b"Subject: x\r\n\r\n\n.\nMAIL FROM:<evil@example.net>\r\n";
    // Much more than fits: closing without reading it would lose the reply.
    client.send(&[chunk(evil, " LAST"), b"NOOP\r\n".repeat(10_000)].concat()).unwrap();
    client.reply().unwrap().is("550 5.5.2");
    assert!(client.reply().is_err());
    assert!(messages(&kings.maildir(ANN)).is_empty());
}

/// The session ends before the chunk does, and what is unread then makes the kernel reset the connection: the reason is
/// there first, however long the client goes on; under TLS as long as its library reads though it cannot write any more.
#[test]
fn a_client_that_goes_on_sending_hears_why_its_chunk_is_not_read() {
    let kings = Kings::start();
    for (line, expected) in [("BDAT 99999999999 LAST", "552 5.3.4"), ("BDAT many LAST", "521 5.5.4")] {
        for (account, octets) in [(None, 500 * 1024), (None, 40 * 1024 * 1024), (Some(ANN), 500 * 1024)] {
            let mut client = account.map_or_else(|| kings.smtp(), |account| kings.submissions(account));
            begin(&mut client, account.unwrap_or(CAROL), ANN);
            client.send(format!("{line}\r\n").as_bytes()).unwrap();
            let piece = vec![b'x'; 64 * 1024];
            let mut sent = 0;
            while sent < octets && client.send(&piece).is_ok() {
                sent += piece.len();
            }
            client.reply().unwrap().is(expected);
        }
    }
    assert!(messages(&kings.maildir(ANN)).is_empty());
}
