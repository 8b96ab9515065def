//! A small mail account in memory: enough to answer every request of a session.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use kings_imap::command::sort::{Sort, Thread};
use kings_imap::command::{
    Acl, Arriving, Copy, Create, Depth, GetMetadata, List, Mailboxes, Notify, RightsChange, Select,
    SetMetadata, StatusItem, Store, StoreMode,
};
use kings_imap::fetch::{Content, Facts, Fetch, Identity, Segment, Source, is_decodable, render};
use kings_imap::learn::learn;
use kings_imap::list::{Listed, lines, selected};
use kings_imap::response::Attribute;
use kings_imap::search::{self, Key, Program, Search, Searched};
use kings_imap::sort::{Arrival, Sorter};
use kings_imap::thread::Threader;
use kings_imap::view::Reports;
use kings_imap::{
    Append, Change, Code, Condition, Event, Flag, ModSeq, PartUrl, QUOTA_ROOT, QuotaResource, Request,
    Response, SequenceNumber, SequenceSet, Session, StatusValue, Tagged, Uid, View,
};
use kings_mail::date::DateTime;
use kings_mail::rights::Rights;
use kings_sasl::BadExchange;

#[path = "../../../sasl/tests/house/mod.rs"]
mod house;

use house::{Answer, House};

struct Message {
    uid: Uid,
    flags: Vec<Flag>,
    date: DateTime,
    content: Vec<u8>,
    modseq: ModSeq,
    email_id: String,
    saved: Option<DateTime>,
}

struct Mailbox {
    name: String,
    uses: Vec<Attribute>,
    subscribed: bool,
    next: u32,
    /// Counts changes.
    highest: ModSeq,
    messages: Vec<Message>,
    noted: BTreeMap<String, Vec<u8>>,
    granted: BTreeMap<String, Rights>,
}

type Seen = View<Vec<Flag>>;

/// One account and the session's place in it.
/// The messages of one APPEND and where they go.
type Incoming = (String, Option<Uid>, Vec<(Arriving, Vec<u8>)>);

pub(crate) struct Backend {
    mailboxes: Vec<Mailbox>,
    selected: Option<(String, Seen)>,
    incoming: Option<Incoming>,
    noted: BTreeMap<String, Vec<u8>>,
    idling: bool,
    pub(crate) house: House,
}

/// Unix time, for OLDER and YOUNGER: a hundred seconds after the messages came.
const NOW: i64 = 837_596_765;
const VALIDITY: u32 = 3_857_529_045;

pub(crate) fn uid(number: u32) -> Uid {
    Uid(NonZeroU32::new(number).expect("not zero"))
}

impl Backend {
    pub(crate) fn new() -> Self {
        let special = [
            ("Archive", Attribute::Archive),
            ("Drafts", Attribute::Drafts),
            ("Junk", Attribute::Junk),
            ("Sent", Attribute::Sent),
            ("Trash", Attribute::Trash),
        ];
        let mut mailboxes = vec![Mailbox::new("INBOX", &[])];
        mailboxes.extend(special.map(|(name, attribute)| Mailbox::new(name, &[attribute])));
        mailboxes.push(Mailbox::new("Archive.Entwürfe", &[]));
        for (number, content) in [
            (1, &include_bytes!("../messages/plain.eml")[..]),
            (2, include_bytes!("../messages/mixed.eml")),
            (5, include_bytes!("../messages/hostile.eml")),
        ] {
            mailboxes[0].next = number;
            mailboxes[0].add(content, vec![], DateTime::from_unix(837_596_665));
        }
        Self {
            mailboxes,
            selected: None,
            incoming: None,
            noted: BTreeMap::new(),
            idling: false,
            house: House::new("ann"),
        }
    }

