//! `kings dns apply`: what has to change so that the records are there, and the way back. Deciding is pure.

use std::collections::{BTreeMap, BTreeSet};

use kings_dns::plan::{Plan, Purpose, TTL, Wanted, version};
use kings_dns::{Change, Data, Dns, DnsProvider, Kind, Listing, ProviderError, RecordSet};
use kings_mail::domain::{DnsName, Domain};
use kings_mail::visible;
use kings_msgauth::spf::SpfResult;

use super::gather::Heap;
use super::journal::{Journal, JournalError, Made};
use super::merge;
use super::spf::{self, Fresh};

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// For each zone the changes of it, each zone in one step.
    pub zones: Vec<(DnsName, Vec<Change>)>,
    /// What cannot be done, and why.
    pub refused: Vec<Refused>,
    /// Records that are right already.
    pub kept: usize,
}

/// What stays as it is though it should not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Where.
    pub name: DnsName,
    /// Of which type.
    pub kind: Kind,
    /// Why.
    pub why: String,
}

impl Draft {
    /// The changes as people read them: what goes with `-`, what comes with `+`.
    pub fn diff(&self) -> String {
        let mut text = String::new();
        for (zone, changes) in &self.zones {
            text += &format!("{zone}\n");
            for Change { name, kind, before, after } in changes {
                let (old, new) = (data(before.as_ref()), data(after.as_ref()));
                let line = |sign, data: &Data| {
                    format!("  {sign} {name}. {kind} {}\n", visible::line(&data.to_string()))
                };
                text.extend(old.iter().filter(|data| !new.contains(data)).map(|data| line('-', data)));
                text.extend(new.iter().filter(|data| !old.contains(data)).map(|data| line('+', data)));
            }
        }
        for Refused { name, kind, why } in &self.refused {
            text += &format!("  left as it is: {name} {kind}: {}\n", visible::line(why));
        }
        text
    }

    /// How many sets of records change.
    pub fn changes(&self) -> usize {
        self.zones.iter().map(|(_, changes)| changes.len()).sum()
    }
}

