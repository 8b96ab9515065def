//! The self-test of the running server: through its own ports, with a login that is good for this once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use kings_directory::Directory;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_net::Place as Listening;
use kings_ops::{Afterwards, Person, Place, Step, send_and_read_back};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::control::Answer;
use crate::prepare::Server;

/// What it takes to test ourselves; one test runs at a time.
#[derive(Clone)]
pub(super) struct Tester {
    pub(super) hostname: Domain,
    pub(super) directory: Arc<ArcSwap<Directory>>,
    pub(super) listening: Vec<(Server, Listening)>,
    pub(super) alone: Arc<Mutex<()>>,
}

impl Tester {
    /// Sends a message from an account to itself and reads it back. Gives each step with its time, and the message as it
    /// came out, in base64.
    pub(super) async fn run(self, account: Option<String>, keep: bool) -> Answer {
        let _alone = self.alone.lock().await;
        let person = self.person(account)?;
        let place = Place {
            hostname: self.hostname.clone(),
            submissions: self.address(Server::Submissions)?,
            imaps: self.address(Server::Imaps)?,
        };
        let began = Instant::now();
        let mut steps: Vec<Value> = Vec::new();
        let report = |step: Step| {
            let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            steps.push(json!({ "step": name(&step), "ms": ms }));
        };
        let afterwards = if keep { Afterwards::Keep } else { Afterwards::Remove };
        let content = send_and_read_back(&place, &person, &person, afterwards, report).await;
        let content = content.map_err(|error| error.to_string())?;
        let account = person.account.to_string();
        Ok(
            json!({ "schema": 1, "account": account, "steps": steps, "content": kings_sasl::encode(&content) }),
        )
    }

    fn person(&self, account: Option<String>) -> Result<Person, String> {
        let directory = self.directory.load_full();
        let account = match account {
            Some(text) => Address::parse(&text).map_err(|error| error.to_string())?,
            None => {
                let first = directory.accounts().into_iter().find(|(_, login)| *login);
                first.ok_or("there is no account yet: add one with  kings account add you@DOMAIN")?.0
            }
        };
        let password = directory.ticket(&account);
        let password = password
            .ok_or_else(|| format!("{account} is no account that may log in: see  kings account list"))?;
        Ok(Person { account, password })
    }

    /// How we reach a listener of our own.
    fn address(&self, wanted: Server) -> Result<SocketAddr, String> {
        let found = self.listening.iter().find_map(|(server, place)| match place {
            Listening::Tcp(address) if *server == wanted => Some(*address),
            Listening::Tcp(_) | Listening::Unix(_) => None,
        });
        let name = wanted.name();
        let address = found.ok_or_else(|| format!("the self-test needs  {name} = [...]  in [listen]"))?;
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            // It takes IPv4 as well, and a machine without IPv6 has no ::1.
            IpAddr::V6(ip) if ip == Ipv6Addr::UNSPECIFIED => Ipv4Addr::LOCALHOST.into(),
            ip => ip,
        };
        Ok(SocketAddr::new(ip, address.port()))
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::SubmissionLogin => "logged in at submission",
        Step::Sent(_) => "sent",
        Step::ImapLogin => "logged in over IMAP",
        Step::Arrived(_) => "delivered",
        Step::ReadBack => "read back",
    }
}
