//! Times and sizes with their units, as people write them.

use core::fmt;
use core::time::Duration;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A time: `"30s"`, `"1h 30m"`, `"250ms"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, as \"30s\", \"5m\" or \"250ms\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Span, E> {
                humantime::parse_duration(text).map(Span).map_err(|error| {
                    E::custom(format_args!(
                        "`{text}` is no time ({error}); write it with its unit, as \"30s\", \"5m\" or \"250ms\""
                    ))
                })
            }
        }
        deserializer.deserialize_str(Words)
    }
}

/// A number of bytes: `"64KiB"`, `"1.5MB"`, `"512B"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Size(pub(crate) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        // To the byte: it is read as what it says.
        match UNITS.iter().find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size with its unit, as \"64KiB\", \"10MB\" or \"512B\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                let wrong = || {
                    E::custom(format_args!(
                        "`{text}` is no size; write it with its unit, as \"64KiB\", \"10MB\" or \"512B\""
                    ))
                };
                // A bare number says nothing about what it counts.
                if !text.ends_with(|last: char| last.is_ascii_alphabetic()) {
                    return Err(wrong());
                }
                text.parse::<bytesize::ByteSize>().map(|size| Size(size.as_u64())).map_err(|_| wrong())
            }
        }
        deserializer.deserialize_str(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct File {
        span: Option<Span>,
        size: Option<Size>,
    }

    #[test]
    fn times_and_sizes_have_units() {
        let file: File = toml::from_str("span = '1m 30s'\nsize = '64KiB'").unwrap();
        assert_eq!((file.span, file.size), (Some(Span(Duration::from_secs(90))), Some(Size(65_536))));
        assert_eq!((file.span.unwrap().to_string(), file.size.unwrap().to_string()), ("1m 30s".into(), "64KiB".into()));
    }

    #[test]
    fn what_has_no_unit_is_refused_with_what_is_allowed() {
        for text in ["span = 30", "span = '30'", "span = 'soon'"] {
            let error = toml::from_str::<File>(text).unwrap_err();
            assert!(error.message().contains("\"30s\""), "{error}");
        }
        for text in ["size = 64", "size = '64'", "size = 'big'", "size = '-1KiB'"] {
            let error = toml::from_str::<File>(text).unwrap_err();
            assert!(error.message().contains("\"64KiB\""), "{error}");
        }
    }
}
