//! The messages that carry reports: pure functions from a report to the octets of a message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kings_mail::address::Address;
use kings_mail::date::DateTime;
use kings_mail::domain::Domain;
use kings_msgauth::reports::{aggregate, tls};
use kings_records::ReportKind;

use super::ReportSettings;

/// Characters of one line of base64 (RFC 2045 §6.8).
const LINE: usize = 76;

/// One report, packed, with all that its message says of it.
pub(crate) struct Parcel<'a> {
    pub(crate) kind: ReportKind,
    /// About whom.
    pub(crate) domain: &'a Domain,
    /// Who reports: the domain of the sender.
    pub(crate) submitter: &'a str,
    pub(crate) report_id: &'a str,
    pub(crate) file_name: &'a str,
    /// gzip.
    pub(crate) packed: &'a [u8],
}

impl Parcel<'_> {
    /// The type of the file (RFC 9990 §2.5.2, RFC 8460 §5.3).
    pub(crate) fn content_type(&self) -> &'static str {
        match self.kind {
            ReportKind::Dmarc => "application/gzip",
            ReportKind::Tls => "application/tlsrpt+gzip",
        }
    }

    /// The message to one address, unsigned.
    pub(crate) fn message(&self, settings: &ReportSettings, to: &Address, date: DateTime) -> Vec<u8> {
        let Self { domain, submitter, report_id, file_name, .. } = self;
        let (subject, container, special) = match self.kind {
            ReportKind::Dmarc => {
                (aggregate::subject(domain.as_str(), submitter, report_id), "multipart/mixed", String::new())
            }
            // The report must arrive even where TLS is what it complains about (RFC 8460 §5.3, RFC 8689 §5).
            ReportKind::Tls => (
                tls::subject(domain.as_str(), submitter, report_id),
                "multipart/report; report-type=\"tlsrpt\"",
                format!(
                    "TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {submitter}\r\nTLS-Required: No\r\n"
                ),
            ),
        };
        let subject =
            subject.replace(" Submitter:", "\r\n Submitter:").replace(" Report-ID:", "\r\n Report-ID:");
        let boundary = format!("report-{}", report_id.split('@').next().unwrap_or_default());
        let what = match self.kind {
            ReportKind::Dmarc => "mail that names this domain as its author's",
            ReportKind::Tls => "the TLS of our sessions with the mail servers of this domain",
        };
        let (organisation, contact) = (&settings.organisation, &settings.contact);
        let text = format!(
            "This is an aggregate report of {organisation} for {domain} about {what}.\r\nIts DNS asks for it. Write to {contact} about it.\r\n"
        );
        let content_type = self.content_type();
        let file = lines(&STANDARD.encode(self.packed));
        format!(
            "From: <{}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{report_id}>\r\n\
             Auto-Submitted: auto-generated\r\n{special}MIME-Version: 1.0\r\nContent-Type: {container};\r\n boundary=\"{boundary}\"\r\n\r\n\
             --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n\
             --{boundary}\r\nContent-Type: {content_type};\r\n name=\"{file_name}\"\r\nContent-Transfer-Encoding: base64\r\n\
             Content-Disposition: attachment;\r\n filename=\"{file_name}\"\r\n\r\n{file}--{boundary}--\r\n",
            settings.from
        )
        .into_bytes()
    }
}

fn lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / LINE * 2 + 2);
    let mut rest = text;
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        out.push_str(line);
        out.push_str("\r\n");
        rest = more;
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use kings_mail::header;

    use super::*;

    #[test]
    fn a_message_has_the_fields_that_the_rfcs_want_and_no_long_line() {
        let address = |text: &str| Address::parse(text).unwrap();
        let settings = ReportSettings {
            dmarc: true,
            tls: true,
            from: address("noreply-dmarc@example.org"),
            organisation: "Us".to_owned(),
            contact: "postmaster@example.org".to_owned(),
            receive: Vec::new(),
        };
        let domain = Domain::parse("far.example").unwrap();
        for kind in [ReportKind::Dmarc, ReportKind::Tls] {
            let parcel = Parcel {
                kind,
                domain: &domain,
                submitter: "example.org",
                report_id: "20261125.0123456789abcdef@mail.example.org",
                file_name: "example.org!far.example!1764028800!1764115199.xml.gz",
                packed: &[7; 1_000],
            };
            let message = parcel.message(&settings, &address("r@far.example"), DateTime::from_unix(0));
            let field = |name: &str| header::first(&message, name).map(|field| field.text());
            let subject = "Report Domain: far.example Submitter: example.org Report-ID: <20261125.0123456789abcdef@mail.example.org>";
            assert_eq!(field("Subject").as_deref().map(str::trim), Some(subject));
            assert_eq!(field("TLS-Report-Domain").is_some(), kind == ReportKind::Tls);
            let text = String::from_utf8(message).unwrap();
            assert!(text.lines().all(|line| line.len() <= 120), "{text}");
            let report_type = "multipart/report; report-type=\"tlsrpt\"";
            assert_eq!(text.contains(report_type), kind == ReportKind::Tls);
        }
    }
}
