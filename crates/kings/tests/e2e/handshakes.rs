//! Handshakes that must fail on every port that offers TLS: old versions, weak ciphers, and bytes in clear before them.

use std::process::Command;

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
