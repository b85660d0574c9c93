//! All presets by name.

use super::{
    ALOTCER_7B7D, CJT188, Cobs, DLT645_2007, DdpDatagram, Direction, FT12_LONG, FourFaithProt, Ft12Short, GBT32960,
    HDLC_DLMS, HDLC_PPP, HJ212, HONGDIAN_DDP_TCP, INHAND_IHDMP, Iec104, Jtt808, LK_BRIDGE_LOGIN, MODBUS_TCP, Mavlink1,
    Mavlink2, ModbusAscii, ModbusRtu, NMEA0183, SL651_HEX, SLIP, UBX, ft12_short,
};
use crate::checksum::Algorithm;
use crate::checksum::catalogue::{CRC_16_MCRF4XX, CRC_16_MODBUS};
use crate::framing::Framing;
use crate::spec::{Declared, FrameSpec};
use core::fmt;

/// A framing that can be shared between threads and lives as long as the program.
type Shared = &'static (dyn Framing + Send + Sync);

/// A framing with a name.
#[derive(Clone, Copy)]
pub struct Preset {
    name: &'static str,
    title: &'static str,
    down: Shared,
    up: Shared,
    spec: Option<FrameSpec>,
    checksum: Option<Algorithm>,
    is_directional: bool,
    is_datagram: bool,
}

impl Preset {
    /// The name on a command line and in a configuration: `modbus_rtu`, `dlt645_2007`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What it is, in a few words.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        self.title
    }

    /// The framing of what goes in `direction`.
    #[must_use]
    pub const fn framing(&self, direction: Direction) -> &'static (dyn Framing + Send + Sync) {
        match direction {
            Direction::Down => self.down,
            Direction::Up => self.up,
        }
    }

    /// Whether frames differ in both directions so that a receiver has to know which way they go.
    #[must_use]
    pub const fn is_directional(&self) -> bool {
        self.is_directional
    }

    /// Whether a frame is a whole datagram, which nothing but the datagram's end ends. Such a framing is not for streams.
    #[must_use]
    pub const fn is_datagram(&self) -> bool {
        self.is_datagram
    }

    /// The declaration, where the framing is one.
    #[must_use]
    pub const fn spec(&self) -> Option<&FrameSpec> {
        self.spec.as_ref()
    }

    /// The checksum of its frames; `None` where they have none. Of MAVLink, that to which the seed of the message is added; of the short
    /// frames of FT1.2, that of all but the single character.
    #[must_use]
    pub const fn checksum(&self) -> Option<Algorithm> {
        match (self.checksum, &self.spec) {
            (None, Some(FrameSpec { check: Some(check), .. })) => Some(check.algorithm),
            (checksum, _) => checksum,
        }
    }

    const fn new(name: &'static str, title: &'static str, framing: Shared) -> Self {
        Self {
            name,
            title,
            down: framing,
            up: framing,
            spec: None,
            checksum: None,
            is_directional: false,
            is_datagram: false,
        }
    }

    const fn checked(self, checksum: Algorithm) -> Self {
        Self { checksum: Some(checksum), ..self }
    }
}

impl fmt::Debug for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preset").field("name", &self.name).field("title", &self.title).finish_non_exhaustive()
    }
}

macro_rules! declared {
    ($name:literal, $title:literal, $spec:expr) => {{
        static FRAMING: Declared = $spec.declared();
        Preset { spec: Some($spec), ..Preset::new($name, $title, &FRAMING) }
    }};
}

static ONE_BYTE_ADDRESS: Declared = ft12_short(1).declared();
static FT12_SHORT: Ft12Short = Ft12Short::new(&ONE_BYTE_ADDRESS);
/// The longest frame of COBS where nothing else is said: 1024 bytes of payload, their codes and the delimiter.
static COBS: Cobs = Cobs::new(1030);
static MODBUS_REQUESTS: ModbusRtu = ModbusRtu::new(Direction::Down);
static MODBUS_REPLIES: ModbusRtu = ModbusRtu::new(Direction::Up);
static MAVLINK1: Mavlink1 = Mavlink1::new();
static MAVLINK2: Mavlink2 = Mavlink2::new();
static FOURFAITH: FourFaithProt = FourFaithProt::new();
static FOURFAITH_DATA: FourFaithProt = FourFaithProt::behind_registration();

