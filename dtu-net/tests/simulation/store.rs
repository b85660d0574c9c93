//! A store that keeps what it is told, outside of the device.

use super::random::Random;
use bytes::Bytes;
use core::fmt;
use dtu_net::store::{Kept, KeptData, OutboxStore};
use std::io;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub(crate) struct Mirror(Arc<Mutex<(Kept, Random, u64)>>);

impl Mirror {
    pub(crate) fn new(stream: u64, first: u32, fails: u64) -> Self {
        let kept = Kept { stream, base: first, next: first, data: Vec::new() };
        Self(Arc::new(Mutex::new((kept, Random::new(stream), fails))))
    }

    pub(crate) fn kept(&self) -> Kept {
        self.0.lock().expect("no one panicked").0.clone()
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mirror(..)")
    }
}

impl OutboxStore for Mirror {
    fn append(&mut self, seq: u32, channel: u8, body: &[u8]) -> io::Result<()> {
        let (kept, random, fails) = &mut *self.0.lock().expect("no one panicked");
        if random.permille(*fails) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        assert_eq!(seq, kept.next, "numbers ascend in steps of 1");
        kept.next = seq.wrapping_add(1);
        kept.data.push(KeptData { seq, channel, body: Bytes::copy_from_slice(body) });
        Ok(())
    }

    fn settled_below(&mut self, base: u32) -> io::Result<()> {
        let kept = &mut self.0.lock().expect("no one panicked").0;
        assert!(base.wrapping_sub(kept.base) < 1 << 31, "the base goes up");
        kept.base = base;
        kept.data.retain(|data| data.seq.wrapping_sub(base) < 1 << 31);
        Ok(())
    }

    fn settled(&mut self, seq: u32) -> io::Result<()> {
        self.0.lock().expect("no one panicked").0.data.retain(|data| data.seq != seq);
        Ok(())
    }
}
