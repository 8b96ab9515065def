//! What the config accepts, refuses and says about it.
#![allow(clippy::unwrap_used, reason = "tests")]
use kings_mta::delegation::{Action, Place, Stage};
use kings_mta::milter::{self, DefaultAction};
use kings_mta::{Check, Dsn, ForeignSenders, Methods, OnDoubt, Verdict, Verdicts};
use kings_net::Rate;
use kings_oauth::{KeySource, Proof};
use kings_sasl::Mechanism;

use super::*;

pub(super) const SMALLEST: &str = r#"
hostname = "mail.example.org"
data_dir = "data"
mail_dir = "/srv/mail"
[[domain]]
name = "example.org"
[accounts]
file = "users"
[listen]
smtp = ["127.0.0.1:0"]
[tls]
self_signed = true
"#;

fn complaints(text: &str) -> Vec<String> {
    let parsed = Settings::parse(text, Path::new("/etc/kings-smtp"));
    parsed.err().unwrap_or_default().iter().map(Complaint::to_string).collect()
}

/// The smallest config with one line changed.
fn changed(from: &str, to: &str) -> Vec<String> {
    assert!(SMALLEST.contains(from));
    complaints(&SMALLEST.replacen(from, to, 1))
}

#[test]
fn the_smallest_config_has_the_defaults_of_the_design() {
    let settings = Settings::parse(SMALLEST, Path::new("/etc/kings-smtp")).unwrap();
    assert_eq!(settings.data_dir, Path::new("/etc/kings-smtp/data"));
    assert_eq!(settings.mail_dir, Path::new("/srv/mail"));
    assert_eq!(settings.limits.message_bytes, 50 * 1024 * 1024);
    assert_eq!(settings.limits.free_space_reserve, 100 * 1024 * 1024);
    assert_eq!(settings.limits.smtp_connections_per_address, 50);
    assert_eq!((settings.mailboxes.naming.separator, settings.outbound.port), ('.', 25));
    assert!(settings.warnings.is_empty());
}

#[test]
fn mailboxes_lie_in_each_other_where_the_config_says_so() {
    use kings_store::MailboxLayout::{Fs, MaildirPlusPlus};
    let cases = [
        ("", Ok((MaildirPlusPlus, '.', false))),
        ("separator = \"/\"", Ok((MaildirPlusPlus, '/', false))),
        ("layout = \"maildir++\"", Ok((MaildirPlusPlus, '.', false))),
        ("layout = \"fs\"", Ok((Fs, '/', false))),
        ("layout = \"fs\"\nseparator = \"/\"\nprefix = \"INBOX/\"", Ok((Fs, '/', true))),
        ("layout = \"fs\"\nseparator = \".\"", Err("separator")),
        ("layout = \"fs\"\nprefix = \"INBOX.\"", Err("prefix")),
        ("layout = \"FS\"", Err("layout")),
    ];
    for (lines, expected) in cases {
        let text = format!("{SMALLEST}\n[mailboxes]\n{lines}\n");
        match (Settings::parse(&text, Path::new("/etc/kings-smtp")), expected) {
            (Ok(settings), Ok(expected)) => {
                let naming = settings.mailboxes.naming;
                assert_eq!((naming.layout, naming.separator, naming.below_inbox), expected, "{lines}");
            }
            (Err(complaints), Err(key)) => assert!(format!("{complaints:?}").contains(key), "{complaints:?}"),
            (result, _) => panic!("{lines}: {:?}", result.is_ok()),
        }
    }
}

#[test]
fn mailboxes_are_shared_inside_of_the_domain_unless_the_config_says_otherwise() {
    use kings_access::Sharing;
    let cases = [
        ("", Ok((Sharing::Domain, false))),
        ("sharing = \"off\"", Ok((Sharing::Off, false))),
        ("sharing = \"server\"\nshare_with_anyone = true", Ok((Sharing::Server, true))),
        ("sharing = \"all\"", Err("sharing")),
        ("share_with_anyone = \"yes\"", Err("share_with_anyone")),
    ];
    for (lines, expected) in cases {
        let text = format!("{SMALLEST}\n[mailboxes]\n{lines}\n");
        let settings = Settings::parse(&text, Path::new("/etc/kings-smtp"));
        match expected {
            Ok(expected) => {
                let mailboxes = settings.unwrap().mailboxes;
                assert_eq!((mailboxes.sharing, mailboxes.shares_with_anyone), expected, "{lines}");
            }
            Err(key) => assert!(complaints(&text)[0].contains(key), "{lines}"),
        }
    }
}

#[test]
fn the_commented_example_is_a_valid_config() {
    let text = include_str!("../../../../config/kings.toml");
    let settings = Settings::parse(text, Path::new("/etc/kings-smtp")).unwrap();
    assert_eq!(settings.hostname.as_str(), "mail.example.org");
    assert_eq!(settings.listen.submissions.len(), 1);
}

#[test]
fn reports_are_sent_unless_the_config_says_otherwise() {
    let cases = [
        ("", (true, true)),
        ("[reports]\n", (true, true)),
        ("[reports]\ndmarc = false\n", (false, true)),
        ("[reports]\ntls = false\n", (true, false)),
        ("[reports]\ndmarc = false\ntls = false\n", (false, false)),
    ];
    for (lines, expected) in cases {
        let reports =
            Settings::parse(&format!("{SMALLEST}{lines}"), Path::new("/")).unwrap().reports.unwrap();
        assert_eq!((reports.dmarc, reports.tls), expected, "{lines}");
        assert_eq!(reports.from.to_string(), "noreply-dmarc@example.org");
    }
}

#[test]
fn signatures_must_outlive_what_waits_here() {
    let days = |days: u64| Duration::from_hours(24 * days);
    let outlived = "signatures of 35d expire before mail that waits 35d here has left, 30d by";
    let cases = [
        ("", Ok(None)),
        ("signature_lifetime = \"36d\"\n", Ok(Some(days(36)))),
        ("signature_lifetime = \"35d\"\n", Err(outlived)),
        ("signature_lifetime = \"6d\"\n[submission]\nfuture_release_days = 0\n", Ok(Some(days(6)))),
        ("signature_lifetime = \"5d\"\n[submission]\nfuture_release_days = 0\n", Err("waits 5d here")),
        ("signature_lifetime = \"0s\"\n", Err("signatures of 0d expire")),
        ("signature_lifetime = \"1h\"\n", Err("signatures of 1h expire before mail that waits 35d here")),
        ("signature_lifetime = \"90m\"\n", Err("signatures of 90m expire")),
        ("signature_lifetime = \"36d\"\n[queue]\nlifetime = \"145h\"\n", Err("longer than \"865h\"")),
        ("signature_lifetime = \"36d\"\n[queue]\nlifetime = \"10d\"\n", Err("waits 40d here")),
        ("signature_lifetime = \"41d\"\n[queue]\nlifetime = \"10d\"\n", Ok(Some(days(41)))),
        ("signature_lifetime = \"32d\"\n[queue]\nlifetime = \"1d\"\n", Ok(Some(days(32)))),
        ("signature_lifetime = \"36d\"\n[queue]\nbounce_lifetime = \"40d\"\n", Err("waits 40d here")),
        ("signature_lifetime = \"36d\"\n[queue]\nbounce_lifetime = \"20d\"\n", Ok(Some(days(36)))),
        ("signature_lifetime = 60\n", Err("signature_lifetime")),
        ("signature_lifetime = \"soon\"\n", Err("a time such as \"60d\"")),
    ];
    for (lines, expected) in cases {
        let text = format!("{SMALLEST}[dkim]\n{lines}");
        match (expected, Settings::parse(&text, Path::new("/"))) {
            (Ok(lifetime), Ok(settings)) => assert_eq!(settings.dkim.signature_lifetime, lifetime, "{lines}"),
            (Err(said), Err(complaints)) => {
                let all = complaints.iter().map(Complaint::to_string).collect::<String>();
                assert!(complaints.len() == 1 && all.contains(said), "{lines}: {all}");
            }
            (_, found) => panic!("{lines}: {:?}", found.map(|settings| settings.dkim)),
        }
    }
}

#[test]
fn rates_have_defaults_and_zero_lifts_them() {
    let text = format!(
        "{SMALLEST}[limits]\nsmtp_connections_per_minute = 0\nmessages_per_hour_per_account = 7\nunknown_recipients_per_address = 3\n"
    );
    let limits = Settings::parse(&text, Path::new("/")).unwrap().limits;
    assert_eq!(limits.smtp_arrivals, Rate::minute(0));
    assert_eq!(limits.imap_arrivals, Rate::minute(600));
    assert_eq!(limits.rates.account.messages_per_hour, 7);
    assert_eq!(limits.rates.unknown_recipients, 3);
    assert_eq!(limits.rates.errors_per_hour, 300);
    assert!(!complaints(&format!("{SMALLEST}[limits]\nsmtp_connections_per_minute = -1\n")).is_empty());
}

