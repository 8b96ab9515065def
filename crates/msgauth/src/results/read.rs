//! Reading the results of others (RFC 8601 §2.2): what a sealer says it saw stands in an ARC-Authentication-Results.

/// Results of one field that are looked at; a sealer with every method and eight signatures has fewer.
pub const MAX_STATEMENTS: usize = 100;

/// What somebody says of one method. All of it is as trustworthy as whoever wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// `spf`, `dkim`, `dmarc`, ... in lower case, without a version.
    pub method: String,
    /// `pass`, `fail`, ... in lower case.
    pub result: String,
    /// `header.from` and so on, in lower case, with their values.
    pub properties: Vec<(String, String)>,
}

impl Statement {
    /// The value of a property, the first one where it stands twice.
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The results in the value of a field, in their order; what stands before the first semicolon is left out, and so is
/// `i=` of ARC (RFC 8617 §4.1.1). `None` where a comment or a quoted string does not end, a pair has no value, or there
/// is too much of it: half of a field says nothing.
pub fn read(value: &str) -> Option<Vec<Statement>> {
    let mut reader = Reader { rest: value };
    let mut statements = Vec::new();
    reader.skip_part()?;
    while reader.next_part() {
        reader.statement(&mut statements)?;
        if statements.len() > MAX_STATEMENTS {
            return None;
        }
    }
    Some(statements)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Goes on behind a semicolon; `false` at the end.
    fn next_part(&mut self) -> bool {
        match self.rest.strip_prefix(';') {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Leaves everything up to the next semicolon out.
    fn skip_part(&mut self) -> Option<()> {
        while !self.at_end()? {
            self.word(|_| false)?;
        }
        Some(())
    }

    /// `method=result` and its pairs; a part without any, such as an authserv-id or `none`, adds nothing.
    fn statement(&mut self, statements: &mut Vec<Statement>) -> Option<()> {
        let mut statement: Option<Statement> = None;
        while !self.at_end()? {
            let name = self.word(|c| c == '=')?.to_ascii_lowercase();
            super::skip_comments(self.rest).map(|rest| self.rest = rest)?;
            let Some(rest) = self.rest.strip_prefix('=') else {
                // An authserv-id, its version, `none`.
                if statement.is_some() {
                    return None;
                }
                continue;
            };
            self.rest = super::skip_comments(rest)?;
            if self.rest.is_empty() || self.rest.starts_with(';') {
                return None;
            }
            let value = self.word(|_| false)?;
            match &mut statement {
                Some(statement) => statement.properties.push((name, value)),
                None => {
                    let method = name.split('/').next().unwrap_or_default().to_owned();
                    let result = value.to_ascii_lowercase();
                    statement = Some(Statement { method, result, properties: Vec::new() });
                }
            }
        }
        statements.extend(statement);
        Some(())
    }

    /// Skips comments and white space; whether the part is over then.
    fn at_end(&mut self) -> Option<bool> {
        self.rest = super::skip_comments(self.rest)?;
        Some(self.rest.is_empty() || self.rest.starts_with(';'))
    }

    /// Everything up to white space, a comment, a semicolon or `ends`, with quoted strings opened; at least one octet.
    fn word(&mut self, ends: impl Fn(char) -> bool) -> Option<String> {
        let mut out = String::new();
        let mut characters = self.rest.char_indices().peekable();
        let (mut quoted, mut end, mut any) = (false, self.rest.len(), false);
        while let Some((at, c)) = characters.next() {
            match c {
                '"' => quoted = !quoted,
                '\\' if quoted => out.push(characters.next()?.1),
                _ if quoted => out.push(c),
                _ if c.is_whitespace() || c == ';' || c == '(' || ends(c) => {
                    end = at;
                    break;
                }
                _ => out.push(c),
            }
            any = true;
        }
        self.rest = &self.rest[end..];
        (!quoted && any).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn said(value: &str) -> Option<Vec<String>> {
        let one = |statement: Statement| {
            let pairs = statement.properties.iter().map(|(name, value)| format!(" {name}={value}"));
            format!("{}={}{}", statement.method, statement.result, pairs.collect::<String>())
        };
        Some(read(value)?.into_iter().map(one).collect())
    }

    #[test]
    fn fields_of_real_sealers_are_read() {
        // The shapes of Google, Microsoft and Fastmail.
        let google = "i=2; mx.google.com; dkim=pass header.i=@example.org header.s=s1 header.b=aB/=; spf=pass (google.com: domain of \
                      ann@example.org designates 192.0.2.1 as permitted sender) smtp.mailfrom=ann@example.org; dmarc=pass (p=REJECT \
                      sp=NONE dis=NONE) header.from=example.org";
        let microsoft = "i=1; mx.microsoft.com 1; spf=pass smtp.mailfrom=example.org; dmarc=pass action=none header.from=Example.ORG; \
                         arc=none (0)";
        let cases = [
            (
                google,
                vec![
                    "dkim=pass header.i=@example.org header.s=s1 header.b=aB/=",
                    "spf=pass smtp.mailfrom=ann@example.org",
                    "dmarc=pass header.from=example.org",
                ],
            ),
            (
                microsoft,
                vec![
                    "spf=pass smtp.mailfrom=example.org",
                    "dmarc=pass action=none header.from=Example.ORG",
                    "arc=none",
                ],
            ),
            ("mx.example; none", vec![]),
            ("i=1; mx.example; none", vec![]),
            (
                "i=1;mx.example;DMARC/1=Pass(x)header.from = (y) \"a.example\";",
                vec!["dmarc=pass header.from=a.example"],
            ),
            (
                "i=1; mx.example; spf=pass reason=\"a; dmarc=pass \\\" (x\"",
                vec!["spf=pass reason=a; dmarc=pass \" (x"],
            ),
            ("i=1; mx.example; spf=fail (dmarc=pass; dmarc=pass (dmarc=pass))", vec!["spf=fail"]),
            ("", vec![]),
        ];
        for (value, expected) in cases {
            assert_eq!(said(value).unwrap(), expected, "{value}");
        }
        assert_eq!(read(google).unwrap()[2].property("header.from"), Some("example.org"));
    }

    #[test]
    fn what_cannot_be_read_as_a_whole_says_nothing() {
        let flood = format!("i=1; mx.example{}", "; dkim=pass".repeat(MAX_STATEMENTS + 1));
        for value in [
            "i=1; mx.example; dmarc=pass (never closed",
            "i=1; mx.example; dmarc=pass header.from=\"never closed",
            "i=1; mx.example; dmarc=; spf=pass",
            "i=1; mx.example; dmarc=pass header.from=",
            "i=1; mx.example; dmarc=pass nonsense",
            "i=1; mx.example; =pass",
            flood.as_str(),
        ] {
            assert_eq!(said(value), None, "{value}");
        }
    }
}
