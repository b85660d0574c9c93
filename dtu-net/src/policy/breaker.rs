//! The rules of a breaker from a file.

use super::error::PolicyError;
use crate::breaker::{BreakerConfig, FailureRate, OPEN_FOR, PROBE_DEADLINE, PROBES};
use core::time::Duration;

/// A [`BreakerConfig`] that is not built yet. The default is [`BreakerConfig::DEFAULT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct BreakerSpec {
    /// How many failures in a row open it. Without it the default counts, and with a rate only the rate.
    pub consecutive: Option<u32>,
    /// The rate of failures that opens it.
    pub rate: Option<RateSpec>,
    /// How long it stays open, in milliseconds.
    pub open_for_ms: u64,
    /// How many probes it admits when half-open.
    pub probes: u32,
    /// How long probes may take, in milliseconds.
    pub probe_deadline_ms: u64,
}

/// A [`FailureRate`] that is not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct RateSpec {
    /// The time over which calls are counted, in milliseconds.
    pub window_ms: u64,
    /// The failures in a thousand calls from which on it opens.
    pub permille: u16,
    /// How many calls the window must hold.
    pub min_calls: u32,
}

impl BreakerSpec {
    /// Checks every field and gives the rules.
    ///
    /// # Errors
    ///
    /// The first field that is outside of the bounds that [`BreakerConfig`] names.
    pub fn build(&self) -> Result<BreakerConfig, PolicyError> {
        let mut config = BreakerConfig::DEFAULT;
        if let Some(RateSpec { window_ms, permille, min_calls }) = self.rate {
            let window = Duration::from_millis(window_ms);
            config = config.rate(FailureRate { window, permille, min_calls })?.without_consecutive()?;
        }
        if let Some(failures) = self.consecutive {
            config = config.consecutive(failures)?;
        }
        config
            .open_for(Duration::from_millis(self.open_for_ms))?
            .probes(self.probes)?
            .probe_deadline(Duration::from_millis(self.probe_deadline_ms))
    }
}

impl Default for BreakerSpec {
    fn default() -> Self {
        Self {
            consecutive: None,
            rate: None,
            open_for_ms: OPEN_FOR.as_millis() as u64,
            probes: PROBES,
            probe_deadline_ms: PROBE_DEADLINE.as_millis() as u64,
        }
    }
}
