//! Every way to receive a stream, behind one trait.

use dtu_proto::frame::{CHECKSUM_LEN, HEADER_LEN};
use dtu_proto::{Deframer, Native, Step};

/// Every receiver this build has; `storage` is for those without a heap.
pub(crate) fn receivers<'a>(native: Native, storage: &'a mut [u8]) -> Vec<(&'static str, Box<dyn Receiver + 'a>)> {
    let fixed = Deframer::with_storage(native, storage).expect("the longest frame fits");
    vec![
        ("fixed storage", Box::new(fixed)),
        #[cfg(feature = "alloc")]
        ("heap", Box::new(Deframer::new(native))),
        #[cfg(feature = "alloc")]
        ("heap in batches", Box::new(Batches(Deframer::new(native)))),
        #[cfg(feature = "bytes")]
        ("chunk", Box::new(with_bytes::Chunks(native, bytes::Bytes::new()))),
        #[cfg(feature = "tokio-util")]
        ("codec", Box::new(with_tokio_util::Codec(dtu_proto::codec::FrameCodec::new(native), bytes::BytesMut::new()))),
    ]
}

/// A way to receive a stream in pieces.
pub(crate) trait Receiver {
    /// Takes the next bytes and gives all steps there are.
    fn receive(&mut self, bytes: &[u8], steps: &mut Vec<Merged>);

    /// Gives up one candidate; false when nothing waits.
    fn abandon(&mut self, steps: &mut Vec<Merged>) -> bool;
}

impl<S: dtu_proto::deframer::Storage> Receiver for Deframer<Native, S> {
    fn receive(&mut self, mut bytes: &[u8], steps: &mut Vec<Merged>) {
        loop {
            let taken = self.push(bytes);
            assert!(taken > 0 || bytes.is_empty(), "no room for bytes that were asked for");
            bytes = &bytes[taken..];
            loop {
                match self.next_step() {
                    Step::NeedMore { .. } => break,
                    step @ (Step::Frame(_) | Step::Skipped { .. }) => merge(steps, step),
                }
            }
            if bytes.is_empty() {
                break;
            }
        }
    }

    fn abandon(&mut self, steps: &mut Vec<Merged>) -> bool {
        self.abandon_candidate().map(|step| merge(steps, step)).is_some()
    }
}

/// A deframer that is asked for all steps at once.
#[cfg(feature = "alloc")]
struct Batches(Deframer<Native, Vec<u8>>);

#[cfg(feature = "alloc")]
impl Receiver for Batches {
    fn receive(&mut self, mut bytes: &[u8], steps: &mut Vec<Merged>) {
        loop {
            let taken = self.0.push(bytes);
            assert!(taken > 0 || bytes.is_empty(), "no room for bytes that were asked for");
            bytes = &bytes[taken..];
            self.0.for_each_step(|step| merge(steps, step));
            if bytes.is_empty() {
                break;
            }
        }
    }

    fn abandon(&mut self, steps: &mut Vec<Merged>) -> bool {
        self.0.abandon_candidate().map(|step| merge(steps, step)).is_some()
    }
}

#[cfg(feature = "bytes")]
mod with_bytes {
    use super::{Merged, Native, Receiver};
    use bytes::Bytes;
    use dtu_proto::chunk::{Chunk, StepBuf};

    /// The framing, and what the last chunk left over.
    pub(super) struct Chunks(pub(super) Native, pub(super) Bytes);

    impl Receiver for Chunks {
        fn receive(&mut self, bytes: &[u8], steps: &mut Vec<Merged>) {
            let mut chunk = Chunk::new(self.0, [&self.1[..], bytes].concat().into());
            chunk.by_ref().for_each(|step| merge_owned(steps, &step));
            self.1 = chunk.into_rest();
        }

        fn abandon(&mut self, steps: &mut Vec<Merged>) -> bool {
            let mut chunk = Chunk::new(self.0, self.1.clone());
            let abandoned = chunk.abandon_candidate().map(|step| merge_owned(steps, &step)).is_some();
            self.1 = chunk.into_rest();
            abandoned
        }
    }

    pub(super) fn merge_owned(steps: &mut Vec<Merged>, step: &StepBuf) {
        match step {
            StepBuf::Frame(frame) => steps.push(Merged::Frame(frame.payload().to_vec())),
            StepBuf::Skipped { bytes, cause } => Merged::skip(steps, *bytes, cause.name()),
        }
    }
}

#[cfg(feature = "tokio-util")]
mod with_tokio_util {
    use super::{Merged, Native, Receiver, with_bytes::merge_owned};
    use bytes::BytesMut;
    use dtu_proto::codec::FrameCodec;
    use tokio_util::codec::Decoder;

    /// The codec, and the buffer that `Framed` would keep.
    pub(super) struct Codec(pub(super) FrameCodec<Native>, pub(super) BytesMut);

    impl Receiver for Codec {
        fn receive(&mut self, bytes: &[u8], steps: &mut Vec<Merged>) {
            self.1.extend_from_slice(bytes);
            while let Some(step) = self.0.decode(&mut self.1).expect("dirt is no error") {
                merge_owned(steps, &step);
            }
        }

        fn abandon(&mut self, steps: &mut Vec<Merged>) -> bool {
            let step = self.0.decode_eof(&mut self.1).expect("dirt is no error");
            step.map(|step| merge_owned(steps, &step)).is_some()
        }
    }
}

/// A step of a stream whose neighbouring skips of one cause are added up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Merged {
    Frame(Vec<u8>),
    Skipped(usize, String),
}

impl Merged {
    fn skip(steps: &mut Vec<Self>, bytes: usize, cause: &str) {
        assert!(bytes > 0, "a skip of no bytes");
        match steps.last_mut() {
            Some(Self::Skipped(sum, last)) if last == cause => *sum += bytes,
            _ => steps.push(Self::Skipped(bytes, cause.to_owned())),
        }
    }

    pub(crate) fn covered(&self) -> usize {
        match self {
            Self::Frame(payload) => payload.len() + HEADER_LEN + CHECKSUM_LEN,
            Self::Skipped(bytes, _) => *bytes,
        }
    }
}

fn merge(steps: &mut Vec<Merged>, step: Step<'_>) {
    match step {
        Step::Frame(frame) => steps.push(Merged::Frame(frame.payload().to_vec())),
        Step::Skipped { bytes, cause } => Merged::skip(steps, bytes, cause.name()),
        Step::NeedMore { .. } => panic!("no step"),
    }
}
