//! What a proxy has done so far, as figures that change while it runs.

use super::damage::Done;
use super::draw::Direction;
use core::sync::atomic::{AtomicU64, Ordering};
use serde::Serialize;

/// A figure that only grows.
#[derive(Debug, Default)]
pub(super) struct Figure(AtomicU64);

impl Figure {
    pub(super) fn add(&self, more: usize) {
        self.add_wide(u64::try_from(more).unwrap_or(u64::MAX));
    }

    pub(super) fn add_wide(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes a struct of live figures and the struct of their values at one time.
macro_rules! figures {
    ($(#[$doc:meta])* $live:ident, $snapshot:ident { $($(#[$field_doc:meta])* $field:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        pub(super) struct $live {
            $($(#[$field_doc])* pub(super) $field: Figure,)*
        }

        $(#[$doc])*
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
        pub(crate) struct $snapshot {
            $($(#[$field_doc])* pub(crate) $field: u64,)*
        }

        impl $live {
            fn snapshot(&self) -> $snapshot {
                $snapshot { $($field: self.$field.read(),)* }
            }
        }
    };
}

figures! {
    /// The bytes of one direction. At the end `read + duplicated == passed + dropped + discarded`; before it, the
    /// difference is held.
    LiveBytes, Bytes {
        /// Came in.
        read,
        /// Went out.
        passed,
        /// Taken away by `--drop-bytes`.
        dropped,
        /// Came in and had nowhere to go: held when the connection ended, sent into a half-open link, or in a datagram
        /// that did not pass.
        discarded,
        /// In datagrams that were doubled.
        duplicated,
        /// Bits flipped by `--corrupt`.
        flipped_bits,
    }
}

figures! {
    /// The datagrams of one direction. At the end `read + duplicated == passed + lost + overflowed + discarded`.
    LiveDatagrams, Datagrams {
        /// Came in.
        read,
        /// Went out.
        passed,
        /// Lost by `--loss`.
        lost,
        /// Doubled by `--duplicate`.
        duplicated,
        /// Changed places with the next one by `--reorder`.
        reordered,
        /// Lost because the proxy held too much.
        overflowed,
        /// Came in and had nowhere to go.
        discarded,
    }
}

figures! {
    /// The connections; over UDP, the addresses that datagrams came from.
    LiveLinks, Links {
        /// Accepted.
        connections,
        /// Turned away, because there were too many.
        turned_away,
        /// Could not be accepted; over UDP, the socket that clients send to failed.
        accept_failed,
        /// Connects to the upstream that failed; over UDP, refusals that came back for a datagram.
        refused,
        /// Cut by `--cut-every`; over UDP, changes of the source port.
        cuts,
        /// Cuts that only one side was told.
        half_open,
        /// Ended by an error of one side's socket, such as a reset, and told to the other by a reset.
        broken,
        /// Times in which nothing passed.
        stalls,
    }
}

/// All figures of a proxy.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) links: LiveLinks,
    up: Flow,
    down: Flow,
}

/// The figures of one direction.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) bytes: LiveBytes,
    pub(super) datagrams: LiveDatagrams,
}

impl Flow {
    pub(super) fn damaged(&self, done: Done) {
        self.bytes.dropped.add_wide(done.dropped);
        self.bytes.flipped_bits.add_wide(done.flipped);
    }

    /// Counts a datagram that went out.
    pub(super) fn passed(&self, length: usize) {
        self.bytes.passed.add(length);
        self.datagrams.passed.add(1);
    }

    /// Counts a datagram that came in earlier and had nowhere to go.
    pub(super) fn discarded(&self, length: usize) {
        self.bytes.discarded.add(length);
        self.datagrams.discarded.add(1);
    }

    /// Counts a datagram that had nowhere to go and reached no link.
    pub(super) fn discarded_unseen(&self, length: usize) {
        self.bytes.read.add(length);
        self.datagrams.read.add(1);
        self.discarded(length);
    }

    /// Counts a datagram for which its link had no room.
    pub(super) fn overflowed_unseen(&self, length: usize) {
        self.bytes.read.add(length);
        self.datagrams.read.add(1);
        self.bytes.discarded.add(length);
        self.datagrams.overflowed.add(1);
    }
}

impl Counters {
    pub(super) const fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            links: self.links.snapshot(),
            bytes: Both { up: self.up.bytes.snapshot(), down: self.down.bytes.snapshot() },
            datagrams: Both { up: self.up.datagrams.snapshot(), down: self.down.datagrams.snapshot() },
        }
    }
}

/// The figures of a proxy at one time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Snapshot {
    #[serde(flatten)]
    pub(crate) links: Links,
    pub(crate) bytes: Both<Bytes>,
    /// All 0 over TCP, and not written then.
    #[serde(skip_serializing_if = "Both::is_default")]
    pub(crate) datagrams: Both<Datagrams>,
}

/// A value for each direction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Both<T> {
    /// From the client to the upstream.
    pub(crate) up: T,
    /// From the upstream to the client.
    pub(crate) down: T,
}

impl<T: Default + PartialEq> Both<T> {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
