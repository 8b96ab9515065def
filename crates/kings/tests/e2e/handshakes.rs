//! Handshakes that must fail on every port that offers TLS: old versions, weak ciphers, and bytes in clear before them.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use crate::harness::{Kings, Setup, Smtp, program, run_with_input, show};
use crate::peers::{connect_from, memory};

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

/// The first octets of a handshake, as a client sends them.
fn hello(kings: &Kings) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(kings.certificates.client(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// Whoever asks for handshakes without end costs the server a signature each, and those who are there nothing.
#[test]
fn a_flood_of_handshakes_stops_no_session() {
    const FLOOD: Duration = Duration::from_secs(5);
    /// Handshakes a second that are begun.
    const RATE: u32 = 2_000;
    const CLIENTS: u32 = 4;
    let tables = "[limits]\nexempt = [\"127.1.0.0/16\"]\n".to_owned();
    let kings = Setup { tables, ..Setup::default() }.start();
    let mut session = kings.submissions("ann@example.org");
    let mut imap = kings.imap("ann@example.org");
    let (to, hello, began) = (kings.address("submissions"), hello(&kings), Instant::now());
    let (mut slowest, mut answered) = (Duration::ZERO, 0);
    thread::scope(|scope| {
        let floods = (0..CLIENTS).map(|client| {
            let hello = &hello;
            scope.spawn(move || {
                let mut answered = 0;
                for number in 0.. {
                    let due = Duration::from_secs(1) * number * CLIENTS / RATE;
                    thread::sleep(due.saturating_sub(began.elapsed()));
                    if began.elapsed() > FLOOD {
                        break;
                    }
                    let mut socket = connect_from((client * 60 + number % 60) as usize, to);
                    socket.write_all(hello).unwrap();
                    // The answer holds our signature: it has been paid for.
                    answered += u32::from(socket.read(&mut [0; 1]).is_ok_and(|count| count == 1));
                }
                answered
            })
        });
        let floods: Vec<_> = floods.collect();
        while began.elapsed() < FLOOD {
            let asked = Instant::now();
            session.command("NOOP").unwrap().is("250");
            imap.command("NOOP");
            slowest = slowest.max(asked.elapsed());
            thread::sleep(Duration::from_millis(50));
        }
        kings.submit("ann@example.org", "bob@example.org", "in the flood");
        answered = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
    });
    let rate = f64::from(answered) / began.elapsed().as_secs_f64();
    show(&format!("{rate:.0} handshakes a second, an answer in {slowest:?} at most"));
    assert!(answered > 500, "{answered} handshakes are no flood");
    assert!(slowest < Duration::from_secs(2), "a session waited {slowest:?}");
}

/// A hello may be long, and not without end: 64 KB is what the record of its length is believed.
#[test]
fn a_hello_without_measure_is_ended_at_once_and_takes_no_memory() {
    const CROWD: usize = 50;
    let kings = Kings::start();
    kings.submit("ann@example.org", "bob@example.org", "before");
    let before = memory(&kings);
    // A ClientHello that says to have 16 MB, in records of 16 KB.
    let mut record = vec![22, 3, 1, 64, 0];
    record.extend_from_slice(&[0; 16 * 1024]);
    let mut first = record.clone();
    first[5..9].copy_from_slice(&[1, 255, 255, 255]);
    let mut open = Vec::new();
    for number in 0..CROWD {
        let mut socket = connect_from(number, kings.address("submissions"));
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut sent = socket.write_all(&first);
        for _ in 0..1_000 {
            sent = sent.and_then(|()| socket.write_all(&record));
        }
        assert!(sent.is_err(), "16 MB of a hello were taken");
        open.push(socket);
    }
    let taken = memory(&kings).saturating_sub(before);
    assert!(taken < 16 * 1024 * 1024, "{taken} octets for {CROWD} hellos");
    kings.submit("ann@example.org", "bob@example.org", "after");
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
