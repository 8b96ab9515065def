//! Waiting for what another process does, never longer than said.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a condition is looked at: quick against a test's length, slow against a processor's.
const STEP: Duration = Duration::from_millis(20);

/// Ports of servers that cannot be told "any": below the range from which the kernel takes the ports of clients.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Calls `probe` until it gives something, and panics with `what` when `limit` has passed.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        sleep(STEP);
    }
}

/// A TCP port of the loopback address on which nobody listens.
///
/// Test processes run side by side, so each starts looking at a place of its own.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = u32::from(PORTS.end - PORTS.start);
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = (std::process::id() * 37 + step) % width;
        let port = PORTS.start + u16::try_from(offset).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Whether somebody accepts connections on this port of the loopback address.
pub(crate) fn listening(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}
