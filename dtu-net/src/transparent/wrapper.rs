//! Frames of a unit around the bytes of its line.

use super::envelope::Envelope;
use super::framing::SharedFraming;
use bytes::Bytes;
use dtu_proto::encode::EncodeError;
use dtu_proto::{Deframer, Framing, Malformed, Step};

/// The bytes of a line that are put into one envelope where the framing has no bound: what units take at once.
const CHUNK: usize = 1024;

#[derive(Debug)]
pub(super) struct Wrapper {
    envelope: Envelope,
    deframer: Deframer<SharedFraming, Vec<u8>>,
    /// What stands before the payload of an envelope down.
    header: Vec<u8>,
    /// The most bytes of the line in one envelope.
    chunk: usize,
    gives_up: bool,
}

/// What an envelope is.
#[derive(Debug)]
pub(super) enum Unwrapped {
    Data(Bytes),
    Register(Bytes),
    Logout(Bytes),
    Control { kind: u8 },
    Skipped { bytes: usize, cause: Malformed },
    NeedMore,
}

impl Wrapper {
    /// The header of the registration serves those that leave: it has the unit's number. A registration that is no envelope
    /// leaves the number 0.
    pub(super) fn new(envelope: Envelope, registration: &[u8]) -> Self {
        let empty = envelope.around(&[]);
        let room = envelope.framing.max_frame_len().saturating_sub(empty.len());
        let header = envelope.header_of(registration).or_else(|| envelope.header_of(&empty));
        let mut header = header.unwrap_or_default();
        if let Some(kind) = header.get_mut(envelope.kind_at) {
            *kind = envelope.data_down;
        }
        let (deframer, chunk) = (Deframer::new(envelope.framing.clone()), room.clamp(1, CHUNK));
        Self { envelope, deframer, header, chunk, gives_up: false }
    }

    /// The next step over what is there with `bytes` behind it, and how many of them it took.
    pub(super) fn next(&mut self, bytes: &[u8]) -> (usize, Unwrapped) {
        let (taken, step) = self.deframer.next_step_from(bytes);
        let unwrapped = match step {
            Step::NeedMore { .. } => None,
            Step::Skipped { bytes, cause } => Some(Unwrapped::Skipped { bytes, cause }),
            Step::Frame(frame) => {
                let kind = frame.as_bytes().get(self.envelope.kind_at).copied().unwrap_or_default();
                let (whole, payload) = (Bytes::copy_from_slice(frame.as_bytes()), frame.payload_range());
                Some(if kind == self.envelope.data_up {
                    let frame = dtu_proto::Frame::new(&whole, payload).expect("a payload lies in its frame");
                    let mut data = Vec::new();
                    self.envelope.framing.payload_into(&frame, &mut data);
                    Unwrapped::Data(data.into())
                } else if kind == self.envelope.register {
                    Unwrapped::Register(whole)
                } else if Some(kind) == self.envelope.logout {
                    Unwrapped::Logout(whole)
                } else {
                    Unwrapped::Control { kind }
                })
            }
        };
        (taken, unwrapped.unwrap_or_else(|| self.wait()))
    }

    /// What waits is waited for, or given up.
    fn wait(&mut self) -> Unwrapped {
        if self.gives_up
            && let Some(Step::Skipped { bytes, cause }) = self.deframer.abandon_candidate()
        {
            return Unwrapped::Skipped { bytes, cause };
        }
        self.gives_up = false;
        Unwrapped::NeedMore
    }

    /// The unit fell silent in the middle of an envelope: the next steps over nothing more give up what waits.
    pub(super) fn give_up(&mut self) {
        self.gives_up = self.is_waiting();
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.buffered() > 0
    }

    /// The bytes that wait for the rest of their envelope.
    pub(super) const fn buffered(&self) -> usize {
        self.deframer.buffered()
    }

    /// Puts envelopes around bytes for the line.
    ///
    /// # Errors
    ///
    /// When the framing cannot carry them. Nothing is put behind `out` then.
    pub(super) fn wrap(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        let mut parts = bytes.chunks(self.chunk);
        let wrapped = parts.try_for_each(|part| self.envelope.framing.encode_into(&self.header, part, out));
        wrapped.inspect_err(|_| out.truncate(before))
    }
}
