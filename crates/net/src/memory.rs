//! How much memory the process may take: new work is refused before the system ends all of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a look at the process counts: at a thousand messages a second it need not be taken for each.
const FRESH: Duration = Duration::from_millis(10);
/// What a message on its way in may take beside its connection, in octets: 256 KB of content in a buffer that grows by
/// doubling.
const MESSAGE: u64 = 512 * 1024;
/// Messages that are taken however little memory there is: an allocator may keep what nobody uses, and a server that
/// takes nothing would never see it used again.
const ALWAYS: u64 = 4;

/// A budget. Clones share it; it outlives a reload of the config.
#[derive(Clone, Debug, Default)]
pub struct Memory(Option<Arc<Budget>>);

#[derive(Debug)]
struct Budget {
    most: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    resident: u64,
    seen: Instant,
    /// Messages on their way in.
    messages: u64,
}

/// Room for one message; dropping it gives it back.
#[derive(Debug)]
pub struct Room(Option<Arc<Budget>>);

impl Memory {
    /// At most so many octets of resident memory.
    pub fn new(most: u64) -> Self {
        let state = State { resident: resident(), seen: Instant::now(), messages: 0 };
        Self(Some(Arc::new(Budget { most, state: Mutex::new(state) })))
    }

    /// Whether there is too little for one more connection.
    pub fn is_short(&self) -> bool {
        self.0.as_ref().is_some_and(|budget| budget.with(|state| state.resident >= budget.most))
    }

    /// Room for one message, or `None` while all those that are on their way might need what is left.
    pub fn room(&self) -> Option<Room> {
        let Some(budget) = &self.0 else { return Some(Room(None)) };
        let has_room = budget.with(|state| {
            let has_room = has_room(budget.most, state.resident, state.messages);
            state.messages += u64::from(has_room);
            has_room
        });
        has_room.then(|| Room(Some(budget.clone())))
    }
}

impl Budget {
    /// Every update leaves the state whole, so a panic elsewhere does not spoil it.
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.saturating_duration_since(state.seen) >= FRESH {
            (state.resident, state.seen) = (resident(), now);
        }
        work(&mut state)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Some(budget) = &self.0 {
            budget.with(|state| state.messages -= 1);
        }
    }
}

/// What the messages on their way have taken already counts twice: it is on the safe side, and they end.
fn has_room(most: u64, resident: u64, messages: u64) -> bool {
    messages < ALWAYS || resident.saturating_add((messages + 1) * MESSAGE) <= most
}

/// Resident memory of this process in octets; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse(&status).unwrap_or(0)
}

fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const MEGABYTE: u64 = 1024 * 1024;

    #[test]
    fn a_message_has_room_while_all_others_may_fill_theirs() {
        let cases = [
            (100, 40, 0, true),
            (100, 40, 119, true),
            (100, 40, 120, false),
            (100, 99, 5, false),
            // A few are always served, whatever the allocator holds back.
            (100, 200, 0, true),
            (100, 200, 3, true),
            (100, 200, 4, false),
        ];
        for (most, resident, messages, expected) in cases {
            let has_room = has_room(most * MEGABYTE, resident * MEGABYTE, messages);
            assert_eq!(has_room, expected, "{most} {resident} {messages}");
        }
        assert!(!has_room(u64::MAX - 1, u64::MAX, 9), "it does not wrap");
    }

    #[test]
    fn room_is_given_back_and_a_server_without_a_budget_has_it_always() {
        let tight = Memory::new(1);
        assert!(tight.is_short());
        let mut rooms: Vec<Room> = (0..ALWAYS).map(|_| tight.room().unwrap()).collect();
        assert!(tight.room().is_none());
        rooms.pop();
        assert!(tight.clone().room().is_some());

        for plenty in [Memory::new(u64::MAX), Memory::default()] {
            assert!(!plenty.is_short());
            let rooms: Vec<Option<Room>> = (0..10_000).map(|_| plenty.room()).collect();
            assert!(rooms.iter().all(Option::is_some));
        }
    }

    #[test]
    fn the_memory_of_this_process_is_read() {
        assert!((MEGABYTE..1_024 * 1_024 * MEGABYTE).contains(&resident()), "{}", resident());
        let cases = [
            ("VmPeak:\t  9 kB\nVmRSS:\t  1234 kB\n", Some(1_263_616)),
            ("VmRSS:\t18446744073709551615 kB\n", None),
            ("VmRSS: many kB\n", None),
            ("", None),
        ];
        for (status, expected) in cases {
            assert_eq!(parse(status), expected, "{status:?}");
        }
    }
}
