//! Tables of regular expressions in the syntax of Postfix's regexp_table(5) and pcre_table(5), in linear time.
//!
//! The subset that the `regex` crate can match without backtracking: a pattern that looks around or refers back is
//! refused when the table is read. Alternatives are tried from left to right, as PCRE does.

use regex_automata::meta::{BuildError, Regex};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;

/// Most rules of one table.
const MAX_RULES: usize = 10_000;
/// Deepest nesting of `if`.
const MAX_DEPTH: usize = 50;
/// Most groups that the right side of a rule may name: each is replaced by as much as the input is long.
const MAX_GROUPS: usize = 100;
/// Memory that one compiled pattern may take, in octets.
const MAX_COMPILED: usize = 1 << 20;
/// Memory that all compiled patterns of a table may take, in octets.
const MAX_COMPILED_TABLE: usize = 64 << 20;

/// Most classes of Unicode characters (`\p`, `\P`) of a table: each stands for hundreds of ranges, which take time to fold
/// and to sort however few octets name them.
const MAX_UNICODE_CLASSES: usize = 1_000;

/// Patterns in the order of their file; the first that matches wins.
#[derive(Clone, Debug, Default)]
pub struct RegexpTable(Vec<Step>);

/// One line of the file.
#[derive(Clone, Debug)]
enum Step {
    Rule {
        condition: Condition,
        result: Vec<Piece>,
        line: usize,
    },
    /// Where `if` does not hold, go on at this place, behind its `endif`.
    If {
        condition: Condition,
        or_else: usize,
    },
}

#[derive(Clone, Debug)]
struct Condition {
    pattern: Regex,
    /// `!/pattern/`
    negated: bool,
}

/// A part of the right side.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `$1`, `${1}`, `$(1)`: what this group caught.
    Group(usize),
}

/// A line that makes no sense, by its number from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRule {
    /// The line on which the rule begins.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// What a rule gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// The right side, with its groups filled in.
    pub text: String,
    /// Whether the input chose part of it.
    pub substituted: bool,
}

impl RegexpTable {
    /// Reads a table: `/pattern/flags result`, `!/pattern/flags result`, `if /pattern/flags` to `endif`. Any
    /// punctuation may stand for the slashes. Flags: `i` distinguishes case (it is ignored by default), `m` lets
    /// `^` and `$` match at each line, `s` lets no dot match a line end, `x` allows white space and comments in the
    /// pattern. All complaints at once.
    pub fn parse(text: &str) -> Result<Self, Vec<BadRule>> {
        let (table, complaints) = Self::read(text);
        if complaints.is_empty() { Ok(table) } else { Err(complaints) }
    }

    /// The same, with the rules that make sense beside the complaints: for those who look further for faults.
    pub fn read(text: &str) -> (Self, Vec<BadRule>) {
        let mut draft = Draft::default();
        let mut complaints = Vec::new();
        for (line, rule) in crate::aliases::rules(text) {
            if let Err(what) = draft.add(line, &rule) {
                complaints.push(BadRule { line, what });
            }
            if let Err(what) = draft.within_limits() {
                complaints.push(BadRule { line, what });
                break;
            }
        }
        let unclosed = |(_, line): &(usize, usize)| BadRule { line: *line, what: "if without endif".into() };
        complaints.extend(draft.open.iter().map(unclosed));
        (Self(draft.steps), complaints)
    }

    /// One rule that fits everything, with this text to its right as it is.
    pub(crate) fn for_all(text: &str) -> Self {
        let rule = |pattern| Step::Rule {
            condition: Condition { pattern, negated: false },
            result: vec![Piece::Text(text.to_owned())],
            line: 1,
        };
        Self(compile("", "").map(rule).into_iter().collect())
    }

