//! Slow, silent, greedy and guessing peers against the real binary: everybody else is served all the same.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::harness::{Kings, Setup, Smtp, UNVERIFIED, free_port, letter, messages, run, show, wait_until};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";

/// How many slow peers there are, and from how many addresses: 50 of each, as many as one may have.
const SLOW: usize = 5_000;
const ADDRESSES: usize = 100;
/// What an idle connection may take, in octets of resident memory; a debug build needs more than a release one.
const PER_CONNECTION: u64 = 40 * 1024;

/// A server with these lines under `[limits]`.
#[track_caller]
fn limited(limits: &str) -> Kings {
    Setup { tables: format!("[limits]\n{limits}\n"), ..Setup::default() }.start()
}

/// Connects from one of many loopback addresses.
pub(crate) fn connect_from(host: usize, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let [high, low] = u16::try_from(host).unwrap().to_be_bytes();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 1, high, low), 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn raise_file_limit(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let enough = limit.maximum.is_none_or(|maximum| maximum >= wanted);
    assert!(enough, "this test needs {wanted} open files: raise the hard limit, ulimit -Hn");
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// A line of `/proc/PID/status` in octets.
pub(crate) fn memory(kings: &Kings) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", kings.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Processor time so far.
fn processor_time(kings: &Kings) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", kings.process())).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

fn open_files(kings: &Kings) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", kings.process())).unwrap().count()
}

/// One message from somebody who does nothing wrong; gives how long it took.
#[track_caller]
fn serve_a_normal_client(kings: &Kings, subject: &str) -> Duration {
    let begin = Instant::now();
    kings.deliver(ANN, subject);
    begin.elapsed()
}

#[test]
fn five_thousand_slow_peers_do_not_keep_a_normal_one_from_being_served() {
    raise_file_limit(SLOW as u64 + 500);
    // Most slots are taken then, so deadlines are short: 10 s for a command, whatever trickles in.
    let kings = limited(&format!("smtp_connections = {}", SLOW + 100));
    let to = kings.address("smtp");
    serve_a_normal_client(&kings, "before");
    let before = memory(&kings);
    let mut slow: Vec<TcpStream> = (0..SLOW).map(|number| connect_from(number % ADDRESSES, to)).collect();
    let begin = Instant::now();
    for socket in &mut slow {
        let mut greeting = [0; 64];
        assert!(socket.read(&mut greeting).unwrap() > 4 && greeting.starts_with(b"220 "));
    }
    for round in 0..3 {
        for socket in &mut slow {
            socket.write_all(b"E").unwrap();
        }
        let took = serve_a_normal_client(&kings, &format!("meanwhile {round}"));
        assert!(took < Duration::from_secs(2), "a normal client waited {took:?}");
    }
    let taken = memory(&kings).saturating_sub(before);
    show(&format!("{} octets of resident memory for each of {SLOW} connections", taken / SLOW as u64));
    assert!(taken / (SLOW as u64) < PER_CONNECTION, "{taken} octets for {SLOW} connections");

    for socket in &mut slow {
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut said = String::new();
        // A deadline that was long when it was set is looked at again every ten seconds.
        let _ = socket.read_to_string(&mut said);
        assert!(said.starts_with("421 4.4.2"), "a slow peer heard {said:?}");
    }
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(40), "the slow ones were borne for {took:?}");
    drop(slow);
    assert!(serve_a_normal_client(&kings, "after") < Duration::from_secs(2));
    assert_eq!(messages(&kings.maildir(ANN)).len(), 5);
}

#[test]
fn a_peer_that_never_reads_is_closed() {
    // The only slot is taken by it, so the deadline for writing is the short one.
    let kings = limited("smtp_connections = 1\nrecipients = 100000\nrecipients_per_hour_per_address = 0");
    let to = kings.address("smtp");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1024).unwrap();
    socket.set_tcp_mss(536).unwrap();
    socket.connect(&to.into()).unwrap();
    let mut deaf: TcpStream = socket.into();
    // The greeting is the last thing it hears: who speaks before it is turned away.
    assert!(deaf.read(&mut [0; 256]).unwrap() > 4);
    deaf.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    deaf.write_all(b"HELO client.example.net\r\n").unwrap();
    sleep(Duration::from_millis(300));
    deaf.write_all(format!("MAIL FROM:<{CAROL}>\r\n").as_bytes()).unwrap();
    let recipients = format!("RCPT TO:<{ANN}>\r\n").repeat(1_000);
    // Until our side does not take any more, since theirs waits for us to read.
    let stuck = (0..1_000).find_map(|_| deaf.write_all(recipients.as_bytes()).err());
    let stuck = stuck.expect("the server took a million commands whose answers nobody read").kind();
    assert!(matches!(stuck, ErrorKind::WouldBlock | ErrorKind::TimedOut), "{stuck}");
    Smtp::connect_silently(to).unwrap().reply().unwrap().is("421 4.7.0");
    wait_until("the end of the deaf peer", Duration::from_secs(30), || {
        let reply = Smtp::connect_silently(to).ok()?.reply().ok()?;
        (reply.code == 220).then_some(())
    });
}

