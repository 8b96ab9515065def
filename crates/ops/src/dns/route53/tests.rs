//! What is asked of the service, and what its answers mean.

#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;

fn zone(id: &str, name: &str) -> Hosted {
    Hosted { id: id.to_owned(), name: DnsName::parse(name).unwrap() }
}

#[test]
fn a_time_is_written_as_amazon_has_it() {
    for (seconds, expected) in [
        (0, "19700101T000000Z"),
        (951_782_399, "20000228T235959Z"),
        (951_782_400, "20000229T000000Z"),
        (1_440_938_160, "20150830T123600Z"),
    ] {
        assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
    }
}

#[test]
fn the_longest_public_zone_counts_and_two_of_one_name_are_doubt() {
    let text = "<HostedZone><Id>/hostedzone/Z1</Id><Name>example.org.</Name><Config><PrivateZone>false</PrivateZone></Config></HostedZone>\
                <HostedZone><Id>/hostedzone/Z2</Id><Name>mail.example.org.</Name></HostedZone>\
                <HostedZone><Id>/hostedzone/Z3</Id><Name>a.mail.example.org.</Name><PrivateZone>true</PrivateZone></HostedZone>\
                <HostedZone><Id>/hostedzone/../Z4</Id><Name>b.mail.example.org.</Name></HostedZone><HostedZone><Id>";
    let zones = hosted(text);
    assert_eq!(zones, [zone("Z1", "example.org"), zone("Z2", "mail.example.org")]);
    let of = |zones: &[Hosted], name: &str| longest(zones, &DnsName::parse(name).unwrap());
    assert_eq!(of(&zones, "a.mail.example.org").unwrap().id, "Z2");
    assert_eq!(of(&zones, "notmail.example.org").unwrap().id, "Z1");
    assert!(matches!(of(&zones, "badexample.org"), Err(ProviderError::NotOurs(_))));
    let twins = [zone("Z1", "example.org"), zone("Z9", "example.org"), zone("Z2", "mail.example.org")];
    assert!(
        matches!(of(&twins, "example.org"), Err(ProviderError::Refused(text)) if text.contains("zone = "))
    );
    assert_eq!(of(&twins, "mail.example.org").unwrap().id, "Z2");
}

#[test]
fn pauses_grow_and_differ() {
    assert_eq!(pause(1, 1.0), PAUSE);
    assert_eq!(pause(1, 0.0), PAUSE / 2);
    assert_eq!(pause(4, 1.0), PAUSE * 8);
}

#[test]
fn complaints_of_the_service_are_told_apart() {
    let response = |status| Response {
        status,
        content_type: None,
        max_age: None,
        fields: Vec::new(),
        body: Vec::new(),
        location: None,
    };
    let word = |error: &ProviderError| match error {
        ProviderError::Clock(_) => "clock",
        ProviderError::Refused(_) => "refused",
        ProviderError::Temporary(_) => "temporary",
        ProviderError::Changed(_) => "changed",
        ProviderError::Impossible(_) => "impossible",
        ProviderError::NotOurs(_) => "not ours",
    };
    let cases = [
        (403, "SignatureDoesNotMatch", "Signature expired: 2026 is now earlier than", "clock", false),
        (403, "SignatureDoesNotMatch", "The request signature we calculated", "refused", false),
        (403, "AccessDenied", "User is not authorized", "refused", false),
        (400, "Throttling", "Rate exceeded", "temporary", true),
        (400, "PriorRequestNotComplete", "", "temporary", true),
        (429, "", "", "temporary", true),
        (
            400,
            "InvalidChangeBatch",
            "Tried to delete resource record set but it was not found",
            "changed",
            false,
        ),
        (400, "InvalidChangeBatch", "TXTRDATATooLong", "impossible", false),
        (503, "", "", "temporary", false),
    ];
    for (status, code, message, expected, nothing_was_done) in cases {
        let text = format!(
            "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
        );
        let found = complaint(&response(status), &text);
        assert_eq!(
            (word(&found.error), found.nothing_was_done),
            (expected, nothing_was_done),
            "{code} {message}"
        );
    }
    let old = "<InvalidChangeBatch xmlns=\"x\"><Messages><Message>it already exists\u{1b}[2J</Message></Messages></InvalidChangeBatch>";
    let found = complaint(&response(400), old).error;
    assert!(word(&found) == "changed" && !found.to_string().contains('\u{1b}'), "{found}");
}
