//! `kings queue`: mail that waits to leave.

mod answer;
mod text;

use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

pub(crate) use self::answer::{Desk, answer};
use super::{Failure, Output, ask, print};
use crate::config::{Settings, duration};
use crate::control::{self, Answer, Caller, Order, Request, Selection};
use crate::local::QUEUE_SOCKET;
use crate::{prepare, serve};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List what waits, with the last reply for each recipient.
    #[command(visible_alias = "search")]
    List(List),
    /// Everything about one entry: envelope, what happened so far, header.
    Show(Show),
    /// Try entries now; without an id or a filter, all of them.
    Retry(Change),
    /// Try all entries now.
    Flush(Output),
    /// Try entries no more until they are released.
    Hold(Change),
    /// Go on with held entries.
    Release(Change),
    /// Delete entries.
    Drop(Drop),
}

#[derive(Args)]
pub(crate) struct List {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Show {
    /// The id that `kings queue list` shows.
    id: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Change {
    /// The id that `kings queue list` shows, or `all`; that of a message means all its entries.
    id: Option<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Why, for `kings trace`.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    why: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Args)]
pub(crate) struct Drop {
    #[command(flatten)]
    change: Change,
    /// Tell the senders, as of any failure.
    #[arg(long)]
    bounce: bool,
}

/// Which entries; all that is said must be true of an entry.
#[derive(Args, Default)]
struct FilterArgs {
    /// Part of the reverse-path; `<>` for mail without a sender.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    sender: Option<String>,
    /// Part of a forward-path.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    recipient: Option<String>,
    /// The beginning of the id.
    #[arg(long = "id", value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    prefix: Option<String>,
    /// Part of the last reply.
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// How a recipient stands: new, deferred, held, delivered, failed.
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Option<String>,
    /// Taken in longer ago than this: 30m, 4h, 2d.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    older: Option<u64>,
}

fn state(text: &str) -> Result<String, String> {
    let known = kings_queue::RecipientState::parse(text).map(|state| state.as_str().to_owned());
    known.ok_or_else(|| "one of new, deferred, held, delivered, failed".to_owned())
}

fn seconds(text: &str) -> Result<u64, String> {
    duration(text).map(|time| time.as_secs()).ok_or_else(|| "a time such as 30m, 4h or 2d".to_owned())
}

impl FilterArgs {
    fn selection(&self) -> Selection {
        Selection {
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            id: self.prefix.clone(),
            reason: self.reason.clone(),
            state: self.state.clone(),
            older: self.older,
        }
    }
}

pub(crate) fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::List(list) => list.run(),
        Command::Show(show) => show.run(),
        Command::Retry(change) => change.run(Order::Retry, true),
        Command::Flush(output) => {
            let everything = Change { id: None, filter: FilterArgs::default(), why: None, output };
            everything.run(Order::Retry, true)
        }
        Command::Hold(change) => change.run(Order::Hold, false),
        Command::Release(change) => change.run(Order::Release, false),
        Command::Drop(Drop { change, bounce: false }) => change.run(Order::Drop, false),
        Command::Drop(Drop { change, bounce: true }) => change.run(Order::Bounce, false),
    }
}

/// Who answers: the server, or this process itself where none runs.
pub(crate) enum Reach {
    /// The one that works in this folder.
    Server(PathBuf),
    /// The same at the socket for the machine's other users, which tells less.
    Neighbour(PathBuf),
    Here {
        queue: kings_queue::Queue,
        records: kings_records::Records,
        runtime: Runtime,
        _lock: std::fs::File,
    },
}

impl Reach {
    pub(crate) fn new(settings: Settings) -> Result<Self, Failure> {
        let asked = ask(&settings.data_dir, &Request::Status)?;
        if asked.is_some() {
            return Ok(Self::Server(settings.data_dir));
        }
        let cannot = |error: &dyn std::fmt::Display| Failure::cannot_tell(format!("{error:#}"));
        let lock = prepare::lock(&settings.data_dir).map_err(|error| cannot(&error))?;
        let queue = serve::open_queue(&settings).map_err(|error| cannot(&error))?;
        queue.look().map_err(|error| cannot(&error))?;
        let records = serve::open_records(&settings);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self::Here { queue, records, runtime: runtime.map_err(|error| cannot(&error))?, _lock: lock })
    }

    /// Whether a server runs that acts on an order at once.
    fn is_running(&self) -> bool {
        matches!(self, Self::Server(_) | Self::Neighbour(_))
    }

    /// The server as those reach it who are neither root nor its own user; `None` where none listens for them in this folder.
    pub(crate) fn neighbour(folder: &Path) -> Option<Self> {
        let socket = folder.join(QUEUE_SOCKET);
        UnixStream::connect(&socket).ok().map(|_| Self::Neighbour(socket))
    }

    pub(crate) fn ask(&self, request: Request) -> Result<Value, Failure> {
        let answer: Answer = match self {
            Self::Server(data_dir) => ask_server(data_dir, &request)?,
            Self::Neighbour(socket) => ask_as_neighbour(socket, &request)?,
            Self::Here { queue, records, runtime, .. } => {
                let desk = Desk { queue, records, caller: Caller::this() };
                let answer = runtime.block_on(answer(desk, request));
                // This process may end before the writer has had its turn.
                records.flush();
                answer
            }
        };
        answer.map_err(Failure::check_failed)
    }
}

