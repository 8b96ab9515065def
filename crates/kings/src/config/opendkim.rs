//! `opendkim.conf`, read as OpenDKIM reads it: what `kings milter` takes from it, and what it names as without effect.

mod directives;
mod field_names;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kings_mail::domain::Domain;
use kings_msgauth::dkim::opendkim::conf::{self, DataSet, Setting};
use kings_msgauth::dkim::opendkim::{Addresses, Complaint, Hosts, Matching};
use kings_msgauth::dkim::{Canonicalization, Rules, Selector};
use kings_mta::filter::{Action, Handling, Limits, Mark, Mode, OtherResults};
use kings_net::ResolverSettings;

use super::dkim::{Table, Tables};
use super::name_server;

/// Files within files; OpenDKIM's own limit.
const MAX_INCLUDES: usize = 5;

/// The settings of a file that can be used.
#[derive(Clone, Debug)]
pub(crate) struct OpenDkim {
    pub(crate) socket: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
    /// Permissions that files which we make do not get.
    pub(crate) umask: u32,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) dns: ResolverSettings,
    pub(crate) keys: Keys,
    pub(crate) internal: Hosts,
    pub(crate) peers: Hosts,
    pub(crate) ignored: Hosts,
    pub(crate) exempt: Vec<Domain>,
    pub(crate) unsigned_to: Addresses,
    pub(crate) results: OtherResults,
    pub(crate) marks: Vec<Mark>,
    pub(crate) mode: Mode,
    pub(crate) rules: Rules,
    pub(crate) authserv_id: AuthservId,
    pub(crate) records_unsigned: bool,
    pub(crate) replaces_signatures: bool,
    pub(crate) handling: Handling,
    pub(crate) limits: Limits,
    /// What has no effect here.
    pub(crate) warnings: Vec<String>,
}

/// Which keys sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// `Mode v`, or nothing is said.
    None,
    /// `KeyTable` and `SigningTable`.
    Tables(Tables),
    /// `Domain`, `Selector` and `KeyFile`.
    One(OneKey),
}

/// One key for all that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OneKey {
    pub(crate) domains: Vec<SigningDomain>,
    /// Whether names below the domains are signed for as well, by the domain above them.
    pub(crate) subdomains: bool,
    pub(crate) selector: Selector,
    pub(crate) file: PathBuf,
    /// `RequireSafeKeys`
    pub(crate) safe: bool,
}

/// A domain whose mail is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SigningDomain {
    /// This one.
    Named(Domain),
    /// Each that the pattern stands for, in its own name: `*`, or one of a `refile:`.
    Pattern(String),
}

impl SigningDomain {
    /// `d=`, where it is the same for all.
    pub(crate) fn domain(&self) -> Option<&Domain> {
        match self {
            Self::Named(domain) => Some(domain),
            Self::Pattern(_) => None,
        }
    }

    pub(crate) fn pattern(&self) -> &str {
        match self {
            Self::Named(domain) => domain.as_str(),
            Self::Pattern(pattern) => pattern,
        }
    }
}

/// `AuthservID`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuthservId {
    /// The name that the mail server says.
    MailServer,
    /// `HOSTNAME`: that of this machine.
    Machine,
    /// In so many words.
    Named(Domain),
}

/// Reads a file with the files it includes; all complaints at once.
pub(crate) fn load(path: &Path) -> Result<OpenDkim, Vec<String>> {
    let mut reader = Reader { folder: folder_of(path), ..Reader::default() };
    reader.file(path, 0);
    reader.settings()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_owned()
}

#[derive(Default)]
struct Reader {
    /// By the name in lower case: where it stands and how it is written, the value. A later line wins.
    values: BTreeMap<String, (String, String)>,
    /// Where relative paths begin: the file's own folder, or `BaseDirectory`.
    folder: PathBuf,
    complaints: Vec<String>,
    warnings: Vec<String>,
}

impl Reader {
    /// Comments may be in any character set, so that octets which are no UTF-8 are no mistake.
    fn file(&mut self, path: &Path, depth: usize) {
        match fs::read(path) {
            Ok(_) if depth > MAX_INCLUDES => {
                self.complain(format!("{}: included too deep", path.display()));
            }
            Ok(octets) => self.lines(path, &String::from_utf8_lossy(&octets), depth),
            Err(error) => self.complain(format!("cannot read {}: {error}", path.display())),
        }
    }

