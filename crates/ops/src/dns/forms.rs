//! Records in the forms in which people hand them on: a table, a zone file, JSON, and what providers' web pages take.

use kings_dns::plan::{Plan, TTL, Wanted};
use kings_dns::{Data, Txt};
use kings_mail::domain::{DnsName, Domain};
use serde_json::{Value, json as object};

/// How a provider's page wants records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// The word for `--provider`.
    pub name: &'static str,
    /// What stands for the zone itself.
    apex: Name,
    /// Host names end in a dot.
    dots: bool,
    text: Text,
    /// What else is to be known.
    pub note: &'static str,
}

/// How names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Below the zone; the zone itself is this.
    Relative(&'static str),
    /// Whole.
    Absolute,
    /// Whole, with a final dot.
    Rooted,
}

/// How texts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    /// In one piece, without quotes: the provider cuts it.
    Whole,
    /// In quotes, cut for DNS.
    Strings,
}

const fn form(name: &'static str, apex: Name, dots: bool, text: Text, note: &'static str) -> Form {
    Form { name, apex, dots, text, note }
}

/// The providers whose forms are known.
pub const FORMS: [Form; 10] = [
    form(
        "cloudflare",
        Name::Relative("@"),
        false,
        Text::Whole,
        "Proxy status: DNS only (grey cloud) for every A, AAAA and CNAME.",
    ),
    form("digitalocean", Name::Relative("@"), true, Text::Whole, ""),
    form("gandi", Name::Relative("@"), true, Text::Strings, ""),
    form("godaddy", Name::Relative("@"), false, Text::Whole, ""),
    form(
        "google",
        Name::Rooted,
        true,
        Text::Strings,
        "Cloud DNS: several strings of one TXT record stand in one field.",
    ),
    form("hetzner", Name::Relative("@"), true, Text::Strings, ""),
    form("ionos", Name::Relative("@"), false, Text::Whole, ""),
    form("namecheap", Name::Relative("@"), true, Text::Whole, "Set Mail Settings to Custom MX first."),
    form("ovh", Name::Relative(""), true, Text::Whole, "The empty subdomain is the domain itself."),
    form(
        "route53",
        Name::Absolute,
        true,
        Text::Strings,
        "Several records of one name and type are lines of one record set.",
    ),
];

/// Records of a plan, with those of one domain alone where it is named: what stands in it or below it.
fn chosen<'p>(plan: &'p Plan, domain: Option<&Domain>) -> Vec<&'p Wanted> {
    let within = |name: &DnsName, domain: &Domain| {
        let rest = name.as_str().strip_suffix(domain.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    plan.records.iter().filter(|wanted| domain.is_none_or(|domain| within(&wanted.name, domain))).collect()
}

/// For reading.
pub fn table(plan: &Plan, domain: Option<&Domain>) -> String {
    let records = chosen(plan, domain);
    let width = records.iter().map(|wanted| wanted.name.as_str().len() + 1).max().unwrap_or(0);
    let row = |wanted: &&Wanted| {
        let (name, kind) = (format!("{}.", wanted.name), wanted.kind());
        format!("{name:width$}  {kind:<5}  {}\n", wanted.data)
    };
    let mut text: String = records.iter().map(row).collect();
    text += &reverse(plan);
    text
}

/// What nobody can put into a zone of his own.
fn reverse(plan: &Plan) -> String {
    let line = |(ip, name): &(_, DnsName)| {
        format!("Ask whoever gave you the address {ip} to make its reverse name (PTR) {name}\n")
    };
    plan.reverse.iter().map(line).collect()
}

/// For a name server: lines to include into zones. Names are whole, so that it does not matter where.
pub fn zone_file(plan: &Plan, domain: Option<&Domain>) -> String {
    let mut text = String::new();
    let mut last = None;
    for wanted in chosen(plan, domain) {
        let about = (&wanted.domain, &wanted.purpose);
        if last != Some(about) {
            text += &format!("; {}: {}\n", wanted.domain, wanted.purpose.as_str());
            last = Some(about);
        }
        text += &format!("{}. {TTL} IN {} {}\n", wanted.name, wanted.kind(), wanted.data);
    }
    let comments = reverse(plan);
    text + &comments.lines().map(|line| format!("; {line}\n")).collect::<String>()
}

/// For programs.
pub fn json(plan: &Plan, domain: Option<&Domain>) -> Value {
    let item = |wanted: &Wanted| {
        let mut item = object!({
            "domain": wanted.domain.as_str(),
            "purpose": wanted.purpose.as_str(),
            "name": wanted.name.as_str(),
            "type": wanted.kind().as_str(),
            "ttl": TTL,
            "data": wanted.data.to_string(),
        });
        if let Data::Txt(text) = &wanted.data {
            item["text"] = String::from_utf8_lossy(&text.joined()).into();
        }
        item
    };
    let items: Vec<Value> = chosen(plan, domain).into_iter().map(item).collect();
    let reverse =
        |(ip, name): &(std::net::IpAddr, DnsName)| object!({ "address": ip, "name": name.as_str() });
    let reverse: Vec<Value> = plan.reverse.iter().map(reverse).collect();
    object!({ "schema": 1, "items": items, "reverse": reverse })
}

/// For the web page of a provider: a line for each field to fill.
pub fn paste(plan: &Plan, domain: Option<&Domain>, form: &Form) -> String {
    let mut text = if form.note.is_empty() { String::new() } else { format!("{}\n", form.note) };
    for wanted in chosen(plan, domain) {
        let (priority, value) = value(&wanted.data, form);
        text += &format!("\nType   {}\nName   {}\n", wanted.kind(), name(wanted, form));
        text += &priority.map(|priority| format!("Priority  {priority}\n")).unwrap_or_default();
        text += &format!("Value  {value}\n");
    }
    let reverse = reverse(plan);
    if reverse.is_empty() { text } else { format!("{text}\n{reverse}") }
}

fn name(wanted: &Wanted, form: &Form) -> String {
    match form.apex {
        Name::Absolute => wanted.name.to_string(),
        Name::Rooted => format!("{}.", wanted.name),
        Name::Relative(apex) => {
            let rest =
                wanted.name.as_str().strip_suffix(wanted.domain.as_str()).unwrap_or(wanted.name.as_str());
            let rest = rest.trim_end_matches('.');
            if rest.is_empty() { apex.to_owned() } else { rest.to_owned() }
        }
    }
}

/// What goes into the field of the priority, if there is one, and into that of the value.
fn value(data: &Data, form: &Form) -> (Option<u16>, String) {
    let host = |name: &Option<DnsName>| match name {
        None => ".".to_owned(),
        Some(name) if form.dots => format!("{name}."),
        Some(name) => name.to_string(),
    };
    // Where names are relative, the priority has a field of its own.
    let apart = matches!(form.apex, Name::Relative(_));
    match data {
        Data::Mx(mx) if apart => (Some(mx.preference), host(&mx.exchange)),
        Data::Cname(name) | Data::Ns(name) | Data::Ptr(name) => (None, host(&Some(name.clone()))),
        Data::Txt(text) if form.text == Text::Whole => (None, whole(text)),
        data => (None, data.to_string()),
    }
}

/// In one piece: where a provider cuts it says nothing.
fn whole(text: &Txt) -> String {
    String::from_utf8_lossy(&text.joined()).into_owned()
}

#[cfg(test)]
mod tests;
