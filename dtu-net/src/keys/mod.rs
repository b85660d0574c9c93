//! Where a server finds the keys of its devices.

mod file;

pub use file::{FileKeys, KeyFileError, LineFault, MAX_KEY_FILE_LEN};

use crate::auth::Key;
use core::hash::BuildHasher;
use dtu_proto::message::DeviceId;
use std::collections::HashMap;
use std::io;

/// The keys of the devices, by device id.
///
/// A `HashMap<String, Key>` is one that holds them in memory, [`FileKeys`] one that reads them from a file.
pub trait KeyStore: Send + Sync {
    /// The key of `device`; `None` for a device that is not known.
    ///
    /// It is called on the task of the device's connection, after REGISTER, and must not block: a store behind a network
    /// keeps a copy in memory and answers from it.
    ///
    /// # Errors
    ///
    /// The store cannot tell at the moment. That is not the device's fault: a server answers BUSY, never UNAUTHORIZED,
    /// which would make a fleet stay away for long because of an outage here.
    fn key(&self, device: DeviceId<'_>) -> io::Result<Option<Key>>;
}

impl<S: BuildHasher + Send + Sync> KeyStore for HashMap<String, Key, S> {
    fn key(&self, device: DeviceId<'_>) -> io::Result<Option<Key>> {
        Ok(self.get(device.as_str()).cloned())
    }
}
