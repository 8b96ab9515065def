//! Gather: the chain of ARC of arriving mail, validated while the message passes by.

use std::net::IpAddr;
use std::sync::Arc;

use kings_dns::Dns;
use kings_mail::date::DateTime;
use kings_msgauth::results::MethodResult;
use kings_msgauth::{arc, dkim};
use tokio::time::Instant;

use super::ask_keys;
use crate::facts::Enquiry;

/// The message as it passes by, and the keys of its seals on their way.
#[derive(Default)]
pub(super) struct Links {
    verifier: arc::Verifier,
    keys: Option<Enquiry<dkim::Keys>>,
}

impl Links {
    /// Takes a piece of the message. As soon as its header is whole the keys are asked for.
    pub(super) fn content<D: Dns + 'static>(&mut self, dns: &Arc<D>, piece: &[u8]) {
        self.verifier.push(piece);
        if self.keys.is_none() {
            self.keys = self.verifier.questions().map(|questions| ask_keys(dns, questions));
        }
    }

    pub(super) async fn report<D: Dns + 'static>(
        self,
        dns: &Arc<D>,
        now: DateTime,
        end: Instant,
    ) -> arc::Report {
        let ended = self.verifier.end();
        let keys = self.keys.unwrap_or_else(|| ask_keys(dns, ended.questions()));
        ended.finish(&keys.answer_by(end).await, now)
    }
}

/// RFC 8617 §6: with the client, whose address the next host cannot see; who sealed stands beside it for people.
pub(super) fn result(report: &arc::Report, client: Option<IpAddr>) -> MethodResult {
    let result = MethodResult::new("arc", report.word().as_str());
    match (&report.chain, report.sets.last()) {
        (arc::Chain::None, _) => result,
        (arc::Chain::Fail(fault) | arc::Chain::Unknown(fault), _) => result.because(fault),
        (arc::Chain::Pass, newest) => {
            let sealer = newest.map(|set| set.sealer.to_string()).unwrap_or_default();
            let count = report.sets.len();
            let result = result
                .because(&format!("i={count}, sealed by {sealer}"))
                .about("header.oldest-pass", &report.oldest_pass());
            match client {
                Some(client) => result.about("smtp.remote-ip", &client),
                None => result,
            }
        }
    }
}
