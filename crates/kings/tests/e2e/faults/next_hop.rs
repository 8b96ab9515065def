//! The next hop of a scene: it takes, puts off, refuses or keeps silent by the name of the recipient, and says when.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::judge::now;

/// Longest wait of a silent recipient, and of a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// An SMTP server for a test, at two ports: what goes to one is an attempt apart from what goes to the other.
#[derive(Clone)]
pub(super) struct NextHop(Arc<Shared>, pub(super) [u16; 2]);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Each recipient whose message came whole, with the time just before the last reply about it.
    answered: Vec<(String, u64)>,
    /// Those who are silent go on.
    released: bool,
}

impl NextHop {
    /// `refused@` is refused at RCPT; a message to `silent@` is answered, with 451, when [`release`](Self::release) was
    /// called, and taken at the next attempt. All others are taken.
    pub(super) fn start() -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
        let ports = listeners.each_ref().map(|listener| listener.local_addr().unwrap().port());
        let this = Self(Arc::default(), ports);
        for listener in listeners {
            let server = this.clone();
            std::thread::spawn(move || {
                for client in listener.incoming().map(Result::unwrap) {
                    let server = server.clone();
                    std::thread::spawn(move || server.serve(client));
                }
            });
        }
        this
    }

    /// Lets those go on who are silent.
    pub(super) fn release(&self) {
        self.0.state.lock().unwrap().released = true;
        self.0.changed.notify_all();
    }

    /// When the last reply about the `number`th message was given, counted from 1; waits for it.
    #[track_caller]
    pub(super) fn answered(&self, number: usize) -> u64 {
        let state = self.0.state.lock().unwrap();
        let too_few = |state: &mut State| state.answered.len() < number;
        let (state, _) = self.0.changed.wait_timeout_while(state, PATIENCE, too_few).unwrap();
        state.answered.get(number - 1).unwrap_or_else(|| panic!("no message {number} came")).1
    }

    /// To whom all messages went that came whole.
    pub(super) fn recipients(&self) -> Vec<String> {
        self.0.state.lock().unwrap().answered.iter().map(|(recipient, _)| recipient.clone()).collect()
    }

    fn serve(&self, client: TcpStream) -> Option<()> {
        let mut say = client.try_clone().ok()?;
        let mut lines = BufReader::new(client).lines();
        let mut recipient = String::new();
        say.write_all(b"220 next.example.net\r\n").ok()?;
        loop {
            let line = lines.next()?.ok()?;
            let reply = match line.split([' ', ':']).next()?.to_ascii_uppercase().as_str() {
                "RCPT" if line.contains("refused@") => "550 5.1.1 nobody here",
                "RCPT" => {
                    line.split(['<', '>']).nth(1)?.clone_into(&mut recipient);
                    "250 2.1.5 yes"
                }
                "DATA" => {
                    say.write_all(b"354 go on\r\n").ok()?;
                    while lines.next()?.ok()? != "." {}
                    self.end(&recipient)
                }
                "QUIT" => return say.write_all(b"221 2.0.0 goodbye\r\n").ok(),
                _ => "250 next.example.net",
            };
            say.write_all(format!("{reply}\r\n").as_bytes()).ok()?;
        }
    }

    fn end(&self, recipient: &str) -> &'static str {
        let mut state = self.0.state.lock().unwrap();
        let put_off = recipient.starts_with("silent@") && !state.released;
        if put_off {
            let silent = |state: &mut State| !state.released;
            state = self.0.changed.wait_timeout_while(state, PATIENCE, silent).unwrap().0;
        }
        state.answered.push((recipient.to_owned(), now()));
        self.0.changed.notify_all();
        if put_off { "451 4.2.0 come again" } else { "250 2.0.0 taken" }
    }
}
