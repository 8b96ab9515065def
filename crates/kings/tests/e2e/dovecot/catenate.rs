//! CATENATE at both servers: the same parts make the same message, and what is no part is none for both.

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup};

const TEXT: &str = "From: ann@example.org\r\nSubject: parts\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nX-Part: 1\r\n\r\none\r\n--x\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--x--\r\n";

/// The last message of Drafts, made by this command.
fn made(imap: &mut Imap, parts: &str) -> Vec<u8> {
    imap.command(&format!("APPEND Drafts CATENATE ({parts})"));
    imap.command("EXAMINE Drafts");
    let lines = imap.command("FETCH * BODY.PEEK[]");
    lines[0].literals[0].clone()
}

#[test]
fn messages_are_put_together_as_dovecot_does() {
    let kings: Kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    let dovecot = Dovecot::start(&kings);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    ours.command(&format!("APPEND INBOX {{{}+}}\r\n{TEXT}", TEXT.len()));
    theirs.command("SELECT INBOX");
    let sections = ["", "/;SECTION=HEADER", "/;SECTION=TEXT", "/;SECTION=1", "/;SECTION=1.MIME"];
    let more = ["/;SECTION=2", "/;SECTION=2.HEADER", "/;SECTION=2.TEXT", "/;SECTION=HEADER/;PARTIAL=3.9"];
    for section in sections.into_iter().chain(more) {
        let parts = format!("TEXT {{8+}}\r\nX: y\r\n\r\n URL \"/INBOX/;UID=1{section}\"");
        let (here, there) = (made(&mut ours, &parts), made(&mut theirs, &parts));
        assert!(here.len() > 8, "{section}");
        assert_eq!(String::from_utf8_lossy(&here), String::from_utf8_lossy(&there), "{section}");
    }
    for url in ["/INBOX/;UID=9", "/Nowhere/;UID=1", "/INBOX;UIDVALIDITY=1/;UID=1", "/INBOX", "http://x/"] {
        let append = format!("APPEND Drafts CATENATE (URL \"{url}\")");
        let (_, refusal) = ours.answer(&append);
        assert!(refusal.starts_with(&format!("NO [BADURL {url}]")), "{refusal}");
        // Dovecot leaves the code out where the mailbox is not there.
        let (_, refusal) = theirs.answer(&append);
        assert!(refusal.starts_with("NO "), "{refusal}");
    }
}
