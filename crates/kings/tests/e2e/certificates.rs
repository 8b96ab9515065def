//! Which certificate a client is shown, by the name that it asks for.

use rcgen::{CertificateParams, DnType, KeyPair};

use crate::harness::{Kings, Setup, program, run};

/// A pair in PEM form for these names; the first is its subject.
fn pair(names: &[&str]) -> (&'static str, &'static str) {
    let key = KeyPair::generate().unwrap();
    let all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut parameters = CertificateParams::new(all).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, names[0]);
    let certificate = parameters.self_signed(&key).unwrap();
    (certificate.pem().leak(), key.serialize_pem().leak())
}

/// The common name that openssl is shown at a listener when it asks for `name`, or for none.
#[track_caller]
fn shown(kings: &Kings, listener: &str, name: &str, more: &[&str]) -> String {
    let mut command = program("openssl");
    let asks = if name.is_empty() { vec!["-noservername"] } else { vec!["-servername", name] };
    command.args(["s_client", "-connect", &kings.at(listener)]).args(asks).args(more);
    let text = run(&mut command).text();
    let subject = text.lines().find(|line| line.starts_with("subject=")).unwrap_or_else(|| panic!("{text}"));
    subject.rsplit("CN = ").next().unwrap().to_owned()
}

#[test]
fn each_name_gets_its_certificate_on_every_port_and_others_the_one_of_the_hostname() {
    let (policy, all_below) =
        (pair(&["mta-sts.example.org", "mta-sts.example.net"]), pair(&["*.example.com"]));
    let files =
        vec![("b.pem", policy.0), ("b.key", policy.1), ("c.pem", all_below.0), ("c.key", all_below.1)];
    let inline = |name: &str| format!("{{ certificate = \"{name}.pem\", private_key = \"{name}.key\" }}");
    let tls = format!("more = [{}, {}]\n", inline("b"), inline("c"));
    let kings = Setup { files, tls, ..Setup::default() }.start();
    for (listener, more) in
        [("imaps", &[][..]), ("smtp", &["-starttls", "smtp"]), ("imap", &["-starttls", "imap"])]
    {
        for (asked, expected) in [
            ("mail.example.org", "mail.example.org"),
            ("mta-sts.example.org", "mta-sts.example.org"),
            ("MTA-STS.example.net.", "mta-sts.example.org"),
            ("www.example.com", "*.example.com"),
            ("a.www.example.com", "mail.example.org"),
            ("nobody.example", "mail.example.org"),
            ("", "mail.example.org"),
        ] {
            assert_eq!(shown(&kings, listener, asked, more), expected, "{listener} {asked}");
        }
    }
}

#[test]
fn a_reload_shows_the_new_certificate_and_keeps_the_old_one_where_the_new_is_wrong() {
    let kings = Kings::start();
    assert_eq!(shown(&kings, "imaps", "x", &[]), "mail.example.org");
    let (certificate, key) = pair(&["new.example.org"]);
    let reload = || {
        let before = log(&kings).matches("config").count();
        run(program("kill").args(["-HUP", &kings.process().to_string()])).succeeded();
        crate::harness::wait_until("the reload", std::time::Duration::from_secs(10), || {
            (log(&kings).matches("config").count() > before).then_some(())
        });
    };
    kings.folder().write("tls.pem", certificate);
    reload();
    assert!(log(&kings).contains("does not go with its key"), "{}", log(&kings));
    assert_eq!(shown(&kings, "imaps", "x", &[]), "mail.example.org");
    kings.folder().write("tls.key", key);
    reload();
    assert_eq!(shown(&kings, "imaps", "x", &[]), "new.example.org");
}

fn log(kings: &Kings) -> String {
    std::fs::read_to_string(kings.folder().join("kings.log")).unwrap()
}
