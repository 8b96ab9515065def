//! A zone that remembers what it was asked, and takes no odd name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kings_dns::{Answer, Dns, DnsError, Mx, Tlsa, Zone};
use kings_mail::domain::DnsName;

/// What may stand in a name that somebody else chose: what host names and the records of mail have, and what SPF's
/// macros may bring besides. Nothing that a text form of names, a shell or a log takes for a command.
fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-_.+=!#%&',/:?[]^{}~".contains(&octet)
}

/// The zone, and the names that were asked about.
pub(crate) struct Watched {
    zone: Zone,
    asked: Mutex<Vec<String>>,
}

impl Watched {
    pub(crate) fn new(zone: Zone) -> Self {
        Self { zone, asked: Mutex::default() }
    }

    /// How many questions there were since the last time.
    pub(crate) fn count(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }

    fn note(&self, name: &DnsName) {
        let text = name.as_str();
        assert!(text.len() <= 253 && text.bytes().all(is_plain), "an odd question: {text:?}");
        assert!(text.split('.').all(|label| (1..=63).contains(&label.len())), "an odd question: {text:?}");
        self.asked.lock().unwrap().push(text.to_owned());
    }
}

impl Dns for Watched {
    async fn mx(&self, name: &DnsName) -> Result<Answer<Mx>, DnsError> {
        self.note(name);
        self.zone.mx(name).await
    }

    async fn ipv4(&self, name: &DnsName) -> Result<Answer<Ipv4Addr>, DnsError> {
        self.note(name);
        self.zone.ipv4(name).await
    }

    async fn ipv6(&self, name: &DnsName) -> Result<Answer<Ipv6Addr>, DnsError> {
        self.note(name);
        self.zone.ipv6(name).await
    }

    async fn txt(&self, name: &DnsName) -> Result<Answer<Vec<u8>>, DnsError> {
        self.note(name);
        self.zone.txt(name).await
    }

    async fn cname(&self, name: &DnsName) -> Result<Answer<DnsName>, DnsError> {
        self.note(name);
        self.zone.cname(name).await
    }

    async fn tlsa(&self, name: &DnsName) -> Result<Answer<Tlsa>, DnsError> {
        self.note(name);
        self.zone.tlsa(name).await
    }

    async fn reverse(&self, address: IpAddr) -> Result<Answer<DnsName>, DnsError> {
        self.asked.lock().unwrap().push(address.to_string());
        self.zone.reverse(address).await
    }
}

/// No row may take longer, however slow the machine is: most take less than a thousandth of it.
const TIME: Duration = Duration::from_secs(5);

/// Does it in time.
pub(crate) fn timed<T>(row: &str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    assert!(begin.elapsed() < TIME, "{row} took {:?}", begin.elapsed());
    done
}

/// Adds records that a line each would be too many for.
pub(crate) fn crowded(zone: Zone, count: usize, add: impl Fn(Zone, usize) -> Zone) -> Zone {
    (0..count).fold(zone, add)
}
