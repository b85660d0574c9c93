//! What was learned of each network.

use core::time::Duration;
use std::time::Instant;

/// How many networks are remembered. Of more, the one that was used longest ago is forgotten.
pub const NETWORKS: usize = 16;

/// A key that the application gives to a network: what it has learned on one says nothing about another.
///
/// # Examples
///
/// ```
/// use dtu_net::adaptive::Network;
///
/// assert_eq!(Network::named("262-01"), Network::named("262-01"));
/// assert_ne!(Network::named("262-01"), Network::named("wlan0"));
/// assert_eq!(Network::from(7), Network(7));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Network(pub u64);

impl Network {
    /// A key made of a name: the code of the operator, or the name of the interface. The same name gives the same key in
    /// every version and on every machine (FNV-1a, 64 bits).
    #[must_use]
    pub fn named(name: &str) -> Self {
        let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(name.bytes().fold(0xcbf2_9ce4_8422_2325, hash))
    }
}

impl From<u64> for Network {
    fn from(key: u64) -> Self {
        Self(key)
    }
}

/// What is known of one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Learned {
    /// Which.
    pub network: Network,
    /// The longest silence after which the connection was still there.
    pub good: Option<Duration>,
    /// The shortest silence after which it was gone; longer than `good`.
    pub bad: Option<Duration>,
}

impl Learned {
    const fn is_known(&self) -> bool {
        self.good.is_some() || self.bad.is_some()
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) learned: Learned,
    /// A silence after which the connection was gone once, which is not enough to believe it.
    pub(super) doubt: Option<Duration>,
    /// Since when the search has been over.
    pub(super) settled: Option<Instant>,
}

impl Entry {
    const fn new(learned: Learned) -> Self {
        Self { learned, doubt: None, settled: None }
    }
}

/// The networks, the one of now at the end, before it the one before, and so on.
#[derive(Debug)]
pub(super) struct Memory(Vec<Entry>);

impl Memory {
    pub(super) fn new() -> Self {
        Self(vec![Entry::new(Learned::default())])
    }

    pub(super) fn now(&mut self) -> &mut Entry {
        self.0.last_mut().expect("the network of now is always there")
    }

    /// Goes over to a network. Returns the one that is forgotten for it.
    pub(super) fn switch(&mut self, network: Network) -> Option<Network> {
        if !self.now().learned.is_known() {
            self.0.pop();
        }
        let known = self.0.iter().position(|entry| entry.learned.network == network);
        let entry =
            known.map_or_else(|| Entry::new(Learned { network, ..Learned::default() }), |place| self.0.remove(place));
        self.0.push(entry);
        self.trim()
    }

    /// Takes what an earlier process has learned, in the place of what is known of that network. Returns the one that is
    /// forgotten for it.
    pub(super) fn remember(&mut self, mut learned: Learned) -> Option<Network> {
        if learned.bad.is_some_and(|bad| learned.good.is_some_and(|good| good >= bad)) {
            // It contradicts itself; the shorter one is safe.
            learned.good = None;
        }
        if let Some(entry) = self.0.iter_mut().find(|entry| entry.learned.network == learned.network) {
            *entry = Entry::new(learned);
            return None;
        }
        let before = self.0.len() - 1;
        self.0.insert(before, Entry::new(learned));
        self.trim()
    }

    pub(super) fn learned(&self) -> impl Iterator<Item = Learned> {
        self.0.iter().map(|entry| entry.learned).filter(Learned::is_known)
    }

    fn trim(&mut self) -> Option<Network> {
        (self.0.len() > NETWORKS).then(|| self.0.remove(0).learned.network)
    }
}
