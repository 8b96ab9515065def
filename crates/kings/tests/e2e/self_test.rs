//! `kings self-test` goes the way of a mail program, and tells whether what it sent was signed.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Kings, Output, Setup, messages, program, run, wait_until};

/// That it fails, with this complaint.
fn complains(output: Output, text: &str) {
    let output = output.failed();
    assert!(output.errors().contains(text), "{output}");
}

#[test]
fn a_message_goes_through_submission_signature_and_imap_and_is_gone_afterwards() {
    let kings = Kings::start();
    let unsigned = run(&mut kings.command(&["self-test"])).failed();
    assert_eq!(unsigned.status.code(), Some(1), "{unsigned}");
    assert!(unsigned.text().contains("fix: kings dkim create example.org"), "{unsigned}");

    run(&mut kings.command(&["dkim", "create", "example.org", "--selector", "s1"])).succeeded();
    run(program("kill").args(["-HUP", &kings.process().to_string()])).succeeded();
    let tested = |account: &str| run(&mut kings.command(&["self-test", "--account", account, "--json"]));
    // A test that a reload falls into may leave its message behind: bob's come after it.
    let signs = || tested("ann@example.org").status.success().then_some(());
    wait_until("the new keys sign", Duration::from_secs(20), signs);
    let told: Value = serde_json::from_str(&tested("bob@example.org").succeeded().text()).unwrap();
    assert_eq!(told["account"], "bob@example.org");
    let steps: Vec<&str> =
        told["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["logged in at submission", "sent", "logged in over IMAP", "delivered", "read back"]);
    let selectors: Vec<&str> = told["signature"]["selectors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    assert_eq!((told["signature"]["state"].as_str(), selectors), (Some("pass"), vec!["s1", "s1-ed25519"]));
    assert_eq!(messages(&kings.maildir("bob@example.org")).len(), 0);

    run(&mut kings.command(&["self-test", "--account", "bob@example.org", "--keep"])).succeeded();
    assert_eq!(messages(&kings.maildir("bob@example.org")).len(), 1);
}

#[test]
fn it_says_what_is_missing_and_guesses_of_strangers_do_not_fail_it() {
    let kings =
        Setup { tables: "[limits]\nlogin_failures_per_account = 3\n".to_owned(), ..Setup::default() }.start();
    for _ in 0..5 {
        let mut guess = program("curl");
        guess
            .args(["--silent", "--user", "ann@example.org:wrong"])
            .arg("--cacert")
            .arg(&kings.certificates.authority);
        run(guess.arg(format!("imaps://{}/", kings.at("imaps")))).failed();
    }
    let tested = run(&mut kings.command(&["self-test", "--account", "ann@example.org"]));
    assert!(tested.text().contains("read back"), "{tested}");
    let unknown = run(&mut kings.command(&["self-test", "--account", "eve@example.org"]));
    complains(unknown, "eve@example.org is no account that may log in");

    let listen = "smtp = [\"127.0.0.1:0\"]\nimaps = [\"127.0.0.1:0\"]\n".to_owned();
    let without = Setup { listen, ..Setup::default() }.start();
    let refused = run(&mut without.command(&["self-test"]));
    complains(refused, "the self-test needs  submissions = [...]  in [listen]");
    let mut stopped = without;
    stopped.kill();
    complains(run(&mut stopped.command(&["self-test"])), "start it with: kings serve");
}
