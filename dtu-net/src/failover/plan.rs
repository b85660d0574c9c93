//! The rules of a failover: which endpoints there are, and when a device leaves one for another.

use crate::backoff::{Backoff, Jitter, LONGEST};
use crate::breaker::BreakerConfig;
use core::fmt;
use core::time::Duration;
use std::sync::Arc;

/// The most endpoints of one device.
pub const ENDPOINTS_MAX: usize = 16;

/// How long a better endpoint has to answer every probe before a device goes back to it, unless set otherwise.
pub const HOLD: Duration = Duration::from_secs(300);

/// Over how much time after that the devices of a fleet go back, each at random, unless set otherwise.
pub const SPREAD: Duration = Duration::from_secs(300);

/// How often a better endpoint is probed, unless set otherwise; each time is drawn between half of it and all. A fleet of
/// 10 000 on its backup opens about 220 connections a second by this.
pub const PROBE_EVERY: Duration = Duration::from_secs(60);

/// The shortest time between two probes that can be asked for.
pub const PROBE_EVERY_MIN: Duration = Duration::from_millis(100);

/// How long a device that goes back waits for what it has sent to be acknowledged by the server that it leaves. Nothing new is
/// sent meanwhile. What is left then is sent again to the other server, and may come twice.
pub const MOVE: Duration = Duration::from_secs(10);

/// How long an endpoint that failed is left alone: half of 5 s to all of it, times 2 with each failure, at most a minute. The
/// first is longer than the link's own first delays, so that another endpoint comes in between.
pub const PAUSE: Backoff =
    Backoff::exponential(Duration::from_secs(5), 2_000, Duration::from_secs(60)).jitter(Jitter::Equal);

/// Where one endpoint stands among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// The lowest number is tried first.
    pub priority: u16,
    /// The share of devices that choose this one among those of the same priority; at least 1.
    pub weight: u16,
    /// Whether a probe can tell that it is there: a connect by TCP, and TLS. Without one a device does not go back to
    /// it as long as its connection to another one holds.
    pub is_probed: bool,
}

impl Rank {
    /// An endpoint that can be probed, of weight 1.
    #[must_use]
    pub const fn new(priority: u16) -> Self {
        Self { priority, weight: 1, is_probed: true }
    }
}

/// When a device on a backup goes back to a better endpoint while its connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailBack {
    /// See [`HOLD`]; at most [`LONGEST`].
    pub hold: Duration,
    /// See [`SPREAD`]; at most [`LONGEST`].
    pub spread: Duration,
    /// See [`PROBE_EVERY`]; from [`PROBE_EVERY_MIN`] to [`LONGEST`].
    pub probe_every: Duration,
}

impl FailBack {
    /// After 5 minutes in which every probe was answered, spread over 5 more.
    pub const DEFAULT: Self = Self { hold: HOLD, spread: SPREAD, probe_every: PROBE_EVERY };
}

impl Default for FailBack {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How endpoints are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailoverConfig {
    /// How long an endpoint that failed is left alone; see [`PAUSE`]. Its limits of attempts and of time do not count here.
    pub pause: Backoff,
    /// When an endpoint is left alone altogether, besides.
    pub breaker: BreakerConfig,
    /// When a device goes back; never by itself with `None`.
    pub fail_back: Option<FailBack>,
}

impl FailoverConfig {
    /// What it is unless changed.
    pub const DEFAULT: Self =
        Self { pause: PAUSE, breaker: BreakerConfig::DEFAULT, fail_back: Some(FailBack::DEFAULT) };
}

impl Default for FailoverConfig {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Endpoints and rules that fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(super) ranks: Arc<[Rank]>,
    pub(super) config: FailoverConfig,
}

impl Plan {
    /// Takes the ranks of the endpoints, which are numbered in this order, from 0.
    ///
    /// # Errors
    ///
    /// [`FailoverError`], which names the field.
    pub fn new(ranks: &[Rank], config: FailoverConfig) -> Result<Self, FailoverError> {
        let count = ranks.len();
        if count == 0 {
            return Err(FailoverError::NoEndpoint);
        }
        if count > ENDPOINTS_MAX {
            return Err(FailoverError::TooManyEndpoints { count, limit: ENDPOINTS_MAX });
        }
        if let Some(endpoint) = ranks.iter().position(|rank| rank.weight == 0) {
            return Err(FailoverError::Weight { endpoint });
        }
        if let Some(FailBack { hold, spread, probe_every }) = config.fail_back {
            within(Field::Hold, hold, Duration::ZERO)?;
            within(Field::Spread, spread, Duration::ZERO)?;
            within(Field::ProbeEvery, probe_every, PROBE_EVERY_MIN)?;
        }
        Ok(Self { ranks: ranks.into(), config })
    }
}

fn within(field: Field, given: Duration, least: Duration) -> Result<(), FailoverError> {
    let most = LONGEST;
    if (least..=most).contains(&given) { Ok(()) } else { Err(FailoverError::Time { field, given, least, most }) }
}

/// A time of [`FailBack`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// [`FailBack::hold`].
    Hold,
    /// [`FailBack::spread`].
    Spread,
    /// [`FailBack::probe_every`].
    ProbeEvery,
}

impl Field {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Spread => "spread",
            Self::ProbeEvery => "probe_every",
        }
    }
}

/// Why endpoints or rules cannot be used. Endpoints are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailoverError {
    /// There is none.
    NoEndpoint,
    /// There are more than [`ENDPOINTS_MAX`].
    TooManyEndpoints {
        /// How many.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// `weight` is 0: the endpoint would never be chosen.
    Weight {
        /// Which endpoint.
        endpoint: usize,
    },
    /// `target` stands there already.
    Duplicate {
        /// Which endpoint.
        endpoint: usize,
        /// The one with the same target.
        first: usize,
    },
    /// A time is out of its bounds.
    Time {
        /// Which.
        field: Field,
        /// Its value.
        given: Duration,
        /// The least it may be.
        least: Duration,
        /// The most it may be.
        most: Duration,
    },
}

impl fmt::Display for FailoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoint => f.write_str("endpoints: there has to be one at least"),
            Self::TooManyEndpoints { count, limit } => {
                write!(f, "endpoints: there are {count}, and {limit} are allowed")
            }
            Self::Weight { endpoint } => write!(f, "weight of endpoint {endpoint}: it has to be 1 at least"),
            Self::Duplicate { endpoint, first } => {
                write!(f, "target of endpoint {endpoint}: it is that of endpoint {first} already")
            }
            Self::Time { field, given, least, most } => {
                write!(f, "{}: {given:?} is not within {least:?} and {most:?}", field.name())
            }
        }
    }
}

impl core::error::Error for FailoverError {}
