//! A server that starts while the one before it still ends, or while something else has its ports.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Kings, Setup, Smtp, free_port, letter, messages};

const ANN: &str = "ann@example.org";

fn fixed(port: u16) -> String {
    format!(
        "smtp = [\"127.0.0.1:{port}\", \"[::1]:{port}\"]\nsubmissions = [\"127.0.0.1:0\"]\nimaps = [\"127.0.0.1:0\"]\n"
    )
}

fn greeted(address: SocketAddr) -> Smtp {
    let mut client = Smtp::connect(address).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client
}

fn log(kings: &Kings) -> String {
    std::fs::read_to_string(kings.folder().join("kings.log")).unwrap()
}

/// The old one lets go of its ports at once, and of its data when its last message is in: nobody waits in vain, and no
/// message is lost or doubled.
#[test]
fn a_server_that_is_restarted_under_connections_has_its_ports_and_its_mail() {
    let port = free_port();
    let mut kings = Setup { listen: fixed(port), ..Setup::default() }.start();
    let places: [SocketAddr; 2] = [([127, 0, 0, 1], port).into(), ([0, 0, 0, 0, 0, 0, 0, 1], port).into()];
    let mut idle = places.map(greeted);
    let mut busy = greeted(places[1]);
    for command in ["MAIL FROM:<joe@example.net>", "RCPT TO:<ann@example.org>"] {
        busy.command(command).unwrap().is("250");
    }
    busy.command("DATA").unwrap().is("354");
    kill_process(Pid::from_raw(i32::try_from(kings.process()).unwrap()).unwrap(), Signal::TERM).unwrap();
    let slow = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        let content = [letter("joe@example.net", ANN, "slow"), b".".to_vec()].concat();
        busy.command(std::str::from_utf8(&content).unwrap()).unwrap().is("250");
    });
    kings.serve();
    slow.join().unwrap();
    assert!(log(&kings).contains("another instance still uses"), "{}", log(&kings));
    for (client, place) in idle.iter_mut().zip(places) {
        client.reply().unwrap().is("421");
        greeted(place)
            .message("joe@example.net", &[ANN], &letter("joe@example.net", ANN, "new"))
            .unwrap()
            .is("250");
    }
    assert_eq!(messages(&kings.maildir(ANN)).len(), 3);
}

/// Who has it is said at once; one that goes in time is waited for.
#[test]
fn a_port_or_socket_file_in_use_is_waited_for_and_its_holder_named() {
    let port = free_port();
    let here = format!("(process {})", std::process::id());
    for holder in [
        format!("127.0.0.1:{port}"),
        format!("[::1]:{port}"),
        format!("0.0.0.0:{port}"),
        format!("[::]:{port}"),
    ] {
        let stranger = TcpListener::bind(&holder).unwrap();
        let going = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            drop(stranger);
        });
        let kings = Setup { listen: fixed(port), ..Setup::default() }.start();
        going.join().unwrap();
        let text = log(&kings);
        let waiting =
            text.lines().find(|line| line.contains("is in use by")).unwrap_or_else(|| panic!("{text}"));
        assert!(waiting.contains(&here) && waiting.contains(&format!(":{port}")), "{holder}: {waiting}");
        greeted(kings.address("smtp")).command("NOOP").unwrap().is("250");
    }
}

/// Whoever reloads a server that has only begun to start does not end it: the config is read again once it runs.
#[test]
fn a_reload_while_it_waits_for_its_ports_comes_when_it_runs() {
    let port = free_port();
    let mut kings = Setup { listen: fixed(port), ..Setup::default() }.start();
    kings.kill();
    let stranger = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let mut child = kings.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let process = Pid::from_child(&child);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("is in use by")));
    kill_process(process, Signal::HUP).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    drop(stranger);
    assert!(lines.any(|line| line.contains("config read again")));
    greeted(([127, 0, 0, 1], port).into()).command("NOOP").unwrap().is("250");
    kill_process(process, Signal::TERM).unwrap();
    lines.for_each(drop);
    assert!(child.wait().unwrap().success());
}

/// The mirror image: one that stays is named, with what to do, and the server does not wait for ever.
#[test]
fn a_port_or_socket_file_that_stays_in_use_is_78_and_says_who_has_it() {
    let port = free_port();
    let mut kings = Setup { listen: fixed(port), ..Setup::default() }.start();
    kings.kill();
    let here = format!("(process {}) uses it: stop that one, or listen elsewhere", std::process::id());
    let path = kings.folder().join("lmtp");
    let config = std::fs::read_to_string(kings.folder().join("kings.toml")).unwrap();
    let places = [format!("127.0.0.1:{port}"), format!("unix:{}", path.display())];
    for place in places {
        let _tcp = place.starts_with('1').then(|| TcpListener::bind(&place).unwrap());
        let _unix = place.starts_with('u').then(|| {
            kings.folder().write(
                "kings.toml",
                config.replace("[listen]\n", &format!("[listen]\nlmtp = [\"{place}\"]\n")),
            );
            UnixListener::bind(&path).unwrap()
        });
        let began = Instant::now();
        let output = kings.command(&["serve"]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{said}");
        assert!(said.contains(&format!("cannot listen on {place}: ")) && said.contains(&here), "{said}");
        assert!((4..10).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }
}
