//! `kings queue` on mail that waits: while the server runs, and while it does not.

use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::harness::{Kings, Setup, free_port, letter, messages, wait_until};

const ANN: &str = "ann@example.org";

/// A server whose smart host does not answer, with three messages of ann for elsewhere.
fn waiting() -> Kings {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let kings = Setup { tables, ..Setup::default() }.start();
    for number in 1..=3 {
        kings.submit(ANN, &format!("joe{number}@example.net"), &format!("waiting {number}"));
    }
    wait_until("every message was tried", Duration::from_secs(10), || {
        (states(&kings, &[]) == ["deferred", "deferred", "deferred"]).then_some(())
    });
    kings
}

fn queue(kings: &Kings, words: &[&str]) -> Output {
    kings.command(&[&["queue"], words].concat()).output().unwrap()
}

/// The same for `sendmail` and `mailq`, which take their config as those of Postfix do.
fn as_program(kings: &Kings, words: &[&str]) -> Command {
    if words[0] == "queue" {
        return kings.command(words);
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_kings"));
    command.args(words).arg("-C").arg(kings.folder().join("kings.toml"));
    command
}

/// The last line a command prints, and its exit code.
fn said(kings: &Kings, words: &[&str]) -> (Option<i32>, String) {
    let output = queue(kings, words);
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8(text).unwrap();
    (output.status.code(), text.trim_end().lines().last().unwrap_or_default().to_owned())
}

fn items(kings: &Kings, words: &[&str]) -> Vec<Value> {
    let output = queue(kings, &[&["list", "--json"], words].concat());
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&list["schema"], &list["complete"]), (&Value::from(1), &Value::from(true)), "{list}");
    list["items"].as_array().unwrap().clone()
}

/// How the first recipient of each listed entry stands.
fn states(kings: &Kings, words: &[&str]) -> Vec<String> {
    let state = |item: &Value| item["recipients"][0]["state"].as_str().unwrap().to_owned();
    items(kings, words).iter().map(state).collect()
}

fn id(kings: &Kings, recipient: &str) -> String {
    let found = items(kings, &["--recipient", recipient]);
    assert_eq!(found.len(), 1, "{found:?}");
    found[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn an_operator_holds_releases_bounces_and_drops_what_waits() {
    let mut kings = waiting();
    let [first, second, third] = [1, 2, 3].map(|number| id(&kings, &format!("joe{number}@")));
    assert_eq!(said(&kings, &["hold", &first]), (Some(0), "1 entry held".into()));
    assert_eq!(states(&kings, &[]), ["held", "deferred", "deferred"]);
    assert_eq!(said(&kings, &["hold", "--state", "deferred", "--reason", "connect"]).1, "2 entries held");
    assert_eq!(said(&kings, &["retry", "all"]), (Some(0), "0 entries to be tried now".into()));
    assert_eq!(said(&kings, &["release", "--recipient", "joe2@"]).1, "1 entry released");
    assert_eq!(said(&kings, &["flush"]).0, Some(0));
    wait_until("the trace tells who had it tried", Duration::from_secs(10), || {
        story(&kings, &second).contains("ordered: retry").then_some(())
    });
    assert!(!story(&kings, &first).contains("ordered: retry"), "what is held stays");

    // The same without a server, on the same files.
    kings.kill();
    assert_eq!(states(&kings, &["--state", "held"]), ["held", "held"]);
    assert_eq!(said(&kings, &["drop", &third]), (Some(0), "1 entry dropped".into()));
    assert_eq!(said(&kings, &["drop", "--bounce", &second]).1, "1 entry given up, the senders are told");
    kings.serve();
    wait_until("ann hears of the second", Duration::from_secs(10), || {
        let inbox = messages(&kings.maildir(ANN));
        inbox.first().filter(|message| message.text().contains("given up by the administrator")).map(drop)
    });
    assert_eq!(states(&kings, &[]), ["held"]);
    assert_eq!(said(&kings, &["drop", "all"]).1, "1 entry dropped");
    assert_eq!(said(&kings, &["list"]).1, "nothing found: the queue holds no such entry");
    assert_eq!(said(&kings, &["drop", "all"]), (Some(0), "0 entries dropped".into()));
}

#[test]
fn one_entry_is_shown_with_all_that_happened_to_it() {
    let kings = waiting();
    let first = id(&kings, "joe1@");
    let shown: Value = serde_json::from_slice(&queue(&kings, &["show", &first, "--json"]).stdout).unwrap();
    assert_eq!(
        (&shown["schema"], &shown["reverse_path"]),
        (&Value::from(1), &Value::from("<ann@example.org>"))
    );
    let happened = &shown["history"][0];
    assert_eq!(
        (&happened["event"], &happened["forward_path"]),
        (&"deferred".into(), &"<joe1@example.net>".into())
    );
    assert!(happened["reply"].as_str().unwrap().contains("cannot connect"), "{happened}");
    assert!(shown["header"].as_str().unwrap().contains("\r\nSubject: waiting 1\r\n"), "{shown}");
    let text = String::from_utf8(queue(&kings, &["show", &first]).stdout).unwrap();
    assert!(text.contains("Subject: waiting 1") && text.contains("deferred"), "{text}");
}

/// The next attempt stands in the names of the files, and an order without a server changes them.
#[test]
fn all_that_waits_is_due_at_the_next_start_when_somebody_said_so_without_a_server() {
    let mut kings = waiting();
    let held = id(&kings, "joe3@");
    assert_eq!(said(&kings, &["hold", &held]).0, Some(0));
    kings.kill();
    let due = |kings: &Kings| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let files = std::fs::read_dir(kings.folder().join("data/queue/entries")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.split_once('.').unwrap().1.parse().is_ok_and(|at: u64| at <= now)).count()
    };
    let orders: [(&[&str], _); 3] = [
        (&["queue", "flush"], "2 entries to be tried when the server starts\n"),
        (&["queue", "retry", "all"], "2 entries to be tried when the server starts\n"),
        (&["sendmail", "-q"], ""),
    ];
    for (words, told) in orders {
        let output = as_program(&kings, words).output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), told));
        assert_eq!(due(&kings), 2, "{words:?}");
        kings.serve();
        wait_until("both were tried again, and wait", Duration::from_secs(10), || {
            (due(&kings) == 0).then_some(())
        });
        kings.kill();
        assert_eq!(due(&kings), 0, "a start alone makes nothing due");
    }
    assert_eq!(states(&kings, &["--state", "held"]), ["held"]);
}

