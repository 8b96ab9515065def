//! Rules of ufw: SSH by its port, the server by an application profile that `ufw status` shows as `Kings`.

use std::fs;
use std::path::Path;

use super::others::Closed;
use super::{FirewallError, Open, Protocol, demand, is_installed};

const UFW: &str = "ufw";
const CONFIG: &str = "/etc/ufw/ufw.conf";
const PROFILE: &str = "/etc/ufw/applications.d/kings-smtp";
/// The name of our rules.
const NAME: &str = "Kings";
/// What ufw says of a rule that is there.
const KNOWN: &str = "Skipping adding existing rule";

pub(super) fn is_there() -> bool {
    is_installed(UFW)
}

/// Whether the operator has it filter packets.
pub(super) fn is_on() -> bool {
    fs::read_to_string(CONFIG).is_ok_and(|text| is_enabled(&text))
}

fn is_enabled(config: &str) -> bool {
    config.lines().any(|line| line.trim().to_ascii_lowercase().replace('"', "") == "enabled=yes")
}

/// The profile: what the server needs, and what else the config allows.
fn profile(open: &Open) -> String {
    let with = |protocol| move |port: &u16| format!("{port}/{protocol}");
    let ports = |protocol| {
        let others = open.others.iter().filter(move |opening| opening.protocol == protocol);
        others.map(|opening| opening.port)
    };
    let tcp =
        open.mail.keys().copied().chain(ports(Protocol::Tcp)).collect::<std::collections::BTreeSet<_>>();
    let mut all: Vec<String> = tcp.iter().map(with(Protocol::Tcp)).collect();
    all.extend(ports(Protocol::Udp).map(|port| with(Protocol::Udp)(&port)));
    format!(
        "[{NAME}]\ntitle=Kings mail server\ndescription=The ports of kings.toml\nports={}\n",
        all.join("|")
    )
}

/// Whether there is anything to open beside SSH.
fn has_ports(open: &Open) -> bool {
    !(open.mail.is_empty() && open.others.is_empty())
}

fn ssh_rules(open: &Open) -> Vec<String> {
    open.ssh.iter().map(|port| format!("{port}/tcp")).collect()
}

pub(super) fn plan(open: &Open) -> String {
    let mut lines: Vec<String> = ssh_rules(open).iter().map(|rule| format!("ufw allow {rule}")).collect();
    if has_ports(open) {
        lines.push(format!("ufw allow {NAME}"));
    }
    if !is_on() {
        lines.push("ufw --force enable".to_owned());
    }
    let commands: String = lines.iter().map(|line| format!("{line}\n")).collect();
    if has_ports(open) { format!("{commands}\n# {PROFILE}\n{}", profile(open)) } else { commands }
}

pub(super) fn has(open: &Open) -> Result<bool, FirewallError> {
    if !is_on() || (has_ports(open) && fs::read_to_string(PROFILE).ok().as_deref() != Some(&profile(open))) {
        return Ok(false);
    }
    let added = demand(UFW, &["show", "added"], "")?;
    let mut rules = ssh_rules(open);
    rules.extend(has_ports(open).then(|| NAME.to_owned()));
    Ok(rules.iter().all(|rule| is_added(&added, rule)))
}

/// `ufw allow 22/tcp comment 'SSH'`
fn is_added(added: &str, rule: &str) -> bool {
    added.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some(UFW) && words.next() == Some("allow") && words.next() == Some(rule)
    })
}

/// Ports that an older rule of the operator keeps shut for everybody: the first that fits wins, and ours come behind it.
pub(super) fn denied(open: &Open) -> Result<Vec<Closed>, FirewallError> {
    Ok(denials(&demand(UFW, &["show", "added"], "")?, open))
}

