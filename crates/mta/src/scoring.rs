//! Addresses here that answer a message with its score (`[score] answer`): found when it is delivered already, judged and
//! answered behind it.

use std::collections::VecDeque;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use kings_dns::Dns;
use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_mail::envelope::{Envelope, MailParameters, Recipient};
use kings_mail::header::{self, header_end};
use kings_mail::id::TraceId;
use kings_mail::message_ids;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_msgauth::spf;
use kings_score::content::{self, Content};
use kings_score::page;
use kings_score::points::{self, ENOUGH, Point, Score, Topic, tenths};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::core::{Core, blocking, new_id, now};
use crate::deliver::{self, Message};
use crate::examine::{Circumstances, Examination, Examiner};
use crate::inbound::Inbound;
use crate::policy::answering::{AnswerFacts, may_answer};

/// Most messages that wait to be judged: what comes beyond is delivered and not answered.
const WAITING: usize = 16;
/// Largest message that is judged, as large as any mail tester takes.
const MAX_MESSAGE: u64 = 16 * 1024 * 1024;
/// The span over which answers are counted.
const WINDOW: Duration = Duration::from_hours(1);
/// Most answers within it to one address, to one domain, and in all.
const TO_ONE: usize = 5;
const TO_DOMAIN: usize = 20;
const IN_ALL: usize = 100;

/// Judges a message as port 25 does, by what is known beside its octets.
type Judge =
    Box<dyn Fn(Circumstances, Vec<u8>) -> Pin<Box<dyn Future<Output = Examination> + Send>> + Send + Sync>;

/// Which addresses answer. Clones share it; the default has none.
#[derive(Clone, Default)]
pub struct Scoring(Option<Arc<Inner>>);

struct Inner {
    addresses: Vec<Address>,
    judge: Judge,
    waiting: Arc<Semaphore>,
    /// One at a time, with what has gone in the last hour.
    answered: Mutex<Answered>,
}

impl Scoring {
    /// These addresses answer; messages are judged as a server of this name and these settings does.
    pub fn new<D>(addresses: Vec<Address>, dns: D, hostname: Domain, inbound: Inbound) -> Self
    where
        D: Dns + Clone + 'static,
    {
        let judge: Judge = Box::new(move |told, octets| {
            let mut examiner = Examiner::begin(dns.clone(), hostname.clone(), inbound.clone(), told);
            examiner.content(&octets);
            Box::pin(examiner.finish_alone())
        });
        let (waiting, answered) = (Arc::new(Semaphore::new(WAITING)), Mutex::default());
        Self((!addresses.is_empty()).then(|| Arc::new(Inner { addresses, judge, waiting, answered })))
    }
}

/// Answers a message to one of these addresses. Waits for nothing: the message is delivered, and whatever is wrong here hinders
/// nobody.
pub(crate) fn look(core: &Core, message: &Message) {
    let Some(inner) = core.scoring.0.clone() else { return };
    let is_called = |address: &&Address| {
        let folded = address.folded();
        let mut paths = message.recipients.iter().map(|recipient| &recipient.path);
        paths.any(|path| matches!(path, ForwardPath::Address(called) if called.folded() == folded))
    };
    let Some(address) = inner.addresses.iter().find(is_called).cloned() else { return };
    let id = message.id;
    let Ok(place) = inner.waiting.clone().try_acquire_owned() else {
        warn!(%id, "too many messages want a score at once: this one is delivered and not answered");
        return;
    };
    let (core, message) = (core.clone(), message.clone());
    tokio::spawn(async move {
        let _place = place;
        match answer(&core, &inner, &message, &address).await {
            Ok(to) => info!(%id, %to, "score sent"),
            Err(why) => info!(%id, why, "no score is sent"),
        }
    });
}

