//! Time grows with the size of a message and not faster: twice the bomb may not take more than twice as long.
#![allow(clippy::disallowed_methods, reason = "tests look at the clock")]

use std::time::{Duration, Instant};

use kings_mail::address_list;
use kings_mail::content_type::ContentType;
use kings_mail::encoded_word;
use kings_mail::header;
use kings_mail::mime;

/// Most that twice the size may cost; a quadratic parser needs four times as long.
const MOST: f64 = 2.5;
/// A machine that is busy with something else makes one measurement long, not all of them.
const TRIES: usize = 12;

/// The shortest of some runs.
fn time(work: &dyn Fn(&str), input: &str) -> Duration {
    let run = || {
        let began = Instant::now();
        work(input);
        began.elapsed()
    };
    (0..3).map(|_| run()).min().unwrap_or_default()
}

/// Fails if twice the size takes too long however often it is measured.
fn grows_in_line(name: &str, make: impl Fn(usize) -> String, work: &dyn Fn(&str)) {
    let (small, large) = (make(1), make(2));
    let mut least = f64::INFINITY;
    for _ in 0..TRIES {
        least = least.min(time(work, &large).as_secs_f64() / time(work, &small).as_secs_f64());
        if least < MOST {
            return;
        }
    }
    panic!("{name}: {least:.1} times as long for twice the size");
}

fn parse(message: &str) {
    std::hint::black_box(mime::parse(message.as_bytes()).walk().count());
}

fn read_header(message: &str) {
    let _ = std::hint::black_box(header::check(message.as_bytes()));
    std::hint::black_box(
        header::Fields::new(message.as_bytes()).map(|field| field.text().len()).sum::<usize>(),
    );
}

#[test]
fn headers_and_folded_lines() {
    let fields = |n: usize| "X-Field: value\r\n".repeat(20_000 * n) + "\r\n";
    grows_in_line("fields", fields, &read_header);
    let folded = |n: usize| format!("Subject: x\r\n{}\r\n", " more\r\n".repeat(50_000 * n));
    grows_in_line("folded lines", folded, &read_header);
    let blank = |n: usize| format!("Subject:{}\r\n\r\n", "\r\n ".repeat(50_000 * n));
    grows_in_line("empty folded lines", blank, &read_header);
    let references = |n: usize| format!("References:{}\r\n\r\n", "\r\n <a@b.example>".repeat(20_000 * n));
    grows_in_line("references", references, &read_header);
}

#[test]
fn parts_and_boundaries() {
    let mixed = "Content-Type: multipart/mixed; boundary=a\r\n\r\n";
    grows_in_line("parts", |n| format!("{mixed}{}", "--a\r\n\r\nx\r\n".repeat(4_000 * n)), &parse);
    grows_in_line(
        "near misses",
        |n| format!("{mixed}{}", "--aa\r\n--\r\n--b--\r\n".repeat(20_000 * n)),
        &parse,
    );
    let nested = "Content-Type: message/rfc822\r\n\r\n";
    grows_in_line("messages in messages", |n| nested.repeat(10_000 * n), &parse);
    grows_in_line("lines", |n| format!("\r\n{}", "x\r\n".repeat(300_000 * n)), &parse);
}

#[test]
fn parameters_and_addresses() {
    let types = |value: &str| drop(std::hint::black_box(ContentType::parse(value.as_bytes())));
    let pieces = |n: usize| (0..10_000 * n).map(|at| format!("; n*{at}*=x%20")).collect::<String>();
    grows_in_line("continuations", |n| format!("a/b{}", pieces(n)), &types);
    grows_in_line("one name again and again", |n| format!("a/b{}", "; n*0=x".repeat(20_000 * n)), &types);
    let lists = |value: &str| drop(std::hint::black_box(address_list::parse(value.as_bytes())));
    grows_in_line("addresses", |n| "a <b@c.example>, ".repeat(1_500 * n), &lists);
    grows_in_line("comments", |n| "(".repeat(25_000 * n), &lists);
    grows_in_line("groups", |n| "g: ".repeat(10_000 * n), &lists);
    let words = |value: &str| drop(std::hint::black_box(encoded_word::decode(value)));
    grows_in_line("encoded words", |n| "=?utf-8?q?a=20?= ".repeat(10_000 * n), &words);
    grows_in_line("broken encoded words", |n| "=?utf-8?q?".repeat(20_000 * n), &words);
    grows_in_line("words of unknown charsets", |n| "=?x-none?b?YQ==?= ".repeat(10_000 * n), &words);
}

/// RFC 2046 §5.1.1: up to 70 characters; longer ones occur and are taken as they are.
#[test]
fn boundaries_of_every_length_part_what_they_should() {
    let parts = |message: &str| mime::parse(message.as_bytes()).walk().count() - 1;
    for length in [1, 69, 70, 71, 2_048] {
        let b = "x".repeat(length);
        let head = format!("Content-Type: multipart/mixed; boundary=\"{b}\"\r\n\r\n");
        let closed = format!("{head}--{b}\r\n\r\none\r\n--{b}\r\n\r\ntwo\r\n--{b}--\r\nepilogue\r\n");
        assert_eq!(parts(&closed), 2, "{length}");
        let unterminated = format!("{head}--{b}\r\n\r\none\r\n--{b}\r\n\r\ntwo");
        assert_eq!(parts(&unterminated), 2, "{length} without its end");
        let collision = format!("{head}--{b}\r\n\r\n--{b}x\r\n--{b}-\r\n-{b}\r\n--{b}--\r\n");
        assert_eq!(parts(&collision), 1, "{length} with look-alikes");
        let in_base64 = format!(
            "{head}--{b}\r\nContent-Transfer-Encoding: base64\r\n\r\nYWJj\r\n--{b}\r\n\r\nZGVm\r\n--{b}--\r\n"
        );
        assert_eq!(parts(&in_base64), 2, "{length} inside base64");
    }
    // An empty one parts nothing (it would be `--`, which signatures begin with).
    let empty = "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n\r\none\r\n----\r\n";
    assert!(parts(empty) <= 1, "{}", parts(empty));
}
