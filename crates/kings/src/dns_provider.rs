//! Who changes records in DNS, as the config says: for `kings dns apply`, and for the server that proves its names by them.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kings_fetch::Fetch;
use kings_mail::domain::DnsName;
use kings_net::Resolver;
use kings_net::authority::{Authorities, TsigKey};
use kings_ops::aws::{AwsKey, Environment, Keys};
use kings_ops::dns::{self, Provider, Rfc2136};
use kings_tls::ClientTls;

use crate::config::{DnsServer, Route53, Settings};

/// `None` where the config names nobody. A secret in a file is read now, by whoever runs, who may be somebody else when it is
/// used; a server reads Amazon's keys `anew` each time, as they change while it runs.
pub(crate) fn open(settings: &Settings, resolver: &Resolver, anew: bool) -> anyhow::Result<Option<Provider>> {
    Ok(match &settings.published.provider {
        None => None,
        Some(DnsServer::Rfc2136 { server, key, key_file }) => {
            Some(Provider::Rfc2136(Box::new(rfc2136(settings, resolver, (*server, key, key_file))?)))
        }
        Some(DnsServer::Route53(options)) => {
            Some(Provider::Route53(Box::new(route53(settings, resolver, options, anew)?)))
        }
    })
}

fn rfc2136(
    settings: &Settings,
    resolver: &Resolver,
    (server, key, key_file): (SocketAddr, &DnsName, &Path),
) -> anyhow::Result<Rfc2136> {
    let place = key_file.display();
    let text = fs::read_to_string(key_file).map_err(|error| {
        let user = settings.user.as_deref().unwrap_or("kings-smtp");
        anyhow::anyhow!(
            "[dns] key_file: cannot read {place}: {error}; the server reads it as its own user: chown root:{user} {place} && chmod \
             640 {place}"
        )
    })?;
    let key =
        TsigKey::read(key, &text).map_err(|error| anyhow::anyhow!("[dns] key_file {place}: {error}"))?;
    Ok(Rfc2136 { server, key, authorities: Authorities::new(&settings.dns, resolver.clone()) })
}

fn route53(
    settings: &Settings,
    resolver: &Resolver,
    options: &Route53,
    anew: bool,
) -> anyhow::Result<dns::Route53> {
    let tls = ClientTls::with_authorities(&settings.authorities.and(&options.root));
    // Amazon's own service is public; another one is the operator's choice, so it may be in any network.
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok());
    let allow_private = anywhere.filter(|_| options.endpoint.is_some()).collect();
    let fetch = Fetch::new(resolver.clone(), &tls, kings_fetch::Settings { allow_private });
    let keys = Keys {
        file: options.credentials_file.clone(),
        profile: options.profile.clone(),
        environment: environment(|name| env::var(name).ok()),
        metadata: options.metadata.clone(),
        ..Keys::default()
    };
    let keys = if anew { keys } else { keys.held()? };
    Ok(dns::Route53::new(fetch, keys, options.zone.clone(), options.endpoint.clone()))
}

/// In the words of the AWS CLI. What is empty is not there.
fn environment(of: impl Fn(&str) -> Option<String>) -> Environment {
    let of = |name: &str| of(name).filter(|value| !value.is_empty());
    let home = || Some(PathBuf::from(of("HOME")?).join(".aws/credentials"));
    let key = || {
        let (id, secret) = (of("AWS_ACCESS_KEY_ID")?, of("AWS_SECRET_ACCESS_KEY")?);
        Some(AwsKey { id, secret, session: of("AWS_SESSION_TOKEN") })
    };
    Environment {
        key: key(),
        shared_file: of("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from).or_else(home),
        profile: of("AWS_PROFILE"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read_in_the_words_of_the_aws_cli() {
        let read = |pairs: &[(&str, &str)]| {
            environment(|name| {
                let found = pairs.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(read(&[]), Environment::default());
        let all = read(&[
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            ("AWS_SESSION_TOKEN", "t"),
            ("AWS_PROFILE", "mail"),
            ("HOME", "/home/ann"),
        ]);
        assert_eq!(all.key.map(|key| (key.id, key.session)), Some(("AKID".to_owned(), Some("t".to_owned()))));
        assert_eq!(all.shared_file, Some("/home/ann/.aws/credentials".into()));
        let half = read(&[("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_PROFILE", "")]);
        assert_eq!(half, Environment::default());
    }
}
