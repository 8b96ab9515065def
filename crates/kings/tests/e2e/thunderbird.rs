//! Thunderbird, on a screen that exists in memory only, logs in, lists the inbox, reads a message, flags and deletes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use crate::harness::{Daemon, Folder, Kings, artefacts, program, run, wait_until};

/// Where Debian keeps the program.
const INSTALLED: &str = "/usr/lib/thunderbird";

/// A cold start on a busy machine; a warm one takes five seconds.
const START: Duration = Duration::from_secs(90);

/// Read by the copy of the program at start: names the script that follows.
const AUTO_CONFIG: &str = r#"
pref("general.config.filename", "kings.cfg");
pref("general.config.obscure_value", 0);
pref("general.config.sandbox_enabled", false);
"#;

/// Puts the password where a person's "remember it" would. Thunderbird never reads the first line.
const REMEMBER_PASSWORD: &str = r#"//
const Login = Components.Constructor("@mozilla.org/login-manager/loginInfo;1", "nsILoginInfo", "init");
Services.logins.addLoginAsync(
    new Login("imap://localhost", null, "imap://localhost", "ann@example.org", "secret", "", ""));
"#;

/// What a person does with the inbox once it is there, by the functions that the buttons call: reads the first message, which
/// marks it as read, gives it a star, and deletes the second.
const READ_FLAG_AND_DELETE: &str = r#"
var kingsTimer = Components.classes["@mozilla.org/timer;1"].createInstance(Components.interfaces.nsITimer);
kingsTimer.initWithCallback(() => {
  const manager = Components.classes["@mozilla.org/messenger/account-manager;1"]
    .getService(Components.interfaces.nsIMsgAccountManager);
  const server = manager.accounts[0]?.incomingServer;
  const inbox = server?.rootFolder.getFolderWithFlags(Components.interfaces.nsMsgFolderFlags.Inbox);
  const messages = inbox ? [...inbox.messages] : [];
  const called = subject => messages.find(message => message.mime2DecodedSubject == subject);
  const [first, second] = [called("first for thunderbird"), called("second for thunderbird")];
  if (!first || !second) {
    return;
  }
  kingsTimer.cancel();
  const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
  const uri = inbox.getUriForMsg(first);
  const listener = {
    QueryInterface: ChromeUtils.generateQI(["nsIStreamListener", "nsIRequestObserver"]),
    onStartRequest() {},
    onDataAvailable(request, stream, offset, count) {
      const reader = Components.classes["@mozilla.org/scriptableinputstream;1"]
        .createInstance(Components.interfaces.nsIScriptableInputStream);
      reader.init(stream);
      reader.read(count);
    },
    onStopRequest() {
      inbox.markMessagesRead([first], true);
      inbox.markMessagesFlagged([first], true);
      inbox.deleteMessages([second], null, false, false, null, false);
    },
  };
  MailServices.messageServiceFromURI(uri).streamMessage(uri, listener, null, null, false, "", false);
}, 1000, Components.interfaces.nsITimer.TYPE_REPEATING_SLACK);
"#;