/// Attempts change the names of files under the eyes of whoever lists them.
#[test]
fn a_list_during_attempts_shows_every_entry_once() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let kings = Setup { tables, ..Setup::default() }.start();
    let mut client = kings.submissions(ANN);
    for number in 0..20 {
        let to = format!("joe{number}@example.net");
        client.message(ANN, &[&to], &letter(ANN, &to, "waiting")).unwrap().is("250 2.0.0");
    }
    for round in 0..15 {
        let mut retry = kings.command(&["queue", "retry", "all"]).stdout(Stdio::null()).spawn().unwrap();
        let list = items(&kings, &[]);
        let ids: BTreeSet<_> = list.iter().map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!((ids.len(), list.len()), (20, 20), "round {round}");
        assert!(retry.wait().unwrap().success());
    }
    // Most of them are put off without an attempt, and renamed for that too.
    let happened = |item: &Value| {
        let shown = queue(&kings, &["show", item["id"].as_str().unwrap(), "--json"]).stdout;
        serde_json::from_slice::<Value>(&shown).unwrap()["history"].as_array().unwrap().len()
    };
    let count: usize = items(&kings, &[]).iter().map(happened).sum();
    assert!(count > 40, "hardly anything happened meanwhile: {count}");
}

#[test]
fn orders_that_name_nothing_are_refused() {
    let mut kings = waiting();
    for verb in ["hold", "release", "drop"] {
        assert_eq!(said(&kings, &[verb]).0, Some(2), "{verb} without an id");
    }
    // As a script says that has nothing in its variable.
    for filter in ["--id", "--sender", "--recipient", "--reason"] {
        assert_eq!(said(&kings, &["drop", filter, ""]).0, Some(2), "drop {filter} with nothing");
    }
    assert_eq!(states(&kings, &[]).len(), 3);
    assert_eq!(said(&kings, &["hold", "x", "--sender", "ann"]).0, Some(2));
    assert_eq!(said(&kings, &["list", "--older", "soon"]).0, Some(2));
    for verb in ["show", "retry", "hold", "release", "drop"] {
        let (code, text) = said(&kings, &[verb, "000000000000000"]);
        assert_eq!(
            (code, text.contains("holds no entry 000000000000000")),
            (Some(1), true),
            "{verb}: {text}"
        );
    }
    let nothing = (Some(1), "kings: nothing found: the queue holds no such entry".to_owned());
    for verb in ["retry", "hold", "release", "drop"] {
        assert_eq!(said(&kings, &[verb, "--recipient", "nobody@"]), nothing, "{verb}");
    }
    // What is there and needs nothing is no fault.
    assert_eq!(said(&kings, &["hold", "--recipient", "joe1@"]), (Some(0), "1 entry held".into()));
    let idle = said(&kings, &["retry", "--recipient", "joe1@"]);
    assert_eq!(idle, (Some(0), "0 entries to be tried now".into()));
    kings.kill();
    assert_eq!(said(&kings, &["drop", "000000000000000"]).0, Some(1));
    assert_eq!(said(&kings, &["drop", "--sender", "<>"]), nothing);
    assert_eq!(states(&kings, &[]).len(), 3);
    kings.serve();
}