#[test]
fn a_misspelt_key_is_refused_by_name() {
    assert_eq!(
        changed("hostname = ", "hostnam = "),
        [
            "hostname is missing: add hostname = \"mail.example.org\"",
            "line 2: unknown key \"hostnam\" at the top; did you mean \"hostname\"?",
        ]
    );
    assert_eq!(
        changed("smtp = [", "smpt = [\"127.0.0.1:0\"]\nsmtp = ["),
        ["line 10: unknown key \"smpt\" in [listen]; did you mean \"smtp\"?"]
    );
    let far = changed("self_signed = true", "self_signed = true\nzzz = 1");
    assert_eq!(far.len(), 1);
    assert!(
        far[0]
            .contains("known are: acme, authorities, certificate, client_ca, more, private_key, self_signed"),
        "{far:?}"
    );
}

#[test]
fn all_complaints_come_at_once() {
    let text = SMALLEST
        .replace("mail.example.org", "not a name")
        .replace("127.0.0.1:0", "everywhere")
        .replace("self_signed = true", "self_signed = 1\n[limits]\nmessage_bytes = -1\nexempt = \"x\"");
    let found = complaints(&text);
    let lines: Vec<&str> = found.iter().map(|complaint| complaint.split(':').next().unwrap()).collect();
    assert_eq!(lines[..2], ["line 2", "line 10"], "{found:?}");
    for expected in ["self_signed must be true or false", "message_bytes must be", "exempt must be a list"] {
        assert!(found.iter().any(|complaint| complaint.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn certificates_for_more_names_stand_beside_one_for_the_hostname() {
    let both = "certificate = \"a.pem\"\nprivate_key = \"a.key\"";
    let more = "more = [{ certificate = \"b.pem\", private_key = \"b.key\" }]";
    let text = SMALLEST.replace("self_signed = true", &format!("{both}\n{more}"));
    let settings = Settings::parse(&text, Path::new("/etc")).unwrap();
    let pair = |name: &str| kings_tls::Pair {
        certificate: format!("/etc/{name}.pem").into(),
        private_key: format!("/etc/{name}.key").into(),
    };
    assert_eq!(settings.certificate, Certificate::Files { default: pair("a"), more: vec![pair("b")] });
    let cases = [
        (format!("{both}\nmore = [{{ certificate = \"b.pem\" }}]"), "[[tls.more]] needs certificate"),
        (format!("self_signed = true\n{more}"), "both self_signed and [[tls.more]]"),
        (
            format!("{both}\nmore = [{{ certificate = \"b\", private_key = \"c\", x = 1 }}]"),
            "unknown key \"x\"",
        ),
    ];
    for (tls, expected) in cases {
        let found = changed("self_signed = true", &tls);
        assert!(found.iter().any(|complaint| complaint.contains(expected)), "{tls}: {found:?}");
    }
}

#[test]
fn an_authority_is_asked_for_the_hostname_and_for_what_is_looked_for_below_each_domain() {
    let with = |listen: &str, acme: &str| {
        let text = SMALLEST.replace("self_signed = true", &format!("acme = {{ {acme} }}"));
        let text = text.replace("smtp = [", &format!("{listen}\nsmtp = ["));
        Settings::parse(&text, Path::new("/etc"))
            .map(|settings| (settings.acme.unwrap().settings, settings.certificate))
    };
    let both = "http = [\"[::]:80\"]\nhttps = [\"[::]:443\"]";
    let names = |settings: &kings_acme::Settings| -> Vec<String> {
        settings.names.iter().map(ToString::to_string).collect()
    };
    let (settings, certificate) = with(both, "contact = \"mailto:ann@example.org\"").unwrap();
    assert_eq!(settings.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(settings.contact.as_deref(), Some("mailto:ann@example.org"));
    assert_eq!(settings.kinds, [kings_acme::Kind::Http01, kings_acme::Kind::TlsAlpn01]);
    let below = ["mta-sts", "autoconfig", "autodiscover"].map(|label| format!("{label}.example.org"));
    assert_eq!(names(&settings), [&["mail.example.org".to_owned()][..], &below].concat());
    assert!(!settings.rotate_keys);
    let Certificate::Acme { live, names: shown, .. } = certificate else { panic!("{certificate:?}") };
    assert_eq!((live.as_path(), shown), (Path::new("/etc/data/acme/live"), settings.names));
    // Without HTTPS nobody comes for the names below the domains.
    let (settings, _) = with("http = [\"[::]:80\"]", "").unwrap();
    assert_eq!(names(&settings), ["mail.example.org"]);
    let (settings, _) =
        with(both, "names = [\"www.example.org\", \"mail.example.org\"], rotate_keys = true").unwrap();
    assert_eq!(names(&settings), ["mail.example.org", "www.example.org"]);
    assert!(settings.rotate_keys);

    // A provider can prove them as well, after the others or alone.
    let provider = "kind = \"rfc2136\", server = \"192.0.2.53\", key = \"k\", key_file = \"k.key\"";
    for (listen, challenges, expected) in [
        (both, "", &kings_acme::Kind::ALL[..]),
        ("", "", &[kings_acme::Kind::Dns01]),
        (both, "challenges = [\"dns-01\"]", &[kings_acme::Kind::Dns01]),
    ] {
        let text = SMALLEST.replace("self_signed = true", &format!("acme = {{ {challenges} }}"));
        let text = text.replace("smtp = [", &format!("{listen}\nsmtp = ["));
        let text = format!("{text}[dns]\nprovider = {{ {provider} }}\n");
        let settings = Settings::parse(&text, Path::new("/etc")).unwrap().acme.unwrap().settings;
        assert_eq!(settings.kinds, expected, "{listen} {challenges}");
    }

    for (listen, acme, expected) in [
        ("", "", "no way to prove a name"),
        ("http = [\"[::]:80\"]", "challenges = [\"tls-alpn-01\"]", "tls-alpn-01, which needs https"),
        (both, "challenges = [\"dns-01\"]", "dns-01, which needs a provider"),
        (both, "challenges = [\"http-02\"]", "challenges must be"),
        (both, "directory = \"http://ca.example/\"", "directory must be"),
        (both, "contact = \"ann@example.org\"", "contact must be"),
        (both, "names = [\"not a name\"]", "names must be"),
        (both, "root = \"missing.pem\"", "cannot read authorities"),
        (both, "direktory = \"x\"", "did you mean \"directory\"?"),
    ] {
        let found: Vec<String> = with(listen, acme).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|complaint| complaint.contains(expected)), "{acme}: {found:?}");
    }
    let text = SMALLEST.replace("smtp = [", &format!("{both}\nsmtp = ["));
    let text = text.replace("self_signed = true", "self_signed = true\nacme = {}");
    let found = complaints(&text);
    assert!(found[0].contains("both acme and another certificate"), "{found:?}");
}

#[test]
fn what_is_not_built_is_refused_and_not_ignored() {
    let cases =
        [("smtp = [", "managesieve = [\"[::]:4190\"]\nsmtp = [", "the managesieve server is not built yet")];
    for (from, to, expected) in cases {
        let found = changed(from, to);
        assert!(found.iter().any(|complaint| complaint.contains(expected)), "{found:?}");
    }
    assert!(changed("smtp = [", "managesieve = []\nsmtp = [").is_empty());
}

#[test]
fn a_check_that_is_asked_for_and_cannot_count_is_a_warning() {
    let text = format!(
        "{SMALLEST}[inbound]\narc = \"enforce\"\nspf = \"enforce\"\ndkim = \"tag\"\nspf_fail = \"junk\"\n"
    );
    let settings = Settings::parse(&text, Path::new("/")).unwrap();
    assert_eq!(settings.warnings.len(), 1);
    for (lines, warnings) in [
        ("arc = \"enforce\"\narc_sealers = [\"lists.example\"]\ndmarc = \"tag\"\n", 0),
        ("arc_sealers = [\"lists.example\"]\n", 0),
        ("arc = \"enforce\"\narc_sealers = [\"lists.example\"]\ndmarc = \"off\"\n", 1),
        ("arc = \"tag\"\narc_sealers = [\"lists.example\"]\n", 1),
        ("arc = \"tag\"\nreceived_spf = true\n", 0),
    ] {
        let read = Settings::parse(&format!("{SMALLEST}[inbound]\n{lines}"), Path::new("/")).unwrap();
        assert_eq!(read.warnings.len(), warnings, "{lines}");
    }
    assert!(!complaints(&format!("{SMALLEST}[inbound]\narc_sealers = [\"no domain\"]\n")).is_empty());
    let inbound = settings.inbound;
    assert_eq!((inbound.methods.spf, inbound.methods.dkim), (Check::Enforce, Check::Tag));
    assert_eq!((inbound.methods.dmarc, inbound.verdicts.spf_fail), (Check::Enforce, Verdict::Junk));
    assert!(!complaints(&format!("{SMALLEST}[inbound]\nspf = \"enforced\"\n")).is_empty());
}

/// What `[inbound]` and `[reports]` say, and what is warned of.
fn warned(lines: &str) -> Vec<String> {
    let settings = Settings::parse(&format!("{SMALLEST}{lines}"), Path::new("/")).unwrap();
    settings.warnings.iter().map(Complaint::to_string).collect()
}

#[test]
fn what_should_follow_from_a_result_that_does_not_count_is_a_warning_with_its_line() {
    let cases: [(&str, &[(&str, &str)]); 15] = [
        (
            "dmarc = \"off\"\ndmarc_reject = \"junk\"\n",
            &[(
                "dmarc_reject does nothing while dmarc = \"off\"",
                "write dmarc = \"enforce\", or take dmarc_reject out",
            )],
        ),
        (
            "dmarc = \"tag\"\ndmarc_quarantine = \"defer\"\nseveral_authors = \"reject\"\n",
            &[
                ("dmarc_quarantine does nothing while dmarc = \"tag\"", "acts on none"),
                ("several_authors does nothing while dmarc = \"tag\"", "dmarc = \"enforce\""),
            ],
        ),
        ("dmarc = \"tag\"\nno_author = \"junk\"\n", &[("no_author does nothing", "dmarc = \"tag\"")]),
        (
            "dmarc = \"off\"\ndmarc_temperror = \"policy\"\n",
            &[("dmarc_temperror does nothing", "dmarc = \"off\"")],
        ),
        ("dmarc = \"off\"\ndmarc_reject = \"accept\"\nno_author = \"accept\"\n", &[]),
        ("dmarc_reject = \"junk\"\nseveral_authors = \"reject\"\nno_author = \"defer\"\n", &[]),
        (
            "spf = \"tag\"\nspf_fail = \"reject\"\n",
            &[("spf_fail does nothing while spf = \"tag\"", "spf = \"enforce\"")],
        ),
        (
            "spf = \"off\"\nspf_softfail = \"junk\"\nspf_helo_fail = \"accept\"\n",
            &[("spf_softfail does nothing", "spf_softfail out")],
        ),
        ("spf_fail = \"junk\"\nspf_helo_fail = \"junk\"\n", &[]),
        (
            "dkim = \"off\"\ndmarc = \"off\"\ndkim_repeats = \"junk\"\n",
            &[("dkim_repeats does nothing", "write dkim = \"tag\"")],
        ),
        ("dkim = \"off\"\ndkim_repeats = \"junk\"\n", &[]),
        ("dkim = \"tag\"\ndmarc = \"off\"\ndkim_repeats = \"junk\"\n", &[]),
        ("dnsbl_listed = \"junk\"\n", &[("dnsbl_listed does nothing without a list", "name one in dnsbl")]),
        ("dnsbl_threshold = 3\n", &[("dnsbl_threshold does nothing without a list", "dnsbl_threshold out")]),
        ("dnsbl = [\"bl.example\"]\ndnsbl_listed = \"junk\"\ndnsbl_threshold = 1\n", &[]),
    ];
    for (lines, expected) in cases {
        let found = warned(&format!("[inbound]\n{lines}"));
        assert_eq!(found.len(), expected.len(), "{lines}: {found:?}");
        for (said, (start, remedy)) in found.iter().zip(expected) {
            assert!(said.starts_with("line 1") && said.contains("[inbound] "), "{said}");
            assert!(said.contains(start) && said.contains(remedy), "{said}");
        }
    }
}

#[test]
fn a_threshold_that_no_sum_of_lists_reaches_is_refused() {
    let wrong: [(&str, &str, &str); 5] = [
        (
            "dnsbl = [\"a.example\"]\ndnsbl_threshold = 2\n",
            "line 15: ",
            "comes to 1: nobody is ever refused for them; write dnsbl_threshold = 1 or less",
        ),
        (
            "dnsbl = [\"a.example*2\", \"b.example*-9\"]\ndnsbl_domains = [\"c.example*3\"]\ndnsbl_threshold = 6\n",
            "line 16: ",
            "comes to 5",
        ),
        ("dnsbl = [\"a.example*-1\"]\n", "line 14: ", "give a list a weight above 0"),
        ("dnsbl_domains = [\"a.example*0\"]\n", "line 14: ", "comes to 0"),
        (
            "dnsbl = [\"a.example\"]\ndnswl = [\"w.example*9\"]\ndnsbl_threshold = 2\n",
            "line 16: ",
            "more weight (\"zen.example.org*2\")",
        ),
    ];
    for (lines, line, said) in wrong {
        let found = complaints(&format!("{SMALLEST}[inbound]\n{lines}"));
        assert!(
            found.len() == 1 && found[0].starts_with(line) && found[0].contains(said),
            "{lines}: {found:?}"
        );
    }
    for fine in [
        "dnsbl = [\"a.example*2\", \"b.example*-9\"]\ndnsbl_domains = [\"c.example*3\"]\ndnsbl_threshold = 5\n",
        "dnsbl = [\"a.example\", \"b.example\"]\ndnsbl_threshold = 2\n",
        "dnswl = [\"w.example\"]\n",
    ] {
        assert!(warned(&format!("[inbound]\n{fine}")).is_empty(), "{fine}");
    }
    // A list that is none is told of, and not what the others come to without it.
    let broken = "dnsbl = [\"a.example\", \"no list\"]\ndnsbl_threshold = 2\n";
    let found = complaints(&format!("{SMALLEST}[inbound]\n{broken}"));
    assert!(found.len() == 1 && found[0].contains("no list"), "{found:?}");
}

#[test]
fn reports_in_a_name_that_is_not_ours_are_a_warning() {
    let relay = "[[domain]]\nname = \"passed.example\"\nrelay_to = \"smtp:127.0.0.1:26\"\nrecipients = \"inline:{a@passed.example=x}\"\n";
    for (from, is_ours) in [
        ("noreply@example.org", true),
        ("noreply@mail.example.org", true),
        ("noreply@reports.example.org", true),
        ("noreply@passed.example", true),
        ("noreply@foreign.example", false),
        ("noreply@notexample.org", false),
        ("noreply@org", false),
    ] {
        let found = warned(&format!("{relay}[reports]\nfrom = \"{from}\"\n"));
        assert_eq!(found.is_empty(), is_ours, "{from}: {found:?}");
        let told = |said: &String| {
            said.starts_with("line 18: [reports] from is at ")
                && said.contains("such as \"noreply-dmarc@example.org\"")
        };
        assert!(found.iter().all(told), "{found:?}");
    }
    for (dmarc, reports, is_fine) in [("off", "true", false), ("off", "false", true), ("tag", "true", true)] {
        let found = warned(&format!("[inbound]\ndmarc = \"{dmarc}\"\n[reports]\ndmarc = {reports}\n"));
        assert_eq!(found.is_empty(), is_fine, "{dmarc} {reports}: {found:?}");
    }
    assert!(warned("[inbound]\ndmarc = \"off\"\n").is_empty());
}

#[test]
fn a_config_that_says_nothing_of_checks_verifies_and_each_can_be_switched_off() {
    let read = |lines: &str| Settings::parse(&format!("{SMALLEST}{lines}"), Path::new("/")).unwrap();
    let silent = read("");
    assert_eq!((silent.inbound.methods, silent.warnings.len()), (Methods::usual(), 0));
    let off = "[inbound]\nspf = \"off\"\ndkim = \"off\"\ndmarc = \"off\"\narc = \"off\"\niprev = \"off\"\n";
    assert_eq!(read(off).inbound.methods, Methods::default());
}

#[test]
fn dsn_is_offered_to_all_unless_the_config_says_to_whom() {
    let read = |lines: &str| Settings::parse(&format!("{SMALLEST}[inbound]\n{lines}"), Path::new("/"));
    let networks = |texts: &[&str]| Dsn::Networks(texts.iter().map(|text| text.parse().unwrap()).collect());
    for (lines, expected) in [
        ("", Dsn::Everybody),
        ("dsn = true\n", Dsn::Everybody),
        ("dsn = false\n", networks(&[])),
        ("dsn = false\ndsn_networks = [\"192.0.2.0/24\"]\n", networks(&["192.0.2.0/24"])),
    ] {
        assert_eq!(read(lines).unwrap().clients.dsn, expected, "{lines}");
    }
    for wrong in ["dsn = \"no\"", "dsn_networks = [\"192.0.2.0/24\"]", "dsn = false\ndsn_networks = [\"x\"]"]
    {
        assert!(!complaints(&format!("{SMALLEST}[inbound]\n{wrong}\n")).is_empty(), "{wrong}");
    }
}

#[test]
fn the_switches_of_the_verdict_are_read_and_misspelt_ones_are_named() {
    let read = |lines: &str| {
        Settings::parse(&format!("{SMALLEST}[inbound]\n{lines}"), Path::new("/")).unwrap().inbound
    };
    let silent = read("");
    assert_eq!((silent.verdicts.spf_softfail, silent.verdicts.no_author), (Verdict::Accept, Verdict::Junk));
    assert!(silent.forwarders.is_empty() && silent.lists.domains.is_empty());
    assert_eq!(silent.verdicts, Verdicts::default());
    let set = read(
        "spf_softfail = \"junk\"\nno_author = \"reject\"\nforwarders = [\"192.0.2.5/32\", \"2001:db8::/32\"]\n\
         dnsbl_domains = [\"dbl.example=127.0.1.[2..9]*2\"]\n",
    );
    assert_eq!((set.verdicts.spf_softfail, set.verdicts.no_author), (Verdict::Junk, Verdict::Reject));
    assert_eq!((set.forwarders.len(), set.lists.domains[0].weight), (2, 2));
    for (word, expected) in [
        ("policy", OnDoubt::ByPolicy),
        ("accept", OnDoubt::Always(Verdict::Accept)),
        ("junk", OnDoubt::Always(Verdict::Junk)),
        ("defer", OnDoubt::Always(Verdict::Defer)),
    ] {
        let set = read(&format!(
            "dmarc_temperror = \"{word}\"\ndkim_repeats = \"defer\"\ndkim_repeats_from = 0\nseveral_authors = \"reject\"\n"
        ));
        assert_eq!(set.verdicts.dmarc_temperror, expected);
        assert_eq!(
            (set.verdicts.several_authors, set.verdicts.dkim_repeats),
            (Verdict::Reject, Verdict::Defer)
        );
        assert_eq!(set.verdicts.dkim_repeats_from, 0);
    }
    for (wrong, named) in [
        ("spf_softfail = \"maybe\"", "spf_softfail"),
        ("no_author = \"bin\"", "no_author"),
        ("dmarc_temperror = \"reject\"", "dmarc_temperror"),
        ("several_authors = \"one\"", "several_authors"),
        ("dkim_repeats = \"bin\"", "dkim_repeats"),
        ("dkim_repeats_from = -1", "dkim_repeats_from"),
        ("forwarders = [\"mx.example.net\"]", "forwarders"),
        ("forwarders = [\"0.0.0.0/0\"]", "every address"),
        ("dnsbl_domains = [\"dbl.example=127.0.1\"]", "dnsbl_domains"),
    ] {
        let found = complaints(&format!("{SMALLEST}[inbound]\n{wrong}\n"));
        assert!(found.iter().any(|complaint| complaint.contains(named)), "{wrong}: {found:?}");
    }
}

#[test]
fn greylisting_is_off_until_it_is_asked_for() {
    let read =
        |lines: &str| Settings::parse(&format!("{SMALLEST}[inbound]\n{lines}"), Path::new("/")).unwrap();
    let silent = read("greylist_delay = \"1m\"\n");
    assert!(silent.inbound.greylist.is_none() && !silent.submission.remembers_correspondents);
    let on = read("greylist = true\ngreylist_delay = \"1m\"\ngreylist_exempt = [\"192.0.2.0/24\"]\n");
    let greylist = on.inbound.greylist.unwrap();
    assert_eq!((greylist.delay.as_secs(), greylist.retry_window.as_secs()), (60, 172_800));
    assert!(greylist.exempt.len() == 1 && on.submission.remembers_correspondents);
    for wrong in [
        "greylist = \"yes\"",
        "greylist_delay = \"0s\"",
        "greylist_delay = \"1h\"\ngreylist_retry_window = \"1h\"",
    ] {
        assert!(!complaints(&format!("{SMALLEST}[inbound]\n{wrong}\n")).is_empty(), "{wrong}");
    }
}

#[test]
fn a_policy_service_and_the_rules_about_senders_are_read() {
    let read = |lines: &str| {
        Settings::parse(&format!("{SMALLEST}[inbound]\n{lines}\n"), Path::new("/")).unwrap().inbound
    };
    let inbound = read("bad_helo = \"reject\"\nunknown_sender_domain = \"junk\"");
    assert_eq!((inbound.rules.bad_helo, inbound.rules.unknown_helo), (Verdict::Reject, Verdict::Accept));
    assert_eq!((inbound.rules.unknown_sender_domain, inbound.policy_service), (Verdict::Junk, None));
    let service = read("policy_service = \"inet:127.0.0.1:10023\"").policy_service.unwrap();
    assert_eq!(service.places, [Place::Inet("127.0.0.1".to_owned(), 10_023)]);
    assert_eq!(service.stages, [Stage::Rcpt, Stage::EndOfMessage]);
    assert!(matches!(service.default_action, Action::Refuse(reply) if reply.code == 451));
    let service = read("policy_service = \"unix:/run/policy\"\npolicy_default_action = \"DUNNO\"");
    let service = service.policy_service.unwrap();
    assert_eq!((service.default_action, service.patience.as_secs()), (Action::Continue, 100));
    let service =
        read("policy_service = \"unix:/run/policy\"\npolicy_timeout = \"2m\"").policy_service.unwrap();
    assert_eq!(service.patience.as_secs(), 120);
    let several = "policy_service = [\"unix:/a\", \"unix:/b\", \"unix:/c\"]";
    let row = read(&format!("{several}\npolicy_states = [\"CONNECT\", \"EHLO\"]")).policy_service.unwrap();
    assert_eq!(row.places.len(), 3);
    assert_eq!(row.stages, [Stage::Connect, Stage::Ehlo, Stage::Helo]);
    // The client waits for all of them.
    assert_eq!(row.patience.as_secs(), 83);
    let text = format!("{SMALLEST}[submission]\npolicy_service = \"unix:/a\"\n");
    let submission = Settings::parse(&text, Path::new("/")).unwrap().submission;
    assert_eq!(submission.policy_service.unwrap().places, [Place::Unix("/a".into())]);
    let eleven = ["\"unix:/a\""; 11].join(", ");
    for wrong in [
        format!("{several}\npolicy_timeout = \"100s\""),
        format!("policy_service = [{eleven}]"),
        "policy_states = [\"VRFY\"]".to_owned(),
        "policy_states = [\"HELO\"]".to_owned(),
        "policy_service = 25".to_owned(),
    ] {
        assert!(!complaints(&format!("{SMALLEST}[inbound]\n{wrong}\n")).is_empty(), "{wrong}");
    }
    let wrong_times = ["policy_timeout = \"0s\"", "policy_timeout = \"5m\"", "policy_timeout = 100"];
    for wrong in wrong_times {
        assert!(!complaints(&format!("{SMALLEST}[inbound]\n{wrong}\n")).is_empty(), "{wrong}");
    }
    for wrong in
        ["bad_helo = \"maybe\"", "policy_service = \"policy\"", "policy_default_action = \"FILTER smtp:x\""]
    {
        assert!(!complaints(&format!("{SMALLEST}[inbound]\n{wrong}\n")).is_empty(), "{wrong}");
    }
}

#[test]
fn foreign_senders_are_refused_unless_they_are_accepted() {
    let submission = |key: &str| {
        let text = format!("{SMALLEST}[submission]\n{key}\n");
        Settings::parse(&text, Path::new("/")).unwrap().submission
    };
    assert_eq!(submission("").foreign_senders, ForeignSenders::Reject);
    assert_eq!(submission("foreign_senders = \"accept\"").foreign_senders, ForeignSenders::Accept);
    let bad = complaints(&format!("{SMALLEST}[submission]\nforeign_senders = \"maybe\"\n"));
    assert!(bad.len() == 1 && bad[0].contains("foreign_senders"), "{bad:?}");
}

#[test]
fn mechanisms_are_those_that_somebody_can_use() {
    let text = |list: &str| format!("{SMALLEST}[login]\nmechanisms = [{list}]\n");
    let settings = Settings::parse(&text("\"PLAIN\", \"SCRAM-SHA-256\""), Path::new("/")).unwrap();
    assert!(settings.login.mechanisms.is_some());
    for wrong in ["", "\"EXTERNAL\"", "\"SCRAM-SHA-256-PLUS\"", "\"NTLM\""] {
        assert!(!complaints(&text(wrong)).is_empty(), "{wrong}");
    }
    assert!(complaints(&text("\"EXTERNAL\""))[0].contains("client_ca"));
}

#[test]
fn passwords_are_remembered_for_a_while_unless_the_config_says_otherwise() {
    let parse = |keys: &str| Settings::parse(&format!("{SMALLEST}{keys}"), Path::new("/")).unwrap();
    for (keys, seconds) in [
        ("", 600),
        ("[login]\n", 600),
        ("[login]\ncache_ttl = \"1h\"\n", 3_600),
        ("[login]\ncache_ttl = \"0s\"\n", 0),
    ] {
        assert_eq!(parse(keys).login.remember.as_secs(), seconds, "{keys}");
    }
    for wrong in ["\"25h\"", "10", "\"long\"", "true"] {
        let bad = complaints(&format!("{SMALLEST}[login]\ncache_ttl = {wrong}\n"));
        assert!(bad.len() == 1 && bad[0].contains("cache_ttl"), "{bad:?}");
    }
}

#[test]
fn milters_are_read_in_their_order() {
    let text = format!(
        "{SMALLEST}[[milter]]\naddress = \"inet:[::1]:11332\"\n[[milter]]\naddress = \"unix:/run/clamav\"\n\
         for = [\"inbound\"]\ndefault_action = \"accept\"\ncontent_seconds = 60\n"
    );
    let milters = Settings::parse(&text, Path::new("/")).unwrap().milters;
    let first = milter::Settings::new(Place::Inet("::1".to_owned(), 11_332));
    let second = milter::Settings {
        default_action: DefaultAction::Accept,
        content: Duration::from_mins(1),
        ..milter::Settings::new(Place::Unix("/run/clamav".into()))
    };
    assert_eq!((milters.inbound, milters.submission), (vec![first.clone(), second], vec![first]));
    let wrong = [
        "",
        "address = \"nowhere\"",
        "address = \"unix:/x\"\nfor = [\"imap\"]",
        "address = \"unix:/x\"\nfot = []",
    ];
    for lines in wrong {
        assert_eq!(complaints(&format!("{SMALLEST}[[milter]]\n{lines}\n")).len(), 1, "{lines}");
    }
}

#[test]
fn routes_and_smart_hosts_are_read() {
    let text = format!(
        "{SMALLEST}[outbound]\nsmart_host = \"[::1]:2626\"\n[[route]]\ndomain = \"example.net\"\nto = \"smtp:127.0.0.1:26\"\n\
         [[route]]\nsender = \"@example.org\"\nto = \"error:No mail today\"\n"
    );
    let settings = Settings::parse(&text, Path::new("/")).unwrap();
    let [smart_host] = &settings.outbound.smart_hosts[..] else { panic!("one smart host") };
    assert_eq!((smart_host.host.as_str(), smart_host.port), ("::1", 2626));
    assert_eq!(settings.outbound.routes.rules.len(), 2);
    let several = format!(
        "{SMALLEST}[outbound]\nsmart_host = [\"b.example:587\", \"a.example:25\"]\ntls = \"encrypt\"\n"
    );
    let hosts = Settings::parse(&several, Path::new("/")).unwrap().outbound.smart_hosts;
    let hosts: Vec<_> = hosts.iter().map(|host| (host.host.as_str(), host.port, host.tls)).collect();
    assert_eq!(hosts, [("b.example", 587, relay::Level::Encrypt), ("a.example", 25, relay::Level::Encrypt)]);
    let wrong = [
        "[[route]]\ndomain = \"a.example\"\n",
        "[[route]]\ndomain = \"a.example\"\nto = \"lmtp:unix:x\"\n",
        "[[route]]\ndomain = \"a.example\"\nto = \"lmtp:nowhere\"\n",
        "[[route]]\ndomain = \"a.example\"\nto = \"discard\"\nuser = \"ann\"\n",
        "[outbound]\nip = [\"ipv5\"]\n",
        "[outbound]\nip = []\n",
        "[outbound]\nsource = \"everywhere\"\n",
        "[outbound]\nown_addresses = [\"mail.example.org\"]\n",
        "[outbound]\nuser = \"ann\"\n",
        "[outbound]\nsmart_host = \"no port\"\n",
        "[outbound]\nsmart_host = [\"a.example:25\", \"no port\"]\n",
        "[outbound]\nsmart_host = [\"a:1\", \"a:2\", \"a:3\", \"a:4\", \"a:5\", \"a:6\", \"a:7\", \"a:8\", \"a:9\", \"a:10\", \"a:11\"]\n",
    ];
    for text in wrong {
        assert!(!complaints(&format!("{SMALLEST}{text}")).is_empty(), "{text}");
    }
}

/// Where we are found: port 25 of `[listen]`, and what a router translates.
#[test]
fn the_way_out_knows_where_we_listen() {
    let text = format!("{SMALLEST}[outbound]\nown_addresses = [\"203.0.113.7\", \"2001:db8::7\"]\n");
    let settings = Settings::parse(&text, Path::new("/")).unwrap();
    let ourselves = settings.outbound.ourselves;
    assert!(!settings.listen.smtp.is_empty() && ourselves.listening == settings.listen.smtp);
    assert_eq!(ourselves.addresses, ["203.0.113.7", "2001:db8::7"].map(|ip| ip.parse::<IpAddr>().unwrap()));
}

/// Postfix's transport(5) and sender_dependent_relayhost_maps: all their patterns, and none that is none.
#[test]
fn routes_name_addresses_domains_and_all_above_them() {
    use relay::{Match, Recipients, Senders};
    let read = |keys: &str| {
        let text = format!(
            "{SMALLEST}[mailboxes]\nrecipient_delimiter = \"-\"\n[[route]]\n{keys}\nto = \"discard\"\n"
        );
        Settings::parse(&text, Path::new("/")).map(|settings| settings.outbound.routes)
    };
    let domain = |text: &str| Domain::parse(text).unwrap();
    let address = |text: &str| text.parse().unwrap();
    let cases: [(&str, Match); 9] = [
        ("domain = \"A.example\"", Recipients::Domain(domain("a.example")).into()),
        ("domain = \".a.example\"", Recipients::Below(domain("a.example")).into()),
        ("domain = \"*\"", Recipients::All.into()),
        ("recipient = \"Joe@a.example\"", Recipients::Address(address("joe@a.example")).into()),
        ("sender = \"@b.example\"", Senders::Domain(domain("b.example")).into()),
        ("sender = \"b.example\"", Senders::Domain(domain("b.example")).into()),
        ("sender = \"Ann@b.example\"", Senders::Address(address("ann@b.example")).into()),
        ("sender = \"<>\"", Senders::Null.into()),
        (
            "domain = \"*\"\nsender = \"<>\"",
            Match { recipients: Some(Recipients::All), senders: Some(Senders::Null) },
        ),
    ];
    for (keys, expected) in cases {
        let routes = read(keys).unwrap();
        assert_eq!((&routes.rules[0].matches, routes.delimiters.as_str()), (&expected, "-"), "{keys}");
    }
    for wrong in [
        "",
        "domain = \"joe@a.example\"",
        "domain = \"no domain\"",
        "domain = \".\"",
        "domain = \"*.a.example\"",
        "domain = \"a.example\"\nsender = \"no sender\"",
        "recipient = \"a.example\"",
        "recipient = \"joe@a.example\"\ndomain = \"a.example\"",
        "sender = \"\"",
        "sender = \"@\"",
    ] {
        assert_eq!(read(wrong).unwrap_err().len(), 1, "{wrong}");
    }
}

#[test]
fn a_route_that_could_never_act_is_refused() {
    let read = |keys: &str| complaints(&format!("{SMALLEST}[[route]]\n{keys}\nto = \"smtp:127.0.0.1:26\"\n"));
    for idle in
        ["domain = \"example.org\"", "recipient = \"ann@Example.org\"", "domain = \"mail.example.org\""]
    {
        let said = read(idle);
        assert!(said.len() == 1 && said[0].contains("never acts"), "{idle}: {said:?}");
    }
    let acting =
        ["domain = \".example.org\"", "domain = \"*\"", "sender = \"example.org\"", "domain = \"a.example\""];
    for keys in acting {
        assert!(read(keys).is_empty(), "{keys}");
    }
    let passed_on = "[[domain]]\nname = \"a.example\"\nrelay_to = \"mx\"\n";
    let text = format!("{SMALLEST}{passed_on}[[route]]\ndomain = \"a.example\"\nto = \"discard\"\n");
    assert!(complaints(&text).is_empty());
}

#[test]
fn no_login_without_tls_is_promised() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "secret\n").unwrap();
    let login = "user = \"ann\"\npassword_file = \"password\"\n";
    let smart = format!("[outbound]\nsmart_host = \"mx.example.net:25\"\n{login}");
    let route = format!("[[route]]\ndomain = \"*\"\nto = \"smtp:127.0.0.1:25\"\n{login}");
    for keys in [smart, route] {
        let read = |tls: &str| Settings::parse(&format!("{SMALLEST}{keys}{tls}"), folder.path());
        let said = read("tls = \"none\"\n").unwrap_err();
        assert!(said.len() == 1 && said[0].what.contains("in clear"), "{keys}: {said:?}");
        for tls in ["", "tls = \"may\"\n", "tls = \"encrypt\"\n", "tls = \"verify\"\n"] {
            assert!(read(tls).is_ok(), "{keys}{tls}");
        }
        let without_login = keys.replace(login, "tls = \"none\"\n");
        assert!(Settings::parse(&format!("{SMALLEST}{without_login}"), folder.path()).is_ok());
    }
}

/// Postfix's smtp_sasl_mechanism_filter.
#[test]
fn a_login_elsewhere_names_the_mechanisms_that_it_may_use() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "secret\n").unwrap();
    let login = "user = \"ann\"\npassword_file = \"password\"\n";
    let smart = "[outbound]\nsmart_host = \"mx.example.net:25\"\n";
    let route = "[[route]]\ndomain = \"*\"\nto = \"smtp:127.0.0.1:25\"\n";
    let read = |keys: &str| Settings::parse(&format!("{SMALLEST}{keys}"), folder.path());
    let found = |keys: &str| {
        let mut outbound = read(keys).unwrap().outbound;
        let of_route = outbound.routes.rules.pop().map(|rule| match rule.action {
            relay::Action::Host(host) => host.login,
            other => panic!("{other:?}"),
        });
        let login =
            of_route.unwrap_or_else(|| outbound.smart_hosts.into_iter().next().unwrap().login).unwrap();
        login.mechanisms.iter().map(Mechanism::name).collect::<Vec<_>>()
    };
    for keys in [smart, route] {
        let with = |mechanisms: &str| format!("{keys}{login}mechanisms = {mechanisms}\n");
        assert_eq!(found(&with("[\"login\", \"PLAIN\"]")), ["PLAIN", "LOGIN"], "{keys}");
        assert_eq!(found(&format!("{keys}{login}")).len(), 5, "{keys}");
        for wrong in ["[]", "[\"XOAUTH2\"]", "[\"SCRAM-SHA-256-PLUS\"]", "[\"NTLM\"]", "\"PLAIN\""] {
            assert!(read(&with(wrong)).is_err(), "{keys}{wrong}");
        }
        let said = read(&format!("{keys}mechanisms = [\"PLAIN\"]\n")).unwrap_err();
        assert!(said.len() == 1 && said[0].what.contains("add user"), "{said:?}");
    }
}

