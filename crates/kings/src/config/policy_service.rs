//! `policy_service` and what belongs to it: Postfix's policy delegation, on port 25 and on submission.

use std::time::Duration;

use kings_mta::delegation::{Action, PATIENCE, Place, Settings, Stage};

use super::duration;
use super::reader::{Section, Source};

/// A client waits five minutes for the reply to RCPT (RFC 5321 §4.5.3.2.3), and has to hear it in time, however many
/// programs are asked.
const LONGEST: Duration = Duration::from_secs(250);
/// Most programs that one listener asks.
const MOST: u32 = 10;
/// What Postfix does without an answer.
const DEFAULT_ACTION: &str = "451 4.3.5 Policy check does not work now, try again later";
/// When they are asked where nothing else is said.
const USUAL: [Stage; 2] = [Stage::Rcpt, Stage::EndOfMessage];

pub(super) fn read(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Settings> {
    let what = "\"unix:/path\" or \"inet:host:port\"";
    let places =
        section.one_or_more(source, "policy_service", what, |text| Place::parse(text).ok_or("another form"));
    let action = "an action such as \"DUNNO\" or \"451 4.3.5 Try again later\"";
    let default_action = section.parsed(source, "policy_default_action", action, Action::parse);
    let default_action = default_action.or_else(|| Action::parse(DEFAULT_ACTION).ok())?;
    let count = u32::try_from(places.len()).unwrap_or(u32::MAX);
    if count > MOST {
        source.complain(format!("policy_service names {count} programs: {MOST} are the most"));
    }
    let longest = LONGEST / count.max(1);
    let time = format!("a time such as \"100s\", at most \"{}s\"", longest.as_secs());
    let patience = section.parsed(source, "policy_timeout", &time, |text| {
        let fits = |time: &Duration| !time.is_zero() && *time <= longest;
        duration(text).filter(fits).ok_or("another text")
    });
    let patience = patience.unwrap_or(PATIENCE.min(longest));
    let stages = stages(source, section);
    (count > 0).then_some(Settings { places, stages, default_action, patience })
}

/// EHLO is HELO as well: which of them a client says is up to it.
fn stages(source: &mut Source<'_>, section: &mut Section<'_>) -> Vec<Stage> {
    let named = Stage::ALL.into_iter().filter(|stage| *stage != Stage::Helo);
    let words: Vec<String> = named.clone().map(|stage| format!("\"{}\"", stage.name())).collect();
    let find = |text: &str| named.clone().find(|stage| stage.name() == text).ok_or("another word");
    let what = format!("one of {}", words.join(", "));
    let mut stages = section.list(source, "policy_states", &what, find);
    if section.value("policy_states").is_none() {
        stages = USUAL.to_vec();
    }
    if stages.contains(&Stage::Ehlo) {
        stages.push(Stage::Helo);
    }
    stages
}
