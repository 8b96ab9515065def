//! Routes of the config with real servers at their ends: which recipient of a message goes where.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use crate::harness::{Folder, Kings, NameServer, Setup, Sink, free_port, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";
const DELIVERY: Duration = Duration::from_secs(40);

#[track_caller]
fn submit(kings: &Kings, sender: &str, recipients: &[&str]) {
    let content = letter(sender, recipients[0], "routed");
    kings.submissions(sender).message(sender, recipients, &content).unwrap().is("250 2.0.0");
}

#[track_caller]
fn reach(sink: &Sink, expected: &[&str]) {
    wait_until(&format!("mail for {expected:?}"), DELIVERY, || (sink.recipients() == expected).then_some(()));
}

/// Postfix's transport(5): the address before its domain, whatever the order in the file.
#[test]
fn one_recipient_of_a_message_takes_a_way_of_its_own() {
    let (domain, address) = (Sink::start(), Sink::start());
    let tables = format!(
        "[[route]]\ndomain = \"far.test\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\nrecipient = \"joe@far.test\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\nrecipient = \"gone@far.test\"\nto = \"error:5.1.6 Gone\"\n",
        domain.port, address.port
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    submit(&kings, ANN, &["bob@far.test", "joe+tag@far.test", "eve@far.test", "Joe@far.test"]);
    reach(&domain, &["<bob@far.test> <eve@far.test>"]);
    reach(&address, &["<joe+tag@far.test> <Joe@far.test>"]);
    let mut client = kings.submissions(ANN);
    client.command("MAIL FROM:<ann@example.org>").unwrap().is("250");
    client.command("RCPT TO:<gone@far.test>").unwrap().is("550 5.1.6");
    client.command("RCPT TO:<going@far.test>").unwrap().is("250");
}

/// What one way cannot do now is no matter of the other, and nothing comes twice.
#[test]
fn a_way_that_is_closed_holds_up_no_other() {
    let open = Sink::start();
    let tables = format!(
        "[[route]]\ndomain = \"*\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\nrecipient = \"joe@far.test\"\nto = \"smtp:127.0.0.1:1\"\n\
         [[route]]\nrecipient = \"eve@far.test\"\nto = \"error:5.7.1 Not to her\"\n\
         [[route]]\nrecipient = \"eve@far.test\"\nsender = \"<>\"\nto = \"discard\"\n",
        open.port
    );
    let files = vec![("aliases", "all@example.org joe@far.test, eve@far.test, bob@far.test\n")];
    let kings = Setup { files, tables, ..Setup::default() }.start();
    submit(&kings, ANN, &["all@example.org"]);
    reach(&open, &["<bob@far.test>"]);
    let bounce = wait_until("the bounce", DELIVERY, || messages(&kings.maildir(ANN)).pop());
    assert!(
        bounce.text().contains("Not to her") && !bounce.text().contains("joe@far.test"),
        "{}",
        bounce.text()
    );
    let listed = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let recipients = listed["items"][0]["recipients"].as_array().unwrap();
    let state =
        |recipient: &serde_json::Value| format!("{} {}", recipient["forward_path"], recipient["state"]);
    let mut states: Vec<String> = recipients.iter().map(state).collect();
    states.sort();
    let expected = ["<bob@far.test> delivered", "<eve@far.test> failed", "<joe@far.test> deferred"];
    assert_eq!(states.join("\n").replace('"', ""), expected.join("\n"));
}

/// `sender_dependent_relayhost_maps`, which transport(5) goes before.
#[test]
fn a_sender_has_a_relay_of_its_own_for_what_no_recipient_decides() {
    let (sender, domain, rest) = (Sink::start(), Sink::start(), Sink::start());
    let tables = format!(
        "[outbound]\nsmart_host = \"127.0.0.1:{}\"\n\
         [[route]]\nsender = \"bob@example.org\"\nto = \"smtp:127.0.0.1:{}\"\n\
         [[route]]\ndomain = \".far.test\"\nto = \"smtp:127.0.0.1:{}\"\n",
        rest.port, sender.port, domain.port
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    for account in [ANN, BOB] {
        submit(&kings, account, &["joe@sub.far.test", "joe@far.test"]);
    }
    reach(&domain, &["<joe@sub.far.test>", "<joe@sub.far.test>"]);
    reach(&sender, &["<joe@far.test>"]);
    reach(&rest, &["<joe@far.test>"]);
}

/// The program behind a socketmap of routes: everything to the host at this port.
fn transports(listener: UnixListener, port: u16) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 300];
            let count = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]);
            let known = request.ends_with(" sales.test,") || request.ends_with(".many.test,");
            let reply = if known { format!("OK smtp:[127.0.0.1]:{port}") } else { "NOTFOUND ".to_owned() };
            let _ = write!(stream, "{}:{reply},", reply.len());
        }
    });
}

