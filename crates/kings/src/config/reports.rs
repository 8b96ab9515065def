//! `[reports]`: the reports that domains ask for, and those of others about ours.

use kings_directory::HostedDomain;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mta::ReportSettings;

use super::reader::{Section, Source};

/// Who sends reports where nothing is said, at the first domain.
const SENDER: &str = "noreply-dmarc";

/// `None` where there is nobody to send them from; the config then lacks its domains, which is complained about elsewhere.
pub(super) fn read(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    domains: &[HostedDomain],
    hostname: Option<&Domain>,
) -> Option<ReportSettings> {
    let what = "an address such as \"noreply-dmarc@example.org\"";
    let dmarc = section.flag(source, "dmarc").unwrap_or(true);
    let tls = section.flag(source, "tls").unwrap_or(true);
    let from = section.parsed(source, "from", what, address);
    let organisation = section.text(source, "organisation");
    let contact = section.text(source, "contact");
    let receive = section.list(source, "receive", what, address);
    let first = domains.first().map(|domain| &domain.name).or(hostname)?;
    let line = |text: String| text.chars().filter(|c| !c.is_control()).collect::<String>();
    Some(ReportSettings {
        dmarc,
        tls,
        from: from.or_else(|| Address::parse(&format!("{SENDER}@{first}")).ok())?,
        organisation: organisation.map_or_else(|| first.to_string(), line),
        contact: contact.map_or_else(|| format!("postmaster@{first}"), line),
        receive,
    })
}

fn address(text: &str) -> Result<Address, &'static str> {
    Address::parse(text).ok().filter(|address| address.domain().is_some()).ok_or("another text")
}
