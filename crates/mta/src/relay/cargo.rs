//! The content of one attempt, surveyed before the first host is asked.

use std::borrow::Cow;
use std::io;

use kings_mail::trace;
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
    /// What other servers get: our verdict is none of their business.
    pub(crate) async fn for_others(content: Content) -> io::Result<Self> {
        let opening = content.read_at(0, PIECE).await?;
        match trace::verdict_length(&opening) {
            0 => Self::behind(opening, content).await,
            length => Self::gather(content.behind(length as u64)).await,
        }
    }

    /// Reads all of it.
    pub(crate) async fn gather(content: Content) -> io::Result<Self> {
        let opening = content.read_at(0, PIECE).await?;
        Self::behind(opening, content).await
    }

    /// Reads what is behind the first piece.
    async fn behind(opening: Vec<u8>, content: Content) -> io::Result<Self> {
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
