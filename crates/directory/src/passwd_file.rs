//! Dovecot's passwd-file: one account a line, fields parted by colons.

use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_sasl::scram::Hash;

use crate::password::StoredPassword;
use crate::quota::QuotaRule;

/// One account of the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The account, folded to lower case.
    pub(crate) address: Address,
    /// `None`: the account receives mail and nobody can log in (empty field, `!` or `*` before the hash).
    pub(crate) password: Option<StoredPassword>,
    /// How much mail it may hold.
    pub(crate) quota: QuotaRule,
    access: Access,
}

impl Entry {
    /// Whether any password opens the account from anywhere.
    pub(crate) fn can_log_in(&self) -> bool {
        self.password.is_some() && !self.access.nologin
    }

    /// Whether the right password opens the account from this address.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let nets = self.access.allow_nets.as_deref();
        self.can_log_in() && nets.is_none_or(|nets| nets.iter().any(|net| net.contains(&client)))
    }
}

/// What the extra fields of a line say about logins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Access {
    /// `nologin`, with whatever value: Dovecot takes it for a reason.
    nologin: bool,
    /// `allow_nets=`: the only networks a login may come from.
    allow_nets: Option<Vec<IpNet>>,
}

impl Access {
    fn hear(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "nologin" => self.nologin = true,
            "allow_nets" => self.allow_nets = Some(networks(value)?),
            _ => {}
        }
        Ok(())
    }
}

/// Networks and single addresses, parted by commas. Dovecot's `local` means a client without an address,
/// which no client of ours is. A slip must not open the account, so it spoils the line.
fn networks(text: &str) -> Result<Vec<IpNet>, String> {
    let words = text.split(',').filter(|word| !word.is_empty() && *word != "local");
    let network = |word: &str| {
        let alone = word.parse::<IpAddr>().map(IpNet::from);
        alone.or_else(|_| word.parse()).map_err(|_| {
            format!("allow_nets: \"{word}\" is no network: write 192.0.2.0/24, 2001:db8::/32 or an address")
        })
    };
    words.map(network).collect()
}

/// All accounts of one reading of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    by_address: HashMap<Address, Entry>,
    /// In the order of the file: the first one is who postmaster reaches when nothing else is said.
    order: Vec<Address>,
    /// For each hash, whether every password here can be proven by SCRAM.
    scram: [bool; 2],
    /// Completes names without a domain.
    default_domain: Option<Domain>,
}

/// Something is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadLine {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl Accounts {
    /// Reads `user:{SCHEME}hash:uid:gid:gecos:home:shell:extra`. Of the fields after the password only those
    /// extra ones count that close or narrow the login or are about quotas. All complaints at once.
    pub(crate) fn parse(text: &str, default_domain: Option<&Domain>) -> Result<Self, Vec<BadLine>> {
        let mut accounts = Self { default_domain: default_domain.cloned(), ..Self::default() };
        let mut complaints = Vec::new();
        for (line, content) in lines(text) {
            match entry(content, default_domain) {
                Ok(entry) if accounts.by_address.contains_key(&entry.address) => {
                    complaints
                        .push(BadLine { line, what: format!("{} stands here a second time", entry.address) });
                }
                Ok(entry) => accounts.insert(entry),
                Err(what) => complaints.push(BadLine { line, what }),
            }
        }
        accounts.scram = [Hash::Sha1, Hash::Sha256].map(|hash| {
            let mut stored = accounts.iter().filter_map(|entry| entry.password.as_ref()).peekable();
            stored.peek().is_some() && stored.all(|stored| stored.can_use(hash))
        });
        if complaints.is_empty() { Ok(accounts) } else { Err(complaints) }
    }

    fn insert(&mut self, entry: Entry) {
        self.order.push(entry.address.clone());
        self.by_address.insert(entry.address.clone(), entry);
    }

    /// Looks an account up by its folded address.
    pub(crate) fn get(&self, folded: &Address) -> Option<&Entry> {
        self.by_address.get(folded)
    }

    /// Looks an account up by what somebody calls himself at a login: its exact address, in any case, or its bare name
    /// where there is a domain for those.
    pub(crate) fn of_login(&self, login: &str) -> Option<&Entry> {
        self.get(&self.address_of(login)?)
    }

    /// The address that a login name means, folded; `None` where it is none.
    pub(crate) fn address_of(&self, login: &str) -> Option<Address> {
        address_of(login, self.default_domain.as_ref())
    }

    /// Whether everybody who can log in can do so with SCRAM and this hash, and there is somebody.
    pub(crate) fn all_can_use(&self, hash: Hash) -> bool {
        self.scram[hash as usize]
    }

    /// In the order of the file.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|address| self.by_address.get(address))
    }
}