/// `transport_maps` before `sender_dependent_relayhost_maps`, as files and as patterns. A change acts at once.
#[test]
fn tables_route_by_recipient_and_by_sender() {
    let (host, pattern, sender, rest) = (Sink::start(), Sink::start(), Sink::start(), Sink::start());
    let to = |sink: &Sink| format!("[127.0.0.1]:{}", sink.port);
    let table = format!(
        "far.test smtp:{}\n.far.test relay:{}\njoe@far.test :\ngone.test error:5.1.6 Gone\nnowhere.test discard:x\n",
        to(&host),
        to(&host)
    );
    let patterns = format!("/^staff-[0-9]+@/ :{}\n", to(&pattern));
    let relays = format!("bob@example.org {}\n", to(&sender));
    let tables = format!(
        "[outbound]\nsmart_host = \"127.0.0.1:{}\"\ntransport = [\"texthash:transport\", \"regexp:patterns\"]\n\
         sender_relayhost = \"relays\"\n",
        rest.port
    );
    let files =
        vec![("transport", &*table.leak()), ("patterns", &*patterns.leak()), ("relays", &*relays.leak())];
    let kings = Setup { files, tables, ..Setup::default() }.start();
    submit(
        &kings,
        ANN,
        &["eve@far.test", "eve@sub.far.test", "Staff-7@any.test", "eve@any.test", "joe+x@far.test"],
    );
    submit(&kings, BOB, &["bob@far.test", "joe@far.test", "eve@nowhere.test"]);
    reach(&pattern, &["<Staff-7@any.test>"]);
    reach(&sender, &["<joe@far.test>"]);
    reach(&host, &["<bob@far.test>", "<eve@far.test> <eve@sub.far.test>"]);
    reach(&rest, &["<eve@any.test> <joe+x@far.test>"]);
    let mut client = kings.submissions(ANN);
    client.command("MAIL FROM:<ann@example.org>").unwrap().is("250");
    client.command("RCPT TO:<eve@gone.test>").unwrap().is("550 5.1.6");
    client.command("RCPT TO:<eve@going.test>").unwrap().is("250");
    kings.folder().write("transport", "going.test retry:Not today\n");
    wait_until("the change acts", DELIVERY, || {
        (client.command("RCPT TO:<eve@going.test>").unwrap().code == 450).then_some(())
    });
}

/// As with Postfix from 3.5 on: the hosts of a list in their order, and the next one only where one does not take the mail.
#[test]
fn next_hops_of_a_list_are_tried_in_turn() {
    let (first, second, refusing) = (Sink::start(), Sink::start(), Sink::refusing());
    let to = |sink: &Sink| format!("[127.0.0.1]:{}", sink.port);
    let (first_to, second_to) = (to(&first), to(&second));
    let table = format!(
        "joe@up.test smtp:{first_to}, {second_to}\njoe@down.test smtp:[127.0.0.1]:{},{second_to}\njoe@no.test smtp:{}, {second_to}\n",
        free_port(),
        to(&refusing)
    );
    let tables = "[outbound]\ntransport = [\"transport\", \"static:error:5.1.2 nobody else\"]\n".to_owned();
    let kings = Setup { files: vec![("transport", &*table.leak())], tables, ..Setup::default() }.start();
    submit(&kings, ANN, &["joe@up.test"]);
    submit(&kings, ANN, &["joe@down.test"]);
    submit(&kings, ANN, &["joe@no.test"]);
    reach(&first, &["<joe@up.test>"]);
    reach(&second, &["<joe@down.test>"]);
    let bounce = wait_until("the bounce", DELIVERY, || messages(&kings.maildir(ANN)).pop());
    assert!(bounce.text().contains("joe@no.test"), "{}", bounce.text());
    assert_eq!(second.recipients(), ["<joe@down.test>"], "what one refuses for good goes to no other");
    let mut client = kings.submissions(ANN);
    client.command("MAIL FROM:<ann@example.org>").unwrap().is("250");
    client.command("RCPT TO:<joe@elsewhere.test>").unwrap().is("550 5.1.2");
}

