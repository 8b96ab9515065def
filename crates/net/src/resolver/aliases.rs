//! How far aliases (CNAME) are followed for one question: a full resolver follows them itself and tells all of the way at
//! once, so that whoever sends us from name to name is none, or leads us round.

use std::cell::RefCell;

use hickory_resolver::net::NetError;
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::proto::rr::{Name, Record, RecordType};

/// Answers to one question that only name another name. Each costs a query to every server that is asked at once.
pub(super) const MAX_ALIASES: usize = 4;

tokio::task_local! {
    /// The names that such answers were about, of the question that this task asks.
    static WAY: RefCell<Vec<Name>>;
}

/// Asks one question, on a way of its own.
pub(super) async fn following<T>(asking: impl Future<Output = T>) -> T {
    WAY.scope(RefCell::default(), asking).await
}

/// Whether a name is to be asked about: it was not on the way before, and the way is not too long. A loop is an error
/// (RFC 1034 §3.6.2), and no proof that there is nothing.
pub(super) fn may_ask(request: &DnsRequest) -> Result<(), NetError> {
    let Some(query) = request.queries.first() else { return Ok(()) };
    let fault = |way: &RefCell<Vec<Name>>| {
        let way = way.borrow();
        if way.contains(query.name()) {
            return Some("the aliases lead round");
        }
        (way.len() > MAX_ALIASES).then_some("there are too many aliases in a row")
    };
    match WAY.try_with(fault).ok().flatten() {
        Some(fault) => Err(NetError::from(fault)),
        None => Ok(()),
    }
}

/// Remembers a name whose answer is another name and nothing more. Several servers may say so at once.
pub(super) fn note(request: &DnsRequest, answer: &DnsResponse) {
    let Some(query) = request.queries.first() else { return };
    let kinds = || answer.answers.iter().map(Record::record_type);
    let is_alias =
        kinds().any(|kind| kind == RecordType::CNAME) && kinds().all(|kind| kind != query.query_type());
    if is_alias {
        // Outside of a question nobody follows anything.
        let _ = WAY.try_with(|way| {
            let mut way = way.borrow_mut();
            if !way.contains(query.name()) {
                way.push(query.name().clone());
            }
        });
    }
}
