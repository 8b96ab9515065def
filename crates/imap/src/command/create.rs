//! CREATE (RFC 3501 §6.3.3), and what the new mailbox is for (RFC 6154 §3).

use super::{Command, Request};
use crate::cursor::{Cursor, SyntaxError};
use crate::limits::{MAX_SELECT_OPTIONS, MAX_SPECIAL_USES};
use crate::response::Attribute;

/// CREATE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// Which one.
    pub mailbox: String,
    /// What it is for; none of them was named twice.
    pub uses: Vec<Attribute>,
    /// A use was named that no mailbox can have here, such as `\All`: nothing is to be made (RFC 6154 §3).
    pub asks_too_much: bool,
}

pub(super) fn create(cursor: &mut Cursor<'_>) -> Result<Command, SyntaxError> {
    cursor.space()?;
    let mut create = Create { mailbox: cursor.mailbox()?, uses: Vec::new(), asks_too_much: false };
    if cursor.eat(b' ') {
        let mut is_there = false;
        let parameters =
            cursor.list(MAX_SELECT_OPTIONS, |cursor| parameter(cursor, &mut create, &mut is_there))?;
        if parameters.is_empty() {
            return Err(SyntaxError::CreateOption);
        }
    }
    Ok(Command::Request(Request::Create(create)))
}

/// `USE (\Drafts \Sent)`, once.
fn parameter(cursor: &mut Cursor<'_>, create: &mut Create, is_there: &mut bool) -> Result<(), SyntaxError> {
    if cursor.word()? != "USE" || std::mem::replace(is_there, true) {
        return Err(SyntaxError::CreateOption);
    }
    cursor.space()?;
    let uses = cursor.list(MAX_SPECIAL_USES, special_use)?;
    for special_use in uses {
        match special_use {
            Some(known) if !create.uses.contains(&known) => create.uses.push(known),
            Some(_) => {}
            None => create.asks_too_much = true,
        }
    }
    Ok(())
}

/// `\Drafts`; `None` for a use that is not offered.
fn special_use(cursor: &mut Cursor<'_>) -> Result<Option<Attribute>, SyntaxError> {
    cursor.expect(b'\\', SyntaxError::CreateOption)?;
    let word = cursor.word()?;
    Ok(Attribute::SPECIAL.into_iter().find(|known| known.as_str()[1..].eq_ignore_ascii_case(&word)))
}
