//! One smart host for many domains is one host: it gets few connections, and when it is dead nobody else waits for it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Kings, Postfix, Setup, Sink, free_port, letter, messages, run, show, wait_until};

const ANN: &str = "ann@example.org";
/// Domains behind a smart host that works.
const DOMAINS: usize = 80;
/// Domains behind one that does not: more than all attempts that run at once (`attempts = 400`).
const DEAD: usize = 420;
const PER_MESSAGE: usize = 20;
/// The most for one next hop (`attempts_per_destination = 20`).
const WINDOW: usize = 20;
/// How long mail on another way may take meanwhile.
const SOON: Duration = Duration::from_secs(2);
const NO_LIMITS: &str = "[limits]\nmessages_per_minute_per_account = 0\nmessages_per_hour_per_account = 0\n\
                         recipients_per_hour_per_account = 0\n";

/// Stands before another server and counts the connections to it.
struct Turnstile {
    port: u16,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    now: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl Turnstile {
    /// Lets everything through to the server at `port`, whose greeting it keeps back for `delay`.
    fn before(port: u16, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let counts = Arc::clone(&counted);
                thread::spawn(move || {
                    counts.all.fetch_add(1, SeqCst);
                    counts.most.fetch_max(counts.now.fetch_add(1, SeqCst) + 1, SeqCst);
                    thread::sleep(delay);
                    let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                    let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                    let back = thread::spawn(move || pass(back.0, back.1));
                    pass(client, server);
                    back.join().unwrap();
                    counts.now.fetch_sub(1, SeqCst);
                });
            }
        });
        Self { port: own, counts }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Takes connections and never says a word; counts them.
fn mute() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            held.push(stream);
            counted.store(held.len(), SeqCst);
        }
    });
    (port, count)
}

fn start(smart_host: u16, live: u16) -> Kings {
    let tables = format!(
        "[outbound]\nsmart_host = \"127.0.0.1:{smart_host}\"\n\
         [[route]]\ndomain = \"live.example\"\nto = \"smtp:127.0.0.1:{live}\"\n{NO_LIMITS}"
    );
    Setup { tables, ..Setup::default() }.start()
}

#[test]
fn eighty_domains_behind_one_smart_host_share_its_connections() {
    let sink = Sink::start();
    let turnstile = Turnstile::before(sink.port, Duration::from_millis(300));
    let kings = start(turnstile.port, sink.port);
    let mut client = kings.submissions(ANN);
    let mut expected = Vec::new();
    for number in 0..DOMAINS {
        let (to, subject) = (format!("joe@d{number}.example"), format!("message {number:02}"));
        client.message(ANN, &[&to], &letter(ANN, &to, &subject)).unwrap().is("250");
        expected.push(subject);
    }
    let mut found = Vec::new();
    wait_until("all messages", Duration::from_mins(1), || {
        found = sink.subjects();
        (found.len() >= DOMAINS).then_some(())
    });
    found.sort();
    assert_eq!(found, expected, "each once");
    let (most, all) = (turnstile.counts.most.load(SeqCst), turnstile.counts.all.load(SeqCst));
    show(&format!("{DOMAINS} domains behind one smart host: {all} connections, {most} at once"));
    assert!((1..=WINDOW).contains(&most), "{most} at once");
    assert!(all < DOMAINS, "{all} connections: none was used again");
}

