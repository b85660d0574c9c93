//! `[capture]` of the settings.

use crate::settings::units::Size;
use anyhow::ensure;
use serde::Deserialize;
use std::path::PathBuf;

/// The smallest file: every packet fits it.
const MIN_FILE: u64 = 256 << 10;

/// The least that may wait to be written: some of the longest packets.
const MIN_QUEUE: u64 = 256 << 10;

/// The least that is kept of a packet: its headers.
const MIN_SNAP: u64 = 96;

/// Where the capture goes and what it may take.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptureSettings {
    /// The directory of the files; it is made if there is none. They hold all that devices say, keys excepted, so nobody but the
    /// gateway's user can read them.
    pub(crate) dir: PathBuf,
    /// How long a file may become before the next one begins.
    #[serde(default = "file")]
    pub(crate) max_file_size: Size,
    /// How much all files of the directory may take together; the oldest are removed.
    #[serde(default = "total")]
    pub(crate) max_total_size: Size,
    /// How much is kept of a packet, headers included; all of it by default.
    #[serde(default)]
    pub(crate) snap_length: Option<Size>,
    /// How much may wait in memory to be written. What comes beyond is not in the capture, and counted.
    #[serde(default = "queue")]
    pub(crate) queue: Size,
}

const fn file() -> Size {
    Size(64 << 20)
}

const fn total() -> Size {
    Size(1 << 30)
}

const fn queue() -> Size {
    Size(16 << 20)
}

impl CaptureSettings {
    /// The defaults.
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir, max_file_size: file(), max_total_size: total(), snap_length: None, queue: queue() }
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Self { max_file_size, max_total_size, snap_length, queue, .. } = self;
        ensure!(max_file_size.0 >= MIN_FILE, "max_file_size is {max_file_size}, the least is {}", Size(MIN_FILE));
        ensure!(
            max_total_size.0 / 2 >= max_file_size.0,
            "max_total_size is {max_total_size}, the least is twice max_file_size, which is {max_file_size}"
        );
        ensure!(queue.0 >= MIN_QUEUE, "queue is {queue}, the least is {}", Size(MIN_QUEUE));
        if let Some(snap_length) = snap_length {
            ensure!(snap_length.0 >= MIN_SNAP, "snap_length is {snap_length}, the least is {}", Size(MIN_SNAP));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_all_that_has_to_be_said() {
        let settings: CaptureSettings = toml::from_str("dir = 'x'").unwrap();
        assert_eq!(settings, CaptureSettings::new("x".into()));
        settings.check().unwrap();
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        for (line, part) in [
            ("max_file_size = '1KiB'", "max_file_size is 1.0 KiB"),
            ("max_total_size = '100MiB'", "twice max_file_size"),
            ("queue = '1KiB'", "queue is"),
            ("snap_length = '10B'", "snap_length is 10 B"),
        ] {
            let settings: CaptureSettings = toml::from_str(&format!("dir = 'x'\n{line}")).unwrap();
            let said = settings.check().unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
    }
}
