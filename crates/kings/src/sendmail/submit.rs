//! Hands a message to the server over the local socket, or leaves it in the drop folder while none listens.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use kings_mail::address::Address;
use kings_mail::path::ReversePath;
use nix::unistd::User;

use super::exit::{Exit, Trouble};
use super::gate::Gate;
use super::letter::Letter;
use super::options::Options;
use crate::config::HandIn;
use crate::local::{UNFINISHED, WHOLE, drops, socket};

/// Longest wait for one reply (RFC 5321 §4.5.3.2.6 allows ten minutes for the last one).
const PATIENCE: Duration = Duration::from_mins(10);
/// Most lines of one reply.
const MAX_REPLY_LINES: usize = 100;

/// A message with its envelope.
pub(crate) struct Mail<'a> {
    pub(crate) options: &'a Options,
    pub(crate) sender: ReversePath,
    pub(crate) recipients: &'a [Address],
    pub(crate) letter: &'a Letter,
}

/// Most recipients of one transaction: half of what every server has to take (RFC 5321 §4.5.3.1.10), so that ours takes
/// them where an operator has set a lower limit, too.
pub(crate) const MOST_AT_ONCE: usize = 500;

/// How the dialogue with the server ended without a message taken.
enum Failed {
    /// Nobody listens, or not now: the drop folder takes it.
    NotNow(String),
    /// The server does not want it.
    Trouble(Trouble),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::NotNow(error.to_string())
    }
}

