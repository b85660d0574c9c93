//! The framing of a line before it is built.

use super::error::Problem;
use super::framing::SharedFraming;
#[cfg(feature = "serde")]
use core::fmt;
use dtu_proto::Native;
use dtu_proto::presets::{self, Direction};
use dtu_proto::spec::FrameSpec;

/// A framing by the name of a preset, by declaration, or of the user's own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum FramingSpec {
    /// A preset of `dtu_proto`, by its name, as what comes from the device has it; or `native`.
    Preset(Box<str>),
    /// By declaration.
    Declared(Box<FrameSpec>),
    /// One that is there already.
    Shared(SharedFraming),
}

impl FramingSpec {
    pub(super) fn build(&self) -> Result<SharedFraming, Problem> {
        match self {
            Self::Preset(name) if **name == *"native" => Ok(SharedFraming::new(Native::new())),
            Self::Preset(name) => {
                let preset = presets::by_name(name).ok_or(Problem::UnknownFraming)?;
                if preset.is_datagram() {
                    return Err(Problem::OfDatagrams);
                }
                Ok(SharedFraming::new(preset.framing(Direction::Up)))
            }
            Self::Declared(spec) => spec.compile().map(SharedFraming::new).map_err(Problem::Declared),
            Self::Shared(framing) => Ok(framing.clone()),
        }
    }
}

impl From<&str> for FramingSpec {
    fn from(name: &str) -> Self {
        Self::Preset(name.into())
    }
}

impl From<FrameSpec> for FramingSpec {
    fn from(spec: FrameSpec) -> Self {
        Self::Declared(Box::new(spec))
    }
}

impl From<SharedFraming> for FramingSpec {
    fn from(framing: SharedFraming) -> Self {
        Self::Shared(framing)
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for FramingSpec {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = FramingSpec;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a framing, or a table that declares one")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<FramingSpec, E> {
                Ok(name.into())
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<FramingSpec, A::Error> {
                let spec = serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(FramingSpec::Declared(Box::new(spec)))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}