async fn answer(core: &Core, inner: &Inner, message: &Message, from: &Address) -> Result<Address, String> {
    let content = message.content.clone();
    if content.len() > MAX_MESSAGE {
        return Err(format!("it is larger than {MAX_MESSAGE} octets"));
    }
    let octets = blocking(move || {
        let mut octets = Vec::new();
        content.reader().take(MAX_MESSAGE).read_to_end(&mut octets).map(|_| octets)
    });
    let octets = octets.await.map_err(|error| error.to_string())?;
    let head = octets[..header_end(&octets)].to_vec();
    let facts = AnswerFacts {
        reverse_path: &message.reverse_path,
        proven: message.reporter.mail.as_ref(),
        junk: message.junk,
        head: &head,
    };
    let to = may_answer(&facts).map_err(|error| error.to_string())?.clone();
    let mut answered = inner.answered.lock().await;
    answered.count(&to, Instant::now()).map_err(str::to_owned)?;
    let told = Circumstances {
        mail_from: Some(message.reverse_path.clone()),
        ..Circumstances::default().or_of_trace(message.prefix.as_bytes())
    };
    let content = content::judge(&octets, now().unix());
    let found = (inner.judge)(told, octets).await;
    let unasked = Topic::Blocklist.unknown("no list is asked here", vec![]);
    let score = Score { points: points_of(&found, &content, unasked), enough: ENOUGH };
    let id = new_id();
    let letter = Answer { from, to: &to, score: &score, head: &head, hostname: &core.hostname };
    post(core, id, letter.octets(id, now()), &to).await?;
    Ok(to)
}

/// It has no sender, so that its failure makes no other message.
async fn post(core: &Core, id: TraceId, octets: Vec<u8>, to: &Address) -> Result<(), String> {
    let store = core.store.clone();
    let content = blocking(move || {
        let mut incoming = store.begin()?;
        incoming.write(&octets)?;
        Ok::<_, kings_store::StoreError>(incoming)
    });
    let content = Arc::new(content.await.map_err(|error| error.to_string())?);
    let mut envelope = Envelope::new(ReversePath::Null, MailParameters::default());
    envelope.recipients.push(Recipient::from(ForwardPath::Address(to.clone())));
    let prefix = core.signing.fields(&content).await.map_err(|error| error.to_string())?;
    let message = Message::of_ours(id, envelope, prefix, content);
    Box::pin(deliver::deliver(core, message)).await.map_err(|error| error.reply().to_string())
}

/// Why what depends on the client is not known.
const NO_ADDRESS: &str = "the address that sent it is not told (--ip)";

/// The points of a message that was examined, in the order of the page.
pub fn points_of(found: &Examination, content: &Content, blocklist: Point) -> Vec<Point> {
    let told = &found.circumstances;
    let spf = match (told.client, &found.mail_from) {
        (Some(client), Some(outcome)) => points::spf(outcome, client, spf::Limits::default().lookups),
        (Some(_), None) => Topic::Spf.unknown("the reverse-path is not told (--mail-from)", vec![]),
        (None, _) => Topic::Spf.unknown(NO_ADDRESS, vec![]),
    };
    let reverse = found.iprev.as_ref().map(|outcome| points::reverse(outcome, told.helo.as_deref()));
    vec![
        points::dkim(&found.dkim, found.dmarc.dkim_aligned, found.dmarc.author.as_ref()),
        spf,
        points::dmarc(&found.dmarc),
        reverse.unwrap_or_else(|| Topic::Reverse.unknown(NO_ADDRESS, vec![])),
        Topic::Tls.unknown("a message does not tell what its sender's server shows to others", vec![]),
        points::content(content),
        blocklist,
    ]
}

/// The answers of the last hour.
#[derive(Debug, Default)]
struct Answered(VecDeque<(Instant, Address)>);

impl Answered {
    /// Counts one more, if it may go.
    fn count(&mut self, to: &Address, now: Instant) -> Result<(), &'static str> {
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
        let to = to.folded();
        let same = self.0.iter().filter(|(_, other)| *other == to).count();
        let neighbours = self.0.iter().filter(|(_, other)| other.host == to.host).count();
        if same >= TO_ONE {
            return Err("this sender has had enough of them for an hour");
        }
        if neighbours >= TO_DOMAIN || self.0.len() >= IN_ALL {
            return Err("too many are sent within an hour");
        }
        self.0.push_back((now, to));
        Ok(())
    }
}

