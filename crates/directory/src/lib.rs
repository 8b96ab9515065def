//! Who exists: domains, accounts, aliases, passwords.

mod aliases;
mod directory;
mod edit;
mod login;
mod passwd_file;
mod password;
mod resolve;
mod throttle;

pub use crate::directory::{Directory, DirectoryError, HostedDomain, Settings};
pub use crate::edit::EditError;
pub use crate::login::{Account, LoginError};
pub use crate::resolve::{Resolution, Target};