    /// What others do to the account: `deliver`, `remove UID`, `flag UID FLAG`.
    pub(crate) fn outside(&mut self, words: &str, session: &mut Session) {
        let inbox = &mut self.mailboxes[0];
        let words: Vec<&str> = words.split(' ').collect();
        let wanted = |text: &str| uid(text.parse().expect("a UID"));
        match words.as_slice() {
            ["deliver"] => {
                inbox.add(b"Subject: new\r\n\r\nbody\r\n", vec![], DateTime::from_unix(837_596_666));
            }
            ["remove", number] => inbox.messages.retain(|message| message.uid != wanted(number)),
            ["flag", number, keyword] => {
                let message = inbox.messages.iter_mut().find(|message| message.uid == wanted(number));
                let message = message.expect("a message");
                message.flags.push(Flag::Keyword((*keyword).to_owned()));
                inbox.highest.0 += 1;
                message.modseq = inbox.highest;
            }
            other => panic!("unknown directive {other:?}"),
        }
        if self.idling {
            self.report(session, Reports::Everything);
        }
    }

    pub(crate) fn answer(&mut self, session: &mut Session, event: Event) {
        match event {
            Event::Login(credentials) => {
                let right = credentials.login == "ann" && credentials.password.expose() == "secret";
                session.finish(if right { Tagged::ok("Logged in") } else { Tagged::LOGIN_FAILED });
            }
            Event::Authenticate(turn) => match self.house.answer(&turn) {
                Answer::Challenge(challenge) => session.challenge(challenge),
                Answer::LoggedIn => session.finish(Tagged::ok("Logged in")),
                Answer::Refused(BadExchange::Malformed) => session.finish(Tagged::BAD_RESPONSE),
                Answer::Refused(_) => session.finish(Tagged::LOGIN_FAILED),
            },
            Event::Request(request) => {
                let reports = request.reports();
                let result = self.request(session, request);
                self.report(session, reports);
                session.finish(result);
            }
            Event::Append(append) => self.append(session, append),
            Event::AppendNext(message) if message.size == Some(0) => {
                self.incoming = None;
                session.finish(Tagged::EMPTY_MESSAGE);
            }
            Event::AppendNext(message) => {
                session.accept_message();
                self.incoming.as_mut().expect("an APPEND").2.push((message, Vec::new()));
            }
            Event::AppendText(_) => session.accept_message(),
            Event::AppendUrl(url) => self.append_url(session, &url),
            Event::Chunk(octets) => {
                let (.., messages) = self.incoming.as_mut().expect("an APPEND");
                messages.last_mut().expect("a message").1.extend(octets);
            }
            Event::AppendEnd => self.append_end(session),
            Event::AppendAborted => self.incoming = None,
            Event::Idle => {
                self.idling = true;
                self.report(session, Reports::Everything);
            }
            Event::IdleDone => {
                self.idling = false;
                self.report(session, Reports::Everything);
                session.finish(Tagged::DONE);
            }
            Event::StartTls => session.tls_started(),
            // Dialogues stay readable: what is handed on between two sessions would be compressed.
            Event::StartCompression => {
                let unread = session.compression_started();
                session.receive(&unread);
            }
            Event::EndCompression => session.compression_ended(),
            Event::Closed => {}
        }
    }

    fn find(&self, name: &str) -> Option<usize> {
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        self.mailboxes
            .iter()
            .position(|mailbox| mailbox.name == name || (is_inbox && mailbox.name == "INBOX"))
    }

    fn append(&mut self, session: &mut Session, append: Append) {
        if self.find(&append.mailbox).is_none() {
            return session.finish(Tagged::TRY_CREATE);
        }
        let replaces = match append.replaces {
            None => None,
            Some(replaced) => {
                let (_, view) = self.opened();
                if view.is_read_only() {
                    return session.finish(Tagged::READ_ONLY);
                }
                let found = view.resolve(&SequenceSet::one(replaced.number), replaced.uid);
                match found.as_deref() {
                    Err(_) => return session.finish(Tagged::NO_SUCH_NUMBER),
                    Ok([]) => return session.finish(Tagged::EXPUNGED),
                    Ok([(_, uid), ..]) => Some(*uid),
                }
            }
        };
        session.accept_message();
        self.incoming = Some((append.mailbox, replaces, vec![(append.message, Vec::new())]));
    }

