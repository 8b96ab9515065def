//! `[inbound] dnsbl`, `dnsbl_domains`, `dnswl` and what goes with them.

use kings_msgauth::dns_list::List;
use kings_mta::Lists;
use kings_net::IpNet;

use super::reader::{Section, Source};

/// Most lists of each kind: ours. Postfix users have three to six.
const MAX_LISTS: usize = 16;

/// Lists in DNS, as `postscreen_dnsbl_sites` has them. Each is a question for each message, so there may be a few only.
pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Lists {
    let what = "a zone, with codes and weight where wanted: \"zen.example.org=127.0.0.[2..11]*2\"";
    let mut read = |key| {
        let lists = section.list(source, key, what, List::parse);
        if lists.len() > MAX_LISTS {
            source.complain(format!("{key} has {} lists: {MAX_LISTS} at most", lists.len()));
        }
        lists
    };
    let (block, welcome, domains) = (read("dnsbl"), read("dnswl"), read("dnsbl_domains"));
    let what = "a network such as \"192.0.2.0/24\"";
    Lists { block, welcome, domains, exempt: section.list(source, "dnsbl_exempt", what, str::parse::<IpNet>) }
}

/// The weight from which a client counts as listed.
pub(super) fn threshold(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<i32> {
    let number = section.number(source, "dnsbl_threshold", 1)?;
    Some(i32::try_from(number).unwrap_or(i32::MAX))
}
