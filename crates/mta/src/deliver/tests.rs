//! What one delivery leaves in mailboxes and queue when parts of it fail.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

use kings_directory::{Directory, HostedDomain, TableSource};
use kings_mail::domain::Domain;
use kings_mail::report::Notify;
use kings_queue::{Filter, Queue};
use kings_records::Records;
use kings_store::{Layout, Store};
use kings_tls::{Certificates, Source};
use tempfile::TempDir;

use super::*;
use crate::core::new_id;
use crate::{Clients, HouseRules, Limits, Outgoing, Parts, Rates, Srs, Traffic};

const ALIASES: &str = "team@here.example ann@here.example, joe@here.example, far@far.example
away@here.example far@far.example
out@here.example far@far.example, off@far.example
list@here.example ann@here.example, far@far.example
owner-list@here.example joe@here.example
sue@here.example sue@here.example, far@far.example
away@also.example far@far.example
ml@here.example ann@here.example, gone@here.example
club@here.example ann@here.example, gone@here.example
owner-club@here.example joe@here.example
round@here.example far@far.example, gone@here.example
dead@here.example gone@here.example
";

/// Ann, Joe and Sue are here; `team@` is the first two and somebody elsewhere, and Sue lets somebody elsewhere read along.
pub(crate) struct Setup {
    folder: TempDir,
    pub(crate) core: Core,
}

impl Setup {
    pub(crate) fn new() -> Self {
        Self::with_reserve(0)
    }

    /// `reserve`: octets that must be free for the queue to take anything.
    fn with_reserve(reserve: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let name = |text| Domain::parse(text).unwrap();
        fs::write(path.join("users"), "ann@here.example:\njoe@here.example:\nsue@here.example:\n").unwrap();
        fs::write(path.join("aliases"), ALIASES).unwrap();
        let directory = Directory::open(kings_directory::Settings {
            hostname: name("mail.here.example"),
            domains: ["here.example", "also.example"]
                .map(|domain| HostedDomain { name: name(domain), catch_all: None })
                .to_vec(),
            accounts: path.join("users"),
            aliases: vec![TableSource::Plain(path.join("aliases"))],
            machine: None,
            relays: Vec::new(),
            sender_logins: Vec::new(),
            delimiters: "+".to_owned(),
            login: kings_directory::LoginSettings {
                names: kings_directory::LoginNames::default(),
                mechanisms: None,
                channel_binding: false,
                failures_per_minute: 10,
                failures_per_account: 30,
                remember: std::time::Duration::ZERO,
                known: None,
                secret: kings_sasl::Secret::new("of the tests"),
            },
        });
        let store = Store::open(kings_store::Settings {
            mail_dir: path.join("mail"),
            index_dir: None,
            layout: Layout::default(),
            mailboxes: kings_store::MailboxLayout::default(),
            trust_inotify: true,
            free_space_reserve: 0,
        });
        let queue = kings_queue::Settings {
            free_space_reserve: reserve,
            ..kings_queue::Settings::new(path.join("queue"), name("mail.here.example"))
        };
        let source = Source::SelfSigned { folder: path.join("tls"), hostname: name("mail.here.example") };
        let core = Core::new(Parts {
            hostname: name("mail.here.example"),
            limits: Limits { message_bytes: 1_000_000, recipients: 100, rates: Rates::UNLIMITED },
            traffic: Traffic::default(),
            memory: kings_net::Memory::default(),
            clients: Clients::default(),
            outgoing: Outgoing::default(),
            milters: crate::milter::Milters::default(),
            signing: crate::signing::Signing::default(),
            ways: crate::relay::Ways::default(),
            reports: crate::reporting::Reports::default(),
            scoring: crate::scoring::Scoring::default(),
            records: Records::none(),
            rules: HouseRules::default(),
            passes: crate::Passes::default(),
            srs: Some(Srs::new("a secret of the test").unwrap()),
            directory: directory.unwrap(),
            store: store.unwrap(),
            queue: Queue::open(queue).unwrap(),
            tls: Certificates::open(&source).unwrap().server(),
            tls_for_people: Certificates::open(&source).unwrap().server(),
        });
        Self { folder, core }
    }

    async fn deliver(&self, recipients: &[&str], head: &str) -> Result<(), Reply> {
        self.deliver_from(CAROL, recipients, head).await
    }

    async fn deliver_from(&self, sender: &str, recipients: &[&str], head: &str) -> Result<(), Reply> {
        let message = self.message(sender, recipients, head);
        deliver(&self.core, message).await.map_err(|error| error.reply())
    }

