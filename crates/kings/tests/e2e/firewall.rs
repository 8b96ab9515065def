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
# What is kept there, and sshd's config, are this test's alone.
mkdir var ssh
cp -a /var/lib/ufw var/ 2>/dev/null || true
mount --bind var /var/lib
mkdir -p /etc/ssh
mount --bind ssh /etc/ssh
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
kings() { "$program" "$@" --config kings.toml || echo "rc $?"; }
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
kings firewall apply --yes
reach
kings firewall apply --yes
nft list tables
# Somebody has meddled with the table: it is as it should be again.
nft add rule inet kings input tcp dport 3306 accept
reach
kings firewall apply --yes --json
reach
sed -i s/8080/3306/ kings.toml
kings firewall apply --yes
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
        r#"{"changed":true,"closed_by_others":[],"schema":1,"tool":"nftables"}"#.to_owned(),
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
mkdir run
mount --bind run /run
ufw allow from 192.0.2.7 > /dev/null
ufw --force enable > /dev/null
reach
kings firewall apply --yes
reach
kings firewall apply --yes
sed -i s/8080/3306/ kings.toml
kings firewall apply --yes --json
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
        r#"{"changed":true,"closed_by_others":[],"schema":1,"tool":"ufw"}"#.to_owned(),
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

/// Ports that no word of the operator names in the simplest way, one after the other; and the boot, at which nothing is seen.
#[test]
fn ssh_is_let_in_wherever_its_server_may_be() {
    let folder = Folder::new("ssh");
    let script = r#"
let_in() { kings firewall apply --yes | tr -d ',' | tr ' ' '\n' | sed -n '/^SSH$/{n;p}' | tr '\n' ' '; echo; }
# As sudo has it.
unset SSH_CONNECTION
let_in
printf 'ListenAddress 192.0.2.5\nListenAddress 192.0.2.5:2201\n' > /etc/ssh/sshd_config
let_in
mkdir -p /etc/ssh/more
printf 'Include /etc/ssh/*/0?-[p-r]*.conf\n' > /etc/ssh/sshd_config
printf 'Port 2202\n' > /etc/ssh/more/01-port.conf
let_in
rm -r /etc/ssh/*
# It knows better than we do.
mkdir sbin
mount --bind sbin /usr/local/sbin
printf '#!/bin/sh\n[ "$1" = -T ] && printf "port 2203\\nlistenaddress [::]:2203\\n"\n' > sbin/sshd
chmod +x sbin/sshd
let_in
printf '#!/bin/sh\nsleep 60\n' > sbin/sshd
let_in
rm sbin/sshd
# A server that only its command line has told the port; then the machine is started again, and nothing is seen of it.
cp "$(readlink -f "$(command -v python3)")" sshd
./sshd -S -c 'import socket, time
held = socket.create_server(("0.0.0.0", 2204)), socket.create_server(("127.0.0.1", 6010))
open("ready", "w").close()
time.sleep(60)' & server=$!
while ! [ -e ready ]; do sleep 0.05; done
let_in
kill $server
wait $server || true
kings firewall remove > /dev/null
let_in
cat /var/lib/kings-smtp-firewall/ssh-ports | tail -n +2
# Where it cannot be kept, nothing is closed.
nft delete table inet kings
mount -t tmpfs -o ro none /var/lib
export SSH_CONNECTION='10.9.0.2 50000 10.9.0.1 2222'
kings firewall apply --yes 2>&1
nft list tables
"#;
    let expected = [
        "22",
        "22 2201",
        "22 2202",
        "22 2203",
        "22",
        "22 2204",
        "22 2204",
        "2204",
        "kings: cannot write /var/lib/kings-smtp-firewall: Read-only file system (os error 30)",
        "rc 1",
    ];
    assert_eq!(on_the_wire(&folder, script), expected);
}

#[test]
fn nothing_is_closed_without_a_word_of_the_operator() {
    program("script");
    let folder = Folder::new("word");
    let script = r#"
kings firewall apply < /dev/null 2>&1
kings firewall apply --json < /dev/null 2>&1
ask() { printf "$1" | script --quiet --return --command "$program firewall apply --config kings.toml" /dev/null || echo "rc $?"; }
ask 'n
'
nft list tables
echo then
ask 'y
'
nft list tables
echo again
ask ''
"#;
    let lines = on_the_wire(&folder, script);
    let text = lines.join(
        "
",
    );
    let word = "kings: nothing is changed without a word: --yes does it, kings firewall show only tells
rc 2
";
    assert!(text.starts_with(&word.repeat(2)), "{text}");
    let (no, rest) = text
        .split_once(
            "
then
",
        )
        .unwrap();
    let (yes, again) = rest
        .split_once(
            "
again
",
        )
        .unwrap();
    assert!(no.contains("SSH 2222, smtp 25") && no.contains("3306/tcp") && no.contains("python3"), "{no}");
    assert!(
        no.ends_with(
            "nothing was changed
rc 1"
        ),
        "{no}"
    );
    assert!(yes.contains("nftables: open now:") && yes.ends_with("table inet kings"), "{yes}");
    assert!(
        again.starts_with("nftables: nothing to do, open already:") && !again.contains("Go on?"),
        "{again}"
    );
}

#[test]
fn what_rules_of_others_close_is_named_and_a_failure() {
    let folder = Folder::new("others");
    let script = r"
nft 'table inet filter { chain input { type filter hook input priority 0; policy drop; tcp dport 22 accept; ct state established accept; iif lo accept; }; }'
kings firewall show | tail -n 1
kings firewall apply --yes 2>&1 | grep -v 'open now' || true
nft insert rule inet filter input tcp dport '{ 25, 993, 8080 }' accept
reach
kings firewall apply --yes 2>&1 | grep -v 'open already' || true
nft delete table inet filter
iptables-nft -A INPUT -p tcp --dport 993 -j ACCEPT
iptables-nft -A INPUT -p tcp -m multiport --dports 8080 -j ACCEPT
iptables-nft -A INPUT -j REJECT
kings firewall apply --yes 2>&1 | grep -v 'open already' || true
kings firewall apply --yes --json 2> /dev/null
kings firewall apply --yes --at-boot | tail -n 1
";
    let inet = "table inet filter, chain input, closes 25, 993, 8080 for others:  nft insert rule inet filter input tcp dport '{ 25, 993, 8080 }' accept";
    let ip = "table ip filter, chain INPUT, may close 25, 8080 for others:  iptables -I INPUT -p tcp -m multiport --dports 25,8080 -j ACCEPT";
    let json = r#"{"changed":false,"closed_by_others":[{"by":"table ip filter, chain INPUT","fix":"iptables -I INPUT -p tcp -m multiport --dports 25,8080 -j ACCEPT","ports":[25,8080],"sure":false}],"schema":1,"tool":"nftables"}"#;
    let way = "kings: rules of others are in the way:";
    let expected = [
        inet,
        way,
        &format!("kings: {inet}"),
        "rc 1",
        "25 993 8080",
        way,
        &format!("kings: {ip}"),
        "rc 1",
        json,
        "rc 1",
        // The unit counts as started, so that it can be stopped.
        ip,
    ];
    assert_eq!(on_the_wire(&folder, script), expected);
}

#[test]
fn who_may_not_or_has_no_firewall_hears_why() {
    let folder = Folder::new("refused");
    folder.write("kings.toml", CONFIG);
    let config = folder.text("kings.toml");
    // The folder of the build may be closed to others.
    std::fs::copy(KINGS, folder.join("kings")).unwrap();
    let own = folder.text("kings");
    let nobody = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        &own,
        "firewall",
        "apply",
        "--yes",
        "--config",
        &config,
    ];
    let refused = run(rooted(program("setpriv").get_program()).args(nobody))
        .failed()
        .says("only root may change the firewall");
    assert_eq!(refused.status.code(), Some(77));
    // A machine without either: the folders of its programs hold nothing but this one.
    let mut shell = rooted(program("unshare").get_program());
    let script = format!(
        "for f in /usr/sbin /usr/local/sbin; do mount --bind empty $f; done; ./kings firewall apply --yes --config {config}"
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
