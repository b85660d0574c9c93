//! The framing of a line, as a profile names it.

use core::fmt;
use core::ops::Deref;
use dtu_proto::encode::{EncodeError, Sink};
use dtu_proto::{Examined, Frame, Framing};
use std::sync::Arc;

/// A framing that many lines share.
#[derive(Clone)]
pub struct SharedFraming(Arc<dyn Framing + Send + Sync>);

impl SharedFraming {
    /// Shares `framing`.
    #[must_use]
    pub fn new(framing: impl Framing + Send + Sync + 'static) -> Self {
        Self(Arc::new(framing))
    }
}

impl Deref for SharedFraming {
    type Target = dyn Framing + Send + Sync;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for SharedFraming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedFraming").field("max_frame_len", &self.0.max_frame_len()).finish_non_exhaustive()
    }
}

impl Framing for SharedFraming {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        self.0.examine(candidate)
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        self.0.find_start(bytes)
    }

    fn max_frame_len(&self) -> usize {
        self.0.max_frame_len()
    }

    fn evidence(&self) -> u32 {
        self.0.evidence()
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        self.0.payload_into(frame, sink);
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        self.0.encode_into(header, payload, sink)
    }
}
