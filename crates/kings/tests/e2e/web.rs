//! Ports 80 and 443: curl fetches what mail programs and other mail servers look for there.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Kings, Setup, program, run};

/// All the names of the certificate.
const NAMES: [&str; 5] = [
    "mail.example.org",
    "example.org",
    "mta-sts.example.org",
    "autoconfig.example.org",
    "autodiscover.example.org",
];

fn start(tables: &str) -> Kings {
    let mut listen = Setup::default().listen;
    listen += "http = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n";
    Setup { listen, tables: tables.to_owned(), names: &NAMES, ..Setup::default() }.start()
}

/// curl asks a name of ours, at the port of one of the listeners.
fn curl(kings: &Kings, listener: &str, host: &str, path: &str) -> Command {
    let port = kings.address(listener).port();
    let mut command = program("curl");
    command.args(["--silent", "--show-error", "--include", "--max-time", "20"]);
    command.arg("--cacert").arg(&kings.certificates.authority);
    command.arg("--resolve").arg(format!("{host}:{port}:127.0.0.1"));
    let scheme = if listener == "http" { "http" } else { "https" };
    command.arg(format!("{scheme}://{host}:{port}{path}"));
    command
}

fn fetched(kings: &Kings, host: &str, path: &str) -> String {
    run(&mut curl(kings, "https", host, path)).succeeded().text()
}

