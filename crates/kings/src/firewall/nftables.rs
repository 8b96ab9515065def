//! A table of nftables of our own, `inet kings`: those of others are read, to tell what they close, and never changed.
//!
//! A packet has to pass the tables of all; so a table of ours can close what others leave open, and opens nothing that
//! another one closes.

use super::others::{self, Closed};
use super::{FirewallError, Open, Protocol, call, demand, is_installed};

const NFT: &str = "nft";

pub(super) fn is_there() -> bool {
    is_installed(NFT)
}

/// The table exactly as `nft list table` shows it, so that what is there can be compared.
pub(super) fn table(open: &Open) -> String {
    let mut rules = vec!["type filter hook input priority filter; policy drop;".to_owned()];
    // First of all: whatever else is wrong here, the operator still gets in.
    rules.push(format!("tcp dport {} accept comment \"SSH\"", set(open.ssh.iter().copied())));
    rules.extend(
        [
            "iif \"lo\" accept",
            "ct state established,related accept",
            "ct state invalid drop",
            // Without these IPv6 and the search for the largest packet do not work.
            "meta l4proto { icmp, ipv6-icmp } accept",
            "udp sport 67 udp dport 68 accept comment \"DHCP\"",
            "ip6 saddr fe80::/10 udp dport 546 accept comment \"DHCPv6\"",
        ]
        .map(str::to_owned),
    );
    if !open.mail.is_empty() {
        rules.push(format!("tcp dport {} accept comment \"mail\"", set(open.mail.keys().copied())));
    }
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let ports: Vec<u16> = open
            .others
            .iter()
            .filter(|opening| opening.protocol == protocol)
            .map(|opening| opening.port)
            .collect();
        if !ports.is_empty() {
            rules.push(format!("{protocol} dport {} accept comment \"allow\"", set(ports)));
        }
    }
    let rules: String = rules.iter().map(|rule| format!("\t\t{rule}\n")).collect();
    format!("table inet kings {{\n\tchain input {{\n{rules}\t}}\n}}\n")
}

/// `25`, or `{ 25, 465 }`.
fn set(ports: impl IntoIterator<Item = u16>) -> String {
    let ports: Vec<String> = ports.into_iter().map(|port| port.to_string()).collect();
    match ports.as_slice() {
        [port] => port.clone(),
        ports => format!("{{ {} }}", ports.join(", ")),
    }
}

fn present() -> Result<Option<String>, FirewallError> {
    let output = call(NFT, &["list", "table", "inet", "kings"], "")?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if words.contains("No such file or directory") {
        return Ok(None);
    }
    Err(FirewallError::Refused { program: NFT, words })
}

pub(super) fn has(open: &Open) -> Result<bool, FirewallError> {
    Ok(present()?.as_deref() == Some(&table(open)))
}

/// What other tables drop; iptables of today writes its rules here as well.
pub(super) fn closed_by_others(open: &Open) -> Result<Vec<Closed>, FirewallError> {
    if !is_there() {
        return Ok(Vec::new());
    }
    let text = demand(NFT, &["--json", "list", "ruleset"], "")?;
    others::closed(&text, open)
        .map_err(|error| FirewallError::Refused { program: NFT, words: format!("no JSON: {error}") })
}

pub(super) fn apply(open: &Open) -> Result<bool, FirewallError> {
    let wanted = table(open);
    if has(open)? {
        return Ok(false);
    }
    // One transaction: there is no moment in which neither the old table nor the new one is in force. The first line is
    // for the case that there is none to delete.
    demand(NFT, &["-f", "-"], &format!("table inet kings\ndelete table inet kings\n{wanted}"))?;
    Ok(true)
}

pub(super) fn remove() -> Result<bool, FirewallError> {
    if present()?.is_none() {
        return Ok(false);
    }
    demand(NFT, &["delete", "table", "inet", "kings"], "")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn ssh_comes_first_and_what_is_not_named_is_dropped() {
        let open = Open {
            ssh: BTreeSet::from([22, 2222]),
            mail: BTreeMap::from([(25, "smtp"), (993, "imaps")]),
            others: ["8080", "53/udp"].iter().map(|text| text.parse().unwrap()).collect(),
            unknown: BTreeSet::new(),
        };
        let expected = "table inet kings {
	chain input {
		type filter hook input priority filter; policy drop;
		tcp dport { 22, 2222 } accept comment \"SSH\"
		iif \"lo\" accept
		ct state established,related accept
		ct state invalid drop
		meta l4proto { icmp, ipv6-icmp } accept
		udp sport 67 udp dport 68 accept comment \"DHCP\"
		ip6 saddr fe80::/10 udp dport 546 accept comment \"DHCPv6\"
		tcp dport { 25, 993 } accept comment \"mail\"
		tcp dport 8080 accept comment \"allow\"
		udp dport 53 accept comment \"allow\"
	}
}
";
        assert_eq!(table(&open), expected);
        let bare = Open { mail: BTreeMap::new(), others: BTreeSet::new(), ..open };
        assert!(!table(&bare).contains("{  }") && !table(&bare).contains("mail"), "{}", table(&bare));
    }
}
