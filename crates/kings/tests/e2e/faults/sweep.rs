//! One piece of work, done again and again, with a kill at every system call that the server makes for it.

use std::time::Duration;

use super::strace::{Point, Strace, observe};
use crate::harness::{Kings, show};

/// How long a kill may take to come after the answer that it came too late for.
const DEATH: Duration = Duration::from_millis(500);

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
    pub(super) fn run(&self, kings: &mut Kings) {
        self.pass(kings, "warm up");
        if self.before.is_some() {
            kings.kill();
            kings.serve();
        }
        let log = kings.folder().join("calls");
        self.begin(kings, "observed");
        let (points, counted) = observe(kings.process(), &log, || self.unharmed(kings, "observed"));
        assert!(points.len() >= counted, "{} points, but strace counted {counted}", points.len());
        let mut due =
            vec![("warm up".to_owned(), self.done.to_vec()), ("observed".to_owned(), self.done.to_vec())];
        let mut met = 0;
        for (number, point) in points.iter().enumerate() {
            let subject = format!("killed at {number} end");
            if self.before.is_none() {
                let warm_up = format!("warm up {number} end");
                self.pass(kings, &warm_up);
                due.push((warm_up, self.done.to_vec()));
            }
            self.begin(kings, &subject);
            let (expected, died) = self.strike(kings, point, &subject);
            met += usize::from(died);
            self.check(kings, &subject, &expected, &format!("{point:?}"));
            due.push((subject, expected));
        }
        for (subject, expected) in &due {
            self.check(kings, subject, expected, "at the end");
        }
        let (name, points) = (self.name, points.len());
        show(&format!("{name}: {points} points, strace counted {counted}, the kill came at {met}"));
        // Some calls, of clocks and of who wakes whom, differ from run to run; most must be met.
        assert!(met * 10 >= points * 8, "only {met} of {points} points were met");
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
