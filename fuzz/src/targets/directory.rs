//! Targets for the tables of `kings-directory`.

use kings_directory::{
    CidrTable, RegexpTable, read_reply, try_passwd_file, try_system_aliases, try_virtual_aliases,
};
use kings_mail::address::Address;
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

/// A table of networks and an address, parted by NUL.
pub fn cidr_table(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (table, input) = text.split_once('\0').unwrap_or((&text, "192.0.2.1"));
    match CidrTable::parse(table) {
        Ok(table) => assert!(table.find(input).is_none_or(|found| !found.is_empty())),
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

/// Files of accounts: those that are taken are names with a folder, each once; a closed one stays closed, and what says
/// nothing changes nothing.
pub fn passwd_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = try_passwd_file(&text);
    assert_eq!(try_passwd_file(&format!("# first\n\n{text}\n  # last\n")).is_ok(), read.is_ok());
    let Ok(accounts) = read else { return };
    let mut names: Vec<&str> = accounts.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "an account stands twice");
    for (name, can_log_in) in &accounts {
        let address = Address::parse(name).expect("an address");
        assert!(address.fits_a_folder() && address.folded() == address);
        let closed = |line: &str| {
            let mut fields = line.split(':');
            let is_this = fields
                .next()
                .and_then(|field| Address::parse(field).ok())
                .is_some_and(|a| a.folded() == address);
            is_this
                && fields
                    .next()
                    .is_none_or(|field| field.trim_end().is_empty() || field.starts_with(['!', '*']))
        };
        assert!(!(*can_log_in && text.lines().any(closed)), "{name} is open");
    }
    let twice = format!("{text}\n{text}");
    assert_eq!(try_passwd_file(&twice).is_ok(), accounts.is_empty());
}

/// Tables of aliases: every rule is taken or complained of by its line, and what is taken leads somewhere.
pub fn virtual_aliases(data: &[u8]) {
    let origin = Domain::parse("example.org").expect("a domain");
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count();
    let read = try_virtual_aliases(&text, &origin);
    match &read {
        Ok(aliases) => {
            assert!(aliases.len() <= lines);
            assert!(aliases.iter().all(|(name, targets)| name.contains('@') && !targets.is_empty()));
        }
        Err(complaints) => {
            assert!(!complaints.is_empty() && complaints.iter().all(|line| (1..=lines).contains(line)));
            assert!(complaints.is_sorted());
        }
    }
    let mut again = String::new();
    // A line that begins like this is a comment, and no name here is quoted but those that must be.
    if read.iter().flatten().any(|(name, _)| name.starts_with('#')) {
        return;
    }
    for (name, targets) in read.iter().flatten() {
        again += &format!("{name} {}\n", targets.join(", "));
    }
    if let Ok(aliases) = read {
        assert_eq!(try_virtual_aliases(&again, &origin), Ok(aliases), "{again:?}");
    }
}
