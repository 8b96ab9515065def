//! What a user left in the drop folder: heard to its end, and given back to its writer where it is refused.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use kings_directory::{Reach, Resolution};
use kings_mail::envelope::Envelope;
use kings_mail::id::TraceId;
use kings_mail::path::{ForwardPath, ReversePath};
use kings_queue::{MAX_RETURNED_MESSAGE, Notification, PostError, Report, Returnable};
use kings_smtp::reply::{Reply, Status};
use kings_store::{Incoming, StoreError};
use tracing::info;

use super::{Local, LocalUser, PIECE, Session, hear};
use crate::core::blocking;
use crate::intake;
use crate::relay::here;

/// What may stand in a drop beside its message: commands for a thousand recipients, each with all it may say.
const ENVELOPE: u64 = 4 << 20;

/// What became of a drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It is ours now, or its writer has got it back; whom it could not reach will be reported to its sender.
    Taken,
    /// Not now: this was the reply.
    Later(String),
    /// Never, and its writer knows: this was the reply. What went back is its header alone.
    Returned(String),
    /// Never, and there is nobody to tell: this was the reply, or why it could not go back.
    Refused(String),
}

/// What is known of a drop and its writer.
pub(super) struct Writer<'a> {
    /// Where the drop will lie when it cannot go back whole.
    kept_as: &'a Path,
    /// What the message at hand is refused with once it is whole: where nobody reads our replies, whom it was for must
    /// be known first.
    condemned: Option<Reply>,
    /// The message at hand is larger than we take, and its end is missing.
    cut: bool,
    /// Not all of some message went back.
    in_part: Option<Reply>,
}

impl<'a> Writer<'a> {
    fn new(kept_as: &'a Path) -> Self {
        Self { kept_as, condemned: None, cut: false, in_part: None }
    }

    /// A message begins; `condemned`: it will be refused.
    pub(super) fn begin(&mut self, condemned: Option<Reply>) {
        (self.condemned, self.cut) = (condemned, false);
    }

    /// What of a piece is kept, where there is room for so many octets more.
    pub(super) fn fitting<'b>(&mut self, piece: &'b [u8], room: u64) -> &'b [u8] {
        let fits = usize::try_from(room).unwrap_or(usize::MAX).min(piece.len());
        self.cut |= fits < piece.len();
        &piece[..fits]
    }

    /// The whole message and what goes back of it, and what it is refused with already.
    pub(super) async fn finish(
        &mut self,
        envelope: &Envelope,
        content: Incoming,
    ) -> Result<(Original, Result<Incoming, Reply>), Reply> {
        let (returnable, content) = returnable(content, self.cut).await?;
        let original = Original { envelope: envelope.clone(), content: returnable };
        let condemned = self.condemned.take().or(self.cut.then_some(Reply::MESSAGE_TOO_LARGE));
        Ok((original, condemned.map_or(Ok(content), Err)))
    }
}

/// A message of a drop as it is before anything is made of it: what goes back if it is refused.
pub(super) struct Original {
    envelope: Envelope,
    content: Returnable,
}

/// Whatever its writer said about the return of contents (RFC 3461 §4.3): nobody else may have the message any more.
async fn returnable(content: Incoming, cut: bool) -> Result<(Returnable, Incoming), Reply> {
    if cut || content.len() > MAX_RETURNED_MESSAGE {
        return Ok((Returnable::Beginning(content.head().to_vec()), content));
    }
    let read = blocking(move || {
        let mut octets = Vec::new();
        let read = content.reader().read_to_end(&mut octets);
        read.map(|_| (octets, content))
    });
    let (octets, content) = read.await.map_err(|error| intake::refusal(&StoreError::Io(error)))?;
    Ok((Returnable::Whole(octets), content))
}