/// Postfix's smtp_header_checks, which would act behind the signatures.
#[test]
fn no_rules_about_headers_act_behind_the_signatures() {
    let read = |section: &str, key: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules"), "/^X-Secret:/ IGNORE\n").unwrap();
        let text = format!("{SMALLEST}[{section}]\n{key} = \"rules\"\n");
        let settings = Settings::parse(&text, folder.path());
        settings.err().unwrap_or_default().iter().map(Complaint::to_string).collect::<Vec<_>>()
    };
    for key in ["header_checks", "mime_header_checks", "nested_header_checks", "body_checks"] {
        let said = read("outbound", key);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with("line 14: ") && said[0].contains(&format!("[submission] {key}")),
            "{said:?}"
        );
        assert!(read("submission", key).is_empty() && read("inbound", key).is_empty());
    }
}

#[test]
fn alias_tables_are_asked_in_the_order_of_the_file() {
    let text = format!(
        "{SMALLEST}[aliases]\nfile = \"one\"\nfiles = [\"regexp:/etc/two\", \"socketmap:unix:/run/x:three\"]\n\
         system = \"/etc/aliases\"\n[mailboxes]\nrecipient_delimiter = \"-\"\n"
    );
    let settings = Settings::parse(&text, Path::new("/etc/kings-smtp")).unwrap();
    let [TableSource::Plain(one), TableSource::Regexp(two), TableSource::Socketmap(_)] =
        &settings.aliases[..]
    else {
        panic!("{:?}", settings.aliases)
    };
    assert_eq!((one.as_path(), two.as_path()), (Path::new("/etc/kings-smtp/one"), Path::new("/etc/two")));
    assert_eq!(settings.machine.unwrap().origin.as_str(), "example.org");
    assert_eq!(settings.delimiters, "-");
    for wrong in [
        "[aliases]\nfiles = [\"hash:/etc/x\"]\n",
        "[aliases]\nfiles = [\"socketmap:unix:x\"]\n",
        "[local]\norigin = \"elsewhere.example\"\n",
        "[mailboxes]\nrecipient_delimiter = \"@\"\n",
    ] {
        assert!(!complaints(&format!("{SMALLEST}{wrong}")).is_empty(), "{wrong}");
    }
}

