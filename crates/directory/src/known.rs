//! From where each account has logged in: an attacker elsewhere must not lock its owner out.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use kings_mail::address::Address;
use kings_mail::network::client_network;

/// Networks remembered for each account: home, work, telephone, and some journeys.
const MAX_NETWORKS: usize = 16;
/// Accounts remembered at once.
const MAX_ACCOUNTS: usize = 100_000;
/// First line of the file, with the version of its format.
const HEAD: &str = "# kings logins 1";

/// Networks by account, the last one used at the end. The file holds a line for each, and may be lost.
#[derive(Debug, Default)]
pub(crate) struct Known {
    networks: HashMap<Address, VecDeque<IpAddr>>,
    file: Option<PathBuf>,
}

impl Known {
    /// Reads the file, and writes it anew where most of it is out of date. Lines that make no sense are left out: what
    /// they said is only worth a little patience.
    pub(crate) fn open(file: Option<PathBuf>) -> Self {
        let text = file.as_deref().and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        let mut known = Self { networks: HashMap::new(), file };
        let mut lines = 0_usize;
        if text.lines().next() == Some(HEAD) {
            for (account, network) in text.lines().filter_map(read_line) {
                lines += 1;
                known.remember(account, network);
            }
        }
        let kept: usize = known.networks.values().map(VecDeque::len).sum();
        if lines > 2 * kept + MAX_NETWORKS
            && let Some(file) = &known.file
            && let Err(error) = known.rewrite(file)
        {
            tracing::warn!(%error, "cannot write anew from where accounts log in");
        }
        known
    }

    /// Whether the account has logged in from this network.
    pub(crate) fn holds(&self, account: &Address, client: IpAddr) -> bool {
        self.networks.get(account).is_some_and(|networks| networks.contains(&client_network(client)))
    }

    /// Remembers a login; gives what to add to which file where that is news.
    pub(crate) fn add(&mut self, account: &Address, client: IpAddr) -> Option<(PathBuf, String)> {
        let network = client_network(client);
        let is_new = self.remember(account.clone(), network);
        let file = self.file.clone().filter(|_| is_new)?;
        Some((file, format!("{account} {network}\n")))
    }

    fn remember(&mut self, account: Address, network: IpAddr) -> bool {
        if self.networks.len() >= MAX_ACCOUNTS && !self.networks.contains_key(&account) {
            return false;
        }
        let networks = self.networks.entry(account).or_default();
        let before = networks.len();
        networks.retain(|known| *known != network);
        let is_new = networks.len() == before;
        networks.push_back(network);
        if networks.len() > MAX_NETWORKS {
            networks.pop_front();
        }
        is_new
    }

    fn rewrite(&self, file: &Path) -> io::Result<()> {
        let mut text = format!("{HEAD}\n");
        for (account, networks) in &self.networks {
            text.extend(networks.iter().map(|network| format!("{account} {network}\n")));
        }
        let partial = file.with_added_extension("new");
        let mut new =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        new.write_all(text.as_bytes())?;
        fs::rename(&partial, file)
    }
}

/// Adds one line. Not synced: what it says is worth no waiting.
pub(crate) fn append(file: &Path, line: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut open = options.append(true).create(true).mode(0o600).open(file)?;
    let head = if open.metadata()?.len() == 0 { format!("{HEAD}\n") } else { String::new() };
    open.write_all(format!("{head}{line}").as_bytes())
}

fn read_line(line: &str) -> Option<(Address, IpAddr)> {
    let (account, network) = line.rsplit_once(' ')?;
    Some((Address::parse(account).ok()?, network.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn ann() -> Address {
        Address::parse("ann@example.org").unwrap()
    }

    fn client(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn what_is_known_survives_a_restart_and_a_broken_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logins");
        let mut known = Known::open(Some(file.clone()));
        let (path, line) = known.add(&ann(), client(1)).unwrap();
        append(&path, &line).unwrap();
        assert_eq!(known.add(&ann(), client(1)), None, "no news");
        append(&file, "nonsense\nann@example.org 192.0.2.\n").unwrap();
        let again = Known::open(Some(file));
        assert!(again.holds(&ann(), client(1)) && !again.holds(&ann(), client(2)));
    }

    #[test]
    fn the_oldest_network_makes_room_and_the_file_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("logins");
        let mut known = Known::open(Some(file.clone()));
        for _ in 0..10 {
            for last in 0..30 {
                let (path, line) = known.add(&ann(), client(last)).unwrap();
                append(&path, &line).unwrap();
            }
        }
        assert!(!known.holds(&ann(), client(13)) && known.holds(&ann(), client(14)));
        let again = Known::open(Some(file.clone()));
        assert!(again.holds(&ann(), client(29)) && !again.holds(&ann(), client(13)));
        assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 1 + MAX_NETWORKS);
    }

    #[test]
    fn a_site_is_one_network() {
        let mut known = Known::open(None);
        assert_eq!(known.add(&ann(), "2001:db8::1".parse().unwrap()), None);
        assert!(known.holds(&ann(), "2001:db8::2".parse().unwrap()));
        assert!(!known.holds(&ann(), "2001:db8:1::1".parse().unwrap()));
    }
}
