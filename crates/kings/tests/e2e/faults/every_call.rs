//! A kill at every system call of receiving, queueing and relaying: nothing acknowledged is lost, and nothing comes
//! twice but where a final reply did not reach its reader.
//!
//! The server has one thread for connections and one for the disk meanwhile, so that every run makes the same calls
//! in the same order and a point of the first run can be met again.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::strace::{Point, Strace, observe};
use crate::crash::queued_subjects;
use crate::harness::{Kings, Setup, Sink, Smtp, files, free_port, letter, messages, plain, show, wait_until};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
const JOE: &str = "joe@example.net";
/// How long a kill may take to come after the answer that it came too late for.
const DEATH: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_kill_at_any_call_of_receiving_loses_nothing() {
    let mut kings = setup("").start();
    let sweep = Sweep {
        name: "receive",
        send: &|kings, subject| receive(kings, subject).unwrap_or(false),
        // The server sees a moment later that the client has gone.
        settle: &|_| std::thread::sleep(Duration::from_millis(50)),
        found: &|kings| {
            messages(&kings.maildir(ANN)).iter().filter_map(|message| message.field("Subject")).collect()
        },
        most: 1,
    };
    sweep.run(&mut kings);
}

#[test]
fn a_kill_at_any_call_of_queueing_and_deferring_loses_nothing() {
    // Nobody listens at the smart host: each message is queued, tried once, and put off.
    let mut kings = setup(&format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port())).start();
    let sweep = Sweep {
        name: "queue and defer",
        send: &|kings, subject| submit(kings, subject).unwrap_or(false),
        settle: &|kings| {
            wait_until("all attempts to be put off", PATIENCE, || all_deferred(kings).then_some(()));
        },
        found: &queued_subjects,
        most: 1,
    };
    sweep.run(&mut kings);
}

#[test]
fn a_kill_at_any_call_of_relaying_loses_nothing() {
    let sink = Sink::start();
    let mut kings = setup(&format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", sink.port)).start();
    let sweep = Sweep {
        name: "queue and relay",
        send: &|kings, subject| submit(kings, subject).unwrap_or(false),
        settle: &|kings| {
            wait_until("the queue to be empty", PATIENCE, || queued_subjects(kings).is_empty().then_some(()));
        },
        found: &|kings| [queued_subjects(kings), sink.subjects()].concat(),
        // The one that is killed between the sink's 250 and the end of its entry goes out again.
        most: 2,
    };
    sweep.run(&mut kings);
}

fn setup(outbound: &str) -> Setup {
    let tables = format!("[limits]\nworker_threads = 1\nblocking_threads = 1\n{outbound}");
    Setup { tables, ..Setup::default() }
}

/// What is done at each point.
struct Sweep<'a> {
    name: &'a str,
    /// Sends a message of this subject; whether it was acknowledged.
    send: &'a dyn Fn(&Kings, &str) -> bool,
    /// Waits until nothing is under way any more.
    settle: &'a dyn Fn(&Kings),
    /// The subjects of all messages that are there, each as often as it is there.
    found: &'a dyn Fn(&Kings) -> Vec<String>,
    /// How often a message may be there.
    most: usize,
}

impl Sweep<'_> {
    /// Kills the server at every call it makes for one message, each time with a message of its own.
    fn run(&self, kings: &mut Kings) {
        self.pass(kings, "warm up");
        let log = kings.folder().join("calls");
        let (points, counted) = observe(kings.process(), &log, || self.pass(kings, "observed"));
        assert!(points.len() >= counted, "{} points, but strace counted {counted}", points.len());
        let mut acknowledged = vec!["warm up".to_owned(), "observed".to_owned()];
        let mut met = 0;
        for (number, point) in points.iter().enumerate() {
            let (warm_up, subject) = (format!("warm up {number} end"), format!("killed at {number} end"));
            self.pass(kings, &warm_up);
            acknowledged.push(warm_up);
            let (answered, died) = self.strike(kings, point, &subject);
            met += usize::from(died);
            let copies = count(&(self.found)(kings), &subject);
            assert!(copies <= self.most, "{point:?}: {copies} copies");
            assert!(copies > 0 || !answered, "{point:?}: acknowledged and lost");
            acknowledged.extend(answered.then_some(subject));
        }
        let found = (self.found)(kings);
        for subject in &acknowledged {
            let copies = count(&found, subject);
            assert!((1..=self.most).contains(&copies), "{subject}: {copies} copies at the end");
        }
        let (name, points) = (self.name, points.len());
        show(&format!("{name}: {points} points, strace counted {counted}, the kill came at {met}"));
        // Some calls, of clocks and of who wakes whom, differ from run to run; most must be met.
        assert!(met * 10 >= points * 8, "only {met} of {points} points were met");
    }

    /// One message that nothing happens to.
    #[track_caller]
    fn pass(&self, kings: &Kings, subject: &str) {
        assert!((self.send)(kings, subject), "{subject} was not acknowledged");
        (self.settle)(kings);
    }

    /// Sends a message to a server that dies at `point`, then starts it again: was there a 250, and did it die?
    fn strike(&self, kings: &mut Kings, point: &Point, subject: &str) -> (bool, bool) {
        let strace = Strace::kill_at(kings.process(), point);
        let answered = (self.send)(kings, subject);
        let died = kings.ends_within(DEATH);
        drop(strace);
        kings.kill();
        kings.serve();
        (self.settle)(kings);
        (answered, died)
    }
}

fn count(found: &[String], subject: &str) -> usize {
    found.iter().filter(|known| *known == subject).count()
}

fn receive(kings: &Kings, subject: &str) -> std::io::Result<bool> {
    let mut client = Smtp::connect(kings.address("smtp"))?;
    client.command("EHLO client.example.net")?;
    Ok(client.message(CAROL, &[ANN], &letter(CAROL, ANN, subject))?.code == 250)
}

fn submit(kings: &Kings, subject: &str) -> std::io::Result<bool> {
    let mut client = Smtp::connect_silently(kings.address("submissions"))?.secure(&kings.certificates);
    client.reply()?;
    client.command("EHLO client.example.org")?;
    if client.command(&format!("AUTH PLAIN {}", plain(ANN, "secret")))?.code != 235 {
        return Ok(false);
    }
    Ok(client.message(ANN, &[JOE], &letter(ANN, JOE, subject))?.code == 250)
}

/// Whether every entry of the queue waits for a later attempt, as its name says.
fn all_deferred(kings: &Kings) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let waits = |path: &Path| {
        let next = path.extension().and_then(|next| next.to_str()?.parse::<u64>().ok());
        next.is_some_and(|next| next > now + 30)
    };
    files(&kings.folder().join("data/queue/entries")).iter().all(|path| waits(path))
}
