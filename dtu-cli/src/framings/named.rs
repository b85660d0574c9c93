//! A framing with the name under which the user chose it.

use super::either::Either;
use super::way::Way;
use core::fmt;
use dtu_proto::encode::{EncodeError, Sink};
use dtu_proto::{Examined, Frame, Framing, Native};

/// A framing that was chosen; the sniffer shares it between threads, as others do.
pub(super) type Shared = Box<dyn Framing + Send + Sync>;

/// A framing and what it is called in the output.
pub(crate) struct Named {
    name: String,
    framing: Any,
    is_datagram: bool,
    /// The framing of what stands behind the first frame, where that is a registration.
    behind_first: Option<Box<Self>>,
}

/// The native framing is named here so that it is walked over without a call through a pointer.
enum Any {
    Native(Native),
    /// One that is the same both ways.
    Same(Shared),
    /// One that differs, for this way.
    OneWay(Way, Shared),
    /// One that differs, where it is not known which way the bytes went.
    Either(Either),
}

impl Named {
    pub(crate) fn native(framing: Native) -> Self {
        Self { name: super::NATIVE.to_owned(), framing: Any::Native(framing), is_datagram: false, behind_first: None }
    }

    pub(crate) fn same(name: &str, framing: Shared) -> Self {
        Self { name: name.to_owned(), framing: Any::Same(framing), is_datagram: false, behind_first: None }
    }

    pub(crate) fn one_way(name: &str, way: Way, framing: Shared) -> Self {
        Self { name: name.to_owned(), framing: Any::OneWay(way, framing), is_datagram: false, behind_first: None }
    }

    pub(crate) fn either(name: &str, framing: Either) -> Self {
        Self { name: name.to_owned(), framing: Any::Either(framing), is_datagram: false, behind_first: None }
    }

    /// The same where a frame ends with its datagram.
    pub(crate) fn of_datagrams(self) -> Self {
        Self { is_datagram: true, ..self }
    }

    /// The same where only the first frame can be a registration, and the others are in `framing`.
    pub(crate) fn with_registration(self, framing: Self) -> Self {
        Self { behind_first: Some(Box::new(framing)), ..self }
    }

    /// The framing of what stands behind the first frame, where that is another.
    pub(crate) fn behind_first(&self) -> Option<&Self> {
        self.behind_first.as_deref()
    }

    /// Whether a frame ends with its datagram, so that it has no verdict before all of it is there.
    pub(crate) const fn is_datagram(&self) -> bool {
        self.is_datagram
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether payloads are messages.
    pub(crate) const fn is_native(&self) -> bool {
        matches!(self.framing, Any::Native(_))
    }

    /// Which way a frame of this framing went, where that makes a difference and can be told.
    pub(crate) fn way_of(&self, frame: &Frame<'_>) -> Option<Way> {
        match &self.framing {
            Any::Native(_) | Any::Same(_) => None,
            Any::OneWay(way, _) => Some(*way),
            Any::Either(either) => either.way_of(frame),
        }
    }

    /// The payload of a frame as its sender meant it.
    pub(crate) fn payload(&self, frame: &Frame<'_>) -> Vec<u8> {
        let mut payload = Vec::new();
        self.payload_into(frame, &mut payload);
        payload
    }

    #[inline]
    fn other(&self) -> &dyn Framing {
        match &self.framing {
            Any::Native(native) => native,
            Any::Same(framing) | Any::OneWay(_, framing) => framing,
            Any::Either(either) => either,
        }
    }
}

impl Framing for Named {
    #[inline]
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        match &self.framing {
            Any::Native(native) => native.examine(candidate),
            Any::Same(_) | Any::OneWay(..) | Any::Either(_) => self.other().examine(candidate),
        }
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        self.other().find_start(bytes)
    }

    fn max_frame_len(&self) -> usize {
        self.other().max_frame_len()
    }

    fn evidence(&self) -> u32 {
        self.other().evidence()
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        self.other().payload_into(frame, sink);
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        self.other().encode_into(header, payload, sink)
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named").field("name", &self.name).finish_non_exhaustive()
    }
}