#[test]
fn thunderbird_lists_the_inbox_reads_flags_and_deletes() {
    let kings = Kings::start();
    kings.deliver("ann@example.org", "first for thunderbird");
    kings.deliver("ann@example.org", "second for thunderbird");
    let folder = Folder::new("thunderbird");
    copy_program(&folder, &kings.certificates.authority);
    folder.create("profile");
    folder.write("profile/user.js", preferences(kings.address("imaps").port()));

    let (_screen, display) = screen(&folder);
    let mut command = std::process::Command::new(folder.join("app/thunderbird-bin"));
    command.arg("--profile").arg(folder.join("profile")).args(["--no-remote", "--new-instance"]);
    command.env("DISPLAY", &display).env("HOME", folder.create("home")).env("GDK_BACKEND", "x11");
    command
        .env("MOZ_LOG", "IMAP:5")
        .env("MOZ_LOG_FILE", folder.join("imap.log"))
        .env("MOZ_CRASHREPORTER_DISABLE", "1");
    let mut thunderbird = Daemon::start("thunderbird", &mut command, &folder.join("log"));
    let received = |state| received(&folder.join("imap.log.moz_log"), state);
    thunderbird.wait_for("the second subject in a FETCH", START, |_| {
        fetched(&received(IN_THE_INBOX), "Subject: second for thunderbird")
    });
    let maildir = kings.folder().path().join("mail/example.org/ann");
    thunderbird.wait_for("a message that is read and has a star, and one in the trash", START, |_| {
        holds(&maildir.join("cur"), "Subject: first for thunderbird", ":2,FS")
            && holds(&maildir.join(".Trash/cur"), "Subject: second for thunderbird", "")
            && !holds(&maildir.join("cur"), "Subject: second for thunderbird", "")
    });
    // The window draws a moment after the answer. The picture is for people: nothing below depends on it.
    std::thread::sleep(Duration::from_secs(3));
    let picture = artefacts().join("thunderbird.png");
    run(program("import").env("DISPLAY", &display).args(["-window", "root"]).arg(&picture)).succeeded();

    assert!(fetched(&received(IN_THE_INBOX), "Subject: first for thunderbird"));
    let body = |line: &str| line.contains("FETCH (") && line.contains("BODY[]");
    assert!(received(IN_THE_INBOX).iter().any(|line| body(line)), "the first message was read");
    let received = received("");
    let complaints: Vec<_> = received.iter().filter(|line| is_complaint(line)).collect();
    assert!(complaints.is_empty(), "Thunderbird was told {complaints:?}");
}

/// Whether a folder has a message with this line in a file whose name ends so.
fn holds(folder: &Path, line: &str, end: &str) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let has_end = entry.file_name().to_string_lossy().ends_with(end);
        has_end && fs::read_to_string(entry.path()).is_ok_and(|text| text.contains(line))
    })
}

/// A folder that looks like the installed program, but for its policies and its start-up script. The program looks
/// for both beside its own file, so that file is a copy; all others are links.
fn copy_program(folder: &Folder, authority: &Path) {
    let installed = Path::new(INSTALLED);
    let binary = installed.join("thunderbird-bin");
    assert!(binary.is_file(), "thunderbird is not installed; run: tests/setup.sh");
    let app = folder.create("app");
    link_all(installed, &app, &["thunderbird", "thunderbird-bin", "defaults", "distribution"]);
    fs::copy(binary, app.join("thunderbird-bin")).unwrap();
    folder.create("app/defaults/pref");
    link_all(&installed.join("defaults"), &app.join("defaults"), &["pref"]);
    link_all(&installed.join("defaults/pref"), &app.join("defaults/pref"), &[]);
    folder.write("app/defaults/pref/kings.js", AUTO_CONFIG);
    folder.write("app/kings.cfg", [REMEMBER_PASSWORD, READ_FLAG_AND_DELETE].concat());
    folder.create("app/distribution");
    let policies = serde_json::json!({"policies": {
        "Certificates": {"Install": [authority]},
        "DisableAppUpdate": true,
        "DisableTelemetry": true,
    }});
    folder.write("app/distribution/policies.json", policies.to_string());
}

