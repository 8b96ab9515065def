//! Sends a message through submission and reads it back over IMAP.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_sasl::Secret;
use kings_tls::ClientTls;

use crate::dialogue::Dialogue;

/// How long the message may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// The server under test.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name.
    pub hostname: Domain,
    /// Submission under TLS.
    pub submissions: SocketAddr,
    /// IMAP under TLS.
    pub imaps: SocketAddr,
}

/// An account with its password.
#[derive(Clone, Debug)]
pub struct Person {
    /// The account.
    pub account: Address,
    /// Its password.
    pub password: Secret,
}

/// What has just been done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The sender is logged in at submission.
    SubmissionLogin,
    /// The message was accepted with this reply.
    Sent(String),
    /// The recipient is logged in over IMAP.
    ImapLogin,
    /// The message lies in the inbox under this UID.
    Arrived(String),
    /// It was read and its text is the one that was sent.
    ReadBack,
}

/// The test failed.
#[derive(Debug, thiserror::Error)]
pub enum SelfTestError {
    /// The connection broke or took too long.
    #[error("{doing}: {cause}")]
    Connection {
        /// What was being done.
        doing: &'static str,
        /// What went wrong.
        cause: io::Error,
    },
    /// The server said something else than it should.
    #[error("{doing}: the server said \"{line}\"")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// Its words.
        line: String,
    },
    /// The message was accepted and did not come.
    #[error("the message was accepted and is not in the inbox after {} s", ARRIVAL.as_secs())]
    Lost,
    /// The message came with another text.
    #[error("the message in the inbox is not the one that was sent")]
    Altered,
}

/// What becomes of the message afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// It stays in the inbox.
    Keep,
    /// It is expunged.
    Remove,
}

/// Sends one message from `sender` to `recipient` and reads it back; gives it as it came out. `report` hears each step as it
/// is done.
pub async fn send_and_read_back(
    place: &Place,
    sender: &Person,
    recipient: &Person,
    afterwards: Afterwards,
    mut report: impl FnMut(Step),
) -> Result<Vec<u8>, SelfTestError> {
    let tls = ClientTls::new();
    let letter = Letter::new(&sender.account, &recipient.account, &place.hostname);

    let mut submission = Submission(open(place.submissions, place, &tls).await?);
    submission.log_in(sender, &place.hostname).await?;
    report(Step::SubmissionLogin);
    report(Step::Sent(submission.send(sender, recipient, &letter).await?));

    let mut imap = Imap { dialogue: open(place.imaps, place, &tls).await?, tags: 0 };
    imap.log_in(recipient).await?;
    report(Step::ImapLogin);
    let uid = imap.find(&letter.message_id).await?;
    report(Step::Arrived(uid.clone()));
    let found = imap.fetch(&uid).await?;
    if !found.ends_with(letter.text.as_bytes()) {
        return Err(SelfTestError::Altered);
    }
    report(Step::ReadBack);
    if afterwards == Afterwards::Remove {
        imap.remove(&uid).await?;
    }
    imap.dialogue.say(b"bye LOGOUT\r\n").await.map_err(broken("logging out"))?;
    Ok(found)
}

async fn open(address: SocketAddr, place: &Place, tls: &ClientTls) -> Result<Dialogue, SelfTestError> {
    Dialogue::open(address, &place.hostname, tls).await.map_err(broken("connecting"))
}

fn broken(doing: &'static str) -> impl Fn(io::Error) -> SelfTestError {
    move |cause| SelfTestError::Connection { doing, cause }
}

/// A message nobody else has sent.
struct Letter {
    message_id: String,
    /// Header and body, as sent.
    text: String,
}

impl Letter {
    fn new(from: &Address, to: &Address, hostname: &Domain) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let message_id = format!("<self-test.{}@{hostname}>", now.as_micros());
        let date = DateTime::from_unix(i64::try_from(now.as_secs()).unwrap_or(0));
        let text = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: Your mail server works\r\nDate: {date}\r\n\
             Message-ID: {message_id}\r\n\r\nThis message went in through submission and came out of IMAP.\r\n\
             .\r\nEven this line with a lone dot survived.\r\n"
        );
        Self { message_id, text }
    }
}

struct Submission(Dialogue);

impl Submission {
    async fn log_in(&mut self, sender: &Person, hostname: &Domain) -> Result<(), SelfTestError> {
        const DOING: &str = "logging in at submission";
        self.expect(DOING, "220").await?;
        self.ask(DOING, &format!("EHLO {hostname}\r\n"), "250").await?;
        let Person { account, password } = sender;
        let response = kings_sasl::encode(format!("\0{account}\0{}", password.expose()).as_bytes());
        self.ask(DOING, &format!("AUTH PLAIN {response}\r\n"), "235").await?;
        Ok(())
    }