/// Lines that say something, with their numbers from 1; `#` opens a comment line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(place, line)| (place + 1, line.trim_end()))
        .filter(|(_, line)| !line.trim_start().is_empty() && !line.trim_start().starts_with('#'))
}

/// The address that a name in a file or at a login means, folded: one without a domain is of `default_domain`.
pub(crate) fn address_of(name: &str, default_domain: Option<&Domain>) -> Option<Address> {
    let whole = match default_domain {
        Some(domain) if !name.contains('@') => Address::parse(&format!("{name}@{domain}")),
        _ => Address::parse(name),
    };
    whole.ok().map(|address| address.folded())
}

/// The account name of one line.
pub(crate) fn name(line: &str) -> &str {
    line.split(':').next().unwrap_or(line)
}

/// The extra fields of one line, behind uid, gid, gecos, home and shell; an IPv6 network or a quota has colons of its own.
pub(crate) fn extra(line: &str) -> &str {
    line.splitn(8, ':').nth(7).unwrap_or_default()
}

fn entry(line: &str, default_domain: Option<&Domain>) -> Result<Entry, String> {
    let mut fields = line.splitn(3, ':');
    let name = fields.next().unwrap_or_default();
    let address = address_of(name, default_domain).ok_or_else(|| {
        format!(
            "\"{name}\" is not an address: write accounts in full, as in ann@example.org, or set default_domain under [login]"
        )
    })?;
    if !address.fits_a_folder() {
        return Err(format!(
            "\"{name}\" cannot have a folder: an account is a plain name without a slash, in a domain"
        ));
    }
    let field = fields.next().unwrap_or_default();
    let password = match field {
        "" => None,
        field if field.starts_with(['!', '*']) => None,
        field => Some(StoredPassword::parse(field).map_err(|error| format!("{name}: {error}"))?),
    };
    let (access, quota) = extra_fields(extra(line)).map_err(|what| format!("{name}: {what}"))?;
    Ok(Entry { address, password, quota, access })
}

