//! Where the rules about headers and bodies act: in the message, in its parts, and in messages within it.

use std::io::Read;
use std::sync::Arc;

use kings_mail::id::TraceId;
use kings_mail::mime::{self, Kind, Part};
use kings_smtp::reply::Reply;
use kings_store::{Incoming, Store, StoreError};

use crate::core::blocking;
use crate::header_checks::{BodyChecks, HeaderChecks, Ruling};
use crate::transaction::check_header;
use crate::{intake, policy};

/// All rules about the content of what comes by one way in. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct ContentChecks(Arc<Tables>);

/// The rules by what they are about, as with Postfix's cleanup(8).
#[derive(Debug, Default)]
pub struct Tables {
    /// Fields of the message (`header_checks`).
    pub header: HeaderChecks,
    /// Fields of its MIME parts (`mime_header_checks`); `None` for the same as `header`.
    pub mime_header: Option<HeaderChecks>,
    /// Fields of messages within it (`nested_header_checks`); `None` for the same as `header`.
    pub nested_header: Option<HeaderChecks>,
    /// Lines of its text and attachments (`body_checks`). What stands around the parts of a multipart is shown to
    /// nobody and not looked at, unlike in Postfix.
    pub body: BodyChecks,
}

/// What a header belongs to.
#[derive(Clone, Copy)]
enum Role {
    Message,
    Part,
    Nested,
}

impl From<Tables> for ContentChecks {
    fn from(tables: Tables) -> Self {
        Self(Arc::new(tables))
    }
}

impl ContentChecks {
    /// Whether any rule sends a message through a filter.
    pub fn has_filter(&self) -> bool {
        let Tables { header, mime_header, nested_header, body } = &*self.0;
        let of_fields = [Some(header), mime_header.as_ref(), nested_header.as_ref()];
        of_fields.into_iter().flatten().any(HeaderChecks::has_filter) || body.has_filter()
    }

    /// Applies the rules to a message that has just arrived: gives it as they leave it, and what else they say, or the
    /// reply that refuses it.
    pub(crate) async fn rule(
        &self,
        store: &Store,
        content: Incoming,
        id: TraceId,
    ) -> Result<(Incoming, Ruling), Reply> {
        if self.0.is_empty() {
            return Ok((content, Ruling::default()));
        }
        let (content, ruling) = if self.0.need_all(content.head()) {
            self.rule_all(store, content, id).await
        } else {
            let mut ruling = Ruling::default();
            let head = self.0.header.apply(content.head(), id, &mut ruling);
            intake::with_head(store, content, head).await.map(|content| (content, ruling))
        }
        .map_err(|error| intake::refusal(&error))?;
        policy::header_rules(&ruling)?;
        check_header(&content)?;
        Ok((content, ruling))
    }

    async fn rule_all(
        &self,
        store: &Store,
        content: Incoming,
        id: TraceId,
    ) -> Result<(Incoming, Ruling), StoreError> {
        let (tables, store) = (Arc::clone(&self.0), store.clone());
        blocking(move || {
            let mut whole = Vec::with_capacity(usize::try_from(content.len()).unwrap_or(0));
            content.reader().read_to_end(&mut whole)?;
            let (changed, ruling) = tables.apply(&whole, id);
            if changed == whole {
                return Ok((content, ruling));
            }
            let mut copy = store.begin()?;
            copy.write(&changed)?;
            Ok((copy, ruling))
        })
        .await
    }
}

impl Tables {
    fn is_empty(&self) -> bool {
        let none = |checks: &Option<HeaderChecks>| checks.as_ref().is_none_or(HeaderChecks::is_empty);
        self.header.is_empty() && self.body.is_empty() && none(&self.mime_header) && none(&self.nested_header)
    }

    /// Whether more than the header of the message is looked at.
    fn need_all(&self, head: &[u8]) -> bool {
        !self.body.is_empty() || mime::parse(head).kind != Kind::Leaf
    }

    fn apply(&self, content: &[u8], id: TraceId) -> (Vec<u8>, Ruling) {
        let mut pass =
            Pass { tables: self, content, id, done: 0, changed: Vec::new(), ruling: Ruling::default() };
        pass.visit(&mime::parse(content), Role::Message);
        let Pass { mut changed, ruling, done, .. } = pass;
        changed.extend_from_slice(&content[done..]);
        (changed, ruling)
    }

    fn about(&self, role: Role) -> &HeaderChecks {
        let special = match role {
            Role::Message => None,
            Role::Part => self.mime_header.as_ref(),
            Role::Nested => self.nested_header.as_ref(),
        };
        special.unwrap_or(&self.header)
    }
}

/// One walk through a message, from its beginning to its end.
struct Pass<'a> {
    tables: &'a Tables,
    content: &'a [u8],
    id: TraceId,
    /// How much of the content has its place in `changed`.
    done: usize,
    changed: Vec<u8>,
    ruling: Ruling,
}