    async fn send(&mut self, from: &Person, to: &Person, letter: &Letter) -> Result<String, SelfTestError> {
        const DOING: &str = "submitting a message";
        let utf8 = if from.account.to_string().is_ascii() { "" } else { " SMTPUTF8" };
        self.ask(DOING, &format!("MAIL FROM:<{}>{utf8}\r\n", from.account), "250").await?;
        self.ask(DOING, &format!("RCPT TO:<{}>\r\n", to.account), "250").await?;
        self.ask(DOING, "DATA\r\n", "354").await?;
        let stuffed = letter.text.replace("\r\n.", "\r\n..");
        let reply = self.ask(DOING, &format!("{stuffed}.\r\n"), "250").await?;
        self.ask(DOING, "QUIT\r\n", "221").await?;
        Ok(reply)
    }

    async fn ask(&mut self, doing: &'static str, line: &str, code: &str) -> Result<String, SelfTestError> {
        self.0.say(line.as_bytes()).await.map_err(broken(doing))?;
        self.expect(doing, code).await
    }

    /// The last line of the next reply, if it has this code.
    async fn expect(&mut self, doing: &'static str, code: &str) -> Result<String, SelfTestError> {
        loop {
            let line = self.0.line().await.map_err(broken(doing))?;
            if !line.starts_with(code) {
                return Err(SelfTestError::Refused { doing, line });
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
    }
}

struct Imap {
    dialogue: Dialogue,
    tags: u32,
}

/// The untagged answers to one command: each line, and the literal that followed it.
type Untagged = Vec<(String, Vec<u8>)>;

impl Imap {
    async fn log_in(&mut self, recipient: &Person) -> Result<(), SelfTestError> {
        const DOING: &str = "logging in over IMAP";
        let greeting = self.dialogue.line().await.map_err(broken(DOING))?;
        if !greeting.starts_with("* OK") {
            return Err(SelfTestError::Refused { doing: DOING, line: greeting });
        }
        let Person { account, password } = recipient;
        let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        self.ask(DOING, &format!("LOGIN {} {}", quoted(&account.to_string()), quoted(password.expose())))
            .await?;
        self.ask(DOING, "SELECT INBOX").await?;
        Ok(())
    }

    /// Looks until the message is there.
    async fn find(&mut self, message_id: &str) -> Result<String, SelfTestError> {
        let began = Instant::now();
        while began.elapsed() < ARRIVAL {
            let search = format!("UID SEARCH HEADER Message-ID \"{message_id}\"");
            let answers = self.ask("searching the inbox", &search).await?;
            let uids = answers.iter().find_map(|(line, _)| line.strip_prefix("* SEARCH "));
            if let Some(uid) = uids.and_then(|uids| uids.split(' ').next_back()) {
                return Ok(uid.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(SelfTestError::Lost)
    }

    async fn fetch(&mut self, uid: &str) -> Result<Vec<u8>, SelfTestError> {
        const DOING: &str = "reading the message";
        let answers = self.ask(DOING, &format!("UID FETCH {uid} BODY[]")).await?;
        Ok(answers.into_iter().map(|(_, literal)| literal).max_by_key(Vec::len).unwrap_or_default())
    }

    async fn remove(&mut self, uid: &str) -> Result<(), SelfTestError> {
        const DOING: &str = "removing the message";
        self.ask(DOING, &format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await?;
        self.ask(DOING, &format!("UID EXPUNGE {uid}")).await?;
        Ok(())
    }

    /// Sends a command and collects its answers up to the tagged one, which must be OK.
    async fn ask(&mut self, doing: &'static str, command: &str) -> Result<Untagged, SelfTestError> {
        self.tags += 1;
        let tag = format!("k{} ", self.tags);
        self.dialogue.say(format!("{tag}{command}\r\n").as_bytes()).await.map_err(broken(doing))?;
        let mut answers = Untagged::new();
        loop {
            let line = self.dialogue.line().await.map_err(broken(doing))?;
            if let Some(result) = line.strip_prefix(&tag) {
                let done = result.starts_with("OK");
                return if done { Ok(answers) } else { Err(SelfTestError::Refused { doing, line }) };
            }
            let literal = match literal_length(&line) {
                Some(length) => self.dialogue.octets(length).await.map_err(broken(doing))?,
                None => Vec::new(),
            };
            answers.push((line, literal));
        }
    }
}

/// The number in `{123}` at the end of a line.
fn literal_length(line: &str) -> Option<usize> {
    let (_, length) = line.strip_suffix('}')?.rsplit_once('{')?;
    length.parse().ok()
}