impl Mail<'_> {
    /// Sends it or drops it. When this is `Ok` the message is on disk, in the care of the server.
    pub(crate) fn hand_in(&self, place: &HandIn, user: &User) -> Result<(), Trouble> {
        match self.send(&place.folder) {
            Ok(()) => Ok(()),
            Err(Failed::Trouble(trouble)) => Err(trouble),
            Err(Failed::NotNow(why)) => self.leave(place, user, &why),
        }
    }

    /// Drops it, unless it is known that the server will not want it: then the user hears it now, as from the server.
    fn leave(&self, place: &HandIn, user: &User, why: &str) -> Result<(), Trouble> {
        let gate = Gate { terms: place.terms.as_ref(), user };
        gate.sender(&self.sender).map_err(|reply| refused(&reply.to_string(), Exit::NoPermission))?;
        gate.letter(self.letter).map_err(|reply| refused(&reply.to_string(), Exit::BadData))?;
        leave(&place.folder, &self.batch(), self.letter).map_err(|error| {
            let text = format!(
                "the server does not take it now ({why}), and it cannot be left in {}: {error}",
                drops(&place.folder).display()
            );
            Trouble::new(Exit::TryLater, text)
        })
    }

    /// Asks the server about each recipient and sends nothing; `print` gets a line for each.
    pub(crate) fn verify(&self, place: &HandIn, print: impl Fn(&str)) -> Result<(), Trouble> {
        let down = |why| Trouble::new(Exit::TryLater, format!("the server does not tell now ({why})"));
        let failed = |failed| match failed {
            Failed::NotNow(why) => down(why),
            Failed::Trouble(trouble) => trouble,
        };
        let mut dialogue = self.begin(&place.folder).map_err(failed)?;
        let mut exit = Exit::Ok;
        for (address, command) in self.recipients.iter().zip(self.rcpt_commands()) {
            let shown = place.at_home(address);
            match dialogue.expect(Some(&command), Exit::Unavailable) {
                Ok(()) => print(&format!("{shown}... deliverable\n")),
                Err(Failed::Trouble(trouble)) => {
                    let said = trouble.text.strip_prefix(&format!("{address}: ")).unwrap_or(&trouble.text);
                    print(&format!("{shown}... undeliverable: {said}\n"));
                    exit = trouble.exit;
                }
                Err(Failed::NotNow(why)) => {
                    print(&format!("{shown}... cannot tell now: {why}\n"));
                    exit = Exit::TryLater;
                }
            }
        }
        let _ = dialogue.expect(Some("QUIT"), Exit::Ok);
        match exit {
            Exit::Ok => Ok(()),
            exit => Err(Trouble::new(exit, "not all of these addresses can be delivered to")),
        }
    }

    /// The dialogue up to the recipients.
    fn begin(&self, folder: &Path) -> Result<Dialogue, Failed> {
        let stream = UnixStream::connect(socket(folder))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut dialogue = Dialogue { reader: BufReader::new(stream), verbose: self.options.verbose };
        dialogue.expect(None, Exit::TryLater)?;
        dialogue.expect(Some("EHLO localhost"), Exit::Unavailable)?;
        dialogue.expect(Some(&self.mail_command()), Exit::NoPermission)?;
        Ok(dialogue)
    }

    fn send(&self, folder: &Path) -> Result<(), Failed> {
        let mut dialogue = self.begin(folder)?;
        let refused = self.name_recipients(&mut dialogue)?;
        if refused.len() == self.recipients.len() {
            return Err(Failed::Trouble(unreached(&refused)));
        }
        dialogue.expect(Some("DATA"), Exit::Unavailable)?;
        dialogue.reader.get_mut().write_all(&self.letter.stuffed())?;
        dialogue.expect(None, Exit::BadData)?;
        // The message is taken; what follows is courtesy.
        let _ = dialogue.expect(Some("QUIT"), Exit::Ok);
        if refused.is_empty() { Ok(()) } else { Err(Failed::Trouble(unreached(&refused))) }
    }

    /// The others still get it: mail for root must not fail for the sake of a name that is gone.
    fn name_recipients(&self, dialogue: &mut Dialogue) -> Result<Vec<Trouble>, Failed> {
        let mut refused = Vec::new();
        for command in self.rcpt_commands() {
            match dialogue.expect(Some(&command), Exit::Unavailable) {
                Ok(()) => {}
                Err(Failed::Trouble(trouble)) => refused.push(trouble),
                Err(not_now) => return Err(not_now),
            }
        }
        Ok(refused)
    }

    fn mail_command(&self) -> String {
        let mut command = format!("MAIL FROM:{} BODY=8BITMIME SIZE={}", self.sender, self.letter.len());
        if self.sender.needs_smtputf8() || self.recipients.iter().any(Address::needs_smtputf8) {
            command.push_str(" SMTPUTF8");
        }
        if let Some(ret) = self.options.ret {
            command.push_str(&format!(" RET={ret}"));
        }
        if let Some(id) = &self.options.envelope_id {
            command.push_str(&format!(" ENVID={}", xtext(id)));
        }
        command
    }

    fn rcpt_commands(&self) -> impl Iterator<Item = String> + '_ {
        let notify =
            self.options.notify.as_ref().map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
        self.recipients.iter().map(move |address| format!("RCPT TO:<{address}>{notify}"))
    }

    /// The client's side of the transaction up to DATA.
    fn batch(&self) -> String {
        let mut batch = format!("{}\r\n", self.mail_command());
        for command in self.rcpt_commands() {
            batch.push_str(&command);
            batch.push_str("\r\n");
        }
        batch
    }
}

/// Leaves the client's side of a dialogue as a file: batch SMTP, as RFC 2442 §2 calls it. `envelope`: MAIL and RCPT.
///
/// Written under another name, synced, renamed; then the file system is synced, since a folder that one may not read
/// cannot be opened for a sync of its own.
pub(super) fn leave(folder: &Path, envelope: &str, letter: &Letter) -> io::Result<()> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let name: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
    let folder = drops(folder);
    let partial = folder.join(&name).with_added_extension(UNFINISHED);
    let written = write_drop(&partial, envelope, letter).and_then(|file| {
        std::fs::rename(&partial, folder.join(&name).with_added_extension(WHOLE))?;
        Ok(rustix::fs::syncfs(&file)?)
    });
    if written.is_err() {
        // Its folder is sticky and the file is ours.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_drop(path: &Path, envelope: &str, letter: &Letter) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // The group is the server's, from the folder; the umask must not keep it out.
    file.set_permissions(Permissions::from_mode(0o640))?;
    file.write_all(format!("EHLO localhost\r\n{envelope}DATA\r\n").as_bytes())?;
    file.write_all(&letter.stuffed())?;
    file.write_all(b"QUIT\r\n")?;
    file.sync_all()?;
    Ok(file)
}

