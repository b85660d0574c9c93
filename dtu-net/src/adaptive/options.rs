//! How an adaptive heartbeat searches.

use super::search::RESOLUTION;
use crate::limits::{HEARTBEAT_MAX, HEARTBEAT_MIN};
use core::fmt;
use core::time::Duration;

/// The shortest interval that is tried, where [`START`] is too long. NATs that keep a TCP connection for less are broken
/// beyond the help of a heartbeat.
pub const FLOOR: Duration = Duration::from_secs(15);

/// The first interval on a network that is not known: the heartbeat that is usual without a search.
pub const START: Duration = Duration::from_secs(30);

/// The longest interval that is tried, whatever the server announces.
pub const MAXIMUM: Duration = Duration::from_secs(30 * 60);

/// By how much an interval grows that held, in thousandths.
pub const STEP: u32 = 2_000;

/// The greatest step: with more, one wrong try would be far off.
pub const STEP_MOST: u32 = 4_000;

/// The part of the longest interval that held which is used in the end, in thousandths: timers of NATs run in coarse ticks.
pub const MARGIN: u32 = 900;

/// The least margin: below, the search would not be worth its broken connections.
pub const MARGIN_LEAST: u32 = 500;

/// How long the shortest interval that failed is believed before it is tried once more. A try that fails costs a
/// connection.
pub const RETRY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a PING at an interval that is not known to hold may stay without an answer before the next one; longer where
/// the measured round trip says so, and never longer than [`PROBE_TIMEOUT`](crate::limits::PROBE_TIMEOUT). Long enough for
/// one repeat by TCP and a radio that slept, and a third of the usual time.
pub const TRIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// What can be set about an [`AdaptiveHeartbeat`]. Start from `AdaptiveOptions::default()` and change what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdaptiveOptions {
    /// See [`FLOOR`].
    pub floor: Duration,
    /// See [`START`].
    pub start: Duration,
    /// See [`MAXIMUM`].
    pub maximum: Duration,
    /// See [`STEP`].
    pub step: u32,
    /// See [`MARGIN`].
    pub margin: u32,
    /// See [`RETRY`].
    pub retry: Duration,
    /// See [`TRIAL_TIMEOUT`].
    pub trial_timeout: Duration,
}

impl Default for AdaptiveOptions {
    fn default() -> Self {
        Self {
            floor: FLOOR,
            start: START,
            maximum: MAXIMUM,
            step: STEP,
            margin: MARGIN,
            retry: RETRY,
            trial_timeout: TRIAL_TIMEOUT,
        }
    }
}

/// An adaptive heartbeat whose options fit together.
///
/// # Examples
///
/// ```
/// use dtu_net::DeviceConfig;
/// use dtu_net::adaptive::{AdaptiveError, AdaptiveHeartbeat, AdaptiveOptions};
/// use std::time::Duration;
///
/// let mut config = DeviceConfig::new("meter-7")?;
/// config.adaptive = Some(AdaptiveHeartbeat::default());
///
/// let mut options = AdaptiveOptions::default();
/// options.maximum = Duration::from_secs(10);
/// let (floor, maximum) = (options.floor, options.maximum);
/// assert_eq!(AdaptiveHeartbeat::new(options), Err(AdaptiveError::FloorAboveMaximum { floor, maximum }));
/// # Ok::<(), dtu_proto::message::MessageError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AdaptiveHeartbeat(AdaptiveOptions);

impl AdaptiveHeartbeat {
    /// Takes these options.
    ///
    /// # Errors
    ///
    /// The first of them that is out of its bounds.
    pub fn new(options: AdaptiveOptions) -> Result<Self, AdaptiveError> {
        let AdaptiveOptions { floor, start, maximum, step, margin, retry, trial_timeout } = options;
        if floor < HEARTBEAT_MIN {
            return Err(AdaptiveError::Floor { floor });
        }
        if maximum > HEARTBEAT_MAX {
            return Err(AdaptiveError::Maximum { maximum });
        }
        if floor > maximum {
            return Err(AdaptiveError::FloorAboveMaximum { floor, maximum });
        }
        if !(floor..=maximum).contains(&start) {
            return Err(AdaptiveError::Start { start, floor, maximum });
        }
        if !(RESOLUTION..=STEP_MOST).contains(&step) {
            return Err(AdaptiveError::Step { step });
        }
        if !(MARGIN_LEAST..=1_000).contains(&margin) {
            return Err(AdaptiveError::Margin { margin });
        }
        if retry < maximum {
            return Err(AdaptiveError::Retry { retry, maximum });
        }
        if trial_timeout.is_zero() {
            return Err(AdaptiveError::TrialTimeout);
        }
        Ok(Self(options))
    }

    /// The options.
    #[must_use]
    pub const fn options(&self) -> &AdaptiveOptions {
        &self.0
    }
}

/// Which option of an [`AdaptiveHeartbeat`] is out of its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdaptiveError {
    /// `floor` is below [`HEARTBEAT_MIN`].
    Floor {
        /// What it is.
        floor: Duration,
    },
    /// `maximum` is above [`HEARTBEAT_MAX`].
    Maximum {
        /// What it is.
        maximum: Duration,
    },
    /// `floor` is above `maximum`.
    FloorAboveMaximum {
        /// What the floor is.
        floor: Duration,
        /// What the maximum is.
        maximum: Duration,
    },
    /// `start` is not between `floor` and `maximum`.
    Start {
        /// What it is.
        start: Duration,
        /// The least it may be.
        floor: Duration,
        /// The most it may be.
        maximum: Duration,
    },
    /// `step` is not between [`RESOLUTION`] and [`STEP_MOST`].
    Step {
        /// What it is, in thousandths.
        step: u32,
    },
    /// `margin` is not between [`MARGIN_LEAST`] and 1000.
    Margin {
        /// What it is, in thousandths.
        margin: u32,
    },
    /// `retry` is below `maximum`: connections would be broken one after the other.
    Retry {
        /// What it is.
        retry: Duration,
        /// The least it may be.
        maximum: Duration,
    },
    /// `trial_timeout` is zero.
    TrialTimeout,
}

impl fmt::Display for AdaptiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Floor { floor } => write!(f, "a floor of {floor:?}, and the least is {HEARTBEAT_MIN:?}"),
            Self::Maximum { maximum } => write!(f, "a maximum of {maximum:?}, and the most is {HEARTBEAT_MAX:?}"),
            Self::FloorAboveMaximum { floor, maximum } => {
                write!(f, "a floor of {floor:?} above the maximum of {maximum:?}")
            }
            Self::Start { start, floor, maximum } => {
                write!(f, "a start of {start:?} is not from the floor of {floor:?} to the maximum of {maximum:?}")
            }
            Self::Step { step } => {
                write!(f, "a step of {step} thousandths is not from {RESOLUTION} to {STEP_MOST}")
            }
            Self::Margin { margin } => {
                write!(f, "a margin of {margin} thousandths is not from {MARGIN_LEAST} to 1000")
            }
            Self::Retry { retry, maximum } => {
                write!(f, "a retry after {retry:?} is shorter than the maximum of {maximum:?}")
            }
            Self::TrialTimeout => f.write_str("a trial timeout of zero"),
        }
    }
}

impl core::error::Error for AdaptiveError {}