    fn append_url(&mut self, session: &mut Session, url: &PartUrl) {
        let name = url.mailbox.as_deref().or(self.selected.as_ref().map(|(name, _)| name.as_str()));
        let named = name.and_then(|name| self.find(name));
        let named = named.filter(|_| url.validity.is_none_or(|validity| validity.get() == VALIDITY));
        let message = named.and_then(|at| self.mailboxes[at].messages.iter().find(|m| m.uid == url.uid));
        let octets = message.and_then(|m| url.octets(&Content::new(&m.content)).map(Cow::into_owned));
        let (.., messages) = self.incoming.as_mut().expect("an APPEND");
        let content = &mut messages.last_mut().expect("a message").1;
        match octets {
            None => session.finish(Tagged::bad_url(url.text.as_bytes())),
            Some(octets) if content.len() + octets.len() > 100_000 => session.finish(Tagged::TOO_BIG),
            Some(octets) => {
                content.extend(octets);
                session.accept_message();
            }
        }
    }

    fn append_end(&mut self, session: &mut Session) {
        let (mailbox, replaces, messages) = self.incoming.take().expect("an APPEND");
        let at = self.find(&mailbox).expect("checked before");
        let add = |(message, content): (Arriving, Vec<u8>)| {
            let date = message.internal_date.unwrap_or(DateTime::from_unix(837_596_665));
            self.mailboxes[at].add(&content, message.flags, date)
        };
        let uids: Vec<Uid> = messages.into_iter().map(add).collect();
        let uids = SequenceSet::of(&uids).expect("a message");
        let stored = Tagged::with(Condition::Ok, Code::AppendUid(VALIDITY, uids), "Stored");
        if let Some(gone) = replaces {
            session.respond(&Response::Status(stored));
            self.opened().0.messages.retain(|message| message.uid != gone);
            self.report(session, Reports::Everything);
            return session.finish(Tagged::DONE);
        }
        self.report(session, Reports::Everything);
        session.finish(stored);
    }

    fn report(&mut self, session: &mut Session, reports: Reports) {
        let Some((name, view)) = &mut self.selected else { return };
        let mailbox = self.mailboxes.iter().find(|mailbox| mailbox.name == *name).expect("selected");
        let now = mailbox.messages.iter().map(|message| (message.uid, message.flags.clone()));
        for change in view.update(now, reports) {
            let response = match change {
                Change::Expunge(_, gone) if session.enabled().hears_vanished() => {
                    let uids = SequenceSet::of(&[gone]).expect("one");
                    Response::Vanished { earlier: false, uids }
                }
                Change::Expunge(number, _) => Response::Expunge(number),
                Change::Exists(count) => Response::Exists(count),
                Change::Recent(count) => Response::Recent(count),
                Change::Flags { number, uid, flags } => {
                    let message = mailbox.messages.iter().find(|message| message.uid == uid);
                    let modseq =
                        message.map(|message| message.modseq).filter(|_| session.enabled().condstore);
                    let recent = view.is_recent(uid);
                    Response::FetchFlags { number, uid, flags: Some(flags), recent, modseq }
                }
            };
            session.respond(&response);
        }
    }