impl Pass<'_> {
    /// As deep as the parser goes, which is bounded.
    fn visit(&mut self, part: &Part, role: Role) {
        if self.ruling.is_final() {
            return;
        }
        let checks = self.tables.about(role);
        let header = checks.apply(&self.content[part.header.clone()], self.id, &mut self.ruling);
        self.put(part.header.clone(), &header);
        match &part.kind {
            Kind::Leaf => {
                let body =
                    self.tables.body.apply(&self.content[part.body.clone()], self.id, &mut self.ruling);
                self.put(part.body.clone(), &body);
            }
            Kind::Multipart(parts) => parts.iter().for_each(|part| self.visit(part, Role::Part)),
            Kind::Message(message) => self.visit(message, Role::Nested),
        }
    }

    /// Puts what stands before a range as it was, and `text` in the place of the range.
    fn put(&mut self, range: std::ops::Range<usize>, text: &[u8]) {
        // A part that the parser had to invent stands nowhere.
        if range.is_empty() || range.start < self.done {
            return;
        }
        self.changed.extend_from_slice(&self.content[self.done..range.start]);
        self.changed.extend_from_slice(text);
        self.done = range.end;
    }
}

/// Reads one table as rules about everything and applies it to a message; for any octets in both.
pub fn try_content_checks(table: &str, content: &[u8]) -> Option<Vec<u8>> {
    let header = HeaderChecks::parse(table).ok()?;
    let body = BodyChecks::parse(table).ok()?;
    Some(Tables { header, body, ..Tables::default() }.apply(content, TraceId::new(0, 0)).0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MIXED: &str = "Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n\
        Content-Type: text/plain; name=a.txt\r\n\r\nSubject: y\r\nline\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: z\r\n\r\ninner\r\n--b--\r\nepilogue\r\n";

    fn checks(table: &str) -> HeaderChecks {
        HeaderChecks::parse(table).unwrap()
    }

    fn apply(tables: &Tables) -> (String, Ruling) {
        let (changed, ruling) = tables.apply(MIXED.as_bytes(), TraceId::new(0, 0));
        (String::from_utf8(changed).unwrap(), ruling)
    }

    #[test]
    fn each_table_sees_its_own_fields_and_lines() {
        let nothing = Some(HeaderChecks::default());
        let subject = || checks("/^Subject: (.)/ REPLACE Subject: <$1>\n");
        let header = Tables {
            header: subject(),
            mime_header: nothing.clone(),
            nested_header: nothing.clone(),
            ..Tables::default()
        };
        assert_eq!(apply(&header).0, MIXED.replacen("Subject: x", "Subject: <x>", 1));
        let nested = Tables { nested_header: Some(subject()), ..Tables::default() };
        assert_eq!(apply(&nested).0, MIXED.replacen("Subject: z", "Subject: <z>", 1));
        let mime = Tables { mime_header: Some(checks("/name=a/ PREPEND X-File: a\n")), ..Tables::default() };
        let with_field = MIXED.replacen("Content-Type: text", "X-File: a\r\nContent-Type: text", 1);
        assert_eq!(apply(&mime).0, with_field);
        let body = BodyChecks::parse("/./ REPLACE .\n").unwrap();
        let body = Tables { body, ..Tables::default() };
        assert_eq!(
            apply(&body).0,
            MIXED.replacen("Subject: y\r\nline", ".\r\n.", 1).replacen("inner", ".", 1)
        );
        let all = Tables { header: subject(), ..Tables::default() };
        let both = MIXED.replacen("Subject: x", "Subject: <x>", 1).replacen("Subject: z", "Subject: <z>", 1);
        assert_eq!(apply(&all).0, both);
    }

    #[test]
    fn what_no_rule_is_about_stays_to_the_octet_and_a_refusal_ends_the_walk() {
        let nobody = Tables { header: checks("/^X-Nothing:/ REJECT\n"), ..Tables::default() };
        assert_eq!(apply(&nobody), (MIXED.to_owned(), Ruling::default()));
        let nested = checks("/^Subject: z/ REJECT inside\n");
        let refused = Tables { nested_header: Some(nested), ..Tables::default() };
        assert_eq!(apply(&refused).1.reject.as_deref(), Some("inside"));
        let first = Tables {
            header: checks("/^Subject: x/ DISCARD\n/^Subject: z/ REJECT inside\n"),
            ..Tables::default()
        };
        assert_eq!(apply(&first).1, Ruling { discard: true, ..Ruling::default() });
    }

    #[test]
    fn the_whole_is_read_only_where_a_rule_is_about_it() {
        let plain = b"Subject: x\r\n\r\nbody\r\n";
        let header = Tables { header: checks("/^X:/ IGNORE\n"), ..Tables::default() };
        assert!(!header.need_all(plain) && header.need_all(MIXED.as_bytes()));
        let body = Tables { body: BodyChecks::parse("/x/ IGNORE\n").unwrap(), ..Tables::default() };
        assert!(body.need_all(plain));
        assert!(Tables::default().is_empty() && !body.is_empty());
        assert!(!ContentChecks::from(body).has_filter() && !ContentChecks::default().has_filter());
        let rules = "/^x/ HOLD\n/^y/ FILTER lmtp:unix:/run/filter\n";
        let of_parts = Some(HeaderChecks::parse(rules).unwrap());
        assert!(ContentChecks::from(Tables { mime_header: of_parts, ..Tables::default() }).has_filter());
        let body = BodyChecks::parse(rules).unwrap();
        assert!(ContentChecks::from(Tables { body, ..Tables::default() }).has_filter());
    }
}
