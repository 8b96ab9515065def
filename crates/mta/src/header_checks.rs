//! Rules of the operator about header fields and lines of bodies, in the syntax of Postfix's header_checks(5).

use kings_directory::{BadRule, Match, RegexpTable};
use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::header::{Field, Fields, MAX_HEADER_BLOCK};
use kings_mail::id::TraceId;
use kings_mail::path::ForwardPath;
use tracing::info;

use crate::copies::add_copy;
use crate::relay::Filter;

/// What is said where REJECT has no text of its own.
const REJECTED: &str = "Message content rejected";

/// Why a message is held where HOLD has no text of its own.
const HELD: &str = "a header rule holds it";

/// How much of one body is looked at, in octets (Postfix's `body_checks_size_limit`).
pub(crate) const BODY_OCTETS: usize = 51_200;

/// A table of rules; the first that matches a field decides about it.
#[derive(Clone, Debug, Default)]
pub struct HeaderChecks(RegexpTable);

/// The same for the lines of a body that is no multipart, as they came, without decoding them.
#[derive(Clone, Debug, Default)]
pub struct BodyChecks(RegexpTable);

/// What a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    Field,
    Line,
}

/// The right side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Bcc(Address),
    Dunno,
    Discard,
    Filter(Filter),
    Hold(String),
    Ignore,
    Prepend(String),
    Redirect(Address),
    Reject(String),
    Replace(String),
    Warn(String),
}

/// What the rules say about a whole message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ruling {
    /// It is refused with this text.
    pub(crate) reject: Option<String>,
    /// It is taken and forgotten.
    pub(crate) discard: bool,
    /// It goes to this address and to no other.
    pub(crate) redirect: Option<Address>,
    /// It goes to these as well.
    pub(crate) copies: Vec<Address>,
    /// It waits in the queue until an operator releases it, for this reason.
    pub(crate) hold: Option<String>,
    /// It goes through this filter, for all its recipients; of several the last one counts.
    pub(crate) filter: Option<Filter>,
}

impl Ruling {
    /// Whether nothing more that a rule says can matter.
    pub(crate) fn is_final(&self) -> bool {
        self.discard || self.reject.is_some()
    }

    /// Takes in what a rule says about the whole message; what it changes is not for here.
    fn take(&mut self, action: &Action, id: TraceId) {
        match action {
            Action::Bcc(address) => self.copies.push(address.clone()),
            Action::Redirect(address) => self.redirect = Some(address.clone()),
            Action::Warn(text) => info!(%id, text, "header or body rule"),
            Action::Discard => self.discard = true,
            Action::Hold(why) => self.hold = Some(why.clone()),
            Action::Filter(filter) => self.filter = Some(filter.clone()),
            Action::Reject(text) => self.reject = Some(text.clone()),
            Action::Dunno | Action::Ignore | Action::Prepend(_) | Action::Replace(_) => {}
        }
    }

    /// Who gets the message in the end.
    pub(crate) fn recipients(&self, recipients: Vec<Recipient>) -> Vec<Recipient> {
        let redirect =
            self.redirect.clone().map(|address| vec![Recipient::from(ForwardPath::Address(address))]);
        let mut recipients = redirect.unwrap_or(recipients);
        for copy in &self.copies {
            add_copy(&mut recipients, copy.clone());
        }
        recipients
    }
}

impl Action {
    /// Reads `WORD text` in any case.
    fn parse(text: &str, subject: Subject) -> Result<Self, String> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest: String = rest.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match word.to_ascii_uppercase().as_str() {
            "DUNNO" | "OK" => Ok(Self::Dunno),
            "DISCARD" => Ok(Self::Discard),
            "HOLD" => Ok(Self::Hold(if rest.is_empty() { HELD.to_owned() } else { rest })),
            "IGNORE" | "STRIP" => Ok(Self::Ignore),
            "WARN" | "INFO" => Ok(Self::Warn(rest)),
            "REJECT" => Ok(Self::Reject(if rest.is_empty() { REJECTED.to_owned() } else { rest })),
            "PREPEND" => subject.takes(rest).map(Self::Prepend),
            "REPLACE" => subject.takes(rest).map(Self::Replace),
            "BCC" => address(&rest).map(Self::Bcc),
            "REDIRECT" => address(&rest).map(Self::Redirect),
            "FILTER" => rest.parse().map(Self::Filter),
            _ => Err(format!("{word} is no action of header_checks(5)")),
        }
    }
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|_| format!("\"{text}\" is not an address"))
}

