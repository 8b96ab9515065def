//! sslyze, an independent judge of TLS settings, on every port.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::harness::{Folder, Kings, Output, Setup, program, run};

/// A chain and its key in PEM form, of the age that authorities give; and the authority, as a file.
fn pair(folder: &Folder) -> (&'static str, &'static str, std::path::PathBuf) {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.distinguished_name.push(DnType::CommonName, "Authority of one test");
    let authority = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
    let mut parameters = CertificateParams::new(vec!["mail.example.org".to_owned()]).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, "mail.example.org");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    let now = SystemTime::now();
    (parameters.not_before, parameters.not_after) =
        (now.into(), (now + Duration::from_hours(24 * 80)).into());
    let key = KeyPair::generate().unwrap();
    let chain = parameters.signed_by(&key, &authority).unwrap().pem() + &authority.pem();
    (chain.leak(), key.serialize_pem().leak(), folder.write("authority.pem", authority.pem()))
}

/// What it says of a port, by Mozilla's profile.
fn judged(kings: &Kings, authority: &Path, listener: &str, profile: &str) -> Output {
    let way = match listener {
        "smtp" | "submission" => Some("smtp"),
        "imap" | "pop3" => Some(listener),
        _ => None,
    };
    let mut command = program("sslyze");
    command.args(["--mozilla_config", profile, "--certinfo_ca_file"]).arg(authority);
    command.args(way.map(|way| format!("--starttls={way}")));
    run(command.args(["--sni", "mail.example.org", &kings.address(listener).to_string()]))
}

#[test]
fn nothing_is_below_mozillas_intermediate_profile_on_any_port() {
    let tables = "[limits]\nexempt = [\"127.0.0.0/8\"]\n".to_owned();
    let folder = Folder::new("sslyze");
    let (chain, key, authority) = pair(&folder);
    let files = vec![("own.pem", chain), ("own.key", key)];
    let certificate = Some("certificate = \"own.pem\"\nprivate_key = \"own.key\"\n".to_owned());
    let mut setup = Setup { files, tables, certificate, ..Setup::default() };
    if !setup.listen.contains("https") {
        setup.listen += "https = [\"127.0.0.1:0\"]\n";
    }
    let kings = setup.start();
    for listener in ["smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "https"] {
        let output = judged(&kings, &authority, listener, "intermediate");
        assert!(output.text().contains("OK - Compliant"), "{listener}: {output}");
    }
    // The judge does find fault: the modern profile has no TLS 1.2.
    let modern = judged(&kings, &authority, "imaps", "modern");
    assert!(!modern.text().contains("OK - Compliant"), "{modern}");
}
