//! Targets for DMARC: records.

use kings_msgauth::dmarc::{MAX_ADDRESSES, MAX_RECORD, Record, mailto};

/// A record is bounded and reads alike twice; every address in it is one that mail can go to.
pub fn dmarc_record(data: &[u8]) {
    let record = Record::parse(data);
    assert_eq!(Record::parse(data), record);
    let Some(record) = record else { return };
    assert!(
        data.len() <= MAX_RECORD && record.rua.len() <= MAX_ADDRESSES && record.ruf.len() <= MAX_ADDRESSES
    );
    for address in record.rua.iter().chain(&record.ruf) {
        assert!(address.domain().is_some() && !address.to_string().contains(char::is_control));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        mailto(text);
    }
}
