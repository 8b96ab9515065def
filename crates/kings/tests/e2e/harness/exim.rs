//! A real Exim, from the unpacked package, with a private configuration and spool.

use std::time::Duration;

use super::daemon::show;
use super::namespace::{OWNER, in_namespace};
use super::{
    Certificates, Daemon, Folder, Message, free_port, listening, make_readable, messages, rooted, run,
};

/// Exim on a port of its own. It takes mail for `dave@example.net`, and relays what else comes from loopback.
pub(crate) struct Exim {
    _daemon: Daemon,
    folder: Folder,
    pub(crate) port: u16,
}

impl Exim {
    /// Starts it; what it relays goes to `next_hop` on loopback, with `settings` of its smtp transport.
    #[track_caller]
    pub(crate) fn start(next_hop: u16, settings: &str) -> Self {
        let folder = Folder::new("exim");
        let port = free_port();
        Certificates::create(&folder, "exim.example.net");
        let config = folder.write("exim.conf", config(&folder, port, next_hop, settings));
        let owned = ["spool", "mail"].map(|name| folder.create(name));
        run(rooted("/bin/chown").arg(OWNER).args(owned).arg(folder.join("tls.key"))).succeeded();
        run(rooted("/bin/chown").arg("root").arg(&config)).succeeded();
        let script = format!(
            "export LD_LIBRARY_PATH=$(echo /mnt/usr/lib/*-linux-gnu*)\nexec /mnt/usr/sbin/exim4 -C {} -bdf",
            config.display()
        );
        let mut command = in_namespace(&folder, "exim4", &[("Debian-exim", OWNER)], &script);
        let mut daemon = Daemon::start("exim", &mut command, &folder.join("output"));
        daemon.wait_for("its port", Duration::from_secs(20), |_| listening(port));
        Self { _daemon: daemon, folder, port }
    }

    /// What arrived for dave.
    pub(crate) fn delivered(&self) -> Vec<Message> {
        make_readable(&self.folder.join("mail"));
        messages(&self.folder.join("mail"))
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show(&run(rooted("/bin/cat").arg(self.folder.join("spool/log-main"))).text());
        }
        let owned = ["spool", "mail", "exim.conf", "tls.key"].map(|name| self.folder.join(name));
        run(rooted("/bin/rm").arg("-rf").args(owned));
    }
}

fn config(folder: &Folder, port: u16, next_hop: u16, settings: &str) -> String {
    let here = folder.path().display();
    format!(
        "primary_hostname = exim.example.net
exim_path = /mnt/usr/sbin/exim4
exim_user = {OWNER}
exim_group = {OWNER}
spool_directory = {here}/spool
log_file_path = {here}/spool/log-%s
pid_file_path = {here}/spool/pid
notifier_socket =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
never_users =
host_lookup =
rfc1413_query_timeout = 0s
tls_advertise_hosts = *
tls_certificate = {here}/tls.pem
tls_privatekey = {here}/tls.key
keep_environment = LD_LIBRARY_PATH
acl_smtp_rcpt = rcpt
acl_smtp_data = take
begin acl
rcpt:
  accept local_parts = dave
         domains = example.net
  deny domains = example.net
       message = 5.1.1 No such user
  accept hosts = 127.0.0.1
take:
  accept
begin routers
here:
  driver = accept
  domains = example.net
  transport = maildir
away:
  driver = manualroute
  route_list = * 127.0.0.1::{next_hop} byname
  self = send
  transport = smtp
begin transports
maildir:
  driver = appendfile
  directory = {here}/mail
  maildir_format
  user = {OWNER}
  group = {OWNER}
smtp:
  driver = smtp
  allow_localhost
{settings}
begin retry
* * F,1h,1m
"
    )
}
