//! `kings certificate import`: certbot's keys are for root alone; the server gets a copy in the same layout.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use kings_acme::Shelf;
use kings_mail::domain::Domain;
use kings_mail::visible;
use kings_tls::{CertificateError, ClientTls, NotProven, Pair, Proven, Source, prove};
use rustix::fs::OFlags;

use super::{Common, Failure, ask, domain, print, time};
use crate::config::Settings;
use crate::control::Request;
use crate::prepare;

/// No chain and no key is larger.
const MAX_FILE: u64 = 1024 * 1024;
/// Held by the one that takes a certificate: certbot starts a hook for each name.
const LOCK: &str = "import.lock";
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
    /// Take one that no mail program trusts in the place of one that they do.
    #[arg(long)]
    untrusted: bool,
    /// Take one that was given before the one that is there.
    #[arg(long)]
    older: bool,
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
    prepare::act_as_owner(&settings).map_err(failed)?;
    let place = settings.data_dir.join("certificates");
    let new = keep(options, &settings, &place, &name, (&key, &chain)).map_err(|refusal| match refusal {
        Refusal::Disk(error) => {
            Failure::cannot_tell(format!("cannot keep the certificate in {}: {error}", place.display()))
        }
        refusal => Failure::check_failed(format!("the certificate is not taken: {}", refusal.words(&folder))),
    })?;
    if !new.is_trusted {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(
            io::stderr(),
            "kings: nobody who checks certificates trusts this one, which is from {}: mail programs will refuse it",
            visible::line(&new.described.issuer)
        );
    }
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
    let is_number = |text: &str| text.len() == 4 && text.bytes().all(|octet| octet.is_ascii_digit());
    let name = match name.rsplit_once('-') {
        Some((name, number)) if is_number(number) => name,
        _ => name.as_str(),
    };
    Domain::parse(name)
        .map_err(|_| Failure::usage(format!("{} is not called by a name: say --name", folder.display())))
}

/// A file, and neither a pipe that nobody fills nor a device without an end.
fn read(path: &Path) -> Result<String, Failure> {
    let read = || {
        let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
        let file = File::options().read(true).custom_flags(nonblocking).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut text = String::new();
        file.take(MAX_FILE + 1).read_to_string(&mut text)?;
        if text.len() as u64 > MAX_FILE {
            return Err(io::Error::other("it is too large for a certificate or a key"));
        }
        Ok(text)
    };
    read().map_err(|error| {
        let remedy = if error.kind() == io::ErrorKind::PermissionDenied { "; run it as root" } else { "" };
        Failure::cannot_tell(format!("cannot read {}: {error}{remedy}", path.display()))
    })
}

/// Why nothing has changed.
enum Refusal {
    NotProven(NotProven),
    /// One that is trusted would go.
    Untrusted(Box<Proven>),
    /// One that is newer would go.
    Older(Box<Proven>),
    Disk(io::Error),
}

impl Refusal {
    /// What is said of it. The files that an error names are gone; those in `folder` are the ones to look at.
    fn words(&self, folder: &Path) -> String {
        match self {
            Self::NotProven(NotProven::Unusable(CertificateError::Mismatch { cause, .. }))
                if cause.contains("KeyMismatch") =>
            {
                format!(
                    "its key is another; these two must print the same:  openssl x509 -noout -pubkey -in {0}/fullchain.pem  and  \
                     openssl pkey -pubout -in {0}/privkey.pem",
                    folder.display()
                )
            }
            Self::NotProven(NotProven::Unusable(CertificateError::Mismatch { cause, .. })) => format!(
                "its key is damaged or too weak, where RSA of 2048 bits or more, ECDSA and Ed25519 are taken ({cause}); look with  \
                 openssl pkey -noout -text -in {}/privkey.pem",
                folder.display()
            ),
            Self::NotProven(NotProven::Unusable(CertificateError::Unreadable { what, cause, .. })) => {
                format!("the {what} in {} is damaged: {cause}", folder.display())
            }
            Self::NotProven(NotProven::Expired) => {
                "its time is over: have it renewed; if it is new, the clock of this machine is fast"
                    .to_owned()
            }
            Self::NotProven(error) => error.to_string(),
            Self::Untrusted(new) => format!(
                "nobody who checks certificates trusts it ({}), and the one that is there is trusted; --untrusted takes it all the same",
                visible::line(&new.described.issuer)
            ),
            Self::Older(there) => format!(
                "it is older than the one that is there, which is from {}; --older takes it all the same",
                time(there.described.not_before)
            ),
            Self::Disk(error) => error.to_string(),
        }
    }
}

/// One at a time: what is there is compared with what comes.
fn keep(
    options: &Options,
    settings: &Settings,
    place: &Path,
    name: &Domain,
    (key, chain): (&str, &str),
) -> Result<Proven, Refusal> {
    let shelf = Shelf::open(place).map_err(Refusal::Disk)?;
    let lock = File::options().create(true).append(true).mode(0o600).open(place.join(LOCK));
    let lock = lock.map_err(Refusal::Disk)?;
    lock.lock().map_err(Refusal::Disk)?;
    let staged = shelf.stage(name, key, chain).map_err(Refusal::Disk)?;
    let roots = ClientTls::with_authorities(&settings.authorities);
    let now = SystemTime::now();
    let there: Vec<Proven> =
        served(settings, place, name).iter().filter_map(|pair| prove(pair, name, now, &roots).ok()).collect();
    let judged = prove(staged.pair(), name, now, &roots).map_err(Refusal::NotProven);
    match judged.and_then(|new| compared(options, new, there)) {
        Ok(new) => shelf.put_live(&staged).map_err(Refusal::Disk).map(|()| new),
        Err(refusal) => {
            shelf.drop_staged(&staged);
            Err(refusal)
        }
    }
}

