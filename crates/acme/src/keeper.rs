//! Sees to it that every name has a certificate that is good: orders, proves, lets serve and renews, for as long as the server runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use instant_acme::{Account, CertificateIdentifier, Error};
use kings_dns::{Dns, Tlsa};
use kings_fetch::Fetch;
use kings_mail::domain::{DnsName, Domain};
use kings_net::{DnsError, Resolver};
use kings_tls::{Certificates, ClientTls, Described, NotProven, prove};
use rcgen::{KeyPair, PublicKeyData};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::account;
use crate::challenge::{self, Kind, Publish, Record, Records};
use crate::http::Http;
use crate::order::{self, Remember, Wish};
use crate::progress::{Log, Progress};
use crate::schedule::{self, Facts};
use crate::shelf::Shelf;
use crate::trouble::Trouble;

/// The clock is looked at so often: it may be set, or the machine may have slept.
const LONGEST_SLEEP: u64 = 5 * 60;
/// How long to wait where an authority says no more than that it was asked too often.
const RATE_LIMITED: u64 = 60 * 60;
/// Bounds of what an authority says about when to ask for its window again (RFC 9773 §4.3.2).
const ASK_WINDOW: (u64, u64) = (60, 24 * 60 * 60);
/// When a record that is in DNS in vain is tried to be removed again.
const SWEEP_AGAIN: u64 = 10 * 60;
/// When to ask again after it did not answer.
const ASK_WINDOW_AGAIN: u64 = 60 * 60;

/// What is wanted, from the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address of the authority's directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// Whom the authority writes to: `mailto:...`.
    pub contact: Option<String>,
    /// Ways to prove a name, the preferred one first.
    pub kinds: Vec<Kind>,
    /// The hostname, and then the others. Each has a certificate of its own.
    pub names: Vec<Domain>,
    /// Whether each certificate gets a new key; else records of DNS that name the key stay true.
    pub rotate_keys: bool,
}

/// What the work depends on, by the config of the moment.
#[derive(Clone)]
pub struct Parts {
    /// What is wanted.
    pub settings: Settings,
    /// Asks the authority.
    pub fetch: Fetch,
    /// Knows whether DNS has a name.
    pub resolver: Resolver,
    /// Whom this machine trusts.
    pub roots: ClientTls,
    /// Where proofs can be put.
    pub publish: Publish,
}

/// How one name stands. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The name.
    pub name: Domain,
    /// What the certificate says, where there is one.
    pub certificate: Option<Described>,
    /// Whether this machine trusts its authority; a trial authority is not trusted.
    pub is_trusted: Option<bool>,
    /// What went wrong at the last try.
    pub error: Option<String>,
    /// And what mends it.
    pub fix: Option<String>,
    /// When it is tried, or renewed, next.
    pub next_try: u64,
    /// How often it was tried since the start.
    pub tries: u64,
    /// The key of the certificate, and the one that comes after it if that is known.
    pub keys: Vec<Tlsa>,
}

/// The work itself. Clones share it.
#[derive(Clone)]
pub struct Acme(Arc<Inner>);

struct Inner {
    shelf: Shelf,
    certificates: Certificates,
    parts: RwLock<Option<Arc<Parts>>>,
    log: Mutex<Log>,
    /// Records of ours that are in DNS, as far as we know, and when they are tried to be removed next.
    records: Mutex<(Vec<Record>, u64)>,
    /// Names that somebody wants renewed now.
    wanted: Mutex<BTreeSet<Domain>>,
    tries: Mutex<BTreeMap<Domain, u64>>,
    wake: Notify,
}

