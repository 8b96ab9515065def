//! What the tests share: the server under test, programs of the real world, and two small raw clients.

mod certificates;
mod daemon;
mod exim;
mod folder;
mod imap;
mod kings;
mod lmtp;
mod maildir;
mod mx;
mod namespace;
mod opensmtpd;
mod postfix;
mod program;
mod signed_tree;
mod smtp;
mod stream;
mod wait;

pub(crate) use certificates::Certificates;
pub(crate) use daemon::{Daemon, show};
pub(crate) use exim::Exim;
pub(crate) use folder::Folder;
pub(crate) use imap::Imap;
pub(crate) use kings::{Kings, Setup, letter, plain};
pub(crate) use lmtp::DovecotLmtp;
pub(crate) use maildir::{Message, messages};
pub(crate) use mx::NameServer;
pub(crate) use opensmtpd::OpenSmtpd;
pub(crate) use postfix::Postfix;
pub(crate) use program::{Output, artefacts, part, program, rooted, run, run_with_input};
pub(crate) use signed_tree::SignedTree;
pub(crate) use smtp::{Reply, Smtp};
pub(crate) use stream::Stream;
pub(crate) use wait::{free_port, listening, wait_until};
