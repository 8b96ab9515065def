//! What need not be left for a server that does not run, since it will refuse it: told at once, as it would.

use kings_mail::path::ReversePath;
use kings_mta::check_head;
use kings_smtp::reply::Reply;
use kings_store::HEAD_OCTETS;
use nix::unistd::User;

use super::MAX_INPUT;
use super::letter::Letter;
use crate::config::Terms;

/// Who hands in, on which terms. Where the config cannot be read the server decides when it runs.
#[derive(Clone, Copy)]
pub(super) struct Gate<'a> {
    pub(super) terms: Option<&'a Terms>,
    pub(super) user: &'a User,
}

impl Gate<'_> {
    /// Largest message that may be taken, in octets.
    pub(super) fn message_bytes(&self) -> u64 {
        self.terms.map_or(MAX_INPUT, |terms| terms.message_bytes.min(MAX_INPUT))
    }

    /// Whether the user may write under this reverse-path. Which domains are the machine's is the server's to know.
    pub(super) fn sender(&self, path: &ReversePath) -> Result<(), Reply> {
        let (Some(address), Some(terms)) = (path.address(), self.terms) else { return Ok(()) };
        let name = address.local_part.as_str();
        let base = name.split_once('+').map_or(name, |(base, _)| base);
        let is_own = base.eq_ignore_ascii_case(&self.user.name);
        let is_trusted = self.user.uid.is_root() || terms.trusted_users.contains(&self.user.name);
        if is_own || is_trusted { Ok(()) } else { Err(Reply::SENDER_NOT_YOURS) }
    }

    /// Whether the message itself will be taken.
    pub(super) fn letter(&self, letter: &Letter) -> Result<(), Reply> {
        if letter.len() as u64 > self.message_bytes() {
            return Err(Reply::MESSAGE_TOO_LARGE);
        }
        let mut head = letter.header.clone();
        head.extend_from_slice(&letter.body);
        head.truncate(HEAD_OCTETS);
        check_head(&head, letter.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use nix::unistd::Uid;

    use super::*;

    fn user(name: &str, uid: u32) -> User {
        let root = User::from_uid(Uid::from_raw(0)).unwrap().unwrap();
        User { name: name.to_owned(), uid: Uid::from_raw(uid), ..root }
    }

    #[test]
    fn a_user_writes_as_itself_and_a_trusted_one_as_anybody() {
        let terms = Terms { message_bytes: 100, trusted_users: vec!["www".to_owned()], origin: None };
        let refused = Err(Reply::SENDER_NOT_YOURS);
        let cases = [
            ("bob", 7, "<bob@localhost>", Ok(())),
            ("bob", 7, "<Bob+list@example.org>", Ok(())),
            ("bob", 7, "<>", Ok(())),
            ("bob", 7, "<ann@localhost>", refused.clone()),
            ("bob", 7, "<bobby@localhost>", refused),
            ("www", 8, "<ann@example.org>", Ok(())),
            ("root", 0, "<ann@example.org>", Ok(())),
        ];
        for (name, uid, path, expected) in cases {
            let path = ReversePath::parse(path.trim_matches(['<', '>'])).unwrap_or(ReversePath::Null);
            let user = user(name, uid);
            assert_eq!(Gate { terms: Some(&terms), user: &user }.sender(&path), expected, "{name} {path}");
            assert_eq!(Gate { terms: None, user: &user }.sender(&path), Ok(()), "without a config");
        }
    }

    #[test]
    fn what_the_server_will_refuse_is_refused() {
        let terms = Terms { message_bytes: 100, trusted_users: Vec::new(), origin: None };
        let user = user("bob", 7);
        let gate = |terms| Gate { terms, user: &user };
        // With its line ends 100 octets, and one more.
        for (body, expected) in [(85, Ok(())), (86, Err(Reply::MESSAGE_TOO_LARGE))] {
            let letter = Letter::read(format!("Subject: x\n\n{}\n", "y".repeat(body - 1)).as_bytes(), false);
            assert_eq!(gate(Some(&terms)).letter(&letter), expected, "{}", letter.len());
            assert_eq!(gate(None).letter(&letter), Ok(()));
        }
        let twice = Letter::read(b"From: a@x\nFrom: b@x\n\nx\n", false);
        assert_eq!(gate(None).letter(&twice).unwrap_err().code, 550);
        assert_eq!(gate(None).letter(&Letter::read(b"no header\n", false)), Ok(()));
    }
}
