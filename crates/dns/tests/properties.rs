//! What holds for all records: they are written so that they read as the same ones.
#![allow(clippy::unwrap_used, reason = "tests")]

use kings_dns::{Data, Kind, MAX_STRING, Txt};
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_text_is_cut_so_that_dns_can_hold_it_and_nothing_is_lost(text in prop::collection::vec(any::<u8>(), 0..2000)) {
        let txt = Txt::new(&text);
        prop_assert!(txt.fits() && txt.strings.iter().all(|string| string.len() <= MAX_STRING));
        prop_assert_eq!(txt.joined(), text);
    }

    #[test]
    fn any_strings_of_octets_are_written_and_read_again(strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..5)) {
        let written = Data::Txt(Txt { strings: strings.clone() }).to_string();
        prop_assert!(written.is_ascii());
        let Data::Txt(read) = Data::parse(Kind::Txt, &written).unwrap() else { panic!("{written}") };
        prop_assert_eq!(read.strings, strings);
    }

    #[test]
    fn whatever_reads_as_a_record_is_written_as_one_that_says_the_same(text in r#"[ -~]{0,60}|[0-9]{1,3} [0-9]{1,5} [0-9]{1,5} [a-zA-Z0-9.-]{1,20}|[0-9]{1,3} [a-z]{1,6} "[ -~]{0,20}""#) {
        for kind in Kind::ALL {
            if let Ok(data) = Data::parse(kind, &text) {
                prop_assert_eq!(Data::parse(kind, &data.to_string()), Ok(data));
            }
        }
    }
}