impl Subject {
    /// Text that may stand where the subject does: in a header as a field, in a body as a line.
    fn takes(self, text: String) -> Result<String, String> {
        let line = format!("{text}\r\n");
        if self == Self::Line || Fields::new(line.as_bytes()).next().is_some() {
            Ok(text)
        } else {
            Err(format!("\"{text}\" is no header field"))
        }
    }

    /// Reads a table. All complaints at once.
    fn table(self, text: &str) -> Result<RegexpTable, Vec<BadRule>> {
        let (table, mut complaints) = RegexpTable::read(text);
        let wrong = |(line, result): (usize, Match)| match Action::parse(&result.text, self) {
            // A message that chose its filter would choose none.
            Ok(Action::Filter(_)) if result.substituted => {
                Some(BadRule { line, what: "no part of a message chooses its filter: no $1 here".to_owned() })
            }
            Ok(_) => None,
            // What the input will fill in is not known yet.
            Err(_) if result.substituted && takes_text(&result.text) => None,
            Err(what) => Some(BadRule { line, what }),
        };
        complaints.extend(table.results().filter_map(wrong));
        complaints.sort_by_key(|rule| rule.line);
        if complaints.is_empty() { Ok(table) } else { Err(complaints) }
    }

    /// Whether any rule of a table sends a message through a filter.
    fn has_filter(self, table: &RegexpTable) -> bool {
        table.results().any(|(_, found)| matches!(Action::parse(&found.text, self), Ok(Action::Filter(_))))
    }

    /// What a table says about a field or a line. A result that the input itself has spoilt says nothing.
    fn action(self, table: &RegexpTable, raw: &[u8], id: TraceId) -> Action {
        let text = String::from_utf8_lossy(raw);
        let text = if self == Self::Field { text.trim_end() } else { text.trim_end_matches(['\r', '\n']) };
        let Some(found) = table.find(text) else { return Action::Dunno };
        Action::parse(&found.text, self).unwrap_or_else(|what| {
            info!(%id, what, "header or body rule gives no action");
            Action::Dunno
        })
    }
}

impl HeaderChecks {
    /// Reads a table. All complaints at once.
    pub fn parse(text: &str) -> Result<Self, Vec<BadRule>> {
        Subject::Field.table(text).map(Self)
    }

    /// Whether there is no rule.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has_filter(&self) -> bool {
        Subject::Field.has_filter(&self.0)
    }

    /// Gives the head as the rules leave it; of one that they make too large, no more than shows it.
    pub(crate) fn apply(&self, head: &[u8], id: TraceId, ruling: &mut Ruling) -> Vec<u8> {
        let mut changed = Vec::with_capacity(head.len() + 256);
        let mut done = 0;
        for Field { raw, .. } in Fields::new(head) {
            let begin = raw.as_ptr() as usize - head.as_ptr() as usize;
            changed.extend_from_slice(&head[done..begin]);
            done = begin + raw.len();
            let action = Subject::Field.action(&self.0, raw, id);
            ruling.take(&action, id);
            if ruling.is_final() {
                return head.to_vec();
            }
            if let Action::Replace(field) | Action::Prepend(field) = &action {
                changed.extend_from_slice(format!("{field}\r\n").as_bytes());
            }
            if !matches!(action, Action::Ignore | Action::Replace(_)) {
                changed.extend_from_slice(raw);
            }
            if changed.len() > MAX_HEADER_BLOCK {
                return changed;
            }
        }
        changed.extend_from_slice(&head[done..]);
        changed
    }
}

impl BodyChecks {
    /// Reads a table. All complaints at once.
    pub fn parse(text: &str) -> Result<Self, Vec<BadRule>> {
        Subject::Line.table(text).map(Self)
    }

    /// Whether there is no rule.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has_filter(&self) -> bool {
        Subject::Line.has_filter(&self.0)
    }

    /// Gives the body as the rules leave it, of which they see [`BODY_OCTETS`] and the rest of the line at this place.
    pub(crate) fn apply(&self, body: &[u8], id: TraceId, ruling: &mut Ruling) -> Vec<u8> {
        let mut changed = Vec::with_capacity(body.len());
        let mut done = 0;
        for line in body.split_inclusive(|octet| *octet == b'\n') {
            if done >= BODY_OCTETS {
                break;
            }
            done += line.len();
            let action = Subject::Line.action(&self.0, line, id);
            ruling.take(&action, id);
            if ruling.is_final() {
                return body.to_vec();
            }
            match &action {
                Action::Ignore => {}
                Action::Replace(text) => changed.extend_from_slice(&[text.as_bytes(), end_of(line)].concat()),
                Action::Prepend(text) => {
                    changed.extend_from_slice(&[text.as_bytes(), b"\r\n", line].concat());
                }
                _ => changed.extend_from_slice(line),
            }
        }
        changed.extend_from_slice(&body[done..]);
        changed
    }
}