/// Every update leaves what is locked whole, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Acme {
    /// Works in `folder` and lets `certificates` know what has changed there. It does nothing before [`Acme::configure`].
    pub fn new(folder: &Path, certificates: Certificates) -> Self {
        Self(Arc::new(Inner {
            shelf: Shelf::at(folder),
            certificates,
            parts: RwLock::default(),
            log: Mutex::default(),
            records: Mutex::default(),
            wanted: Mutex::default(),
            tries: Mutex::default(),
            wake: Notify::new(),
        }))
    }

    /// Goes on by these settings, or rests where there are none.
    pub fn configure(&self, parts: Option<Parts>) -> io::Result<()> {
        if parts.is_some() && self.parts().is_none() {
            let opened = Shelf::open(&self.0.shelf.folder)?;
            *lock(&self.0.log) = opened.log()?;
            *lock(&self.0.records) = (opened.records()?, 0);
        }
        *self.0.parts.write().unwrap_or_else(PoisonError::into_inner) = parts.map(Arc::new);
        self.0.wake.notify_one();
        Ok(())
    }

    /// Renews these names now, whatever the authority and our own patience say; all of them where none is named. Tells which
    /// of them are not ours to renew.
    pub fn renew(&self, names: &[Domain]) -> Result<Vec<Domain>, String> {
        let parts =
            self.parts().ok_or("no certificate here comes from an authority: there is no acme in [tls]")?;
        let known = &parts.settings.names;
        if let Some(stranger) = names.iter().find(|name| !known.contains(name)) {
            return Err(format!("{stranger} is none of the names in [tls] acme"));
        }
        let names = if names.is_empty() { known.clone() } else { names.to_vec() };
        lock(&self.0.wanted).extend(names.iter().cloned());
        self.0.wake.notify_one();
        Ok(names)
    }

    /// How each name stands.
    pub async fn report(&self) -> Vec<Report> {
        let Some(parts) = self.parts() else { return Vec::new() };
        let mut reports = Vec::new();
        for name in &parts.settings.names {
            let (files, of) = (self.0.shelf.clone(), name.clone());
            let read = on_disk(move || Ok((described(&files, &of), files.tlsa(&of)?))).await;
            let (certificate, keys) = read.unwrap_or_default();
            let progress = self.progress(name);
            let next_try = schedule::due(&facts(&progress, certificate.as_ref()));
            reports.push(Report {
                name: name.clone(),
                is_trusted: progress.is_trusted.filter(|_| certificate.is_some()),
                certificate,
                error: progress.error,
                fix: progress.fix,
                next_try: next_try.max(now()),
                tries: lock(&self.0.tries).get(name).copied().unwrap_or_default(),
                keys,
            });
        }
        reports
    }

    /// Works for ever.
    pub async fn run(self) {
        loop {
            let pause = match self.parts() {
                Some(parts) => self.next_step(&parts).await,
                None => LONGEST_SLEEP,
            };
            let sleep = tokio::time::sleep(Duration::from_secs(pause.min(LONGEST_SLEEP)));
            tokio::select! {
                () = sleep => {}
                () = self.0.wake.notified() => {}
            }
        }
    }

    fn parts(&self) -> Option<Arc<Parts>> {
        self.0.parts.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn progress(&self, name: &Domain) -> Progress {
        lock(&self.0.log).names.get(name.as_str()).cloned().unwrap_or_default()
    }

    /// Does what is due; gives the seconds until something else is. One name after the other, for an authority counts how
    /// much is asked of it at a time; each failure is its own name's alone.
    async fn next_step(&self, parts: &Parts) -> u64 {
        let mut next = self.sweep(parts).await;
        for name in &parts.settings.names {
            let (files, of) = (self.0.shelf.clone(), name.clone());
            let certificate = on_disk(move || Ok(described(&files, &of))).await.unwrap_or_default();
            if certificate.is_some() {
                next = next.min(self.ask_for_window(parts, name).await);
            }
            let due = schedule::due(&facts(&self.progress(name), certificate.as_ref()));
            let is_wanted = lock(&self.0.wanted).remove(name);
            if due > now() && !is_wanted {
                next = next.min(due);
                continue;
            }
            self.attempt(parts, name).await;
            // Whatever was wanted or set meanwhile comes first, the hostname before the others.
            return 0;
        }
        next.saturating_sub(now())
    }

    /// Tries once, and notes how it went.
    async fn attempt(&self, parts: &Parts, name: &Domain) {
        let http = Http::new(parts.fetch.clone());
        let mut tried = self.obtain(parts, name, &http).await;
        if matches!(&tried, Err(Trouble::Refused(text)) if text.ends_with("(accountDoesNotExist)")) {
            info!(%name, "the authority does not know our account any more: it is made again, with its key");
            let (files, directory) = (self.0.shelf.clone(), parts.settings.directory.clone());
            let _ = blocking(move || account::forget(&files, &directory)).await;
            tried = self.obtain(parts, name, &http).await;
        }
        let now = now();
        let before = self.progress(name);
        let after = match tried {
            Ok(is_trusted) => {
                Progress { jitter: draw(), is_trusted: Some(is_trusted), ..Progress::default() }
            }
            Err(trouble) => {
                let fix = trouble.fix(name);
                warn!(%name, %trouble, fix, "no new certificate");
                failed(before, &trouble, &fix, http.retry_after(), now)
            }
        };
        let after = Progress { last_try: Some(now), ..after };
        if let Err(error) = self.note(name, after).await {
            warn!(%name, %error, "how far the certificate has come cannot be written down");
        }
        *lock(&self.0.tries).entry(name.clone()).or_default() += 1;
    }

    /// In memory always, on disk if it can be.
    async fn note(&self, name: &Domain, progress: Progress) -> io::Result<()> {
        let log = {
            let mut log = lock(&self.0.log);
            log.names.insert(name.to_string(), progress);
            log.clone()
        };
        let files = self.0.shelf.clone();
        on_disk(move || files.keep_log(&log)).await
    }

    /// The whole way from a name to a certificate that serves. Tells whether this machine trusts it.
    async fn obtain(&self, parts: &Parts, name: &Domain, http: &Http) -> Result<bool, Trouble> {
        let kinds = self.kinds(parts, name).await?;
        // Before anything costs the authority something: what cannot be kept needs not be ordered.
        let key = self.key(parts, name).await?;
        let settings = &parts.settings;
        let account =
            account::open(&self.0.shelf, &settings.directory, settings.contact.as_deref(), http).await?;
        let before = self.progress(name);
        let replaces = before.window.and_then(|_| identifier(&self.0.shelf, name));
        let wish = Wish {
            name,
            key: &key,
            kinds: &kinds,
            publish: &parts.publish,
            resolver: &parts.resolver,
            replaces,
            begun: before.order.clone(),
        };
        let chain = order::obtain(&account, wish, &OrderOf(self, name)).await?;
        self.serve(parts, name, key.serialize_pem(), chain).await
    }

    /// Proves a certificate and lets it serve; until then the old one does, and if it is not proven for good.
    async fn serve(&self, parts: &Parts, name: &Domain, key: String, chain: String) -> Result<bool, Trouble> {
        let (files, certificates, name) = (self.0.shelf.clone(), self.0.certificates.clone(), name.clone());
        let (roots, rotate) = (parts.roots.clone(), parts.settings.rotate_keys);
        blocking(move || {
            let staged = files.stage(&name, &key, &chain)?;
            let proven = match prove(staged.pair(), &name, SystemTime::now(), &roots) {
                Ok(proven) => proven,
                Err(error) => {
                    files.drop_staged(&staged);
                    return Err(error.into());
                }
            };
            files.put_live(&staged)?;
            if let Err(error) = certificates.reload_in_place() {
                warn!(%name, %error, "the new certificate is on disk and does not serve yet");
            }
            // A key that is lost now is made again; nothing was promised about it yet.
            if files.next_key(&name)?.is_some_and(|next| next == key) {
                files.drop_next_key(&name)?;
            }
            if rotate {
                make_next_key(&files, &name)?;
            }
            let until = unix(proven.described.not_after);
            info!(%name, until, trusted = proven.is_trusted, "a new certificate serves");
            Ok(proven.is_trusted)
        })
        .await
    }

    /// The ways that may lead there. A name without an address can be proved in DNS alone.
    async fn kinds(&self, parts: &Parts, name: &Domain) -> Result<Vec<Kind>, Trouble> {
        let mut kinds = parts.settings.kinds.clone();
        let found = parts.resolver.addresses(name.as_str()).await;
        if matches!(found, Err(DnsError::NoDomain | DnsError::NoRecord)) {
            kinds.retain(|kind| *kind == Kind::Dns01);
            if kinds.is_empty() || !is_in_a_zone_of_ours(parts, name).await {
                return Err(Trouble::NotInDns(name.clone()));
            }
        }
        Ok(kinds)
    }

    /// Takes records out of DNS that an earlier run of ours, or an order that went wrong, has left there. Nothing is ordered
    /// meanwhile, so all that are known are in vain. Gives the time of the next try.
    async fn sweep(&self, parts: &Parts) -> u64 {
        let (left, next) = lock(&self.0.records).clone();
        let Some(dns) = parts.publish.dns.clone().filter(|_| !left.is_empty()) else { return u64::MAX };
        if next > now() {
            return next;
        }
        for record in left {
            match dns.remove(&record.name, &record.text).await {
                Ok(()) => {
                    info!(name = %record.name, "a record for a certificate that was left in DNS is gone");
                    self.forget(&record).await;
                }
                Err(error) => {
                    warn!(name = %record.name, error, "a record for a certificate is still in DNS");
                    lock(&self.0.records).1 = now() + SWEEP_AGAIN;
                }
            }
        }
        let (left, next) = &*lock(&self.0.records);
        if left.is_empty() { u64::MAX } else { *next }
    }

    /// A record is not in DNS any more.
    async fn forget(&self, record: &Record) {
        lock(&self.0.records).0.retain(|known| known != record);
        // One that is removed twice harms nobody.
        if let Err(error) = self.keep_records().await {
            warn!(%error, "which records are in DNS cannot be written down");
        }
    }

    async fn keep_records(&self) -> io::Result<()> {
        let (files, records) = (self.0.shelf.clone(), lock(&self.0.records).0.clone());
        on_disk(move || files.keep_records(&records)).await
    }

    /// The key that the next certificate is for: on disk before anybody hears of it.
    async fn key(&self, parts: &Parts, name: &Domain) -> Result<KeyPair, Trouble> {
        let (files, of, rotate) = (self.0.shelf.clone(), name.clone(), parts.settings.rotate_keys);
        let (live, next) = blocking(move || {
            let live = files.live_key(&of)?.and_then(|pem| KeyPair::from_pem(&pem).ok());
            let next = if live.is_none() || rotate { Some(make_next_key(&files, &of)?) } else { None };
            Ok::<_, Trouble>((live, next))
        })
        .await?;
        match (live, next) {
            (Some(live), Some(next)) => {
                let is_published = self.is_published(parts, name, &next).await;
                if !is_published {
                    warn!(
                        %name,
                        "the key stays what it is: DNS names it and not the one to come (TLSA); see  kings dns records"
                    );
                }
                Ok(if is_published { next } else { live })
            }
            (Some(key), None) | (None, Some(key)) => Ok(key),
            (None, None) => Err(Trouble::Other("there is no key".to_owned())),
        }
    }

    /// Whether a new key breaks nobody's trust: DNS names it already, or names none.
    async fn is_published(&self, parts: &Parts, name: &Domain, key: &KeyPair) -> bool {
        let Ok(place) = DnsName::parse(&format!("_25._tcp.{name}")) else { return false };
        match parts.resolver.tlsa(&place).await {
            Ok(answer) => answer.records.contains(&tlsa(key)),
            Err(DnsError::NoDomain | DnsError::NoRecord) => true,
            Err(DnsError::Temporary(_)) => false,
        }
    }

    /// Asks when a certificate should be renewed, where it is time for that (RFC 9773 §4.3). Gives the time of the next question.
    async fn ask_for_window(&self, parts: &Parts, name: &Domain) -> u64 {
        let progress = self.progress(name);
        let now = now();
        if let Some(next) = progress.ask_window.filter(|next| (now..=now + ASK_WINDOW.1).contains(next)) {
            return next;
        }
        let (window, next) = match self.window(parts, name).await {
            Ok(Some((window, wait))) => (Some(window), now + wait.clamp(ASK_WINDOW.0, ASK_WINDOW.1)),
            Ok(None) => (None, now + ASK_WINDOW.1),
            Err(trouble) => {
                info!(%name, %trouble, "the authority does not say when to renew");
                (progress.window, now + ASK_WINDOW_AGAIN)
            }
        };
        let noted = Progress { window, ask_window: Some(next), ..self.progress(name) };
        // It is asked again after a restart, no more.
        let _ = self.note(name, noted).await;
        next
    }

    /// The window, and seconds until it may be another one; `None` where the authority has no such thing.
    async fn window(&self, parts: &Parts, name: &Domain) -> Result<Option<((u64, u64), u64)>, Trouble> {
        let http = Http::new(parts.fetch.clone());
        let settings = &parts.settings;
        let account: Account =
            account::open(&self.0.shelf, &settings.directory, settings.contact.as_deref(), &http).await?;
        let Some(identifier) = identifier(&self.0.shelf, name) else { return Ok(None) };
        match account.renewal_info(&identifier).await {
            Ok((info, wait)) => {
                let seconds = |at: i64| u64::try_from(at).unwrap_or_default();
                let window = info.suggested_window;
                let window = (seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp()));
                Ok(Some((window, wait.as_secs())))
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(Trouble::of(error)),
        }
    }
}

