//! One reading of all files of the directory, and whether they have changed since.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kings_mail::domain::Domain;

use crate::aliases::Aliases;
use crate::cidr_table::CidrTable;
use crate::directory::{DirectoryError, Settings, lock};
use crate::lookup::{Keys, Lines};
use crate::masters::Masters;
use crate::owners::Owners;
use crate::passwd_file::{Accounts, BadLine};
use crate::regexp_table::{BadRule, RegexpTable};
use crate::relays::Listed;
use crate::system::SystemAliases;
use crate::table::{Table, TableSource};

/// Largest file that an alias may include, in octets.
const MAX_INCLUDED: u64 = 1 << 20;

/// How long a file without an end of its last line is taken for one that is being written.
const UNFINISHED: Duration = Duration::from_secs(2);

/// How often files are looked at, at the most: a change acts within a second.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Everything the files say.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) accounts: Accounts,
    /// Who may log in as anybody else.
    pub(crate) masters: Masters,
    pub(crate) tables: Vec<Table<Aliases>>,
    pub(crate) system: SystemAliases,
    pub(crate) relays: Vec<(Domain, Option<Lines<Listed>>)>,
    /// Who may write as whom, where it is not as accounts and aliases have it.
    pub(crate) owners: Lines<Owners>,
    watched: Vec<Watched>,
}

/// A file as it was: (inode, size, ctime in nanoseconds), `None` where there was none. ctime also moves when
/// a file becomes readable again, or is put in place with an old mtime.
type Mark = Option<(u64, u64, i128)>;

#[derive(Clone, Debug)]
pub(crate) struct Watched {
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
        let mut reader = Reader::new(old.map_or(&[], |old| &old.watched));
        let origin = settings.domains.first().map(|hosted| &hosted.name);
        let text = reader.text("accounts file", &settings.accounts);
        let names = &settings.login.names;
        let accounts = Accounts::parse(&text, names.default_domain.as_ref()).unwrap_or_else(|lines| {
            reader.complain(&settings.accounts, lines);
            Accounts::default()
        });
        let masters = names.masters.as_ref().map(|path| {
            let text = reader.text("master users file", path);
            Masters::parse(&text).unwrap_or_else(|lines| {
                reader.complain(path, lines);
                Masters::default()
            })
        });
        let masters = masters.unwrap_or_default();
        let aliases = |text: &str| Aliases::read(text, origin);
        let any = |_: &str| Ok(());
        let tables =
            settings.aliases.iter().map(|from| reader.table("alias file", from, aliases, any)).collect();
        let system = reader.system(settings);
        let mut relays = Vec::new();
        for relay in &settings.relays {
            let recipients = relay.recipients.as_ref();
            let lines =
                recipients.map(|from| Lines::read(&mut reader, "recipients file", Keys::Address, from));
            relays.push((relay.name.clone(), lines));
        }
        let owners = Lines::read(&mut reader, "sender_logins file", Keys::Address, &settings.sender_logins);
        let (watched, faults) = reader.done();
        (Self { accounts, masters, tables, system, relays, owners, watched }, faults)
    }

    /// Whether any of the files is another one now.
    pub(crate) fn have_changed(&self) -> bool {
        have_changed(&self.watched)
    }

    /// The same reading for the files as they are now: they make no sense, and have been complained about.
    pub(crate) fn as_they_were(&self) -> Self {
        Self { watched: marked_anew(&self.watched), ..self.clone() }
    }
}

pub(crate) fn have_changed(watched: &[Watched]) -> bool {
    watched.iter().any(|file| mark(&file.path) != file.mark)
}

/// The same files as they are now.
pub(crate) fn marked_anew(watched: &[Watched]) -> Vec<Watched> {
    watched.iter().map(|file| Watched { mark: mark(&file.path), ..file.clone() }).collect()
}

/// When files were looked at last.
#[derive(Debug)]
pub(crate) struct LookClock(Mutex<Instant>);

