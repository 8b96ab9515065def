//! Who we are at a host that the config names, and by which mechanism it let us in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kings_sasl::{Client, Mechanism, Mechanisms, Secret, encode};
use kings_smtp::client::{Login, Session};
use tracing::warn;

use super::route::NextHop;

/// Name and password at another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: Secret,
    /// The mechanisms that may be used (Postfix's `smtp_sasl_mechanism_filter`).
    pub mechanisms: Mechanisms,
}

impl Credentials {
    /// For every mechanism that we know.
    pub fn new(name: &str, password: Secret) -> Self {
        let mechanisms = Client::KNOWN.into_iter().collect();
        Self { name: name.to_owned(), password, mechanisms }
    }
}

/// What to begin with at each host: what has worked there, or what was due when it hung up after a refusal. Hosts are those
/// that the config names with a login, so there are few.
#[derive(Default)]
pub(crate) struct Habits(Mutex<HashMap<(String, String), Mechanism>>);

impl Habits {
    /// What the session needs to log in there, if it is to.
    pub(super) fn login(&self, hop: &NextHop) -> Option<Login> {
        let Credentials { name, password, mechanisms } = hop.login.as_ref()?;
        let first = key(hop).and_then(|key| self.known().get(&key).copied());
        let nonce = nonce();
        Some(Login { name: name.clone(), password: password.clone(), nonce, mechanisms: *mechanisms, first })
    }

    /// Notes how a login has ended, well or not, and tells the operator which mechanisms failed.
    pub(super) fn learn(&self, hop: &NextHop, session: &Session) {
        let (Some(key), refused) = (key(hop), session.logins_refused()) else { return };
        let due = session.login_taken().or(session.login_pending());
        for (mechanism, reply) in refused {
            let (host, mechanism, next) = (&key.0, mechanism.name(), due.map(Mechanism::name));
            warn!(host, mechanism, %reply, next, "login refused");
        }
        match due {
            Some(mechanism) => drop(self.known().insert(key, mechanism)),
            None if refused.is_empty() => {}
            // Nothing works any more: the next one begins with the best again.
            None => drop(self.known().remove(&key)),
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<(String, String), Mechanism>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The host with its port, and who we are there.
fn key(hop: &NextHop) -> Option<(String, String)> {
    hop.login.as_ref().map(|login| (format!("{}:{}", hop.host, hop.port), login.name.clone()))
}

/// Random text for one login. Without random bytes it repeats, which only a server could use that replays an old login.
fn nonce() -> String {
    let mut random = [0; 18];
    let _ = getrandom::fill(&mut random);
    encode(&random)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::domain::Domain;
    use kings_smtp::client::{Event, Protocol, Settings, StartTls};

    use super::super::Level;
    use super::super::SmartHost;
    use super::super::route::smart_hop;
    use super::*;

    const OFFER: &[u8] = b"220 hi\r\n250-smart.example\r\n250 AUTH PLAIN LOGIN CRAM-MD5\r\n";
    const CHALLENGE: &[u8] = b"334 PHhAeT4=\r\n";

    fn hop(name: &str) -> NextHop {
        let login = Some(Credentials::new(name, Secret::new("secret")));
        smart_hop(&SmartHost { host: "smart.example".into(), port: 587, login, tls: Level::Encrypt }).unwrap()
    }

    /// One connection under TLS; gives what it came to and which mechanisms were named.
    fn connect(habits: &Habits, hop: &NextHop, replies: &[&[u8]]) -> (Option<Event>, Vec<String>) {
        let mut session = Session::new(Settings {
            hostname: Domain::parse("mx.here.example").unwrap(),
            protocol: Protocol::Smtp,
            start_tls: StartTls::Never,
            login: habits.login(hop),
            tls: true,
        });
        let (mut said, mut event) = (Vec::new(), None);
        for reply in [&[OFFER], replies].concat() {
            session.receive(reply);
            event = session.next_event().unwrap();
            said.extend(session.transmit());
        }
        habits.learn(hop, &session);
        let said = String::from_utf8(said).unwrap();
        let named = said.lines().filter_map(|line| line.strip_prefix("AUTH ")?.split(' ').next());
        (event, named.map(str::to_owned).collect())
    }

    #[test]
    fn what_has_worked_at_a_host_comes_first_there_until_it_is_refused() {
        let (habits, ann, bob) = (Habits::default(), hop("ann"), hop("bob"));
        let (no, yes): (&[u8], &[u8]) = (b"535 5.7.8 no\r\n", b"235 2.7.0 yes\r\n");
        assert_eq!(connect(&habits, &ann, &[CHALLENGE, no, yes]).1, ["CRAM-MD5", "PLAIN"]);
        assert_eq!(connect(&habits, &ann, &[yes]), (Some(Event::Ready), vec!["PLAIN".to_owned()]));
        // Another login there knows nothing of it.
        assert_eq!(connect(&habits, &bob, &[CHALLENGE, yes]).1, ["CRAM-MD5"]);
        let (event, named) = connect(&habits, &ann, &[no, CHALLENGE, no]);
        assert!(matches!(event, Some(Event::Refused(reply)) if reply.code == 535));
        assert_eq!(named, ["PLAIN", "CRAM-MD5"]);
        assert_eq!(connect(&habits, &ann, &[CHALLENGE, yes]).1, ["CRAM-MD5"]);
    }

    #[test]
    fn a_host_that_hangs_up_after_a_refusal_hears_the_next_mechanism_first() {
        let (habits, ann) = (Habits::default(), hop("ann"));
        assert_eq!(connect(&habits, &ann, &[CHALLENGE, b"535 5.7.8 no\r\n"]).1, ["CRAM-MD5", "PLAIN"]);
        assert_eq!(connect(&habits, &ann, &[b"235 2.7.0 yes\r\n"]).1, ["PLAIN"]);
        // One that hangs up, or has trouble, before it has refused anything has taught nothing.
        let other = hop("joe");
        for replies in [&[CHALLENGE][..], &[CHALLENGE, b"454 4.7.0 later\r\n"]] {
            assert_eq!(connect(&habits, &other, replies).1, ["CRAM-MD5"]);
        }
    }
}
