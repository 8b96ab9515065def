//! Files that outlive the server: those of the queue, and those beside a Maildir's messages.

use kings_mail::rights::Rights;
use kings_queue::{try_entry, with_true_checksums};
use kings_store::{Acl, Grant, GrantChange, Identifier, Somebody, try_side_files, try_words};

/// What an entry says can be written and read again; its records may be cut anywhere, as a crash does, and no flipped bit
/// of its envelope passes.
pub fn queue_entry(data: &[u8]) {
    let _ = try_entry(data);
    let Some(written) = try_entry(&with_true_checksums(data)) else { return };
    assert_eq!(try_entry(&written).as_ref(), Some(&written));
    let envelope = written.windows(2).position(|octets| octets == b"\n\n").expect("an envelope") + 2;
    let content = content_length(&written[..envelope]);
    for cut in (envelope + content..written.len()).rev().take(100) {
        let kept = try_entry(&written[..cut]).expect("a torn record is no damage");
        assert!(written.starts_with(&kept), "what was whole before the cut stays");
    }
    let mut flipped = written;
    flipped[envelope / 2] ^= 1;
    assert_eq!(try_entry(&flipped), None);
}

fn content_length(envelope: &[u8]) -> usize {
    let text = String::from_utf8_lossy(envelope);
    let mut lengths = text.lines().filter_map(|line| line.strip_prefix("content-length ")?.parse().ok());
    lengths.next_back().expect("a length")
}

/// `dovecot-uidlist`, `dovecot-keywords` and `subscriptions` keep what the store promises of them.
pub fn side_files(data: &[u8]) {
    assert_eq!(try_side_files(data), Ok(()));
}

/// `dovecot-acl`: whoever no line is about has no right, an owner is never locked out, and a change is about one identifier:
/// all others keep their rights, and all other lines their octets. What is written is read as the same.
pub fn acl_file(data: &[u8]) {
    let acl = Acl::parse(data);
    let text = acl.to_text();
    assert_eq!(Acl::parse(text.as_bytes()), acl);
    // The first line names somebody too, as a client would.
    let word = text.lines().next().unwrap_or_default().to_owned();
    for identifier in [Identifier::User("joe@example.org".into()), Identifier::User(word), Identifier::Owner]
    {
        for (negative, change) in [
            (false, GrantChange::Replace(Rights::ALL)),
            (false, GrantChange::Add(Rights::READ)),
            (false, GrantChange::Remove(Rights::LOOKUP)),
            (true, GrantChange::Replace(Rights::LOOKUP)),
        ] {
            let mut changed = acl.clone();
            changed.change(&identifier, negative, change);
            only_changes(&acl, &changed, (&identifier, negative));
        }
        let mut removed = acl.clone();
        removed.remove(&identifier, false);
        assert!(removed.grants().all(|grant| grant.identifier != identifier || grant.negative));
        only_changes(&acl, &removed, (&identifier, false));
    }
}

fn only_changes(before: &Acl, after: &Acl, (identifier, negative): (&Identifier, bool)) {
    let grants = |acl: &Acl| acl.grants().cloned().collect::<Vec<Grant>>();
    let read = Acl::parse(after.to_text().as_bytes());
    assert_eq!(grants(&read), grants(after));
    let is_about = |grant: &Grant| grant.identifier == *identifier && grant.negative == negative;
    let others = |acl: &Acl| {
        let text = acl.to_text();
        let lines = text.lines().filter(|line| !Acl::parse(line.as_bytes()).grants().any(is_about));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(others(after), others(before));
    for (name, owns) in
        [("ann@example.org", true), ("stranger@example.net", false), ("joe@example.org", false)]
    {
        let who = Somebody { name, owns };
        let concerns = match identifier {
            Identifier::User(user) => user == name,
            _ => owns,
        };
        let rights = after.rights(who);
        assert!(concerns || rights == before.rights(who));
        assert!(!owns || rights.contain(Rights::LOOKUP | Rights::ADMIN));
        let is_said = |grant: &Grant| match &grant.identifier {
            Identifier::Anyone | Identifier::Authenticated => true,
            Identifier::User(user) => user == name,
            Identifier::Owner | Identifier::Group(_) | Identifier::GroupOverride(_) => false,
        };
        assert!(owns || rights == Rights::NONE || after.grants().any(is_said));
    }
}

/// A text is found by the words of the message that has it; the rest, as a file of words, is no harm.
pub fn words_of_messages(data: &[u8]) {
    let text = String::from_utf8_lossy(data).to_lowercase();
    let mut thirds = text.splitn(3, '\0');
    let (text, needle) = (thirds.next().unwrap_or_default(), thirds.next().unwrap_or_default());
    assert_eq!(try_words(text, needle, data), Ok(()));
    // And a part of the text itself.
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let part = places.len() / 3..places.len() * 2 / 3;
    if let (Some(start), Some(end)) = (places.get(part.start), places.get(part.end)) {
        assert_eq!(try_words(text, &text[*start..*end], b""), Ok(()));
    }
}
