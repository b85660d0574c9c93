//! A bounded buffer with a framing: bytes in as they come, steps out.

use crate::counters::Counters;
use crate::encode::EncodeError;
use crate::framing::{Framing, Step, abandon_candidate, next_step};
use core::num::NonZeroUsize;

/// Where a [`Deframer`] keeps the bytes that have no verdict yet.
pub trait Storage: AsRef<[u8]> + AsMut<[u8]> {
    /// Makes the storage at least `len` bytes long if it can grow, keeping its bytes.
    fn grow(&mut self, len: usize);

    /// Gives the memory back if it can; what the storage holds is not needed any more.
    fn release(&mut self);

    /// How long the storage can become, in bytes.
    fn max_len(&self) -> usize;
}

#[cfg(feature = "alloc")]
impl Storage for alloc::vec::Vec<u8> {
    fn grow(&mut self, len: usize) {
        if len > self.len() {
            self.reserve_exact(len.saturating_sub(self.len()));
            self.resize(len, 0);
        }
    }

    fn release(&mut self) {
        *self = Self::new();
    }

    fn max_len(&self) -> usize {
        usize::MAX
    }
}

impl<const N: usize> Storage for [u8; N] {
    fn grow(&mut self, _: usize) {}

    fn release(&mut self) {}

    fn max_len(&self) -> usize {
        N
    }
}

impl Storage for &mut [u8] {
    fn grow(&mut self, _: usize) {}

    fn release(&mut self) {}

    fn max_len(&self) -> usize {
        self.len()
    }
}

/// The room that a deframer offers a reader at first, in bytes; it grows from there.
pub const FIRST_CAPACITY: usize = 4096;

/// Cuts a stream that comes in pieces into frames, with a buffer of its own.
///
/// The buffer grows with the bytes that come, from [`FIRST_CAPACITY`] to [`max_capacity`](Self::max_capacity). It is empty
/// whenever no candidate waits for bytes, and then, on the heap, it does not exist: a thousand idle links hold none. To keep it so, wait until the socket is readable and only then ask for [`spare_capacity_mut`].
///
/// [`spare_capacity_mut`]: Self::spare_capacity_mut
///
/// # Examples
///
/// Read, then drain:
/// ```
/// use dtu_proto::{Deframer, Native, Step};
/// use std::io::Read;
///
/// let mut line: &[u8] = b"noise\xD7\x55\x00\x02\xFF\xFDhi\x75\xBE\x17\x06";
/// let mut deframer = Deframer::new(Native::new());
/// let mut payloads = Vec::new();
/// loop {
///     let count = line.read(deframer.spare_capacity_mut())?;
///     if count == 0 {
///         break;
///     }
///     deframer.commit(count);
///     loop {
///         match deframer.next_step() {
///             Step::Frame(frame) => payloads.push(frame.payload().to_vec()),
///             Step::Skipped { bytes, cause } => eprintln!("{bytes} bytes skipped: {cause}"),
///             Step::NeedMore { .. } => break,
///         }
///     }
/// }
/// assert_eq!(payloads, [b"hi"]);
/// assert_eq!(deframer.counters().skipped_bytes(), 5);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Deframer<F, S> {
    framing: F,
    storage: S,
    /// The bytes without a verdict are `storage[start..end]`; `start <= end <= storage.len()`.
    start: usize,
    end: usize,
    counters: Counters,
}

#[cfg(feature = "alloc")]
impl<F: Framing> Deframer<F, alloc::vec::Vec<u8>> {
    /// A deframer with a buffer on the heap. Allocates nothing yet.
    #[must_use]
    pub fn new(framing: F) -> Self {
        Self { framing, storage: alloc::vec::Vec::new(), start: 0, end: 0, counters: Counters::default() }
    }
}

impl<F: Framing, S: Storage> Deframer<F, S> {
    /// A deframer over `storage`: an array or a slice where there is no allocator.
    ///
    /// One frame of the maximum length must fit. Twice that spares moving bytes when a stream is hostile.
    ///
    /// # Errors
    ///
    /// [`EncodeError::BufferTooSmall`] when the framing's longest frame does not fit.
    pub fn with_storage(framing: F, storage: S) -> Result<Self, EncodeError> {
        let (needed, available) = (framing.max_frame_len(), storage.max_len());
        if available < needed {
            return Err(EncodeError::BufferTooSmall { needed, available });
        }
        Ok(Self { framing, storage, start: 0, end: 0, counters: Counters::default() })
    }

    /// The framing.
    #[must_use]
    pub const fn framing(&self) -> &F {
        &self.framing
    }

    /// What has been delivered and skipped so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many bytes wait for a verdict.
    #[must_use]
    pub const fn buffered(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// The bytes that wait for a verdict. A step that [`next_step`](Self::next_step) gives next covers the first of
    /// them, so this is where to look at what is going to be skipped.
    #[must_use]
    pub fn unjudged(&self) -> &[u8] {
        self.storage.as_ref().get(self.start..self.end).unwrap_or_default()
    }

    /// How long the buffer can become, in bytes: twice the framing's longest frame or [`FIRST_CAPACITY`], and never more
    /// than the storage has.
    #[must_use]
    pub fn max_capacity(&self) -> usize {
        self.framing.max_frame_len().saturating_mul(2).max(FIRST_CAPACITY).min(self.storage.max_len())
    }

    /// Room for new bytes; fill it from the front and [`commit`](Self::commit) how many there are.
    ///
    /// It is never empty after [`next_step`](Self::next_step) has answered `NeedMore`.
    pub fn spare_capacity_mut(&mut self) -> &mut [u8] {
        let bound = self.max_capacity();
        let capacity = self.storage.as_ref().len();
        if self.end == capacity {
            // Moving pays when it makes as much room as it moves. A stream of false headers would otherwise have a whole
            // frame moved for every few bytes of it; with twice a frame of room, that is the only case that moves.
            if self.start >= self.buffered().max(1) || (capacity >= bound && self.start > 0) {
                self.storage.as_mut().copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.buffered());
            } else {
                let doubled = capacity.saturating_mul(2);
                self.storage.grow(doubled.clamp(FIRST_CAPACITY.min(bound), bound));
            }
        }
        self.storage.as_mut().get_mut(self.end..).unwrap_or_default()
    }

