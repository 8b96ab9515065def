//! May reports about one domain go to addresses of another? The other domain must say so (RFC 9990 §3).

use kings_dns::{Dns, DnsError};
use kings_mail::address::Address;
use kings_mail::domain::{DnsName, Domain};

use super::record::Record;
use super::walk::{Known, Unanswered, Walk};

/// Where reports for one address may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To these addresses: the one asked about, or what its domain names instead.
    Granted(Vec<Address>),
    /// Nowhere: an outsider wants to flood the address with reports.
    Refused,
}

/// Asks whether reports about the domain at which a record stands may go to an address that the record names.
///
/// Within one organisational domain nothing is asked. A refused or unreadable answer refuses; without an answer the
/// report waits.
pub async fn permission(
    dns: &impl Dns,
    published_at: &Domain,
    address: &Address,
) -> Result<Permission, Unanswered> {
    let Some(host) = address.domain() else { return Ok(Permission::Refused) };
    if host == published_at {
        return Ok(Permission::Granted(vec![address.clone()]));
    }
    let mut known = Known::default();
    let ours = Walk::from(published_at, dns, &mut known).await.organisational_domain()?;
    if ours == Walk::from(host, dns, &mut known).await.organisational_domain()? {
        return Ok(Permission::Granted(vec![address.clone()]));
    }
    let Ok(name) = DnsName::parse(&format!("{published_at}._report._dmarc.{host}")) else {
        return Ok(Permission::Refused);
    };
    let texts = match dns.txt(&name).await {
        Ok(answer) => answer.records,
        Err(DnsError::NoDomain | DnsError::NoRecord) => return Ok(Permission::Refused),
        Err(DnsError::Temporary(error)) => return Err(Unanswered { name: name.to_string(), error }),
    };
    let records: Vec<Record> = texts.iter().filter_map(|text| Record::parse(text)).collect();
    Ok(match records.as_slice() {
        [] => Permission::Refused,
        [record] if !record.rua.is_empty() => redirected(record, host),
        _ => Permission::Granted(vec![address.clone()]),
    })
}

/// Other addresses are followed only within the host that names them (RFC 9990 §3).
fn redirected(record: &Record, host: &Domain) -> Permission {
    let within: Vec<Address> =
        record.rua.iter().filter(|other| other.domain() == Some(host)).cloned().collect();
    if within.is_empty() { Permission::Refused } else { Permission::Granted(within) }
}