#[test]
fn a_relay_domain_without_a_list_is_warned_about() {
    let relay = "[[domain]]\nname = \"behind.example\"\nrelay_to = \"smtp:10.0.0.6:25\"\n";
    let settings = Settings::parse(&format!("{SMALLEST}{relay}"), Path::new("/")).unwrap();
    assert_eq!(
        (settings.domains.len(), settings.relays.len(), settings.outbound.routes.rules.len()),
        (1, 1, 1)
    );
    assert!(settings.warnings[0].what.contains("backscatter"), "{:?}", settings.warnings);
    let listed =
        Settings::parse(&format!("{SMALLEST}{relay}recipients = \"list\"\n"), Path::new("/")).unwrap();
    assert!(listed.warnings.is_empty());
    for wrong in [
        "[[domain]]\nname = \"a.example\"\nrelay_to = \"somewhere\"\n",
        "[[domain]]\nname = \"a.example\"\nrecipients = \"list\"\n",
        "[[domain]]\nname = \"a.example\"\nrelay_to = \"mx\"\ncatch_all = \"ann@example.org\"\n",
        "[[domain]]\nname = \"example.org\"\nrelay_to = \"mx\"\n",
    ] {
        assert!(!complaints(&format!("{SMALLEST}{wrong}")).is_empty(), "{wrong}");
    }
}

