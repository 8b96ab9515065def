//! Tables of the judgements.

use std::path::PathBuf;

use super::*;
use crate::dns::Finding;

/// Each line that is not well has its remedy, and one that is well has none.
fn expect(line: &Line, state: State, part: &str) {
    assert_eq!(line.state, state, "{line:?}");
    assert_eq!(line.fix.is_some(), state != State::Ok, "{line:?}");
    assert!(line.text.contains(part), "no {part:?} in {line:?}");
}

fn port(name: &str, seen: Seen) -> Port {
    Port { name: name.into(), place: "127.0.0.1:1".into(), seen }
}

fn shows(name: &str, days: i64, distrust: Option<&str>) -> Port {
    let certificate = Certificate {
        left: days * DAY,
        life: 90 * DAY,
        distrust: distrust.map(Into::into),
        is_self_signed: distrust == Some("self"),
    };
    port(name, Seen::Answers { took: Duration::from_millis(3), certificate: Some(certificate) })
}

fn silent(name: &str) -> Port {
    port(name, Seen::Silent("connection refused".into()))
}

fn unasked(name: &str) -> Port {
    port(name, Seen::Unasked("it wants a PROXY header".into()))
}

#[test]
fn a_server_that_is_down_is_told_from_one_that_hangs_and_from_one_with_an_old_config() {
    let runs = |refused: Option<&str>| Server::Runs {
        pid: 7,
        up: Duration::from_mins(125),
        memory: 61 << 20,
        refused: refused.map(Into::into),
    };
    expect(&server(&runs(None)), State::Ok, "process 7, up 2 h 5 min, 61 MB of memory");
    expect(&server(&runs(Some("line 3"))), State::Fail, "line 3");
    let stopped = server(&Server::Stopped { start: "kings serve".into() });
    expect(&stopped, State::Fail, "does not run");
    assert_eq!(stopped.fix.as_deref(), Some("kings serve"));
    expect(&server(&Server::Silent { waited: Duration::from_secs(3) }), State::Fail, "no answer within 3 s");
    expect(&server(&Server::Odd("what?".into())), State::Fail, "what?");
}

#[test]
fn a_port_that_does_not_answer_fails_the_line_of_its_subject_and_no_other() {
    let all = ["smtp", "submission", "submissions", "imaps"].map(|name| shows(name, 40, None));
    let today = Today { received: 4, refused: 2, delivered: 3, failed: 1 };
    expect(&receiving(&all, today), State::Ok, "smtp 3 ms; 4 received in 24 h, 2 refused");
    expect(
        &sending(&all, &Waiting::default(), today),
        State::Ok,
        "submission 3 ms, submissions 3 ms; 3 sent",
    );
    for (closed, fails) in [
        ("smtp", [true, false, false]),
        ("submissions", [false, true, false]),
        ("imaps", [false, false, true]),
    ] {
        let mut ports = all.to_vec();
        ports.retain(|port| port.name != closed);
        ports.push(silent(closed));
        let boxes = Mailboxes { accounts: 1, counted: 1, ..Mailboxes::default() };
        let lines = [
            receiving(&ports, today),
            sending(&ports, &Waiting::default(), today),
            mailboxes(&ports, Some(&boxes)),
        ];
        assert_eq!(lines.each_ref().map(|line| line.state == State::Fail), fails, "{lines:?}");
    }
    expect(&receiving(&[], today), State::Warn, "no listener");
    expect(&sending(&[], &Waiting::default(), today), State::Ok, "no submission");
    expect(&receiving(&[unasked("smtp")], today), State::CannotTell, "PROXY");
    expect(&receiving(&[unasked("smtp"), shows("lmtp", 1, None)], today), State::Ok, "not asked");
}

fn waits(destination: &str, is_dead: bool) -> WaitsFor {
    WaitsFor { destination: destination.into(), count: 2, reply: "cannot connect".into(), is_dead }
}