    fn request(&mut self, session: &mut Session, request: Request) -> Tagged {
        match request {
            Request::Noop => Tagged::DONE,
            Request::Select(select) => self.select(session, &select),
            Request::Unauthenticate => {
                self.selected = None;
                Tagged::ok("Logged out")
            }
            Request::Create(Create { mailbox, .. }) if self.find(&mailbox).is_some() => {
                Tagged::MAILBOX_EXISTS
            }
            Request::Create(Create { mailbox, uses, .. }) => {
                let made = Mailbox::new(&mailbox, &uses);
                let code = Code::MailboxId(made.id());
                self.mailboxes.push(made);
                Tagged::with(Condition::Ok, code, "Made")
            }
            Request::Delete(name) => self.with(&name, |backend, at| drop(backend.mailboxes.remove(at))),
            Request::Rename { from, to } => self.with(&from, |backend, at| backend.mailboxes[at].name = to),
            Request::Subscribe(name) => {
                self.with(&name, |backend, at| backend.mailboxes[at].subscribed = true)
            }
            Request::Unsubscribe(name) => {
                self.with(&name, |backend, at| backend.mailboxes[at].subscribed = false)
            }
            Request::List(list) => self.list(session, &list),
            Request::Status { mailbox, items } => self.status(session, &mailbox, &items),
            Request::Quota(root) => quota(session, &root),
            Request::QuotaRoot(name) => match self.find(&name) {
                Some(at) => {
                    let mailbox = self.mailboxes[at].name.clone();
                    session.respond(&Response::QuotaRoot { mailbox, is_others: false });
                    quota(session, QUOTA_ROOT)
                }
                None => Tagged::NO_MAILBOX,
            },
            Request::Acl(acl) => self.acl(session, acl),
            Request::GetMetadata(get) => self.get_metadata(session, &get),
            Request::SetMetadata(set) => self.set_metadata(set),
            Request::Notify(Notify::BadEvent) => Tagged::BAD_EVENT,
            Request::Notify(_) => Tagged::DONE,
            Request::Close => {
                self.expunge(None);
                self.selected = None;
                Tagged::DONE
            }
            Request::Unselect => {
                self.selected = None;
                Tagged::DONE
            }
            Request::Expunge(set) => {
                self.expunge(set);
                Tagged::DONE
            }
            Request::Search(search) => self.search(session, &search),
            Request::MultiSearch(multi) => match multi.mailboxes.as_slice() {
                [Mailboxes::Selected] if self.selected.is_none() => Tagged::NOTHING_SELECTED,
                [Mailboxes::Selected] => self.search(session, &multi.search),
                _ => Tagged::DONE,
            },
            Request::Sort(sort) => self.sort(session, sort),
            Request::Thread(thread) => self.thread(session, thread),
            Request::Fetch(fetch) => self.fetch(session, &fetch),
            Request::Store(store) => self.store(&store),
            Request::Copy(copy) => self.copy(session, &copy),
        }
    }

    fn with(&mut self, name: &str, act: impl FnOnce(&mut Self, usize)) -> Tagged {
        let Some(at) = self.find(name) else { return Tagged::NO_MAILBOX };
        act(self, at);
        Tagged::DONE
    }

    fn select(&mut self, session: &mut Session, select: &Select) -> Tagged {
        self.selected = None;
        let (name, read_only) = (select.mailbox.as_str(), select.read_only);
        let Some(at) = self.find(name) else { return Tagged::NO_MAILBOX };
        let mailbox = &self.mailboxes[at];
        let messages = mailbox.messages.iter().map(|message| (message.uid, message.flags.clone()));
        let view = View::new(messages, [], read_only);
        session.respond(&Response::Flags(Flag::SYSTEM.to_vec()));
        session.respond(&Response::Exists(view.len()));
        session.respond(&Response::Recent(view.recent_count()));
        for code in [
            Code::UidValidity(VALIDITY),
            Code::UidNext(uid(mailbox.next)),
            Code::HighestModSeq(mailbox.highest),
            Code::MailboxId(mailbox.id()),
            Code::PermanentFlags(if read_only { vec![] } else { Flag::SYSTEM.to_vec() }, !read_only),
        ] {
            session.respond(&Response::Status(Tagged::with(Condition::Ok, code, "Ok")));
        }
        if session.enabled().rev2 {
            session.respond(&selected(&self.listed(mailbox), '.'));
        }
        self.selected = Some((mailbox.name.clone(), view));
        let code = if read_only { Code::ReadOnly } else { Code::ReadWrite };
        Tagged::with(Condition::Ok, code, "Selected")
    }

    fn list(&self, session: &mut Session, list: &List) -> Tagged {
        let all: Vec<Listed> = self.mailboxes.iter().map(|mailbox| self.listed(mailbox)).collect();
        for line in lines(list, &all, '.') {
            session.respond(&line.response);
            let Some(name) = line.more_of else { continue };
            if !list.status.is_empty() {
                self.status(session, &name, &list.status);
            }
            if list.my_rights {
                session.respond(&Response::MyRights { mailbox: name.clone(), rights: Rights::ALL });
            }
            if !list.metadata.is_empty() {
                let (entries, depth) = (list.metadata.clone(), Depth::Zero);
                let get = GetMetadata { mailbox: Some(name), entries, depth, max_size: None };
                self.get_metadata(session, &get);
            }
        }
        Tagged::DONE
    }

