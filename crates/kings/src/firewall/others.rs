//! What rules of others keep away from our ports: a packet has to pass all tables, and opening a port in ours is no more than
//! leave to come as far as theirs.
//!
//! Each chain on the way in is gone through as the kernel does it, with the first packet of a connection from a stranger. What
//! can be told of a rule only when the packet is there (who sends it, how often) leaves doubt, which is told as such.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use serde_json::Value;

use super::{Open, Protocol, ask};

/// Ports that somebody else's rules close.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// `table inet filter, chain input`
    pub(crate) place: String,
    pub(crate) ports: Vec<u16>,
    /// No rule before it may let them in.
    pub(crate) is_sure: bool,
    /// The command that lets them in.
    pub(crate) fix: String,
    /// It is a table that ufw keeps.
    pub(super) is_ufw: bool,
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_sure { "closes" } else { "may close" };
        let ports = listed(&self.ports, ", ");
        write!(f, "{} {verb} {ports} for others:  {}", self.place, self.fix)
    }
}

fn listed(ports: &[u16], between: &str) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(between)
}

/// Our ports of TCP, without SSH's: those were open or closed before us, and are none of our promises.
fn ports(open: &Open) -> Vec<u16> {
    let others = open.others.iter().filter(|opening| opening.protocol == Protocol::Tcp);
    open.mail.keys().copied().chain(others.map(|opening| opening.port)).collect()
}

/// What the tables close of which `nft --json list ruleset` tells.
pub(super) fn closed(ruleset: &str, open: &Open) -> Result<Vec<Closed>, serde_json::Error> {
    let ruleset: Value = serde_json::from_str(ruleset)?;
    let rules = Ruleset::new(&ruleset);
    let ports = ports(open);
    Ok(rules.chains.keys().filter_map(|place| rules.closed(place, &ports)).collect())
}

/// Family, table and chain or set.
type Name<'a> = (&'a str, &'a str, &'a str);

#[derive(Default)]
struct Ruleset<'a> {
    chains: BTreeMap<Name<'a>, Chain<'a>>,
    sets: BTreeMap<Name<'a>, &'a Value>,
}

#[derive(Default)]
struct Chain<'a> {
    /// Whether what is let through by it is lost at its end; `None` where packets come from other chains alone.
    drops: Option<bool>,
    rules: Vec<&'a [Value]>,
}

/// The first packet of a connection from a stranger.
struct Packet {
    port: u16,
    is_v6: bool,
    /// A rule that we cannot judge might have let it in.
    is_doubtful: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accept,
    Drop,
    /// On with the chain that one came from.
    Return,
}

/// What a map of verdicts has for a packet.
enum Mapped<'a> {
    To(&'a Value),
    Nowhere,
    Unknown,
}

/// Whether something is so; `None` where the packet itself must tell.
type Answer = Option<bool>;

impl<'a> Ruleset<'a> {
    fn new(ruleset: &'a Value) -> Self {
        let mut rules = Self::default();
        for item in ruleset["nftables"].as_array().into_iter().flatten() {
            let Some((kind, item)) = item.as_object().and_then(|item| item.iter().next()) else { continue };
            let word = |key: &str| item[key].as_str().unwrap_or_default();
            let name = |key| (word("family"), word("table"), word(key));
            match kind.as_str() {
                "chain" => {
                    let is_way_in =
                        matches!(word("hook"), "input" | "prerouting") && word("type") == "filter";
                    let drops = is_way_in.then(|| word("policy") == "drop");
                    rules.chains.entry(name("name")).or_default().drops = drops;
                }
                "rule" => {
                    let expression = item["expr"].as_array().map_or(&[][..], Vec::as_slice);
                    rules.chains.entry(name("chain")).or_default().rules.push(expression);
                }
                "set" => drop(rules.sets.insert(name("name"), &item["elem"])),
                _ => {}
            }
        }
        rules
    }

