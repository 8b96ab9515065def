//! `kings dns apply` and DNS-01 at Amazon Route 53: moto behind a front that checks what moto does not.

use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::dns_check::Scene;
use crate::harness::{Authority, Aws, Output, Setup, run, wait_until};

/// Longest wait for what takes seconds on a calm machine.
const PATIENCE: Duration = Duration::from_mins(1);
const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
];
const FILE: &str = "[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = wrong\n\n[mail]\naws_access_key_id = \
                    AKIDEXAMPLE\naws_secret_access_key = wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\n";

fn zones(sets: &Value) -> Value {
    json!([
        { "name": "example.org", "private": true },
        { "name": "org", "sets": [] },
        { "name": "example.org", "sets": sets },
    ])
}

fn start(sets: &Value) -> (Scene, Aws) {
    let aws = Aws::start(&zones(sets));
    let scene = Scene::new(&aws.provider(""));
    (scene, aws)
}

fn command(scene: &Scene, arguments: &[&str], keys: &[(&str, &str)]) -> Command {
    let all: Vec<&str> = ["dns", "apply"].iter().chain(arguments).copied().collect();
    let mut command = scene.command(&all);
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"] {
        command.env_remove(name);
    }
    command.env("HOME", scene.folder.path()).envs(keys.iter().copied());
    command
}

fn apply(scene: &Scene, arguments: &[&str]) -> Output {
    run(&mut command(scene, arguments, &KEYS))
}

#[test]
fn records_come_in_one_batch_page_by_page_and_go_again() {
    let (scene, aws) = start(&json!([]));
    let before = aws.records();
    let shown = apply(&scene, &["--dry-run"]).succeeded();
    assert!(shown.text().contains("  + example.org. MX 10 mail.example.org.\n"), "{shown}");
    assert_eq!(aws.records(), before, "--dry-run changes nothing");
    apply(&scene, &["--yes"]).succeeded().says("every name server has it");
    let records = aws.records();
    for line in [
        "example.org: example.org. MX 3600 10 mail.example.org.\n",
        "example.org: mail.example.org. A 3600 203.0.113.10\n",
        "example.org: _imaps._tcp.example.org. SRV 3600 0 1 993 mail.example.org.\n",
    ] {
        assert!(records.contains(line), "no {line:?} in {records}");
    }
    let key = records.lines().find(|line| line.contains("2026a._domainkey.example.org. TXT")).unwrap();
    assert!(key.contains("\" \""), "a long key is several strings: {key}");
    assert_eq!(aws.count("POST /2013-04-01/hostedzone/"), 1, "all of it in one step");
    assert!(aws.count("GET /2013-04-01/change/") >= 2, "it waits until all name servers have it");
    let pages = aws.count("&type=") + aws.count("?name=");
    let again = apply(&scene, &["--yes"]).succeeded();
    assert!(again.text().ends_with("0 to change\n"), "{again}");
    assert!(aws.count("&type=") + aws.count("?name=") > pages, "the list has several pages");
    apply(&scene, &["--undo", "--yes"]).succeeded();
    assert_eq!(aws.records(), before);
}

#[test]
fn records_of_others_and_those_of_amazon_are_left_or_edited_and_come_back() {
    let alias = json!({ "HostedZoneId": "Z2FDTNDATAQYW2", "DNSName": "d111.cloudfront.net.", "EvaluateTargetHealth": false });
    let set = |name: &str, kind: &str, values: &[&str]| {
        let values: Vec<Value> = values.iter().map(|value| json!({ "Value": value })).collect();
        json!({ "Name": name, "Type": kind, "TTL": 123, "ResourceRecords": values })
    };
    let (scene, aws) = start(&json!([
        { "Name": "mail.example.org.", "Type": "A", "AliasTarget": alias },
        set("example.org.", "TXT", &["\"v=spf1 include:crm.example ~all\"", "\"caf\\303\\251 \\\\ <&>\""]),
        set("_dmarc.example.org.", "TXT", &["\"v=DMARC1; p=reject\""]),
    ]));
    let before = aws.records();
    let refused = apply(&scene, &["--yes"]);
    assert_eq!(refused.status.code(), Some(1), "{refused}");
    assert!(
        refused.text().contains("left as it is: mail.example.org A: A is there: an alias of Route 53"),
        "{refused}"
    );
    let records = aws.records();
    for line in [
        "example.org: mail.example.org. A 0 alias\n",
        "example.org: example.org. TXT 123 \"v=spf1 mx include:crm.example ~all\"\n",
        "example.org: example.org. TXT 123 \"caf\\303\\251 \\\\ <&>\"\n",
        "example.org: _dmarc.example.org. TXT 123 \"v=DMARC1; p=reject\"\n",
    ] {
        assert!(records.contains(line), "no {line:?} in {records}");
    }
    assert!(!records.contains("example.org private:"), "what only a private network sees is none of ours");
    apply(&scene, &["--undo", "--yes"]);
    assert_eq!(aws.records(), before);
}

