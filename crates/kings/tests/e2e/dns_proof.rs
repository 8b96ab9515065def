//! Names proved by records in DNS (DNS-01): pebble looks, a real BIND takes the updates, and the server sends them.

use std::time::Duration;

use serde_json::Value;

use crate::dns_check::Scene;
use crate::harness::{Authority, Daemon, DnsTree, HOST, NOBODY, run, wait_until};

/// Longest wait for what takes seconds on a calm machine.
const PATIENCE: Duration = Duration::from_mins(1);
const HOSTNAME: &str = "mail.example.org";
const KEY: &str =
    "key \"kings\" { algorithm hmac-sha256; secret \"bm90IGEgc2VjcmV0LCBidXQgYSB0ZXN0IG9mIG9uZS4=\"; };\n";
const MAY: &str = "allow-update { key kings; };";
const PLACE: &str = "_acme-challenge.mail.example.org";

/// Zones with a server that takes updates, an authority that asks them, and a config with both; the server does not run yet.
struct Trial {
    // In this order: what is inside goes before the tree.
    server: Option<Daemon>,
    authority: Authority,
    tree: DnsTree,
    scene: Scene,
}

impl Trial {
    #[track_caller]
    fn new(zones: &[(&str, &str)], rule: &str, acme: &str) -> Self {
        let scene = Scene::new("");
        scene.folder.write("kings.key", KEY);
        let tree = DnsTree::start(zones, KEY, rule);
        // The second server hears of a change from the first one. It follows no alias into another zone.
        let asked = if zones.len() == 1 { DnsTree::second() } else { DnsTree::resolver() };
        let authority = Authority::inside(&tree, &asked);
        let text = format!(
            "hostname = \"{HOSTNAME}\"\ndata_dir = \"data\"\nmail_dir = \"mail\"\n[[domain]]\nname = \"example.org\"\n[accounts]\nfile = \
             \"users\"\n[listen]\nsmtp = [\"127.0.0.1:25\"]\nhttp = [\"{HOST}:80\"]\n[tls]\n{}[dns]\nservers = [\"{}\"]\naddresses = \
             [\"{HOST}\"]\nprovider = {{ kind = \"rfc2136\", server = \"203.0.113.53\", key = \"kings\", key_file = \"kings.key\" }}\n",
            authority.acme(acme),
            DnsTree::resolver()
        );
        scene.folder.write("kings.toml", text);
        Self { server: None, authority, tree, scene }
    }

    #[track_caller]
    fn serve(&mut self) {
        let mut command = self.tree.inside(self.scene.command(&["serve"]).env("KINGS_LOG", "info"));
        let log = self.scene.folder.join("kings.log");
        let ready = |log: &str| log.lines().filter(|line| line.ends_with(" ready")).count();
        let before = ready(&std::fs::read_to_string(&log).unwrap_or_default());
        let mut daemon = Daemon::start("kings", &mut command, &log);
        daemon.wait_for("the line that ends in ` ready`", PATIENCE, |daemon| ready(&daemon.log()) > before);
        self.server = Some(daemon);
    }

    /// What the server says of its hostname.
    #[track_caller]
    fn item(&self) -> Value {
        let output = run(&mut self.scene.command(&["certificate", "list", "--json"])).succeeded();
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        list["items"].as_array().unwrap().iter().find(|item| item["name"] == HOSTNAME).unwrap().clone()
    }

    #[track_caller]
    fn wait_for(&self, state: &str) -> Value {
        wait_until(state, PATIENCE, || Some(self.item()).filter(|item| item["state"] == state))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.scene.folder.join("kings.log")).unwrap()
    }
}

#[test]
fn a_name_without_an_address_is_proved_by_a_record_that_goes_again() {
    let mut trial =
        Trial::new(&[("example.org", "")], MAY, ", challenges = [\"dns-01\"], rotate_keys = true");
    trial.serve();
    trial.wait_for("good");
    let item = wait_until("the key to come", PATIENCE, || {
        Some(trial.item()).filter(|item| item["tlsa"].as_array().unwrap().len() == 2)
    });
    assert_eq!(item["error"], Value::Null, "{item}");
    wait_until("the record to go", PATIENCE, || trial.tree.at_first(PLACE, "TXT").is_empty().then_some(()));
    assert_eq!(trial.authority.count("/order-plz"), 1);
    // The same provider publishes the keys for DANE: the one that serves and the one to come.
    trial.tree.run(&trial.scene.command(&["dns", "apply", "--yes"])).succeeded();
    let keys: Vec<String> = item["tlsa"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key.as_str().unwrap().to_ascii_uppercase())
        .collect();
    let published = trial.tree.at_first("_25._tcp.mail.example.org", "TLSA").replace(' ', "");
    assert_eq!(published.lines().count(), 2, "{published}");
    for key in &keys {
        assert!(published.contains(&key.replace(' ', "")), "{key}: {published}");
    }
    // So the next one may serve; and then the one after it is told.
    trial.tree.run(&trial.scene.command(&["certificate", "renew"])).succeeded();
    let renewed = trial.item();
    assert_eq!(renewed["tlsa"][0].as_str().unwrap().to_ascii_uppercase(), keys[1], "{renewed}");
    let check = trial.tree.run(&trial.scene.command(&["dns", "check"]));
    assert!(check.text().contains("the next one is not: it waits for that"), "{check}");
    trial.tree.run(&trial.scene.command(&["dns", "apply", "--yes"])).succeeded();
    let published = trial.tree.at_first("_25._tcp.mail.example.org", "TLSA").replace(' ', "");
    assert!(published.lines().count() == 2 && !published.contains(&keys[0].replace(' ', "")), "{published}");
}

