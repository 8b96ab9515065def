//! Whether a server can take a message at all, by what it offers.

use super::Session;
use crate::client::transaction::{Outcome, Transaction, is_ascii};
use crate::reply::{Reply, Status};

impl Session {
    /// Whether this server could take a message if only its content were 7-bit (RFC 6152 §3): ask before
    /// [`Session::lacks`].
    pub fn wants_seven_bit(&self, transaction: &Transaction) -> bool {
        let Transaction { parameters, content, .. } = transaction;
        let lacks_smtputf8 = parameters.smtputf8 && !self.features.smtputf8;
        let may_take = self.features.smtputf8 || !transaction.has_utf8_addresses();
        content.eight_bit && may_take && (lacks_smtputf8 || !self.features.eight_bit_mime)
    }

    /// Takes those recipients out of a transaction whose addresses this server cannot hear of, where it could take the
    /// message for others: their places, each with why. Ask before anything else.
    pub fn set_aside(&self, transaction: &mut Transaction) -> Vec<(usize, Outcome)> {
        let recipients = &mut transaction.recipients;
        if self.features.smtputf8 || !recipients.iter().any(is_ascii) {
            return Vec::new();
        }
        let lack = Reply::new(554, Status(5, 6, 7), "it does not offer SMTPUTF8, which this address needs");
        let mut places = 0..;
        let mut aside = Vec::new();
        recipients.retain(|recipient| {
            let place = places.next().unwrap_or_default();
            if !is_ascii(recipient) {
                aside.push((place, Outcome::Incapable(lack.clone())));
            }
            is_ascii(recipient)
        });
        aside
    }

    /// What this server lacks for a message, if anything: ask before [`Session::send`].
    pub fn lacks(&self, transaction: &Transaction) -> Option<Outcome> {
        let Transaction { parameters, content, .. } = transaction;
        let incapable = |status, text| Some(Outcome::Incapable(Reply::new(554, status, text)));
        // Each text goes on from "the message cannot be given to HOST: ".
        if parameters.require_tls && !(self.tls && self.features.require_tls) {
            return incapable(Status(5, 7, 30), "it does not offer REQUIRETLS, which the sender asks for");
        }
        if transaction.needs_smtputf8() && !self.features.smtputf8 {
            return incapable(Status(5, 6, 7), "it does not offer SMTPUTF8, which this message needs");
        }
        if content.eight_bit && !self.features.eight_bit_mime {
            return incapable(Status(5, 6, 3), "it does not offer 8BITMIME, which this message needs");
        }
        let limit = self.features.size.filter(|limit| *limit > 0)?;
        let text = format!("it takes at most {limit} octets, and this message has {}", content.octets);
        let reply = Reply::new(552, Status(5, 3, 4), "").with_text(text);
        (content.octets > limit).then_some(Outcome::Incapable(reply))
    }
}
