//! `[score]`: addresses here that answer with the score of the message that came to them.

use kings_directory::HostedDomain;
use kings_mail::address::Address;

use super::reader::{Section, Source};
use super::section;

/// None where nothing is said: a machine that answers mail is for its operator to want.
pub(super) fn read(source: &mut Source<'_>, top: &mut Section<'_>, hosted: &[HostedDomain]) -> Vec<Address> {
    section(source, top, "score", |source, section| answer(source, section, hosted))
}

fn answer(source: &mut Source<'_>, section: &mut Section<'_>, hosted: &[HostedDomain]) -> Vec<Address> {
    let parse = |text: &str| {
        let address = Address::parse(text).ok();
        address.filter(|address| address.domain().is_some()).ok_or("another text")
    };
    let answer = section.list(source, "answer", "an address such as \"score@example.org\"", parse);
    let is_foreign = |address: &&Address| {
        address.domain().is_some_and(|domain| hosted.iter().all(|hosted| hosted.name != *domain))
    };
    if let (Some(foreign), Some(value)) = (answer.iter().find(is_foreign), section.value("answer")) {
        source.complain_at(
            value.span(),
            format!("[score] answer names {foreign}, which is at no [[domain]]: its mail never comes here"),
        );
    }
    answer
}
