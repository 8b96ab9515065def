//! `kings dns records` and `kings dns check` beside a real BIND, whose servers are asked one by one.

use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Certificates, DnsTree, Folder, HOST, Output, program, run};

const REVERSE: &str = "113.0.203.in-addr.arpa";

/// A config with a domain and its keys; nothing of it runs.
pub(crate) struct Scene {
    pub(crate) folder: Folder,
}

impl Scene {
    pub(crate) fn new(dns: &str) -> Self {
        let folder = Folder::new("dns");
        Certificates::create(&folder, "mail.example.org");
        folder.write("users", "");
        let scene = Self { folder };
        scene.configure(dns);
        scene.kings(&["dkim", "create", "example.org", "--selector", "2026a"]).succeeded();
        scene
    }

    pub(crate) fn configure(&self, dns: &str) {
        let text = format!(
            "hostname = \"mail.example.org\"\ndata_dir = \"data\"\nmail_dir = \"mail\"\n[[domain]]\nname = \"example.org\"\n\
             [accounts]\nfile = \"users\"\n[listen]\nsmtp = [\"127.0.0.1:25\"]\nsubmissions = [\"127.0.0.1:465\"]\nimaps = \
             [\"127.0.0.1:993\"]\n[tls]\ncertificate = \"tls.pem\"\nprivate_key = \"tls.key\"\n[dns]\nservers = [\"{}\"]\n\
             addresses = [\"{HOST}\"]\n{dns}\n",
            DnsTree::resolver()
        );
        self.folder.write("kings.toml", text);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
        command.args(arguments).arg("--config").arg(self.folder.join("kings.toml"));
        command
    }

    #[track_caller]
    pub(crate) fn kings(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }

    /// The records as a zone file has them.
    #[track_caller]
    pub(crate) fn records(&self) -> String {
        self.kings(&["dns", "records", "--zonefile"]).succeeded().text()
    }
}

/// State and text of the lines about one purpose.
fn lines(output: &Output, purpose: &str) -> Vec<(String, String)> {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output}"));
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let items = report["items"].as_array().expect("items").iter();
    let about = items.filter(|item| item["purpose"] == purpose);
    about.map(|item| (text(item, "state"), text(item, "what") + " | " + &text(item, "fix"))).collect()
}

#[test]
fn the_records_load_into_a_real_zone_and_the_check_finds_them_right() {
    let scene = Scene::new("");
    let records = scene.records();
    let zone = format!(
        "$TTL 60\n@ IN SOA ns1 hostmaster 1 3600 600 86400 60\n@ IN NS ns1\nns1 IN A 203.0.113.53\n$INCLUDE {}\n",
        scene.folder.write("records", &records).display()
    );
    let zone = scene.folder.write("zone", zone);
    run(program("named-checkzone").arg("example.org").arg(zone)).succeeded().says("OK");
    let tree = DnsTree::start(&[("example.org", &records), (REVERSE, "10 IN PTR mail.example.org.")], "", "");
    let check = tree.run(&scene.command(&["dns", "check", "-v"])).succeeded();
    for text in [
        "example.org   asked ns1.example.org and 1 more directly",
        "reverse name: mail.example.org, which leads back",
        "the key is there, whole",
        "v=spf1 mx -all (1 of 10 lookups)",
        "it fits the key of port 25",
        "All is well.",
    ] {
        assert!(check.text().contains(text), "no {text:?} in {check}");
    }
    let json = tree.run(&scene.command(&["dns", "check", "--json"])).succeeded();
    let report: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&report["schema"], &report["state"]), (&1.into(), &"ok".into()));
    let asked = report["zones"][0]["asked"].as_array().unwrap();
    assert_eq!(asked.len(), 2, "{report}");
}

/// What stands where a record should be, and what is said then.
type Fault = (&'static str, fn(&str) -> String, &'static str, &'static str, &'static str);

fn without(records: &str, word: &str) -> String {
    records.lines().filter(|line| !line.contains(word)).map(|line| format!("{line}\n")).collect()
}

