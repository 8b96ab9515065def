//! One reading of all files of the directory, and whether they have changed since.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kings_mail::domain::Domain;

use crate::aliases::Aliases;
use crate::directory::{DirectoryError, Settings};
use crate::passwd_file::{Accounts, BadLine};
use crate::regexp_table::RegexpTable;
use crate::relays::Recipients;
use crate::system::SystemAliases;
use crate::tables::{AliasSource, Table};

/// Largest file that an alias may include, in octets.
const MAX_INCLUDED: u64 = 1 << 20;

/// How long a file without an end of its last line is taken for one that is being written.
const UNFINISHED: Duration = Duration::from_secs(2);

/// Everything the files say.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) accounts: Accounts,
    pub(crate) tables: Vec<Table>,
    pub(crate) system: SystemAliases,
    pub(crate) relays: Vec<(Domain, Option<Recipients>)>,
    watched: Vec<Watched>,
}

/// A file as it was: (inode, size, ctime in nanoseconds), `None` where there was none. ctime also moves when
/// a file becomes readable again, or is put in place with an old mtime.
type Mark = Option<(u64, u64, i128)>;

#[derive(Clone, Debug)]
struct Watched {
    path: PathBuf,
    mark: Mark,
    /// It was not blank.
    spoke: bool,
}

impl Files {
    /// Reads everything that the settings name. `old` is the reading that holds now: what said something in it
    /// and is gone, blank or half written does not act, since mail would be refused for good meanwhile.
    pub(crate) fn read(settings: &Settings, old: Option<&Self>) -> Result<Self, DirectoryError> {
        let (files, faults) = Self::examine(settings, old);
        DirectoryError::of(faults).map_or(Ok(files), Err)
    }

    /// The same, with the lines that make sense beside all faults: for whoever looks for more of them, and for nobody's
    /// mail.
    pub(crate) fn examine(settings: &Settings, old: Option<&Self>) -> (Self, Vec<DirectoryError>) {
        let mut reader = Reader { old, watched: Vec::new(), faults: Vec::new() };
        let origin = settings.domains.first().map(|hosted| &hosted.name);
        let text = reader.text("accounts file", &settings.accounts);
        let accounts = Accounts::parse(&text).unwrap_or_else(|lines| {
            reader.complain(&settings.accounts, lines);
            Accounts::default()
        });
        let tables = settings.aliases.iter().map(|source| reader.table(source, origin)).collect();
        let system = reader.system(settings);
        let mut relays = Vec::new();
        for relay in &settings.relays {
            let recipients = relay.recipients.as_ref().map(|path| {
                let text = reader.text("recipients file", path);
                Recipients::parse(&text).unwrap_or_else(|lines| {
                    reader.complain(path, lines);
                    Recipients::default()
                })
            });
            relays.push((relay.name.clone(), recipients));
        }
        (Self { accounts, tables, system, relays, watched: reader.watched }, reader.faults)
    }

    /// Whether any of the files is another one now.
    pub(crate) fn have_changed(&self) -> bool {
        self.watched.iter().any(|file| mark(&file.path) != file.mark)
    }

    /// The same reading for the files as they are now: they make no sense, and have been complained about.
    pub(crate) fn as_they_were(&self) -> Self {
        let watched = self.watched.iter().map(|file| Watched { mark: mark(&file.path), ..file.clone() });
        Self { watched: watched.collect(), ..self.clone() }
    }
}

fn mark(path: &Path) -> Mark {
    let found = fs::metadata(path).ok()?;
    let ctime = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
    Some((found.ino(), found.len(), ctime))
}

struct Reader<'a> {
    old: Option<&'a Files>,
    watched: Vec<Watched>,
    faults: Vec<DirectoryError>,
}

impl Reader<'_> {
    /// What the file says; nothing where it is at fault.
    fn text(&mut self, what: &'static str, path: &Path) -> String {
        let text = self.read(what, path);
        self.kept(text)
    }

    fn kept(&mut self, text: Result<String, DirectoryError>) -> String {
        text.unwrap_or_else(|fault| {
            self.faults.push(fault);
            String::new()
        })
    }

    fn complain(&mut self, path: &Path, lines: Vec<BadLine>) {
        if !lines.is_empty() {
            self.faults.push(DirectoryError::malformed(path, lines));
        }
    }

    fn read(&mut self, what: &'static str, path: &Path) -> Result<String, DirectoryError> {
        // The mark is taken first: a change between the two is seen at the next look.
        let mark = mark(path);
        let unreadable = |cause| DirectoryError::Unreadable { what, path: path.to_owned(), cause };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let spoke = !text.trim().is_empty();
        if self.spoke(path) && !spoke {
            return Err(DirectoryError::Emptied { what, path: path.to_owned() });
        }
        if self.spoke(path) && !text.ends_with('\n') && is_young(path) {
            return Err(DirectoryError::Unfinished { what, path: path.to_owned() });
        }
        self.watched.push(Watched { path: path.to_owned(), mark, spoke });
        Ok(text)
    }

    /// The same for a file that need not be there, unless it was.
    fn read_if_there(&mut self, what: &'static str, path: &Path) -> Result<String, DirectoryError> {
        if path.exists() || self.spoke(path) {
            return self.read(what, path);
        }
        self.watched.push(Watched { path: path.to_owned(), mark: None, spoke: false });
        Ok(String::new())
    }

    /// Whether the file said something in the reading that holds now.
    fn spoke(&self, path: &Path) -> bool {
        self.old.is_some_and(|old| old.watched.iter().any(|file| file.path == path && file.spoke))
    }

    fn table(&mut self, source: &AliasSource, origin: Option<&Domain>) -> Table {
        match source {
            AliasSource::Virtual(path) => {
                let text = self.text("alias file", path);
                let (aliases, bad) = Aliases::read(&text, origin);
                self.complain(path, bad);
                Table::Virtual(aliases)
            }
            AliasSource::Regexp(path) => {
                let text = self.text("alias file", path);
                // Without one of its rules a table says something else.
                Table::Regexp(RegexpTable::parse(&text).unwrap_or_else(|bad| {
                    let bad = bad.into_iter().map(|rule| BadLine { line: rule.line, what: rule.what });
                    self.complain(path, bad.collect());
                    RegexpTable::default()
                }))
            }
            AliasSource::Socketmap(socketmap) => Table::Socketmap(socketmap.clone()),
        }
    }

    fn system(&mut self, settings: &Settings) -> SystemAliases {
        let Some(machine) = &settings.machine else { return SystemAliases::default() };
        let Some(path) = &machine.aliases else { return SystemAliases::default() };
        let text = self.read_if_there("system alias file", path);
        let text = self.kept(text);
        let mut include = |path: &str| self.include(Path::new(path));
        SystemAliases::parse(&text, &machine.origin, &mut include)
    }

    fn include(&mut self, path: &Path) -> Result<String, String> {
        if !path.is_absolute() {
            return Err(format!("{} must be a whole path", path.display()));
        }
        self.watched.push(Watched { path: path.to_owned(), mark: mark(path), spoke: false });
        let unreadable = |cause| format!("cannot read {}: {cause}", path.display());
        let found = fs::metadata(path).map_err(unreadable)?;
        if !found.is_file() || found.len() > MAX_INCLUDED {
            return Err(format!("{} is no file, or larger than {MAX_INCLUDED} octets", path.display()));
        }
        fs::read_to_string(path).map_err(unreadable)
    }
}

/// Whether the file was written within the last moments, as far as the clock can tell.
fn is_young(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age < UNFINISHED))
}
