//! What was found, for people: one line for each check, with what is worth knowing about it below.

use std::fmt::Write as _;

use kings_mail::visible;
use kings_msgauth::dkim::{Checked, Claim};
use kings_msgauth::dmarc::Record;
use kings_msgauth::{arc, dmarc};
use kings_mta::Listing;
use kings_mta::examine::{Examination, Judgement};

use super::LEFT_OUT;
use super::json::mode;

/// Columns for the name of a check.
const NAMES: usize = 16;

/// The whole of it. What others wrote is shown without its control characters.
pub(super) fn of(found: &Examination) -> String {
    let mut page = Page(String::new());
    if let Some(outcome) = &found.iprev {
        page.line("reverse name", format!("{}: {}", outcome.result.as_str(), outcome.reason));
    }
    for (name, outcome) in [("SPF of EHLO", &found.helo), ("SPF of MAIL FROM", &found.mail_from)] {
        if let Some(outcome) = outcome {
            page.line(name, format!("{}: {}", outcome.result, outcome.reason));
            page.below(outcome.explanation.as_ref().map(|text| format!("the domain explains: {text}")));
        }
    }
    page.dkim(found);
    page.dmarc(&found.dmarc);
    page.arc(&found.arc);
    let listings = &found.listings;
    for (name, listings) in [("on the list", &listings.block), ("welcome on", &listings.welcome)] {
        for Listing { domain, zone, weight, codes } in listings {
            let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
            let subject = domain.as_ref().map(|domain| format!("{domain}: ")).unwrap_or_default();
            page.line(name, format!("{subject}{zone} ({}), weight {weight}", codes.join(", ")));
        }
    }
    for text in &found.oddities {
        page.line("header", text);
    }
    for word in &found.sender {
        page.line("sender", word);
    }
    for text in &found.untold {
        page.line("not checked", text);
    }
    page.line("left out", LEFT_OUT.join(", "));
    page.verdict(found);
    page.0
}

struct Page(String);

impl Page {
    fn line(&mut self, name: &str, text: impl AsRef<str>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{name:NAMES$}  {}", visible::line(text.as_ref()));
    }

    fn below(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.line("", text);
        }
    }

    fn dkim(&mut self, found: &Examination) {
        let report = &found.dkim;
        if report.signatures.is_empty() {
            self.line("DKIM", report.word().as_str());
            self.below(report.too_large.map(|too_large| too_large.to_string()));
        }
        for Checked { verdict, testing, claim } in &report.signatures {
            self.line("DKIM", format!("{}: {verdict}", verdict.word()));
            self.below(claim.as_ref().map(|claim| {
                let Claim { domain, selector, identity, algorithm, .. } = claim;
                format!("d={domain} s={selector} i={identity} a={}", algorithm.as_str())
            }));
            self.below(claim.as_ref().map(|claim| format!("signs {}", claim.names.join(" "))));
            self.below(testing.then(|| "the domain is only trying out DKIM (t=y)".to_owned()));
        }
        if report.ignored > 0 {
            self.line("DKIM", format!("{} more signatures, not looked at", report.ignored));
        }
    }

    fn dmarc(&mut self, outcome: &dmarc::Outcome) {
        self.line("DMARC", format!("{}: {}", outcome.result, outcome.reason));
        self.below(outcome.author.as_ref().map(|author| format!("the author is of {author}")));
        let others = outcome.others.iter().map(|other| {
            let author = other
                .author
                .as_ref()
                .map_or("who cannot be judged".to_owned(), |author| format!("of {author}"));
            format!("another author is {author}: {}: {}", other.result, other.reason)
        });
        self.below(others);
        let Some((domain, record)) = &outcome.published else { return };
        let Record { adkim, aspf, .. } = record;
        let testing = if record.testing { ", on trial (t=y)" } else { "" };
        let yes = |is_aligned| if is_aligned { "yes" } else { "no" };
        self.below([
            format!("record at _dmarc.{domain} asks for {}{testing}", outcome.requested),
            format!("aligned by DKIM ({}): {}", mode(*adkim), yes(outcome.dkim_aligned)),
            format!("aligned by SPF ({}): {}", mode(*aspf), yes(outcome.spf_aligned)),
        ]);
    }

    fn arc(&mut self, report: &arc::Report) {
        match &report.chain {
            arc::Chain::Fail(fault) | arc::Chain::Unknown(fault) => {
                self.line("ARC", format!("{}: {fault}", report.word()));
            }
            arc::Chain::None | arc::Chain::Pass => self.line("ARC", report.word().as_str()),
        }
        self.below(report.sets.iter().map(|set| {
            let arc::Set { instance, sealer, selector, results, seal, message } = set;
            format!(
                "i={instance} by {sealer} (selector {selector}): seal {}, message {}; it saw: {results}",
                seal.word(),
                message.word()
            )
        }));
    }

    fn verdict(&mut self, found: &Examination) {
        self.0.push('\n');
        self.judgement("verdict", &found.judgement);
        if let Some(judgement) = &found.if_spf_fails {
            self.judgement("if SPF fails", judgement);
        }
        if found.strictly != found.judgement {
            self.judgement("if all counted", &found.strictly);
        }
        match found.field.as_str() {
            "" => self.line("field", "none: the config wants no method recorded ([inbound])"),
            field => {
                self.0.push('\n');
                self.0.push_str(&field.replace("\r\n", "\n"));
            }
        }
    }

    fn judgement(&mut self, name: &str, judgement: &Judgement) {
        self.line(name, judgement.verdict.as_str());
        self.below(judgement.reasons.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_message_reaches_the_terminal_as_a_command() {
        let mut page = Page(String::new());
        page.line("ARC", "a\x1b[2Jb\r\nc\u{202e}d");
        assert_eq!(page.0, "ARC               a\u{fffd}[2Jb  c\u{fffd}d\n");
    }
}
