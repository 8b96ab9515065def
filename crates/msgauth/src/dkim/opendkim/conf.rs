//! `opendkim.conf` as text: its lines, and the forms that their values have.

/// One line that says something, as OpenDKIM's `config_load` reads it: `#` begins a comment wherever it stands, and
/// the value is all that follows the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting<'a> {
    /// Counted from 1.
    pub line: usize,
    /// As it is written; its case does not count.
    pub name: &'a str,
    /// Without the white space around it. None is a mistake for every name.
    pub value: Option<&'a str>,
}

/// Reads the lines of a file.
pub fn settings(text: &str) -> impl Iterator<Item = Setting<'_>> {
    text.split('\n').enumerate().filter_map(|(at, line)| {
        let said = line.split(['#', '\r']).next().unwrap_or_default().trim();
        let (name, value) = match said.split_once(char::is_whitespace) {
            Some((name, value)) => (name, Some(value.trim_start())),
            None => (said, None),
        };
        (!name.is_empty()).then_some(Setting { line: at + 1, name, value })
    })
}

/// Yes or no; the first letter decides, but for `on` and `off`, which OpenDKIM does not know.
pub fn flag(value: &str) -> Option<bool> {
    match value.chars().next()?.to_ascii_lowercase() {
        'y' | 't' | '1' => Some(true),
        'n' | 'f' | '0' => Some(false),
        _ if value.eq_ignore_ascii_case("on") => Some(true),
        _ if value.eq_ignore_ascii_case("off") => Some(false),
        _ => None,
    }
}

/// Whether a value is the path of a file rather than what would stand in one.
pub(super) fn is_path(value: &str) -> bool {
    ["/", "./", "../"].iter().any(|start| value.starts_with(start))
}

/// Where the entries of a data set are (opendkim(8), "DATA SETS").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataSet<'a> {
    /// One on each line of this file.
    File(&'a str),
    /// Here, between commas.
    List(&'a str),
    /// In a database of this kind, which is not read.
    Database(&'a str),
}

impl<'a> DataSet<'a> {
    /// Tells the kinds apart by what stands in front of the first colon.
    pub fn parse(value: &'a str) -> Self {
        const DATABASES: [&str; 10] =
            ["bdb", "db", "dsn", "erlang", "ldap", "ldaps", "lua", "mdb", "memcache", "repute"];
        match value.split_once(':') {
            Some(("file" | "refile", path)) => Self::File(path),
            Some(("csl", list)) => Self::List(list),
            Some((kind, _)) if DATABASES.contains(&kind) => Self::Database(kind),
            _ if is_path(value) => Self::File(value),
            _ => Self::List(value),
        }
    }
}

/// The entries of a file, one on each line, without comments.
pub fn entries(text: &str) -> impl Iterator<Item = &str> {
    let entries = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    entries.filter(|entry| !entry.is_empty())
}

/// A list of header field names in lower case; with `*` in it, `usual` and what `+` adds and `-` takes.
pub fn field_names<'a>(entries: impl IntoIterator<Item = &'a str>, usual: &[String]) -> Vec<String> {
    let (stars, changes): (Vec<&str>, Vec<&str>) = entries.into_iter().partition(|entry| *entry == "*");
    let mut names = if stars.is_empty() { Vec::new() } else { usual.to_vec() };
    for entry in changes {
        let entry = entry.to_ascii_lowercase();
        match entry.strip_prefix('-') {
            Some(name) => names.retain(|known| known != name),
            None => names.push(entry.strip_prefix('+').unwrap_or(&entry).to_owned()),
        }
    }
    names
}

/// Why a text is no name that a signature can give to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAName {
    /// It has a `*` in it, which OpenDKIM takes for any text in some places.
    #[error("patterns are not read: write each name")]
    Pattern,
    /// A colon ends a name, and parts two of them in `h=`.
    #[error("it has a colon in it: write names without one, and a comma between two")]
    Colon,
    /// White space, as where a comma is missing.
    #[error("it has a space in it: write a comma between two names")]
    Space,
    /// Nothing at all, a semicolon, which ends the list, or what is not printable ASCII.
    #[error("write names such as From or List-Id, of printable ASCII, with a comma between two")]
    Other,
}

/// Whether a text is the name of a field (RFC 5322 §3.6.8) that can stand in `h=` (RFC 6376 §3.5).
pub fn field_name(text: &str) -> Result<(), NotAName> {
    match text {
        _ if text.contains('*') => Err(NotAName::Pattern),
        _ if text.contains(':') => Err(NotAName::Colon),
        _ if text.contains(char::is_whitespace) => Err(NotAName::Space),
        _ if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') => {
            Err(NotAName::Other)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_name_and_all_behind_it() {
        let text = "# all\n\nMode sv # both\r\n  Domain\ta.example, b.example \nSyslog\nUMask 007";
        let seen: Vec<_> = settings(text).map(|Setting { line, name, value }| (line, name, value)).collect();
        let expected = [
            (3, "Mode", Some("sv")),
            (4, "Domain", Some("a.example, b.example")),
            (5, "Syslog", None),
            (6, "UMask", Some("007")),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_data_set_is_a_file_a_list_or_what_is_not_read() {
        let cases = [
            ("file:/a", DataSet::File("/a")),
            ("refile:a", DataSet::File("a")),
            ("/a", DataSet::File("/a")),
            ("./a", DataSet::File("./a")),
            ("csl:a,b", DataSet::List("a,b")),
            ("a.example", DataSet::List("a.example")),
            (".a.example", DataSet::List(".a.example")),
            ("::1", DataSet::List("::1")),
            ("ldap://x", DataSet::Database("ldap")),
        ];
        for (value, expected) in cases {
            assert_eq!(DataSet::parse(value), expected, "{value}");
        }
        assert_eq!(entries("a b\n# no\n\n c # d\n").collect::<Vec<_>>(), ["a b", "c"]);
    }

    #[test]
    fn flags_are_told_by_their_first_letter() {
        for (value, expected) in
            [("Yes", Some(true)), ("true", Some(true)), ("0", Some(false)), ("off", Some(false))]
        {
            assert_eq!(flag(value), expected, "{value}");
        }
        assert_eq!((flag("maybe"), flag("")), (None, None));
    }

    #[test]
    fn lists_of_names_add_to_the_usual_ones_and_take_from_them() {
        let usual = ["from".to_owned(), "to".to_owned()];
        assert_eq!(field_names(["*", "+X-A", "-To"], &usual), ["from", "x-a"]);
        assert_eq!(field_names(["Subject"], &usual), ["subject"]);
    }

    #[test]
    fn names_of_fields_are_told_from_what_no_field_is_called() {
        for name in ["From", "x-y", "List-Id", ".", "X_Y", "a!#$%&'+^`|~{}\"(),/<=>?@[]\\", "-From", "+From"]
        {
            assert_eq!(field_name(name), Ok(()), "{name}");
        }
        for (text, fault) in [
            ("", NotAName::Other),
            ("S\u{fc}bject", NotAName::Other),
            ("From;To", NotAName::Other),
            ("a\0", NotAName::Other),
            ("From:", NotAName::Colon),
            ("From:To", NotAName::Colon),
            ("From To", NotAName::Space),
            ("X-*", NotAName::Pattern),
            ("*", NotAName::Pattern),
        ] {
            assert_eq!(field_name(text), Err(fault), "{text}");
        }
    }
}