impl Local {
    /// Takes what a user left: the client's side of an SMTP session (RFC 2442 §2 calls it batch SMTP).
    ///
    /// Nobody reads the replies. So a message that is refused goes back to its writer, by a report to the user whose file
    /// it is, whatever its reverse-path says. `kept_as`: where the caller will keep the drop if it does not go back whole.
    pub async fn take(&self, drop: File, user: &LocalUser, kept_as: &Path) -> io::Result<Dropped> {
        let mut dialogue = self.machine(true);
        let mut decide = Session::new(self, user, Some(Writer::new(kept_as)));
        let mut refusal = None;
        let mut source = Some(drop.take(2 * self.core.limits.message_bytes + ENVELOPE));
        while let Some(mut file) = source.take() {
            let (file, mut piece) =
                blocking(move || read_piece(&mut file).map(|piece| (file, piece))).await?;
            let is_cut = piece.is_empty() && file.limit() == 0 && dialogue.session.in_data();
            if is_cut {
                decide.cut();
                piece = b"\r\n.\r\n".to_vec();
            }
            let goes_on = hear(&mut dialogue, &mut decide, &piece).await;
            refusal = refusal.or_else(|| first_refusal(&dialogue.session.transmit()));
            if !goes_on {
                break;
            }
            source = (!piece.is_empty() && !is_cut).then_some(file);
        }
        Ok(verdict(decide.taken, refusal, decide.writer.and_then(|writer| writer.in_part)))
    }
}

fn read_piece(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut piece = vec![0; PIECE];
    let count = file.read(&mut piece)?;
    piece.truncate(count);
    Ok(piece)
}

/// The first reply of these that refuses anything; of one with several lines, the last.
fn first_refusal(replies: &[u8]) -> Option<String> {
    let mut lines = replies.split(|octet| *octet == b'\n');
    let line = lines.find(|line| matches!(line, [b'4' | b'5', _, _, b' ', ..]))?;
    Some(String::from_utf8_lossy(line).trim_end().to_owned())
}

/// `settled`: messages that were taken or went back. Once there is one, another try would settle it twice.
fn verdict(settled: usize, refusal: Option<String>, in_part: Option<Reply>) -> Dropped {
    match (refusal, in_part) {
        (Some(reply), None) if settled == 0 && reply.starts_with('4') => Dropped::Later(reply),
        (Some(reply), _) => Dropped::Refused(reply),
        (None, Some(reply)) => Dropped::Returned(reply.to_string()),
        (None, None) if settled > 0 => Dropped::Taken,
        (None, None) => Dropped::Refused("it holds no whole message".to_owned()),
    }
}

impl Session<'_> {
    /// The end of the message at hand is not read.
    fn cut(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.cut = true;
        }
    }

    /// Gives a refused message back to the user whose file it is; the reply is positive when that has been done.
    pub(super) async fn give_back(&mut self, id: TraceId, original: Original, refusal: Reply) -> Reply {
        let (all, notification) = match self.report(id, original, &refusal).await {
            Ok(report) => report,
            Err(reply) => return reply,
        };
        match here::post(&self.local.core, notification).await {
            Ok(()) => {}
            Err(PostError::Later(_)) => return Reply::TRY_LATER,
            Err(PostError::Never(_)) => return refusal,
        }
        info!(%id, user = self.user.name, reply = %refusal, all, "refused, and returned to its writer");
        self.taken += 1;
        if let Some(writer) = self.writer.as_mut().filter(|_| !all) {
            writer.in_part.get_or_insert(refusal);
        }
        Reply::OK
    }

    /// The report to the writer, and whether all of the message is in it; or what to say where nobody can be told.
    async fn report(
        &self,
        id: TraceId,
        original: Original,
        refusal: &Reply,
    ) -> Result<(bool, Notification), Reply> {
        let core = &self.local.core;
        let writer = self.local.address(self.user).ok_or_else(|| refusal.clone())?;
        match core.resolve(&ForwardPath::Address(writer.clone()), &ReversePath::Null, Reach::Everywhere).await
        {
            Resolution::Targets(_) | Resolution::Elsewhere(_) => {}
            Resolution::Unknown | Resolution::Looping => return Err(refusal.clone()),
            Resolution::Unavailable => return Err(Reply::TRY_LATER),
        }
        let Original { envelope, content } = original;
        let envelope = Envelope { reverse_path: ReversePath::Address(writer), ..envelope };
        let report = |why: String, content| {
            let why = Report::ours(refusal.status.unwrap_or(Status(5, 0, 0)), why);
            core.queue.refusal(id, envelope.clone(), &why, content)
        };
        let (mut notification, all) =
            report(refusal.to_string(), content.clone()).ok_or_else(|| refusal.clone())?;
        if let Some(writer) = self.writer.as_ref().filter(|_| !all) {
            let why = format!("{refusal} (all of it stays in {})", writer.kept_as.display());
            notification = report(why, content).map_or(notification, |(notification, _)| notification);
        }
        Ok((all, notification))
    }
}

#[cfg(test)]
mod tests;