/// The order of one name, remembered beside how far it has come.
struct OrderOf<'a>(&'a Acme, &'a Domain);

impl Remember for OrderOf<'_> {
    async fn begun(&self, order: &str) -> io::Result<()> {
        let Self(acme, name) = self;
        acme.note(name, Progress { order: Some(order.to_owned()), ..acme.progress(name) }).await
    }
}

impl Records for OrderOf<'_> {
    async fn comes(&self, record: &Record) -> io::Result<()> {
        let Self(acme, _) = self;
        lock(&acme.0.records).0.push(record.clone());
        acme.keep_records().await
    }

    async fn is_gone(&self, record: &Record) {
        self.0.forget(record).await;
    }
}

/// Whether a name can be proved by a record; what nobody can tell now is found out by the order.
async fn is_in_a_zone_of_ours(parts: &Parts, name: &Domain) -> bool {
    let Some(dns) = &parts.publish.dns else { return false };
    match challenge::place_of(&parts.resolver, name).await {
        Ok(place) => dns.has(&place).await,
        Err(_) => true,
    }
}

/// What a failure leaves behind.
fn failed(before: Progress, trouble: &Trouble, fix: &str, told: Option<u64>, now: u64) -> Progress {
    // An order is worth coming back to where the fault is not its own.
    let is_its_own = match trouble {
        Trouble::NotInDns(_)
        | Trouble::Unreachable(_)
        | Trouble::Clock(_)
        | Trouble::RateLimited(_)
        | Trouble::Disk(_)
        | Trouble::NotProven(NotProven::NotYet | NotProven::Expired) => false,
        Trouble::Challenge { .. }
        | Trouble::NoChallenge
        | Trouble::Refused(_)
        | Trouble::NotProven(_)
        | Trouble::Other(_) => true,
    };
    let is_limited = matches!(trouble, Trouble::RateLimited(_));
    Progress {
        failures: before.failures.saturating_add(1),
        not_before: told.or(is_limited.then_some(now + RATE_LIMITED)),
        error: Some(trouble.to_string()),
        fix: Some(fix.to_owned()),
        waits_for_dns: matches!(trouble, Trouble::NotInDns(_)),
        order: before.order.filter(|_| !is_its_own),
        jitter: if before.jitter == 0.0 { draw() } else { before.jitter },
        ..before
    }
}

