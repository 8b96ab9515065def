//! What operators see and do.

use std::time::UNIX_EPOCH;

use super::reports::subjects;
use super::*;

#[tokio::test(start_paused = true)]
async fn what_is_held_waits_over_restarts_until_it_is_released() {
    let rig = Rig::new();
    let first = rig.submit(1, "ann@example.org", &["later@a.example", "ok@a.example"]).await;
    rig.wait(MINUTE).await;
    rig.queue.order(first, Order::Hold).await.unwrap();
    assert_eq!(rig.files(), [format!("entries/{first}.held")]);
    let states: Vec<_> =
        rig.entries().await[0].recipients.iter().map(|r| (r.state, r.next_attempt)).collect();
    assert_eq!(states, [(RecipientState::Held, None), (RecipientState::Delivered, None)]);
    assert!(matches!(rig.queue.order(first, Order::Retry).await, Err(OrderError::Held)));
    assert_eq!(rig.queue.retry_all(&BTreeSet::new()), Some(vec![]));
    rig.wait(DAY).await;
    let rig = rig.restart().await;
    rig.wait(DAY).await;
    assert_eq!((rig.recipients().len(), rig.queue.len()), (0, 1));
    rig.queue.order(first, Order::Release).await.unwrap();
    rig.wait(MINUTE).await;
    assert_eq!(rig.recipients(), ["<later@a.example>"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_gone_and_what_is_bounced_is_told() {
    let rig = Rig::new();
    let [first, second, third] = [1, 2, 3].map(id);
    rig.submit(1, "ann@example.org", &["later@a.example"]).await;
    rig.submit(2, "ann@example.org", &["later@a.example", "ok@a.example"]).await;
    rig.submit_asking(3, "later@a.example", "NEVER", MailParameters::default()).await;
    rig.wait(MINUTE).await;
    rig.queue.order(first, Order::Drop).await.unwrap();
    rig.queue.order(second, Order::Bounce).await.unwrap();
    rig.queue.order(third, Order::Hold).await.unwrap();
    rig.queue.order(third, Order::Bounce).await.unwrap();
    rig.wait(MINUTE).await;
    assert_eq!((rig.queue.len(), rig.files()), (0, vec![]));
    let told = rig.deliverer.bounce_texts();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("given up by the administrator") && !told[0].contains("ok@a.example"),
        "{}",
        told[0]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_being_tried_is_not_changed_and_what_stands_in_line_is() {
    let rig = Rig::with(|settings| settings.limits = Limits { attempts: 100, attempts_per_destination: 1 });
    let running = rig.submit(1, "ann@example.org", &["ok@slow.example"]).await;
    rig.wait(MINUTE).await;
    let waiting = rig.submit(2, "ann@example.org", &["ok@slow.example"]).await;
    rig.submit(3, "ann@example.org", &["ok@slow.example"]).await;
    rig.wait(MINUTE).await;
    for order in [Order::Hold, Order::Drop, Order::Bounce] {
        assert!(matches!(rig.queue.order(running, order).await, Err(OrderError::Busy)), "{order:?}");
    }
    rig.queue.order(waiting, Order::Hold).await.unwrap();
    rig.wait(HOUR).await;
    assert_eq!((rig.recipients().len(), rig.queue.len()), (2, 1));
    rig.queue.order(waiting, Order::Drop).await.unwrap();
    assert!(rig.queue.is_empty());
}

/// While no server runs the order is all there is: the next start acts on it.
#[tokio::test(start_paused = true)]
async fn orders_given_while_nothing_runs_act_at_the_next_start() {
    let rig = Rig::new();
    for number in 1..=4 {
        rig.submit(number, "ann@example.org", &["later@a.example"]).await;
    }
    rig.wait(MINUTE).await;
    let folder = rig.stop().await;
    let queue = Queue::open(settings(folder.path())).unwrap();
    assert!(!queue.is_scanned());
    queue.look().unwrap();
    for (number, order) in [(1, Order::Retry), (2, Order::Bounce), (3, Order::Hold)] {
        queue.order(id(number), order).await.unwrap();
    }
    drop(queue);
    let queue = Queue::open(settings(folder.path())).unwrap();
    let rig = Rig::start(folder, queue, Arc::default());
    rig.wait(MINUTE).await;
    assert_eq!(
        (rig.recipients(), subjects(&rig).len(), rig.queue.len()),
        (vec!["<later@a.example>".to_owned()], 1, 3)
    );
}

#[tokio::test(start_paused = true)]
async fn filters_find_by_sender_recipient_id_reason_state_and_age() {
    let rig = Rig::new();
    rig.submit(1, "ann@example.org", &["later@a.example"]).await;
    rig.submit(2, "", &["later@b.example"]).await;
    rig.wait(HOUR).await;
    rig.submit(3, "joe@example.org", &["second@a.example"]).await;
    rig.wait(MINUTE).await;
    rig.queue.order(id(2), Order::Hold).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    let all = Filter::default;
    let cases = [
        (all(), vec![1, 2, 3]),
        (Filter { sender: text("ANN@"), ..all() }, vec![1]),
        (Filter { sender: text("<>"), ..all() }, vec![2]),
        (Filter { recipient: text("@a.example"), ..all() }, vec![1, 3]),
        (Filter { recipient: text("@a.example"), reason: text("greylist"), ..all() }, vec![3]),
        (Filter { reason: text("450"), ..all() }, vec![1, 2, 3]),
        (Filter { id: text(&id(3).to_string()), ..all() }, vec![3]),
        (Filter { id: text(&id(3).to_string()[..3]), ..all() }, vec![1, 2, 3]),
        (Filter { state: Some(RecipientState::Held), ..all() }, vec![2]),
        (Filter { older: Some(30 * MINUTE), ..all() }, vec![1, 2]),
        (Filter { older: Some(DAY), ..all() }, vec![]),
    ];
    for (filter, expected) in cases {
        let page = rig.queue.page(filter.clone(), None).await;
        let found: Vec<_> = page.entries.iter().map(|entry| entry.id).collect();
        let expected: Vec<_> = expected.into_iter().map(id).collect();
        assert_eq!((found, page.next), (expected, None), "{filter:?}");
    }
    let details = rig.queue.details(id(1)).await.unwrap();
    assert_eq!(details.header, b"Subject: hi\r\n");
    let events: Vec<_> = details.history.iter().map(|happening| happening.event).collect();
    assert!(events.len() >= 4 && events.iter().all(|event| *event == "deferred"), "{events:?}");
    assert_eq!(rig.queue.details(id(77)).await, None);
}

#[tokio::test(start_paused = true)]
async fn pages_are_bounded_and_together_hold_every_entry() {
    let folder = tempdir().unwrap();
    let queue = Queue::open_on(settings(folder.path()), Arc::new(QuickDisk)).unwrap();
    for number in 0..1_100 {
        queue
            .submit(id(number), envelope("ann@example.org", &["joe@a.example"]), Cursor::new(CONTENT))
            .await
            .unwrap();
    }
    let (mut sizes, mut after) = (Vec::new(), None);
    loop {
        let page = queue.page(Filter::default(), after).await;
        sizes.push(page.entries.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [500, 500, 100]);
}

#[tokio::test]
async fn a_page_read_while_entries_get_other_names_holds_each_once() {
    let folder = tempdir().unwrap();
    let queue = Queue::open_on(settings(folder.path()), Arc::new(Interrupted)).unwrap();
    let ids: Vec<_> = (0..10).map(id).collect();
    for &id in &ids {
        let envelope = envelope("ann@example.org", &["joe@a.example"]);
        queue.submit(id, envelope, Cursor::new(CONTENT)).await.unwrap();
    }
    let renaming = queue.clone();
    let task = tokio::task::spawn_blocking(move || {
        for next in 1..10 {
            for id in (0..10).map(id) {
                let name = renaming.timetable().name(id).unwrap();
                renaming.reschedule(name, name.next + next);
            }
        }
    });
    let mut pages = 0;
    while !task.is_finished() {
        let page = queue.page(Filter::default(), None).await;
        let listed: Vec<_> = page.entries.iter().map(|entry| entry.id).collect();
        assert_eq!((listed, page.damaged), (ids.clone(), vec![]), "page {pages}");
        pages += 1;
    }
    task.await.unwrap();
    assert!(pages > 10, "only {pages} pages were read meanwhile");
    // One that really goes is missed at once, and not waited for.
    let name = queue.timetable().name(ids[0]).unwrap();
    std::fs::remove_file(folder.path().join(format!("entries/{name}"))).unwrap();
    queue.timetable().forget(ids[0]);
    assert_eq!(queue.page(Filter::default(), None).await.entries.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn retry_makes_an_entry_due_now() {
    let rig = Rig::new();
    let first = rig.submit(1, "ann@example.org", &["later@a.example"]).await;
    rig.submit(2, "ann@example.org", &["later@b.example"]).await;
    rig.wait(MINUTE).await;
    rig.queue.order(first, Order::Retry).await.unwrap();
    assert!(matches!(rig.queue.order(id(77), Order::Retry).await, Err(OrderError::Unknown)));
    rig.wait(MINUTE).await;
    assert_eq!(rig.recipients()[2..], ["<later@a.example>"]);
    assert_eq!(rig.queue.retry_all(&BTreeSet::new()).unwrap().len(), 2);
    rig.wait(MINUTE).await;
    assert_eq!(rig.recipients().len(), 5);
    assert_eq!(rig.minutes(), [0, 0, 1, 2, 2]);
}

/// RFC 4865: not before, and the days in the queue count from then.
#[tokio::test(start_paused = true)]
async fn what_its_sender_holds_waits_until_then_over_restarts_and_lives_as_long_as_other_mail() {
    let hold = |hold| MailParameters { hold: Some(hold), ..MailParameters::default() };
    let rig = Rig::new();
    rig.submit_asking(1, "later@a.example", "", hold(Hold::For(2 * 86_400))).await;
    rig.submit_asking(2, "ok@a.example", "", hold(Hold::Until(START + 3 * 86_400))).await;
    rig.wait(DAY).await;
    assert_eq!(rig.recipients(), [""; 0]);
    let listed = rig.entries().await;
    let next: Vec<_> = listed.iter().map(|entry| entry.recipients[0].next_attempt.unwrap().unix()).collect();
    assert_eq!(next, [2, 3].map(|days| i64::try_from(START).unwrap() + days * 86_400));
    rig.wait(2 * DAY + MINUTE).await;
    assert_eq!(rig.minutes()[0], 2 * 24 * 60);
    assert_eq!(rig.recipients().last().unwrap(), "<ok@a.example>");
    rig.settled().await;
    let minutes = rig.minutes();
    assert!(
        (7 * 1_440..7 * 1_440 + 2).contains(minutes.last().unwrap()),
        "five days from its release: {minutes:?}"
    );
    // Restarts look at it again and again, and a clock that is set back keeps it no longer than was asked for.
    let rig = Rig::new();
    rig.submit_asking(1, "ok@a.example", "", hold(Hold::For(3_600))).await;
    rig.wait(HOUR / 2).await;
    let folder = rig.stop().await;
    let began = Instant::now();
    let mut wrong = settings(folder.path());
    wrong.wall_clock = Arc::new(move || std::time::UNIX_EPOCH + MINUTE + began.elapsed());
    let rig = Rig::start(folder, Queue::open(wrong).unwrap(), Arc::default());
    rig.wait(6 * HOUR).await;
    assert_eq!(rig.recipients(), ["<ok@a.example>"]);
}

#[tokio::test(start_paused = true)]
async fn what_its_sender_holds_is_sent_early_by_a_release_and_by_nothing_else() {
    let rig = Rig::new();
    let parameters = MailParameters { hold: Some(Hold::For(86_400)), ..MailParameters::default() };
    rig.submit_asking(1, "later@a.example", "", parameters).await;
    rig.wait(MINUTE).await;
    rig.queue.retry_all(&BTreeSet::new());
    assert_eq!(rig.queue.wanted().await, BTreeSet::from([id(1)]));
    let until = rig.entries().await[0].wanted_until.unwrap();
    let told = rig.queue.order(id(1), Order::Retry).await.unwrap_err().to_string();
    let id_text = id(1);
    assert_eq!(
        told,
        format!("its sender wants it to wait until {until}; release it with  kings queue release {id_text}")
    );
    rig.wait(HOUR).await;
    assert_eq!(rig.recipients(), [""; 0]);
    rig.queue.order(id(1), Order::Release).await.unwrap();
    rig.wait(MINUTE).await;
    assert_eq!(rig.recipients(), ["<later@a.example>"]);
    assert_eq!(rig.entries().await[0].wanted_until, None);
    assert_eq!(rig.queue.wanted().await, BTreeSet::new(), "it waits as any other mail");
    rig.queue.order(id(1), Order::Retry).await.unwrap();
    rig.wait(MINUTE).await;
    assert_eq!(rig.recipients().len(), 2, "as any other mail");
    rig.settled().await;
    let last = *rig.minutes().last().unwrap();
    assert!((7_261..7_263).contains(&last), "five days from then: {last}");
}

/// Opens the folder again, with a clock that has gone on meanwhile.
fn reopened(folder: &TempDir, began: Instant) -> Queue {
    let mut settings = settings(folder.path());
    settings.wall_clock = Arc::new(move || UNIX_EPOCH + Duration::from_secs(START) + began.elapsed());
    Queue::open(settings).unwrap()
}

/// They come in addition: the waits grow with the attempts of the schedule alone, in memory and as read again, and the
/// life of a message ends when it would have ended.
#[tokio::test(start_paused = true)]
async fn attempts_that_somebody_asked_for_leave_the_schedule_as_it_is() {
    for restarts in [false, true] {
        let mut rig = Rig::new();
        let began = rig.began;
        let id = rig.submit(1, "ann@example.org", &["later@a.example"]).await;
        for _ in 0..3 {
            rig.wait(MINUTE).await;
            rig.queue.order(id, Order::Retry).await.unwrap();
        }
        rig.wait(MINUTE).await;
        let mut minutes = rig.minutes();
        if restarts {
            let folder = rig.stop().await;
            let queue = reopened(&folder, began);
            rig = Rig::start(folder, queue, Arc::default());
        }
        rig.wait(4 * MINUTE).await;
        assert_eq!(rig.queue.retry_all(&BTreeSet::new()), Some(vec![id]));
        rig.wait(32 * MINUTE).await;
        let entry = rig.entries().await.remove(0);
        rig.settled().await;
        if restarts {
            minutes.extend(rig.minutes().into_iter().map(|minute| minute + 4));
        } else {
            minutes = rig.minutes();
        }
        assert_eq!(minutes[..4], [0, 1, 2, 3]);
        let planned = [5..=5, 8..=8, 15..=16, 35..=38, 75..=82];
        let kept = planned.iter().zip(&minutes[4..]).all(|(plan, minute)| plan.contains(minute));
        assert!(kept, "{minutes:?}");
        assert_eq!(entry.recipients[0].attempts, 8, "all of them are attempts");
        let last = *minutes.last().unwrap();
        assert!((7_199..7_202).contains(&last), "five days: {last}");
    }
}

/// The mirror image: what was due anyway is an attempt of the schedule, whoever asks for it; and an attempt that somebody
/// asked for while no server ran is none.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_due_counts_though_somebody_asked_for_it() {
    let rig = Rig::new();
    let began = rig.began;
    let id = rig.submit(1, "ann@example.org", &["later@a.example"]).await;
    rig.wait(MINUTE).await;
    let folder = rig.stop().await;
    let queue = reopened(&folder, began);
    queue.look().unwrap();
    queue.order(id, Order::Retry).await.unwrap();
    drop(queue);
    let queue = reopened(&folder, began);
    let rig = Rig::start(folder, queue, Arc::default());
    rig.wait(20 * MINUTE).await;
    assert!(matches!(rig.minutes()[..], [0, 5, 15..=16]), "{:?}", rig.minutes());
    // Its time passes while no server runs, and at the next start it is due.
    let folder = rig.stop().await;
    tokio::time::sleep(HOUR).await;
    let queue = reopened(&folder, began);
    queue.look().unwrap();
    assert_eq!(queue.retry_all(&BTreeSet::new()), None, "nobody would try it");
    let rig = Rig::start(folder, queue, Arc::default());
    rig.wait(HOUR).await;
    assert!(matches!(rig.minutes()[..], [0, 40..=44]), "the fourth wait: {:?}", rig.minutes());
}
