//! Policy services at every stage where Postfix asks them, on port 25 and on submission: what they are told, and what
//! comes of several of them, beside a real Postfix.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::external::Authority;
use crate::harness::{
    Certificates, Folder, NameServer, Postfix, Setup, Smtp, UNVERIFIED, letter, messages, plain,
};
use crate::smart_host_login::Judge;

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";
const STATES: &str =
    "policy_states = [\"CONNECT\", \"EHLO\", \"MAIL\", \"RCPT\", \"DATA\", \"END-OF-MESSAGE\"]\n";

type Question = BTreeMap<String, String>;

/// A policy service that keeps what it is asked, and answers what `rule` makes of it.
struct Service {
    port: u16,
    asked: Arc<Mutex<Vec<Question>>>,
}

impl Service {
    fn start(rule: fn(&Question) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let kept = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                thread::spawn(move || answer(stream, rule, &kept));
            }
        });
        Self { port, asked }
    }

    /// What it was asked since the last time.
    fn asked(&self) -> Vec<Question> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn answer(mut stream: TcpStream, rule: fn(&Question) -> String, kept: &Mutex<Vec<Question>>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let mut question = Question::new();
    loop {
        let line = lines.next()?.ok()?;
        if let Some((name, value)) = line.split_once('=') {
            question.insert(name.to_owned(), value.to_owned());
        } else {
            let said = rule(&question);
            kept.lock().unwrap().push(std::mem::take(&mut question));
            stream.write_all(format!("action={said}\n\n").as_bytes()).ok()?;
        }
    }
}

/// Postfix that asks these services, in their order, wherever Kings is to ask them.
fn asking(services: &[&Service], more: &str) -> Postfix {
    let asked: Vec<String> = services
        .iter()
        .map(|service| format!("check_policy_service inet:127.0.0.1:{}", service.port))
        .collect();
    let asked = asked.join(", ");
    let stages: String = ["client", "helo", "sender", "recipient", "data", "end_of_data"]
        .iter()
        .map(|stage| format!("smtpd_{stage}_restrictions = {asked}, permit\n"))
        .collect();
    Postfix::start(&format!(
        "smtpd_delay_reject = no\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n{stages}{more}"
    ))
}

/// `policy_service` of Kings.
fn named(services: &[&Service]) -> String {
    let places: Vec<String> =
        services.iter().map(|service| format!("\"inet:127.0.0.1:{}\"", service.port)).collect();
    format!("policy_service = [{}]\n{STATES}", places.join(", "))
}

/// What both must tell alike; addresses, ports and names of this run differ, and so do the texts of both sides.
fn alike(question: &Question, names: &[&str]) -> Vec<String> {
    names
        .iter()
        .map(|name| format!("{name}={}", question.get(*name).map_or("(none)", String::as_str)))
        .collect()
}

/// The dialogue of a client that logs in under TLS.
fn submit(certificates: &Certificates, address: SocketAddr, login: &str) {
    let mut client = Smtp::connect(address).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client.command("STARTTLS").unwrap().is("220");
    let mut client = client.secure(certificates);
    client.command("EHLO client.example.net").unwrap().is("250");
    client.command(&format!("AUTH PLAIN {}", plain(login, "secret"))).unwrap().is("235");
    client.command(&format!("MAIL FROM:<{ANN}> SIZE=1234 AUTH=joe+40example.net")).unwrap().is("250");
    for to in [DAVE, "erin@example.net"] {
        client.command(&format!("RCPT TO:<{to}>")).unwrap().is("250");
    }
    client.command("DATA").unwrap().is("354");
    client.send(&[&letter(ANN, DAVE, "told")[..], b".\r\n"].concat()).unwrap();
    client.reply().unwrap().is("250");
}

#[test]
fn submission_tells_what_postfix_tells_at_every_stage() {
    let ours = compared(None);
    assert!(ours.iter().all(|question| question["ccert_fingerprint"].is_empty()));
}