fn facts(progress: &Progress, certificate: Option<&Described>) -> Facts {
    Facts {
        now: now(),
        validity: certificate.map(|read| (unix(read.not_before), unix(read.not_after))),
        window: progress.window,
        failures: progress.failures,
        last_try: progress.last_try,
        not_before: progress.not_before,
        waits_for_dns: progress.waits_for_dns,
        jitter: progress.jitter,
    }
}

fn now() -> u64 {
    unix(SystemTime::now())
}

fn unix(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A number from 0 to 1. Without randomness all wait for the same time, which harms nobody.
fn draw() -> f64 {
    let mut octets = [0; 4];
    let _ = getrandom::fill(&mut octets);
    f64::from(u32::from_le_bytes(octets)) / f64::from(u32::MAX)
}

/// What the certificate of a name says, where there is one that can be read with a key that fits.
fn described(shelf: &Shelf, name: &Domain) -> Option<Described> {
    let pair = shelf.pair(name)?;
    let end = CertificateDer::pem_file_iter(&pair.certificate).ok()?.next()?.ok()?;
    let key = KeyPair::from_pem(&shelf.live_key(name).ok()??).ok()?;
    Described::of(&end).filter(|read| read.tlsa() == tlsa(&key))
}

fn identifier(shelf: &Shelf, name: &Domain) -> Option<CertificateIdentifier<'static>> {
    let end = CertificateDer::pem_file_iter(shelf.pair(name)?.certificate).ok()?.next()?.ok()?;
    CertificateIdentifier::try_from(&end).ok().map(CertificateIdentifier::into_owned)
}