    /// What one chain on the way in closes of these ports.
    fn closed(&self, place: &Name<'a>, ports: &[u16]) -> Option<Closed> {
        let (family, table, chain) = *place;
        let drops = self.chains.get(place)?.drops?;
        let families: &[bool] = match family {
            "ip" => &[false],
            "ip6" => &[true],
            "inet" if table != "kings" => &[false, true],
            _ => return None,
        };
        let mut is_sure = true;
        let mut is_closed = |port: &u16| {
            families.iter().fold(false, |closed, &is_v6| {
                let mut packet = Packet { port: *port, is_v6, is_doubtful: false };
                let verdict = self.walk(place, &mut packet, MAX_JUMPS);
                let is_lost = verdict == Verdict::Drop || (verdict == Verdict::Return && drops);
                is_sure &= !(is_lost && packet.is_doubtful);
                closed || is_lost
            })
        };
        let ports: Vec<u16> = ports.iter().copied().filter(|port| is_closed(port)).collect();
        (!ports.is_empty()).then(|| Closed {
            place: format!("table {family} {table}, chain {chain},"),
            fix: fix(place, &ports),
            is_ufw: self.chains.keys().any(|other| {
                (other.0, other.1) == (family, table)
                    && (other.2.starts_with("ufw-") || other.2.starts_with("ufw6-"))
            }),
            ports,
            is_sure,
        })
    }

    fn walk(&self, place: &Name<'a>, packet: &mut Packet, jumps: u8) -> Verdict {
        let rules = self.chains.get(place).map(|chain| chain.rules.as_slice()).unwrap_or_default();
        for rule in rules.iter().filter(|_| jumps > 0) {
            if let Some(verdict) = self.rule(rule, place, packet, jumps) {
                return verdict;
            }
        }
        Verdict::Return
    }

    /// What becomes of the packet by one rule; `None` if the next one is to say.
    fn rule(&self, rule: &'a [Value], place: &Name<'a>, packet: &mut Packet, jumps: u8) -> Option<Verdict> {
        let mut is_sure = true;
        for statement in rule {
            let (kind, value) = statement.as_object()?.iter().next()?;
            let answer = match kind.as_str() {
                "match" => self.holds(value, place, packet),
                // Questions of iptables that nftables has no words for; of its answers the name is told.
                "xt" if value["type"] == "target" => match value["name"].as_str() {
                    Some("REJECT" | "DROP") => return is_sure.then_some(Verdict::Drop),
                    _ => Some(true),
                },
                "xt" | "limit" | "quota" => None,
                "vmap" => match self.mapped(value, place, packet) {
                    Mapped::To(verdict) => return self.act(verdict, is_sure, place, packet, jumps),
                    Mapped::Nowhere => Some(false),
                    Mapped::Unknown => {
                        packet.is_doubtful = true;
                        Some(false)
                    }
                },
                _ => match self.act(statement, is_sure, place, packet, jumps) {
                    Some(verdict) => return Some(verdict),
                    None => Some(true),
                },
            };
            match answer {
                Some(true) => {}
                Some(false) => return None,
                None => is_sure = false,
            }
        }
        None
    }

    /// `accept` and its like; `None` for what says nothing of the way of the packet.
    fn act(
        &self,
        statement: &'a Value,
        is_sure: bool,
        (family, table, _): &Name<'a>,
        packet: &mut Packet,
        jumps: u8,
    ) -> Option<Verdict> {
        let (kind, value) = statement.as_object()?.iter().next()?;
        let verdict = match kind.as_str() {
            // Another program decides; it was put there to let something in.
            "accept" | "queue" => Verdict::Accept,
            "drop" | "reject" => Verdict::Drop,
            "return" => Verdict::Return,
            "jump" | "goto" => {
                let target = (*family, *table, value["target"].as_str()?);
                match self.walk(&target, packet, jumps - 1) {
                    // From a chain that one goes to there is no way back into this one.
                    Verdict::Return if kind == "jump" => return None,
                    verdict => verdict,
                }
            }
            _ => return None,
        };
        if is_sure {
            return Some(verdict);
        }
        // Whoever is let in or kept out by something that we do not see: the first is doubt, the second is not us.
        packet.is_doubtful |= verdict == Verdict::Accept;
        None
    }

    fn holds(&self, value: &'a Value, place: &Name<'a>, packet: &Packet) -> Answer {
        let is_negated = value["op"] == "!=";
        let right = &value["right"];
        match question(&value["left"], packet) {
            Question::Never => Some(false),
            Question::Words(words) => Some(is_among(right, words) != is_negated),
            Question::Port => self.has_port(right, place, packet.port).map(|has| has != is_negated),
            // A rule for some senders is none for strangers.
            Question::Sender if right["prefix"]["len"] == 0 => Some(!is_negated),
            Question::Sender if is_plain(right) => Some(is_negated),
            Question::Interface if right == "lo" => Some(is_negated),
            Question::Sender | Question::Interface | Question::Unknown => None,
        }
    }

