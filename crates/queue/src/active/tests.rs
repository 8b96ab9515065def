//! What is decided about an entry in hand, step by step.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::deliver::Destination;
use crate::entry::Head;
use crate::schedule::LIFETIME;
use kings_mail::id::TraceId;

const NOW: Moment = Moment { wall: 1_000, steady_since: 0, uptime: 50_000 };
const TERMS: Terms = Terms { jitter: 0.0, delay_warning: None, lifetime: LIFETIME };

fn active(recipients: &[&str]) -> Active {
    let id = TraceId::new(1, 1);
    let head = Head {
        id,
        arrived: 1_000,
        envelope: crate::testing::envelope("ann@example.org", recipients),
        content_length: 0,
        content_checksum: 0,
    };
    let due = Due { name: Name { id, next: 1_000 }, asked: None };
    Active::new(due, (Entry::new(head, 0, 0), None), NOW, TERMS)
}

fn run(active: &mut Active, places: &[usize], outcomes: Vec<Outcome>) {
    let _attempt = active.start(places);
    active.settle(places, outcomes, NOW);
}

fn report() -> Report {
    Report::ours(Status(4, 0, 0), "so")
}

#[test]
fn recipients_travel_by_destination_and_at_most_fifty_together() {
    let mut many: Vec<String> = (0..75).map(|n| format!("u{n}@a.example")).collect();
    many.push("x@b.example".into());
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut active = active(&names);
    let by_domain = |_: &Entry, path: &ForwardPath| Lane::Destination(Destination::from(path));
    let sizes = |active: &Active| {
        let groups = active.groups(by_domain);
        groups
            .iter()
            .map(|group| format!("{} {}", named(&group.lane), group.places.len()))
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(&active), ["a.example 50", "a.example 25", "b.example 1"]);
    let Group { places, .. } = active.groups(by_domain).remove(0);
    let attempt = active.start(&places)(Content::from(vec![]));
    assert_eq!((attempt.recipients.len(), attempt.number), (50, 1));
    assert_eq!(sizes(&active), ["a.example 25", "b.example 1"]);
}

/// Each counts where it goes, so one that is closed holds up no other.
#[test]
fn recipients_of_one_destination_part_where_their_lanes_do() {
    let active =
        active(&["ann@a.example", "joe@a.example", "bob@a.example", "joe@b.example", "eve@b.example"]);
    let joe_has_a_hub = |_: &Entry, path: &ForwardPath| match path {
        ForwardPath::Address(address) if address.local_part.as_str() == "joe" => Lane::NextHop("hub".into()),
        path => Lane::Destination(Destination::from(path)),
    };
    let groups = active.groups(joe_has_a_hub);
    let places: Vec<_> = groups.iter().map(|group| (named(&group.lane), group.places.as_slice())).collect();
    let expected = [("a.example", &[0, 2][..]), ("b.example", &[4]), ("hub", &[1, 3])];
    assert_eq!(places, expected.map(|(to, places)| (to.to_owned(), places)));
}

fn named(lane: &Lane) -> String {
    match lane {
        Lane::Destination(destination) => destination.to_string(),
        Lane::NextHop(name) => name.clone(),
    }
}

/// The host that takes them all is given the message once for each fifty of them.
#[test]
fn recipients_of_many_domains_behind_one_next_hop_travel_together() {
    let names: Vec<String> = (0..60).map(|n| format!("joe@d{n}.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let active = active(&names);
    let sizes = |lane: &dyn Fn(&Entry, &ForwardPath) -> Lane| -> Vec<usize> {
        active.groups(lane).iter().map(|group| group.places.len()).collect()
    };
    assert_eq!(sizes(&|_, _| Lane::NextHop("hub".into())), [50, 10]);
    assert_eq!(sizes(&|_, path| Lane::Destination(Destination::from(path))), [1; 60]);
}

#[test]
fn a_wholly_delivered_entry_is_removed_without_a_record() {
    let mut active = active(&["a@a.example"]);
    run(&mut active, &[0], vec![Outcome::Relayed(report())]);
    assert_eq!(active.next_step(NOW), Step::Remove);
    active.busy = true;
    assert_eq!(active.next_step(NOW), Step::Wait);
}

#[test]
fn outcomes_are_written_while_other_attempts_run() {
    let mut active = active(&["a@a.example", "b@b.example"]);
    let _running = active.start(&[1]);
    run(&mut active, &[0], vec![Outcome::Relayed(report())]);
    let Step::Write(1, bytes) = active.next_step(NOW) else { panic!("it is not written") };
    active.written(1, bytes.len() as u64);
    assert_eq!(active.next_step(NOW), Step::Wait);
}

#[test]
fn a_failure_is_written_then_reported_then_removed() {
    let mut active = active(&["a@a.example"]);
    run(&mut active, &[0], vec![Outcome::Failed(report())]);
    assert!(matches!(active.next_step(NOW), Step::Write(1, _)));
    active.written(1, 10);
    assert_eq!(active.next_step(NOW), Step::Report(Occasion::Failure, vec![0]));
    active.report_later = true;
    assert_eq!(active.next_step(NOW), Step::Release(Release::At(1_300)));
    active.reported(Occasion::Failure, &[0], NOW);
    assert_eq!(active.next_step(NOW), Step::Remove);
}

#[test]
fn a_deferral_is_released_with_its_next_attempt() {
    let mut active = active(&["a@a.example", "b@b.example"]);
    run(&mut active, &[0], vec![Outcome::Deferred(report())]);
    run(&mut active, &[1], vec![]);
    active.written(2, 10);
    assert_eq!(active.next_step(NOW), Step::Release(Release::At(1_300)));
    active.queued = Queued::InLine;
    assert_eq!(active.next_step(NOW), Step::Release(Release::InLine));
    active.queued = Queued::Full;
    assert_eq!(active.next_step(NOW), Step::Release(Release::Now { asked: None }));
}

#[test]
fn a_deferral_after_the_lifetime_is_a_failure() {
    let mut active = active(&["a@a.example"]);
    let _attempt = active.start(&[0]);
    let later = Moment { wall: 1_000 + 5 * 86_400, ..NOW };
    active.settle(&[0], vec![Outcome::Deferred(report())], later);
    assert_eq!(active.entry.owed(Occasion::Failure), [0]);
    assert_eq!(active.entry.recipients[0].last.as_ref().unwrap().1.status, Status::EXPIRED);
}

#[test]
fn damaged_and_vanished_entries_end_when_nothing_runs() {
    for (fate, step) in [(Fate::Damaged, Step::SetAside), (Fate::Gone, Step::Forget)] {
        let mut active = active(&["a@a.example", "b@b.example"]);
        let _both = (active.start(&[0]), active.start(&[1]));
        active.abandon(fate);
        assert_eq!(active.next_step(NOW), Step::Wait);
        active.abandon(fate);
        assert_eq!(active.next_step(NOW), step);
    }
}

#[test]
fn a_clock_gone_wrong_makes_nobody_spin() {
    assert_eq!(Active::due_after(0, NOW), 51_000);
    assert_eq!(Active::due_after(1_300, NOW), 350_000);
}
