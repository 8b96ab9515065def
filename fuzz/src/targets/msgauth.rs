//! What domains publish about their mail.

use kings_mail::domain::DnsName;
use kings_msgauth::mta_sts::{Policy, announced_id};

/// A policy of MTA-STS reads back from its own text as the same one; an id is a short word.
pub fn mta_sts(data: &[u8]) {
    if let Ok(policy) = Policy::parse(data) {
        assert_eq!(Policy::parse(policy.to_string().as_bytes()).as_ref(), Ok(&policy));
        for pattern in &policy.mx {
            let host = pattern.to_string().replace('*', "host");
            // A wildcard before the longest of names stands for none.
            if let Ok(host) = DnsName::parse(&host) {
                assert!(policy.names(&host), "{host}");
            }
        }
    }
    let records: Vec<Vec<u8>> = data.split(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect();
    if let Some(id) = announced_id(&records) {
        assert!(
            (1..=32).contains(&id.len()) && id.bytes().all(|octet| octet.is_ascii_alphanumeric()),
            "{id}"
        );
    }
}
