//! The keys to sign with: where they lie, how they are made, and what of them is in use.
//!
//! `DATA_DIR/dkim/DOMAIN/SELECTOR.private` signs. A key that waits until its record is known everywhere ends in `.next`,
//! one that signs no more while mail with its signatures is still under way in `.retired`.

mod own;
pub(crate) mod rotation;
pub(crate) mod tables;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{Ed25519KeyPair, RsaKeyPair};
use kings_mail::domain::Domain;
use kings_msgauth::dkim::{Algorithm, PrivateKey, Selector, key_files};
use kings_mta::signing::Signing;

pub(crate) use self::tables::Checked;
use crate::config::Settings;

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// It signs.
    Active,
    /// Its record is to be published before it signs.
    Next,
    /// It signs no more; its record stays until all mail it has signed has arrived.
    Retired,
}

impl Stage {
    const ALL: [Self; 3] = [Self::Active, Self::Next, Self::Retired];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Next => "next",
            Self::Retired => "retired",
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Active => "private",
            Self::Next => "next",
            Self::Retired => "retired",
        }
    }
}

/// One key file of a domain.
#[derive(Debug)]
pub(crate) struct KeyFile {
    pub(crate) selector: Selector,
    pub(crate) stage: Stage,
    pub(crate) path: PathBuf,
    pub(crate) key: PrivateKey,
    /// Since when it has been at its stage.
    pub(crate) since: SystemTime,
}

impl KeyFile {
    fn read(path: PathBuf, stage: Stage) -> anyhow::Result<Self> {
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let selector = Selector::parse(name);
        let selector = selector.with_context(|| format!("{}: the name is no selector", path.display()))?;
        let (key, since) = (private_key(&path)?, fs::metadata(&path)?.modified()?);
        Ok(Self { selector, stage, path, key, since })
    }

    /// How long it has been at its stage.
    pub(crate) fn age(&self) -> Duration {
        self.since.elapsed().unwrap_or_default()
    }

    /// Moves it on; its age begins anew.
    pub(crate) fn advance(self, stage: Stage) -> anyhow::Result<Self> {
        let path = self.path.with_extension(stage.extension());
        self.touch()?;
        fs::rename(&self.path, &path).with_context(|| format!("cannot rename {}", self.path.display()))?;
        sync_parent(&path)?;
        Ok(Self { path, stage, since: SystemTime::now(), ..self })
    }

    /// Its age begins anew.
    pub(crate) fn touch(&self) -> anyhow::Result<()> {
        Ok(File::options().append(true).open(&self.path)?.set_modified(SystemTime::now())?)
    }
}

pub(crate) fn private_key(path: &Path) -> anyhow::Result<PrivateKey> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    PrivateKey::from_pem(&text).with_context(|| format!("{}", path.display()))
}

/// In the data folder: all keys, in a folder for each domain.
pub(crate) const FOLDER: &str = "dkim";

/// Where the keys of a domain are.
pub(crate) fn folder(data_dir: &Path, domain: &Domain) -> PathBuf {
    data_dir.join(FOLDER).join(domain.to_string())
}

/// All keys of a domain, those in use first. None is left out silently: a broken file is an error.
pub(crate) fn key_files(data_dir: &Path, domain: &Domain) -> anyhow::Result<Vec<KeyFile>> {
    let places = places(&folder(data_dir, domain))?.into_iter();
    places.map(|(stage, path)| KeyFile::read(path, stage)).collect()
}

/// Where the keys of a folder lie, those in use first, whatever they hold.
fn places(folder: &Path) -> anyhow::Result<Vec<(Stage, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", folder.display()))?,
    };
    let mut places = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.path();
        let stage =
            Stage::ALL.into_iter().find(|stage| path.extension() == Some(OsStr::new(stage.extension())));
        places.extend(stage.map(|stage| (stage, path)));
    }
    places.sort_by(|(a, one), (b, other)| (a, one.file_stem()).cmp(&(b, other.file_stem())));
    Ok(places)
}

/// Whether a domain has a key of each kind.
pub(crate) fn has_both(data_dir: &Path, domain: &Domain) -> bool {
    let files = key_files(data_dir, domain).unwrap_or_default();
    [Algorithm::RsaSha256, Algorithm::Ed25519Sha256]
        .into_iter()
        .all(|algorithm| files.iter().any(|file| file.key.algorithm() == algorithm))
}

