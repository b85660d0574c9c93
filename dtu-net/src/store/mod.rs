//! Where an outbox is kept, so that what the peer has not acknowledged survives the process.
//!
//! [`OutboxStore`] is what an outbox asks for; [`FileStore`] is one in a file. A store keeps three kinds of fact: these
//! bytes have this number; everything below this number is settled; this number is settled. Each stays true for ever in
//! its stream, so to forget a settlement costs a repeat, which the receiver holds back (S-11). To give a number to
//! other bytes a second time would lose them in silence: the receiver takes them for a repeat. So whatever damage a store
//! finds, it says no `next` that may be too low. What it cannot find is an end that is missing without a trace: a file
//! that somebody has cut, and a power loss under [`Durability::Process`].
//!
//! # The file
//!
//! Native frames, one behind the other, nothing between them. The payload of each has the form of a datagram
//! (`spec/session.md`, S-22): the stream, then one message. The stream in every record tells a record of this file from
//! a frame that a DATA body happens to carry and that damage around it brings to light. Numbers are big-endian.
//!
//! | record | bytes | payload behind the 8 bytes of the stream |
//! |---|---|---|
//! | head | 34 | `F0`, `outbox` in ASCII, version u8 = 1, base u32, next u32 |
//! | DATA | 24 + body | the message: `06`, seq u32, channel u8, body |
//! | settled below | 23 | the message ACK: `07`, receive_next u32, which is the new base |
//! | settled | 23 | `F1`, seq u32 |
//!
//! The first record is the head and there is no other. DATA ascend: those below the head's `next`, which a rewrite
//! has taken along, with holes, and from `next` on in steps of 1. In every version the head begins like this as far
//! as its version byte. `F0` and `F1` are no kinds of the line.
//!
//! # Opening
//!
//! | found | done |
//! |---|---|
//! | no file | a new one with the stream that the caller has drawn |
//! | no intact head at the front | refused, [`StoreError::NoHead`], and left as it is: it may be anybody's. Version, base and `next` of a damaged store would be guesses |
//! | a head of another version | refused, [`StoreError::Version`], and left as it is |
//! | the beginning of a record at the end | cut off: an append or settlement that never returned |
//! | other damage | skipped and counted, intact records behind it are kept, the file is written anew. Numbers that may have stood there are holes, none is used again |
//! | damage that may hide more numbers than a stream can have open | refused, [`StoreError::Doubtful`] |
//!
//! How many numbers damage may hide follows from the next DATA behind it. With none behind it, it is one for each 24
//! damaged bytes, the shortest DATA record: too many do no harm, the receiver is told by SKIP that they do not come.
//! A record of full length whose checksum is wrong is damage also at the end: a write that a kill cut short leaves a
//! beginning, so this one may have been acknowledged once.
//!
//! # Size
//!
//! The file is written anew, without what is settled, once that is more than [`REWRITE_ABOVE`] and more than half of
//! the file. So it has at most [`FileStore::size_bound`] bytes: what the outbox holds, and as much again or
//! `REWRITE_ABOVE`, whichever is more. While it is written anew, the disk holds the outbox once more.
//!
//! The new file is `<path>.new` until it is complete, synced and renamed: after a crash at any point a whole file has the
//! name. `<path>.lock`, empty and never removed, is locked while a store is open.

mod error;
mod file;
mod record;
mod recover;

pub use error::StoreError;
pub use file::{Durability, FileStore, REWRITE_ABOVE};
pub use record::{DATA_OVERHEAD, HEAD_LEN, MAX_BODY_LEN, VERSION};
pub use recover::Recovery;

use bytes::Bytes;
use core::fmt;
use std::io;

/// Where an outbox is kept so that it survives its process.
pub trait OutboxStore: Send + fmt::Debug {
    /// Keeps one DATA before it may be sent.
    ///
    /// # Errors
    ///
    /// Nothing is kept, the DATA is not taken and its number is free for the next attempt.
    fn append(&mut self, seq: u32, channel: u8, body: &[u8]) -> io::Result<()>;

    /// Everything below `base` is settled. A `base` that is not above the last one says nothing new.
    ///
    /// # Errors
    ///
    /// A restart may bring back what was settled. The store stays usable.
    fn settled_below(&mut self, base: u32) -> io::Result<()>;

    /// The one number `seq`, above the base, is settled (expired or dropped): it leaves a hole.
    ///
    /// # Errors
    ///
    /// As for [`settled_below`](Self::settled_below).
    fn settled(&mut self, seq: u32) -> io::Result<()>;
}

/// What a store held when it was opened: goes into a new outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The stream that the numbers belong to.
    pub stream: u64,
    /// Everything below is settled. Not above the first of `data`.
    pub base: u32,
    /// The number that the next DATA gets: above every number that was ever appended, settled or not.
    pub next: u32,
    /// What is not settled, ascending from `base`. A number from `base` to `next` that is missing here is a hole.
    pub data: Vec<KeptData>,
}

/// One DATA that is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptData {
    /// Its number.
    pub seq: u32,
    /// Which serial port.
    pub channel: u8,
    /// The bytes.
    pub body: Bytes,
}