    fn get_metadata(&self, session: &mut Session, get: &GetMetadata) -> Tagged {
        let noted = match &get.mailbox {
            None => &self.noted,
            Some(name) => match self.find(name) {
                Some(at) => &self.mailboxes[at].noted,
                None => return Tagged::NO_MAILBOX,
            },
        };
        let most = get.max_size.map_or(usize::MAX, |most| most as usize);
        let wanted: Vec<_> = noted.iter().filter(|(name, _)| get.wants(name)).collect();
        let longest = wanted.iter().map(|(_, value)| value.len()).filter(|length| *length > most).max();
        let there = wanted.into_iter().filter(|(_, value)| value.len() <= most);
        let entries: Vec<_> = there.map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        let mailbox = get.mailbox.clone();
        if !entries.is_empty() {
            session.respond(&Response::Metadata { mailbox, entries });
        }
        match longest {
            Some(octets) => Tagged::with(
                Condition::Ok,
                Code::MetadataLongEntries(octets as u64),
                "Some values are longer",
            ),
            None => Tagged::DONE,
        }
    }

    fn set_metadata(&mut self, set: SetMetadata) -> Tagged {
        let noted = match &set.mailbox {
            None if set.entries.iter().any(|(entry, _)| entry.starts_with("/shared/")) => {
                return Tagged::SERVER_METADATA;
            }
            None => &mut self.noted,
            Some(name) => match self.find(name) {
                Some(at) => &mut self.mailboxes[at].noted,
                None => return Tagged::NO_MAILBOX,
            },
        };
        for (entry, value) in set.entries {
            match value {
                Some(value) => noted.insert(entry, value),
                None => noted.remove(&entry),
            };
        }
        Tagged::DONE
    }

    /// The owner keeps all rights; what others have is written down and matters to nobody here.
    fn acl(&mut self, session: &mut Session, acl: Acl) -> Tagged {
        let (Acl::Set { mailbox, .. }
        | Acl::Delete { mailbox, .. }
        | Acl::Get(mailbox)
        | Acl::List { mailbox, .. }
        | Acl::Mine(mailbox)) = &acl;
        let Some(at) = self.find(mailbox) else { return Tagged::NO_MAILBOX };
        let Mailbox { name, granted, .. } = &mut self.mailboxes[at];
        let mailbox = name.clone();
        match acl {
            Acl::Set { identifier, change, .. } => {
                let rights = granted.entry(identifier).or_default();
                *rights = match change {
                    RightsChange::Replace(these) => these,
                    RightsChange::Add(more) => *rights | more,
                    RightsChange::Remove(less) => rights.without(less),
                };
            }
            Acl::Delete { identifier, .. } => drop(granted.remove(&identifier)),
            Acl::Get(_) => {
                let others = granted.iter().map(|(name, rights)| (name.clone(), *rights));
                let entries = [("ann".to_owned(), Rights::ALL)].into_iter().chain(others).collect();
                session.respond(&Response::Acl { mailbox, entries });
            }
            Acl::List { identifier, .. } => {
                let own = Rights::LOOKUP | Rights::ADMIN;
                let required = if identifier == "ann" { own } else { Rights::NONE };
                session.respond(&Response::ListRights { mailbox, identifier, required });
            }
            Acl::Mine(_) => session.respond(&Response::MyRights { mailbox, rights: Rights::ALL }),
        }
        Tagged::DONE
    }

    fn listed(&self, mailbox: &Mailbox) -> Listed {
        let below = format!("{}.", mailbox.name);
        Listed {
            name: mailbox.name.clone(),
            subscribed: mailbox.subscribed,
            exists: true,
            is_level: false,
            special_uses: mailbox.uses.clone(),
            has_children: self.mailboxes.iter().any(|other| other.name.starts_with(&below)),
        }
    }

