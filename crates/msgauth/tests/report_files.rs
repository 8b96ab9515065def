//! Reports: written, read again, packed, and what hostile ones cost.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use kings_mail::address::Address;
use kings_msgauth::dmarc::{Alignment, Policy};
use kings_msgauth::reports::aggregate::{
    BadReport, Disposition, DkimResult, FileName, MAX_ALL_VALUES, MAX_COUNT, MAX_DEPTH, MAX_ROWS, MAX_VALUES,
    Metadata, Override, PublishedPolicy, Report, Row, SpfResult, subject,
};
use kings_msgauth::reports::archive::{BadArchive, gzip, unpack};
use kings_msgauth::reports::tls;
use proptest::prelude::*;

fn report() -> Report {
    Report {
        metadata: Metadata {
            org_name: "Receiver <&> Sons".to_owned(),
            email: "reports@receiver.example".to_owned(),
            extra_contact_info: None,
            report_id: "2026.1@receiver.example".to_owned(),
            begin: 1_764_115_200,
            end: 1_764_201_599,
            error: Some("two records".to_owned()),
        },
        policy: PublishedPolicy {
            domain: "example.com".to_owned(),
            discovery_method: Some("treewalk".to_owned()),
            adkim: Alignment::Strict,
            aspf: Alignment::Relaxed,
            policy: Policy::Reject,
            subdomains: Policy::Quarantine,
            nonexistent: Some(Policy::Reject),
            testing: true,
            failure_options: Some("1:d".to_owned()),
        },
        rows: vec![
            Row {
                source: Some("192.0.2.1".parse().unwrap()),
                count: 12,
                disposition: Disposition::Pass,
                dkim_aligned: true,
                spf_aligned: false,
                overrides: vec![Override {
                    kind: "mailing_list".to_owned(),
                    comment: Some("known".to_owned()),
                }],
                header_from: "example.com".to_owned(),
                envelope_from: Some(String::new()),
                envelope_to: Some("receiver.example".to_owned()),
                dkim: vec![DkimResult {
                    domain: "example.com".to_owned(),
                    selector: "s1".to_owned(),
                    result: "pass".to_owned(),
                    human_result: None,
                }],
                spf: vec![SpfResult {
                    domain: "bounce.example".to_owned(),
                    scope: Some("mfrom".to_owned()),
                    result: "fail".to_owned(),
                    human_result: Some("not permitted".to_owned()),
                }],
            },
            Row {
                source: Some("2001:db8::1".parse().unwrap()),
                count: 1,
                disposition: Disposition::Reject,
                header_from: "sub.example.com".to_owned(),
                ..Row::default()
            },
        ],
    }
}

#[test]
fn a_report_reads_back_as_it_was_written() {
    let report = report();
    let xml = report.to_xml();
    assert!(xml.starts_with(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n"
    ));
    assert!(xml.contains("<org_name>Receiver &lt;&amp;&gt; Sons</org_name>"));
    assert_eq!(Report::from_xml(xml.as_bytes()), Ok(report.clone()));
    let packed = gzip(xml.as_bytes());
    assert_eq!(packed, gzip(xml.as_bytes()));
    assert_eq!(Report::from_xml(&unpack(&packed, xml.len()).unwrap()), Ok(report));
}

/// RFC 7489 appendix C, as many still send it: another namespace, `pct`, no `testing`, odd values.
#[test]
fn reports_of_older_writers_are_read() {
    let xml = "\u{feff}<?xml version='1.0'?>\n<!-- x --><f:feedback xmlns:f='http://dmarc.org/dmarc-xml/0.1'>\
        <f:version>1.0</f:version><report_metadata><org_name>Old</org_name><report_id>7</report_id>\
        <date_range><begin> 1.5 </begin><end>x</end></date_range><unknown><org_name>no</org_name></unknown></report_metadata>\
        <policy_published><domain>example.com</domain><p>REJECT</p><pct>100</pct></policy_published>\
        <record><row><source_ip>not an address</source_ip><count> 5 </count><policy_evaluated><disposition>none</disposition>\
        <dkim>Pass</dkim></policy_evaluated></row><identifiers><header_from><![CDATA[ex<ample]]>.com &#x41;&amp;&what;</header_from>\
        </identifiers><auth_results><spf/><dkim><domain>a</domain></dkim></auth_results></record></f:feedback>";
    let report = Report::from_xml(xml.as_bytes()).unwrap();
    assert_eq!(
        (report.metadata.org_name.as_str(), report.metadata.begin, report.metadata.end),
        ("Old", 1, 0)
    );
    assert_eq!((report.policy.policy, report.policy.subdomains), (Policy::Reject, Policy::Reject));
    let row = &report.rows[0];
    assert_eq!((row.source, row.count, row.dkim_aligned, row.spf_aligned), (None, 5, true, false));
    assert_eq!(row.header_from, "ex<ample.com A&");
    assert_eq!((row.spf.len(), row.dkim[0].domain.as_str()), (1, "a"));
}

