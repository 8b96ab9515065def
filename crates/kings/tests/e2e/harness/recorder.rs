//! A listener before a server: it passes everything on and keeps what clients sent, octet by octet.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What each connection carried to the server, in the order of their beginning.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<Vec<u8>>>>);

impl Recorder {
    /// Listens on a port of the kernel's choice, before the server on `behind`; its threads end with the test.
    pub(crate) fn start(behind: u16) -> (Self, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let this = Self::default();
        let recorder = this.clone();
        thread::spawn(move || {
            for client in listener.incoming().map(Result::unwrap) {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).unwrap();
                recorder.join(client, server);
            }
        });
        (this, port)
    }

    /// All that was said so far.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.0.lock().unwrap().clone()
    }

    fn join(&self, mut client: TcpStream, mut server: TcpStream) {
        let number = {
            let mut all = self.0.lock().unwrap();
            all.push(Vec::new());
            all.len() - 1
        };
        let (mut answers, mut asker) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut answers, &mut asker);
            let _ = asker.shutdown(Shutdown::Write);
        });
        let all = Arc::clone(&self.0);
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count) = client.read(&mut buffer) {
                all.lock().unwrap()[number].extend_from_slice(&buffer[..count]);
                if count == 0 || server.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = server.shutdown(Shutdown::Write);
        });
    }
}
