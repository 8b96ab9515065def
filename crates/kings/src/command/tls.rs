//! `kings tls`: what is known of the TLS of others.

use clap::Subcommand;
use kings_mail::date::DateTime;
use kings_records::{DayOfResults, reader};
use serde_json::{Value, json};

use super::{Failure, Output, print};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// How sessions with other servers went, by day, domain and policy: the data of TLS reports (RFC 8460).
    Report(Output),
}

pub(crate) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Report(output) = command;
    let settings = output.common.settings()?;
    let file = settings.records.file;
    let days = if file.exists() { reader::tls_results(&file) } else { Ok(Vec::new()) };
    let days = days.map_err(|error| Failure::cannot_tell(error.to_string()))?;
    print(&if output.json { to_json(&days) } else { describe(&days) });
    Ok(())
}

/// `Thu, 26 Nov 2026`
fn date(day: u64) -> String {
    let seconds = i64::try_from(day).unwrap_or(0).saturating_mul(24 * 60 * 60);
    let text = DateTime::from_unix(seconds).to_string();
    text.split(" 00:00").next().unwrap_or_default().to_owned()
}

/// The words within an item are those of a report (RFC 8460 §4.4).
fn to_json(days: &[DayOfResults]) -> String {
    let failure = |(result, host, sessions): &(String, String, u64)| -> Value {
        json!({ "result-type": result, "receiving-mx-hostname": host, "failed-session-count": sessions })
    };
    let item = |day: &DayOfResults| -> Value {
        let failed: u64 = day.failures.iter().map(|(_, _, sessions)| sessions).sum();
        json!({
            "day": date(day.day),
            "policy": {
                "policy-type": day.policy,
                "policy-string": day.policy_text.lines().collect::<Vec<_>>(),
                "policy-domain": day.domain,
            },
            "summary": { "total-successful-session-count": day.successful, "total-failure-session-count": failed },
            "failure-details": day.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    };
    format!("{}\n", json!({ "schema": 1, "items": days.iter().map(item).collect::<Vec<_>>() }))
}

fn describe(days: &[DayOfResults]) -> String {
    let mut text = String::new();
    for day in days {
        let DayOfResults { domain, policy, successful, .. } = day;
        text.push_str(&format!("{}  {domain}  {policy}: {successful} sessions good\n", date(day.day)));
        for (failure, host, sessions) in &day.failures {
            text.push_str(&format!("    {sessions} sessions failed with {host}: {failure}\n"));
        }
    }
    if text.is_empty() { "no sessions with other servers are on record\n".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_uses_the_words_of_the_rfc() {
        let day = DayOfResults {
            day: 20_783,
            domain: "far.example".to_owned(),
            policy: "sts".to_owned(),
            policy_text: "version: STSv1\nmode: testing".to_owned(),
            successful: 3,
            failures: vec![("certificate-expired".to_owned(), "mx.far.example".to_owned(), 2)],
        };
        let expected = "Thu, 26 Nov 2026  far.example  sts: 3 sessions good
    2 sessions failed with mx.far.example: certificate-expired\n";
        assert_eq!(describe(std::slice::from_ref(&day)), expected);
        let json: Value = serde_json::from_str(&to_json(&[day])).unwrap_or_default();
        let item = &json["items"][0];
        assert_eq!(item["policy"]["policy-string"], json!(["version: STSv1", "mode: testing"]));
        assert_eq!(item["summary"]["total-failure-session-count"], 2);
        assert_eq!(item["failure-details"][0]["result-type"], "certificate-expired");
    }
}