#[test]
fn a_damaged_entry_is_listed_with_its_reason_and_counted_in_the_status() {
    let mut kings = waiting();
    let first = id(&kings, "joe1@");
    kings.kill();
    let entries = kings.folder().join("data/queue/entries");
    let file = std::fs::read_dir(entries).unwrap().map(|file| file.unwrap().path());
    let file = file.into_iter().find(|path| path.to_string_lossy().contains(&first)).unwrap();
    let text = String::from_utf8(std::fs::read(&file).unwrap()).unwrap();
    std::fs::write(&file, text.replacen("reverse-path <ann@", "reverse-path <eve@", 1)).unwrap();
    kings.serve();
    assert_eq!(said(&kings, &["retry"]).0, Some(0));
    wait_until("it is set aside", Duration::from_secs(10), || {
        let output = kings.command(&["status", "--json"]).output().unwrap();
        (serde_json::from_slice::<Value>(&output.stdout).unwrap()["damaged"] == 1).then_some(())
    });
    let list: Value = serde_json::from_slice(&queue(&kings, &["list", "--json"]).stdout).unwrap();
    assert_eq!(list["damaged"][0]["reason"], "its envelope is damaged", "{list}");
    assert!(list["damaged"][0]["advice"].as_str().unwrap().contains(&first), "{list}");
    assert_eq!(list["items"].as_array().unwrap().len(), 2);

    // What is mended and moved back is found by a flush, and not before.
    let advice = list["damaged"][0]["advice"].as_str().unwrap();
    assert!(advice.ends_with("and have it tried with  kings queue flush"), "{advice}");
    let aside = kings.folder().join("data/queue/damaged").join(file.file_name().unwrap());
    let aside = if aside.exists() {
        aside
    } else {
        let found = std::fs::read_dir(kings.folder().join("data/queue/damaged")).unwrap().next().unwrap();
        found.unwrap().path()
    };
    std::fs::write(&aside, text).unwrap();
    let list = queue(&kings, &["list"]).stdout;
    assert!(String::from_utf8(list).unwrap().contains("it can be read again"));
    std::fs::rename(&aside, kings.folder().join("data/queue/entries").join(aside.file_name().unwrap()))
        .unwrap();
    assert_eq!(items(&kings, &[]).len(), 2);
    assert_eq!(said(&kings, &["flush"]), (Some(0), "3 entries to be tried now".into()));
    assert_eq!(items(&kings, &[]).len(), 3);
}

