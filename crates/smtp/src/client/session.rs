//! The order of a client session: greeting, EHLO, STARTTLS, AUTH, then transactions.

use std::fmt::Write as _;
use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Body, MailParameters};
use kings_mail::path::ReversePath;
use kings_sasl::{self as sasl, Secret};

use super::reader::{BadReply, Reader};
use crate::data::Encoder;
use crate::reply::{Reply, Status};

/// How long to wait for the answer to each command (RFC 5321 §4.5.3.2). The wait after the final dot is the
/// longest: whoever gives up there sends the message twice.
mod patience {
    use std::time::Duration;

    pub(super) const COMMAND: Duration = Duration::from_mins(5);
    pub(super) const DATA: Duration = Duration::from_mins(2);
    pub(super) const FINAL_DOT: Duration = Duration::from_mins(10);
    /// Nothing depends on the answer to QUIT.
    pub(super) const QUIT: Duration = Duration::from_secs(5);
}

/// Whether to use STARTTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// Not at all: TLS is on already, or clear text is wanted.
    Never,
    /// When the server offers it.
    IfOffered,
    /// Refuse to go on without it.
    Required,
}

/// What a session is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in EHLO.
    pub hostname: Domain,
    /// Whether to use STARTTLS.
    pub start_tls: StartTls,
    /// Login name and password; sent only under TLS.
    pub login: Option<(String, Secret)>,
    /// The connection is under TLS from its first byte.
    pub tls: bool,
}

/// The envelope of one message to hand over.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Argument of MAIL.
    pub reverse_path: ReversePath,
    /// Arguments of RCPT, in order; at least one.
    pub recipients: Vec<Address>,
    /// What the content needs of the server; `size` is announced where SIZE is offered.
    pub parameters: MailParameters,
}

/// What became of one recipient at this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has taken responsibility.
    Accepted(Reply),
    /// The server said no; `permanent` tells whether it will say so again.
    Refused {
        /// In the server's words.
        reply: Reply,
        /// From the code, with the exceptions that RFC 5321 makes.
        permanent: bool,
    },
    /// The server lacks an extension that this message needs: another MX host may have it.
    Incapable(Reply),
}

/// What the session cannot do alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Send what [`Session::transmit`] gives, do the handshake, then call [`Session::tls_started`].
    StartTls,
    /// The session is ready for [`Session::send`] or [`Session::quit`].
    Ready,
    /// Give the content to [`Session::content`], piece by piece, then call [`Session::end_content`].
    SendContent,
    /// Every recipient of the transaction has an outcome, in their order.
    Settled(Vec<Outcome>),
    /// The server does not let us come to a transaction: it refused greeting, EHLO, TLS or login.
    Refused(Reply),
    /// The session is over.
    Closed,
}

/// The client side of one SMTP session. It owns no socket, clock or task.
#[derive(Debug)]
pub struct Session {
    settings: Settings,
    phase: Phase,
    reader: Reader,
    output: Vec<u8>,
    features: Features,
    tls: bool,
    transaction: Option<Running>,
    encoder: Encoder,
}

/// Which answer we wait for.
#[derive(Debug)]
enum Phase {
    Greeting,
    Ehlo,
    Helo,
    StartTls,
    /// The handshake goes on.
    Handshake,
    Login(sasl::Client),
    /// The server asked for more than the mechanism has, and we gave up with `*` (RFC 4954 §4).
    LoginCancelled,
    /// Nothing is asked.
    Idle,
    Mail,
    /// The recipient at this place.
    Rcpt(usize),
    Data,
    /// The content is being sent.
    Content,
    FinalDot,
    /// After a transaction that no recipient was accepted in.
    Rset,
    Quit,
    Closed,
}

#[derive(Debug)]
struct Running {
    transaction: Transaction,
    outcomes: Vec<Option<Outcome>>,
}

/// What the server offered in EHLO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// STARTTLS (RFC 3207 §2).
    pub start_tls: bool,
    /// 8BITMIME (RFC 6152 §2).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531 §3.1).
    pub smtputf8: bool,
    /// SIZE (RFC 1870 §3); `Some(0)` names no limit.
    pub size: Option<u64>,
    /// Mechanisms of AUTH (RFC 4954 §3).
    pub mechanisms: Vec<String>,
}

