//! Connections kept for a moment, for the next message to the same next hop.
//!
//! A host that gets many messages is greeted once for a hundred of them. A kept connection that turns out to be
//! closed costs nothing: the message goes to a fresh one, and no attempt is counted.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use kings_net::receive;
use kings_smtp::client::StartTls;

use super::conversation::{Conversation, Way};
use super::route::{Address, NextHop};
use super::tls_policy::Protection;

/// Most connections kept for all hosts together: each is a descriptor here and a place taken there.
const MAX_KEPT: usize = 100;
/// Most connections kept for one address of a host.
const MAX_KEPT_FOR_ONE: usize = 10;
/// How long a connection waits for its next message (Postfix's `smtp_connection_cache_time_limit`).
const MAX_IDLE: Duration = Duration::from_secs(2);
/// How long it is used, so that a change of its host is noticed (Postfix's `smtp_connection_reuse_time_limit`).
const MAX_AGE: Duration = Duration::from_mins(5);
/// Most messages over one connection: servers that count hang up, or worse, after a round number.
const MAX_MESSAGES: u32 = 100;
/// How often connections that waited too long are looked for.
const SWEEP: Duration = Duration::from_millis(500);

/// What must be the same for two messages to share a connection: host, port, login, source, TLS and address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    hop: NextHop,
    address: Address,
    protection: Protection,
    start_tls: StartTls,
}

impl Key {
    pub(super) fn of(Way { hop, tls, start_tls, address, .. }: Way<'_>) -> Self {
        Self { hop: hop.clone(), address: address.clone(), protection: tls.protection.clone(), start_tls }
    }
}

/// The kept connections; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Pool(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    kept: Vec<Kept>,
    is_swept: bool,
}

struct Kept {
    key: Key,
    conversation: Conversation,
    since: Instant,
}

impl Pool {
    /// A connection that was kept under this key and is still open, as far as can be known without asking.
    pub(super) fn take(&self, key: &Key) -> Option<Conversation> {
        loop {
            let mut kept = {
                let mut state = self.state();
                let place = state.kept.iter().rposition(|kept| kept.key == *key)?;
                state.kept.swap_remove(place)
            };
            if kept.since.elapsed() < MAX_IDLE && is_quiet(&mut kept.conversation) {
                return Some(kept.conversation);
            }
        }
    }

    /// Keeps a connection, or says goodbye to it: when it has done enough, and when enough are kept.
    pub(super) fn keep(&self, key: Key, conversation: Conversation) {
        let is_done = conversation.messages >= MAX_MESSAGES || conversation.opened.elapsed() >= MAX_AGE;
        let mut state = self.state();
        let alike = state.kept.iter().filter(|kept| kept.key == key).count();
        if is_done || state.kept.len() >= MAX_KEPT || alike >= MAX_KEPT_FOR_ONE {
            drop(state);
            tokio::spawn(conversation.leave());
            return;
        }
        state.kept.push(Kept { key, conversation, since: Instant::now() });
        if !std::mem::replace(&mut state.is_swept, true) {
            tokio::spawn(self.clone().sweep());
        }
    }

    /// Says goodbye to connections that waited too long; ends with the last of them.
    async fn sweep(self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let (old, is_over) = {
                let mut state = self.state();
                let old: Vec<Kept> =
                    state.kept.extract_if(.., |kept| kept.since.elapsed() >= MAX_IDLE).collect();
                state.is_swept = !state.kept.is_empty();
                (old, !state.is_swept)
            };
            for kept in old {
                tokio::spawn(kept.conversation.leave());
            }
            if is_over {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No step in here can leave the list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the server has said nothing since: 421 and the end of the connection are all it could say.
fn is_quiet(conversation: &mut Conversation) -> bool {
    let heard = pin!(receive(&mut conversation.stream, |_| ()));
    heard.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