    fn message(&self, sender: &str, recipients: &[&str], head: &str) -> Message {
        let mut content = self.core.store.begin().unwrap();
        content.write(format!("{head}\r\nhello\r\n").as_bytes()).unwrap();
        let recipient = |text: &&str| ForwardPath::parse(text).unwrap().into();
        let envelope = Envelope {
            reverse_path: ReversePath::parse(sender).unwrap(),
            parameters: MailParameters::default(),
            recipients: recipients.iter().map(recipient).collect(),
        };
        Message::of_ours(new_id(), envelope, String::new(), Arc::new(content))
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Messages in the inboxes of Ann and Joe.
    fn stored(&self) -> [usize; 2] {
        ["ann", "joe"].map(|user| files(&self.path(&format!("mail/here.example/{user}/new"))))
    }

    /// Files of entries that count, and of such that do not.
    fn queued(&self) -> [usize; 2] {
        ["entries", "incoming"].map(|name| files(&self.path("queue").join(name)))
    }

    /// Each entry of the queue: its reverse-path and recipients.
    async fn entries(&self) -> Vec<(String, String)> {
        let page = self.core.queue.page(Filter::default(), None).await;
        let paths = |entry: &kings_queue::ListedEntry| {
            entry.recipients.iter().map(|r| r.forward_path.to_string()).collect::<Vec<_>>().join(" ")
        };
        page.entries.iter().map(|entry| (entry.reverse_path.to_string(), paths(entry))).collect()
    }

    /// The Delivered-To fields of all entries of the queue.
    fn delivered_to(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("queue/entries")).unwrap();
        let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
        let fields = texts.flat_map(|text| {
            text.lines()
                .filter_map(|line| line.strip_prefix("Delivered-To: "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        });
        let mut fields: Vec<String> = fields.collect();
        fields.sort();
        fields
    }

    /// Each recipient in the queue with its state.
    async fn states(&self) -> Vec<String> {
        let page = self.core.queue.page(Filter::default(), None).await;
        assert!(page.damaged.is_empty(), "{page:?}");
        let recipients = page.entries.into_iter().flat_map(|entry| entry.recipients);
        recipients
            .map(|r| format!("{} {:?} {}", r.forward_path, r.state, r.last_reply.unwrap_or_default()))
            .collect()
    }
}

fn files(folder: &Path) -> usize {
    fs::read_dir(folder).map_or(0, Iterator::count)
}

const ANN: &str = "ann@here.example";
const JOE: &str = "joe@here.example";
const SUE: &str = "sue@here.example";
const CAROL: &str = "carol@far.example";
const AWAY: &str = "away@here.example";
const AWAY_SENT_IT: &str = "Delivered-To: Away@here.example\r\n";
const FAR: &str = "far@far.example";
const ANN_HAD_IT: &str = "Delivered-To: Ann@here.example\r\n";

#[tokio::test]
async fn local_copies_are_stored_and_the_rest_is_queued() {
    let setup = Setup::new();
    setup.deliver(&["team@here.example", JOE], "").await.unwrap();
    assert_eq!((setup.stored(), setup.queued()), ([1, 1], [1, 0]));
    assert_eq!(setup.states().await, ["<far@far.example> New "]);
}

/// Whoever files a message behind us is told what we thought of it, as is a copy for here that has to wait.
#[tokio::test]
async fn the_verdict_goes_with_every_copy_in_front_of_all_else() {
    let setup = Setup::new();
    fs::create_dir_all(setup.path("mail/here.example")).unwrap();
    fs::write(setup.path("mail/here.example/joe"), "no folder").unwrap();
    let verdict = "X-Kings-Verdict: junk; x\r\n".to_owned();
    let judged = |recipients: &[&str]| Message {
        verdict: verdict.clone(),
        junk: true,
        ..setup.message(CAROL, recipients, "")
    };
    deliver(&setup.core, judged(&[AWAY])).await.unwrap();
    let entries = || fs::read_dir(setup.path("queue/entries")).unwrap().map(|file| file.unwrap().path());
    let judged_entries = || {
        let in_front =
            |path: &std::path::PathBuf| fs::read_to_string(path).unwrap().contains(&format!("\n\n{verdict}"));
        entries().filter(in_front).count()
    };
    assert_eq!((setup.queued(), judged_entries()), ([1, 0], 1));
    deliver(&setup.core, judged(&[ANN, JOE])).await.unwrap();
    assert_eq!((setup.queued(), judged_entries()), ([2, 0], 2));
    // What nobody judged says nothing.
    setup.deliver(&[AWAY], "").await.unwrap();
    assert_eq!((setup.queued(), judged_entries()), ([3, 0], 2));
}

/// LMTP: who needs the queue is refused and has nothing in a mailbox either, so that another try doubles nothing.
#[tokio::test]
async fn each_recipient_that_the_queue_refuses_has_got_nothing() {
    let [ann, team] = [ANN, "team@here.example"];
    let refusing = Setup::with_reserve(u64::MAX);
    let outcomes = deliver_each(&refusing.core, &refusing.message(CAROL, &[team, ann, FAR], "")).await;
    assert_eq!(outcomes, [Err(Reply::NO_SPACE), Ok(()), Err(Reply::NO_SPACE)]);
    // Joe is on the team alone.
    assert_eq!((refusing.stored(), refusing.queued()), ([1, 0], [0, 0]));

    let setup = Setup::new();
    fs::create_dir_all(setup.path("mail/here.example")).unwrap();
    fs::write(setup.path("mail/here.example/joe"), "no folder").unwrap();
    let outcomes = deliver_each(&setup.core, &setup.message(CAROL, &[team, JOE, ann], "")).await;
    assert!(outcomes[0].is_ok() && outcomes[1].is_err() && outcomes[2].is_ok(), "{outcomes:?}");
    assert_eq!((setup.stored()[0], setup.queued()[1]), (1, 0));
    let mut states = setup.states().await;
    states.sort();
    assert_eq!(states, ["<far@far.example> New ", "<joe@here.example> New "]);
}

#[tokio::test]
async fn a_queue_that_refuses_leaves_nothing_in_any_mailbox() {
    let setup = Setup::with_reserve(u64::MAX);
    assert_eq!(setup.deliver(&[ANN, FAR], "").await, Err(Reply::NO_SPACE));
    assert_eq!((setup.stored(), setup.queued()), ([0, 0], [0, 0]));
    setup.deliver(&[ANN, JOE], "").await.unwrap();
    assert_eq!(setup.stored(), [1, 1]);

    let setup = Setup::new();
    fs::remove_dir(setup.path("queue/incoming")).unwrap();
    assert_eq!(setup.deliver(&[ANN, FAR], "").await, Err(Reply::TRY_LATER));
    assert_eq!((setup.stored(), setup.queued()), ([0, 0], [0, 0]));
}

#[tokio::test]
async fn mailboxes_that_all_refuse_leave_nothing_in_the_queue() {
    let setup = Setup::new();
    fs::write(setup.path("mail/here.example"), "no folder").unwrap();
    assert_eq!(setup.deliver(&[ANN, JOE, FAR], "").await, Err(Reply::TRY_LATER));
    assert_eq!(setup.queued(), [0, 0]);
}

#[tokio::test]
async fn a_copy_that_fails_beside_one_that_is_stored_is_queued_for_its_account_alone() {
    let setup = Setup::new();
    fs::create_dir_all(setup.path("mail/here.example")).unwrap();
    fs::write(setup.path("mail/here.example/joe"), "no folder").unwrap();
    setup.deliver(&["team@here.example"], "").await.unwrap();
    // Ours, sent on by an alias and under another reverse-path, and one that only waits, stand apart.
    assert_eq!((setup.stored(), setup.queued()), ([1, 0], [2, 0]));
    let mut states = setup.states().await;
    states.sort();
    assert_eq!(states, ["<far@far.example> New ", "<joe@here.example> New "]);
}

#[tokio::test]
async fn a_copy_that_waited_is_for_its_account_alone_whatever_its_alias_leads_to_beside_it() {
    let setup = Setup::new();
    fs::create_dir_all(setup.path("mail/here.example")).unwrap();
    fs::write(setup.path("mail/here.example/sue"), "no folder").unwrap();
    setup.deliver(&[ANN, SUE], "").await.unwrap();
    let mut states = setup.states().await;
    states.sort();
    assert_eq!(states, ["<far@far.example> New ", "<sue@here.example> New "]);
    let entries = fs::read_dir(setup.path("queue/entries")).unwrap();
    let texts: Vec<String> = entries.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let marked = |text: &&String| text.contains("\nrecipient <sue@here.example> resolved=yes\n");
    assert_eq!(texts.iter().filter(marked).count(), 1, "{texts:?}");

    fs::remove_file(setup.path("mail/here.example/sue")).unwrap();
    let again =
        |address: &str| Recipient { resolved: true, ..Recipient::from(ForwardPath::parse(address).unwrap()) };
    let retried = Message { recipients: vec![again(SUE)], ..setup.message(CAROL, &[], "") };
    deliver(&setup.core, retried).await.unwrap();
    assert_eq!((files(&setup.path("mail/here.example/sue/new")), setup.queued()), (1, [2, 0]));
    // What comes anew goes to both; and an account that is gone is looked for like any address.
    setup.deliver(&[SUE], "").await.unwrap();
    assert_eq!((files(&setup.path("mail/here.example/sue/new")), setup.queued()), (2, [3, 0]));
    let retried = Message { recipients: vec![again("team@here.example")], ..setup.message(CAROL, &[], "") };
    deliver(&setup.core, retried).await.unwrap();
    assert_eq!((setup.stored(), setup.queued()), ([2, 1], [4, 0]));
}

/// A mailbox is where a message ends: whatever it says of its way, nobody who has an account here loses it.
#[tokio::test]
async fn no_account_loses_what_says_that_it_was_here_before() {
    let both_had_it = format!("{ANN_HAD_IT}Delivered-To: joe@here.example\r\n");
    for vouched in [true, false] {
        for (recipients, stored, leaving) in [
            (&[ANN][..], [1, 0], 0),
            (&[ANN, JOE], [1, 1], 0),
            (&["team@here.example", JOE], [1, 1], 1),
            (&[ANN, FAR], [1, 0], 1),
        ] {
            let setup = Setup::new();
            let message = Message { vouched, ..setup.message(CAROL, recipients, &both_had_it) };
            deliver(&setup.core, message.clone()).await.unwrap();
            assert_eq!((setup.stored(), setup.states().await.len()), (stored, leaving), "{recipients:?}");
            let outcomes = deliver_each(&setup.core, &Message { id: new_id(), ..message }).await;
            assert!(outcomes.iter().all(Result::is_ok), "{recipients:?}: {outcomes:?}");
            assert_eq!(setup.stored(), stored.map(|copies| 2 * copies), "{recipients:?}");
        }
    }
}

/// What this server adds by a rule of its own is no round of a ring, be it an alias that leads out.
#[tokio::test]
async fn copies_that_this_server_adds_are_made_whatever_a_message_says_of_its_way() {
    for added in [ANN, AWAY] {
        let setup = Setup::new();
        let head = format!("{ANN_HAD_IT}{AWAY_SENT_IT}");
        let mut message = Message { vouched: false, ..setup.message(CAROL, &[JOE], &head) };
        crate::copies::add_copy(&mut message.recipients, Address::parse(added).unwrap());
        deliver(&setup.core, message).await.unwrap();
        assert_eq!(setup.stored(), [usize::from(added == ANN), 1], "{added}");
        let sent: &[&str] = if added == AWAY { &["<far@far.example> New "] } else { &[] };
        assert_eq!(setup.states().await, sent, "{added}");
    }
    // Named by the client it is one.
    let setup = Setup::new();
    let message = Message { vouched: false, ..setup.message(CAROL, &[AWAY], AWAY_SENT_IT) };
    assert!(matches!(deliver(&setup.core, message).await, Err(DeliveryError::Loop)));
}

/// Who says falsely where a message has been gets no report sent to whomever it names as its sender.
#[tokio::test]
async fn what_strangers_bring_that_an_alias_sent_on_before_is_refused_whole_and_never_reported() {
    for recipients in [&[AWAY][..], &[AWAY, JOE], &[FAR, AWAY]] {
        let setup = Setup::new();
        let message = Message { vouched: false, ..setup.message(CAROL, recipients, AWAY_SENT_IT) };
        let result = deliver(&setup.core, message).await.map_err(|error| error.reply());
        assert_eq!(result, Err(Reply::FORWARDING_LOOP), "{recipients:?}");
        assert_eq!((setup.stored(), setup.queued()), ([0, 0], [0, 0]), "{recipients:?}");
    }
    // Accounts on an alias get theirs, and it sends nothing on.
    let team_sent_it = "Delivered-To: team@here.example\r\n";
    let setup = Setup::new();
    let message = || Message { vouched: false, ..setup.message(CAROL, &["team@here.example"], team_sent_it) };
    deliver(&setup.core, message()).await.unwrap();
    assert_eq!((setup.stored(), setup.queued()), ([1, 1], [0, 0]));
    assert_eq!(deliver_each(&setup.core, &message()).await, [Ok(())]);
    assert_eq!((setup.stored(), setup.queued()), ([2, 2], [0, 0]));
    // One of ours hears of it.
    let setup = Setup::new();
    setup.deliver(&["team@here.example"], team_sent_it).await.unwrap();
    assert_eq!(setup.stored(), [1, 1]);
    let failed = format!("<team@here.example> Failed {}", Reply::FORWARDING_LOOP);
    assert_eq!(setup.states().await, [failed]);
}

/// Nothing has become of what is held, so nobody is told that something did.
#[tokio::test]
async fn what_is_held_is_expanded_and_reported_when_it_is_let_go() {
    let asks = |path: &str| Recipient {
        notify: Notify::When { success: true, failure: true, delay: false },
        ..Recipient::from(ForwardPath::parse(path).unwrap())
    };
    let team = "team@here.example";
    let paths = |entries: Vec<(String, String)>| {
        let mut paths: Vec<String> = entries.into_iter().map(|(_, recipients)| recipients).collect();
        paths.sort();
        paths
    };
    let setup = Setup::new();
    let let_go = Message { recipients: vec![asks(team)], ..setup.message(CAROL, &[], "") };
    let held = Message { hold: Some("a rule".to_owned()), ..let_go.clone() };
    deliver(&setup.core, held).await.unwrap();
    assert_eq!((setup.stored(), paths(setup.entries().await)), ([0, 0], vec![format!("<{team}>")]));
    // Without the rule its copies go, and its sender hears of it.
    let setup = Setup::new();
    let let_go = Message { id: new_id(), ..let_go };
    deliver(&setup.core, let_go.clone()).await.unwrap();
    assert_eq!(setup.stored(), [1, 1]);
    assert_eq!(paths(setup.entries().await), ["<carol@far.example>", "<far@far.example>"]);
    // Somebody who is named as well gets one copy, and what stands for both is no news before that.
    let setup = Setup::new();
    let recipients = vec![asks(ANN), asks(team)];
    deliver(&setup.core, Message { recipients, hold: Some("a rule".to_owned()), ..let_go }).await.unwrap();
    assert_eq!(setup.stored(), [0, 0]);
    assert_eq!(paths(setup.entries().await), ["<ann@here.example> <joe@here.example>", "<far@far.example>"]);
}

/// Who is named and on a list as well hears what it asked for, in whatever order (RFC 3461 §5.2.7).
#[tokio::test]
async fn of_two_recipients_with_one_target_both_are_heard() {
    let asks = |path: &str, notify: &str| Recipient {
        notify: Notify::parse(notify).unwrap_or_default(),
        ..Recipient::from(ForwardPath::parse(path).unwrap())
    };
    let list = "list@here.example";
    let cases = [
        ([(list, "NEVER"), (ANN, "SUCCESS")], "<ann@here.example> SUCCESS <carol@far.example>"),
        ([(ANN, "SUCCESS"), (list, "NEVER")], "<ann@here.example> SUCCESS <carol@far.example>"),
        ([(list, "FAILURE"), (ANN, "DELAY")], "<ann@here.example> FAILURE,DELAY <carol@far.example>"),
        ([(list, "FAILURE"), (ANN, "NEVER")], "<list@here.example> FAILURE <owner-list@here.example>"),
        (
            [("ann+a@here.example", "NEVER"), ("ann+b@here.example", "SUCCESS")],
            "<ann+b@here.example> SUCCESS <carol@far.example>",
        ),
        ([(list, "NEVER"), (FAR, "SUCCESS")], "<far@far.example> SUCCESS <carol@far.example>"),
        ([(FAR, "SUCCESS"), (list, "NEVER")], "<far@far.example> SUCCESS <carol@far.example>"),
        ([(list, "FAILURE"), (FAR, "NEVER")], "<far@far.example> FAILURE <owner-list@here.example>"),
    ];
    for (recipients, expected) in cases {
        let setup = Setup::new();
        let recipients = recipients.map(|(path, notify)| asks(path, notify));
        let message = Message { recipients: recipients.to_vec(), ..setup.message(CAROL, &[], "") };
        let plan =
            Plan::make(&setup.core, &message, &message.recipients, &Visited::told_by(b"")).await.unwrap();
        let local = plan.local.iter().map(|copy| (&copy.recipient, &copy.reverse_path));
        let leaving = plan.departures.iter().flat_map(|departure| {
            departure.recipients.iter().map(|recipient| (recipient, &departure.guise.reverse_path))
        });
        let of_far = expected.starts_with("<far");
        let told: Vec<String> = if of_far { leaving.collect::<Vec<_>>() } else { local.collect() }
            .into_iter()
            .map(|(recipient, reverse_path)| {
                format!("{} {} {reverse_path}", recipient.path, recipient.notify)
            })
            .collect();
        assert_eq!(told, [expected], "{recipients:?}");
    }
}

#[tokio::test]
async fn what_an_alias_sends_on_has_a_reverse_path_of_ours_only_when_it_needs_one() {
    let cases = [
        ("carol@far.example", AWAY, true),
        ("ann@here.example", AWAY, false),
        ("", AWAY, false),
        ("carol@far.example", FAR, false),
    ];
    for (sender, recipient, rewritten) in cases {
        let setup = Setup::new();
        setup.deliver_from(sender, &[recipient], "").await.unwrap();
        let [(reverse_path, recipients)] = &setup.entries().await[..] else { panic!("one entry") };
        assert_eq!(recipients, "<far@far.example>");
        let is_ours =
            reverse_path.starts_with("<SRS0=") && reverse_path.ends_with("=far.example=carol@here.example>");
        assert_eq!(is_ours, rewritten, "{sender} {recipient}: {reverse_path}");
        assert!(rewritten || *reverse_path == format!("<{sender}>"), "{reverse_path}");
        let told: &[&str] = if recipient == AWAY { &[AWAY] } else { &[] };
        assert_eq!(setup.delivered_to(), told);
    }
}

/// What says to be ours and proves nothing must not leave under a name of ours, be it that of the owner of a list.
#[tokio::test]
async fn what_writes_in_our_name_leaves_as_it_came_or_not_at_all() {
    for (sender, recipients, leaving, expected) in [
        (CAROL, &[AWAY][..], Leaving::AsItCame, Ok(CAROL)),
        (CAROL, &["list@here.example"], Leaving::AsItCame, Ok(CAROL)),
        (ANN, &[AWAY], Leaving::Never, Err(Reply::IN_OUR_NAME)),
        ("", &[AWAY], Leaving::Never, Err(Reply::IN_OUR_NAME)),
        (ANN, &[AWAY, "out@here.example"], Leaving::NotYet, Err(Reply::OURS_UNSURE)),
    ] {
        let setup = Setup::new();
        let message = Message { leaving, ..setup.message(sender, recipients, "") };
        let outcome = deliver(&setup.core, message).await.map_err(|error| error.reply());
        assert_eq!(outcome, expected.clone().map(drop), "{sender} {recipients:?}");
        let paths: Vec<String> = setup.entries().await.into_iter().map(|(path, _)| path).collect();
        let sent = expected.map(|path| vec![format!("<{path}>")]).unwrap_or_default();
        assert_eq!(paths, sent, "{sender} {recipients:?}");
        let is_list = recipients.contains(&"list@here.example");
        assert_eq!(setup.stored(), [usize::from(is_list && !sent.is_empty()), 0], "{sender} {recipients:?}");
    }
    // Nothing of it concerns those whose mail stays here, named beside it or on the same list.
    for leaving in [Leaving::Never, Leaving::NotYet] {
        for (recipients, stored) in
            [(&[JOE, AWAY][..], [0, 1]), (&["team@here.example"], [1, 1]), (&["list@here.example"], [1, 0])]
        {
            let setup = Setup::new();
            let message = Message { leaving, vouched: false, ..setup.message(ANN, recipients, "") };
            deliver(&setup.core, message).await.unwrap();
            assert_eq!((setup.stored(), setup.queued()), (stored, [0, 0]), "{leaving:?} {recipients:?}");
        }
    }
    // LMTP tells each recipient its own.
    let setup = Setup::new();
    let message = Message { leaving: Leaving::Never, ..setup.message(ANN, &[JOE, AWAY, ANN], "") };
    assert_eq!(deliver_each(&setup.core, &message).await, [Ok(()), Err(Reply::IN_OUR_NAME), Ok(())]);
    assert_eq!((setup.stored(), setup.queued()), ([1, 1], [0, 0]));
}

#[tokio::test]
async fn bounces_of_what_was_sent_on_find_the_first_sender_and_nothing_else_does() {
    let setup = Setup::new();
    setup.deliver(&[AWAY], "").await.unwrap();
    let (reverse_path, _) = setup.entries().await.remove(0);
    let setup = Setup::new();
    let srs = reverse_path.trim_matches(['<', '>']);
    setup.deliver_from("", &[srs], "").await.unwrap();
    assert_eq!(setup.entries().await, [("<>".to_owned(), "<carol@far.example>".to_owned())]);

    let forged = srs.replace("carol", "dave");
    for (path, sender) in [(srs, CAROL), (&forged, ""), (&forged, CAROL)] {
        let (path, sender) = (ForwardPath::parse(path).unwrap(), ReversePath::parse(sender).unwrap());
        assert_eq!(
            setup.core.resolve(&path, &sender, kings_directory::Reach::Ours).await,
            kings_directory::Resolution::Unknown
        );
    }
}

/// Of each customer's domain, and of whichever it is, the bounce finds the first sender.
#[tokio::test]
async fn what_an_alias_sends_on_has_a_reverse_path_of_its_own_domain() {
    for (alias, domain) in [(AWAY, "here.example"), ("away@also.example", "also.example")] {
        let setup = Setup::new();
        setup.deliver(&[alias], "").await.unwrap();
        let (reverse_path, _) = setup.entries().await.remove(0);
        assert!(
            reverse_path.starts_with("<SRS0=") && reverse_path.ends_with(&format!("@{domain}>")),
            "{alias}"
        );
        let srs = reverse_path.trim_matches(['<', '>']);
        let local_part = srs.rsplit_once('@').unwrap().0;
        for (host, found) in [("here.example", true), ("also.example", true), ("far.example", false)] {
            let path = ForwardPath::parse(&format!("{local_part}@{host}")).unwrap();
            let resolution =
                setup.core.resolve(&path, &ReversePath::Null, kings_directory::Reach::Ours).await;
            let first = kings_directory::Resolution::Targets(vec![
                kings_directory::Place::Remote(Address::parse(CAROL).unwrap()).into(),
            ]);
            assert_eq!(resolution == first, found, "{path}: {resolution:?}");
        }
    }
}

/// As where all recipients have one reply: one copy for a target, in the guise of the first alias, or as it came where it
/// was named.
#[tokio::test]
async fn recipients_of_lmtp_that_lead_to_one_target_send_it_one_copy() {
    let out = "out@here.example";
    let (far, off) = ("<far@far.example>", "<off@far.example>");
    let cases: [(&[&str], &[&str], &[&str]); 5] = [
        (&[AWAY, out], &[far, off], &[AWAY, out]),
        (&[out, AWAY], &["<far@far.example> <off@far.example>"], &[out]),
        (&[AWAY, "away@also.example"], &[far], &[AWAY]),
        (&[AWAY, FAR], &[far], &[]),
        (&[FAR, AWAY], &[far], &[]),
    ];
    for (recipients, entries, aliases) in cases {
        for each in [true, false] {
            let setup = Setup::new();
            let message = setup.message(CAROL, recipients, "");
            let taken = if each {
                deliver_each(&setup.core, &message).await.len()
            } else {
                deliver(&setup.core, message).await.map(|()| recipients.len()).unwrap()
            };
            assert_eq!(taken, recipients.len());
            let mut found: Vec<String> = setup.entries().await.into_iter().map(|(_, all)| all).collect();
            found.sort();
            assert_eq!(found, entries, "{recipients:?} {each}");
            assert_eq!(setup.delivered_to(), aliases, "{recipients:?} {each}");
        }
    }
}

/// The mirror image: a recipient that the client keeps takes nothing from the other one, which leads to the same target.
#[tokio::test]
async fn a_recipient_of_lmtp_that_is_refused_leaves_the_target_to_the_other() {
    let setup = Setup::new();
    fs::create_dir_all(setup.path("mail/here.example")).unwrap();
    fs::write(setup.path("mail/here.example/sue"), "no folder").unwrap();
    // All of Sue's local copies fail, so the client keeps her whole.
    let outcomes = deliver_each(&setup.core, &setup.message(CAROL, &[SUE, AWAY], "")).await;
    assert!(outcomes[0].is_err() && outcomes[1].is_ok(), "{outcomes:?}");
    assert_eq!(setup.states().await, ["<far@far.example> New "]);
    assert_eq!(setup.delivered_to(), [AWAY]);
}

#[tokio::test]
async fn copies_of_several_aliases_leave_apart_and_tell_only_of_their_own() {
    let setup = Setup::new();
    setup.deliver(&[AWAY, "out@here.example", "else@far.example"], "").await.unwrap();
    let mut recipients: Vec<String> = setup.entries().await.into_iter().map(|(_, all)| all).collect();
    recipients.sort();
    assert_eq!(recipients, ["<else@far.example>", "<far@far.example>", "<off@far.example>"]);
    assert_eq!(setup.delivered_to(), [AWAY, "out@here.example"]);
}

#[tokio::test]
async fn all_entries_of_a_message_have_its_id_and_those_of_another_have_not() {
    let setup = Setup::new();
    let message = setup.message(CAROL, &[AWAY, "out@here.example", "else@far.example"], "");
    let id = message.id;
    deliver(&setup.core, message).await.unwrap();
    setup.deliver(&[AWAY], "").await.unwrap();
    let entries = setup.core.queue.entries_of(id);
    assert_eq!(entries, [id, id.behind(1), id.behind(2)]);
    assert_eq!(setup.core.queue.entries_of(id.behind(1)), [id.behind(1)]);
    assert_eq!(setup.core.queue.entries_of(id.behind(7)), []);
    assert_eq!(setup.core.queue.entries_of(new_id()), []);
    let whole = Filter { id: Some(id.to_string()), ..Filter::default() };
    assert_eq!(setup.core.queue.page(whole, None).await.entries.len(), 3);
}

#[tokio::test]
async fn a_message_that_an_alias_has_sent_on_before_goes_round_no_more() {
    let setup = Setup::new();
    assert_eq!(setup.deliver(&[AWAY], AWAY_SENT_IT).await, Err(Reply::FORWARDING_LOOP));
    assert_eq!((setup.stored(), setup.queued()), ([0, 0], [0, 0]));
    setup.deliver(&[AWAY, ANN], AWAY_SENT_IT).await.unwrap();
    assert_eq!(setup.stored(), [1, 0]);
    assert_eq!(setup.states().await, [format!("<away@here.example> Failed {}", Reply::FORWARDING_LOOP)]);
    // The fields of other servers do not count, nor does one of an address that sends nothing on.
    let setup = Setup::new();
    setup.deliver(&[AWAY, FAR], "Delivered-To: far@far.example\r\nDelivered-To: <x>\r\n").await.unwrap();
    assert_eq!(setup.entries().await.len(), 1);
}

#[tokio::test]
async fn each_recipient_of_lmtp_hears_of_its_own_ring() {
    let setup = Setup::new();
    let outcomes =
        deliver_each(&setup.core, &setup.message(CAROL, &[AWAY, ANN, "out@here.example"], AWAY_SENT_IT))
            .await;
    assert_eq!(outcomes, [Err(Reply::FORWARDING_LOOP), Ok(()), Ok(())]);
    assert_eq!(setup.stored(), [1, 0]);
    let [(reverse_path, recipients)] = &setup.entries().await[..] else { panic!("one entry") };
    assert!(reverse_path.starts_with("<SRS0="), "{reverse_path}");
    assert_eq!(recipients, "<far@far.example> <off@far.example>");
}

/// The sender hears of it, or the owner of the list; where the message says to be of ours and proves nothing, nobody whose
/// address may have been taken does, but the postmaster, whose the failures of mail without a sender are.
#[tokio::test]
async fn a_target_that_is_nobodys_fails_alone_and_whoever_is_to_know_hears_of_it() {
    let owner = "owner-club@here.example";
    for (alias, sender, leaving, told) in [
        ("ml@here.example", CAROL, Leaving::Suited, CAROL),
        ("ml@here.example", CAROL, Leaving::AsItCame, CAROL),
        ("ml@here.example", "", Leaving::Suited, ""),
        ("ml@here.example", ANN, Leaving::Never, ""),
        ("ml@here.example", ANN, Leaving::NotYet, ""),
        ("club@here.example", CAROL, Leaving::Suited, owner),
        ("club@here.example", ANN, Leaving::Never, owner),
        ("club@here.example", "", Leaving::Suited, ""),
    ] {
        for lmtp in [false, true] {
            let setup = Setup::new();
            let message = Message { leaving, ..setup.message(sender, &[alias], "") };
            if lmtp {
                assert_eq!(deliver_each(&setup.core, &message).await, [Ok(())]);
            } else {
                deliver(&setup.core, message).await.unwrap();
            }
            let failing = [(format!("<{told}>"), "<gone@here.example>".to_owned())];
            assert_eq!(setup.entries().await, failing, "{alias} {sender} {leaving:?}");
            assert_eq!(setup.stored(), [1, 0], "{alias} {sender} {leaving:?}");
        }
    }
}

#[tokio::test]
async fn a_target_that_is_nobodys_makes_no_mail_taken_that_nobody_would_get() {
    let setup = Setup::new();
    let dead = ForwardPath::parse("dead@here.example").unwrap();
    let reach = kings_directory::Reach::Ours;
    let found = setup.core.resolve(&dead, &ReversePath::Null, reach).await;
    assert_eq!(found, kings_directory::Resolution::Unknown);
    let round = ["round@here.example"];
    let refused = Message { leaving: Leaving::Never, ..setup.message(ANN, &round, "") };
    assert_eq!(deliver(&setup.core, refused).await.map_err(|error| error.reply()), Err(Reply::IN_OUR_NAME));
    let sent_on = "Delivered-To: round@here.example\r\n";
    assert_eq!(setup.deliver(&round, sent_on).await, Err(Reply::FORWARDING_LOOP));
    assert_eq!(setup.queued(), [0, 0]);
}

/// One copy fails, however many aliases lead there, and who asked for no report of it gets none.
#[tokio::test]
async fn what_was_asked_for_holds_for_a_target_that_is_nobodys() {
    let setup = Setup::new();
    let mut message = setup.message(CAROL, &["ml@here.example", "round@here.example"], "");
    message.recipients[0].notify = Notify::Never;
    deliver(&setup.core, message).await.unwrap();
    let texts = fs::read_dir(setup.path("queue/entries")).unwrap();
    let texts: Vec<String> = texts.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let gone: Vec<&str> = lines.filter(|line| line.starts_with("recipient <gone@")).collect();
    assert_eq!(gone, ["recipient <gone@here.example>"]);

    let setup = Setup::new();
    let mut message = setup.message(CAROL, &["ml@here.example"], "");
    message.recipients[0].notify = Notify::Never;
    deliver(&setup.core, message).await.unwrap();
    let file = fs::read_dir(setup.path("queue/entries")).unwrap().next().unwrap().unwrap();
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(text.contains("recipient <gone@here.example> notify=NEVER"), "{text}");
}

#[tokio::test]
async fn copies_of_a_list_come_from_its_owner_where_it_has_one() {
    let owner = "owner-list@here.example";
    let cases = [
        ("list@here.example", CAROL, owner),
        ("list@here.example", "", ""),
        ("team@here.example", CAROL, CAROL),
    ];
    for (list, sender, expected) in cases {
        let setup = Setup::new();
        setup.deliver_from(sender, &[list], "").await.unwrap();
        let new = setup.path("mail/here.example/ann/new");
        let file = fs::read_dir(new).unwrap().next().unwrap().unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.starts_with(&format!("Return-Path: <{expected}>\r\n")), "{list} {sender}: {text}");
        let (reverse_path, recipients) = setup.entries().await.remove(0);
        assert_eq!(recipients, "<far@far.example>");
        let is_expected = if list.starts_with("team") {
            reverse_path.starts_with("<SRS0=")
        } else {
            reverse_path == format!("<{expected}>")
        };
        assert!(is_expected, "{list} {sender}: {reverse_path}");
    }
}

#[tokio::test]
async fn a_copy_that_fails_while_the_queue_refuses_leaves_nothing_to_come_twice() {
    for (broken, expected) in [("space", Reply::NO_SPACE), ("folder", Reply::TRY_LATER)] {
        let setup = Setup::with_reserve(if broken == "space" { u64::MAX } else { 0 });
        fs::create_dir_all(setup.path("mail/here.example")).unwrap();
        fs::write(setup.path("mail/here.example/joe"), "no folder").unwrap();
        if broken == "folder" {
            fs::remove_dir(setup.path("queue/incoming")).unwrap();
        }
        assert_eq!(setup.deliver(&[ANN, JOE], "").await, Err(expected), "{broken}");
        assert_eq!(setup.stored(), [0, 0], "{broken}");
        assert_eq!(files(&setup.path("mail/here.example/ann/tmp")), 0, "{broken}");
    }
}

/// Recipients, who is full, the reply, copies for Ann and Joe, and what waits.
type Case = (
    &'static [&'static str],
    &'static [&'static str],
    Result<(), Reply>,
    [usize; 2],
    &'static [&'static str],
);