impl Features {
    /// Reads the lines of an EHLO reply after the first.
    fn parse(text: &str) -> Self {
        let mut features = Self::default();
        for line in text.lines().skip(1) {
            let mut words = line.split([' ', '=']).filter(|word| !word.is_empty());
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "STARTTLS" => features.start_tls = true,
                "8BITMIME" => features.eight_bit_mime = true,
                "SMTPUTF8" => features.smtputf8 = true,
                "SIZE" => features.size = Some(words.next().and_then(|size| size.parse().ok()).unwrap_or(0)),
                "AUTH" => features.mechanisms = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        features
    }
}

impl Session {
    /// Starts a session; the server speaks first.
    pub fn new(settings: Settings) -> Self {
        let tls = settings.tls;
        Self {
            settings,
            phase: Phase::Greeting,
            reader: Reader::default(),
            output: Vec::new(),
            features: Features::default(),
            tls,
            transaction: None,
            encoder: Encoder::default(),
        }
    }

    /// Takes bytes from the server.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.reader.receive(bytes);
    }

    /// Everything to be sent, which is then forgotten.
    pub fn transmit(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What the server offered.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// How long to wait for the next bytes of the server.
    pub fn patience(&self) -> Duration {
        match self.phase {
            Phase::Data => patience::DATA,
            Phase::FinalDot => patience::FINAL_DOT,
            Phase::Quit => patience::QUIT,
            _ => patience::COMMAND,
        }
    }

    /// Whether the whole message has been sent and its fate is unknown: a connection that breaks now may
    /// have delivered.
    pub fn awaits_final_reply(&self) -> bool {
        matches!(self.phase, Phase::FinalDot)
    }

    /// The next thing to do; `None` when the server must speak first. An error ends the session.
    pub fn next_event(&mut self) -> Result<Option<Event>, BadReply> {
        loop {
            if matches!(self.phase, Phase::Closed) {
                return Ok(Some(Event::Closed));
            }
            if matches!(self.phase, Phase::Idle | Phase::Handshake | Phase::Content) {
                return Ok(None);
            }
            let Some(reply) = self.reader.next()? else { return Ok(None) };
            if let Some(event) = self.take(reply) {
                return Ok(Some(event));
            }
        }
    }

    /// Begins a transaction; [`Event::Ready`] or [`Event::Settled`] must have come before.
    pub fn send(&mut self, transaction: Transaction) {
        let line = self.mail_command(&transaction);
        let outcomes = vec![None; transaction.recipients.len()];
        self.transaction = Some(Running { transaction, outcomes });
        self.encoder = Encoder::default();
        self.command(&line, Phase::Mail);
    }

    /// What this server lacks for a message, if anything: ask before [`Session::send`].
    pub fn lacks(&self, transaction: &Transaction) -> Option<Outcome> {
        let parameters = &transaction.parameters;
        let incapable = |status, text| Some(Outcome::Incapable(Reply::new(554, status, text)));
        if parameters.smtputf8 && !self.features.smtputf8 {
            return incapable(
                Status(5, 6, 7),
                "Next server does not support SMTPUTF8, which this message needs",
            );
        }
        if parameters.body == Body::EightBitMime && !self.features.eight_bit_mime {
            return incapable(
                Status(5, 6, 3),
                "Next server does not support 8BITMIME, which this message needs",
            );
        }
        let limit = self.features.size.filter(|limit| *limit > 0)?;
        let reply = Reply::new(552, Status(5, 3, 4), "Message is larger than the next server takes");
        (parameters.size? > limit).then_some(Outcome::Refused { reply, permanent: true })
    }

    /// Takes a piece of content after [`Event::SendContent`]; its wire form waits in [`Session::transmit`].
    pub fn content(&mut self, bytes: &[u8]) {
        self.encoder.encode(bytes, &mut self.output);
    }

    /// The content is whole.
    pub fn end_content(&mut self) {
        std::mem::take(&mut self.encoder).finish(&mut self.output);
        self.phase = Phase::FinalDot;
    }

    /// The handshake of [`Event::StartTls`] succeeded: everything said before is forgotten (RFC 3207 §4.2).
    pub fn tls_started(&mut self) {
        self.reader.clear();
        self.features = Features::default();
        self.tls = true;
        self.hello();
    }

    /// The connection broke, took too long or made no sense: what the transaction has come to. Recipients
    /// without an outcome get `reason`, which must be temporary.
    pub fn abandon(&mut self, reason: &Reply) -> Vec<Outcome> {
        self.phase = Phase::Closed;
        let Some(mut running) = self.transaction.take() else { return Vec::new() };
        fill(&mut running.outcomes, reason, false);
        running.outcomes.into_iter().flatten().collect()
    }

    /// Says goodbye.
    pub fn quit(&mut self) {
        self.command("QUIT", Phase::Quit);
    }

    fn hello(&mut self) {
        let line = format!("EHLO {}", self.settings.hostname);
        self.command(&line, Phase::Ehlo);
    }

    fn command(&mut self, line: &str, phase: Phase) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
        self.phase = phase;
    }

