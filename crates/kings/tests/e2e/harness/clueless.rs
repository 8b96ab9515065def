//! A name server that knows nothing and says so at once, for all tests that are not about names.

use std::net::UdpSocket;
use std::sync::OnceLock;

/// The header of a message (RFC 1035 §4.1.1).
const HEADER: usize = 12;
/// Its second half of flags: recursion is there, and the answer is SERVFAIL.
const SERVFAIL: u8 = 0x82;

/// The address of the one of this process, as `[dns] servers` wants it.
///
/// SERVFAIL says that nobody can tell now: mail waits for another attempt. NXDOMAIN would send it back.
pub(crate) fn clueless() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    let start = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap().to_string();
        std::thread::spawn(move || while answer(&socket).is_ok() {});
        address
    };
    ADDRESS.get_or_init(start).clone()
}

/// Sends a question back as its own answer.
fn answer(socket: &UdpSocket) -> std::io::Result<()> {
    let mut message = [0; 4_096];
    let (length, client) = socket.recv_from(&mut message)?;
    if length >= HEADER {
        message[2] |= 0x80;
        message[3] = SERVFAIL;
        socket.send_to(&message[..length], client)?;
    }
    Ok(())
}
