//! Who exists: domains, accounts, aliases, passwords.
