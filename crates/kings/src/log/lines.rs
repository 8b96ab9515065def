//! Lines of the log on their way out: at once while they are few, together when they are many, so that no mail waits
//! for a disk or a journal that is slow to take them.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Lines in [`WINDOW`] that are few: whoever logs them writes them, so that they are there when it goes on. After a window
/// with more the thread writes, until there is one with few again.
const FEW: u32 = 25;
const WINDOW: Duration = Duration::from_millis(100);
/// What writing a line may take. One that takes longer counts as so many more.
const USUAL: Duration = Duration::from_micros(200);
/// How long a line waits for company, once they are many.
const GATHER: Duration = Duration::from_millis(5);
/// Octets that may wait. Whoever comes then waits for room: a line is never dropped.
const MOST_WAITING: usize = 1024 * 1024;

/// Where lines go.
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// There is something to write.
    filled: Condvar,
    /// Something was written.
    emptied: Condvar,
}

struct State {
    output: Option<Box<dyn Write + Send>>,
    waiting: Vec<u8>,
    writer: Writer,
    /// When the window began, the lines in it, and whether the one before it had many.
    window: Instant,
    lines: u32,
    many: bool,
}

impl Lines {
    /// Writes to `output`.
    pub(super) fn to(output: impl Write + Send + 'static) -> Self {
        let state = State {
            output: Some(Box::new(output)),
            waiting: Vec::new(),
            writer: Writer::None,
            window: Instant::now(),
            lines: 0,
            many: false,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), filled: Condvar::new(), emptied: Condvar::new() }))
    }

    /// Returns once every line is written.
    pub(super) fn flush(&self) {
        let mut state = locked(&self.0.state);
        self.0.filled.notify_one();
        while !state.is_written() {
            state = wait(&self.0.emptied, state);
        }
    }

    fn add(&self, line: &[u8]) {
        let mut state = locked(&self.0.state);
        let now = Instant::now();
        let few = state.are_few(now);
        if state.is_written() && (few || !self.has_writer(&mut state)) {
            if let Some(output) = &mut state.output {
                put(output.as_mut(), line);
            }
            let more = u32::try_from(now.elapsed().as_micros() / USUAL.as_micros()).unwrap_or(u32::MAX);
            state.lines = state.lines.saturating_add(more);
            return;
        }
        while state.waiting.len() >= MOST_WAITING {
            state = wait(&self.0.emptied, state);
        }
        state.waiting.extend_from_slice(line);
        if state.writer == Writer::Sleeps {
            state.writer = Writer::Awake;
            self.0.filled.notify_one();
        }
    }

    /// Whether there is a thread that writes. It begins when it is needed first: a start has few lines, and root must be
    /// given up while no other thread is there.
    fn has_writer(&self, state: &mut State) -> bool {
        if state.writer == Writer::None {
            let shared = Arc::clone(&self.0);
            if thread::Builder::new().name("log".to_owned()).spawn(move || shared.write_on()).is_ok() {
                state.writer = Writer::Awake;
            }
        }
        state.writer != Writer::None
    }
}

/// The thread that writes what others leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    None,
    Awake,
    /// Until it is woken.
    Sleeps,
}

impl State {
    /// Nothing waits, and nothing is being written.
    fn is_written(&self) -> bool {
        self.waiting.is_empty() && self.output.is_some()
    }

    /// Counts a line that comes `now`.
    fn are_few(&mut self, now: Instant) -> bool {
        let since = now.duration_since(self.window);
        if since >= WINDOW {
            self.many = self.lines > FEW && since < 2 * WINDOW;
            (self.window, self.lines) = (now, 0);
        }
        self.lines = self.lines.saturating_add(1);
        !self.many && self.lines <= FEW
    }
}

impl Shared {
    /// Writes what others leave, without end.
    fn write_on(&self) {
        let mut gathered = Vec::new();
        let mut state = locked(&self.state);
        loop {
            while state.waiting.is_empty() {
                state.writer = Writer::Sleeps;
                state = wait(&self.filled, state);
            }
            state.writer = Writer::Awake;
            drop(state);
            thread::sleep(GATHER);
            state = locked(&self.state);
            let Some(mut output) = state.output.take() else { continue };
            std::mem::swap(&mut gathered, &mut state.waiting);
            drop(state);
            put(output.as_mut(), &gathered);
            gathered.clear();
            state = locked(&self.state);
            state.output = Some(output);
            self.emptied.notify_all();
        }
    }
}

/// Nobody is left to tell when the log cannot be written.
fn put(output: &mut (dyn Write + Send), text: &[u8]) {
    let _ = output.write_all(text).and_then(|()| output.flush());
}

/// Every update leaves the value whole.
fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condition.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// An event is one line, and its subscriber writes it in one call.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Takes what is written, as slowly as `pause` says.
    #[derive(Clone, Default)]
    struct Output {
        text: Arc<Mutex<Vec<u8>>>,
        pause: Duration,
    }

    impl Output {
        fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.text.lock().unwrap().clone()).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    impl Write for Output {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            thread::sleep(self.pause);
            self.text.lock().unwrap().extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_few_lines_are_there_at_once() {
        let output = Output::default();
        let lines = Lines::to(output.clone());
        for number in 1..=20 {
            writeln!(io::LineWriter::new(&lines), "{number}").unwrap();
            assert_eq!(output.lines().len(), number);
        }
    }

    #[test]
    fn lines_are_many_until_a_window_has_few() {
        let lines = Lines::to(Output::default());
        let mut state = locked(&lines.0.state);
        let start = state.window;
        let mut at = |milliseconds, count| {
            let now = start + Duration::from_millis(milliseconds);
            (0..count).filter(|_| state.are_few(now)).count()
        };
        assert_eq!(at(0, 30), 25, "the first of them are written at once");
        assert_eq!(at(100, 5), 0, "there were many just now");
        assert_eq!(at(200, 5), 5, "and then few");
        assert_eq!(at(300, 30), 25);
        assert_eq!(at(600, 5), 5, "a pause is a window with none");
    }

    #[test]
    fn of_many_lines_from_many_threads_none_is_lost_or_torn_or_out_of_order() {
        const THREADS: usize = 8;
        const EACH: usize = 2_000;
        let output = Output { pause: Duration::from_millis(1), ..Output::default() };
        let lines = Lines::to(output.clone());
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let lines = &lines;
                scope.spawn(move || {
                    (0..EACH).for_each(|number| lines.add(format!("{thread} {number}\n").as_bytes()));
                });
            }
        });
        lines.flush();
        let written = output.lines();
        assert_eq!(written.len(), THREADS * EACH);
        for thread in 0..THREADS {
            let own: Vec<_> =
                written.iter().filter_map(|line| line.strip_prefix(&format!("{thread} "))).collect();
            let wanted: Vec<String> = (0..EACH).map(|number| number.to_string()).collect();
            assert_eq!(own, wanted);
        }
    }

    #[test]
    fn what_waits_is_bounded_and_comes_out() {
        let output = Output { pause: Duration::from_millis(20), ..Output::default() };
        let lines = Lines::to(output.clone());
        let line = format!("{}\n", "x".repeat(10_000));
        for _ in 0..1_000 {
            lines.add(line.as_bytes());
            assert!(locked(&lines.0.state).waiting.len() < MOST_WAITING + line.len());
        }
        lines.flush();
        assert_eq!(output.lines().len(), 1_000);
    }
}
