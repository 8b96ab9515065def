//! Content-Type and Content-Disposition (RFC 2045 §5, RFC 2183), with the parameters of RFC 2231.

mod parameters;
pub(crate) mod scanner;

use parameters::Parameter;
pub use parameters::{MAX_PARAMETERS, Parameters};
use scanner::Scanner;

/// A media type in lower case, and its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentType {
    /// `text` of `text/plain`
    pub kind: String,
    /// `plain` of `text/plain`
    pub subtype: String,
    /// Everything behind the type.
    pub parameters: Parameters,
}

impl ContentType {
    /// Reads a field value, folded or not. `None` where RFC 2045 §5.2 asks for the default type: no
    /// type, no slash, no subtype.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut scanner = Scanner { rest: value };
        let kind = scanner.token()?;
        scanner.mark(b'/')?;
        let subtype = scanner.token()?;
        Some(Self { kind, subtype, parameters: Parameters::scan(scanner) })
    }

    /// A type without parameters.
    pub fn new(kind: &str, subtype: &str) -> Self {
        Self { kind: kind.into(), subtype: subtype.into(), parameters: Parameters::default() }
    }

    /// `text/plain; charset=us-ascii`, what no Content-Type means (RFC 2045 §5.2).
    pub fn text_plain() -> Self {
        let charset = Parameter { name: "charset".into(), value: b"us-ascii".to_vec(), extended: false };
        Self { parameters: Parameters(vec![charset]), ..Self::new("text", "plain") }
    }

    /// Whether this is the type `kind/subtype`, both given in lower case.
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind == kind && self.subtype == subtype
    }

    /// The character set of a text; `us-ascii` where none is named (RFC 2045 §5.2).
    pub fn charset(&self) -> String {
        self.parameters.get("charset").unwrap_or_else(|| "us-ascii".into())
    }

    /// The delimiter of a multipart, `None` where it is missing or empty. Trailing white space cannot
    /// belong to it (RFC 2046 §5.1.1); its length is not limited to the 70 of the RFC.
    pub(crate) fn boundary(&self) -> Option<Vec<u8>> {
        let boundary = self.parameters.octets("boundary")?;
        let boundary = boundary.trim_ascii_end();
        (!boundary.is_empty()).then(|| boundary.to_vec())
    }
}

/// How a part wants to be shown (RFC 2183 §2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `inline`, `attachment` or another token, in lower case.
    pub kind: String,
    /// `filename` and others.
    pub parameters: Parameters,
}

