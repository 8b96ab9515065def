//! A certificate of our own making, kept so that clients meet the same one after a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kings_mail::domain::Domain;
use rcgen::{Certificate, CertificateParams, DistinguishedName, DnType, KeyPair};

/// Certificate and key on disk.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) private_key: PathBuf,
}

/// Finds the pair in `folder` or makes it, for `hostname`, `localhost` and the loopback addresses.
///
/// The certificate is written last: where it stands, its key stands too.
pub(crate) fn ensure(folder: &Path, hostname: &Domain) -> Result<Files, String> {
    let files =
        Files { certificate: folder.join("self-signed.pem"), private_key: folder.join("self-signed.key") };
    if files.certificate.exists() {
        return Ok(files);
    }
    let names = vec![hostname.to_string(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
    let (certificate, key) = make(hostname, names).map_err(|error| error.to_string())?;
    let write = || -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        write_file(&files.private_key, &key.serialize_pem())?;
        write_file(&files.certificate, &certificate.pem())?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|error| error.to_string())?;
    Ok(files)
}

fn make(hostname: &Domain, names: Vec<String>) -> Result<(Certificate, KeyPair), rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, hostname.as_str());
    let key = KeyPair::generate()?;
    Ok((parameters.self_signed(&key)?, key))
}

/// Whole or not at all, and readable by nobody else.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)
}
