//! POP3 clients: curl and Python's poplib, under TLS from the first byte and by STLS; what they see, and what stays.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Certificates, Kings, Setup, letter, program, run, wait_until};

/// Says all there is in an inbox: names, sizes and lines of each message, in JSON.
const EVERYTHING: &str = r#"
import json, poplib, ssl, sys
port, authority = int(sys.argv[1]), sys.argv[2]
trust = ssl.create_default_context(cafile=authority)
pop = poplib.POP3_SSL("localhost", port, context=trust, timeout=20)
pop.user("ann@example.org")
pop.pass_("secret")
listed = [line.decode().split() for line in pop.list()[1]]
names = [line.decode().split() for line in pop.uidl()[1]]
lines = [[line.decode("latin-1") for line in pop.retr(number)[1]] for number, _ in listed]
tops = [[line.decode("latin-1") for line in pop.top(int(number), 2)[1]] for number, _ in listed]
print(json.dumps({"stat": pop.stat(), "list": listed, "uidl": names, "retr": lines, "top": tops}))
pop.rset()
pop.close()
"#;

/// By STLS; removes every message but the last.
const REMOVE_BY_STLS: &str = r#"
import poplib, ssl, sys
pop = poplib.POP3("localhost", int(sys.argv[1]), timeout=20)
before = pop.capa()
assert "STLS" in before and "SASL" not in before and "USER" not in before, before
try:
    pop.user("ann@example.org")
    sys.exit("a login without TLS")
except poplib.error_proto:
    pass
pop.stls(ssl.create_default_context(cafile=sys.argv[2]))
capa = pop.capa()
assert "STLS" not in capa and "PLAIN" in capa["SASL"], capa
assert capa["EXPIRE"] == ["NEVER"] and "PIPELINING" in capa and "UIDL" in capa, capa
pop.user("ann@example.org")
pop.pass_("secret")
for number in range(1, pop.stat()[0]):
    pop.dele(number)
print(pop.quit().decode())
"#;

/// All that a client sees of Ann's inbox at this port.
pub(crate) fn everything(port: u16, certificates: &Certificates) -> Value {
    let mut command = program("python3");
    command.args(["-c", EVERYTHING]).arg(port.to_string()).arg(&certificates.authority);
    serde_json::from_slice(&run(&mut command).succeeded().stdout).unwrap()
}

fn curl(kings: &Kings, url: &str) -> Command {
    let mut command = program("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--user", "ann@example.org:secret"]);
    command.arg("--cacert").arg(&kings.certificates.authority).arg(url);
    command
}

#[test]
fn curl_lists_reads_and_removes() {
    let kings = Kings::start();
    kings.deliver("ann@example.org", "for curl");
    kings.deliver("ann@example.org", "and another");
    let pop3s = format!("pop3s://{}/", kings.at("pop3s"));
    assert_eq!(run(&mut curl(&kings, &pop3s)).succeeded().text().lines().count(), 2);
    let whole = run(&mut curl(&kings, &format!("{pop3s}1"))).succeeded();
    assert!(whole.stdout.ends_with(&letter("carol@example.net", "ann@example.org", "for curl")), "{whole}");
    run(curl(&kings, &format!("{pop3s}1")).args(["--request", "DELE", "--head"])).succeeded();
    assert_eq!(run(&mut curl(&kings, &pop3s)).succeeded().text().lines().count(), 1);
    // By STLS, by each mechanism that both know (poplib below says USER and PASS). APOP is not offered.
    for mechanism in ["PLAIN", "LOGIN", "+APOP"] {
        let pop3 = format!("pop3://{}/1", kings.at("pop3"));
        let mut command = curl(&kings, &pop3);
        command.arg("--ssl-reqd").args(["--login-options", &format!("AUTH={mechanism}")]);
        if mechanism == "+APOP" {
            run(&mut command).failed();
        } else {
            run(&mut command).succeeded().says("and another");
        }
    }
}

