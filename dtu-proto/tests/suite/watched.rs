//! A storage that is watched.

use core::cell::Cell;
use dtu_proto::deframer::Storage;
use std::rc::Rc;

/// A growing storage that tells how long it is and has been.
#[derive(Default)]
pub(crate) struct Watched {
    bytes: Vec<u8>,
    /// How many bytes it has.
    pub(crate) now: Rc<Cell<usize>>,
    /// The most it has had.
    pub(crate) most: Rc<Cell<usize>>,
}

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Watched {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Storage for Watched {
    fn grow(&mut self, len: usize) {
        self.bytes.grow(len);
        self.now.set(self.bytes.capacity());
        self.most.set(self.most.get().max(self.bytes.capacity()));
    }

    fn release(&mut self) {
        self.bytes.release();
        self.now.set(self.bytes.capacity());
    }

    fn max_len(&self) -> usize {
        self.bytes.max_len()
    }
}