/// Lines that say nothing shadow none that do; lines and patterns that are about our own accounts are told of.
#[test]
fn lines_of_a_table_that_never_act_are_told_and_hide_no_other() {
    let rest = Sink::start();
    let to = |line: &str| format!("{line} smtp:[127.0.0.1]:{}\n", rest.port);
    let table = format!("far.test\n{}", to("*"));
    let patterns = "/^ann@example\\.org$/ discard:\n/@example\\.net$/ discard:\n/@other\\.test$/ discard:\n";
    let tables = "[outbound]\ntransport = [\"regexp:patterns\", \"texthash:transport\"]\n".to_owned();
    let files = vec![("transport", &*table.leak()), ("patterns", patterns)];
    let kings = Setup { files, tables, ..Setup::default() }.start();
    submit(&kings, BOB, &["joe@far.test", ANN]);
    reach(&rest, &["<joe@far.test>"]);
    wait_until("ann's copy", DELIVERY, || (messages(&kings.maildir(ANN)).len() == 1).then_some(()));
    let check = run(&mut kings.command(&["config", "check"])).succeeded().text();
    for told in ["transport:1: nothing stands to the right", "patterns:1 does not act for ann@example.org"] {
        assert!(check.contains(told), "{told}: {check}");
    }
    for fine in ["transport:2", "patterns:2", "patterns:3"] {
        assert!(!check.contains(fine), "{fine}: {check}");
    }
}

/// A program that does not answer is never taken for one that says "no route": a client is asked to come again, and what is
/// in the queue already waits.
#[test]
fn mail_waits_for_a_table_of_routes_that_is_away() {
    let (right, wrong) = (Sink::start(), Sink::start());
    let folder = Folder::new("routes-program");
    let socket = folder.join("s");
    let tables = format!(
        "[outbound]\nsmart_host = \"127.0.0.1:{}\"\ntransport = \"socketmap:unix:{}:transport\"\n",
        wrong.port,
        socket.display()
    );
    let files = vec![("aliases", "both@example.org ann@example.org, eve@sales.test\n")];
    let kings = Setup { files, tables, ..Setup::default() }.start();
    let mut client = kings.submissions(BOB);
    client.command("MAIL FROM:<bob@example.org>").unwrap().is("250");
    client.command("RCPT TO:<eve@sales.test>").unwrap().is("451 4.3.0");
    client.command("RCPT TO:<both@example.org>").unwrap().is("250");
    submit(&kings, BOB, &["both@example.org"]);
    wait_until("the copy for ann", DELIVERY, || messages(&kings.maildir(ANN)).pop());
    let listed = || {
        let listed = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
        String::from_utf8_lossy(&listed.stdout).into_owned()
    };
    wait_until("an attempt", DELIVERY, || listed().contains("a table of routes cannot tell").then_some(()));
    transports(UnixListener::bind(&socket).unwrap(), right.port);
    client.command("RCPT TO:<eve@sales.test>").unwrap().is("250");
    run(&mut kings.command(&["queue", "retry"])).succeeded();
    reach(&right, &["<eve@sales.test>"]);
    assert!(wrong.recipients().is_empty(), "{:?}", wrong.recipients());
}

/// Transactions by their number of recipients.
fn sizes(sink: &Sink) -> Vec<usize> {
    let mut sizes: Vec<usize> = sink.recipients().iter().map(|to| to.matches('<').count()).collect();
    sizes.sort_unstable();
    sizes
}

