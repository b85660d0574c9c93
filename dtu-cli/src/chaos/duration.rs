//! Durations as they are written on the command line: a number and its unit.

use core::time::Duration;

/// The longest duration taken.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Parses a number, whole or decimal, and its unit: `us`, `ms`, `s`, `m` or `h`.
///
/// # Errors
/// What is wrong, in words for who typed it.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err("a unit is missing: us, ms, s, m or h".to_owned()),
        _ => return Err(format!("`{unit}` is no unit: us, ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
    let duration = Duration::try_from_secs_f64(number * seconds).map_err(|_| "too long".to_owned())?;
    if duration <= LONGEST { Ok(duration) } else { Err("longer than 24h".to_owned()) }
}

/// As [`parse`], and not 0.
pub(crate) fn parse_some(text: &str) -> Result<Duration, String> {
    parse(text).and_then(|duration| if duration.is_zero() { Err("must not be 0".to_owned()) } else { Ok(duration) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_durations_and_nothing_else_is() {
        for (text, nanoseconds) in [
            ("2s", 2_000_000_000),
            ("150ms", 150_000_000),
            ("0.5s", 500_000_000),
            ("20us", 20_000),
            ("1m", 60_000_000_000),
            ("24h", 86_400_000_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
        for text in ["", "2", "s", "2 s", "-1s", "1.2.3s", "2sec", "1e3s", "25h", "99999999999999999999999h", "ms"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_some("0ms").is_err() && parse_some("1ms").is_ok());
    }
}
