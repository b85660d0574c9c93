//! `[capture]` of the settings.

use crate::settings::units::Size;
use serde::Deserialize;
use std::path::{Path, PathBuf};

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

    /// The first key whose value makes no sense, and what is allowed.
    pub(crate) fn mistake(&self) -> Option<(&'static str, String)> {
        let Self { max_file_size, max_total_size, snap_length, queue, .. } = self;
        if max_file_size.0 < MIN_FILE {
            return Some(("max_file_size", format!("{max_file_size} is too small; the least is {}", Size(MIN_FILE))));
        }
        if max_total_size.0 / 2 < max_file_size.0 {
            let least = "the least is twice max_file_size, which is";
            return Some(("max_total_size", format!("{max_total_size} is too small; {least} {max_file_size}")));
        }
        if queue.0 < MIN_QUEUE {
            return Some(("queue", format!("{queue} is too small; the least is {}", Size(MIN_QUEUE))));
        }
        let snap_length = snap_length.filter(|snap_length| snap_length.0 < MIN_SNAP)?;
        Some(("snap_length", format!("{snap_length} is too small; the least is {}", Size(MIN_SNAP))))
    }

    pub(crate) fn relative_to(&mut self, base: &Path) {
        self.dir = base.join(&self.dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_all_that_has_to_be_said() {
        let settings: CaptureSettings = toml::from_str("dir = 'x'").unwrap();
        assert_eq!(settings, CaptureSettings::new("x".into()));
        assert_eq!(settings.mistake(), None);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        for (line, key, part) in [
            ("max_file_size = '1KiB'", "max_file_size", "the least is 256KiB"),
            ("max_total_size = '100MiB'", "max_total_size", "twice max_file_size, which is 64MiB"),
            ("queue = '1KiB'", "queue", "the least is 256KiB"),
            ("snap_length = '10B'", "snap_length", "10B is too small; the least is 96B"),
        ] {
            let settings: CaptureSettings = toml::from_str(&format!("dir = 'x'\n{line}")).unwrap();
            let (found, said) = settings.mistake().unwrap();
            assert!(found == key && said.contains(part), "{found}: {said}");
        }
    }
}
