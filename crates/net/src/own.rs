//! Which addresses are those of this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use crate::is_public;

/// Addresses that no machine has: of the reserved block 240.0.0.0/4, and of 100::/64, for what is thrown away.
const NOBODYS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1)), IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1))];

/// Far away, to learn by which of our addresses the world is reached: addresses of documentation, which nobody has.
const FAR: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// Whether an address is one of this machine's. Nothing is sent. What a router puts in the place of our addresses is not
/// known here.
pub fn is_own(address: IpAddr) -> bool {
    let address = address.to_canonical();
    if address.is_unspecified() || address.is_multicast() {
        return false;
    }
    address.is_loopback()
        || (can_be_bound(address) && (!binds_to_all(address) || is_reached_from_itself(address)))
}

/// The public addresses that this machine's packets to the Internet leave with, at most one of a kind. A machine
/// behind a router has none that it knows.
pub fn public_addresses() -> Vec<IpAddr> {
    FAR.into_iter().filter_map(source_towards).filter(|ip| is_public(*ip)).collect()
}

fn can_be_bound(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// With `ip_nonlocal_bind`, as on machines that take each other's place, a socket can be bound to any address.
fn binds_to_all(address: IpAddr) -> bool {
    NOBODYS.into_iter().any(|nobodys| nobodys.is_ipv4() == address.is_ipv4() && can_be_bound(nobodys))
}

/// What is sent to one of our own addresses is sent from it. Of several in one network only the first is found so.
fn is_reached_from_itself(address: IpAddr) -> bool {
    source_towards(address) == Some(address)
}

/// The address that packets to that one leave with. Nothing is sent: a UDP socket that connects only asks for its route.
fn source_towards(far: IpAddr) -> Option<IpAddr> {
    let unspecified: IpAddr =
        if far.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((unspecified, 0)).ok()?;
    socket.connect((far, 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_our_own() {
        for own in ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"] {
            assert!(is_own(own.parse().unwrap()), "{own}");
        }
        for other in
            ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "198.51.100.7", "2001:db8::7", "240.0.0.1", "100::1"]
        {
            assert!(!is_own(other.parse().unwrap()), "{other}");
        }
    }

    /// The way that is left where any address can be bound.
    #[test]
    fn only_what_is_our_own_is_reached_from_itself() {
        assert!(is_reached_from_itself("127.0.0.1".parse().unwrap()));
        for other in ["198.51.100.7", "2001:db8::7"] {
            assert!(!is_reached_from_itself(other.parse().unwrap()), "{other}");
        }
    }
}
