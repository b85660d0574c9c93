//! How the streams of an input are read.

use super::choice::Choice;
use dtu_proto::sniff::Candidate;

/// Where the framing of a stream comes from.
#[derive(Clone, Copy)]
pub(crate) enum Source<'f> {
    /// The user named it.
    Known(&'f Choice),
    /// The first bytes of the stream tell it. The candidates are the choices, in their order.
    Sniffed { choices: &'f [Choice], candidates: &'f [Candidate<'f>] },
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
    One(Choice),
    Sniffed(Vec<Choice>),
}

impl Selection {
    /// What a sniffer chooses from; empty where there is nothing to choose.
    pub(crate) fn candidates(&self) -> Vec<Candidate<'_>> {
        match self {
            Self::One(_) => Vec::new(),
            Self::Sniffed(choices) => {
                let candidate = |choice| {
                    let named = Choice::of(choice, None);
                    Candidate { name: named.name(), framing: named }
                };
                choices.iter().map(candidate).collect()
            }
        }
    }

    /// The source, with what [`candidates`](Self::candidates) gave.
    pub(crate) fn source<'f>(&'f self, candidates: &'f [Candidate<'f>]) -> Source<'f> {
        match self {
            Self::One(choice) => Source::Known(choice),
            Self::Sniffed(choices) => Source::Sniffed { choices, candidates },
        }
    }
}