#[test]
fn curl_with_a_wrong_password_is_refused_and_without_tls_as_well() {
    let kings = Kings::start();
    let mut wrong = curl(&kings, &format!("pop3s://{}/", kings.at("pop3s")));
    let refused = run(wrong.args(["--user", "ann@example.org:wrong"])).failed();
    assert_eq!(refused.status.code(), Some(67), "curl's code for a refused login: {refused}");
    let mut clear = curl(&kings, &format!("pop3://{}/", kings.at("pop3")));
    let refused = run(&mut clear).failed();
    assert_eq!(refused.status.code(), Some(67), "{refused}");
    let log = std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert!(log.contains("protocol=\"pop3\""), "fail2ban finds them as those of other protocols: {log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn poplib_removes_by_stls_what_it_said_and_nothing_else() {
    let kings = Kings::start();
    for subject in ["one", "two", "three"] {
        kings.deliver("ann@example.org", subject);
    }
    let before = everything(kings.address("pop3s").port(), &kings.certificates);
    assert_eq!(before["stat"][0], 3);
    assert!(before["retr"][2].as_array().unwrap().contains(&"Subject: three".into()), "{before}");
    let mut remove = program("python3");
    remove.args(["-c", REMOVE_BY_STLS]).arg(kings.address("pop3").port().to_string());
    let removed = run(remove.arg(&kings.certificates.authority)).succeeded();
    assert!(removed.text().contains("+OK"), "{removed}");
    let after = everything(kings.address("pop3s").port(), &kings.certificates);
    assert_eq!(after["stat"][0], 1);
    assert_eq!(after["uidl"][0][1], before["uidl"][2][1], "its unique-id stays");
    assert_eq!(after["retr"][0], before["retr"][2]);
}

/// Says the lines of the last message, behind UTF8 if there is a third argument.
const LAST_IN_UTF8: &str = r#"
import poplib, ssl, sys
trust = ssl.create_default_context(cafile=sys.argv[2])
pop = poplib.POP3_SSL("localhost", int(sys.argv[1]), context=trust, timeout=20)
assert pop.capa()["UTF8"] == ["USER"], pop.capa()
if len(sys.argv) > 3:
    pop.utf8()
pop.user("ann@example.org")
pop.pass_("secret")
sys.stdout.buffer.write(b"\n".join(pop.retr(pop.stat()[0])[1]))
pop.quit()
"#;

#[test]
fn poplib_gets_headers_in_utf8_when_it_asks_for_them_and_in_ascii_when_not() {
    let kings = Kings::start();
    let maildir = kings.folder().path().join("mail/example.org/ann/new");
    kings.deliver("ann@example.org", "makes the folder");
    let letter = "Subject: Gr\u{fc}\u{df}e\nFrom: \u{fc}@example.net\n\nh\u{f6}llo\n";
    std::fs::write(maildir.join("4000000000.M1P1.other"), letter).unwrap();
    let read = |argument: &[&str]| {
        let mut last = program("python3");
        last.args(["-c", LAST_IN_UTF8]).arg(kings.address("pop3s").port().to_string());
        run(last.arg(&kings.certificates.authority).args(argument)).succeeded().text()
    };
    assert_eq!(read(&["utf8"]), letter.trim_end());
    let ascii = read(&[]);
    assert!(ascii.starts_with("Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\nFrom: =?utf-8?Q?"), "{ascii}");
    assert!(ascii.ends_with("<invalid@internationalized-address.invalid>\n\nh\u{f6}llo"), "{ascii}");
}

#[test]
fn a_reload_changes_the_names_of_messages_and_the_next_session_has_them() {
    let kings =
        Setup { tables: "[mailboxes]\npop3_uidl_format = \"%v.%u\"\n".into(), ..Setup::default() }.start();
    kings.deliver("ann@example.org", "one");
    let name = |kings: &Kings| {
        let all = everything(kings.address("pop3s").port(), &kings.certificates);
        all["uidl"][0][1].as_str().unwrap().to_owned()
    };
    let before = name(&kings);
    assert!(before.ends_with(".1") && !before.starts_with('0'), "{before}");
    let text = std::fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    kings.folder().write("kings.toml", text.replace("%v.%u", "%08Xu%08Xv"));
    run(program("kill").args(["-HUP", &kings.process().to_string()])).succeeded();
    let has_changed = || name(&kings).starts_with("00000001").then_some(());
    wait_until("the new names", Duration::from_secs(20), has_changed);
}
