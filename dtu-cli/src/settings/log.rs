//! `[log]`: what is said on stderr besides.

use core::fmt;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    /// Lines for people, or one object a line.
    pub(crate) format: Format,
    /// How much.
    pub(crate) level: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line, also for what is said in words otherwise.
    Json,
}

/// The names of levels, from the least on.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or levels by module: `"info"`, `"warn,dtu_net=debug"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Level(String);

impl Default for Level {
    fn default() -> Self {
        Self("warn".to_owned())
    }
}

impl Level {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// # Errors
    ///
    /// What is no level, and what is one.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_level = |level: &str| LEVELS.contains(&level.to_ascii_lowercase().as_str());
        let is_module = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "_:-".contains(c));
        let is_one = |part: &str| match part.split_once('=') {
            Some((module, level)) => is_module(module) && is_level(level),
            None => is_level(part),
        };
        if text.split(',').all(is_one) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!(
                "`{text}` is no level; expected one of {}, or levels by module, as \"warn,dtu_net=debug\"",
                LEVELS.map(|level| format!("`{level}`")).join(", ")
            ))
        }
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Level;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a level, as \"info\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Level, E> {
                Level::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Words)
    }
}
