//! What is kept on disk: accounts, keys, certificates in certbot's layout, and how far each name has come.
//!
//! `live/NAME/{cert,chain,fullchain,privkey}.pem` are links to `../../archive/NAME/...N.pem`, as certbot has them, so that other
//! programs find what they know. Unlike there, all four change in one step: the folder of links is made aside and changes
//! places with the one that is there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use kings_mail::domain::{DnsName, Domain};
use kings_tls::Pair;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::challenge::Record;
use crate::progress::Log;

/// How many pairs of a name are kept beside the one that serves.
const KEPT: u32 = 3;
/// The files of one certificate.
const PARTS: [&str; 4] = ["cert", "chain", "fullchain", "privkey"];

/// Which records are in DNS: a line for each, its name and its text.
const RECORDS: &str = "records";
/// Its first line.
const RECORDS_HEAD: &str = "kings-records 1";

/// A folder that holds all of it. Nobody else may look into it.
#[derive(Clone, Debug)]
pub struct Shelf {
    pub(crate) folder: PathBuf,
}

/// A pair that is on disk and does not serve yet.
#[derive(Debug)]
pub struct Staged {
    name: Domain,
    number: u32,
    pair: Pair,
}

impl Staged {
    /// The files.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }
}

impl Shelf {
    /// Names the folder; nothing is read or made.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Makes the folders that are missing, and finishes what a crash has left in the middle.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let shelf = Self::at(folder);
        for name in ["", "live", "archive", "keys", "accounts"] {
            make_folder(&folder.join(name))?;
        }
        for entry in fs::read_dir(shelf.live())? {
            shelf.finish(&entry?.path())?;
        }
        Ok(shelf)
    }

    /// The folder with a folder of links for each name.
    pub fn live(&self) -> PathBuf {
        self.folder.join("live")
    }

    /// The pair that serves a name, where there is one.
    pub fn pair(&self, name: &Domain) -> Option<Pair> {
        let folder = self.live().join(name.as_str());
        folder.exists().then(|| Pair::in_folder(&folder))
    }

    /// Writes a new pair beside those that are there. It serves only after [`Shelf::put_live`].
    pub fn stage(&self, name: &Domain, key: &str, chain: &str) -> io::Result<Staged> {
        let folder = self.archive(name);
        make_folder(&folder)?;
        let number = self.numbers(name)?.last().map_or(1, |last| last + 1);
        let end = chain.find("-----END CERTIFICATE-----").map_or(chain.len(), |at| at + 25);
        let (cert, rest) = chain.split_at(end);
        let file = |part: &str| folder.join(format!("{part}{number}.pem"));
        // The chain with its certificate comes last: a number counts once it is there.
        write_whole(&file("privkey"), key.as_bytes())?;
        write_whole(&file("cert"), format!("{cert}\n").as_bytes())?;
        write_whole(&file("chain"), rest.trim_start().as_bytes())?;
        write_whole(&file("fullchain"), chain.as_bytes())?;
        let pair = Pair { certificate: file("fullchain"), private_key: file("privkey") };
        Ok(Staged { name: name.clone(), number, pair })
    }

    /// Lets a pair serve: key and certificate change in one step, and a crash leaves the old pair or the new one.
    pub fn put_live(&self, staged: &Staged) -> io::Result<()> {
        let (name, number) = (&staged.name, staged.number);
        let place = self.live().join(name.as_str());
        let aside = aside(&place);
        remove_folder(&aside)?;
        make_folder(&aside)?;
        for part in PARTS {
            symlink(format!("../../archive/{name}/{part}{number}.pem"), aside.join(format!("{part}.pem")))?;
        }
        sync(&aside)?;
        swap(&aside, &place)?;
        sync(&self.live())?;
        remove_folder(&aside)?;
        self.forget_old(name, number)
    }

    /// Removes a pair that turned out to be of no use.
    pub fn drop_staged(&self, staged: &Staged) {
        for part in PARTS {
            let file = self.archive(&staged.name).join(format!("{part}{}.pem", staged.number));
            // What stays is replaced some day by the removal of old ones.
            let _ = fs::remove_file(file);
        }
    }

    /// The key that the next certificate is for, where it is made already.
    pub(crate) fn next_key(&self, name: &Domain) -> io::Result<Option<String>> {
        read(&self.key_file(name))
    }

    /// Keeps it: on disk before anybody hears of it.
    pub(crate) fn keep_next_key(&self, name: &Domain, key: &str) -> io::Result<()> {
        write_whole(&self.key_file(name), key.as_bytes())
    }

    pub(crate) fn drop_next_key(&self, name: &Domain) -> io::Result<()> {
        remove_file(&self.key_file(name))
    }

    /// The key of the pair that serves.
    pub(crate) fn live_key(&self, name: &Domain) -> io::Result<Option<String>> {
        self.pair(name).map_or(Ok(None), |pair| read(&pair.private_key))
    }

    /// A file of the account at an authority.
    pub(crate) fn account(&self, authority: &str, file: &str) -> io::Result<Option<String>> {
        read(&self.folder.join("accounts").join(authority).join(file))
    }

    pub(crate) fn keep_account(&self, authority: &str, file: &str, text: &str) -> io::Result<()> {
        let folder = self.folder.join("accounts").join(authority);
        make_folder(&folder)?;
        write_whole(&folder.join(file), text.as_bytes())
    }

    /// How far each name has come; nothing where that was never written.
    pub(crate) fn log(&self) -> io::Result<Log> {
        Ok(read(&self.folder.join("progress.json"))?.map(|text| Log::read(&text)).unwrap_or_default())
    }

    pub(crate) fn keep_log(&self, log: &Log) -> io::Result<()> {
        let text = serde_json::to_string_pretty(log)?;
        write_whole(&self.folder.join("progress.json"), text.as_bytes())
    }

    /// The records that were left in DNS.
    pub(crate) fn records(&self) -> io::Result<Vec<Record>> {
        Ok(read(&self.folder.join(RECORDS))?.map(|text| read_records(&text)).unwrap_or_default())
    }

    pub(crate) fn keep_records(&self, records: &[Record]) -> io::Result<()> {
        let lines = records.iter().map(|Record { name, text }| format!("{name} {text}\n"));
        let text = format!("{RECORDS_HEAD}\n{}", lines.collect::<String>());
        write_whole(&self.folder.join(RECORDS), text.as_bytes())
    }

    fn archive(&self, name: &Domain) -> PathBuf {
        self.folder.join("archive").join(name.as_str())
    }

    fn key_file(&self, name: &Domain) -> PathBuf {
        self.folder.join("keys").join(format!("{name}.pem"))
    }

    /// The numbers of the files of a name, whole pairs or not.
    fn numbers(&self, name: &Domain) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.archive(name))? {
            let file = entry?.file_name();
            let file = file.to_string_lossy();
            let stem = file.strip_suffix(".pem").unwrap_or_default();
            numbers.extend(PARTS.iter().filter_map(|part| stem.strip_prefix(part)?.parse::<u32>().ok()));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn forget_old(&self, name: &Domain, serving: u32) -> io::Result<()> {
        for number in self.numbers(name)?.into_iter().filter(|number| number + KEPT < serving) {
            for part in PARTS {
                remove_file(&self.archive(name).join(format!("{part}{number}.pem")))?;
            }
        }
        Ok(())
    }

    /// A folder of links that was made aside: where none serves it takes its place, else it is of no use any more.
    fn finish(&self, path: &Path) -> io::Result<()> {
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let Some(name) = file.strip_prefix('.').and_then(|file| file.strip_suffix(".new")) else {
            return Ok(());
        };
        let place = self.live().join(name);
        let is_whole = PARTS.iter().all(|part| path.join(format!("{part}.pem")).exists());
        if is_whole && !place.exists() {
            fs::rename(path, &place)?;
            return sync(&self.live());
        }
        remove_folder(path)
    }
}

