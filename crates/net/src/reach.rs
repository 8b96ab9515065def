//! Which addresses belong to the open internet.

use std::net::{IpAddr, Ipv6Addr};

/// Whether a server of the open internet may have this address. What stands in a foreign DNS must not steer us
/// to our own loopback or into the networks around us.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (64..128).contains(&b);
            !(a == 0 || a >= 224 || shared || ip.is_loopback() || ip.is_private() || ip.is_link_local())
        }
        IpAddr::V6(ip) => {
            let embedded = ip.to_ipv4().is_some();
            let special = ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
            !(embedded || special || ip.is_unique_local() || ip.is_unicast_link_local() || is_translated(ip))
        }
    }
}

/// 64:ff9b::/96 leads to IPv4 addresses of any kind (RFC 6052 §2.1).
fn is_translated(ip: Ipv6Addr) -> bool {
    matches!(ip.segments(), [0x64, 0xff9b, 0, 0, 0, 0, ..])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_around_us_are_not_public() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "64:ff9b::7f00:1",
        ];
        for text in private {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in ["192.0.2.1", "203.0.113.10", "100.128.0.1", "2001:db8::1", "2606:4700::1"] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
