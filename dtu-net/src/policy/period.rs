//! A time in a file that may be none.

use core::time::Duration;

/// A time in milliseconds, or none; in a file a number, or `"never"`.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use dtu_net::policy::{Period, PolicySpec};
///
/// let read = |text| toml::from_str::<PolicySpec>(text).map(|spec| spec.deadline_ms);
/// assert_eq!(read("deadline_ms = 60000").unwrap(), Some(Period::Millis(60_000)));
/// assert_eq!(read(r#"deadline_ms = "never""#).unwrap(), Some(Period::Never));
/// assert_eq!(read("").unwrap(), None); // that of the policy which it overrides
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// None at all.
    Never,
    /// So many milliseconds.
    Millis(u64),
}

impl Period {
    /// The time, if there is one.
    #[must_use]
    pub const fn duration(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::Millis(millis) => Some(Duration::from_millis(millis)),
        }
    }
}

#[cfg(feature = "serde")]
mod wire {
    use super::Period;
    use core::fmt;
    use serde::de::{Error, Unexpected, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    const NEVER: &str = "never";

    impl Serialize for Period {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::Never => serializer.serialize_str(NEVER),
                Self::Millis(millis) => serializer.serialize_u64(*millis),
            }
        }
    }

    impl<'de> Deserialize<'de> for Period {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_any(PeriodVisitor)
        }
    }

    struct PeriodVisitor;

    impl Visitor<'_> for PeriodVisitor {
        type Value = Period;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "milliseconds or \"{NEVER}\"")
        }

        fn visit_u64<E: Error>(self, millis: u64) -> Result<Period, E> {
            Ok(Period::Millis(millis))
        }

        fn visit_i64<E: Error>(self, millis: i64) -> Result<Period, E> {
            let millis = u64::try_from(millis).map_err(|_| E::invalid_value(Unexpected::Signed(millis), &self))?;
            Ok(Period::Millis(millis))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
            if text == NEVER { Ok(Period::Never) } else { Err(E::invalid_value(Unexpected::Str(text), &self)) }
        }
    }
}