fn aside(place: &Path) -> PathBuf {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    place.with_file_name(format!(".{name}.new"))
}

/// `aside` comes to `place`, and what was there goes aside.
fn swap(aside: &Path, place: &Path) -> io::Result<()> {
    match renameat_with(CWD, aside, CWD, place, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => fs::rename(aside, place),
        // A file system that cannot do it in one step: a crash between the two is mended at the next start.
        Err(Errno::INVAL | Errno::NOSYS) => {
            remove_folder(place)?;
            fs::rename(aside, place)
        }
        Err(error) => Err(error.into()),
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync(path.parent().unwrap_or(Path::new("/"))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What makes no sense is none: a record that stays in DNS after its time means nothing to anybody.
fn read_records(text: &str) -> Vec<Record> {
    let mut lines = text.lines();
    if lines.next() != Some(RECORDS_HEAD) {
        return Vec::new();
    }
    let record = |line: &str| {
        let (name, text) = line.split_once(' ')?;
        Some(Record { name: DnsName::parse(name).ok()?, text: text.to_owned() })
    };
    lines.filter_map(record).collect()
}

/// Written aside, synced and renamed, and the folder synced too: there is the whole of it or what was there before.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&partial, path)?;
    sync(path.parent().unwrap_or(Path::new("/")))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CHAIN: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\nBBBB\n-----END CERTIFICATE-----\n";

    fn name() -> Domain {
        Domain::parse("mail.example.org").unwrap()
    }

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(&folder.path().join("acme")).unwrap();
        (folder, shelf)
    }

    #[test]
    fn records_in_dns_are_remembered_and_a_damaged_line_is_none() {
        let (folder, shelf) = shelf();
        assert_eq!(shelf.records().unwrap(), []);
        let record = |name: &str| Record { name: DnsName::parse(name).unwrap(), text: "a-b_c".to_owned() };
        let records = [record("_acme-challenge.example.org"), record("example.net")];
        shelf.keep_records(&records).unwrap();
        assert_eq!(shelf.records().unwrap(), records);
        let file = folder.path().join("acme").join(RECORDS);
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace(" a-b_c", "").replace("_acme-challenge.example.org", "x y")).unwrap();
        assert_eq!(
            shelf.records().unwrap(),
            [Record { name: DnsName::parse("x").unwrap(), text: "y".to_owned() }]
        );
        fs::write(&file, "kings-records 2\nexample.net a\n").unwrap();
        assert_eq!(shelf.records().unwrap(), []);
    }

    #[test]
    fn a_pair_serves_once_it_is_put_live_and_looks_as_certbot_lays_it_out() {
        let (folder, shelf) = shelf();
        let staged = shelf.stage(&name(), "KEY1", CHAIN).unwrap();
        assert_eq!(shelf.pair(&name()), None);
        shelf.put_live(&staged).unwrap();
        let live = folder.path().join("acme/live/mail.example.org");
        assert_eq!(shelf.pair(&name()), Some(Pair::in_folder(&live)));
        for (part, text) in [("privkey", "KEY1"), ("fullchain", CHAIN)] {
            let link = live.join(format!("{part}.pem"));
            let target = format!("../../archive/mail.example.org/{part}1.pem");
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(&target));
            assert_eq!(fs::read_to_string(&link).unwrap(), text);
        }
        assert!(fs::read_to_string(live.join("cert.pem")).unwrap().contains("AAAA"));
        let chain = fs::read_to_string(live.join("chain.pem")).unwrap();
        assert!(
            chain.starts_with("-----BEGIN") && chain.contains("BBBB") && !chain.contains("AAAA"),
            "{chain}"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&live.join("privkey.pem")), 0o600);
        for path in ["acme", "acme/live", "acme/archive", "acme/keys", "acme/live/mail.example.org"] {
            assert_eq!(mode(&folder.path().join(path)), 0o700, "{path}");
        }
    }

    #[test]
    fn renewals_change_both_at_once_and_old_pairs_go_in_time() {
        let (folder, shelf) = shelf();
        for number in 1..=6 {
            let staged = shelf.stage(&name(), &format!("KEY{number}"), CHAIN).unwrap();
            shelf.put_live(&staged).unwrap();
            assert_eq!(shelf.live_key(&name()).unwrap(), Some(format!("KEY{number}")));
        }
        assert_eq!(shelf.numbers(&name()).unwrap(), [3, 4, 5, 6]);
        assert_eq!(fs::read_dir(folder.path().join("acme/live")).unwrap().count(), 1);
        // One that was of no use leaves nothing.
        let staged = shelf.stage(&name(), "KEY7", CHAIN).unwrap();
        shelf.drop_staged(&staged);
        assert_eq!(shelf.numbers(&name()).unwrap(), [3, 4, 5, 6]);
        assert_eq!(shelf.live_key(&name()).unwrap().as_deref(), Some("KEY6"));
    }

    #[test]
    fn a_folder_of_links_that_a_crash_left_aside_is_finished_or_removed() {
        let (folder, shelf) = shelf();
        let live = folder.path().join("acme/live");
        shelf.put_live(&shelf.stage(&name(), "KEY1", CHAIN).unwrap()).unwrap();
        // The file system could not exchange them, and the crash came after the old one was gone.
        fs::rename(live.join("mail.example.org"), live.join(".mail.example.org.new")).unwrap();
        let shelf = Shelf::open(&folder.path().join("acme")).unwrap();
        assert_eq!(shelf.live_key(&name()).unwrap().as_deref(), Some("KEY1"));
        // Half a folder, and one that is older than what serves.
        fs::create_dir(live.join(".mail.example.org.new")).unwrap();
        fs::create_dir(live.join(".other.example.org.new")).unwrap();
        Shelf::open(&folder.path().join("acme")).unwrap();
        assert_eq!(fs::read_dir(&live).unwrap().count(), 1);
        assert_eq!(shelf.live_key(&name()).unwrap().as_deref(), Some("KEY1"));
    }
}
