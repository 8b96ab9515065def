//! From the words of a server, or of our own, to the outcome that the queue records.

use kings_mail::dsn::Status;
use kings_queue::{Outcome, Report};
use kings_smtp::client;
use kings_smtp::reply::Reply;

/// The outcome of one recipient at one host; `taken` is what it means there that the message was taken.
pub(crate) fn at_host(outcome: client::Outcome, host: &str, taken: fn(Report) -> Outcome) -> Outcome {
    match outcome {
        client::Outcome::Accepted(reply) => taken(report(&reply, host)),
        client::Outcome::Refused { reply, permanent: true } => Outcome::Failed(report(&reply, host)),
        client::Outcome::Refused { reply, permanent: false } => Outcome::Deferred(report(&reply, host)),
        client::Outcome::Incapable(reply) => Outcome::Failed(report(&reply, host)),
    }
}

fn report(reply: &Reply, host: &str) -> Report {
    Report { status: status(reply), remote: Some(host.to_owned()), reply: reply.to_string() }
}

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
