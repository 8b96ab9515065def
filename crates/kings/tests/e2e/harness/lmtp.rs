//! A real Dovecot that takes mail by LMTP, on a socket file and on a port.

use std::path::PathBuf;
use std::time::Duration;

use super::namespace::OWNER;
use super::{Daemon, Folder, Message, free_port, listening, make_readable, messages, program, rooted, run};

/// It knows `dave@example.net` and `erin@example.net`.
pub(crate) struct DovecotLmtp {
    _daemon: Daemon,
    folder: Folder,
    pub(crate) port: u16,
}

impl DovecotLmtp {
    /// Starts it; it needs root to write as the owner of the mail.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let folder = Folder::new("lmtp");
        let port = free_port();
        let here = folder.path().display();
        let users = ["dave", "erin"]
            .map(|user| format!("{user}@example.net::{OWNER}:{OWNER}::{here}/mail/{user}::\n"));
        folder.write("users", users.concat());
        let config = folder.write(
            "dovecot.conf",
            format!(
                "base_dir = {here}/run\nstate_dir = {here}/state\nlog_path = /dev/stderr\nprotocols = lmtp\n\
                 listen = 127.0.0.1\nssl = no\nfirst_valid_uid = 1\nfirst_valid_gid = 1\nmail_location = maildir:~\n\
                 passdb {{\n driver = passwd-file\n args = {here}/users\n}}\n\
                 userdb {{\n driver = passwd-file\n args = {here}/users\n}}\n\
                 service lmtp {{\n unix_listener {here}/lmtp.sock {{\n mode = 0666\n }}\n \
                 inet_listener lmtp {{\n port = {port}\n }}\n}}\n\
                 service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n"
            ),
        );
        run(rooted("/bin/chown").arg(OWNER).arg(folder.create("mail"))).succeeded();
        let mut command = rooted(program("dovecot").get_program());
        command.arg("-F").arg("-c").arg(config);
        let mut daemon = Daemon::start("dovecot", &mut command, &folder.join("log"));
        daemon.wait_for("its port", Duration::from_secs(20), |_| listening(port));
        Self { _daemon: daemon, folder, port }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("lmtp.sock")
    }

    /// What arrived for `user`.
    pub(crate) fn delivered(&self, user: &str) -> Vec<Message> {
        make_readable(&self.folder.join("mail"));
        messages(&self.folder.join("mail").join(user))
    }
}

impl Drop for DovecotLmtp {
    fn drop(&mut self) {
        run(rooted("/bin/rm").arg("-rf").args(["mail", "run", "state"].map(|name| self.folder.join(name))));
    }
}