#[test]
fn destinations_that_are_all_silent_mean_that_nothing_can_leave() {
    let ports = [shows("submissions", 40, None)];
    let dead = |count: usize| Waiting {
        reasons: (0..count).map(|number| waits(&format!("d{number}.example"), true)).collect(),
        ..Waiting::default()
    };
    let nothing = Today::default();
    expect(&sending(&ports, &dead(2), nothing), State::Ok, "no answer from d0.example, d1.example");
    expect(&sending(&ports, &dead(3), nothing), State::Fail, "port 25");
    expect(&sending(&ports, &dead(3), Today { delivered: 1, ..nothing }), State::Ok, "no answer");
    let mut one_talks = dead(3);
    one_talks.reasons.push(waits("busy.example", false));
    expect(&sending(&ports, &one_talks, nothing), State::Ok, "no answer");
}

#[test]
fn the_queue_is_worth_a_look_when_it_is_old_or_held_and_a_fault_when_damaged() {
    let hours = |hours| Some(Duration::from_hours(hours));
    let some = Waiting { count: 3, looked_at: 3, deferred: 2, oldest: hours(1), ..Waiting::default() };
    let why = Waiting { reasons: vec![waits("a.example", true)], ..some.clone() };
    let cases = [
        (Waiting::default(), State::Ok, "empty"),
        (some.clone(), State::Ok, "3 wait, the oldest for 1 h 0 min; 2 deferred, 0 held"),
        (why, State::Ok, "2 for a.example: cannot connect"),
        (Waiting { count: 9, ..some.clone() }, State::Ok, "(of the oldest 3)"),
        (Waiting { oldest: hours(4), ..some.clone() }, State::Warn, "4 h"),
        (Waiting { held: 1, ..some.clone() }, State::Warn, "1 held"),
        (Waiting { damaged: 1, ..Waiting::default() }, State::Fail, "1 cannot be read"),
    ];
    for (waiting, state, part) in cases {
        expect(&queue(&waiting), state, part);
    }
}

#[test]
fn accounts_that_are_full_are_named() {
    let ports = [shows("imaps", 40, None)];
    let boxes = Mailboxes { accounts: 3, counted: 3, octets: 5 << 20, full: vec![] };
    expect(&mailboxes(&ports, Some(&boxes)), State::Ok, "3 accounts, 5 MB");
    expect(&mailboxes(&ports, None), State::Ok, "not counted");
    let part = Mailboxes { counted: 2, ..boxes.clone() };
    expect(&mailboxes(&ports, Some(&part)), State::Ok, "at least 5 MB in 2 of them");
    let full = Mailboxes { full: vec!["ann@example.org".into(), "bob@example.org".into()], ..boxes };
    expect(&mailboxes(&ports, Some(&full)), State::Warn, "ann@example.org and 1 more may hold no more");
    expect(&mailboxes(&ports, Some(&Mailboxes::default())), State::Warn, "0 accounts");
}

#[test]
fn certificates_are_as_good_as_the_worst_port() {
    let order = Order { name: "a.example".into(), error: "no address".into(), fix: "add A".into() };
    let good = || shows("smtp", 40, None);
    let orders = std::slice::from_ref(&order);
    let cases: [(Vec<Port>, &[Order], State, &str); 12] = [
        (vec![good()], &[], State::Ok, "40 days left, as shown by smtp"),
        (vec![good(), shows("imaps", 23, None)], &[], State::Ok, "23 days left, as shown by smtp imaps"),
        (vec![good(), shows("imaps", 22, None)], &[], State::Warn, "22 days left"),
        (vec![good(), shows("imaps", 2, None)], &[], State::Fail, "only 2 d 0 h left on imaps"),
        (
            vec![good(), shows("imaps", -1, Some("expired"))],
            &[],
            State::Fail,
            "out of date for 1 d 0 h on imaps",
        ),
        (vec![shows("smtp", 40, Some("self"))], &[], State::Warn, "self-signed on smtp"),
        (vec![shows("smtp", 40, Some("self"))], orders, State::Wait, "a stand-in"),
        (vec![shows("smtp", 40, Some("not for this name"))], &[], State::Fail, "turn away from smtp"),
        (
            vec![shows("smtp", 40, Some("of nobody"))],
            orders,
            State::Fail,
            "turn away from smtp: of nobody; a.example: no",
        ),
        (vec![good()], orders, State::Warn, "a.example: no address"),
        (vec![], orders, State::Warn, "a.example: no address"),
        (vec![silent("smtp")], &[], State::CannotTell, "no port"),
    ];
    for (ports, orders, state, part) in cases {
        expect(&certificates(&ports, orders, true), state, part);
    }
    let own = certificates(&[shows("smtp", -1, None)], &[], false);
    assert!(own.fix.is_some_and(|fix| fix.contains("systemctl reload")));
}

