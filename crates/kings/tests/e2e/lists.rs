//! Lists in DNS against a private tree: who is listed, who is welcome, and lists that do not speak to us.

use crate::harness::{Kings, NameServer, Reply, Setup, Smtp, letter, messages};

const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.net";

/// Lists with their test entries. The last ones refuse this resolver, and list everybody.
const ZONE: &str = "2.0.0.127.zen IN A 127.0.0.2\n10.10.10.9.zen IN A 127.0.0.2\n11.10.10.9.zen IN A 127.0.0.11\n\
    12.10.10.9.zen IN A 127.0.0.4\n2.0.0.127.good IN A 127.0.0.2\n12.10.10.9.good IN A 127.0.9.2\n\
    8.8.8.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.8.4.0.6.8.4.1.0.0.2.zen IN A 127.0.0.3\n\
    *.refuses IN A 127.255.255.254\n*.all IN A 127.0.0.2\n";

fn asking(dns: &NameServer, more: &str) -> Kings {
    let mut setup = Setup { name_server: dns.address.clone(), ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.0/8\"]\n";
    setup.tables = format!(
        "[inbound]\ndnsbl = [\"zen.test=127.0.0.[2..10]\", \"refuses.test\", \"all.test\"]\ndnswl = [\"good.test\"]\n{more}"
    );
    setup.start()
}

fn from_client(kings: &Kings, address: &str) -> Reply {
    let mut client = Smtp::connect(kings.address("smtp")).unwrap();
    client.command("EHLO proxy.example.net").unwrap().is("250");
    client.command(&format!("XCLIENT ADDR={address}")).unwrap().is("220");
    client.command("EHLO client.example.net").unwrap().is("250");
    client.message(CAROL, &[BOB], &letter(CAROL, BOB, "hello")).unwrap()
}

#[test]
fn who_is_listed_is_refused_with_the_list_and_nobody_else() {
    let dns = NameServer::start("test", ZONE);
    let kings = asking(&dns, "dnsbl_exempt = [\"9.10.20.0/24\"]\n");
    let refused = from_client(&kings, "9.10.10.10");
    refused.is("550 5.7.1");
    assert!(refused.text.contains("the client is on the list zen.test (127.0.0.2)"), "{}", refused.text);
    from_client(&kings, "IPV6:2001:4860:4860::8888").is("550 5.7.1");
    // A code that does not count, a client that is welcome, one that no list knows.
    for address in ["9.10.10.11", "9.10.10.12", "9.10.10.13", "IPV6:2001:4860:4860::8889"] {
        from_client(&kings, address).is("250");
    }
    assert_eq!(messages(&kings.maildir(BOB)).len(), 4);
}

/// The reverse-path, the EHLO name and the author are asked about, whoever the client is.
#[test]
fn domains_on_lists_count_as_clients_do() {
    let dns = NameServer::start("test", "evil.example.dbl IN A 127.0.1.2\n*.every IN A 127.0.1.2\n");
    let mut setup = Setup { name_server: dns.address.clone(), ..Setup::default() };
    setup.listen += "xclient_from = [\"127.0.0.0/8\"]\n";
    setup.tables = "[inbound]\ndnsbl_domains = [\"dbl.test=127.0.1.[2..9]\", \"every.test\"]\n".to_owned();
    let kings = setup.start();
    let send = |helo: &str, sender: &str, author: &str| {
        let mut client = Smtp::connect(kings.address("smtp")).unwrap();
        client.command("EHLO proxy.example.net").unwrap().is("250");
        client.command("XCLIENT ADDR=9.10.10.13").unwrap().is("220");
        client.command(&format!("EHLO {helo}")).unwrap().is("250");
        client.message(sender, &[BOB], &letter(author, BOB, "hello")).unwrap()
    };
    let (good, bad) = ("mx.good.example", "evil.example");
    let (joe, eve) = ("joe@good.example", "eve@evil.example");
    for (helo, sender, author) in [(bad, joe, joe), (good, eve, joe), (good, joe, eve), (bad, eve, eve)] {
        let sentence = "Not accepted: the domain evil.example is on the list dbl.test (127.0.1.2)";
        send(helo, sender, author).is(&format!("550 5.7.1 {sentence}"));
    }
    send(good, joe, joe).is("250");
    send(good, "", joe).is("250");
}

#[test]
fn a_stranger_who_is_listed_hears_of_the_list_alone() {
    let dns = NameServer::start("test", ZONE);
    let kings = asking(&dns, "greylist = true\n");
    let refused = from_client(&kings, "9.10.10.10");
    refused.is("550 5.7.1 Not accepted: the client is on the list zen.test (127.0.0.2)");
    assert!(!refused.text.contains("greylisting"), "{}", refused.text);
    from_client(&kings, "9.10.10.13").is("451 4.7.1 Not accepted: the sender is new here (greylisting)");
}

#[test]
fn a_listing_leads_to_what_the_switch_says() {
    let dns = NameServer::start("test", ZONE);
    let deferring = asking(&dns, "dnsbl_listed = \"defer\"\n");
    from_client(&deferring, "9.10.10.10").is("451 4.7.1");
    let filing = asking(&dns, "dnsbl_listed = \"junk\"\n");
    from_client(&filing, "9.10.10.10").is("250");
    let junk = messages(&filing.maildir(BOB).join(".Junk")).remove(0).text();
    assert!(junk.contains("X-Kings-Verdict: junk; the client is on the list zen.test"), "{junk}");
    let patient = asking(&dns, "dnsbl_threshold = 2\n");
    from_client(&patient, "9.10.10.10").is("250");
    let exempting = asking(&dns, "dnsbl_exempt = [\"9.10.10.0/24\"]\n");
    from_client(&exempting, "9.10.10.10").is("250");
}
