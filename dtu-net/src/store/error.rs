//! Why a store cannot be opened.

use core::fmt;
use dtu_proto::Malformed;
use std::io;

/// Why a store could not be opened. With every cause but [`Io`](Self::Io) the file is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The file system failed.
    Io(io::Error),
    /// Another store, in this process or another one, has the file open.
    Locked,
    /// The file does not begin with an intact head record. It is no store, or its head is damaged.
    NoHead {
        /// Why no frame could be read there; `None` when there is a frame and it is no head.
        cause: Option<Malformed>,
    },
    /// The file is a store of a version that this one does not know.
    Version {
        /// The version in the head.
        found: u8,
        /// The version known here.
        known: u8,
    },
    /// More numbers may have stood in the damaged bytes than can be open in a stream.
    Doubtful {
        /// The damaged bytes.
        damaged_bytes: u64,
    },
    /// A new store was to get the stream 0, which means "none" (S-9).
    StreamZero,
}

impl StoreError {
    /// The cause as one word, for machine-readable output.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Io(_) => "io",
            Self::Locked => "locked",
            Self::NoHead { .. } => "no_head",
            Self::Version { .. } => "version",
            Self::Doubtful { .. } => "doubtful",
            Self::StreamZero => "stream_zero",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Locked => f.write_str("the outbox is in use by another process, or by another store of this one"),
            Self::NoHead { cause: None } => f.write_str("not an outbox: its first frame is another one"),
            Self::NoHead { cause: Some(cause) } => write!(f, "not an outbox, or its first bytes are damaged: {cause}"),
            Self::Version { found, known } => write!(f, "an outbox of version {found}, and {known} is known here"),
            Self::Doubtful { damaged_bytes } => {
                write!(f, "{damaged_bytes} bytes are damaged, which numbers are free cannot be told")
            }
            Self::StreamZero => f.write_str("a new outbox cannot have the stream 0"),
        }
    }
}

impl core::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Io(error) => error.source(),
            Self::NoHead { cause: Some(cause) } => Some(cause),
            Self::NoHead { cause: None }
            | Self::Locked
            | Self::Version { .. }
            | Self::Doubtful { .. }
            | Self::StreamZero => None,
        }
    }
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
