//! One transaction as the policy services see it, and what they want done with it.

use kings_mail::address::Address;
use kings_mail::envelope::{Envelope, Recipient};
use kings_mail::path::{ForwardPath, ReversePath};
use kings_smtp::reply::Reply;

use super::{Action, Caller, Request, Services, Stage};
use crate::copies::add_copy;
use crate::core::new_id;
use crate::facts::Enquiry;

/// Header fields that policy services may add to one message.
const MAX_FIELDS: usize = 50;

/// What is asked about one client, and then about one transaction of it.
#[derive(Debug)]
pub(crate) struct Consultation {
    services: Services,
    reverse_name: Option<Enquiry<Option<(String, bool)>>>,
    caller: Caller,
    instance: String,
    announced: u64,
    wishes: Wishes,
}

/// What differs between the questions about one transaction.
#[derive(Default)]
struct Question<'a> {
    recipient: Option<&'a ForwardPath>,
    count: usize,
    size: Option<u64>,
    id: &'a str,
}

impl Consultation {
    /// `None` where nobody is asked. `announced`: the octets that MAIL speaks of.
    pub(crate) fn new(services: &Services, caller: Caller, announced: Option<u64>) -> Option<Self> {
        services.are_there().then(|| Self {
            services: services.clone(),
            reverse_name: None,
            caller,
            instance: new_id().to_string(),
            announced: announced.unwrap_or(0),
            wishes: Wishes::default(),
        })
    }

    /// With a name of the client that is still being looked for.
    pub(crate) fn naming(self, reverse_name: Enquiry<Option<(String, bool)>>) -> Self {
        Self { reverse_name: Some(reverse_name), ..self }
    }

    /// Whether the client is welcome at all.
    pub(crate) async fn judge_client(mut self) -> Result<(), Reply> {
        self.ask(Stage::Connect, &ReversePath::Null, Question::default()).await
    }

    /// Whether it is under this name. `before`: whether it said EHLO the last time, since STARTTLS or before it.
    pub(crate) async fn judge_name(mut self, name: &str, extended: bool, before: bool) -> Result<(), Reply> {
        name.clone_into(&mut self.caller.helo);
        self.caller.extended = before;
        let stage = if extended { Stage::Ehlo } else { Stage::Helo };
        self.ask(stage, &ReversePath::Null, Question::default()).await
    }

    /// Whether a transaction of this sender may begin.
    pub(crate) async fn judge_sender(&mut self, path: &ReversePath) -> Result<(), Reply> {
        self.ask(Stage::Mail, path, Question::default()).await
    }

    /// Whether it may write to this recipient.
    pub(crate) async fn judge_recipient(
        &mut self,
        recipient: &ForwardPath,
        path: &ReversePath,
    ) -> Result<(), Reply> {
        self.ask(Stage::Rcpt, path, Question { recipient: Some(recipient), ..Question::default() }).await
    }

    /// Whether the message may come.
    pub(crate) async fn judge_data(&mut self, envelope: &Envelope) -> Result<(), Reply> {
        self.ask(Stage::Data, &envelope.reverse_path, Question::about(envelope)).await
    }

    /// Whether it may stay.
    pub(crate) async fn judge_message(
        &mut self,
        envelope: &Envelope,
        size: u64,
        id: &str,
    ) -> Result<(), Reply> {
        let question = Question { size: Some(size), id, ..Question::about(envelope) };
        self.ask(Stage::EndOfMessage, &envelope.reverse_path, question).await
    }

    pub(crate) fn into_wishes(self) -> Wishes {
        self.wishes
    }

    async fn ask(
        &mut self,
        stage: Stage,
        reverse_path: &ReversePath,
        question: Question<'_>,
    ) -> Result<(), Reply> {
        if !self.services.are_asked_at(stage) {
            return Ok(());
        }
        if let Some(mut enquiry) = self.reverse_name.take() {
            self.caller.reverse_name = enquiry.answer(true).await.flatten();
        }
        let request = Request {
            stage,
            caller: &self.caller,
            reverse_path,
            recipient: question.recipient,
            recipient_count: question.count,
            size: question.size.unwrap_or(self.announced),
            instance: &self.instance,
            id: question.id,
        };
        for wish in self.services.ask(&request).await? {
            self.wishes.add(wish);
        }
        Ok(())
    }
}