/// Reads Dovecot's extra fields, parted by spaces. Those that are neither about the login nor about quotas say nothing here.
fn extra_fields(extra: &str) -> Result<(Access, QuotaRule), String> {
    let (mut access, mut quota) = (Access::default(), QuotaRule::default());
    for field in extra.split_ascii_whitespace() {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        access.hear(name, value)?;
        quota.hear(name, value).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok((access, quota))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_file_is_read_as_dovecot_reads_it() {
        let text = "# accounts\n\nAnn@Example.org:{PLAIN}a:5000:5000::/var/mail/a::userdb_quota_rule=*:storage=1G\n\
                    joe@example.org:!{PLAIN}b\nbob@example.org:\neve@example.org\n";
        let accounts = Accounts::parse(text, None).unwrap();
        let found: Vec<(String, bool)> =
            accounts.iter().map(|entry| (entry.address.to_string(), entry.password.is_some())).collect();
        let expected = [("ann", true), ("joe", false), ("bob", false), ("eve", false)];
        assert_eq!(found, expected.map(|(name, login)| (format!("{name}@example.org"), login)));
    }

    #[test]
    fn bare_names_are_of_the_default_domain_where_there_is_one() {
        let text = "ann:{PLAIN}a\nBob@Example.net:{PLAIN}b\n";
        assert!(Accounts::parse(text, None).is_err());
        let domain = Domain::parse("example.org").unwrap();
        let accounts = Accounts::parse(text, Some(&domain)).unwrap();
        for (login, expected) in [
            ("ann", Some("ann@example.org")),
            ("ANN", Some("ann@example.org")),
            ("ann@example.org", Some("ann@example.org")),
            ("bob", None),
            ("bob@example.net", Some("bob@example.net")),
            ("", None),
            ("@", None),
            ("ann@", None),
        ] {
            let found = accounts.of_login(login).map(|entry| entry.address.to_string());
            assert_eq!(found.as_deref(), expected, "{login}");
        }
        let twice = Accounts::parse("ann:{PLAIN}a\nann@example.org:{PLAIN}b\n", Some(&domain)).unwrap_err();
        assert!(twice[0].what.contains("a second time"), "{twice:?}");
    }

    #[test]
    fn a_hash_without_a_scheme_is_one_of_crypt_as_in_dovecot() {
        for (hash, is_known) in [
            (
                "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/",
                true,
            ),
            ("$2y$05$abcdefghijklmnopqrstuuWLZDzMOqxWTlFWmDjGFkq4zC1FkJQHi", true),
            ("plain", false),
            ("$1$old", false),
        ] {
            let read = Accounts::parse(&format!("ann@example.org:{hash}\n"), None);
            assert_eq!(read.is_ok(), is_known, "{hash}: {read:?}");
        }
    }

    #[test]
    fn extra_fields_close_or_narrow_the_login() {
        let cases = [
            ("::::::", Some(["192.0.2.1", "2001:db8::1"].as_slice()), None),
            (":::::/bin/sh:nologin", None, Some("192.0.2.1")),
            ("::::::nologin=moved away", None, Some("192.0.2.1")),
            ("::::::userdb_quota_rule=*:storage=1G nologin", None, Some("192.0.2.1")),
            // Not Dovecot's field, though it looks alike; nor is it one where another field stands.
            ("::::::userdb_nologin=x nologins", Some(&["192.0.2.1"]), None),
            ("::::nologin::", Some(&["192.0.2.1"]), None),
            (":nologin", Some(&["192.0.2.1"]), None),
            ("::::::allow_nets=192.0.2.0/24", Some(&["192.0.2.1", "::ffff:192.0.2.1"]), Some("192.0.3.1")),
            (
                "::::::allow_nets=198.51.100.7,2001:db8::/32",
                Some(&["198.51.100.7", "2001:db8::1"]),
                Some("198.51.100.8"),
            ),
            ("::::::allow_nets=192.0.2.0/24 nologin", None, Some("192.0.2.1")),
            ("::::::allow_nets=local", None, Some("127.0.0.1")),
            ("::::::allow_nets=", None, Some("127.0.0.1")),
        ];
        for (fields, admitted, refused) in cases {
            let accounts = Accounts::parse(&format!("ann@example.org:{{PLAIN}}a{fields}\n"), None).unwrap();
            let entry = accounts.iter().next().unwrap();
            for client in admitted.unwrap_or_default() {
                assert!(entry.admits(client.parse().unwrap()), "{fields} {client}");
            }
            if let Some(client) = refused {
                assert!(!entry.admits(client.parse().unwrap()), "{fields} {client}");
            }
        }
        for bad in ["allow_nets=192.0.2.0/33", "userdb_quota_rule=*:storage=192.0.2.0/33"] {
            let told =
                Accounts::parse(&format!("ann@example.org:{{PLAIN}}a::::::{bad}\n"), None).unwrap_err();
            assert!(told[0].what.contains("192.0.2.0/33"), "{told:?}");
        }
    }

    #[test]
    fn all_bad_lines_are_named_at_once() {
        let complaints = Accounts::parse(
            "ann:{PLAIN}x\na@b.example:{ROT13}x\nc@d.example:x\nc@d.example:\nc@d.example:\n\
             a/b@d.example:{PLAIN}x\n\".x\"@d.example:\nann@[192.0.2.1]:\n",
            None,
        )
        .unwrap_err();
        let lines: Vec<usize> = complaints.iter().map(|complaint| complaint.line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 6, 7, 8]);
        assert!(complaints[4].what.contains("cannot have a folder"), "{complaints:?}");
        assert!(complaints[0].what.contains("write accounts in full"), "{complaints:?}");
    }
}