    /// Takes the first `count` bytes of [`spare_capacity_mut`](Self::spare_capacity_mut) into the stream.
    ///
    /// # Panics
    ///
    /// When `count` is more than that room.
    pub fn commit(&mut self, count: usize) {
        let end = self.end.checked_add(count).filter(|&end| end <= self.storage.as_ref().len());
        self.end = end.expect("no more is committed than there was room for");
    }

    /// Copies as much of `bytes` as there is room for and returns how many bytes that were.
    ///
    /// At least one, unless `bytes` is empty, after [`next_step`](Self::next_step) has answered `NeedMore`.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let room = self.spare_capacity_mut();
        let count = room.len().min(bytes.len());
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.commit(count);
        count
    }

    /// Returns the next step. Call it until it answers [`Step::NeedMore`], then bring more bytes.
    #[inline]
    pub fn next_step(&mut self) -> Step<'_> {
        self.release_if_empty();
        let buffered = self.storage.as_ref().get(self.start..self.end).unwrap_or_default();
        let step = next_step(&self.framing, buffered);
        self.counters.record(&step);
        self.start = self.start.saturating_add(step.covered());
        step
    }

    /// Returns the next step of the buffer with `bytes` behind it, and how many of `bytes` it took from their front. Call it
    /// with the rest until it answers [`Step::NeedMore`]; all are taken then, and the buffer holds what waits.
    ///
    /// Frames that are whole in `bytes` are judged there, without a copy; only what waits for more is copied. The steps are
    /// those of [`push`](Self::push) and [`next_step`](Self::next_step).
    #[inline]
    pub fn next_step_from<'a>(&'a mut self, bytes: &'a [u8]) -> (usize, Step<'a>) {
        if self.start == self.end
            && let step = next_step(&self.framing, bytes)
            && (bytes.is_empty() || !matches!(step, Step::NeedMore { .. }))
        {
            self.release();
            self.counters.record(&step);
            return (step.covered(), step);
        }
        // What needs more is copied as far as there is room, which there is for one frame at least.
        let mut taken: usize = 0;
        loop {
            taken = taken.saturating_add(self.push(bytes.get(taken..).unwrap_or_default()));
            let buffered = self.storage.as_ref().get(self.start..self.end).unwrap_or_default();
            if taken == bytes.len() || !matches!(next_step(&self.framing, buffered), Step::NeedMore { .. }) {
                return (taken, self.next_step());
            }
        }
    }

    /// Hands all steps up to `NeedMore` to `sink`, with the checksum kernel chosen once; returns how many more bytes the
    /// next step needs at the least.
    pub fn for_each_step(&mut self, mut sink: impl FnMut(Step<'_>)) -> NonZeroUsize {
        let buffered = self.storage.as_ref().get(self.start..self.end).unwrap_or_default();
        let mut missing = NonZeroUsize::MIN;
        let counters = &mut self.counters;
        let walked = self.framing.walk(buffered, |step| {
            counters.record(&step);
            if let Step::NeedMore { at_least } = step {
                missing = at_least;
            } else {
                sink(step);
            }
        });
        self.start = self.start.saturating_add(walked);
        self.release_if_empty();
        missing
    }

    /// Gives up the candidate that waits for bytes, because the line fell silent or ended: the search goes on at the
    /// byte after its first. Call [`next_step`](Self::next_step) afterwards. Returns `None` when nothing waits.
    ///
    /// Only whoever owns the clock can know when, so nothing else calls this.
    pub fn abandon_candidate(&mut self) -> Option<Step<'_>> {
        let buffered = self.storage.as_ref().get(self.start..self.end).unwrap_or_default();
        let step = abandon_candidate(&self.framing, buffered)?;
        self.counters.record(&step);
        self.start = self.start.saturating_add(step.covered());
        Some(step)
    }

    /// Gives the memory back when no byte waits; returns whether that is so. For machines that judge the bytes themselves.
    pub(crate) fn release_if_empty(&mut self) -> bool {
        let is_empty = self.start == self.end;
        if is_empty {
            self.release();
        }
        is_empty
    }

    /// Takes the first `count` bytes out of what waits for a verdict; they have theirs.
    pub(crate) fn take(&mut self, count: usize) -> &[u8] {
        let from = self.start;
        self.start = from.saturating_add(count).min(self.end);
        self.storage.as_ref().get(from..self.start).unwrap_or_default()
    }

    /// Takes and counts a frame of `len` bytes.
    pub(crate) fn take_frame(&mut self, len: usize) -> &[u8] {
        self.counters.record_frame(len);
        self.take(len)
    }

    pub(crate) const fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    fn release(&mut self) {
        (self.start, self.end) = (0, 0);
        self.storage.release();
    }
}
