//! Asking each name server of each zone, and what they say together.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use kings_dns::{Data, Kind};
use kings_mail::domain::DnsName;
use kings_net::authority::{Authorities, Told, Zone, ask};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// What is said of a server that is not waited for any longer.
pub(super) const LATE: &str = "no answer in time";

/// What the servers of a zone say about one name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// All of them the same, but for those who say nothing.
    Same { told: Told, silent: Vec<String> },
    /// Each something else, in their words.
    Differ(Vec<(String, Told)>),
    /// Nobody knows.
    Nobody(String),
}

/// Everything that was asked.
#[derive(Debug, Default)]
pub(super) struct Heap {
    pub(super) zones: BTreeMap<DnsName, Vec<String>>,
    heard: BTreeMap<(DnsName, Kind), Heard>,
}

impl Heap {
    /// What is known of a name and type.
    pub(super) fn get(&self, name: &DnsName, kind: Kind) -> Heard {
        let nobody = || Heard::Nobody("it was not asked for".to_owned());
        self.heard.get(&(name.clone(), kind)).cloned().unwrap_or_else(nobody)
    }

    /// Records of which all servers say the same.
    pub(super) fn records(&self, name: &DnsName, kind: Kind) -> Option<&[Data]> {
        match self.heard.get(&(name.clone(), kind)) {
            Some(Heard::Same { told: Told::Records { data, .. }, .. }) => Some(data),
            _ => None,
        }
    }

    /// Records that are to be taken for what everybody says.
    pub(super) fn put_records(&mut self, name: DnsName, kind: Kind, data: &[Data]) {
        let told = Told::Records { data: data.to_vec(), ttl: 0, odd: 0 };
        self.put(name, kind, Heard::Same { told, silent: Vec::new() });
    }

    /// For tests, and for what is told by somebody else.
    pub(super) fn put(&mut self, name: DnsName, kind: Kind, heard: Heard) {
        self.heard.insert((name, kind), heard);
    }
}

/// Asks all servers of all zones about these names and types at once; who has not answered by then is silent.
pub(super) async fn gather(authorities: &Authorities, wanted: &[(DnsName, Kind)], until: Instant) -> Heap {
    let mut heap = Heap::default();
    let zones = zones(authorities, wanted, until).await;
    let mut questions = JoinSet::new();
    for (at, (name, kind)) in wanted.iter().enumerate() {
        let zone = match zones.get(name) {
            Some(Ok(zone)) => zone,
            Some(Err(why)) => {
                heap.put(name.clone(), *kind, Heard::Nobody(why.clone()));
                continue;
            }
            None => {
                heap.put(name.clone(), *kind, Heard::Nobody(LATE.to_owned()));
                continue;
            }
        };
        heap.zones.entry(zone.name.clone()).or_insert_with(|| names(zone));
        for server in &zone.servers {
            let (label, address, name, kind) = (server.name.to_string(), server.address, name.clone(), *kind);
            questions.spawn(async move {
                let told = timeout_at(until, told(address, &name, kind)).await;
                (at, label, told.unwrap_or_else(|_| Told::Silent(LATE.to_owned())))
            });
        }
    }
    let mut answers: BTreeMap<usize, Vec<(String, Told)>> = BTreeMap::new();
    while let Some(answer) = questions.join_next().await {
        if let Ok((at, label, told)) = answer {
            answers.entry(at).or_default().push((label, told));
        }
    }
    for (at, mut told) in answers {
        told.sort_by(|(one, _), (other, _)| one.cmp(other));
        let (name, kind) = &wanted[at];
        heap.put(name.clone(), *kind, together(told));
    }
    heap
}

fn names(zone: &Zone) -> Vec<String> {
    let mut names: Vec<String> = zone.servers.iter().map(|server| server.name.to_string()).collect();
    names.dedup();
    names
}

async fn told(address: Option<SocketAddr>, name: &DnsName, kind: Kind) -> Told {
    match address {
        Some(address) => ask(address, name, kind).await,
        None => Told::Silent("its name has no address".to_owned()),
    }
}

/// The zone of each name; every name is looked up once, and left out when that takes too long.
async fn zones(
    authorities: &Authorities,
    wanted: &[(DnsName, Kind)],
    until: Instant,
) -> BTreeMap<DnsName, Result<Zone, String>> {
    let mut lookups = JoinSet::new();
    let mut names: Vec<&DnsName> = wanted.iter().map(|(name, _)| name).collect();
    names.sort();
    names.dedup();
    for name in names {
        let (authorities, name) = (authorities.clone(), name.clone());
        lookups.spawn(async move {
            let zone = authorities.of(&name).await;
            (name, zone)
        });
    }
    let mut zones = BTreeMap::new();
    while let Ok(Some(found)) = timeout_at(until, lookups.join_next()).await {
        zones.extend(found.ok());
    }
    zones
}

/// What several servers say in one. Who says nothing disagrees with nobody.
fn together(told: Vec<(String, Told)>) -> Heard {
    let (silent, answers): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|(_, told)| matches!(told, Told::Silent(_)));
    let silent: Vec<String> = silent
        .into_iter()
        .map(|(server, told)| match told {
            Told::Silent(why) => format!("{server}: {why}"),
            _ => server,
        })
        .collect();
    let Some((_, first)) = answers.first() else { return Heard::Nobody(silent.join(", ")) };
    if answers.iter().all(|(_, told)| same(told, first)) {
        return Heard::Same { told: first.clone(), silent };
    }
    Heard::Differ(answers)
}

/// That there is no name, or nothing of the type under it, comes to the same.
fn same(one: &Told, other: &Told) -> bool {
    let sorted = |data: &[Data]| {
        let mut data = data.to_vec();
        data.sort();
        data
    };
    match (one, other) {
        (Told::Records { data: a, odd: x, .. }, Told::Records { data: b, odd: y, .. }) => {
            sorted(a) == sorted(b) && x == y
        }
        (Told::Nothing | Told::NoName, Told::Nothing | Told::NoName) => true,
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn servers_agree_whatever_the_order_and_who_is_silent_disagrees_with_nobody() {
        let records = |texts: &[&str]| Told::Records {
            data: texts.iter().map(|text| Data::txt(text)).collect(),
            ttl: 60,
            odd: 0,
        };
        let told = |told: [Told; 2]| {
            together(vec![("a".to_owned(), told[0].clone()), ("b".to_owned(), told[1].clone())])
        };
        let silent = Told::Silent("REFUSED".to_owned());
        let cases = [
            ([records(&["x", "y"]), records(&["y", "x"])], "same"),
            ([Told::NoName, Told::Nothing], "same"),
            ([records(&["x"]), records(&["y"])], "differ"),
            ([records(&["x"]), Told::NoName], "differ"),
            ([silent.clone(), records(&["x"])], "same"),
            ([silent.clone(), silent], "nobody"),
        ];
        for (given, expected) in cases {
            let found = match told(given.clone()) {
                Heard::Same { .. } => "same",
                Heard::Differ(_) => "differ",
                Heard::Nobody(_) => "nobody",
            };
            assert_eq!(found, expected, "{given:?}");
        }
    }
}
