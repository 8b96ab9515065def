//! Logins by client certificates (SASL EXTERNAL): curl over IMAP and SMTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};

use crate::harness::{Folder, Kings, Output, Setup, letter, program, run};

/// An authority that certifies people.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        parameters.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its own certificate.
    pub(super) fn write(&self, folder: &Folder) -> PathBuf {
        folder.write("people-ca.pem", self.0.pem())
    }

    /// Writes NAME.pem and NAME.key.
    pub(super) fn certify(&self, folder: &Folder, name: &str, address: &str, last_year: i32) {
        let mut parameters = CertificateParams::default();
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(last_year, 1, 1);
        parameters.subject_alt_names = vec![SanType::Rfc822Name(address.try_into().unwrap())];
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.0).unwrap();
        folder.write(&format!("{name}.pem"), certificate.pem());
        folder.write(&format!("{name}.key"), key.serialize_pem());
    }
}

struct House {
    kings: Kings,
    people: Folder,
}

impl House {
    fn new() -> Self {
        let people = Folder::new("people");
        let (ours, theirs) = (Authority::new("People of one test"), Authority::new("Strangers"));
        ours.certify(&people, "ann", "ann@example.org", 2090);
        ours.certify(&people, "gone", "gone@example.org", 2090);
        ours.certify(&people, "late", "ann@example.org", 2021);
        theirs.certify(&people, "stranger", "ann@example.org", 2090);
        let authority = ours.write(&people);
        let tls = format!("client_ca = \"{}\"\n", authority.display());
        Self { kings: Setup { tls, ..Setup::default() }.start(), people }
    }

    /// curl with the certificate of `name`, if any, as `user`.
    fn curl(&self, name: &str, user: &str) -> Command {
        let mut command = program("curl");
        command.args(["--silent", "--show-error", "--max-time", "20", "--user", &format!("{user}:")]);
        command.args(["--login-options", "AUTH=EXTERNAL"]);
        command.arg("--cacert").arg(&self.kings.certificates.authority);
        if !name.is_empty() {
            command.arg("--cert").arg(self.people.join(&format!("{name}.pem")));
            command.arg("--key").arg(self.people.join(&format!("{name}.key")));
        }
        command
    }

    fn reads(&self, name: &str, user: &str) -> Output {
        run(self.curl(name, user).arg(format!("imaps://{}/INBOX;UID=1", self.kings.at("imaps"))))
    }

    fn sends(&self, name: &str, user: &str, draft: &Path) -> Output {
        let mut command = self.curl(name, user);
        command.args(["--mail-from", "ann@example.org", "--mail-rcpt", "ann@example.org"]);
        command.arg("--upload-file").arg(draft);
        run(command.arg(format!("smtps://{}/client.example", self.kings.at("submissions"))))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.kings.folder().join("kings.log")).unwrap()
    }
}

#[test]
fn curl_logs_in_by_its_certificate_over_imap_and_submission() {
    let house = House::new();
    let draft = house.people.write("draft", letter("ann@example.org", "ann@example.org", "by certificate"));
    house.sends("ann", "ann@example.org", &draft).succeeded();
    house.reads("ann", "ann@example.org").succeeded().says("Subject: by certificate");
    // Who shows none logs in as ever, and a certificate does not keep anybody from using a password.
    let mut command = house.curl("", "ann@example.org");
    command.args(["--user", "ann@example.org:secret", "--login-options", "AUTH=PLAIN"]);
    run(command.arg(format!("imaps://{}/INBOX;UID=1", house.kings.at("imaps")))).succeeded();
}

#[test]
fn certificates_of_others_open_nothing() {
    let house = House::new();
    house.kings.deliver("ann@example.org", "not for you");
    house.kings.deliver("bob@example.org", "not for you");
    let draft = house.people.write("draft", letter("ann@example.org", "ann@example.org", "forged"));
    for (name, user) in [
        ("", "ann@example.org"),
        ("ann", "bob@example.org"),
        ("gone", "gone@example.org"),
        ("gone", "ann@example.org"),
        ("late", "ann@example.org"),
        ("stranger", "ann@example.org"),
    ] {
        let read = house.reads(name, user).failed();
        assert!(!read.text().contains("not for you"), "{name} {user}: {read}");
        house.sends(name, user, &draft).failed();
    }
    let log = house.log();
    let refused: Vec<&str> = log.lines().filter(|line| line.contains("client certificate refused")).collect();
    let tells = |why: &str| refused.iter().any(|line| line.contains(why) && line.contains("ann@example.org"));
    assert!(tells("expired") && tells("UnknownIssuer"), "{log}");
}

#[test]
fn other_servers_are_asked_for_no_certificate() {
    let house = House::new();
    let handshake = |listener: &str, starttls: &[&str]| {
        let mut command = program("openssl");
        command.args(["s_client", "-connect", &house.kings.at(listener), "-tls1_2"]).args(starttls);
        run(&mut command).text()
    };
    let asked = "Acceptable client certificate CA names";
    assert!(handshake("submissions", &[]).contains(asked));
    assert!(!handshake("smtp", &["-starttls", "smtp"]).contains(asked));
}
