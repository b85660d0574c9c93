//! A frame that came, for keeps.

use bytes::Bytes;
use core::ops::Range;
use dtu_proto::{Frame, Framing};

/// A frame that owns its bytes. Clones share them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameBuf {
    bytes: Bytes,
    payload: Bytes,
}

impl FrameBuf {
    /// Copies `frame`, which `framing` has found, and undoes the escapes of its payload.
    #[must_use]
    pub fn new<F: Framing + ?Sized>(framing: &F, frame: &Frame<'_>) -> Self {
        Self::from_parts(framing, Bytes::copy_from_slice(frame.as_bytes()), frame.payload_range())
    }

    /// The frame that is `bytes`, with the payload at `payload` in it.
    pub(super) fn from_parts<F: Framing + ?Sized>(framing: &F, bytes: Bytes, payload: Range<usize>) -> Self {
        let frame = Frame::new(&bytes, payload.clone()).expect("a payload lies in its frame");
        let on_the_line = bytes.slice(payload);
        let mut payload = Vec::new();
        framing.payload_into(&frame, &mut payload);
        let payload = if payload == on_the_line { on_the_line } else { payload.into() };
        Self { bytes, payload }
    }

    /// The whole frame as it stood on the line.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The bytes of memory that it takes. A payload without escapes lies in the frame.
    pub(crate) fn memory(&self) -> usize {
        let is_shared = self.bytes.as_ptr_range().contains(&self.payload.as_ptr());
        let payload = if is_shared { 0 } else { self.payload.len() };
        self.bytes.len().saturating_add(payload)
    }

    /// The payload as its sender meant it.
    #[must_use]
    pub const fn payload(&self) -> &Bytes {
        &self.payload
    }
}
