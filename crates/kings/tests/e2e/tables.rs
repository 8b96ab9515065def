//! Tables in Postfix's formats where recipients, copies and senders are looked up; the program that answers for one comes and
//! goes.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use kings_directory::{Answers, Keys, Lookup, Meaning, Sought, TableSource};
use kings_mail::address::Address;

use crate::harness::{Folder, Setup, letter, messages, part, wait_until};

const CAROL: &str = "carol@example.net";
const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

/// Answers for the table `bcc`: copies of ann's mail go to bob. Anything else it does not know.
fn socketmap(listener: UnixListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 300];
            let count = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..count]).into_owned();
            let reply =
                if request.contains(":bcc ann@example.org,") { "OK bob@example.org" } else { "NOTFOUND " };
            let _ = write!(stream, "{}:{reply},", reply.len());
        }
    });
}

#[test]
fn copies_of_a_socketmap_wait_for_it_and_lose_nothing() {
    let folder = Folder::new("bcc-program");
    let socket = folder.join("s");
    let top = format!(
        "recipient_bcc = [\"inline:{{x@example.org=y@example.org}}\", \"socketmap:unix:{}:bcc\"]\n",
        socket.display()
    );
    let kings = Setup { top, ..Setup::default() }.start();
    let send = |subject: &str| kings.smtp().message(CAROL, &[ANN], &letter(CAROL, ANN, subject)).unwrap();
    send("too early").is("451 4.3.0");
    let count = |account: &str| messages(&kings.maildir(account)).len();
    assert_eq!((count(ANN), count(BOB)), (0, 0));
    socketmap(UnixListener::bind(&socket).unwrap());
    send("in time").is("250 2.0.0");
    assert_eq!((count(ANN), count(BOB)), (1, 1));
    kings.smtp().message(CAROL, &[BOB], &letter(CAROL, BOB, "no copy")).unwrap().is("250 2.0.0");
    assert_eq!((count(ANN), count(BOB)), (1, 2));
}

#[test]
fn patterns_say_who_exists_behind_us_and_a_change_acts_at_once() {
    let top = String::new();
    let tables = "[[domain]]\nname = \"behind.example\"\nrelay_to = \"smtp:127.0.0.1:1\"\nrecipients = [\"pcre:who\", \"inline:{sue@behind.example=x}\"]\n";
    let files = vec![("who", "/^staff-[0-9]+@behind\\.example$/ OK\n")];
    let kings = Setup { top, tables: tables.into(), files, ..Setup::default() }.start();
    let send = |to: &str| kings.smtp().message(CAROL, &[to], &letter(CAROL, to, "x")).unwrap();
    for known in ["staff-12@behind.example", "Sue@behind.example"] {
        send(known).is("250 2.0.0");
    }
    for unknown in ["staff-x@behind.example", "eve@behind.example"] {
        send(unknown).is("550 5.1.1");
    }
    kings.folder().write("who", "/^eve@/ OK\n");
    wait_until("the change acts", Duration::from_secs(10), || {
        (send("eve@behind.example").code == 250).then_some(())
    });
    send("staff-12@behind.example").is("550 5.1.1");
    // A table that makes no sense any more refuses nobody: the old one holds.
    kings.folder().write("who", "/^(/ OK\n");
    std::thread::sleep(Duration::from_secs(1));
    send("eve@behind.example").is("250 2.0.0");
}

#[test]
fn a_table_of_logins_says_who_writes_as_whom() {
    let tables = "[submission]\nsender_logins = \"regexp:logins\"\n";
    let files = vec![(
        "logins",
        "/^(sales|shop)@example\\.(org|net)$/ bob@example.org, ann@example.org\n/^ann@/ bob@example.org\n",
    )];
    let kings = Setup { tables: tables.into(), files, ..Setup::default() }.start();
    let send = |account: &str, from: &str| {
        kings.submissions(account).message(from, &[BOB], &letter(from, BOB, "x")).unwrap()
    };
    send(ANN, "shop@example.net").is("250 2.0.0");
    send(BOB, ANN).is("250 2.0.0");
    send(BOB, BOB).is("250 2.0.0");
    send(ANN, ANN).is("553 5.7.1");
    send(ANN, BOB).is("553 5.7.1");
}

#[derive(Clone, Debug)]
struct Words(String);

impl Meaning for Words {
    const NEEDS_VALUE: bool = true;
}

impl FromStr for Words {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }
}