impl Disposition {
    /// Reads a field value, folded or not; `None` without a token.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut scanner = Scanner { rest: value };
        let kind = scanner.token()?;
        Some(Self { kind, parameters: Parameters::scan(scanner) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn listed(parameters: &Parameters) -> String {
        parameters.listed().fold(String::new(), |list, (name, value)| format!("{list}{name}={value};"))
    }

    #[test]
    fn types_are_read_as_mail_writes_them() {
        let cases = [
            ("text/plain", Some(("text/plain", ""))),
            (" TEXT / HTML ;\r\n\tCharset=\"utf-8\"", Some(("text/html", "charset=utf-8;"))),
            ("text/plain; charset=us-ascii (Plain text)", Some(("text/plain", "charset=us-ascii;"))),
            ("text(a(b)c\\))/plain;;; a=1;; =2; b; c=3", Some(("text/plain", "a=1;c=3;"))),
            ("multipart/mixed; boundary=----=_Part.1", Some(("multipart/mixed", "boundary=----=_Part.1;"))),
            ("application/pdf; name=my file.pdf ; x=1", Some(("application/pdf", "name=my file.pdf;x=1;"))),
            (r#"a/b; name="a\"b;c" junk "; x=0"; x=1"#, Some(("a/b", r#"name=a"b;c;x=1;"#))),
            ("a/b; x=1; X=2", Some(("a/b", "x=1;"))),
            (r#"a/b; x="unclosed; y=1"#, Some(("a/b", "x=unclosed; y=1;"))),
            ("a/b; x=\"two\r\n lines\"", Some(("a/b", "x=two lines;"))),
            ("a/b; x=", Some(("a/b", "x=;"))),
            ("text", None),
            ("text/", None),
            ("/plain", None),
            ("(text/plain", None),
            ("", None),
        ];
        for (value, expected) in cases {
            let parsed = ContentType::parse(value.as_bytes());
            let shown = parsed.map(|t| (format!("{}/{}", t.kind, t.subtype), listed(&t.parameters)));
            assert_eq!(shown, expected.map(|(kind, list)| (kind.to_owned(), list.to_owned())), "{value}");
        }
    }

    #[test]
    fn split_and_extended_parameters_are_put_together() {
        let cases = [
            // The examples of RFC 2231 §3 and §4.
            (r#"URL*0="ftp://"; URL*1="cs.utk.edu/""#, "url=ftp://cs.utk.edu/;", "ftp://cs.utk.edu/"),
            ("url*=us-ascii'en-us'This%20is", "url*=us-ascii'en-us'This%20is;", "This is"),
            (
                "url*0*=us-ascii'en'This%20is; url*1*=%20even; url*2=\" more!\"",
                "url*=us-ascii'en'This%20is%20even%20more!;",
                "This is even more!",
            ),
            ("url*1=b; url*0=a", "url=ab;", "ab"),
            ("url*0=a; url*2=c", "url=a;", "a"),
            ("url*0=a; url*0=x; url*1=b", "url=ab;", "ab"),
            ("url*0=a; url*1*=%C3%A4", "url*=''a%C3%A4;", "a\u{e4}"),
            ("url*0*=utf-8''%C3; url*1*=%A4", "url*=utf-8''%C3%A4;", "\u{e4}"),
            ("url=plain; url*=utf-8''better", "url=plain;url*=utf-8''better;", "better"),
            ("url*=no%20quotes", "url*=no%20quotes;", "no quotes"),
            ("url*=x-unknown''a%zz%4", "url*=x-unknown''a%zz%4;", "a%zz%4"),
            ("url*=utf-8''a%0D%0Ab", "url*=utf-8''a%0D%0Ab;", "ab"),
            ("url=\"=?utf-8?q?K=C3=A4se?=\"", "url==?utf-8?q?K=C3=A4se?=;", "K\u{e4}se"),
            ("url*01=a; url**0=a; url*x=a; *=a; *0=a; url*0=b", "url=b;", "b"),
            ("url*4294967295=a; url*0=b", "url=b;", "b"),
        ];
        for (value, list, url) in cases {
            let disposition = Disposition::parse(format!("attachment; {value}").as_bytes()).unwrap();
            assert_eq!(listed(&disposition.parameters), list, "{value}");
            assert_eq!(disposition.parameters.get("URL").as_deref(), Some(url), "{value}");
        }
        let gap = Disposition::parse(b"attachment; url*1=b; url*2=c").unwrap();
        assert_eq!(gap.parameters.get("url"), None);
    }

    #[test]
    fn parameters_beyond_the_limit_are_ignored() {
        let pieces: Vec<_> = (0..100_000).map(|number| format!("n*{number}=x")).collect();
        let split = ContentType::parse(format!("a/b;{}", pieces.join(";")).as_bytes()).unwrap();
        assert_eq!(split.parameters.get("n").unwrap().len(), MAX_PARAMETERS);
        let names: Vec<_> = (0..100_000).map(|number| format!("n{number}=x")).collect();
        let many = ContentType::parse(format!("a/b;{}", names.join(";")).as_bytes()).unwrap();
        assert_eq!(many.parameters.listed().count(), MAX_PARAMETERS);
    }

    #[test]
    fn a_megabyte_of_one_character_is_read_in_one_pass() {
        for piece in ["(", "()", "\"", "\\", ";", "; a", "; a=", ";a=\"", ";=", "%", "'"] {
            let long = piece.repeat(1_000_000);
            ContentType::parse(format!("a/b;x*={long}").as_bytes());
            ContentType::parse(format!("a/b{long}").as_bytes());
        }
    }

    #[test]
    fn a_boundary_has_no_space_at_its_end() {
        let boundary = |value: &str| ContentType::parse(value.as_bytes()).unwrap().boundary();
        assert_eq!(boundary("a/b; boundary=\"x y \""), Some(b"x y".to_vec()));
        assert_eq!(boundary("a/b; boundary*=us-ascii''x%20y"), Some(b"x y".to_vec()));
        assert_eq!(boundary("a/b; boundary*=us-ascii''x; boundary=y"), Some(b"y".to_vec()));
        assert_eq!(boundary("a/b; boundary=\" \""), None);
        assert_eq!(boundary("a/b"), None);
    }

    proptest! {
        #[test]
        fn no_value_breaks_the_lines_of_a_reader(value in "[a-c/;=*'%0-9\"\\\\()\r\n ]{0,60}") {
            if let Some(parsed) = ContentType::parse(format!("a/b;{value}").as_bytes()) {
                for (name, raw) in parsed.parameters.listed() {
                    let name = name.trim_end_matches('*');
                    let decoded = parsed.parameters.get(name).unwrap();
                    prop_assert!(!decoded.contains(['\r', '\n', '\0']));
                    prop_assert!(!raw.contains(['\r', '\n', '\0']));
                }
            }
        }
    }
}
