//! Mail from the machine's own users: over a local socket, or left in the drop folder while nobody listened.

mod dropped;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use kings_mail::address::{Address, Host, LocalPart};
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, MAX_RECIPIENTS, MailParameters, Recipient};
use kings_mail::header;
use kings_mail::path::ReversePath;
use kings_mail::trace;
use kings_net::Shutdown;
use kings_sasl::Turn;
use kings_smtp::reply::Reply;
use kings_smtp::server::{self, Event};
use kings_store::Incoming;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::author::{self, Authors, Completion};
use crate::connection::{Dialogue, answer};
use crate::core::{Core, now};
use crate::decide::{Challenge, Decide, Final, Peer};
use crate::deliver::{Message, deliver, sole_recipient};
use crate::forgeries::{self, Source};
use crate::intake::{self, Intake};
use crate::long_lines::Shortener;
use crate::policy::{self, LocalSender, RcptFacts};
use crate::traced;
use crate::transaction::{Taken, Transaction, check_header};

pub use self::dropped::Dropped;
use self::dropped::{Original, Writer};

/// Longest silence of a local program.
const PATIENCE: Duration = Duration::from_mins(5);
/// Octets read at a time.
const PIECE: usize = 64 * 1024;
/// Where all of it comes from, for logs.
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A user of the machine, as the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalUser {
    /// The number.
    pub uid: u32,
    /// The login name.
    pub name: String,
}

/// Takes mail from the machine's own users.
#[derive(Clone)]
pub struct Local {
    core: Core,
    origin: Domain,
    trusted: Arc<[String]>,
    shortener: Shortener,
}

impl Local {
    /// `origin`: the domain that local users write from. `trusted`: users who may write as anybody, beside root.
    pub fn new(core: &Core, origin: Domain, trusted: &[String]) -> Self {
        Self { core: core.clone(), origin, trusted: trusted.into(), shortener: Shortener::default() }
    }

    /// Serves one connection of a user to its end.
    pub async fn serve<S>(&self, mut stream: S, user: &LocalUser, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut decide = Session::new(self, user, None);
        let machine = self.machine(false);
        let ended = converse(&mut stream, machine, &mut decide, shutdown).await;
        debug!(uid = user.uid, ?ended, "local session ended");
    }

    /// Nobody is there to send the rest of a drop again, so it may have all that `sendmail` puts into one.
    fn most_recipients(&self, dropped: bool) -> usize {
        let most = self.core.limits.recipients;
        if dropped { most.max(MAX_RECIPIENTS) } else { most }
    }

    fn machine(&self, dropped: bool) -> Dialogue {
        let settings = server::Settings {
            hostname: self.core.hostname.clone(),
            role: server::Role::Inbound,
            start_tls: false,
            // What is too large is found out, but goes back only when its envelope is known.
            message_bytes: if dropped { u64::MAX } else { self.core.limits.message_bytes },
            recipients: self.most_recipients(dropped),
            dsn: true,
            bare_paths: true,
            origin: Some(self.origin.clone()),
            future_release: None,
            trust: server::Trust::default(),
        };
        Dialogue::new(server::Session::new(settings, false))
    }

    /// What a user is called in mail.
    fn address(&self, user: &LocalUser) -> Option<Address> {
        let name = LocalPart::parse(&user.name).ok()?;
        Some(Address::new(name, Host::Domain(self.origin.clone())))
    }

    /// Whether an address is the user's own: the login name under one of the machine's names.
    fn is_own(&self, user: &LocalUser, address: &Address) -> bool {
        let is_machine = |domain: &Domain| {
            *domain == self.origin || *domain == self.core.hostname || domain.as_str() == "localhost"
        };
        let text = address.local_part.as_str();
        let base = text.split_once('+').map_or(text, |(base, _)| base);
        base.eq_ignore_ascii_case(&user.name) && address.domain().is_some_and(is_machine)
    }

    fn is_trusted(&self, user: &LocalUser) -> bool {
        user.uid == 0 || self.trusted.contains(&user.name)
    }

    /// `ann@localhost` means nothing elsewhere.
    fn completed(&self, path: ReversePath) -> ReversePath {
        match path {
            ReversePath::Address(address) => ReversePath::Address(self.at_home(&address)),
            ReversePath::Null => ReversePath::Null,
        }
    }

