//! Amazon Route 53 and the metadata of a machine: moto behind a front that is as strict as Amazon.

use std::time::Duration;

use super::{Certificates, Daemon, Folder, free_port, listening, program};

/// How long it may take to start: moto reads much.
const START: Duration = Duration::from_mins(1);

/// The service; see `aws.py`.
pub(crate) struct Aws {
    _daemon: Daemon,
    folder: Folder,
    port: u16,
    metadata: u16,
}

impl Aws {
    /// With these zones, in JSON.
    #[track_caller]
    pub(crate) fn start(zones: &serde_json::Value) -> Self {
        let folder = Folder::new("aws");
        let own = Certificates::for_names(&folder, &["localhost", "127.0.0.1"]);
        folder.write("zones", zones.to_string());
        let [port, metadata] = [(); 2].map(|()| free_port());
        let mut command = program("python3");
        command.args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/harness/aws.py"), &port.to_string()]);
        command.arg(metadata.to_string()).arg(&own.certificate).arg(&own.private_key).arg(folder.path());
        let mut daemon = Daemon::start("aws", &mut command, &folder.join("aws.log"));
        daemon.wait_for("its port", START, |_| listening(port));
        Self { _daemon: daemon, folder, port, metadata }
    }

    /// The value of `provider` in `[dns]`, with more keys of it.
    pub(crate) fn provider(&self, more: &str) -> String {
        format!(
            "provider = {{ kind = \"route53\", endpoint = \"https://127.0.0.1:{}\", root = \"{}\", metadata = \
             \"127.0.0.1:{}\"{more} }}",
            self.port,
            self.folder.text("authority.pem"),
            self.metadata
        )
    }

    /// What stands in the zones, a line for each record.
    pub(crate) fn records(&self) -> String {
        std::fs::read_to_string(self.folder.join("records")).unwrap()
    }

    /// How often something was asked.
    pub(crate) fn count(&self, request: &str) -> usize {
        let text = std::fs::read_to_string(self.folder.join("requests")).unwrap_or_default();
        text.lines().filter(|line| line.contains(request)).count()
    }

    /// What it does from now on.
    pub(crate) fn rules(&self, rules: &str) {
        self.folder.write("rules.new", rules);
        std::fs::rename(self.folder.join("rules.new"), self.folder.join("rules")).unwrap();
    }

    /// The machine has a role from now on.
    pub(crate) fn lend(&self) {
        self.folder.write("role", "");
    }

    /// Texts for an authority go to the name server with this management.
    pub(crate) fn tell(&self, management: &str) {
        self.folder.write("names", management);
    }
}
