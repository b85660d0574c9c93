//! The steps of any framing over a stream, in a form that does not depend on how the stream was cut.

use super::Cuts;
use crate::deframer::Deframer;
use crate::framing::{Framing, Step};
use alloc::vec::Vec;

/// A step with what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// A frame.
    Frame {
        /// All of it, as it stood on the line.
        bytes: Vec<u8>,
        /// Its payload, with escapes undone.
        payload: Vec<u8>,
    },
    /// Skips one behind the other whose causes have one name.
    Skipped {
        /// How many bytes.
        bytes: usize,
        /// The name of the cause.
        cause: &'static str,
    },
}

impl Merged {
    /// How many bytes of the stream it covers.
    #[must_use]
    pub fn covered(&self) -> usize {
        match self {
            Self::Frame { bytes, .. } => bytes.len(),
            Self::Skipped { bytes, .. } => *bytes,
        }
    }
}

/// The steps over `stream`, read as `cuts` says, to its end: what waits for more there is given up.
///
/// # Panics
///
/// When a step breaks the contract of [`Framing`].
#[must_use]
pub fn merged_steps<F: Framing + ?Sized>(framing: &F, stream: &[u8], cuts: Cuts) -> Vec<Merged> {
    let mut deframer = Deframer::new(framing);
    let mut steps = Vec::new();
    for mut read in cuts.of(stream) {
        while !read.is_empty() {
            let taken = deframer.push(read);
            assert!(taken > 0, "no room after NeedMore");
            read = &read[taken..];
            drain(&mut deframer, &mut steps);
        }
    }
    while let Some(step) = deframer.abandon_candidate() {
        merge(framing, &mut steps, &step);
        drain(&mut deframer, &mut steps);
    }
    let covered: usize = steps.iter().map(Merged::covered).sum();
    assert_eq!(covered, stream.len(), "every byte is in one step");
    steps
}

fn drain<F: Framing + ?Sized>(deframer: &mut Deframer<&F, Vec<u8>>, steps: &mut Vec<Merged>) {
    loop {
        let (framing, waiting) = (*deframer.framing(), deframer.buffered());
        let step = deframer.next_step();
        if let Step::NeedMore { at_least } = step {
            assert!(
                waiting + at_least.get() <= framing.max_frame_len(),
                "{at_least} more after {waiting} are no frame"
            );
            return;
        }
        assert!((1..=waiting).contains(&step.covered()), "covers {} of {waiting} bytes", step.covered());
        merge(framing, steps, &step);
    }
}

fn merge<F: Framing + ?Sized>(framing: &F, steps: &mut Vec<Merged>, step: &Step<'_>) {
    match step {
        Step::Frame(frame) => {
            let mut payload = Vec::new();
            framing.payload_into(frame, &mut payload);
            steps.push(Merged::Frame { bytes: frame.as_bytes().to_vec(), payload });
        }
        Step::Skipped { bytes: more, cause } => match steps.last_mut() {
            Some(Merged::Skipped { bytes, cause: name }) if *name == cause.name() => *bytes += more,
            _ => steps.push(Merged::Skipped { bytes: *more, cause: cause.name() }),
        },
        Step::NeedMore { .. } => {}
    }
}
