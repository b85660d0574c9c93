//! The newest change of state, as a link keeps it: a device that is there needs no cause and no words.

use crate::error::Cause;
use crate::event::{Epoch, State, StateChange};
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Last {
    at: Instant,
    /// Only of a change that has a cause, or words about it.
    why: Option<Box<Why>>,
    epoch: Epoch,
    state: State,
}

#[derive(Debug)]
struct Why {
    cause: Option<Cause>,
    reason: Box<str>,
}

impl Last {
    /// A link that begins.
    pub(crate) fn new(state: State, at: Instant) -> Self {
        Self { at, why: None, epoch: Epoch::default(), state }
    }

    pub(crate) fn change(&self) -> StateChange {
        let (cause, reason) = self.why.as_ref().map(|why| (why.cause, why.reason.clone())).unwrap_or_default();
        StateChange { state: self.state, cause, reason, at: self.at, epoch: self.epoch }
    }
}

impl From<StateChange> for Last {
    fn from(StateChange { state, cause, reason, at, epoch }: StateChange) -> Self {
        let has_words = cause.is_some() || !reason.is_empty();
        Self { at, why: has_words.then(|| Box::new(Why { cause, reason })), epoch, state }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Epoch, Last, State, StateChange};
    use crate::driver::now;

    #[test]
    fn a_change_comes_back_as_it_went_in_and_without_a_cause_it_is_small() {
        assert_eq!(size_of::<Last>(), 32);
        let at = now();
        for (cause, reason) in [(None, ""), (Some(Cause::Replaced), ""), (None, "why"), (Some(Cause::NoKey), "no key")]
        {
            let change = StateChange { state: State::Disconnected, cause, reason: reason.into(), at, epoch: Epoch(7) };
            let last = Last::from(change.clone());
            assert_eq!(last.change(), change);
            assert_eq!(last.why.is_none(), cause.is_none() && reason.is_empty());
        }
    }
}
