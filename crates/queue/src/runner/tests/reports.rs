//! What senders are told, and when.

use super::*;

/// The subjects of all notifications so far.
pub(super) fn subjects(rig: &Rig) -> Vec<String> {
    let subject = |text: &String| {
        text.split("\r\n").find_map(|line| line.strip_prefix("Subject: ")).unwrap().to_owned()
    };
    rig.deliverer.bounce_texts().iter().map(subject).collect()
}

#[tokio::test(start_paused = true)]
async fn senders_are_told_on_the_occasions_they_named() {
    let (failed, passed) = ("Your message could not be delivered", "Your message was delivered or passed on");
    let cases = [
        ("never@a.example", "", vec![failed]),
        ("never@a.example", "NEVER", vec![]),
        ("never@a.example", "SUCCESS,DELAY", vec![]),
        ("ok@a.example", "", vec![]),
        ("ok@a.example", "SUCCESS", vec![passed]),
        ("boxed@a.example", "SUCCESS", vec![passed]),
        ("promised@a.example", "SUCCESS", vec![]),
    ];
    for (recipient, notify, expected) in cases {
        let rig = Rig::new();
        rig.submit_asking(1, recipient, notify, MailParameters::default()).await;
        rig.settled().await;
        assert_eq!(
            (subjects(&rig), rig.files()),
            (expected.iter().map(ToString::to_string).collect(), vec![]),
            "{recipient} {notify}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_goes_back_whole_where_that_was_asked_for() {
    for (ret, body) in [(None, false), (Some(Return::Headers), false), (Some(Return::Full), true)] {
        let rig = Rig::new();
        rig.submit_asking(1, "never@a.example", "", MailParameters { ret, ..MailParameters::default() })
            .await;
        rig.settled().await;
        let text = rig.deliverer.bounce_texts().remove(0);
        assert_eq!((text.contains("\r\nhello\r\n"), text.contains("message/rfc822")), (body, body), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_is_warned_once_of_a_delay_even_over_a_restart() {
    let rig = Rig::new();
    rig.submit(1, "ann@example.org", &["later@a.example", "ok@a.example"]).await;
    rig.submit_asking(2, "later@a.example", "FAILURE", MailParameters::default()).await;
    rig.submit(3, "", &["later@a.example"]).await;
    rig.wait(238 * MINUTE).await;
    assert_eq!(subjects(&rig), [""; 0]);
    rig.wait(4 * MINUTE).await;
    assert_eq!(subjects(&rig), ["Your message is not delivered yet"]);
    let text = rig.deliverer.bounce_texts().remove(0);
    assert!(text.contains("<later@a.example>") && !text.contains("<ok@a.example>"), "{text}");
    rig.wait(DAY).await;
    assert_eq!(subjects(&rig).len(), 1);
    let rig = rig.restart().await;
    rig.wait(2 * DAY).await;
    assert_eq!(subjects(&rig), [""; 0]);
    let silent = Rig::with(|settings| settings.delay_warning = None);
    silent.submit(1, "ann@example.org", &["later@a.example"]).await;
    silent.wait(DAY).await;
    assert_eq!(subjects(&silent), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_warning_that_cannot_be_posted_delays_no_attempt_and_is_posted_later() {
    let rig = Rig::new();
    rig.deliverer.refuse_bounces.lock().unwrap().push(PostError::Later("full".into()));
    rig.submit(1, "ann@example.org", &["later@a.example"]).await;
    rig.wait(4 * HOUR + 2 * MINUTE).await;
    let attempts = rig.minutes().len();
    rig.wait(6 * MINUTE).await;
    assert_eq!((subjects(&rig).len(), rig.minutes().len()), (1, attempts));
}

/// A crash at any step of the warning: it is neither lost nor said more than twice.
#[tokio::test(start_paused = true)]
async fn no_crash_loses_a_warning_or_repeats_it_for_ever() {
    let folder = tempdir().unwrap();
    let disk = TestDisk::new(folder.path());
    let queue = Queue::open_on(settings(folder.path()), disk.clone()).unwrap();
    queue
        .submit(id(1), envelope("ann@example.org", &["later@a.example"]), Cursor::new(CONTENT))
        .await
        .unwrap();
    let deliverer = FakeDeliverer::on(&disk);
    let rig = Rig::start(folder, queue, Arc::clone(&deliverer));
    rig.wait(239 * MINUTE).await;
    disk.take_crashes();
    rig.wait(3 * HOUR).await;
    let told = deliverer.bounces.lock().unwrap().iter().map(|(crashes, _)| *crashes).collect::<Vec<_>>();
    assert_eq!(told.len(), 1);
    let crashes = disk.take_crashes();
    assert!(crashes.len() >= 4, "a record, a name, and those of the next attempt: {}", crashes.len());
    let mut twice = 0;
    for (point, survivors) in crashes.iter().enumerate() {
        for files in survivors {
            let folder = tempdir().unwrap();
            write_files(folder.path(), files);
            let queue = Queue::open(settings(folder.path())).unwrap();
            let again = Rig::start(folder, queue, Arc::default());
            again.wait(DAY).await;
            let count = usize::from(told[0] <= point) + subjects(&again).len();
            assert!((1..=2).contains(&count), "point {point}: {count}");
            twice += count - 1;
            drop(again.stop().await);
        }
    }
    assert!(twice <= 6, "only until its record is on disk: {twice}");
}

/// Postfix's `maximal_queue_lifetime` and `bounce_queue_lifetime`.
#[tokio::test(start_paused = true)]
async fn mail_and_bounces_live_as_long_as_is_said_of_each() {
    let hours = |mail, bounces| Lifetimes { mail: HOUR * mail, bounces: HOUR * bounces };
    let cases = [
        (hours(36, 36), "ann@example.org", 36 * 60, "It was tried for 36 hours. "),
        (hours(48, 1), "ann@example.org", 48 * 60, "It was tried for 2 days. "),
        (hours(48, 1), "", 60, "It was tried for 1 hour. "),
        (hours(1, 48), "", 48 * 60, "It was tried for 2 days. "),
        (hours(0, 48), "ann@example.org", 0, "It was tried once, and failed: "),
        (hours(48, 0), "", 0, "It was tried once, and failed: "),
    ];
    for (lifetimes, sender, last, words) in cases {
        let rig = Rig::with(|settings| {
            settings.lifetimes = lifetimes;
            settings.delay_warning = None;
            settings.notices.double_bounces = Some(ForwardPath::Postmaster);
        });
        rig.submit(1, sender, &["later@a.example"]).await;
        rig.settled().await;
        let minutes = rig.minutes();
        assert_eq!(minutes.last(), Some(&last), "{lifetimes:?} {sender}: {minutes:?}");
        assert!(lifetimes.of(&ReversePath::parse(sender).unwrap()).is_zero() == (minutes.len() == 1));
        let told = rig.deliverer.bounce_texts();
        assert!(told.len() == 1 && told[0].contains(words), "{told:?}");
    }
}

/// What the warning promises is what happens.
#[tokio::test(start_paused = true)]
async fn a_warning_says_until_when_it_is_tried() {
    let rig = Rig::with(|settings| settings.lifetimes.mail = DAY);
    rig.submit(1, "ann@example.org", &["later@a.example"]).await;
    rig.wait(5 * HOUR).await;
    let warning = rig.deliverer.bounce_texts().remove(0);
    let until = crate::notification::date(START + DAY.as_secs()).to_string();
    assert!(warning.contains(&format!("\r\nWill-Retry-Until: {until}\r\n")), "{warning}");
    rig.settled().await;
    assert_eq!(rig.minutes().last(), Some(&(24 * 60)));
}
