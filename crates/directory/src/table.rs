//! What a table is made of: a file, patterns, a text of the config or another program; and how such programs are asked.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;

use crate::cidr_table::CidrTable;
use crate::directory::Unavailable;
use crate::regexp_table::RegexpTable;
use crate::socketmap::{Answer, Socketmap};

/// Most answers of other programs that one lookup may need: a list of a few hundred, whose members elsewhere may
/// have aliases of their own.
const MAX_QUESTIONS: usize = 1_000;
/// Longest time that one lookup may take when other programs are asked.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest text of an `inline:` table, in octets.
const MAX_INLINE: usize = 1 << 16;

/// Where something is looked up, as Postfix writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableSource {
    /// A file with a key and what it stands for on each line, as `texthash:` reads it.
    Plain(PathBuf),
    /// A file in the syntax of regexp_table(5).
    Regexp(PathBuf),
    /// A file in the syntax of cidr_table(5), which is asked for addresses of hosts.
    Cidr(PathBuf),
    /// The lines themselves.
    Inline(String),
    /// This text, whatever is looked up.
    Static(String),
    /// Another program.
    Socketmap(Socketmap),
}

impl TableSource {
    /// How such a source is written, for complaints.
    pub const FORMS: &'static str = "a file, or a table by its type: \"texthash:FILE\", \"regexp:FILE\", \"pcre:FILE\", \
                                     \"inline:{KEY=VALUE, ...}\", \"static:VALUE\" or \"socketmap:unix:/path:name\" (of \"hash:\", \
                                     \"lmdb:\" and the like the text file is read that they are made of: \"texthash:FILE\")";

    /// A place in it, as complaints name it.
    pub(crate) fn at(&self, line: usize) -> String {
        match self {
            Self::Plain(path) | Self::Regexp(path) | Self::Cidr(path) => format!("{}:{line}", path.display()),
            Self::Inline(_) => format!("inline:{line}"),
            Self::Static(_) => "static".to_owned(),
            Self::Socketmap(_) => "socketmap".to_owned(),
        }
    }

    /// How a source for [`parse_for_hosts`](Self::parse_for_hosts) is written.
    pub const FORMS_FOR_HOSTS: &'static str = "a file, or a table by its type: \"texthash:FILE\", \"cidr:FILE\", \"regexp:FILE\", \
                                               \"pcre:FILE\", \"inline:{KEY=VALUE, ...}\", \"static:VALUE\" or \"socketmap:unix:/path:name\"";

    /// The same where hosts are looked up by their addresses: `cidr:FILE` too.
    pub fn parse_for_hosts(text: &str, folder: &Path) -> Option<Self> {
        match text.split_once(':') {
            Some(("cidr", name)) => (!name.is_empty()).then(|| Self::Cidr(folder.join(name))),
            _ => Self::parse(text, folder),
        }
    }

    /// Reads `FILE`, `texthash:FILE`, `virtual:FILE`, `regexp:FILE`, `pcre:FILE`, `inline:{...}`, `static:VALUE`, `socketmap:...`; paths
    /// start in `folder`. `None` for everything else, also for types of Postfix that are not read here.
    pub fn parse(text: &str, folder: &Path) -> Option<Self> {
        let file = |name: &str| (!name.is_empty()).then(|| folder.join(name));
        match text.split_once(':') {
            Some(("virtual" | "texthash", name)) => file(name).map(Self::Plain),
            Some(("regexp" | "pcre", name)) => file(name).map(Self::Regexp),
            Some(("inline", body)) => inline(body).map(Self::Inline),
            Some(("static", value)) => fixed(value).map(Self::Static),
            Some(("socketmap", place)) => Socketmap::parse(place).map(Self::Socketmap),
            Some((kind, _)) if is_table_type(kind) => None,
            _ => file(text).map(Self::Plain),
        }
    }
}

/// The types of Postfix's tables (DATABASE_README).
const TABLE_TYPES: [&str; 24] = [
    "btree",
    "cdb",
    "cidr",
    "dbm",
    "environ",
    "fail",
    "hash",
    "inline",
    "internal",
    "ldap",
    "lmdb",
    "memcache",
    "mongodb",
    "mysql",
    "pcre",
    "pgsql",
    "pipemap",
    "proxy",
    "randmap",
    "regexp",
    "socketmap",
    "sqlite",
    "static",
    "texthash",
];

/// Whether Postfix has tables of this type.
pub fn is_table_type(kind: &str) -> bool {
    TABLE_TYPES.contains(&kind)
}

/// `{key=value, {key = value with spaces}}` as lines of a file.
fn inline(body: &str) -> Option<String> {
    let body = body.trim().strip_prefix('{')?.strip_suffix('}')?;
    if body.len() > MAX_INLINE || body.contains(['\n', '\r']) {
        return None;
    }
    let mut lines = String::new();
    let mut rest = body.trim_start_matches(is_gap);
    while !rest.is_empty() {
        let (pair, behind) = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}')?,
            None => rest.split_at(rest.find(is_gap).unwrap_or(rest.len())),
        };
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (key.trim(), value.trim());
        if key.is_empty() || key.contains(char::is_whitespace) || value.is_empty() {
            return None;
        }
        lines.extend([key, " ", value, "\n"]);
        rest = behind.trim_start_matches(is_gap);
    }
    (!lines.is_empty()).then_some(lines)
}

