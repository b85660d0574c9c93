//! The profile of a listener for transparent DTUs: from a file, or one of those that `dtu sim` plays.

use crate::toml_error::one_line;
use anyhow::{Context, anyhow, bail};
use dtu_net::line::{Matcher, MatcherError};
use dtu_net::transparent::{FramingSpec, Profile, ProfileSpec, Unknown};
use std::fs;

/// Profiles by name, as files have them.
const NAMED: [(&str, &str); 3] = [
    ("plain", include_str!("profiles/plain.toml")),
    ("prefix", include_str!("profiles/prefix.toml")),
    ("ddp", include_str!("profiles/ddp.toml")),
];

/// The longest file, in bytes.
const FILE_MAX: u64 = 64 * 1024;

/// By what replies are known on the lines of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Replies {
    ModbusRtu,
    ModbusTcp,
    /// The next frame is the reply.
    AnyFrame,
}

impl Replies {
    /// Those of the framing with this name.
    pub(super) fn on(framing: &str) -> Self {
        match framing {
            "modbus_rtu" => Self::ModbusRtu,
            "modbus_tcp" => Self::ModbusTcp,
            _ => Self::AnyFrame,
        }
    }

    fn of(framing: &FramingSpec) -> Self {
        match framing {
            FramingSpec::Preset(name) => Self::on(name),
            FramingSpec::Declared(_) | FramingSpec::Shared(_) | _ => Self::AnyFrame,
        }
    }

    /// By what the reply to `request` is known.
    ///
    /// # Errors
    /// When it is no request of the protocol.
    pub(crate) fn to(self, request: &[u8]) -> Result<Matcher, MatcherError> {
        match self {
            Self::ModbusRtu => Matcher::modbus_rtu(request),
            Self::ModbusTcp => Matcher::modbus_tcp(request),
            Self::AnyFrame => Ok(Matcher::AnyFrame),
        }
    }
}

/// A profile that is built.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) profile: Profile,
    pub(crate) replies: Replies,
}

/// Whether there is a profile of this name.
pub(crate) fn is_named(name: &str) -> bool {
    NAMED.iter().any(|(known, _)| *known == name)
}

/// Loads the profile of this name, or else from this file.
///
/// # Errors
/// One line: the file, the key or the line, and what is wrong there.
pub(crate) fn load(name_or_file: &str) -> anyhow::Result<Loaded> {
    if let Some((name, text)) = NAMED.into_iter().find(|(name, _)| *name == name_or_file) {
        return build(text).with_context(|| name.to_owned());
    }
    let known = || {
        format!("cannot read the profile {name_or_file}, and it is none of {}", NAMED.map(|(name, _)| name).join(", "))
    };
    let length = fs::metadata(name_or_file).with_context(known)?.len();
    if length > FILE_MAX {
        bail!("{name_or_file}: {length} bytes are no profile, which has at most {FILE_MAX}");
    }
    let text = fs::read_to_string(name_or_file).with_context(known)?;
    build(&text).with_context(|| name_or_file.to_owned())
}

fn build(text: &str) -> anyhow::Result<Loaded> {
    let spec: ProfileSpec = toml::from_str(text).map_err(|error| anyhow!(one_line(text, &error)))?;
    if spec.unknown == Unknown::Refuse {
        bail!("unknown: `refuse` needs a list of those that are known, which this tool has not");
    }
    Ok(Loaded { profile: spec.build()?, replies: Replies::of(&spec.framing) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_by_name_is_one_of_modbus() {
        for (name, _) in NAMED {
            assert_eq!(load(name).unwrap().replies, Replies::ModbusRtu, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_one_line_with_file_key_and_reason() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.toml");
        let name = path.to_str().unwrap();
        let cases = [
            ("framing = \"modbus_rtu\"\n[registration]\npattern = 'REG'\n", "registration.pattern: "),
            (
                "framing = \"modbus_rtu\"\n[registration]\npattern = '{id:digit*2}'\ncolour = 1\n",
                "line 4: registration.colour: unknown field `colour`",
            ),
            (
                "idle_ms = \"x\"\nframing = \"modbus_rtu\"\nregistration = { pattern = '{id:digit*2}' }\n",
                "line 1: idle_ms: invalid type",
            ),
            (
                "framing = \"modbus_rtu\"\nregistration = { pattern = '{id:digit*2}' }\n[[heartbeat]]\ntoken = 1\n",
                "line 4: heartbeat[0].token: invalid type",
            ),
            ("framing = \"a\"\nframing = \"b\"\n", "line 2: framing: duplicate key"),
            ("framing = \"nonsense\"\nregistration = { pattern = '{id:digit*2}' }\n", "framing: "),
            ("framing = \n", "line 1: "),
            (
                "framing = \"modbus_rtu\"\nunknown = \"refuse\"\nregistration = { pattern = '{id:digit*2}' }\n",
                "unknown: ",
            ),
        ];
        for (text, expected) in cases {
            fs::write(&path, text).unwrap();
            let said = format!("{:#}", load(name).unwrap_err());
            let rest =
                said.strip_prefix(name).and_then(|rest| rest.strip_prefix(": ")).unwrap_or_else(|| panic!("{said}"));
            assert!(rest.starts_with(expected) && !said.contains('\n'), "{said:?} for {text:?}");
        }
        let said = format!("{:#}", load("/nowhere").unwrap_err());
        assert!(said.starts_with("cannot read the profile /nowhere, and it is none of plain, prefix, ddp: "), "{said}");
    }
}
