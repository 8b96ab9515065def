//! One client: who it is, and what answers each of its requests.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use kings_directory::{Account, ClientFacts, Login, LoginError, Progress};
use kings_mail::address::Address;
use kings_pop3::{Event, Reply, Session};
use kings_sasl::{Credentials, Mechanisms, Turn};
use kings_store::StoreError;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::Inner;
use super::inbox::Inbox;
use super::wire::Wire;
use crate::blocking::{Failure, blocking};
use crate::connection::End;
use crate::door::{NotAdmitted, Person};
use crate::peer::Peer;
use crate::protocol::{self, News};
use crate::sessions::Place;
use crate::socket::Link;

/// Octets of a message that are made ready at once.
const PIECE: usize = 64 * 1024;

/// The server's side of one client.
#[derive(Debug)]
pub(crate) struct Client {
    inner: Arc<Inner>,
    peer: Peer,
    stranger: Option<Place<IpAddr>>,
    login: Login,
    reader: Option<Reader>,
}

/// Somebody who is logged in and reads the inbox.
#[derive(Debug)]
struct Reader {
    person: Person,
    inbox: Inbox,
    _lock: Option<Place<Address>>,
    /// Places of messages that RETR has sent.
    read: BTreeSet<usize>,
    removed: usize,
}

impl Client {
    pub(super) fn new(inner: Arc<Inner>, peer: Peer, stranger: Option<Place<IpAddr>>) -> Self {
        let login = inner.door.people.directory.login(ClientFacts::new(peer.origin()));
        Self { inner, peer, stranger, login, reader: None }
    }

    async fn log_in(&mut self, session: &mut Session, credentials: Credentials) {
        let name = credentials.login.clone();
        match self.inner.door.people.directory.log_in(credentials, self.peer.origin()).await {
            Ok(account) => self.welcome(session, account, ("USER", &name)).await,
            Err(error) => self.refuse(session, error, ("USER", &name)).await,
        }
    }

    async fn authenticate(&mut self, session: &mut Session, turn: Turn) {
        let progress = self.login.take(turn).await;
        let (mechanism, name) = self.login.describe();
        let name = name.to_owned();
        match progress {
            Ok(Progress::Challenge(challenge)) => session.challenge(&challenge),
            Ok(Progress::Done(account)) => self.welcome(session, account, (mechanism, &name)).await,
            Err(error) => self.refuse(session, error, (mechanism, &name)).await,
        }
    }

    async fn welcome(&mut self, session: &mut Session, account: Account, (mechanism, name): (&str, &str)) {
        let origin = self.peer.origin();
        match self.open(session, account).await {
            Ok(account) => origin.log(name, mechanism, Ok(&account)),
            Err(closed) => {
                origin.log(name, mechanism, Err(&closed));
                session.refuse(closed.reply());
            }
        }
    }

    async fn refuse(&self, session: &mut Session, error: LoginError, (mechanism, name): (&str, &str)) {
        self.inner.door.refuse(&self.peer, error, (mechanism, name)).await;
        session.refuse(refusal(error));
    }

    /// Opens the inbox of somebody who has proven who they are.
    async fn open(&mut self, session: &mut Session, account: Account) -> Result<Address, NotOpened> {
        let may_log_in = |pauses: &super::Pauses| self.peer.exempt || pauses.may_log_in(&account.address);
        if !self.inner.pauses.as_ref().is_none_or(may_log_in) {
            return Err(NotOpened::TooSoon);
        }
        let lock = match &self.inner.locks {
            Some(locks) => Some(locks.take(account.address.clone(), 1).ok_or(NotOpened::InUse)?),
            None => None,
        };
        let person = self.inner.door.admit(&self.peer, account).await?;
        let (account, inner) = (person.account.clone(), Arc::clone(&self.inner));
        let opened = blocking(move || Inbox::open(&account, &inner.uidl)).await;
        let (inbox, maildrop) = opened.map_err(NotAdmitted::NoMailboxes)?;
        let address = person.address.clone();
        self.reader = Some(Reader { person, inbox, _lock: lock, read: BTreeSet::new(), removed: 0 });
        self.stranger = None;
        session.welcome(maildrop);
        Ok(address)
    }

    /// RETR and TOP.
    async fn send<L: Link>(&mut self, wire: &mut Wire<L>, place: usize, whole: bool) -> io::Result<()> {
        let Some(reader) = &mut self.reader else {
            wire.session.refuse(Reply::SERVER_BUG);
            return Ok(());
        };
        let (inbox, takes_utf8) = (reader.inbox.clone(), wire.session.takes_utf8());
        let (content, surrogate) = match blocking(move || inbox.read(place, takes_utf8)).await {
            Ok(read) => read,
            Err(failure) => {
                wire.session.refuse(failed(&failure));
                return Ok(());
            }
        };
        let content = content.as_ref();
        wire.session.begin_message(surrogate.pieces(content).map(<[u8]>::len).sum());
        for piece in surrogate.pieces(content).flat_map(|piece| piece.chunks(PIECE)) {
            let wants_more = wire.session.write_message(piece);
            wire.relieve().await?;
            if !wants_more {
                break;
            }
        }
        wire.session.end_message();
        if whole {
            reader.read.insert(place);
        }
        Ok(())
    }