    /// What a map has for the packet.
    fn mapped(&self, value: &'a Value, place: &Name<'a>, packet: &Packet) -> Mapped<'a> {
        let question = question(&value["key"], packet);
        for pair in value["data"]["set"].as_array().into_iter().flatten() {
            let (key, verdict) = (&pair[0], &pair[1]);
            let fits = match &question {
                Question::Never => Some(false),
                Question::Words(words) => Some(is_among(key, words)),
                Question::Port => self.has_port(key, place, packet.port),
                Question::Interface if key == "lo" => Some(false),
                Question::Sender | Question::Interface | Question::Unknown => None,
            };
            match fits {
                Some(true) => return Mapped::To(verdict),
                Some(false) => {}
                None => return Mapped::Unknown,
            }
        }
        // One with a name is in another list, which nobody has asked for.
        if value["data"].is_string() { Mapped::Unknown } else { Mapped::Nowhere }
    }

    /// `25`, `{ 25, 80-90 }` and `@name`.
    fn has_port(&self, value: &Value, place: &Name<'a>, port: u16) -> Answer {
        let number = |value: &Value| value.as_u64();
        if let Some(own) = number(value) {
            return Some(own == u64::from(port));
        }
        if let [low, high] = value["range"].as_array().map(Vec::as_slice).unwrap_or_default() {
            return Some((number(low)?..=number(high)?).contains(&u64::from(port)));
        }
        if let Some(value) = value.get("elem").and_then(|elem| elem.get("val")) {
            return self.has_port(value, place, port);
        }
        let elements = match value.as_str().and_then(|name| name.strip_prefix('@')) {
            // One without elements has no list of them either.
            Some(name) => match self.sets.get(&(place.0, place.1, name))? {
                Value::Null => return Some(false),
                elements => elements.as_array()?,
            },
            None => value["set"].as_array()?,
        };
        elements.iter().try_fold(false, |found, element| Some(found || self.has_port(element, place, port)?))
    }
}

/// The kernel allows no more.
const MAX_JUMPS: u8 = 16;

/// What a rule asks of a packet.
enum Question {
    Port,
    Sender,
    Interface,
    /// Something of which this is what is so, each way to write it.
    Words(&'static [&'static str]),
    /// It is asked of packets of another kind.
    Never,
    Unknown,
}

fn question(left: &Value, packet: &Packet) -> Question {
    let (payload, meta) = (&left["payload"], &left["meta"]["key"]);
    let word = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
    match (word(&payload["protocol"]).as_str(), word(&payload["field"]).as_str()) {
        ("tcp" | "th", "dport") => return Question::Port,
        ("ip", _) if packet.is_v6 => return Question::Never,
        ("ip6", _) if !packet.is_v6 => return Question::Never,
        ("ip" | "ip6", "saddr") => return Question::Sender,
        ("ip", "protocol") | ("ip6", "nexthdr") => return Question::Words(&["tcp", "6"]),
        ("udp" | "udplite" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "ah" | "comp", _) => {
            return Question::Never;
        }
        _ => {}
    }
    match word(meta).as_str() {
        "l4proto" => Question::Words(&["tcp", "6"]),
        "nfproto" => Question::Words(if packet.is_v6 { &["ipv6", "10"] } else { &["ipv4", "2"] }),
        "protocol" => Question::Words(if packet.is_v6 { &["ip6"] } else { &["ip"] }),
        "iif" | "iifname" => Question::Interface,
        _ if left["ct"]["key"] == "state" => Question::Words(&["new"]),
        _ => Question::Unknown,
    }
}

