//! Whole files, their mistakes, and what has no effect.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

fn read(text: &str) -> Result<OpenDkim, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opendkim.conf");
    fs::write(folder.path().join("hosts"), "10.0.0.0/8\n!10.0.0.1 # not this one\n").unwrap();
    fs::write(&path, text.replace("FOLDER", &folder.path().display().to_string())).unwrap();
    load(&path)
}

#[test]
fn the_usual_file_is_read_as_it_is() {
    let text = "# Debian's\nSyslog\tyes\nUMask 007\nUserID opendkim:postfix\nSocket local:/run/opendkim/opendkim.sock\n\
                Mode sv\nCanonicalization relaxed/simple\nOversignHeaders From\nSelector 2026\nDomain example.org,example.net\n\
                KeyFile /etc/dkimkeys/2026.private\nInternalHosts refile:FOLDER/hosts\nExternalIgnoreList FOLDER/hosts\n\
                On-Default accept\nOn-BadSignature reject\nAuthservID mail.example.org\nMTA MSA\nMacroList daemon_name|a|b\n\
                SubDomains no\nTrustAnchorFile /usr/share/dns/root.key\nNameservers 127.0.0.1,[::1]:5353\n";
    let read = read(text).unwrap();
    assert_eq!((read.user.as_deref(), read.group.as_deref()), (Some("opendkim"), Some("postfix")));
    assert_eq!((read.umask, read.mode), (0o007, Mode::Both));
    assert_eq!(read.rules.header_form, Canonicalization::Relaxed);
    assert_eq!(read.rules.body_form, Canonicalization::Simple);
    assert_eq!(read.rules.names[0], ("from".to_owned(), Cover::OneMore));
    assert!(read.internal.contains("10.9.9.9".parse().unwrap(), None));
    assert!(!read.internal.contains("10.0.0.1".parse().unwrap(), None));
    assert!(!read.internal.contains("127.0.0.1".parse().unwrap(), None));
    assert_eq!((read.handling.bad_signature, read.handling.dns_error), (Action::Reject, Action::Accept));
    assert_eq!(read.authserv_id, AuthservId::Named(Domain::parse("mail.example.org").unwrap()));
    assert_eq!(read.marks.len(), 2);
    assert_eq!(read.dns.servers.len(), 2);
    assert!(matches!(read.keys, Keys::One(OneKey { domains, .. }) if domains.len() == 2));
    let said = read.warnings.join("\n");
    assert_eq!(read.warnings.len(), 2, "{said}");
    for expected in [
        "line 20: TrustAnchorFile has no effect here: the resolver",
        "line 2: Syslog has no effect here: it logs",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
}

#[test]
fn nothing_said_is_what_opendkim_does_then() {
    let read = read("Socket inet:8891@localhost\n").unwrap();
    assert_eq!(read.mode, Mode::Both);
    assert_eq!(read.rules.body_form, Canonicalization::Simple);
    assert!(read.internal.contains("127.0.0.1".parse().unwrap(), None));
    assert_eq!(read.handling, Handling::default());
    assert_eq!(read.warnings, ["there is no key: mail is verified, and none is signed"]);
}

#[test]
fn relative_paths_begin_at_the_base_directory_and_later_lines_win() {
    let text = "Mode v\nPidFile pid\nMode s\nBaseDirectory /nowhere\nKeyFile a.private\nDomain example.org\nSelector a\n\
                MacroList csl:daemon_name=a|b,x\n";
    let read = read(text).unwrap();
    assert_eq!((read.mode, read.pid_file), (Mode::Sign, Some(PathBuf::from("/nowhere/pid"))));
    assert!(matches!(read.keys, Keys::One(OneKey { file, .. }) if file == Path::new("/nowhere/a.private")));
    let mark = |name: &str, values: &[&str]| Mark {
        name: name.to_owned(),
        values: values.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(read.marks, [mark("daemon_name", &["a", "b"]), mark("x", &[])]);
}

#[test]
fn files_within_files_end_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("opendkim.conf");
    fs::write(folder.path().join("more.conf"), "UMask 077\n").unwrap();
    fs::write(&path, b"Mode v\nInclude more.conf\n# caf\xe9\n").unwrap();
    assert_eq!(load(&path).unwrap().umask, 0o077);
    fs::write(&path, "Mode v\nInclude opendkim.conf\n").unwrap();
    assert!(load(&path).unwrap_err().join("\n").contains("included too deep"));
}

#[test]
fn every_mistake_is_named_at_once() {
    let mistakes = read(
        "Mode x\nDomain example.org\nOn-BadSignature maybe\nUMask 9\nInternalHosts refile:/nowhere\nPeerList 1.2.3\n\
         ExternalIgnoreList ldap://x\nNameservers here\nSyslog\nSignatureAlgorithm rsa-sha1\nCanonicalization loose\n",
    );
    let mistakes = mistakes.unwrap_err().join("\n");
    for expected in [
        "line 1: Mode",
        "to sign, set",
        "line 3: On-BadSignature",
        "line 4: UMask",
        "/nowhere",
        "ldap is not read",
        "\"here\"",
        "Syslog has no value",
        "rsa-sha1",
        "Canonicalization",
    ] {
        assert!(mistakes.contains(expected), "{expected}: {mistakes}");
    }
}
