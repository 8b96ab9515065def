//! Who may use a mailbox: Dovecot's acl plugin reads what Kings wrote, and the other way round.

use super::{ANN, Dovecot, OWNER};
use crate::harness::{Imap, Kings, Setup};

const BOB: &str = "bob@example.org";

/// As in Dovecot's documents, but for the separator: an address has dots in it.
fn plugin(kings: &Kings) -> String {
    let mail = kings.folder().join("mail");
    let mail = mail.display();
    format!(
        "mail_plugins = acl
protocol imap {{
  mail_plugins = acl imap_acl
}}
plugin {{
  acl = vfile:cache_secs=0
  acl_shared_dict = file:{mail}/shared-mailboxes
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
namespace {{
  type = shared
  separator = /
  prefix = shared/%%u/
  location = maildir:%%h:INDEXPVT={mail}/private/%u
  subscriptions = no
  list = children
}}
"
    )
}

/// The rights that a server says one has.
fn rights(imap: &mut Imap, name: &str) -> String {
    let (lines, result) = imap.answer(&format!("MYRIGHTS \"{name}\""));
    if !result.starts_with("OK") {
        assert!(result.contains("NONEXISTENT"), "{result}");
        return String::new();
    }
    let letters = lines[0].text.rsplit(' ').next().unwrap();
    let mut letters: Vec<char> = letters.chars().filter(char::is_ascii_alphabetic).collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}

#[test]
fn both_grant_the_same_whoever_wrote_it_down() {
    let kings: Kings = Setup {
        account: Some(OWNER),
        tables: "[mailboxes]\nseparator = \"/\"\n".to_owned(),
        ..Setup::default()
    }
    .start();
    kings.deliver(ANN, "one");
    let (mut ann, mut bob) = (kings.imap(ANN), kings.imap(BOB));
    ann.command("CREATE Team");
    let dovecot = Dovecot::start_with(&kings, &plugin(&kings));
    let mut their_ann = dovecot.imap(&kings);
    // Dovecot remembers rights for as long as a session lasts, so each question has one.
    let their_bob = || dovecot.imap_as(&kings, BOB);
    let shared = |name: &str| format!("shared/{ANN}/{name}");

    // Kings writes, Dovecot reads.
    for (letters, may_select) in
        [("lrs", true), ("l", false), ("lrwstipekxa", true), ("lri", true), ("", false)]
    {
        ann.command(&format!("SETACL Team {BOB} \"{letters}\""));
        let (here, there) = (rights(&mut bob, &shared("Team")), rights(&mut their_bob(), &shared("Team")));
        assert_eq!(here, there, "{letters}");
        for imap in [&mut bob, &mut their_bob()] {
            let (_, result) = imap.answer(&format!("SELECT {}", shared("Team")));
            assert_eq!(result.starts_with("OK"), may_select, "{letters}: {result}");
            imap.answer("UNSELECT");
        }
    }
    ann.command(&format!("SETACL Team {BOB} lrswi"));
    ann.command(&format!("SETACL Team -{BOB} w"));
    assert_eq!(rights(&mut bob, &shared("Team")), rights(&mut their_bob(), &shared("Team")));
    let told = |imap: &mut Imap| {
        let mut words: Vec<String> =
            imap.command("GETACL Team")[0].text.replace('"', "").split(' ').map(str::to_owned).collect();
        words.drain(..3);
        let mut pairs: Vec<_> = words.chunks(2).map(|pair| (pair[0].clone(), sorted(&pair[1]))).collect();
        pairs.sort();
        pairs
    };
    assert_eq!(told(&mut ann), told(&mut dovecot.imap(&kings)));

    // Dovecot writes, Kings reads; what is made below inherits with both.
    their_ann.command(&format!("SETACL Team {BOB} lrk"));
    their_ann.command(&format!("DELETEACL Team -{BOB}"));
    assert_eq!(rights(&mut bob, &shared("Team")), "cklr");
    their_bob().command(&format!("CREATE {}", shared("Team/theirs")));
    bob.command(&format!("CREATE {}", shared("Team/ours")));
    for name in ["Team/theirs", "Team/ours"] {
        assert_eq!(rights(&mut bob, &shared(name)), "cklr", "{name}");
        assert_eq!(rights(&mut their_bob(), &shared(name)), "cklr", "{name}");
    }
    their_ann.command(&format!("SETACL INBOX {BOB} lr"));
    bob.command(&format!("SELECT {}", shared("INBOX")));
    assert_eq!(bob.command("FETCH 1 FLAGS").len(), 1);
    bob.command("UNSELECT");
    their_ann.command(&format!("DELETEACL INBOX {BOB}"));
    assert_eq!(rights(&mut bob, &shared("INBOX")), "");
    let (_, result) = bob.answer(&format!("SELECT {}", shared("INBOX")));
    assert!(result.starts_with("NO [NONEXISTENT]"), "{result}");
}

fn sorted(letters: &str) -> String {
    let mut letters: Vec<char> = letters.chars().collect();
    letters.sort_unstable();
    letters.into_iter().collect()
}