#[test]
fn lmtp_routes_and_source_addresses_are_read() {
    let text = SMALLEST.replace("name = \"example.org\"", "name = \"example.org\"\nsource = \"192.0.2.2\"")
        + "[outbound]\nip = [\"ipv6\", \"ipv4\"]\nsource = [\"192.0.2.1\", \"2001:db8::1\"]\n\
           [[route]]\ndomain = \"a.example\"\nto = \"lmtp:unix:/run/dovecot/lmtp\"\n\
           [[route]]\ndomain = \"b.example\"\nto = \"lmtp:127.0.0.1:24\"\nsource = \"192.0.2.3\"\n";
    let outbound = Settings::parse(&text, Path::new("/")).unwrap().outbound;
    assert_eq!(outbound.families, [relay::Family::Ipv6, relay::Family::Ipv4]);
    assert_eq!(outbound.sources.usual.ipv6, Some("2001:db8::1".parse().unwrap()));
    assert_eq!(outbound.sources.by_domain[0].1.ipv4, Some("192.0.2.2".parse().unwrap()));
    assert!(
        matches!(&outbound.routes.rules[0].action, relay::Action::LmtpSocket(path) if path == Path::new("/run/dovecot/lmtp"))
    );
    assert!(matches!(&outbound.routes.rules[1].action, relay::Action::Lmtp(host) if host.port == 24));
    assert_eq!(outbound.routes.rules[1].source.ipv4, Some("192.0.2.3".parse().unwrap()));
}

