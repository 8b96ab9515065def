//! `kings pw`: a password's hash for a passwd-file, as `doveadm pw` makes it.

use clap::Args;
use kings_directory::{NEW_SCHEMES, hash_password};

use super::account::new_password;
use super::{Failure, print};

#[derive(Args)]
pub(crate) struct Options {
    /// ARGON2ID, SCRAM-SHA-256, SCRAM-SHA-1, SHA512-CRYPT, BLF-CRYPT, CRAM-MD5 or PLAIN.
    #[arg(short, long, default_value = NEW_SCHEMES[0])]
    scheme: String,
}

/// The password comes from a prompt or from standard input, never from the command line, which others can read.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    if !NEW_SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(&options.scheme)) {
        let text = format!("\"{}\" is no scheme; known are {}", options.scheme, NEW_SCHEMES.join(", "));
        return Err(Failure::usage(text));
    }
    let password = new_password("a passwd-file")?;
    match hash_password(&options.scheme, &password) {
        Some(field) => print(&format!("{field}\n")),
        None => return Err(Failure::cannot_tell("the system has no random numbers now, try again")),
    }
    Ok(())
}
