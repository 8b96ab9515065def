//! What the server takes from itself: looked at from outside, and by what it no longer can.

use crate::harness::{Kings, Setup, Smtp, letter, messages, program, run};

const ANN: &str = "ann@example.org";

/// `NoNewPrivs` and `Seccomp` of each thread of a process, as `/proc` tells them.
fn shut_in(process: u32) -> Vec<(String, String)> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |status: &str, key: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim_start_matches(':').trim().to_owned()
    };
    let status = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap());
    status.map(|status| (of(&status, "NoNewPrivs"), of(&status, "Seccomp"))).collect()
}

fn with(sandbox: &str) -> Kings {
    Setup { tables: format!("[security]\nsandbox = \"{sandbox}\"\n"), ..Setup::default() }.start()
}

fn deliver(kings: &Kings) {
    let mut client = Smtp::connect(kings.address("smtp")).unwrap();
    client.command("EHLO client.example.net").unwrap().is("250");
    client.message("joe@example.net", &[ANN], &letter("joe@example.net", ANN, "here")).unwrap().is("250");
}

#[test]
fn the_server_shuts_itself_in_serves_all_the_same_and_reads_new_files_at_a_reload() {
    let kings = with("auto");
    let all = shut_in(kings.process());
    assert!(all.len() > 1 && all.iter().all(|found| *found == ("1".to_owned(), "2".to_owned())), "{all:?}");
    deliver(&kings);
    assert_eq!(messages(&kings.maildir(ANN)).len(), 1);
    // A file in a folder that it has never seen.
    let elsewhere = crate::harness::Folder::new("elsewhere");
    let users = elsewhere.write("users", "ann@example.org:{PLAIN}other\n");
    let config = kings.folder().join("kings.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("file = \"users\"", &format!("file = \"{}\"", users.display())))
        .unwrap();
    run(program("kill").arg("-HUP").arg(kings.process().to_string())).succeeded();
    let log = || std::fs::read_to_string(kings.folder().join("kings.log")).unwrap();
    crate::harness::wait_until("the reload", std::time::Duration::from_secs(10), || {
        log().contains("config read again").then_some(())
    });
    deliver(&kings);
    // Mail in another place is for the next start to allow, and so is what the server's users hand in.
    let text = std::fs::read_to_string(&config).unwrap();
    let mail = elsewhere.create("mail");
    let is_it = |line: &&str| line.starts_with("mail_dir =");
    let old = text.lines().find(is_it).unwrap();
    std::fs::write(&config, text.replace(old, &format!("mail_dir = \"{}\"", mail.display()))).unwrap();
    run(program("kill").arg("-HUP").arg(kings.process().to_string())).succeeded();
    crate::harness::wait_until("the word", std::time::Duration::from_secs(10), || {
        log().contains("mail_dir has changed in the config and acts after a restart").then_some(())
    });
    deliver(&kings);
    assert_eq!(messages(&kings.maildir(ANN)).len(), 3);
}

#[test]
fn it_is_left_out_where_the_config_says_so_and_another_word_is_refused() {
    let kings = with("off");
    assert!(shut_in(kings.process()).iter().all(|found| *found == ("0".to_owned(), "0".to_owned())));
    deliver(&kings);
    let config = kings.folder().join("kings.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("sandbox = \"off\"", "sandbox = \"no\"")).unwrap();
    run(&mut kings.command(&["config", "check"])).failed().says("one of \"auto\", \"off\"");
}
