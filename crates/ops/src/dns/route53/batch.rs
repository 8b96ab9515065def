//! Sets of records as Route 53 lists them, and the batch that changes them.

use std::collections::{BTreeMap, BTreeSet};

use kings_dns::{Change, Data, Kind, Listing, Opaque, ProviderError, RecordSet};
use kings_mail::domain::DnsName;

use crate::aws::xml::{self, escaped, unescaped};

/// Most records of one batch, and most characters of what they say; a larger one is refused as a whole.
const MAX_RECORDS: usize = 1_000;
const MAX_CHARACTERS: usize = 32_000;

/// What stands under some names.
#[derive(Default)]
pub(super) struct Found {
    pub(super) listing: Listing,
    /// Each set as the service has it: it deletes only what is told in its own words.
    as_listed: BTreeMap<(DnsName, Kind), String>,
}

impl Found {
    /// Takes the sets of one answer under these names.
    pub(super) fn read(&mut self, text: &str, names: &BTreeSet<DnsName>) {
        for set in xml::elements(text, "ResourceRecordSet") {
            let (Some(name), Some(kind)) = (xml::text(set, "Name"), xml::text(set, "Type")) else { continue };
            // Wildcards and other names that we never write are none of ours.
            let Ok(name) = DnsName::parse(&name) else { continue };
            if !names.contains(&name) || kind == "SOA" {
                continue;
            }
            match self::set(set, &name, &kind) {
                Ok(read) => {
                    self.as_listed.insert((name, read.kind), set.to_owned());
                    self.listing.sets.push(read);
                }
                Err(why) => self.listing.opaque.push(Opaque { name, kind, why: why.to_owned() }),
            }
        }
    }
}

/// All sets of one answer that stand under these names, as [`kings_dns::DnsProvider::list`] tells them.
pub fn read_sets(text: &str, names: &BTreeSet<DnsName>) -> Listing {
    let mut found = Found::default();
    found.read(text, names);
    found.listing
}

fn set(text: &str, name: &DnsName, kind: &str) -> Result<RecordSet, &'static str> {
    let known = Kind::parse(kind).ok_or("records of this type are not made here")?;
    if text.contains("<AliasTarget>") {
        return Err("an alias of Route 53");
    }
    if text.contains("<SetIdentifier>") {
        return Err("it has a routing policy of Route 53");
    }
    let unreadable = "a record of it cannot be read";
    let values = xml::elements(text, "Value");
    let data: Option<Vec<Data>> =
        values.iter().map(|value| Data::parse(known, &renumbered(&unescaped(value), 8, 10)?).ok()).collect();
    let ttl = xml::text(text, "TTL").and_then(|ttl| ttl.parse().ok());
    match (data, ttl) {
        (Some(data), Some(ttl)) if !data.is_empty() => {
            Ok(RecordSet { name: name.clone(), kind: known, ttl, data })
        }
        _ => Err(unreadable),
    }
}

/// Octets behind a backslash are octal there and decimal in zone files. `None` where one is no octet.
fn renumbered(text: &str, from: u32, to: u32) -> Option<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        result += before;
        result.push('\\');
        let next = behind.chars().next()?;
        rest = if next.is_ascii_digit() {
            let octet = u8::from_str_radix(behind.get(..3)?, from).ok()?;
            result += &if to == 8 { format!("{octet:03o}") } else { format!("{octet:03}") };
            behind.get(3..)?
        } else {
            result.push(next);
            &behind[next.len_utf8()..]
        };
    }
    Some(result + rest)
}

