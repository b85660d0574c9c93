//! Keys that another file can take the place of.

use arc_swap::ArcSwap;
use dtu_net::auth::Key;
use dtu_net::keys::{FileKeys, KeyStore};
use dtu_proto::message::DeviceId;
use std::io;

/// The keys of a listener, as they are at the moment.
#[derive(Debug)]
pub(super) struct CurrentKeys(ArcSwap<FileKeys>);

impl CurrentKeys {
    pub(super) fn new(keys: FileKeys) -> Self {
        Self(ArcSwap::from_pointee(keys))
    }

    /// Asks for these from now on. Who is in stays in.
    pub(super) fn replace(&self, newer: &Self) {
        self.0.store(newer.0.load_full());
    }

    /// How many devices have one.
    pub(super) fn len(&self) -> usize {
        self.0.load().len()
    }
}

impl KeyStore for CurrentKeys {
    fn key(&self, device: DeviceId<'_>) -> io::Result<Option<Key>> {
        self.0.load().key(device)
    }
}
