//! Delivery status notifications as a client asks for them and as a program reads them: Python's email package is the
//! judge of their form.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{
    Kings, Message, Postfix, Setup, free_port, letter, messages, program, run_with_input, wait_until,
};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";
const DELIVERY: Duration = Duration::from_secs(30);

/// Reads a message and prints what a mail program would know of the report in it.
const JUDGE: &str = r"
import email, email.policy, json, sys
message = email.message_from_binary_file(sys.stdin.buffer, policy=email.policy.default)
text, status, original = message.iter_parts()
print(json.dumps({
    'type': message.get_content_type(), 'report-type': message['content-type'].params.get('report-type'),
    'defects': [repr(defect) for part in message.walk() for defect in part.defects],
    'text': text.get_content(), 'status': [dict(block) for block in status.get_payload()],
    'original': original.get_content_type(), 'content': original.as_string(),
    'null': message['return-path'], 'auto': message['auto-submitted'],
}))
";

fn smart_host(port: u16, more: &str) -> Kings {
    let tables = format!("{more}\n[outbound]\nsmart_host = \"127.0.0.1:{port}\"\ntls = \"none\"\n");
    Setup { tables, ..Setup::default() }.start()
}

/// Submits a message whose MAIL and RCPT carry these parameters.
fn submit(kings: &Kings, subject: &str, mail: &str, rcpt: &str) {
    let mut client = kings.submissions(ANN);
    client.command(&format!("MAIL FROM:<{ANN}> {mail}")).unwrap().is("250");
    client.command(&format!("RCPT TO:<{DAVE}> {rcpt}")).unwrap().is("250");
    client.command("DATA").unwrap().is("354");
    client.send(&[&letter(ANN, DAVE, subject)[..], b".\r\n"].concat()).unwrap();
    client.reply().unwrap().is("250 2.0.0");
}

fn read(report: &Message) -> Value {
    let judged = run_with_input(program("python3").arg("-c").arg(JUDGE), &report.content).succeeded();
    serde_json::from_slice(&judged.stdout).unwrap()
}

/// The only message of ann, which is a report in its three parts, from nobody.
#[track_caller]
fn only_report(kings: &Kings) -> Value {
    let maildir = kings.maildir(ANN);
    let found =
        wait_until("a report", DELIVERY, || Some(messages(&maildir)).filter(|found| !found.is_empty()));
    assert_eq!(found.len(), 1, "reports");
    let report = read(&found[0]);
    let head = ["type", "report-type", "null", "auto"].map(|key| report[key].as_str().unwrap_or_default());
    assert_eq!(head, ["multipart/report", "delivery-status", "<>", "auto-replied"], "{report}");
    assert_eq!(report["defects"], Value::Array(Vec::new()), "{report}");
    report
}

/// RFC 3461 §6: the next hop knows nothing of DSN, so it is our word that the message was handed on.
#[test]
fn a_client_that_asks_for_success_hears_that_its_message_was_relayed() {
    let postfix = Postfix::start("smtpd_discard_ehlo_keywords = dsn\n");
    let kings = smart_host(postfix.port, "");
    submit(&kings, "nobody asked", "RET=FULL", "");
    submit(&kings, "never", "RET=FULL ENVID=none", "NOTIFY=NEVER");
    submit(
        &kings,
        "asked",
        "RET=HDRS ENVID=a+2Bb+20c",
        "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Dave+2BX@example.net",
    );
    let report = only_report(&kings);
    let (message, recipient) = (&report["status"][0], &report["status"][1]);
    assert_eq!(message["Original-Envelope-Id"], "a+b c", "{report}");
    assert_eq!(message["Reporting-MTA"], "dns; mail.example.org", "{report}");
    assert_eq!(recipient["Action"], "relayed", "{report}");
    assert_eq!(recipient["Final-Recipient"], format!("rfc822; {DAVE}"), "{report}");
    assert_eq!(recipient["Original-Recipient"], "rfc822;Dave+X@example.net", "{report}");
    assert!(recipient["Status"].as_str().unwrap().starts_with("2."), "{report}");
    // RET=HDRS: the header goes back, and nothing of the body.
    assert_eq!(report["original"], "text/rfc822-headers", "{report}");
    let content = report["content"].as_str().unwrap();
    assert!(content.contains("Subject: asked") && !content.contains("Hello"), "{content}");
    wait_until("all three at the next hop", DELIVERY, || (postfix.delivered().len() == 3).then_some(()));
    assert_eq!(messages(&kings.maildir(ANN)).len(), 1, "nobody else asked");
}

#[test]
fn a_client_that_asks_to_hear_of_delay_hears_once_and_others_do_not() {
    let kings = smart_host(free_port(), "[queue]\ndelay_warning = \"1s\"");
    submit(&kings, "patient", "ENVID=one", "NOTIFY=FAILURE");
    submit(&kings, "asked", "RET=HDRS ENVID=two", "NOTIFY=SUCCESS,DELAY");
    std::thread::sleep(Duration::from_millis(1_200));
    for _ in 0..2 {
        run_with_input(&mut kings.command(&["queue", "retry", "all"]), b"").succeeded();
        let report = only_report(&kings);
        let (message, recipient) = (&report["status"][0], &report["status"][1]);
        assert_eq!(message["Original-Envelope-Id"], "two", "{report}");
        assert_eq!(recipient["Action"], "delayed", "{report}");
        assert!(recipient["Status"].as_str().unwrap().starts_with("4."), "{report}");
        assert!(recipient["Will-Retry-Until"].is_string(), "{report}");
        std::thread::sleep(Duration::from_millis(500));
    }
    assert_eq!(messages(&kings.maildir(ANN)).len(), 1);
}
