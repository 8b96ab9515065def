//! The power-cut judge: plays back what a server did to its disk, and asks at every point what a cut there would leave.
//!
//! A scene tells it what was promised to whom, and when: from the server's write that carried the promise on, it must hold
//! on the worst disk that the calls so far allow, until something else takes its place.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use super::image::{Image, Promise};
use super::trace::{Argument, Call, Event, Outcome, Trace};

/// Whether a promise holds on a disk.
type Holds = Box<dyn Fn(&Image) -> bool>;

/// When a promise was made, or ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// With the last write to this port of ours before this time: the client has read the reply by then.
    Told { port: u16, at: u64 },
    /// At a time of the clock.
    Clock(u64),
}

/// Something that must be true from a moment on.
pub(super) struct Vow {
    what: String,
    from: Moment,
    until: Option<Moment>,
    holds: Holds,
}

/// What was promised while the server was watched, and what others did to its disk.
#[derive(Default)]
pub(super) struct Ledger {
    vows: Vec<Vow>,
    /// Files that others put there, and when.
    gifts: Vec<(u64, String, Vec<u8>)>,
}

/// What came of playing a trace back.
#[derive(Debug)]
pub(super) struct Verdict {
    /// Points at which the power was cut.
    pub(super) points: usize,
    /// The promise that does not hold, and the point where.
    pub(super) broken: Option<String>,
}

/// Now, for a ledger.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_micros()).unwrap()
}

impl Moment {
    /// The reply that a client at this port has just read.
    pub(super) fn told(port: u16) -> Self {
        Self::Told { port, at: now() }
    }

    pub(super) fn now() -> Self {
        Self::Clock(now())
    }

    /// The first event at which it has come: for a reply, the beginning of the write that carries it.
    fn place(self, trace: &Trace) -> usize {
        match self {
            Self::Clock(at) => {
                trace.events.iter().position(|event| event.at >= at).unwrap_or(trace.events.len())
            }
            Self::Told { port, at } => {
                let carries = |event: &Event| {
                    event.at <= at && event.result.is_none() && goes_to(&trace.calls[event.call], port)
                };
                trace
                    .events
                    .iter()
                    .rposition(carries)
                    .unwrap_or_else(|| panic!("nothing was written to port {port}"))
            }
        }
    }
}

/// Whether it writes to a connection whose other end is this port.
fn goes_to(call: &Call, port: u16) -> bool {
    let writes = matches!(call.name.as_str(), "write" | "writev" | "sendto" | "sendmsg");
    let peer = format!(":{port}]");
    writes && matches!(call.arguments.first(), Some(Argument::Open(_, ends)) if ends.ends_with(&peer))
}

impl Ledger {
    /// From `from` on this must hold on any disk that a cut may leave.
    pub(super) fn vow(
        &mut self,
        what: impl Into<String>,
        from: Moment,
        holds: impl Fn(&Image) -> bool + 'static,
    ) {
        self.vow_between(what, from, None, holds);
    }

    /// The same until something takes its place.
    pub(super) fn vow_between(
        &mut self,
        what: impl Into<String>,
        from: Moment,
        until: Option<Moment>,
        holds: impl Fn(&Image) -> bool + 'static,
    ) {
        self.vows.push(Vow { what: what.into(), from, until, holds: Box::new(holds) });
    }

    /// Somebody else put a file there, synced, at this time.
    pub(super) fn gift(&mut self, at: u64, path: impl Into<String>, content: Vec<u8>) {
        self.gifts.push((at, path.into(), content));
    }

    /// Plays the trace back on the image and cuts the power at every point of it, up to the first that breaks a promise.
    pub(super) fn judge(mut self, mut image: Image, trace: &Trace) -> Verdict {
        self.gifts.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
        let span = |vow: &Vow| {
            vow.from.place(trace)..vow.until.map_or(trace.events.len() + 1, |until| until.place(trace))
        };
        let spans: Vec<Range<usize>> = self.vows.iter().map(span).collect();
        let (mut replay, mut seen) = (Replay::default(), usize::MAX);
        for place in 0..=trace.events.len() {
            let at = trace.events.get(place).map_or(u64::MAX, |event| event.at);
            while let Some((_, path, content)) = self.gifts.pop_if(|(given, ..)| *given <= at) {
                image.add_file(&path, &content);
            }
            // Where nothing has changed the answers are those of the point before.
            let changed = std::mem::replace(&mut seen, image.changes()) != image.changes();
            let is_asked = |span: &Range<usize>| span.contains(&place) && (changed || place == span.start);
            let mut asked = self.vows.iter().zip(&spans).filter(|(_, span)| is_asked(span));
            let broken = asked.find(|(vow, _)| !(vow.holds)(&image)).map(|(vow, _)| vow.what.as_str());
            let torn =
                || (changed && shows_a_torn_file(&image)).then_some("a file is seen that is not whole");
            if let Some(what) = broken.or_else(torn) {
                return Verdict { points: place, broken: Some(format!("{what}, {}", point(trace, place))) };
            }
            if let Some(event) = trace.events.get(place) {
                replay.step(&mut image, &trace.calls[event.call], event);
            }
        }
        Verdict { points: trace.events.len() + 1, broken: None }
    }
}

/// Places where mail programs look: no file may be seen there that is not whole on the disk.
const VISIBLE: [&str; 2] = ["/new/", "/cur/"];

