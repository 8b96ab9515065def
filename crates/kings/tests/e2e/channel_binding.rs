//! SCRAM bound to the certificate of the server (`tls-server-end-point`), by a client that is not ours.

use std::path::{Path, PathBuf};

use crate::harness::{Certificates, Folder, Kings, Output, Setup, program, run};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/channel_binding/login.py")
}

fn binding() -> Kings {
    let tables = "[login]\nchannel_binding = true\n".to_owned();
    Setup { tables, ..Setup::default() }.start()
}

/// Logs in as ann, who has seen this certificate.
fn log_in(kings: &Kings, protocol: &str, password: &str, version: &str, certificate: &str) -> Output {
    let listener = if protocol == "imap" { "imaps" } else { "submissions" };
    let mut command = program("python3");
    command.arg(script()).arg(protocol).arg(kings.address(listener).port().to_string());
    command.arg(&kings.certificates.authority).args(["ann@example.org", password, version, certificate]);
    run(&mut command)
}

#[test]
fn a_login_is_bound_to_the_certificate_that_was_shown() {
    let kings = binding();
    for protocol in ["imap", "smtp"] {
        log_in(&kings, protocol, "secret", "TLSv1_3", "shown").succeeded().says("logged in");
        log_in(&kings, protocol, "wrong", "TLSv1_3", "shown").failed().says("refused");
    }
}

/// HOSTILE: somebody in between has a certificate of its own for our name and passes everything on.
#[test]
fn a_login_that_was_bound_to_another_certificate_is_refused() {
    let kings = binding();
    let elsewhere = Folder::new("between");
    let between = Certificates::create(&elsewhere, "mail.example.org");
    for protocol in ["imap", "smtp"] {
        let refused = log_in(&kings, protocol, "secret", "TLSv1_3", between.certificate.to_str().unwrap());
        refused.failed().says("refused");
        // Under TLS 1.2 clients would bind by what is broken there, so nothing is offered.
        log_in(&kings, protocol, "secret", "TLSv1_2", "shown").failed().says("not offered");
    }
}
