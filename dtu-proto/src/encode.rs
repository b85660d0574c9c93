//! Encoding: the same bytes into a slice, into a `BufMut` of the crate bytes, or around a payload that stays where it is.
//!
//! A payload is anything that can write itself into a [`Sink`]: bytes, or a [`Message`](crate::Message). Its length is
//! what the same writing counts, so the two cannot disagree. The checksum is taken over the source that is copied,
//! not over the bytes just written, which would wait for the processor's store buffer.

use crate::checksum::{Batch, Crc32c, INITIAL, finish};
use crate::frame::{CHECKSUM_LEN, HEADER_LEN, MAGIC, OVERHEAD};
use crate::native::Native;
use core::fmt;

/// Where a payload writes itself to.
pub trait Sink {
    /// Takes the next bytes.
    fn put(&mut self, bytes: &[u8]);
}

#[cfg(feature = "alloc")]
impl Sink for alloc::vec::Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// What can be the payload of a frame: bytes, or a message. Sealed, so that every payload writes what it counts.
pub trait Payload: sealed::Sealed {
    /// Writes the payload's bytes into `sink`, the same ones each time.
    fn encode_into<S: Sink>(&self, sink: &mut S);

    /// The payload's length in bytes, counted by [`encode_into`](Self::encode_into).
    #[inline]
    fn payload_len(&self) -> usize {
        struct Count(usize);
        impl Sink for Count {
            #[inline(always)]
            fn put(&mut self, bytes: &[u8]) {
                self.0 = self.0.saturating_add(bytes.len());
            }
        }
        let mut count = Count(0);
        self.encode_into(&mut count);
        count.0
    }
}

pub(crate) mod sealed {
    pub trait Sealed {}
    impl Sealed for [u8] {}
    impl<const N: usize> Sealed for [u8; N] {}
    impl<P: Sealed + ?Sized> Sealed for &P {}
}

impl Payload for [u8] {
    #[inline(always)]
    fn encode_into<S: Sink>(&self, sink: &mut S) {
        sink.put(self);
    }
}

impl<const N: usize> Payload for [u8; N] {
    #[inline(always)]
    fn encode_into<S: Sink>(&self, sink: &mut S) {
        sink.put(self);
    }
}

impl<P: Payload + ?Sized> Payload for &P {
    #[inline(always)]
    fn encode_into<S: Sink>(&self, sink: &mut S) {
        (**self).encode_into(sink);
    }
}

/// Why a frame could not be encoded. Nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodeError {
    /// The payload is longer than the framing's limit.
    PayloadTooLong {
        /// The payload's length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The frame does not fit where it should go.
    BufferTooSmall {
        /// The frame's length in bytes.
        needed: usize,
        /// The room there is, in bytes.
        available: usize,
    },
    /// The payload is shorter than the framing's shortest, or of a length that the framing cannot say.
    PayloadLength {
        /// The payload's length in bytes.
        length: usize,
    },
    /// The header is of another length than the framing's.
    HeaderLength {
        /// The length that the framing has, in bytes.
        needed: usize,
        /// The length that was given.
        found: usize,
    },
    /// A byte of the payload cannot be said: it would be taken for a marker, and nothing escapes it; or the function that it names is not
    /// known. `at` is 0 where the header names one that is not known, or an address of no digits.
    Unencodable {
        /// Where it stands, in bytes from the start of the payload.
        at: usize,
    },
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PayloadTooLong { length, limit } => {
                write!(f, "payload of {length} bytes is over the limit of {limit}")
            }
            Self::BufferTooSmall { needed, available } => {
                write!(f, "frame takes {needed} bytes and there is room for {available}")
            }
            Self::PayloadLength { length } => write!(f, "no frame has a payload of {length} bytes"),
            Self::HeaderLength { needed, found } => write!(f, "header of {found} bytes instead of {needed}"),
            Self::Unencodable { at } => write!(f, "byte {at} of the payload cannot stand in a frame"),
        }
    }
}

impl core::error::Error for EncodeError {}

/// What goes before and behind a payload that is not copied, for a vectored write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// Magic, length and guard.
    pub header: [u8; HEADER_LEN],
    /// The checksum over the header and the payload.
    pub trailer: [u8; CHECKSUM_LEN],
}

