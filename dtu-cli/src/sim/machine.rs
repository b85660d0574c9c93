//! What the machine gives: files that may be open, and memory that was used.

use anyhow::{Context, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs;

/// Files that are open besides the sockets of the devices: standard streams, the runtime's, and those of connections that
/// are being left.
const OTHER_FILES: u64 = 64;

/// Lets this process open as many files as the devices need.
///
/// # Errors
/// When the system does not allow so many.
pub(crate) fn make_room_for(devices: u32) -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read the limit of open files")?;
    let needed = u64::from(devices) + OTHER_FILES;
    ensure!(
        needed <= hard,
        "{devices} devices need {needed} open files, and a process may open {hard} here: raise the hard limit, or \
         take at most {} devices",
        hard.saturating_sub(OTHER_FILES)
    );
    if soft < needed {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit of open files")?;
    }
    Ok(())
}

/// The most memory of this process that was resident, in bytes; `None` where the system does not say it in /proc.
pub(super) fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}
