//! A private DNS: NSD serves a zone signed with ldns-utils beside one that is not signed, and Unbound validates.

use std::time::Duration;

use rustix::process::Signal;

use super::{Daemon, Folder, free_port, listening, program, run};

const HEAD: &str = "$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n";
const START: Duration = Duration::from_secs(20);

/// `signed.test` and `unsigned.test` behind a validating resolver on loopback.
pub(crate) struct SignedTree {
    _resolver: Daemon,
    server: Daemon,
    folder: Folder,
    /// The resolver, as `[dns] servers` wants it.
    pub(crate) address: String,
}

impl SignedTree {
    /// Serves these records. `spoiled` in the first zone is overwritten after the signature is made, digit by digit:
    /// its signature is then broken.
    #[track_caller]
    pub(crate) fn start(signed: &str, spoiled: &str, unsigned: &str) -> Self {
        let folder = Folder::new("tree");
        let anchor = sign(&folder, signed, spoiled);
        folder.write("unsigned.test", format!("$ORIGIN unsigned.test.\n{HEAD}{unsigned}"));
        let (port, resolver_port) = (free_port(), free_port());
        let mut server = start_server(&folder, port);
        server.wait_for("its port", START, |_| listening(port));
        let mut resolver = start_resolver(&folder, &anchor, resolver_port, port);
        resolver.wait_for("its port", START, |_| listening(resolver_port));
        let address = format!("127.0.0.1:{resolver_port}");
        Self { _resolver: resolver, server, folder, address }
    }

    /// Serves other records in the zone that is not signed. The resolver keeps answers by their TTL.
    pub(crate) fn change_unsigned(&self, records: &str) {
        self.folder.write("unsigned.test", format!("$ORIGIN unsigned.test.\n{HEAD}{records}"));
        self.server.signal(Signal::HUP);
    }

    /// What the resolver answers for a name and type, as text.
    pub(crate) fn ask(&self, name: &str, kind: &str) -> String {
        let (server, port) = self.address.split_once(':').expect("address and port");
        run(program("drill").args(["-p", port, &format!("@{server}"), name, kind])).succeeded().text()
    }
}

/// Makes a key, signs the zone with it, and gives the name of the file with the trust anchor.
fn sign(folder: &Folder, records: &str, spoiled: &str) -> String {
    folder.write("zone", format!("$ORIGIN signed.test.\n{HEAD}{records}"));
    let mut keygen = program("ldns-keygen");
    keygen.args(["-a", "ED25519", "-k", "signed.test"]).current_dir(folder.path());
    let key = run(&mut keygen).succeeded().text().trim_end().to_owned();
    let mut signzone = program("ldns-signzone");
    signzone.args(["-o", "signed.test", "-f", "signed.test", "zone", &key]).current_dir(folder.path());
    run(&mut signzone).succeeded();
    let text = std::fs::read_to_string(folder.join("signed.test")).unwrap();
    assert!(text.contains(spoiled), "{spoiled} is not in the signed zone");
    folder.write("signed.test", text.replace(spoiled, &"0".repeat(spoiled.len())));
    format!("{key}.ds")
}

fn start_server(folder: &Folder, port: u16) -> Daemon {
    let here = folder.path().display();
    let config = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n zonesdir: \"{here}\"\n xfrdir: \"{here}\"\n \
         zonelistfile: \"{here}/zone.list\"\n xfrdfile: \"{here}/xfrd.state\"\n cookie-secret-file: \"{here}/cookie\"\n \
         pidfile: \"\"\n database: \"\"\n username: \"\"\n server-count: 1\nremote-control:\n control-enable: no\n\
         zone:\n name: signed.test\n zonefile: signed.test\nzone:\n name: unsigned.test\n zonefile: unsigned.test\n"
    );
    let config = folder.write("nsd.conf", config);
    Daemon::start("nsd", program("nsd").arg("-d").arg("-c").arg(config), &folder.join("nsd.log"))
}

fn start_resolver(folder: &Folder, anchor: &str, port: u16, server: u16) -> Daemon {
    let here = folder.path().display();
    let zone = |name: &str| format!("stub-zone:\n name: \"{name}\"\n stub-addr: 127.0.0.1@{server}\n");
    let config = format!(
        "server:\n interface: 127.0.0.1\n port: {port}\n directory: \"{here}\"\n chroot: \"\"\n username: \"\"\n \
         pidfile: \"\"\n do-daemonize: no\n use-syslog: no\n logfile: \"\"\n num-threads: 1\n do-ip6: no\n \
         val-log-level: 2\n do-not-query-localhost: no\n local-zone: \"test.\" nodefault\n \
         trust-anchor-file: \"{here}/{anchor}\"\nremote-control:\n control-enable: no\n{}{}",
        zone("signed.test"),
        zone("unsigned.test")
    );
    let config = folder.write("unbound.conf", config);
    Daemon::start("unbound", program("unbound").arg("-d").arg("-c").arg(config), &folder.join("unbound.log"))
}