/// Why it ended early. What was done before stays, and a further run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The name server or service says no, or nothing.
    #[error("{0}")]
    Provider(#[from] ProviderError),
    /// What we do could not be noted, so that it was not done.
    #[error("{0}")]
    Journal(#[from] JournalError),
}

/// Takes out of a draft what would spoil an SPF record of somebody else: with `mx` it may ask DNS once too often (RFC 7208
/// §4.6.4), and then all mail of the domain fails, theirs too. A record that is broken already gets no worse.
pub async fn spare_spf(draft: &mut Draft, host: &Domain, dns: &impl Dns) {
    for (_, changes) in &mut draft.zones {
        let mut spoilt = Vec::new();
        for (at, change) in changes.iter().enumerate() {
            let (Some(before), Some(after)) = (&change.before, &change.after) else { continue };
            let has_spf = |set: &RecordSet| set.data.iter().any(|data| version_of(data) == Some("v=spf1"));
            let Ok(domain) = Domain::parse(change.name.as_str()) else { continue };
            if !(change.kind == Kind::Txt && has_spf(before) && has_spf(after)) {
                continue;
            }
            let fails = async |set: &RecordSet| {
                let mut heap = Heap::default();
                heap.put_records(change.name.clone(), Kind::Txt, &set.data);
                let outcome = spf::whole(&Fresh { heap: &heap, rest: dns }, &domain, host).await;
                (outcome.result == SpfResult::PermError).then(|| outcome.reason.to_string())
            };
            if let Some(why) = fails(after).await
                && fails(before).await.is_none()
            {
                let why = format!(
                    "with mx in it {why}: put your addresses into it as ip4: and ip6:, or shorten it"
                );
                spoilt.push((at, Refused { name: change.name.clone(), kind: change.kind, why }));
            }
        }
        for (at, refused) in spoilt.into_iter().rev() {
            changes.remove(at);
            draft.refused.push(refused);
        }
    }
}

/// Compares what is there with what should be, or with what was there before us.
pub async fn draft(
    provider: &impl DnsProvider,
    plan: &Plan,
    journal: &Journal,
    undo: bool,
) -> Result<Draft, ProviderError> {
    let mut draft = Draft::default();
    let wanted: Vec<&Wanted> = if undo { Vec::new() } else { plan.records.iter().collect() };
    let mut zones: BTreeMap<DnsName, Vec<&Wanted>> = BTreeMap::new();
    for wanted in wanted {
        match provider.zone_of(&wanted.name).await {
            Ok(zone) => zones.entry(zone).or_default().push(wanted),
            Err(error @ ProviderError::NotOurs(_)) => {
                let (name, kind) = (wanted.name.clone(), wanted.kind());
                draft.refused.push(Refused { name, kind, why: error.to_string() });
            }
            Err(error) => return Err(error),
        }
    }
    for made in &journal.items {
        zones.entry(made.zone.clone()).or_default();
    }
    for (zone, wanted) in zones {
        let own: Vec<&Made> = journal.items.iter().filter(|made| made.zone == zone).collect();
        let names = wanted.iter().map(|wanted| &wanted.name).chain(own.iter().map(|made| &made.name));
        let listing = provider.list(&zone, &names.cloned().collect()).await?;
        let changes = decide(&wanted, &listing, &own, &mut draft);
        if !changes.is_empty() {
            draft.zones.push((zone, changes));
        }
    }
    Ok(draft)
}

/// Does it, zone by zone. What is about to be done is on disk before it is done, so that whatever ends us, the next run
/// knows its own records.
pub async fn carry_out(
    provider: &impl DnsProvider,
    draft: &Draft,
    journal: &mut Journal,
) -> Result<(), ApplyError> {
    let mut tickets = Vec::new();
    for (zone, changes) in &draft.zones {
        let before = journal.clone();
        journal.intend(zone, changes);
        journal.save()?;
        match provider.change(zone, changes).await {
            Ok(ticket) => tickets.push((zone, ticket)),
            Err(error) => {
                // Whether it was done nobody knows where the connection broke: then both stay noted.
                if !error.is_temporary() {
                    *journal = before;
                    journal.save()?;
                }
                return Err(error.into());
            }
        }
        journal.done(zone, changes);
        journal.save()?;
    }
    for (zone, ticket) in tickets {
        provider.wait(zone, &ticket).await?;
    }
    Ok(())
}

fn data(set: Option<&RecordSet>) -> &[Data] {
    set.map_or(&[], |set| &set.data)
}

/// The changes of one zone.
fn decide(wanted: &[&Wanted], listing: &Listing, own: &[&Made], draft: &mut Draft) -> Vec<Change> {
    let mut groups: BTreeMap<(&DnsName, Kind), Vec<&Wanted>> = BTreeMap::new();
    for wanted in wanted {
        groups.entry((&wanted.name, wanted.kind())).or_default().push(wanted);
    }
    let mut changes = Vec::new();
    for ((name, kind), group) in &groups {
        let made = own.iter().find(|made| (&made.name, made.kind) == (*name, *kind)).copied();
        let before = listing.get(name, *kind);
        let result =
            obstacle(name, *kind, listing, own).map_or_else(|| after(group, data(before), made), Err);
        match result {
            Ok(after) => match change(name, *kind, before, after, TTL) {
                Some(change) => changes.push(change),
                None => draft.kept += 1,
            },
            Err(why) => draft.refused.push(Refused { name: (*name).clone(), kind: *kind, why }),
        }
    }
    for made in own.iter().filter(|made| !groups.contains_key(&(&made.name, made.kind))) {
        match restored(made, data(listing.get(&made.name, made.kind))) {
            Ok(after) => {
                let before = listing.get(&made.name, made.kind);
                changes.extend(change(&made.name, made.kind, before, after, made.ttl));
            }
            Err(why) => draft.refused.push(Refused { name: made.name.clone(), kind: made.kind, why }),
        }
    }
    // What goes makes room for what comes (an alias for addresses).
    changes.sort_by_key(|change| change.after.is_some());
    changes
}

fn change(
    name: &DnsName,
    kind: Kind,
    before: Option<&RecordSet>,
    mut data: Vec<Data>,
    ttl: u32,
) -> Option<Change> {
    data.sort();
    data.dedup();
    let ttl = before.map_or(ttl, |set| set.ttl);
    let after = (!data.is_empty()).then(|| RecordSet { name: name.clone(), kind, ttl, data });
    let same = match (before, &after) {
        (Some(before), Some(after)) => before.says_the_same(after),
        (before, after) => before.is_none() && after.is_none(),
    };
    (!same).then(|| Change { name: name.clone(), kind, before: before.cloned(), after })
}

/// An alias and other records do not go together (RFC 1034 §3.6.2), and what cannot be read must stay.
fn obstacle(name: &DnsName, kind: Kind, listing: &Listing, own: &[&Made]) -> Option<String> {
    let opaque = listing.opaque.iter().find(|opaque| {
        opaque.name == *name
            && (opaque.kind == kind.as_str() || kind == Kind::Cname || opaque.kind == "CNAME")
    });
    if let Some(opaque) = opaque {
        return Some(format!("{} is there: {}", opaque.kind, opaque.why));
    }
    let beside = listing.sets.iter().find(|set| {
        let clash = (set.kind == Kind::Cname) != (kind == Kind::Cname);
        let is_own = own.iter().any(|made| {
            (&made.name, made.kind) == (name, set.kind)
                && set.data.iter().all(|data| made.made.contains(data))
        });
        set.name == *name && clash && !is_own
    });
    beside.map(|set| format!("{} {} is there, and an alias stands alone", set.kind, shown(&set.data)))
}

fn shown(data: &[Data]) -> String {
    data.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// What a set becomes: ours in the place of ours, beside those of others where that is possible.
fn after(group: &[&Wanted], current: &[Data], made: Option<&Made>) -> Result<Vec<Data>, String> {
    let none = BTreeSet::new();
    let own = made.map_or(&none, |made| &made.made);
    let foreign: Vec<Data> = current.iter().filter(|data| !own.contains(data)).cloned().collect();
    let wanted: Vec<Data> = group.iter().map(|wanted| wanted.data.clone()).collect();
    match group[0].kind() {
        Kind::Txt => text(group[0], current, foreign, made),
        // One more authority takes nothing from anybody.
        Kind::Caa => Ok([foreign, wanted].concat()),
        _ if foreign.iter().all(|data| wanted.contains(data)) => Ok(wanted),
        kind => {
            let others: Vec<Data> = foreign.into_iter().filter(|data| !wanted.contains(data)).collect();
            let why = format!(
                "{kind} {} is there, which was not made here: remove it if it is wrong",
                shown(&others)
            );
            Err(why)
        }
    }
}

/// A text beside others: one of its kind that is there already counts, is edited (SPF), or is in the way.
fn text(
    wanted: &Wanted,
    current: &[Data],
    mut foreign: Vec<Data>,
    made: Option<&Made>,
) -> Result<Vec<Data>, String> {
    let own_version = version_of(&wanted.data);
    let of_kind: Vec<Data> = current.iter().filter(|data| version_of(data) == own_version).cloned().collect();
    let others: Vec<&Data> =
        of_kind.iter().filter(|data| foreign.contains(data) && **data != wanted.data).collect();
    if wanted.purpose == Purpose::Spf || wanted.purpose == Purpose::SpfOfHost {
        // Ours alone is replaced as a whole; what we have edited was somebody's.
        let edited = made.is_some_and(|made| !made.dropped.is_empty());
        let [one] = of_kind.as_slice() else {
            return if of_kind.is_empty() {
                foreign.push(wanted.data.clone());
                Ok(foreign)
            } else {
                Err(format!("there are {} SPF records: delete all but one", of_kind.len()))
            };
        };
        if !edited && others.is_empty() {
            foreign.retain(|data| data != one);
            foreign.push(wanted.data.clone());
            return Ok(foreign);
        }
        let merged = if wanted.purpose == Purpose::Spf { merge::spf(&plain(one)) } else { None };
        let merged = merged.map_or_else(|| one.clone(), |text| Data::txt(&text));
        return Ok(current
            .iter()
            .map(|data| if data == one { merged.clone() } else { data.clone() })
            .collect());
    }
    let is_choice = matches!(wanted.purpose, Purpose::Dmarc | Purpose::TlsReports | Purpose::ReportsTo);
    match others.as_slice() {
        [] => {
            foreign.retain(|data| *data != wanted.data);
            if matches!(wanted.purpose, Purpose::Dkim(_)) && !foreign.is_empty() {
                return Err(format!("TXT {} is there, and a key stands alone", shown(&foreign)));
            }
            foreign.push(wanted.data.clone());
            Ok(foreign)
        }
        // Whoever wrote it knows what for.
        [_] if is_choice => Ok(foreign),
        _ => Err(format!(
            "TXT {} is there, which was not made here: remove it if it is wrong",
            shown(&of_kind)
        )),
    }
}

fn version_of(data: &Data) -> Option<&'static str> {
    if let Data::Txt(text) = data { version(text) } else { None }
}

fn plain(data: &Data) -> String {
    if let Data::Txt(text) = data {
        String::from_utf8_lossy(&text.joined()).into_owned()
    } else {
        String::new()
    }
}

/// What a set was before us, with what others have added since.
fn restored(made: &Made, current: &[Data]) -> Result<Vec<Data>, String> {
    let ours = current.iter().any(|data| made.made.contains(data));
    if !ours {
        // It was taken away, or never came.
        return Ok(current.to_vec());
    }
    let mut data: Vec<Data> = current.iter().filter(|data| !made.made.contains(data)).cloned().collect();
    let clash = matches!(made.kind, Kind::Cname) && !data.is_empty();
    if clash {
        return Err("it was changed by somebody else".to_owned());
    }
    data.extend(made.dropped.iter().cloned());
    Ok(data)
}

#[cfg(test)]
mod tests;