#[test]
fn broken_toml_names_its_line() {
    let found = complaints("hostname = \"x\ndata_dir = 1\n");
    assert!(found[0].starts_with("line 1: "), "{found:?}");
}

#[test]
fn a_network_of_half_the_world_is_no_network_of_ours() {
    let text = |networks: &str| format!("{SMALLEST}[submission]\nnetworks = {networks}\n");
    for (networks, count) in
        [("[]", 0), ("[\"10.0.0.0/8\", \"fc00::/7\", \"192.0.2.7/32\"]", 3), ("[\"2001:db8::/32\"]", 1)]
    {
        let settings = Settings::parse(&text(networks), Path::new("/etc")).unwrap();
        assert_eq!(settings.submission.networks.len(), count, "{networks}");
    }
    for wrong in ["0.0.0.0/0", "::/0", "128.0.0.0/1", "2000::/3"] {
        let told = complaints(&text(&format!("[\"10.0.0.0/8\", \"{wrong}\"]")));
        assert!(told.len() == 1 && told[0].contains("is no network of your own"), "{wrong}: {told:?}");
    }
    assert_eq!(complaints(&text("[\"printer.example.org\"]")).len(), 1);
}

#[test]
fn a_route_to_mx_hosts_has_a_level_of_tls_and_no_login() {
    let text = |lines: &str| format!("{SMALLEST}[[route]]\ndomain = \"far.example\"\nto = \"mx\"\n{lines}");
    for (lines, expected) in [
        ("", "Mx(None)"),
        ("tls = \"encrypt\"\n", "Mx(Some(Encrypt))"),
        ("tls = \"verify\"\nsource = \"127.0.0.1\"\n", "Mx(Some(Verify))"),
    ] {
        let settings = Settings::parse(&text(lines), Path::new("/etc")).unwrap();
        assert_eq!(format!("{:?}", settings.outbound.routes.rules[0].action), expected);
    }
    let told = complaints(&text("user = \"ann\"\npassword_file = \"/dev/null\"\n"));
    assert!(told.len() == 1 && told[0].contains("no host to log in at"), "{told:?}");
}