/// All presets, those of a field together.
pub static ALL: [Preset; 29] = [
    Preset {
        down: &MODBUS_REQUESTS,
        is_directional: true,
        ..Preset::new("modbus_rtu", "Modbus RTU, also over TCP through a DTU", &MODBUS_REPLIES)
            .checked(Algorithm::Crc(CRC_16_MODBUS))
    },
    Preset::new("modbus_ascii", "Modbus ASCII", &ModbusAscii).checked(Algorithm::Lrc8),
    declared!("modbus_tcp", "Modbus TCP (MBAP)", MODBUS_TCP),
    declared!("dlt645_2007", "DL/T 645-2007 and -1997, electricity meters", DLT645_2007),
    declared!("cjt188", "CJ/T 188, water, heat and gas meters", CJT188),
    declared!("mbus_long", "M-Bus long and control frame (EN 13757-2)", FT12_LONG),
    Preset::new("mbus_short", "M-Bus short frame and single character", &FT12_SHORT).checked(Algorithm::Sum8),
    declared!("iec101_variable", "IEC 60870-5-101 frame of variable length", FT12_LONG),
    Preset::new("iec101_fixed", "IEC 60870-5-101 frame of fixed length, link address of one byte", &FT12_SHORT)
        .checked(Algorithm::Sum8),
    Preset::new("iec104", "IEC 60870-5-104 APDU", &Iec104),
    declared!("hj212", "HJ 212-2005 and -2017, pollution sources", HJ212),
    declared!("sl651_hex", "SL 651-2014, hydrology, HEX coding", SL651_HEX),
    declared!("gbt32960", "GB/T 32960.3-2016 and -2025, electric vehicles", GBT32960),
    Preset::new("jtt808", "JT/T 808-2011, -2013 and -2019, vehicle terminals", &Jtt808).checked(Algorithm::Xor8),
    Preset::new("mavlink1", "MAVLink 1, dialect common", &MAVLINK1).checked(Algorithm::Crc(CRC_16_MCRF4XX)),
    Preset::new("mavlink2", "MAVLink 2, dialect common", &MAVLINK2).checked(Algorithm::Crc(CRC_16_MCRF4XX)),
    declared!("nmea0183", "NMEA 0183 with checksums", NMEA0183),
    declared!("ubx", "u-blox UBX", UBX),
    declared!("slip", "SLIP (RFC 1055)", SLIP),
    declared!("hdlc_ppp", "PPP in HDLC-like framing, asynchronous (RFC 1662)", HDLC_PPP),
    declared!("hdlc_dlms", "HDLC frame format 3 of DLMS/COSEM (IEC 62056-46)", HDLC_DLMS),
    Preset::new("cobs", "COBS with 00 as delimiter", &COBS),
    declared!("hongdian_ddp_tcp", "Hongdian DDP, data inside the envelope", HONGDIAN_DDP_TCP),
    Preset {
        is_datagram: true,
        ..Preset::new("hongdian_ddp_udp", "Hongdian and Four-Faith DDP, data behind the envelope", &DdpDatagram)
    },
    Preset {
        down: &FOURFAITH_DATA,
        is_directional: true,
        ..Preset::new("fourfaith_prot", "Four-Faith PROT mode, up with the registration", &FOURFAITH)
    },
    declared!("alotcer_7b7d", "Alotcer DTU protocol", ALOTCER_7B7D),
    declared!("inhand_ihdmp", "InHand IHDMP, DTU management", INHAND_IHDMP),
    declared!("lk_bridge_login", "ForceControl bridge login of InHand DTUs", LK_BRIDGE_LOGIN),
    declared!("line", "Lines of text, ended by a line feed, up to 1 KiB", super::line(1024)),
];

/// The preset called `name`, as [`ALL`] has it.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name)
}