/// One batch: what is there goes, what shall be there comes, all of it or nothing. A set that is not as the service has it
/// cannot be deleted, and one that is there cannot be created: so a change that somebody made meanwhile is not lost.
pub(super) fn write(changes: &[Change], found: &Found) -> Result<String, ProviderError> {
    let (mut gone, mut come) = (String::new(), String::new());
    let (mut records, mut characters) = (0, 0);
    for change in changes {
        let Change { name, kind, before, after } = change;
        let there = found.listing.get(name, *kind);
        let is_opaque =
            found.listing.opaque.iter().any(|opaque| opaque.name == *name && opaque.kind == kind.as_str());
        let is_as_before = match (there, before) {
            (Some(there), Some(before)) => there.says_the_same(before),
            (there, before) => there.is_none() && before.is_none(),
        };
        if is_opaque || !is_as_before {
            return Err(ProviderError::Changed(format!("{name} {kind}")));
        }
        if let Some(listed) = found.as_listed.get(&(name.clone(), *kind)) {
            gone += &format!(
                "<Change><Action>DELETE</Action><ResourceRecordSet>{listed}</ResourceRecordSet></Change>"
            );
            let values = xml::elements(listed, "Value");
            records += values.len();
            characters += values.iter().map(|value| unescaped(value).chars().count()).sum::<usize>();
        }
        if let Some(set) = after {
            let mut values = String::new();
            for data in &set.data {
                let text = value(data)?;
                records += 1;
                characters += text.len();
                values += &format!("<ResourceRecord><Value>{}</Value></ResourceRecord>", escaped(&text));
            }
            come += &format!(
                "<Change><Action>CREATE</Action><ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type><TTL>{}</TTL>\
                 <ResourceRecords>{values}</ResourceRecords></ResourceRecordSet></Change>",
                set.ttl
            );
        }
    }
    if records > MAX_RECORDS || characters > MAX_CHARACTERS {
        let text = format!(
            "{records} records of {characters} characters are more than Route 53 changes in one step ({MAX_RECORDS}, \
             {MAX_CHARACTERS}): publish a part of them by hand, from  kings dns records"
        );
        return Err(ProviderError::Impossible(text));
    }
    Ok(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ChangeResourceRecordSetsRequest \
         xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>{gone}{come}</Changes></ChangeBatch>\
         </ChangeResourceRecordSetsRequest>"
    ))
}