    /// Whether nothing can match.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every right side with the line of its rule, its groups empty: for those who know what results may be.
    pub fn results(&self) -> impl Iterator<Item = (usize, Match)> + '_ {
        self.0.iter().filter_map(|step| match step {
            Step::Rule { result, line, .. } => Some((*line, fill(result, None))),
            Step::If { .. } => None,
        })
    }

    /// The right side of the first rule that matches.
    pub fn find(&self, input: &str) -> Option<Match> {
        self.first(input, Condition::apply).map(|(_, found)| found)
    }

    /// The line of the first rule that matches.
    pub fn line_of(&self, input: &str) -> Option<usize> {
        self.first(input, |condition, input, _| condition.holds(input).then_some(())).map(|(line, ())| line)
    }

    /// The first rule of which `apply` makes something.
    fn first<T>(
        &self,
        input: &str,
        apply: impl Fn(&Condition, &str, &[Piece]) -> Option<T>,
    ) -> Option<(usize, T)> {
        let mut at = 0;
        while let Some(step) = self.0.get(at) {
            at += 1;
            match step {
                Step::If { condition, or_else } if !condition.holds(input) => at = *or_else,
                Step::If { .. } => {}
                Step::Rule { condition, result, line } => {
                    if let Some(found) = apply(condition, input, result) {
                        return Some((*line, found));
                    }
                }
            }
        }
        None
    }
}

impl Condition {
    fn holds(&self, input: &str) -> bool {
        self.pattern.is_match(input) != self.negated
    }

    fn apply(&self, input: &str, result: &[Piece]) -> Option<Match> {
        if self.negated {
            return self.holds(input).then(|| fill(result, None));
        }
        if result.iter().all(|piece| matches!(piece, Piece::Text(_))) {
            return self.holds(input).then(|| fill(result, None));
        }
        let mut captures = self.pattern.create_captures();
        self.pattern.captures(input, &mut captures);
        captures.is_match().then(|| fill(result, Some((input, &captures))))
    }
}

fn fill(result: &[Piece], captures: Option<(&str, &Captures)>) -> Match {
    let mut found = Match { text: String::new(), substituted: false };
    for piece in result {
        match piece {
            Piece::Text(text) => found.text.push_str(text),
            Piece::Group(number) => {
                found.substituted = true;
                let caught =
                    captures.and_then(|(input, groups)| input.get(groups.get_group(*number)?.range()));
                found.text.push_str(caught.unwrap_or_default());
            }
        }
    }
    found
}

/// A table while it is read.
#[derive(Default)]
struct Draft {
    steps: Vec<Step>,
    /// Place and line of each `if` that waits for its `endif`.
    open: Vec<(usize, usize)>,
    /// Memory that the patterns take so far.
    compiled: usize,
    /// Classes of Unicode characters so far.
    classes: usize,
}

impl Draft {
    fn add(&mut self, line: usize, rule: &str) -> Result<(), String> {
        if let Some(rest) = keyword(rule, "endif") {
            return self.end_if(rest);
        }
        if let Some(rest) = keyword(rule, "if") {
            return self.begin_if(line, rest);
        }
        let (condition, result) = self.condition(rule)?;
        if result.is_empty() {
            return Err("the rule has no result".to_owned());
        }
        let groups = if condition.negated { 0 } else { condition.pattern.captures_len() };
        let result = pieces(result)?;
        if result.iter().filter(|piece| matches!(piece, Piece::Group(_))).count() > MAX_GROUPS {
            return Err(format!("the result names more than {MAX_GROUPS} groups"));
        }
        let stray =
            |piece: &Piece| matches!(piece, Piece::Group(number) if *number == 0 || *number >= groups);
        if let Some(Piece::Group(number)) = result.iter().find(|piece| stray(piece)) {
            return Err(format!("${number} is no group of this pattern"));
        }
        self.steps.push(Step::Rule { condition, result, line });
        Ok(())
    }