    fn at_home(&self, address: &Address) -> Address {
        let host = match &address.host {
            Host::Domain(domain) if domain.as_str() == "localhost" => Host::Domain(self.origin.clone()),
            host => host.clone(),
        };
        Address::new(address.local_part.clone(), host)
    }
}

/// Answers all events that are there; false when the session is over.
async fn draw(dialogue: &mut Dialogue, decide: &mut Session<'_>) -> bool {
    while let Some(event) = dialogue.session.next_event() {
        if event == Event::Closed {
            return false;
        }
        answer(dialogue, decide, event, None).await;
    }
    true
}

/// Hears the client's side, whose replies nobody may read: a drop, or a script that has written all of it at once. So
/// nothing counts as too early, one line is answered before the next. False when the session is over.
async fn hear(dialogue: &mut Dialogue, decide: &mut Session<'_>, mut octets: &[u8]) -> bool {
    while !octets.is_empty() {
        let in_data = dialogue.session.in_data();
        let end = if in_data { end_of_message(octets) } else { end_of_line(octets) };
        let (piece, rest) = octets.split_at(end);
        dialogue.session.receive(piece);
        if !draw(dialogue, decide).await {
            return false;
        }
        octets = rest;
    }
    true
}

fn end_of_line(octets: &[u8]) -> usize {
    octets.iter().position(|octet| *octet == b'\n').map_or(octets.len(), |at| at + 1)
}

/// Where the message may end: behind a line with a dot alone, or the rest of one. Once too often does no harm.
fn end_of_message(octets: &[u8]) -> usize {
    let mut end = 0;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        end += line.len();
        if matches!(line, b".\r\n" | b".\n" | b"\n") || (end == 2 && line == b"\r\n") {
            break;
        }
    }
    end
}

/// The dialogue with a local program: no TLS, no PROXY header, no crowd.
async fn converse<S>(
    stream: &mut S,
    mut dialogue: Dialogue,
    decide: &mut Session<'_>,
    shutdown: &Shutdown,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut buffer = vec![0; PIECE];
    loop {
        let goes_on = draw(&mut dialogue, decide).await;
        timeout(PATIENCE, stream.write_all(&dialogue.session.transmit())).await??;
        if !goes_on {
            return stream.shutdown().await;
        }
        let idle = dialogue.session.is_idle();
        tokio::select! {
            () = shutdown.cancelled(), if idle => dialogue.session.close(&Reply::SHUTDOWN),
            read = timeout(PATIENCE, stream.read(&mut buffer)) => match read {
                Ok(Ok(0)) => return Ok(()),
                // That the session may be over is seen at once.
                Ok(read) => drop(hear(&mut dialogue, decide, &buffer[..read?]).await),
                Err(_) => dialogue.session.close(&Reply::TIMEOUT),
            },
        }
    }
}

struct Session<'a> {
    local: &'a Local,
    user: &'a LocalUser,
    /// Of a drop. Nobody reads its replies: recipients that do not exist are reported by a bounce.
    writer: Option<Writer<'a>>,
    intake: Intake,
    /// Messages that are ours now.
    taken: usize,
}