    fn mail_command(&self, transaction: &Transaction) -> String {
        let mut line = format!("MAIL FROM:{}", transaction.reverse_path);
        let parameters = &transaction.parameters;
        if let (Some(size), Some(_)) = (parameters.size, self.features.size) {
            // Writing to a String cannot fail.
            let _ = write!(line, " SIZE={size}");
        }
        if parameters.body == Body::EightBitMime && self.features.eight_bit_mime {
            line.push_str(" BODY=8BITMIME");
        }
        if parameters.smtputf8 && self.features.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        line
    }

    /// One reply, taken by the phase that waited for it.
    fn take(&mut self, reply: Reply) -> Option<Event> {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let reply = in_step(&phase, reply);
        match phase {
            Phase::Greeting if reply.code == 220 => self.go_on(Self::hello),
            Phase::Ehlo if reply.code == 250 => self.after_ehlo(&reply),
            Phase::Ehlo if reply.is_permanent() && !self.tls => self.go_on(Self::helo),
            Phase::Helo if reply.code == 250 && self.settings.start_tls != StartTls::Required => {
                Some(self.after_helo())
            }
            Phase::Helo if reply.code == 250 => Some(Event::Refused(no_tls())),
            Phase::StartTls if reply.code == 220 => {
                self.phase = Phase::Handshake;
                // Bytes behind this reply were not protected: an attacker may have put them there.
                self.reader.clear();
                Some(Event::StartTls)
            }
            // TLS that is optional and does not work leaves clear text (RFC 3207 §4); no password goes there.
            Phase::StartTls if self.settings.start_tls == StartTls::IfOffered && reply.code != 421 => {
                self.log_in()
            }
            Phase::Login(client) if reply.code == 334 => self.next_response(client),
            Phase::Login(_) if reply.code == 235 => Some(Event::Ready),
            Phase::LoginCancelled => Some(Event::Refused(no_login("Next server does not end the login"))),
            Phase::Greeting | Phase::Ehlo | Phase::Helo | Phase::StartTls | Phase::Login(_) => {
                Some(Event::Refused(reply))
            }
            Phase::Mail if reply.is_positive() => self.next_recipient(0),
            Phase::Mail => self.settle_all(&reply, false),
            Phase::Rcpt(place) => {
                self.settle(place, &reply);
                self.next_recipient(place + 1)
            }
            Phase::Data if reply.code == 354 => {
                self.phase = Phase::Content;
                Some(Event::SendContent)
            }
            Phase::Data => self.settle_all(&reply, false),
            Phase::FinalDot => self.settle_all(&reply, true),
            Phase::Rset => self.report(),
            Phase::Quit => {
                self.phase = Phase::Closed;
                None
            }
            // Nothing was asked: whatever it is, most often 421 before a time-out, the next write will tell.
            phase @ (Phase::Idle | Phase::Handshake | Phase::Content | Phase::Closed) => {
                self.phase = phase;
                None
            }
        }
    }

    fn go_on(&mut self, step: fn(&mut Self)) -> Option<Event> {
        step(self);
        None
    }

    fn helo(&mut self) {
        let line = format!("HELO {}", self.settings.hostname);
        self.command(&line, Phase::Helo);
    }

    fn after_ehlo(&mut self, reply: &Reply) -> Option<Event> {
        self.features = Features::parse(&reply.text);
        match self.settings.start_tls {
            _ if self.tls => self.log_in(),
            StartTls::IfOffered | StartTls::Required if self.features.start_tls => {
                self.command("STARTTLS", Phase::StartTls);
                None
            }
            StartTls::Required => Some(Event::Refused(no_tls())),
            StartTls::Never | StartTls::IfOffered => self.log_in(),
        }
    }

    fn after_helo(&self) -> Event {
        match self.settings.login {
            Some(_) => Event::Refused(no_login("Next server offers no login")),
            None => Event::Ready,
        }
    }