#[test]
fn what_is_no_report_is_told_by_its_fault() {
    let cases = [
        ("", BadReport::Missing("org_name")),
        ("what", BadReport::Missing("org_name")),
        ("<feedback></feedback>", BadReport::Missing("org_name")),
        ("<!DOCTYPE x [<!ENTITY a \"aaaa\">]><feedback/>", BadReport::DocType),
    ];
    for (xml, expected) in cases {
        assert_eq!(Report::from_xml(xml.as_bytes()), Err(expected), "{xml}");
    }
    assert!(matches!(Report::from_xml(b"<a></b>"), Err(BadReport::Xml(_))));
    assert_eq!(Report::from_xml("<a>".repeat(MAX_DEPTH + 1).as_bytes()), Err(BadReport::TooDeep));
}

/// A count that is none, or that nobody has ever sent, is neither none nor the most there are: the report says nothing.
#[test]
fn a_count_of_messages_is_a_number_that_there_can_be() {
    let with = |count: &str| {
        let xml = report().to_xml();
        let (before, rest) = xml.split_once("<count>").unwrap();
        let (_, behind) = rest.split_once("</count>").unwrap();
        Report::from_xml(format!("{before}<count>{count}</count>{behind}").as_bytes())
    };
    let largest = MAX_COUNT.to_string();
    for (text, expected) in [("0", 0), ("1", 1), (" 12 \n", 12), ("007", 7), (largest.as_str(), MAX_COUNT)] {
        assert_eq!(with(text).unwrap().rows[0].count, expected, "{text}");
    }
    let (more, endless) = ((MAX_COUNT + 1).to_string(), format!("1{}", "0".repeat(30)));
    for text in [more.as_str(), endless.as_str(), "18446744073709551616", "-1", "1.5", "many", "", "1e3"] {
        assert_eq!(with(text), Err(BadReport::Count(text.to_owned())), "{text}");
    }
    let long = with(&"9".repeat(1_000)).unwrap_err().to_string();
    assert_eq!(long, format!("a record counts \"{}\" messages", "9".repeat(40)));
    // Where there is none at all nobody is misled.
    let xml = report().to_xml().replace("<count>", "<counted>").replace("</count>", "</counted>");
    assert_eq!(Report::from_xml(xml.as_bytes()).unwrap().rows[0].count, 0);
}

/// XML may come in UTF-16, as programs of Windows write it.
#[test]
fn a_report_in_utf_16_is_read_as_any_other() {
    let plain = report();
    let units: Vec<u16> = plain.to_xml().replace("UTF-8", "UTF-16").encode_utf16().collect();
    for (mark, octets) in [
        (0xfeff_u16.to_le_bytes(), u16::to_le_bytes as fn(u16) -> [u8; 2]),
        (0xfeff_u16.to_be_bytes(), u16::to_be_bytes),
    ] {
        let body: Vec<u8> = units.iter().flat_map(|unit| octets(*unit)).collect();
        let marked = [&mark[..], &body].concat();
        for file in [&body, &marked] {
            assert_eq!(Report::from_xml(file).as_ref(), Ok(&plain));
        }
    }
}

#[test]
fn a_hostile_report_is_bounded() {
    let signatures = "<dkim><domain>x</domain></dkim>".repeat(10_000);
    let xml = report().to_xml().replace("<auth_results>\n", &format!("<auth_results>{signatures}"));
    let read = Report::from_xml(xml.as_bytes()).unwrap();
    assert_eq!(read.rows[0].dkim.len(), MAX_VALUES);
    let crowd = "<feedback>".to_owned()
        + &format!("<record><auth_results>{}</auth_results></record>", "<spf/>".repeat(100))
            .repeat(MAX_ALL_VALUES / 100 + 1);
    assert_eq!(Report::from_xml(crowd.as_bytes()), Err(BadReport::TooManyValues));
    let rows = "<feedback>".to_owned() + &"<record/>".repeat(MAX_ROWS + 1);
    assert_eq!(Report::from_xml(rows.as_bytes()), Err(BadReport::TooManyRows));
    let long = report().to_xml().replace("two records", &"x".repeat(1_000_000));
    assert_eq!(Report::from_xml(long.as_bytes()).unwrap().metadata.error.unwrap().len(), 1_024);
}

