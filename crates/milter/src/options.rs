//! What both sides agree on at the start: version, what a filter may change, which steps it wants to hear of.

use std::ops::{BitAnd, BitOr};

use crate::command::Stage;
use crate::fields::{Fields, Malformed, put};

/// The version spoken here; peers of version 2 to 5 are understood as well.
pub const VERSION: u32 = 6;
/// The oldest version that is understood: what libmilter has spoken since 2001.
pub(crate) const OLDEST: u32 = 2;

/// What a filter may do to a message (`SMFIF_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(pub u32);

impl Actions {
    /// Add header fields, at the end or in front.
    pub const ADD_HEADERS: Self = Self(0x01);
    /// Put another body in place.
    pub const CHANGE_BODY: Self = Self(0x02);
    /// Add recipients.
    pub const ADD_RECIPIENTS: Self = Self(0x04);
    /// Remove recipients.
    pub const DELETE_RECIPIENTS: Self = Self(0x08);
    /// Change or remove header fields.
    pub const CHANGE_HEADERS: Self = Self(0x10);
    /// Hold a message back for a person to look at.
    pub const QUARANTINE: Self = Self(0x20);
    /// Change the reverse-path.
    pub const CHANGE_SENDER: Self = Self(0x40);
    /// Add recipients with ESMTP parameters.
    pub const ADD_RECIPIENTS_WITH_PARAMETERS: Self = Self(0x80);
    /// Say which macros are wanted.
    pub const CHOOSE_MACROS: Self = Self(0x100);
    /// All of the above.
    pub const ALL: Self = Self(0x1FF);

    /// Whether all of `other` is in here.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Actions {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Actions {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// Which steps are not told, and which are told without waiting for an answer (`SMFIP_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps(pub u32);

impl Steps {
    /// A filter may answer "skip" to a piece of the body: the rest is not sent.
    pub const SKIP: Self = Self(0x400);
    /// Refused recipients are told too.
    pub const REJECTED_RECIPIENTS: Self = Self(0x800);
    /// Header values keep the blank that follows the colon.
    pub const LEADING_SPACE: Self = Self(0x10_0000);
    /// What Kings offers as a mail server: everything but the larger packets and the refused recipients.
    pub const OFFERED: Self = Self(0x1F_FFFF & !Self::REJECTED_RECIPIENTS.0);

    /// The bits by which a filter asks not to hear of a step, and not to be waited for; 0 where there is none.
    fn bits(stage: Stage) -> (u32, u32) {
        match stage {
            Stage::Connect => (0x1, 0x1000),
            Stage::Helo => (0x2, 0x2000),
            Stage::Mail => (0x4, 0x4000),
            Stage::Rcpt => (0x8, 0x8000),
            Stage::Body => (0x10, 0x8_0000),
            Stage::Header => (0x20, 0x80),
            Stage::EndOfHeader => (0x40, 0x4_0000),
            Stage::Unknown => (0x100, 0x2_0000),
            Stage::Data => (0x200, 0x1_0000),
            Stage::EndOfBody => (0, 0),
        }
    }

    /// A filter asks not to hear of this step.
    pub fn without(stage: Stage) -> Self {
        Self(Self::bits(stage).0)
    }

    /// A filter hears of this step and will not answer.
    pub fn unanswered(stage: Stage) -> Self {
        Self(Self::bits(stage).1)
    }

    /// Whether all of `other` is in here; nothing is in nothing.
    pub fn contains(self, other: Self) -> bool {
        other.0 != 0 && self.0 & other.0 == other.0
    }
}

impl BitOr for Steps {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Steps {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// The macros that a filter wants at each stage, where it said so (`SMFIR_SETSYMLIST`, version 6).
pub type SymbolLists = Vec<(Stage, Vec<String>)>;

/// One side's half of the agreement (`SMFIC_OPTNEG`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The version it speaks.
    pub version: u32,
    /// What it allows, or will make use of.
    pub actions: Actions,
    /// What it can leave out, or wants left out.
    pub steps: Steps,
    /// The macros it wants.
    pub symbols: SymbolLists,
}

/// Most stages that may carry a list, and most names in one: a filter asks for a dozen.
const MAX_LISTS: usize = 16;
const MAX_SYMBOLS: usize = 128;

impl Options {
    pub(crate) fn parse(mut fields: Fields<'_>) -> Result<Self, Malformed> {
        let (version, actions, steps) = (fields.long()?, Actions(fields.long()?), Steps(fields.long()?));
        let mut symbols = Vec::new();
        while !fields.is_empty() && symbols.len() < MAX_LISTS {
            let stage = Stage::of_symbols(fields.long()?);
            let text = fields.string()?;
            let names = String::from_utf8_lossy(&text);
            let names = names.split([' ', ',']).filter(|name| !name.is_empty()).take(MAX_SYMBOLS);
            if let Some(stage) = stage {
                symbols.push((stage, names.map(bare).collect()));
            }
        }
        Ok(Self { version, actions, steps, symbols })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for number in [self.version, self.actions.0, self.steps.0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        for (stage, names) in &self.symbols {
            let Some(number) = stage.symbols() else { continue };
            out.extend_from_slice(&number.to_be_bytes());
            put(out, names.iter().map(|name| braced(name)).collect::<Vec<_>>().join(" ").as_bytes());
        }
    }
}

/// A macro's name without its braces: `{auth_type}` and `auth_type` are the same.
pub(crate) fn bare(name: &str) -> String {
    name.strip_prefix('{').and_then(|name| name.strip_suffix('}')).unwrap_or(name).to_owned()
}

/// A macro's name as it is written: braces around all but single letters.
pub(crate) fn braced(name: &str) -> String {
    if name.chars().count() == 1 { name.to_owned() } else { format!("{{{name}}}") }
}
