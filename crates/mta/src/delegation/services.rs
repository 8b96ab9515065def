//! The policy services of one listener, asked in their order and heard as Postfix hears a list of restrictions.

use std::ops::ControlFlow;
use std::sync::Arc;

use kings_smtp::reply::Reply;

use super::pool::Pool;
use super::{Access, Action, Delegate, Request, Settings, Stage};

/// Which programs are asked, and when. Clones share their connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Services(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    services: Vec<Delegate>,
    stages: Vec<Stage>,
    /// Asked before them.
    access: Access,
}

impl Services {
    pub(crate) fn new(settings: Option<Settings>, access: Access) -> Self {
        let (mut services, mut stages) = (Vec::new(), Vec::new());
        if let Some(Settings { places, stages: named, default_action, patience }) = settings {
            let delegate =
                |place| Delegate { pool: Pool::new(place), default_action: default_action.clone(), patience };
            services.extend(places.into_iter().map(delegate));
            stages = named;
        }
        let is_needed = !services.is_empty() || access.are_asked_at(Stage::Rcpt);
        Self(is_needed.then(|| Arc::new(Inner { services, stages, access })))
    }

    /// Whether anybody is asked at any stage.
    pub(super) fn are_there(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn are_asked_at(&self, stage: Stage) -> bool {
        self.0.as_ref().is_some_and(|inner| inner.stages.contains(&stage) || inner.access.are_asked_at(stage))
    }

    /// Asks one after the other; what they want done with the message, or the reply that refuses it.
    pub(super) async fn ask(&self, request: &Request<'_>) -> Result<Vec<Action>, Reply> {
        let access = self.0.as_ref().map(|inner| &inner.access);
        let mut wishes = match access.filter(|access| access.are_asked_at(request.stage)) {
            Some(access) => access.ask(request).await?,
            None => Vec::new(),
        };
        let mut heard = Heard::default();
        let services = self.0.iter().filter(|inner| inner.stages.contains(&request.stage));
        for service in services.flat_map(|inner| &inner.services) {
            if heard.take(service.ask(request).await)?.is_break() {
                break;
            }
        }
        wishes.extend(heard.end()?);
        Ok(wishes)
    }
}

/// What the services have said so far.
#[derive(Debug, Default)]
pub(super) struct Heard {
    wishes: Vec<Action>,
    if_permit: Option<Reply>,
    if_reject: Option<Reply>,
}

impl Heard {
    /// Whether the next one is asked. The first reason to defer is the one that the client hears.
    pub(super) fn take(&mut self, action: Action) -> Result<ControlFlow<()>, Reply> {
        match action {
            Action::Continue | Action::Note(_) => {}
            Action::Permit => return Ok(ControlFlow::Break(())),
            Action::Refuse(reply) => {
                let softer = self.if_reject.take().filter(|_| reply.is_permanent());
                return Err(softer.unwrap_or(reply));
            }
            Action::DeferIfPermit(reply) => drop(self.if_permit.get_or_insert(reply)),
            Action::DeferIfReject(reply) => drop(self.if_reject.get_or_insert(reply)),
            Action::Discard => {
                self.wishes.push(Action::Discard);
                return Ok(ControlFlow::Break(()));
            }
            wish @ (Action::Prepend(_) | Action::Redirect(_) | Action::Bcc(_) | Action::Hold(_)) => {
                self.wishes.push(wish);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    pub(super) fn end(self) -> Result<Vec<Action>, Reply> {
        match self.if_permit {
            Some(reply) => Err(reply),
            None => Ok(self.wishes),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// How many services are asked, and what comes of it.
    fn heard(answers: &[&str]) -> (usize, String) {
        let mut heard = Heard::default();
        for (at, answer) in answers.iter().enumerate() {
            match heard.take(Action::parse(answer).unwrap()) {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return (at + 1, described(heard.end())),
                Err(reply) => return (at + 1, described(Err(reply))),
            }
        }
        (answers.len(), described(heard.end()))
    }

    fn described(outcome: Result<Vec<Action>, Reply>) -> String {
        match outcome {
            Ok(wishes) => format!("{} wishes", wishes.len()),
            Err(reply) => reply.to_string(),
        }
    }

    #[test]
    fn services_are_heard_in_their_order_as_restrictions_are() {
        for (answers, asked, outcome) in [
            (&["DUNNO", "DUNNO"][..], 2, "0 wishes"),
            (&["OK", "REJECT"], 1, "0 wishes"),
            (&["DUNNO", "REJECT no", "OK"], 2, "554 5.7.1 no"),
            (&["PREPEND X-A: 1", "PREPEND X-B: 2"], 2, "2 wishes"),
            (&["PREPEND X-A: 1", "REJECT no"], 2, "554 5.7.1 no"),
            (&["DISCARD", "REJECT no"], 1, "1 wishes"),
            (&["HOLD x", "DUNNO"], 2, "1 wishes"),
            (&["WARN x", "INFO y", "DUNNO"], 3, "0 wishes"),
            (&["DEFER_IF_PERMIT later", "DUNNO"], 2, "450 4.7.1 later"),
            (&["DEFER_IF_PERMIT later", "OK"], 2, "450 4.7.1 later"),
            (&["DEFER_IF_PERMIT later", "DEFER_IF_PERMIT other"], 2, "450 4.7.1 later"),
            (&["DEFER_IF_PERMIT later", "REJECT no"], 2, "554 5.7.1 no"),
            (&["DEFER_IF_REJECT maybe", "REJECT no"], 2, "450 4.7.1 maybe"),
            (&["DEFER_IF_REJECT maybe", "451 soon"], 2, "451 4.7.1 soon"),
            (&["DEFER_IF_REJECT maybe", "DUNNO"], 2, "0 wishes"),
        ] {
            assert_eq!(heard(answers), (asked, outcome.to_owned()), "{answers:?}");
        }
    }
}