fn shows_a_torn_file(image: &Image) -> bool {
    let is_seen = |name: &str| VISIBLE.iter().any(|place| name.contains(place));
    image.files().any(|file| !file.is_whole() && file.may_be(is_seen))
}

/// A point in words: the event that it stands before.
fn point(trace: &Trace, place: usize) -> String {
    let Some(event) = trace.events.get(place) else { return "at the end".to_owned() };
    let call = &trace.calls[event.call];
    let side = if event.result.is_none() { "before" } else { "within" };
    let text = |argument: &Argument| match argument {
        Argument::Open(_, path) => path.clone(),
        Argument::Text(text) if text.is_ascii() => String::from_utf8_lossy(text).chars().take(60).collect(),
        Argument::Text(text) => format!("{} octets", text.len()),
        Argument::Word(word) => word.clone(),
    };
    let arguments: Vec<String> = call.arguments.iter().take(4).map(text).collect();
    format!("after a cut {side} {}({})", call.name, arguments.join(", ").escape_default())
}

/// What has begun, and where each open file is read and written.
#[derive(Default)]
struct Replay {
    syncs: HashMap<usize, Promise>,
    positions: HashMap<i64, usize>,
}

impl Replay {
    fn step(&mut self, image: &mut Image, call: &Call, event: &Event) {
        let sync = matches!(call.name.as_str(), "fsync" | "fdatasync");
        match (&event.result, call.arguments.first()) {
            (None, Some(Argument::Open(_, path))) if sync => {
                if let Some(promise) = image.begin_sync(path) {
                    self.syncs.insert(event.call, promise);
                }
            }
            (None, _) => {}
            (Some(outcome), _) if sync => {
                if let Some(promise) = self.syncs.remove(&event.call) {
                    image.end_sync(promise, outcome.number == 0);
                }
            }
            (Some(outcome), _) if outcome.number >= 0 => self.apply(image, call, outcome),
            (Some(_), _) => {}
        }
    }

    fn apply(&mut self, image: &mut Image, call: &Call, outcome: &Outcome) {
        let paths = paths(call);
        let number = usize::try_from(outcome.number).expect("it succeeded");
        let first = call.arguments.first();
        match call.name.as_str() {
            "open" | "openat" | "creat" => {
                self.positions.insert(outcome.number, 0);
                let Some(path) = &outcome.path else { return };
                if has_word(call, "O_TMPFILE") {
                    return;
                }
                if has_word(call, "O_CREAT") {
                    image.make(path, false);
                }
                if has_word(call, "O_TRUNC") {
                    image.set_len(path, 0);
                }
                if has_word(call, "O_APPEND") {
                    self.positions.insert(outcome.number, image.len(path));
                }
            }
            "mkdir" | "mkdirat" => image.make(&paths[0], true),
            "rename" | "renameat" | "renameat2" => image.rename(&paths[0], &paths[1]),
            "link" | "linkat" if paths.len() == 2 => image.link(&paths[0], &paths[1]),
            "unlink" | "unlinkat" | "rmdir" => image.remove(&paths[0]),
            "lseek" => drop(first.and_then(|file| Some(self.positions.insert(file.number()?, number)))),
            "write" | "writev" => {
                let Some(Argument::Open(file, path)) = first else { return };
                let position = self.positions.entry(*file).or_default();
                image.write(path, *position, &text_of(call));
                *position += number;
            }
            "pwrite64" => {
                let Some(Argument::Open(_, path)) = first else { return };
                let offset =
                    call.arguments.last().and_then(Argument::word).and_then(|word| word.parse().ok());
                image.write(path, offset.expect("an offset"), &text_of(call));
            }
            "ftruncate" => {
                let Some(Argument::Open(_, path)) = first else { return };
                let length =
                    call.arguments.last().and_then(Argument::word).and_then(|word| word.parse().ok());
                image.set_len(path, length.expect("a length"));
            }
            "sendto" | "sendmsg" | "symlink" | "symlinkat" | "fallocate" => {}
            // A finding of this judge is worth something only if it understands all that was done.
            other => {
                let known = call.arguments.iter().filter_map(Argument::path).any(|path| image.len(path) > 0);
                assert!(!known, "the judge does not know {other}: {call:?}");
            }
        }
    }
}

impl Argument {
    fn number(&self) -> Option<i64> {
        if let Self::Open(number, _) = self { Some(*number) } else { None }
    }

    fn path(&self) -> Option<&str> {
        if let Self::Open(_, path) = self { Some(path) } else { None }
    }

    fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }
}

fn has_word(call: &Call, wanted: &str) -> bool {
    call.arguments.iter().filter_map(Argument::word).any(|word| word.split('|').any(|part| part == wanted))
}

/// All that is written: the strings among the arguments.
fn text_of(call: &Call) -> Vec<u8> {
    let texts = call.arguments.iter().filter_map(|argument| match argument {
        Argument::Text(text) => Some(text.as_slice()),
        _ => None,
    });
    texts.collect::<Vec<_>>().concat()
}

/// The paths it names, each from the root: a relative one begins at the folder before it.
fn paths(call: &Call) -> Vec<String> {
    let (mut folder, mut found) = ("", Vec::new());
    for argument in &call.arguments {
        match argument {
            Argument::Open(_, path) => folder = path,
            Argument::Text(text) => {
                let text = String::from_utf8_lossy(text);
                found.push(if text.starts_with('/') {
                    text.into_owned()
                } else {
                    format!("{folder}/{text}")
                });
            }
            Argument::Word(_) => {}
        }
    }
    found
}
