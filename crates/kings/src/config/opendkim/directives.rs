//! What `kings milter` does in the place of each directive of opendkim.conf(5) that does not act as it does there.

/// Which values of a directive ask for nothing else than what is done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Same {
    /// None of them.
    Never,
    /// Whatever it says is done or has no meaning here.
    Any,
    /// The boolean false.
    No,
    /// This text, without case.
    Value(&'static str),
}

/// By name, in the order of the alphabet.
const INSTEAD: &[(&str, Same, &str)] = &[
    ("AllowSHA1Only", Same::No, "SHA-256 is always there, and rsa-sha1 is never believed (RFC 8301 §3.1)"),
    ("AuthservIDWithJobID", Same::No, "the authserv-id is the name alone; the queue id stands in the log"),
    ("AutoRestart", Same::No, "the service manager restarts it (Restart=on-failure)"),
    ("AutoRestartCount", Same::Value("0"), "the service manager counts restarts (StartLimitBurst)"),
    ("AutoRestartRate", Same::Never, "the service manager limits restarts (StartLimitIntervalSec)"),
    ("Background", Same::No, "it stays in the foreground and tells the service manager when it is ready"),
    ("BodyLengthDB", Same::Never, "signatures cover the whole body: with l= anybody could add to it"),
    (
        "BogusKey",
        Same::Value("fail"),
        "a key that DNSSEC finds forged is never seen: the resolver keeps it back",
    ),
    ("CaptureUnknownErrors", Same::No, "On-InternalError says what becomes of such mail"),
    (
        "ChangeRootDirectory",
        Same::Never,
        "it stays in the file system as it is: use RootDirectory= or ProtectSystem= of systemd",
    ),
    ("ClockDrift", Same::Value("300"), "clocks may differ by 300 seconds"),
    ("DiagnosticDirectory", Same::Never, "no reports are written; the log tells why a signature fails"),
    ("Diagnostics", Same::No, "signatures have no z=, which would tell the whole header again"),
    ("DisableCryptoInit", Same::Any, "there is no library to prepare"),
    ("DNSConnect", Same::No, "DNS is asked over UDP, and over TCP where an answer does not fit"),
    (
        "DNSTimeout",
        Same::Value("5"),
        "a question of DNS takes three seconds at most, all for one message five",
    ),
    ("DomainKeysCompat", Same::No, "keys of DomainKeys (RFC 4870) are no keys"),
    ("EnableCoredumps", Same::No, "the service manager decides about core dumps (LimitCORE=)"),
    ("FinalPolicyScript", Same::Never, "scripts are not run: the On- settings decide"),
    ("FixCRLF", Same::No, "the mail server sends whole lines, and they are signed as they leave"),
    ("IdentityHeader", Same::Never, "the From field says who the author is"),
    ("IdentityHeaderRemove", Same::No, "the From field says who the author is, and stays"),
    (
        "IgnoreMalformedMail",
        Same::No,
        "malformed mail is verified like any other, and the result says what is wrong",
    ),
    ("KeepTemporaryFiles", Same::No, "there are no temporary files"),
    ("LDAPAuthMechanism", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPAuthName", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPAuthRealm", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPAuthUser", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPBindPassword", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPBindUser", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPDisableCache", Same::No, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPKeepaliveIdle", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPKeepaliveInterval", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPKeepaliveProbes", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPTimeout", Same::Never, "LDAP is not asked: write file:, refile: or csl:"),
    ("LDAPUseTLS", Same::No, "LDAP is not asked: write file:, refile: or csl:"),
    ("LogResults", Same::Any, "each result is logged"),
    ("LogWhy", Same::Any, "KINGS_LOG=debug tells more"),
    (
        "MaximumSignaturesToVerify",
        Same::Never,
        "at most eight signatures of a message are verified, those nearest to the author's domain",
    ),
    (
        "MaximumSignedBytes",
        Same::Value("0"),
        "signatures cover the whole body: with l= anybody could add to it",
    ),
    ("MilterDebug", Same::Value("0"), "KINGS_LOG=kings_mta=trace shows the dialogue"),
    ("Minimum", Same::Never, "a signature that does not cover the whole body never passes"),
    ("MinimumKeyBits", Same::Value("1024"), "keys from 1024 bits are believed (RFC 8301 §3.2)"),
    ("MTACommand", Same::Never, "no mail is sent"),
    (
        "MustBeSigned",
        Same::Never,
        "fields that people see and that a signature leaves out give no pass where they are added; no other is asked for",
    ),
    (
        "NoHeaderB",
        Same::No,
        "results name a signature by domain, selector and the beginning of b= (header.b)",
    ),
    ("POPDBFile", Same::Never, "a login (SMTP AUTH), InternalHosts or a macro makes mail ours"),
    ("Quarantine", Same::No, "write On-BadSignature quarantine"),
    ("QueryCache", Same::Any, "DNS answers are kept by their TTL"),
    ("RedirectFailuresTo", Same::Never, "mail goes where it was sent to: write On-BadSignature quarantine"),
    (
        "ReplaceHeaders",
        Same::Never,
        "what is signed is what the mail server sends: let it rewrite addresses before the filter",
    ),
    (
        "ReplaceRules",
        Same::Never,
        "what is signed is what the mail server sends: let it rewrite addresses before the filter",
    ),
    ("ReportAddress", Same::Never, "no failure reports are sent (RFC 6651)"),
    ("ReportBccAddress", Same::Never, "no failure reports are sent (RFC 6651)"),
    ("RequestReports", Same::No, "signatures ask for no reports (RFC 6651)"),
    ("RequiredHeaders", Same::No, "the mail server checks the header; a message without From is not signed"),
    ("ResignAll", Same::No, "nothing that comes from outside is signed"),
    (
        "ResignMailTo",
        Same::Never,
        "nothing that comes from outside is signed: `kings serve` seals what it sends on (ARC)",
    ),
    ("ResolverConfiguration", Same::Never, "write Nameservers, or set up the resolver of this machine"),
    ("ResolverTracing", Same::No, "KINGS_LOG=kings_net=trace shows questions of DNS"),
    ("ScreenPolicyScript", Same::Never, "scripts are not run"),
    ("SelectCanonicalizationHeader", Same::Never, "Canonicalization says it for all messages"),
    ("SenderHeaders", Same::Value("from"), "the From field alone says who the author is, as DMARC has it"),
    ("SenderMacro", Same::Never, "the From field alone says who the author is, as DMARC has it"),
    ("SendReports", Same::No, "no failure reports are sent (RFC 6651)"),
    ("SetupPolicyScript", Same::Never, "scripts are not run: KeyTable and SigningTable say what is signed"),
    ("SMTPURI", Same::Never, "no mail is sent"),
    ("SoftStart", Same::No, "no database is asked"),
    ("SoftwareHeader", Same::No, "no DKIM-Filter field is added"),
    ("Statistics", Same::Never, "no statistics file is written; the log has all results"),
    ("StatisticsName", Same::Never, "no statistics file is written; the log has all results"),
    ("StatisticsPolicyScript", Same::Never, "scripts are not run"),
    ("StatisticsPrefix", Same::Never, "no statistics file is written; the log has all results"),
    ("StrictHeaders", Same::No, "the mail server checks the header; a message without From is not signed"),
    ("StrictTestMode", Same::No, "there is no test mode: `kings check-message` looks at a file"),
    ("Syslog", Same::No, "it logs to standard error, for the journal of the service manager"),
    ("SyslogFacility", Same::Never, "it logs to standard error, for the journal of the service manager"),
    ("SyslogName", Same::Never, "it logs to standard error, for the journal of the service manager"),
    ("SyslogSuccess", Same::Any, "each message is logged"),
    ("TemporaryDirectory", Same::Never, "there are no temporary files"),
    ("TestDNSData", Same::Never, "DNS is asked: write Nameservers"),
    ("TestPublicKeys", Same::Never, "DNS is asked: write Nameservers"),
    ("TrustAnchorFile", Same::Never, "the resolver of this machine validates DNSSEC"),
    (
        "TrustSignaturesFrom",
        Same::Never,
        "any domain may sign; whether it is the author's is for DMARC to judge",
    ),
    ("UnprotectedKey", Same::Value("none"), "keys count with and without DNSSEC"),
    ("VBR-Certifiers", Same::Never, "nobody vouches by VBR (RFC 5518)"),
    ("VBR-PurgeFields", Same::Never, "VBR fields stay (RFC 5518)"),
    ("VBR-TrustedCertifiers", Same::Never, "nobody vouches by VBR (RFC 5518)"),
    ("VBR-TrustedCertifiersOnly", Same::No, "nobody vouches by VBR (RFC 5518)"),
    ("VBR-Type", Same::Never, "nobody vouches by VBR (RFC 5518)"),
    ("WeakSyntaxChecks", Same::No, "malformed mail is verified as far as it can be"),
];