/// A record as the service wants it. What DNS cannot hold is refused before it is sent: the service says no to all of the
/// batch, and stand-ins for it say yes.
fn value(data: &Data) -> Result<String, ProviderError> {
    let impossible =
        || ProviderError::Impossible(format!("a text with a string of more than 255 octets: {data:.60}"));
    if let Data::Txt(text) = data
        && !text.fits()
    {
        return Err(impossible());
    }
    renumbered(&data.to_string(), 10, 8).ok_or_else(impossible)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_dns::Txt;

    use super::*;

    fn name() -> DnsName {
        DnsName::parse("example.org").unwrap()
    }

    fn listed(name: &str, kind: &str, inside: &str) -> String {
        format!("<ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type>{inside}</ResourceRecordSet>")
    }

    fn values(text: &str) -> String {
        format!(
            "<TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{text}</Value></ResourceRecord></ResourceRecords>"
        )
    }

    fn found(text: &str) -> Found {
        let mut found = Found::default();
        found.read(text, &BTreeSet::from([name()]));
        found
    }

    fn text(strings: &[&str]) -> RecordSet {
        let strings = strings.iter().map(|string| string.as_bytes().to_vec()).collect();
        RecordSet::one(name(), 300, Data::Txt(Txt { strings }))
    }

    fn change(before: Option<RecordSet>, after: Option<RecordSet>) -> Change {
        Change { name: name(), kind: Kind::Txt, before, after }
    }

    #[test]
    fn sets_are_read_and_what_belongs_to_the_service_stays_closed() {
        let text = [
            listed("example.org", "TXT", &values("&quot;v=spf1 a &amp; b \\344&quot;")),
            listed("example.org", "SOA", &values("ns. h. 1 2 3 4 5")),
            listed("example.org", "A", "<AliasTarget><DNSName>x.</DNSName></AliasTarget>"),
            listed("example.org", "AAAA", &format!("<SetIdentifier>one</SetIdentifier>{}", values("::1"))),
            listed("example.org", "HTTPS", &values("1 .")),
            listed("example.org", "MX", &values("nonsense")),
            listed("\\052.example.org", "A", &values("192.0.2.1")),
            listed("other.example.org", "A", &values("192.0.2.1")),
        ]
        .concat();
        let listing = read_sets(&text, &BTreeSet::from([name()]));
        assert_eq!(listing.sets.len(), 1);
        assert_eq!(listing.sets[0].data[0].to_string(), "\"v=spf1 a & b \\228\"");
        let closed: Vec<&str> = listing.opaque.iter().map(|opaque| opaque.kind.as_str()).collect();
        assert_eq!(closed, ["A", "AAAA", "HTTPS", "MX"]);
    }

    #[test]
    fn what_goes_is_told_in_the_words_of_the_service_and_what_comes_in_its_numbers() {
        let there = listed("example.org", "TXT", &values("&quot;a\\344&quot;"));
        let found = found(&there);
        let before = found.listing.sets[0].clone();
        let written = write(&[change(Some(before), Some(text(&["\u{e4}\\\"b"])))], &found).unwrap();
        assert!(written.contains(&format!("<Change><Action>DELETE</Action>{there}</Change>")), "{written}");
        let come = "<Action>CREATE</Action><ResourceRecordSet><Name>example.org.</Name><Type>TXT</Type><TTL>300</TTL>\
                    <ResourceRecords><ResourceRecord><Value>&quot;\\303\\244\\\\\\&quot;b&quot;</Value>";
        assert!(written.contains(come) && written.find("DELETE") < written.find("CREATE"), "{written}");
    }

    #[test]
    fn what_is_not_as_it_was_is_told_and_nothing_is_written() {
        let there = found(&listed("example.org", "TXT", &values("&quot;a&quot;")));
        let alias = found(&listed("example.org", "TXT", "<AliasTarget></AliasTarget>"));
        let nothing = Found::default();
        for (found, before) in [(&there, None), (&there, Some("b")), (&nothing, Some("a")), (&alias, None)] {
            let before = before.map(|before| text(&[before]));
            let refused = write(&[change(before.clone(), Some(text(&["c"])))], found);
            assert!(matches!(refused, Err(ProviderError::Changed(_))), "{before:?}");
        }
        assert!(write(&[change(Some(text(&["a"])), None)], &there).is_ok());
    }

    #[test]
    fn what_dns_or_one_batch_cannot_hold_is_refused_before_it_is_sent() {
        let nothing = Found::default();
        let (right, long) = ("a".repeat(255), "a".repeat(256));
        assert!(write(&[change(None, Some(text(&[&right, &right])))], &nothing).is_ok());
        let refused = write(&[change(None, Some(text(&[&long])))], &nothing);
        assert!(matches!(refused, Err(ProviderError::Impossible(why)) if why.contains("255")));
        let many = |count: usize| {
            let data = (0..count).map(|number| Data::txt(&format!("{number}"))).collect();
            change(None, Some(RecordSet { name: name(), kind: Kind::Txt, ttl: 60, data }))
        };
        assert!(write(&[many(1_000)], &nothing).is_ok());
        assert!(matches!(write(&[many(1_001)], &nothing), Err(ProviderError::Impossible(_))));
        let large: Vec<Change> = (0..63).map(|_| change(None, Some(text(&[&right, &right])))).collect();
        assert!(matches!(write(&large, &nothing), Err(ProviderError::Impossible(_))));
        assert!(write(&large[..62], &nothing).is_ok());
    }

    #[test]
    fn numbers_of_octets_are_changed_both_ways_and_none_that_is_no_octet() {
        for (octal, decimal) in
            [("a\\344b", "a\\228b"), ("\\\"\\\\\\001", "\\\"\\\\\\001"), ("plain", "plain")]
        {
            assert_eq!(renumbered(octal, 8, 10).as_deref(), Some(decimal));
            assert_eq!(renumbered(decimal, 10, 8).as_deref(), Some(octal));
        }
        for bad in ["\\400", "\\8", "\\12", "\\", "\\09\u{e4}"] {
            assert_eq!(renumbered(bad, 8, 10), None, "{bad}");
        }
    }
}
