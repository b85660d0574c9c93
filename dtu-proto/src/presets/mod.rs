//! The framings that flow through DTUs, ready to use.
//!
//! Each has the name under which tools know it, in [`ALL`]. Most are declarations ([`FrameSpec`]), which can be changed before they
//! are compiled; what a declaration cannot say is a type. The layouts, what protects each, what can be promised
//! of finding frames again, and the sources are in `spec/framings.md`.
//!
//! # Examples
//!
//! By name, as a tool does:
//! ```
//! use dtu_proto::framing::{Step, next_step};
//! use dtu_proto::presets::{self, Direction};
//!
//! let framing = presets::by_name("ubx").expect("UBX is known").framing(Direction::Up);
//! let line = [0xB5, 0x62, 0x05, 0x01, 0x02, 0x00, 0x06, 0x01, 0x0F, 0x38];
//! let Step::Frame(frame) = next_step(framing, &line) else { panic!("the frame is whole") };
//! assert_eq!(frame.payload(), [0x06, 0x01]);
//! ```
//!
//! A preset with another limit:
//! ```
//! use dtu_proto::presets::HJ212;
//! use dtu_proto::spec::{Declared, FrameSpec};
//!
//! static LONG_SEGMENTS: Declared = FrameSpec { max_len: Some(10_011), ..HJ212 }.declared();
//! ```

mod cobs;
mod ddp_datagram;
mod declared;
mod fourfaith;
mod ft12_short;
mod hex_text;
mod iec104;
mod jtt808;
mod mavlink;
mod modbus_ascii;
mod modbus_lengths;
mod modbus_rtu;
mod table;
mod verdict;

pub use cobs::Cobs;
pub use ddp_datagram::DdpDatagram;
pub use declared::{
    ALOTCER_7B7D, CJT188, DLT645_2007, FT12_LONG, GBT32960, HDLC_DLMS, HDLC_PPP, HJ212, HONGDIAN_DDP_TCP, INHAND_IHDMP,
    LK_BRIDGE_LOGIN, MODBUS_TCP, NMEA0183, SL651_HEX, SLIP, UBX, delimited, fixed_length, ft12_short, length_field,
    line,
};
pub use fourfaith::FourFaithProt;
pub use ft12_short::Ft12Short;
pub use iec104::Iec104;
pub use jtt808::{JTT808_ENVELOPE, Jtt808};
pub use mavlink::{CrcExtra, Mavlink1, Mavlink2, SIGNATURE_LEN, common_crc_extra};
pub use modbus_ascii::ModbusAscii;
pub use modbus_rtu::ModbusRtu;
pub use table::{ALL, Preset, by_name};

/// Which way frames go on a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the device: requests.
    Down,
    /// From the device: replies.
    Up,
}

impl Direction {
    /// The other one.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Down => Self::Up,
            Self::Up => Self::Down,
        }
    }
}