impl Decide for Session<'_> {
    async fn log_in(&mut self, _: Turn) -> Result<Reply, Challenge> {
        Ok(Reply::NOT_IMPLEMENTED)
    }

    async fn mail(&mut self, path: &ReversePath, _: MailParameters, _: &Peer<'_>) -> Reply {
        let (local, user) = (self.local, self.user);
        let is_own = path.address().is_none_or(|address| local.is_own(user, address));
        let sender = match (is_own, local.is_trusted(user)) {
            (true, _) => LocalSender::Own,
            (false, true) => LocalSender::Trusted,
            (false, false) => LocalSender::Foreign,
        };
        let refusal = policy::local_sender(sender).err();
        if refusal.is_some() {
            info!(uid = user.uid, user = user.name, reverse_path = %path, "sender refused");
        }
        match (&mut self.writer, refusal) {
            (Some(writer), refusal) => {
                writer.begin(refusal);
                Reply::SENDER_OK
            }
            (None, refusal) => refusal.unwrap_or(Reply::SENDER_OK),
        }
    }

    async fn rcpt(&mut self, recipient: &Recipient, envelope: &Envelope) -> Reply {
        let (core, dropped) = (&self.local.core, self.writer.is_some());
        let reach = policy::reach(true);
        let path = match core.rules.rewriting.recipient(&recipient.path).await {
            Ok(path) => path,
            // It is looked up again when the whole drop is here.
            Err(_) if dropped => return Reply::RECIPIENT_OK,
            Err(reply) => return reply,
        };
        let resolution = core.resolve(&path, &envelope.reverse_path, reach).await;
        // Where nobody reads our replies, the queue tells the sender.
        let no_way = core.no_way(&path, &envelope.reverse_path, (&resolution, reach));
        let facts = RcptFacts {
            may_send: true,
            resolution: &resolution,
            no_way: if dropped { None } else { no_way.await },
            // The queue tries them again.
            full: None,
            recipients_so_far: envelope.recipients.len(),
            most_recipients: self.local.most_recipients(dropped),
        };
        match policy::rcpt(&facts) {
            Ok(()) => Reply::RECIPIENT_OK,
            Err(reply) if dropped && policy::is_for_queue(facts.resolution) => {
                debug!(forward_path = %recipient.path, %reply, "left to the queue");
                Reply::RECIPIENT_OK
            }
            Err(reply) => reply,
        }
    }

    async fn begin(&mut self, _: &Envelope) -> Reply {
        self.intake.begin(&self.local.core).await
    }

    async fn content(&mut self, mut piece: &[u8]) {
        if let Some(writer) = &mut self.writer {
            let room = self.local.core.limits.message_bytes.saturating_sub(self.intake.len());
            piece = writer.fitting(piece, room);
        }
        self.intake.content(piece).await;
    }

    fn discard(&mut self) {
        self.intake.discard();
    }

    async fn end(&mut self, envelope: Envelope, _: &Peer<'_>) -> Final {
        let transaction = Transaction::new(HERE, &envelope, self.intake.len());
        let (id, mut original) = (transaction.id, None);
        let accepted = match self.whole(&envelope, &mut original).await {
            Ok(content) => self.accept(&transaction, envelope, content).await,
            Err(reply) => Err(reply),
        };
        self.taken += usize::from(accepted.is_ok());
        let address = self.local.address(self.user);
        let reply = transaction.finish(&self.local.core, address.as_ref(), accepted);
        Final::Same(match original {
            Some(original) if reply.is_permanent() => self.give_back(id, original, reply).await,
            _ => reply,
        })
    }
}

impl<'a> Session<'a> {
    fn new(local: &'a Local, user: &'a LocalUser, writer: Option<Writer<'a>>) -> Self {
        Self { local, user, writer, intake: Intake::default(), taken: 0 }
    }

    /// The whole message, unless it is refused already; `original` is what of a drop can go back.
    async fn whole(
        &mut self,
        envelope: &Envelope,
        original: &mut Option<Original>,
    ) -> Result<Incoming, Reply> {
        let content = self.intake.take()?;
        let Some(writer) = &mut self.writer else { return Ok(content) };
        let (returnable, content) = writer.finish(envelope, content).await?;
        *original = Some(returnable);
        content
    }

