//! The node's own address, as others see it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Nobody's addresses (RFC 5737, RFC 3849), so they are reached by the default route.
const ELSEWHERE: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))];

/// The address that packets to elsewhere come from; none is sent to find out. `None` without a route.
pub(super) fn node_address() -> Option<IpAddr> {
    ELSEWHERE.into_iter().find_map(|elsewhere| {
        let any: IpAddr =
            if elsewhere.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        // Any port will do.
        socket.connect((elsewhere, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
    })
}
