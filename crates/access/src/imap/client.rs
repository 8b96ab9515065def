//! One client: who it is, what it has selected, and who answers each of its requests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kings_directory::{ClientFacts, Login};
use kings_imap::command::Shown;
use kings_imap::view::Reports;
use kings_imap::{Event, Request, Session, Tagged};
use kings_sasl::Mechanisms;
use std::net::IpAddr;
use tokio::time::Instant;
use tracing::{debug, info};

use super::append::Intake;
use super::notify::{Notes, Watching};
use super::selected::Selected;
use super::{Inner, Trouble, Wire};
use crate::connection::End;
use crate::door::Person;
use crate::peer::Peer;
use crate::protocol::{self, News};
use crate::sessions::Place;
use crate::socket::Link;

/// Time in which news of other mailboxes gather.
const GATHERING: Duration = Duration::from_millis(50);

/// The server's side of one client.
#[derive(Debug)]
pub(crate) struct Client {
    pub(super) inner: Arc<Inner>,
    pub(super) peer: Peer,
    pub(super) person: Option<Person>,
    pub(super) selected: Option<Selected>,
    pub(super) intake: Intake,
    pub(super) stranger: Option<Place<IpAddr>>,
    pub(super) login: Login,
    /// Since the first NOTIFY.
    pub(super) watching: Option<Box<Watching>>,
    /// Since ENABLE METADATA, until NOTIFY says what is told.
    pub(super) notes: Option<Box<Notes>>,
    commands: u64,
}

impl Client {
    pub(super) fn new(inner: Arc<Inner>, peer: Peer, stranger: Option<Place<IpAddr>>) -> Self {
        let intake = Intake::default();
        let login = inner.door.people.directory.login(ClientFacts::new(peer.origin()));
        Self {
            inner,
            peer,
            person: None,
            selected: None,
            intake,
            stranger,
            login,
            watching: None,
            notes: None,
            commands: 0,
        }
    }

    async fn request<S: Link>(&mut self, wire: &mut Wire<S>, request: Request) -> io::Result<()> {
        self.commands += 1;
        let (reports, shown) = (request.reports(), request.shows());
        self.renew_rights().await;
        self.begin_modseq(&mut wire.session);
        let result = self.carry_out(wire, request).await.or_else(Trouble::into_result)?;
        self.report(wire, reports, shown).await?;
        self.tell_notes(wire).await?;
        wire.session.finish(result);
        Ok(())
    }

    async fn carry_out<S: Link>(&mut self, wire: &mut Wire<S>, request: Request) -> Result<Tagged, Trouble> {
        match request {
            Request::Unauthenticate => Ok(self.log_out(&mut wire.session)),
            Request::Noop => Ok(Tagged::DONE),
            Request::Select(select) => self.select(wire, &select).await,
            Request::Create(create) => self.create(&create).await,
            Request::Delete(name) => self.delete(&mut wire.session, &name).await,
            Request::Rename { from, to } => self.rename(&from, &to).await,
            Request::Subscribe(name) => self.subscribe(&name).await,
            Request::Unsubscribe(name) => self.unsubscribe(&name).await,
            Request::List(list) => self.list(wire, &list).await,
            Request::Status { mailbox, items } => self.status(&mut wire.session, &mailbox, &items).await,
            Request::Quota(root) => self.quota(&mut wire.session, &root).await,
            Request::Acl(acl) => self.acl(&mut wire.session, acl).await,
            Request::QuotaRoot(mailbox) => self.quota_root(&mut wire.session, &mailbox).await,
            Request::GetMetadata(get) => self.get_metadata(&mut wire.session, &get).await,
            Request::SetMetadata(set) => self.set_metadata(set).await,
            Request::Notify(notify) => self.notify(wire, notify).await,
            Request::Close => self.close(&wire.session).await,
            Request::Unselect => {
                self.selected = None;
                Ok(Tagged::DONE)
            }
            Request::Expunge(set) => self.expunge(&wire.session, set.as_ref()).await,
            Request::Search(search) => self.search(wire, search).await,
            Request::MultiSearch(multi) => self.multi_search(wire, multi).await,
            Request::Sort(sort) => self.sort(wire, sort).await,
            Request::Thread(thread) => self.thread(wire, thread).await,
            Request::Fetch(fetch) => self.fetch(wire, &fetch).await,
            Request::Store(store) => self.store(wire, &store).await,
            Request::Copy(copy) => self.copy(&mut wire.session, &copy).await,
        }
    }

    /// Who is logged in; the session lets no request through before.
    pub(super) fn person(&self) -> Result<&Person, Trouble> {
        self.person.as_ref().ok_or(Trouble::Refused(Tagged::SERVER_BUG))
    }