/// Accounts that are full keep nothing back that is for others, and their own copies wait or are refused.
#[tokio::test]
async fn full_accounts_hold_up_nobody_else() {
    let full = |accounts: &'static [&'static str]| {
        let setup = Setup::new();
        setup.core.store.limit_by(move |account| kings_store::QuotaLimits {
            octets: accounts.contains(&account.to_string().as_str()).then_some(10),
            ..Default::default()
        });
        setup
    };
    let full_for_now = Err(Reply::MAILBOX_FULL);
    let cases: [Case; 6] = [
        (&[ANN], &[ANN], full_for_now.clone(), [0, 0], &[]),
        (&[ANN, JOE], &[ANN, JOE], full_for_now, [0, 0], &[]),
        (&[ANN, JOE], &[ANN], Ok(()), [0, 1], &["<ann@here.example> New "]),
        (&[ANN, FAR], &[ANN], Ok(()), [0, 0], &["<ann@here.example> New ", "<far@far.example> New "]),
        (&[SUE], &[SUE], Ok(()), [0, 0], &["<far@far.example> New ", "<sue@here.example> New "]),
        (&[ANN, FAR], &[], Ok(()), [1, 0], &["<far@far.example> New "]),
    ];
    for (recipients, accounts, expected, stored, waiting) in cases {
        let setup = full(accounts);
        assert_eq!(setup.deliver(recipients, "").await, expected, "{recipients:?}");
        let mut states = setup.states().await;
        states.sort();
        assert_eq!((setup.stored(), states), (stored, waiting.iter().map(ToString::to_string).collect()));
    }
    let setup = full(&[ANN]);
    let outcomes = deliver_each(&setup.core, &setup.message(CAROL, &[ANN, JOE], "")).await;
    assert_eq!(outcomes, [Err(Reply::MAILBOX_FULL), Ok(())]);
    assert_eq!((setup.stored(), setup.queued()), ([0, 1], [0, 0]));
}