/// What `kings trace` tells about the message of this id.
fn story(kings: &Kings, id: &str) -> String {
    let output = kings.command(&["trace", "--id", id]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_id_that_the_client_got_finds_every_entry_of_its_message() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let aliases = "one@example.org joe1@example.net\ntwo@example.org joe2@example.net\n";
    let kings = Setup { tables, files: vec![("aliases", aliases)], ..Setup::default() }.start();
    let recipients = ["one@example.org", "two@example.org"];
    let reply = kings.submissions(ANN).message(ANN, &recipients, &letter(ANN, "all", "parted")).unwrap();
    let told = reply.text.rsplit(' ').next().unwrap().trim().to_owned();
    let further = format!("{told}-2");
    wait_until("both entries were tried", Duration::from_secs(10), || {
        (states(&kings, &["--id", &told]) == ["deferred", "deferred"]).then_some(())
    });
    assert_eq!(id(&kings, "joe2@"), further);
    let shown = String::from_utf8(queue(&kings, &["show", &told]).stdout).unwrap();
    assert!(shown.contains("joe1@example.net") && shown.contains("joe2@example.net"), "{shown}");
    let shown = String::from_utf8(queue(&kings, &["show", &further]).stdout).unwrap();
    assert!(!shown.contains("joe1@example.net") && shown.contains("joe2@example.net"), "{shown}");

    // The id of the message means all of it; that of an entry means this one.
    let why = "a test \u{1b}[2J of it";
    assert_eq!(said(&kings, &["hold", &told, "--why", why]), (Some(0), "2 entries held".into()));
    assert_eq!(said(&kings, &["release", &further]), (Some(0), "1 entry released".into()));
    assert_eq!(states(&kings, &["--id", &told])[0], "held");
    assert_eq!(said(&kings, &["drop", "--bounce", &further]).0, Some(0));
    assert_eq!(said(&kings, &["hold", &format!("{told}-9")]).0, Some(1));
    wait_until("ann hears of it", Duration::from_secs(10), || {
        messages(&kings.maildir(ANN)).first().filter(|message| message.text().contains(&told)).map(drop)
    });
    let whole = wait_until("the trace tells all", Duration::from_secs(10), || {
        Some(story(&kings, &told)).filter(|story| story.contains("as message"))
    });
    for part in [
        format!("{told}  from <ann@example.org>"),
        "waits in the queue for <joe1@example.net>".into(),
        format!("waits in the queue as {further} for <joe2@example.net>"),
        "for <joe2@example.net>: this server did not take it now".into(),
        "ordered: hold: a test \u{fffd}[2J of it".into(),
        format!("ordered for {further}: release"),
        format!("ordered for {further}: drop --bounce"),
        "a report about it goes to <ann@example.org>, as message ".into(),
    ] {
        assert!(whole.contains(&part), "{part}: {whole}");
    }
    assert_eq!(story(&kings, &further), whole);
    let report = whole.rsplit("as message ").next().unwrap().split_whitespace().next().unwrap();
    let report = story(&kings, report);
    assert!(report.contains(&format!("is a report to <ann@example.org> about message {told}")), "{report}");
}

#[test]
fn orders_without_a_server_are_on_record_as_well_and_refused_ones_are_not() {
    let mut kings = waiting();
    let first = id(&kings, "joe1@");
    kings.kill();
    assert_eq!(said(&kings, &["hold", &first]).0, Some(0));
    assert_eq!(said(&kings, &["retry", &first]).0, Some(1));
    let told = story(&kings, &first);
    assert!(told.contains("ordered: hold\n") && !told.contains("ordered: retry"), "{told}");
    let (code, done) = said(&kings, &["release", "all", "--json"]);
    assert_eq!(
        (code, done.as_str()),
        (Some(0), "{\"done\":3,\"held_by_sender\":0,\"refused\":[],\"schema\":1}")
    );
    assert_eq!(queue(&kings, &["search", "--sender", "ann"]).stdout, queue(&kings, &["list"]).stdout);
    kings.serve();
}

#[test]
fn mail_that_its_sender_holds_is_tried_by_a_release_alone_and_every_command_says_so() {
    let tables = format!("[outbound]\nsmart_host = \"127.0.0.1:{}\"\n", free_port());
    let mut kings = Setup { tables, ..Setup::default() }.start();
    let mut client = kings.submissions(ANN);
    client.command(&format!("MAIL FROM:<{ANN}> HOLDFOR=7200")).unwrap().is("250 2.1.0");
    client.command("RCPT TO:<joe@example.net>").unwrap().is("250 2.1.5");
    client.command("DATA").unwrap().is("354");
    client.send(&[&letter(ANN, "joe@example.net", "later")[..], b".\r\n"].concat()).unwrap();
    client.reply().unwrap().is("250 2.0.0");
    let held = id(&kings, "joe@");
    for stopped in [false, true] {
        let (code, told) = said(&kings, &["retry", &held]);
        assert_eq!(code, Some(1));
        assert!(told.contains(&format!("{held}: its sender wants it to wait until ")), "{told}");
        assert!(told.ends_with(&format!("; release it with  kings queue release {held}")), "{told}");
        let flushed = String::from_utf8(queue(&kings, &["flush"]).stdout).unwrap();
        let when = if stopped { "when the server starts" } else { "now" };
        let expected = format!(
            "0 entries to be tried {when}\n1 entry waits as its sender wants; release it with  kings queue release ID\n"
        );
        assert_eq!(flushed, expected);
        for words in [&["list"][..], &["show", &held]] {
            let text = String::from_utf8(queue(&kings, words).stdout).unwrap();
            let tells = |wait: &str| {
                text.contains(&format!("its sender wants it to wait, and it is tried in {wait} ("))
            };
            assert!(tells("1h 59m") || tells("2h 0m"), "{text}");
            assert!(text.contains("attempts 0"), "{text}");
        }
        let mailq = String::from_utf8(as_program(&kings, &["mailq"]).output().unwrap().stdout).unwrap();
        assert!(mailq.contains("(its sender wants it to wait until "), "{mailq}");
        if !stopped {
            kings.kill();
        }
    }
    kings.serve();
    assert_eq!(said(&kings, &["release", &held]), (Some(0), "1 entry released".into()));
    wait_until("it was tried", Duration::from_secs(10), || {
        (states(&kings, &[]) == ["deferred"]).then_some(())
    });
    let text = String::from_utf8(queue(&kings, &["list"]).stdout).unwrap();
    assert!(text.contains("attempts 1  next in ") && !text.contains("its sender wants"), "{text}");
    assert_eq!(said(&kings, &["retry", &held]).0, Some(0), "as any other mail");
}