#[test]
fn each_fault_of_a_zone_is_found_with_its_remedy() {
    let scene = Scene::new("");
    let good = scene.records();
    let reverse = "10 IN PTR mail.example.org.";
    let mut tree = DnsTree::start(&[("example.org", &good), (REVERSE, reverse)], "", "");
    let faults: [Fault; 9] = [
        (
            "DKIM",
            |good| without(good, "2026a._domainkey"),
            "fail",
            "it is not there",
            "2026a._domainkey.example.org. 3600 IN TXT",
        ),
        (
            "DKIM",
            // A form that keeps the first string.
            |good| {
                good.lines()
                    .map(|line| match line.split_once("\" \"") {
                        Some((first, _)) if line.contains("k=rsa") => format!("{first}\"\n"),
                        _ => format!("{line}\n"),
                    })
                    .collect()
            },
            "fail",
            "the key is cut: ",
            "ONE value: v=DKIM1;",
        ),
        (
            "SPF",
            |good| format!("{good}@ IN TXT \"v=spf1 include:old.example ~all\"\n"),
            "fail",
            "2 SPF records",
            "delete  v=spf1 include:old.example ~all",
        ),
        (
            "SPF",
            |good| {
                let terms: String = (1..=11).map(|at| format!("a:a{at}.example.org ")).collect();
                let hosts: String = (1..=11).map(|at| format!("a{at} IN A 198.51.100.{at}\n")).collect();
                let others: String = without(good, "\"v=spf1 mx -all\"");
                format!("{others}@ IN TXT \"v=spf1 {terms}-all\"\n{hosts}")
            },
            "fail",
            "10",
            "shorten",
        ),
        (
            "SPF",
            |good| {
                good.replace(
                    "v=spf1 mx -all",
                    "v=spf1 a:nothing1.example.org a:nothing2.example.org a:nothing3.example.org mx -all",
                )
            },
            "fail",
            "in vain",
            "mend",
        ),
        (
            "SPF",
            |good| good.replace("v=spf1 mx -all", "v=spf1 ip4:198.51.100.1 -all"),
            "fail",
            "gets fail",
            "v=spf1 mx ip4:198.51.100.1 -all",
        ),
        (
            "mail",
            |good| good.replace("MX 10 mail.example.org.", "MX 10 other.example.net."),
            "fail",
            "mail goes elsewhere",
            "MX 10 mail.example.org.",
        ),
        ("address", |good| good.replace("A 203.0.113.10", "A 104.16.1.1"), "fail", "web proxy", "DNS only"),
        ("DANE", |good| good.replace("TLSA 3 1 1 ", "TLSA 3 1 1 00"), "fail", "cannot deliver", "TLSA 3 1 1"),
    ];
    for (purpose, break_it, state, what, fix) in faults {
        let broken = break_it(&good);
        tree.change(&[0, 1], &[("example.org", &broken)]);
        let check = tree.run(&scene.command(&["dns", "check", "--json"]));
        assert_eq!(check.status.code(), Some(1), "{purpose}: {check}");
        let found = lines(&check, purpose);
        let says =
            |(found, text): &(String, String)| found == state && text.contains(what) && text.contains(fix);
        assert!(found.iter().any(says), "{purpose}, {what}: {found:?}\n{check}");
    }
    tree.change(&[0, 1], &[("example.org", &good)]);
    for (reverse, expected) in [
        ("10 IN PTR ec2-203-0-113-10.example.net.", "its name is ec2-203-0-113-10.example.net"),
        ("", "the address has no name"),
    ] {
        tree.change(&[0, 1], &[(REVERSE, reverse)]);
        let check = tree.run(&scene.command(&["dns", "check", "--json"]));
        assert_eq!(check.status.code(), Some(1), "{check}");
        assert!(lines(&check, "reverse name")[0].1.contains(expected), "{check}");
    }
}