/// A permanent refusal; `otherwise` is the exit code of one that does not say more by itself.
fn refused(reply: &str, otherwise: Exit) -> Trouble {
    let exit = if reply.contains("5.1.1") {
        Exit::NoUser
    } else if reply.starts_with("552") {
        Exit::Unavailable
    } else {
        otherwise
    };
    Trouble::new(exit, reply)
}

fn unreached(refused: &[Trouble]) -> Trouble {
    let text: Vec<&str> = refused.iter().map(|trouble| trouble.text.as_str()).collect();
    Trouble::new(refused.first().map_or(Exit::Unavailable, |trouble| trouble.exit), text.join("\n"))
}

/// RFC 3461 §4: everything but plain printable characters as `+` and two digits.
fn xtext(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_graphic() && octet != b'+' && octet != b'=';
    text.bytes()
        .map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("+{octet:02X}") })
        .collect()
}

/// The other end of the socket: one command, one reply.
struct Dialogue {
    reader: BufReader<UnixStream>,
    verbose: bool,
}

impl Dialogue {
    /// Sends a command, if any, and wants a positive reply. `otherwise`: see [`refused`].
    fn expect(&mut self, command: Option<&str>, otherwise: Exit) -> Result<(), Failed> {
        if let Some(command) = command {
            self.show("->", command);
            self.reader.get_mut().write_all(format!("{command}\r\n").as_bytes())?;
        }
        let reply = self.reply()?;
        match reply.as_bytes().first() {
            Some(b'2' | b'3') => Ok(()),
            Some(b'5') => {
                let about = command
                    .filter(|command| command.starts_with("RCPT"))
                    .and_then(|command| command.split(['<', '>']).nth(1));
                let Trouble { exit, text } = refused(&reply, otherwise);
                let text = about.map_or(text.clone(), |address| format!("{address}: {text}"));
                Err(Failed::Trouble(Trouble::new(exit, text)))
            }
            _ => Err(Failed::NotNow(reply)),
        }
    }

    fn reply(&mut self) -> Result<String, Failed> {
        for _ in 0..MAX_REPLY_LINES {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(Failed::NotNow("the server closed the connection".to_owned()));
            }
            let line = line.trim_end().to_owned();
            self.show("<-", &line);
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(line);
            }
        }
        Err(Failed::NotNow("the server talks without end".to_owned()))
    }

    fn show(&self, arrow: &str, line: &str) {
        if self.verbose {
            // Whoever asked for it may have gone.
            let _ = writeln!(io::stderr(), "{arrow} {line}");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nix::unistd::Uid;

    use super::*;

    /// Hands in as root.
    fn hand_in(mail: &Mail<'_>, folder: &Path) -> Result<(), Trouble> {
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        mail.hand_in(&HandIn { folder: folder.to_owned(), terms: None }, &root)
    }

    #[test]
    fn a_drop_is_the_clients_side_of_a_session() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(drops(folder.path())).unwrap();
        let options = Options {
            notify: Some("NEVER".into()),
            ret: Some("HDRS"),
            envelope_id: Some("a b+c".into()),
            ..Options::default()
        };
        let mail = Mail {
            options: &options,
            sender: ReversePath::parse("ann@localhost").unwrap(),
            recipients: &[Address::parse("root@localhost").unwrap()],
            letter: &Letter::read(b"Subject: x\n\n.\n", false),
        };
        hand_in(&mail, folder.path()).unwrap();
        let file = std::fs::read_dir(drops(folder.path())).unwrap().next().unwrap().unwrap();
        assert_eq!(file.path().extension().unwrap(), WHOLE);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(
            std::fs::read_to_string(file.path()).unwrap(),
            "EHLO localhost\r\nMAIL FROM:<ann@localhost> BODY=8BITMIME SIZE=17 RET=HDRS ENVID=a+20b+2Bc\r\n\
             RCPT TO:<root@localhost> NOTIFY=NEVER\r\nDATA\r\nSubject: x\r\n\r\n..\r\n.\r\nQUIT\r\n"
        );
    }

    #[test]
    fn without_socket_and_folder_it_is_a_matter_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let mail = Mail {
            options: &Options::default(),
            sender: ReversePath::Null,
            recipients: &[],
            letter: &Letter::default(),
        };
        assert_eq!(hand_in(&mail, folder.path()).unwrap_err().exit, Exit::TryLater);
    }
}
