//! What Amazon's services say, and the file with keys for them.

use std::collections::BTreeSet;

use kings_mail::domain::DnsName;
use kings_ops::aws::{read_credentials, xml_text};
use kings_ops::dns::read_sets;

/// What is read of an answer stands under a name that was asked for, has records of its type, and nothing of it is lost: it is a
/// set that can be changed, or one that must stay as it is.
pub fn route53_sets(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let names: BTreeSet<DnsName> =
        ["example.org", "mail.example.org"].iter().filter_map(|name| DnsName::parse(name).ok()).collect();
    let listing = read_sets(&text, &names);
    for set in &listing.sets {
        assert!(names.contains(&set.name) && !set.data.is_empty());
        assert!(set.data.iter().all(|data| data.kind() == set.kind));
    }
    assert!(listing.opaque.iter().all(|opaque| names.contains(&opaque.name)));
    let _ = xml_text(&text, "Message");
}

/// A key is in one piece: it becomes a part of a header field.
pub fn aws_credentials(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(key) = read_credentials(&text, "default") {
        for part in [Some(&key.id), Some(&key.secret), key.session.as_ref()].into_iter().flatten() {
            assert!(!part.is_empty() && part.bytes().all(|octet| octet.is_ascii_graphic()));
        }
        assert!(
            !format!("{key:?}").contains(&key.secret)
                || key.id.contains(&key.secret)
                || "AwsKey()".contains(&key.secret)
        );
    }
}
