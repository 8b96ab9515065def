//! SORT and THREAD: their criteria, their algorithms, and the search that says of which messages (RFC 5256 §3).

use super::search::{self, Search};
use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::MAX_SORT_CRITERIA;

/// SORT or UID SORT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sort {
    /// Of which messages, and what is told of them (RFC 5267 §3).
    pub search: Search,
    /// The first that tells two messages apart decides.
    pub criteria: Vec<Criterion>,
}

/// One thing to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criterion {
    /// What.
    pub key: SortKey,
    /// The highest first.
    pub reverse: bool,
}

/// RFC 5256 §3 and RFC 5957 §3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    /// Date and time of arrival.
    Arrival,
    /// The first Cc address.
    Cc,
    /// Date and time of the Date field, else of arrival.
    Date,
    /// The first From address.
    From,
    /// Octets.
    Size,
    /// The base subject.
    Subject,
    /// The first To address.
    To,
    /// What is shown of the first From address.
    DisplayFrom,
    /// What is shown of the first To address.
    DisplayTo,
}

/// THREAD or UID THREAD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Of which messages.
    pub search: Search,
    /// How.
    pub algorithm: Algorithm,
}

/// How messages come into threads (RFC 5256 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// By their base subjects alone.
    OrderedSubject,
    /// By what they refer to.
    References,
}

pub(super) fn sort(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let returns = search::returns(cursor)?;
    let criteria = cursor.list(MAX_SORT_CRITERIA, criterion)?;
    if criteria.is_empty() {
        return Err(SyntaxError::SortKey);
    }
    let (modseq, key) = searched(cursor)?;
    Ok(Command::Request(Request::Sort(Sort { search: Search { uid, returns, modseq, key }, criteria })))
}

/// `REVERSE` acts on the key behind it alone.
fn criterion(cursor: &mut Cursor<'_>) -> Result<Criterion, SyntaxError> {
    let reverse = cursor.eat_word("REVERSE ");
    let key = match cursor.word()?.as_str() {
        "ARRIVAL" => SortKey::Arrival,
        "CC" => SortKey::Cc,
        "DATE" => SortKey::Date,
        "FROM" => SortKey::From,
        "SIZE" => SortKey::Size,
        "SUBJECT" => SortKey::Subject,
        "TO" => SortKey::To,
        "DISPLAYFROM" => SortKey::DisplayFrom,
        "DISPLAYTO" => SortKey::DisplayTo,
        _ => return Err(SyntaxError::SortKey),
    };
    Ok(Criterion { key, reverse })
}

pub(super) fn thread(cursor: &mut Cursor<'_>, uid: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let algorithm = match cursor.word()?.as_str() {
        "ORDEREDSUBJECT" => Algorithm::OrderedSubject,
        "REFERENCES" => Algorithm::References,
        _ => return Err(SyntaxError::ThreadAlgorithm),
    };
    let (modseq, key) = searched(cursor)?;
    let search = Search { uid, returns: None, modseq, key };
    Ok(Command::Request(Request::Thread(Thread { search, algorithm })))
}

/// The character set, which unlike with SEARCH must be there, and the keys.
fn searched(cursor: &mut Cursor<'_>) -> Result<(bool, Option<search::Key>), SyntaxError> {
    cursor.space()?;
    let label = cursor.utf8()?;
    cursor.space()?;
    search::program(cursor, Some(&label))
}