#[test]
fn archives_are_unpacked_to_a_limit() {
    let bomb = gzip(&vec![b' '; 10_000_000]);
    assert!(bomb.len() < 20_000);
    assert_eq!(unpack(&bomb, 1_000_000), Err(BadArchive::TooLarge));
    assert_eq!(unpack(b"<xml/>", 6), Ok(b"<xml/>".to_vec()));
    assert_eq!(unpack(b"<xml/>", 5), Err(BadArchive::TooLarge));
    let packed = gzip(b"content");
    assert_eq!(unpack(&packed, 7), Ok(b"content".to_vec()));
    assert_eq!(unpack(&packed[..packed.len() - 5], 100), Err(BadArchive::Damaged));
    // A second member belongs to the content (RFC 1952 §2.2).
    let mut second = GzEncoder::new(packed, Compression::fast());
    second.write_all(b" goes on").unwrap();
    assert_eq!(unpack(&second.finish().unwrap(), 100), Ok(b"content goes on".to_vec()));
}

/// A zip file of one entry, as far as its local header.
fn zip(method: u16, flags: u16, size: u32, data: &[u8]) -> Vec<u8> {
    let mut out = b"PK\x03\x04\x14\0".to_vec();
    out.extend(flags.to_le_bytes());
    out.extend(method.to_le_bytes());
    out.extend([0; 8]);
    out.extend(size.to_le_bytes());
    out.extend(7_u32.to_le_bytes());
    out.extend(5_u16.to_le_bytes());
    out.extend(2_u16.to_le_bytes());
    out.extend(b"a.xml\0\0");
    out.extend(data);
    out
}

#[test]
fn the_first_file_of_a_zip_is_read() {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"content").unwrap();
    let deflated = encoder.finish().unwrap();
    let size = u32::try_from(deflated.len()).unwrap();
    let trailer = [deflated.as_slice(), b"PK\x01\x02rest"].concat();
    let cases = [
        (zip(8, 0, size, &deflated), Ok(b"content".to_vec())),
        (zip(8, 8, 0, &trailer), Ok(b"content".to_vec())),
        (zip(0, 0, 7, b"contentPK"), Ok(b"content".to_vec())),
        (zip(0, 0, 70, b"content"), Err(BadArchive::Damaged)),
        (zip(0, 8, 0, b"content"), Err(BadArchive::Unsupported)),
        (zip(8, 1, size, &deflated), Err(BadArchive::Unsupported)),
        (zip(12, 0, size, &deflated), Err(BadArchive::Unsupported)),
        (zip(8, 0, size, b"\xff\xff\xff"), Err(BadArchive::Damaged)),
        (b"PK\x03\x04".to_vec(), Err(BadArchive::Damaged)),
    ];
    for (archive, expected) in cases {
        assert_eq!(unpack(&archive, 100), expected, "{archive:?}");
    }
}

