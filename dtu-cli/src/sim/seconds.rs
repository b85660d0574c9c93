//! Times as they are written on the command line of `dtu sim`: seconds, whole or decimal.

use core::time::Duration;

/// The shortest and the longest that is taken.
const BOUNDS: [Duration; 2] = [Duration::from_millis(1), Duration::from_hours(24)];

/// Parses a number of seconds.
///
/// # Errors
/// What is wrong, in words for who typed it.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number of seconds"))?;
    let [shortest, longest] = BOUNDS;
    let time = Duration::try_from_secs_f64(seconds).ok();
    time.filter(|time| (shortest..=longest).contains(time)).ok_or_else(|| "not from 0.001 to 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_within_the_bounds_is_a_time_and_nothing_else_is() {
        for (text, milliseconds) in [("1", 1000), ("0.25", 250), ("86400", 86_400_000), ("0.001", 1)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["0", "-1", "86401", "NaN", "inf", "1e300", "0.0001"] {
            assert_eq!(parse(text), Err("not from 0.001 to 86400".to_owned()), "{text}");
        }
        for text in ["", "x", "1s"] {
            assert_eq!(parse(text), Err(format!("`{text}` is no number of seconds")));
        }
    }
}
