//! Dovecot's passwd-file: one account a line, fields parted by colons.

use std::collections::HashMap;

use kings_mail::address::Address;

use crate::password::StoredPassword;

/// One account of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The account, folded to lower case.
    pub(crate) address: Address,
    /// `None`: the account receives mail and nobody can log in (empty field, `!` or `*` before the hash).
    pub(crate) password: Option<StoredPassword>,
}

/// All accounts of one reading of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    by_address: HashMap<Address, Entry>,
    /// In the order of the file: the first one is who postmaster reaches when nothing else is said.
    order: Vec<Address>,
}

/// Something is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Accounts {
    /// Reads `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra`; everything after the password is kept
    /// in the file and not looked at here. All complaints at once.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<BadLine>> {
        let mut accounts = Self::default();
        let mut complaints = Vec::new();
        for (line, content) in lines(text) {
            match entry(content) {
                Ok(entry) if accounts.by_address.contains_key(&entry.address) => {
                    complaints
                        .push(BadLine { line, what: format!("{} stands here a second time", entry.address) });
                }
                Ok(entry) => accounts.insert(entry),
                Err(what) => complaints.push(BadLine { line, what }),
            }
        }
        if complaints.is_empty() { Ok(accounts) } else { Err(complaints) }
    }

    fn insert(&mut self, entry: Entry) {
        self.order.push(entry.address.clone());
        self.by_address.insert(entry.address.clone(), entry);
    }

    /// Looks an account up by its folded address.
    pub(crate) fn get(&self, folded: &Address) -> Option<&Entry> {
        self.by_address.get(folded)
    }

    /// In the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|address| self.by_address.get(address))
    }
}

/// Lines that say something, with their numbers from 1; `#` opens a comment line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(place, line)| (place + 1, line.trim_end()))
        .filter(|(_, line)| !line.trim_start().is_empty() && !line.trim_start().starts_with('#'))
}

/// The account name of one line.
pub(crate) fn name(line: &str) -> &str {
    line.split(':').next().unwrap_or(line)
}

fn entry(line: &str) -> Result<Entry, String> {
    let mut fields = line.splitn(3, ':');
    let name = fields.next().unwrap_or_default();
    let address = Address::parse(name).map_err(|_| {
        format!("\"{name}\" is not an address: write accounts in full, as in ann@example.org")
    })?;
    let field = fields.next().unwrap_or_default();
    let password = match field {
        "" => None,
        field if field.starts_with(['!', '*']) => None,
        field => Some(StoredPassword::parse(field).map_err(|error| format!("{name}: {error}"))?),
    };
    Ok(Entry { address: address.folded(), password })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_file_is_read_as_dovecot_reads_it() {
        let text = "# accounts\n\nAnn@Example.org:{PLAIN}a:5000:5000::/var/mail/a::userdb_quota_rule=*:storage=1G\n\
                    joe@example.org:!{PLAIN}b\nbob@example.org:\neve@example.org\n";
        let accounts = Accounts::parse(text).unwrap();
        let found: Vec<(String, bool)> =
            accounts.iter().map(|entry| (entry.address.to_string(), entry.password.is_some())).collect();
        let expected = [("ann", true), ("joe", false), ("bob", false), ("eve", false)];
        assert_eq!(found, expected.map(|(name, login)| (format!("{name}@example.org"), login)));
    }

    #[test]
    fn all_bad_lines_are_named_at_once() {
        let complaints = Accounts::parse(
            "ann:{PLAIN}x\na@b.example:{ROT13}x\nc@d.example:x\nc@d.example:\nc@d.example:\n",
        )
        .unwrap_err();
        let lines: Vec<usize> = complaints.iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [1, 2, 3, 5]);
        assert!(complaints[0].what.contains("write accounts in full"), "{complaints:?}");
    }
}
