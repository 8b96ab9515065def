//! `kings certificate import`: certbot's keys are for root alone; the server gets a copy in the same layout.

use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use kings_acme::Shelf;
use kings_mail::domain::Domain;
use kings_tls::{ClientTls, NotProven, Pair, Source, prove};

use super::{Common, Failure, ask, domain, print};
use crate::config::Settings;
use crate::control::Request;
use crate::identity::Identity;
use crate::prepare;

/// Where certbot tells its hooks what it has renewed.
const LINEAGE: &str = "RENEWED_LINEAGE";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The folder with fullchain.pem and privkey.pem, as in /etc/letsencrypt/live/mail.example.org; as certbot's deploy
    /// hook, the one that was renewed.
    folder: Option<PathBuf>,
    /// The name it is for, where the folder is not called so.
    #[arg(long, value_name = "NAME", value_parser = domain)]
    name: Option<Domain>,
    #[command(flatten)]
    common: Common,
}

/// Read as whoever runs this, written as the user of the server: nothing is ever there that the server may not read.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let settings = options.common.settings()?;
    let folder = options.folder.clone().or_else(|| std::env::var_os(LINEAGE).map(PathBuf::from));
    let folder = folder
        .ok_or_else(|| Failure::usage("name the folder, as in /etc/letsencrypt/live/mail.example.org"))?;
    let name = match &options.name {
        Some(name) => name.clone(),
        None => name_of(&folder)?,
    };
    let from = Pair::in_folder(&folder);
    let (chain, key) = (read(&from.certificate)?, read(&from.private_key)?);
    let failed = |error: anyhow::Error| Failure::config(format!("{error:#}"));
    prepare::ensure_data(&settings).map_err(failed)?;
    let identity = Identity::find(settings.user.as_deref()).map_err(failed)?;
    identity.become_it().map_err(failed)?;
    let place = settings.data_dir.join("certificates");
    keep(&settings, &place, &name, (&key, &chain)).map_err(|refusal| match refusal {
        Refusal::Disk(error) => {
            Failure::cannot_tell(format!("cannot keep the certificate in {}: {error}", place.display()))
        }
        // The files that the error names are gone; these are the ones to look at.
        Refusal::NotProven(NotProven::Unusable(_)) => Failure::check_failed(format!(
            "the certificate is not taken: its key is another, or a file is damaged; these two must print the same:  openssl x509 \
             -noout -pubkey -in {0}/fullchain.pem  and  openssl pkey -pubout -in {0}/privkey.pem",
            folder.display()
        )),
        Refusal::NotProven(error) => Failure::check_failed(format!("the certificate is not taken: {error}")),
    })?;
    let pair = Pair::in_folder(&place.join("live").join(name.as_str()));
    let is_used = uses(&settings.certificate, &pair);
    if is_used && let Some(answer) = ask(&settings.data_dir, &Request::Reload)? {
        answer.map_err(Failure::cannot_tell)?;
    }
    let (certificate, private_key) = (pair.certificate.display(), pair.private_key.display());
    print(&if is_used {
        format!("ok: {name} is at {certificate}\n")
    } else {
        format!(
            "ok: {name} is at {certificate}; to use it, write into [tls] and reload:\ncertificate = \"{certificate}\"\nprivate_key = \"{private_key}\"\n"
        )
    });
    Ok(())
}

fn name_of(folder: &Path) -> Result<Domain, Failure> {
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // A second lineage of one name: certbot numbers them.
    let name = name.rsplit_once("-00").map_or(name.as_str(), |(name, _)| name);
    Domain::parse(name)
        .map_err(|_| Failure::usage(format!("{} is not called by a name: say --name", folder.display())))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| {
        let remedy = if error.kind() == io::ErrorKind::PermissionDenied { "; run it as root" } else { "" };
        Failure::cannot_tell(format!("cannot read {}: {error}{remedy}", path.display()))
    })
}

/// Why nothing has changed.
enum Refusal {
    NotProven(NotProven),
    Disk(io::Error),
}

fn keep(settings: &Settings, place: &Path, name: &Domain, (key, chain): (&str, &str)) -> Result<(), Refusal> {
    let shelf = Shelf::open(place).map_err(Refusal::Disk)?;
    let staged = shelf.stage(name, key, chain).map_err(Refusal::Disk)?;
    let roots = ClientTls::with_authorities(&settings.authorities);
    if let Err(error) = prove(staged.pair(), name, SystemTime::now(), &roots) {
        shelf.drop_staged(&staged);
        return Err(Refusal::NotProven(error));
    }
    shelf.put_live(&staged).map_err(Refusal::Disk)
}

fn uses(source: &Source, pair: &Pair) -> bool {
    match source {
        Source::Files { default, more } => default == pair || more.contains(pair),
        Source::SelfSigned { .. } | Source::Acme { .. } => false,
    }
}
