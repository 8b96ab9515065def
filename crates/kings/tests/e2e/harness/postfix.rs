//! A real Postfix, from the unpacked package, with a private configuration and queue.

use std::path::Path;
use std::time::Duration;

use super::daemon::show;
use super::{
    Certificates, Daemon, Folder, Message, free_port, listening, make_readable, messages, part, program,
    rooted, run,
};

/// The services of `master.cf` that receiving, relaying, bouncing and delivery to a Maildir need.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

/// The owner of the queue and of the mail, and the group of the submission programs. Postfix asks for accounts that
/// are not root and not each other; these exist on every Debian (package base-passwd), so none has to be made.
const OWNER: &str = "mail";
const GROUP: &str = "news";

/// Postfix on a port of its own. It takes mail for `dave@example.net`, and relays what else comes from loopback.
pub(crate) struct Postfix {
    _daemon: Daemon,
    folder: Folder,
    pub(crate) port: u16,
}

impl Postfix {
    /// Starts it with `settings` in the place of ours in `main.cf`; it needs root, or sudo that asks for no password.
    #[track_caller]
    pub(crate) fn start(settings: &str) -> Self {
        let folder = Folder::new("postfix");
        let unpacked = part("postfix");
        let libraries = unpacked.join("usr/lib/postfix");
        let port = free_port();
        Certificates::create(&folder, "postfix.example.net");
        folder.create("etc");
        folder.write("etc/main.cf", without(&main_cf(&folder, &unpacked), settings) + settings);
        folder.write("etc/master.cf", format!("127.0.0.1:{port} inet n - n - - smtpd\n{SERVICES}"));
        create_folders(&folder);
        let mut command = rooted("/usr/bin/env");
        command.arg(format!("LD_LIBRARY_PATH={}", libraries.display()));
        command.arg(libraries.join("sbin/master")).arg("-d").arg("-c").arg(folder.join("etc"));
        let mut daemon = Daemon::start("postfix", &mut command, &folder.join("master.log"));
        daemon.wait_for("its port", Duration::from_secs(20), |_| listening(port));
        Self { _daemon: daemon, folder, port }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        run(rooted("/bin/cat").arg(self.folder.join("log"))).text()
    }

    /// What arrived for dave.
    pub(crate) fn delivered(&self) -> Vec<Message> {
        make_readable(&self.folder.join("mail"));
        messages(&self.folder.join("mail/dave"))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show(&self.log());
        }
        // Files of Postfix's own accounts would keep the folder from being removed by anyone but root.
        let owned = ["etc", "queue", "data", "mail", "log"].map(|name| self.folder.join(name));
        run(rooted("/bin/rm").arg("-rf").args(owned));
    }
}

fn main_cf(folder: &Folder, unpacked: &Path) -> String {
    let here = folder.path().display();
    let part = unpacked.display();
    format!(
        "compatibility_level = 3.6
queue_directory = {here}/queue
data_directory = {here}/data
command_directory = {part}/usr/sbin
daemon_directory = {part}/usr/lib/postfix/sbin
shlib_directory = {part}/usr/lib/postfix
meta_directory = {part}/etc/postfix
import_environment = MAIL_CONFIG={here}/etc LD_LIBRARY_PATH={part}/usr/lib/postfix TZ LANG=C
mail_owner = {OWNER}
setgid_group = {GROUP}
default_privs = nobody
maillog_file = {here}/log
maillog_file_prefixes = {here}
multi_instance_directories =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example.net
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
biff = no
smtp_dns_support_level = disabled
smtp_host_lookup = native
smtpd_tls_cert_file = {here}/tls.pem
smtpd_tls_key_file = {here}/tls.key
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
virtual_mailbox_domains = example.net
virtual_mailbox_base = {here}/mail
virtual_mailbox_maps = inline:{{ dave@example.net=dave/, eve@example.net=dave/ }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
",
        uid = id("-u"),
        gid = id("-g"),
    )
}

/// The lines of `base` that `settings` do not set: Postfix warns of each one that is set twice, and when its log
/// daemon has more to say before it listens than a socket holds, it waits for itself for ever.
fn without(base: &str, settings: &str) -> String {
    let key = |line: &str| line.split(['=', ' ']).next().unwrap_or_default().to_owned();
    let set: Vec<String> = settings.lines().map(key).collect();
    base.lines().filter(|line| !set.contains(&key(line))).map(|line| format!("{line}\n")).collect()
}

/// The folders that Postfix's own start script would make, with the owners it insists on.
fn create_folders(folder: &Folder) {
    let owned = "active bounce corrupt defer deferred flush hold incoming private saved trace".split(' ');
    let owned = owned.map(|name| format!("queue/{name}")).chain(["data", "mail"].map(str::to_owned));
    let owned: Vec<_> = owned.map(|name| folder.create(&name)).collect();
    let shared = ["queue/maildrop", "queue/public"].map(|name| folder.create(name));
    let of_root = [folder.create("queue/pid"), folder.join("queue"), folder.join("etc")];
    run(rooted("/bin/chown").arg(OWNER).args(owned)).succeeded();
    run(rooted("/bin/chown").arg(format!("{OWNER}:{GROUP}")).args(&shared)).succeeded();
    run(rooted("/bin/chmod").arg("730").args(shared)).succeeded();
    run(rooted("/bin/chown").arg("root").args(of_root)).succeeded();
}

fn id(option: &str) -> String {
    run(program("id").args([option, OWNER])).succeeded().text().trim_end().to_owned()
}
