//! A real certbot orders, and its deploy hook gives the server what only root may read.

use std::path::{Path, PathBuf};

use crate::harness::{Authority, Folder, Kings, Output, Setup, program, run};

const HOSTNAME: &str = "mail.example.org";
const PAIR: &str = "certificate = \"data/certificates/live/mail.example.org/fullchain.pem\"
private_key = \"data/certificates/live/mail.example.org/privkey.pem\"\n";

/// certbot with folders of its own.
fn certbot(authority: &Authority, folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = program("certbot");
    command.args(arguments).args(["--non-interactive", "--config-dir"]).arg(folder.join("letsencrypt"));
    command.arg("--work-dir").arg(folder.join("work")).arg("--logs-dir").arg(folder.join("logs"));
    command.env("REQUESTS_CA_BUNDLE", authority.web_root());
    run(&mut command).succeeded()
}

#[track_caller]
fn order(authority: &Authority, folder: &Folder, hook: &str) {
    let (port, directory) = (authority.http.to_string(), authority.directory());
    let standalone = ["certonly", "--standalone", "--http-01-port", &port, "--server", &directory];
    let more = ["--agree-tos", "-m", "ann@example.org", "-d", HOSTNAME, "--deploy-hook", hook];
    certbot(authority, folder, &[&standalone[..], &more].concat());
}

/// The certificate that openssl is shown, and the one in a file.
#[track_caller]
fn shown(kings: &Kings) -> String {
    let text =
        run(program("openssl").args(["s_client", "-connect", &kings.at("imaps"), "-servername", HOSTNAME]))
            .text();
    pem(&text).unwrap_or_else(|| panic!("{text}"))
}

fn pem(text: &str) -> Option<String> {
    let (start, end) = (text.find("-----BEGIN CERTIFICATE-----")?, text.find("-----END CERTIFICATE-----")?);
    Some(text[start..end].to_owned())
}

fn in_file(path: &Path) -> String {
    pem(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The config of a server that will have what certbot gets, and runs on another certificate until then.
fn config(kings: &Kings) -> PathBuf {
    let text = std::fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    kings
        .folder()
        .write("kings.toml", text.replace("certificate = \"tls.pem\"\nprivate_key = \"tls.key\"\n", PAIR))
}

#[test]
fn what_certbot_renews_serves_at_once_and_what_is_wrong_never_does() {
    let (authority, folder) = (Authority::start(), Folder::new("certbot"));
    let kings = Setup { name_server: authority.name_server(), ..Setup::default() }.start();
    let config = config(&kings);
    let program = kings.command(&[]).get_program().to_str().unwrap().to_owned();
    let hook = format!("{program} certificate import --config {}", config.display());
    order(&authority, &folder, &hook);
    let live = folder.join("letsencrypt/live/mail.example.org");
    assert_eq!(shown(&kings), in_file(&live.join("cert.pem")));
    let ours = kings.folder().join("data/certificates/live/mail.example.org");
    let target = std::fs::read_link(ours.join("privkey.pem")).unwrap();
    assert_eq!(target, Path::new("../../archive/mail.example.org/privkey1.pem"));
    // certbot makes a new key each time; both change together.
    certbot(&authority, &folder, &["renew", "--force-renewal", "--no-random-sleep-on-renew"]);
    let renewed = shown(&kings);
    assert_eq!(renewed, in_file(&live.join("cert.pem")));
    assert_eq!(in_file(&ours.join("fullchain.pem")), renewed);

    // The key of another certificate, another name, and nothing at all.
    let wrong = folder.create("wrong/mail.example.org");
    std::fs::copy(live.join("fullchain.pem"), wrong.join("fullchain.pem")).unwrap();
    std::fs::copy(&kings.certificates.private_key, wrong.join("privkey.pem")).unwrap();
    let import = |arguments: &[&str], code: i32, says: &str| {
        let output = run(&mut kings.command(&[&["certificate", "import"], arguments].concat()));
        assert_eq!(output.status.code(), Some(code), "{output}");
        assert!(output.errors().contains(says), "{output}");
    };
    import(&[wrong.to_str().unwrap()], 1, "its key");
    import(&[live.to_str().unwrap(), "--name", "other.example.org"], 1, "and not for other.example.org");
    import(&["/nowhere/mail.example.org"], 75, "cannot read /nowhere/mail.example.org/fullchain.pem");
    import(&[], 2, "name the folder");
    assert_eq!(shown(&kings), renewed);
    assert_eq!(
        std::fs::read_dir(kings.folder().join("data/certificates/archive/mail.example.org")).unwrap().count(),
        8
    );
}
