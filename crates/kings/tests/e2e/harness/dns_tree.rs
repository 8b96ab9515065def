//! A small internet in a network namespace: two BINDs that serve zones, and one that resolves, all at port 53.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::{Daemon, Folder, Output, program, rooted, run, wait_until};

/// Where the server under test seems to be.
pub(crate) const HOST: &str = "203.0.113.10";
/// The two servers of all zones, and the resolver.
const SERVERS: [(&str, &str); 2] = [("ns1", "203.0.113.53"), ("ns2", "203.0.113.54")];
const RESOLVER: &str = "203.0.113.99";
const START: Duration = Duration::from_secs(20);

/// A zone without names that none of the servers has.
pub(crate) const NOBODY: &str = "nobody.example";

/// The zones, served as they stand in the files of each server.
pub(crate) struct DnsTree {
    servers: Vec<Option<Daemon>>,
    _resolver: Daemon,
    holder: Daemon,
    folder: Folder,
    serial: u32,
}

/// A zone with its records, without SOA and NS.
pub(crate) type Zone<'a> = (&'a str, &'a str);

impl DnsTree {
    /// Serves the zones at both servers; with `clauses`, more of each zone's configuration at the first one, the second one
    /// follows it.
    #[track_caller]
    pub(crate) fn start(zones: &[Zone<'_>], head: &str, clauses: &str) -> Self {
        let folder = Folder::new("tree");
        let holder = hold(&folder);
        let mut tree =
            Self { servers: Vec::new(), _resolver: resolver(&folder, zones), holder, folder, serial: 1 };
        for (at, (server, address)) in SERVERS.into_iter().enumerate() {
            tree.folder.create(server);
            let follows = at > 0 && !clauses.is_empty();
            if !follows {
                tree.write(at, zones);
            }
            let (head, clauses) = if at == 0 { (head, clauses) } else { ("", "") };
            let here = tree.folder.join(server);
            let mut config = format!(
                "{head}\noptions {{ directory \"{0}\"; listen-on {{ {address}; }}; listen-on-v6 {{ none; }}; recursion no; \
                 notify-delay 0; notify-source {address}; pid-file none; session-keyfile none; allow-query {{ any; }}; dnssec-validation no; \
                 managed-keys-directory \"{0}\"; }};\ncontrols {{ }};\n",
                here.display()
            );
            for (zone, _) in zones {
                let role = if follows {
                    format!("type secondary; primaries {{ {}; }};", SERVERS[0].1)
                } else {
                    format!("type primary; {clauses}")
                };
                config += &format!("zone \"{zone}\" {{ {role} file \"{zone}\"; }};\n");
            }
            let config = tree.folder.write(&format!("{server}.conf"), config);
            let mut daemon = named(&tree.folder, server, &config);
            // A second server that asks before the first one answers asks again only after minutes.
            daemon.wait_for("its zones", START, |daemon| daemon.log().contains(" all zones loaded"));
            tree.servers.push(Some(daemon));
        }
        tree.wait_for_all();
        tree
    }

    #[track_caller]
    fn wait_for_all(&self) {
        for (_, address) in SERVERS.into_iter().chain([("resolver", RESOLVER)]) {
            wait_until("a name server that answers", START, || {
                let answer = self.dig(address, "ns1.example.org", "A");
                answer.contains(SERVERS[0].1).then_some(())
            });
        }
    }

    fn write(&self, at: usize, zones: &[Zone<'_>]) {
        for (zone, records) in zones {
            let is_reverse = zone.starts_with(|first: char| first.is_ascii_digit());
            let (ns, own) = if is_reverse {
                ("ns1.example.org.\n@ IN NS ns2.example.org.", String::new())
            } else {
                let own = SERVERS.iter().map(|(name, address)| format!("{name} IN A {address}\n"));
                ("ns1\n@ IN NS ns2", own.collect())
            };
            let text = format!(
                "$TTL 60\n@ IN SOA ns1.example.org. hostmaster.example.org. {} 3600 600 86400 1\n@ IN NS {ns}\n{own}$ORIGIN \
                 {zone}.\n{records}\n",
                self.serial
            );
            let place = self.folder.join(SERVERS[at].0).join(zone);
            std::fs::write(&place, text).unwrap();
            run(program("named-checkzone").args(["-q", zone]).arg(&place)).succeeded();
        }
    }

    /// Serves other records at these servers (0 and 1).
    #[track_caller]
    pub(crate) fn change(&mut self, at: &[usize], zones: &[Zone<'_>]) {
        self.serial += 1;
        for at in at {
            self.write(*at, zones);
            self.servers[*at].as_ref().expect("it runs").signal(Signal::HUP);
        }
        for at in at {
            for (zone, _) in zones {
                let serial = format!(" {} ", self.serial);
                wait_until("the new zone", START, || {
                    self.dig(SERVERS[*at].1, zone, "SOA").contains(&serial).then_some(())
                });
            }
        }
    }

    /// Ends one server.
    pub(crate) fn stop(&mut self, at: usize) {
        self.servers[at].take().expect("it runs").kill();
    }

    /// A command whose network is that of the tree.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = rooted("/usr/bin/nsenter");
        inside.arg(format!("--net=/proc/{}/ns/net", self.holder_id())).arg("--");
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            inside.env(name, value.unwrap_or_default());
        }
        inside
    }

    fn holder_id(&self) -> String {
        let _ = &self.holder;
        std::fs::read_to_string(self.folder.join("holder")).unwrap().trim().to_owned()
    }

    /// What one server answers.
    pub(crate) fn dig(&self, server: &str, name: &str, kind: &str) -> String {
        let mut dig = program("dig");
        dig.args(["+short", "+time=2", "+tries=1", &format!("@{server}"), name, kind]);
        run(&mut self.inside(&dig)).text()
    }

    /// What the first server has of a name and type, in order.
    pub(crate) fn at_first(&self, name: &str, kind: &str) -> String {
        let answer = self.dig(SERVERS[0].1, name, kind);
        let mut lines: Vec<&str> = answer.lines().collect();
        lines.sort_unstable();
        lines.join("\n")
    }

    /// Runs a command inside.
    #[track_caller]
    pub(crate) fn run(&self, command: &Command) -> Output {
        run(&mut self.inside(command))
    }

    /// The second server, as those ask it who know nothing else.
    pub(crate) fn second() -> String {
        format!("{}:53", SERVERS[1].1)
    }

    /// Whether anybody listens at this port of TCP inside.
    pub(crate) fn listens(&self, port: u16) -> bool {
        let mut look = program("ss");
        look.args(["--no-header", "--listening", "--tcp", "--numeric", &format!("sport = :{port}")]);
        !run(&mut self.inside(&look)).text().is_empty()
    }

    /// The resolver, as `[dns] servers` wants it.
    pub(crate) fn resolver() -> String {
        format!("{RESOLVER}:53")
    }
}

/// A process whose network the others join. Nothing leads out of it.
fn hold(folder: &Folder) -> Daemon {
    let addresses = SERVERS.iter().map(|(_, address)| *address).chain([RESOLVER, HOST]);
    let add: String = addresses.map(|address| format!("ip address add {address}/32 dev lo\n")).collect();
    let file = folder.text("holder");
    let script =
        format!("ip link set lo up\n{add}echo $$ > {file}.new\nmv {file}.new {file}\nexec sleep 3600\n");
    let mut command = rooted("/usr/bin/unshare");
    command.args(["--net", "/bin/sh", "-e", "-c", &script]);
    let mut daemon = Daemon::start("unshare", &mut command, &folder.join("holder.log"));
    daemon.wait_for("its network", START, |_| folder.join("holder").exists());
    daemon
}

fn named(folder: &Folder, name: &str, config: &Path) -> Daemon {
    let holder = std::fs::read_to_string(folder.join("holder")).unwrap();
    let mut command = rooted("/usr/bin/nsenter");
    command.arg(format!("--net=/proc/{}/ns/net", holder.trim())).arg("--");
    command.arg(program("named").get_program()).args(["-g", "-n", "1", "-c"]).arg(config);
    Daemon::start("named", &mut command, &folder.join(&format!("{name}.log")))
}

/// Asks the first server for each zone, and remembers nothing.
fn resolver(folder: &Folder, zones: &[Zone<'_>]) -> Daemon {
    let here = folder.create("resolver");
    let mut config = format!(
        "options {{ directory \"{0}\"; listen-on {{ {RESOLVER}; }}; listen-on-v6 {{ none; }}; recursion yes; pid-file none; \
         session-keyfile none; allow-query {{ any; }}; allow-recursion {{ any; }}; dnssec-validation no; max-cache-ttl 0; \
         max-ncache-ttl 0; empty-zones-enable no; managed-keys-directory \"{0}\"; }};\ncontrols {{ }};\n",
        here.display()
    );
    let servers: String = SERVERS.iter().map(|(_, address)| format!("{address}; ")).collect();
    for (zone, _) in zones {
        config += &format!("zone \"{zone}\" {{ type static-stub; server-addresses {{ {servers}}}; }};\n");
    }
    let nobody = "@ IN SOA . . 1 1 1 1 0\n@ IN NS .\n";
    folder.write(&format!("resolver/{NOBODY}"), format!("$TTL 0\n{nobody}"));
    config += &format!("zone \"{NOBODY}\" {{ type primary; file \"{NOBODY}\"; }};\n");
    let config = folder.write("resolver.conf", config);
    named(folder, "resolver", &config)
}
