//! Reads TOML tables key by key and collects every complaint with its line, so that one look mends all.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use kings_directory::{Keys, Lookup, Meaning, TableSource, is_table_type};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// How alike a misspelt key must be to a known one to be named as its likely meaning (Jaro-Winkler).
const ALIKE: f64 = 0.75;

/// One thing that is wrong with the config, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Line of the file, from 1; `None` for what the file lacks.
    pub(crate) line: Option<usize>,
    pub(crate) what: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// The text of a config and what has been found wrong with it.
pub(crate) struct Source<'a> {
    text: &'a str,
    /// Relative paths start here.
    pub(crate) folder: &'a Path,
    pub(crate) complaints: Vec<Complaint>,
    /// What is odd and possible.
    pub(crate) warnings: Vec<Complaint>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(text: &'a str, folder: &'a Path) -> Self {
        Self { text, folder, complaints: Vec::new(), warnings: Vec::new() }
    }

    pub(crate) fn complain_at(&mut self, span: Range<usize>, what: impl Into<String>) {
        let line = Some(self.line_of(&span));
        self.complaints.push(Complaint { line, what: what.into() });
    }

    pub(crate) fn warn_at(&mut self, span: Range<usize>, what: impl Into<String>) {
        let line = Some(self.line_of(&span));
        self.warnings.push(Complaint { line, what: what.into() });
    }

    /// The line, from 1, where something begins.
    pub(crate) fn line_of(&self, span: &Range<usize>) -> usize {
        self.text[..span.start.min(self.text.len())].matches('\n').count() + 1
    }

    pub(crate) fn complain(&mut self, what: impl Into<String>) {
        self.complaints.push(Complaint { line: None, what: what.into() });
    }
}

/// One table being read. Keys that nobody asked for are unknown: [`Section::finish`] names them.
pub(crate) struct Section<'a> {
    /// As people write it: `[listen]`; empty for the top of the file.
    title: String,
    table: Option<&'a DeTable<'a>>,
    known: BTreeSet<&'static str>,
}

/// A value with its place.
pub(crate) type Value<'a> = &'a Spanned<DeValue<'a>>;

impl<'a> Section<'a> {
    pub(crate) fn top(table: &'a DeTable<'a>) -> Self {
        Self { title: String::new(), table: Some(table), known: BTreeSet::new() }
    }

