//! What the DTUs do that can be played: a table.

/// How a DTU identifies itself, stays alive and carries serial bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Profile {
    pub(super) name: &'static str,
    /// Sent as soon as the connection is there.
    pub(super) registration: &'static [Part],
    /// The server has to acknowledge registration and heartbeats.
    pub(super) is_acknowledged: bool,
    /// Sent in front of every packet.
    pub(super) prefix: &'static [Part],
    pub(super) heartbeat: &'static [Part],
    pub(super) wrapping: Wrapping,
}

/// A part of what a DTU says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Bytes(&'static [u8]),
    /// The id of the device, 11 digits.
    Id,
    /// Its number, low byte first.
    Number,
    /// Its address in the network of its provider, 4 bytes.
    Address,
}

/// How serial bytes stand on the connection, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// As they are.
    Bare,
    /// In envelopes of Hongdian's DDP for TCP.
    Ddp,
    /// With FD and FE as `FD ED` and `FD EE`.
    Escaped,
}

use Part::{Address, Bytes, Id, Number};

/// `7B type length id address port 7B`: registration and heartbeat are the same.
const DDP_REGISTRATION: &[Part] = &[Bytes(b"\x7B\x01\x00\x16"), Id, Address, Bytes(b"\x13\x89\x7B")];

pub(super) const PROFILES: [Profile; 4] = [
    Profile {
        name: "plain",
        registration: &[Bytes(b"REG:"), Id, Bytes(b"\r\n")],
        is_acknowledged: false,
        prefix: &[],
        heartbeat: &[Bytes(b"PING\r\n")],
        wrapping: Wrapping::Bare,
    },
    Profile {
        name: "prefix",
        registration: &[Bytes(b"#"), Id, Bytes(b"#")],
        is_acknowledged: false,
        prefix: &[Bytes(b"#"), Id, Bytes(b"#")],
        heartbeat: &[Bytes(b"#"), Id, Bytes(b"#HEART")],
        wrapping: Wrapping::Bare,
    },
    Profile {
        name: "ddp",
        registration: DDP_REGISTRATION,
        is_acknowledged: true,
        prefix: &[],
        heartbeat: DDP_REGISTRATION,
        wrapping: Wrapping::Ddp,
    },
    Profile {
        name: "fourfaith",
        registration: &[Number, Id, Bytes(b"\0"), Address, Bytes(b"\0")],
        is_acknowledged: false,
        prefix: &[],
        heartbeat: &[Bytes(b"\xFE")],
        wrapping: Wrapping::Escaped,
    },
];

impl Profile {
    /// The profile of this name.
    ///
    /// # Errors
    /// In words for who typed it: the names that there are.
    pub(super) fn named(name: &str) -> Result<Self, String> {
        let found = PROFILES.into_iter().find(|profile| profile.name == name);
        found.ok_or_else(|| format!("there are {}", PROFILES.map(|profile| profile.name).join(", ")))
    }
}

/// The id of a device: a number of a mobile phone, as most DTUs have it.
pub(super) fn id(number: u32) -> String {
    format!("139{number:08}")
}

/// What the device `number` says.
pub(super) fn render(parts: &[Part], number: u32) -> Vec<u8> {
    let mut said = Vec::new();
    for part in parts {
        match part {
            Bytes(bytes) => said.extend_from_slice(bytes),
            Id => said.extend(id(number).bytes()),
            Number => said.extend(number.to_le_bytes()),
            // One of 10.0.0.0/8: there are fewer devices than that.
            Address => said.extend((0x0A00_0000 | (number & 0x00FF_FFFF)).to_be_bytes()),
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registration(name: &str, number: u32) -> Vec<u8> {
        render(Profile::named(name).unwrap().registration, number)
    }

    #[test]
    fn registrations_are_laid_out_as_those_of_the_hardware() {
        assert_eq!(registration("plain", 7), b"REG:13900000007\r\n");
        assert_eq!(registration("prefix", 7), b"#13900000007#");
        assert_eq!(registration("ddp", 7), b"\x7B\x01\x00\x1613900000007\x0A\x00\x00\x07\x13\x89\x7B");
        assert_eq!(registration("ddp", 7).len(), 0x16);
        assert_eq!(registration("fourfaith", 0x0102), b"\x02\x01\x00\x0013900000258\x00\x0A\x00\x01\x02\x00");
        assert_eq!(registration("fourfaith", 7).len(), 21);
    }

    #[test]
    fn every_id_has_11_digits() {
        for number in [0, 9, 999_999] {
            assert_eq!(id(number).len(), 11);
        }
    }

    #[test]
    fn an_unknown_profile_is_told_with_those_that_there_are() {
        assert_eq!(Profile::named("Plain"), Err("there are plain, prefix, ddp, fourfaith".to_owned()));
    }
}
