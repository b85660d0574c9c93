//! Which way the bytes of a captured stream go, for framings that differ by it.

use super::packet::Direction;
use crate::framings::Way;
use core::net::SocketAddr;

/// The port of Modbus TCP. Who connects to it is the master; everywhere else a device dials.
const MODBUS_PORT: u16 = 502;

/// The rule by which streams get their way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    /// The way of the bytes of who opened a connection, if the user says it.
    opener: Option<Way>,
    /// Whether it is guessed where the user does not say it.
    guesses: bool,
}

impl Ways {
    pub(super) const fn new(opener: Option<Way>) -> Self {
        Self { opener, guesses: true }
    }

    /// Nothing is guessed: frames of both ways are taken where the user does not say which.
    pub(super) const fn said(opener: Option<Way>) -> Self {
        Self { opener, guesses: false }
    }

    /// The way of a stream's bytes. Where the capture does not have the beginning of the connection, the end with the lower
    /// port is who was dialled; `None` where the ports are the same.
    pub(super) fn of(self, direction: Direction, opener: Option<SocketAddr>) -> Option<Way> {
        if self.opener.is_none() && !self.guesses {
            return None;
        }
        let Direction { source, destination } = direction;
        let (dialler, dialled) = match opener {
            Some(opener) if opener == source => (source, destination),
            Some(_) => (destination, source),
            None if source.port() > destination.port() => (source, destination),
            None if source.port() < destination.port() => (destination, source),
            None => return None,
        };
        let way = self.opener.unwrap_or(if dialled.port() == MODBUS_PORT { Way::Down } else { Way::Up });
        Some(if dialler == source { way } else { way.opposite() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Direction, Way, Ways};

    fn of(ways: Ways, source: &str, destination: &str, opener: Option<&str>) -> Option<Way> {
        let address = |text: &str| text.parse().expect("it is an address");
        let direction = Direction { source: address(source), destination: address(destination) };
        ways.of(direction, opener.map(address))
    }

    #[test]
    fn who_dialled_is_the_device_but_for_the_port_of_modbus() {
        let (device, server, meter) = ("10.0.0.1:40000", "10.0.0.2:9000", "10.0.0.3:502");
        let ways = Ways::new(None);
        assert_eq!(of(ways, device, server, Some(device)), Some(Way::Up));
        assert_eq!(of(ways, server, device, Some(device)), Some(Way::Down));
        assert_eq!(
            of(ways, server, device, Some(server)),
            Some(Way::Up),
            "the capture has it, the ports do not matter"
        );
        assert_eq!(of(ways, device, server, Some(server)), Some(Way::Down));
        assert_eq!(of(ways, device, meter, Some(device)), Some(Way::Down));
        assert_eq!(of(ways, meter, device, Some(device)), Some(Way::Up));
    }

    #[test]
    fn without_the_opening_the_lower_port_was_dialled() {
        let (device, server, meter) = ("10.0.0.1:40000", "10.0.0.2:9000", "10.0.0.3:502");
        let ways = Ways::new(None);
        assert_eq!(of(ways, device, server, None), Some(Way::Up));
        assert_eq!(of(ways, server, device, None), Some(Way::Down));
        assert_eq!(of(ways, device, meter, None), Some(Way::Down));
        assert_eq!(of(ways, "10.0.0.1:9000", server, None), None);
    }

    #[test]
    fn what_the_user_says_is_the_way_of_who_dialled() {
        let (device, server) = ("10.0.0.1:40000", "10.0.0.2:9000");
        let ways = Ways::new(Some(Way::Down));
        assert_eq!(of(ways, device, server, Some(device)), Some(Way::Down));
        assert_eq!(of(ways, server, device, Some(device)), Some(Way::Up));
    }
}
