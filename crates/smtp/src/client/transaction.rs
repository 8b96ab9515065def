//! One message to hand over, and what becomes of each of its recipients.

use kings_mail::envelope::{MailParameters, Recipient};
use kings_mail::path::ReversePath;

use super::survey::ContentFacts;
use crate::reply::{Reply, Status};

/// The envelope of one message to hand over.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Argument of MAIL.
    pub reverse_path: ReversePath,
    /// Arguments of RCPT, in order; at least one.
    pub recipients: Vec<Recipient>,
    /// What the sender asked for. What the content needs is told by its octets, not by BODY and SIZE here.
    pub parameters: MailParameters,
    /// What is known of the content.
    pub content: ContentFacts,
}

impl Transaction {
    /// Whether a server without SMTPUTF8 must not have it (RFC 6531 §3.2). A sender that announced SMTPUTF8 may
    /// have meant the header of a part, so there any 8-bit octet counts. Without that announcement 8-bit octets in the
    /// header are of some old charset, and go where 8-bit content goes, as with Postfix.
    pub(super) fn needs_smtputf8(&self) -> bool {
        let Self { content, parameters, .. } = self;
        let in_content = parameters.smtputf8 && content.eight_bit;
        in_content || self.has_utf8_addresses()
    }

    pub(super) fn has_utf8_addresses(&self) -> bool {
        !self.reverse_path.to_string().is_ascii() || !self.recipients.iter().all(is_ascii)
    }
}

pub(super) fn is_ascii(recipient: &Recipient) -> bool {
    recipient.path.to_string().is_ascii()
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
    /// By what it offers the server cannot take this message, and was not asked: another MX host may. In our words.
    Incapable(Reply),
    /// The session ended before the server had said what became of it. In our words.
    Broken(Reply),
}

impl Outcome {
    /// Stands in the place of a reply that cannot be meant.
    pub(super) const MISFIT: Reply = Reply::new(451, Status(4, 5, 0), "its reply does not fit the command");

    /// Whether the server took no more recipients in this transaction, and may take them in the next one (RFC 5321
    /// §4.5.3.1.10): it says so, or says no more than the code that stands for it.
    pub fn is_too_many(&self) -> bool {
        let Self::Refused { reply, permanent: false } = self else { return false };
        matches!(reply.code, 452 | 552) && matches!(reply.status, None | Some(Status(_, 5, 3)))
    }

    fn of(reply: &Reply) -> Self {
        if reply.is_positive() {
            return Self::Accepted(reply.clone());
        }
        if *reply == Self::MISFIT {
            return Self::Broken(Self::MISFIT);
        }
        Self::Refused { reply: reply.clone(), permanent: reply.is_permanent() }
    }
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) transaction: Transaction,
    outcomes: Vec<Option<Outcome>>,
    /// MAIL, every RCPT and, unless the content goes in chunks, DATA left in one write: each is answered, in this
    /// order, whatever the answers before it were (RFC 2920 §3.1).
    pub(super) batched: bool,
    /// The content goes by BDAT.
    pub(super) chunked: bool,
}

impl Running {
    pub(super) fn new(transaction: Transaction, batched: bool, chunked: bool) -> Self {
        let outcomes = vec![None; transaction.recipients.len()];
        Self { transaction, outcomes, batched, chunked }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    /// The first recipient that is not settled.
    pub(super) fn first_open(&self) -> Option<usize> {
        self.outcomes.iter().position(Option::is_none)
    }

    /// The answer to RCPT; a positive one leaves the recipient open until the message is through.
    pub(super) fn asked(&mut self, place: usize, reply: &Reply) {
        if self.outcomes[place].is_none() && !reply.is_positive() {
            // Some servers say 552 when they mean "not so many at once" (RFC 5321 §4.5.3.1.10).
            self.outcomes[place] = Some(match Outcome::of(reply) {
                Outcome::Refused { reply, permanent } => {
                    Outcome::Refused { permanent: permanent && reply.code != 552, reply }
                }
                outcome => outcome,
            });
        }
    }

    /// LMTP's answer about one recipient (RFC 2033 §4.2).
    pub(super) fn settle(&mut self, place: usize, reply: &Reply) {
        self.outcomes[place] = Some(Outcome::of(reply));
    }

    /// The same end for all that are still open.
    pub(super) fn settle_open(&mut self, reply: &Reply) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Outcome::of(reply));
        }
    }

    /// The session is over, for this reason, for all that are still open.
    pub(super) fn break_open(&mut self, reason: &Reply) {
        for outcome in self.outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
            *outcome = Some(Outcome::Broken(reason.clone()));
        }
    }

    /// Forgets all answers: it is not known which commands they belong to.
    pub(super) fn reopen(&mut self) {
        self.outcomes.fill(None);
    }

    /// One outcome for each recipient, once all are settled.
    pub(super) fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes.into_iter().flatten().collect()
    }
}