/// Whether the new one may take the place of those that are good for the same name now.
fn compared(options: &Options, new: Proven, there: Vec<Proven>) -> Result<Proven, Refusal> {
    if !new.is_trusted && !options.untrusted && there.iter().any(|there| there.is_trusted) {
        return Err(Refusal::Untrusted(Box::new(new)));
    }
    // One that is trusted is better than any that is not.
    let newer = there.into_iter().find(|there| {
        there.is_trusted == new.is_trusted && there.described.not_before > new.described.not_before
    });
    match newer {
        Some(newer) if !options.older => Err(Refusal::Older(Box::new(newer))),
        _ => Ok(new),
    }
}

/// Where a certificate for this name may be now: the copy of the last time, and what the config names.
fn served(settings: &Settings, place: &Path, name: &Domain) -> Vec<Pair> {
    let mut pairs = vec![Pair::in_folder(&place.join("live").join(name.as_str()))];
    match &settings.certificate {
        Source::Files { default, more } => {
            pairs.push(default.clone());
            pairs.extend(more.iter().cloned());
        }
        Source::Acme { live, .. } => pairs.push(Pair::in_folder(&live.join(name.as_str()))),
        Source::SelfSigned { .. } => {}
    }
    pairs
}

fn uses(source: &Source, pair: &Pair) -> bool {
    match source {
        Source::Files { default, more } => default == pair || more.contains(pair),
        Source::SelfSigned { .. } | Source::Acme { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;

    use super::*;

    #[test]
    fn the_number_of_a_lineage_is_cut_and_nothing_else() {
        for (folder, expected) in [
            ("/live/mail.example.org", Some("mail.example.org")),
            ("/live/mail.example.org-0001", Some("mail.example.org")),
            ("/live/mail.example.org-0012", Some("mail.example.org")),
            ("/live/mx-001.example.org", Some("mx-001.example.org")),
            ("/live/mx-001.example.org-0001", Some("mx-001.example.org")),
            ("/live/mail.example.org-01", Some("mail.example.org-01")),
            ("/", None),
        ] {
            assert_eq!(
                name_of(Path::new(folder)).ok(),
                expected.map(|name| Domain::parse(name).unwrap()),
                "{folder}"
            );
        }
    }

    #[test]
    fn a_pipe_and_a_device_without_end_are_no_files() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        let large = folder.path().join("large");
        fs::write(&large, vec![b'a'; 1024 * 1024 + 1]).unwrap();
        for (path, says) in [
            (pipe.as_path(), "no file"),
            (Path::new("/dev/zero"), "no file"),
            (&large, "too large"),
            (folder.path(), "no file"),
        ] {
            let refused = read(path).unwrap_err();
            assert!(refused.parts().1.contains(says), "{refused:?}");
        }
        fs::write(&large, "text").unwrap();
        assert_eq!(read(&large).unwrap(), "text");
    }

    #[test]
    fn one_that_nobody_trusts_or_that_is_older_is_taken_only_where_that_is_wanted() {
        let proven = |is_trusted: bool, day: u64| Proven {
            described: kings_tls::Described {
                names: Vec::new(),
                not_before: SystemTime::UNIX_EPOCH + std::time::Duration::from_hours(24 * day),
                not_after: SystemTime::UNIX_EPOCH,
                issuer: "x".to_owned(),
                is_self_signed: false,
                key_digest: [0; 32],
            },
            is_trusted,
        };
        let common = || Common { config: PathBuf::new() };
        let options =
            |untrusted, older| Options { folder: None, name: None, untrusted, older, common: common() };
        let (yes, no) = (true, false);
        // What comes, what is there, what is said, and the word that lets it through.
        for (new, there, refused) in [
            ((yes, 2), vec![], None),
            ((no, 2), vec![], None),
            ((yes, 2), vec![(yes, 1)], None),
            ((yes, 1), vec![(yes, 1)], None),
            ((yes, 1), vec![(yes, 2)], Some("older")),
            ((yes, 1), vec![(no, 2)], None),
            ((no, 2), vec![(no, 1)], None),
            ((no, 1), vec![(no, 2)], Some("older")),
            ((no, 2), vec![(no, 1), (yes, 1)], Some("untrusted")),
        ] {
            let there: Vec<Proven> = there.into_iter().map(|(trust, day)| proven(trust, day)).collect();
            let compare = |options: &Options| compared(options, proven(new.0, new.1), there.clone());
            let said = match compare(&options(false, false)) {
                Ok(_) => None,
                Err(Refusal::Untrusted(_)) => Some("untrusted"),
                Err(_) => Some("older"),
            };
            assert_eq!(said, refused, "{new:?}");
            if let Some(word) = refused {
                assert!(compare(&options(word == "untrusted", word == "older")).is_ok(), "{new:?}");
                assert!(compare(&options(word != "untrusted", word != "older")).is_err(), "{new:?}");
            }
        }
    }
}
