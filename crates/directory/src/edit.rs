//! Changes the accounts file: add, remove, new password. Whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::Path;

use kings_mail::address::Address;
use kings_sasl::Secret;

use crate::directory::Directory;
use crate::passwd_file::{address_of, name};
use crate::password::StoredPassword;

/// What is left of a file whose last account was removed.
const NO_ACCOUNTS: &str = "# no accounts";

/// The change was not made.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The account is there already.
    #[error("account {0} exists already; a new password: kings account password {0}")]
    Exists(Address),
    /// There is no such account.
    #[error("no account {0}; the list of all: kings account list")]
    Unknown(Address),
    /// Its mail would not arrive here.
    #[error("{0} is not in a hosted domain; add a [[domain]] block with its domain to the config first")]
    NotHosted(Address),
    /// Its mail could have no folder, or its line would not read back as it.
    #[error(
        "{0} cannot be an account: choose a plain name without quotes, slash or colon that does not begin with # or a dot"
    )]
    BadName(Address),
    /// The file cannot be written.
    #[error("cannot change the accounts file: {0}")]
    Io(#[from] io::Error),
}

impl Directory {
    /// Adds an account with this password.
    pub fn add_account(&self, account: &Address, password: &Secret) -> Result<(), EditError> {
        if !account.domain().is_some_and(|domain| self.hosts(domain)) {
            return Err(EditError::NotHosted(account.clone()));
        }
        if !account.fits_a_folder() || !self.reads_back(account) {
            return Err(EditError::BadName(account.clone()));
        }
        let line = format!("{}:{}::::::", account.folded(), StoredPassword::create(password).field());
        self.edit(|lines| {
            if lines.iter().any(|old| self.is_line_of(old, account)) {
                return Err(EditError::Exists(account.clone()));
            }
            lines.push(line);
            Ok(())
        })
    }

    /// Removes an account from the file; its mail stays where it is.
    pub fn remove_account(&self, account: &Address) -> Result<(), EditError> {
        self.edit(|lines| {
            let before = lines.len();
            lines.retain(|line| !self.is_line_of(line, account));
            if lines.len() == before { Err(EditError::Unknown(account.clone())) } else { Ok(()) }
        })
    }

    /// Sets a new password; the other fields of the line stay as they are.
    pub fn set_password(&self, account: &Address, password: &Secret) -> Result<(), EditError> {
        let field = StoredPassword::create(password).field();
        self.edit(|lines| {
            let line = lines.iter_mut().find(|line| self.is_line_of(line, account));
            let line = line.ok_or_else(|| EditError::Unknown(account.clone()))?;
            let mut fields: Vec<&str> = line.splitn(3, ':').collect();
            fields.resize(fields.len().max(2), "");
            fields[1] = &field;
            *line = fields.join(":");
            Ok(())
        })
    }

    /// Whether the name can stand in front of a line: a colon would end it, `#` would make it a comment.
    fn reads_back(&self, account: &Address) -> bool {
        self.is_line_of(&format!("{}:", account.folded()), account)
    }

    fn is_line_of(&self, line: &str, account: &Address) -> bool {
        let default_domain = self.settings().login.names.default_domain.as_ref();
        !line.trim_start().starts_with('#')
            && address_of(name(line), default_domain).is_some_and(|address| address == account.folded())
    }

    /// Reads the lines, changes them, and puts the new file in the place of the old one: a reader sees one or
    /// the other. A lock file beside it keeps two editors apart.
    fn edit(&self, change: impl FnOnce(&mut Vec<String>) -> Result<(), EditError>) -> Result<(), EditError> {
        let path = &self.settings().accounts;
        let path = fs::canonicalize(path)?;
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path.with_added_extension("lock"))?;
        lock.lock()?;
        let text = fs::read_to_string(&path)?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines)?;
        // A blank file would be taken for one that is being written, and not act.
        if lines.iter().all(|line| line.trim().is_empty()) {
            lines = vec![NO_ACCOUNTS.to_owned()];
        }
        let mut text = lines.join("\n");
        text.push('\n');
        replace(&path, &text)?;
        self.reload();
        Ok(())
    }
}

/// Writes beside, with the owner and rights of the old file, then renames over it.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let old = fs::metadata(path)?;
    let partial = path.with_added_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    // Only root may give a file away; everyone else owns it already.
    let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
    file.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