/// What is done in the place of a directive with this value. `None` where it is the same; `Err` where OpenDKIM does not
/// know the name either.
pub(super) fn instead(name: &str, value: &str) -> Result<Option<&'static str>, Unknown> {
    let entry = INSTEAD.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)).ok_or(Unknown)?;
    let (_, same, instead) = entry;
    let is_same = match same {
        Same::Never => false,
        Same::Any => true,
        Same::No => super::conf::flag(value) == Some(false),
        Same::Value(usual) => value.eq_ignore_ascii_case(usual),
    };
    Ok((!is_same).then_some(instead))
}

/// No directive of OpenDKIM 2.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknown;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_asks_for_nothing_else_is_not_warned_of() {
        let cases = [
            ("background", "no", Ok(None)),
            ("MinimumKeyBits", "1024", Ok(None)),
            ("LogWhy", "yes", Ok(None)),
            ("UnprotectedKey", "None", Ok(None)),
            ("Fancy", "yes", Err(Unknown)),
        ];
        for (name, value, expected) in cases {
            assert_eq!(instead(name, value), expected, "{name} {value}");
        }
        for (name, value) in [("Background", "yes"), ("MinimumKeyBits", "2048"), ("BodyLengthDB", "csl:a@b")]
        {
            assert!(instead(name, value).unwrap().is_some(), "{name} {value}");
        }
    }

    /// The page is for readers, this list for warnings: they say the same.
    #[test]
    fn the_page_about_opendkim_has_them_all() {
        let page = include_str!("../../../../../docs/opendkim.md");
        for (name, _, instead) in INSTEAD {
            assert!(page.contains(&format!("| {name} | {instead} |")), "{name}");
        }
    }
}
