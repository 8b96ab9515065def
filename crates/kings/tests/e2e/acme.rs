//! Certificates from an authority: the first ones, renewals, and everything that can go wrong on the way.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use serde_json::Value;

use crate::harness::{
    Authority, Daemon, Kings, NameServer, Setup, free_port, listening, program, run, wait_until,
};

/// Longest wait for what takes seconds on a calm machine.
const PATIENCE: Duration = Duration::from_mins(1);
const HOSTNAME: &str = "mail.example.org";

fn setup(authority: &Authority, more: &str) -> Setup {
    let mut setup = Setup::default();
    // The ports that the authority looks at, in the place of any.
    let others = setup.listen.lines().filter(|line| !line.starts_with("http"));
    setup.listen = others.map(|line| format!("{line}\n")).collect::<String>() + &authority.listen();
    setup.certificate = Some(authority.acme(more));
    setup.name_server = authority.name_server();
    setup
}

/// What `kings certificate list` says of each name.
#[track_caller]
fn list(kings: &Kings) -> Vec<Value> {
    let output = run(&mut kings.command(&["certificate", "list", "--json"])).succeeded();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    list["items"].as_array().unwrap().clone()
}

#[track_caller]
fn of(kings: &Kings, name: &str) -> Value {
    list(kings).into_iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("{:?}", list(kings)))
}

/// Waits until a name is in this state.
#[track_caller]
fn wait_for(kings: &Kings, name: &str, state: &str) -> Value {
    wait_until(&format!("{name} to be {state}: {:?}", list(kings)), PATIENCE, || {
        Some(of(kings, name)).filter(|item| item["state"] == state)
    })
}

/// The issuer and the fingerprint of what openssl is shown.
#[track_caller]
fn shown(kings: &Kings, listener: &str, name: &str, more: &[&str]) -> (String, String) {
    let mut command = program("openssl");
    command.args(["s_client", "-connect", &kings.at(listener), "-servername", name]).args(more);
    let text = run(&mut command).text();
    let issuer = text.lines().find(|line| line.starts_with("issuer=")).unwrap_or_default().to_owned();
    let start = text.find("-----BEGIN CERTIFICATE-----").unwrap_or_else(|| panic!("{text}"));
    let end = text.find("-----END CERTIFICATE-----").unwrap();
    (issuer, text[start..end].to_owned())
}

#[test]
fn the_first_certificate_comes_by_each_kind_of_proof_and_serves_on_every_port() {
    for kind in ["http-01", "tls-alpn-01"] {
        let authority = Authority::start();
        let kings = setup(&authority, &format!(", challenges = [\"{kind}\"]")).start();
        // Something is there from the first moment, and it says what it is.
        let item = wait_for(&kings, HOSTNAME, "good");
        assert_eq!((&item["trusted"], &item["error"]), (&Value::Bool(false), &Value::Null), "{kind}: {item}");
        for (listener, more) in [
            ("imaps", &[][..]),
            ("submissions", &[]),
            ("https", &[]),
            ("smtp", &["-starttls", "smtp"]),
            ("submission", &["-starttls", "smtp"]),
            ("imap", &["-starttls", "imap"]),
            ("pop3", &["-starttls", "pop3"]),
        ] {
            let (issuer, _) = shown(&kings, listener, HOSTNAME, more);
            assert!(issuer.contains("Pebble"), "{kind} {listener}: {issuer}");
        }
        for below in ["mta-sts.example.org", "autoconfig.example.org", "autodiscover.example.org"] {
            wait_for(&kings, below, "good");
        }
    }
}

/// The account and the certificates are there when the server comes back, and nothing is ordered twice.
#[test]
fn a_restart_orders_nothing_and_goes_on_with_the_account_it_has() {
    let authority = Authority::start();
    let mut kings = setup(&authority, "").start();
    for name in [HOSTNAME, "mta-sts.example.org", "autoconfig.example.org", "autodiscover.example.org"] {
        wait_for(&kings, name, "good");
    }
    let (_, before) = shown(&kings, "imaps", HOSTNAME, &[]);
    let asked = (authority.count("/sign-me-up"), authority.count("/order-plz"));
    assert_eq!(asked, (1, 4));
    kings.kill();
    kings.serve();
    wait_for(&kings, HOSTNAME, "good");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!((authority.count("/sign-me-up"), authority.count("/order-plz")), asked);
    assert_eq!(shown(&kings, "imaps", HOSTNAME, &[]).1, before);
    // A renewal is of the same account.
    run(&mut kings.command(&["certificate", "renew", HOSTNAME])).succeeded();
    assert_eq!((authority.count("/sign-me-up"), authority.count("/order-plz")), (1, 5));
}