    /// The selected mailbox; the session lets no request through without one.
    pub(super) fn selected(&mut self) -> Result<&mut Selected, Trouble> {
        self.selected.as_mut().ok_or(Trouble::Refused(Tagged::SERVER_BUG))
    }

    /// What may be done with the selected mailbox may have changed, where it is somebody else's.
    async fn renew_rights(&mut self) {
        if let Some(selected) = &mut self.selected {
            selected.mailbox.renew().await;
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

    async fn answer<S: Link>(&mut self, wire: &mut Wire<S>, event: Event) -> io::Result<()> {
        if self.end_if_closed(&mut wire.session) {
            return Ok(());
        }
        match event {
            Event::Login(credentials) => {
                let result = self.log_in(credentials).await;
                wire.session.finish(result);
            }
            Event::Authenticate(turn) => match self.authenticate(turn).await {
                Ok(result) => wire.session.finish(result),
                Err(challenge) => wire.session.challenge(challenge),
            },
            Event::Request(request) => return self.request(wire, request).await,
            Event::Append(append) => {
                self.renew_rights().await;
                let leave = self.begin_append(append).await;
                self.let_come(wire, leave)?;
            }
            Event::AppendNext(message) => {
                let leave = self.next_append(&message).await;
                self.let_come(wire, leave)?;
            }
            Event::AppendText(octets) => {
                let leave = self.append_text(octets).await;
                self.let_come(wire, leave)?;
            }
            Event::AppendUrl(url) => {
                self.renew_rights().await;
                let leave = self.append_url(&url).await;
                self.let_come(wire, leave)?;
            }
            Event::Chunk(octets) => self.intake.write(octets).await,
            Event::AppendEnd => {
                self.renew_rights().await;
                let result = self.end_append(&mut wire.session).await.or_else(Trouble::into_result)?;
                let replaced = Shown { removals: true, ..Shown::default() };
                self.report(wire, Reports::Everything, replaced).await?;
                wire.session.finish(result);
            }
            Event::AppendAborted => self.intake = Intake::default(),
            // Its news since the last command; `news` waits for those to come.
            Event::Idle => {
                self.renew_rights().await;
                self.report(wire, Reports::Everything, Shown::default()).await?;
            }
            Event::IdleDone => {
                self.renew_rights().await;
                self.report(wire, Reports::Everything, Shown::default()).await?;
                wire.session.finish(Tagged::DONE);
            }
            // The driver has taken care of them.
            Event::StartTls | Event::StartCompression | Event::EndCompression | Event::Closed => {}
        }
        Ok(())
    }

    async fn news(&mut self, mailbox: bool) -> News {
        let is_of_interest = self.watching.as_ref().is_none_or(|watching| watching.selected().is_some());
        let selected = self.selected.as_mut().filter(|_| mailbox && is_of_interest);
        let in_mailbox = async {
            let changed = match selected {
                Some(selected) => selected.changes.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                std::future::pending::<()>().await;
            }
        };
        let of_others = async {
            match (&mut self.watching, &mut self.notes) {
                (Some(watching), _) if mailbox => watching.wait().await,
                (None, Some(notes)) if mailbox => notes.wait().await,
                _ => std::future::pending().await,
            }
            // What happens at once is told at once.
            tokio::time::sleep(GATHERING).await;
        };
        let of_accounts = async {
            match &mut self.person {
                Some(person) => person.changes.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = in_mailbox => News::Mailbox,
            () = of_others => News::Mailbox,
            () = of_accounts => News::Accounts,
        }
    }

    async fn tell_news<S: Link>(&mut self, wire: &mut Wire<S>) -> io::Result<()> {
        self.renew_rights().await;
        let is_delayed =
            self.watching.as_ref().and_then(|watching| watching.selected()).is_some_and(|news| news.delayed);
        let waits = is_delayed && !wire.session.is_idling();
        let reports = if waits { Reports::AllButExpunge } else { Reports::Everything };
        self.report(wire, reports, Shown::default()).await?;
        self.tell_of_others(wire).await?;
        self.tell_notes(wire).await
    }

    fn end_if_closed(&self, session: &mut Session) -> bool {
        let is_closed = |person: &Person| self.inner.door.is_closed_to(person, &self.peer);
        let ends = self.person.as_ref().is_some_and(is_closed);
        if ends {
            session.bye("The account was closed");
        }
        ends
    }

    fn log_end(&self, end: &io::Result<End>, (received, sent): (u64, u64), began: Instant) {
        let client = self.peer.address;
        let Some(person) = &self.person else { return debug!(%client, ?end, "session ended") };
        let (took_ms, end) = (began.elapsed().as_millis(), End::describe(end));
        let (account, commands) = (&person.address, self.commands);
        info!(%client, %account, commands, received, sent, took_ms, end, "IMAP session ended");
    }
}
