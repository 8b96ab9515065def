//! The few elements of Amazon's XML that are read. No library: none of ours holds another one of its own name, only the
//! outermost one has attributes, and what is cut off or no XML at all is nothing.

/// The insides of all elements of this name.
pub(crate) fn elements<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once(&open) {
        let Some((inside, behind)) = behind.split_once(&close) else { break };
        found.push(inside);
        rest = behind;
    }
    found
}

/// The text of the first element of this name.
pub fn text(text: &str, name: &str) -> Option<String> {
    elements(text, name).first().map(|inside| unescaped(inside))
}

/// Named and numbered characters; what is no such thing stays as it is.
pub(crate) fn unescaped(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        result += before;
        let known = behind.split_once(';').and_then(|(name, after)| Some((character(name)?, after)));
        if let Some((character, after)) = known {
            result.push(character);
            rest = after;
        } else {
            result.push('&');
            rest = behind;
        }
    }
    result + rest
}

fn character(name: &str) -> Option<char> {
    let number = |digits: &str| match digits.strip_prefix('x') {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    };
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        name => name.strip_prefix('#').and_then(number).and_then(char::from_u32),
    }
}

/// A text as it may stand in an element.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_and_what_is_cut_off_or_no_character_hurts_nobody() {
        assert_eq!(elements("<A>1</A><B>x</B><A>2</A>", "A"), ["1", "2"]);
        assert_eq!(elements("<A>1</A><A>2", "A"), ["1"]);
        assert_eq!(text("<A>&#65;&#x42;&nope;&amp</A>", "A"), Some("AB&nope;&amp".to_owned()));
        assert_eq!(text("<A>a & b; &lt;c&gt;</A>", "A"), Some("a & b; <c>".to_owned()));
        assert_eq!(text("", "A"), None);
        for plain in ["a<b>&\"c\"", "&amp;", "&#65;"] {
            assert_eq!(unescaped(&escaped(plain)), plain);
        }
    }
}