    /// The table under `key`; an absent one reads as empty.
    pub(crate) fn section(&mut self, source: &mut Source<'_>, key: &'static str) -> Section<'a> {
        let table = self.value(key).and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                source.complain_at(value.span(), format!("{key} must be a table: write [{key}]"));
            }
            table
        });
        Section { title: format!("[{key}]"), table, known: BTreeSet::new() }
    }

    /// The tables under `[[key]]`.
    pub(crate) fn sections(&mut self, source: &mut Source<'_>, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let tables =
            value.get_ref().as_array().map(|array| array.iter().map(|item| item.get_ref().as_table()));
        let tables: Option<Vec<_>> = tables.and_then(Iterator::collect);
        let section =
            |table| Section { title: format!("[[{key}]]"), table: Some(table), known: BTreeSet::new() };
        match tables {
            Some(tables) => tables.into_iter().map(section).collect(),
            None => {
                source.complain_at(value.span(), format!("{key} must be a list of tables: write [[{key}]]"));
                Vec::new()
            }
        }
    }

    /// The value under `key`, whatever it is.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.known.insert(key);
        self.table?.get(key)
    }

    /// Whether the file has this section.
    pub(crate) fn is_there(&self) -> bool {
        self.table.is_some()
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    pub(crate) fn text(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<String> {
        self.parsed(source, key, "text in quotes", |text| Ok::<_, &str>(text.to_owned()))
    }

    /// A text that must mean something. `what` says what is expected, in the words after "must be".
    pub(crate) fn parsed<T, E: fmt::Display>(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let value = self.value(key)?;
        parsed(source, key, value, what, parse)
    }

    /// A list of texts that must each mean something.
    pub(crate) fn list<T, E: fmt::Display>(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            source.complain_at(value.span(), format!("{key} must be a list: {key} = [\"...\"]"));
            return Vec::new();
        };
        items.iter().filter_map(|item| parsed(source, key, item, what, &parse)).collect()
    }

    /// The same, or one text alone.
    pub(crate) fn one_or_more<T, E: fmt::Display>(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Vec<T> {
        match self.value(key) {
            Some(value) if value.get_ref().as_array().is_none() => {
                parsed(source, key, value, what, parse).into_iter().collect()
            }
            _ => self.list(source, key, what, parse),
        }
    }

    /// The path of a table of patterns, which may have its type before it as in Postfix: `regexp:FILE` or `pcre:FILE`.
    pub(crate) fn pattern_file(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<PathBuf> {
        let text = self.text(source, key)?;
        match text.split_once(':') {
            Some(("regexp" | "pcre", path)) if !path.is_empty() => Some(source.folder.join(path)),
            _ => self.path(source, key),
        }
    }

    pub(crate) fn path(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<PathBuf> {
        let text = self.text(source, key)?;
        if let (Some(kind), Some(value)) = (table_type(&text), self.value(key)) {
            source.complain_at(
                value.span(),
                format!(
                    "{key} takes the path of a plain file, and no table of the type \"{kind}\": write its path alone, or what the \
                     table says into such a file"
                ),
            );
            return None;
        }
        Some(source.folder.join(text))
    }

    /// One table, or a list of them, to be looked up in their order.
    pub(crate) fn tables(&mut self, source: &mut Source<'_>, key: &'static str) -> Vec<TableSource> {
        let folder = source.folder.to_owned();
        let table = |text: &str| TableSource::parse(text, &folder).ok_or("no table");
        self.one_or_more(source, key, TableSource::FORMS, table)
    }

    /// The same, read.
    pub(crate) fn lookup<T>(&mut self, source: &mut Source<'_>, key: &'static str, keys: Keys) -> Lookup<T>
    where
        T: Meaning,
    {
        let from = self.tables(source, key);
        opened(source, key, keys, from)
    }

    /// The same where hosts are looked up, by their addresses and names.
    pub(crate) fn lookup_of_hosts<T: Meaning>(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
    ) -> Lookup<T> {
        let folder = source.folder.to_owned();
        let table = |text: &str| TableSource::parse_for_hosts(text, &folder).ok_or("no table");
        let from = self.one_or_more(source, key, TableSource::FORMS_FOR_HOSTS, table);
        opened(source, key, Keys::Access, from)
    }

    /// A whole number from `least` on.
    pub(crate) fn number(&mut self, source: &mut Source<'_>, key: &'static str, least: u64) -> Option<u64> {
        let value = self.value(key)?;
        let number = value.get_ref().as_integer();
        let number = number.and_then(|number| u64::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.filter(|number| *number >= least);
        if number.is_none() {
            source.complain_at(value.span(), format!("{key} must be a whole number, at least {least}"));
        }
        number
    }

    pub(crate) fn flag(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            source.complain_at(value.span(), format!("{key} must be true or false"));
        }
        flag
    }

    /// One of a few words.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        let find = |text: &str| {
            choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or(text.to_owned())
        };
        self.parsed(source, key, &format!("one of {}", words.join(", ")), find)
    }

    /// Names every key that nothing has asked for, with its line and the nearest known one.
    pub(crate) fn finish(self, source: &mut Source<'_>) {
        let Some(table) = self.table else { return };
        for key in table.keys().filter(|key| !self.known.contains(key.get_ref().as_ref())) {
            let name = key.get_ref();
            let place =
                if self.title.is_empty() { "at the top".to_owned() } else { format!("in {}", self.title) };
            let hint = match nearest(name, &self.known) {
                Some(known) => format!("did you mean \"{known}\"?"),
                None => format!("known are: {}", self.known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            source.complain_at(key.span(), format!("unknown key \"{name}\" {place}; {hint}"));
        }
    }
}

/// The type in front of a name that is written as Postfix names its tables.
fn table_type(text: &str) -> Option<&str> {
    let (kind, _) = text.split_once(':')?;
    is_table_type(kind).then_some(kind)
}

fn parsed<T, E: fmt::Display>(
    source: &mut Source<'_>,
    key: &str,
    value: Value<'_>,
    what: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let Some(text) = value.get_ref().as_str() else {
        source.complain_at(value.span(), format!("{key} must be {what}, in quotes"));
        return None;
    };
    match parse(text) {
        Ok(parsed) => Some(parsed),
        Err(_) => {
            source.complain_at(value.span(), format!("{key} must be {what}; \"{text}\" is not"));
            None
        }
    }
}

fn nearest<'k>(name: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    let alike = |known: &&str| strsim::jaro_winkler(name, known);
    let best = known.iter().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(&best) >= ALIKE).then_some(best)
}
fn opened<T: Meaning>(
    source: &mut Source<'_>,
    key: &'static str,
    keys: Keys,
    from: Vec<TableSource>,
) -> Lookup<T> {
    let (lookup, faults) = Lookup::open(key, keys, from);
    for fault in faults {
        source.complain(fault.to_string());
    }
    lookup
}
