//! One message from its end of data to its final reply: its name, its log line.

use std::net::IpAddr;
use std::time::Instant;

use kings_mail::address::Address;
use kings_mail::envelope::Envelope;
use kings_mail::header;
use kings_mail::id::TraceId;
use kings_mail::path::ReversePath;
use kings_msgauth::dmarc::author_domains;
use kings_smtp::reply::Reply;
use kings_store::Incoming;
use tracing::info;

use crate::authenticate::Check;
use crate::core::{Core, new_id};
use crate::decide::Final;
use crate::facts::Facts;
use crate::{policy, traced};

/// What became of a message that was taken, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It goes where it was sent.
    Accepted,
    /// The same, in the junk mailboxes of its recipients here.
    Junk,
    /// It waits until an operator releases it.
    Held,
    /// A rule or a filter threw it away.
    Dropped,
}

impl Taken {
    /// What follows for a message that is taken; `hold`: why it waits.
    pub(crate) fn of(hold: Option<&str>, junk: bool) -> Self {
        match (hold, junk) {
            (Some(_), _) => Self::Held,
            (None, true) => Self::Junk,
            (None, false) => Self::Accepted,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accept",
            Self::Junk => "junk",
            Self::Held => "hold",
            Self::Dropped => "discard",
        }
    }
}

/// A message whose content is whole.
pub(crate) struct Transaction {
    pub(crate) id: TraceId,
    client: IpAddr,
    /// Where a trusted host says that the message came from.
    forwarded_for: Option<IpAddr>,
    reverse_path: ReversePath,
    recipients: usize,
    bytes: u64,
    facts: Facts,
    began: Instant,
}

impl Transaction {
    pub(crate) fn new(client: IpAddr, envelope: &Envelope, bytes: u64) -> Self {
        let (reverse_path, recipients) = (envelope.reverse_path.clone(), envelope.recipients.len());
        Self {
            id: new_id(),
            client,
            forwarded_for: None,
            reverse_path,
            recipients,
            bytes,
            facts: Facts::default(),
            began: Instant::now(),
        }
    }

    pub(crate) fn forwarded_for(self, forwarded_for: Option<IpAddr>) -> Self {
        Self { forwarded_for, ..self }
    }

    /// What was found out about the sender.
    pub(crate) fn facts(&self) -> Facts {
        self.facts
    }

    /// What speaks against the sender, for the log.
    pub(crate) fn note(&mut self, facts: Facts) {
        self.facts = facts;
    }

    /// The final reply, and the one line that an operator finds for this message. `account`: who submitted it.
    pub(crate) fn finish(
        self,
        core: &Core,
        account: Option<&Address>,
        result: Result<Taken, Reply>,
    ) -> Reply {
        let (verdict, reply) = self.verdict(result);
        self.log(verdict, account, &reply);
        traced::finished(core, self.id, self.client, &self.reverse_path, &reply);
        reply
    }

    /// The same with an outcome for each recipient (RFC 2033 §4.2). The log line shows the worst of them.
    pub(crate) fn finish_each(self, core: &Core, outcomes: Vec<Result<Taken, Reply>>) -> Final {
        let replies: Vec<(&str, Reply)> = outcomes.into_iter().map(|outcome| self.verdict(outcome)).collect();
        let worst = replies.iter().max_by_key(|(_, reply)| reply.code);
        let is_mixed =
            replies.iter().any(|(verdict, _)| Some(verdict) != replies.first().map(|(first, _)| first));
        if let Some((verdict, reply)) = worst {
            self.log(if is_mixed { "mixed" } else { verdict }, None, reply);
        }
        if let Some((_, reply)) = replies.iter().min_by_key(|(_, reply)| reply.code) {
            traced::finished(core, self.id, self.client, &self.reverse_path, reply);
        }
        Final::Each(replies.into_iter().map(|(_, reply)| reply).collect())
    }

    fn verdict(&self, result: Result<Taken, Reply>) -> (&'static str, Reply) {
        match result {
            Ok(taken) => (taken.as_str(), Reply::accepted(self.id)),
            Err(reply) if reply.is_temporary() => ("defer", reply),
            Err(reply) => ("reject", reply),
        }
    }

    fn log(&self, verdict: &str, account: Option<&Address>, reply: &Reply) {
        let Self { id, client, forwarded_for, reverse_path, recipients, bytes, facts, began } = self;
        let facts = Some(facts.to_string()).filter(|facts| !facts.is_empty());
        let forwarded_for = forwarded_for.map(tracing::field::display);
        let account = account.map(tracing::field::display);
        let (said, took_ms) = (reply.to_string(), began.elapsed().as_millis());
        info!(%id, %client, forwarded_for, account, %reverse_path, recipients, bytes, facts, verdict, reply = said, took_ms, "message received");
    }
}

/// Judges a message by its header alone.
pub(crate) fn check_header(content: &Incoming) -> Result<(), Reply> {
    check_head(content.head(), content.len())
}

/// Judges a message from outside by its header alone: its first [`kings_store::HEAD_OCTETS`], and its whole length; by its
/// authors where DMARC counts.
pub(crate) fn check_arriving(head: &[u8], length: u64, dmarc: Check) -> Result<(), Reply> {
    check_head(head, length)?;
    policy::authors(author_domains(head).err().as_ref(), dmarc)
}

/// Judges any message by its header alone: its first [`kings_store::HEAD_OCTETS`], and its whole length.
pub fn check_head(head: &[u8], length: u64) -> Result<(), Reply> {
    // A header that fills all of the head is over its limit unless the empty line is the last of it.
    let fills = length > head.len() as u64 && header::header_end(head) == head.len();
    let endless = fills && !head.ends_with(b"\n\r\n") && !head.ends_with(b"\n\n");
    let summary = if endless { Err(header::BadHeader::TooLarge) } else { header::check(head) };
    policy::header(summary)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::header::MAX_HEADER_BLOCK;
    use kings_store::{Layout, MailboxLayout, Settings, Store};

    use super::*;

    #[test]
    fn a_header_may_be_as_large_as_its_limit_and_no_larger() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            mail_dir: folder.path().join("mail"),
            index_dir: None,
            layout: Layout::default(),
            mailboxes: MailboxLayout::default(),
            trust_inotify: true,
            free_space_reserve: 0,
        };
        let store = Store::open(settings).unwrap();
        let checked = |header: usize, body: &str| {
            let mut content = store.begin().unwrap();
            let mut text = "X: y\r\n".repeat(900);
            while text.len() < header - 2 {
                let line = format!("Y: {}\r\n", "y".repeat((header - 2 - text.len()).min(60_000) - 5));
                text.push_str(&line);
            }
            text.push_str("\r\n");
            assert_eq!(text.len(), header);
            text.push_str(body);
            content.write(text.as_bytes()).unwrap();
            check_header(&content).is_ok()
        };
        for body in ["", "x", "\r\n", "one line\r\n\r\nanother\r\n"] {
            assert!(checked(MAX_HEADER_BLOCK, body), "{body:?}");
            for over in 1..4 {
                assert!(!checked(MAX_HEADER_BLOCK + over, body), "{over} {body:?}");
            }
        }
    }
}
