//! The login at the next hop: the best mechanism that both sides know, and after a refusal the next one.
//!
//! What a server offers is not what it can check: one that stores hashes of passwords may still offer CRAM-MD5, and then
//! refuses a password that PLAIN would have shown to be right.

use std::collections::VecDeque;

use kings_sasl::{self as sasl, BadChallenge, Mechanism, Mechanisms, Secret};

use super::{Event, Phase, Session};
use crate::reply::{Reply, Status};

/// Who we are to the server.
#[derive(Clone, Debug)]
pub struct Login {
    /// Login name.
    pub name: String,
    /// Password.
    pub password: Secret,
    /// Printable random text without commas, for this session alone (RFC 5802 §5.1).
    pub nonce: String,
    /// Those that may be used.
    pub mechanisms: Mechanisms,
    /// The one to begin with, whatever is better: it has worked here before.
    pub first: Option<Mechanism>,
}

impl Login {
    /// By every mechanism that we know, the best first.
    pub fn new(name: &str, password: Secret, nonce: &str) -> Self {
        let mechanisms = sasl::Client::KNOWN.into_iter().collect();
        Self { name: name.to_owned(), password, nonce: nonce.to_owned(), mechanisms, first: None }
    }
}

/// How the login has gone so far.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// What is left, in its order; at most those that we know.
    left: VecDeque<Mechanism>,
    /// What the server has refused, and how.
    refused: Vec<(Mechanism, Reply)>,
    /// What it has taken.
    pub(super) taken: Option<Mechanism>,
}

impl Session {
    /// The mechanism that logged us in.
    pub fn login_taken(&self) -> Option<Mechanism> {
        self.tries.taken
    }

    /// The mechanisms by which the server did not let us in, and what it said to each.
    pub fn logins_refused(&self) -> &[(Mechanism, Reply)] {
        &self.tries.refused
    }

    /// The mechanism whose answer has not come, if there was a refusal before it.
    pub fn login_pending(&self) -> Option<Mechanism> {
        match &self.phase {
            Phase::Login(client) if !self.tries.refused.is_empty() => Some(client.mechanism()),
            _ => None,
        }
    }

    pub(super) fn log_in(&mut self) -> Option<Event> {
        let Some(login) = &self.settings.login else { return Some(Event::Ready) };
        if !self.tls {
            return Some(Event::Unfit(no_login("it offers no TLS, so no password is sent")));
        }
        let offered = self.features.mechanisms.iter().map(String::as_str);
        let (first, others): (Vec<_>, Vec<_>) = sasl::Client::usable(offered, login.mechanisms)
            .partition(|mechanism| login.first == Some(*mechanism));
        self.tries.left = first.into_iter().chain(others).collect();
        self.next_mechanism()
    }

    /// A refusal may be about the mechanism alone, so the next one is tried. Two that send the password as it is
    /// differ only in form: what the server says to one about the password it would say to the other, and count it as
    /// one more guess.
    pub(super) fn after_refusal(&mut self, mechanism: Mechanism, reply: Reply) -> Option<Event> {
        if Mechanisms::PASSWORD.contains(mechanism) && !is_about_the_command(&reply) {
            self.tries.left.retain(|left| !Mechanisms::PASSWORD.contains(*left));
        }
        self.tries.refused.push((mechanism, reply));
        self.next_mechanism()
    }

    fn next_mechanism(&mut self) -> Option<Event> {
        let begun = self.tries.left.pop_front().and_then(|mechanism| self.begin(mechanism));
        let Some(mut client) = begun else {
            return Some(match self.tries.refused.last() {
                Some((_, reply)) => Event::Refused(reply.clone()),
                None => Event::Unfit(no_login("it offers no login that we know")),
            });
        };
        let mechanism = client.mechanism();
        let first = client.speaks_first().then(|| client.respond(b"").ok()).flatten();
        let line = match first {
            Some(response) => format!("AUTH {} {}", mechanism.name(), sasl::encode(&response)),
            None => format!("AUTH {}", mechanism.name()),
        };
        self.command(&line, Phase::Login(client));
        None
    }

    fn begin(&self, mechanism: Mechanism) -> Option<sasl::Client> {
        let login = self.settings.login.as_ref()?;
        // No two exchanges of SCRAM share a nonce.
        let nonce = match self.tries.refused.len() {
            0 => login.nonce.clone(),
            exchanges => format!("{}{exchanges}", login.nonce),
        };
        sasl::Client::begin(mechanism, &login.name, &login.password, &nonce)
    }

    /// A server whose challenge does not fit, or who does not prove that it knows the password, gets no other form of it.
    pub(super) fn next_response(&mut self, mut client: sasl::Client, reply: &Reply) -> Option<Event> {
        // Prompts of LOGIN that are not base64 are still prompts.
        let challenge = sasl::decode(reply.text.trim().as_bytes()).unwrap_or_default();
        match client.respond(&challenge) {
            Ok(response) => self.command(&sasl::encode(&response), Phase::Login(client)),
            Err(BadChallenge) => self.command("*", Phase::LoginCancelled),
        }
        None
    }
}

/// Syntax, or a mechanism that is not known (RFC 5321 §4.2.2, RFC 4954 §4).
fn is_about_the_command(reply: &Reply) -> bool {
    (500..=504).contains(&reply.code)
}

pub(super) fn no_login(text: &'static str) -> Reply {
    Reply::new(454, Status(4, 7, 0), text)
}