/// Whether one of these words stands there, alone, in a list or in a set.
fn is_among(value: &Value, words: &[&str]) -> bool {
    match value {
        Value::String(word) => words.contains(&word.as_str()),
        Value::Number(number) => words.contains(&number.to_string().as_str()),
        Value::Array(list) => list.iter().any(|value| is_among(value, words)),
        Value::Object(object) => object.values().any(|value| is_among(value, words)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// An address or a list of them, and no set that others fill.
fn is_plain(value: &Value) -> bool {
    !value.as_str().is_some_and(|text| text.starts_with('@'))
}

fn fix((family, table, chain): &Name<'_>, ports: &[u16]) -> String {
    match (*family, *table, *chain) {
        (_, "firewalld", _) => {
            let ports: String = ports.iter().map(|port| format!("--add-port={port}/tcp ")).collect();
            format!("firewall-cmd --permanent {ports}&& firewall-cmd --reload")
        }
        ("ip" | "ip6", "filter", "INPUT") => {
            let program = if *family == "ip" { "iptables" } else { "ip6tables" };
            format!("{program} -I INPUT -p tcp -m multiport --dports {} -j ACCEPT", listed(ports, ","))
        }
        _ => {
            let ports = listed(ports, ", ");
            format!("nft insert rule {family} {table} {chain} tcp dport '{{ {ports} }}' accept")
        }
    }
}

/// What iptables closes where the kernel still has its own tables for it, which nftables does not see.
pub(super) fn old_iptables(open: &Open) -> Vec<Closed> {
    let programs = [
        ("/proc/net/ip_tables_names", "iptables-legacy"),
        ("/proc/net/ip6_tables_names", "ip6tables-legacy"),
    ];
    let closed = |(names, program): (&str, &str)| {
        let has_rules =
            fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == "filter"));
        let rules = has_rules.then(|| ask(program, &["-S", "INPUT"])).flatten()?;
        let ports = unnamed(&rules, &ports(open));
        let fix =
            format!("{program} -I INPUT -p tcp -m multiport --dports {} -j ACCEPT", listed(&ports, ","));
        let place = format!("{program}, chain INPUT,");
        (!ports.is_empty()).then_some(Closed { place, ports, is_sure: false, fix, is_ufw: false })
    };
    programs.into_iter().filter_map(closed).collect()
}

/// Ports that no rule lets in by name, where the chain drops anything for everybody.
fn unnamed(rules: &str, ports: &[u16]) -> Vec<u16> {
    let lines = || rules.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let goes = |words: &[&str], target: &str| words.windows(2).any(|pair| pair == ["-j", target]);
    let drops = |words: Vec<&str>| {
        words == ["-P", "INPUT", "DROP"]
            || (goes(&words, "DROP") || goes(&words, "REJECT"))
                && !words.contains(&"-s")
                && !words.contains(&"-m")
    };
    if !lines().any(drops) {
        return Vec::new();
    }
    let names = |words: &[&str], port: u16| {
        words.windows(2).any(|pair| {
            matches!(pair[0], "--dport" | "--dports") && pair[1].split(',').any(|part| covers(part, port))
        })
    };
    let is_let_in = |port: u16| lines().any(|words| goes(&words, "ACCEPT") && names(&words, port));
    ports.iter().copied().filter(|port| !is_let_in(*port)).collect()
}

/// `25` and `80:90`
fn covers(range: &str, port: u16) -> bool {
    let (low, high) = range.split_once(':').unwrap_or((range, range));
    low.parse().is_ok_and(|low: u16| low <= port) && high.parse().is_ok_and(|high: u16| port <= high)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    fn open() -> Open {
        Open {
            ssh: BTreeSet::from([22]),
            mail: BTreeMap::from([(25, "smtp"), (993, "imaps")]),
            others: BTreeSet::new(),
            unknown: BTreeSet::new(),
        }
    }

    /// What a chain on the way in with these rules closes, and whether that is sure.
    fn judged(policy: &str, rules: &[Value]) -> Vec<(Vec<u16>, bool)> {
        let chain = |name: &str| json!({"family": "inet", "table": "filter", "name": name});
        let mut base = chain("input");
        for (key, value) in [("type", "filter"), ("hook", "input"), ("policy", policy)] {
            base[key] = json!(value);
        }
        let rule = |chain: &str, expr: &Value| json!({"rule": {"family": "inet", "table": "filter", "chain": chain, "expr": expr}});
        let mut items = vec![
            json!({"metainfo": {}}),
            json!({"set": {"family": "inet", "table": "filter", "name": "mail", "elem": [25, {"range": [990, 999]}]}}),
            json!({"set": {"family": "inet", "table": "filter", "name": "none"}}),
            json!({"chain": base}),
            json!({"chain": chain("lets_25")}),
            rule("lets_25", &json!([dport(json!(25)), {"accept": null}])),
            json!({"chain": chain("drops")}),
            rule("drops", &json!([{"counter": {}}, {"drop": null}])),
            json!({"chain": chain("loop")}),
            rule("loop", &json!([{"jump": {"target": "loop"}}])),
        ];
        items.extend(rules.iter().map(|expr| rule("input", expr)));
        let closed = closed(&json!({ "nftables": items }).to_string(), &open()).unwrap();
        closed.into_iter().map(|closed| (closed.ports, closed.is_sure)).collect()
    }

    fn is(left: &Value, op: &str, right: &Value) -> Value {
        json!({"match": {"op": op, "left": left, "right": right}})
    }

    #[allow(clippy::needless_pass_by_value, reason = "shorter to read")]
    fn dport(right: Value) -> Value {
        is(&json!({"payload": {"protocol": "tcp", "field": "dport"}}), "==", &right)
    }

    #[test]
    fn a_chain_is_gone_through_as_the_kernel_does() {
        let accept = json!({"accept": null});
        let drop = json!({"drop": null});
        let state = json!({"ct": {"key": "state"}});
        let meta = |key: &str| json!({"meta": {"key": key}});
        let sender = json!({"payload": {"protocol": "ip", "field": "saddr"}});
        let net = json!({"prefix": {"addr": "10.0.0.0", "len": 8}});
        let xt = json!({"xt": {"type": "match", "name": "multiport"}});
        let port_map = json!({"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}},
            "data": {"set": [[25, accept], [{"range": [900, 999]}, drop]]}}});
        let named_map =
            json!({"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": "@ports"}});
        let all = || vec![(vec![25, 993], true)];
        let doubt = || vec![(vec![25, 993], false)];
        let open = Vec::new;
        let cases = vec![
            ("accept", vec![], open()),
            ("drop", vec![], all()),
            ("drop", vec![json!([accept])], open()),
            ("accept", vec![json!([drop])], all()),
            ("accept", vec![json!([{"reject": {"type": "tcp reset"}}])], all()),
            ("drop", vec![json!([dport(json!(25)), accept])], vec![(vec![993], true)]),
            (
                "drop",
                vec![json!([dport(json!({"set": [25, {"range": [900, 999]}]})), {"counter": {}}, accept])],
                open(),
            ),
            ("drop", vec![json!([dport(json!("@mail")), accept])], open()),
            ("drop", vec![json!([dport(json!("@none")), accept])], all()),
            ("drop", vec![json!([dport(json!("@other")), accept])], doubt()),
            ("accept", vec![json!([dport(json!({"elem": {"val": 25}})), drop])], vec![(vec![25], true)]),
            ("drop", vec![json!([is(&state, "in", &json!(["established", "related"])), accept])], all()),
            ("drop", vec![json!([is(&state, "in", &json!(["established", "new"])), accept])], open()),
            ("accept", vec![json!([is(&state, "in", &json!("invalid")), drop])], open()),
            ("accept", vec![json!([is(&state, "!=", &json!("established")), drop])], all()),
            ("drop", vec![json!([is(&meta("iifname"), "==", &json!("lo")), accept])], all()),
            ("accept", vec![json!([is(&meta("iif"), "!=", &json!("lo")), drop])], all()),
            ("drop", vec![json!([is(&meta("iifname"), "==", &json!("eth0")), accept])], doubt()),
            ("accept", vec![json!([is(&meta("l4proto"), "==", &json!("udp")), drop])], open()),
            (
                "accept",
                vec![json!([is(&meta("l4proto"), "==", &json!({"set": ["tcp", "udp"]})), drop])],
                all(),
            ),
            // Half of those who come are closed out, which is one half too many.
            ("drop", vec![json!([is(&meta("nfproto"), "==", &json!("ipv4")), accept])], all()),
            (
                "accept",
                vec![json!([
                    is(&json!({"payload": {"protocol": "udp", "field": "dport"}}), "!=", &json!(1)),
                    drop
                ])],
                open(),
            ),
            ("drop", vec![json!([is(&sender, "==", &net), accept])], all()),
            ("accept", vec![json!([is(&sender, "==", &net), drop])], open()),
            ("accept", vec![json!([is(&sender, "!=", &net), drop])], all()),
            ("accept", vec![json!([is(&sender, "==", &json!("@blocked")), drop])], open()),
            ("drop", vec![json!([{"limit": {"rate": 3}}, accept])], doubt()),
            ("drop", vec![json!([xt, accept])], doubt()),
            ("drop", vec![json!([{"xt": null}, accept])], doubt()),
            ("accept", vec![json!([{"xt": {"type": "target", "name": "REJECT"}}])], all()),
            ("accept", vec![json!([{"xt": {"type": "target", "name": "LOG"}}])], open()),
            ("accept", vec![json!([port_map])], vec![(vec![993], true)]),
            ("drop", vec![json!([named_map])], doubt()),
            ("drop", vec![json!([{"jump": {"target": "lets_25"}}])], vec![(vec![993], true)]),
            (
                "drop",
                vec![json!([{"goto": {"target": "lets_25"}}]), json!([accept])],
                vec![(vec![993], true)],
            ),
            ("accept", vec![json!([{"jump": {"target": "drops"}}])], all()),
            ("drop", vec![json!([{"return": null}]), json!([accept])], all()),
            ("drop", vec![json!([{"jump": {"target": "loop"}}])], all()),
        ];
        for (policy, rules, expected) in cases {
            assert_eq!(judged(policy, &rules), expected, "{policy} {rules:?}");
        }
    }

    #[test]
    fn only_chains_on_the_way_in_count_and_none_of_ours() {
        let base = |family: &str, table: &str, hook: &str, kind: &str| {
            json!({"nftables": [{"chain": {"family": family, "table": table, "name": "c", "type": kind, "hook": hook,
                "policy": "drop"}}]})
            .to_string()
        };
        for (family, table, hook, kind, count) in [
            ("inet", "filter", "input", "filter", 1),
            ("ip6", "filter", "prerouting", "filter", 1),
            ("inet", "kings", "input", "filter", 0),
            ("inet", "filter", "forward", "filter", 0),
            ("inet", "filter", "output", "filter", 0),
            ("ip", "nat", "prerouting", "nat", 0),
            ("arp", "filter", "input", "filter", 0),
        ] {
            assert_eq!(
                closed(&base(family, table, hook, kind), &open()).unwrap().len(),
                count,
                "{family} {table} {hook}"
            );
        }
        assert!(closed("{", &open()).is_err());
        assert_eq!(closed("[]", &open()).unwrap(), []);
    }

    #[test]
    fn the_way_out_is_told_in_the_words_of_whoever_has_the_rules() {
        for (place, expected) in [
            (
                ("inet", "firewalld", "filter_INPUT"),
                "firewall-cmd --permanent --add-port=25/tcp --add-port=993/tcp && firewall-cmd --reload",
            ),
            (("ip6", "filter", "INPUT"), "ip6tables -I INPUT -p tcp -m multiport --dports 25,993 -j ACCEPT"),
            (("inet", "filter", "input"), "nft insert rule inet filter input tcp dport '{ 25, 993 }' accept"),
        ] {
            assert_eq!(fix(&place, &[25, 993]), expected);
        }
    }

    #[test]
    fn the_old_iptables_is_understood_as_far_as_its_ports() {
        for (rules, expected) in [
            ("-P INPUT ACCEPT\n", &[][..]),
            ("-P INPUT DROP\n", &[25, 993]),
            ("-P INPUT DROP\n-A INPUT -p tcp -m tcp --dport 25 -j ACCEPT\n", &[993]),
            (
                "-P INPUT ACCEPT\n-A INPUT -p tcp -m multiport --dports 80,900:999 -j ACCEPT\n-A INPUT -j REJECT\n",
                &[25],
            ),
            ("-P INPUT ACCEPT\n-A INPUT -s 192.0.2.7/32 -j DROP\n", &[]),
            ("-P INPUT ACCEPT\n-A INPUT -m conntrack --ctstate INVALID -j DROP\n", &[]),
        ] {
            assert_eq!(unnamed(rules, &[25, 993]), expected, "{rules}");
        }
    }
}