/// What a real Postfix finds in a table for this key.
fn postmap(folder: &Folder, key: &str, table: &str) -> Option<String> {
    let postfix = part("postfix");
    // It looks for the owner of a Postfix, which every Debian has under this name, before it reads a table.
    let main_cf = format!(
        "shlib_directory = {}/usr/lib/postfix\nmail_owner = mail\nsetgid_group = news\ndefault_privs = nobody\n",
        postfix.display()
    );
    folder.write("etc/main.cf", main_cf);
    let mut command = Command::new(postfix.join("usr/sbin/postmap"));
    command.env("LD_LIBRARY_PATH", postfix.join("usr/lib/postfix")).arg("-c").arg(folder.join("etc"));
    let output = command.args(["-q", key, table]).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!complaint.contains("fatal:"), "{command:?}: {complaint}");
    // How many blanks part two words, where a line goes on, means nothing in any table.
    output.status.success().then(|| found.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What a real Postfix reads in the same tables, `pcre:` left out, which is a package of its own: comments, lines that go on, letters of any case, two lines with one key.
#[test]
fn a_real_postmap_finds_the_same_in_the_same_tables() {
    let folder = Folder::new("postmap");
    std::fs::create_dir_all(folder.join("etc")).unwrap();
    folder.write(
        "table",
        "# who\n\nJoe@A.example one\n  # not a line of its own\n   and more\na.example two\n.a.example\tthree  \n\
         joe@a.example late\nA.EXAMPLE late\nb.a.example\nq.example   \nr.example :\n* all\n",
    );
    folder.write(
        "patterns",
        "# rules\nif /@p\\.example$/\n!/^(joe|sue)@/ nobody\n/^(.)(.*)@/\n  $2-${1}$$\nendif\n/^UPPER@/i any\n/a{2}@/ twice\n",
    );
    let inline = "inline:{joe@a.example=x, {.a.example = y z}, a.example=w}".to_owned();
    let file = |kind: &str, name: &str| format!("{kind}:{}", folder.join(name).display());
    let fixed = ["static:smtp:[hub.example]", "static:{ error:5.1.6 gone $1 }"].map(str::to_owned);
    let [plain, spaced] = fixed;
    let tables = [file("texthash", "table"), inline, file("regexp", "patterns"), plain, spaced];
    let cases = [
        ("joe+x@a.example", &["joe+x@a.example", "joe@a.example", "a.example", ".example", "*"][..]),
        ("JOE@A.example", &["joe@a.example", "a.example", ".example", "*"]),
        ("sue@a.example", &["sue@a.example", "a.example", ".example", "*"]),
        ("sue@b.a.example", &["sue@b.a.example", "b.a.example", ".a.example", ".example", "*"]),
        ("sue@p.example", &["sue@p.example", "p.example", ".example", "*"]),
        ("eve@p.example", &["eve@p.example", "p.example", ".example", "*"]),
        ("upper@q.example", &["upper@q.example", "q.example", ".example", "*"]),
        ("sue@r.example", &["sue@r.example", "r.example", ".example", "*"]),
        ("xaa@q.example", &["xaa@q.example", "q.example", ".example", "*"]),
    ];
    for table in tables {
        let source = TableSource::parse(&table, std::path::Path::new("/")).unwrap();
        let (lookup, faults) = Lookup::<Words>::open("table", Keys::Transport, vec![source]);
        assert!(faults.is_empty(), "{table}: {faults:?}");
        for (address, keys) in cases {
            // Patterns are asked for the whole address alone.
            let asked =
                if table.ends_with("patterns") || table.starts_with("static") { &keys[..1] } else { keys };
            let expected = asked.iter().find_map(|key| postmap(&folder, key, &table));
            let parsed = Address::parse(address).unwrap();
            let found = lookup.look(Some(&parsed), "+", &Answers::default()).unwrap();
            assert_eq!(found.map(|words| words.0), expected, "{address} in {table}");
        }
    }
}

#[test]
fn a_real_postmap_finds_the_same_in_the_same_networks() {
    let folder = Folder::new("networks");
    std::fs::create_dir_all(folder.join("etc")).unwrap();
    let text = "# who\n192.0.2.0/24 A\n192.0.2.1 late\n[2001:db8::]/32 B\n[2001:db9::/32] C\n[2001:dba::1] D\n\
                if 10.0.0.0/9\nif !10.1.0.0/16\n10.2.0.0/16 E\nendif\n10.1.2.3 F\nendif\n!10.0.0.0/8 others\n\
                10.0.0.0/8\n   G and\n   more\n0.0.0.0/0 all\n";
    let table = format!("cidr:{}", folder.write("clients", text).display());
    let source = TableSource::parse_for_hosts(&table, std::path::Path::new("/")).unwrap();
    let (lookup, faults) = Lookup::<Words>::open("table", Keys::Access, vec![source]);
    assert!(faults.is_empty(), "{faults:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for address in [
        "192.0.2.7",
        "192.0.2.1",
        "192.0.3.1",
        "10.1.2.3",
        "10.2.2.3",
        "10.1.2.4",
        "10.200.0.1",
        "2001:db8::1",
        "2001:db9:1::1",
        "2001:dba::1",
        "2001:dba::2",
        "::1",
    ] {
        let found = runtime.block_on(lookup.find_for(&Sought::client(address.parse().unwrap())));
        assert_eq!(found.unwrap().map(|words| words.0), postmap(&folder, address, &table), "{address}");
    }
}
