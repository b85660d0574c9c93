//! The time of day as the API tells it.

use core::time::Duration;
use serde::Serialize;
use std::time::{Instant, SystemTime};

/// Milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self(millis(since))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Tells instants as times of day. Both are read once, so that the same instant is always the same time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    instant: Instant,
    millis: Millis,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { instant: Instant::now(), millis: Millis::now() }
    }

    pub(crate) fn millis(&self, at: Instant) -> Millis {
        let Self { instant, millis: Millis(start) } = *self;
        match at.checked_duration_since(instant) {
            Some(after) => Millis(start.saturating_add(millis(after))),
            None => Millis(start.saturating_sub(millis(instant.saturating_duration_since(at)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_before_and_behind_the_start_have_their_times() {
        let clock = Clock { instant: Instant::now(), millis: Millis(5000) };
        assert_eq!(clock.millis(clock.instant + Duration::from_millis(1500)), Millis(6500));
        assert_eq!(clock.millis(clock.instant - Duration::from_millis(1500)), Millis(3500));
    }
}