/// Handshakes with one port, over and over, each with a client that checks the name and the chain.
struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<(usize, Vec<String>)>>,
}

impl Load {
    fn start(kings: &Kings, root: &Path, listeners: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(root).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let stop = Arc::new(AtomicBool::new(false));
        let thread = |listener: &&str| {
            let (address, config, stop) = (kings.address(listener), config.clone(), stop.clone());
            std::thread::spawn(move || {
                let (mut count, mut failures) = (0, Vec::new());
                while !stop.load(Ordering::Relaxed) {
                    match handshake(address, config.clone()) {
                        Ok(()) => count += 1,
                        Err(error) => failures.push(error.to_string()),
                    }
                }
                (count, failures)
            })
        };
        Self { stop: stop.clone(), threads: listeners.iter().map(thread).collect() }
    }

    /// The number of handshakes, none of which has failed.
    #[track_caller]
    fn stop(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(|thread| thread.join().unwrap());
        let ended: Vec<(usize, Vec<String>)> = ended.collect();
        let failures: Vec<&String> = ended.iter().flat_map(|(_, failures)| failures).collect();
        assert!(failures.is_empty(), "{failures:?}");
        ended.iter().map(|(count, _)| count).sum()
    }
}

fn handshake(address: std::net::SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<()> {
    let mut socket = std::net::TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    let name = ServerName::try_from(HOSTNAME).unwrap();
    let mut connection = ClientConnection::new(config, name).unwrap();
    // A greeting, or for HTTPS the end of the handshake.
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    Ok(())
}

#[test]
fn certificates_renew_twice_under_load_with_no_failed_connection_and_the_same_key() {
    let authority = Authority::start();
    let root = authority.root();
    let mut setup = setup(&authority, ", names = [\"mail.example.org\"]");
    setup.tables = "[limits]\nexempt = [\"127.0.0.0/8\"]\n".to_owned();
    let kings = setup.start();
    let first = wait_for(&kings, HOSTNAME, "good");
    let mut seen = vec![shown(&kings, "imaps", HOSTNAME, &[]).1];
    let load = Load::start(&kings, &root, &["imaps", "submissions", "pop3s", "https"]);
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(500));
        run(&mut kings.command(&["certificate", "renew"])).succeeded();
        let (_, now) = shown(&kings, "imaps", HOSTNAME, &[]);
        assert!(!seen.contains(&now));
        seen.push(now);
    }
    std::thread::sleep(Duration::from_millis(500));
    let count = load.stop();
    assert!(count > 100, "{count} handshakes");
    // DANE of others goes on: the record names the key, and that is the same.
    assert_eq!(of(&kings, HOSTNAME)["tlsa"], first["tlsa"]);
    assert_eq!(first["tlsa"].as_array().unwrap().len(), 1);
    let files = std::fs::read_dir(kings.folder().join("data/acme/archive/mail.example.org")).unwrap();
    assert_eq!(files.count(), 12);
}

/// Has the config read again, and waits until it is: what the resolver remembers is forgotten then.
#[track_caller]
fn reload(kings: &Kings) {
    let log = kings.folder().join("kings.log");
    let count = || std::fs::read_to_string(&log).unwrap_or_default().matches("config read again").count();
    let before = count();
    run(program("kill").args(["-HUP", &kings.process().to_string()])).succeeded();
    wait_until("the reload", PATIENCE, || (count() > before).then_some(()));
}