/// A name of a domain that has a record and no key any more.
pub(crate) fn lost_key(data_dir: &Path, domain: &Domain) -> Option<String> {
    rotation::orphans(&folder(data_dir, domain)).ok()?.into_iter().next()
}

/// Whose mail may have keys here: hosted domains, those that mail is passed on for, since what goes there is sealed, and
/// this server, whose bounces and reports are its own.
pub(crate) fn names(settings: &Settings) -> impl Iterator<Item = &Domain> {
    let hosted = settings.domains.iter().map(|hosted| &hosted.name);
    let listed = hosted.chain(settings.relays.iter().map(|relay| &relay.name));
    let is_listed = listed.clone().any(|name| *name == settings.hostname);
    listed.chain((!is_listed).then_some(&settings.hostname))
}

/// Everything to sign with, as the config and the folders have it now.
pub(crate) fn load(settings: &Settings) -> anyhow::Result<Checked<Signing>> {
    let (mut domains, mut notes) = (HashMap::new(), Checked::from(()));
    for name in names(settings) {
        domains.insert(name.clone(), notes.add(own::keys(&settings.data_dir, name)));
    }
    let hostname = &settings.hostname;
    let signs = |name: &Domain| domains.get(name).is_some_and(|keys| !keys.is_empty());
    if settings.dkim.tables.is_none()
        && domains.keys().any(signs)
        && !hostname.with_parents().any(|name| signs(&name))
    {
        notes.warnings.push(format!(
            "bounces and reports are from {hostname}, which has no key: they leave unsigned until  kings dkim create {hostname}"
        ));
    }
    let tables = settings.dkim.tables.as_ref().map(tables::load).transpose()?.map(|tables| notes.add(tables));
    let trusted = settings.dkim.trusted_hosts.as_ref().map(tables::hosts).transpose()?;
    let trusted = trusted.map(|hosts| notes.add(hosts)).unwrap_or_default();
    let (valid_for, server) = (settings.dkim.signature_lifetime, Some(settings.hostname.clone()));
    Ok(notes.with(Signing::new(domains, tables, trusted, valid_for, server)))
}

/// Makes a key and writes both of its files, the key first: a record without a key is one that is being removed. Never
/// over one that is there, and never under a name that had one, which verifiers may remember.
pub(crate) fn create(
    data_dir: &Path,
    domain: &Domain,
    selector: &Selector,
    algorithm: Algorithm,
    stage: Stage,
) -> anyhow::Result<KeyFile> {
    let folder = folder(data_dir, domain);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    for taken in Stage::ALL {
        let path = folder.join(format!("{selector}.{}", taken.extension()));
        if path.exists() {
            bail!("{} is there already; choose another name with --selector", path.display());
        }
    }
    if rotation::orphans(&folder)?.iter().any(|lost| *lost == selector.to_string()) {
        bail!(
            "the key {selector} of {domain} is gone, and its record may still be known: put {selector}.private back from a backup, or \
             give it up with  kings dkim rotate {domain} --start"
        );
    }
    if folder.join(format!("{selector}.gone")).exists() {
        bail!("{selector} of {domain} had a key before; choose another name with --selector");
    }
    let pkcs8 = generate(algorithm)?;
    let key = PrivateKey::from_pkcs8(&pkcs8)?;
    let path = folder.join(format!("{selector}.{}", stage.extension()));
    write(&path, &key_files::private_pem(&pkcs8), 0o600)?;
    write(&path.with_extension("txt"), &key_files::zone_line(selector, domain, &key), 0o644)?;
    KeyFile::read(path, stage)
}

fn generate(algorithm: Algorithm) -> anyhow::Result<Vec<u8>> {
    let failed = |_| anyhow!("no key could be made: the system has no random numbers");
    Ok(match algorithm {
        Algorithm::Ed25519Sha256 => {
            let random = aws_lc_rs::rand::SystemRandom::new();
            Ed25519KeyPair::generate_pkcs8(&random).map_err(failed)?.as_ref().to_vec()
        }
        Algorithm::RsaSha256 | Algorithm::RsaSha1 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).map_err(failed)?;
            der.as_ref().to_vec()
        }
    })
}

/// Writes a file whole or not at all, over one that is there.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let partial = path.with_extension("tmp");
    // Left by a crash, perhaps with other permissions.
    let _ = fs::remove_file(&partial);
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })();
    written.with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, path).with_context(|| format!("cannot write {}", path.display()))?;
    sync_parent(path)
}

fn sync_parent(path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .with_context(|| format!("cannot sync {}", folder.display()))
}
