//! The CRCs that carry names, with the parameters of the catalogue of parametrised CRC algorithms (reveng).

/// The parameters of a CRC: the model of Rocksoft, as the catalogue of parametrised CRC algorithms lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crc {
    /// The bits of the register, 8 to 32. Less counts as 8, more as 32.
    pub width: u8,
    /// The polynomial without its highest term, the most significant bit first.
    pub poly: u32,
    /// The register before the first byte.
    pub init: u32,
    /// Whether the bits of a byte go in from the least significant on.
    pub reflect_in: bool,
    /// Whether the register is read from its least significant bit on.
    pub reflect_out: bool,
    /// What is added to the register at the end.
    pub xor_out: u32,
}

impl Crc {
    /// A CRC that is reflected on both sides, or on none.
    const fn new(width: u8, poly: u32, init: u32, reflected: bool, xor_out: u32) -> Self {
        Self { width, poly, init, reflect_in: reflected, reflect_out: reflected, xor_out }
    }

    /// The bits of the register, within the bounds of [`width`](Self::width).
    #[must_use]
    pub const fn bits(&self) -> u32 {
        u32::from_le_bytes([
            match self.width {
                ..8 => 8,
                33.. => 32,
                bits => bits,
            },
            0,
            0,
            0,
        ])
    }
}

/// CRC-8/SMBUS, which most texts call CRC-8.
pub const CRC_8_SMBUS: Crc = Crc::new(8, 0x07, 0, false, 0);
/// CRC-8/MAXIM-DOW: Dallas 1-Wire.
pub const CRC_8_MAXIM_DOW: Crc = Crc::new(8, 0x31, 0, true, 0);
/// CRC-8/I-432-1, also CRC-8/ITU.
pub const CRC_8_I_432_1: Crc = Crc::new(8, 0x07, 0, false, 0x55);
/// CRC-16/MODBUS: Modbus RTU, SL 651.
pub const CRC_16_MODBUS: Crc = Crc::new(16, 0x8005, 0xFFFF, true, 0);
/// CRC-16/ARC, also CRC-16/IBM and LHA.
pub const CRC_16_ARC: Crc = Crc::new(16, 0x8005, 0, true, 0);
/// CRC-16/USB.
pub const CRC_16_USB: Crc = Crc::new(16, 0x8005, 0xFFFF, true, 0xFFFF);
/// CRC-16/MCRF4XX: MAVLink.
pub const CRC_16_MCRF4XX: Crc = Crc::new(16, 0x1021, 0xFFFF, true, 0);
/// CRC-16/IBM-SDLC, also X-25: HDLC, PPP, DLMS.
pub const CRC_16_IBM_SDLC: Crc = Crc::new(16, 0x1021, 0xFFFF, true, 0xFFFF);
/// CRC-16/KERMIT, also CCITT-TRUE.
pub const CRC_16_KERMIT: Crc = Crc::new(16, 0x1021, 0, true, 0);
/// CRC-16/IBM-3740, also CCITT-FALSE.
pub const CRC_16_IBM_3740: Crc = Crc::new(16, 0x1021, 0xFFFF, false, 0);
/// CRC-16/XMODEM.
pub const CRC_16_XMODEM: Crc = Crc::new(16, 0x1021, 0, false, 0);
/// CRC-16/SPI-FUJITSU, also AUG-CCITT.
pub const CRC_16_SPI_FUJITSU: Crc = Crc::new(16, 0x1021, 0x1D0F, false, 0);
/// CRC-16/GENIBUS.
pub const CRC_16_GENIBUS: Crc = Crc::new(16, 0x1021, 0xFFFF, false, 0xFFFF);
/// CRC-16/DNP: DNP3 and IEC 60870-5 FT3.
pub const CRC_16_DNP: Crc = Crc::new(16, 0x3D65, 0, true, 0xFFFF);
/// CRC-16/EN-13757: wireless M-Bus.
pub const CRC_16_EN_13757: Crc = Crc::new(16, 0x3D65, 0, false, 0xFFFF);
/// CRC-24/LTE-A, also CRC-24Q: RTCM 3.
pub const CRC_24_LTE_A: Crc = Crc::new(24, 0x86_4CFB, 0, false, 0);
/// CRC-32/ISO-HDLC, which most texts call CRC-32.
pub const CRC_32_ISO_HDLC: Crc = Crc::new(32, 0x04C1_1DB7, u32::MAX, true, u32::MAX);
/// CRC-32/ISCSI, also CRC-32C: the native frame.
pub const CRC_32_ISCSI: Crc = Crc::new(32, 0x1EDC_6F41, u32::MAX, true, u32::MAX);
/// CRC-32/MPEG-2.
pub const CRC_32_MPEG_2: Crc = Crc::new(32, 0x04C1_1DB7, u32::MAX, false, 0);

/// Every name by which a CRC can be called, and the CRC.
pub const NAMES: [(&str, Crc); 33] = [
    ("CRC-8/SMBUS", CRC_8_SMBUS),
    ("CRC-8", CRC_8_SMBUS),
    ("CRC-8/MAXIM-DOW", CRC_8_MAXIM_DOW),
    ("CRC-8/MAXIM", CRC_8_MAXIM_DOW),
    ("CRC-8/I-432-1", CRC_8_I_432_1),
    ("CRC-8/ITU", CRC_8_I_432_1),
    ("CRC-16/MODBUS", CRC_16_MODBUS),
    ("CRC-16/ARC", CRC_16_ARC),
    ("CRC-16/IBM", CRC_16_ARC),
    ("CRC-16/USB", CRC_16_USB),
    ("CRC-16/MCRF4XX", CRC_16_MCRF4XX),
    ("CRC-16/IBM-SDLC", CRC_16_IBM_SDLC),
    ("CRC-16/X-25", CRC_16_IBM_SDLC),
    ("CRC-16/KERMIT", CRC_16_KERMIT),
    ("CRC-16/CCITT-TRUE", CRC_16_KERMIT),
    ("CRC-16/IBM-3740", CRC_16_IBM_3740),
    ("CRC-16/CCITT-FALSE", CRC_16_IBM_3740),
    ("CRC-16/XMODEM", CRC_16_XMODEM),
    ("CRC-16/ACORN", CRC_16_XMODEM),
    ("CRC-16/SPI-FUJITSU", CRC_16_SPI_FUJITSU),
    ("CRC-16/AUG-CCITT", CRC_16_SPI_FUJITSU),
    ("CRC-16/GENIBUS", CRC_16_GENIBUS),
    ("CRC-16/DNP", CRC_16_DNP),
    ("CRC-16/EN-13757", CRC_16_EN_13757),
    ("CRC-24/LTE-A", CRC_24_LTE_A),
    ("CRC-24Q", CRC_24_LTE_A),
    ("CRC-32/ISO-HDLC", CRC_32_ISO_HDLC),
    ("CRC-32", CRC_32_ISO_HDLC),
    ("CRC-32/PKZIP", CRC_32_ISO_HDLC),
    ("CRC-32/ISCSI", CRC_32_ISCSI),
    ("CRC-32C", CRC_32_ISCSI),
    ("CRC-32/CASTAGNOLI", CRC_32_ISCSI),
    ("CRC-32/MPEG-2", CRC_32_MPEG_2),
];
