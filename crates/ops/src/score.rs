//! What the score is measured by: the lists in DNS that an address may be on.

use std::net::IpAddr;

use kings_dns::Dns;
use kings_msgauth::dns_list::{self, Kind, List, Subject, Verdict};

/// The lists that large receivers ask, and that anybody may ask without a key.
pub const LISTS: [&str; 3] = ["zen.spamhaus.org", "bl.spamcop.net", "psbl.surriel.com"];

/// What each list says of an address. One that fails its own test entries (RFC 5782 §5), or refuses us, says nothing:
/// a list that is asked through a public resolver answers that nobody is on it, or that everybody is.
pub async fn listings(dns: &impl Dns, lists: &[List], client: IpAddr) -> Vec<(String, Verdict)> {
    let mut verdicts = Vec::new();
    for list in lists {
        let verdict = match dns_list::test(dns, list, Kind::Addresses).await {
            Some(doubt) => Verdict::CannotTell(doubt),
            None => dns_list::look_up(dns, list, Subject::Address(client)).await,
        };
        verdicts.push((list.zone.to_string(), verdict));
    }
    verdicts
}
