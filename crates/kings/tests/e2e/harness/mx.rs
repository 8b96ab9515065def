//! A real name server (NSD) with one zone, for relaying by MX records.

use std::time::Duration;

use super::{Daemon, Folder, free_port, listening, program, run};

/// NSD on a port of its own.
pub(crate) struct NameServer {
    _daemon: Daemon,
    _folder: Folder,
    /// As `[dns] servers` wants it.
    pub(crate) address: String,
}

impl NameServer {
    /// Serves `zone`, whose records are `records` below a start-of-authority record.
    #[track_caller]
    pub(crate) fn start(zone: &str, records: &str) -> Self {
        Self::start_at(free_port(), zone, records)
    }

    /// The same on a port that somebody knows already.
    #[track_caller]
    pub(crate) fn start_at(port: u16, zone: &str, records: &str) -> Self {
        let folder = Folder::new("nsd");
        let here = folder.path().display();
        folder.write("zone", format!("$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n{records}"));
        let config = folder.write(
            "nsd.conf",
            format!(
                "server:\n ip-address: 127.0.0.1@{port}\n zonesdir: \"{here}\"\n xfrdir: \"{here}\"\n \
                 zonelistfile: \"{here}/zone.list\"\n xfrdfile: \"{here}/xfrd.state\"\n \
                 cookie-secret-file: \"{here}/cookie\"\n pidfile: \"\"\n database: \"\"\n username: \"\"\n \
                 server-count: 1\nremote-control:\n control-enable: no\n\
                 zone:\n name: {zone}\n zonefile: zone\n"
            ),
        );
        run(program("nsd-checkconf").arg(&config)).succeeded();
        let mut command = program("nsd");
        command.arg("-d").arg("-c").arg(&config);
        let mut daemon = Daemon::start("nsd", &mut command, &folder.join("log"));
        daemon.wait_for("its port", Duration::from_secs(20), |_| listening(port));
        Self { _daemon: daemon, _folder: folder, address: format!("127.0.0.1:{port}") }
    }
}