#[test]
fn a_new_key_serves_only_once_dns_names_it() {
    let authority = Authority::start();
    let acme = ", names = [\"mail.example.org\"], rotate_keys = true";
    let records = |tlsa: &str| format!("mail IN A 127.0.0.1\n{tlsa}");
    // Nobody names a key: each certificate has a new one.
    let port = free_port();
    let names = NameServer::start_at(port, "example.org", &records(""));
    let mut setup = setup(&authority, acme);
    setup.name_server = names.address.clone();
    let kings = setup.start();
    wait_for(&kings, HOSTNAME, "good");
    let keys = |item: &Value| -> Vec<String> {
        item["tlsa"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    // The next key is made when the certificate serves, so a moment later.
    let first = wait_until("the key to come", PATIENCE, || {
        Some(of(&kings, HOSTNAME)).filter(|item| keys(item).len() == 2)
    });
    assert_eq!(keys(&first).len(), 2, "the key that serves, and the one to come: {first}");
    run(&mut kings.command(&["certificate", "renew"])).succeeded();
    let second = of(&kings, HOSTNAME);
    assert_eq!(keys(&second)[0], keys(&first)[1]);
    // What is to be published names both: the one that serves, and the one that waits for its record.
    let wanted = run(&mut kings.command(&["dns", "records", "--zonefile"])).text();
    for key in keys(&second) {
        assert!(wanted.contains(&format!("_25._tcp.mail.example.org. 3600 IN TLSA {key}\n")), "{wanted}");
    }
    // DNS names the key that serves, and not the next one.
    drop(names);
    let old = keys(&second)[0].clone();
    let names =
        NameServer::start_at(port, "example.org", &records(&format!("_25._tcp.mail IN TLSA {old}\n")));
    reload(&kings);
    run(&mut kings.command(&["certificate", "renew"])).succeeded();
    let third = of(&kings, HOSTNAME);
    assert_eq!(keys(&third), keys(&second), "no key that nobody was told of");
    run(&mut kings.command(&["certificate", "check"])).says("DNS names the key (TLSA)");
    // Both are named, and the next one may serve.
    drop(names);
    let both = format!("_25._tcp.mail IN TLSA {old}\n_25._tcp.mail IN TLSA {}\n", keys(&third)[1]);
    let _names = NameServer::start_at(port, "example.org", &records(&both));
    reload(&kings);
    run(&mut kings.command(&["certificate", "renew"])).succeeded();
    assert_eq!(keys(&of(&kings, HOSTNAME))[0], keys(&third)[1]);
}

#[test]
fn one_name_of_four_that_dns_lacks_hinders_no_other_and_is_not_even_ordered() {
    let authority = Authority::knowing_nobody();
    for name in [HOSTNAME, "mta-sts.example.org", "autoconfig.example.org"] {
        authority.add(name);
    }
    let kings = setup(&authority, "").start();
    for name in [HOSTNAME, "mta-sts.example.org", "autoconfig.example.org"] {
        wait_for(&kings, name, "good");
    }
    let missing = wait_for(&kings, "autodiscover.example.org", "failing");
    assert_eq!(missing["error"], "DNS has no address for autodiscover.example.org");
    assert!(missing["fix"].as_str().unwrap().starts_with("add A and AAAA records"), "{missing}");
    assert_eq!(authority.count("/order-plz"), 3);
    // What has no certificate of its own is shown that of the hostname.
    assert!(shown(&kings, "https", "autodiscover.example.org", &[]).0.contains("Pebble"));
    let status = run(&mut kings.command(&["status"])).text();
    assert!(
        status.contains("autodiscover.example.org: DNS has no address for autodiscover.example.org"),
        "{status}"
    );
    assert!(status.contains("add A and AAAA records"), "{status}");
    // It is looked for every minute, or now.
    authority.add("autodiscover.example.org");
    run(&mut kings.command(&["certificate", "renew", "autodiscover.example.org"])).succeeded();
    assert_eq!(of(&kings, "autodiscover.example.org")["state"], "good");
}

#[test]
fn an_authority_that_is_down_leaves_what_serves_alone_and_is_asked_again() {
    let authority = Authority::start();
    let one = ", names = [\"mail.example.org\"]";
    authority.rules(&["{\"path\": \"/\", \"status\": 503, \"body\": \"<html>down\"}"]);
    let kings = setup(&authority, one).start();
    let item = wait_for(&kings, HOSTNAME, "failing");
    let error = item["error"].as_str().unwrap();
    assert_eq!(error, "the authority cannot be reached: it answers with status 503");
    // A stand-in serves, and says so where it is asked for.
    let (issuer, stand_in) = shown(&kings, "imaps", HOSTNAME, &[]);
    assert!(issuer.contains(HOSTNAME), "{issuer}");
    let check = run(&mut kings.command(&["certificate", "check"]));
    assert_eq!(check.status.code(), Some(1));
    assert!(
        check.text().contains("a stand-in is shown until the authority has given a certificate"),
        "{}",
        check.text()
    );
    authority.rules(&[]);
    run(&mut kings.command(&["certificate", "renew"])).succeeded();
    let (issuer, first) = shown(&kings, "imaps", HOSTNAME, &[]);
    assert!(issuer.contains("Pebble") && first != stand_in);
    // It fails in the middle of a renewal; the old certificate goes on.
    authority.rules(&["{\"path\": \"/finalize-order\", \"status\": 500, \"body\": \"\"}"]);
    let renewed = run(&mut kings.command(&["certificate", "renew"]));
    assert_eq!(renewed.status.code(), Some(1));
    assert_eq!(shown(&kings, "imaps", HOSTNAME, &[]).1, first);
    let orders = authority.count("/order-plz");
    authority.rules(&[]);
    run(&mut kings.command(&["certificate", "renew"])).succeeded();
    assert_ne!(shown(&kings, "imaps", HOSTNAME, &[]).1, first);
    assert_eq!(authority.count("/order-plz"), orders, "it goes on with the order that was begun");
}

#[test]
fn an_authority_that_has_had_enough_is_left_in_peace_also_after_a_restart() {
    let authority = Authority::start();
    authority.rules(&[concat!(
        r#"{"path": "/order-plz", "status": 429, "headers": {"retry-after": "7200", "content-type": "application/problem+json"}, "#,
        r#""body": "{\"type\": \"urn:ietf:params:acme:error:rateLimited\", \"detail\": \"too many certificates\", \"status\": 429}"}"#
    )]);
    let mut kings = setup(&authority, ", names = [\"mail.example.org\"]").start();
    let item = wait_for(&kings, HOSTNAME, "failing");
    assert!(item["error"].as_str().unwrap().contains("too many certificates (rateLimited)"), "{item}");
    let next = item["next_try"].as_str().unwrap().to_owned();
    let orders = authority.count("/order-plz");
    kings.kill();
    kings.serve();
    std::thread::sleep(Duration::from_secs(2));
    let item = of(&kings, HOSTNAME);
    assert_eq!((item["next_try"].as_str(), item["state"].as_str()), (Some(next.as_str()), Some("failing")));
    assert_eq!(authority.count("/order-plz"), orders);
    let wait =
        run(program("date").args(["-d", &next, "+%s"])).succeeded().text().trim().parse::<u64>().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!((6_900..=7_200).contains(&(wait - now)), "{}", wait - now);
}

#[test]
fn half_of_all_nonces_refused_costs_time_and_no_certificate() {
    let authority = Authority::with(&[("PEBBLE_WFE_NONCEREJECT", "50")]);
    let kings = setup(&authority, "").start();
    for name in [HOSTNAME, "mta-sts.example.org", "autoconfig.example.org", "autodiscover.example.org"] {
        assert_eq!(wait_for(&kings, name, "good")["error"], Value::Null);
    }
}

#[test]
fn where_another_program_has_port_80_the_next_proof_is_tried_and_the_fault_is_told_where_there_is_none() {
    let authority = Authority::start();
    let mut other = program("python3");
    other.args(["-m", "http.server", "--bind", "127.0.0.1", &authority.http.to_string()]);
    let mut other = Daemon::start("another server", &mut other, &kings_log("other"));
    other.wait_for("its port", PATIENCE, |_| listening(authority.http));
    let one = |more: &str| {
        let mut setup = setup(&authority, &format!(", names = [\"mail.example.org\"]{more}"));
        setup.listen = setup
            .listen
            .replace(&format!("http = [\"127.0.0.1:{}\"]", authority.http), "http = [\"127.0.0.1:0\"]");
        setup
    };
    let kings = one(", challenges = [\"http-01\"]").start();
    let item = wait_for(&kings, HOSTNAME, "failing");
    let (error, fix) = (item["error"].as_str().unwrap(), item["fix"].as_str().unwrap());
    assert!(
        error.starts_with("http-01 failed: ")
            && fix.starts_with("port 80 of mail.example.org must lead here"),
        "{item}"
    );
    drop(kings);
    let kings = one("").start();
    wait_for(&kings, HOSTNAME, "good");
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert!(
        log.contains("http-01 failed") && log.contains("the next way to prove the name is tried"),
        "{log}"
    );
}

fn kings_log(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("kings-{name}-{}.log", std::process::id()))
}

#[test]
fn the_authority_says_when_to_renew_and_a_reload_leaves_that_alone() {
    let authority = Authority::start();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (start, end) = (now + 10 * 24 * 3_600, now + 11 * 24 * 3_600);
    authority.rules(&[&format!("{{\"renewal\": [{start}, {end}]}}")]);
    let kings = setup(&authority, ", names = [\"mail.example.org\"]").start();
    wait_for(&kings, HOSTNAME, "good");
    let next = || {
        let next = of(&kings, HOSTNAME)["next_try"].as_str().unwrap().to_owned();
        run(program("date").args(["-d", &next, "+%s"])).succeeded().text().trim().parse::<u64>().unwrap()
    };
    wait_until("the window", PATIENCE, || (start..=end).contains(&next()).then_some(()));
    let drawn = next();
    run(program("kill").args(["-HUP", &kings.process().to_string()])).succeeded();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(next(), drawn);
}

/// The process ends without warning while each kind of request is under way; the next start ends what was begun.
#[test]
fn a_kill_at_every_step_leaves_something_to_go_on_with() {
    let steps = [
        "/dir",
        "/nonce-plz",
        "/sign-me-up",
        "/order-plz",
        "/authZ/",
        "/chalZ/",
        "/my-order/",
        "/finalize-order/",
        "/certZ/",
    ];
    let authority = Authority::start();
    for step in steps {
        authority.rules(&[&format!("{{\"path\": \"{step}\", \"hold\": true}}")]);
        let before = authority.count(step);
        let mut kings = setup(&authority, ", names = [\"mail.example.org\"]").start();
        wait_until(step, PATIENCE, || (authority.count(step) > before).then_some(()));
        let shown_before = shown(&kings, "imaps", HOSTNAME, &[]).0;
        assert!(!shown_before.contains("Pebble"), "{step}");
        kings.kill();
        authority.rules(&[]);
        let orders = authority.count("/order-plz");
        kings.serve();
        let item = wait_for(&kings, HOSTNAME, "good");
        assert_eq!(item["error"], Value::Null, "{step}");
        if ["/finalize-order/", "/certZ/"].contains(&step) {
            assert_eq!(authority.count("/order-plz"), orders, "{step}: what was paid for is taken");
        }
        assert!(shown(&kings, "imaps", HOSTNAME, &[]).0.contains("Pebble"), "{step}");
    }
}

#[test]
fn the_ports_themselves_are_asked_and_each_fault_ends_with_what_mends_it() {
    let authority = Authority::start();
    let root = authority.root();
    let mut setup = setup(&authority, "");
    setup.tls = format!("authorities = \"{}\"\n", root.display());
    let records = |tlsa: &str| {
        let names = ["mail", "mta-sts", "autoconfig", "autodiscover"];
        names.map(|name| format!("{name} IN A 127.0.0.1\n")).concat() + tlsa
    };
    let port = free_port();
    let names = NameServer::start_at(port, "example.org", &records(""));
    setup.name_server = names.address.clone();
    let kings = setup.start();
    for name in [HOSTNAME, "mta-sts.example.org", "autoconfig.example.org", "autodiscover.example.org"] {
        wait_for(&kings, name, "good");
        wait_until("a verdict", PATIENCE, || Some(of(&kings, name)).filter(|item| item["trusted"] == true));
    }
    let check = run(&mut kings.command(&["certificate", "check", "--json"])).succeeded();
    let check: Value = serde_json::from_slice(&check.stdout).unwrap();
    let items = check["items"].as_array().unwrap();
    let listeners: Vec<&str> = items.iter().map(|item| item["listener"].as_str().unwrap()).collect();
    for listener in ["smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s", "https"] {
        assert!(listeners.contains(&listener), "{listener}: {listeners:?}");
    }
    assert!(items.iter().all(|item| item["result"] == "ok"), "{items:?}");
    assert_eq!(listeners.iter().filter(|listener| **listener == "https").count(), 4);

    // A key that DNS does not name keeps away those that go by DANE.
    drop(names);
    let other = format!("_25._tcp.mail IN TLSA 3 1 1 {}\n", "00".repeat(32));
    let _names = NameServer::start_at(port, "example.org", &records(&other));
    let check = run(&mut kings.command(&["certificate", "check"]));
    assert_eq!(check.status.code(), Some(1));
    let own = of(&kings, HOSTNAME)["tlsa"][0].as_str().unwrap().to_owned();
    assert!(
        check.text().contains(&format!("publish  _25._tcp.mail.example.org. TLSA {own}")),
        "{}",
        check.text()
    );

    // A trial is no good certificate for anybody else.
    let trial = Setup { self_signed: true, ..Setup::default() }.start();
    let check = run(&mut trial.command(&["certificate", "check"]));
    assert_eq!(check.status.code(), Some(1));
    let text = check.text();
    assert!(text.lines().filter(|line| line.starts_with("FAIL")).count() >= 7, "{text}");
    assert!(text.contains("get one that is trusted: acme = "), "{text}");
    let mut trial = trial;
    trial.kill();
    let check = run(&mut trial.command(&["certificate", "check"]));
    assert_eq!(check.status.code(), Some(75));
}