#[test]
fn without_file_descriptors_accepting_rests_and_recovers() {
    let kings = Kings::start();
    let mut session = kings.smtp();
    session.message(CAROL, &[ANN], &letter(CAROL, ANN, "before")).unwrap().is("250");
    let room = open_files(&kings) as u64 + 20;
    let pid = rustix::process::Pid::from_raw(i32::try_from(kings.process()).unwrap());
    let limit = |files| Rlimit { current: Some(files), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(pid, Resource::Nofile, limit(room)).unwrap();
    let to = kings.address("smtp");
    let crowd: Vec<TcpStream> = (0..60).map(|number| connect_from(number, to)).collect();
    wait_until("the last file descriptor to be taken", Duration::from_secs(10), || {
        (open_files(&kings) as u64 >= room).then_some(())
    });

    let before = processor_time(&kings);
    sleep(Duration::from_secs(3));
    let used = processor_time(&kings).saturating_sub(before);
    assert!(used < Duration::from_millis(600), "{used:?} of 3 s: accepting spins");
    session.command("NOOP").unwrap().is("250");
    let reply = session.message(CAROL, &[ANN], &letter(CAROL, ANN, "meanwhile")).unwrap();
    assert!([250, 451, 452].contains(&reply.code), "{reply:?}");
    let stored = usize::from(reply.code == 250);
    session.command("QUIT").unwrap().is("221");

    drop(crowd);
    assert!(serve_a_normal_client(&kings, "after") < Duration::from_secs(5));
    assert_eq!(messages(&kings.maildir(ANN)).len(), 2 + stored);
}

/// Attempts that find no file descriptor are put off: nothing bounces, nothing is lost or sent twice, and all leaves once
/// there are some, without a restart.
#[test]
fn without_file_descriptors_the_queue_waits_and_then_drains() {
    const COUNT: usize = 20;
    let port = free_port();
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{port}\"\n");
    let kings = Setup { tables, ..Setup::default() }.start();
    for number in 0..COUNT {
        kings.submit(ANN, "joe@example.net", &format!("number {number:02}"));
    }
    let log = || std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();

    // The operator needs one and the attempt another. What was open for a moment when it was counted is room as well, so every
    // count near it comes again and again; nobody listens at the next hop yet, so every order makes every message try.
    let pid = rustix::process::Pid::from_raw(i32::try_from(kings.process()).unwrap());
    let limit = |files| Rlimit { current: Some(files), maximum: getrlimit(Resource::Nofile).maximum };
    let mut spare = (1..=3).cycle();
    wait_until("an attempt without a file descriptor", Duration::from_mins(1), || {
        prlimit(pid, Resource::Nofile, limit(open_files(&kings) as u64 + spare.next().unwrap())).unwrap();
        run(&mut kings.command(&["queue", "retry"]));
        log().contains("os error 24").then_some(())
    });
    prlimit(pid, Resource::Nofile, limit(4_096)).unwrap();
    let catch_all =
        format!("{UNVERIFIED}[[domain]]\nname = \"example.net\"\ncatch_all = \"ann@example.org\"\n");
    let listen = format!("smtp = [\"127.0.0.1:{port}\"]\n");
    let next_hop = Setup { listen, tables: catch_all, ..Setup::default() }.start();
    wait_until("an empty queue", Duration::from_mins(1), || {
        run(&mut kings.command(&["queue", "retry"]));
        let listing = run(&mut kings.command(&["queue", "list", "--json"])).succeeded();
        let listing: serde_json::Value = serde_json::from_slice(&listing.stdout).unwrap();
        listing["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let mut found: Vec<_> =
        messages(&next_hop.maildir(ANN)).iter().filter_map(|message| message.field("Subject")).collect();
    found.sort();
    let expected: Vec<String> = (0..COUNT).map(|number| format!("number {number:02}")).collect();
    assert_eq!(found, expected, "each once");
    assert!(messages(&kings.maildir(ANN)).is_empty(), "nothing bounced");
}

#[test]
fn a_thousand_commands_that_move_no_mail_end_the_session() {
    let kings = Kings::start();
    for command in ["NOOP", "RSET", "VRFY ann", "EHLO client.example.net"] {
        let mut client = kings.smtp();
        let last = (0..1_000).map(|_| client.command(command).unwrap()).find(|reply| reply.code == 421);
        last.unwrap_or_else(|| panic!("{command} a thousand times")).is("421 4.7.0");
    }
    serve_a_normal_client(&kings, "after");
}

/// A line without end is skipped as it comes.
#[test]
fn commands_of_a_megabyte_take_no_memory_and_are_refused() {
    const CROWD: usize = 50;
    let kings = Kings::start();
    let to = kings.address("smtp");
    serve_a_normal_client(&kings, "before");
    let mut crowd: Vec<TcpStream> = (0..CROWD).map(|number| connect_from(number, to)).collect();
    for socket in &mut crowd {
        assert!(socket.read(&mut [0; 256]).unwrap() > 4);
    }
    let before = memory(&kings);
    for socket in &mut crowd {
        socket.write_all(b"NOOP ").unwrap();
        socket.write_all(&vec![b'x'; 1024 * 1024]).unwrap();
    }
    // All of it has been read when the next client, who comes later, has been served.
    serve_a_normal_client(&kings, "meanwhile");
    let taken = memory(&kings).saturating_sub(before);
    assert!(taken < CROWD as u64 * PER_CONNECTION, "{taken} octets for {CROWD} commands of a megabyte");
    for mut socket in crowd {
        socket.write_all(b"\r\nNOOP\r\n").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut said = String::new();
        while said.lines().count() < 2 {
            let mut some = [0; 256];
            let count = socket.read(&mut some).unwrap();
            assert!(count > 0, "closed behind {said:?}");
            said += std::str::from_utf8(&some[..count]).unwrap();
        }
        assert!(said.starts_with("500 5.5.2 ") && said.contains("\n250 "), "{said}");
    }
}

/// Each of them is answered, and no more than one address may have are heard.
#[test]
fn ten_thousand_connections_of_one_address_keep_nobody_else_waiting() {
    const WAVES: usize = 20;
    const WAVE: usize = 500;
    const SHARE: usize = 50;
    raise_file_limit(2_000);
    let kings = Kings::start();
    let to = kings.address("smtp");
    serve_a_normal_client(&kings, "before");
    let before = memory(&kings);
    let (mut open, mut refused) = (Vec::new(), 0);
    for wave in 0..WAVES {
        let sockets: Vec<TcpStream> = (0..WAVE).map(|_| connect_from(1, to)).collect();
        let took = serve_a_normal_client(&kings, &format!("behind wave {wave}"));
        assert!(took < Duration::from_secs(2), "a normal client waited {took:?}");
        for mut socket in sockets {
            let mut said = [0; 4];
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            socket.read_exact(&mut said).unwrap();
            match &said {
                b"220 " => open.push(socket),
                b"421 " => refused += 1,
                other => panic!("{other:?} instead of a greeting"),
            }
        }
    }
    assert!((1..=SHARE).contains(&open.len()), "{} are heard", open.len());
    assert_eq!(open.len() + refused, WAVES * WAVE);
    let taken = memory(&kings).saturating_sub(before);
    assert!(taken < (WAVE as u64) * PER_CONNECTION, "{taken} octets more after the flood");
    assert_eq!(messages(&kings.maildir(ANN)).len(), WAVES + 1);
}

#[test]
fn one_address_gets_its_share_of_connections_and_others_are_served() {
    let kings = limited("smtp_connections_per_address = 3");
    let to = kings.address("smtp");
    let greeting = |host| {
        let mut socket = connect_from(host, to);
        let mut said = [0; 4];
        socket.read_exact(&mut said).unwrap();
        (said, socket)
    };
    let open: Vec<_> = (0..3).map(|_| greeting(1)).collect();
    assert!(open.iter().all(|(said, _)| said == b"220 "));
    assert_eq!(&greeting(1).0, b"421 ");
    assert_eq!(&greeting(2).0, b"220 ");
    drop(open);
    wait_until("a free slot", Duration::from_secs(5), || (&greeting(1).0 == b"220 ").then_some(()));
}

#[test]
fn connections_and_messages_that_come_too_often_wait_and_an_exempt_client_does_not() {
    let limits = "smtp_connections_per_minute = 3\nmessages_per_minute_per_address = 2\n\
                  messages_per_hour_per_account = 1\nrecipients_per_hour_per_address = 3\n";
    let kings = limited(limits);
    let mut client = kings.smtp();
    for number in 0..2 {
        client.message(CAROL, &[ANN], &letter(CAROL, ANN, &format!("number {number}"))).unwrap().is("250");
    }
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("450 4.7.1");
    let mut account = kings.submissions(ANN);
    account.message(ANN, &[ANN], &letter(ANN, ANN, "first")).unwrap().is("250");
    account.message(ANN, &[ANN], &letter(ANN, ANN, "second")).unwrap().is("450 4.7.1");
    for _ in 0..2 {
        Smtp::connect(kings.address("smtp")).unwrap();
    }
    Smtp::connect_silently(kings.address("smtp")).unwrap().reply().unwrap().is("421 4.7.0");

    let kings = limited(&format!("{limits}exempt = [\"127.0.0.0/8\"]\n"));
    for number in 0..6 {
        kings.deliver(ANN, &format!("number {number}"));
    }
}

#[test]
fn guessing_at_recipients_is_slowed_alike_for_known_and_unknown_and_then_ended() {
    let kings = limited("unknown_recipients_per_address = 4");
    let begin_transaction = || {
        let mut client = kings.smtp();
        client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
        client
    };
    let timed = |client: &mut Smtp, recipient: &str, code: &str| {
        let begin = Instant::now();
        client.command(&format!("RCPT TO:<{recipient}@example.org>")).unwrap().is(code);
        begin.elapsed()
    };
    let (quick, delay) = (Duration::from_millis(700), Duration::from_secs(1));
    let mut client = begin_transaction();
    assert!(timed(&mut client, "a", "550 5.1.1") < quick);
    assert!(timed(&mut client, "b", "550 5.1.1") < quick);
    for (recipient, code) in [("c", "550 5.1.1"), ("ann", "250"), ("d", "550 5.1.1"), ("bob", "250")] {
        let took = timed(&mut client, recipient, code);
        assert!(took >= delay && took < delay * 2, "{recipient}: {took:?}");
    }
    // Another session of the same address is no way out; another address is not held to account.
    let mut again = begin_transaction();
    for recipient in ["e", "f", "g", "h"] {
        assert!(timed(&mut again, recipient, "550 5.1.1") >= delay);
    }
    timed(&mut again, "ann", "421 4.7.0");
    timed(&mut begin_transaction(), "ann", "421 4.7.0");
    let mut neighbour = connect_from(9, kings.address("smtp"));
    let dialogue = format!("HELO x.example.net\r\nMAIL FROM:<{CAROL}>\r\nRCPT TO:<{ANN}>\r\nQUIT\r\n");
    let mut said = String::new();
    assert!(neighbour.read(&mut [0; 256]).unwrap() > 4);
    for line in dialogue.split_inclusive('\n') {
        neighbour.write_all(line.as_bytes()).unwrap();
        sleep(Duration::from_millis(200));
    }
    neighbour.read_to_string(&mut said).unwrap();
    assert!(said.contains("250 2.1.5"), "{said}");
}

#[test]
fn an_exempt_guesser_is_not_slowed_but_its_session_still_ends() {
    let kings = limited("unknown_recipients_per_address = 2\nexempt = [\"127.0.0.0/8\"]");
    let mut client = kings.smtp();
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    let begin = Instant::now();
    for number in 0..19 {
        client.command(&format!("RCPT TO:<x{number}@example.org>")).unwrap().is("550 5.1.1");
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    client.command("RCPT TO:<x@example.org>").unwrap().is("550 5.1.1");
    client.reply().unwrap().is("421 4.7.0");
}

#[test]
fn an_address_with_too_many_errors_is_not_heard() {
    let kings = limited("errors_per_hour_per_address = 30");
    for _ in 0..2 {
        let mut client = kings.smtp();
        while client.command("NONSENSE").unwrap().code != 421 {}
    }
    Smtp::connect_silently(kings.address("smtp")).unwrap().reply().unwrap().is("421 4.7.0 Too many errors");
    let mut other = connect_from(7, kings.address("smtp"));
    let mut said = [0; 4];
    other.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"220 ");
}
