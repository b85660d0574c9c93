//! Addresses to listen on, and that no two are one.

use super::mistake::Mistakes;
use core::fmt;
use core::net::SocketAddr;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// An address to listen on: `"127.0.0.1:55125"`, `"[::]:55125"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address and a port, as \"127.0.0.1:55125\" or \"[::]:55125\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Address, E> {
                text.parse().map(Address).map_err(|_| {
                    E::custom(format_args!(
                        "`{text}` is no address to listen on; write an address and a port, as \"127.0.0.1:55125\" or \
                         \"[::]:55125\""
                    ))
                })
            }
        }
        deserializer.deserialize_str(Words)
    }
}

/// What of the system is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Tcp,
    Udp,
}

/// The addresses that are taken so far, with the keys that take them.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<(Protocol, SocketAddr, String)>);

impl Taken {
    /// Takes one more; two that the system could not give at a time are a mistake.
    pub(super) fn take(&mut self, protocol: Protocol, Address(addr): Address, key: String, mistakes: &mut Mistakes) {
        let clash = self.0.iter().find(|(taken, other, _)| *taken == protocol && are_one(*other, addr));
        if let Some((_, _, other)) = clash {
            mistakes.add(&key, format!("{addr} is taken by {other} already"));
        }
        self.0.push((protocol, addr, key));
    }
}

/// An address that stands for all takes that of each; port 0 is another one each time.
fn are_one(one: SocketAddr, other: SocketAddr) -> bool {
    let all = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (all || one.ip() == other.ip())
}
