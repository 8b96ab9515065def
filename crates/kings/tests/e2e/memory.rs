//! A budget of memory under load: new work is put off, what goes on ends, and nothing that was acknowledged is lost.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::harness::{Kings, Setup, Smtp, UNVERIFIED, letter, messages, show};
use crate::peers::memory;

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
/// Octets that the server may take.
const BUDGET: u64 = 128 * 1024 * 1024;
/// Transactions at once, each with as much content as is kept in memory: together twice the budget.
const CROWD: usize = 1_000;
const CONTENT: usize = 250 * 1024;

fn start(limits: &str) -> Kings {
    let tables = format!(
        "[limits]\nexempt = [\"127.0.0.0/8\"]\nsmtp_connections_per_address = 5000\n{limits}\n{UNVERIFIED}"
    );
    Setup { tables, ..Setup::default() }.start()
}

/// Begins a message and sends most of its content; `None` when the server puts it off.
fn begin(kings: &Kings, number: usize) -> Option<Smtp> {
    let mut client = Smtp::connect_silently(kings.address("smtp")).unwrap();
    let put_off = |reply: &crate::harness::Reply| {
        assert!(matches!(reply.code, 220 | 250 | 354 | 421), "{} {}", reply.code, reply.text);
        reply.code == 421
    };
    if put_off(&client.reply().unwrap()) {
        return None;
    }
    for command in
        ["EHLO client.example.net", &format!("MAIL FROM:<{CAROL}>"), &format!("RCPT TO:<{ANN}>"), "DATA"]
    {
        match client.command(command) {
            Ok(reply) if put_off(&reply) => return None,
            Ok(_) => {}
            Err(error) => {
                assert!(
                    matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof
                    ),
                    "{error}"
                );
                return None;
            }
        }
    }
    let mut content = letter(CAROL, ANN, &format!("of many {number}"));
    while content.len() < CONTENT {
        content.extend_from_slice(b"There is a line of text in each place where memory is wanted.\r\n");
    }
    client.send(&content).unwrap();
    Some(client)
}

#[test]
fn above_its_budget_the_server_puts_new_work_off_and_loses_nothing() {
    let mut kings = start(&format!("memory = {BUDGET}"));
    // Before: all is well, and stays so for whoever has been let in.
    kings.deliver(ANN, "before");
    let (mut taken, mut put_off, mut most) = (Vec::new(), 0, 0);
    for number in 0..CROWD {
        match begin(&kings, number) {
            Some(client) => taken.push(client),
            None => put_off += 1,
        }
        if number % 20 == 0 {
            most = most.max(memory(&kings));
        }
    }
    most = most.max(memory(&kings));
    show(&format!("{} messages at once, {put_off} put off, {} MB at most", taken.len(), most >> 20));
    assert!(put_off > CROWD / 4, "only {put_off} were put off");
    assert!(taken.len() > 20, "only {} were taken", taken.len());
    assert!(most < BUDGET, "{most} octets of {BUDGET}");

    // Those that were let in end as ever, and then there is room again.
    let accepted = taken.len();
    for mut client in taken {
        client.command(".").unwrap().is("250");
    }
    let begin_again = Instant::now();
    while begin(&kings, CROWD).is_none() {
        assert!(begin_again.elapsed() < Duration::from_secs(20), "no room though nobody is there");
    }
    kings.deliver(ANN, "after");
    // If the system ends it nonetheless, all that was acknowledged is there.
    kings.kill();
    assert_eq!(messages(&kings.maildir(ANN)).len(), accepted + 2);
    kings.serve();
    kings.deliver(ANN, "again");
}

/// The mirror: a server without a budget takes them all.
#[test]
fn without_a_budget_all_are_taken() {
    let kings = start("memory = 0");
    let taken: Vec<Smtp> = (0..CROWD / 2).map_while(|number| begin(&kings, number)).collect();
    assert_eq!(taken.len(), CROWD / 2);
    assert!(memory(&kings) > BUDGET / 2, "the crowd of this test takes no memory");
}
