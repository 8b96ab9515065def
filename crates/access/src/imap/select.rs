//! SELECT and EXAMINE (RFC 3501 §6.3.1), and CLOSE (RFC 3501 §6.4.2).

use kings_imap::{Code, Condition, Response, SequenceNumber, Session, Tagged};
use kings_store::SystemFlag;

use super::convert::to_imap;
use super::report::respond_flags;
use super::selected::Selected;
use super::{Client, Trouble};
use crate::blocking::blocking;

impl Client {
    pub(super) async fn select(
        &mut self,
        session: &mut Session,
        name: &str,
        read_only: bool,
    ) -> Result<Tagged, Trouble> {
        self.selected = None;
        let mailbox = self.open(name).await?;
        let selected = Selected::open(mailbox, read_only).await?;
        greet(session, &selected);
        self.selected = Some(selected);
        let code = if read_only { Code::ReadOnly } else { Code::ReadWrite };
        Ok(Tagged::with(Condition::Ok, code, "Selected"))
    }

    /// Whatever happens to the messages, nothing is selected afterwards.
    pub(super) async fn close(&mut self) -> Result<Tagged, Trouble> {
        let Some(selected) = self.selected.take() else { return Ok(Tagged::DONE) };
        if !selected.view.is_read_only() {
            blocking(move || selected.mailbox.expunge(None)).await?;
        }
        Ok(Tagged::DONE)
    }
}

/// What a client must know of a mailbox to begin with.
fn greet(session: &mut Session, selected: &Selected) {
    let snapshot = &selected.compared;
    respond_flags(session, &selected.keywords, selected.view.is_read_only());
    session.respond(&Response::Exists(selected.view.len()));
    session.respond(&Response::Recent(selected.view.recent_count()));
    let unseen = snapshot.messages.iter().position(|message| !message.flags.contains(SystemFlag::Seen));
    if let Some(number) = unseen.and_then(SequenceNumber::from_index) {
        status(session, Code::Unseen(number), "First unseen message");
    }
    status(session, Code::UidValidity(snapshot.uid_validity.0.get()), "UIDs are valid");
    status(session, Code::UidNext(to_imap(snapshot.uid_next)), "Next UID");
}

fn status(session: &mut Session, code: Code, text: &'static str) {
    session.respond(&Response::Status(Tagged::with(Condition::Ok, code, text)));
}
