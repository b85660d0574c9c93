//! Which way bytes go, as framings that differ by it have to know.

use serde::Serialize;

/// The way of bytes between a device and its master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// From the device: replies
    Up,
    /// Towards the device: requests
    Down,
}

impl Way {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}