#[test]
fn the_queue_section_reads_counts_and_times() {
    let with = |line: &str| {
        Settings::parse(&format!("{SMALLEST}[queue]\n{line}\n"), Path::new("/etc")).unwrap().queue
    };
    let usual = with("");
    assert_eq!(
        (usual.limits, usual.delay_warning),
        (kings_queue::Limits::default(), Some(kings_queue::DELAY_WARNING))
    );
    let cases =
        [("\"90s\"", Some(90)), ("\"30m\"", Some(1_800)), ("\"1d\"", Some(86_400)), ("\"off\"", None)];
    for (value, expected) in cases {
        let found = with(&format!("delay_warning = {value}")).delay_warning;
        assert_eq!(found.map(|time| time.as_secs()), expected, "{value}");
    }
    assert_eq!(with("attempts_per_destination = 3").limits.attempts_per_destination, 3);
    let days = |lifetimes: kings_queue::Lifetimes| {
        [lifetimes.mail, lifetimes.bounces].map(|time| time.as_secs() / 86_400)
    };
    let cases = [
        ("", [5, 5]),
        ("lifetime = \"3d\"", [3, 3]),
        ("lifetime = \"3d\"\nbounce_lifetime = \"1d\"", [3, 1]),
        ("bounce_lifetime = \"24h\"", [5, 1]),
        ("lifetime = \"0s\"\ndelay_warning = \"off\"", [0, 0]),
        ("lifetime = \"0s\"", [0, 0]),
        ("lifetime = \"4h\"", [0, 0]),
    ];
    for (lines, expected) in cases {
        assert_eq!(days(with(lines).lifetimes), expected, "{lines}");
    }
    for wrong in [
        "delay_warning = \"4\"",
        "delay_warning = \"0h\"",
        "delay_warning = \"-1h\"",
        "lifetime = \"off\"",
        "lifetime = 5",
        "bounce_lifetime = \"5\"",
        "lifetime = \"4h\"\ndelay_warning = \"4h\"",
        "attempts = 0",
        "atempts = 1",
    ] {
        assert_eq!(complaints(&format!("{SMALLEST}[queue]\n{wrong}\n")).len(), 1, "{wrong}");
    }
}

#[test]
fn issuers_of_tokens_are_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "hush\n").unwrap();
    let key = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    std::fs::write(folder.path().join("jwks.json"), key).unwrap();
    std::fs::write(folder.path().join("none.json"), "{}").unwrap();
    let parse = |lines: &str| Settings::parse(&format!("{SMALLEST}{lines}\n"), folder.path());
    let first = "[[oauth]]\nissuer = \"https://id.example.org/\"\naudience = [\"kings\"]";
    let second = "[[oauth]]\nissuer = \"https://b.example\"\nintrospection = \"https://b.example/ask\"\nclient_id = \"kings\"\nclient_secret_file = \"secret\"";
    let read = parse(&format!("{first}\n{second}")).unwrap().oauth;
    let discovery =
        kings_fetch::Url::parse("https://id.example.org/.well-known/openid-configuration").unwrap();
    assert!(matches!(&read[0].issuer.proof, Proof::Keys(KeySource::Discovery(url)) if *url == discovery));
    assert_eq!(read[0].issuer.rules.account, ["email"]);
    let Proof::Introspection(introspection) = &read[1].issuer.proof else { panic!("{read:?}") };
    assert_eq!((introspection.client_secret.expose(), introspection.remember.as_secs()), ("hush", 60));
    for good in
        ["keys = \"jwks.json\"", "keys = \"https://c.example/jwks\"", "leeway = \"0s\"", "scope = \"mail\""]
    {
        assert!(parse(&format!("{first}\n{good}")).is_ok(), "{good}");
    }
    for wrong in [
        "[[oauth]]\naudience = [\"kings\"]\nkeys = \"jwks.json\"",
        "[[oauth]]\nissuer = \"https://id.example.org\"",
        "[[oauth]]\nissuer = \"staff\"\naudience = [\"kings\"]",
        &format!("{first}\n{first}"),
        &format!("{first}\nkeys = \"http://id.example.org/jwks\""),
        &format!("{first}\nkeys = \"missing.json\""),
        &format!("{first}\nkeys = \"none.json\""),
        &format!("{first}\nleeway = \"6m\""),
        &format!("{first}\nscope = \"two words\""),
        &format!("{first}\nclient_id = \"kings\""),
        &format!("{first}\nissuers = 1"),
        &format!("{second}\nkeys = \"jwks.json\""),
        &format!("{second}\nremember = \"2h\""),
        &second.replace("\"secret\"", "\"missing\""),
        &second.replace("client_id = \"kings\"\n", ""),
    ] {
        assert_eq!(parse(wrong).err().map(|complaints| complaints.len()), Some(1), "{wrong}");
    }
}

#[test]
fn pop3_has_its_format_its_lock_and_its_delay() {
    let text = |more: &str| format!("{SMALLEST}{more}");
    let usual = Settings::parse(&text(""), Path::new("/")).unwrap();
    assert_eq!(usual.mailboxes.pop3_uidl, "%08Xu%08Xv".parse().unwrap());
    assert_eq!((usual.mailboxes.pop3_lock_session, usual.limits.pop3_login_delay), (false, None));
    let set = "[mailboxes]\npop3_uidl_format = \"%v.%u\"\npop3_lock_session = true\n[limits]\npop3_login_delay = \"1m\"\n";
    let set = Settings::parse(&text(set), Path::new("/")).unwrap();
    assert_eq!(set.mailboxes.pop3_uidl, "%v.%u".parse().unwrap());
    assert_eq!(set.limits.pop3_login_delay, Some(Duration::from_mins(1)));
    assert!(set.mailboxes.pop3_lock_session);
    let none = Settings::parse(&text("[limits]\npop3_login_delay = \"0s\"\n"), Path::new("/")).unwrap();
    assert_eq!(none.limits.pop3_login_delay, None);
    for bad in [
        "[mailboxes]\npop3_uidl_format = \"%v\"\n",
        "[mailboxes]\npop3_uidl_format = \"%m\"\n",
        "[mailboxes]\npop3_lock_session = \"yes\"\n",
        "[limits]\npop3_login_delay = \"2d\"\n",
        "[limits]\npop3_login_delay = 60\n",
    ] {
        assert_eq!(Settings::parse(&text(bad), Path::new("/")).unwrap_err().len(), 1, "{bad}");
    }
}

#[test]
fn who_hears_of_what_goes_wrong_is_read_as_in_postfix() {
    let queue = |lines: &str| {
        let text = format!("{SMALLEST}[queue]\n{lines}\n");
        Settings::parse(&text, Path::new("/")).unwrap().queue.notices
    };
    let to = |text: &str| Some(kings_mail::path::ForwardPath::parse(text).unwrap());
    assert_eq!(queue(""), kings_queue::Notices::default());
    let all =
        queue("notify_classes = [\"2bounce\", \"delay\"]\n2bounce_notice_recipient = \"ops@example.org\"");
    assert_eq!(
        (all.double_bounces, all.bounces, all.delays),
        (to("ops@example.org"), None, to("postmaster"))
    );
    let text = format!(
        "{SMALLEST}[queue]\nnotify_classes = [\"software\", \"policy\"]\nerror_notice_recipient = \"ops@example.org\"\n"
    );
    let alerts = Settings::parse(&text, Path::new("/")).unwrap().house_rules.alerts;
    assert_eq!(format!("{:?}", alerts.of), "{Policy, Software}");
    assert_eq!(Some(alerts.to), to("ops@example.org"));
    for wrong in [
        "notify_classes = [\"data\"]",
        "error_notice_recipient = \"a b\"",
        "notify_classes = \"bounce\"",
        "2bounce_notice_recipient = \"a b\"",
    ] {
        assert!(!complaints(&format!("{SMALLEST}[queue]\n{wrong}\n")).is_empty(), "{wrong}");
    }
}

/// Each at its line, with what to do.
#[test]
fn two_of_a_kind_of_which_one_would_never_act_are_refused() {
    let listening = |keys: &str| changed("smtp = [\"127.0.0.1:0\"]", keys);
    for clash in [
        "smtp = [\"127.0.0.1:2525\"]\nsubmission = [\"127.0.0.1:2525\"]",
        "smtp = [\"0.0.0.0:2525\"]\nimap = [\"127.0.0.1:2525\"]",
        "smtp = [\"127.0.0.1:2525\"]\npop3 = [\"[::]:2525\"]",
        "smtp = [\"[::]:2525\"]\nlmtp = [\"[::1]:2525\"]",
        "submission = []\nsmtp = [\"127.0.0.1:2525\", \"127.0.0.1:2525\"]",
    ] {
        let said = listening(clash);
        assert!(said.len() == 1 && said[0].contains("cannot be had beside"), "{clash}: {said:?}");
        let line = if clash.contains("submission = []") { "line 11: smtp" } else { "line 11: " };
        assert!(said[0].starts_with(line), "{said:?}");
    }
    for fine in [
        "smtp = [\"127.0.0.1:0\", \"0.0.0.0:0\"]",
        "smtp = [\"127.0.0.1:2525\", \"127.0.0.2:2525\", \"[::1]:2525\"]",
        "smtp = [\"0.0.0.0:2525\", \"[::1]:2525\"]\nimap = [\"0.0.0.0:2526\"]",
        "lmtp = [\"unix:/run/a.sock\", \"127.0.0.1:24\"]",
    ] {
        assert!(listening(fine).is_empty(), "{fine}: {:?}", listening(fine));
    }
    let route = |keys: &str| format!("[[route]]\n{keys}\nto = \"discard\"\n");
    let twice =
        |first: &str, second: &str| complaints(&(SMALLEST.to_owned() + &route(first) + &route(second)));
    for (first, second) in [
        ("domain = \"a.example\"", "domain = \"A.example\""),
        ("recipient = \"joe@a.example\"", "recipient = \"Joe@a.example\""),
        ("sender = \"a.example\"", "sender = \"@a.example\""),
    ] {
        let said = twice(first, second);
        assert!(
            said.len() == 1 && said[0].starts_with("line 17: this [[route]] never acts: the one of line 14 "),
            "{said:?}"
        );
    }
    for (first, second) in [
        ("domain = \"a.example\"", "domain = \".a.example\""),
        ("domain = \"a.example\"", "domain = \"a.example\"\nsender = \"b.example\""),
    ] {
        assert!(twice(first, second).is_empty(), "{first} {second}");
    }
    let passed_on = "[[domain]]\nname = \"a.example\"\nrelay_to = \"smtp:127.0.0.1:26\"\n";
    let said = complaints(&format!("{SMALLEST}{passed_on}{}", route("domain = \"a.example\"")));
    assert!(said.len() == 1 && said[0].starts_with("line 17: ") && said[0].contains("relay_to"), "{said:?}");
    let beside = format!("{SMALLEST}{passed_on}{}", route("recipient = \"joe@a.example\""));
    assert!(complaints(&beside).is_empty(), "one recipient may have a way of its own");
}