    fn lines(&mut self, path: &Path, text: &str, depth: usize) {
        for Setting { line, name, value } in conf::settings(text) {
            let place = format!("{} line {line}: {name}", path.display());
            match value {
                None => self.complain(format!("{place} has no value")),
                Some(value) if name.eq_ignore_ascii_case("include") => {
                    self.file(&folder_of(path).join(value), depth + 1);
                }
                Some(value) => drop(self.values.insert(name.to_ascii_lowercase(), (place, value.to_owned()))),
            }
        }
    }

    fn complain(&mut self, what: String) {
        self.complaints.push(what);
    }

    /// The value of a key, with the place to complain about.
    fn take(&mut self, name: &str) -> Option<(String, String)> {
        self.values.remove(&name.to_ascii_lowercase())
    }

    /// Where a key stands, to complain about what is in it.
    fn place(&self, name: &str) -> String {
        self.values
            .get(&name.to_ascii_lowercase())
            .map_or_else(|| name.to_owned(), |(place, _)| place.clone())
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.take(name).map(|(_, value)| value)
    }

    fn parsed<T>(&mut self, name: &str, what: &str, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let (place, value) = self.take(name)?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.complain(format!("{place}: {value:?} is not {what}"));
        }
        parsed
    }

    fn flag(&mut self, name: &str) -> bool {
        self.parsed(name, "yes or no", conf::flag).unwrap_or(false)
    }

    /// The text of a data set, an entry on each line.
    fn dataset(&mut self, name: &str) -> Option<String> {
        let (place, value) = self.take(name)?;
        let file = match DataSet::parse(&value) {
            DataSet::List(list) => return Some(list.replace(',', "\n")),
            DataSet::File(file) => self.folder.join(file),
            DataSet::Database(kind) => {
                self.complain(format!("{place}: {kind} is not read: write file:, refile: or csl:"));
                return None;
            }
        };
        let read = fs::read_to_string(&file);
        read.map_err(|error| self.complain(format!("{place}: cannot read {}: {error}", file.display()))).ok()
    }

    fn entries(&mut self, name: &str) -> Option<Vec<String>> {
        self.dataset(name).map(|text| conf::entries(&text).map(str::to_owned).collect())
    }

    /// What is said of lines by which nobody is meant is worth a warning: OpenDKIM takes them.
    fn hosts(&mut self, name: &str, usual: &str) -> Hosts {
        let matching = self.matching(name);
        let place = self.place(name);
        let value = self.values.get(&name.to_ascii_lowercase()).map(|(_, value)| DataSet::parse(value));
        let is_file = matches!(value, Some(DataSet::File(_)));
        let text = self.dataset(name).unwrap_or_else(|| usual.to_owned());
        let (hosts, odd) = Hosts::parse(&text, matching);
        let line_or_not =
            |complaint: &Complaint| if is_file { complaint.to_string() } else { complaint.what.to_string() };
        self.warnings.extend(odd.iter().map(|complaint| format!("{place}: {}", line_or_not(complaint))));
        hosts
    }

    fn addresses(&mut self, name: &str) -> Addresses {
        let matching = self.matching(name);
        Addresses::parse(&self.dataset(name).unwrap_or_default(), matching)
    }

    fn matching(&self, name: &str) -> Matching {
        let value = self.values.get(&name.to_ascii_lowercase());
        let is_refile = value.is_some_and(|(_, value)| value.starts_with("refile:"));
        if is_refile { Matching::Wildcards } else { Matching::Plain }
    }

    fn settings(mut self) -> Result<OpenDkim, Vec<String>> {
        if let Some(folder) = self.text("BaseDirectory") {
            self.folder = self.folder.join(folder);
        }
        let mode = self.mode();
        let (user, group) = self.user_and_group();
        let settings = OpenDkim {
            socket: self.text("Socket"),
            user,
            group,
            umask: self.umask(),
            pid_file: self.text("PidFile").map(|file| self.folder.join(file)),
            dns: self.dns(),
            keys: self.keys(mode),
            internal: self.hosts("InternalHosts", "127.0.0.1\n::1\n"),
            peers: self.hosts("PeerList", ""),
            ignored: self.hosts("ExternalIgnoreList", ""),
            exempt: self.exempt(),
            unsigned_to: self.addresses("DontSignMailTo"),
            results: self.results(),
            marks: self.marks(),
            mode,
            rules: self.rules(),
            authserv_id: self.authserv_id(),
            records_unsigned: self.flag("AlwaysAddARHeader"),
            replaces_signatures: self.flag("RemoveOldSignatures"),
            handling: self.handling(),
            limits: self.limits(),
            warnings: Vec::new(),
        };
        self.name_the_rest();
        let Self { complaints, warnings, .. } = self;
        if complaints.is_empty() { Ok(OpenDkim { warnings, ..settings }) } else { Err(complaints) }
    }

    fn mode(&mut self) -> Mode {
        let mode = self.parsed("Mode", "s, v or sv", |value| match value.to_ascii_lowercase().as_str() {
            "s" => Some(Mode::Sign),
            "v" => Some(Mode::Verify),
            "sv" | "vs" => Some(Mode::Both),
            _ => None,
        });
        mode.unwrap_or(Mode::Both)
    }

    /// `user`, `user:group`
    fn user_and_group(&mut self) -> (Option<String>, Option<String>) {
        let Some(both) = self.text("UserID") else { return (None, None) };
        match both.split_once(':') {
            Some((user, group)) if !group.is_empty() => (Some(user.to_owned()), Some(group.to_owned())),
            _ => (Some(both.trim_end_matches(':').to_owned()), None),
        }
    }

    fn umask(&mut self) -> u32 {
        let octal = |value: &str| u32::from_str_radix(value, 8).ok().filter(|mask| *mask <= 0o777);
        self.parsed("UMask", "an octal number such as 007", octal).unwrap_or(0o022)
    }

    /// What is done in the place of all that does not act.
    fn name_the_rest(&mut self) {
        for (name, (place, value)) in std::mem::take(&mut self.values) {
            match directives::instead(&name, &value) {
                Ok(None) => {}
                Ok(Some(instead)) => self.warnings.push(format!("{place} has no effect here: {instead}")),
                Err(directives::Unknown) => {
                    self.warnings.push(format!("{place} has no effect here, and OpenDKIM does not know it"));
                }
            }
        }
    }

    fn exempt(&mut self) -> Vec<Domain> {
        let (names, mut domains) = (self.entries("ExemptDomains").unwrap_or_default(), Vec::new());
        for name in names {
            match Domain::parse(&name) {
                Ok(domain) => domains.push(domain),
                Err(error) => self.complain(format!("ExemptDomains: {name:?}: {error}")),
            }
        }
        domains
    }

    fn results(&mut self) -> OtherResults {
        let from = self.entries("RemoveARFrom").unwrap_or_default();
        OtherResults {
            kept: self.flag("KeepAuthResults"),
            from: from.iter().map(|host| host.to_ascii_lowercase()).collect(),
            all: self.flag("RemoveARAll"),
        }
    }

    fn dns(&mut self) -> ResolverSettings {
        let (place, servers) = self.take("Nameservers").unwrap_or_default();
        let mut read = Vec::new();
        for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
            match name_server(server) {
                Some(address) => read.push(address),
                None => self.complain(format!("{place}: {server:?} is not an address")),
            }
        }
        ResolverSettings { servers: read, trust_ad: false }
    }

    /// One of two ways, as in opendkim.conf(5): a KeyTable makes the other one void.
    fn keys(&mut self, mode: Mode) -> Keys {
        let every = self.flag("MultipleSignatures");
        let (key_table, signing_table) = (self.table("KeyTable"), self.table("SigningTable"));
        let domain_patterns = self.matching("Domain") == Matching::Wildcards;
        let domains = self.entries("Domain").unwrap_or_default();
        // What others may do with a key file is looked at when it is read, unless nobody wants to hear of it.
        let safe = self.parsed("RequireSafeKeys", "yes or no", conf::flag).unwrap_or(true);
        let subdomains = self.flag("SubDomains");
        let selector = self.parsed("Selector", "a selector", Selector::parse);
        let file = self.text("KeyFile");
        if mode == Mode::Verify {
            return Keys::None;
        }
        match (key_table, signing_table, file, selector) {
            (Some(key_table), Some(signing_table), _, _) => {
                Keys::Tables(Tables { key_table, signing_table, every, safe })
            }
            (None, None, Some(file), Some(selector)) if !domains.is_empty() => {
                let (domains, file) = (self.domains(&domains, domain_patterns), self.folder.join(file));
                Keys::One(OneKey { domains, subdomains, selector, file, safe })
            }
            (None, None, None, None) if domains.is_empty() && mode == Mode::Both => {
                self.warnings.push("there is no key: mail is verified, and none is signed".to_owned());
                Keys::None
            }
            _ => {
                self.complain(
                    "to sign, set KeyTable and SigningTable, or Domain, Selector and KeyFile".to_owned(),
                );
                Keys::None
            }
        }
    }

    fn table(&mut self, name: &str) -> Option<Table> {
        let (place, value) = self.take(name)?;
        Table::read(&self.folder, &value).map_err(|error| self.complain(format!("{place}: {error}"))).ok()
    }

    /// `*` alone is a pattern everywhere; others are in a `refile:`, and elsewhere no domain is meant by them.
    fn domains(&mut self, names: &[String], patterns: bool) -> Vec<SigningDomain> {
        let mut domains = Vec::new();
        for name in names {
            if name == "*" || (patterns && name.contains('*')) {
                domains.push(SigningDomain::Pattern(name.to_ascii_lowercase()));
                continue;
            }
            match Domain::parse(name) {
                Ok(domain) => domains.push(SigningDomain::Named(domain)),
                Err(_) if name.starts_with(['*', '.']) => self.warnings.push(format!(
                    "Domain: no domain is meant by {name:?}, as with OpenDKIM: name it without dot and star, and write SubDomains yes"
                )),
                Err(error) => self.complain(format!("Domain: {name:?}: {error}")),
            }
        }
        domains
    }

    /// `name`, `name=value|value`, in a file `name value|value`; `MTA` is short for the macro daemon_name.
    fn marks(&mut self) -> Vec<Mark> {
        let mark = |entry: &String| {
            let mut parts = entry.split(['|', '=', ' ', '\t']).filter(|part| !part.is_empty());
            let name = parts.next().unwrap_or_default().trim_matches(['{', '}']).to_owned();
            Mark { name, values: parts.map(str::to_owned).collect() }
        };
        let mut marks: Vec<Mark> = self.entries("MacroList").iter().flatten().map(mark).collect();
        if let Some(values) = self.entries("MTA") {
            marks.push(Mark { name: "daemon_name".to_owned(), values });
        }
        marks
    }

    fn rules(&mut self) -> Rules {
        let forms =
            self.parsed("Canonicalization", "simple or relaxed, or two of them with a slash", |value| {
                let (header, body) = value.split_once('/').unwrap_or((value, "simple"));
                Some((form(header)?, form(body)?))
            });
        let (header_form, body_form) = forms.unwrap_or((Canonicalization::Simple, Canonicalization::Simple));
        if let Some(algorithm) = self.text("SignatureAlgorithm").filter(|name| name.ends_with("sha1")) {
            self.complain(format!("SignatureAlgorithm: {algorithm} is no longer valid (RFC 8301 §3.1)"));
        }
        let valid_for = self
            .parsed("SignatureTTL", "a number of seconds", |value| value.parse().ok())
            .filter(|ttl| *ttl > 0);
        Rules { names: self.signed_names(), header_form, body_form, valid_for }
    }

    fn authserv_id(&mut self) -> AuthservId {
        match self.take("AuthservID") {
            None => AuthservId::MailServer,
            Some((_, value)) if value == "HOSTNAME" => AuthservId::Machine,
            Some((place, value)) => match Domain::parse(&value) {
                Ok(name) => AuthservId::Named(name),
                Err(error) => {
                    self.complain(format!("{place}: {value:?}: {error}"));
                    AuthservId::MailServer
                }
            },
        }
    }

    fn handling(&mut self) -> Handling {
        let blanket = self.action("On-Default");
        let usual = Handling::default();
        let mut of = |name, usual| self.action(name).or(blanket).unwrap_or(usual);
        Handling {
            bad_signature: of("On-BadSignature", usual.bad_signature),
            dns_error: of("On-DNSError", usual.dns_error),
            internal_error: of("On-InternalError", usual.internal_error),
            key_not_found: of("On-KeyNotFound", usual.key_not_found),
            no_signature: of("On-NoSignature", usual.no_signature),
            security: of("On-Security", usual.security),
            signature_error: of("On-SignatureError", usual.signature_error),
        }
    }

    fn action(&mut self, name: &str) -> Option<Action> {
        self.parsed(name, "accept, discard, quarantine, reject or tempfail", |value| {
            Some(match value.to_ascii_lowercase().as_str() {
                "a" | "accept" => Action::Accept,
                "d" | "discard" => Action::Discard,
                "q" | "quarantine" => Action::Quarantine,
                "r" | "reject" => Action::Reject,
                "t" | "tempfail" => Action::TempFail,
                _ => return None,
            })
        })
    }

    /// 0 is no limit to OpenDKIM; here it is ours.
    fn limits(&mut self) -> Limits {
        let usual = Limits::default();
        let most = self.parsed("MaximumHeaders", "a number of octets", |value| value.parse::<usize>().ok());
        let header_bytes =
            most.filter(|most| *most > 0).map_or(usual.header_bytes, |most| most.min(usual.header_bytes));
        Limits { header_bytes, ..usual }
    }
}

fn form(text: &str) -> Option<Canonicalization> {
    match text.trim().to_ascii_lowercase().as_str() {
        "simple" => Some(Canonicalization::Simple),
        "relaxed" => Some(Canonicalization::Relaxed),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