fn link_all(from: &Path, to: &Path, except: &[&str]) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if !except.iter().any(|except| name == *except) {
            symlink(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// One account, nothing that asks at the first start, and a dead proxy for every host but ours: no test talks to
/// anyone outside this machine.
fn preferences(port: u16) -> String {
    let texts = [
        ("mail.accountmanager.accounts", "account1"),
        ("mail.accountmanager.defaultaccount", "account1"),
        ("mail.account.account1.identities", "id1"),
        ("mail.account.account1.server", "server1"),
        ("mail.identity.id1.fullName", "Ann"),
        ("mail.identity.id1.useremail", "ann@example.org"),
        ("mail.server.server1.type", "imap"),
        ("mail.server.server1.name", "ann@example.org"),
        ("mail.server.server1.hostname", "localhost"),
        ("mail.server.server1.userName", "ann@example.org"),
        ("network.proxy.http", "127.0.0.1"),
        ("network.proxy.ssl", "127.0.0.1"),
        ("network.proxy.socks", "127.0.0.1"),
        ("network.proxy.no_proxies_on", "localhost, 127.0.0.1"),
    ];
    let numbers = [
        ("mail.server.server1.port", port),
        // TLS from the first byte, and the password as it is.
        ("mail.server.server1.socketType", 3),
        ("mail.server.server1.authMethod", 3),
        ("mail.rights.version", 1),
        ("app.donation.eoy.version.viewed", 999),
        ("network.proxy.type", 1),
        ("network.proxy.http_port", 9),
        ("network.proxy.ssl_port", 9),
        ("network.proxy.socks_port", 9),
    ];
    let switches = [
        ("mail.identity.id1.valid", true),
        ("mail.server.server1.login_at_startup", true),
        ("mail.server.server1.check_new_mail", true),
        ("mailnews.start_page.enabled", false),
        ("mail.spotlight.firstRunDone", true),
        ("mail.winsearch.firstRunDone", true),
        ("mail.shell.checkDefaultClient", false),
        ("datareporting.policy.dataSubmissionPolicyBypassNotification", true),
        ("network.captive-portal-service.enabled", false),
        ("network.connectivity-service.enabled", false),
    ];
    let texts = texts.map(|(name, value)| (name, format!("\"{value}\"")));
    let numbers = numbers.map(|(name, value)| (name, value.to_string()));
    let switches = switches.map(|(name, value)| (name, value.to_string()));
    let all = texts.into_iter().chain(numbers).chain(switches);
    all.fold(String::new(), |text, (name, value)| text + &format!("user_pref(\"{name}\", {value});\n"))
}

/// An X server without hardware; it finds itself a free display number and prints it.
fn screen(folder: &Folder) -> (Daemon, String) {
    let mut command = program("Xvfb");
    command.args(["-displayfd", "1", "-screen", "0", "1280x800x24", "-nolisten", "tcp"]);
    let screen = Daemon::start("Xvfb", &mut command, &folder.join("xvfb.log"));
    let number = wait_until("the display number", Duration::from_secs(20), || {
        screen.log().lines().find_map(|line| line.trim().parse::<u16>().ok())
    });
    (screen, format!(":{number}"))
}

/// How Thunderbird's log marks the connection that has selected the inbox. It opens several, and their lines mix.
const IN_THE_INBOX: &str = ":S-INBOX";

/// The lines the server sent to sessions in this state, from Thunderbird's own log; with an empty state, to all.
fn received(log: &Path, state: &str) -> Vec<String> {
    let mark = format!("{state}:CreateNewLineFromSocket: ");
    let log = fs::read(log).unwrap_or_default();
    let lines = String::from_utf8_lossy(&log).into_owned();
    lines.lines().filter_map(|line| Some(line.split_once(&mark)?.1.to_owned())).collect()
}

/// Whether a line stands inside the answer to a FETCH.
fn fetched(received: &[String], line: &str) -> bool {
    let Some(at) = received.iter().position(|received| received.trim_end() == line) else { return false };
    let response = received[..at].iter().rev().find(|line| line.starts_with("* "));
    response.is_some_and(|response| response.contains(" FETCH ("))
}

/// Whether a line is a tagged `NO` or `BAD`; Thunderbird's tags are numbers.
fn is_complaint(line: &str) -> bool {
    let mut words = line.split(' ');
    let tag = words.next().unwrap_or_default();
    tag.parse::<u32>().is_ok() && matches!(words.next(), Some("NO" | "BAD"))
}