#[test]
fn a_certificate_of_a_user_is_told_as_postfix_tells_it() {
    let people = Folder::new("people");
    let authority = Authority::new("People of one test");
    authority.certify(&people, "ann", ANN, 2090);
    let ours = compared(Some((&people, &authority.write(&people))));
    assert!(ours[0]["ccert_fingerprint"].is_empty(), "in clear nothing is shown");
    assert_eq!(ours[3]["ccert_issuer"], "People+20of+20one+20test");
    assert!(!ours[3]["ccert_subject"].is_empty() && ours[3]["ccert_fingerprint"].len() == 95);
}

/// What a Kings and a Postfix tell of the same submission; it must be the same. `person`: whose certificate is shown, in which
/// folder, and who made it.
fn compared(person: Option<(&Folder, &Path)>) -> Vec<Question> {
    let service = Service::start(|_| "DUNNO".to_owned());
    let tables = format!("[submission]\n{}[outbound]\nsmart_host = \"127.0.0.1:9\"\n", named(&[&service]));
    let names = NameServer::start(
        "example.net",
        "1.0.0.127.in-addr.arpa. IN PTR localhost.\nlocalhost. IN A 127.0.0.1\n",
    );
    let tls = person.map(|(_, authority)| format!("client_ca = \"{}\"\n", authority.display()));
    let tls = tls.unwrap_or_default();
    let kings = Setup { tables, tls, name_server: names.address.clone(), ..Setup::default() }.start();
    let mut certificates = kings.certificates.clone();
    certificates.person = person.map(|(folder, _)| (folder.join("ann.pem"), folder.join("ann.key")));
    service.asked();
    submit(&certificates, kings.address("submission"), ANN);
    let ours = service.asked();

    let judge = Judge::start("plain");
    let postfix = asking(
        &[&service],
        &format!(
            "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n\
             virtual_mailbox_maps = inline:{{ dave@example.net=dave/, erin@example.net=dave/ }}\n\
             smtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n{}",
            judge.socket(),
            kings.certificates.certificate.display(),
            kings.certificates.private_key.display(),
            person.map_or(String::new(), |(_, authority)| format!(
                "smtpd_tls_ask_ccert = yes\nsmtpd_tls_CAfile = {}\nsmtpd_tls_fingerprint_digest = sha256\n",
                authority.display()
            )),
        ),
    );
    submit(&certificates, ([127, 0, 0, 1], postfix.port).into(), "relay@example.net");
    // Whether it listens was found out by connecting, which it asks about as well.
    let mut theirs = service.asked();
    let theirs = theirs.split_off(theirs.len().saturating_sub(ours.len()));

    let names = [
        "request",
        "protocol_state",
        "protocol_name",
        "client_address",
        "client_name",
        "reverse_client_name",
        "server_address",
        "helo_name",
        "sender",
        "recipient",
        "recipient_count",
        "etrn_domain",
        "stress",
        "sasl_method",
        "sasl_sender",
        "ccert_subject",
        "ccert_issuer",
        "ccert_fingerprint",
        "ccert_pubkey_fingerprint",
        "encryption_protocol",
        "encryption_cipher",
        "encryption_keysize",
        "policy_context",
    ];
    let told = |questions: &[Question]| questions.iter().map(|one| alike(one, &names)).collect::<Vec<_>>();
    assert_eq!(told(&ours), told(&theirs));
    let states: Vec<&str> = ours.iter().map(|question| question["protocol_state"].as_str()).collect();
    assert_eq!(states, ["CONNECT", "EHLO", "EHLO", "MAIL", "RCPT", "RCPT", "DATA", "END-OF-MESSAGE"]);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let keys = |question: &Question| question.keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(ours), keys(theirs));
        let state = ours["protocol_state"].as_str();
        if !state.starts_with("END") {
            assert_eq!(ours["size"], theirs["size"], "{state}");
        }
        let logged_in = !["CONNECT", "EHLO"].contains(&state);
        assert_eq!(ours["sasl_username"], if logged_in { ANN } else { "" }, "{state}");
        assert_eq!(theirs["sasl_username"], if logged_in { "relay@example.net" } else { "" }, "{state}");
    }
    assert_eq!(ours[3]["size"], "1234");
    let instances: Vec<&str> = ours[3..].iter().map(|question| question["instance"].as_str()).collect();
    assert!(instances.iter().all(|instance| instance == &instances[0]), "{instances:?}");
    ours
}

