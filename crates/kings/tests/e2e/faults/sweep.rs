//! One piece of work, done again and again, with a kill at every system call that the server makes for it.

use std::time::Duration;

use super::strace::{Observation, Point, Strace, observe};
use crate::harness::{Kings, show};

/// How long a kill may take to come after the answer that it came too late for.
const DEATH: Duration = Duration::from_millis(500);

/// How often the work is observed before the kills.
const OBSERVATIONS: usize = 3;
/// How often a point is tried that every observation had, and one that only some had.
const STEADY_TRIES: u32 = 8;
const FLEETING_TRIES: u32 = 3;
/// One in so many of the points that every observation had may fail to come in all its tries.
const MAY_MISS: usize = 20;
/// Longer before each try than before the one before it by this.
const PAUSE: Duration = Duration::from_millis(150);

/// Every point of several observations, and whether all of them had it.
struct Points(Vec<(Point, bool)>);

impl Points {
    fn of(observed: &[Observation]) -> Self {
        let has = |observation: &Observation, point: &Point| observation.points.contains(point);
        let mut all: Vec<(Point, bool)> = Vec::new();
        for point in observed.iter().flat_map(|observation| &observation.points) {
            if all.iter().all(|(known, _)| known != point) {
                all.push((point.clone(), observed.iter().all(|observation| has(observation, point))));
            }
        }
        Self(all)
    }
}

/// What must be true of a message at one of its places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It was acknowledged: it is there.
    There,
    /// Nobody was told.
    Perhaps,
    /// That it is gone was acknowledged.
    Gone,
}

impl Due {
    /// What is due when this was acknowledged, or was not.
    pub(super) fn when(acknowledged: bool) -> Self {
        if acknowledged { Self::There } else { Self::Perhaps }
    }

    /// Whether this many copies are right; none may be there more often than `most`.
    fn allows(self, copies: usize, most: usize) -> bool {
        match self {
            Self::There => (1..=most).contains(&copies),
            Self::Perhaps => copies <= most,
            Self::Gone => copies == 0,
        }
    }
}

/// Makes ready for a message of this subject.
type Before<'a> = &'a dyn Fn(&Kings, &str);

/// What is done at each point.
pub(super) struct Sweep<'a> {
    pub(super) name: &'a str,
    /// Done before, unharmed, by a server that has just started. Where it is nothing, another message is sent: a server has
    /// its first one behind it at every point, as it had when the points were observed.
    pub(super) before: Option<Before<'a>>,
    /// Sends a message of this subject; what is due at each place then. All is well when it is what [`Sweep::done`] says.
    pub(super) send: &'a dyn Fn(&Kings, &str) -> Vec<Due>,
    /// What is due when nothing happens to the server.
    pub(super) done: &'a [Due],
    /// Waits until nothing is under way any more.
    pub(super) settle: &'a dyn Fn(&Kings),
    /// For each place the subjects of all messages that are there, each as often as it is there.
    pub(super) found: &'a dyn Fn(&Kings) -> Vec<Vec<String>>,
    /// How often a message may be at a place.
    pub(super) most: usize,
}

