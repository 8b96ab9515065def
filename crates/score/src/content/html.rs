//! An HTML text as a reader sees it: what shows, what hides, where it leads, and what has no business in mail.

use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};

use super::link::{Link, MAX_LINKS};
use super::style::{self, Look};

/// Deepest nesting that is followed; what is deeper looks like what is around it.
const MAX_DEPTH: usize = 100;
/// Octets of a text that are read; mail programs show no more either (Gmail cuts at 102 KB).
const MAX_HTML: usize = 128 * 1024;
/// Room for the tokenizer: measured are 0.8 KB a character without optimisation. It is taken as far as it is used.
const STACK: usize = 256 * 1024 * 1024;
/// Most images that are noted.
const MAX_IMAGES: usize = 1_000;
/// Longest text of a link that is kept, in octets.
const MAX_LINK_TEXT: usize = 500;

/// Elements without an end.
const VOID: [&str; 14] = [
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track",
    "wbr",
];
/// Elements whose text is not shown.
const UNSEEN: [&str; 7] = ["head", "noframes", "noscript", "script", "style", "template", "title"];
/// Elements that run or fetch something where they are honoured at all.
const ACTIVE: [&str; 7] = ["applet", "embed", "frame", "frameset", "iframe", "object", "script"];

/// One image.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) source: String,
    pub(super) alternative: Option<String>,
}

/// What is to be known of an HTML text.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Visible text.
    pub(super) text: String,
    /// Characters of text that is there and cannot be seen.
    pub(super) hidden: usize,
    pub(super) links: Vec<Link>,
    pub(super) images: Vec<Image>,
    /// The first element or attribute that would run something.
    pub(super) active: Option<String>,
    /// Whether it asks for input.
    pub(super) has_form: bool,
}

/// An element that is open.
struct Open {
    name: String,
    look: Look,
    is_unseen: bool,
}

impl Page {
    /// Reads tokens only: mail is never the tree that a browser would mend it into.
    ///
    /// The tokenizer calls itself for each character of a long tag or comment, so it gets a stack that [`MAX_HTML`] octets
    /// of anything fit into. Where the system gives none the page is empty.
    pub(super) fn read(html: &str) -> Self {
        let html = &html[..html.floor_char_boundary(MAX_HTML)];
        std::thread::scope(|scope| {
            let reader =
                std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || Self::tokens(html));
            reader.ok().and_then(|reader| reader.join().ok()).unwrap_or_default()
        })
    }

    fn tokens(html: &str) -> Self {
        let mut emitter = DefaultEmitter::default();
        emitter.naively_switch_states(true);
        let mut reader = Reader { page: Self::default(), open: Vec::new(), link: None };
        for token in Tokenizer::new_with_emitter(html, emitter).flatten() {
            match token {
                Token::StartTag(tag) => reader.start(&tag),
                Token::EndTag(tag) => reader.end(&text(&tag.name)),
                Token::String(string) => reader.string(&text(&string.value)),
                Token::Comment(_) | Token::Doctype(_) | Token::Error(_) => {}
            }
        }
        reader.close_link();
        reader.page
    }
}

struct Reader {
    page: Page,
    open: Vec<Open>,
    link: Option<Link>,
}

impl Reader {
    fn start(&mut self, tag: &StartTag<()>) {
        let name = text(&tag.name);
        self.judge(&name, tag);
        match name.as_str() {
            "a" => {
                self.close_link();
                let target = attribute(tag, "href").unwrap_or_default();
                self.link = (!target.is_empty()).then(|| Link::new(target.trim(), ""));
            }
            "img" if self.page.images.len() < MAX_IMAGES => {
                let alternative = attribute(tag, "alt");
                self.say(alternative.as_deref().unwrap_or_default());
                let source = attribute(tag, "src").unwrap_or_default();
                self.page.images.push(Image { source, alternative });
            }
            "area" => {
                let target = attribute(tag, "href").unwrap_or_default();
                self.page.links.extend((!target.is_empty()).then(|| Link::new(&target, "")));
            }
            "br" | "p" | "div" | "td" | "tr" | "li" | "h1" | "h2" | "h3" | "table" => {
                self.page.text.push(' ');
            }
            _ => {}
        }
        if !VOID.contains(&name.as_str()) && self.open.len() < MAX_DEPTH {
            let around = self.open.last();
            let look = style::look(around.map(|open| &open.look), |wanted| attribute(tag, wanted));
            let is_unseen = around.is_some_and(|open| open.is_unseen) || UNSEEN.contains(&name.as_str());
            self.open.push(Open { name, look, is_unseen });
        }
    }

    /// Notes what has no business in mail.
    fn judge(&mut self, name: &str, tag: &StartTag<()>) {
        self.page.has_form |= matches!(name, "form" | "input" | "textarea" | "select" | "button");
        if self.page.active.is_some() {
            return;
        }
        let handler = tag.attributes.keys().map(text).find(|attribute| attribute.starts_with("on"));
        let refresh = name == "meta"
            && attribute(tag, "http-equiv").is_some_and(|value| value.trim().eq_ignore_ascii_case("refresh"));
        self.page.active = if ACTIVE.contains(&name) {
            Some(format!("<{name}>"))
        } else if refresh {
            Some("<meta http-equiv=refresh>".to_owned())
        } else {
            handler.map(|handler| format!("<{name} {handler}=...>"))
        };
    }

