//! IMAP servers over the store.
