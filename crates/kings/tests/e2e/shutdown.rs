//! SIGTERM while mail comes in: what was answered with 250 is there, and the process ends soon.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Setup, Smtp, letter, messages, program, run};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
/// Longest time from SIGTERM to the end.
const END: Duration = Duration::from_secs(10);

#[test]
fn nothing_is_lost_that_was_taken_while_the_server_ends() {
    let tables = "[limits]\nexempt = [\"127.0.0.0/8\"]\n".to_owned();
    let mut kings = Setup { tables, ..Setup::default() }.start();
    let (address, over) = (kings.address("smtp"), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let over = Arc::clone(&over);
            thread::spawn(move || {
                let mut taken = Vec::new();
                while !over.load(SeqCst) {
                    let Ok(mut client) = Smtp::connect(address) else { break };
                    if !client.command("EHLO client.example.net").is_ok_and(|reply| reply.code == 250) {
                        break;
                    }
                    for _ in 0..20 {
                        let subject = format!("{sender} {}", taken.len());
                        let content = letter(CAROL, ANN, &subject);
                        match client.message(CAROL, &[ANN], &content) {
                            Ok(reply) if reply.code == 250 => taken.push(subject),
                            Ok(_) | Err(_) => break,
                        }
                    }
                }
                taken
            })
        })
        .collect();
    thread::sleep(Duration::from_secs(2));
    let begin = Instant::now();
    run(program("kill").arg("-TERM").arg(kings.process().to_string())).succeeded();
    assert!(kings.ends_within(END), "it still runs after {END:?}");
    over.store(true, SeqCst);
    let taken: Vec<String> = senders.into_iter().flat_map(|sender| sender.join().unwrap()).collect();
    assert!(begin.elapsed() < END + Duration::from_secs(10) && taken.len() > 20, "{} messages", taken.len());
    let found = messages(&kings.maildir(ANN));
    let found: HashSet<String> = found.iter().filter_map(|message| message.field("Subject")).collect();
    let lost: Vec<&String> = taken.iter().filter(|subject| !found.contains(*subject)).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), taken.len());
    kings.kill();
    kings.serve();
}