    fn end(&mut self, name: &str) {
        if name == "a" {
            self.close_link();
        }
        if let Some(at) = self.open.iter().rposition(|open| open.name == name) {
            self.open.truncate(at);
        }
        if matches!(name, "p" | "div" | "td" | "tr" | "li" | "h1" | "h2" | "h3" | "table") {
            self.page.text.push(' ');
        }
    }

    fn string(&mut self, string: &str) {
        match self.open.last() {
            Some(open) if open.is_unseen => {}
            Some(open) if open.look.is_hidden() => {
                self.page.hidden += string.chars().filter(|c| c.is_alphanumeric()).count();
            }
            _ => self.say(string),
        }
    }

    fn say(&mut self, string: &str) {
        self.page.text.push_str(string);
        if let Some(link) = &mut self.link {
            let room = MAX_LINK_TEXT.saturating_sub(link.text.len());
            link.text.push_str(&string[..string.floor_char_boundary(room.min(string.len()))]);
        }
    }

    fn close_link(&mut self) {
        if let Some(link) = self.link.take().filter(|_| self.page.links.len() < MAX_LINKS) {
            self.page.links.push(link);
        }
    }
}

fn text(string: &HtmlString) -> String {
    String::from_utf8_lossy(string).into_owned()
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    tag.attributes.get(name.as_bytes()).map(|value| text(&value.value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_is_told_from_what_hides() {
        let cases = [
            ("<p>one<b>two</b>", "onetwo", 0),
            ("<title>no</title><style>p{}</style>yes<script>no</script>", "yes", 0),
            ("a<div style='display: NONE'>bcd<p>e</div>f", "a f", 4),
            ("a<span style='font-size:0px'>bcd</span>", "a", 3),
            ("a<span style='font-size:0.9em'>bcd</span>", "abcd", 0),
            ("<div style='background-color:#fff'>a<span style='color:white'>bcd</span></div>", "a", 3),
            ("<table bgcolor=#000><td><font color='#ffffff'>seen</font>", "seen", 0),
            ("<img alt=cat>&amp;<!-- no -->", "cat&", 0),
            ("</b></i>a<b", "a", 0),
        ];
        for (html, text, hidden) in cases {
            let page = Page::read(html);
            let words: Vec<&str> = page.text.split_whitespace().collect();
            assert_eq!((words.join(" ").as_str(), page.hidden), (text, hidden), "{html}");
        }
    }

    #[test]
    fn a_tag_a_comment_or_a_value_without_end_is_read_like_any_other_text() {
        for start in
            ["<a ", "<!--", "<a x='", "<a x=\"", "</", "<!DOCTYPE ", "<![CDATA[", "<script><!--", "&", ""]
        {
            for piece in ["a=\"\" ", "a ", "/", "-", ">", "<", "&", "&#", "x", "=", "'", "\u{e9}"] {
                let html = format!("before{start}{}", piece.repeat(4 * MAX_HTML / piece.len()));
                assert!(Page::read(&html).text.starts_with("before"), "{start}{piece}");
            }
        }
    }

    #[test]
    fn links_have_their_text_and_images_their_alternative() {
        let page = Page::read(
            "<a href=' https://a.example/ '><b>He</b>re<img src=x alt=\"\"></a><a name=x>no</a><img>",
        );
        let links: Vec<(&str, &str)> =
            page.links.iter().map(|link| (link.target.as_str(), link.text.as_str())).collect();
        assert_eq!(links, [("https://a.example/", "Here")]);
        let images: Vec<Option<&str>> =
            page.images.iter().map(|image| image.alternative.as_deref()).collect();
        assert_eq!(images, [Some(""), None]);
    }

    #[test]
    fn what_would_run_is_named_and_what_is_text_is_not() {
        let cases = [
            ("<script>x</script>", Some("<script>")),
            ("<IMG onError='x'>", Some("<img onerror=...>")),
            ("<meta http-equiv=Refresh content=0>", Some("<meta http-equiv=refresh>")),
            ("&lt;script&gt; <!-- <script> --> <meta charset=utf-8>", None),
        ];
        for (html, active) in cases {
            assert_eq!(Page::read(html).active.as_deref(), active, "{html}");
        }
    }

    #[test]
    fn nesting_without_measure_costs_no_more_than_its_length() {
        let deep = "<div style='color:red'>".repeat(5_000) + "x" + &"</b>".repeat(100_000);
        assert_eq!(Page::read(&deep).text.trim(), "x");
        let links = "<a href=x>y".repeat(50_000);
        assert_eq!(Page::read(&links).links.len(), MAX_LINKS);
    }
}
