//! A message on its way to whoever hashes it: first the header as a whole, then the body in pieces.

use super::header::{Collector, Header, HeaderTooLarge};
use super::verify::Questions;

/// What becomes of a header, and takes the body.
pub(crate) trait Body {
    /// Takes the next octets behind the empty line.
    fn push(&mut self, piece: &[u8]);
}

/// One whose signatures need keys.
pub(crate) trait Signed: Body {
    /// Which.
    fn questions(&self) -> Questions;
}

/// Where the message is.
pub(crate) enum Stream<B> {
    /// Before its empty line.
    Header(Collector),
    /// Behind it.
    Body(B),
    /// The header was given up.
    TooLarge,
}

impl<B> Default for Stream<B> {
    fn default() -> Self {
        Self::Header(Collector::default())
    }
}

impl<B: Body> Stream<B> {
    /// Takes the next octets; `begin` is called once, when the header is whole.
    pub(crate) fn push(&mut self, piece: &[u8], begin: impl FnOnce(Header) -> B) {
        match self {
            Self::Header(collector) => match collector.push(piece) {
                Ok(None) => {}
                Ok(Some(rest)) => {
                    let mut body = begin(std::mem::take(collector).finish());
                    body.push(rest);
                    *self = Self::Body(body);
                }
                Err(HeaderTooLarge) => *self = Self::TooLarge,
            },
            Self::Body(body) => body.push(piece),
            Self::TooLarge => {}
        }
    }

    /// The message is whole; one without an empty line is all header.
    pub(crate) fn end(self, begin: impl FnOnce(Header) -> B) -> Result<B, HeaderTooLarge> {
        match self {
            Self::Header(collector) => Ok(begin(collector.finish())),
            Self::Body(body) => Ok(body),
            Self::TooLarge => Err(HeaderTooLarge),
        }
    }
}

impl<B: Signed> Stream<B> {
    /// Which keys to fetch, as soon as the header is whole.
    pub(crate) fn questions(&self) -> Option<Questions> {
        match self {
            Self::Header(_) => None,
            Self::Body(body) => Some(body.questions()),
            Self::TooLarge => Some(Questions::default()),
        }
    }
}