/// The last line of a body may have none.
fn end_of(line: &[u8]) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    &line[text.strip_suffix(b"\r").unwrap_or(text).len()..]
}

/// Whether the action is one whose text must be of a kind.
fn takes_text(result: &str) -> bool {
    let word = result.split(char::is_whitespace).next().unwrap_or_default();
    ["BCC", "PREPEND", "REPLACE", "REDIRECT"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Reads a table and applies it to the header of a message; for any octets in both.
pub fn try_header_checks(table: &str, head: &[u8]) -> Option<Vec<u8>> {
    let checks = HeaderChecks::parse(table).ok()?;
    Some(checks.apply(head, TraceId::new(0, 0), &mut Ruling::default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::header;

    use super::*;

    const TABLE: &str = r"
/^Subject:.*cheap pills/      REJECT No pills here
/^X-Drop:/                    DISCARD
/^X-Spam-(\w+): (.*)$/        REPLACE X-Foreign-Spam-$1: $2
/^X-Secret:/                  IGNORE
/^X-To: (.*)$/                REDIRECT $1
/^X-Copy:/                    BCC ann@example.org
/^X-Hold:/                    HOLD look at it
/^X-Wait:/                    HOLD
/^X-Scan:/                    FILTER smtp:[127.0.0.1]:10025
/^X-Scan-2:/                  FILTER lmtp:unix:/run/filter
/^Received:.*inside/          WARN passed inside
if /^List-Id:/
/<dev\./                      PREPEND X-Folder: dev
endif
";

    fn apply(head: &str) -> (String, Ruling) {
        let mut ruling = Ruling::default();
        let checks = HeaderChecks::parse(TABLE).unwrap();
        let head = checks.apply(head.as_bytes(), TraceId::new(0, 0), &mut ruling);
        (String::from_utf8(head).unwrap(), ruling)
    }

    #[test]
    fn each_action_does_what_postfix_does() {
        let none = Ruling::default;
        let redirect = Some(Address::parse("ann@example.org").unwrap());
        let unchanged = [
            (
                "Subject: buy\r\n Cheap Pills\r\n\r\n",
                Ruling { reject: Some("No pills here".into()), ..none() },
            ),
            ("A: b\r\nX-Drop: 1\r\n\r\n", Ruling { discard: true, ..none() }),
            ("X-To: ann@example.org\r\n\r\n", Ruling { redirect: redirect.clone(), ..none() }),
            ("X-Copy: 1\r\n\r\n", Ruling { copies: redirect.into_iter().collect(), ..none() }),
            ("X-Hold: 1\r\n\r\n", Ruling { hold: Some("look at it".into()), ..none() }),
            ("X-Wait: 1\r\n\r\n", Ruling { hold: Some(HELD.into()), ..none() }),
            ("X-Scan: 1\r\n\r\n", Ruling { filter: "smtp:[127.0.0.1]:10025".parse().ok(), ..none() }),
            ("X-Scan: 1\r\nX-Scan-2: 1\r\n\r\n", {
                Ruling { filter: "lmtp:unix:/run/filter".parse().ok(), ..none() }
            }),
            (
                "X-Hold: 1\r\nX-Drop: 1\r\n\r\n",
                Ruling { discard: true, hold: Some("look at it".into()), ..none() },
            ),
            ("X-To: nonsense\r\n\r\n", none()),
            ("Received: from inside\r\n\r\nSubject: cheap pills\r\n", none()),
            ("", none()),
        ];
        for (head, ruling) in unchanged {
            assert_eq!(apply(head), (head.to_owned(), ruling), "{head}");
        }
        let changed = [
            ("X-Spam-Flag: YES\r\nA: b\r\n\r\n", "X-Foreign-Spam-Flag: YES\r\nA: b\r\n\r\n"),
            (
                "A: b\r\nX-Secret: c\r\n d\r\nE: f\r\n\r\nX-Secret: body\r\n",
                "A: b\r\nE: f\r\n\r\nX-Secret: body\r\n",
            ),
            ("List-Id: <dev.x>\r\n\r\n", "X-Folder: dev\r\nList-Id: <dev.x>\r\n\r\n"),
            ("List-Id: <ops.x>\r\n\r\n", "List-Id: <ops.x>\r\n\r\n"),
        ];
        for (head, expected) in changed {
            assert_eq!(apply(head), (expected.to_owned(), none()), "{head}");
        }
    }

    #[test]
    fn a_message_goes_where_the_rules_say() {
        let to = |text: &str| Recipient::from(ForwardPath::parse(text).unwrap());
        let show = |ruling: &Ruling| {
            let recipients = ruling.recipients(vec![to("joe@example.org"), to("eve@example.org")]);
            recipients.iter().map(|recipient| recipient.path.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(show(&Ruling::default()), "<joe@example.org> <eve@example.org>");
        let (_, copied) = apply("X-Copy: 1\r\nX-Copy: 2\r\n\r\n");
        assert_eq!(show(&copied), "<joe@example.org> <eve@example.org> <ann@example.org>");
        let (_, redirected) = apply("X-To: bob@example.org\r\nX-Copy: 1\r\n\r\n");
        assert_eq!(show(&redirected), "<bob@example.org> <ann@example.org>");
    }

    #[test]
    fn a_field_cannot_write_a_second_one() {
        let (head, _) = apply("X-Spam-Flag: a\r\n b\r\nA: b\r\n\r\n");
        assert_eq!(Fields::new(head.as_bytes()).count(), 2, "{head}");
        assert!(head.starts_with("X-Foreign-Spam-Flag: a"), "{head}");
    }

    #[test]
    fn rules_that_blow_a_header_up_are_stopped_at_its_limit() {
        let table = format!("/^a/ PREPEND B: {}\n", "b".repeat(10_000));
        let checks = HeaderChecks::parse(&table).unwrap();
        let applied = |fields: usize| {
            let head = "a: b\r\n".repeat(fields) + "\r\n";
            checks.apply(head.as_bytes(), TraceId::new(0, 0), &mut Ruling::default())
        };
        assert!(header::check(&applied(20)).is_ok());
        let over = applied(10_000);
        assert_eq!(header::check(&over).unwrap_err(), header::BadHeader::TooLarge);
        assert!(over.len() < MAX_HEADER_BLOCK + 20_000, "{}", over.len());
    }

    #[test]
    fn actions_that_are_not_done_are_refused_at_the_start() {
        for (table, line) in [
            ("/a/ OK\n/b/ FILTER x\n", 2),
            ("/a/ SOMETHING\n", 1),
            ("/a/ REDIRECT x\n", 1),
            ("/a/ PREPEND x\n", 1),
            ("/(a)/ $1\n", 1),
        ] {
            assert_eq!(HeaderChecks::parse(table).unwrap_err()[0].line, line, "{table}");
        }
        let all = HeaderChecks::parse("/a/ FIRST\n/(/ REJECT\n/b/ DUNNO\nif /x\n/c/ LAST\n").unwrap_err();
        assert_eq!(
            all.iter().map(|rule| rule.line).collect::<Vec<_>>(),
            [1, 2, 4, 5],
            "all at once: {all:?}"
        );
        let filled = HeaderChecks::parse("/b(.)/ FILTER smtp:[10.0.0.1]:1$1\n").unwrap_err();
        assert!(filled[0].what.contains("no $1 here"), "{filled:?}");
    }

    #[test]
    fn a_line_of_a_body_is_anything_and_seen_up_to_the_limit() {
        let table = "/^secret/ IGNORE\n/^bad/ REPLACE good, really\n/^end/ PREPEND -- \n/pills$/ REJECT No\n/ $/ HOLD\n";
        let checks = BodyChecks::parse(table).unwrap();
        let apply = |body: &str| {
            let mut ruling = Ruling::default();
            let body = checks.apply(body.as_bytes(), TraceId::new(0, 0), &mut ruling);
            (String::from_utf8(body).unwrap(), ruling)
        };
        let (body, ruling) = apply("a\r\nsecret\r\nbad\nend");
        assert_eq!((body.as_str(), ruling), ("a\r\ngood, really\n--\r\nend", Ruling::default()));
        assert_eq!(apply("x\r\ncheap pills\r\n").1.reject.as_deref(), Some("No"));
        assert_eq!(apply("x \r\n").1.hold.as_deref(), Some(HELD));
        let line = "x".repeat(98) + "\r\n";
        let filled = line.repeat(BODY_OCTETS / 100);
        assert!(apply(&(line.repeat(BODY_OCTETS / 100 - 1) + "cheap pills\r\n")).1.reject.is_some());
        assert_eq!(
            apply(&(filled.clone() + "cheap pills\r\n")),
            (filled + "cheap pills\r\n", Ruling::default())
        );
        assert!(BodyChecks::parse("/x/ REPLACE anything\n/y/ FILTER x\n").unwrap_err()[0].line == 2);
    }
}