impl Default for LookClock {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl LookClock {
    /// Whether it is time to look again; then the time begins anew.
    pub(crate) fn is_due(&self) -> bool {
        let mut last = lock(&self.0);
        let due = last.elapsed() >= LOOK_INTERVAL;
        if due {
            *last = Instant::now();
        }
        due
    }
}

fn mark(path: &Path) -> Mark {
    let found = fs::metadata(path).ok()?;
    let ctime = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
    Some((found.ino(), found.len(), ctime))
}

/// Reads files one after the other, and keeps what it finds wrong.
pub(crate) struct Reader<'a> {
    /// As the reading that holds now found them.
    old: &'a [Watched],
    watched: Vec<Watched>,
    faults: Vec<DirectoryError>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(old: &'a [Watched]) -> Self {
        Self { old, watched: Vec::new(), faults: Vec::new() }
    }

    pub(crate) fn done(self) -> (Vec<Watched>, Vec<DirectoryError>) {
        (self.watched, self.faults)
    }

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

    pub(crate) fn complain(&mut self, path: &Path, lines: Vec<BadLine>) {
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
        self.old.iter().any(|file| file.path == path && file.spoke)
    }

    /// Reads one table: `plain` says what lines of a file mean, `check` whether the right side of a pattern, where it does not
    /// depend on the input, means anything.
    pub(crate) fn table<P>(
        &mut self,
        what: &'static str,
        source: &TableSource,
        plain: impl Fn(&str) -> (P, Vec<BadLine>),
        check: impl Fn(&str) -> Result<(), String>,
    ) -> Table<P> {
        match source {
            TableSource::Plain(path) => {
                let (lines, bad) = plain(&self.text(what, path));
                self.complain(path, bad);
                Table::Plain(lines)
            }
            TableSource::Inline(text) => {
                let (lines, bad) = plain(text);
                self.complain(Path::new("inline"), bad);
                Table::Plain(lines)
            }
            TableSource::Regexp(path) => {
                let text = self.text(what, path);
                // Without one of its rules a table says something else.
                Table::Regexp(patterns(&text, check).unwrap_or_else(|bad| {
                    self.complain(path, bad);
                    RegexpTable::default()
                }))
            }
            TableSource::Cidr(path) => {
                let text = self.text(what, path);
                Table::Cidr(networks(&text, check).unwrap_or_else(|bad| {
                    self.complain(path, bad);
                    CidrTable::default()
                }))
            }
            TableSource::Static(text) => {
                let bad = check(text).err().map(|what| BadLine { line: 1, what });
                self.complain(Path::new("static"), bad.into_iter().collect());
                Table::Regexp(RegexpTable::for_all(text))
            }
            TableSource::Socketmap(socketmap) => Table::Socketmap(socketmap.clone()),
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

fn patterns(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<RegexpTable, Vec<BadLine>> {
    let (table, bad) = RegexpTable::read(text);
    let mut faults: Vec<_> =
        bad.into_iter().map(|rule| BadLine { line: rule.line, what: rule.what }).collect();
    for (line, found) in table.results().filter(|(_, found)| !found.substituted) {
        faults.extend(check(&found.text).err().map(|what| BadLine { line, what }));
    }
    if faults.is_empty() { Ok(table) } else { Err(faults) }
}

fn networks(text: &str, check: impl Fn(&str) -> Result<(), String>) -> Result<CidrTable, Vec<BadLine>> {
    let wrong = |bad: Vec<BadRule>| {
        bad.into_iter().map(|rule| BadLine { line: rule.line, what: rule.what }).collect::<Vec<_>>()
    };
    let table = CidrTable::parse(text).map_err(wrong)?;
    let bad = |(line, result)| check(result).err().map(|what| BadLine { line, what });
    let faults: Vec<_> = table.results().filter_map(bad).collect();
    if faults.is_empty() { Ok(table) } else { Err(faults) }
}

/// Whether the file was written within the last moments, as far as the clock can tell.
fn is_young(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|written| written.elapsed().is_ok_and(|age| age < UNFINISHED))
}
