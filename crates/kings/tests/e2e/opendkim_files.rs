//! OpenDKIM's own files, given to a real OpenDKIM and to `kings milter` behind a real Postfix: both do the same.

use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::harness::{
    Daemon, Folder, Kings, Message, Postfix, Setup, Smtp, free_port, letter, listening, messages, program,
    run, wait_until,
};

const DAVE: &str = "dave@example.net";
const START: Duration = Duration::from_secs(30);
/// Postfix's queue and a busy machine.
const DELIVERY: Duration = Duration::from_secs(30);

/// Makes a key as OpenDKIM's users do: `NAME.private` and `NAME.txt`.
pub(crate) fn genkey(folder: &Folder, name: &str, bits: &str) {
    let here = folder.path().display().to_string();
    run(program("opendkim-genkey").args(["-b", bits, "-s", name, "-d", "example.org", "-D", &here]))
        .succeeded();
}

/// A filter behind a Postfix of its own.
struct Side {
    name: &'static str,
    _filter: Daemon,
    postfix: Postfix,
}

/// Who sends a message, and what.
#[derive(Clone, Copy)]
struct Letter<'a> {
    from: &'a str,
    /// Name and address of the client, as Postfix is told by XCLIENT.
    client: (&'a str, &'a str),
    /// Fields in front of the message.
    fields: &'a str,
    to: &'a [&'a str],
}

impl<'a> Letter<'a> {
    fn of(from: &'a str) -> Self {
        Self { from, client: ("localhost", "127.0.0.1"), fields: "", to: &[DAVE] }
    }

    fn by(self, name: &'a str, address: &'a str) -> Self {
        Self { client: (name, address), ..self }
    }

    fn to(self, to: &'a [&'a str]) -> Self {
        Self { to, ..self }
    }

    fn with(self, fields: &'a str) -> Self {
        Self { fields, ..self }
    }
}

impl Side {
    /// Both filters with the same opendkim.conf, but for the socket and the name server in use.
    fn both(folder: &Folder, settings: &str) -> [Self; 2] {
        [Self::opendkim(folder, settings), Self::kings(folder, settings)]
    }

    fn opendkim(folder: &Folder, settings: &str) -> Self {
        let port = free_port();
        let text =
            format!("Socket inet:{port}@127.0.0.1\nBackground no\nSyslog no\nRequireSafeKeys no\n{settings}");
        let conf = folder.write("real.conf", text);
        let mut command = program("opendkim");
        let daemon =
            Daemon::start("opendkim", command.arg("-f").arg("-x").arg(conf), &folder.join("real.log"));
        Self::behind_postfix("opendkim", daemon, port)
    }

