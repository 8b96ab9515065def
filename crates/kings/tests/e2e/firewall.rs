//! `kings firewall` with real nft and ufw, between two network namespaces that nobody else sees.

use crate::harness::{Folder, Output, program, rooted, run};

const KINGS: &str = env!("CARGO_BIN_EXE_kings");

/// Serves nobody: it is read by `kings firewall` alone.
const CONFIG: &str = "hostname = \"mail.example.org\"\ndata_dir = \"data\"\nmail_dir = \"mail\"\n[[domain]]\nname = \"example.org\"\n\
    [accounts]\nfile = \"users\"\n[tls]\nself_signed = true\n\
    [listen]\nsmtp = [\"[::]:25\"]\nimaps = [\"0.0.0.0:993\"]\npop3 = [\"127.0.0.1:110\"]\n\
    [firewall]\nallow = [\"8080\"]\n";

/// Two hosts on a wire, 10.9.0.1 here and 10.9.0.2 there; on this one somebody listens on several ports, and the operator has
/// come to port 2222. `reach` tells which of them the other host gets through to.
const WIRE: &str = r#"
ip link set lo up
unshare --net sleep 60 & there=$!
# The namespace of the other is there when it is no longer ours.
while [ "$(readlink /proc/$there/ns/net)" = "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
ip link add wire type veth peer name wire netns $there
ip address add 10.9.0.1/24 dev wire
ip link set wire up
nsenter --net=/proc/$there/ns/net sh -e -c 'ip address add 10.9.0.2/24 dev wire; ip link set wire up'
python3 -c '
import socket, time
held = [socket.create_server(("0.0.0.0", port)) for port in (25, 110, 993, 2222, 3306, 8080)]
print("held", flush=True)
time.sleep(60)' > held & held=$!
trap 'kill $there $held' EXIT
while ! grep -q held held; do sleep 0.05; done
export SSH_CONNECTION='10.9.0.2 50000 10.9.0.1 2222'
reach() {
    nsenter --net=/proc/$there/ns/net python3 -c '
import socket
for port in (25, 110, 993, 2222, 3306, 8080):
    try:
        socket.create_connection(("10.9.0.1", port), 0.7).close()
        print(port, end=" ")
    except OSError:
        pass
print()'
}
kings() { "$program" "$@" --config kings.toml; }
"#;

/// Runs `script` as root on the wire; what it prints line by line.
fn on_the_wire(folder: &Folder, script: &str) -> Vec<String> {
    for needed in ["ip", "nft", "ufw", "nsenter", "python3"] {
        program(needed);
    }
    folder.write("kings.toml", CONFIG);
    let mut shell = rooted(program("unshare").get_program());
    shell.args(["--net", "--mount", "/bin/sh", "-e", "-c"]).arg(format!("program={KINGS}\n{WIRE}{script}"));
    let output: Output = run(shell.current_dir(folder.path())).succeeded();
    output.text().lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn nftables_lets_in_ssh_and_the_ports_of_the_config_and_nothing_else() {
    let folder = Folder::new("nft");
    let script = r"
nft add table inet others
reach
kings firewall apply
reach
kings firewall apply
nft list tables
# Somebody has meddled with the table: it is as it should be again.
nft add rule inet kings input tcp dport 3306 accept
reach
kings firewall apply --json
reach
sed -i s/8080/3306/ kings.toml
kings firewall apply
reach
kings firewall remove
reach
kings firewall remove
nft list tables
";
    let open = "SSH 2222, smtp 25, imaps 993, 8080/tcp";
    let expected = [
        "25 110 993 2222 3306 8080".to_owned(),
        format!("nftables: open now: {open}"),
        "25 993 2222 8080".to_owned(),
        format!("nftables: nothing to do, open already: {open}"),
        "table inet others".to_owned(),
        "table inet kings".to_owned(),
        "25 993 2222 3306 8080".to_owned(),
        r#"{"changed":true,"schema":1,"tool":"nftables"}"#.to_owned(),
        "25 993 2222 8080".to_owned(),
        format!("nftables: open now: {}", open.replace("8080", "3306")),
        "25 993 2222 3306".to_owned(),
        "nftables: the rules of Kings are gone".to_owned(),
        "25 110 993 2222 3306 8080".to_owned(),
        "nftables: there are no rules of Kings".to_owned(),
        "table inet others".to_owned(),
    ];
    assert_eq!(without_ssh_of_this_machine(on_the_wire(&folder, script)), expected);
}

/// The machine that runs the tests may have an SSH server on ports of its own, which are open too.
fn without_ssh_of_this_machine(lines: Vec<String>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| match line.split_once("SSH ") {
            Some((before, _)) => {
                let behind = line.find("SSH 2222").expect("the operator's own");
                format!("{before}{}", &line[behind..])
            }
            None => line,
        })
        .collect()
}

/// Its files are copies in a mount namespace.
#[test]
fn ufw_has_the_rules_where_it_is_in_charge() {
    let folder = Folder::new("ufw");
    let script = r"
cp -a /etc/ufw ufw
mount --bind ufw /etc/ufw
mkdir run lib
mount --bind run /run
mount --bind lib /var/lib/ufw 2>/dev/null || true
ufw allow from 192.0.2.7 > /dev/null
ufw --force enable > /dev/null
reach
kings firewall apply
reach
kings firewall apply
sed -i s/8080/3306/ kings.toml
kings firewall apply --json
reach
kings firewall remove
reach
kings firewall remove
ufw status | grep -c 192.0.2.7
";
    let open = "SSH 2222, smtp 25, imaps 993, 8080/tcp";
    let expected = [
        String::new(),
        format!("ufw: open now: {open}"),
        "25 993 2222 8080".to_owned(),
        format!("ufw: nothing to do, open already: {open}"),
        r#"{"changed":true,"schema":1,"tool":"ufw"}"#.to_owned(),
        "25 993 2222 3306".to_owned(),
        "ufw: the rules of Kings are gone".to_owned(),
        // Whoever works here from afar still does.
        "2222".to_owned(),
        "ufw: there are no rules of Kings".to_owned(),
        "1".to_owned(),
    ];
    assert_eq!(without_ssh_of_this_machine(on_the_wire(&folder, script)), expected);
}

#[test]
fn show_tells_the_rules_and_what_they_would_close_and_changes_nothing() {
    let folder = Folder::new("show");
    let script = r"
kings firewall show
kings firewall show --json
nft list tables
reach
";
    let lines = on_the_wire(&folder, script);
    let text = lines.join("\n");
    assert!(text.contains("policy drop;") && text.contains("tcp dport { 25, 993 } accept"), "{text}");
    assert!(lines.iter().any(|line| line.starts_with("3306/tcp") && line.ends_with("python3")), "{text}");
    let json = lines.iter().find(|line| line.starts_with('{')).unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let ports = |key: &str| -> Vec<u64> {
        json[key].as_array().unwrap().iter().map(|item| item["port"].as_u64().unwrap()).collect()
    };
    assert!(ports("open").ends_with(&[25, 993, 8080]), "{json}");
    assert_eq!(ports("closed"), [110, 3306]);
    assert_eq!(lines.last().unwrap(), "25 110 993 2222 3306 8080");
}

#[test]
fn who_may_not_or_has_no_firewall_hears_why() {
    let folder = Folder::new("refused");
    folder.write("kings.toml", CONFIG);
    let config = folder.text("kings.toml");
    // The folder of the build may be closed to others.
    std::fs::copy(KINGS, folder.join("kings")).unwrap();
    let own = folder.text("kings");
    let nobody =
        ["--reuid=65534", "--regid=65534", "--clear-groups", &own, "firewall", "apply", "--config", &config];
    let refused = run(rooted(program("setpriv").get_program()).args(nobody))
        .failed()
        .says("only root may change the firewall");
    assert_eq!(refused.status.code(), Some(77));
    // A machine without either: the folders of its programs hold nothing but this one.
    let mut shell = rooted(program("unshare").get_program());
    let script = format!(
        "for f in /usr/sbin /usr/local/sbin; do mount --bind empty $f; done; ./kings firewall apply --config {config}"
    );
    folder.create("empty");
    run(shell.args(["--mount", "/bin/sh", "-e", "-c", &script]).current_dir(folder.path()))
        .failed()
        .says("neither nft nor ufw is on this machine: apt install nftables");
    folder.write("kings.toml", CONFIG.replace("\"8080\"", "\"8080; flush\""));
    run(std::process::Command::new(KINGS).args(["firewall", "show", "--config", &config]))
        .failed()
        .says("a port such as");
}
