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
    let states = |recipient: &ListedRecipient| (recipient.attempts, recipient.state);
    for entry in rig.entries().await.iter().filter(|entry| suspended(entry)) {
        let (attempts, state) = states(&entry.recipients[0]);
        assert_eq!(state, RecipientState::Deferred);
        assert!(attempts <= 1, "to be put off is no attempt: {attempts}");
    }
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
    rig.submit(999, "ann@example.org", &["ok@b.example"]).await;
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
    assert_eq!(rig.deliverer.running.lock().unwrap().most_per_lane, 20);
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
    assert_eq!(rig.deliverer.running.lock().unwrap().most_per_lane, 1);
}

/// Many domains behind one smart host are one host: the time series of a single destination, and one message to forty
/// of them is one attempt.
#[tokio::test(start_paused = true)]
async fn all_destinations_behind_one_next_hop_share_its_window() {
    let rig = Rig::new();
    let all: Vec<String> = (0..40).map(|number| format!("ok@d{number}.via.slow.example")).collect();
    rig.submit(1, "ann@example.org", &all.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for number in 40..120 {
        rig.submit(number, "ann@example.org", &[&format!("ok@d{number}.via.slow.example")]).await;
    }
    rig.submit(999, "ann@example.org", &["ok@d.example"]).await;
    rig.settled().await;
    let log = rig.deliverer.log.lock().unwrap().clone();
    assert_eq!(log.iter().map(|delivery| delivery.recipients.len()).max(), Some(40));
    let series = rig.minutes().into_iter().fold(BTreeMap::<u64, usize>::new(), |mut series, minute| {
        *series.entry(minute).or_default() += 1;
        series
    });
    let expected = [(0, 1), (10, 2), (20, 4), (30, 8), (40, 16), (50, 20), (60, 20), (70, 11)];
    assert_eq!(series.into_iter().collect::<Vec<_>>(), expected);
    assert_eq!(rig.recipients().iter().collect::<BTreeSet<_>>().len(), 121, "each once");
    assert_eq!(rig.deliverer.running.lock().unwrap().most_per_lane, 20);
}

#[tokio::test(start_paused = true)]
async fn hundreds_of_destinations_behind_one_dead_next_hop_hold_up_no_other() {
    let rig = Rig::quick();
    for number in 0..1_000 {
        rig.submit(number, "ann@example.org", &[&format!("ok@d{number}.via.dead.example")]).await;
    }
    rig.submit(9_999, "ann@example.org", &["ok@live.example"]).await;
    rig.wait(Duration::from_secs(1)).await;
    assert_eq!(rig.recipients(), ["<ok@live.example>"]);
    rig.wait(4 * MINUTE).await;
    let attempts = rig.recipients().len() - 1;
    assert!((3..=8).contains(&attempts), "a few probes and not {attempts} attempts");
    let replies: BTreeSet<_> =
        rig.entries().await.iter().map(|entry| entry.recipients[0].last_reply.clone().unwrap()).collect();
    assert_eq!(
        replies.into_iter().collect::<Vec<_>>(),
        ["no answer", "not tried, for just before: no answer"]
    );
}

/// A sender of thousands through the smart host, to as many domains, delays another one by a turn.
#[tokio::test(start_paused = true)]
async fn senders_take_turns_at_a_next_hop() {
    let rig = Rig::quick();
    for number in 0..2_000 {
        rig.submit(number, "news@example.org", &[&format!("ok@d{number}.via.slow.example")]).await;
    }
    rig.submit(9_999, "ann@example.org", &["ok@ann.via.slow.example"]).await;
    rig.wait(21 * MINUTE).await;
    assert!(rig.recipients().contains(&"<ok@ann.via.slow.example>".to_owned()), "{:?}", rig.recipients());
}

/// A reload takes the smart host away while most stand in its line: none is lost and none goes twice.
#[tokio::test(start_paused = true)]
async fn entries_in_the_line_of_a_next_hop_survive_a_change_of_routes() {
    let rig = Rig::new();
    for number in 0..50 {
        let recipients = [0, 1].map(|half| format!("ok@d{}.via.slow.example", number * 2 + half));
        rig.submit(number, "ann@example.org", &recipients.each_ref().map(String::as_str)).await;
    }
    rig.wait(MINUTE).await;
    rig.deliverer.rerouted.store(true, std::sync::atomic::Ordering::SeqCst);
    rig.wait(MINUTE).await;
    rig.submit(100, "ann@example.org", &["ok@e.via.slow.example"]).await;
    rig.wait(MINUTE).await;
    assert_eq!(rig.recipients(), ["<ok@e.via.slow.example>"], "what comes now takes the new way");
    rig.settled().await;
    let all = rig.recipients();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (101, 101), "each once");
    rig.deliverer.rerouted.store(false, std::sync::atomic::Ordering::SeqCst);
    rig.submit(101, "ann@example.org", &["ok@f.via.slow.example"]).await;
    rig.settled().await;
    assert_eq!(rig.recipients().len(), 102, "no place of the old lane was lost");
}