impl<'a> Question<'a> {
    /// One recipient is named; of several none is, as in Postfix.
    fn about(envelope: &'a Envelope) -> Self {
        let recipient = match envelope.recipients.as_slice() {
            [only] => Some(&only.path),
            _ => None,
        };
        Self { recipient, count: envelope.recipients.len(), ..Self::default() }
    }
}

/// What the policy services have asked for so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wishes {
    fields: Vec<String>,
    redirect: Option<Address>,
    /// Who gets a copy: the last one that is named, as with Postfix.
    copy: Option<Address>,
    /// Why the message waits in the queue.
    pub(crate) hold: Option<String>,
    /// The message is to be dropped, though it counts as taken.
    pub(crate) discard: bool,
}

impl Wishes {
    fn add(&mut self, action: Action) {
        match action {
            Action::Prepend(field) => {
                // The same answer for each recipient is one field of the message.
                if self.fields.len() < MAX_FIELDS && !self.fields.contains(&field) {
                    self.fields.push(field);
                }
            }
            Action::Discard => self.discard = true,
            Action::Redirect(address) => self.redirect = Some(address),
            Action::Bcc(address) => self.copy = Some(address),
            Action::Hold(why) => self.hold = Some(why),
            Action::Continue
            | Action::Permit
            | Action::Note(_)
            | Action::Refuse(_)
            | Action::DeferIfPermit(_)
            | Action::DeferIfReject(_) => {}
        }
    }

    /// The header fields to be put in front, with their line ends.
    pub(crate) fn fields(&self) -> String {
        self.fields.iter().map(|field| format!("{field}\r\n")).collect()
    }

    /// The recipients and who gets a copy, or the one that takes the place of all.
    pub(crate) fn recipients(self, mut recipients: Vec<Recipient>) -> Vec<Recipient> {
        let Some(address) = self.redirect else {
            if let Some(address) = self.copy {
                add_copy(&mut recipients, address);
            }
            return recipients;
        };
        recipients.first().map(|recipient| recipient.at(ForwardPath::Address(address))).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn wishes_add_up_to_one_message() {
        let mut wishes = Wishes::default();
        for text in ["PREPEND X-A: 1", "PREPEND X-A: 1", "DUNNO", "PREPEND X-B: 2"] {
            wishes.add(Action::parse(text).unwrap());
        }
        assert_eq!(wishes.fields(), "X-A: 1\r\nX-B: 2\r\n");
        wishes.add(Action::parse("REDIRECT bob@example.org").unwrap());
        let recipient = |text| Recipient::from(ForwardPath::parse(text).unwrap());
        let redirected = wishes.recipients(vec![recipient("ann@example.org"), recipient("joe@example.org")]);
        assert_eq!(
            redirected.iter().map(|found| found.path.to_string()).collect::<Vec<_>>(),
            ["<bob@example.org>"]
        );

        // Of copies and reasons the last one counts, and no copy is made of what is redirected.
        for (answers, expected) in [
            (
                &["BCC x@y.example", "BCC sue@example.org"][..],
                &["<ann@example.org>", "<sue@example.org>"][..],
            ),
            (&["BCC ann@example.org"], &["<ann@example.org>"]),
            (&["BCC sue@example.org", "REDIRECT bob@example.org"], &["<bob@example.org>"]),
            (&["HOLD", "HOLD look at it"], &["<ann@example.org>"]),
        ] {
            let mut wishes = Wishes::default();
            for text in answers {
                wishes.add(Action::parse(text).unwrap());
            }
            assert_eq!(wishes.hold.as_deref(), answers[0].starts_with("HOLD").then_some("look at it"));
            let found = wishes.recipients(vec![recipient("ann@example.org")]);
            assert_eq!(found.iter().map(|found| found.path.to_string()).collect::<Vec<_>>(), expected);
        }

        let mut flood = Wishes::default();
        for number in 0..200 {
            flood.add(Action::Prepend(format!("X-A: {number}")));
        }
        assert_eq!(flood.fields().lines().count(), MAX_FIELDS);
        assert_eq!(flood.recipients(vec![recipient("ann@example.org")]), [recipient("ann@example.org")]);
    }
}
