//! What becomes of drops that are refused.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;

use kings_mail::domain::Domain;

use super::*;
use crate::deliver::tests::Setup;

/// Leaves a drop as a user of the machine; gives what became of it.
async fn take(setup: &Setup, user: &str, drop: &str) -> Dropped {
    let path = setup.path("x.drop");
    fs::write(&path, drop).unwrap();
    let local = Local::new(&setup.core, Domain::parse("here.example").unwrap(), &[]);
    let user = LocalUser { uid: 1_000, name: user.to_owned() };
    local.take(File::open(&path).unwrap(), &user, Path::new("/drop/x.drop.refused")).await.unwrap()
}

fn drop_of(mail: &str, rcpt: &str, content: &str) -> String {
    format!("EHLO x\r\nMAIL FROM:{mail}\r\nRCPT TO:{rcpt}\r\nDATA\r\n{content}\r\n.\r\nQUIT\r\n")
}

/// The messages that an account has got.
fn inbox(setup: &Setup, user: &str) -> Vec<String> {
    let Ok(folder) = fs::read_dir(setup.path(&format!("mail/here.example/{user}/new"))) else {
        return Vec::new();
    };
    folder.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn what_is_refused_goes_back_to_the_user_whose_file_it_is() {
    let twice = "From: <ann@here.example>\r\nFrom: <joe@here.example>\r\n\r\nSECRET";
    let cases = [
        (
            "a forged sender",
            drop_of("<joe@here.example>", "<sue@here.example>", "Subject: x\r\n\r\nSECRET"),
            "553 5.7.1",
        ),
        ("a bad header", drop_of("<ann@here.example>", "<sue@here.example>", twice), "550 5.6.0"),
        ("from nobody", drop_of("<>", "<sue@here.example>", twice), "550 5.6.0"),
        (
            "whatever it says about returns",
            drop_of("<ann@here.example> RET=HDRS", "<sue@here.example>", twice),
            "550 5.6.0",
        ),
    ];
    for (name, drop, reply) in cases {
        let setup = Setup::new();
        assert_eq!(take(&setup, "ann", &drop).await, Dropped::Taken, "{name}");
        let got = inbox(&setup, "ann");
        let [report] = got.as_slice() else { panic!("{name}: {got:?}") };
        for part in ["Return-Path: <>\r\n", "To: <ann@here.example>\r\n", "sue@here.example", reply, "SECRET"]
        {
            assert!(report.contains(part), "{name}: {part} is not in {report}");
        }
        assert!(inbox(&setup, "joe").is_empty() && inbox(&setup, "sue").is_empty(), "{name}");
    }
}

#[tokio::test]
async fn what_is_too_large_stays_and_its_header_goes_back() {
    // More than a message may have; more than is read of a drop, with no end in sight.
    for lines in [20_000, 150_000] {
        let setup = Setup::new();
        let content = format!(
            "Subject: huge\r\n\r\n{}",
            "0123456789012345678901234567890123456789012345678\r\n".repeat(lines)
        );
        let outcome =
            take(&setup, "ann", &drop_of("<ann@here.example>", "<joe@here.example>", &content)).await;
        assert_eq!(outcome, Dropped::Returned(Reply::MESSAGE_TOO_LARGE.to_string()));
        let got = inbox(&setup, "ann");
        let [report] = got.as_slice() else { panic!("{} reports", got.len()) };
        assert!(report.contains("Subject: huge") && report.len() < 10_000, "{report}");
        assert!(report.contains("/drop/x.drop.refused"), "{report}");
        assert!(inbox(&setup, "joe").is_empty());
    }
}

#[tokio::test]
async fn what_cannot_go_back_is_refused() {
    let twice = "From: a@x\r\nFrom: b@x\r\n\r\nx";
    let never = drop_of("<ann@here.example>", "<joe@here.example> NOTIFY=NEVER", twice);
    let cases = [
        ("nobody", drop_of("<nobody@here.example>", "<joe@here.example>", twice), "550 5.6.0"),
        ("not a name", drop_of("<>", "<joe@here.example>", twice), "550 5.6.0"),
        ("ann", never, "550 5.6.0"),
        ("ann", "MAIL FROM:<ann@here.example>\r\n".to_owned(), "503 "),
        ("ann", "EHLO x\r\nMAIL FROM:<ann@here.example>\r\n".to_owned(), "it holds no whole message"),
        ("ann", "\0".repeat(8 << 20), "500 "),
    ];
    for (user, drop, reply) in cases {
        let setup = Setup::new();
        let outcome = take(&setup, user, &drop).await;
        assert!(matches!(&outcome, Dropped::Refused(said) if said.starts_with(reply)), "{user}: {outcome:?}");
        assert_eq!(inbox(&setup, "ann").len() + inbox(&setup, "joe").len(), 0);
    }
}

#[tokio::test]
async fn each_message_of_a_drop_has_a_fate_of_its_own() {
    let setup = Setup::new();
    let good = drop_of("<ann@here.example>", "<joe@here.example>", "Subject: good\r\n\r\nx");
    let bad = drop_of("<sue@here.example>", "<joe@here.example>", "Subject: bad\r\n\r\nx");
    let all = format!(
        "{}{}{good}",
        bad.replace("QUIT\r\n", ""),
        good.replace("QUIT\r\n", "").replace("EHLO x\r\n", "")
    );
    assert_eq!(take(&setup, "ann", &all).await, Dropped::Taken);
    assert_eq!((inbox(&setup, "ann").len(), inbox(&setup, "joe").len()), (1, 2));
    // A part that is not understood, once the rest is taken, is not tried again.
    let odd = format!("{}MAIL FROM:<<>>\r\nQUIT\r\n", good.replace("QUIT\r\n", ""));
    assert!(matches!(take(&setup, "ann", &odd).await, Dropped::Refused(_)));
    assert_eq!(inbox(&setup, "joe").len(), 3);
}