#[test]
fn a_domain_serves_the_policy_that_its_config_says_and_no_other_host_does() {
    let kings = start("[mta_sts]\nmode = \"enforce\"\nmax_age = \"1d\"\n");
    let policy = fetched(&kings, "mta-sts.example.org", "/.well-known/mta-sts.txt");
    assert!(policy.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n"), "{policy}");
    assert!(policy.contains("strict-transport-security: max-age="), "{policy}");
    let body = policy.split("\r\n\r\n").nth(1).unwrap();
    assert_eq!(body, "version: STSv1\nmode: enforce\nmax_age: 86400\nmx: mail.example.org\n");
    for (host, path) in [
        ("mail.example.org", "/.well-known/mta-sts.txt"),
        ("example.org", "/.well-known/mta-sts.txt"),
        ("mta-sts.example.org", "/"),
        ("mta-sts.example.org", "/.well-known/mta-sts.txt/"),
        ("mta-sts.example.org", "/.well-known/../.well-known/mta-sts.txt%00"),
    ] {
        let refused = fetched(&kings, host, path);
        assert!(refused.starts_with("HTTP/1.1 404 "), "{host}{path}: {refused}");
    }
    let off = start("[mta_sts]\nmode = \"off\"\n");
    let refused = fetched(&off, "mta-sts.example.org", "/.well-known/mta-sts.txt");
    assert!(refused.starts_with("HTTP/1.1 404 "), "{refused}");
}

#[test]
fn mail_programs_find_the_servers_that_run_and_an_address_that_is_not_ours_finds_none() {
    let kings = start("");
    let port = |listener| kings.address(listener).port().to_string();
    let config =
        fetched(&kings, "autoconfig.example.org", "/mail/config-v1.1.xml?emailaddress=ann%40example.org");
    for listener in ["imaps", "imap", "pop3s", "pop3", "submissions", "submission"] {
        assert!(config.contains(&format!("<port>{}</port>", port(listener))), "{listener}: {config}");
    }
    let known = fetched(&kings, "example.org", "/.well-known/autoconfig/mail/config-v1.1.xml");
    assert_eq!(known.split("\r\n\r\n").nth(1), config.split("\r\n\r\n").nth(1));

    let question = "<Autodiscover xmlns='http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006'>\
<Request><EMailAddress>ann@example.org</EMailAddress></Request></Autodiscover>";
    // Microsoft's servers put a dot behind the name.
    for (host, path) in [
        ("autodiscover.example.org", "/autodiscover/autodiscover.xml"),
        ("autodiscover.example.org", "/Autodiscover/Autodiscover.xml"),
        ("example.org", "/autodiscover/autodiscover.xml"),
    ] {
        let mut command = curl(&kings, "https", host, path);
        command.args([
            "--header",
            &format!("Host: {host}."),
            "--header",
            "Content-Type: text/xml",
            "--data",
            question,
        ]);
        let answer = run(&mut command).succeeded().text();
        assert!(answer.contains(&format!("<Port>{}</Port>", port("imaps"))), "{answer}");
        assert!(answer.contains("<LoginName>ann@example.org</LoginName>"), "{answer}");
    }
    let elsewhere = question.replace("ann@example.org", "ann@example.net");
    let mut command = curl(&kings, "https", "autodiscover.example.org", "/autodiscover/autodiscover.xml");
    let answer = run(command.args(["--data", &elsewhere])).succeeded().text();
    assert!(answer.contains("<ErrorCode>600</ErrorCode>") && !answer.contains("<Port>"), "{answer}");

    let way = fetched(
        &kings,
        "autodiscover.example.org",
        "/autodiscover/autodiscover.json?Email=ann@example.org&Protocol=AutodiscoverV1",
    );
    assert!(way.contains("\"Url\":\"https://mail.example.org/autodiscover/autodiscover.xml\""), "{way}");

    let profile = fetched(&kings, "mail.example.org", "/apple.mobileconfig?address=ann%40example.org");
    assert!(profile.contains("content-type: application/x-apple-aspen-config\r\n"), "{profile}");
    assert!(profile.contains(&format!("<integer>{}</integer>", port("imaps"))), "{profile}");
    let plist = kings.folder().write("profile", profile.split("\r\n\r\n").nth(1).unwrap());
    let read = "import plistlib, sys; print(plistlib.load(open(sys.argv[1], 'rb'))['PayloadContent'][0]['EmailAddress'])";
    let told = run(program("python3").args(["-c", read]).arg(plist)).succeeded();
    assert_eq!(told.text().trim_end(), "ann@example.org");
    for query in ["", "?address=ann%40example.net", "?address=ann"] {
        let refused = fetched(&kings, "mail.example.org", &format!("/apple.mobileconfig{query}"));
        assert!(refused.starts_with("HTTP/1.1 404 "), "{query}: {refused}");
    }
}

#[test]
fn port_80_leads_to_https_at_names_of_ours_and_nowhere_else() {
    let kings = start("");
    let https = kings.address("https").port();
    for (host, path, to) in [
        ("mail.example.org", "/", format!("https://mail.example.org:{https}/")),
        (
            "autoconfig.example.org",
            "/mail/config-v1.1.xml?a=b",
            format!("https://autoconfig.example.org:{https}/mail/config-v1.1.xml?a=b"),
        ),
        ("example.net", "/x", format!("https://mail.example.org:{https}/x")),
        ("www.example.org", "//example.net/", format!("https://mail.example.org:{https}//example.net/")),
    ] {
        let answer = run(&mut curl(&kings, "http", host, path)).succeeded().text();
        assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
        assert!(answer.contains(&format!("location: {to}\r\n")), "{host}{path}: {answer}");
    }
    for path in [
        "/.well-known/acme-challenge/",
        "/.well-known/acme-challenge/unknown",
        "/.well-known/acme-challenge/../../etc/passwd",
    ] {
        let answer =
            run(curl(&kings, "http", "mail.example.org", path).arg("--path-as-is")).succeeded().text();
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    let post =
        run(curl(&kings, "http", "mail.example.org", "/.well-known/acme-challenge/x").args(["--data", "y"]))
            .succeeded();
    assert!(post.text().starts_with("HTTP/1.1 405 "), "{post}");
    // Without HTTPS there is no way to it.
    let listen = Setup::default().listen + "http = [\"127.0.0.1:0\"]\n";
    let alone = Setup { listen, ..Setup::default() }.start();
    let answer = run(&mut curl(&alone, "http", "mail.example.org", "/")).succeeded();
    assert!(answer.text().starts_with("HTTP/1.1 404 "), "{answer}");
}

#[test]
fn requests_of_strangers_are_bounded_in_every_way() {
    let kings = start("");
    let strange = fetched_as(&kings, "mail.example.org", "example.net");
    assert!(strange.starts_with("HTTP/1.1 421 "), "{strange}");
    let body = kings.folder().write("large", vec![b'x'; 100_000]);
    let mut command = curl(&kings, "https", "autodiscover.example.org", "/autodiscover/autodiscover.xml");
    let large =
        run(command.args(["--header", "Expect:", "--data-binary"]).arg(format!("@{}", body.display())))
            .text();
    assert!(large.starts_with("HTTP/1.1 413 "), "{large}");
    let mut command = curl(&kings, "https", "autodiscover.example.org", "/autodiscover/autodiscover.xml");
    let got = run(command.args(["--request", "GET"])).succeeded().text();
    assert!(got.starts_with("HTTP/1.1 405 ") && got.contains("allow: POST\r\n"), "{got}");
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\nHost: mail.example.org\r\nX: {}\r\n\r\n", "x".repeat(20_000)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: mail.example.org\r\n{}\r\n", "X: y\r\n".repeat(100)), "431"),
        (
            "GET / HTTP/1.1\r\nHost: mail.example.org\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"
                .to_owned(),
            "400",
        ),
        ("\u{0}\r\n\r\n".to_owned(), "400"),
        ("EHLO mail.example.net\r\n".to_owned(), "400"),
    ] {
        let answer = raw(&kings, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.60}: {answer}");
    }
    // A header that never ends is not waited for.
    let began = Instant::now();
    let answer = raw(&kings, "GET / HTTP/1.1\r\nHost: mail.exa");
    assert!(
        !answer.contains(" 200 ") && began.elapsed() < Duration::from_secs(15),
        "{answer} {:?}",
        began.elapsed()
    );
    // None of this kept others from being served.
    assert!(fetched(&kings, "mail.example.org", "/").contains("This is a mail server."));
}

fn fetched_as(kings: &Kings, host: &str, field: &str) -> String {
    let mut command = curl(kings, "https", host, "/");
    run(command.args(["--header", &format!("Host: {field}")])).succeeded().text()
}

/// What port 80 says to these octets before it closes.
fn raw(kings: &Kings, request: &str) -> String {
    let mut socket = TcpStream::connect(kings.address("http")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}
