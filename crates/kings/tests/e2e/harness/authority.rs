//! An authority that hands out certificates: pebble with a name server of its own, and a front that can fail for it.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::{Certificates, Daemon, DnsTree, Folder, free_port, listening, program, run};

/// How long each of its programs may take to start.
const START: Duration = Duration::from_secs(20);

/// pebble, which looks at names on ports of the test's choice.
pub(crate) struct Authority {
    _programs: Vec<Daemon>,
    folder: Folder,
    port: u16,
    management: u16,
    names: u16,
    names_management: u16,
    /// Where it looks for pages.
    pub(crate) http: u16,
    /// Where it looks for handshakes.
    pub(crate) https: u16,
}

impl Authority {
    /// Every name has the address 127.0.0.1.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with these words in the environment of pebble.
    #[track_caller]
    pub(crate) fn with(environment: &[(&str, &str)]) -> Self {
        Self::knowing(environment, "127.0.0.1")
    }

    /// No name has an address but those that the test adds.
    #[track_caller]
    pub(crate) fn knowing_nobody() -> Self {
        Self::knowing(&[], "")
    }

    /// Asks this name server of the tree, and looks at real ports there.
    #[track_caller]
    pub(crate) fn inside(tree: &DnsTree, name_server: &str) -> Self {
        let folder = Folder::new("authority");
        let [port, pebble, management] = [(); 3].map(|()| free_port());
        let ports = Ports { port, pebble, management, http: 80, https: 443 };
        let wrapped = |command: Command| tree.inside(&command);
        let programs = serve(&folder, &ports, name_server, &[], (&wrapped, &|port| tree.listens(port)));
        let Ports { http, https, .. } = ports;
        Self { _programs: programs, folder, port, management, names: 0, names_management: 0, http, https }
    }

    #[track_caller]
    fn knowing(environment: &[(&str, &str)], address: &str) -> Self {
        let folder = Folder::new("authority");
        let [port, pebble, management, names, names_management, http, https] = [(); 7].map(|()| free_port());
        let mut command = program("pebble-challtestsrv");
        command.args([
            "-http01",
            "",
            "-https01",
            "",
            "-tlsalpn01",
            "",
            "-defaultIPv6",
            "",
            "-defaultIPv4",
            address,
        ]);
        let name_server = format!("127.0.0.1:{names}");
        command.args(["-dns01", &name_server, "-management", &format!("127.0.0.1:{names_management}")]);
        let mut daemon = Daemon::start("challtestsrv", &mut command, &folder.join("names.log"));
        daemon.wait_for("its management", START, |_| listening(names_management));
        let ports = Ports { port, pebble, management, http, https };
        let mut programs =
            serve(&folder, &ports, &name_server, environment, (&|command| command, &listening));
        programs.push(daemon);
        Self { _programs: programs, folder, port, management, names, names_management, http, https }
    }

    /// The value of `acme` in `[tls]`, with more keys of it.
    pub(crate) fn acme(&self, more: &str) -> String {
        format!(
            "acme = {{ directory = \"{}\", root = \"{}\", contact = \"mailto:ann@example.org\"{more} }}\n",
            self.directory(),
            self.folder.text("authority.pem")
        )
    }

    /// Where it is asked.
    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// The authority of that page's own certificate.
    pub(crate) fn web_root(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// The listeners that it looks at.
    pub(crate) fn listen(&self) -> String {
        format!("http = [\"127.0.0.1:{}\"]\nhttps = [\"127.0.0.1:{}\"]\n", self.http, self.https)
    }

    /// Its name server.
    pub(crate) fn name_server(&self) -> String {
        format!("127.0.0.1:{}", self.names)
    }

    /// Where its name server is told of names.
    pub(crate) fn names_management(&self) -> String {
        format!("http://127.0.0.1:{}", self.names_management)
    }

    /// What the front does from now on.
    pub(crate) fn rules(&self, rules: &[&str]) {
        // At once, for the front may be reading.
        let text = rules.join("\n");
        self.folder.write("rules.new", text);
        std::fs::rename(self.folder.join("rules.new"), self.folder.join("rules")).unwrap();
    }

    /// What it was asked, in the order of the questions.
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.join("requests")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// How often something was asked.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.contains(path)).count()
    }

    /// Gives a name an address.
    #[track_caller]
    pub(crate) fn add(&self, name: &str) {
        self.change_names("add-a", &format!("{{\"host\": \"{name}\", \"addresses\": [\"127.0.0.1\"]}}"));
    }

    #[track_caller]
    fn change_names(&self, what: &str, body: &str) {
        let url = format!("http://127.0.0.1:{}/{what}", self.names_management);
        run(program("curl").args(["--silent", "--show-error", "--fail", "--data", body, &url])).succeeded();
    }

    /// The certificate that all of its certificates lead to, as a file.
    #[track_caller]
    pub(crate) fn root(&self) -> PathBuf {
        let url = format!("https://localhost:{}/roots/0", self.management);
        let mut command = program("curl");
        command.args(["--silent", "--show-error", "--fail", "--cacert"]).arg(self.web_root()).arg(url);
        let text = run(&mut command).succeeded().text();
        self.folder.write("root.pem", text)
    }
}

/// Where its programs are, and where it looks.
struct Ports {
    port: u16,
    pebble: u16,
    management: u16,
    http: u16,
    https: u16,
}

/// Starts pebble and the front, in the network that the first function leads to and the second one looks at.
#[track_caller]
fn serve(
    folder: &Folder,
    ports: &Ports,
    name_server: &str,
    environment: &[(&str, &str)],
    (inside, listens): (&dyn Fn(Command) -> Command, &dyn Fn(u16) -> bool),
) -> Vec<Daemon> {
    let Ports { port, pebble, management, http, https } = ports;
    let own = Certificates::for_names(folder, &["localhost", "127.0.0.1"]);
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{pebble}"),
        "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": own.certificate, "privateKey": own.private_key,
        "httpPort": http, "tlsPort": https, "ocspResponderURL": "", "externalAccountBindingRequired": false,
    }});
    folder.write("pebble.json", config.to_string());
    let mut command = program("pebble");
    command.arg("-config").arg(folder.join("pebble.json")).args(["-dnsserver", name_server]);
    command
        .env("PEBBLE_VA_NOSLEEP", "1")
        .env("PEBBLE_WFE_NONCEREJECT", "0")
        .env("PEBBLE_AUTHZREUSE", "0")
        .envs(environment.iter().copied());
    let mut authority = Daemon::start("pebble", &mut inside(command), &folder.join("pebble.log"));
    authority.wait_for("its port", START, |_| listens(*pebble) && listens(*management));
    let mut command = program("python3");
    command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/harness/ca.py"), &port.to_string()]);
    command.arg(pebble.to_string()).arg(&own.certificate).arg(&own.private_key).arg(folder.path());
    let mut front = Daemon::start("front", &mut inside(command), &folder.join("front.log"));
    front.wait_for("its port", START, |_| listens(*port));
    vec![authority, front]
}
