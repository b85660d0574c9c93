//! Frames of a unit around those of its line, checked.

use super::error::{Key, Problem, ProfileError};
use super::framing::SharedFraming;
use super::profile::EnvelopeSpec;
use super::template::Template;
use dtu_proto::{Examined, Framing};

/// Kinds of envelopes stand near their beginning.
const KIND_AT_MAX: usize = 64;

/// Frames of the unit around those of its line.
#[derive(Debug, Clone)]
pub(super) struct Envelope {
    pub(super) framing: SharedFraming,
    pub(super) kind_at: usize,
    pub(super) register: u8,
    pub(super) data_up: u8,
    pub(super) data_down: u8,
    pub(super) logout: Option<u8>,
    pub(super) logout_reply: Template,
}

impl Envelope {
    /// Checks every key; the answer to a logout is checked by the caller, who knows the registration.
    ///
    /// # Errors
    ///
    /// The first key with a value that it cannot have.
    pub(super) fn new(spec: &EnvelopeSpec, logout_reply: Result<Template, ProfileError>) -> Result<Self, ProfileError> {
        let error = |key, problem| ProfileError { key, problem };
        let framing = spec.framing.build().map_err(|problem| error(Key::EnvelopeFraming, problem))?;
        if spec.kind_at >= KIND_AT_MAX {
            return Err(error(Key::KindAt, Problem::Number { least: 0, most: KIND_AT_MAX - 1 }));
        }
        let envelope = Self {
            framing,
            kind_at: spec.kind_at,
            register: spec.register,
            data_up: spec.data_up,
            data_down: spec.data_down,
            logout: spec.logout,
            logout_reply: logout_reply?,
        };
        // A framing that carries neither nothing nor this byte shows its header with the first registration alone.
        let header = [&b""[..], b"0"].into_iter().find_map(|payload| envelope.header_of(&envelope.around(payload)));
        if let Some(len) = header.map(|header| header.len()).filter(|len| spec.kind_at >= *len) {
            return Err(error(Key::KindAt, Problem::BehindHeader { len }));
        }
        if spec.register == spec.data_up {
            return Err(error(Key::Register, Problem::SameAs { key: Key::DataUp }));
        }
        if spec.logout == Some(spec.register) {
            return Err(error(Key::Register, Problem::SameAs { key: Key::Logout }));
        }
        if spec.logout == Some(spec.data_up) {
            return Err(error(Key::Logout, Problem::SameAs { key: Key::DataUp }));
        }
        Ok(envelope)
    }

    /// An envelope around `payload`; no byte where the framing cannot carry it.
    pub(super) fn around(&self, payload: &[u8]) -> Vec<u8> {
        let mut envelope = Vec::new();
        if self.framing.encode_into(&[], payload, &mut envelope).is_err() {
            envelope.clear();
        }
        envelope
    }

    /// What stands before the payload of `bytes`, if they are an envelope.
    pub(super) fn header_of(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self.framing.examine(bytes) {
            Examined::Frame(frame) => frame.as_bytes().get(..frame.payload_range().start).map(<[u8]>::to_vec),
            Examined::NeedMore { .. } | Examined::Rejected { .. } => None,
        }
    }
}
