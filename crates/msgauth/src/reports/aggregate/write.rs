//! Writing an aggregate report as XML (RFC 9990 §A).

use std::fmt::Write;

use super::{DkimResult, Metadata, PublishedPolicy, Report, Row, SpfResult};

/// Most signatures of one row that are written (RFC 9990 §2.1.2).
const MAX_SIGNATURES: usize = 100;

impl Report {
    /// The report as XML, the same for the same report.
    pub fn to_xml(&self) -> String {
        let mut xml = Xml(String::new());
        xml.0.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
        xml.0.push_str("<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n");
        xml.value("version", "1.0");
        xml.within("report_metadata", |xml| metadata(xml, &self.metadata));
        xml.within("policy_published", |xml| policy(xml, &self.policy));
        for each in &self.rows {
            xml.within("record", |xml| row(xml, each));
        }
        xml.0.push_str("</feedback>\n");
        xml.0
    }
}

fn metadata(xml: &mut Xml, metadata: &Metadata) {
    xml.value("org_name", &metadata.org_name);
    xml.value("email", &metadata.email);
    xml.option("extra_contact_info", metadata.extra_contact_info.as_deref());
    xml.value("report_id", &metadata.report_id);
    xml.within("date_range", |xml| {
        xml.value("begin", &metadata.begin.to_string());
        xml.value("end", &metadata.end.to_string());
    });
    xml.option("error", metadata.error.as_deref());
}

fn policy(xml: &mut Xml, policy: &PublishedPolicy) {
    xml.value("domain", &policy.domain);
    xml.option("discovery_method", policy.discovery_method.as_deref());
    xml.value("adkim", policy.adkim.as_str());
    xml.value("aspf", policy.aspf.as_str());
    xml.value("p", policy.policy.as_str());
    xml.value("sp", policy.subdomains.as_str());
    xml.option("np", policy.nonexistent.map(crate::dmarc::Policy::as_str));
    xml.value("testing", if policy.testing { "y" } else { "n" });
    xml.option("fo", policy.failure_options.as_deref());
}

fn row(xml: &mut Xml, row: &Row) {
    let verdict = |aligned: bool| if aligned { "pass" } else { "fail" };
    xml.within("row", |xml| {
        xml.option("source_ip", row.source.map(|ip| ip.to_canonical().to_string()).as_deref());
        xml.value("count", &row.count.to_string());
        xml.within("policy_evaluated", |xml| {
            xml.value("disposition", row.disposition.as_str());
            xml.value("dkim", verdict(row.dkim_aligned));
            xml.value("spf", verdict(row.spf_aligned));
            for reason in &row.overrides {
                xml.within("reason", |xml| {
                    xml.value("type", &reason.kind);
                    xml.option("comment", reason.comment.as_deref());
                });
            }
        });
    });
    xml.within("identifiers", |xml| {
        xml.option("envelope_to", row.envelope_to.as_deref());
        xml.option("envelope_from", row.envelope_from.as_deref());
        xml.value("header_from", &row.header_from);
    });
    xml.within("auth_results", |xml| {
        row.dkim.iter().take(MAX_SIGNATURES).for_each(|result| dkim(xml, result));
        row.spf.iter().for_each(|result| spf(xml, result));
    });
}

fn dkim(xml: &mut Xml, result: &DkimResult) {
    xml.within("dkim", |xml| {
        xml.value("domain", &result.domain);
        xml.value("selector", &result.selector);
        xml.value("result", &result.result);
        xml.option("human_result", result.human_result.as_deref());
    });
}

fn spf(xml: &mut Xml, result: &SpfResult) {
    xml.within("spf", |xml| {
        xml.value("domain", &result.domain);
        xml.option("scope", result.scope.as_deref());
        xml.value("result", &result.result);
        xml.option("human_result", result.human_result.as_deref());
    });
}

/// XML as it grows.
struct Xml(String);

impl Xml {
    fn within(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>\n"));
        inner(self);
        self.0.push_str(&format!("</{name}>\n"));
    }

    fn value(&mut self, name: &str, text: &str) {
        let _ = writeln!(self.0, "<{name}>{}</{name}>", escape(text));
    }

    fn option(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.value(name, text);
        }
    }
}

/// Characters that XML cannot hold, not even escaped (XML 1.0 §2.2), are replaced.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\t' | '\n' => out.push(c),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c < ' ' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
