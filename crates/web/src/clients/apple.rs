//! A configuration profile for Apple's devices: one mail account, without its password.

use aws_lc_rs::digest::{SHA256, digest};
use kings_mail::address::Address;

use super::{Protocol, Servers, escaped};

/// What a device takes a profile by.
pub(crate) const MEDIA_TYPE: &str = "application/x-apple-aspen-config";

/// The profile of an address. The same address gets the same identifiers, so that a new one replaces the old.
pub(crate) fn profile(servers: &Servers, address: &Address) -> String {
    let (login, host) = (address.to_string(), servers.hostname.as_str());
    let incoming = servers.best(Protocol::Imap).map(|server| (server, "EmailTypeIMAP"));
    let incoming = incoming.or_else(|| servers.best(Protocol::Pop3).map(|server| (server, "EmailTypePOP")));
    let mut account = vec![
        text("EmailAccountDescription", &login),
        text("EmailAddress", &login),
        text("PayloadDisplayName", &login),
        text("PayloadIdentifier", &format!("{host}.{}.account", name_of(&login))),
        text("PayloadType", "com.apple.mail.managed"),
        text("PayloadUUID", &uuid(&["account", host, &login])),
        number("PayloadVersion", 1),
    ];
    if let Some((server, kind)) = incoming {
        account.extend([
            text("EmailAccountType", kind),
            text("IncomingMailServerAuthentication", "EmailAuthPassword"),
            text("IncomingMailServerHostName", host),
            number("IncomingMailServerPortNumber", server.port),
            flag("IncomingMailServerUseSSL"),
            text("IncomingMailServerUsername", &login),
        ]);
    }
    if let Some(server) = servers.best(Protocol::Submission) {
        account.extend([
            text("OutgoingMailServerAuthentication", "EmailAuthPassword"),
            text("OutgoingMailServerHostName", host),
            number("OutgoingMailServerPortNumber", server.port),
            flag("OutgoingMailServerUseSSL"),
            text("OutgoingMailServerUsername", &login),
            flag("OutgoingPasswordSameAsIncomingPassword"),
        ]);
    }
    let outer = [
        text("PayloadDisplayName", &format!("Mail of {login}")),
        text("PayloadDescription", &format!("Sets up the mail account {login} at {host}.")),
        text("PayloadIdentifier", &format!("{host}.{}", name_of(&login))),
        text("PayloadOrganization", host),
        text("PayloadType", "Configuration"),
        text("PayloadUUID", &uuid(&["profile", host, &login])),
        number("PayloadVersion", 1),
    ];
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n<plist version=\"1.0\">\n<dict>\n<key>PayloadContent</key>\n<array>\n<dict>\n{}</dict>\n\
</array>\n{}</dict>\n</plist>\n",
        account.concat(),
        outer.concat()
    )
}

fn text(key: &str, value: &str) -> String {
    format!("<key>{key}</key><string>{}</string>\n", escaped(value))
}

fn number(key: &str, value: u16) -> String {
    format!("<key>{key}</key><integer>{value}</integer>\n")
}

fn flag(key: &str) -> String {
    format!("<key>{key}</key><true/>\n")
}

/// Letters, digits and hyphens alone, for an identifier.
fn name_of(login: &str) -> String {
    login.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// A UUID of the words (RFC 9562 §5.8: version 8, from a digest).
fn uuid(words: &[&str]) -> String {
    let mut octets = [0; 16];
    octets.copy_from_slice(&digest(&SHA256, words.join("\n").as_bytes()).as_ref()[..16]);
    octets[6] = octets[6] & 0x0f | 0x80;
    octets[8] = octets[8] & 0x3f | 0x80;
    let hex: Vec<String> = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    [&hex[..4], &hex[4..6], &hex[6..8], &hex[8..10], &hex[10..]].map(<[String]>::concat).join("-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::tests::servers;
    use super::*;

    #[test]
    fn a_profile_has_the_best_servers_and_one_identity_for_each_address() {
        let ann = Address::parse("ann&joe@example.org").unwrap();
        let text = profile(&servers(), &ann);
        assert!(text.contains("<key>IncomingMailServerPortNumber</key><integer>993</integer>"), "{text}");
        assert!(text.contains("<key>OutgoingMailServerPortNumber</key><integer>465</integer>"), "{text}");
        assert!(
            text.contains("<string>ann&amp;joe@example.org</string>") && !text.contains("ann&joe"),
            "{text}"
        );
        assert_eq!(text, profile(&servers(), &ann));
        assert_ne!(text, profile(&servers(), &Address::parse("joe@example.org").unwrap()));
        let pop = Servers { imaps: None, ..servers() };
        assert!(profile(&pop, &ann).contains("EmailTypePOP"));
    }

    #[test]
    fn an_identifier_is_a_uuid_of_version_8() {
        let id = uuid(&["a", "b"]);
        let shape: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(shape, [8, 4, 4, 4, 12]);
        assert!(id.as_bytes()[14] == b'8' && b"89AB".contains(&id.as_bytes()[19]), "{id}");
    }
}