#[test]
fn dns_is_as_good_as_its_worst_record() {
    let finding = |state| Finding {
        state,
        kind: "MX",
        name: "example.org".into(),
        purpose: "mail",
        what: "missing".into(),
        fix: None,
    };
    let report = |states: &[State]| Report {
        zones: Vec::new(),
        findings: states.iter().map(|state| finding(*state)).collect(),
    };
    for (states, state, part) in [
        (&[State::Ok, State::Ok][..], State::Ok, "2 of 2"),
        (&[State::Ok, State::Warn], State::Warn, "1 of 2 as they should be; MX example.org: missing"),
        (&[State::Wait], State::Wait, "0 of 1"),
        (&[State::CannotTell, State::Fail], State::Fail, "MX example.org: missing"),
    ] {
        expect(&dns(Ok(&report(states))), state, part);
    }
    expect(&dns(Err("no answer within 4 s")), State::CannotTell, "within 4 s");
}

#[test]
fn a_disk_below_its_reserve_is_a_fault_and_one_that_reports_no_inodes_is_none() {
    let of = |free, free_inodes, inodes| Disk {
        path: "/srv".into(),
        space: Ok(Space { total: 1000 << 20, free, inodes, free_inodes, reserve: 64 << 20 }),
        sync: Some(Duration::from_millis(4)),
    };
    let half = of(500 << 20, 500, 1000);
    let cases = [
        (half.clone(), State::Ok, "500 MB of 1000 MB free and 50 % of its inodes at /srv, synced in 4 ms"),
        (of(500 << 20, 0, 0), State::Ok, "free at /srv"),
        (of(90 << 20, 500, 1000), State::Warn, "90 MB"),
        (of(500 << 20, 50, 1000), State::Warn, "5 % of its inodes"),
        (of(60 << 20, 500, 1000), State::Fail, "put off"),
        (of(500 << 20, 9, 1000), State::Fail, "put off"),
        (Disk { sync: Some(SLOW_SYNC), ..half.clone() }, State::Warn, "slow"),
        (Disk { space: Err("no answer within 3 s".into()), ..half.clone() }, State::Fail, "no answer"),
    ];
    for (one, state, part) in cases {
        expect(&disk(std::slice::from_ref(&one)), state, part);
        expect(&disk(&[half.clone(), one]), state, part);
    }
}

#[test]
fn a_key_that_lies_open_is_a_fault_and_root_is_worth_a_look() {
    let process = |is_root| Process {
        user: "vmail".into(),
        is_root,
        no_new_privileges: true,
        has_seccomp: true,
        outside: vec!["25/tcp".into()],
    };
    let guesses = Some(Guesses { failures: 9, networks_shut_out: 1 });
    let told = "runs as vmail, no new privileges, seccomp, 1 port open to others, 9 failed logins, 1 network shut out now";
    expect(&security(Some(&process(false)), &[], guesses), State::Ok, told);
    expect(&security(Some(&process(true)), &[], guesses), State::Warn, "runs as");
    let open = [PathBuf::from("/etc/tls.key")];
    let line = security(Some(&process(true)), &open, guesses);
    expect(&line, State::Fail, "any user of this machine may read /etc/tls.key");
    assert_eq!(line.fix.as_deref(), Some("chmod o-rwx /etc/tls.key"));
    expect(&security(None, &[], None), State::Ok, "no key");
}

#[test]
fn times_and_sizes_are_short() {
    let times = [(40, "40 s"), (720, "12 min"), (7_500, "2 h 5 min"), (273_600, "3 d 4 h")];
    for (seconds, text) in times {
        assert_eq!(duration(Duration::from_secs(seconds)), text);
    }
    assert_eq!([octets(7 << 10), octets(512 << 20), octets(20 << 30)], ["7 KB", "512 MB", "20 GB"]);
}
