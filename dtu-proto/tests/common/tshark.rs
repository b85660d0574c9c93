//! tshark, where it is installed: a test that needs it is skipped with the reason, or fails when the environment requires it.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// With one of these in the environment, what would be skipped fails.
const REQUIRED: [&str; 2] = ["DTU_REQUIRE_TSHARK", "DTU_REQUIRE_TOOLS"];

/// Whether tshark 4 is there; says why `test` is skipped where it is not.
///
/// # Panics
///
/// When it is not there and the environment requires it.
pub(crate) fn is_there(test: &str) -> bool {
    version_4().map_err(|reason| skip(test, &reason)).is_ok()
}

/// Says why `test` is skipped.
///
/// # Panics
///
/// When the environment requires it.
pub(crate) fn skip(test: &str, reason: &str) {
    assert!(REQUIRED.iter().all(|name| std::env::var_os(name).is_none()), "{reason}");
    // Not `eprintln`, which the harness keeps to itself when a test passes.
    let _ = writeln!(std::io::stderr(), "{test} skipped: {reason}");
}

/// A call of tshark over `capture` with nobody's own preferences or plugins: `home` is a folder without any.
pub(crate) fn over(capture: &Path, home: &Path) -> Command {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).env("HOME", home).env_remove("XDG_CONFIG_HOME");
    command
}

fn version_4() -> Result<(), String> {
    let output = Command::new("tshark").arg("--version").output().map_err(|error| format!("tshark: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let major = version.and_then(|version| version.split('.').next()).and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= 4) { Ok(()) } else { Err(format!("tshark 4 is needed, not {version:?}")) }
}