/// Where a program says where mail goes, recipients of many domains share a transaction as well: it was asked at RCPT. After
/// a restart nobody remembers, and each domain has an attempt of its own once more.
#[test]
fn domains_that_a_program_sends_to_one_host_share_its_transactions() {
    let (right, own) = (Sink::start(), Sink::start());
    let folder = Folder::new("routes-program");
    let socket = folder.join("s");
    transports(UnixListener::bind(&socket).unwrap(), right.port);
    let tables = format!(
        "[outbound]\nsmart_host = \"127.0.0.1:{}\"\ntransport = \"socketmap:unix:{}:transport\"\n",
        own.port,
        socket.display()
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    let to: Vec<String> = (0..20).map(|number| format!("joe@d{number}.many.test")).collect();
    let mut to: Vec<&str> = to.iter().map(String::as_str).collect();
    to.extend(["eve@a.other.test", "eve@b.other.test"]);
    submit(&kings, BOB, &to);
    wait_until("all", DELIVERY, || (sizes(&right) == [20] && sizes(&own) == [2]).then_some(()));
}

/// Several routes to one host are one next hop; one with a login, or from another address, is not.
#[test]
fn routes_to_one_host_share_its_transactions() {
    let sink = Sink::start();
    let to = format!("to = \"smtp:127.0.0.1:{}\"\n", sink.port);
    let route = |domain: &str, more: &str| format!("[[route]]\ndomain = \"{domain}.test\"\n{to}{more}");
    let tables = ["a", "b", "c"].map(|domain| route(domain, "")).concat()
        + &route("d", "source = \"127.0.0.9\"\n")
        + &route("e", "tls = \"none\"\n");
    let kings = Setup { tables, ..Setup::default() }.start();
    submit(&kings, BOB, &["joe@a.test", "joe@b.test", "joe@c.test", "joe@d.test", "joe@e.test"]);
    wait_until("all", DELIVERY, || (sizes(&sink) == [1, 1, 3]).then_some(()));
}

/// Passes connections on to the server behind, as a router with a translated address does.
fn translated(port: u16, behind: SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for outside in listener.incoming().map_while(Result::ok) {
            let inside = TcpStream::connect(behind).unwrap();
            let ends = [&outside, &inside].map(|end| end.try_clone().unwrap());
            let copy = |mut from: TcpStream, mut to: TcpStream| {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            };
            let [outside_too, inside_too] = ends;
            copy(outside, inside);
            copy(inside_too, outside_too);
        }
    });
}

/// A domain whose MX host is this server under another name, and which it does not host: by its address, by an address
/// that a router translates, and by its own words where nothing else tells. The mirror image is every other test that
/// relays on loopback.
#[test]
fn mail_that_would_come_back_is_bounced_at_once() {
    let zone = NameServer::start("loop.test", "@ IN MX 10 mx\nmx IN A 127.0.0.1\n");
    let (own, outside) = (free_port(), free_port());
    let cases = [
        (own, "", "mx.loop.test[127.0.0.1] has its address"),
        (outside, "own_addresses = [\"127.0.0.1\"]\n", "mx.loop.test[127.0.0.1] has its address"),
        (outside, "", "mx.loop.test[127.0.0.1] answers under its name"),
    ];
    for (number, (port, lines, sign)) in cases.into_iter().enumerate() {
        let usual = Setup::default();
        let tables = format!("[outbound]\nport = {port}\nallow_private = [\"127.0.0.0/8\"]\n{lines}");
        let listen =
            usual.listen.replacen("smtp = [\"127.0.0.1:0\"]", &format!("smtp = [\"127.0.0.1:{own}\"]"), 1);
        let kings = Setup { tables, listen, name_server: zone.address.clone(), ..usual }.start();
        if number == 1 {
            translated(outside, kings.address("smtp"));
        }
        submit(&kings, ANN, &["joe@loop.test"]);
        let bounce = wait_until("the bounce", DELIVERY, || messages(&kings.maildir(ANN)).pop()).text();
        let said = "mail loops back to this server, which does not host the domain";
        for expected in ["Status: 5.4.6", said, sign] {
            let unfolded = bounce.replace("\r\n ", " ").replace("\r\n\t", " ");
            assert!(unfolded.contains(expected), "{expected}: {bounce}");
        }
        assert_eq!(bounce.matches("Received: from").count(), 1, "it never left: {bounce}");
    }
}
