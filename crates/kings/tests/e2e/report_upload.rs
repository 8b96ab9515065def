//! TLS reports by HTTPS (RFC 8460 §5.4): to a real server of Python's, and past those that are not to have them.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{
    Certificates, Daemon, Folder, Kings, NameServer, Setup, UNVERIFIED, free_port, listening, program, run,
    wait_until,
};

const DELIVERY: Duration = Duration::from_secs(30);

/// Answers as the path says, and keeps what was posted as `NAME.body` and its headers as `NAME.head`.
const SERVER: &str = r#"
import http.server, pathlib, ssl, sys
folder, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        name = self.path.strip("/")
        (folder / (name + ".body")).write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
        (folder / (name + ".head")).write_text(str(self.headers))
        self.send_response({"refused": 403, "moved": 302}.get(name, 201))
        if name == "moved":
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()
    do_GET = do_POST
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"#;

/// Reads one upload as its receiver does.
const JUDGE: &str = r#"
import gzip, json, sys
report = json.loads(gzip.decompress(open(sys.argv[1], "rb").read()))
print(report["policies"][0]["policy"]["policy-domain"], report["policies"][0]["summary"]["total-successful-session-count"])
"#;

/// An HTTPS server with a certificate for a name, of an authority of its own.
struct Web {
    _daemon: Daemon,
    folder: Folder,
    authority: PathBuf,
    port: u16,
}

impl Web {
    #[track_caller]
    fn start(name: &str) -> Self {
        let folder = Folder::new("web");
        let authority = Certificates::for_names(&folder, &[name]).authority;
        let port = free_port();
        let mut command = program("python3");
        command.args(["-c", SERVER]).arg(folder.path()).arg(port.to_string());
        let mut daemon = Daemon::start("web", &mut command, &folder.join("log"));
        daemon.wait_for("its port", Duration::from_secs(20), |_| listening(port));
        Self { _daemon: daemon, folder, authority, port }
    }

    fn url(&self, path: &str) -> String {
        format!("https://web.example.net:{}/{path}", self.port)
    }

    fn has(&self, name: &str) -> bool {
        self.folder.join(name).exists()
    }
}

/// A server with a session of yesterday on record, with a domain that wants reports at these places.
fn with_a_session(places: &str, authority: &std::path::Path) -> (Kings, Vec<Box<dyn std::any::Any>>) {
    let port = free_port();
    let zone = format!(
        "$ORIGIN example.net.\n@ IN MX 1 mx\nmx IN A 127.0.0.1\nweb IN A 127.0.0.1\n\
         _smtp._tls IN TXT \"v=TLSRPTv1; rua={places}\"\n"
    );
    let dns = NameServer::start("net", &zone);
    let receiver = Setup {
        listen: format!("smtp = [\"127.0.0.1:{port}\"]\n"),
        top: "[[domain]]\nname = \"example.net\"\ncatch_all = \"ann@example.org\"\n".to_owned(),
        tables: UNVERIFIED.to_owned(),
        ..Setup::default()
    }
    .start();
    let mut sender = Setup {
        tables: format!("[outbound]\nport = {port}\nallow_private = [\"127.0.0.0/8\"]\n"),
        tls: format!("authorities = \"{}\"\n", authority.display()),
        name_server: dns.address.clone(),
        ..Setup::default()
    }
    .start();
    sender.submit("ann@example.org", "joe@example.net", "a session");
    wait_until("the session on record", DELIVERY, || {
        run(&mut sender.command(&["tls", "report"])).succeeded().text().contains("example.net").then_some(())
    });
    sender.kill();
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\n\
                  c.execute('UPDATE tls_result SET day = day - 1')\nc.commit()\n";
    run(program("python3").args(["-c", script]).arg(sender.folder().join("data/records.sqlite"))).succeeded();
    sender.serve();
    (sender, vec![Box::new(dns), Box::new(receiver)])
}

#[test]
fn a_report_reaches_its_server_and_none_that_refuses_it_moves_it_or_proves_nothing() {
    let (web, impostor) = (Web::start("web.example.net"), Web::start("web.example.net"));
    let other_name = Web::start("elsewhere.example.net");
    let places = [web.url("taken"), web.url("refused"), web.url("moved"), impostor.url("taken")].join(",");
    let (kings, _others) = with_a_session(&places, &web.authority);
    let said = run(&mut kings.command(&["report", "send"])).succeeded().text();
    for expected in [
        format!("to {}", web.url("taken")),
        format!("not to {}: status 403", web.url("refused")),
        format!("not to {}: status 302", web.url("moved")),
        format!("not to {}: ", impostor.url("taken")),
    ] {
        assert!(said.contains(&expected), "{expected}: {said}");
    }
    let judged = run(program("python3").args(["-c", JUDGE]).arg(web.folder.join("taken.body"))).succeeded();
    assert_eq!(judged.text().trim_end(), "example.net 1");
    let head = std::fs::read_to_string(web.folder.join("taken.head")).unwrap().to_lowercase();
    assert!(head.contains("content-type: application/tlsrpt+gzip"), "{head}");
    assert!(
        !web.has("elsewhere.body") && !impostor.has("taken.body"),
        "no redirect, and no stranger's certificate"
    );
    // It has gone, and goes nowhere again.
    run(&mut kings.command(&["report", "send"])).succeeded().says("nothing to report");
    drop(kings);

    // A certificate of the right authority for another name proves nothing either.
    let (kings, _others) = with_a_session(&other_name.url("taken"), &other_name.authority);
    let said = run(&mut kings.command(&["report", "send"])).succeeded().text();
    assert!(
        said.contains(&format!("not to {}: ", other_name.url("taken"))) && !other_name.has("taken.body"),
        "{said}"
    );
}
