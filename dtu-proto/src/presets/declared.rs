//! The framings that a declaration says all of.

use crate::checksum::Algorithm;
use crate::checksum::catalogue::{CRC_16_IBM_SDLC, CRC_16_MODBUS};
use crate::spec::{ByteSet, Check, Escape, FrameSpec, Length};

/// Modbus TCP: transaction, protocol `0000`, length, unit; the payload is the PDU.
pub const MODBUS_TCP: FrameSpec =
    FrameSpec::new(260).fixed(2, &[0x00, 0x00]).length(Length::big(4, 2).adjust(6)).payload_from(7).min_len(8);

/// DL/T 645 of 1997 and 2007, electricity meters: `68`, address (6), `68`, control, length, data, sum, `16`, behind any
/// number of `FE`. The bytes of the data are sent with `33` added to each, which is left as it is.
pub const DLT645_2007: FrameSpec = FrameSpec::new(212)
    .start(&[0x68])
    .preamble(0xFE)
    .fixed(7, &[0x68])
    .length(Length::byte(9).adjust(12))
    .check(Check::new(Algorithm::Sum8, 2))
    .end(&[0x16]);

/// CJ/T 188, water, heat and gas meters: `68`, type, address (7), control, length, data, sum, `16`, behind any number of
/// `FE`.
pub const CJT188: FrameSpec = FrameSpec::new(113)
    .start(&[0x68])
    .preamble(0xFE)
    .length(Length::byte(10).adjust(13))
    .check(Check::new(Algorithm::Sum8, 2))
    .end(&[0x16]);

/// The long frame of FT1.2, which M-Bus (EN 13757-2), IEC 60870-5-101 and others share: `68`, length twice, `68`, control,
/// address and data, sum of these, `16`. The payload begins with the control byte.
pub const FT12_LONG: FrameSpec = FrameSpec::new(261)
    .start(&[0x68])
    .fixed(3, &[0x68])
    .length(Length::byte(1).adjust(6).repeat(2))
    .check(Check::new(Algorithm::Sum8, 2).from(4))
    .end(&[0x16])
    .min_len(9);

/// The short frame of FT1.2 with a link address of `address_len` bytes: `10`, control, address, sum of these, `16`. The payload
/// is control and address.
#[must_use]
pub const fn ft12_short(address_len: usize) -> FrameSpec {
    FrameSpec::of_fixed_len(address_len.saturating_add(4))
        .start(&[0x10])
        .check(Check::new(Algorithm::Sum8, 2).from(1))
        .end(&[0x16])
}

/// HJ 212 of 2005 and 2017, pollution sources: `##`, length in four digits, segment, checksum in four hexadecimal digits, line end.
/// The standard's segments have at most 1024 bytes; four digits can say 9999, for which `max_len` has to be 10 011.
pub const HJ212: FrameSpec = FrameSpec::new(1036)
    .start(b"##")
    .length(Length::decimal(2, 4).adjust(12))
    .check(Check::new(Algorithm::Hj212, 6).from(6).hex())
    .end(b"\r\n");

/// SL 651-2014, hydrology, in its HEX coding: `7E 7E`, addresses, password, function, direction and length, STX or SYN, body, ETX and
/// its kin, CRC. The payload goes from STX to ETX.
pub const SL651_HEX: FrameSpec = FrameSpec::new(4112)
    .start(&[0x7E, 0x7E])
    .length(Length::big(11, 2).mask(0x0FFF).adjust(17))
    .check(Check::new(Algorithm::Crc(CRC_16_MODBUS), 2))
    .payload_from(13)
    .min_len(17);

/// GB/T 32960.3 of 2016 (`23 23`) and 2025 (`24 24`), electric vehicles: start, command, response, VIN (17), encryption, length, data, BCC.
pub const GBT32960: FrameSpec = FrameSpec::new(65_556)
    .start(b"##")
    .start(b"$$")
    .length(Length::big(22, 2).adjust(25))
    .check(Check::new(Algorithm::Xor8, 1).from(2));

/// NMEA 0183 with checksums: `$` or `!`, characters, `*`, two hexadecimal digits, line end. The standard's sentences have at most 82
/// bytes, those of today's receivers more.
pub const NMEA0183: FrameSpec = FrameSpec::new(256)
    .start(b"$")
    .start(b"!")
    .fixed(-5, b"*")
    .check(Check::new(Algorithm::Xor8, 4).from(1).trim(5).hex())
    .end(b"\r\n");

