//! `[[milter]]`: filters with a say in every step of a message.

use std::time::Duration;

use kings_mta::delegation::Place;
use kings_mta::milter::{DefaultAction, Milters, Settings};

use super::reader::{Section, Source};

/// A way in that filters may stand at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Inbound,
    Submission,
}

/// The filters in the order of the file, which is the order in which they are asked.
pub(super) fn read(source: &mut Source<'_>, top: &mut Section<'_>) -> Milters {
    let mut milters = Milters::default();
    for mut section in top.sections(source, "milter") {
        let ways = ways(source, &mut section);
        if let Some(settings) = filter(source, &mut section) {
            for way in ways {
                match way {
                    Way::Inbound => milters.inbound.push(settings.clone()),
                    Way::Submission => milters.submission.push(settings.clone()),
                }
            }
        }
        section.finish(source);
    }
    milters
}

fn ways(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<Way> {
    if section.value("for").is_none() {
        return vec![Way::Inbound, Way::Submission];
    }
    let mut ways = section.list(source, "for", "\"inbound\" or \"submission\"", |text| match text {
        "inbound" => Ok(Way::Inbound),
        "submission" => Ok(Way::Submission),
        _ => Err("neither"),
    });
    ways.dedup();
    ways
}

fn filter(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Settings> {
    let what = "\"inet:host:port\" or \"unix:/path\"";
    let is_there = section.value("address").is_some();
    let place = section.parsed(source, "address", what, |text| Place::parse(text).ok_or("another form"));
    if !is_there {
        source.complain("[[milter]] says not where it listens: add address = \"inet:127.0.0.1:11332\"");
    }
    let usual = Settings::new(place?);
    let actions = [
        ("accept", DefaultAction::Accept),
        ("tempfail", DefaultAction::TempFail),
        ("reject", DefaultAction::Reject),
    ];
    let default_action = section.choice(source, "default_action", &actions).unwrap_or(usual.default_action);
    let mut seconds = |key, usual| section.number(source, key, 1).map_or(usual, Duration::from_secs);
    Some(Settings {
        default_action,
        connect: seconds("connect_seconds", usual.connect),
        command: seconds("command_seconds", usual.command),
        content: seconds("content_seconds", usual.content),
        ..usual
    })
}
