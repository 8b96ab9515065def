//! Who changes records in DNS, as the config says: for `kings dns apply`, and for the server that proves its names by them.

use std::fs;

use kings_net::Resolver;
use kings_net::authority::{Authorities, TsigKey};
use kings_ops::dns::{Provider, Rfc2136};

use crate::config::{DnsServer, Settings};

/// `None` where the config names nobody. A secret is read now, by whoever runs: what only root may read, the server cannot.
pub(crate) fn open(settings: &Settings, resolver: &Resolver) -> anyhow::Result<Option<Provider>> {
    let authorities = Authorities::new(&settings.dns, resolver.clone());
    let Some(DnsServer::Rfc2136 { server, key, key_file }) = &settings.published.provider else {
        return Ok(None);
    };
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
    Ok(Some(Provider::Rfc2136(Rfc2136 { server: *server, key, authorities })))
}