/// UBX of u-blox: `B5 62`, class, id, length, payload, Fletcher's checksum.
pub const UBX: FrameSpec = FrameSpec::new(65_543)
    .start(&[0xB5, 0x62])
    .length(Length::little(4, 2).adjust(8))
    .check(Check::new(Algorithm::Fletcher8, 2).from(2));

/// SLIP (RFC 1055) with frames of up to 1006 bytes of payload, all of them escaped.
pub const SLIP: FrameSpec = FrameSpec::new(2013).escape(Escape::map(0xDB, &[(0xDC, 0xC0), (0xDD, 0xDB)])).end(&[0xC0]);

/// PPP in HDLC-like framing (RFC 1662), asynchronous: flag, address to information with escapes, FCS, flag, which the next frame may
/// share. A sender escapes all control characters, as before any agreement on fewer.
pub const HDLC_PPP: FrameSpec = FrameSpec::new(3014)
    .start(&[0x7E])
    .shared()
    .escape(Escape::xor_also(0x7D, 0x20, ByteSet::EMPTY.with(0x00, 0x1F)))
    .check(Check::new(Algorithm::Crc(CRC_16_IBM_SDLC), 3).from(1).little())
    .end(&[0x7E])
    .min_len(5);

/// HDLC frame format 3 of DLMS (IEC 62056-46), without escapes: flag, format and length, addresses to information, FCS, flag.
pub const HDLC_DLMS: FrameSpec = FrameSpec::new(2049)
    .start(&[0x7E])
    .length(Length::big(1, 2).mask(0x07FF).adjust(2))
    .check(Check::new(Algorithm::Crc(CRC_16_IBM_SDLC), 3).from(1).little())
    .end(&[0x7E])
    .min_len(9);

/// Hongdian DDP over a stream: `7B`, type, length of all, id (11), payload, `7B`.
pub const HONGDIAN_DDP_TCP: FrameSpec =
    FrameSpec::new(1040).start(&[0x7B]).length(Length::big(2, 2)).payload_from(15).end(&[0x7B]);

/// Alotcer's protocol, which looks like DDP: `7B`, type, length from the id on, low byte first, id (11), payload, `7D`.
pub const ALOTCER_7B7D: FrameSpec =
    FrameSpec::new(1040).start(&[0x7B]).length(Length::little(2, 2).adjust(4)).payload_from(15).end(&[0x7D]);

/// InHand IHDMP: `55 AA 55 AA` to the DTU or `AA 55 AA 55` from it, command, length, fields, CRC.
pub const INHAND_IHDMP: FrameSpec = FrameSpec::new(65_544)
    .start(&[0x55, 0xAA, 0x55, 0xAA])
    .start(&[0xAA, 0x55, 0xAA, 0x55])
    .length(Length::big(5, 2).adjust(9))
    .check(Check::new(Algorithm::Crc(CRC_16_IBM_SDLC), 2).little());

/// The login of a ForceControl bridge, once after a connection: `AA 01`, id (11), `0D`.
pub const LK_BRIDGE_LOGIN: FrameSpec = FrameSpec::of_fixed_len(14).start(&[0xAA, 0x01]).end(&[0x0D]);

/// Text lines, each ended by a line feed, of at most `max_len` bytes with it. A carriage return before it belongs to the payload.
#[must_use]
pub const fn line(max_len: usize) -> FrameSpec {
    delimited(b"\n", max_len)
}

/// Frames that end with `delimiter`, of at most `max_len` bytes with it. Nothing stands for the delimiter inside a frame.
///
/// # Panics
///
/// When the delimiter is longer than [`MAX_MARKER_LEN`](crate::spec::MAX_MARKER_LEN).
#[must_use]
pub const fn delimited(delimiter: &[u8], max_len: usize) -> FrameSpec {
    FrameSpec::new(max_len).end(delimiter)
}

/// Frames that are all `len` bytes long and have nothing by which they could be told.
#[must_use]
pub const fn fixed_length(len: usize) -> FrameSpec {
    FrameSpec::of_fixed_len(len)
}

/// Frames of at most `max_len` bytes with a length field and nothing else by which they could be told.
#[must_use]
pub const fn length_field(length: Length, max_len: usize) -> FrameSpec {
    FrameSpec::new(max_len).length(length)
}
