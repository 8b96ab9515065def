//! Targets for the rules that `kings-mta` applies to mail.

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::header::{self, Fields, MAX_HEADER_BLOCK, header_end};
use kings_mta::{Srs, try_content_checks, try_header_checks};

use super::directory::first_lines;

/// Rules and a message, parted by NUL: the body stays, and no rule turns one field into three; a header that becomes too
/// large is refused whole.
pub fn header_checks(data: &[u8]) {
    let at = data.iter().position(|octet| *octet == 0).unwrap_or(data.len());
    let message = data.get(at + 1..).unwrap_or_default();
    if header::check(message).is_err() {
        return;
    }
    let table = String::from_utf8_lossy(&data[..at]);
    content_checks(first_lines(&table), message);
    let Some(changed) = try_header_checks(first_lines(&table), message) else { return };
    if changed.len() > MAX_HEADER_BLOCK {
        return;
    }
    // PREPEND adds one field to each field that is there.
    assert!(Fields::new(&changed).count() <= 2 * Fields::new(message).count());
    assert!(changed.ends_with(&message[header_end(message)..]));
}

/// The same rules about all headers and bodies of a message: those that change nothing leave it to the octet.
fn content_checks(table: &str, message: &[u8]) {
    let Some(changed) = try_content_checks(table, message) else { return };
    let words = table.to_ascii_uppercase();
    if !["REPLACE", "PREPEND", "IGNORE", "STRIP"].iter().any(|word| words.contains(word)) {
        assert_eq!(changed, message);
    }
}

/// What is rewritten comes back to where it came from.
pub fn srs(data: &[u8]) {
    let our = Domain::parse("our.example").expect("a domain");
    let srs = Srs::new("the secret of this target").expect("it is long enough");
    let Some(address) = std::str::from_utf8(data).ok().and_then(|text| Address::parse(text).ok()) else {
        return;
    };
    let _ = srs.reverse(&address, 20_000);
    if let Some(rewritten) = srs.forward(&address, &our, 20_000) {
        let back = srs.reverse(&rewritten, 20_000);
        let is_guarded = rewritten.local_part.as_str().starts_with("SRS1");
        assert!(is_guarded || back == Ok(address), "{rewritten}");
    }
}
