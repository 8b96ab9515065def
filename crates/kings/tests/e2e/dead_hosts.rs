//! A hundred destinations that take connections and never say a word, and one that lives: its mail does not wait.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Kings, NameServer, Setup, Sink, letter, run, show, wait_until};

const ANN: &str = "ann@example.org";
const DEAD: usize = 100;
/// Messages for each dead host and for the living one.
const EACH: usize = 4;
const LIVE: usize = 20;
/// How long mail for the living host may take, all of it, while every dead host holds on to its connections.
const SOON: Duration = Duration::from_secs(10);

/// Listens on each dead host's address and takes what comes, silently; gives every connection as it comes.
fn dead_hosts(port: u16) -> Receiver<(usize, TcpStream)> {
    let (found, taken) = channel();
    for host in 0..DEAD {
        let listener = TcpListener::bind((address(host), port)).unwrap();
        let found = found.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if found.send((host, stream)).is_err() {
                    return;
                }
            }
        });
    }
    taken
}

fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 77, u8::try_from(host + 1).unwrap())
}

/// MX records that lead to the dead hosts and to the living one, all on one port.
fn zone() -> String {
    let mut records = "live IN MX 10 mx.live\nmx.live IN A 127.0.0.1\n".to_owned();
    for host in 0..DEAD {
        writeln!(records, "dead{host} IN MX 10 mx.dead{host}\nmx.dead{host} IN A {}", address(host)).unwrap();
    }
    records
}

/// All that waits, as the operator sees it.
fn waiting(kings: &Kings) -> String {
    run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text()
}

#[test]
fn a_hundred_dead_hosts_do_not_delay_the_mail_of_a_living_one() {
    let sink = Sink::start();
    let taken = dead_hosts(sink.port);
    let names = NameServer::start("net", &zone());
    let tables = format!(
        "[outbound]\nport = {}\nallow_private = [\"127.0.0.0/8\"]\ntls = \"none\"\n\
         [limits]\nmessages_per_minute_per_account = 0\nmessages_per_hour_per_account = 0\n\
         recipients_per_hour_per_account = 0\n",
        sink.port
    );
    let kings = Setup { tables, name_server: names.address.clone(), ..Setup::default() }.start();
    let mut client = kings.submissions(ANN);
    let mut send = |to: &str, subject: &str| {
        client.message(ANN, &[to], &letter(ANN, to, subject)).unwrap().is("250");
    };
    for number in 0..EACH {
        for host in 0..DEAD {
            send(&format!("joe@dead{host}.net"), &format!("dead {number} {host}"));
        }
    }
    // Every dead host has somebody who waits for its greeting.
    let mut held: Vec<TcpStream> = Vec::new();
    let mut hosts = std::collections::BTreeSet::new();
    wait_until("a connection to each dead host", Duration::from_secs(30), || {
        for (host, stream) in taken.try_iter() {
            hosts.insert(host);
            held.push(stream);
        }
        (hosts.len() == DEAD).then_some(())
    });
    let begin = Instant::now();
    let mut expected: Vec<String> = (0..LIVE).map(|number| format!("live {number:02}")).collect();
    for subject in &expected {
        send("joe@live.net", subject);
    }
    let mut found = Vec::new();
    wait_until("the mail of the living host", SOON, || {
        found = sink.subjects();
        (found.len() >= LIVE).then_some(())
    });
    let took = begin.elapsed();
    show(&format!(
        "{LIVE} messages to a living host took {took:?} beside {DEAD} dead ones with {} connections",
        held.len()
    ));
    assert!(took < SOON, "{took:?}");
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "each once");
    // The dead were still holding on all the while, and nothing of theirs is lost.
    let held_on = held.iter().filter(|stream| is_open(stream)).count();
    assert!(held_on >= DEAD, "only {held_on} connections were open: nothing hung");
    let waiting = waiting(&kings);
    assert!(!waiting.contains("@live.net"), "{waiting}");
    let listed: serde_json::Value = serde_json::from_str(&waiting).unwrap();
    assert!(listed["items"].as_array().is_some_and(|items| items.len() >= 100), "{waiting}");
}

/// Whether the other side has neither spoken nor left.
fn is_open(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    stream.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}
