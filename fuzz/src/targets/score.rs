//! The target for the rules about content.

use kings_score::content::{FULL, MAX_FACT, judge};

/// Whatever comes is judged, by each rule once, with facts of one line and bounded length; line ends of a file change nothing.
pub fn content_rules(data: &[u8]) {
    let content = judge(data, 1_795_870_800);
    assert!(content.tenths() <= FULL);
    for (at, finding) in content.findings.iter().enumerate() {
        assert!(content.findings[..at].iter().all(|other| other.rule.id != finding.rule.id));
        assert!(!finding.fact.contains(['\r', '\n']) && finding.fact.chars().count() <= MAX_FACT + 1);
    }
    if data.contains(&b'\r') || data.contains(&0) {
        return;
    }
    // A file whose lines all end in LF is the same message as with CRLF.
    let crlf: Vec<u8> = data
        .iter()
        .flat_map(|&octet| if octet == b'\n' { vec![b'\r', b'\n'] } else { vec![octet] })
        .collect();
    let names = |content: &kings_score::content::Content| -> Vec<&str> {
        content.findings.iter().map(|finding| finding.rule.id).collect()
    };
    assert_eq!(names(&judge(&crlf, 1_795_870_800)), names(&content));
}
