//! Patterns of LIST and LSUB (RFC 3501 §6.3.8), matched in time linear in the name for each wildcard.

/// A pattern over the wire form of mailbox names: `*` is anything, `%` anything within one level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
    separator: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Octet(u8),
    /// `%`
    Level,
    /// `*`
    Anything,
}

impl Pattern {
    /// Joins reference and pattern, as servers for flat trees do (RFC 3501 §6.3.8), and folds runs of
    /// wildcards into one: `%*%` means `*`.
    pub fn new(reference: &[u8], pattern: &[u8], separator: char) -> Self {
        let separator = u8::try_from(separator).unwrap_or(b'.');
        let mut tokens: Vec<Token> = Vec::with_capacity(reference.len() + pattern.len());
        for octet in reference.iter().chain(pattern) {
            let token = match octet {
                b'*' => Token::Anything,
                b'%' => Token::Level,
                octet => Token::Octet(*octet),
            };
            match (tokens.last_mut(), token) {
                (Some(Token::Anything), Token::Anything | Token::Level)
                | (Some(Token::Level), Token::Level) => {}
                (Some(last @ Token::Level), Token::Anything) => *last = Token::Anything,
                _ => tokens.push(token),
            }
        }
        Self { tokens, separator }
    }

    /// Whether `name` (modified UTF-7) matches. INBOX matches in any case (RFC 3501 §5.1).
    ///
    /// All places of the pattern are followed at once, one step per octet of the name: no backtracking,
    /// so `%*%*%*` cannot be made to take exponential time.
    pub fn matches(&self, name: &str) -> bool {
        let octets = self.tokens.iter().filter(|token| matches!(token, Token::Octet(_))).count();
        if octets > name.len() {
            return false;
        }
        let folded = inbox_prefix(name, self.separator);
        // `alive[i]` says: the octets read so far match the first `i` tokens.
        let mut alive = vec![false; self.tokens.len() + 1];
        let mut next = alive.clone();
        alive[0] = true;
        self.skip_wildcards(&mut alive);
        for (place, octet) in name.bytes().enumerate() {
            next.fill(false);
            for (at, token) in self.tokens.iter().enumerate().filter(|(at, _)| alive[*at]) {
                match token {
                    Token::Anything => next[at] = true,
                    Token::Level => next[at] |= octet != self.separator,
                    Token::Octet(wanted) => {
                        let same =
                            *wanted == octet || (place < folded && wanted.eq_ignore_ascii_case(&octet));
                        next[at + 1] |= same;
                    }
                }
            }
            self.skip_wildcards(&mut next);
            std::mem::swap(&mut alive, &mut next);
        }
        alive[self.tokens.len()]
    }

    /// A wildcard may also stand for nothing.
    fn skip_wildcards(&self, alive: &mut [bool]) {
        for (at, token) in self.tokens.iter().enumerate() {
            alive[at + 1] |= alive[at] && !matches!(token, Token::Octet(_));
        }
    }
}

/// How many octets of `name` are the word INBOX, standing as its first level.
fn inbox_prefix(name: &str, separator: u8) -> usize {
    let first = name.bytes().take_while(|octet| *octet != separator).count();
    if name[..first].eq_ignore_ascii_case("INBOX") { first } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_rfc_3501_says() {
        let cases = [
            ("", "*", "Sent.2026", true),
            ("", "%", "Sent", true),
            ("", "%", "Sent.2026", false),
            ("", "%.%", "Sent.2026", true),
            ("", "S%", "Sent", true),
            ("", "*6", "Sent.2026", true),
            ("", "*7", "Sent.2026", false),
            ("Sent", ".%", "Sent.2026", true),
            ("Sent.", "*", "Sent.2026.11", true),
            ("", "inbox", "INBOX", true),
            ("", "inbox.a", "INBOX.a", true),
            ("", "inbox.A", "INBOX.a", false),
            ("", "sent", "Sent", false),
            ("", "inboxes", "INBOXES", false),
            ("", "", "Sent", false),
            ("", "%*%*%", "a.b.c", true),
            ("", "a*b*c", "aXbYc", true),
            ("", "a*b*c", "aXcYb", false),
        ];
        for (reference, pattern, name, expected) in cases {
            let pattern = Pattern::new(reference.as_bytes(), pattern.as_bytes(), '.');
            assert_eq!(pattern.matches(name), expected, "{pattern:?} {name}");
        }
    }

    #[test]
    fn many_wildcards_over_many_names_stay_quick() {
        let pattern = Pattern::new(b"", b"*a%*a%*a%*a%*a%*a%*ab", '.');
        let name = "a".repeat(200);
        assert!((0..1_000).all(|_| !pattern.matches(&name)));
    }
}
