//! Rules of the operator about header fields, in the syntax of Postfix's header_checks(5).

use kings_directory::{BadRule, Match, RegexpTable};
use kings_mail::address::Address;
use kings_mail::envelope::Recipient;
use kings_mail::header::{Field, Fields, MAX_HEADER_BLOCK};
use kings_mail::id::TraceId;
use kings_mail::path::ForwardPath;
use kings_smtp::reply::Reply;
use kings_store::{Incoming, Store};
use tracing::info;

use crate::copies::add_copy;
use crate::transaction::check_header;
use crate::{intake, policy};

/// What is said where REJECT has no text of its own.
const REJECTED: &str = "Message content rejected";

/// Why a message is held where HOLD has no text of its own.
const HELD: &str = "a header rule holds it";

/// A table of rules; the first that matches a field decides about it.
#[derive(Clone, Debug, Default)]
pub struct HeaderChecks(RegexpTable);

/// The right side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Bcc(Address),
    Dunno,
    Discard,
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
}

impl Ruling {
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
    fn parse(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest: String = rest.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match word.to_ascii_uppercase().as_str() {
            "DUNNO" | "OK" => Ok(Self::Dunno),
            "DISCARD" => Ok(Self::Discard),
            "HOLD" => Ok(Self::Hold(if rest.is_empty() { HELD.to_owned() } else { rest })),
            "IGNORE" | "STRIP" => Ok(Self::Ignore),
            "WARN" | "INFO" => Ok(Self::Warn(rest)),
            "REJECT" => Ok(Self::Reject(if rest.is_empty() { REJECTED.to_owned() } else { rest })),
            "PREPEND" => field(rest).map(Self::Prepend),
            "REPLACE" => field(rest).map(Self::Replace),
            "BCC" => address(&rest).map(Self::Bcc),
            "REDIRECT" => address(&rest).map(Self::Redirect),
            "FILTER" => Err(format!(
                "{word} is not done here: a milter of [inbound] or [submission] filters, REDIRECT and HOLD divert"
            )),
            _ => Err(format!("{word} is no action of header_checks(5)")),
        }
    }
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|_| format!("\"{text}\" is not an address"))
}

/// Text that may stand in a header as a field.
fn field(text: String) -> Result<String, String> {
    let line = format!("{text}\r\n");
    if Fields::new(line.as_bytes()).next().is_some() {
        Ok(text)
    } else {
        Err(format!("\"{text}\" is no header field"))
    }
}

impl HeaderChecks {
    /// Reads a table. All complaints at once.
    pub fn parse(text: &str) -> Result<Self, Vec<BadRule>> {
        let table = RegexpTable::parse(text)?;
        let wrong = |(line, result): (usize, Match)| match Action::parse(&result.text) {
            Ok(_) => None,
            // What the input will fill in is not known yet.
            Err(_) if result.substituted && takes_text(&result.text) => None,
            Err(what) => Some(BadRule { line, what }),
        };
        let complaints: Vec<BadRule> = table.results().filter_map(wrong).collect();
        if complaints.is_empty() { Ok(Self(table)) } else { Err(complaints) }
    }

    /// Applies the rules to the header of a message that has just arrived: gives it as they leave it, and what else
    /// they say, or the reply that refuses it.
    pub(crate) async fn rule(
        &self,
        store: &Store,
        content: Incoming,
        id: TraceId,
    ) -> Result<(Incoming, Ruling), Reply> {
        if self.0.is_empty() {
            return Ok((content, Ruling::default()));
        }
        let (head, ruling) = self.apply(content.head(), id);
        policy::header_rules(&ruling)?;
        if head == content.head() {
            return Ok((content, ruling));
        }
        let content =
            intake::with_head(store, content, head).await.map_err(|error| intake::refusal(&error))?;
        check_header(&content)?;
        Ok((content, ruling))
    }

    /// Gives the head as the rules leave it; of one that they make too large, no more than shows it.
    fn apply(&self, head: &[u8], id: TraceId) -> (Vec<u8>, Ruling) {
        let mut ruling = Ruling::default();
        let mut changed = Vec::with_capacity(head.len() + 256);
        let mut done = 0;
        for Field { raw, .. } in Fields::new(head) {
            let begin = raw.as_ptr() as usize - head.as_ptr() as usize;
            changed.extend_from_slice(&head[done..begin]);
            done = begin + raw.len();
            let action = self.about(raw, id);
            match &action {
                Action::Replace(field) | Action::Prepend(field) => {
                    changed.extend_from_slice(format!("{field}\r\n").as_bytes());
                }
                Action::Bcc(address) => ruling.copies.push(address.clone()),
                Action::Redirect(address) => ruling.redirect = Some(address.clone()),
                Action::Warn(text) => info!(%id, text, "header rule"),
                Action::Discard => ruling.discard = true,
                Action::Hold(why) => ruling.hold = Some(why.clone()),
                Action::Reject(text) => ruling.reject = Some(text.clone()),
                Action::Dunno | Action::Ignore => {}
            }
            if ruling.discard || ruling.reject.is_some() {
                return (head.to_vec(), ruling);
            }
            if !matches!(action, Action::Ignore | Action::Replace(_)) {
                changed.extend_from_slice(raw);
            }
            if changed.len() > MAX_HEADER_BLOCK {
                return (changed, ruling);
            }
        }
        changed.extend_from_slice(&head[done..]);
        (changed, ruling)
    }

    /// A result that the field itself has spoilt says nothing.
    fn about(&self, raw: &[u8], id: TraceId) -> Action {
        let text = String::from_utf8_lossy(raw);
        let Some(found) = self.0.find(text.trim_end()) else { return Action::Dunno };
        Action::parse(&found.text).unwrap_or_else(|what| {
            info!(%id, what, "header rule gives no action");
            Action::Dunno
        })
    }
}

/// Whether the action is one whose text must be of a kind.
fn takes_text(result: &str) -> bool {
    let word = result.split(char::is_whitespace).next().unwrap_or_default();
    ["BCC", "PREPEND", "REPLACE", "REDIRECT"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Reads a table and applies it to the header of a message; for any octets in both.
pub fn try_header_checks(table: &str, head: &[u8]) -> Option<Vec<u8>> {
    let checks = HeaderChecks::parse(table).ok()?;
    Some(checks.apply(head, TraceId::new(0, 0)).0)
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
/^Received:.*inside/          WARN passed inside
if /^List-Id:/
/<dev\./                      PREPEND X-Folder: dev
endif
";

    fn apply(head: &str) -> (String, Ruling) {
        let (head, ruling) = HeaderChecks::parse(TABLE).unwrap().apply(head.as_bytes(), TraceId::new(0, 0));
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
            ("X-Hold: 1\r\nX-Drop: 1\r\n\r\n", Ruling { discard: true, hold: Some("look at it".into()), ..none() }),
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
            checks.apply(head.as_bytes(), TraceId::new(0, 0)).0
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
    }
}
