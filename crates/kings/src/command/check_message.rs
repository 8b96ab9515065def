//! `kings check-message`: what this server would do with a message, and why.

mod json;
mod text;

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use kings_directory::Directory;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::header;
use kings_mail::path::ReversePath;
use kings_mta::examine::{Addressees, Circumstances, Examination, Examiner};
use kings_mta::{Inbound, Methods, Verdict};
use kings_net::{Resolver, ResolverSettings};
use kings_store::HEAD_OCTETS;

use super::{Failure, print};
use crate::config::{DEFAULT_PATH, MESSAGE_BYTES, Settings, Threads, name_server};
use crate::identity::machine_name;
use crate::prepare::open_directory;
use crate::serve;

/// What acts on port 25 and not here: it asks others, remembers, or depends on who the client is.
const LEFT_OUT: [&str; 5] =
    ["milters", "header and body rules", "the policy service", "greylisting", "trusted hosts"];
/// Octets that are read at once.
const PIECE: usize = 64 * 1024;
/// One thread reads and one asks DNS: what the program needs does not grow with the machine.
const THREADS: Threads = Threads { workers: Some(1), blocking: 4 };

/// The message, and what is known of how it came.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The message as it is stored or sent; "-" for standard input.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
    /// The address of the client that brought it.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) ip: Option<IpAddr>,
    /// What the client said in EHLO.
    #[arg(long, value_name = "NAME")]
    pub(super) helo: Option<String>,
    /// The reverse-path; "" or "<>" for none.
    #[arg(long, value_name = "ADDRESS", value_parser = reverse_path)]
    pub(super) mail_from: Option<ReversePath>,
    /// Whom the message is for, once for each: whether an alias has sent it on before. Needs the config.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) recipient: Vec<Address>,
    /// Take what is not told from the topmost Received and Return-Path fields, which anybody can write.
    #[arg(long)]
    pub(super) from_trace: bool,
    /// Ask this name server, with or without its port; more than one may be named.
    #[arg(long, value_name = "SERVER", value_parser = server)]
    pub(super) dns: Vec<SocketAddr>,
    /// The config file. Without one, every check counts and each domain gets what it asks for.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn reverse_path(text: &str) -> Result<ReversePath, String> {
    let bare = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    ReversePath::parse(bare).map_err(|error| error.to_string())
}

pub(super) fn server(text: &str) -> Result<SocketAddr, &'static str> {
    name_server(text).ok_or("an address such as 127.0.0.1 or [::1]:5353")
}

/// The server that judges.
pub(super) struct Judge {
    hostname: Domain,
    inbound: Inbound,
    domains: Vec<Domain>,
    pub(super) dns: ResolverSettings,
    pub(super) message_bytes: u64,
    /// Where recipients are asked about.
    directory: Option<Directory>,
}

/// 0: it would be taken. 1: it would be junk, or not be taken. 75: DNS left a question open, or nobody told what decides.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let judge = Judge::new(&options)?;
    let json = options.json;
    let input = open(&options.file)?;
    let found = serve::runtime(THREADS)?.block_on(judge.examine(input, options))?;
    print(&if json { json::of(&found) } else { text::of(&found) });
    if found.is_unsure() {
        let text = "DNS did not answer everything, so that the verdict may be another one later; --dns SERVER asks another server";
        return Err(Failure::cannot_tell(text));
    }
    if found.is_open() {
        let text = "the verdict depends on SPF, which is not judged: --ip, --helo and --mail-from tell how the message came";
        return Err(Failure::cannot_tell(text));
    }
    match found.judgement.verdict {
        Verdict::Accept => Ok(()),
        Verdict::Junk | Verdict::Defer | Verdict::Reject => Err(Failure::check_failed("")),
    }
}

pub(super) fn open(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let opened = File::open(file).map_err(|error| unreadable(file, &error))?;
    Ok(Box::new(opened))
}