#[test]
fn keys_come_from_the_config_the_environment_a_file_or_the_role_of_the_machine() {
    let (scene, aws) = start(&json!([]));
    let dry = |scene: &Scene, keys: &[(&str, &str)]| run(&mut command(scene, &["--dry-run"], keys));
    let none = dry(&scene, &[]);
    assert!(none.status.code() == Some(1) && none.errors().contains("there is no key for Amazon"), "{none}");
    aws.lend();
    dry(&scene, &[]).succeeded();
    // The environment counts before the role, and a wrong secret is no secret.
    let wrong = dry(&scene, &[KEYS[0], ("AWS_SECRET_ACCESS_KEY", "wrong")]);
    assert!(wrong.status.code() == Some(1) && wrong.errors().contains("SignatureDoesNotMatch"), "{wrong}");
    let stranger = dry(&scene, &[("AWS_ACCESS_KEY_ID", "AKIDSTRANGER"), KEYS[1]]);
    assert!(stranger.errors().contains("InvalidClientTokenId"), "{stranger}");
    dry(&scene, &KEYS).succeeded();
    let file = scene.folder.write("credentials", FILE);
    let shared = ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap());
    let default = dry(&scene, &[shared]);
    assert!(default.errors().contains("SignatureDoesNotMatch"), "{default}");
    dry(&scene, &[shared, ("AWS_PROFILE", "mail")]).succeeded();
    scene.configure(&aws.provider(", credentials_file = \"credentials\", profile = \"mail\""));
    dry(&scene, &[KEYS[0], ("AWS_SECRET_ACCESS_KEY", "wrong")]).succeeded();
    scene.configure(&aws.provider(", credentials_file = \"missing\""));
    let missing = dry(&scene, &KEYS);
    assert!(missing.status.code() == Some(78) && missing.errors().contains("cannot read"), "{missing}");
}

#[test]
fn a_wrong_clock_two_zones_of_one_name_and_a_zone_of_others_are_named() {
    let (scene, aws) = start(&json!([]));
    let right = command(&scene, &["--yes"], &KEYS);
    for wrong in ["+2h", "-2h"] {
        let mut late = Command::new("faketime");
        late.args(["-f", wrong]).arg(right.get_program()).args(right.get_args());
        late.env("HOME", scene.folder.path()).envs(KEYS);
        let late = run(&mut late);
        assert!(late.status.code() == Some(1), "{late}");
        assert!(late.errors().contains("clock") || late.errors().contains("TLS"), "{late}");
    }
    assert_eq!(aws.count("POST "), 0);
    scene.configure(&aws.provider(", zone = \"Z0NE\""));
    let stranger = apply(&scene, &["--yes"]);
    assert!(
        stranger.status.code() == Some(1)
            && stranger.text().contains("example.org is in no zone that can be changed here"),
        "{stranger}"
    );
    let twins = Aws::start(&json!([{ "name": "example.org" }, { "name": "example.org" }]));
    scene.configure(&twins.provider(""));
    let doubt = apply(&scene, &["--yes"]);
    assert!(
        doubt.status.code() == Some(1) && doubt.errors().contains("several zones called example.org"),
        "{doubt}"
    );
    assert_eq!((aws.count("POST "), twins.count("POST ")), (0, 0));
}

#[test]
fn a_service_that_has_had_enough_is_asked_again_and_not_for_ever() {
    let (scene, aws) = start(&json!([]));
    aws.rules("{\"throttle\": 3}");
    apply(&scene, &["--yes"]).succeeded();
    assert_eq!(aws.count("POST "), 1);
    aws.rules("{\"throttle\": 1000}");
    let given_up = apply(&scene, &["--undo", "--yes"]);
    assert!(given_up.status.code() == Some(75) && given_up.errors().contains("Throttling"), "{given_up}");
    aws.rules("");
    apply(&scene, &["--undo", "--yes"]).succeeded();
    assert!(!aws.records().contains("MX"), "{}", aws.records());
}

#[test]
fn a_run_that_was_killed_before_or_after_the_batch_goes_on_and_is_taken_back() {
    for hold in ["before", "after"] {
        let (scene, aws) = start(&json!([]));
        let before = aws.records();
        aws.rules(&format!("{{\"hold\": \"{hold}\"}}"));
        let mut child = command(&scene, &["--yes"], &KEYS);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the batch", PATIENCE, || {
            let is_there = aws.records().contains(" MX ");
            (aws.count("POST ") == 1 && (is_there || hold == "before")).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(aws.records() == before, hold == "before");
        aws.rules("");
        apply(&scene, &["--yes"]).succeeded();
        assert!(aws.records().contains("example.org: example.org. MX 3600 10 mail.example.org.\n"));
        apply(&scene, &["--undo", "--yes"]).succeeded();
        assert_eq!(aws.records(), before, "{hold}");
    }
}

#[test]
fn a_certificate_is_proved_by_a_record_there_that_goes_again() {
    let aws = Aws::start(&zones(&json!([])));
    let authority = Authority::start();
    aws.tell(&authority.names_management());
    aws.lend();
    let kings = Setup {
        certificate: Some(authority.acme(", names = [\"mail.example.org\"], challenges = [\"dns-01\"]")),
        name_server: authority.name_server(),
        tables: format!("{}\n", aws.provider("")),
        ..Setup::default()
    };
    let before = aws.records();
    let kings = kings.start();
    wait_until("the certificate", PATIENCE, || {
        let list = run(&mut kings.command(&["certificate", "list"])).text();
        list.contains(" good ").then_some(())
    });
    wait_until("the record to go", PATIENCE, || (aws.records() == before).then_some(()));
    assert_eq!(aws.count("POST "), 2, "it came, and it went");
}
