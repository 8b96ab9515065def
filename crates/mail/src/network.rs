//! What counts as one client where connections and failures are counted.

use std::net::{IpAddr, Ipv6Addr};

/// An IPv4 address itself, or the /64 that one IPv6 site has at the least (RFC 6177 §2): counting single
/// IPv6 addresses would give every client as many tries as it has addresses.
pub fn client_network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_ipv6_site_is_one_client_and_a_mapped_address_is_ipv4() {
        let cases = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::"),
            ("2001:db8::ffff:1", "2001:db8::"),
            ("2001:db8:0:1::1", "2001:db8:0:1::"),
        ];
        for (client, expected) in cases {
            let [client, expected] = [client, expected].map(|text| text.parse::<IpAddr>().unwrap());
            assert_eq!(client_network(client), expected);
        }
    }
}