    fn begin_if(&mut self, line: usize, rest: &str) -> Result<(), String> {
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} ifs within each other"));
        }
        let (condition, rest) = self.condition(rest)?;
        if !rest.is_empty() {
            return Err("text after the pattern of if".to_owned());
        }
        self.open.push((self.steps.len(), line));
        self.steps.push(Step::If { condition, or_else: usize::MAX });
        Ok(())
    }

    /// Reads a pattern, and counts what it takes.
    fn condition<'r>(&mut self, rule: &'r str) -> Result<(Condition, &'r str), String> {
        self.classes += unicode_classes(rule);
        if self.classes > MAX_UNICODE_CLASSES {
            return Err(format!("the table has more than {MAX_UNICODE_CLASSES} of \\p and \\P up to here"));
        }
        let (condition, rest) = condition(rule)?;
        self.compiled += condition.pattern.memory_usage();
        Ok((condition, rest))
    }

    fn within_limits(&self) -> Result<(), String> {
        if self.steps.len() > MAX_RULES {
            return Err(format!("more than {MAX_RULES} rules"));
        }
        if self.compiled > MAX_COMPILED_TABLE {
            return Err(format!("the patterns up to here take more than {} MB", MAX_COMPILED_TABLE >> 20));
        }
        Ok(())
    }

    fn end_if(&mut self, rest: &str) -> Result<(), String> {
        if !rest.is_empty() {
            return Err("text after endif".to_owned());
        }
        let (place, _) = self.open.pop().ok_or("endif without if")?;
        let end = self.steps.len();
        if let Some(Step::If { or_else, .. }) = self.steps.get_mut(place) {
            *or_else = end;
        }
        Ok(())
    }
}

/// How often a rule says `\p` or `\P`.
fn unicode_classes(rule: &str) -> usize {
    let mut chars = rule.chars();
    let mut count = 0;
    while let Some(c) = chars.next() {
        count += usize::from(c == '\\' && matches!(chars.next(), Some('p' | 'P')));
    }
    count
}

/// What follows the word, if the rule begins with it.
fn keyword<'r>(rule: &'r str, word: &str) -> Option<&'r str> {
    let head = rule.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word))?;
    let rest = &rule[head.len()..];
    let ends = rest.chars().next().is_none_or(|c| !c.is_ascii_alphanumeric());
    ends.then(|| rest.trim_start())
}

/// `!/pattern/flags`, and what follows it.
fn condition(text: &str) -> Result<(Condition, &str), String> {
    let text = text.trim_start();
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let mut chars = text.chars();
    let mark = chars.next().filter(char::is_ascii_punctuation).ok_or("a rule begins with /pattern/")?;
    let (pattern, rest) = until(chars.as_str(), mark).ok_or("the pattern does not end")?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (flags, rest) = rest.split_at(end);
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err(format!("white space is missing after the pattern /{pattern}/{flags}"));
    }
    Ok((Condition { pattern: compile(&pattern, flags)?, negated }, rest.trim_start()))
}

/// Text up to an unescaped mark; an escaped mark loses its backslash.
fn until(text: &str, mark: char) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if c == mark => return Some((inside, chars.as_str())),
            '\\' => match chars.next()? {
                // Behind a backslash these two would be edges of words.
                escaped if escaped == mark && matches!(mark, '<' | '>') => inside.push(escaped),
                escaped => inside.extend(['\\', escaped]),
            },
            _ => inside.push(c),
        }
    }
    None
}

/// Each flag turns its default over, as in Postfix.
fn compile(pattern: &str, flags: &str) -> Result<Regex, String> {
    let (mut ignore_case, mut many_lines, mut dot_all, mut verbose) = (true, false, true, false);
    for flag in flags.chars() {
        let switch = match flag {
            'i' => &mut ignore_case,
            'm' => &mut many_lines,
            's' => &mut dot_all,
            'x' => &mut verbose,
            _ => return Err(format!("flag \"{flag}\" is not known; known are i, m, s and x")),
        };
        *switch = !*switch;
    }
    let syntax = syntax::Config::new()
        .case_insensitive(ignore_case)
        .multi_line(many_lines)
        .dot_matches_new_line(dot_all)
        .ignore_whitespace(verbose);
    // The one-pass engine would find groups a little faster, for fifteen times the memory.
    let limits = Regex::config().nfa_size_limit(Some(MAX_COMPILED)).onepass(false);
    let built = Regex::builder().configure(limits).syntax(syntax).build(&ascii_classes(pattern));
    built.map_err(|error| format!("pattern /{pattern}/: {}", why(&error)))
}