/// `value`, or `{ value with spaces }`.
fn fixed(text: &str) -> Option<String> {
    let inside =
        |text: &str| text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).map(str::to_owned);
    let value = inside(text.trim()).unwrap_or_else(|| text.to_owned());
    let value = value.trim();
    let is_line = !value.is_empty() && value.len() <= MAX_INLINE && !value.contains(char::is_control);
    is_line.then(|| value.to_owned())
}

fn is_gap(c: char) -> bool {
    c == ',' || c.is_whitespace()
}

/// One source after reading; `P` is what the lines of a plain file mean.
#[derive(Clone, Debug)]
pub(crate) enum Table<P> {
    Plain(P),
    Regexp(RegexpTable),
    Cidr(CidrTable),
    Socketmap(Socketmap),
}

/// What only another program can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub(crate) socketmap: Socketmap,
    pub(crate) key: String,
}

/// Why a lookup cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It needs this answer first.
    Ask(Question),
    /// A table does not work now, or gives nonsense: nobody can tell.
    Unavailable,
}

/// What other programs have said while one thing is looked up.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    now: HashMap<Question, Option<String>>,
    /// What they said of late counts as well.
    with_past: bool,
}

impl Answers {
    /// What other programs have said of late: for a guess that harms nobody where it is wrong.
    pub fn of_late() -> Self {
        Self { now: HashMap::new(), with_past: true }
    }

    /// What this program has said of the key; what is not known yet stops the lookup.
    pub(crate) fn of(&self, socketmap: &Socketmap, key: &str) -> Result<Option<Cow<'_, str>>, Stop> {
        let question = Question { socketmap: socketmap.clone(), key: key.to_owned() };
        if let Some(answer) = self.now.get(&question) {
            return Ok(answer.as_deref().map(Cow::Borrowed));
        }
        match socketmap.recall(key).filter(|_| self.with_past) {
            Some(Answer::Found(text)) => Ok(Some(Cow::Owned(text))),
            Some(Answer::NotFound) => Ok(None),
            None => Err(Stop::Ask(question)),
        }
    }

    #[cfg(test)]
    pub(crate) fn insert(&mut self, question: Question, answer: Option<String>) {
        self.now.insert(question, answer);
    }
}

/// Looks again and again, with the answers of other programs to what is open, until there is a result.
pub async fn answered<T>(look: impl Fn(&Answers) -> Result<T, Stop>) -> Result<T, Unavailable> {
    let mut answers = Answers::default();
    let asking = async {
        while answers.now.len() < MAX_QUESTIONS {
            match look(&answers) {
                Ok(answer) => return Ok(answer),
                Err(Stop::Unavailable) => break,
                Err(Stop::Ask(open)) => {
                    let answer = ask(&open).await.ok_or(Unavailable)?;
                    answers.now.insert(open, answer);
                }
            }
        }
        Err(Unavailable)
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or(Err(Unavailable))
}

/// Asks another program; `None` where it cannot tell now.
async fn ask(Question { socketmap, key }: &Question) -> Option<Option<String>> {
    match socketmap.ask(key).await {
        Ok(Answer::Found(text)) => Some(Some(text)),
        Ok(Answer::NotFound) => Some(None),
        Err(error) => {
            warn!(key, %error, "a socketmap table does not answer");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn tables_are_named_as_in_postfix() {
        let folder = Path::new("/etc/kings-smtp");
        let plain = |path: &str| Some(TableSource::Plain(path.into()));
        let inline = |text: &str| Some(TableSource::Inline(text.to_owned()));
        for (text, expected) in [
            ("table", plain("/etc/kings-smtp/table")),
            ("/etc/x:y", plain("/etc/x:y")),
            ("./regexp:x", plain("/etc/kings-smtp/./regexp:x")),
            ("texthash:/etc/table", plain("/etc/table")),
            ("virtual:table", plain("/etc/kings-smtp/table")),
            ("pcre:p", Some(TableSource::Regexp("/etc/kings-smtp/p".into()))),
            ("regexp:/p", Some(TableSource::Regexp("/p".into()))),
            ("inline:{a@b.example=c@d.example}", inline("a@b.example c@d.example\n")),
            ("static:smtp:[hub.example]:25", Some(TableSource::Static("smtp:[hub.example]:25".to_owned()))),
            ("static:{ error:5.1.6 gone }", Some(TableSource::Static("error:5.1.6 gone".to_owned()))),
            ("inline:{ x=y, { @z = a b } w=v }", inline("x y\n@z a b\nw v\n")),
        ] {
            assert_eq!(TableSource::parse(text, folder), expected, "{text}");
        }
        for wrong in [
            "",
            "texthash:",
            "regexp:",
            "hash:/etc/x",
            "mysql:x",
            "cidr:x",
            "socketmap:x",
            "inline:",
            "inline:{}",
            "inline:{x}",
            "inline:{x=}",
            "inline:{=y}",
            "inline:{{x=y}",
            "inline:{{a b=y}}",
            "inline:{a=b\nc=d}",
            "static:",
            "static:{ }",
            "static:a\nb",
        ] {
            assert_eq!(TableSource::parse(wrong, folder), None, "{wrong}");
        }
        let hosts = |text| TableSource::parse_for_hosts(text, folder);
        assert_eq!(hosts("cidr:x"), Some(TableSource::Cidr("/etc/kings-smtp/x".into())));
        assert_eq!(
            (hosts("cidr:"), hosts("hash:x"), hosts("table")),
            (None, None, plain("/etc/kings-smtp/table"))
        );
        assert!(matches!(
            TableSource::parse("socketmap:unix:/run/x:n", folder),
            Some(TableSource::Socketmap(_))
        ));
    }
}
