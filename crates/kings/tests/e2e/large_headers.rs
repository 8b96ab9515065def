//! Headers without measure: each has its answer in good time, and the session goes on.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::harness::{Kings, letter, messages};

const ANN: &str = "ann@example.org";
const CAROL: &str = "carol@example.net";
/// What sending and judging ten megabytes may take on a busy machine.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn headers_without_measure_are_refused_or_taken_in_good_time() {
    let kings = Kings::start();
    let base = String::from_utf8(letter(CAROL, ANN, "large")).unwrap();
    let addresses = |count: usize| {
        let mut list = String::from("To: ");
        for number in 0..count {
            write!(list, "a{number}@example.org,\r\n ").unwrap();
        }
        list + "z@example.org\r\n"
    };
    let many_fields =
        |count: usize| (0..count).map(|number| format!("X-{number}: x\r\n")).collect::<String>();
    let cases = [
        ("a header of 1 MB", format!("X: {}\r\n", "x".repeat(900)).repeat(1_100), 550),
        ("10,000 fields", many_fields(10_000), 550),
        ("a field of 10 MB", format!("X: {}\r\n", format!("{}\r\n ", "x".repeat(900)).repeat(11_000)), 550),
        ("a line of 10 MB in the header", format!("X: {}\r\n", "x".repeat(10_000_000)), 550),
        ("a name of 10 MB", format!("{}: x\r\n", "x".repeat(10_000_000)), 250),
        ("100,000 addresses", addresses(100_000), 550),
        ("as many addresses as a field may hold", addresses(2_500), 250),
        ("900 fields", many_fields(900), 250),
    ];
    let mut client = kings.smtp();
    let mut taken = 0;
    for (name, fields, expected) in cases {
        let begin = Instant::now();
        let reply = client.message(CAROL, &[ANN], (fields + &base).as_bytes()).unwrap();
        assert_eq!(reply.code, expected, "{name}: {}", reply.text);
        assert!(begin.elapsed() < SOON, "{name}: {:?}", begin.elapsed());
        taken += usize::from(expected == 250);
    }
    let inbox = kings.maildir(ANN);
    assert_eq!(messages(&inbox).len() + messages(&inbox.join(".Junk")).len(), taken);
}