#[test]
fn what_no_other_server_would_take_is_warned_about() {
    let warnings = |text: String| -> Vec<String> {
        let settings = Settings::parse(&text, Path::new("/etc/kings-smtp")).unwrap();
        settings.warnings.iter().map(Complaint::to_string).collect()
    };
    let said = warnings(SMALLEST.replace("\"mail.example.org\"", "\"mail\""));
    assert!(said.len() == 1 && said[0].starts_with("line 2: hostname mail has no domain"), "{said:?}");
    let said = warnings(format!("{SMALLEST}[outbound]\nsource = [\"127.0.0.1\", \"198.51.100.7\"]\n"));
    assert!(
        said.len() == 1 && said[0].starts_with("line 14: [outbound] source 198.51.100.7 is no address"),
        "{said:?}"
    );
    assert!(warnings(format!("{SMALLEST}[outbound]\nsource = \"127.0.0.1\"\n")).is_empty());
}

#[test]
fn a_table_of_a_type_that_is_not_read_is_refused_by_its_type() {
    let passed_on = |recipients: &str| {
        format!(
            "{SMALLEST}[[domain]]\nname = \"a.example\"\nrelay_to = \"mx\"\nrecipients = \"{recipients}\"\n"
        )
    };
    for (text, line, said_of) in [
        (passed_on("hash:recipients"), 16, "\"hash:recipients\" is not"),
        (passed_on("cidr:/x"), 16, "\"cidr:/x\" is not"),
        (format!("recipient_bcc = \"mysql:/etc/bcc.cf\"{SMALLEST}"), 1, "\"mysql:/etc/bcc.cf\" is not"),
        (format!("{SMALLEST}[submission]\nsender_logins = \"ldap:x\"\n"), 14, "\"ldap:x\" is not"),
        (
            format!("{SMALLEST}[inbound]\nheader_checks = \"texthash:/etc/checks\"\n"),
            14,
            "no table of the type \"texthash\"",
        ),
    ] {
        let said = complaints(&text);
        assert!(said.len() == 1 && said[0].contains(said_of), "{said:?}");
        assert!(said[0].starts_with(&format!("line {line}: ")), "{said:?}");
    }
    for path in ["recipients", "/etc/x:y", "C:recipients", "./regexp:x", "regexp:/x", "pcre:x", "texthash:x"]
    {
        assert!(complaints(&passed_on(path)).is_empty(), "{path}");
    }
}

/// As in main.cf, where their type must stand before them.
#[test]
fn patterns_may_be_named_with_their_type() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("rules"), "/^X-Bad:/ REJECT\n").unwrap();
    for (path, is_read) in [("rules", true), ("regexp:rules", true), ("pcre:rules", true), ("regexp:", false)]
    {
        for key in ["header_checks", "body_checks"] {
            let text = format!("{SMALLEST}[inbound]\n{key} = \"{path}\"\n");
            assert_eq!(Settings::parse(&text, folder.path()).is_ok(), is_read, "{key} {path}");
        }
    }
}

#[test]
fn tables_of_copies_are_read_by_their_type_with_all_their_faults() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("senders"), "ann@example.org boss@example.org\nlonely\n").unwrap();
    fs::write(folder.path().join("patterns"), "/@example\\.net$/ archive@example.org\n/(/ x\n").unwrap();
    let text = |senders: &str, recipients: &str| {
        format!("sender_bcc = {senders}\nrecipient_bcc = {recipients}{SMALLEST}")
    };
    let read = |text: &str| Settings::parse(text, folder.path());
    let faulty = read(&text("\"senders\"", "[\"inline:{a@b.example=c}\", \"regexp:patterns\"]"));
    let told = faulty.unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for fault in ["senders:2: ", "inline:1: ", "patterns:2: "] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    let table = "\"inline:{@example.org=boss@example.org, {ann@example.org = joe@example.org}}\"";
    let copies = read(&text(table, "[\"socketmap:unix:/run/x:bcc\"]")).unwrap().house_rules.copies;
    let targets: Vec<String> = copies.targets().iter().map(ToString::to_string).collect();
    assert_eq!(targets, ["boss@example.org", "joe@example.org"]);
}

/// `transport_maps` and `sender_dependent_relayhost_maps`: what Kings has nothing for is told with its line, and lines that a
/// Postfix needs beside it are no faults.
#[test]
fn tables_of_routes_are_read_with_all_their_faults() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "a.example smtp:[10.0.0.5]:25\nb.example maildrop:\n.c.example lmtp:unix:private/x\nexample.org lmtp:unix:/run/x\n";
    fs::write(folder.path().join("transport"), lines).unwrap();
    fs::write(folder.path().join("patterns"), "/@(.*)$/ smtp:[$1]\n/@x\\.example$/ discard:\n").unwrap();
    let read = |transport: &str, relays: &str| {
        let text = format!("{SMALLEST}[outbound]\ntransport = {transport}\nsender_relayhost = {relays}\n");
        Settings::parse(&text, folder.path())
    };
    let relays = "\"inline:{@example.org=[hub.example]:587, <>=smtp:[x]}\"";
    let faulty = read("[\"texthash:transport\", \"pcre:patterns\"]", relays).unwrap_err();
    let told = faulty.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for fault in ["transport:2: ", "transport:3: ", "patterns:1: ", "no $1 here", "inline:2: "] {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    assert!(!told.contains("transport:1:") && !told.contains("patterns:2:"), "{told}");
    let table = "\"inline:{a.example=smtp:, ann@example.org=:, .org=smtp:, .example.org=smtp:, example.org=virtual:}\"";
    let settings = read(table, "[\"socketmap:unix:/run/x:relays\"]").unwrap();
    let mut warned: Vec<&str> = settings.warnings.iter().map(|warning| warning.what.as_str()).collect();
    warned.sort_unstable();
    assert_eq!(warned.len(), 3, "{warned:?}");
    let expected =
        [".org does not act for example.org", "ann@example.org never acts", "example.org never acts"];
    for (warned, expected) in warned.iter().zip(expected) {
        assert!(warned.contains(expected), "{warned}");
    }
}

/// As postmap(1) has it; an explicit `:` is a line like any other.
#[test]
fn lines_of_routes_without_a_right_side_are_warned_of_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("transport"), "a.example\nb.example :\n* smtp:[hub.example]\n").unwrap();
    fs::write(folder.path().join("relays"), "@a.example\n@b.example DUNNO\n").unwrap();
    let read = |transport: &str| {
        let text =
            format!("{SMALLEST}[outbound]\ntransport = \"{transport}\"\nsender_relayhost = \"relays\"\n");
        Settings::parse(&text, folder.path())
    };
    let settings = read("transport").unwrap();
    let warned: Vec<&str> = settings.warnings.iter().map(|warning| warning.what.as_str()).collect();
    assert_eq!(warned.len(), 2, "{warned:?}");
    assert!(warned[0].contains("transport:1: ") && warned[1].contains("relays:1: "), "{warned:?}");
    assert!(warned.iter().all(|warning| warning.contains("passed over")), "{warned:?}");
    fs::write(folder.path().join("transport"), "/x/\n/y/ :\n").unwrap();
    let faulty = read("regexp:transport").unwrap_err();
    assert!(faulty.len() == 1 && faulty[0].to_string().contains("transport:1: "), "{faulty:?}");
}

#[test]
fn an_address_that_answers_with_a_score_is_at_a_domain_of_ours() {
    let with = |line: &str| complaints(&format!("{SMALLEST}[score]\n{line}\n"));
    assert_eq!(with("answer = [\"score@example.org\"]"), [""; 0]);
    assert!(with("answer = [\"score@example.net\"]")[0].contains("at no [[domain]]"));
    assert!(with("answer = [\"score\"]")[0].contains("score@example.org"));
    let settings = Settings::parse(SMALLEST, Path::new("/")).unwrap();
    assert!(settings.score_addresses.is_empty(), "off unless it is named");
}
