//! Mailboxes: Maildir, UIDs, flags, change notices.
