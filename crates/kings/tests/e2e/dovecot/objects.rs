//! What Dovecot tells of contents and of when they came: the same GUIDs and dates, whoever copied.

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup, letter};

/// Word behind `name` in the answer about message `number`.
fn fetched(imap: &mut Imap, number: u32, name: &str, word: &str) -> String {
    let lines = imap.command(&format!("FETCH {number} ({name})"));
    let (_, rest) = lines[0].text.split_once(word).unwrap_or_else(|| panic!("{}", lines[0].text));
    rest.trim_start_matches([' ', '(', '"']).split([')', '"']).next().unwrap().to_owned()
}

/// What Kings makes of Dovecot's GUID (RFC 8474 §7 has no other characters).
fn as_email_id(guid: &str) -> String {
    let keeps = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    guid.chars().map(|c| if keeps(c) { c.to_string() } else { format!("_{:02x}", u32::from(c)) }).collect()
}

#[test]
fn contents_have_the_guids_and_dates_that_dovecot_tells() {
    let kings: Kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    for subject in ["one", "two"] {
        kings.deliver(ANN, subject);
    }
    let mut ours = kings.imap(ANN);
    ours.command("SELECT INBOX");
    ours.command("COPY 1 Archive");
    let dovecot = Dovecot::start(&kings);
    let mut theirs = dovecot.imap(&kings);
    theirs.command("SELECT INBOX");
    let guid = fetched(&mut theirs, 1, "X-GUID", "X-GUID");
    // Dovecot copies as well, a copy of ours and a message of its own.
    let text = String::from_utf8(letter(ANN, ANN, "three")).unwrap();
    theirs.command(&format!("APPEND INBOX {{{}+}}\r\n{text}", text.len()));
    theirs.command("NOOP");
    theirs.command("COPY 3 Archive");
    let own = fetched(&mut theirs, 3, "X-GUID", "X-GUID");
    theirs.command("SELECT Archive");
    assert_eq!(fetched(&mut theirs, 1, "X-GUID", "X-GUID"), guid, "Kings copied it");
    assert_eq!(fetched(&mut theirs, 2, "X-GUID", "X-GUID"), own);
    theirs.command("COPY 1 INBOX");
    ours.command("SELECT Archive");
    assert_eq!(fetched(&mut ours, 1, "EMAILID", "EMAILID"), as_email_id(&guid));
    assert_eq!(fetched(&mut ours, 2, "EMAILID", "EMAILID"), as_email_id(&own));
    for number in [1, 2] {
        let (here, there) = (
            fetched(&mut ours, number, "SAVEDATE", "SAVEDATE"),
            fetched(&mut theirs, number, "SAVEDATE", "SAVEDATE"),
        );
        let date = |text: &str| kings_mail::date::DateTime::parse_imap(text).unwrap().unix();
        assert!((date(&here) - date(&there)).abs() <= 60, "{here} {there}");
    }
    ours.command("SELECT INBOX");
    assert_eq!(fetched(&mut ours, 4, "EMAILID", "EMAILID"), as_email_id(&guid), "a copy back by Dovecot");
}

/// RFC 3516 §4.
#[test]
fn parts_are_decoded_as_dovecot_does() {
    let kings: Kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    let text = "From: ann@example.org\r\nSubject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n\
        --x\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe=20=\r\nan alle\r\n\
        --x\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgcICQoLDA0ODw==\r\n\
        --x\r\n\r\nplain\r\n--x--\r\n";
    let dovecot = Dovecot::start(&kings);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    ours.command(&format!("APPEND INBOX ~{{{}+}}\r\n{text}", text.len()));
    ours.command("SELECT INBOX");
    theirs.command("SELECT INBOX");
    for part in [1, 2, 3] {
        let size =
            |imap: &mut Imap| fetched(imap, 1, &format!("BINARY.SIZE[{part}]"), &format!("SIZE[{part}]"));
        assert_eq!(size(&mut ours), size(&mut theirs), "{part}");
        for range in ["", "<0.5>", "<3.100>"] {
            let content = |imap: &mut Imap| {
                let lines = imap.command(&format!("FETCH 1 (BINARY.PEEK[{part}]{range})"));
                lines[0].literals.first().cloned()
            };
            let (here, there) = (content(&mut ours), content(&mut theirs));
            assert!(here.is_some(), "{part}{range}");
            if let Some(there) = there {
                assert_eq!(here, Some(there), "{part}{range}");
            }
        }
    }
}