#[test]
fn servers_that_differ_or_do_not_answer_are_told_apart() {
    let scene = Scene::new("");
    let good = scene.records();
    let reverse = "10 IN PTR mail.example.org.";
    let mut tree = DnsTree::start(&[("example.org", &good), (REVERSE, reverse)], "", "");
    // One of them has not got it yet.
    tree.change(&[1], &[("example.org", &without(&good, "_dmarc"))]);
    let check = tree.run(&scene.command(&["dns", "check", "--json"]));
    assert_eq!(check.status.code(), Some(75), "{check}");
    let dmarc = &lines(&check, "DMARC")[0];
    assert_eq!(dmarc.0, "wait", "{check}");
    assert!(dmarc.1.contains("ns1.example.org has it, not yet ns2.example.org"), "{check}");
    // One of them is away: mail works, and that is said.
    tree.stop(1);
    let check = tree.run(&scene.command(&["dns", "check", "--json"])).succeeded();
    let mail = &lines(&check, "mail")[0];
    assert!(mail.0 == "warn" && mail.1.contains("no answer from ns2.example.org"), "{check}");
    // Nobody knows.
    tree.stop(0);
    let check = tree.run(&scene.command(&["dns", "check", "--json"]));
    assert_eq!(check.status.code(), Some(75), "{check}");
    assert!(lines(&check, "mail").iter().all(|(state, _)| state == "cannot_tell"), "{check}");
}

#[test]
fn a_check_ends_in_time_where_no_name_server_answers() {
    let scene = Scene::new("");
    // They hear each question, and say nothing.
    let silent = ["127.0.0.1:0"; 2].map(|address| UdpSocket::bind(address).unwrap());
    let servers = silent.each_ref().map(|socket| format!("\"{}\"", socket.local_addr().unwrap()));
    let config = std::fs::read_to_string(scene.folder.join("kings.toml")).unwrap();
    let old = format!("servers = [\"{}\"]", DnsTree::resolver());
    assert!(config.contains(&old), "{config}");
    scene.folder.write("kings.toml", config.replace(&old, &format!("servers = [{}]", servers.join(", "))));
    let began = Instant::now();
    let check = scene.kings(&["dns", "check", "--json"]);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(check.status.code(), Some(75), "{check}");
    for purpose in ["mail", "reverse name"] {
        let found = lines(&check, purpose);
        assert!(!found.is_empty() && found.iter().all(|(state, _)| state == "cannot_tell"), "{check}");
    }
}

#[test]
fn records_come_in_the_forms_of_providers_and_unknown_ones_are_refused() {
    let scene = Scene::new("");
    let cloudflare = scene.kings(&["dns", "records", "--provider", "cloudflare"]).succeeded().text();
    assert!(
        cloudflare.contains("Type   MX\nName   @\nPriority  10\nValue  mail.example.org\n"),
        "{cloudflare}"
    );
    assert!(cloudflare.contains("Type   A\nName   mail\nValue  203.0.113.10\n"), "{cloudflare}");
    let unknown = scene.kings(&["dns", "records", "--provider", "nobody"]).failed();
    assert!(unknown.status.code() == Some(2) && unknown.errors().contains("cloudflare, "), "{unknown}");
    let table = scene.kings(&["dns", "records"]).succeeded().text();
    assert!(table.contains(
        "Ask whoever gave you the address 203.0.113.10 to make its reverse name (PTR) mail.example.org"
    ));
    let json: Value =
        serde_json::from_slice(&scene.kings(&["dns", "records", "--json", "example.org"]).succeeded().stdout)
            .unwrap();
    assert_eq!(json["schema"], 1);
    // Without addresses nobody can say what A and PTR should be.
    let text = std::fs::read_to_string(scene.folder.join("kings.toml")).unwrap();
    scene.folder.write("kings.toml", text.replace("addresses = [\"203.0.113.10\"]\n", ""));
    let unsure = scene.kings(&["dns", "records"]);
    if unsure.status.code() == Some(75) {
        assert!(unsure.errors().contains("[dns] addresses"), "{unsure}");
    } else {
        unsure.succeeded();
    }
}