impl Native {
    /// The length in bytes of the frame around `payload`.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadTooLong`].
    #[inline]
    pub fn encoded_len<P: Payload + ?Sized>(&self, payload: &P) -> Result<usize, EncodeError> {
        self.frame_len(payload.payload_len())
    }

    #[inline(always)]
    fn frame_len(&self, payload_len: usize) -> Result<usize, EncodeError> {
        //= spec/frame.md#E-2
        if payload_len > self.max_payload() {
            return Err(EncodeError::PayloadTooLong { length: payload_len, limit: self.max_payload() });
        }
        Ok(payload_len.saturating_add(OVERHEAD))
    }

    /// Encodes a frame at the front of `out` and returns its length in bytes; what stands behind it is left alone.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadTooLong`], [`EncodeError::BufferTooSmall`].
    #[inline]
    pub fn encode<P: Payload + ?Sized>(&self, payload: &P, out: &mut [u8]) -> Result<usize, EncodeError> {
        struct Encode<'a, P: ?Sized>(&'a P, usize, &'a mut [u8]);
        impl<P: Payload + ?Sized> Batch for Encode<'_, P> {
            type Output = ();
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) {
                encode_with(crc, self.0, self.1, self.2);
            }
        }
        let available = out.len();
        let payload_len = payload.payload_len();
        let needed = self.frame_len(payload_len)?;
        let out = out.get_mut(..needed).ok_or(EncodeError::BufferTooSmall { needed, available })?;
        self.kernel.run(Encode(payload, payload_len, out));
        Ok(needed)
    }

    /// Encodes a frame around each of `payloads` at the front of `out`, one behind the other, and returns their length in
    /// bytes: a window of messages for one write, with the checksum kernel chosen once.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadTooLong`], [`EncodeError::BufferTooSmall`]; then no frame was written.
    ///
    /// # Examples
    ///
    /// ```
    /// use dtu_proto::{Message, Native};
    ///
    /// let mut out = [0; 64];
    /// let len = Native::new().encode_all(&[Message::Ping { nonce: 1 }, Message::Ack { receive_next: 7 }], &mut out)?;
    /// assert_eq!(len, (10 + 9) + (10 + 5));
    /// # Ok::<(), dtu_proto::encode::EncodeError>(())
    /// ```
    #[inline]
    pub fn encode_all<P: Payload>(&self, payloads: &[P], out: &mut [u8]) -> Result<usize, EncodeError> {
        struct EncodeAll<'a, P>(&'a [P], &'a mut [u8]);
        impl<P: Payload> Batch for EncodeAll<'_, P> {
            type Output = ();
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) {
                let Self(payloads, mut out) = self;
                for payload in payloads {
                    let payload_len = payload.payload_len();
                    let frame = out.split_off_mut(..payload_len.saturating_add(OVERHEAD));
                    encode_with(crc, payload, payload_len, frame.expect("the frames were counted"));
                }
            }
        }
        let available = out.len();
        let mut lengths = payloads.iter().map(|payload| self.encoded_len(payload));
        let needed = lengths.try_fold(0_usize, |sum, length| Ok(sum.saturating_add(length?)))?;
        let out = out.get_mut(..needed).ok_or(EncodeError::BufferTooSmall { needed, available })?;
        self.kernel.run(EncodeAll(payloads, out));
        Ok(needed)
    }

    /// Appends a frame to `out` and returns its length in bytes.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadTooLong`], and [`EncodeError::BufferTooSmall`] where `out` cannot grow as far.
    #[cfg(feature = "bytes")]
    #[inline]
    pub fn encode_to<P, B>(&self, payload: &P, out: &mut B) -> Result<usize, EncodeError>
    where
        P: Payload + ?Sized,
        B: bytes::BufMut,
    {
        struct Encode<'a, P: ?Sized, B>(&'a P, usize, &'a mut B);
        impl<P: Payload + ?Sized, B: bytes::BufMut> Batch for Encode<'_, P, B> {
            type Output = ();
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) {
                encode_with(crc, self.0, self.1, Appended(self.2));
            }
        }
        let payload_len = payload.payload_len();
        let needed = self.frame_len(payload_len)?;
        let available = out.remaining_mut();
        if available < needed {
            return Err(EncodeError::BufferTooSmall { needed, available });
        }
        self.kernel.run(Encode(payload, payload_len, out));
        Ok(needed)
    }

    /// Returns what goes before and behind `payload`, which is read for its checksum and not copied.
    ///
    /// # Errors
    ///
    /// [`EncodeError::PayloadTooLong`].
    #[inline]
    pub fn envelope<P: Payload + ?Sized>(&self, payload: &P) -> Result<Envelope, EncodeError> {
        struct Wrap<'a, P: ?Sized>(&'a P, usize);
        impl<P: Payload + ?Sized> Batch for Wrap<'_, P> {
            type Output = Envelope;
            #[inline(always)]
            fn run<C: Crc32c>(self, crc: C) -> Envelope {
                encode_with(crc, self.0, self.1, Nowhere)
            }
        }
        let payload_len = payload.payload_len();
        self.frame_len(payload_len)?;
        Ok(self.kernel.run(Wrap(payload, payload_len)))
    }
}