fn ask_as_neighbour(socket: &Path, request: &Request) -> Result<Answer, Failure> {
    let asked = control::ask_at(socket, request);
    let asked = asked.map_err(|error| Failure::cannot_tell(format!("cannot ask the server: {error}")))?;
    let answer = asked.ok_or_else(|| Failure::cannot_tell("the server has gone away: ask again"))?;
    match answer.as_ref().ok().and_then(|answer| answer["denied"].as_str()) {
        Some(why) => Err(Failure::not_allowed(why)),
        None => Ok(answer),
    }
}

fn ask_server(data_dir: &Path, request: &Request) -> Result<Answer, Failure> {
    ask(data_dir, request)?.ok_or_else(|| Failure::cannot_tell("the server has gone away: ask again"))
}

/// What somebody who waits at a terminal sees of an order for very many entries.
struct Progress {
    next: Instant,
    wanted: bool,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(2);

    fn new() -> Self {
        Self { next: Instant::now() + Self::EVERY, wanted: io::stderr().is_terminal() }
    }

    fn tell(&mut self, done: u64) {
        if self.wanted && Instant::now() >= self.next {
            self.next = Instant::now() + Self::EVERY;
            let _ = writeln!(io::stderr(), "{done} entries so far");
        }
    }
}

impl List {
    /// Page by page, so that neither side ever holds a million entries.
    fn run(&self) -> Result<(), Failure> {
        let reach = Reach::new(self.output.common.settings()?)?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut form = text::Form::new(self.output.json);
        let mut after = None;
        loop {
            let selection = self.filter.selection();
            let mut page = reach.ask(Request::QueueList { selection, after })?;
            // A closed pipe is how a reader says that it has seen enough.
            if form.page(&mut out, &mut page).is_err() {
                return Ok(());
            }
            after = page["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
        let _ = form.end(&mut out).and_then(|()| out.flush());
        Ok(())
    }
}

impl Show {
    fn run(&self) -> Result<(), Failure> {
        let reach = Reach::new(self.output.common.settings()?)?;
        let entry = reach.ask(Request::QueueShow { id: self.id.clone() })?;
        if self.output.json {
            print(&format!("{entry}\n"));
            return Ok(());
        }
        let mut page = text::details(&entry);
        for further in entry["further_entries"].as_array().into_iter().flatten() {
            let id = further.as_str().unwrap_or_default().to_owned();
            // One that has left meanwhile is none.
            if let Ok(entry) = reach.ask(Request::QueueShow { id }) {
                page = format!("{page}\n{}", text::details(&entry));
            }
        }
        print(&page);
        Ok(())
    }
}

impl Change {
    /// `anything` says that no id and no filter means all entries, and not a slip.
    fn run(&self, order: Order, anything: bool) -> Result<(), Failure> {
        let all = self.id.as_deref() == Some("all");
        let id = self.id.clone().filter(|_| !all);
        let selection = self.filter.selection();
        if id.is_some() && selection != Selection::default() {
            return Err(Failure::usage("an id and a filter exclude each other"));
        }
        if id.is_none() && !all && !anything && selection == Selection::default() {
            return Err(Failure::usage("which entries? Give an id, a filter such as --sender, or all"));
        }
        let reach = Reach::new(self.output.common.settings()?)?;
        let (mut done, mut wanted, mut refused, mut after) = (0, Some(0), Vec::new(), None);
        // Of a server that does not count them, nothing is said about that.
        let mut found = (selection != Selection::default()).then_some(0);
        let mut progress = Progress::new();
        loop {
            let (id_asked, selection, why) = (id.clone(), selection.clone(), self.why.clone());
            let request = Request::QueueOrder { order, id: id_asked, selection, after, why };
            let mut answer = reach.ask(request)?;
            done += answer["done"].as_u64().unwrap_or(0);
            found = found.zip(answer["found"].as_u64()).map(|(found, more)| found + more);
            wanted = match &answer["held_by_sender"] {
                Value::Null if id.is_none() => None,
                more => wanted.map(|wanted| wanted + more.as_u64().unwrap_or(0)),
            };
            refused.extend(answer["refused"].as_array_mut().map(std::mem::take).unwrap_or_default());
            after = answer["next"].as_str().map(str::to_owned);
            if after.is_none() {
                break;
            }
            progress.tell(done);
        }
        if self.output.json {
            print(&format!(
                "{}\n",
                json!({ "schema": 1, "done": done, "held_by_sender": wanted, "refused": refused })
            ));
        } else if found != Some(0) {
            print(&text::changed(order, done, reach.is_running()));
            print(&text::held_by_sender(wanted));
        }
        if found == Some(0) {
            return Err(Failure::check_failed(text::NOTHING_FOUND));
        }
        if refused.is_empty() { Ok(()) } else { Err(Failure::cannot_tell(text::refused(&refused))) }
    }
}
