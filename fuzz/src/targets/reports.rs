//! Target for reports: aggregate reports of DMARC, TLS reports, packed and plain.

use kings_msgauth::reports::aggregate::{FileName, MAX_ROWS, MAX_VALUES, Report};
use kings_msgauth::reports::archive::unpack;
use kings_msgauth::reports::tls;

/// What one input may unpack to.
const LIMIT: usize = 1024 * 1024;

/// Whatever arrives is unpacked within the limit; a report that can be read is bounded, and what is written of it reads
/// back the same from then on.
pub fn dmarc_report(data: &[u8]) {
    let Ok(content) = unpack(data, LIMIT) else { return };
    assert!(content.len() <= LIMIT);
    if let Ok(report) = Report::from_xml(&content) {
        assert!(report.rows.len() <= MAX_ROWS);
        assert!(report.rows.iter().all(|row| row.dkim.len() <= MAX_VALUES && row.spf.len() <= MAX_VALUES));
        // Writing replaces what XML cannot hold and canonicalises addresses: the second time nothing changes.
        let once = Report::from_xml(report.to_xml().as_bytes());
        if let Ok(once) = once {
            assert_eq!(Report::from_xml(once.to_xml().as_bytes()), Ok(once));
        }
    }
    if let Ok(report) = tls::Report::from_json(&content) {
        assert_eq!(tls::Report::from_json(report.to_json().as_bytes()), Ok(report));
    }
    if let Some(name) = std::str::from_utf8(data).ok().and_then(FileName::parse) {
        assert_eq!(FileName::parse(&name.to_string()), Some(name));
    }
}
