//! The files that setup writes: each whole or not at all, and none over one that is there.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::Path;

use anyhow::{Context, bail};
use nix::unistd::{Uid, User};

use super::Options;
use super::facts::PORTS;
use crate::command::Failure;

/// The config of a new server, which the world knows by `addresses` where it cannot see that itself.
pub(super) fn config(options: &Options, addresses: &[IpAddr], ipv6: bool) -> Result<String, Failure> {
    let (domain, hostname) = (options.domain()?, options.hostname()?);
    let any = if ipv6 { "[::]" } else { "0.0.0.0" };
    let listen: String = PORTS.iter().map(|(port, name)| format!("{name} = [\"{any}:{port}\"]\n")).collect();
    // As the shell means it here, not as the config's folder would.
    let path = |path: &Path| {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        toml::Value::from(path.display().to_string()).to_string()
    };
    let tls = match (&options.certificate, &options.private_key) {
        (Some(certificate), Some(key)) => {
            format!("certificate = {}\nprivate_key = {}\n", path(certificate), path(key))
        }
        _ if options.self_signed => {
            "self_signed = true                     # for a trial: nobody believes it\n".to_owned()
        }
        _ => format!("acme = {{ contact = \"mailto:postmaster@{domain}\" }}\n"),
    };
    let mut text = format!(
        "# Written by  kings setup.  It is yours from here on: setup changes it no more. Every key with its meaning: docs, config/kings.toml.\n\
         # After a change:  kings config check  and then  systemctl reload kings-smtp\n\n\
         hostname = \"{hostname}\"\ndata_dir = {}\nmail_dir = {}\nuser = \"{}\"\n\n\
         [[domain]]\nname = \"{domain}\"\n\n[accounts]\nfile = \"users\"\n\n[aliases]\nfile = \"aliases\"\n\n[listen]\n{listen}\n[tls]\n{tls}",
        path(&options.data_dir),
        path(&options.mail_dir),
        options.user,
    );
    let list =
        |items: Vec<String>| items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ");
    let servers: Vec<String> = options.name_server.iter().map(ToString::to_string).collect();
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    if !servers.is_empty() || !addresses.is_empty() {
        text += "\n[dns]\n";
    }
    if !servers.is_empty() {
        text += &format!("servers = [{}]\n", list(servers));
    }
    if !addresses.is_empty() {
        text += &format!(
            "addresses = [{}]                # by which the world knows this machine\n",
            list(addresses)
        );
    }
    if let Some(host) = &options.smart_host {
        text += &format!("\n[outbound]\nsmart_host = {}\n", toml::Value::from(host.as_str()));
        if let (Some(user), Some(file)) = (&options.smart_host_user, &options.smart_host_password_file) {
            text += &format!("user = {}\npassword_file = {}\n", toml::Value::from(user.as_str()), path(file));
        }
    }
    Ok(text)
}

/// Names that every domain has (RFC 2142), and those that reports come to.
pub(super) fn aliases(options: &Options) -> Result<String, Failure> {
    let (domain, address) = (options.domain()?, &options.address);
    let names = ["postmaster", "abuse", "hostmaster", "dmarc", "tlsrpt"];
    let own = address.to_string();
    let names = names.into_iter().map(|name| format!("{name}@{domain}")).filter(|name| *name != own);
    let lines: String = names.map(|name| format!("{name} {address}\n")).collect();
    Ok(format!(
        "# Who reads what: one alias a line, and its recipients behind it (Postfix's virtual(5)).\n{lines}"
    ))
}

/// Makes a folder and its parents for the user; one that is there stays as it is.
pub(super) fn folder(path: &Path, mode: u32, user: Option<&User>) -> anyhow::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let cannot = || format!("cannot make {}", path.display());
    if let Some(parent) = path.parent() {
        DirBuilder::new().mode(0o755).recursive(true).create(parent).with_context(cannot)?;
    }
    DirBuilder::new().mode(mode).create(path).with_context(cannot)?;
    own(path, user, false)
}

/// Sees to it that the server may write in a folder that was there before: an empty one of root's is given to its user, as one
/// that an earlier run has just made; of any other it is said.
pub(super) fn belongs(path: &Path, user: Option<&User>) -> anyhow::Result<()> {
    let Some(user) = user.filter(|_| Uid::effective().is_root()) else { return Ok(()) };
    let cannot = || format!("cannot look at {}", path.display());
    // The folder itself, where a link of root's leads to it.
    let folder = File::open(path).with_context(cannot)?;
    let owner = folder.metadata().with_context(cannot)?.uid();
    if owner == user.uid.as_raw() {
        return Ok(());
    }
    if owner == 0 && fs::read_dir(path).with_context(cannot)?.next().is_none() {
        return fchown(&folder, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .with_context(|| format!("cannot give {} to {}", path.display(), user.name));
    }
    let (path, name) = (path.display(), &user.name);
    bail!(
        "{path} is there and belongs to somebody else: give it to the server's user,  chown -R {name} {path}"
    )
}

/// Writes a file that is not there yet: to a name beside it, synced, then under its own. Whatever stops us, it is whole or
/// not there.
pub(super) fn file(path: &Path, text: &str, mode: u32, user: Option<&User>) -> anyhow::Result<bool> {
    if path.exists() {
        return Ok(false);
    }
    let cannot = || format!("cannot write {}", path.display());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = Path::new(&beside);
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).with_context(cannot),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(beside).with_context(cannot)?;
    file.set_permissions(Permissions::from_mode(mode)).with_context(cannot)?;
    own(beside, user, true)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)?;
    // A link fails where the name is taken: what somebody else has just written stays.
    match fs::hard_link(beside, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error).with_context(cannot),
        _ => {}
    }
    fs::remove_file(beside).with_context(cannot)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    File::open(folder).and_then(|folder| folder.sync_all()).with_context(cannot)?;
    Ok(true)
}

/// Gives it to the user of the server; with `group` only the group, so that the server can read it and not change it.
pub(super) fn own(path: &Path, user: Option<&User>, group: bool) -> anyhow::Result<()> {
    let Some(user) = user.filter(|_| Uid::effective().is_root()) else { return Ok(()) };
    let uid = if group { None } else { Some(user.uid.as_raw()) };
    // A link that somebody has put there is not followed.
    lchown(path, uid, Some(user.gid.as_raw()))
        .with_context(|| format!("cannot give {} to {}", path.display(), user.name))
}