/// The next key, made where there is none.
fn make_next_key(shelf: &Shelf, name: &Domain) -> Result<KeyPair, Trouble> {
    if let Some(key) = shelf.next_key(name)?.and_then(|pem| KeyPair::from_pem(&pem).ok()) {
        return Ok(key);
    }
    let key = KeyPair::generate().map_err(|error| Trouble::Other(error.to_string()))?;
    shelf.keep_next_key(name, &key.serialize_pem())?;
    Ok(key)
}

fn tlsa(key: &KeyPair) -> Tlsa {
    kings_tls::tlsa_of_key(&key.subject_public_key_info())
}

impl Shelf {
    /// What DNS should say of the keys of a name: that of the certificate, and the one that comes after it where it is known.
    pub fn tlsa(&self, name: &Domain) -> io::Result<Vec<Tlsa>> {
        let keys = [self.live_key(name)?, self.next_key(name)?];
        let keys = keys.into_iter().flatten().filter_map(|pem| KeyPair::from_pem(&pem).ok());
        let mut records: Vec<Tlsa> = keys.map(|key| tlsa(&key)).collect();
        records.dedup();
        Ok(records)
    }
}

/// The same for what can fail in no other way.
async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    blocking(work).await
}

/// Work with files, on a thread where it may wait.
async fn blocking<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error).into()))
}