    fn status(&self, session: &mut Session, name: &str, items: &[StatusItem]) -> Tagged {
        let Some(at) = self.find(name) else { return Tagged::NO_MAILBOX };
        let mailbox = &self.mailboxes[at];
        let count = |count: usize| count as u64;
        let value = |item: &StatusItem| match item {
            StatusItem::MailboxId => unreachable!("no number"),
            StatusItem::Messages => count(mailbox.messages.len()),
            StatusItem::Recent => 0,
            StatusItem::UidNext => u64::from(mailbox.next),
            StatusItem::UidValidity => u64::from(VALIDITY),
            StatusItem::Size => mailbox.messages.iter().map(|message| message.content.len() as u64).sum(),
            StatusItem::AppendLimit => 100_000,
            StatusItem::HighestModSeq => mailbox.highest.0,
            StatusItem::Deleted | StatusItem::DeletedStorage => {
                count(mailbox.messages.iter().filter(|m| m.flags.contains(&Flag::Deleted)).count())
            }
            StatusItem::Unseen => {
                count(mailbox.messages.iter().filter(|m| !m.flags.contains(&Flag::Seen)).count())
            }
        };
        let told = |item: &StatusItem| match item {
            StatusItem::MailboxId => (*item, StatusValue::Id(mailbox.id())),
            item => (*item, StatusValue::Number(value(item))),
        };
        let items = items.iter().map(told).collect();
        session.respond(&Response::MailboxStatus { mailbox: mailbox.name.clone(), items });
        Tagged::DONE
    }

    fn opened(&mut self) -> (&mut Mailbox, &mut Seen) {
        let (name, view) = self.selected.as_mut().expect("the session checks the state");
        (self.mailboxes.iter_mut().find(|mailbox| mailbox.name == *name).expect("selected"), view)
    }

    fn expunge(&mut self, set: Option<SequenceSet>) {
        let (mailbox, view) = self.opened();
        if view.is_read_only() {
            return;
        }
        let only: Option<Vec<Uid>> =
            set.map(|set| view.with_uids(&set).into_iter().map(|(_, uid)| uid).collect());
        mailbox.messages.retain(|message| {
            !message.flags.contains(&Flag::Deleted)
                || only.as_ref().is_some_and(|only| !only.contains(&message.uid))
        });
    }

    fn search(&mut self, session: &mut Session, search: &Search) -> Tagged {
        if search.returns.is_some_and(|returns| returns.save) {
            self.opened().1.save(Vec::new());
        }
        let Some(key) = search.key.clone() else { return Tagged::BAD_CHARSET };
        let found = self.find_messages(key);
        self.tell_found(session, search, &found, false)
    }

    fn sort(&mut self, session: &mut Session, sort: Sort) -> Tagged {
        if sort.search.returns.is_some_and(|returns| returns.save) {
            self.opened().1.save(Vec::new());
        }
        let Some(key) = sort.search.key.clone() else { return Tagged::BAD_CHARSET };
        let found = self.find_messages(key);
        let mut sorter = Sorter::new(sort.criteria);
        for (place, message) in self.found_messages(&found).enumerate() {
            let [_, sheet, _] = learn(&Content::new(&message.content));
            let arrival = Arrival { arrived: message.date.unix(), size: message.content.len() as u64 };
            sorter.take(place, arrival, &sheet);
        }
        let in_order: Vec<_> = sorter.places().into_iter().map(|place| found[place]).collect();
        self.tell_found(session, &sort.search, &in_order, true)
    }

    fn thread(&mut self, session: &mut Session, thread: Thread) -> Tagged {
        let Some(key) = thread.search.key else { return Tagged::BAD_CHARSET };
        let found = self.find_messages(key);
        let mut threader = Threader::new(thread.algorithm);
        for (place, message) in self.found_messages(&found).enumerate() {
            let [_, _, sheet] = learn(&Content::new(&message.content));
            threader.take(place, message.date.unix(), &sheet);
        }
        let uid = thread.search.uid;
        let name = |place: usize| if uid { found[place].1.0 } else { found[place].0.0 };
        session.respond(&Response::Thread(threader.threads(name).expect("little to do")));
        Tagged::DONE
    }

