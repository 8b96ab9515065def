//! An authority that hands out certificates: pebble with a name server of its own, and a front that can fail for it.

use std::path::PathBuf;
use std::time::Duration;

use super::{Certificates, Daemon, Folder, free_port, listening, program, run};

/// How long each of its programs may take to start.
const START: Duration = Duration::from_secs(20);

/// pebble, which looks at names on ports of the test's choice.
pub(crate) struct Authority {
    _programs: [Daemon; 3],
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

    #[track_caller]
    fn knowing(environment: &[(&str, &str)], address: &str) -> Self {
        let folder = Folder::new("authority");
        let own = Certificates::for_names(&folder, &["localhost", "127.0.0.1"]);
        let [port, pebble, management, names, names_management, http, https] = [(); 7].map(|()| free_port());
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{pebble}"),
            "managementListenAddress": format!("127.0.0.1:{management}"),
            "certificate": own.certificate, "privateKey": own.private_key,
            "httpPort": http, "tlsPort": https, "ocspResponderURL": "", "externalAccountBindingRequired": false,
        }});
        folder.write("pebble.json", config.to_string());
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
        command.args([
            "-dns01",
            &format!("127.0.0.1:{names}"),
            "-management",
            &format!("127.0.0.1:{names_management}"),
        ]);
        let mut name_server = Daemon::start("challtestsrv", &mut command, &folder.join("names.log"));
        name_server.wait_for("its management", START, |_| listening(names_management));
        let mut command = program("pebble");
        command.arg("-config").arg(folder.join("pebble.json"));
        command.args(["-dnsserver", &format!("127.0.0.1:{names}")]);
        command
            .env("PEBBLE_VA_NOSLEEP", "1")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_AUTHZREUSE", "0");
        command.envs(environment.iter().copied());
        let mut authority = Daemon::start("pebble", &mut command, &folder.join("pebble.log"));
        authority.wait_for("its port", START, |_| listening(pebble) && listening(management));
        let mut command = program("python3");
        command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/harness/ca.py"), &port.to_string()]);
        command.arg(pebble.to_string()).arg(&own.certificate).arg(&own.private_key).arg(folder.path());
        let mut front = Daemon::start("front", &mut command, &folder.join("front.log"));
        front.wait_for("its port", START, |_| listening(port));
        let programs = [authority, name_server, front];
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
