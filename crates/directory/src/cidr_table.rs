//! Tables of networks in the syntax of cidr_table(5): the first rule whose network has an address decides.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::regexp_table::BadRule;

/// Most rules of one table: each is tried for every address. A list of all countries' networks has a third of it.
const MAX_RULES: usize = 1_000_000;
/// Most `if` inside of each other.
const MAX_DEPTH: usize = 100;

/// The rules in their order.
#[derive(Clone, Debug, Default)]
pub struct CidrTable(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Rule {
        condition: Condition,
        result: String,
        line: usize,
    },
    /// Where to go on when the condition does not hold.
    If {
        condition: Condition,
        or_else: usize,
    },
}

/// `192.0.2.0/24`, or `!192.0.2.0/24`: all other addresses of the same family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Condition {
    network: IpNet,
    negated: bool,
}

impl Condition {
    fn holds(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.network.addr().is_ipv4() && self.network.contains(&address) != self.negated
    }

    fn parse(word: &str) -> Result<Self, String> {
        let (negated, text) = word.strip_prefix('!').map_or((false, word), |rest| (true, rest.trim_start()));
        // With or without brackets, which may stand around the length too.
        let plain: String = text.chars().filter(|c| !matches!(c, '[' | ']')).collect();
        let has_pair = text == plain || text.starts_with('[') && text.matches(['[', ']']).count() == 2;
        let alone = plain.parse::<IpAddr>().map(IpNet::from);
        let network = alone.or_else(|_| plain.parse::<IpNet>()).ok().filter(|_| has_pair);
        let network = network.ok_or_else(|| {
            format!("\"{word}\" is no network: write 192.0.2.0/24, 2001:db8::/32 or an address")
        })?;
        if network.addr() != network.network() {
            return Err(format!("\"{word}\" has bits behind its length: write {}", network.trunc()));
        }
        Ok(Self { network, negated })
    }
}

impl CidrTable {
    /// Reads a table; all complaints at once.
    ///
    /// A rule is `NETWORK RESULT` or `!NETWORK RESULT`; between `if NETWORK`, or `if !NETWORK`, and `endif` rules count
    /// only for the addresses that it has.
    pub fn parse(text: &str) -> Result<Self, Vec<BadRule>> {
        let (mut steps, mut open, mut complaints) = (Vec::new(), Vec::new(), Vec::new());
        for (line, rule) in crate::aliases::rules(text) {
            if let Err(what) = add(&mut steps, &mut open, (line, &rule)) {
                complaints.push(BadRule { line, what });
            }
            if steps.len() > MAX_RULES {
                complaints.push(BadRule { line, what: format!("more than {MAX_RULES} rules") });
                break;
            }
        }
        let unclosed = |(_, line): &(usize, usize)| BadRule { line: *line, what: "if without endif".into() };
        complaints.extend(open.iter().map(unclosed));
        if complaints.is_empty() { Ok(Self(steps)) } else { Err(complaints) }
    }

    /// The right side of the first rule that has this address. What is no address has none.
    pub fn find(&self, address: &str) -> Option<&str> {
        let address = address.parse().ok()?;
        let mut at = 0;
        while let Some(step) = self.0.get(at) {
            at += 1;
            match step {
                Step::If { condition, or_else } if !condition.holds(address) => at = *or_else,
                Step::Rule { condition, result, .. } if condition.holds(address) => return Some(result),
                Step::If { .. } | Step::Rule { .. } => {}
            }
        }
        None
    }

    /// Every right side with the line of its rule.
    pub(crate) fn results(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.iter().filter_map(|step| match step {
            Step::Rule { result, line, .. } => Some((*line, result.as_str())),
            Step::If { .. } => None,
        })
    }
}

