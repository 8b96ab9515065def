//! Tables of the judgements.

use super::*;

/// Each line that is not well has its remedy, and one that is well has none.
#[track_caller]
fn expect(line: &Line, state: State, part: &str) {
    assert_eq!(line.state, state, "{line:?}");
    assert_eq!(line.fix.is_some(), state != State::Ok, "{line:?}");
    assert!(line.text.contains(part), "no {part:?} in {line:?}");
}

#[test]
fn a_clock_is_judged_by_the_server_that_differs_most() {
    let of = |ahead: &[Result<i64, &str>], is_kept| Clock {
        asked: ahead.iter().map(|ahead| ("ntp".to_owned(), ahead.map_err(str::to_owned))).collect(),
        is_kept,
    };
    for (found, state, part) in [
        (of(&[Ok(12)], Some(true)), State::Ok, "0.012 s ahead of ntp, kept by the system"),
        (of(&[Ok(12)], Some(false)), State::Warn, "kept by nobody"),
        (of(&[Ok(1_999)], None), State::Ok, "1.999 s ahead"),
        (of(&[Ok(2_000)], None), State::Warn, "2.000 s ahead"),
        (of(&[Ok(1), Ok(-59_999)], None), State::Warn, "59.999 s behind ntp"),
        (of(&[Ok(1), Ok(-60_000)], Some(true)), State::Fail, "60.000 s behind ntp"),
        (of(&[Err("silent")], Some(true)), State::Ok, "kept by the system; ntp: silent"),
        (of(&[], Some(false)), State::Warn, "nobody keeps it"),
        (of(&[Err("silent")], None), State::CannotTell, "silent"),
    ] {
        expect(&clock(&found), state, part);
    }
}

#[test]
fn a_resolver_is_dead_slow_or_well() {
    let of = |took: Result<u64, &str>| Answered {
        servers: vec!["127.0.0.1:53".into()],
        took: took.map(Duration::from_millis).map_err(str::to_owned),
    };
    expect(&resolver(&of(Ok(3))), State::Ok, "127.0.0.1:53 answered in 3 ms");
    expect(&resolver(&of(Ok(1_000))), State::Warn, "took 1000 ms");
    expect(&resolver(&of(Err("no answer"))), State::Fail, "127.0.0.1:53: no answer");
}

#[test]
fn a_resolver_that_is_believed_must_find_forgeries() {
    for (is_believed, signed, bogus, state, part) in [
        (true, Some(true), Some(false), State::Ok, "a wrong signature is found out"),
        (true, Some(true), None, State::Ok, "validated"),
        (true, Some(true), Some(true), State::Fail, "wrong signature"),
        (true, Some(false), None, State::Warn, "does not validate"),
        (false, Some(true), Some(false), State::Warn, "not on this machine"),
        (true, None, None, State::CannotTell, "no answer"),
    ] {
        expect(&dnssec(Dnssec { is_believed, signed, bogus }), state, part);
    }
}

#[test]
fn limits_that_are_too_low_are_named() {
    let good = Limits {
        files: Some(65_536),
        wanted_files: 26_000,
        processes: Some(4_096),
        memory: None,
        watches: Some(65_536),
    };
    expect(&super::limits(good), State::Ok, "65536 files, 4096 processes, 65536 watches");
    expect(&super::limits(Limits { files: None, ..good }), State::Ok, "no limit of files");
    expect(&super::limits(Limits { files: Some(1_023), ..good }), State::Fail, "too few open files");
    expect(&super::limits(Limits { files: Some(25_999), ..good }), State::Warn, "few open files");
    expect(&super::limits(Limits { processes: Some(255), ..good }), State::Warn, "few processes");
    expect(&super::limits(Limits { memory: Some(128 << 20), ..good }), State::Warn, "few memory");
    expect(&super::limits(Limits { watches: Some(8_191), ..good }), State::Warn, "few watches");
}

#[test]
fn the_worst_flaw_is_told_with_the_number_of_the_others() {
    let flaw = |state, text: &str| Flaw { state, text: text.into(), fix: "chown".into() };
    expect(&permissions("vmail", 7, &[]), State::Ok, "7 files and folders are as vmail needs them");
    let flaws = [flaw(State::Warn, "a link"), flaw(State::Fail, "not its own")];
    expect(&permissions("vmail", 7, &flaws[..1]), State::Warn, "a link");
    expect(&permissions("vmail", 7, &flaws), State::Fail, "not its own (and 1 more)");
}

#[test]
fn a_port_that_another_program_has_is_a_fault() {
    let open = Surface { outside: vec!["25/tcp kings".into()], ..Surface::default() };
    expect(&surface(&Surface::default()), State::Ok, "nothing");
    expect(&surface(&open), State::Ok, "reached from outside: 25/tcp kings");
    let socket = Surface { open_sockets: vec!["/run/lmtp".into()], ..open.clone() };
    expect(&surface(&socket), State::Warn, "any user of this machine may open /run/lmtp");
    let taken = Surface { taken: vec![("0.0.0.0:25".into(), "exim4 (process 7)".into())], ..socket };
    let line = surface(&taken);
    expect(&line, State::Fail, "0.0.0.0:25 of the config is held by exim4 (process 7)");
    assert!(line.fix.is_some_and(|fix| fix.starts_with("stop exim4")));
}

#[test]
fn a_server_that_takes_one_form_is_an_open_relay() {
    let from = IpAddr::from([203, 0, 113, 7]);
    let tried = |outcome| Ok((from, true, outcome));
    expect(
        &open_relay(&tried(relay::Outcome::Refused(65))),
        State::Ok,
        "all 65 forms refused, as a stranger from 203.0.113.7",
    );
    let taken = open_relay(&tried(relay::Outcome::Taken("RCPT TO:<x@y>".into())));
    expect(&taken, State::Fail, "RCPT TO:<x@y>");
    assert!(taken.fix.is_some_and(|fix| fix.contains("networks")));
    expect(&open_relay(&tried(relay::Outcome::Unfinished("refused".into()))), State::CannotTell, "refused");
    expect(&open_relay(&Err("no address".into())), State::CannotTell, "no address");
}

#[test]
fn an_old_kernel_and_a_crash_are_told() {
    let of = |kernel: &str| System {
        name: "Debian".into(),
        kernel: kernel.into(),
        libc: Some("glibc 2.36".into()),
    };
    expect(&system(&of("6.1.0-18-amd64")), State::Ok, "Debian, Linux 6.1.0-18-amd64, glibc 2.36");
    expect(&system(&of("5.8.0")), State::Ok, "5.8.0");
    expect(&system(&of("5.7.19")), State::Warn, "before Linux 5.8");
    expect(&crashes(Ends::default()), State::Ok, "no trace");
    expect(&crashes(Ends { restarts: Some(0), ..Ends::default() }), State::Ok, "none");
    expect(&crashes(Ends { restarts: Some(2), ..Ends::default() }), State::Warn, "2 times");
    expect(&crashes(Ends { left_socket: true, ..Ends::default() }), State::Fail, "crash");
}
