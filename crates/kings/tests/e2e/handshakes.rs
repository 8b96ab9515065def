//! Handshakes that must fail on every port that offers TLS: old versions, weak ciphers, and bytes in clear before them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Kings, Smtp, program, run_with_input};

fn s_client(kings: &Kings, listener: &str, arguments: &[&str]) -> String {
    let mut command: Command = program("openssl");
    command.args(["s_client", "-connect", &kings.at(listener)]).args(arguments);
    if listener == "smtp" || listener == "submission" {
        command.args(["-starttls", "smtp"]);
    }
    run_with_input(&mut command, b"").text()
}

#[test]
fn only_tls_1_2_and_1_3_with_strong_ciphers_are_spoken() {
    let kings = Kings::start();
    let agreed = |text: &str| !text.contains("Cipher is (NONE)") && text.contains("Cipher is ");
    for listener in ["smtp", "submission", "submissions", "imaps"] {
        for version in ["-tls1_2", "-tls1_3"] {
            let text = s_client(&kings, listener, &[version]);
            assert!(agreed(&text), "{listener} {version}: {text}");
        }
        for version in ["-tls1", "-tls1_1"] {
            let text = s_client(&kings, listener, &[version, "-cipher", "ALL:@SECLEVEL=0"]);
            assert!(!agreed(&text), "{listener} {version}: {text}");
        }
        for ciphers in ["AES128-SHA:AES256-SHA:AES128-GCM-SHA256", "CAMELLIA:ARIA:PSK", "NULL", "ADH:AECDH"] {
            let text = s_client(&kings, listener, &["-tls1_2", "-cipher", &format!("{ciphers}:@SECLEVEL=0")]);
            assert!(!agreed(&text), "{listener} {ciphers}: {text}");
        }
    }
}

/// An octet now and then does not keep a handshake alive: what counts is when it began.
#[test]
fn a_hello_that_trickles_in_is_not_waited_for() {
    // What the listener allows (`net/listener`), and what a busy machine may need beside it.
    const LIMIT: Duration = Duration::from_secs(30 + 10);
    let kings = Kings::start();
    let began = Instant::now();
    thread::scope(|scope| {
        for listener in ["submissions", "imaps"] {
            let mut slow = TcpStream::connect(kings.address(listener)).unwrap();
            slow.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            scope.spawn(move || {
                // A handshake record of 512 octets, of which one comes each second.
                for octet in [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3].into_iter().chain([0; 60]) {
                    let sent = slow.write_all(&[octet]);
                    let is_closed = match slow.read(&mut [0; 64]) {
                        Ok(count) => count == 0,
                        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
                    };
                    if sent.is_err() || is_closed {
                        return;
                    }
                    assert!(began.elapsed() < LIMIT, "{listener} waits still");
                }
            });
        }
        kings.submit("ann@example.org", "bob@example.org", "meanwhile");
    });
    assert!(began.elapsed() > Duration::from_secs(5), "they were closed at once: {:?}", began.elapsed());
}

#[test]
fn a_command_between_our_220_and_the_handshake_is_answered_by_nobody() {
    let kings = Kings::start();
    for injected in ["NOOP\r\n", "EHLO evil.test\r\nMAIL FROM:<evil@evil.test>\r\n"] {
        let mut client = Smtp::connect(kings.address("smtp")).unwrap();
        client.command("EHLO client.example.net").unwrap().is("250");
        client.command("STARTTLS").unwrap().is("220");
        client.send(injected.as_bytes()).unwrap();
        assert!(client.reply().is_err(), "{injected:?} was answered");
    }
    // The mirror: without it the handshake works, and EHLO is wanted again.
    let mut client = Smtp::connect(kings.address("smtp")).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client.command("STARTTLS").unwrap().is("220");
    let mut client = client.secure(&kings.certificates);
    client.command("MAIL FROM:<carol@example.net>").unwrap().is("503");
    client.command("EHLO client.example.net").unwrap().is("250");
}