/// One message of ann's to joe in sixty domains.
fn to_sixty_domains(kings: &Kings) {
    let to: Vec<String> = (0..60).map(|number| format!("joe@d{number}.example")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    kings.submissions(ANN).message(ANN, &to, &letter(ANN, to[0], "to all")).unwrap().is("250");
}

/// As with Postfix: the next hop gets the message once for each fifty recipients, whatever their domains.
#[test]
fn one_message_to_sixty_domains_goes_to_the_smart_host_in_two_transactions() {
    let sink = Sink::start();
    let kings = start(sink.port, sink.port);
    to_sixty_domains(&kings);
    let all = || sink.recipients().iter().map(|to| to.matches('<').count()).collect::<Vec<_>>();
    wait_until("both", Duration::from_secs(30), || (all().iter().sum::<usize>() == 60).then_some(()));
    let mut sizes = all();
    sizes.sort_unstable();
    assert_eq!(sizes, [10, 50]);
    wait_until("an empty queue", Duration::from_secs(10), || (waiting(&kings) == 0).then_some(()));
}

/// As with several next hops in Postfix's `relayhost`.
#[test]
fn a_second_smart_host_takes_what_the_first_does_not() {
    let sink = Sink::start();
    let tables = format!(
        "[outbound]\nsmart_host = [\"127.0.0.1:{}\", \"127.0.0.1:{}\", \"127.0.0.1:{}\"]\n",
        free_port(),
        sink.port,
        free_port()
    );
    let kings = Setup { tables, ..Setup::default() }.start();
    to_sixty_domains(&kings);
    let reached = || sink.recipients().iter().map(|to| to.matches('<').count()).sum::<usize>();
    wait_until("all of it", Duration::from_secs(30), || (reached() == 60).then_some(()));
    wait_until("an empty queue", Duration::from_secs(10), || (waiting(&kings) == 0).then_some(()));
    assert_eq!(sink.recipients().len(), 2, "two transactions, each once");
}

/// What a real Postfix says of each recipient is told of that one, and the others get the message once.
#[test]
fn a_smart_host_may_refuse_some_of_the_recipients_of_a_transaction() {
    let sink = Sink::start();
    let postfix = Postfix::start(&format!(
        "relayhost = [127.0.0.1]:{}\nsmtpd_recipient_restrictions = check_recipient_access inline:{{ \
         {{ d7.example = REJECT not there }}, {{ d55.example = DEFER later }} }}, permit\n",
        sink.port
    ));
    let kings = start(postfix.port, sink.port);
    to_sixty_domains(&kings);
    let bounce = wait_until("the bounce", Duration::from_secs(30), || messages(&kings.maildir(ANN)).pop());
    let failed = bounce.text().matches("Final-Recipient:").count();
    assert!(failed == 1 && bounce.text().contains("joe@d7.example"), "{}", bounce.text());
    wait_until("the others", Duration::from_secs(30), || (waiting(&kings) == 1).then_some(()));
    let left = run(&mut kings.command(&["queue", "list"])).succeeded().text();
    assert!(left.contains("joe@d55.example") && left.contains("450"), "{left}");
    let reached = || sink.recipients().iter().map(|to| to.matches('<').count()).sum::<usize>();
    wait_until("all that were taken", Duration::from_secs(30), || (reached() == 58).then_some(()));
    let log = postfix.log();
    let sizes = |text: &str| log.matches(text).count();
    assert_eq!((sizes("nrcpt=49 "), sizes("nrcpt=9 "), sizes("nrcpt=")), (1, 1, 2), "{log}");
}

/// Mail for more domains than there are attempts to a smart host, and one message on a way of its own.
fn beside(smart_host: u16) -> (Kings, Duration) {
    let sink = Sink::start();
    let kings = start(smart_host, sink.port);
    let mut client = kings.submissions(ANN);
    for first in (0..DEAD).step_by(PER_MESSAGE) {
        let to: Vec<String> =
            (first..first + PER_MESSAGE).map(|number| format!("joe@d{number}.example")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        client.message(ANN, &to, &letter(ANN, to[0], &format!("dead {first}"))).unwrap().is("250");
    }
    let begin = Instant::now();
    let to = "joe@live.example";
    client.message(ANN, &[to], &letter(ANN, to, "live")).unwrap().is("250");
    wait_until("the mail on another way", Duration::from_secs(30), || {
        sink.subjects().contains(&"live".to_owned()).then_some(())
    });
    (kings, begin.elapsed())
}

fn waiting(kings: &Kings) -> usize {
    let listed = run(&mut kings.command(&["queue", "list", "--json"])).succeeded().text();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let items = listed["items"].as_array().unwrap();
    let waits =
        |recipient: &serde_json::Value| recipient["state"] == "deferred" || recipient["state"] == "new";
    let recipients = items.iter().flat_map(|item| item["recipients"].as_array().unwrap());
    recipients.filter(|recipient| waits(recipient)).count()
}

#[test]
fn a_smart_host_that_never_answers_holds_up_no_other_way() {
    let (port, connections) = mute();
    let (kings, took) = beside(port);
    let hung = connections.load(SeqCst);
    show(&format!(
        "a message took {took:?} beside {DEAD} domains at a smart host with {hung} connections that hang"
    ));
    assert!(took < SOON, "{took:?}");
    assert!((1..=2).contains(&hung), "{hung} connections: it is probed by few until it answers");
    assert_eq!(waiting(&kings), DEAD, "nothing of theirs is lost");
}

#[test]
fn a_smart_host_that_refuses_connections_holds_up_no_other_way() {
    let (kings, took) = beside(free_port());
    show(&format!("a message took {took:?} beside {DEAD} domains at a smart host that refuses connections"));
    assert!(took < SOON, "{took:?}");
    assert_eq!(waiting(&kings), DEAD, "nothing of theirs is lost");
}
