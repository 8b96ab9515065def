//! Two servers whose aliases send to each other: the mail goes round once, and its sender hears of it once.

use std::time::Duration;

use crate::harness::{Kings, Setup, UNVERIFIED, free_port, letter, messages, run, wait_until};

const ANN: &str = "ann@example.org";

/// A server at this port for `domain`, whose alias `ring` leads to the same name at the other one.
fn server(domain: &str, port: u16, other: &str, other_port: u16) -> Kings {
    let aliases: &'static str = Box::leak(format!("ring@{domain} ring@{other}\n").into_boxed_str());
    let tables = format!(
        "{UNVERIFIED}[[domain]]\nname = \"{domain}\"\n\
         [[route]]\ndomain = \"{other}\"\nto = \"smtp:127.0.0.1:{other_port}\"\ntls = \"none\"\n"
    );
    let mut setup = Setup {
        aliases: "files = [\"virtual:ring\"]\n".to_owned(),
        files: vec![("ring", aliases)],
        tables,
        ..Setup::default()
    };
    setup.listen = format!("smtp = [\"127.0.0.1:{port}\"]\n");
    setup.start()
}

#[test]
fn a_ring_of_two_servers_ends_where_it_began() {
    let ports = [free_port(), free_port()];
    let a = server("a.test", ports[0], "b.test", ports[1]);
    let b = server("b.test", ports[1], "a.test", ports[0]);
    let content = letter(ANN, "ring@a.test", "round");
    a.smtp().message(ANN, &["ring@a.test"], &content).unwrap().is("250 2.0.0");
    // The first one refuses what it sent on itself, so the second one, which has an account of that name, reports it.
    let report = wait_until("the report", Duration::from_secs(30), || messages(&b.maildir(ANN)).pop()).text();
    assert!(report.contains("5.4.6") && report.contains("ring@a.test"), "{report}");
    for kings in [&a, &b] {
        wait_until("an empty queue", Duration::from_secs(20), || {
            let list = run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
            list.contains("\"items\":[]").then_some(())
        });
    }
    assert_eq!((messages(&a.maildir(ANN)).len(), messages(&b.maildir(ANN)).len()), (0, 1));
}