    async fn accept(
        &self,
        transaction: &Transaction,
        envelope: Envelope,
        content: Incoming,
    ) -> Result<Taken, Reply> {
        let Local { core, origin, .. } = self.local;
        check_header(&content)?;
        let Some(account) = self.local.address(self.user) else { return Err(Reply::BAD_REVERSE_PATH) };
        // A filter may hand back by sendmail.
        let returned = core.passes.read(HERE, content.head());
        let is_trusted = self.local.is_trusted(self.user);
        let source = if is_trusted { Source::Trusted } else { Source::of(&returned) };
        let head = forgeries::removed(&core.hostname, content.head(), source);
        let head = author::completed_by(head.as_deref().unwrap_or(content.head()), origin);
        let head = author::without_secrets(&head).unwrap_or(head);
        let (head, sender) = self.honest(head, &account);
        let (id, date, hostname) = (transaction.id, now(), &core.hostname);
        let head = author::in_words(&head, envelope.parameters.smtputf8, id).unwrap_or(head);
        // The sender that the user gave, which was judged at MAIL, is who writes.
        let writer = self.local.completed(envelope.reverse_path.clone());
        let writer = writer.address().unwrap_or(&account);
        let completion = Completion { account: Some(writer), hostname, id, date }.missing_fields(&head);
        let recipient = sole_recipient(&envelope).map(|address| self.local.at_home(address));
        let received = trace::received_from_user(
            hostname,
            (&self.user.name, self.user.uid),
            id,
            date,
            recipient.as_ref(),
        );
        // What we add is signed with the rest, so it belongs to the content.
        let head = [completion.as_bytes(), sender.as_bytes(), &head].concat();
        let content =
            intake::with_head(&core.store, content, head).await.map_err(|error| intake::refusal(&error))?;
        let content = self.local.shortener.shorten(&core.store, content, id).await;
        let content = content.map_err(|error| intake::refusal(&error))?;
        let (content, mut ruling) = core.rules.submission.rule(&core.store, content, id).await?;
        if ruling.discard {
            traced::dropped(core, id, &envelope.reverse_path, "a header rule wants it so");
            return Ok(Taken::Dropped);
        }
        let reverse_path = self.local.completed(envelope.reverse_path);
        let named = (Envelope { reverse_path, ..envelope }, Arc::new(content));
        let (envelope, content) = core.renamed(named, &returned).await?;
        let (filter, pass) = core.passes.issue(ruling.filter.take(), &returned, id);
        let signature = core.signature(&content, &returned).await?;
        let prefix = signature + &received;
        let Envelope { reverse_path, recipients, parameters } = envelope;
        let parameters = MailParameters { filter, ..parameters };
        let mut recipients = ruling.recipients(recipients);
        core.rules.copies.add(&reverse_path, &mut recipients).await.map_err(|error| error.reply())?;
        let envelope = Envelope { reverse_path, recipients, parameters };
        let hold = ruling.hold;
        let taken = Taken::of(hold.as_deref(), returned.is_junk());
        let message = Message { hold, ..Message::of_ours(id, envelope, prefix, content) };
        let message = message.noted(core, &returned, &pass);
        deliver(core, message).await.map_err(|error| error.reply())?;
        Ok(taken)
    }

    /// Whether the user has written it, or sends again what another house wrote, and says so in fields of its own (RFC 5322
    /// §3.6.6).
    fn answers_for(&self, authors: &Authors, head: &[u8]) -> bool {
        let is_own = |address: &Address| self.local.is_own(self.user, address);
        let ours = self.local.core.ours();
        let is_elsewhere = ours.elsewhere(head);
        authors.now.iter().all(is_own)
            && authors.before.iter().all(|author| is_own(author) || is_elsewhere(author))
    }

    /// Who writes under another name is named beside it (RFC 6409 §8.1); trusted users are taken at their word.
    fn honest(&self, head: Vec<u8>, account: &Address) -> (Vec<u8>, String) {
        let authors = author::authors(&head).unwrap_or_default();
        let own = !authors.now.is_empty() && self.answers_for(&authors, &head);
        let absent = header::first(&head, "From").is_none();
        if own || absent || self.local.is_trusted(self.user) {
            return (head, String::new());
        }
        (header::without(&head, &["Sender"]), format!("Sender: <{account}>\r\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_heard_up_to_where_it_may_end() {
        let cases: [(&[u8], usize); 10] = [
            (b"a\r\n..\r\n.\r\nEHLO x\r\n", 10),
            (b"a\n.\nEHLO x\n", 4),
            (b".\r\nEHLO x\r\n", 3),
            // The dot, or more, came before.
            (b"\r\nEHLO x\r\n", 2),
            (b"\nEHLO x\r\n", 1),
            (b"a\r\n.b\r\n", 7),
            (b"a\r\n.\rb\r\n", 8),
            (b"a\r\n.", 4),
            (b"a", 1),
            (b"a\r\n\r\nb\r\n.\r\n", 11),
        ];
        for (octets, expected) in cases {
            assert_eq!(end_of_message(octets), expected, "{}", octets.escape_ascii());
        }
    }
}
