//! How the streams of an input are read.

use super::choice::Choice;
use super::named::Named;
use super::way::Way;
use dtu_proto::sniff::Candidate;

/// Where the framing of a stream comes from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'f> {
    /// The user named it.
    Known(&'f Choice),
    /// The first bytes of the stream tell it. The candidates are the choices, in their order.
    Sniffed {
        choices: &'f [Choice],
        candidates: &'f [Candidate<'f>],
        /// So many of them, from the first, are for streams; the others are for datagrams.
        for_streams: usize,
    },
}

impl Source<'_> {
    /// The same for a stream: without what is for datagrams alone.
    pub(crate) fn for_streams(self) -> Self {
        match self {
            Self::Known(choice) => Self::Known(choice),
            Self::Sniffed { choices, candidates, for_streams } => {
                let candidates = candidates.get(..for_streams).unwrap_or(candidates);
                Self::Sniffed { choices, candidates, for_streams }
            }
        }
    }
}

/// What was chosen for all the streams of an input.
#[derive(Clone, Copy)]
pub(crate) struct Plan<'f> {
    pub(crate) outer: Source<'f>,
    /// For what the frames carry.
    pub(crate) inner: Option<Source<'f>>,
}

/// What a source is made from: it owns the framings.
pub(crate) enum Selection {
    One(Box<Choice>),
    /// Those that can be told by their bytes; behind the first `for_streams` are those for datagrams alone.
    Sniffed {
        choices: Vec<Choice>,
        for_streams: usize,
    },
}

impl Selection {
    /// What a sniffer chooses from; empty where there is nothing to choose.
    pub(crate) fn candidates(&self) -> Vec<Candidate<'_>> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Sniffed { choices, .. } => {
                let candidate = |choice| {
                    let named = Choice::of(choice, None);
                    Candidate { name: named.name(), framing: named }
                };
                choices.iter().map(candidate).collect()
            }
        }
    }

    /// The framing, or the likeliest of them, for one way of the bytes where that makes a difference.
    pub(crate) fn first(&self) -> &Named {
        let choice = match self {
            Self::One(choice) => choice,
            Self::Sniffed { choices, .. } => choices.first().expect("the native framing is one of them"),
        };
        choice.of(Some(Way::Up))
    }

    /// The source, with what [`candidates`](Self::candidates) gave.
    pub(crate) fn source<'f>(&'f self, candidates: &'f [Candidate<'f>]) -> Source<'f> {
        match self {
            Self::One(choice) => Source::Known(choice),
            Self::Sniffed { choices, for_streams } => {
                Source::Sniffed { choices, candidates, for_streams: *for_streams }
            }
        }
    }
}
