//! Foreign records that ours have to live with: SPF is edited, never doubled.

/// An SPF record that lets the MX hosts of its domain send as well; `None` where it does already, or ends before that.
pub(crate) fn spf(text: &str) -> Option<String> {
    let mut terms: Vec<&str> = text.split_ascii_whitespace().collect();
    let is = |term: &str, word: &str| term.trim_start_matches('+').eq_ignore_ascii_case(word);
    // Nothing is read behind `all` (RFC 7208 §5.1).
    let is_all = |term: &&&str| term.trim_start_matches(['+', '-', '~', '?']).eq_ignore_ascii_case("all");
    let end = terms.iter().position(|term| is_all(&term)).unwrap_or(terms.len());
    if terms[..end].iter().any(|term| is(term, "mx")) || terms.is_empty() {
        return None;
    }
    // What stands first is asked first: our own mail shall not wait for the includes of others.
    terms.insert(1, "mx");
    Some(terms.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_others_is_extended_in_front_and_only_once() {
        let cases = [
            ("v=spf1 include:_spf.example.net ~all", Some("v=spf1 mx include:_spf.example.net ~all")),
            ("v=spf1 -all", Some("v=spf1 mx -all")),
            ("v=spf1", Some("v=spf1 mx")),
            ("v=spf1 redirect=other.example", Some("v=spf1 mx redirect=other.example")),
            ("v=spf1 a MX -all", None),
            ("v=spf1 +mx -all", None),
            ("v=spf1 a mx ~ALL", None),
            ("v=spf1 a -all mx", Some("v=spf1 mx a -all mx")),
            ("v=spf1 ?all mx", Some("v=spf1 mx ?all mx")),
            ("v=spf1 a:all.example mx -all", None),
            ("v=spf1 -mx -all", Some("v=spf1 mx -mx -all")),
            ("v=spf1 mx:other.example -all", Some("v=spf1 mx mx:other.example -all")),
        ];
        for (text, expected) in cases {
            assert_eq!(spf(text).as_deref(), expected, "{text}");
        }
    }
}
