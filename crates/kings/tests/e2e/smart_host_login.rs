//! Logging in at a smart host: a Postfix whose logins a Dovecot checks, and another Kings, by every mechanism that both
//! sides know, the best of several, and the next one where the best does not work.

use std::time::Duration;

use crate::harness::{
    Daemon, Folder, Kings, Postfix, Setup, UNVERIFIED, messages, program, rooted, run, wait_until,
};

const ANN: &str = "ann@example.org";
const DAVE: &str = "dave@example.net";
const LOGIN: &str = "relay@example.net";
const DELIVERY: Duration = Duration::from_secs(30);

/// What a server offers, and what is to be taken of it.
const OFFERS: [(&str, &str); 6] = [
    ("plain", "PLAIN"),
    ("login", "LOGIN"),
    ("plain login", "PLAIN"),
    ("plain login cram-md5", "CRAM-MD5"),
    ("plain login cram-md5 scram-sha-1", "SCRAM-SHA-1"),
    ("plain login cram-md5 scram-sha-1 scram-sha-256", "SCRAM-SHA-256"),
];

/// Dovecot that only tells Postfix whether logins are right.
pub(crate) struct Judge {
    _daemon: Daemon,
    folder: Folder,
}

impl Judge {
    #[track_caller]
    pub(crate) fn start(mechanisms: &str) -> Self {
        Self::storing("{PLAIN}secret", mechanisms)
    }

    /// With the password stored in this form. It lets no client wait for having failed: Postfix waits for ten seconds at most.
    #[track_caller]
    fn storing(password: &str, mechanisms: &str) -> Self {
        let folder = Folder::new("sasl");
        let here = folder.path().display();
        folder.write("users", format!("{LOGIN}:{password}\n"));
        let config = folder.write(
            "dovecot.conf",
            format!(
                "base_dir = {here}/run\nstate_dir = {here}/state\nlog_path = /dev/stderr\nprotocols =\nssl = no\n\
                 auth_mechanisms = {mechanisms}\ndisable_plaintext_auth = no\nauth_failure_delay = 0\n\
                 passdb {{\n driver = passwd-file\n args = {here}/users\n}}\n\
                 userdb {{\n driver = static\n args = uid=mail gid=mail home=/nonexistent\n}}\n\
                 service auth {{\n unix_listener {here}/auth {{\n mode = 0666\n }}\n}}\n\
                 service anvil {{\n chroot =\n unix_listener anvil-auth-penalty {{\n mode = 0\n }}\n}}\nservice stats {{\n chroot =\n}}\n"
            ),
        );
        let mut command = rooted(program("dovecot").get_program());
        command.arg("-F").arg("-c").arg(config);
        let mut daemon = Daemon::start("dovecot", &mut command, &folder.join("log"));
        let socket = folder.join("auth");
        daemon.wait_for("its socket", Duration::from_secs(20), |_| socket.exists());
        Self { _daemon: daemon, folder }
    }

    /// Where it answers.
    pub(crate) fn socket(&self) -> String {
        self.folder.text("auth")
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        run(rooted("/bin/rm").arg("-rf").args(["run", "state"].map(|name| self.folder.join(name))));
    }
}

/// Kings that sends everything to this port, with a login.
fn sending_to(port: u16, password: &'static str, tls: &str) -> Kings {
    sending_to_by(port, password, tls, "")
}

/// The same, with more keys of `[outbound]`.
fn sending_to_by(port: u16, password: &'static str, tls: &str, more: &str) -> Kings {
    let tables = format!(
        "[outbound]\nsmart_host = \"127.0.0.1:{port}\"\nuser = \"{LOGIN}\"\npassword_file = \"password\"\n\
         tls = \"{tls}\"\n{more}"
    );
    Setup { files: vec![("password", password)], tables, ..Setup::default() }.start()
}

/// Postfix that asks for a login, and takes it in clear where `tls` is "none".
fn asking(judge: &Judge, tls: &str) -> Postfix {
    Postfix::start(&format!(
        "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {}\n\
         smtpd_tls_security_level = {tls}\nsmtpd_sasl_authenticated_header = yes\n\
         smtpd_recipient_restrictions = permit_sasl_authenticated, reject\n",
        judge.folder.text("auth")
    ))
}

#[test]
fn postfix_and_dovecot_hear_the_best_mechanism_that_they_offer() {
    for (offered, taken) in OFFERS {
        let judge = Judge::start(offered);
        let postfix = asking(&judge, "may");
        let kings = sending_to(postfix.port, "secret\n", "encrypt");
        kings.submit(ANN, DAVE, "by login");
        let message = wait_until("the message at Postfix", DELIVERY, || postfix.delivered().pop());
        assert!(message.text().contains(&format!("(Authenticated sender: {LOGIN})")), "{}", message.text());
        assert!(postfix.log().contains(&format!("sasl_method={taken},")), "{offered}: {}", postfix.log());
    }
}

