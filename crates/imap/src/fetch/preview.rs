//! PREVIEW: the first words of a message, as one line (RFC 8970 §3).

use kings_mail::charset;
use kings_mail::mime::{Kind, Part};
use kings_mail::visible::is_active;

/// Characters told; RFC 8970 §3.1 asks for 200 and forbids more than 256.
const MAX_CHARS: usize = 200;
/// Octets of a part that are looked at: beyond so much markup nobody sees a beginning.
const MAX_OCTETS: usize = 64 * 1024;
/// Longest name of a character in HTML, such as `&CounterClockwiseContourIntegral;`.
const MAX_ENTITY: usize = 32;

/// The words that a reader sees first; empty where there are none, or where they are encrypted.
pub(crate) fn words(tree: &Part, octets: &[u8]) -> String {
    let leaves = tree.walk().filter(|part| part.kind == Kind::Leaf && part.content_type.kind == "text");
    let shown = leaves.filter(|part| part.disposition.as_ref().is_none_or(|how| how.kind != "attachment"));
    shown.map(|part| of_part(part, octets)).find(|words| !words.is_empty()).unwrap_or_default()
}

fn of_part(part: &Part, octets: &[u8]) -> String {
    let body = octets.get(part.body.clone()).unwrap_or_default();
    let beginning = part.encoding.decode(&body[..body.len().min(MAX_OCTETS)]);
    let text = charset::decode(&beginning, &part.content_type.charset());
    if part.content_type.subtype == "html" {
        return one_line(&without_markup(&text));
    }
    // What is quoted was read before; a message of nothing else begins with it.
    let own = text.lines().filter(|line| !line.starts_with('>')).collect::<Vec<_>>().join("\n");
    let own = one_line(&own);
    if own.is_empty() { one_line(&text) } else { own }
}

/// White space as single blanks; marks without width, with which some senders fill their previews, are left out.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut count = 0;
    let mut owes_blank = false;
    for c in text.chars() {
        if c.is_whitespace() {
            owes_blank = count > 0;
            continue;
        }
        if is_active(c) || matches!(c, '\u{34f}' | '\u{fffc}') {
            continue;
        }
        let needed = if owes_blank { 2 } else { 1 };
        if count + needed > MAX_CHARS {
            break;
        }
        if std::mem::take(&mut owes_blank) {
            line.push(' ');
        }
        line.push(c);
        count += needed;
    }
    line
}

/// Elements whose content nobody sees.
const UNSEEN: [&str; 4] = ["head", "script", "style", "title"];

/// The text between the tags. Whatever the markup is, this ends, and takes time linear in it.
fn without_markup(html: &str) -> String {
    let mut text = String::new();
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = behind(comment, "-->");
        } else if rest.starts_with('<') {
            let tag = &rest[1..rest.find('>').unwrap_or(rest.len())];
            rest = behind(rest, ">");
            let name = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
            if let Some(unseen) = UNSEEN.iter().find(|unseen| name.eq_ignore_ascii_case(unseen)) {
                rest = behind_element(rest, unseen);
            }
            if !is_inline(tag) {
                text.push(' ');
            }
        } else {
            let (character, used) = entity(rest);
            text.push(character);
            rest = &rest[used..];
        }
    }
    text.push_str(rest);
    text
}

fn behind<'a>(text: &'a str, end: &str) -> &'a str {
    text.find(end).map_or("", |at| &text[at + end.len()..])
}

/// What follows `</name>`.
fn behind_element<'a>(html: &'a str, name: &str) -> &'a str {
    let mut rest = html;
    while let Some(at) = rest.find("</") {
        rest = &rest[at + 2..];
        if rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
            return behind(rest, ">");
        }
    }
    ""
}

/// Tags within a word.
fn is_inline(tag: &str) -> bool {
    let name = tag.trim_start_matches('/');
    let name = name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    ["a", "b", "i", "u", "em", "font", "span", "strong"]
        .iter()
        .any(|inline| name.eq_ignore_ascii_case(inline))
}

