//! The cache by itself: time is an argument, and the one who is asked counts.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::rr::rdata::{A, TXT};

use super::*;

fn question(text: &str) -> Question {
    Question::Records(DnsName::parse(text).unwrap(), RecordType::A)
}

fn told(outcome: Result<Vec<RData>, DnsError>, ttl: Option<u64>) -> Told {
    Told { outcome, ttl: ttl.map(Duration::from_secs), authentic_data: true }
}

fn address() -> Vec<RData> {
    vec![RData::A(A::new(192, 0, 2, 1))]
}

#[tokio::test]
async fn an_answer_is_kept_for_its_time_and_no_longer_than_anybody_may_say() {
    let failure = || DnsError::Temporary("SERVFAIL".to_owned());
    let hour = 3_600;
    let cases = [
        (told(Ok(address()), Some(60)), 60),
        (told(Ok(address()), Some(1 << 31)), 24 * hour),
        (told(Err(DnsError::NoDomain), Some(300)), 300),
        (told(Err(DnsError::NoRecord), Some(1 << 31)), hour),
        (told(Err(failure()), None), 2),
        (told(Err(failure()), Some(900)), 2),
    ];
    for (first, seconds) in cases {
        let what = format!("{first:?}");
        let (answers, now) = (Answers::default(), Instant::now());
        let kept = answers.get(question("a.example"), now, async { first }).await;
        assert!(kept.told.authentic_data, "{what}");
        let before = now + Duration::from_millis(1_000 * seconds - 100);
        let again = answers.get(question("A.example."), before, pending()).await;
        assert!(Arc::ptr_eq(&kept.told, &again.told), "{what}");
        assert!(again.remaining(before) <= Duration::from_secs(1), "{what}");
        let after = now + Duration::from_secs(seconds + 1);
        let anew = answers.get(question("a.example"), after, async { told(Ok(address()), Some(60)) }).await;
        assert!(!Arc::ptr_eq(&kept.told, &anew.told), "{what}");
    }
}

#[tokio::test]
async fn what_says_nothing_of_its_time_is_asked_for_again() {
    for outcome in [Ok(address()), Err(DnsError::NoDomain), Err(DnsError::NoRecord)] {
        let answers = Answers::default();
        let asked = AtomicUsize::new(0);
        for _ in 0..3 {
            let ask = async {
                asked.fetch_add(1, Ordering::Relaxed);
                told(outcome.clone(), None)
            };
            let later = Instant::now() + Duration::from_millis(1);
            answers.get(question("a.example"), later, ask).await;
        }
        assert_eq!(asked.load(Ordering::Relaxed), 3, "{outcome:?}");
    }
}

#[tokio::test]
async fn names_kinds_and_addresses_are_told_apart() {
    let answers = Answers::default();
    let name = DnsName::parse("a.example").unwrap();
    let questions = [
        Question::Records(name.clone(), RecordType::A),
        Question::Records(name, RecordType::AAAA),
        Question::Records(DnsName::parse("b.example").unwrap(), RecordType::A),
        Question::Reverse("192.0.2.1".parse().unwrap()),
    ];
    let mut all: Vec<Arc<Told>> = Vec::new();
    for question in &questions {
        let kept =
            answers.get(question.clone(), Instant::now(), async { told(Ok(address()), Some(60)) }).await;
        assert!(all.iter().all(|other| !Arc::ptr_eq(other, &kept.told)), "{question:?}");
        all.push(kept.told);
    }
}

#[tokio::test]
async fn equal_questions_share_one_query_and_outlive_who_asked_first() {
    let answers = Arc::new(Answers::default());
    let asked = Arc::new(AtomicUsize::new(0));
    let (send, receive) = tokio::sync::watch::channel(false);
    let ask = |answers: Arc<Answers>| {
        let (asked, mut receive) = (asked.clone(), receive.clone());
        tokio::spawn(async move {
            let query = async move {
                asked.fetch_add(1, Ordering::Relaxed);
                receive.wait_for(|done| *done).await.unwrap();
                // Valid for no time at all: still good for all who wait for it.
                told(Ok(address()), Some(0))
            };
            answers.get(question("a.example"), Instant::now(), query).await.told.outcome.clone().unwrap()
        })
    };
    let first = ask(answers.clone());
    while asked.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..20).map(|_| ask(answers.clone())).collect();
    tokio::task::yield_now().await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    first.abort();
    assert!(first.await.is_err());
    while asked.load(Ordering::Relaxed) == 1 {
        tokio::task::yield_now().await;
    }
    send.send(true).unwrap();
    for other in others {
        assert_eq!(other.await.unwrap(), address());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 2, "one query in the place of the first");
}

#[tokio::test]
async fn neither_many_nor_large_answers_take_more_than_their_share() {
    let answers = Answers::with(64, 64 * 1024, 1);
    for number in 0..10_000 {
        answers
            .get(question(&format!("n{number}.example")), Instant::now(), async {
                told(Ok(address()), Some(60))
            })
            .await;
    }
    assert!(answers.0.len() <= 64, "{}", answers.0.len());
    let large = || vec![RData::TXT(TXT::new(vec!["x".repeat(255); 30]))];
    for number in 0..100 {
        answers
            .get(question(&format!("large{number}.example")), Instant::now(), async {
                told(Ok(large()), Some(60))
            })
            .await;
    }
    assert!(answers.0.weight() <= 64 * 1024, "{}", answers.0.weight());
    // What is kept while large ones pass by is what was kept before: they do not drive it out.
    assert!(answers.0.len() > 8, "{}", answers.0.len());
}