/// Dovecot offers what its config names, and can check CRAM-MD5 only where it has the password or its own form of it.
#[test]
fn a_mechanism_that_does_not_work_is_followed_by_the_next_and_not_tried_again() {
    let judge =
        Judge::storing("{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", "plain login cram-md5");
    let postfix = asking(&judge, "may");
    let kings = sending_to(postfix.port, "secret\n", "encrypt");
    for count in 1..=2 {
        kings.submit(ANN, DAVE, "by the next one");
        wait_until("the message at Postfix", DELIVERY, || (postfix.delivered().len() == count).then_some(()));
        // Longer than a connection is kept.
        std::thread::sleep(Duration::from_secs(3));
    }
    let (log, ours) = (postfix.log(), std::fs::read_to_string(kings.folder().join("kings.log")).unwrap());
    assert_eq!(log.matches("sasl_method=PLAIN,").count(), 2, "{log}");
    assert_eq!(log.matches("SASL CRAM-MD5 authentication failed").count(), 1, "{log}");
    assert!(ours.lines().any(|line| line.contains("login refused") && line.contains("CRAM-MD5")), "{ours}");
}

#[test]
fn no_mechanism_is_used_that_the_config_leaves_out() {
    let judge =
        Judge::storing("{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", "plain login cram-md5");
    let postfix = asking(&judge, "may");
    let only = |names: &'static str| sending_to_by(postfix.port, "secret\n", "encrypt", names);
    let kings = only("mechanisms = [\"CRAM-MD5\"]\n");
    kings.submit(ANN, DAVE, "by CRAM-MD5 alone");
    wait_until("the refused attempt", DELIVERY, || {
        let list = run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
        list.contains("535 5.7.8").then_some(())
    });
    assert!(postfix.delivered().is_empty() && !postfix.log().contains("sasl_method="), "{}", postfix.log());
    let kings = only("mechanisms = [\"LOGIN\"]\n");
    kings.submit(ANN, DAVE, "by LOGIN alone");
    wait_until("the message at Postfix", DELIVERY, || postfix.delivered().pop());
    assert!(postfix.log().contains("sasl_method=LOGIN,"), "{}", postfix.log());
}

#[test]
fn a_wrong_password_and_a_way_in_clear_deliver_nothing() {
    let judge = Judge::start("plain cram-md5 scram-sha-256");
    for (password, tls, why) in [("wrong\n", "may", "535 5.7.8"), ("secret\n", "none", "offers no TLS")] {
        let postfix = asking(&judge, tls);
        let kings = sending_to(postfix.port, password, "may");
        kings.submit(ANN, DAVE, "not by login");
        wait_until("the refused attempt", DELIVERY, || {
            let list = run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
            list.contains(why).then_some(())
        });
        assert!(
            postfix.delivered().is_empty() && !postfix.log().contains("sasl_method="),
            "{}",
            postfix.log()
        );
    }
}

#[test]
fn another_kings_hears_the_best_mechanism_that_it_offers() {
    for (offered, taken) in OFFERS {
        let names: Vec<String> =
            offered.split(' ').map(|name| format!("\"{}\"", name.to_ascii_uppercase())).collect();
        let smart = Setup {
            files: vec![("users", "ann@example.org:{PLAIN}secret\nbob@example.org:{PLAIN}secret\nrelay@example.net:{PLAIN}secret\n")],
            tables: format!(
                "{UNVERIFIED}[submission]\nforeign_senders = \"accept\"\n[login]\nmechanisms = [{}]\n[[domain]]\nname = \"example.net\"\n",
                names.join(", ")
            ),
            ..Setup::default()
        }
        .start();
        let kings = sending_to(smart.address("submission").port(), "secret\n", "encrypt");
        kings.submit(ANN, LOGIN, "by login");
        wait_until("the message", DELIVERY, || messages(&smart.maildir(LOGIN)).pop());
        let log = std::fs::read_to_string(smart.folder().join("kings.log")).unwrap();
        let login = log.lines().find(|line| line.contains("mechanism")).unwrap_or_default();
        assert!(
            login.contains(&format!("={taken} ")) || login.contains(&format!("=\"{taken}\"")),
            "{offered}: {login}"
        );
    }
}

/// A route has mechanisms of its own for its login, and without any it takes the best.
#[test]
fn a_route_logs_in_by_the_mechanisms_that_it_names() {
    let route = |port: u16, mechanisms: &str| {
        let tables = format!(
            "[[route]]\ndomain = \"example.net\"\nto = \"smtp:127.0.0.1:{port}\"\nuser = \"{LOGIN}\"\n\
             password_file = \"password\"\ntls = \"encrypt\"\n{mechanisms}"
        );
        Setup { files: vec![("password", "secret\n")], tables, ..Setup::default() }.start()
    };
    for (mechanisms, taken) in [("mechanisms = [\"LOGIN\"]\n", "LOGIN"), ("", "CRAM-MD5")] {
        let judge = Judge::start("plain login cram-md5");
        let postfix = asking(&judge, "may");
        let kings = route(postfix.port, mechanisms);
        kings.submit(ANN, DAVE, "by route");
        wait_until("the message at Postfix", DELIVERY, || postfix.delivered().pop());
        assert!(postfix.log().contains(&format!("sasl_method={taken},")), "{taken}: {}", postfix.log());
    }
    // None that both know: the mail waits, and no password is said by another one.
    let judge = Judge::start("plain login");
    let postfix = asking(&judge, "may");
    let kings = route(postfix.port, "mechanisms = [\"SCRAM-SHA-256\"]\n");
    kings.submit(ANN, DAVE, "waits");
    let listed = || run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
    wait_until("the attempt", DELIVERY, || listed().contains("\"attempts\":1").then_some(()));
    assert!(postfix.delivered().is_empty() && !postfix.log().contains("sasl_method="), "{}", postfix.log());
}
