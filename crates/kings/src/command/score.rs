//! `kings score`: the ten points, of the running server or of a message in a file.

mod file;
mod page;
mod server;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use kings_mail::path::ReversePath;
use kings_msgauth::dns_list::List;
use kings_score::points::Grade;

use self::page::Page;
use super::check_message::{reverse_path, server};
use super::{Failure, print};

/// A message or a server, and what is asked about it.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Judge the message in this file, "-" for standard input; without it the running server is judged, by a message that it
    /// sends to itself.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Whose message to itself the server is judged by; the first account's without it.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "file")]
    account: Option<String>,
    /// The address that mail is sent from, for SPF, the reverse name and the lists of bad addresses.
    #[arg(long, value_name = "ADDRESS")]
    ip: Option<IpAddr>,
    /// What the machine that sent the file said in EHLO.
    #[arg(long, value_name = "NAME", requires = "file")]
    helo: Option<String>,
    /// The reverse-path of the file; "" or "<>" for none.
    #[arg(long, value_name = "ADDRESS", value_parser = reverse_path, requires = "file")]
    mail_from: Option<ReversePath>,
    /// Take what is not told from the topmost Received and Return-Path fields of the file, which anybody can write.
    #[arg(long, requires = "file")]
    from_trace: bool,
    /// Ask nobody: only the content of the file is judged.
    #[arg(long, requires = "file", conflicts_with_all = ["ip", "helo", "mail_from", "from_trace", "dns", "list"])]
    offline: bool,
    /// Ask this name server, with or without its port; more than one may be named.
    #[arg(long, value_name = "SERVER", value_parser = server)]
    dns: Vec<SocketAddr>,
    /// Ask this list of bad addresses, in the place of the usual ones; more than one may be named.
    #[arg(long, value_name = "ZONE", value_parser = list)]
    list: Vec<List>,
    /// The config file; one at its usual place is read without being named, and for a file none is needed.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn list(text: &str) -> Result<List, String> {
    List::parse(text).map_err(|error| error.to_string())
}

/// 0: nine of ten or more. 1: less. 75: too little can be told.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let json = options.json;
    let page = match options.file.clone() {
        Some(path) => file::judge(path, options)?,
        None => server::judge(&options)?,
    };
    print(&if json { page.json() } else { page.text() });
    match page.score.grade() {
        Grade::Good => Ok(()),
        Grade::Below => Err(Failure::check_failed("")),
        Grade::CannotTell => Err(Failure::cannot_tell(
            "too little can be told for a score: the lines above say what is missing",
        )),
    }
}

/// Seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
