//! Master users and bare login names, by curl.

use crate::harness::{Kings, Output, Setup, program, run};

const ANN: &str = "ann@example.org";

fn curl(kings: &Kings, options: &[&str]) -> Output {
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(&kings.certificates.certificate);
    let port = kings.address("imaps").port();
    curl.args(["--resolve", &format!("localhost:{port}:127.0.0.1")]).args(options);
    run(curl.arg(format!("imaps://localhost:{port}/INBOX;UID=1/;SECTION=HEADER.FIELDS%20(SUBJECT)")))
}

#[test]
fn a_master_reads_the_mail_of_an_account_by_either_form_and_nobody_else_does() {
    let setup = Setup {
        files: vec![
            ("masters", "admin:{PLAIN}master-secret\n"),
            // Bob has left, and nobody logs in as himself.
            ("users", "ann@example.org:{PLAIN}secret\nbob@example.org:{PLAIN}secret::::::nologin\n"),
        ],
        tables: "[login]\nmaster_users = \"masters\"\ndefault_domain = \"example.org\"\n".to_owned(),
        ..Setup::default()
    };
    let kings = setup.start();
    kings.deliver(ANN, "for ann alone");
    for options in [
        ["--user", "ann@example.org*admin:master-secret"].as_slice(),
        &["--user", "ann*admin:master-secret", "--login-options", "AUTH=PLAIN"],
        &["--user", "admin:master-secret", "--sasl-authzid", "ann", "--login-options", "AUTH=PLAIN"],
        &["--user", "ann:secret"],
    ] {
        let read = curl(&kings, options).succeeded();
        assert!(read.text().contains("for ann alone"), "{options:?}: {read}");
    }
    kings.deliver("bob@example.org", "for ann alone, too");
    curl(&kings, &["--user", "bob*admin:master-secret"]).succeeded().says("for ann alone, too");
    for options in [
        ["--user", "ann*admin:secret"].as_slice(),
        &["--user", "admin:master-secret"],
        &["--user", "ann*bob:secret"],
        &["--user", "bob:secret", "--sasl-authzid", "ann", "--login-options", "AUTH=PLAIN"],
    ] {
        curl(&kings, options).failed().says("Login denied");
    }
    let tested = run(&mut kings.command(&["account", "list"])).succeeded();
    assert!(!tested.text().contains("admin"), "a master is no account");
}
