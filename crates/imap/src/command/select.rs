//! SELECT and EXAMINE (RFC 3501 §6.3.1), and what a client says that it knows already (RFC 7162 §3.2.5).

use std::num::NonZeroU32;

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::MAX_SELECT_OPTIONS;
use crate::sequence::{ModSeq, SequenceSet};

/// SELECT or EXAMINE. The mailbox that was selected before is closed first, whatever comes of it (RFC 3501 §6.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Select {
    /// Which one.
    pub mailbox: String,
    /// EXAMINE: nothing may change through this session (RFC 3501 §6.3.2).
    pub read_only: bool,
    /// `CONDSTORE` (RFC 7162 §3.1.8).
    pub condstore: bool,
    /// `QRESYNC`: tell what has changed since.
    pub resync: Option<Resync>,
}

/// What a client knows of a mailbox from an earlier session (RFC 7162 §3.2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resync {
    /// Under another UIDVALIDITY all of it means nothing.
    pub validity: NonZeroU32,
    /// It knows every change up to here.
    pub modseq: ModSeq,
    /// The UIDs that it knows; all below UIDNEXT, without.
    pub known: Option<SequenceSet>,
    /// Message numbers and the UIDs they had (RFC 7162 §3.2.5.2).
    pub matches: Option<(SequenceSet, SequenceSet)>,
}

pub(super) fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let mut select = Select { mailbox: cursor.mailbox()?, read_only, condstore: false, resync: None };
    if cursor.eat(b' ') {
        let options = cursor.list(MAX_SELECT_OPTIONS, |cursor| option(cursor, &mut select))?;
        if options.is_empty() {
            return Err(SyntaxError::SelectOption);
        }
    }
    Ok(Command::Request(Request::Select(select)))
}

fn option(cursor: &mut Cursor<'_>, select: &mut Select) -> Result<(), SyntaxError> {
    match cursor.word()?.as_str() {
        "CONDSTORE" => select.condstore = true,
        "QRESYNC" if select.resync.is_none() => {
            cursor.space()?;
            select.resync = Some(resync(cursor)?);
        }
        _ => return Err(SyntaxError::SelectOption),
    }
    Ok(())
}

/// `(67890007 20050715194045000 41,43:211 (1:3 41:43))`: neither set may hold `*` (RFC 7162 §7).
fn resync(cursor: &mut Cursor<'_>) -> Result<Resync, SyntaxError> {
    cursor.expect(b'(', SyntaxError::Parenthesis)?;
    let validity = cursor.nz_number()?;
    cursor.space()?;
    let modseq = cursor.modseq()?;
    if modseq == ModSeq::default() {
        return Err(SyntaxError::Number);
    }
    let mut resync = Resync { validity, modseq, known: None, matches: None };
    let mut more = cursor.eat(b' ');
    if more && cursor.peek() != Some(b'(') {
        resync.known = Some(definite(cursor)?);
        more = cursor.eat(b' ');
    }
    if more {
        cursor.expect(b'(', SyntaxError::Parenthesis)?;
        let numbers = definite(cursor)?;
        cursor.space()?;
        resync.matches = Some((numbers, definite(cursor)?));
        cursor.expect(b')', SyntaxError::Parenthesis)?;
    }
    cursor.expect(b')', SyntaxError::Parenthesis)?;
    Ok(resync)
}

fn definite(cursor: &mut Cursor<'_>) -> Result<SequenceSet, SyntaxError> {
    cursor.set().and_then(|set| if set.is_definite() { Ok(set) } else { Err(SyntaxError::Set) })
}
