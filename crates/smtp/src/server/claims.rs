//! XCLIENT and XFORWARD: a trusted host says whom it speaks for.

use super::{Event, Pending, Role, Session, State};
use crate::claim::{Attribute, Claim};
use crate::reply::Reply;

impl Session {
    /// XCLIENT between transactions only, XFORWARD too: what they change belongs to a whole message.
    pub(super) fn claim(&mut self, claim: Box<Claim>, state: State, is_other: bool) -> Option<Event> {
        match state {
            State::Greeted | State::Ready if is_other => {
                self.pending = Some(Pending::Xclient(claim.clone()));
                Some(Event::Xclient(claim))
            }
            State::Greeted | State::Ready => {
                self.pending = Some(Pending::Xforward(Box::new(state)));
                Some(Event::Xforward(claim))
            }
            state => self.keep(state).refuse(&Reply::BAD_SEQUENCE),
        }
    }

    /// The client is another one from here: a new session begins, but for TLS, which is still ours to the host.
    pub(super) fn become_other(&mut self, claim: Claim, reply: &Reply) {
        self.state = State::Greeted;
        if !reply.is_positive() {
            return self.reply(reply);
        }
        set(&mut self.client.name, claim.helo, String::new());
        set(&mut self.client.extended, claim.extended, false);
        if self.settings.role == Role::Submission {
            let login = match claim.login {
                Attribute::Unsaid => Attribute::Unsaid,
                Attribute::Unavailable => Attribute::Unavailable,
                Attribute::Is(_) => Attribute::Is(true),
            };
            set(&mut self.client.logged_in, login, false);
        }
        self.idle(&self.greeting());
    }
}

fn set<T>(known: &mut T, claimed: Attribute<T>, unknown: T) {
    match claimed {
        Attribute::Unsaid => {}
        Attribute::Unavailable => *known = unknown,
        Attribute::Is(value) => *known = value,
    }
}