    fn found_messages(&mut self, found: &[(SequenceNumber, Uid)]) -> impl Iterator<Item = &Message> {
        let (mailbox, _) = self.opened();
        found.iter().filter_map(|(_, uid)| mailbox.messages.iter().find(|message| message.uid == *uid))
    }

    fn find_messages(&mut self, key: Key) -> Vec<(SequenceNumber, Uid)> {
        let (mailbox, view) = self.opened();
        let program = Program::new(key, view);
        let mut found = Vec::new();
        for message in &mailbox.messages {
            let Some(number) = view.number(message.uid) else { continue };
            let facts = search::Facts {
                number,
                uid: message.uid,
                flags: &message.flags,
                recent: view.is_recent(message.uid),
                arrived: message.date.day(),
                age: u64::try_from(NOW - message.date.unix()).unwrap_or(0),
                size: message.content.len() as u64,
                modseq: message.modseq,
                email_id: &message.email_id,
                saved: message.saved.map(DateTime::day),
            };
            if program.quick(&facts).unwrap_or_else(|| program.full(&facts, &Searched::new(&message.content)))
            {
                found.push((number, message.uid));
            }
        }
        found
    }

    fn tell_found(
        &mut self,
        session: &mut Session,
        search: &Search,
        found: &[(SequenceNumber, Uid)],
        sorted: bool,
    ) -> Tagged {
        let (mailbox, view) = self.opened();
        let modseq = |uid| mailbox.messages.iter().find(|m| m.uid == uid).map_or(ModSeq(0), |m| m.modseq);
        let modseq: Option<&dyn Fn(Uid) -> ModSeq> = if search.modseq { Some(&modseq) } else { None };
        let answer = search::answer(session.tag(), (search.uid, search.returns), found, modseq);
        if let Some(response) = answer.response {
            session.respond(&if sorted { response.as_sorted() } else { response });
        }
        if let Some(saved) = answer.saved {
            view.save(saved);
        }
        Tagged::DONE
    }

    fn fetch(&mut self, session: &mut Session, fetch: &Fetch) -> Tagged {
        let (mailbox, view) = self.opened();
        let Ok(wanted) = view.resolve(&fetch.set, fetch.uid) else { return Tagged::NO_SUCH_NUMBER };
        let mut result = Tagged::DONE;
        let has_changed = |uid: Uid| {
            let message = mailbox.messages.iter().find(|message| message.uid == uid);
            fetch.changed_since.is_none_or(|since| message.is_none_or(|message| message.modseq > since))
        };
        let wanted: Vec<_> = wanted.into_iter().filter(|(_, uid)| has_changed(*uid)).collect();
        let wanted = fetch.partial.map_or(&wanted[..], |partial| partial.of(&wanted));
        for &(number, uid) in wanted {
            let Some(message) = mailbox.messages.iter_mut().find(|message| message.uid == uid) else {
                result = Tagged::SOME_EXPUNGED;
                continue;
            };
            if fetch.sets_seen() && !view.is_read_only() && !message.flags.contains(&Flag::Seen) {
                message.flags.push(Flag::Seen);
            }
            let facts = Facts {
                number,
                uid,
                flags: message.flags.clone(),
                recent: view.is_recent(uid),
                internal_date: message.date,
                size: message.content.len() as u64,
                modseq: message.modseq,
                uid_only: session.enabled().uid_only,
                identity: Some(Identity { email_id: message.email_id.clone(), saved: message.saved }),
            };
            if !is_decodable(&fetch.items, &Content::new(&message.content)) {
                result = Tagged::UNKNOWN_CTE;
                continue;
            }
            for segment in render(&fetch.items, &facts, Source::Content(&Content::new(&message.content))) {
                match segment {
                    Segment::Text(text) => session.write_rendered(&text),
                    Segment::Content(range) => session.write_rendered(&message.content[range]),
                }
            }
        }
        result
    }

