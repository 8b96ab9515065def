//! A real OpenSMTPD, from the unpacked package, with a private configuration and queue.

use std::time::Duration;

use super::namespace::{OWNER, in_namespace};
use super::{
    Certificates, Daemon, Folder, Message, free_port, listening, make_readable, messages, program, rooted,
    run,
};

/// Its two accounts must not be each other; these numbers are those of `proxy` and `news`.
const ACCOUNTS: [(&str, &str); 3] = [("opensmtpd", "13"), ("opensmtpq", "9"), ("dave", OWNER)];

/// The folders whose names are built into it; they are there as long as the namespace is.
const SCRIPT: &str = "\
for folder in /usr/libexec /var/spool /var/lib /run; do mount -t tmpfs tmpfs $folder; done
mkdir -p /usr/libexec/opensmtpd /var/spool/smtpd /var/lib/opensmtpd/empty
mount --bind /mnt/usr/libexec/opensmtpd /usr/libexec/opensmtpd
chmod 711 /var/spool/smtpd
export LD_LIBRARY_PATH=$(echo /mnt/usr/lib/*-linux-gnu*)
export LD_PRELOAD=MEND
exec /mnt/usr/sbin/smtpd -d -f ";

/// What makes the TLS of its server work where the package's does not.
const MEND: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/harness/opensmtpd_mend.c");

/// OpenSMTPD on a port of its own. It takes mail for `dave@example.net`, and relays what else comes from loopback.
pub(crate) struct OpenSmtpd {
    _daemon: Daemon,
    folder: Folder,
    pub(crate) port: u16,
}

impl OpenSmtpd {
    /// Starts it; what it relays goes to `next_hop`, as in `relay host NEXT_HOP`.
    #[track_caller]
    pub(crate) fn start(next_hop: &str) -> Self {
        let folder = Folder::new("opensmtpd");
        let port = free_port();
        Certificates::create(&folder, "opensmtpd.example.net");
        let here = folder.path().display();
        let config = folder.write(
            "smtpd.conf",
            format!(
                "pki here cert \"{here}/tls.pem\"\npki here key \"{here}/tls.key\"\n\
                 table dave {{ \"dave@example.net\" = \"dave\" }}\n\
                 table owner {{ \"dave\" = \"{OWNER}:{OWNER}:{here}/home\" }}\n\
                 listen on 127.0.0.1 port {port} tls pki here hostname opensmtpd.example.net\n\
                 action \"here\" maildir \"{here}/home/mail\" virtual <dave> userbase <owner>\n\
                 action \"away\" relay host {next_hop}\n\
                 match from any for domain \"example.net\" action \"here\"\n\
                 match from any for any action \"away\"\n"
            ),
        );
        run(rooted("/bin/chown").arg(OWNER).arg(folder.create("home"))).succeeded();
        run(rooted("/bin/chown").arg("root").arg(&config).arg(folder.join("tls.key"))).succeeded();
        let mend = folder.join("mend.so");
        run(program("cc").args(["-shared", "-fPIC", "-o"]).arg(&mend).arg(MEND).arg("-ldl")).succeeded();
        let script = SCRIPT.replace("MEND", &mend.display().to_string()) + &config.display().to_string();
        let mut command = in_namespace(&folder, "opensmtpd", &ACCOUNTS, &script);
        let mut daemon = Daemon::start("opensmtpd", &mut command, &folder.join("log"));
        daemon.wait_for("its port", Duration::from_secs(20), |_| listening(port));
        Self { _daemon: daemon, folder, port }
    }

    /// What arrived for dave.
    pub(crate) fn delivered(&self) -> Vec<Message> {
        make_readable(&self.folder.join("home"));
        messages(&self.folder.join("home/mail"))
    }
}

impl Drop for OpenSmtpd {
    fn drop(&mut self) {
        let owned = ["home", "smtpd.conf", "tls.key"].map(|name| self.folder.join(name));
        run(rooted("/bin/rm").arg("-rf").args(owned));
    }
}