/// Lets `\w`, `\d` and `\s` mean ASCII only, as they do in Postfix; the same with all of Unicode takes much memory.
fn ascii_classes(pattern: &str) -> String {
    let mut ascii = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            ascii.push(c);
            continue;
        }
        match chars.next() {
            Some('w') => ascii.push_str("[0-9A-Za-z_]"),
            Some('W') => ascii.push_str("[^0-9A-Za-z_]"),
            Some('d') => ascii.push_str("[0-9]"),
            Some('D') => ascii.push_str("[^0-9]"),
            Some('s') => ascii.push_str(r"[\t-\r\x20]"),
            Some('S') => ascii.push_str(r"[^\t-\r\x20]"),
            other => ascii.extend([Some('\\'), other].into_iter().flatten()),
        }
    }
    ascii
}

fn why(error: &BuildError) -> String {
    if error.size_limit().is_some() {
        return format!("compiled, it is over the size limit of {MAX_COMPILED} octets");
    }
    let text = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
    text.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// The right side: `$$` is a dollar sign.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            plain.push('$');
            rest = after;
            continue;
        }
        let (number, after) = group(after).ok_or("$ must be followed by a number, or by $ for itself")?;
        pieces.push(Piece::Text(std::mem::take(&mut plain)));
        pieces.push(Piece::Group(number));
        rest = after;
    }
    plain.push_str(rest);
    pieces.push(Piece::Text(plain));
    pieces.retain(|piece| *piece != Piece::Text(String::new()));
    Ok(pieces)
}

