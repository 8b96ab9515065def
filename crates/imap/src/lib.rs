//! IMAP4rev1: grammar, responses, session state, the selected view. No IO.
