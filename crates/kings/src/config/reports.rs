//! `[reports]`: the reports that domains ask for, and those of others about ours.

use kings_directory::{HostedDomain, RelayDomain};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mta::{Check, Methods, ReportSettings};

use super::reader::{Section, Source};

/// Who sends reports where nothing is said, at the first domain.
const SENDER: &str = "noreply-dmarc";

/// `None` where there is nobody to send them from; the config then lacks its domains, which is complained about elsewhere.
pub(super) fn read(
    source: &mut Source<'_>,
    top: &mut Section<'_>,
    ours: Ours<'_>,
    methods: Methods,
) -> Option<ReportSettings> {
    super::section(source, top, "reports", |source, section| settings(source, section, ours, methods))
}

fn settings(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    ours: Ours<'_>,
    methods: Methods,
) -> Option<ReportSettings> {
    let what = "an address such as \"noreply-dmarc@example.org\"";
    let dmarc = section.flag(source, "dmarc");
    warn_of_nothing_to_count(source, section, dmarc, methods);
    let tls = section.flag(source, "tls").unwrap_or(true);
    let from = section.parsed(source, "from", what, address);
    let organisation = section.text(source, "organisation");
    let contact = section.text(source, "contact");
    let receive = section.list(source, "receive", what, address);
    let first = ours.hosted.first().map(|domain| &domain.name).or(ours.hostname)?;
    warn_of_foreign_sender(source, section, from.as_ref(), ours, first);
    let line = |text: String| text.chars().filter(|c| !c.is_control()).collect::<String>();
    Some(ReportSettings {
        dmarc: dmarc.unwrap_or(true),
        tls,
        from: from.or_else(|| Address::parse(&format!("{SENDER}@{first}")).ok())?,
        organisation: organisation.map_or_else(|| first.to_string(), line),
        contact: contact.map_or_else(|| format!("postmaster@{first}"), line),
        receive,
    })
}

fn warn_of_nothing_to_count(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    dmarc: Option<bool>,
    methods: Methods,
) {
    let idle = section.value("dmarc").filter(|_| dmarc == Some(true) && methods.dmarc == Check::Off);
    if let Some(value) = idle {
        source.warn_at(
            value.span(),
            "[reports] dmarc = true tells nobody anything while [inbound] dmarc = \"off\": write [inbound] dmarc = \"tag\", which \
             asks and acts on nothing, or take it out",
        );
    }
}

/// Nobody believes a report that neither SPF nor DKIM proves, and we can prove no domain but our own.
fn warn_of_foreign_sender(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    from: Option<&Address>,
    ours: Ours<'_>,
    first: &Domain,
) {
    let foreign = from.and_then(Address::domain).filter(|domain| !ours.has(domain));
    if let (Some(domain), Some(value)) = (foreign, section.value("from")) {
        source.warn_at(
            value.span(),
            format!(
                "[reports] from is at {domain}, which is no domain of ours: reports in its name pass neither SPF nor DKIM, and \
                 whoever gets them throws them away; write an address at a [[domain]] such as \"{SENDER}@{first}\", or take it \
                 out"
            ),
        );
    }
}

/// The names that we may speak for.
#[derive(Clone, Copy)]
pub(super) struct Ours<'a> {
    pub(super) hosted: &'a [HostedDomain],
    pub(super) relays: &'a [RelayDomain],
    pub(super) hostname: Option<&'a Domain>,
}

impl Ours<'_> {
    /// Hosted or passed on, our own name, or below one of these; and the domain that our own name is of.
    fn has(self, domain: &Domain) -> bool {
        let (hosted, relays) = (self.hosted.iter(), self.relays.iter());
        let served = hosted.map(|hosted| &hosted.name).chain(relays.map(|relay| &relay.name));
        let above = self.hostname.and_then(Domain::parent).filter(|above| above.parent().is_some());
        served.chain(self.hostname).any(|name| domain.is_within(name)) || above.as_ref() == Some(domain)
    }
}

fn address(text: &str) -> Result<Address, &'static str> {
    Address::parse(text).ok().filter(|address| address.domain().is_some()).ok_or("another text")
}