    fn store(&mut self, store: &Store) -> Tagged {
        let (mailbox, view) = self.opened();
        if view.is_read_only() {
            return Tagged::READ_ONLY;
        }
        let Ok(wanted) = view.resolve(&store.set, store.uid) else { return Tagged::NO_SUCH_NUMBER };
        let mut modified = Vec::new();
        for (_, uid) in wanted {
            let Some(message) = mailbox.messages.iter_mut().find(|message| message.uid == uid) else {
                continue;
            };
            if store.unchanged_since.is_some_and(|since| message.modseq > since) {
                modified.push(uid);
                continue;
            }
            mailbox.highest.0 += 1;
            message.modseq = mailbox.highest;
            if store.mode != StoreMode::Add {
                message.flags.retain(|flag| store.mode == StoreMode::Remove && !store.flags.contains(flag));
            }
            if store.mode != StoreMode::Remove {
                message.flags.extend(store.flags.clone());
                message.flags.sort();
                message.flags.dedup();
            }
            if store.silent {
                view.note_flags(uid, message.flags.clone());
            }
        }
        match SequenceSet::of(&modified) {
            Some(set) => Tagged::with(Condition::Ok, Code::Modified(set), "Some messages have changed"),
            None => Tagged::DONE,
        }
    }

    fn copy(&mut self, session: &mut Session, copy: &Copy) -> Tagged {
        let Some(target) = self.find(&copy.mailbox) else { return Tagged::TRY_CREATE };
        let (mailbox, view) = self.opened();
        let Ok(wanted) = view.resolve(&copy.set, copy.uid) else { return Tagged::NO_SUCH_NUMBER };
        let from: Vec<Uid> = wanted.into_iter().map(|(_, uid)| uid).collect();
        let chosen = mailbox.messages.iter().filter(|message| from.contains(&message.uid));
        let copies: Vec<_> = chosen.map(|m| (m.content.clone(), m.flags.clone(), m.date)).collect();
        if copy.removes {
            mailbox.messages.retain(|message| !from.contains(&message.uid));
        }
        let target = &mut self.mailboxes[target];
        let to: Vec<Uid> =
            copies.into_iter().map(|(content, flags, date)| target.add(&content, flags, date)).collect();
        let (Some(from), Some(to)) = (SequenceSet::of(&from), SequenceSet::of(&to)) else {
            return Tagged::DONE;
        };
        let result = Tagged::with(Condition::Ok, Code::CopyUid { validity: VALIDITY, from, to }, "Copied");
        if copy.removes {
            session.respond(&Response::Status(result));
            return Tagged::DONE;
        }
        result
    }
}

impl Mailbox {
    fn new(name: &str, uses: &[Attribute]) -> Self {
        let (subscribed, uses) = (!uses.is_empty(), uses.to_vec());
        Self {
            name: name.to_owned(),
            uses,
            subscribed,
            next: 1,
            highest: ModSeq(100),
            messages: vec![],
            noted: BTreeMap::new(),
            granted: BTreeMap::new(),
        }
    }

    fn add(&mut self, content: &[u8], flags: Vec<Flag>, date: DateTime) -> Uid {
        let uid = uid(self.next);
        self.next += 1;
        self.highest.0 += 1;
        let email_id = format!("M{}", content.len());
        // One file has a name that tells nothing.
        let saved = (uid.0.get() != 5).then(|| DateTime::from_unix(date.unix() + 86_400));
        let (content, modseq) = (content.to_vec(), self.highest);
        self.messages.push(Message { uid, flags, date, content, modseq, email_id, saved });
        uid
    }

    fn id(&self) -> String {
        format!("F{}", self.name.len())
    }
}

fn quota(session: &mut Session, root: &str) -> Tagged {
    if root != QUOTA_ROOT {
        return Tagged::NO_QUOTA_ROOT;
    }
    let resource = |name, used, limit| QuotaResource { name, used, limit };
    session.respond(&Response::Quota(vec![resource("STORAGE", 2, 512), resource("MESSAGE", 3, 1_000)]));
    Tagged::DONE
}
