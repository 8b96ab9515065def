//! File names by pattern, as glob(3) has them: what `Include` of sshd_config(5) and drop-ins of systemd are found by.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// One thing that a pattern asks of a name.
#[derive(Debug)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Octet(u8),
    /// `[a-z]`, `[!a-z]`
    Class {
        is_negated: bool,
        ranges: Vec<(u8, u8)>,
    },
}

impl Token {
    fn takes(&self, octet: u8) -> bool {
        match self {
            Self::Any | Self::One => true,
            Self::Octet(own) => *own == octet,
            Self::Class { is_negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&octet)) != *is_negated
            }
        }
    }
}

/// The files that are there, in their order.
pub(super) fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        found = match component {
            Component::Normal(name) if is_wild(name) => {
                found.iter().flat_map(|folder| entries(folder, name)).collect()
            }
            plain => found.into_iter().map(|folder| folder.join(plain)).collect(),
        };
    }
    found.retain(|path| path.exists());
    found
}

fn is_wild(name: &OsStr) -> bool {
    name.as_bytes().iter().any(|octet| b"*?[\\".contains(octet))
}

fn entries(folder: &Path, pattern: &OsStr) -> Vec<PathBuf> {
    let tokens = tokens(pattern.as_bytes());
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut fitting: Vec<PathBuf> =
        names.filter(|name| fits(&tokens, name.as_bytes())).map(|name| folder.join(name)).collect();
    fitting.sort();
    fitting
}

fn tokens(mut pattern: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    while let [first, rest @ ..] = pattern {
        let (token, rest) = match (first, rest) {
            (b'*', rest) => (Token::Any, rest),
            (b'?', rest) => (Token::One, rest),
            (b'\\', [quoted, rest @ ..]) => (Token::Octet(*quoted), rest),
            // One that nothing closes stands for itself.
            (b'[', rest) => class(rest).unwrap_or((Token::Octet(b'['), rest)),
            (octet, rest) => (Token::Octet(*octet), rest),
        };
        tokens.push(token);
        pattern = rest;
    }
    tokens
}

/// What stands between brackets, and what comes behind them.
fn class(text: &[u8]) -> Option<(Token, &[u8])> {
    let (is_negated, mut text) = match text {
        [b'!' | b'^', rest @ ..] => (true, rest),
        text => (false, text),
    };
    let mut ranges = Vec::new();
    loop {
        text = match text {
            // In the first place it is an octet like any other.
            [b']', rest @ ..] if !ranges.is_empty() => {
                return Some((Token::Class { is_negated, ranges }, rest));
            }
            [b'[', b':', rest @ ..] => {
                // `[:digit:]` counts as any octet, or as none behind `!`: one file too many shuts nobody out.
                ranges.push(if is_negated { (1, 0) } else { (0, u8::MAX) });
                let end = rest.windows(2).position(|pair| pair == b":]")?;
                &rest[end + 2..]
            }
            [low, b'-', high, rest @ ..] if *high != b']' => {
                ranges.push((*low, *high));
                rest
            }
            [octet, rest @ ..] => {
                ranges.push((*octet, *octet));
                rest
            }
            [] => return None,
        };
    }
}

/// Whether a name fits. Of stars only the last one is ever tried again, so that the time is no more than the product of
/// both lengths.
fn fits(tokens: &[Token], name: &[u8]) -> bool {
    // A name that begins with a dot is asked for by a dot.
    if name.first() == Some(&b'.') && !matches!(tokens.first(), Some(Token::Octet(b'.'))) {
        return false;
    }
    let (mut at, mut octet) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while octet < name.len() {
        match (tokens.get(at), star) {
            (Some(Token::Any), _) => {
                star = Some((at, octet));
                at += 1;
            }
            (Some(token), _) if token.takes(name[octet]) => (at, octet) = (at + 1, octet + 1),
            (_, Some((back, taken))) => {
                star = Some((back, taken + 1));
                (at, octet) = (back + 1, taken + 1);
            }
            (_, None) => return false,
        }
    }
    tokens[at..].iter().all(|token| matches!(token, Token::Any))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pattern_fits_as_in_a_shell() {
        let cases: [(&str, &str, bool); 29] = [
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", false),
            ("*.conf", "a.conf.old", false),
            (".*", ".conf", true),
            ("0?-*.conf", "01-port.conf", true),
            ("0?-*.conf", "0-port.conf", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("*a*b", "abab", true),
            ("**", "anything", true),
            ("[0-9]x", "5x", true),
            ("[0-9]x", "ax", false),
            ("[!0-9]x", "ax", true),
            ("[^0-9]x", "5x", false),
            ("[]]x", "]x", true),
            ("[!]]x", "]x", false),
            ("[a-]x", "-x", true),
            ("[a-]x", "bx", false),
            ("[ab", "[ab", true),
            ("[ab", "a", false),
            ("[[:digit:]]x", "5x", true),
            ("[![:digit:]]x", "ax", true),
            ("\\*x", "*x", true),
            ("\\*x", "ax", false),
            ("a", "a", true),
            ("a", "aa", false),
            ("?", "", false),
            ("*", "", true),
            ("", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(fits(&tokens(pattern.as_bytes()), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn wildcards_may_stand_in_each_part_of_a_path() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a/p.conf", "b/p.conf", "b/q.conf", "c.conf"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| -> Vec<String> {
            let paths = expand(&folder.path().join(pattern)).into_iter();
            paths.map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("*/p.conf"), ["a/p.conf", "b/p.conf"]);
        assert_eq!(found("?/[pq].conf"), ["a/p.conf", "b/p.conf", "b/q.conf"]);
        assert_eq!(found("c.conf"), ["c.conf"]);
        assert_eq!(found("d*"), Vec::<String>::new());
    }

    /// `case` of a shell has the rules of glob(3), but for the dot in front: all short patterns are asked of it at once.
    #[test]
    fn a_shell_says_the_same() {
        let words = |letters: &[char], longest: usize| {
            let mut all = vec![String::new()];
            let mut from = 0;
            for _ in 0..longest {
                let upto = all.len();
                for at in from..upto {
                    all.extend(
                        letters.iter().map(|letter| format!("{}{letter}", all[at])).collect::<Vec<_>>(),
                    );
                }
                from = upto;
            }
            all.retain(|word| !word.is_empty());
            all
        };
        let pairs: Vec<(String, String)> = words(&['a', 'b', '*', '?', '[', ']', '!'], 4)
            .into_iter()
            .flat_map(|pattern| words(&['a', 'b'], 3).into_iter().map(move |name| (pattern.clone(), name)))
            .collect();
        let script: String = pairs
            .iter()
            .map(|(pattern, name)| format!("case {name} in {pattern}) echo 1;; *) echo 0;; esac\n"))
            .collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), script).unwrap();
        let shell = Command::new("bash").arg(file.path()).output().unwrap();
        let answers = String::from_utf8(shell.stdout).unwrap();
        assert_eq!(answers.lines().count(), pairs.len(), "{}", String::from_utf8_lossy(&shell.stderr));
        for ((pattern, name), answer) in pairs.iter().zip(answers.lines()) {
            assert_eq!(fits(&tokens(pattern.as_bytes()), name.as_bytes()), answer == "1", "{pattern} {name}");
        }
    }
}