#[test]
fn a_record_that_a_kill_left_in_dns_goes_at_the_next_start() {
    let mut trial = Trial::new(&[("example.org", "")], MAY, ", challenges = [\"dns-01\"]");
    trial.authority.rules(&["{\"path\": \"/chalZ/\", \"hold\": true}"]);
    trial.serve();
    wait_until("the record", PATIENCE, || (!trial.tree.at_first(PLACE, "TXT").is_empty()).then_some(()));
    wait_until("the question", PATIENCE, || (trial.authority.count("/chalZ/") > 0).then_some(()));
    trial.server.take().unwrap().kill();
    assert!(!trial.tree.at_first(PLACE, "TXT").is_empty());
    // It is taken away even while the authority is not there.
    trial.authority.rules(&["{\"path\": \"/\", \"status\": 503}"]);
    trial.serve();
    wait_until("the record to go", PATIENCE, || trial.tree.at_first(PLACE, "TXT").is_empty().then_some(()));
    trial.authority.rules(&[]);
    trial.tree.run(&trial.scene.command(&["certificate", "renew"])).succeeded();
    assert_eq!(trial.item()["state"], "good");
    assert!(trial.tree.at_first(PLACE, "TXT").is_empty());
}

#[test]
fn an_alias_leads_to_a_zone_that_may_be_changed() {
    let zones = [
        ("example.org", "_acme-challenge.mail IN CNAME mail.proofs.example.net.\n"),
        ("example.net", "keep.proofs IN TXT \"theirs\"\nmail.proofs IN TXT \"theirs too\"\n"),
    ];
    let rule = "update-policy { grant kings subdomain proofs.example.net. TXT; };";
    let mut trial = Trial::new(&zones, rule, ", challenges = [\"dns-01\"]");
    trial.serve();
    trial.wait_for("good");
    wait_until("the record to go", PATIENCE, || {
        (trial.tree.at_first("mail.proofs.example.net", "TXT") == "\"theirs too\"").then_some(())
    });
}

#[test]
fn where_no_record_may_be_changed_the_next_way_is_tried_and_the_refusal_told() {
    let zones = [("example.org", "mail IN A 203.0.113.10\n")];
    let rule = "update-policy { grant kings name other.example.org. TXT; };";
    let mut trial = Trial::new(&zones, rule, ", challenges = [\"dns-01\"]");
    trial.serve();
    let item = trial.wait_for("failing");
    let error = item["error"].as_str().unwrap();
    assert!(error.starts_with("dns-01 failed: ") && error.contains("refuses"), "{error}");
    trial.server.take().unwrap().kill();
    let config = std::fs::read_to_string(trial.scene.folder.join("kings.toml")).unwrap();
    trial.scene.folder.write("kings.toml", config.replace("[\"dns-01\"]", "[\"dns-01\", \"http-01\"]"));
    trial.serve();
    trial.tree.run(&trial.scene.command(&["certificate", "renew"])).succeeded();
    assert_eq!(trial.item()["state"], "good");
    let log = trial.log();
    assert!(
        log.contains("dns-01 failed") && log.contains("the next way to prove the name is tried"),
        "{log}"
    );
    // A name that has no address, in a zone that is not ours at all, costs the authority nothing.
    trial.server.take().unwrap().kill();
    let orders = trial.authority.count("/order-plz");
    let stranger = config.replace("challenges =", &format!("names = [\"mail.{NOBODY}\"], challenges ="));
    trial.scene.folder.write("kings.toml", stranger);
    trial.serve();
    wait_until("the stranger", PATIENCE, || {
        let output = run(&mut trial.scene.command(&["certificate", "list"])).text();
        output.contains(&format!("DNS has no address for mail.{NOBODY}")).then_some(())
    });
    assert_eq!(trial.authority.count("/order-plz"), orders);
}

#[test]
fn a_secret_that_the_server_cannot_read_is_told_with_what_mends_it() {
    let scene = Scene::new("");
    let config = std::fs::read_to_string(scene.folder.join("kings.toml")).unwrap();
    let tls = "certificate = \"tls.pem\"\nprivate_key = \"tls.key\"\n";
    let with = |acme: &str| {
        let text = config.replace(tls, &format!("acme = {{ {acme} }}\n"));
        let provider = "provider = { kind = \"rfc2136\", server = \"203.0.113.53\", key = \"kings\", key_file = \"kings.key\" }\n";
        scene
            .folder
            .write("kings.toml", text.replace("smtp = [", "http = [\"127.0.0.1:80\"]\nsmtp = [") + provider);
    };
    with("challenges = [\"dns-01\"]");
    let refused = scene.kings(&["config", "check"]);
    assert_eq!(refused.status.code(), Some(78), "{refused}");
    for text in ["[dns] key_file: cannot read ", "kings.key && chmod 640 "] {
        assert!(refused.errors().contains(text) || refused.text().contains(text), "no {text} in {refused}");
    }
    // With another way to prove names that is no reason not to serve.
    with("");
    scene.kings(&["config", "check"]).succeeded();
}
