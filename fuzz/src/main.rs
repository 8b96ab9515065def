//! Runs the fuzz targets with the stable compiler: `cargo run -p kings-fuzz --release -- mime --seconds 60`.
//!
//! Chance comes from one seed, which is printed, so a run can be repeated. A panic, more than a second or
//! more than 256 MB for one input is a failure: the input is saved, the command that replays it is
//! printed, and the exit status is 1. What kills the process at once (a stack overflow) is found by
//! running again with the same seed and `--keep-current`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod watch;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use kings_fuzz::mutate::{Random, mutate};
use kings_fuzz::targets::{TARGETS, Target};
use watch::{Finding, Running};

/// Most inputs kept for further change, besides the seeds.
const CORPUS: usize = 1_024;

/// What a worker of the server's runtime has: recursion that is too deep there must be so here.
const STACK: usize = 2 * 1024 * 1024;

/// Feeds random input to the parsers and sessions of Kings.
#[derive(Parser)]
#[command(name = "kings-fuzz")]
struct Options {
    /// Which target; `all` for one after the other, `list` to see them.
    #[arg(default_value = "all")]
    target: String,
    /// Seconds for each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where chance starts; the clock by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Run this one input instead.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Write every input to this file before it runs.
    #[arg(long)]
    keep_current: Option<PathBuf>,
    /// Where failing inputs are saved.
    #[arg(long, default_value = "target/fuzz")]
    findings: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.target == "list" {
        for target in TARGETS {
            println!("{}", target.name);
        }
        return ExitCode::SUCCESS;
    }
    let targets: Vec<&Target> =
        TARGETS.iter().filter(|target| options.target == "all" || target.name == options.target).collect();
    if targets.is_empty() || (options.replay.is_some() && targets.len() != 1) {
        eprintln!("kings-fuzz: no such target; `kings-fuzz list` shows them, --replay needs one");
        return ExitCode::from(2);
    }
    let running = Running::default();
    let findings = options.findings.clone();
    running.watch(move |Finding { what, target, input }| {
        report(target, &findings, what, &input);
        std::process::exit(1);
    });
    let work = || {
        targets.iter().all(|target| match &options.replay {
            Some(path) => replay(target, path, &options, &running),
            None => Run::new(target, &options, &running).go(),
        })
    };
    let passed = std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        worker.is_ok_and(|worker| worker.join().unwrap_or(false))
    });
    if passed { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn replay(target: &'static Target, path: &Path, options: &Options, running: &Running) -> bool {
    let input = match std::fs::read(path) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("kings-fuzz: {}: {error}", path.display());
            return false;
        }
    };
    let passed = Run::new(target, options, running).execute(&input);
    println!("{}: {} on {} octets", target.name, if passed { "ok" } else { "FAILED" }, input.len());
    passed
}

/// One target, fed until the time is over.
struct Run<'a> {
    target: &'static Target,
    options: &'a Options,
    seed: u64,
    random: Random,
    running: &'a Running,
}

impl<'a> Run<'a> {
    fn new(target: &'static Target, options: &'a Options, running: &'a Running) -> Self {
        let seed = options.seed.unwrap_or_else(seed_from_clock);
        Self { target, options, seed, random: Random::new(seed), running }
    }

    fn go(mut self) -> bool {
        println!("{}: seed {}, {} s", self.target.name, self.seed, self.options.seconds);
        let start = Instant::now();
        let seeds = self.target.seeds();
        let mut corpus = seeds.clone();
        let mut executions = 0_u64;
        if !seeds.iter().all(|seed| self.execute(seed)) {
            return false;
        }
        while start.elapsed() < Duration::from_secs(self.options.seconds) {
            let input = self.next_input(&corpus, seeds.len());
            if !self.execute(&input) {
                return false;
            }
            executions += 1;
            self.remember(input, &mut corpus, seeds.len());
        }
        println!("{}: ok, {executions} executions from {} seeds", self.target.name, seeds.len());
        true
    }

    /// Every other time from a seed: changes of changes of changes soon have no structure left.
    fn next_input(&mut self, corpus: &[Vec<u8>], seeds: usize) -> Vec<u8> {
        let first = if self.random.below(2) == 0 { &corpus[..seeds] } else { corpus };
        let base = self.random.pick(first).map_or(&[][..], Vec::as_slice);
        let other = self.random.pick(corpus).map_or(&[][..], Vec::as_slice);
        mutate(base, other, self.target.dictionary, &mut self.random)
    }

    /// Keeps one input in sixty-four, so that changes add up; the seeds always stay.
    fn remember(&mut self, input: Vec<u8>, corpus: &mut Vec<Vec<u8>>, seeds: usize) {
        if self.random.below(64) != 0 {
            return;
        }
        if corpus.len() < seeds + CORPUS {
            corpus.push(input);
        } else {
            corpus[seeds + self.random.below(CORPUS)] = input;
        }
    }

    /// Runs one input; false, and reported, if it panics.
    fn execute(&self, input: &[u8]) -> bool {
        if let Some(path) = &self.options.keep_current
            && let Err(error) = std::fs::write(path, input)
        {
            eprintln!("kings-fuzz: {}: {error}", path.display());
        }
        self.running.start(self.target.name, input);
        let run = self.target.run;
        let passed = std::panic::catch_unwind(|| run(input)).is_ok();
        if !passed && self.options.replay.is_none() {
            report(self.target.name, &self.options.findings, "a panic", input);
        }
        passed
    }
}

fn seed_from_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) << 20 ^ since.as_secs()
}

/// Saves the input under a name made from its content and says how to run it again.
fn report(target: &str, findings: &Path, what: &str, input: &[u8]) {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    let path = findings.join(format!("{target}-{:016x}", hasher.finish()));
    let saved = std::fs::create_dir_all(findings).and_then(|()| std::fs::write(&path, input));
    eprintln!("{target}: FAILED with {what} on {} octets", input.len());
    match saved {
        Ok(()) => {
            eprintln!("replay: cargo run -p kings-fuzz --release -- {target} --replay {}", path.display());
        }
        Err(error) => eprintln!("cannot save {}: {error}", path.display()),
    }
}
