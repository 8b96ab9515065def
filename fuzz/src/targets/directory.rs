//! Targets for the tables of `kings-directory`.

use kings_directory::{RegexpTable, read_reply, try_system_aliases};
use kings_mail::domain::Domain;

/// Most lines of a table here: each pattern takes up to a fifth of a millisecond to compile, so that thousands of honest
/// ones would look like one that hangs.
const TABLE_LINES: usize = 500;

/// A table and an address, parted by NUL: reading and matching end, and give the same twice.
pub fn regexp_table(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (table, input) = text.split_once('\0').unwrap_or((&text, "list-dev@example.org"));
    match RegexpTable::parse(first_lines(table)) {
        Ok(table) => assert_eq!(table.find(input), table.find(input)),
        Err(complaints) => assert!(complaints.iter().all(|bad| bad.line > 0 && !bad.what.is_empty())),
    }
}

/// What is compiled of a table.
pub(super) fn first_lines(table: &str) -> &str {
    let end = table.match_indices('\n').nth(TABLE_LINES).map_or(table.len(), |(at, _)| at);
    &table[..end]
}

/// Any alias file is read to its end, includes that include themselves too.
pub fn system_aliases(data: &[u8]) {
    let origin = Domain::parse("example.org").expect("a domain");
    let text = String::from_utf8_lossy(data);
    let found = try_system_aliases(&text, &origin);
    let lines = text.lines().count();
    assert!(found.map_or_else(|bad| bad <= lines, |aliases| aliases <= lines));
}

/// What a socketmap server says is whole, unfinished or wrong; more octets never make a whole reply another one.
pub fn socketmap(data: &[u8]) {
    let Ok(Some(answer)) = read_reply(data) else { return };
    let more = [data, b"x"].concat();
    assert_eq!(read_reply(&more).ok().flatten(), Some(answer));
}