    fn log_in(&mut self) -> Option<Event> {
        let Some((login, password)) = &self.settings.login else { return Some(Event::Ready) };
        if !self.tls {
            return Some(Event::Refused(no_login("Next server offers no TLS, so no password is sent")));
        }
        let offered = self.features.mechanisms.iter().map(String::as_str);
        let Some(mut client) = sasl::Client::choose(offered, login, password) else {
            return Some(Event::Refused(no_login("Next server offers no login that we know")));
        };
        let mechanism = client.mechanism();
        // Only PLAIN has an initial response; LOGIN waits for its prompts.
        let first = (mechanism == sasl::Mechanism::Plain).then(|| client.next_response()).flatten();
        let line = match first {
            Some(response) => format!("AUTH {} {}", mechanism.name(), sasl::encode(&response)),
            None => format!("AUTH {}", mechanism.name()),
        };
        self.command(&line, Phase::Login(client));
        None
    }

    fn next_response(&mut self, mut client: sasl::Client) -> Option<Event> {
        match client.next_response() {
            Some(response) => self.command(&sasl::encode(&response), Phase::Login(client)),
            None => self.command("*", Phase::LoginCancelled),
        }
        None
    }

    /// Asks for the recipient at `place`, or goes on to DATA when all have been asked for. Nothing is asked
    /// once all are settled, by refusals or by one 421.
    fn next_recipient(&mut self, place: usize) -> Option<Event> {
        let running = self.transaction.as_ref()?;
        if running.outcomes.iter().all(Option::is_some) {
            self.command("RSET", Phase::Rset);
        } else if let Some(recipient) = running.transaction.recipients.get(place) {
            let line = format!("RCPT TO:<{recipient}>");
            self.command(&line, Phase::Rcpt(place));
        } else {
            self.command("DATA", Phase::Data);
        }
        None
    }

    /// A positive answer to RCPT leaves the outcome open until the message is through.
    fn settle(&mut self, place: usize, reply: &Reply) {
        let Some(running) = &mut self.transaction else { return };
        if reply.code == 421 {
            return fill(&mut running.outcomes, reply, false);
        }
        if !reply.is_positive() {
            // Some servers say 552 when they mean "not so many at once" (RFC 5321 §4.5.3.1.10).
            let permanent = reply.is_permanent() && reply.code != 552;
            running.outcomes[place] = Some(Outcome::Refused { reply: reply.clone(), permanent });
        }
    }

    /// The same fate for all recipients that are still open. Before the final dot a positive reply is none.
    fn settle_all(&mut self, reply: &Reply, after_dot: bool) -> Option<Event> {
        let running = self.transaction.as_mut()?;
        fill(&mut running.outcomes, reply, after_dot && reply.is_positive());
        if after_dot {
            return self.report();
        }
        self.command("RSET", Phase::Rset);
        None
    }

    fn report(&mut self) -> Option<Event> {
        let running = self.transaction.take()?;
        self.phase = Phase::Idle;
        Some(Event::Settled(running.outcomes.into_iter().flatten().collect()))
    }
}

fn fill(outcomes: &mut [Option<Outcome>], reply: &Reply, accepted: bool) {
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
        let refused = || Outcome::Refused { reply: reply.clone(), permanent: reply.is_permanent() };
        *outcome = Some(if accepted { Outcome::Accepted(reply.clone()) } else { refused() });
    }
}

/// A server that says yes in the wrong way has not understood us: only 354 asks for content, and only 2xx takes
/// what was given (RFC 5321 §4.2.1). Believing a 354 behind the final dot would lose the message.
fn in_step(phase: &Phase, reply: Reply) -> Reply {
    let fits = match phase {
        Phase::Mail | Phase::Rcpt(_) | Phase::FinalDot => reply.code < 300,
        Phase::Data => reply.code == 354,
        _ => true,
    };
    if fits || !reply.is_positive() {
        return reply;
    }
    Reply::new(451, Status(4, 5, 0), "Next server's reply does not fit the command")
}

/// What [`Event::Refused`] says when TLS is required and the server does not offer it.
pub fn no_tls() -> Reply {
    Reply::new(454, Status(4, 7, 5), "Next server offers no TLS, which is required")
}

fn no_login(text: &'static str) -> Reply {
    Reply::new(454, Status(4, 7, 0), text)
}
