//! `[[oauth]]`: the issuers whose tokens log people in.

use std::path::Path;
use std::time::Duration;

use kings_fetch::Url;
use kings_mail::domain::Domain;
use kings_net::IpNet;
use kings_oauth::claims::Rules;
use kings_oauth::{Introspection, Issuer, KeySource, Proof, discovery_address};
use kings_sasl::Secret;

use super::duration;
use super::reader::{Section, Source};

/// How far clocks may differ, unless the config says so (RFC 7519 §4.1.4: no more than a few minutes).
const LEEWAY: Duration = Duration::from_mins(1);
/// The most that it may say.
const MOST_LEEWAY: Duration = Duration::from_mins(5);
/// How long the word of an issuer counts.
const REMEMBER: Duration = Duration::from_mins(1);
/// Longer than this nobody waits until a withdrawn token is dead.
const MOST_REMEMBER: Duration = Duration::from_hours(1);

const URL: &str = "an address such as \"https://id.example.org/oauth\"";

/// One issuer, and the networks that its addresses may lie in though they are not public.
#[derive(Clone, Debug)]
pub(crate) struct OAuth {
    pub(crate) issuer: Issuer,
    pub(crate) allow_private: Vec<IpNet>,
}

/// All blocks; two of them cannot speak for the same issuer.
pub(super) fn read(source: &mut Source<'_>, top: &mut Section<'_>) -> Vec<OAuth> {
    let mut issuers: Vec<OAuth> = Vec::new();
    for mut section in top.sections(source, "oauth") {
        let new = block(source, &mut section);
        section.finish(source);
        let Some(new) = new else { continue };
        let name = &new.issuer.rules.issuer;
        if issuers.iter().any(|other| other.issuer.rules.issuer == *name) {
            source.complain(format!("[[oauth]] has two blocks for issuer \"{name}\": keep one of them"));
        }
        issuers.push(new);
    }
    issuers
}

fn block(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<OAuth> {
    let issuer = section.text(source, "issuer");
    if issuer.is_none() {
        source.complain(
            "[[oauth]] lacks issuer: add issuer = \"https://id.example.org\", as its tokens say it in iss",
        );
    }
    let text = |text: &str| if text.is_empty() { Err("empty") } else { Ok(text.to_owned()) };
    let audience =
        section.list(source, "audience", "what stands in aud of the tokens, such as \"kings\"", text);
    let account = section.list(source, "account", "the name of a claim such as \"email\"", text);
    let domains = section.list(source, "domains", "a domain such as \"example.org\"", Domain::parse);
    let scope = section.parsed(source, "scope", "one scope such as \"mail\"", |scope| {
        let is_one = !scope.is_empty() && !scope.contains(char::is_whitespace);
        is_one.then(|| scope.to_owned()).ok_or("not one")
    });
    let leeway = time(source, section, "leeway", MOST_LEEWAY).unwrap_or(LEEWAY);
    let allow_private =
        section.list(source, "allow_private", "a network such as \"10.0.0.0/8\"", str::parse::<IpNet>);
    let proof = proof(source, section, issuer.as_deref());
    let is_asked = section.value("introspection").is_some();
    if audience.is_empty() && !is_asked {
        source.complain(
            "[[oauth]] lacks audience: add audience = [\"kings\"], or tokens made for any other service would log in here",
        );
    }
    let usual: &[&str] = if is_asked { &["email", "username"] } else { &["email"] };
    let account =
        if account.is_empty() { usual.iter().map(|&name| name.to_owned()).collect() } else { account };
    let rules = Rules { issuer: issuer?, audience, account, domains, scope, leeway };
    Some(OAuth { issuer: Issuer { rules, proof: proof? }, allow_private })
}

/// Keys or introspection, and discovery of the keys where neither is named.
fn proof(source: &mut Source<'_>, section: &mut Section<'_>, issuer: Option<&str>) -> Option<Proof> {
    let (is_key, is_question) = (section.value("keys").is_some(), section.value("introspection").is_some());
    let folder = source.folder.to_owned();
    let keys = section.parsed(source, "keys", "an https address or a file", |text| {
        let is_file = !text.contains("://");
        if is_file { Ok(KeySource::File(folder.join(text))) } else { Url::parse(text).map(KeySource::Url) }
    });
    let introspection = introspection(source, section);
    match (is_key, is_question) {
        (true, true) => {
            source.complain("[[oauth]] has both keys and introspection: keep one of them");
            None
        }
        (_, true) => introspection.map(Proof::Introspection),
        (true, false) => keys.map(|keys| checked(source, keys)),
        (false, false) => match Url::parse(&discovery_address(issuer?)) {
            Ok(url) => Some(Proof::Keys(KeySource::Discovery(url))),
            Err(_) => {
                source.complain(format!(
                    "[[oauth]] issuer \"{}\" is no https address: add keys = \"https://...\" or keys = \"FILE\"",
                    issuer.unwrap_or_default()
                ));
                None
            }
        },
    }
}

/// A file can be looked at now; an issuer may be down while we start.
fn checked(source: &mut Source<'_>, keys: KeySource) -> Proof {
    if let KeySource::File(file) = &keys
        && let Err(reason) = kings_oauth::try_key_file(file)
    {
        source.complain(format!("[[oauth]] keys: {reason}; save there what the issuer has under jwks_uri"));
    }
    Proof::Keys(keys)
}

fn introspection(source: &mut Source<'_>, section: &mut Section<'_>) -> Option<Introspection> {
    let is_there = section.value("introspection").is_some();
    let url = section.parsed(source, "introspection", URL, Url::parse);
    let client_id = section.text(source, "client_id");
    let file = section.path(source, "client_secret_file");
    let remember = time(source, section, "remember", MOST_REMEMBER).unwrap_or(REMEMBER);
    if !is_there {
        if client_id.is_some() || file.is_some() {
            source.complain("[[oauth]] has a client but no introspection that it would log in to");
        }
        return None;
    }
    let (Some(client_id), Some(file)) = (client_id, file) else {
        source.complain("[[oauth]] introspection needs client_id and client_secret_file");
        return None;
    };
    let client_secret = secret(source, &file)?;
    Some(Introspection { url: url?, client_id, client_secret, remember })
}

fn secret(source: &mut Source<'_>, file: &Path) -> Option<Secret> {
    match std::fs::read_to_string(file) {
        Ok(text) if !text.trim().is_empty() => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
        Ok(_) => {
            source.complain(format!("client_secret_file {} is empty", file.display()));
            None
        }
        Err(error) => {
            source.complain(format!("cannot read client_secret_file {}: {error}", file.display()));
            None
        }
    }
}

fn time(
    source: &mut Source<'_>,
    section: &mut Section<'_>,
    key: &'static str,
    most: Duration,
) -> Option<Duration> {
    let what = format!("a time such as \"30s\", at most \"{}m\"", most.as_secs() / 60);
    section.parsed(source, key, &what, |text| duration(text).filter(|time| *time <= most).ok_or("too long"))
}