fn denials(added: &str, open: &Open) -> Vec<Closed> {
    let rule = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [UFW, "deny" | "reject", target, ..] = words.as_slice() else { return None };
        let (port, protocol) = target.split_once('/').unwrap_or((target, "tcp"));
        let port = port.parse().ok().filter(|port| protocol == "tcp" && open.mail.contains_key(port))?;
        let fix = format!("ufw delete {}", words[1..].join(" "));
        let place = format!("the rule  {}", line.trim());
        Some(Closed { place, ports: vec![port], is_sure: true, fix, is_ufw: false })
    };
    added.lines().filter_map(rule).collect()
}

pub(super) fn apply(open: &Open) -> Result<bool, FirewallError> {
    let mut changed = false;
    // Before anything else, so that no step locks out whoever works here.
    for rule in ssh_rules(open) {
        changed |= !demand(UFW, &["allow", &rule, "comment", "SSH"], "")?.contains(KNOWN);
    }
    if has_ports(open) {
        let wanted = profile(open);
        if fs::read_to_string(PROFILE).ok().as_deref() != Some(&wanted) {
            write(&wanted)?;
            // Rules that are made of the profile do not follow it by themselves.
            demand(UFW, &["app", "update", NAME], "")?;
            changed = true;
        }
        changed |= !demand(UFW, &["allow", NAME], "")?.contains(KNOWN);
    }
    if !is_on() {
        demand(UFW, &["--force", "enable"], "")?;
        changed = true;
    }
    Ok(changed)
}

fn write(profile: &str) -> Result<(), FirewallError> {
    fs::write(PROFILE, profile).map_err(|cause| FirewallError::NotWritten { path: PROFILE, cause })
}

/// SSH's rule stays: nobody knows whether it was there before us, and without it the operator is outside.
pub(super) fn remove() -> Result<bool, FirewallError> {
    if !Path::new(PROFILE).exists() {
        return Ok(false);
    }
    demand(UFW, &["--force", "delete", "allow", NAME], "")?;
    fs::remove_file(PROFILE).map_err(|cause| FirewallError::NotWritten { path: PROFILE, cause })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn a_profile_names_each_port_with_its_protocol() {
        let open = Open {
            ssh: BTreeSet::from([22]),
            mail: BTreeMap::from([(25, "smtp"), (993, "imaps")]),
            others: ["143", "25", "53/udp"].iter().map(|text| text.parse().unwrap()).collect(),
            unknown: BTreeSet::new(),
        };
        let expected = "[Kings]\ntitle=Kings mail server\ndescription=The ports of kings.toml\nports=25/tcp|143/tcp|993/tcp|53/udp\n";
        assert_eq!(profile(&open), expected);
        assert_eq!(ssh_rules(&open), ["22/tcp"]);
    }

    #[test]
    fn rules_of_the_operator_are_understood() {
        let added = "Added user rules (see 'ufw status' for running firewall):\nufw allow 22/tcp comment 'SSH'\n\
            ufw deny 25\nufw reject 993/tcp\nufw deny 465/udp\nufw deny from 192.0.2.7\nufw allow Kings\n";
        assert!(is_added(added, "22/tcp") && is_added(added, NAME));
        assert!(!is_added(added, "25") && !is_added(added, "22"));
        let open = Open {
            ssh: BTreeSet::from([22]),
            mail: BTreeMap::from([(25, "smtp"), (993, "imaps"), (465, "submissions")]),
            others: BTreeSet::new(),
            unknown: BTreeSet::new(),
        };
        let found: Vec<Vec<u16>> = denials(added, &open).into_iter().map(|closed| closed.ports).collect();
        assert_eq!(found, [vec![25], vec![993]]);
    }

    #[test]
    fn it_is_on_where_its_config_says_so() {
        for (text, expected) in [
            ("# comment\nENABLED=yes\n", true),
            ("ENABLED=\"yes\"\n", true),
            ("ENABLED=no\n", false),
            ("#ENABLED=yes\n", false),
            ("", false),
        ] {
            assert_eq!(is_enabled(text), expected, "{text:?}");
        }
    }
}
