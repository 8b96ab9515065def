//! From the words of a server, or of our own, to the outcome that the queue records.

use kings_mail::dsn::Status;
use kings_queue::{Outcome, Report};
use kings_smtp::client;
use kings_smtp::reply::Reply;

/// The outcome of one recipient at one host; `taken` is what it means there that the message was taken.
pub(crate) fn at_host(outcome: client::Outcome, host: &str, taken: fn(Report) -> Outcome) -> Outcome {
    match outcome {
        client::Outcome::Accepted(reply) => taken(report(&reply, host)),
        client::Outcome::Refused { reply, permanent: true } => {
            Outcome::Failed(of_class(PERMANENT, report(&reply, host)))
        }
        client::Outcome::Refused { reply, permanent: false } => {
            Outcome::Deferred(of_class(TEMPORARY, report(&reply, host)))
        }
        client::Outcome::Incapable(reply) => {
            failed(status(&reply), format!("the message cannot be given to {host}: {}", reply.text))
        }
        client::Outcome::Broken(reply) => {
            deferred(status(&reply), format!("session with {host} broke: {}", reply.text))
        }
    }
}

fn report(reply: &Reply, host: &str) -> Report {
    Report { status: status(reply), remote: Some(host.to_owned()), reply: reply.to_string() }
}

/// The same reason in the class of what follows from it, as Postfix has it: what is only put off is told as 4.x.x,
/// though the server greeted us with a 554 or has a 552 for what is too many at once; and what failed as 5.x.x.
fn of_class(class: u8, report: Report) -> Report {
    let Status(_, subject, detail) = report.status;
    Report { status: Status(class, subject, detail), ..report }
}

const TEMPORARY: u8 = 4;
const PERMANENT: u8 = 5;

/// The enhanced code, or the least that the basic one says.
fn status(reply: &Reply) -> Status {
    let class = match reply.code {
        ..400 => 2,
        400..500 => 4,
        500.. => 5,
    };
    reply.status.unwrap_or(Status(class, 0, 0))
}

/// Our own words about something that may be better later.
pub(crate) fn deferred(status: Status, text: impl Into<String>) -> Outcome {
    Outcome::Deferred(Report::ours(status, text))
}

/// Our own words about something that will not change.
pub(crate) fn failed(status: Status, text: impl Into<String>) -> Outcome {
    Outcome::Failed(Report::ours(status, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "mx.far.example[192.0.2.1]";

    #[test]
    fn whose_words_they_are_is_told_and_the_class_is_that_of_what_follows() {
        use client::Outcome::{Accepted, Broken, Incapable, Refused};
        let said = |code, status: Option<Status>| Reply { code, status, text: "no".into() };
        let cases = [
            (Accepted(said(250, None)), "relayed", Status(2, 0, 0), "250 no", true),
            (Refused { reply: said(550, None), permanent: true }, "failed", Status(5, 0, 0), "550 no", true),
            (
                Refused { reply: said(550, Some(Status(4, 1, 1))), permanent: true },
                "failed",
                Status(5, 1, 1),
                "550 4.1.1 no",
                true,
            ),
            // The greeting, and RCPT where 552 means "not so many at once".
            (
                Refused { reply: said(554, None), permanent: false },
                "deferred",
                Status(4, 0, 0),
                "554 no",
                true,
            ),
            (
                Refused { reply: said(552, Some(Status(5, 5, 3))), permanent: false },
                "deferred",
                Status(4, 5, 3),
                "552 5.5.3 no",
                true,
            ),
            (
                Refused { reply: said(451, Some(Status(4, 7, 1))), permanent: false },
                "deferred",
                Status(4, 7, 1),
                "451 4.7.1 no",
                true,
            ),
            (
                Incapable(said(554, Some(Status(5, 7, 30)))),
                "failed",
                Status(5, 7, 30),
                "the message cannot be given to mx.far.example[192.0.2.1]: no",
                false,
            ),
            (
                Broken(said(451, Some(Status(4, 4, 2)))),
                "deferred",
                Status(4, 4, 2),
                "session with mx.far.example[192.0.2.1] broke: no",
                false,
            ),
        ];
        for (outcome, fate, status, reply, theirs) in cases {
            let (found, report) = match at_host(outcome.clone(), HOST, Outcome::Relayed) {
                Outcome::Relayed(report) => ("relayed", report),
                Outcome::Failed(report) => ("failed", report),
                Outcome::Deferred(report) => ("deferred", report),
                other => panic!("{outcome:?}: {other:?}"),
            };
            let remote = theirs.then(|| HOST.to_owned());
            assert_eq!(
                (found, report),
                (fate, Report { status, remote, reply: reply.to_owned() }),
                "{outcome:?}"
            );
        }
    }
}