fn group(text: &str) -> Option<(usize, &str)> {
    let close = match text.chars().next()? {
        '{' => Some('}'),
        '(' => Some(')'),
        _ => None,
    };
    let inside = if close.is_some() { &text[1..] } else { text };
    let end = inside.find(|c: char| !c.is_ascii_digit()).unwrap_or(inside.len());
    let number = inside[..end].parse().ok()?;
    let rest = &inside[end..];
    match close {
        Some(close) => rest.strip_prefix(close).map(|rest| (number, rest)),
        None => Some((number, rest)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const TABLE: &str = r"
# The examples of regexp_table(5) and pcre_table(5), more or less.
/^list-(.*)@example\.org$/         $1@lists.example
/^(.*)-outgoing@(.*)$/
    ${1}+out@$(2), log@example.org
if /^sales/
!/@example\.org$/                  other@example.org
if !/^sales-eu/
/^sales-(us|ca)@/                  north@example.org
endif
/^sales-eu@/                       europe@example.org
endif
/^CASE@/i                          upper@example.org
|^with/slash@|                     slash@example.org
/^two\/slashes@/                   escaped@example.org
/^costs@/                          $$5 each
/^ spaced @/x                      spaced@example.org
<^angle\<@<                        angle@example.org
/^([\w-]+)@(\W)$/                  $1 and $2
";

    #[test]
    fn the_first_rule_that_matches_wins() {
        let table = RegexpTable::parse(TABLE).unwrap();
        let cases = [
            ("list-dev@example.org", Some("dev@lists.example")),
            ("LIST-dev@EXAMPLE.org", Some("dev@lists.example")),
            ("a-outgoing@b.example", Some("a+out@b.example, log@example.org")),
            ("sales-us@example.org", Some("north@example.org")),
            ("sales-us@elsewhere.example", Some("other@example.org")),
            ("sales-eu@example.org", Some("europe@example.org")),
            ("sales@example.org", None),
            ("case@x", None),
            ("CASE@x", Some("upper@example.org")),
            ("with/slash@x", Some("slash@example.org")),
            ("two/slashes@x", Some("escaped@example.org")),
            ("costs@x", Some("$5 each")),
            ("spaced@x", Some("spaced@example.org")),
            ("angle<@x", Some("angle@example.org")),
            ("word_9-x@\u{e9}", Some("word_9-x and \u{e9}")),
            ("w\u{e9}rd@x", None),
            ("", None),
        ];
        for (input, expected) in cases {
            assert_eq!(table.find(input).map(|found| found.text).as_deref(), expected, "{input}");
        }
        assert!(table.find("list-dev@example.org").unwrap().substituted);
        assert!(!table.find("with/slash@x").unwrap().substituted);
    }

    #[test]
    fn rules_that_make_no_sense_are_named_by_line() {
        let cases = [
            ("/a/ b\nplain b\n", 2, "begins with /pattern/"),
            ("/a b\n", 1, "does not end"),
            ("/a/\n", 1, "no result"),
            ("/(a)/ $2\n", 1, "$2 is no group"),
            ("/a/ $0\n", 1, "$0 is no group"),
            ("!/(a)/ $1\n", 1, "$1 is no group"),
            ("/a/ $x\n", 1, "followed by a number"),
            ("/a/q b\n", 1, "flag \"q\""),
            ("/a/-b\n", 1, "white space is missing"),
            ("/(?=a)/ b\n", 1, "look-around"),
            ("/(a)\\1/ b\n", 1, "backreferences"),
            ("/a{1000}{1000}/ b\n", 1, "size limit"),
            ("if /a/\n/b/ c\n", 1, "if without endif"),
            ("endif\n", 1, "endif without if"),
            ("if /a/ b\nendif\n", 1, "text after the pattern"),
        ];
        for (text, line, what) in cases {
            let complaints = RegexpTable::parse(text).unwrap_err();
            assert_eq!(complaints[0].line, line, "{text}");
            assert!(complaints[0].what.contains(what), "{text}: {}", complaints[0].what);
        }
    }

    #[test]
    fn a_result_names_so_many_groups_and_no_more() {
        let table = |groups: usize| format!("/(a)/ {}\n", "$1".repeat(groups));
        let found = RegexpTable::parse(&table(MAX_GROUPS)).unwrap().find("a").unwrap();
        assert_eq!(found.text, "a".repeat(MAX_GROUPS));
        let complaints = RegexpTable::parse(&table(MAX_GROUPS + 1)).unwrap_err();
        assert!(complaints[0].what.contains("more than 100 groups"), "{}", complaints[0].what);
    }

    #[test]
    fn the_patterns_of_a_table_share_their_memory() {
        let greedy = |rules: usize| "/.{900}/ x\n".repeat(rules);
        let one = Draft::default().condition("/.{900}/").unwrap().0.pattern.memory_usage();
        let fit = MAX_COMPILED_TABLE / one;
        assert!(RegexpTable::parse(&greedy(fit)).is_ok());
        let complaints = RegexpTable::parse(&greedy(fit + 9)).unwrap_err();
        assert_eq!((complaints.len(), complaints[0].line), (1, fit + 1));
        assert!(complaints[0].what.contains("more than 64 MB"), "{}", complaints[0].what);
    }

    #[test]
    fn so_many_classes_of_unicode_characters_are_read_and_no_more() {
        let rule = |classes: usize| format!("/^({})$/ result", "\\pL|".repeat(classes));
        let read = |classes: usize| RegexpTable::parse(&rule(classes)).map_err(|bad| bad[0].what.clone());
        assert!(read(20).unwrap().find("\u{e4}").is_some());
        assert!(read(MAX_UNICODE_CLASSES + 1).unwrap_err().contains("more than 1000 of \\p and \\P"));
        let rows = [rule(MAX_UNICODE_CLASSES), rule(1)].join("\n");
        let complaints = RegexpTable::parse(&rows).unwrap_err();
        assert!(
            complaints.iter().any(|bad| bad.line == 2 && bad.what.contains("more than 1000")),
            "{complaints:?}"
        );
        // A backslash before it makes a letter of it.
        assert_eq!(unicode_classes(r"/\\p\p\PL/ x"), 2);
        assert_eq!(unicode_classes(r"/\\p/ x"), 0);
    }

    #[test]
    fn what_backtracks_elsewhere_takes_no_time_here() {
        let table = RegexpTable::parse("/^(a+)+$/ x@example.org\n").unwrap();
        let input = "a".repeat(100_000) + "!";
        let began = std::time::Instant::now();
        assert_eq!(table.find(&input), None);
        assert!(began.elapsed().as_secs() < 5);
    }
}