impl Sweep<'_> {
    /// Kills the server at every call it makes for one message, each time with a message of its own.
    ///
    /// A few calls are made in some runs and not in others: one thread wakes another, or finds it awake; the free space is
    /// looked at ten times a second. So the work is observed several times. What every observation has must be met, if
    /// not at once then by trying again, but for one in [`MAY_MISS`]; what only some have is tried more than once. Each point
    /// that did not come again is named.
    pub(super) fn run(&self, kings: &mut Kings) {
        self.pass(kings, "warm up");
        let mut due = vec![("warm up".to_owned(), self.done.to_vec())];
        let observed: Vec<Observation> =
            (0..OBSERVATIONS).map(|number| self.observe(kings, number, &mut due)).collect();
        let points = Points::of(&observed);
        let counted = observed.iter().map(|observation| observation.counted).max().unwrap_or_default();
        assert!(points.0.len() >= counted, "{} points, but strace counted {counted}", points.0.len());
        let (mut missed, mut fleeting) = (Vec::new(), Vec::new());
        for (number, (point, is_steady)) in points.0.iter().enumerate() {
            let tries = if *is_steady { STEADY_TRIES } else { FLEETING_TRIES };
            if !(0..tries).any(|again| self.try_at(kings, (number, again), point, &mut due)) {
                if *is_steady { &mut missed } else { &mut fleeting }.push(point.to_string());
            }
        }
        for (subject, expected) in &due {
            self.check(kings, subject, expected, "at the end");
        }
        let (name, all) = (self.name, points.0.len());
        let met = all - missed.len() - fleeting.len();
        show(&format!(
            "{name}: {all} points, strace counted {counted}, the kill came at {met}; did not come again: {missed:?}, and of \
             those that not every run has: {fleeting:?}"
        ));
        let steady = all - points.0.iter().filter(|(_, is_steady)| !is_steady).count();
        assert!(missed.len() * MAY_MISS <= steady, "{} of {steady} steady points were not met", missed.len());
    }

    /// One more message under observation, by a server that has as much behind it as at each point.
    fn observe(&self, kings: &mut Kings, number: usize, due: &mut Vec<(String, Vec<Due>)>) -> Observation {
        kings.kill();
        kings.serve();
        let subject = format!("observed {number} end");
        self.warm_up(kings, &subject, due);
        self.begin(kings, &subject);
        let log = kings.folder().join("calls");
        let observation = observe(kings.process(), &log, || self.unharmed(kings, &subject));
        due.push((subject, self.done.to_vec()));
        observation
    }

    /// One message, and a kill at this point of it; whether it came.
    fn try_at(
        &self,
        kings: &mut Kings,
        (number, again): (usize, u32),
        point: &Point,
        due: &mut Vec<(String, Vec<Due>)>,
    ) -> bool {
        let subject = format!("killed at {number} try {again} end");
        self.warm_up(kings, &subject, due);
        self.begin(kings, &subject);
        // What was done a moment ago is not done again by some calls.
        std::thread::sleep(PAUSE * again);
        let (expected, died) = self.strike(kings, point, &subject);
        self.check(kings, &subject, &expected, &format!("{point:?}"));
        due.push((subject, expected));
        died
    }

    fn warm_up(&self, kings: &Kings, subject: &str, due: &mut Vec<(String, Vec<Due>)>) {
        if self.before.is_none() {
            let warm_up = format!("warm up for {subject}");
            self.pass(kings, &warm_up);
            due.push((warm_up, self.done.to_vec()));
        }
    }

    /// One message that nothing happens to.
    #[track_caller]
    fn pass(&self, kings: &Kings, subject: &str) {
        self.begin(kings, subject);
        self.unharmed(kings, subject);
    }

    fn begin(&self, kings: &Kings, subject: &str) {
        if let Some(before) = self.before {
            before(kings, subject);
        }
    }

    #[track_caller]
    fn unharmed(&self, kings: &Kings, subject: &str) {
        assert_eq!((self.send)(kings, subject), self.done, "{subject} was not acknowledged");
        (self.settle)(kings);
    }

    /// Sends a message to a server that dies at `point`, then starts it again: what is due, and did it die?
    fn strike(&self, kings: &mut Kings, point: &Point, subject: &str) -> (Vec<Due>, bool) {
        let strace = Strace::kill_at(kings.process(), point);
        let due = (self.send)(kings, subject);
        let died = kings.ends_within(DEATH);
        drop(strace);
        kings.kill();
        kings.serve();
        (self.settle)(kings);
        (due, died)
    }

    #[track_caller]
    fn check(&self, kings: &Kings, subject: &str, expected: &[Due], when: &str) {
        for (place, (found, due)) in (self.found)(kings).iter().zip(expected).enumerate() {
            let copies = found.iter().filter(|known| *known == subject).count();
            assert!(
                due.allows(copies, self.most),
                "{subject} {when}: {copies} copies at place {place}, and it is {due:?}"
            );
        }
    }
}

#[test]
fn what_is_due_is_told_from_what_is_not() {
    for (due, right) in [
        (Due::There, [false, true, false]),
        (Due::Perhaps, [true, true, false]),
        (Due::Gone, [true, false, false]),
    ] {
        assert_eq!([0, 1, 2].map(|copies| due.allows(copies, 1)), right, "{due:?}");
    }
}

#[test]
fn points_of_several_runs_are_all_tried_and_those_of_every_run_must_be_met() {
    let point = |number| Point { thread: 0, call: "write".to_owned(), number };
    let observation = |most| Observation { points: (1..=most).map(point).collect(), counted: most };
    let Points(all) = Points::of(&[observation(2), observation(3), observation(2)]);
    assert_eq!(all, [(point(1), true), (point(2), true), (point(3), false)]);
}
