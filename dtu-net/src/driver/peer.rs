//! The address of a peer, in 16 bytes; [`SocketAddr`] has 32, of which an IPv4 address leaves most empty.

use core::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

/// Where the connection of now comes from, or the last one came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Peer {
    /// There was no connection so far.
    #[default]
    None,
    V4(SocketAddrV4),
    /// IPv4, as a socket of IPv6 sees it.
    Mapped(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Peer {
    /// The address as the socket tells it.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::None => None,
            Self::V4(address) => Some((*address).into()),
            Self::Mapped(address) => Some((address.ip().to_ipv6_mapped(), address.port()).into()),
            Self::V6(address) => Some((**address).into()),
        }
    }

    /// Takes the address of a connection; the same once more changes and allocates nothing.
    pub(crate) fn set(&mut self, address: SocketAddr) {
        if self.address() != Some(address) {
            *self = address.into();
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self::V4(address),
            SocketAddr::V6(address) => match address.ip().to_ipv4_mapped() {
                Some(ip) if (address.flowinfo(), address.scope_id()) == (0, 0) => {
                    Self::Mapped(SocketAddrV4::new(ip, address.port()))
                }
                Some(_) | None => Self::V6(Box::new(address)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Peer;
    use core::net::{SocketAddr, SocketAddrV6};

    #[test]
    fn it_is_small_and_every_address_comes_back_as_it_went_in() {
        assert_eq!(size_of::<Peer>(), 16);
        let mut addresses: Vec<SocketAddr> =
            ["192.0.2.7:55125", "[::ffff:192.0.2.7]:55125", "[2001:db8::7]:1", "[::1]:65535", "0.0.0.0:0"]
                .iter()
                .map(|text| text.parse().expect("it is an address"))
                .collect();
        let ip = "::ffff:192.0.2.7".parse().expect("it is an address");
        addresses.push(SocketAddrV6::new(ip, 7, 0, 3).into());
        addresses.push(SocketAddrV6::new("fe80::1".parse().expect("it is an address"), 7, 9, 3).into());
        let mut peer = Peer::default();
        assert_eq!(peer.address(), None);
        for address in addresses {
            assert_eq!(Peer::from(address).address(), Some(address));
            peer.set(address);
            peer.set(address);
            assert_eq!(peer.address(), Some(address));
        }
    }
}
