//! The content of one attempt, surveyed before the first host is asked.

use std::borrow::Cow;
use std::io;

use kings_queue::Content;
use kings_smtp::client::{ContentFacts, Survey};

/// Octets of content read and sent at once.
const PIECE: usize = 64 * 1024;

/// A content, with its first piece at hand: most messages are read once only.
pub(crate) struct Cargo {
    content: Content,
    opening: Vec<u8>,
    facts: ContentFacts,
}

impl Cargo {
    /// Reads all of it.
    pub(crate) async fn gather(content: Content) -> io::Result<Self> {
        let opening = content.read_at(0, PIECE).await?;
        let mut survey = Survey::default();
        survey.take(&opening);
        let mut offset = opening.len() as u64;
        while offset < content.len() {
            let piece = content.read_at(offset, PIECE).await?;
            survey.take(&piece);
            offset += piece.len() as u64;
        }
        Ok(Self { content, opening, facts: survey.finish() })
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    pub(crate) fn facts(&self) -> ContentFacts {
        self.facts
    }

    /// Some octets from `from` on, none of `until` or behind; at least one.
    pub(super) async fn piece(&self, from: u64, until: u64) -> io::Result<Cow<'_, [u8]>> {
        let most = usize::try_from(until - from).unwrap_or(usize::MAX).min(PIECE);
        if let Some(rest) = usize::try_from(from).ok().and_then(|from| self.opening.get(from..))
            && !rest.is_empty()
        {
            return Ok(Cow::Borrowed(&rest[..most.min(rest.len())]));
        }
        let piece = self.content.read_at(from, most).await?;
        if piece.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Cow::Owned(piece)) }
    }
}
