//! What Dovecot does in an account is told at once to a client of Kings that has asked for news.

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup, letter};

/// Lines up to one that begins like this, which is the last.
fn hears(imap: &mut Imap, start: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        heard.push(imap.heard());
        if heard.last().is_some_and(|line| line.starts_with(start)) {
            return heard;
        }
        assert!(heard.len() < 20, "{start} is not among {heard:?}");
    }
}

#[test]
fn what_dovecot_does_is_told_at_once() {
    let kings: Kings = Setup { account: Some(OWNER), ..Setup::default() }.start();
    kings.deliver(ANN, "one");
    let dovecot = Dovecot::start(&kings);
    let (mut ours, mut theirs) = (kings.imap(ANN), dovecot.imap(&kings));
    ours.command("SELECT INBOX");
    ours.command(
        "NOTIFY SET (selected (MessageNew (ENVELOPE) MessageExpunge FlagChange)) \
         (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange))",
    );
    theirs.command("CREATE Work");
    assert_eq!(hears(&mut ours, "* LIST"), [r#"* LIST (\HasNoChildren) "." "Work""#]);
    theirs.command("SUBSCRIBE Work");
    assert_eq!(hears(&mut ours, "* LIST"), [r#"* LIST (\HasNoChildren \Subscribed) "." "Work""#]);
    let text = String::from_utf8(letter(ANN, ANN, "two")).unwrap();
    theirs.command(&format!("APPEND Work {{{}+}}\r\n{text}", text.len()));
    let told = hears(&mut ours, "* STATUS \"Work\" (MESSAGES 1 UIDNEXT 2 ");
    assert!(told.iter().all(|line| line.starts_with("* STATUS \"Work\"")), "{told:?}");
    theirs.command("SELECT INBOX");
    theirs.command("STORE 1 +FLAGS (\\Flagged)");
    hears(&mut ours, "* 1 FETCH (UID 1 FLAGS (\\Flagged");
    theirs.command("COPY 1 Work");
    hears(&mut ours, "* STATUS \"Work\" (MESSAGES 2 UIDNEXT 3 ");
    theirs.command("STORE 1 +FLAGS (\\Deleted)");
    theirs.command("EXPUNGE");
    hears(&mut ours, "* 1 EXPUNGE");
    kings.deliver(ANN, "three");
    let arrived = hears(&mut ours, "* 1 FETCH (UID 2 ENVELOPE");
    assert!(arrived.contains(&"* 1 EXISTS".to_owned()), "{arrived:?}");
    // One search finds in all mailboxes what either has brought.
    let found = ours.command("ESEARCH IN (personal) RETURN (ALL) ALL");
    let found: Vec<&str> = found.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains(" MAILBOX \"INBOX\" ") && found[0].ends_with(" UID ALL 2"), "{found:?}");
    assert!(found[1].contains(" MAILBOX \"Work\" ") && found[1].ends_with(" UID ALL 1:2"), "{found:?}");
    theirs.command("RENAME Work Play");
    let mut told = [hears(&mut ours, "* LIST"), hears(&mut ours, "* LIST")].concat();
    told.retain(|line| line.starts_with("* LIST"));
    told.sort();
    assert_eq!(
        told,
        [
            r#"* LIST (\HasNoChildren) "." "Play""#,
            r#"* LIST (\NonExistent \HasNoChildren \Subscribed) "." "Work""#
        ]
    );
    theirs.command("DELETE Play");
    hears(&mut ours, r#"* LIST (\NonExistent \HasNoChildren) "." "Play""#);
}
