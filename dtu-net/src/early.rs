//! DATA that came before its turn, as it does on datagrams.

use bytes::Bytes;
use core::mem;
use std::collections::VecDeque;

/// What has come: its channel and its body.
type Data = (u8, Bytes);

#[derive(Debug, Default)]
pub(crate) struct Early {
    /// The first place is for the number after the awaited one. The last one is never empty.
    places: VecDeque<Option<Data>>,
    bytes: usize,
}

impl Early {
    /// Takes DATA into a place. Returns whether it stood there already.
    pub(crate) fn put(&mut self, place: usize, channel: u8, body: &[u8]) -> bool {
        if self.places.len() <= place {
            self.places.resize_with(place.saturating_add(1), || None);
        }
        let repeated = self.places.get_mut(place).is_none_or(|data| {
            let repeated = data.is_some();
            data.get_or_insert_with(|| (channel, Bytes::copy_from_slice(body)));
            repeated
        });
        self.bytes += if repeated { 0 } else { body.len() };
        repeated
    }

    /// The number before the first place was delivered: takes what stands there, when it has come.
    pub(crate) fn next(&mut self) -> Option<Data> {
        let (channel, body) = self.places.pop_front().flatten()?;
        self.bytes -= body.len();
        Some((channel, body))
    }

    /// The first `count` places are given up, with what stands there.
    pub(crate) fn skip(&mut self, count: usize) {
        for (_, body) in self.places.drain(..self.places.len().min(count)).flatten() {
            self.bytes -= body.len();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The bytes of the bodies.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The memory it holds, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.saturating_add(self.places.len().saturating_mul(mem::size_of::<Option<Data>>()))
    }
}
