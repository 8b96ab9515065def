//! Whole files, their mistakes, and what has no effect.
#![allow(clippy::unwrap_used, reason = "tests")]
use kings_msgauth::dkim::Cover;

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

/// A real one starts with such names, finds no field by them, and writes each of OversignHeaders into its signatures as it
/// is: `h=From:To:From:X Y` is none that anybody can verify.
#[test]
fn names_that_no_field_has_are_told_and_those_that_would_break_signatures_refused() {
    let with = |line: &str| read(&format!("Mode v\n{line}\n"));
    for (line, said) in [
        (
            "OversignHeaders From,X Y",
            "line 2: OversignHeaders: \"X Y\" is no name of a field: it has a space in it",
        ),
        ("OversignHeaders csl:From:To", "\"From:To\" is no name of a field: it has a colon"),
        ("OversignHeaders From;To", "\"From;To\" is no name of a field: write names such as"),
        ("OversignHeaders From,S\u{fc}bject", "is no name of a field: write names such as"),
        ("OversignHeaders X-*", "\"X-*\" is no name of a field: patterns are not read"),
    ] {
        let found = with(line).unwrap_err();
        assert!(found.len() == 1 && found[0].contains(said), "{line}: {found:?}");
    }
    for (line, said) in [
        ("SignHeaders From,X Y", "line 2: SignHeaders: no field is meant by \"X Y\": it has a space in it"),
        ("SignHeaders *,+X-*", "no field is meant by \"+X-*\": patterns are not read: write each name"),
        ("SignHeaders csl:From,To:", "no field is meant by \"To:\": it has a colon"),
        ("OmitHeaders *,-B\u{fc}c", "OmitHeaders: no field is meant by \"-B\u{fc}c\": write names such as"),
        ("OversignHeaders From,+To", "OpenDKIM takes \"+To\" for the whole name of a field"),
        ("OversignHeaders *,From", "OpenDKIM takes \"*\" for the name of a field here"),
    ] {
        let found = with(line).unwrap().warnings;
        assert!(found.len() == 1 && found[0].contains(said), "{line}: {found:?}");
    }
    for line in [
        "SignHeaders *,+X-Y,-To",
        "OmitHeaders .",
        "OversignHeaders From,Reply-To",
        "SignHeaders From,List-Id",
    ] {
        assert!(with(line).unwrap().warnings.is_empty(), "{line}");
    }
    let names = with("SignHeaders From,X Y,Subject").unwrap().rules.names;
    assert_eq!(names, [("from".to_owned(), Cover::Present), ("subject".to_owned(), Cover::Present)]);
}

/// OpenDKIM 2.11 starts with them and means nobody.
#[test]
fn hosts_that_nobody_is_are_told_with_their_place_and_what_to_write() {
    for (line, said) in [
        (
            "InternalHosts 300.0.0.0/8",
            "line 2: InternalHosts: no client is meant by \"300.0.0.0/8\", as with OpenDKIM: write",
        ),
        ("PeerList 10.0.0.0/33", "line 2: PeerList: no client is meant by \"10.0.0.0/33\""),
        ("ExternalIgnoreList 10.0.0.1/8", "write 10.0.0.0/8"),
    ] {
        let found = read(&format!("Mode v\n{line}\n")).unwrap().warnings;
        assert!(found.len() == 1 && found[0].contains(said), "{line}: {found:?}");
    }
    for line in ["InternalHosts 10.0.0.0/8,!10.0.0.1,.example.org,::1", "InternalHosts refile:FOLDER/hosts"] {
        assert!(read(&format!("Mode v\n{line}\n")).unwrap().warnings.is_empty(), "{line}");
    }
}
