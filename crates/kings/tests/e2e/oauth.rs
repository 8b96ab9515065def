//! Logins with the tokens of an issuer: curl, msmtp and Python's imaplib, OAUTHBEARER and XOAUTH2.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Certificates, Daemon, Folder, Kings, Output, Setup, free_port, letter, listening, program, run,
    run_with_input,
};

/// A file beside this one.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/oauth").join(name)
}

/// An issuer that runs, and a server that trusts it.
pub(super) struct House {
    pub(super) kings: Kings,
    // Ends before its folder goes.
    issuer: Option<Daemon>,
    folder: Folder,
    port: u16,
}

impl House {
    /// With `more` keys of `[[oauth]]`.
    #[track_caller]
    fn new(more: &str) -> Self {
        Self::with(Setup::default(), more)
    }

    /// The same on top of other settings.
    #[track_caller]
    pub(super) fn with(mut setup: Setup, more: &str) -> Self {
        let folder = Folder::new("issuer");
        let certificates = Certificates::create(&folder, "id.example.org");
        let port = free_port();
        let authority = certificates.authority.display();
        setup.tables += &format!(
            "[[oauth]]\nissuer = \"https://127.0.0.1:{port}\"\nallow_private = [\"127.0.0.0/8\"]\n{}\n",
            more.replace("PORT", &port.to_string())
        );
        setup.tls += &format!("authorities = \"{authority}\"\n");
        setup.files.push(("client.secret", "hush\n"));
        let mut house = Self { kings: setup.start(), issuer: None, folder, port };
        house.open();
        house
    }

    #[track_caller]
    fn open(&mut self) {
        let mut command = program("python3");
        command.arg(script("issuer.py")).arg("serve").arg(self.port.to_string());
        command.args(["tls.pem", "tls.key"].map(|file| self.folder.join(file))).arg(self.folder.path());
        let mut issuer = Daemon::start("issuer.py", &mut command, &self.folder.join("issuer.log"));
        issuer.wait_for("its port", Duration::from_secs(20), |_| listening(self.port));
        self.issuer = Some(issuer);
    }

    fn close(&mut self) {
        self.issuer = None;
    }

    /// A token of the issuer.
    #[track_caller]
    pub(super) fn token(&self, claims: &[&str]) -> String {
        let mut command = program("python3");
        command.arg(script("issuer.py")).arg("token").arg(self.port.to_string()).arg(self.folder.path());
        run(command.args(claims)).succeeded().text().trim().to_owned()
    }

    /// curl as ann.
    fn curl(&self, token: &str) -> Command {
        let mut command = program("curl");
        command.args(["--silent", "--show-error", "--verbose", "--max-time", "30"]);
        command.args(["--user", "ann@example.org:", "--oauth2-bearer", token]);
        command.arg("--cacert").arg(&self.kings.certificates.authority);
        command
    }

    fn curl_reads(&self, token: &str) -> Output {
        let address = format!("imaps://{}/INBOX;UID=1", self.kings.at("imaps"));
        run(self.curl(token).arg(address))
    }

    fn curl_sends(&self, token: &str) -> Output {
        let file = self.folder.write("letter", letter("ann@example.org", "bob@example.org", "by curl"));
        let mut command = self.curl(token);
        command.args(["--mail-from", "ann@example.org", "--mail-rcpt", "bob@example.org", "--upload-file"]);
        run(command.arg(file).arg(format!("smtps://{}", self.kings.at("submissions"))))
    }

    /// imaplib as `login`.
    fn imaplib(&self, mechanism: &str, login: &str, token: &str) -> Output {
        let mut command = program("python3");
        command.arg(script("login.py")).arg(self.kings.address("imaps").port().to_string());
        run(command.arg(&self.kings.certificates.authority).args([mechanism, login, token]))
    }
}

/// curl takes the first that it knows, so each is offered alone.
#[test]
fn curl_reads_and_sends_with_a_token() {
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        let house = House::new(&format!("audience = [\"kings\"]\n[login]\nmechanisms = [\"{mechanism}\"]"));
        house.kings.deliver("ann@example.org", "for curl");
        let token = house.token(&["email=ann@example.org"]);
        let read = house.curl_reads(&token).succeeded().says("this is for curl");
        read.says(&format!("AUTHENTICATE {mechanism}"));
        house.curl_sends(&token).succeeded().says(&format!("> AUTH {mechanism}"));
        let log = std::fs::read_to_string(house.kings.folder().join("kings.log")).unwrap();
        assert!(log.contains(mechanism), "{log}");
        for part in token.split('.').skip(1) {
            assert!(!log.contains(part), "a token stands in the log:\n{log}");
        }
    }
}

#[test]
fn msmtp_sends_with_a_token() {
    let house = House::new("audience = [\"kings\"]");
    let token = house.token(&["email=ann@example.org"]);
    let port = house.kings.address("submission").port();
    let authority = house.kings.certificates.authority.display().to_string();
    let send = |mechanism: &str, token: &str| {
        let config = format!(
            "account default\nhost localhost\nport {port}\ntls on\ntls_starttls on\ntls_trust_file {authority}\n\
             from ann@example.org\nuser ann@example.org\nauth {mechanism}\npasswordeval \"cat {}\"\n",
            house.folder.write("token", format!("{token}\n")).display()
        );
        let config = house.folder.write("msmtprc", config);
        let mail = letter("ann@example.org", "bob@example.org", "by msmtp");
        let mut command = program("msmtp");
        command.arg(format!("--file={}", config.display())).arg("bob@example.org");
        run_with_input(&mut command, &mail)
    };
    for mechanism in ["oauthbearer", "xoauth2"] {
        send(mechanism, &token).succeeded();
        send(mechanism, &house.token(&["email=ann@example.org", "exp=-300"]))
            .failed()
            .says("authentication failed");
    }
}