    fn kings(folder: &Folder, settings: &str) -> Self {
        let port = free_port();
        let text =
            format!("Socket inet:{port}@127.0.0.1\nBackground no\nSyslog no\nRequireSafeKeys no\n{settings}");
        let conf = folder.write("kings.conf", text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
        let daemon = Daemon::start(
            "kings milter",
            command.arg("milter").arg("--opendkim-conf").arg(conf),
            &folder.join("kings.log"),
        );
        Self::behind_postfix("kings milter", daemon, port)
    }

    fn behind_postfix(name: &'static str, mut filter: Daemon, port: u16) -> Self {
        filter.wait_for("its port", START, |_| listening(port));
        let settings = format!(
            "smtpd_milters = inet:127.0.0.1:{port}\nmilter_connect_timeout = 5s\n\
             smtpd_authorized_xclient_hosts = 127.0.0.0/8\nmynetworks = 0.0.0.0/0\n"
        );
        Self { name, _filter: filter, postfix: Postfix::start(&settings) }
    }

    /// Sends a letter under a subject that no other has: the code of the reply, and the message where it was taken.
    fn send(&self, about: &Letter<'_>, subject: &str) -> (u16, Option<Message>) {
        let Letter { from, client: (name, address), fields, to } = about;
        let mut client = Smtp::connect(([127, 0, 0, 1], self.postfix.port).into()).unwrap();
        client.command("EHLO client.example.org").unwrap().is("250");
        client.command(&format!("XCLIENT NAME={name} ADDR={address}")).unwrap().is("220");
        client.command("EHLO client.example.org").unwrap().is("250");
        let content = [fields.as_bytes(), &letter(from, DAVE, subject)].concat();
        let reply = client.message("ann@example.org", to, &content).unwrap();
        if reply.code != 250 {
            return (reply.code, None);
        }
        let has = |message: &Message| message.field("Subject").as_deref() == Some(subject);
        let message =
            wait_until("a message at Postfix", DELIVERY, || self.postfix.delivered().into_iter().find(has));
        (250, Some(message))
    }

    /// What became of a letter, in short: the code, and domain and selector of each signature that was put in front.
    fn signs(&self, about: &Letter<'_>, subject: &str) -> String {
        match self.send(about, subject) {
            (code, None) => code.to_string(),
            (_, Some(message)) => signers(&message.text()),
        }
    }
}

/// `DOMAIN/SELECTOR`, and `/IDENTITY` where one is said, of each signature, in order; `-` for none.
fn signers(text: &str) -> String {
    let unfolded: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let fields = unfolded.split("DKIM-Signature: ").skip(1);
    let tag = |field: &str, name: &str| -> Option<String> {
        let words = field.split(';').map(str::trim);
        words.into_iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let said = fields.map(|field| {
        ["d", "s", "i"].iter().filter_map(|name| tag(field, name)).collect::<Vec<_>>().join("/")
    });
    let said = said.collect::<Vec<_>>().join(" ");
    if said.is_empty() { "-".to_owned() } else { said }
}

/// Each letter at both filters; all disagreements at once.
#[track_caller]
fn agree(sides: &[Side], cases: &[(Letter<'_>, &str)]) {
    let mut wrong = Vec::new();
    for (number, (about, expected)) in cases.iter().enumerate() {
        for side in sides {
            let said = side.signs(about, &format!("case {number}"));
            if said != *expected {
                let (from, client) = (about.from, about.client);
                wrong.push(format!("{}: {from} {client:?}: {said} and not {expected}", side.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A signing table that names a key which is nowhere, one whose file is gone, and one that is good.
fn with_holes() -> Folder {
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "good", "2048");
    let here = folder.path().display();
    let keys = format!(
        "good example.org:good:{here}/good.private\ngone example.org:gone:{here}/gone.private\n\
         garbage example.org:garbage:{here}/garbage.private\n"
    );
    folder.write("garbage.private", "garbage\n");
    folder.write("KeyTable", keys);
    let table = "ann@example.org good\nbob@example.org nowhere\nbert@example.org gone\nbeth@example.org garbage\n\
                 both@example.org good\nboth@example.org gone\n";
    folder.write("SigningTable", table);
    folder
}

/// One recipient who is named is enough; what comes from elsewhere has nothing to do with it.
#[test]
fn mail_to_whom_it_is_not_signed_for_is_left_alone() {
    const EVE: &str = "eve@example.net";
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "test", "2048");
    let here = folder.path().display();
    folder.write("patterns", "d*@example.net\n");
    let settings = |set: &str| {
        format!(
            "Mode s\nDomain example.org\nSelector test\nKeyFile {here}/test.private\nDontSignMailTo {set}\n"
        )
    };
    let ann = Letter::of("ann@example.org");
    let signed = "example.org/test";
    for set in ["Dave@example.net", &format!("refile:{here}/patterns")] {
        let cases = [
            (ann, "-"),
            (ann.to(&["DAVE@Example.net"]), "-"),
            (ann.to(&[EVE, DAVE]), "-"),
            (ann.to(&[EVE]), signed),
        ];
        agree(&Side::both(&folder, &settings(set)), &cases);
    }
    for set in ["example.net", "d*@example.net", ".net"] {
        agree(&Side::both(&folder, &settings(set)), &[(ann, signed)]);
    }
}

#[test]
fn mail_whose_key_is_not_there_waits_and_no_other_does() {
    let folder = with_holes();
    let here = folder.path().display();
    let settings =
        format!("Mode s\nKeyTable file:{here}/KeyTable\nSigningTable refile:{here}/SigningTable\n");
    let conf = folder.write("checked.conf", format!("{settings}Socket inet:8891@localhost\n"));
    let mut check = Command::new(env!("CARGO_BIN_EXE_kings"));
    check.args(["config", "check", "--opendkim-conf"]).arg(conf);
    let said = run(&mut check).failed();
    for expected in
        ["bob@example.org: there is no key \"nowhere\"", "gone.private: No such file", "garbage.private"]
    {
        assert!(said.errors().contains(expected), "{expected}: {}", said.errors());
    }
    let ann = (Letter::of("ann@example.org"), "example.org/good");
    let cases = [
        ann,
        (Letter::of("bob@example.org"), "451"),
        (Letter::of("bert@example.org"), "451"),
        (Letter::of("beth@example.org"), "451"),
        // The first that matches is all that counts.
        (Letter::of("both@example.org"), "example.org/good"),
        (Letter::of("carol@example.org"), "-"),
    ];
    agree(&Side::both(&folder, &settings), &cases);
    let log = fs::read_to_string(folder.join("kings.log")).unwrap();
    assert!(log.contains("nowhere") && log.contains("gone.private"), "{log}");

    let cases = [ann, (Letter::of("both@example.org"), "451")];
    agree(&Side::both(&folder, &format!("{settings}MultipleSignatures yes\n")), &cases);
    // Whoever wants mail unsigned rather than late may have it, but not where a file cannot be read.
    let cases = [ann, (Letter::of("beth@example.org"), "-"), (Letter::of("bert@example.org"), "451")];
    agree(&Side::both(&folder, &format!("{settings}On-InternalError accept\n")), &cases);
}

/// Forms of opendkim.conf(5), `PeerList`: the most exact one decides, and names come first.
#[test]
fn hosts_of_ours_are_told_by_address_and_by_name() {
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "good", "2048");
    let here = folder.path().display();
    folder.write("KeyTable", format!("good example.org:good:{here}/good.private\n"));
    folder.write("SigningTable", "*@example.org good\n");
    let hosts = "10.0.0.0/8 # ours\n!10.0.1.0/24\n10.0.1.7\n.trusted.example\n!bad.trusted.example\n\
                 host.example\n2001:db8::/32\n";
    folder.write("TrustedHosts", hosts);
    let settings = format!(
        "Mode s\nKeyTable {here}/KeyTable\nSigningTable refile:{here}/SigningTable\nInternalHosts refile:{here}/TrustedHosts\n"
    );
    let from = |name, address| Letter::of("ann@example.org").by(name, address);
    let (ours, others) = ("example.org/good", "-");
    let cases = [
        (from("x.example", "10.9.9.9"), ours),
        (from("x.example", "10.0.1.6"), others),
        (from("x.example", "10.0.1.7"), ours),
        (from("a.trusted.example", "192.0.2.1"), ours),
        (from("trusted.example", "192.0.2.1"), others),
        (from("bad.trusted.example", "192.0.2.1"), others),
        (from("HOST.example", "192.0.2.1"), ours),
        (from("below.host.example", "192.0.2.1"), others),
        (from("localhost", "127.0.0.1"), others),
    ];
    agree(&Side::both(&folder, &settings), &cases);
}

/// Forms that OpenDKIM takes and by which nobody is meant, and patterns, which stand for more than they seem to.
#[test]
fn odd_entries_of_host_lists_mean_what_opendkim_makes_of_them() {
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "good", "2048");
    let here = folder.path().display();
    let key = format!("Mode s\nDomain example.org\nSelector good\nKeyFile {here}/good.private\n");
    let from = |name, address| Letter::of("ann@example.org").by(name, address);
    let (ours, others) = ("example.org/good", "-");
    folder.write("hosts", "10.1.0.0/255.255.0.0\n10.2.0.1/16\n*.wild.example\nA.Named.Example\n192.168.6.5 a comment\n[192.168.5.0]/24\n300.0.0.0/8\n");
    let settings = format!("{key}InternalHosts {here}/hosts\n");
    let cases = [
        (from("x.example", "10.1.2.3"), others),
        (from("x.example", "10.2.2.3"), others),
        (from("a.wild.example", "192.0.2.1"), others),
        (from("a.named.example", "192.0.2.1"), ours),
        (from("x.example", "192.168.6.5"), ours),
        (from("x.example", "192.168.5.9"), ours),
    ];
    agree(&Side::both(&folder, &settings), &cases);
    let conf = folder.write("checked.conf", format!("{settings}Socket inet:8891@localhost\n"));
    let mut check = Command::new(env!("CARGO_BIN_EXE_kings"));
    let said = run(check.args(["config", "check", "--opendkim-conf"]).arg(conf)).succeeded();
    let nobody =
        "InternalHosts: line 7: no client is meant by \"300.0.0.0/8\", as with OpenDKIM: write an address";
    for expected in ["write 10.1.0.0/16", "write 10.2.0.0/16", "write .wild.example", nobody] {
        assert!(said.text().contains(expected), "{expected}: {}", said.text());
    }

    folder.write("hosts", "10.2.*\n*.wild.example\n192.0.2.7\n");
    let cases = [
        (from("x.example", "10.2.2.3"), ours),
        (from("x.example", "10.3.2.3"), ours),
        (from("x.example", "10.4.2.3"), others),
        (from("a.wild.example", "192.0.2.1"), others),
        (from("x.example", "192.0.2.7"), ours),
    ];
    agree(&Side::both(&folder, &format!("{key}InternalHosts refile:{here}/hosts\n")), &cases);
}

#[test]
fn tables_may_speak_of_the_authors_domain_and_name_who_signs() {
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "good", "2048");
    let here = folder.path().display();
    folder.create("of/example.org");
    fs::copy(folder.join("good.private"), folder.join("of/example.org/key")).unwrap();
    let keys = format!(
        "k %:any:{here}/good.private\nown %:own:{here}/of/%/key\nexample.org example.org:named:{here}/good.private\n\
         k example.org:twice:{here}/good.private\n"
    );
    folder.write("KeyTable", keys);
    let table = "ann@example.org %\nbob@example.org k:robert@example.org\ncat@example.org k:x@other.example\n\
                 dan@sub.example.org example.org:dan@%\neve@example.org K\nfay@example.org own\nfay@example.net own\n\
                 gus@example.org k:\n*@*.example k\n";
    folder.write("SigningTable", table);
    let settings = format!("Mode s\nKeyTable {here}/KeyTable\nSigningTable refile:{here}/SigningTable\n");
    let cases = [
        (Letter::of("ann@example.org"), "example.org/named"),
        (Letter::of("bob@example.org"), "example.org/any/robert@example.org"),
        (Letter::of("cat@example.org"), "example.org/any"),
        (Letter::of("dan@sub.example.org"), "example.org/named/dan@sub.example.org"),
        // Names of keys have a case.
        (Letter::of("eve@example.org"), "451"),
        (Letter::of("fay@example.org"), "example.org/own"),
        (Letter::of("fay@example.net"), "451"),
        (Letter::of("gus@example.org"), "example.org/any"),
        (Letter::of("hal@a.b.example"), "a.b.example/any"),
        (Letter::of("hal@example"), "-"),
    ];
    agree(&Side::both(&folder, &settings), &cases);
}

#[test]
fn plain_tables_lists_and_single_domains_choose_the_same_keys() {
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "good", "2048");
    let here = folder.path().display();
    let key = format!("example.org:{{}}:{here}/good.private");
    let line = |name: &str| format!("{name} {}\n", key.replace("{}", name));
    folder.write("KeyTable", line("a") + &line("b") + &line("c"));
    folder.write("SigningTable", "example.org b\nu@example.org a\nu@example.org c\n.example.org c\n* b\n");
    let tables = format!("Mode s\nKeyTable file:{here}/KeyTable\nSigningTable {here}/SigningTable\n");
    let cases = [
        (Letter::of("u@example.org"), "example.org/a"),
        (Letter::of("v@x.y.example.org"), "example.org/c"),
        (Letter::of("v@other.example"), "example.org/b"),
    ];
    agree(&Side::both(&folder, &tables), &cases);
    // Where several lines match, a real one leaves out some that its manual names; the order differs as well.
    let cases = [(Letter::of("v@other.example"), "example.org/b")];
    agree(&Side::both(&folder, &format!("{tables}MultipleSignatures yes\n")), &cases);

    let lists = format!(
        "Mode s\nKeyTable csl:k={}\nSigningTable csl:u@example.org=k,example.net=k\n",
        key.replace("{}", "list")
    );
    let cases = [
        (Letter::of("u@example.org"), "example.org/list"),
        (Letter::of("v@example.org"), "-"),
        (Letter::of("v@example.net"), "example.org/list"),
    ];
    agree(&Side::both(&folder, &lists), &cases);

    let single = format!("Mode s\nSelector s\nKeyFile {here}/good.private\n");
    folder.write("domains", "*.example.org\nexample.net\n");
    for (domains, cases) in [
        ("Domain example.org,*.example.net\n", ["example.org/s", "-", "-"]),
        ("Domain *\n", ["example.org/s", "a.example.org/s", "example.com/s"]),
        (&format!("Domain refile:{here}/domains\n"), ["-", "a.example.org/s", "-"]),
    ] {
        let authors = ["ann@example.org", "ann@a.example.org", "ann@example.com"];
        let cases: Vec<_> = authors.into_iter().map(Letter::of).zip(cases).collect();
        agree(&Side::both(&folder, &format!("{single}{domains}")), &cases);
    }
}

/// Signatures and results that a message brings: which of them go.
#[test]
fn old_signatures_and_results_of_others_go_where_the_config_says_so() {
    const SIGNATURE: &str = "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=old; h=From; bh=x; b=y\r\n";
    const RESULTS: &str = "Authentication-Results: a.peer.example; dkim=pass header.d=a.example\r\n\
                  Authentication-Results: b.peer.example; spf=pass smtp.mailfrom=b.example\r\n\
                  Authentication-Results: peer.example; dkim=pass header.d=b.example\r\n\
                  Authentication-Results: other.example; dkim=pass header.d=c.example\r\n";
    const NAMED: &str = "Mode v\nRemoveARFrom a.peer.example,b.peer.example\n";
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "good", "2048");
    let key =
        format!("Domain example.org\nSelector good\nKeyFile {}/good.private\n", folder.path().display());
    let marks = ["s=old", " a.peer.example", " b.peer.example", " peer.example", " other.example"];
    let all = &marks[1..];
    let cases = [
        ("Mode s\n".to_owned(), SIGNATURE, vec!["s=old"]),
        ("Mode s\nRemoveOldSignatures yes\n".to_owned(), SIGNATURE, vec![]),
        ("Mode v\n".to_owned(), RESULTS, all.to_vec()),
        (NAMED.to_owned(), RESULTS, vec![" b.peer.example", " peer.example", " other.example"]),
        (format!("{NAMED}RemoveARAll yes\n"), RESULTS, vec![" peer.example", " other.example"]),
        (format!("{NAMED}RemoveARAll yes\nKeepAuthResults yes\n"), RESULTS, all.to_vec()),
        // Whatever the author of an exempt domain sends passes as it is.
        (format!("{NAMED}ExemptDomains example.org\n"), "", vec![]),
    ];
    let mut wrong = Vec::new();
    for (number, (settings, fields, expected)) in cases.iter().enumerate() {
        for side in Side::both(&folder, &format!("{settings}{key}")) {
            let about = Letter::of("ann@example.org").with(fields);
            // Mail of its own hosts is no matter of a verifier.
            let about =
                if settings.starts_with("Mode v") { about.by("x.example", "192.0.2.1") } else { about };
            let sent = side.send(&about, &format!("case {number}"));
            let text = sent.1.expect("it is taken").text();
            let left: Vec<&str> = marks.into_iter().filter(|mark| text.contains(mark)).collect();
            if left != *expected {
                wrong.push(format!("{}: {settings}: {left:?} and not {expected:?}", side.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The one thing that a real OpenDKIM does with a key and Kings does not: it is said at once, and nothing leaves unsigned.
#[test]
fn keys_of_1024_bits_are_refused_by_name_and_their_mail_waits() {
    let folder = Folder::new("opendkim-files");
    genkey(&folder, "weak", "1024");
    genkey(&folder, "good", "2048");
    let here = folder.path().display();
    let keys = ["weak", "good"].map(|name| format!("{name} example.org:{name}:{here}/{name}.private\n"));
    folder.write("KeyTable", keys.concat());
    folder.write("SigningTable", "ann@example.org weak\nbob@example.org good\n");
    let settings = format!("Mode s\nKeyTable {here}/KeyTable\nSigningTable refile:{here}/SigningTable\n");
    let sides = Side::both(&folder, &settings);
    assert_eq!(sides[0].signs(&Letter::of("ann@example.org"), "weak"), "example.org/weak");
    assert_eq!(sides[1].signs(&Letter::of("ann@example.org"), "weak"), "451");
    agree(&sides, &[(Letter::of("bob@example.org"), "example.org/good")]);
    let log = fs::read_to_string(folder.join("kings.log")).unwrap();
    assert!(log.contains("weak.private: the RSA key has fewer than 2048 bits"), "{log}");
}

/// The same tables for a whole server: mail of the one author waits, and a running server keeps the keys that it has.
#[test]
fn a_server_whose_key_is_gone_puts_off_the_mail_of_its_author_alone() {
    let (ann, bob) = ("ann@example.org", "bob@example.org");
    let files = with_holes();
    let tables = format!(
        "[dkim]\nkey_table = \"{0}/KeyTable\"\nsigning_table = \"refile:{0}/SigningTable\"\n",
        files.path().display()
    );
    let mut kings = Setup { tables, ..Setup::default() }.start();
    let said = run(&mut kings.command(&["config", "check"])).failed();
    assert!(said.errors().contains("bob@example.org: there is no key \"nowhere\""), "{}", said.errors());
    kings.submit(ann, ann, "signed");
    let content = letter(bob, ann, "unsigned");
    kings.submissions(bob).message(bob, &[ann], &content).unwrap().is("451 4.7.0");
    let found: Vec<String> = messages(&kings.maildir(ann)).iter().map(Message::text).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("s=good;"), "{found:?}");
    let log = fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    assert!(log.contains("mail of ours cannot be signed, so it waits"), "{log}");

    // Its key comes: the mail goes.
    files.write("SigningTable", "*@example.org good\n");
    files.write("KeyTable", "good example.org:good:./good.private\n");
    run(&mut kings.command(&["config", "check"])).succeeded();
    reload(&kings, "config read again");
    kings.submissions(bob).message(bob, &[ann], &content).unwrap().is("250");
    // And goes again, in a server that has it in memory.
    fs::remove_file(files.join("good.private")).unwrap();
    reload(&kings, "the config stays as it was");
    kings.submissions(bob).message(bob, &[ann], &letter(bob, ann, "kept")).unwrap().is("250");
    let signed =
        messages(&kings.maildir(ann)).iter().filter(|message| message.text().contains("s=good;")).count();
    assert_eq!(signed, 3);
    kings.kill();
    kings.serve();
    kings.submissions(bob).message(bob, &[ann], &content).unwrap().is("451 4.7.0");
}

fn reload(kings: &Kings, expected: &str) {
    let log = || fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    let before = log().matches(expected).count();
    let process = rustix::process::Pid::from_raw(i32::try_from(kings.process()).unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::HUP).unwrap();
    wait_until("a reload", START, || (log().matches(expected).count() > before).then_some(()));
}
