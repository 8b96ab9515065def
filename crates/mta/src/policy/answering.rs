//! Decide: whether a message is one that a machine may answer, and to whom (RFC 3834).

use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::header::{self, Fields};
use kings_mail::path::ReversePath;

/// All that the decision looks at.
pub(crate) struct AnswerFacts<'a> {
    /// Where answers go.
    pub(crate) reverse_path: &'a ReversePath,
    /// The domain of the only author, where SPF or DKIM proves it as DMARC compares them.
    pub(crate) proven: Option<&'a Domain>,
    /// It is distrusted.
    pub(crate) junk: bool,
    /// Its header.
    pub(crate) head: &'a [u8],
}

/// Why nobody gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// A bounce, or an answer like ours.
    #[error("it has no sender")]
    NoSender,
    /// Whoever it names may have nothing to do with it.
    #[error("its sender is not proven")]
    NotProven,
    /// It is in the junk mailbox.
    #[error("it is junk")]
    Junk,
    /// No person has written it.
    #[error("it comes from a machine")]
    Machine,
    /// It went to many.
    #[error("it comes from a list")]
    List,
}

/// Who may be answered: the reverse-path (RFC 3834 §4), where its domain is the proven author's, and where a person wrote to us
/// alone. An answer has a null reverse-path, so two of these never answer each other.
pub(crate) fn may_answer<'a>(facts: &AnswerFacts<'a>) -> Result<&'a Address, NoAnswer> {
    let AnswerFacts { reverse_path, proven, junk, head } = facts;
    let ReversePath::Address(address) = reverse_path else { return Err(NoAnswer::NoSender) };
    if *junk {
        return Err(NoAnswer::Junk);
    }
    let is_proven = |author: &Domain| address.domain().is_some_and(|path| path.is_within(author));
    if !proven.is_some_and(is_proven) {
        return Err(NoAnswer::NotProven);
    }
    if is_of_machine(address, head) {
        return Err(NoAnswer::Machine);
    }
    if is_of_list(head) { Err(NoAnswer::List) } else { Ok(address) }
}

/// RFC 3834 §2: what says that it is no letter, and names that no person has.
fn is_of_machine(sender: &Address, head: &[u8]) -> bool {
    let value = |name: &str| header::first(head, name).map(|field| field.text().trim().to_ascii_lowercase());
    let is_automatic = value("Auto-Submitted").is_some_and(|value| !value.starts_with("no"));
    let is_report = value("Content-Type").is_some_and(|value| value.starts_with("multipart/report"));
    let is_silent = value("X-Auto-Response-Suppress").is_some_and(|value| value != "none");
    let name = sender.local_part.as_str().to_ascii_lowercase();
    let is_robot = matches!(name.as_str(), "mailer-daemon" | "postmaster" | "noreply" | "no-reply" | "score")
        || name.starts_with("owner-")
        || name.ends_with("-request")
        || name.ends_with("-bounces");
    is_automatic || is_report || is_silent || is_robot || value("X-Loop").is_some()
}

fn is_of_list(head: &[u8]) -> bool {
    let is_list = |name: &str| name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("list-"));
    let precedence = header::first(head, "Precedence").map(|field| field.text().trim().to_ascii_lowercase());
    let is_bulk = precedence.is_some_and(|value| matches!(value.as_str(), "bulk" | "junk" | "list"));
    is_bulk || Fields::new(head).any(|field| is_list(field.name))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_a_proven_person_who_wrote_to_us_alone_is_answered() {
        let cases = [
            ("ann@example.org", Some("example.org"), "", Ok(())),
            ("ann@mail.example.org", Some("example.org"), "Auto-Submitted: no\r\n", Ok(())),
            ("ann@example.org", Some("example.org"), "Precedence: first-class\r\n", Ok(())),
            ("", Some("example.org"), "", Err(NoAnswer::NoSender)),
            ("ann@example.org", None, "", Err(NoAnswer::NotProven)),
            ("ann@example.net", Some("example.org"), "", Err(NoAnswer::NotProven)),
            ("ann@badexample.org", Some("example.org"), "", Err(NoAnswer::NotProven)),
            (
                "ann@example.org",
                Some("example.org"),
                "Auto-Submitted: auto-replied\r\n",
                Err(NoAnswer::Machine),
            ),
            ("ann@example.org", Some("example.org"), "X-Loop: x\r\n", Err(NoAnswer::Machine)),
            (
                "ann@example.org",
                Some("example.org"),
                "Content-Type: Multipart/Report; x=y\r\n",
                Err(NoAnswer::Machine),
            ),
            (
                "ann@example.org",
                Some("example.org"),
                "X-Auto-Response-Suppress: All\r\n",
                Err(NoAnswer::Machine),
            ),
            ("MAILER-DAEMON@example.org", Some("example.org"), "", Err(NoAnswer::Machine)),
            ("score@example.org", Some("example.org"), "", Err(NoAnswer::Machine)),
            ("news-bounces@example.org", Some("example.org"), "", Err(NoAnswer::Machine)),
            ("ann@example.org", Some("example.org"), "Precedence: Bulk\r\n", Err(NoAnswer::List)),
            ("ann@example.org", Some("example.org"), "LIST-ID: <a.b>\r\n", Err(NoAnswer::List)),
        ];
        for (path, proven, field, expected) in cases {
            let head = format!("From: x\r\n{field}\r\n");
            let proven = proven.map(|domain| Domain::parse(domain).unwrap());
            let path = ReversePath::parse(path).unwrap();
            let facts = AnswerFacts {
                reverse_path: &path,
                proven: proven.as_ref(),
                junk: false,
                head: head.as_bytes(),
            };
            assert_eq!(may_answer(&facts).map(|_| ()), expected, "{path} {field}");
            let junk = AnswerFacts { junk: true, ..facts };
            assert!(may_answer(&junk).is_err());
        }
    }
}
