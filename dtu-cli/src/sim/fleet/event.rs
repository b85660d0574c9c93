//! What happens, in 16 bytes; and the bytes that are on their way.

/// Bytes on their way: a place in the [`Pool`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(u32);

impl Bytes {
    /// No bytes, and no place.
    #[cfg(test)]
    pub(super) const NONE: Self = Self(u32::MAX);
}

/// What happens to one device, or to its connection `serial`, which is the number of the device's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A device is connected before the outage, without a network between.
    Start,
    /// A deadline of the device's link, or of its session at the server, may have come.
    DeviceTimer,
    SessionTimer,
    /// A delay function of others says: now.
    Redial,
    /// At the server: the SYN, for the first time or again.
    Syn {
        serial: u32,
        repeat: u8,
    },
    /// At the device: the answer to it, from the server's life of that number.
    Opened {
        serial: u32,
        life: u8,
    },
    /// At the server: what ends the handshake, and the first bytes. For the life that answered the SYN.
    First {
        serial: u32,
        bytes: Bytes,
        repeat: u8,
        life: u8,
    },
    ToServer {
        serial: u32,
        bytes: Bytes,
    },
    ToDevice {
        serial: u32,
        bytes: Bytes,
    },
    /// The end of the stream, or a reset.
    EndAtServer {
        serial: u32,
    },
    EndAtDevice {
        serial: u32,
        reset: bool,
    },
    /// The server's processor is through with what it did.
    Worked {
        life: u8,
    },
    /// The server dies, and is back.
    Dies,
    Returns,
}

impl What {
    /// Two numbers that tell one from another in the trace.
    pub(super) const fn trace(self) -> (u8, u32) {
        match self {
            Self::Start => (0, 0),
            Self::DeviceTimer => (1, 0),
            Self::SessionTimer => (2, 0),
            Self::Redial => (3, 0),
            Self::Syn { serial, repeat } => (4 + (repeat << 4), serial),
            Self::Opened { serial, .. } => (5, serial),
            Self::First { serial, repeat, .. } => (6 + (repeat << 4), serial),
            Self::ToServer { serial, .. } => (7, serial),
            Self::ToDevice { serial, .. } => (8, serial),
            Self::EndAtServer { serial } => (9, serial),
            Self::EndAtDevice { serial, reset } => (10 + ((reset as u8) << 4), serial),
            Self::Worked { life } => (11, life as u32),
            Self::Dies => (12, 0),
            Self::Returns => (13, 0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) device: u32,
    pub(super) what: What,
}

const _: () = assert!(size_of::<Event>() <= 16, "a plan of a million events is written and read all the time");

/// The buffers of bytes on their way, used again and again: the last one given back is the first one taken.
#[derive(Debug, Default)]
pub(super) struct Pool {
    buffers: Vec<Vec<u8>>,
    free: Vec<u32>,
}

impl Pool {
    /// Takes the bytes out of `from`.
    pub(super) fn put(&mut self, from: &mut Vec<u8>) -> Bytes {
        let place = self.free.pop().unwrap_or_else(|| {
            self.buffers.push(Vec::new());
            u32::try_from(self.buffers.len() - 1).expect("every device has few buffers on their way")
        });
        core::mem::swap(from, &mut self.buffers[place as usize]);
        Bytes(place)
    }

    /// Puts them into `into`, which is empty, and gives the place back.
    pub(super) fn take(&mut self, bytes: Bytes, into: &mut Vec<u8>) {
        if let Some(buffer) = self.buffers.get_mut(bytes.0 as usize) {
            core::mem::swap(into, buffer);
            buffer.clear();
            self.free.push(bytes.0);
        }
    }

    /// Gives the place of bytes back that nobody reads.
    pub(super) fn drop(&mut self, bytes: Bytes) {
        if let Some(buffer) = self.buffers.get_mut(bytes.0 as usize) {
            buffer.clear();
            self.free.push(bytes.0);
        }
    }
}

/// What all events of a run come to: the same number for the same events at the same times in the same order.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) hash: u64,
    pub(super) events: u64,
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self { hash: 0x6474_7520_7369_6d31, events: 0 }
    }

    pub(super) const fn note(&mut self, at: u64, event: Event) {
        let (what, serial) = event.what.trace();
        let word = at ^ (event.device as u64) << 40;
        let other = (serial as u64 | (what as u64) << 32) ^ 0x9e37_79b9_7f4a_7c15;
        // The multiply-and-fold of wyhash; what is added behind it survives a product of 0.
        let product = (self.hash ^ word) as u128 * other as u128;
        self.hash = (product as u64 ^ (product >> 64) as u64).rotate_left(23).wrapping_add(word);
        self.events += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_gives_back_what_it_took_and_uses_a_place_again() {
        let (mut pool, mut scratch) = (Pool::default(), Vec::new());
        let places = [b"one".as_slice(), b"two"].map(|bytes| {
            scratch.extend_from_slice(bytes);
            pool.put(&mut scratch)
        });
        assert!(scratch.is_empty() && places[0] != places[1]);
        pool.take(places[0], &mut scratch);
        assert_eq!(scratch, b"one");
        scratch.clear();
        pool.drop(places[1]);
        pool.take(Bytes::NONE, &mut scratch);
        pool.drop(Bytes::NONE);
        scratch.extend_from_slice(b"three");
        assert_eq!(pool.put(&mut scratch), places[1], "the place given back last is the first one taken");
        assert!(scratch.is_empty(), "nothing of what nobody read is left");
        pool.take(places[1], &mut scratch);
        assert_eq!(scratch, b"three");
        assert_eq!(pool.buffers.len(), 2);
    }

    #[test]
    fn a_trace_tells_every_part_of_every_event_and_their_order() {
        let hash = |events: &[(u64, Event)]| {
            let mut trace = Trace::new();
            for (at, event) in events {
                trace.note(*at, *event);
            }
            (trace.hash, trace.events)
        };
        let event = |device, what| Event { device, what };
        let one = (5, event(1, What::Syn { serial: 1, repeat: 0 }));
        let mut seen = std::collections::HashSet::new();
        for other in [
            one,
            (6, event(1, What::Syn { serial: 1, repeat: 0 })),
            (5, event(2, What::Syn { serial: 1, repeat: 0 })),
            (5, event(1, What::Syn { serial: 2, repeat: 0 })),
            (5, event(1, What::Syn { serial: 1, repeat: 1 })),
            (5, event(1, What::EndAtServer { serial: 1 })),
            (5, event(1, What::EndAtDevice { serial: 1, reset: true })),
            (5, event(1, What::EndAtDevice { serial: 1, reset: false })),
            (0, event(0, What::Start)),
        ] {
            assert!(seen.insert(hash(&[one, other])), "{other:?}");
            assert!(other == one || seen.insert(hash(&[other, one])), "{other:?}");
        }
        assert_eq!(hash(&[one, one]).1, 2);
    }
}