/// The mirror image: whoever is refused at a stage hears it there, on both listeners, and gets no further.
#[test]
fn a_refusal_is_heard_at_the_stage_where_it_is_said() {
    // The sender names the stage; a client that has none to name is told apart by what it calls itself.
    let service = Service::start(|question| {
        let state = question["protocol_state"].to_lowercase();
        let named = question["sender"].starts_with(&format!("{state}@"))
            || (state == "ehlo" && question["helo_name"].starts_with("ehlo."));
        if named { format!("550 5.7.1 refused at {state}") } else { "DUNNO".to_owned() }
    });
    let kings = Setup {
        tables: format!(
            "{UNVERIFIED}{}[submission]\nforeign_senders = \"accept\"\n{}",
            named(&[&service]),
            named(&[&service])
        ),
        ..Setup::default()
    }
    .start();
    let postfix = asking(&[&service], "");
    let open = |which: &str, name: &str| {
        let mut client = match which {
            "port 25" => Smtp::connect(kings.address("smtp")).unwrap(),
            "submission" => {
                let client = Smtp::connect_silently(kings.address("submissions")).unwrap();
                let mut client = client.secure(&kings.certificates);
                client.reply().unwrap().is("220");
                client
            }
            _ => Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap(),
        };
        let hello = client.command(&format!("EHLO {name}")).unwrap();
        if hello.code == 250 && which == "submission" {
            client.command(&format!("AUTH PLAIN {}", plain(ANN, "secret"))).unwrap().is("235");
        }
        (client, hello)
    };
    for which in ["port 25", "submission", "Postfix"] {
        let to = if which == "Postfix" { DAVE } else { ANN };
        let (mut client, hello) = open(which, "ehlo.example.net");
        hello.is("550 5.7.1");
        assert!(hello.text.ends_with("refused at ehlo"), "{which}: {}", hello.text);
        // Postfix does not insist on EHLO where the config does not.
        if which != "Postfix" {
            client.command(&format!("MAIL FROM:<{DAVE}>")).unwrap().is("5");
        }
        for (at, stage) in ["mail", "rcpt", "data", "end-of-message"].into_iter().enumerate() {
            let (mut client, _) = open(which, "client.example.net");
            let from = format!("{stage}@example.net");
            let content = [&letter(&from, to, stage)[..], b".\r\n"].concat();
            let mail = client.command(&format!("MAIL FROM:<{from}>")).unwrap();
            let mut replies = vec![mail];
            if at > 0 {
                replies.push(client.command(&format!("RCPT TO:<{to}>")).unwrap());
            }
            if at > 1 {
                replies.push(client.command("DATA").unwrap());
            }
            if at > 2 {
                client.send(&content).unwrap();
                replies.push(client.reply().unwrap());
            }
            let last = replies.pop().unwrap();
            assert!(replies.iter().all(|reply| reply.code < 400), "{which} at {stage}: {replies:?}");
            assert!(
                last.code == 550 && last.text.ends_with(&format!("refused at {stage}")),
                "{which} at {stage}: {last:?}"
            );
        }
        let (mut client, _) = open(which, "client.example.net");
        client.message(ANN, &[to], &letter(ANN, to, "fine")).unwrap().is("250");
    }
    let subjects: Vec<_> =
        messages(&kings.maildir(ANN)).iter().filter_map(|message| message.field("Subject")).collect();
    assert_eq!(subjects, ["fine", "fine"]);
}

