//! Questions and answers in memory, and a service that behaves badly on a real socket.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use kings_mail::address::Address;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_smtp::reply::{Reply, Status};
use kings_tls::ClientCertificate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;

/// How long these tests wait for an answer.
const SHORT: Duration = Duration::from_secs(7);

fn caller() -> Caller {
    Caller {
        helo: "client.example.net".to_owned(),
        extended: true,
        tls: Some("TLSv1_3 TLS13_AES_256_GCM_SHA384".to_owned()),
        peer: "192.0.2.1:4711".parse().unwrap(),
        local: "198.51.100.1:25".parse().unwrap(),
        certificate: None,
        reverse_name: Some(("client.example.net".to_owned(), false)),
        login: None,
        submitter: None,
    }
}

fn request<'a>(caller: &'a Caller, path: &'a ReversePath, recipient: &'a ForwardPath) -> Request<'a> {
    Request {
        stage: Stage::Rcpt,
        caller,
        reverse_path: path,
        recipient: Some(recipient),
        recipient_count: 0,
        size: 12_345,
        instance: "1a.2b",
        id: "",
    }
}

fn paths() -> (ReversePath, ForwardPath) {
    (ReversePath::parse("joe@example.net").unwrap(), ForwardPath::parse("ann@example.org").unwrap())
}

