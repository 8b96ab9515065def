//! Many messages, slow and dead destinations.

use super::*;

/// RM-05: a hundred dead destinations, one of them with thousands of messages, and one that lives.
#[tokio::test(start_paused = true)]
async fn dead_destinations_delay_no_other_and_are_not_tried_over_and_over() {
    let rig = Rig::quick();
    for number in 0..5_000 {
        let dead = if number < 3_000 { 0 } else { number % 100 };
        rig.submit(number, "ann@example.org", &[&format!("ok@dead{dead}.example")]).await;
    }
    let arrived = Instant::now();
    for number in 5_000..5_100 {
        rig.submit(number, "ann@example.org", &["ok@live.example"]).await;
    }
    rig.wait(4 * MINUTE).await;
    let deliveries: Vec<_> = {
        let log = rig.deliverer.log.lock().unwrap();
        log.iter().map(|delivery| (delivery.at, delivery.recipients[0].clone())).collect()
    };
    let (live, dead): (Vec<_>, Vec<_>) = deliveries.into_iter().partition(|(_, to)| to.contains("live"));
    let last = live.iter().map(|(at, _)| *at - arrived).max().unwrap();
    assert!(live.len() == 100 && last < MINUTE, "{} within {last:?}", live.len());
    assert!(
        (200..=400).contains(&dead.len()),
        "a few probes each, not thousands of attempts: {}",
        dead.len()
    );
    let suspended = |entry: &ListedEntry| {
        entry.recipients[0].last_reply.as_deref() == Some("not tried, for just before: no answer")
    };
    let count = rig.entries().await.iter().filter(|entry| suspended(entry)).count();
    assert!(count > 4_500, "{count}");
}

#[tokio::test(start_paused = true)]
async fn thousands_of_messages_of_one_sender_do_not_delay_another_sender() {
    let rig = Rig::quick();
    for number in 0..2_000 {
        rig.submit(number, "news@example.org", &["ok@slow.example"]).await;
    }
    rig.submit(9_999, "ann@example.org", &["ok2.ann@slow.example"]).await;
    rig.wait(21 * MINUTE).await;
    assert!(rig.recipients().contains(&"<ok2.ann@slow.example>".to_owned()), "{:?}", rig.recipients());
}

#[tokio::test(start_paused = true)]
async fn a_slow_domain_delays_nobody_else() {
    let rig = Rig::new();
    for number in 0..50 {
        rig.submit(number, "ann@example.org", &["ok@slow.example", "ok@a.example"]).await;
    }
    rig.submit(99, "ann@example.org", &["ok@b.example"]).await;
    rig.wait(MINUTE).await;
    let quick = rig.recipients();
    assert_eq!(quick.len(), 51, "one each, none of them slow");
    rig.settled().await;
    assert_eq!(rig.recipients().len(), 101);
    let rounds = rig.minutes().into_iter().filter(|minute| *minute > 0);
    let series = rounds.fold(BTreeMap::<u64, usize>::new(), |mut series, minute| {
        *series.entry(minute).or_default() += 1;
        series
    });
    assert_eq!(series.into_iter().collect::<Vec<_>>(), [(10, 2), (20, 4), (30, 8), (40, 16), (50, 20)]);
    assert_eq!(rig.deliverer.running.lock().unwrap().most_per_destination, 20);
}

#[tokio::test(start_paused = true)]
async fn when_all_places_are_taken_the_rest_waits_and_nothing_is_lost() {
    let rig = Rig::with(|settings| settings.limits = Limits { attempts: 2, attempts_per_destination: 1 });
    for number in 0..20 {
        let (first, second) = (format!("ok@x{number}.example"), format!("ok@y{number}.example"));
        rig.submit(number, "ann@example.org", &[&first, &second, "ok@slow.example"]).await;
    }
    rig.settled().await;
    let all = rig.recipients();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (60, 41), "each once");
    assert_eq!(rig.deliverer.running.lock().unwrap().most, 2);
}

/// Both destinations of the third message are busy, and both call it at the same moment.
#[tokio::test(start_paused = true)]
async fn a_message_called_by_two_destinations_at_once_is_sent_once_to_each() {
    let rig = Rig::with(|settings| settings.limits = Limits { attempts: 100, attempts_per_destination: 1 });
    rig.submit(1, "ann@example.org", &["first@slow1.example", "first@slow2.example"]).await;
    rig.wait(MINUTE).await;
    rig.submit(2, "ann@example.org", &["ok@slow1.example", "ok@slow2.example"]).await;
    rig.settled().await;
    let recipients: BTreeSet<_> = rig.recipients().into_iter().collect();
    assert_eq!((recipients.len(), rig.recipients().len()), (4, 4), "{recipients:?}");
    assert_eq!(rig.deliverer.running.lock().unwrap().most_per_destination, 1);
}