/// Characters that mail names often.
const NAMED: [(&str, char); 32] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("euro", '\u{20ac}'),
    ("pound", '\u{a3}'),
    ("copy", '\u{a9}'),
    ("reg", '\u{ae}'),
    ("middot", '\u{b7}'),
    ("bull", '\u{2022}'),
    ("hellip", '\u{2026}'),
    ("ndash", '\u{2013}'),
    ("mdash", '\u{2014}'),
    ("lsquo", '\u{2018}'),
    ("rsquo", '\u{2019}'),
    ("ldquo", '\u{201c}'),
    ("rdquo", '\u{201d}'),
    ("laquo", '\u{ab}'),
    ("raquo", '\u{bb}'),
    ("auml", '\u{e4}'),
    ("ouml", '\u{f6}'),
    ("uuml", '\u{fc}'),
    ("Auml", '\u{c4}'),
    ("Ouml", '\u{d6}'),
    ("Uuml", '\u{dc}'),
    ("szlig", '\u{df}'),
    ("eacute", '\u{e9}'),
    ("egrave", '\u{e8}'),
    ("zwnj", '\u{200c}'),
    ("shy", '\u{ad}'),
];

/// The character that `&...;` stands for, and the octets it takes; the `&` itself where nobody knows it.
fn entity(text: &str) -> (char, usize) {
    // Not to the end: a text may be full of `&`.
    let end = text.bytes().skip(1).take(MAX_ENTITY + 1).position(|octet| octet == b';');
    let Some(name) = end.map(|length| &text[1..=length]) else { return ('&', 1) };
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
    let named = NAMED.iter().find(|(known, _)| *known == name).map(|(_, character)| *character);
    let numbered = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix(['x', 'X']) {
        Some(digits) => number(digits, 16),
        None => number(digits, 10),
    });
    named.or(numbered).map_or(('&', 1), |character| (character, name.len() + 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kings_mail::mime;

    fn preview(message: &str) -> String {
        words(&mime::parse(message.as_bytes()), message.as_bytes())
    }

    #[test]
    fn the_first_words_are_found_in_every_kind_of_message() {
        let cases = [
            ("\r\nHello,\r\n\r\n  how are\tyou?\r\n", "Hello, how are you?"),
            ("\r\n> you wrote\r\n>> before\r\nYes.\r\n", "Yes."),
            ("\r\n> you wrote\r\n", "> you wrote"),
            ("Subject: nothing\r\n\r\n", ""),
            (
                "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
                 Gr=FC=DFe=20=\r\nan alle\r\n",
                "Gr\u{fc}\u{df}e an alle",
            ),
            (
                "Content-Type: text/html\r\n\r\n<html><HEAD><title>no</title></HEAD><style>p > a {}</style><!-- <p>no -->\
                 <p>Now <b>onl</b>y 5&nbsp;&euro; &lt;&#228;&#x1F600;&bogus</p><script>if (a</script >b<br>c",
                "Now only 5 \u{20ac} <\u{e4}\u{1f600}&bogus b c",
            ),
            (
                "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\
                 Content-Disposition: attachment\r\n\r\nattached\r\n--x\r\n\r\n \r\n--x\r\nContent-Type: text/html\r\n\r\n\
                 <p>shown\r\n--x--\r\n",
                "shown",
            ),
            (
                "Content-Type: multipart/encrypted; boundary=x\r\n\r\n--x\r\nContent-Type: application/pgp-encrypted\r\n\r\n\
                 Version: 1\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\nsecret\r\n--x--\r\n",
                "",
            ),
            (
                "Content-Type: text/html\r\n\r\nAT&T &#228;&;&amp&amp;&\u{fc}ber;",
                "AT&T \u{e4}&;&amp&&\u{fc}ber;",
            ),
            ("\r\na\u{200b}\u{202e}b\u{34f} \u{feff} c", "ab c"),
        ];
        for (message, expected) in cases {
            assert_eq!(preview(message), expected, "{message}");
        }
    }

    #[test]
    fn so_many_characters_are_told_and_no_more() {
        let long = format!("\r\n{}", "\u{fc} ".repeat(500));
        let words = preview(&long.replace('\u{fc}', "x"));
        assert_eq!(words.chars().count(), MAX_CHARS - 1, "the blank behind the last word is owed");
        let far = format!("Content-Type: text/html\r\n\r\n{}late", "<p>".repeat(MAX_OCTETS));
        assert_eq!(preview(&far), "");
        for open in ["<style>", "<!--", "<", "&", "</", "<script></", "<title>x</ti", "&#\u{e4}"] {
            preview(&format!("Content-Type: text/html\r\n\r\n{}", open.repeat(MAX_OCTETS / open.len())));
        }
    }
}
