//! Settings that nothing ever comes of, since another one switches off what they act on: each is told with what to write.

use kings_mta::{Check, Lists, Methods, Verdict, Verdicts};

use super::reader::{Section, Source};

/// What `[inbound]` says should follow from a result, where the result is not to count.
pub(super) fn verdicts(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    methods: Methods,
    lists: &Lists,
    verdicts: Verdicts,
) {
    let counts = |method: &'static str, check| match check {
        Check::Off => {
            Some(format!("while {method} = \"off\", which asks nobody: write {method} = \"enforce\""))
        }
        Check::Tag => Some(format!(
            "while {method} = \"tag\", which records results and acts on none: write {method} = \"enforce\""
        )),
        Check::Enforce => None,
    };
    let (spf, dmarc) = (counts("spf", methods.spf), counts("dmarc", methods.dmarc));
    let signatures = ((methods.dkim, methods.dmarc) == (Check::Off, Check::Off)).then(|| {
        "while dkim and dmarc are \"off\", so that no signature is looked at: write dkim = \"tag\"".to_owned()
    });
    let no_list = (lists.block.is_empty() && lists.domains.is_empty())
        .then(|| "without a list that could name anybody: name one in dnsbl or dnsbl_domains".to_owned());
    for (key, why) in [
        ("spf_fail", &spf),
        ("spf_softfail", &spf),
        ("spf_helo_fail", &spf),
        ("dmarc_reject", &dmarc),
        ("dmarc_quarantine", &dmarc),
        ("dmarc_temperror", &dmarc),
        ("several_authors", &dmarc),
        ("no_author", &dmarc),
        ("dkim_repeats", &signatures),
        ("dnsbl_listed", &no_list),
        ("dnsbl_threshold", &no_list),
    ] {
        let (Some(why), Some(value)) = (why, section.value(key)) else { continue };
        // To do nothing is what happens.
        if value.get_ref().as_str() == Some(Verdict::Accept.as_str()) {
            continue;
        }
        source.warn_at(value.span(), format!("[inbound] {key} does nothing {why}, or take {key} out"));
    }
    unreachable_threshold(source, section, lists, verdicts);
}

/// All lists together name a client or a domain; lists with a negative weight only speak for it.
fn unreachable_threshold(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    lists: &Lists,
    verdicts: Verdicts,
) {
    let weights = lists.block.iter().chain(&lists.domains).map(|list| list.weight.max(0));
    let (most, threshold) = (weights.fold(0, i32::saturating_add), verdicts.dnsbl_threshold);
    if most >= threshold || (lists.block.is_empty() && lists.domains.is_empty()) {
        return;
    }
    let place = ["dnsbl_threshold", "dnsbl", "dnsbl_domains"].iter().find_map(|key| section.value(key));
    let remedy = match most {
        0 => "give a list a weight above 0, such as \"zen.example.org*1\"".to_owned(),
        most => format!(
            "write dnsbl_threshold = {most} or less, or give the lists more weight (\"zen.example.org*{threshold}\")"
        ),
    };
    source.complain_at(
        place.map(toml::Spanned::span).unwrap_or_default(),
        format!(
            "[inbound] dnsbl_threshold is {threshold}, and who is on all lists of dnsbl and dnsbl_domains comes to {most}: nobody \
             is ever refused for them; {remedy}"
        ),
    );
}
