//! Tables of access(5) say who is let in on port 25.

use crate::harness::{Kings, NameServer, Reply, Setup, Smtp, letter, messages, run};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

/// Names that lead back, and one that does not.
const ZONE: &str = "7.2.0.192.in-addr.arpa. IN PTR mx.bad.test.\nmx.bad.test. IN A 192.0.2.7\n\
                    8.2.0.192.in-addr.arpa. IN PTR mx.bad.test.\n";

fn start(dns: &NameServer, inbound: &str, files: Vec<(&'static str, &'static str)>) -> Kings {
    let mut setup = Setup { name_server: dns.address.clone(), files, ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.1/32\"]\n";
    setup.tables = format!("[inbound]\n{inbound}");
    setup.start()
}

fn send(kings: &Kings, client: &str, helo: &str, sender: &str, to: &[&str]) -> Reply {
    let mut smtp = Smtp::connect(kings.address("smtp")).unwrap();
    smtp.command("EHLO proxy.example.net").unwrap().is("250");
    smtp.command(&format!("XCLIENT ADDR={client}")).unwrap().is("220");
    smtp.command(&format!("EHLO {helo}")).unwrap().is("250");
    smtp.message(sender, to, &letter("carol@good.test", to[0], "hello")).unwrap()
}

#[test]
fn tables_say_who_is_let_in() {
    let dns = NameServer::start(".", ZONE);
    let clients =
        "198.51.100 REJECT no such network\n198.51.100.9 OK\n.bad.test 554 5.7.1 bad name\n2001:db8 DEFER\n";
    let senders = "spam@far.test REJECT\nfar.test PREPEND X-Far: yes\nceo@ HOLD who is that\n<> DUNNO\nbulk.test REJECT\n\
                   list.bulk.test OK\n";
    let tables = "client_access = \"clients\"\nhelo_access = \"inline:{ evil.test=REJECT }\"\nsender_access = \"senders\"\n\
                  recipient_access = \"regexp:recipients\"\n";
    let files = vec![
        ("clients", clients),
        ("senders", senders),
        ("recipients", "/^bob@/ REJECT bob takes no mail\n"),
    ];
    let kings = start(&dns, tables, files);
    let (fine, name, carol) = ("203.0.113.7", "client.good.test", "carol@good.test");
    for (client, helo, sender, to, expected) in [
        (fine, name, carol, ANN, "250 2.0.0"),
        (fine, name, "", ANN, "250 2.0.0"),
        ("198.51.100.7", name, carol, ANN, "554 5.7.1 no such network"),
        ("198.51.100.9", name, carol, ANN, "250 2.0.0"),
        ("192.0.2.7", name, carol, ANN, "554 5.7.1 bad name"),
        ("192.0.2.8", name, carol, ANN, "250 2.0.0"),
        ("IPV6:2001:db8::1", name, carol, ANN, "450 4.7.1"),
        ("IPV6:2001:db9::1", name, carol, ANN, "250 2.0.0"),
        (fine, "mx.EVIL.test", carol, ANN, "554 5.7.1"),
        (fine, name, "Spam@far.test", ANN, "554 5.7.1"),
        (fine, name, "joe@sub.bulk.test", ANN, "554 5.7.1"),
        (fine, name, "joe@list.bulk.test", ANN, "250 2.0.0"),
        // OK is about its own table alone.
        ("198.51.100.9", name, carol, BOB, "554 5.7.1 bob takes no mail"),
    ] {
        let reply = send(&kings, client, helo, sender, &[to]);
        let said = format!("{} {}", reply.code, reply.text);
        assert!(said.starts_with(expected), "{client} {helo} {sender} {to}: {said}");
    }
    let before = messages(&kings.maildir(ANN)).len();
    send(&kings, fine, name, "joe@mx.far.test", &[ANN]).is("250");
    let all = messages(&kings.maildir(ANN));
    assert_eq!(
        (all.len(), all.iter().filter(|message| message.field("X-Far").is_some()).count()),
        (before + 1, 1)
    );
    send(&kings, fine, name, "ceo@anywhere.test", &[ANN]).is("250");
    let held = run(&mut kings.command(&["queue", "list", "--state", "held"])).succeeded().text();
    assert!(held.contains("who is that"), "{held}");
}

#[test]
fn networks_of_clients_are_as_in_cidr_table() {
    let dns = NameServer::start(".", ZONE);
    let networks = "198.51.100.8/29 OK\n198.51.100.0/24 REJECT no such network\n[2001:db8::]/32 DEFER\n";
    let kings = start(&dns, "client_access = \"cidr:networks\"\n", vec![("networks", networks)]);
    for (client, expected) in [
        ("198.51.100.7", "554 5.7.1 no such network"),
        ("198.51.100.9", "250 2.0.0"),
        ("203.0.113.7", "250 2.0.0"),
        ("IPV6:2001:db8::1", "450 4.7.1"),
    ] {
        let reply = send(&kings, client, "client.good.test", "carol@good.test", &[ANN]);
        let said = format!("{} {}", reply.code, reply.text);
        assert!(said.starts_with(expected), "{client}: {said}");
    }
    // What is wrong in it is told, and other tables have no networks.
    kings.folder().write("networks", "198.51.100.1/24 REJECT\n198.51.100.0/24 reject_unknown_client\n");
    let check = run(&mut kings.command(&["config", "check"]));
    check.failed().says("networks:1: ").says("write 198.51.100.0/24");
    kings.folder().write("networks", "198.51.100.0/24 reject_unknown_client\n");
    run(&mut kings.command(&["config", "check"])).failed().says("networks:1: ");
    let config = std::fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    kings.folder().write("kings.toml", config.replace("client_access", "sender_access"));
    run(&mut kings.command(&["config", "check"])).failed().says("sender_access");
}

#[test]
fn what_makes_no_sense_is_told_with_its_line_and_silence_refuses_nobody() {
    let dns = NameServer::start(".", ZONE);
    let kings = start(&dns, "sender_access = \"socketmap:unix:/nonexistent/s:x\"\n", Vec::new());
    send(&kings, "203.0.113.7", "client.good.test", "carol@good.test", &[ANN]).is("451 4.3.0");
    // Our users are none of its business.
    kings.submit(ANN, BOB, "own");
    kings
        .folder()
        .write("wrong", "far.test reject_unknown_sender_domain\n192.0.2.0/24 REJECT\ngood.test OK\n");
    let config = std::fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    let config = config.replace("socketmap:unix:/nonexistent/s:x", "wrong");
    kings.folder().write("kings.toml", config);
    let check = run(&mut kings.command(&["config", "check"]));
    check.failed().says("wrong:1: ").says("wrong:2: ");
}