/// All that an answer says.
struct Answer<'a> {
    from: &'a Address,
    to: &'a Address,
    score: &'a Score,
    /// Header of the message that is answered.
    head: &'a [u8],
    hostname: &'a Domain,
}

impl Answer<'_> {
    /// RFC 3834 §3: `Auto-Submitted`, and the message that it is about. Of that nothing is quoted but what the rules found.
    fn octets(&self, id: TraceId, date: DateTime) -> Vec<u8> {
        let Self { from, to, score, head, hostname } = self;
        let asked =
            header::first(head, "Message-ID").and_then(|field| message_ids::parse(field.value).next());
        let asked = asked
            .and_then(|asked| String::from_utf8(asked).ok())
            .filter(|asked| asked.len() < 500 && asked.bytes().all(|octet| octet.is_ascii_graphic()));
        let thread = asked.map_or(String::new(), |asked| {
            format!("In-Reply-To: <{asked}>\r\nReferences:\r\n <{asked}>\r\n")
        });
        let (got, known) = (tenths(score.got()), tenths(score.known()));
        let page = page::text("Your message, as this server saw it", score).replace('\n', "\r\n");
        format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: Score of your message: {got} of {known}\r\nDate: {date}\r\n\
             Message-ID: <{id}.score@{hostname}>\r\n{thread}Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
             {page}\r\nWhat nobody can tell (?) counts neither way. A machine wrote this; nobody reads answers to it.\r\n"
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_sender_one_domain_and_all_together_get_so_many_answers_an_hour() {
        let mut answered = Answered::default();
        let ann = address("ann@example.org");
        for _ in 0..TO_ONE {
            answered.count(&ann, Instant::now()).unwrap();
        }
        assert!(answered.count(&address("ANN@Example.ORG"), Instant::now()).is_err());
        for number in TO_ONE..TO_DOMAIN {
            answered.count(&address(&format!("{number}@example.org")), Instant::now()).unwrap();
        }
        assert!(answered.count(&address("bob@example.org"), Instant::now()).is_err());
        for number in TO_DOMAIN..IN_ALL {
            answered.count(&address(&format!("bob@{number}.example")), Instant::now()).unwrap();
        }
        assert!(answered.count(&address("bob@other.example"), Instant::now()).is_err());
        tokio::time::advance(WINDOW).await;
        answered.count(&ann, Instant::now()).unwrap();
    }

    #[test]
    fn an_answer_says_that_a_machine_wrote_it_and_nothing_of_the_header_gets_into_it() {
        let score = Score { points: vec![Topic::Tls.full(vec!["fact".into()])], enough: 10 };
        let (from, to) = (address("score@example.org"), address("ann@example.net"));
        let hostname = Domain::parse("mail.example.org").unwrap();
        let octets = |head: &str| {
            let answer =
                Answer { from: &from, to: &to, score: &score, head: head.as_bytes(), hostname: &hostname };
            String::from_utf8(answer.octets(TraceId::new(1, 1), DateTime::from_unix(0))).unwrap()
        };
        let good = octets("Message-ID: <1@example.net>\r\n\r\n");
        assert!(
            good.contains("\r\nAuto-Submitted: auto-replied\r\n")
                && good.contains("\r\nIn-Reply-To: <1@example.net>\r\n")
        );
        assert!(good.contains("\r\nSubject: Score of your message: 1 of 1\r\n"));
        assert!(
            content::judge(good.as_bytes(), 0).findings.is_empty(),
            "{:?}",
            content::judge(good.as_bytes(), 0)
        );
        let bad = octets("Message-ID: <a\r\n b\u{1}\u{e9}@c>\r\nSubject: x\r\n\r\n");
        assert!(!bad.contains("In-Reply-To"), "{bad}");
    }
}