#[test]
fn subjects_and_file_names_are_those_of_the_rfc() {
    assert_eq!(
        subject("example.com", "mail.receiver.example", "1@x"),
        "Report Domain: example.com Submitter: mail.receiver.example Report-ID: <1@x>"
    );
    for text in [
        "mail.receiver.example!example.com!1013662812!1013749130.xml.gz",
        "a!b!1!2!x7.json.gz",
        "a!b!1!2.zip",
    ] {
        assert_eq!(FileName::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(FileName::parse("../../a!b!1!2.xml").unwrap().receiver, "a");
    for text in ["", "a.xml", "a!b!1.xml", "a!b!x!2.xml", "!b!1!2.xml", "a!b!1!2!3!4.xml", "a!b!1!2.exe"] {
        assert_eq!(FileName::parse(text), None, "{text}");
    }
}

fn tls_report() -> tls::Report {
    tls::Report {
        organization_name: "Company-X".to_owned(),
        date_range: tls::DateRange::new(1_459_468_800, 1_459_555_199),
        contact_info: "sts-reporting@company-x.example".to_owned(),
        report_id: "5065427c-23d3-47ca-b6e0-946ea0e8c4be".to_owned(),
        policies: vec![tls::Policy {
            policy: tls::AppliedPolicy {
                policy_type: "sts".to_owned(),
                policy_string: vec!["version: STSv1".to_owned(), "mode: testing".to_owned()],
                policy_domain: "company-y.example".to_owned(),
                mx_host: vec!["*.mail.company-y.example".to_owned()],
            },
            summary: tls::Summary { total_successful_session_count: 5_326, total_failure_session_count: 303 },
            failure_details: vec![tls::Failure {
                result_type: "certificate-expired".to_owned(),
                sending_mta_ip: Some("2001:db8:abcd:0012::1".to_owned()),
                receiving_mx_hostname: Some("mx1.mail.company-y.example".to_owned()),
                failed_session_count: 100,
                ..tls::Failure::default()
            }],
        }],
    }
}

#[test]
fn a_tls_report_reads_back_as_it_was_written() {
    let report = tls_report();
    let json = report.to_json();
    for key in [
        "\"organization-name\": \"Company-X\"",
        "\"total-successful-session-count\": 5326",
        "\"result-type\": \"certificate-expired\"",
    ] {
        assert!(json.contains(key), "{json}");
    }
    assert_eq!(tls::Report::from_json(json.as_bytes()), Ok(report.clone()));
    assert_eq!(report.date_range.unix(), Some((1_459_468_800, 1_459_555_199)));
    // Some write one string where a list belongs, and members nobody knows.
    let odd =
        json.replace("[\n          \"*.mail.company-y.example\"\n        ]", "\"*.mail.company-y.example\"");
    assert_ne!(odd, json);
    assert_eq!(tls::Report::from_json(odd.replacen('{', "{\"new\": [1],", 1).as_bytes()), Ok(report));
}

#[test]
fn what_is_no_tls_report_is_refused_and_a_large_one_is_cut() {
    for text in ["", "{}", "[]", "null", "{\"organization-name\": 1}"] {
        assert!(tls::Report::from_json(text.as_bytes()).is_err(), "{text}");
    }
    assert!(tls::Report::from_json("[".repeat(100_000).as_bytes()).is_err());
    let mut report = tls_report();
    report.policies = vec![report.policies[0].clone(); tls::MAX_ENTRIES + 1];
    assert_eq!(tls::Report::from_json(report.to_json().as_bytes()).unwrap().policies.len(), tls::MAX_ENTRIES);
}

/// RFC 8460 §3.
#[test]
fn a_domain_says_where_its_tls_reports_go() {
    let mail = |text: &str| tls::Destination::Mail(Address::parse(text).unwrap());
    let https = |text: &str| tls::Destination::Https(text.to_owned());
    let cases: [(&[&str], Vec<tls::Destination>); 7] = [
        (&["v=TLSRPTv1;rua=mailto:reports@example.com"], vec![mail("reports@example.com")]),
        (
            &["v=TLSRPTv1; rua=https://r.example/v1 , mailto:a@example.com"],
            vec![https("https://r.example/v1"), mail("a@example.com")],
        ),
        (&["v=spf1 -all", "v=TLSRPTv1; x=y; rua=mailto:a@example.com;"], vec![mail("a@example.com")]),
        (&["v=TLSRPTv1; rua=mailto:a@example.com", "v=TLSRPTv1; rua=mailto:b@example.com"], vec![]),
        (&["v=TLSRPTv1; rua=http://r.example/,ftp://x,https://,a@b.example"], vec![]),
        (&["v=TLSRPTv2; rua=mailto:a@example.com"], vec![]),
        (&["v=TLSRPTv1"], vec![]),
    ];
    for (records, expected) in cases {
        let records: Vec<Vec<u8>> = records.iter().map(|text| text.as_bytes().to_vec()).collect();
        assert_eq!(tls::destinations(&records), expected, "{records:?}");
    }
}

proptest! {
    /// Any text survives the way there and back, but for characters that XML cannot hold and white space at its ends.
    #[test]
    fn any_text_survives_in_xml(text in "[^\\x00-\\x1f\u{fffe}\u{ffff}]{1,200}") {
        let mut report = report();
        let text = format!("x{text}x");
        report.metadata.org_name.clone_from(&text);
        report.rows[0].dkim[0].human_result = Some(text);
        prop_assert_eq!(Report::from_xml(report.to_xml().as_bytes()), Ok(report));
    }

    #[test]
    fn octets_never_hurt(octets in proptest::collection::vec(any::<u8>(), 0..300), mark in 0_usize..4) {
        let marks: [&[u8]; 4] = [b"", b"\x1f\x8b\x08\0", b"PK\x03\x04\x14\0\0\0\x08\0", b"<feedback><record>"];
        let content = [marks[mark], &octets].concat();
        if let Ok(plain) = unpack(&content, 10_000) {
            prop_assert!(plain.len() <= 10_000);
            let _ = Report::from_xml(&plain);
            let _ = tls::Report::from_json(&plain);
        }
    }
}
