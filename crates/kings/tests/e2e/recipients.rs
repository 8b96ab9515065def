//! Messages with as many recipients as one may have, and with more.

use std::fmt::Write as _;

use crate::harness::{Kings, Setup, Smtp, letter, messages};

const CAROL: &str = "carol@example.net";
/// Most recipients of one message, as DESIGN and Postfix have it.
const MOST: usize = 1_000;
/// What clients that do not stop may add to the resident memory of the server, in octets.
const FLAT: u64 = 8 << 20;

/// Accounts that they are addresses of: making a thousand mailboxes would be most of the test.
const ACCOUNTS: usize = 20;

fn account(number: usize) -> String {
    format!("u{number}@example.org")
}

/// Every recipient is another one, and the first twenty reach all accounts.
fn recipient(number: usize) -> String {
    format!("u{}+{number}@example.org", number % ACCOUNTS)
}

/// A server with these accounts and one more. The client is exempt from rates, and from no other limit.
fn crowded() -> Kings {
    let mut users = String::new();
    for number in 0..=ACCOUNTS {
        writeln!(users, "{}:{{PLAIN}}secret", account(number)).unwrap();
    }
    let tables = "[limits]\nexempt = [\"127.0.0.0/8\"]\n".to_owned();
    Setup { files: vec![("users", Box::leak(users.into_boxed_str()))], tables, ..Setup::default() }.start()
}

/// Names `count` recipients from `first` on in one go; gives how many were accepted, and the last refusal.
fn name_recipients(client: &mut Smtp, first: usize, count: usize) -> (usize, Option<String>) {
    let mut commands = String::new();
    for number in first..first + count {
        write!(commands, "RCPT TO:<{}>\r\n", recipient(number)).unwrap();
    }
    // The server may close before it has heard all of it.
    let _ = client.send(commands.as_bytes());
    let (mut accepted, mut refusal) = (0, None);
    for _ in 0..count {
        let Ok(reply) = client.reply() else { break };
        match reply.code {
            250 => accepted += 1,
            code => refusal = Some(format!("{code} {}", reply.text)),
        }
    }
    (accepted, refusal)
}

fn memory(kings: &Kings) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", kings.process())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn the_first_thousand_recipients_are_served_and_the_others_are_put_off() {
    let kings = crowded();
    let mut client = kings.smtp();
    client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
    assert_eq!(name_recipients(&mut client, 0, MOST), (MOST, None));
    // A client that pipelines has named all of a long list before it hears of the first that is too many.
    let (accepted, refused) = name_recipients(&mut client, MOST, 500);
    assert_eq!(accepted, 0);
    assert!(refused.unwrap().starts_with("452 4.5.3"));
    client.command(&format!("RCPT TO:<{}>", account(ACCOUNTS))).unwrap().is("452 4.5.3");
    client.command("DATA").unwrap().is("354");
    let content = letter(CAROL, "everybody@example.org", "to a thousand");
    client.send(&[&content[..], b".\r\n"].concat()).unwrap();
    client.reply().unwrap().is("250 2.0.0");
    for number in 0..ACCOUNTS {
        assert_eq!(messages(&kings.maildir(&account(number))).len(), 1, "{}", account(number));
    }
    assert!(!kings.maildir(&account(ACCOUNTS)).exists());
}

#[test]
fn recipients_without_end_take_no_memory_and_end_the_session() {
    let kings = crowded();
    let before = memory(&kings);
    for _ in 0..20 {
        let mut client = kings.smtp();
        client.command(&format!("MAIL FROM:<{CAROL}>")).unwrap().is("250");
        assert_eq!(name_recipients(&mut client, 0, MOST), (MOST, None));
        let (accepted, refused) = name_recipients(&mut client, MOST, 3 * MOST);
        assert_eq!(accepted, 0);
        assert!(refused.as_deref().unwrap_or_default().starts_with("421 4.7.0"), "{refused:?}");
    }
    let after = memory(&kings);
    assert!(after < before + FLAT, "{before} octets, then {after}");
    kings
        .smtp()
        .message(CAROL, &["u1@example.org"], &letter(CAROL, "u1@example.org", "after it"))
        .unwrap()
        .is("250");
}