/// `open` has the places and lines of the conditions that are not closed yet.
fn add(
    steps: &mut Vec<Step>,
    open: &mut Vec<(usize, usize)>,
    (line, rule): (usize, &str),
) -> Result<(), String> {
    let (word, rest) = rule.split_once(char::is_whitespace).unwrap_or((rule, ""));
    let rest = rest.trim();
    if word.eq_ignore_ascii_case("endif") {
        let (at, _) = open.pop().ok_or("endif without if")?;
        let end = steps.len();
        if let Some(Step::If { or_else, .. }) = steps.get_mut(at) {
            *or_else = end;
        }
        return if rest.is_empty() { Ok(()) } else { Err("nothing may follow endif".to_owned()) };
    }
    if word.eq_ignore_ascii_case("if") {
        // Also where the network is wrong, so that its end has a beginning.
        open.push((steps.len(), line));
        let condition = Condition::parse(rest);
        let fallback = Condition { network: IpNet::from(IpAddr::from([0; 4])), negated: false };
        steps.push(Step::If { condition: *condition.as_ref().unwrap_or(&fallback), or_else: usize::MAX });
        let is_deep = open.len() > MAX_DEPTH;
        return condition.and(if is_deep { Err(format!("more than {MAX_DEPTH} nested if")) } else { Ok(()) });
    }
    // A blank may stand behind the `!`.
    let (word, rest) = match rest.split_once(char::is_whitespace) {
        Some((network, result)) if word == "!" => (format!("!{network}"), result.trim()),
        _ => (word.to_owned(), rest),
    };
    let condition = Condition::parse(&word)?;
    if rest.is_empty() {
        return Err("nothing stands to the right of the network".to_owned());
    }
    steps.push(Step::Rule { condition, result: rest.to_owned(), line });
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const TABLE: &str = "# who\n192.0.2.0/24 A\n192.0.2.1 late\n[2001:db8::]/32 B\n[2001:db9::/32] C\n[2001:dba::1] D\n\
                         !10.0.0.0/8 others\nif 10.0.0.0/9\nif !10.1.0.0/16\n10.2.0.0/16 E\nendif\n10.1.2.3 F\nENDIF\n\
                         10.0.0.0/8\n   G and\n   more\n";

    #[test]
    fn the_first_network_that_has_the_address_decides() {
        let table = CidrTable::parse(TABLE).unwrap();
        for (address, expected) in [
            ("192.0.2.7", Some("A")),
            ("192.0.2.1", Some("A")),
            ("192.0.3.1", Some("others")),
            ("2001:db8::1", Some("B")),
            ("2001:db9::1", Some("C")),
            ("2001:dba::1", Some("D")),
            ("2001:dba::2", None),
            ("10.1.2.3", Some("F")),
            ("10.2.2.3", Some("E")),
            ("10.3.2.3", Some("G and more")),
            ("10.200.0.1", Some("G and more")),
            // Neither is an address, and a network of one family has none of the other.
            ("192.0.2", None),
            ("mx.example", None),
            ("::ffff:192.0.2.1", None),
        ] {
            assert_eq!(table.find(address), expected, "{address}");
        }
        assert_eq!(table.results().count(), 9);
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_line() {
        for (text, line, told) in [
            ("192.0.2.1/24 x\n", 1, "write 192.0.2.0/24"),
            ("1.2.3.4 x\n300.1.1.1 x\n", 2, "no network"),
            ("1.2.3.4/33 x\n", 1, "no network"),
            ("1.2.3.4\n", 1, "nothing stands"),
            ("! 1.2.3.4\n", 1, "no network"),
            ("endif\n", 1, "endif without if"),
            ("if 1.2.3.4\n1.2.3.4 x\n", 1, "if without endif"),
            ("if x\nendif\n", 1, "no network"),
            ("if 1.2.3.4\nendif x\n", 2, "nothing may follow"),
            ("[1.2.3.4 x\n", 1, "no network"),
            ("1.2.3.4] x\n", 1, "no network"),
            ("mx.example x\n", 1, "no network"),
            ("/^192/ x\n", 1, "no network"),
        ] {
            let complaints = CidrTable::parse(text).unwrap_err();
            assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
            assert_eq!(complaints[0].line, line, "{text}");
            assert!(complaints[0].what.contains(told), "{text}: {complaints:?}");
        }
        assert!(CidrTable::parse(&"if 1.2.3.4\n".repeat(101)).is_err());
        assert!(CidrTable::parse("! 1.2.3.4 x\n").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_a_table_or_has_lines_that_are_wrong(text in "(?s)([if!/0-9.:\\[\\] \n]|endif|10.0.0.0/8 ){0,200}") {
            match CidrTable::parse(&text) {
                Ok(table) => prop_assert!(table.find("10.1.2.3").is_none_or(|found| !found.is_empty())),
                Err(complaints) => prop_assert!(complaints.iter().all(|bad| bad.line > 0)),
            }
        }
    }
}
