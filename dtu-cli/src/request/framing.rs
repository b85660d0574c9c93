//! How replies are cut out of what comes from the serial line of a native device.

use super::profile::Replies;
use crate::framings::{self, Selection};
use anyhow::ensure;
use core::num::NonZeroUsize;
use dtu_net::transparent::SharedFraming;
use dtu_proto::encode::{EncodeError, Sink};
use dtu_proto::framing::Examined;
use dtu_proto::{Frame, Framing};

/// What stands for no framing at all: the next DATA is the reply.
pub(crate) const RAW: &str = "raw";

/// The framing of serial lines, and by what replies are known on them.
#[derive(Debug, Clone)]
pub(crate) struct LineFraming {
    pub(crate) framing: SharedFraming,
    pub(crate) replies: Replies,
    /// Each DATA is a frame: it goes in behind its length.
    pub(crate) is_raw: bool,
}

/// Whether `name` is that of a file.
pub(crate) fn is_file(name: &str) -> bool {
    name.ends_with(".toml") || name.contains(['/', '\\'])
}

/// Finds what `name` stands for: [`RAW`], a framing of `dtu framings`, or a file that declares one.
///
/// # Errors
/// There is no such framing, or not for a line.
pub(crate) fn load(name: &str) -> anyhow::Result<LineFraming> {
    if name == RAW {
        return Ok(LineFraming { framing: SharedFraming::new(Raw), replies: Replies::AnyFrame, is_raw: true });
    }
    ensure!(name != framings::AUTO, "`{name}` has to see frames to tell what they are; name the framing of the lines");
    let selection = framings::choose(name, u16::MAX)?;
    let framing = selection.first();
    ensure!(!framing.is_datagram(), "`{name}` is for datagrams, not for a line");
    ensure!(framing.behind_first().is_none(), "`{name}` begins with a registration, which a serial line has not");
    let replies = Replies::on(name);
    Ok(LineFraming { framing: SharedFraming::new(Chosen(selection)), replies, is_raw: false })
}

/// The framing that was chosen, for what comes from the device.
struct Chosen(Selection);

impl Framing for Chosen {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        self.0.first().examine(candidate)
    }

    fn find_start(&self, bytes: &[u8]) -> usize {
        self.0.first().find_start(bytes)
    }

    fn max_frame_len(&self) -> usize {
        self.0.first().max_frame_len()
    }

    fn evidence(&self) -> u32 {
        self.0.first().evidence()
    }

    fn payload_into(&self, frame: &Frame<'_>, sink: &mut dyn Sink) {
        self.0.first().payload_into(frame, sink);
    }

    fn encode_into(&self, header: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        self.0.first().encode_into(header, payload, sink)
    }
}

/// Its length in 4 bytes, and then as many bytes.
struct Raw;

const LENGTH: usize = size_of::<u32>();

/// The longest body of DATA, in bytes.
const BODY_MAX: usize = 65_535;

/// The length of `body` as [`Raw`] has it before the body.
pub(crate) fn raw_length(body: &[u8]) -> [u8; LENGTH] {
    u32::try_from(body.len()).expect("a body is shorter than its frame, which has 64 KiB").to_be_bytes()
}

impl Framing for Raw {
    fn examine<'a>(&self, candidate: &'a [u8]) -> Examined<'a> {
        let Some(length) = candidate.first_chunk() else {
            return Examined::NeedMore { at_least: NonZeroUsize::MIN.saturating_add(LENGTH - 1) };
        };
        let end = LENGTH + usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX).min(BODY_MAX);
        match candidate.get(..end).and_then(|bytes| Frame::new(bytes, LENGTH..end)) {
            Some(frame) => Examined::Frame(frame),
            None => Examined::NeedMore { at_least: NonZeroUsize::new(end).unwrap_or(NonZeroUsize::MIN) },
        }
    }

    fn find_start(&self, _: &[u8]) -> usize {
        0
    }

    fn max_frame_len(&self) -> usize {
        LENGTH + BODY_MAX
    }

    fn evidence(&self) -> u32 {
        0
    }

    fn encode_into(&self, _: &[u8], payload: &[u8], sink: &mut dyn Sink) -> Result<(), EncodeError> {
        sink.put(&raw_length(payload));
        sink.put(payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_framing_of_a_line_is_refused_with_the_reason() {
        let wrong = |name: &str| format!("{:#}", load(name).unwrap_err());
        assert!(wrong("modbus").contains("modbus_rtu"));
        assert!(wrong("auto").contains("name the framing"));
        assert!(wrong("hongdian_ddp_udp").contains("for datagrams"));
        assert!(wrong("fourfaith_prot").contains("registration"));
        assert!(wrong("/nowhere.toml").contains("nowhere.toml"));
    }

    #[test]
    fn replies_of_modbus_are_known_as_such() {
        let replies = |name: &str| load(name).unwrap().replies;
        assert_eq!((replies("modbus_rtu"), replies("modbus_tcp")), (Replies::ModbusRtu, Replies::ModbusTcp));
        assert_eq!((replies("dlt645_2007"), replies(RAW)), (Replies::AnyFrame, Replies::AnyFrame));
    }
}
