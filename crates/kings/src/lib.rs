//! The `kings` program: a complete mail system in one binary.

mod command;
mod config;
mod control;
mod demo;
mod dkim;
mod dns_facts;
mod dns_provider;
mod firewall;
mod identity;
mod local;
mod log;
mod milter;
mod prepare;
mod sandbox;
mod sendmail;
mod serve;
mod setup;

use std::process::ExitCode;

use clap::Parser;

use crate::command::{Cli, Failure};

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    // Programs that send mail know it under other names, and need nothing of what follows.
    if let Some(code) = sendmail::called() {
        return code;
    }
    // One crypto provider in the whole process, chosen before anything could choose another.
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.install_default().is_err() {
        return Failure::cannot_tell("the crypto provider was installed twice").report();
    }
    match command::run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
