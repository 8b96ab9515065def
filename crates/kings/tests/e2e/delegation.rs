//! Postfix's policy delegation with a real policy service: postgrey.

use std::fs;
use std::time::Duration;

use crate::harness::{Daemon, Folder, Kings, Setup, letter, messages, program, run, wait_until};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
/// Seconds for which a new sender is put off.
const DELAY: u64 = 2;

/// Postgrey on a socket of its own, with a fresh database.
struct Postgrey {
    _daemon: Daemon,
    _folder: Folder,
    place: String,
}

impl Postgrey {
    #[track_caller]
    fn start() -> Self {
        let folder = Folder::new("postgrey");
        let socket = folder.join("socket");
        let lists = folder.write("none", "");
        let user = run(program("id").arg("-un")).succeeded().text().trim_end().to_owned();
        let group = run(program("id").arg("-gn")).succeeded().text().trim_end().to_owned();
        let mut command = program("postgrey");
        command.arg(format!("--unix={}", socket.display()));
        command.arg(format!("--dbdir={}", folder.create("db").display()));
        command.arg(format!("--pidfile={}", folder.join("pid").display()));
        command.arg(format!("--delay={DELAY}")).args([format!("--user={user}"), format!("--group={group}")]);
        for list in ["clients", "recipients"] {
            command.arg(format!("--whitelist-{list}={}", lists.display()));
        }
        let mut daemon = Daemon::start("postgrey", &mut command, &folder.join("log"));
        daemon.wait_for("its socket", Duration::from_secs(20), |_| socket.exists());
        Self { _daemon: daemon, _folder: folder, place: format!("unix:{}", socket.display()) }
    }
}

fn asking(place: &str) -> Kings {
    let tables = format!("[inbound]\npolicy_service = \"{place}\"\n");
    Setup { tables, ..Setup::default() }.start()
}

#[test]
fn postgrey_puts_a_new_sender_off_and_marks_its_mail_when_it_comes_again() {
    let postgrey = Postgrey::start();
    let kings = asking(&postgrey.place);
    let mut client = kings.smtp();
    let content = letter(CAROL, ANN, "greylisted");
    let put_off = client.message(CAROL, &[ANN], &content).unwrap();
    put_off.is("450 4.2.0");
    assert!(put_off.text.contains("Greylisted"), "{}", put_off.text);
    assert!(messages(&kings.maildir(ANN)).is_empty());

    client.command("RSET").unwrap().is("250");
    wait_until("postgrey to be content", Duration::from_secs(DELAY + 10), || {
        let reply = client.message(CAROL, &[ANN], &content).unwrap();
        if reply.code == 250 {
            return Some(());
        }
        client.command("RSET").unwrap().is("250");
        std::thread::sleep(Duration::from_millis(500));
        None
    });
    let stored = messages(&kings.maildir(ANN));
    assert_eq!(stored.len(), 1);
    let mark = stored[0].field("X-Greylist").expect("postgrey asked for a header field");
    assert!(mark.starts_with("delayed "), "{mark}");
}

#[test]
fn without_the_service_mail_is_put_off_and_the_rest_works() {
    let kings = asking("unix:/nowhere/policy");
    let mut client = kings.smtp();
    client.message(CAROL, &[ANN], &letter(CAROL, ANN, "later")).unwrap().is("451 4.3.5");
    client.command("RCPT TO:<nobody@example.org>").unwrap().is("550 5.1.1");
    // Who has logged in is not asked about.
    kings.submit(ANN, ANN, "submitted");
    assert_eq!(messages(&kings.maildir(ANN)).len(), 1);
    assert!(
        fs::read_to_string(kings.folder().join("kings.log"))
            .unwrap()
            .contains("policy service gave no answer")
    );
}

#[test]
fn the_default_action_can_be_to_go_on() {
    let tables =
        "[inbound]\npolicy_service = \"inet:127.0.0.1:9\"\npolicy_default_action = \"DUNNO\"\n".to_owned();
    let kings = Setup { tables, ..Setup::default() }.start();
    kings.deliver(ANN, "all the same");
}