    /// QUIT: what was marked goes, and what was read is marked as seen.
    async fn update(&mut self, session: &mut Session, marked: Vec<usize>) {
        let Some(reader) = &mut self.reader else { return session.updated(false) };
        let (inbox, read) = (reader.inbox.clone(), reader.read.iter().copied().collect::<Vec<_>>());
        let outcome = blocking(move || inbox.update(&marked, &read)).await;
        match outcome {
            Ok(removed) => {
                reader.removed = removed;
                session.updated(true);
            }
            Err(failure) => {
                failed(&failure);
                session.updated(false);
            }
        }
    }
}

impl protocol::Client for Client {
    type Session = Session;

    fn mechanisms(&mut self, facts: ClientFacts) -> Mechanisms {
        let directory = &self.inner.door.people.directory;
        let mechanisms = directory.mechanisms(&facts);
        self.login = directory.login(facts);
        mechanisms
    }

    async fn answer<L: Link>(&mut self, wire: &mut Wire<L>, event: Event) -> io::Result<()> {
        if self.end_if_closed(&mut wire.session) {
            return Ok(());
        }
        match event {
            Event::Login(credentials) => self.log_in(&mut wire.session, credentials).await,
            Event::Authenticate(turn) => self.authenticate(&mut wire.session, turn).await,
            Event::Message { place, whole } => self.send(wire, place, whole).await?,
            Event::Update(places) => self.update(&mut wire.session, places).await,
            Event::Relieve => wire.relieve().await?,
            // The driver has taken care of them.
            Event::StartTls | Event::Closed => {}
        }
        Ok(())
    }

    /// A maildrop does not change under its session (RFC 1939 §3).
    async fn news(&mut self, _: bool) -> News {
        match &mut self.reader {
            Some(reader) => reader.person.changes.next().await,
            None => std::future::pending().await,
        }
        News::Accounts
    }

    async fn tell_news<L: Link>(&mut self, _: &mut Wire<L>) -> io::Result<()> {
        Ok(())
    }

    fn end_if_closed(&self, session: &mut Session) -> bool {
        let is_closed = |reader: &Reader| self.inner.door.is_closed_to(&reader.person, &self.peer);
        let ends = self.reader.as_ref().is_some_and(is_closed);
        if ends {
            session.bye("The account was closed");
        }
        ends
    }

    fn log_end(&self, end: &io::Result<End>, (received, sent): (u64, u64), began: Instant) {
        let client = self.peer.address;
        let Some(reader) = &self.reader else { return debug!(%client, ?end, "session ended") };
        let (took_ms, end) = (began.elapsed().as_millis(), End::describe(end));
        let (account, read, removed) = (&reader.person.address, reader.read.len(), reader.removed);
        info!(%client, %account, read, removed, received, sent, took_ms, end, "POP3 session ended");
    }
}

/// Why somebody who has proven who they are gets no session.
#[derive(Debug, thiserror::Error)]
enum NotOpened {
    #[error("logged in a moment ago")]
    TooSoon,
    #[error("another session has the inbox")]
    InUse,
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
}

impl NotOpened {
    fn reply(&self) -> Reply {
        match self {
            Self::TooSoon => Reply::LOGIN_DELAY,
            Self::InUse => Reply::IN_USE,
            Self::NotAdmitted(NotAdmitted::TooManySessions) => Reply::TOO_MANY_SESSIONS,
            Self::NotAdmitted(NotAdmitted::NoMailboxes(failure)) => failed(failure),
        }
    }
}

/// The only place where a failed login becomes a reply.
fn refusal(error: LoginError) -> Reply {
    match error {
        // One answer for both: a second one would tell a guesser that the password is right.
        LoginError::Refused | LoginError::Closed => Reply::LOGIN_FAILED,
        LoginError::Malformed => Reply::BAD_RESPONSE,
        LoginError::TooManyFailures => Reply::TOO_MANY_FAILURES,
        LoginError::Busy => Reply::LOGIN_UNAVAILABLE,
    }
}

/// The only place where a failed call on the store becomes a reply; the cause of local trouble stays in our log.
fn failed(failure: &Failure) -> Reply {
    match failure {
        Failure::Crashed => {
            error!("a store call crashed");
            Reply::SERVER_BUG
        }
        Failure::Store(StoreError::Expunged | StoreError::NoSuchMailbox) => Reply::GONE,
        Failure::Store(StoreError::TooLarge) => Reply::TOO_LARGE,
        Failure::Store(StoreError::Io(error)) => {
            error!(%error, "mail storage failed");
            Reply::TRY_LATER
        }
        Failure::Store(
            error @ (StoreError::NoSpace
            | StoreError::OverQuota
            | StoreError::Locked
            | StoreError::AlreadyExists
            | StoreError::BadName
            | StoreError::UseTaken
            | StoreError::LooksCompressed
            | StoreError::TooManyAnnotations
            | StoreError::CannotDeleteInbox
            | StoreError::BadKeyword
            | StoreError::TooManyKeywords),
        ) => {
            warn!(%error, "mail cannot be read or removed now");
            Reply::TRY_LATER
        }
    }
}