#[test]
fn a_question_has_the_attributes_of_postfix() {
    let (caller, (path, recipient)) = (caller(), paths());
    let text = String::from_utf8(request(&caller, &path, &recipient).to_bytes().unwrap()).unwrap();
    assert!(
        text.starts_with("request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\n"),
        "{text}"
    );
    assert!(text.ends_with("\n\n") && text.matches("\n\n").count() == 1);
    for line in [
        "client_address=192.0.2.1",
        "client_name=unknown",
        "reverse_client_name=client.example.net",
        "client_port=4711",
        "server_port=25",
        "helo_name=client.example.net",
        "sender=joe@example.net",
        "recipient=ann@example.org",
        "recipient_count=0",
        "queue_id=",
        "instance=1a.2b",
        "size=12345",
        "sasl_method=",
        "sasl_username=",
        "sasl_sender=",
        "encryption_protocol=TLSv1.3",
        "encryption_cipher=TLS_AES_256_GCM_SHA384",
        "encryption_keysize=256",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn at_the_end_of_a_message_for_several_no_recipient_is_named() {
    let (mut caller, (_, recipient)) = (caller(), paths());
    (caller.extended, caller.tls, caller.reverse_name) = (false, None, Some(("a.example".to_owned(), true)));
    caller.login = Some(LoggedIn { mechanism: "PLAIN", account: "ann@example.org".to_owned() });
    caller.submitter = Some("joe@example.net".into());
    let request = Request {
        stage: Stage::EndOfMessage,
        recipient: None,
        recipient_count: 2,
        id: "ID",
        ..request(&caller, &ReversePath::Null, &recipient)
    };
    let text = String::from_utf8(request.to_bytes().unwrap()).unwrap();
    for line in [
        "protocol_state=END-OF-MESSAGE",
        "protocol_name=SMTP",
        "client_name=a.example",
        "sender=",
        "recipient=",
        "recipient_count=2",
        "queue_id=ID",
        "sasl_method=PLAIN",
        "sasl_username=ann@example.org",
        "sasl_sender=joe@example.net",
        "encryption_protocol=",
        "encryption_keysize=0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn what_a_certificate_says_brings_no_line_of_its_own() {
    let (path, recipient) = paths();
    let certificate = ClientCertificate {
        subject: "Ann + Zoë\naction=x".to_owned(),
        issuer: "People".to_owned(),
        fingerprint: "AB:CD".to_owned(),
        key_fingerprint: "EF:01".to_owned(),
    };
    let caller = Caller { certificate: Some(certificate), ..caller() };
    let text = String::from_utf8(request(&caller, &path, &recipient).to_bytes().unwrap()).unwrap();
    for line in [
        "ccert_subject=Ann+20+2B+20Zo+C3+AB+0Aaction=x",
        "ccert_issuer=People",
        "ccert_fingerprint=AB:CD",
        "ccert_pubkey_fingerprint=EF:01",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn no_value_can_bring_an_attribute_of_its_own() {
    let (path, recipient) = paths();
    for helo in ["a\nclient_address=127.0.0.1", "a\r", "a\0", "\u{85}"] {
        let caller = Caller { helo: helo.to_owned(), ..caller() };
        assert!(request(&caller, &path, &recipient).to_bytes().is_err(), "{helo:?}");
    }
}

#[test]
fn actions_mean_what_postfix_means_by_them() {
    let refuse = |code, status, text: &'static str| Ok(Action::Refuse(Reply::new(code, status, text)));
    let unknown = |text: &str| Err(BadAction::Unknown(text.to_owned()));
    let cases = [
        ("DUNNO", Ok(Action::Continue)),
        ("dunno", Ok(Action::Continue)),
        ("OK", Ok(Action::Permit)),
        ("OK because", Ok(Action::Permit)),
        ("RELAY", Ok(Action::Permit)),
        ("WARN odd client", Ok(Action::Note("odd client".to_owned()))),
        ("INFO", Ok(Action::Note(String::new()))),
        ("DEFER_IF_REJECT x", Ok(Action::DeferIfReject(Reply::new(450, Status(4, 7, 1), "x")))),
        ("REJECT", refuse(554, Status(5, 7, 1), "Access denied")),
        ("REJECT no thanks", refuse(554, Status(5, 7, 1), "no thanks")),
        ("REJECT 5.1.8 no such sender", refuse(554, Status(5, 1, 8), "no such sender")),
        // The code of the reply decides the class of the other one.
        ("REJECT 4.1.8 odd", refuse(554, Status(5, 1, 8), "odd")),
        ("DEFER 5.7.1 hard", refuse(450, Status(4, 7, 1), "hard")),
        ("550 4.7.1 soft", refuse(550, Status(5, 7, 1), "soft")),
        ("REJECT 2.0.0 odd", refuse(554, Status(5, 0, 0), "odd")),
        ("REJECT\tno\tthanks", refuse(554, Status(5, 7, 1), "no thanks")),
        ("REJECT\t5.1.8\tno", refuse(554, Status(5, 1, 8), "no")),
        ("521 go", refuse(521, Status(5, 7, 1), "go")),
        ("HOLD\tlook\tat it", Ok(Action::Hold("look at it".to_owned()))),
        ("PREPEND\tX-Greylist: a\tb", Ok(Action::Prepend("X-Greylist: a\tb".to_owned()))),
        ("permit", Ok(Action::Permit)),
        ("permit, reject", unknown("permit, reject")),
        ("permit_mynetworks", unknown("permit_mynetworks")),
        ("reject_unauth_destination", unknown("reject_unauth_destination")),
        ("123", Ok(Action::Permit)),
        ("999", Ok(Action::Permit)),
        ("123 x", unknown("123 x")),
        ("DEFER later", refuse(450, Status(4, 7, 1), "later")),
        (
            "DEFER_IF_PERMIT Greylisted",
            Ok(Action::DeferIfPermit(Reply::new(450, Status(4, 7, 1), "Greylisted"))),
        ),
        ("451 4.3.5 broken", refuse(451, Status(4, 3, 5), "broken")),
        ("421 go", refuse(421, Status(4, 7, 1), "go")),
        ("550", refuse(550, Status(5, 7, 1), "Access denied")),
        ("550 m\u{fc}de", refuse(550, Status(5, 7, 1), "m?de")),
        ("PREPEND X-Greylist: delayed", Ok(Action::Prepend("X-Greylist: delayed".to_owned()))),
        ("PREPEND X-Greylist:x", Ok(Action::Prepend("X-Greylist:x".to_owned()))),
        ("PREPEND not a field", unknown("PREPEND not a field")),
        ("PREPEND : x", unknown("PREPEND : x")),
        ("PREPEND A b: x", unknown("PREPEND A b: x")),
        ("DISCARD", Ok(Action::Discard)),
        ("REDIRECT bob@example.org", Ok(Action::Redirect(Address::parse("bob@example.org").unwrap()))),
        ("REDIRECT nowhere", unknown("REDIRECT nowhere")),
        ("HOLD", Ok(Action::Hold("the policy service wants it so".to_owned()))),
        ("hold look at it", Ok(Action::Hold("look at it".to_owned()))),
        ("BCC bob@example.org", Ok(Action::Bcc(Address::parse("bob@example.org").unwrap()))),
        ("BCC nowhere", unknown("BCC nowhere")),
        ("BCC", unknown("BCC")),
        ("FILTER smtp:x", unknown("FILTER smtp:x")),
        ("200 fine", unknown("200 fine")),
        ("600 x", unknown("600 x")),
        ("0550 x", unknown("0550 x")),
        ("1700000000", Ok(Action::Permit)),
        ("55", Ok(Action::Permit)),
        ("", Ok(Action::Continue)),
        (" \t", Ok(Action::Continue)),
        ("17e9", unknown("17e9")),
        ("+55 x", unknown("+55 x")),
        ("+55", unknown("+55")),
        ("DUNNO\u{7}", Err(BadAction::NotText)),
    ];
    for (text, expected) in cases {
        assert_eq!(Action::parse(text), expected, "{text:?}");
    }
}

#[test]
fn only_the_action_of_an_answer_counts() {
    assert_eq!(Action::read(b"x=1\naction=DUNNO\naction=REJECT\n\n"), Ok(Action::Continue));
    assert_eq!(Action::read(b"x=action=DUNNO\n\n"), Err(BadAction::Missing));
    assert_eq!(Action::read(b"\n\n"), Err(BadAction::Missing));
    assert_eq!(Action::read(b"action=\xff\n\n"), Err(BadAction::NotText));
}

#[test]
fn places_are_written_as_in_postfix() {
    let inet = |host: &str, port| Some(Place::Inet(host.to_owned(), port));
    let cases = [
        ("unix:/run/policy", Some(Place::Unix("/run/policy".into()))),
        ("inet:127.0.0.1:10023", inet("127.0.0.1", 10_023)),
        ("inet:localhost:10023", inet("localhost", 10_023)),
        ("inet:[::1]:10023", inet("::1", 10_023)),
        ("unix:private/policy", None),
        ("inet:10023", None),
        ("inet::10023", None),
        ("inet:localhost:0", None),
        ("inet:localhost:x", None),
        ("127.0.0.1:10023", None),
        ("", None),
    ];
    for (text, expected) in cases {
        assert_eq!(Place::parse(text), expected, "{text}");
    }
}

/// A policy service of a test: `answers[n]` is said to the n-th question, over all connections; `None` closes
/// the connection instead.
fn service(
    folder: &std::path::Path,
    answers: Vec<Option<&'static str>>,
) -> (Delegate, Arc<std::sync::Mutex<usize>>) {
    let path = folder.join("policy");
    let listener = UnixListener::bind(&path).unwrap();
    let connections = Arc::new(std::sync::Mutex::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        let mut answers = answers.into_iter();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            *counted.lock().unwrap() += 1;
            while hear(&mut socket).await {
                let Some(Some(answer)) = answers.next() else { break };
                socket.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let default_action = Action::parse("451 4.3.5 no answer").unwrap();
    (Delegate { pool: Pool::new(Place::Unix(path)), default_action, patience: SHORT }, connections)
}

/// Reads one question; false at the end.
async fn hear(socket: &mut UnixStream) -> bool {
    let mut question = Vec::new();
    while !question.ends_with(b"\n\n") {
        if socket.read_buf(&mut question).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

async fn ask(delegate: &Delegate) -> Action {
    let (caller, (path, recipient)) = (caller(), paths());
    delegate.ask(&request(&caller, &path, &recipient)).await
}

#[tokio::test]
async fn one_connection_serves_many_questions() {
    let folder = tempfile::tempdir().unwrap();
    let (delegate, connections) = service(folder.path(), vec![Some("action=DUNNO\n\n"); 20]);
    for _ in 0..20 {
        assert_eq!(ask(&delegate).await, Action::Continue);
    }
    assert_eq!(*connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_service_closed_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let answers = vec![Some("action=DUNNO\n\n"), None, Some("action=DISCARD\n\n")];
    let (delegate, connections) = service(folder.path(), answers);
    assert_eq!(ask(&delegate).await, Action::Continue);
    assert_eq!(ask(&delegate).await, Action::Discard);
    assert_eq!(*connections.lock().unwrap(), 2);
}

#[tokio::test]
async fn nonsense_silence_and_absence_are_the_default_action() {
    let default = Action::parse("451 4.3.5 no answer").unwrap();
    let long: &'static str = Box::leak("x".repeat(20_000).into_boxed_str());
    let nonsense = ["action=NONSENSE\n\n", "nothing\n\n", "action=DUNNO\n\nmore", long];
    for answer in nonsense {
        let folder = tempfile::tempdir().unwrap();
        let (delegate, _) = service(folder.path(), vec![Some(answer)]);
        assert_eq!(ask(&delegate).await, default, "{answer:.40}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (delegate, _) = service(folder.path(), Vec::new());
    assert_eq!(ask(&delegate).await, default, "closed without an answer");
    let place = Place::Unix("/nowhere/policy".into());
    let delegate = Delegate { pool: Pool::new(place), default_action: default.clone(), patience: SHORT };
    assert_eq!(ask(&delegate).await, default, "nobody listens");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_answer_in_time_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (delegate, _) = service(folder.path(), vec![Some("action=DUN"); 5]);
    let begin = tokio::time::Instant::now();
    assert_eq!(ask(&delegate).await, Action::parse("451 4.3.5 no answer").unwrap());
    assert!(begin.elapsed() >= SHORT && begin.elapsed() < SHORT * 2);
}