/// Where the encoder puts a frame's bytes, run by run, and how it takes them into the checksum on the way.
trait Output {
    fn put<C: Crc32c>(&mut self, crc: C, state: u32, bytes: &[u8]) -> u32;

    /// The same for the checksum, which does not cover itself.
    fn put_trailer(&mut self, trailer: &[u8; CHECKSUM_LEN]);
}

/// A slice as long as the frame; what is left of it gets shorter.
impl Output for &mut [u8] {
    #[inline(always)]
    fn put<C: Crc32c>(&mut self, crc: C, state: u32, bytes: &[u8]) -> u32 {
        let place = self.split_off_mut(..bytes.len()).expect("a payload writes as much as it counts");
        crc.update_copying(state, bytes, place)
    }

    #[inline(always)]
    fn put_trailer(&mut self, trailer: &[u8; CHECKSUM_LEN]) {
        self.copy_from_slice(trailer);
    }
}

#[cfg(feature = "bytes")]
struct Appended<'a, B>(&'a mut B);

#[cfg(feature = "bytes")]
impl<B: bytes::BufMut> Output for Appended<'_, B> {
    #[inline(always)]
    fn put<C: Crc32c>(&mut self, crc: C, state: u32, bytes: &[u8]) -> u32 {
        self.0.put_slice(bytes);
        crc.update(state, bytes)
    }

    #[inline(always)]
    fn put_trailer(&mut self, trailer: &[u8; CHECKSUM_LEN]) {
        self.0.put_slice(trailer);
    }
}

/// The payload stays where it is.
struct Nowhere;

impl Output for Nowhere {
    #[inline(always)]
    fn put<C: Crc32c>(&mut self, crc: C, state: u32, bytes: &[u8]) -> u32 {
        crc.update(state, bytes)
    }

    #[inline(always)]
    fn put_trailer(&mut self, _: &[u8; CHECKSUM_LEN]) {}
}

/// The one encoder; the caller has checked `payload_len` against the limit.
#[inline(always)]
fn encode_with<C, P, O>(crc: C, payload: &P, payload_len: usize, output: O) -> Envelope
where
    C: Crc32c,
    P: Payload + ?Sized,
    O: Output,
{
    struct Checked<C, O> {
        crc: C,
        state: u32,
        output: O,
    }
    impl<C: Crc32c, O: Output> Sink for Checked<C, O> {
        #[inline(always)]
        fn put(&mut self, bytes: &[u8]) {
            self.state = self.output.put(self.crc, self.state, bytes);
        }
    }
    let [m0, m1] = MAGIC;
    let [.., l0, l1] = payload_len.to_be_bytes();
    let header = [m0, m1, l0, l1, !l0, !l1];
    let mut sink = Checked { crc, state: INITIAL, output };
    sink.put(&header);
    payload.encode_into(&mut sink);
    let trailer = finish(sink.state).to_be_bytes();
    sink.output.put_trailer(&trailer);
    Envelope { header, trailer }
}
