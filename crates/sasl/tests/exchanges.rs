//! What holds for every mechanism, whatever a client says.
#![allow(clippy::unwrap_used, reason = "tests")]

mod house;

use house::{Answer, House};
use kings_sasl::{BadExchange, Mechanism, Turn};
use proptest::prelude::*;

/// A turn that no exchange outlives.
const MOST_TURNS: usize = 4;

/// Pieces that messages are made of, and what is like them.
const PIECES: [&str; 24] = [
    "ann",
    "joe",
    "secret",
    "\0",
    "\u{1}",
    "n,,",
    "y,,",
    "p=tls-exporter,,",
    "n,a=ann,",
    "n=ann",
    "n=a=2Cb",
    ",",
    "=",
    "r=abc",
    "c=biws",
    "r=abchouse",
    "p=AAAA",
    "auth=Bearer good.token",
    "auth=Bearer x",
    "user=ann",
    " ",
    "b913a602c7eda7a495b4e6e7334d3890",
    "\u{ad}",
    "é",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let pieces = proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..8);
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![4 => pieces.prop_map(|pieces| pieces.concat().into_bytes()), 1 => bytes]
}

fn mechanism() -> impl Strategy<Value = Mechanism> {
    proptest::sample::select(&Mechanism::ALL[..])
}

proptest! {
    /// Nobody gets in without the password or the token, and no exchange goes on for ever.
    #[test]
    fn nonsense_ends_and_lets_nobody_in(
        mechanism in mechanism(),
        initial in proptest::option::of(message()),
        more in proptest::collection::vec(message(), MOST_TURNS),
        binds: bool,
    ) {
        let mut house = House::new("ann");
        house.binds = binds;
        let said: Vec<u8> = initial.iter().flatten().chain(more.iter().flatten()).copied().collect();
        let has_secret = ["secret", "good.token"].iter().any(|secret| said.windows(secret.len()).any(|part| part == secret.as_bytes()));
        let mut answer = house.answer(&Turn::Begin(mechanism, initial));
        let mut turns = 0;
        for message in more {
            if !matches!(answer, Answer::Challenge(_)) {
                break;
            }
            turns += 1;
            answer = house.answer(&Turn::Response(message));
        }
        prop_assert!(turns <= MOST_TURNS && !matches!(answer, Answer::Challenge(_)));
        // EXTERNAL rests on the certificate, which this house takes for granted.
        prop_assert!(answer != Answer::LoggedIn || has_secret || mechanism == Mechanism::External);
    }

    /// After its end an exchange takes nothing more, not even what would have been right.
    #[test]
    fn what_is_over_stays_over(mechanism in mechanism(), first in message()) {
        let mut house = House::new("ann");
        if let Answer::Refused(_) = house.answer(&Turn::Begin(mechanism, Some(first))) {
            for right in ["\0ann\0secret", "secret", "", "n,,\u{1}auth=Bearer good.token\u{1}\u{1}"] {
                let again = house.answer(&Turn::Response(right.into()));
                prop_assert_eq!(again, Answer::Refused(BadExchange::Malformed));
            }
        }
    }
}

#[test]
fn the_right_words_open_the_door() {
    let cases: [(&str, &[&str]); 5] = [
        ("PLAIN", &["\0ann\0secret"]),
        ("LOGIN", &["ann", "secret"]),
        ("OAUTHBEARER", &["n,a=ann,\u{1}auth=Bearer good.token\u{1}\u{1}"]),
        ("XOAUTH2", &["user=ann\u{1}auth=Bearer good.token\u{1}\u{1}"]),
        ("EXTERNAL", &[""]),
    ];
    for (name, messages) in cases {
        let mut house = House::new("ann");
        let mechanism = Mechanism::parse(name).unwrap();
        let mut answer = house.answer(&Turn::Begin(mechanism, None));
        for message in messages {
            assert!(matches!(answer, Answer::Challenge(_)), "{name}");
            answer = house.answer(&Turn::Response(message.as_bytes().to_vec()));
        }
        assert_eq!(answer, Answer::LoggedIn, "{name}");
    }
}
