//! Targets for the rules that `kings-mta` applies to mail.

use kings_directory::{Answers, Keys, Lookup, TableSource};
use kings_mail::address::Address;
use kings_mail::domain::Domain;
use kings_mail::header::{self, Fields, MAX_HEADER_BLOCK, header_end};
use kings_mta::relay::{Filter, RelayHost, Transport};
use kings_mta::{Srs, try_content_checks, try_header_checks};

use super::directory::first_lines;

/// Rules and a message, parted by NUL: the body stays, and no rule turns one field into three; a header that becomes too
/// large is refused whole.
pub fn header_checks(data: &[u8]) {
    let at = data.iter().position(|octet| *octet == 0).unwrap_or(data.len());
    let message = data.get(at + 1..).unwrap_or_default();
    if header::check(message).is_err() {
        return;
    }
    let table = String::from_utf8_lossy(&data[..at]);
    content_checks(first_lines(&table), message);
    let Some(changed) = try_header_checks(first_lines(&table), message) else { return };
    if changed.len() > MAX_HEADER_BLOCK {
        return;
    }
    // PREPEND adds one field to each field that is there.
    assert!(Fields::new(&changed).count() <= 2 * Fields::new(message).count());
    assert!(changed.ends_with(&message[header_end(message)..]));
}

/// The same rules about all headers and bodies of a message: those that change nothing leave it to the octet.
fn content_checks(table: &str, message: &[u8]) {
    let Some(changed) = try_content_checks(table, message) else { return };
    let words = table.to_ascii_uppercase();
    if !["REPLACE", "PREPEND", "IGNORE", "STRIP"].iter().any(|word| words.contains(word)) {
        assert_eq!(changed, message);
    }
}

/// A table of routes: each line is taken, passed over or complained of, and what is taken may be written and read again.
pub fn transport(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for line in first_lines(&text).lines() {
        let value = line.split_once(char::is_whitespace).map_or(line, |(_, value)| value).trim();
        let read = value.parse::<Transport>();
        if let Ok(transport) = &read {
            let written = written(transport);
            assert_eq!(written.parse().as_ref(), Ok(transport), "{value:?} {written:?}");
        }
        if value.parse::<Filter>().is_ok() {
            assert!(
                matches!(read, Ok(Transport::Host(..) | Transport::Lmtp(..) | Transport::LmtpSocket(_))),
                "{value:?}"
            );
        }
        if let (Ok(_), false) = (value.parse::<RelayHost>(), value.eq_ignore_ascii_case("DUNNO")) {
            assert!(format!(":{value}").parse::<Transport>().is_ok(), "{value:?}");
        }
    }
    let table = vec![TableSource::Inline(first_lines(&text).to_owned())];
    let (lookup, _) = Lookup::<Transport>::open("transport", Keys::Transport, table);
    let taken = lookup.keys().len() + lookup.passed_over().len();
    assert!(taken <= text.lines().count(), "{text:?}");
    for key in lookup.keys().iter().filter(|key| key.contains('@')) {
        let address = Address::parse(key).expect("it was read as one");
        assert!(
            lookup.look(Some(&address), "+", &Answers::default()).is_ok_and(|found| found.is_some()),
            "{key}"
        );
    }
}

/// A right side that says the same.
fn written(transport: &Transport) -> String {
    let host = |(name, port): &(String, u16)| {
        assert!(name.parse::<std::net::IpAddr>().is_ok() || Domain::parse(name).is_ok(), "{name:?}");
        format!("[{name}]:{port}")
    };
    match transport {
        Transport::Unchanged => ":".to_owned(),
        Transport::Mx => "smtp:".to_owned(),
        Transport::MxOf(domain, None) => format!("smtp:{domain}"),
        Transport::MxOf(domain, Some(port)) => format!("smtp:{domain}:{port}"),
        Transport::Host(name, port) => format!("smtp:{}", host(&(name.clone(), *port))),
        Transport::Hosts(hosts) => {
            assert!((2..=10).contains(&hosts.len()));
            format!("smtp:{}", hosts.iter().map(host).collect::<Vec<_>>().join(", "))
        }
        Transport::Lmtp(name, port) => format!("lmtp:{}", host(&(name.clone(), *port))),
        Transport::LmtpSocket(path) => {
            assert!(path.is_absolute());
            format!("lmtp:unix:{}", path.display())
        }
        Transport::Discard(why) => format!("discard:{why}"),
        Transport::Error(text) => {
            assert!(!text.is_empty());
            format!("error:{text}")
        }
    }
}

/// What is rewritten comes back to where it came from.
pub fn srs(data: &[u8]) {
    let our = Domain::parse("our.example").expect("a domain");
    let srs = Srs::new("the secret of this target").expect("it is long enough");
    let Some(address) = std::str::from_utf8(data).ok().and_then(|text| Address::parse(text).ok()) else {
        return;
    };
    let _ = srs.reverse(&address, 20_000);
    if let Some(rewritten) = srs.forward(&address, &our, 20_000) {
        let back = srs.reverse(&rewritten, 20_000);
        let is_guarded = rewritten.local_part.as_str().starts_with("SRS1");
        assert!(is_guarded || back == Ok(address), "{rewritten}");
    }
}
