//! Records of DNS as zone files write them.

use kings_dns::{Data, Kind};

/// What reads as a record is written so that it reads as the same one; no text is read for long.
pub fn dns_record(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for kind in Kind::ALL {
        if let Ok(record) = Data::parse(kind, &text) {
            assert_eq!(record.kind(), kind);
            assert_eq!(Data::parse(kind, &record.to_string()).as_ref(), Ok(&record));
        }
    }
}