#[test]
fn tokens_that_are_not_good_for_the_account_are_refused() {
    let house = House::new("audience = [\"kings\"]\nscope = \"mail\"");
    let ann = ["email=ann@example.org", "scope=mail"];
    let good = house.token(&ann);
    let logged_in = house.imaplib("XOAUTH2", "ann@example.org", &good);
    logged_in.succeeded();
    let forged = format!("{}A", &good[..good.len() - 1]);
    let forged = if forged == good { format!("{}Q", &good[..good.len() - 1]) } else { forged };
    let tokens = [
        house.token(&[&ann[..], &["exp=-300"]].concat()),
        house.token(&[&ann[..], &["aud=calendar"]].concat()),
        house.token(&[&ann[..], &["iss=https://other.example"]].concat()),
        house.token(&[&ann[..], &["nbf=+300"]].concat()),
        house.token(&ann[..1]),
        house.token(&["email=bob@example.org", "scope=mail"]),
        house.token(&["email=nobody@example.org", "scope=mail"]),
        forged,
    ];
    for (number, token) in tokens.iter().enumerate() {
        let mechanism = if number % 2 == 0 { "OAUTHBEARER" } else { "XOAUTH2" };
        let refused = house.imaplib(mechanism, "ann@example.org", token).failed();
        let place = format!("https://127.0.0.1:{}/.well-known/openid-configuration", house.port);
        refused.says("invalid_token").says(&place).says("\"scope\":\"mail\"").says("AUTHENTICATIONFAILED");
    }
    house.imaplib("OAUTHBEARER", "bob@example.org", &good).failed().says("AUTHENTICATIONFAILED");
}

#[test]
fn while_the_issuer_is_down_logins_are_put_off_and_nobody_is_locked_out() {
    let mut house = House::new("audience = [\"kings\"]");
    house.close();
    let token = house.token(&["email=ann@example.org"]);
    for _ in 0..6 {
        house.curl_sends(&token).failed().says("454 4.7.0");
        house.imaplib("XOAUTH2", "ann@example.org", &token).failed().says("UNAVAILABLE");
    }
    house.open();
    std::thread::sleep(Duration::from_secs(5));
    house.imaplib("OAUTHBEARER", "ann@example.org", &token).succeeded();
    house.close();
    house.curl_sends(&token).succeeded();
}

#[test]
fn an_issuer_is_asked_about_tokens_that_nobody_else_can_read() {
    let mut house = House::new(
        "introspection = \"https://127.0.0.1:PORT/introspect\"\nclient_id = \"kings\"\n\
         client_secret_file = \"client.secret\"\nremember = \"0s\"",
    );
    house.imaplib("OAUTHBEARER", "ann@example.org", "opaque-of-ann").succeeded();
    house.curl_sends("opaque-of-ann").succeeded();
    house.imaplib("OAUTHBEARER", "bob@example.org", "opaque-of-ann").failed().says("AUTHENTICATIONFAILED");
    house.imaplib("OAUTHBEARER", "ann@example.org", "opaque-of-nobody").failed().says("AUTHENTICATIONFAILED");
    house.close();
    house.imaplib("OAUTHBEARER", "ann@example.org", "opaque-of-ann").failed().says("UNAVAILABLE");
    house.curl_sends("opaque-of-ann").failed().says("454 4.7.0");
}

#[test]
fn without_an_issuer_tokens_are_not_asked_for() {
    let kings = Kings::start();
    let mut command = program("curl");
    command.args(["--silent", "--show-error", "--verbose", "--max-time", "20"]);
    command.args(["--user", "ann@example.org:", "--oauth2-bearer", "opaque"]);
    command.arg("--cacert").arg(&kings.certificates.authority);
    let refused = run(command.arg(format!("imaps://{}/INBOX;UID=1", kings.at("imaps")))).failed();
    assert!(
        !refused.errors().contains("AUTH=OAUTHBEARER") && !refused.errors().contains("XOAUTH2"),
        "{refused}"
    );
}

/// A token opens no account that `allow_nets` or `nologin` closes to this client, whoever signed it.
#[test]
fn a_token_opens_no_account_that_is_closed_to_its_client() {
    let users = "ann@example.org:{PLAIN}x::::::allow_nets=192.0.2.0/24\n\
                 bob@example.org:{PLAIN}x::::::allow_nets=127.0.0.0/8\njoe@example.org:{PLAIN}x::::::nologin\n";
    let house =
        House::with(Setup { files: vec![("users", users)], ..Setup::default() }, "audience = [\"kings\"]");
    for mechanism in ["OAUTHBEARER", "XOAUTH2"] {
        for (login, is_open) in
            [("ann@example.org", false), ("bob@example.org", true), ("joe@example.org", false)]
        {
            let token = house.token(&[&format!("email={login}")]);
            let output = house.imaplib(mechanism, login, &token);
            if is_open {
                output.succeeded();
            } else {
                output.failed().says("AUTHENTICATIONFAILED");
            }
        }
    }
    let token = house.token(&["email=ann@example.org"]);
    house.curl_sends(&token).failed();
    let log = std::fs::read_to_string(house.kings.folder().join("kings.log")).unwrap();
    assert!(log.contains("result=\"fail\"") && !log.contains(&token), "{log}");
}
