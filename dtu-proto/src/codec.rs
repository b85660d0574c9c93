//! The framing as a [`tokio_util::codec`]: an item is a step, so that dirt never ends a stream.
//!
//! `tokio_util`'s `Framed` ends at the first `Err`. Here only the transport can cause one; damaged bytes are
//! [`StepBuf::Skipped`] items between the frames.

use crate::chunk::StepBuf;
use crate::counters::Counters;
use crate::encode::{EncodeError, Payload};
use crate::framing::{Framing, abandon_candidate, next_step};
use crate::native::Native;
use bytes::BytesMut;
use std::io;
use tokio_util::codec::{Decoder, Encoder};

/// Decodes any [`Framing`] into steps, and encodes payloads with the native one.
///
/// At the end of the stream a candidate that lacks bytes is given up and the search goes on behind its first byte, so
/// that whole frames inside it still come out.
///
/// # Examples
///
/// ```
/// use dtu_proto::chunk::StepBuf;
/// use dtu_proto::codec::FrameCodec;
/// use dtu_proto::Native;
/// use bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
///
/// let mut codec = FrameCodec::new(Native::new());
/// let mut line = BytesMut::from(&b"noise"[..]);
/// codec.encode(b"hi", &mut line)?;
/// assert!(matches!(codec.decode(&mut line)?, Some(StepBuf::Skipped { bytes: 5, .. })));
/// let Some(StepBuf::Frame(frame)) = codec.decode(&mut line)? else { panic!("the frame is whole") };
/// assert_eq!(frame.payload(), b"hi");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FrameCodec<F> {
    framing: F,
    counters: Counters,
}

impl<F: Framing> FrameCodec<F> {
    /// A codec for `framing`.
    #[must_use]
    pub fn new(framing: F) -> Self {
        Self { framing, counters: Counters::default() }
    }

    /// What has been delivered and skipped so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn take(&mut self, step: Option<crate::framing::Step<'_>>) -> Option<crate::chunk::Detached> {
        let step = step?;
        self.counters.record(&step);
        step.detach()
    }
}

impl<F: Framing> Decoder for FrameCodec<F> {
    type Item = StepBuf;
    type Error = io::Error;

    #[inline]
    fn decode(&mut self, line: &mut BytesMut) -> Result<Option<StepBuf>, io::Error> {
        let step = next_step(&self.framing, line);
        Ok(self.take(Some(step)).map(|step| step.take(|len| line.split_to(len).freeze())))
    }

    fn decode_eof(&mut self, line: &mut BytesMut) -> Result<Option<StepBuf>, io::Error> {
        if let Some(step) = self.decode(line)? {
            return Ok(Some(step));
        }
        let step = abandon_candidate(&self.framing, line);
        Ok(self.take(step).map(|step| step.take(|len| line.split_to(len).freeze())))
    }
}

impl<P: Payload> Encoder<P> for FrameCodec<Native> {
    type Error = io::Error;

    fn encode(&mut self, payload: P, line: &mut BytesMut) -> Result<(), io::Error> {
        self.framing.encode_to(&payload, line)?;
        Ok(())
    }
}

/// [`io::ErrorKind::InvalidInput`] around the numbers.
impl From<EncodeError> for io::Error {
    fn from(error: EncodeError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
