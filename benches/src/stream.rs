//! The payloads that the contestants carry, and the bytes each framing makes of them.

use crate::contest::Tally;
use crate::mavlink;
use bytes::{BufMut, BytesMut};
use core::fmt;
use dtu_proto::Native;
use dtu_proto::frame::{CHECKSUM_LEN, OVERHEAD};
use tokio_util::codec::{Encoder, LengthDelimitedCodec};

/// How long the payloads of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// All so many bytes.
    Bytes(usize),
    /// As a gateway sees them: mostly small, now and then a long one. See [`MIX`].
    Mix,
}

/// The sizes that decoding and encoding are measured at.
pub const SIZES: [Size; 8] = [
    Size::Bytes(8),
    Size::Bytes(16),
    Size::Bytes(64),
    Size::Bytes(256),
    Size::Bytes(1024),
    Size::Bytes(4096),
    Size::Bytes(16384),
    Size::Mix,
];

/// The payload lengths of [`Size::Mix`] and how many of 200 frames have them, in a random order.
pub const MIX: [(usize, usize); 7] = [(8, 60), (16, 50), (64, 50), (256, 24), (1024, 12), (4096, 3), (16384, 1)];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::Mix => f.write_str("mix"),
        }
    }
}

/// The length in bytes that a stream of native frames has at the least; longer when it takes that for
/// [`MIN_FRAMES`] frames.
const STREAM_LEN: usize = 64 * 1024;
const MIN_FRAMES: usize = 16;

/// Numbers that look random and are the same in each run (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    ///
    /// When `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a usize has at most 64 bits");
        usize::try_from(self.next_u64() % bound).expect("it is below a usize")
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next_u64().to_le_bytes()[7]).collect()
    }
}

/// The payloads of one job.
#[derive(Debug, Clone)]
pub struct Stream {
    /// The payloads in their order.
    pub payloads: Vec<Vec<u8>>,
    /// Which lengths they have.
    pub size: Size,
}

impl Stream {
    /// The payloads of a stream of `size`: as many as fill 64 KiB with native frames, and at least 16.
    #[must_use]
    pub fn new(size: Size) -> Self {
        let count = match size {
            Size::Bytes(bytes) => MIN_FRAMES.max(STREAM_LEN / (bytes + OVERHEAD)),
            Size::Mix => MIX.iter().map(|(_, count)| count).sum(),
        };
        Self::with_count(size, count)
    }

    /// `count` payloads of `size`.
    #[must_use]
    pub fn with_count(size: Size, count: usize) -> Self {
        let mut random = Random(1);
        let mut lengths: Vec<usize> = match size {
            Size::Bytes(bytes) => vec![bytes; count],
            Size::Mix => MIX.iter().flat_map(|&(len, share)| vec![len; share]).cycle().take(count).collect(),
        };
        for end in (1..lengths.len()).rev() {
            lengths.swap(end, random.below(end + 1));
        }
        Self { payloads: lengths.into_iter().map(|len| random.bytes(len)).collect(), size }
    }

    /// What a decoder shall find.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        self.payloads.iter().for_each(|payload| tally.frame(payload));
        tally
    }

    /// The stream as native frames.
    ///
    /// # Panics
    ///
    /// When a payload is longer than a frame can carry.
    #[must_use]
    pub fn native(&self) -> Vec<u8> {
        let native = Native::new();
        let mut line = Vec::new();
        for payload in &self.payloads {
            native.encode_to(payload.as_slice(), &mut line).expect("the sizes fit a frame");
        }
        line
    }

    /// The native frames without their checksums, as slices of `line`: what the checksum runs over.
    #[must_use]
    pub fn covered<'a>(&self, line: &'a [u8]) -> Vec<&'a [u8]> {
        let mut rest = line;
        let mut covered = Vec::new();
        for payload in &self.payloads {
            let (frame, behind) = rest.split_at(payload.len() + OVERHEAD);
            covered.push(&frame[..frame.len() - CHECKSUM_LEN]);
            rest = behind;
        }
        covered
    }

    /// The stream as [`LengthDelimitedCodec`] writes it by default: a length of four bytes, and the payload.
    ///
    /// # Panics
    ///
    /// When a payload is longer than the codec's limit of 8 MiB.
    #[must_use]
    pub fn length_delimited(&self) -> BytesMut {
        let mut codec = LengthDelimitedCodec::new();
        let mut line = BytesMut::new();
        for payload in &self.payloads {
            codec.encode(payload.as_slice(), &mut line).expect("the sizes are below the limit");
        }
        line
    }

    /// The stream as MAVLink 2 frames; `None` when a payload is over its 255 bytes.
    #[must_use]
    pub fn mavlink(&self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        for payload in &self.payloads {
            line.put_slice(&mavlink::frame(payload)?);
        }
        Some(line)
    }

    /// The stream as postcard writes byte slices with a CRC-32C behind each.
    ///
    /// # Panics
    ///
    /// Never: memory is the only limit.
    #[must_use]
    pub fn postcard(&self) -> Vec<u8> {
        let mut line = vec![0; self.payloads.iter().map(|payload| payload.len() + 16).sum()];
        let mut at = 0;
        for payload in &self.payloads {
            let frame = postcard::to_slice_crc32(&payload.as_slice(), &mut line[at..], POSTCARD_CRC.digest());
            at += frame.expect("there are 16 spare bytes a frame").len();
        }
        line.truncate(at);
        line
    }
}

/// The checksum given to postcard, in the only form it takes.
pub static POSTCARD_CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