pub(super) fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!(
        "cannot read {}: {error}\nname a file with one message, or \"-\" for standard input",
        file.display()
    ))
}

impl Judge {
    /// As the config says; where none is named and none is at its usual place, one that checks everything.
    pub(super) fn new(options: &Options) -> Result<Self, Failure> {
        let path = options.config.clone().or_else(|| {
            let usual = PathBuf::from(DEFAULT_PATH);
            usual.exists().then_some(usual)
        });
        let mut judge = match path {
            Some(path) => {
                let settings = Settings::load(&path)?;
                let wanted = !options.recipient.is_empty();
                let directory = wanted.then(|| open_directory(&settings)).transpose();
                let directory = directory.map_err(|error| Failure::config(error.to_string()))?;
                Self { directory, ..Self::of_settings(settings) }
            }
            None if !options.recipient.is_empty() => {
                return Err(Failure::usage(
                    "--recipient needs the config that names the aliases (--config FILE)",
                ));
            }
            None => Self::without_config()?,
        };
        if !options.dns.is_empty() {
            judge.dns.servers.clone_from(&options.dns);
        }
        Ok(judge)
    }

    fn of_settings(settings: Settings) -> Self {
        let hosted = settings.domains.into_iter().map(|hosted| hosted.name);
        let relays = settings.relays.into_iter().map(|relay| relay.name);
        Self {
            hostname: settings.hostname,
            inbound: settings.inbound,
            domains: hosted.chain(relays).collect(),
            dns: settings.dns,
            message_bytes: settings.limits.message_bytes,
            directory: None,
        }
    }

    fn without_config() -> Result<Self, Failure> {
        Ok(Self {
            // For the field, and for the macros of SPF.
            hostname: machine_name().map_err(|error| Failure::config(error.to_string()))?,
            inbound: Inbound { methods: Methods::usual(), ..Inbound::default() },
            domains: Vec::new(),
            dns: ResolverSettings::default(),
            message_bytes: MESSAGE_BYTES,
            directory: None,
        })
    }

    /// Reads piece by piece; no more than the head of the message is ever kept.
    pub(super) async fn examine(
        self,
        mut input: impl Read,
        options: Options,
    ) -> Result<Examination, Failure> {
        let resolver = Resolver::new(&self.dns);
        let dns = resolver.map_err(|error| Failure::cannot_tell(format!("{error}, or with --dns SERVER")))?;
        let Options { file, ip, helo, mail_from, recipient, from_trace, .. } = options;
        let read = |error: io::Error| unreadable(&file, &error);
        let told = Circumstances { client: ip, helo, mail_from };
        let head = head(&mut input).map_err(read)?;
        let told = if from_trace { told.or_of_trace(&head) } else { told };
        let mut examiner = Examiner::begin(dns, self.hostname, self.inbound, told);
        if let Some(directory) = self.directory {
            examiner = examiner.addressed(Addressees { directory, recipients: recipient });
        }
        let (mut piece, mut count) = (head, 0);
        while !piece.is_empty() {
            count += piece.len() as u64;
            if count > self.message_bytes {
                let most = self.message_bytes;
                return Err(Failure::check_failed(format!(
                    "{} is larger than {most} octets, the most this server takes ([limits] message_bytes)",
                    file.display()
                )));
            }
            examiner.content(&piece);
            piece = next_piece(&mut input, PIECE).map_err(read)?;
        }
        Ok(examiner.finish(&self.domains).await)
    }
}

/// The header and what was read with it.
fn head(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while head.len() < HEAD_OCTETS {
        let piece = next_piece(input, PIECE)?;
        let is_over = piece.is_empty();
        head.extend_from_slice(&piece);
        if is_over || header::header_end(&head) < head.len() {
            break;
        }
    }
    Ok(head)
}

fn next_piece(input: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(most);
    input.take(most as u64).read_to_end(&mut piece)?;
    Ok(piece)
}