/// Before the greeting nobody has said anything: the address is all there is.
#[test]
fn a_client_that_is_not_welcome_gets_no_greeting() {
    let service = Service::start(|question| {
        assert!(question["helo_name"].is_empty() && question["sender"].is_empty(), "{question:?}");
        assert_eq!(
            (question["protocol_state"].as_str(), question["client_address"].as_str()),
            ("CONNECT", "127.0.0.1")
        );
        "554 5.7.1 not you".to_owned()
    });
    let at_connect =
        format!("policy_service = \"inet:127.0.0.1:{}\"\npolicy_states = [\"CONNECT\"]\n", service.port);
    let kings =
        Setup { tables: format!("{UNVERIFIED}{at_connect}[submission]\n{at_connect}"), ..Setup::default() }
            .start();
    for address in [kings.address("smtp"), kings.address("submission")] {
        let mut client = Smtp::connect_silently(address).unwrap();
        client.reply().unwrap().is("554 5.7.1");
    }
    assert_eq!(service.asked().len(), 2);
    let postfix = Postfix::start(&format!(
        "smtpd_delay_reject = no\nsmtpd_client_restrictions = check_policy_service inet:127.0.0.1:{}, permit\n",
        service.port
    ));
    let mut client = Smtp::connect_silently(([127, 0, 0, 1], postfix.port).into()).unwrap();
    client.reply().unwrap().is("554 5.7.1");
}

/// Two services: what each says of a sender stands in its name, `first.second@`.
#[test]
fn several_services_are_heard_as_postfix_hears_them() {
    const ANSWERS: [&str; 8] = [
        "DUNNO",
        "OK",
        "REJECT no",
        "DEFER_IF_PERMIT later",
        "DEFER_IF_REJECT maybe",
        "451 4.3.0 soon",
        "PREPEND X-Policy: seen",
        "DISCARD",
    ];
    fn said(question: &Question, place: usize) -> String {
        let (name, _) = question["sender"].split_once('@').unwrap_or_default();
        let number =
            name.trim_start_matches('s').split('.').nth(place).and_then(|text| text.parse::<usize>().ok());
        number.map_or("DUNNO", |number| ANSWERS[number]).to_owned()
    }
    let services =
        [Service::start(|question| said(question, 0)), Service::start(|question| said(question, 1))];
    let both = [&services[0], &services[1]];
    let places: Vec<String> =
        both.iter().map(|service| format!("\"inet:127.0.0.1:{}\"", service.port)).collect();
    let kings = Setup {
        tables: format!(
            "{UNVERIFIED}policy_service = [{}]\npolicy_states = [\"RCPT\"]\n[limits]\nexempt = [\"127.0.0.0/8\"]\n",
            places.join(", ")
        ),
        ..Setup::default()
    }
    .start();
    let checks: Vec<String> =
        both.iter().map(|service| format!("check_policy_service inet:127.0.0.1:{}", service.port)).collect();
    let postfix = Postfix::start(&format!("smtpd_recipient_restrictions = {}, permit\n", checks.join(", ")));
    for (first, said_first) in ANSWERS.iter().enumerate() {
        for (second, said_second) in ANSWERS.iter().enumerate() {
            let from = format!("s{first}.{second}@example.net");
            let mut told = Vec::new();
            let mut theirs = Smtp::connect(([127, 0, 0, 1], postfix.port).into()).unwrap();
            theirs.command("EHLO client.example.net").unwrap().is("250");
            for (mut client, to) in [(kings.smtp(), ANN), (theirs, DAVE)] {
                client.command(&format!("MAIL FROM:<{from}>")).unwrap().is("250");
                let reply = client.command(&format!("RCPT TO:<{to}>")).unwrap();
                let word =
                    ["no", "later", "maybe", "soon"].into_iter().find(|word| reply.text.ends_with(word));
                let asked: Vec<usize> = services.iter().map(|service| service.asked().len()).collect();
                told.push((reply.code, word, asked));
            }
            assert_eq!(told[0], told[1], "{said_first} then {said_second}");
        }
    }
}
