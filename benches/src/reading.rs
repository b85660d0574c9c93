//! One sensor reading as the body of DATA, in three formats.
//!
//! The frame and the message are the same for all; what differs is how the reading becomes bytes.

use core::fmt;
use nom::combinator::all_consuming;
use nom::number::complete::{be_f64, be_u8, be_u32, be_u64};
use nom::{IResult, Parser};
use prost::Message as _;
use serde::{Deserialize, Serialize};

/// What a meter measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Which meter on the serial line.
    pub meter: u32,
    /// Which of its inputs.
    pub input: u8,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// How much, in `unit`.
    pub value: f64,
    /// Of what.
    pub unit: Unit,
    /// Bit 0: the value is estimated. Bit 1: the battery is low.
    pub flags: u8,
}

/// What a value counts. The numbers are those of the struct and of Protobuf, the names those of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Unit {
    /// None; Protobuf wants a zero.
    None = 0,
    /// Degrees Celsius.
    Celsius = 1,
    /// Bar.
    Bar = 2,
    /// Cubic metres.
    CubicMetre = 3,
    /// Kilowatt hours.
    KilowattHour = 4,
}

/// Why a body is no reading.
#[derive(Debug)]
pub enum ReadingError {
    /// The struct is not 23 bytes long.
    Length {
        /// How long it is, in bytes.
        bytes: usize,
    },
    /// A unit that this version does not know.
    Unit(i32),
    /// A number of the Protobuf form does not fit its field.
    Range,
    /// No JSON, or not of a reading.
    Json(serde_json::Error),
    /// No Protobuf.
    Protobuf(prost::DecodeError),
}

impl fmt::Display for ReadingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { bytes } => write!(f, "a reading has {STRUCT_LEN} bytes, here are {bytes}"),
            Self::Unit(unit) => write!(f, "unit {unit} is unknown"),
            Self::Range => f.write_str("a number is too large for its field"),
            Self::Json(error) => error.fmt(f),
            Self::Protobuf(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ReadingError {}

/// The length of the big-endian struct, in bytes.
pub const STRUCT_LEN: usize = 4 + 1 + 8 + 8 + 1 + 1;

impl Reading {
    /// The reading as a big-endian struct, appended to `body`.
    ///
    /// ```text
    ///  0       4       5              13      21     22      23
    ///  | meter | input | timestamp_ms | value | unit | flags |
    ///    u32     u8      u64            f64     u8     u8
    /// ```
    pub fn to_struct(&self, body: &mut Vec<u8>) {
        body.extend_from_slice(&self.meter.to_be_bytes());
        body.push(self.input);
        body.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        body.extend_from_slice(&self.value.to_be_bytes());
        body.extend_from_slice(&[self.unit as u8, self.flags]);
    }

    /// The reading of a big-endian struct.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Length`], [`ReadingError::Unit`].
    pub fn from_struct(body: &[u8]) -> Result<Self, ReadingError> {
        let fields: IResult<&[u8], _> =
            all_consuming((be_u32, be_u8, be_u64, be_f64, be_u8, be_u8)).parse_complete(body);
        let (_, (meter, input, timestamp_ms, value, unit, flags)) =
            fields.map_err(|_| ReadingError::Length { bytes: body.len() })?;
        Ok(Self { meter, input, timestamp_ms, value, unit: known(unit.into())?, flags })
    }

    /// The reading as JSON, appended to `body`.
    ///
    /// # Panics
    ///
    /// When the value is no number: JSON has none for that.
    pub fn to_json(&self, body: &mut Vec<u8>) {
        assert!(self.value.is_finite(), "JSON has no word for {}", self.value);
        serde_json::to_writer(body, self).expect("a vector takes every byte");
    }

    /// The reading of a JSON text.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Json`].
    pub fn from_json(body: &[u8]) -> Result<Self, ReadingError> {
        serde_json::from_slice(body).map_err(ReadingError::Json)
    }

    /// The reading as Protobuf, appended to `body`.
    ///
    /// # Panics
    ///
    /// Never: a vector takes every byte.
    pub fn to_protobuf(&self, body: &mut Vec<u8>) {
        ReadingMessage::from(self).encode(body).expect("a vector takes every byte");
    }

    /// The reading of a Protobuf message. Fields that are not there have their zero, unknown ones are passed over.
    ///
    /// # Errors
    ///
    /// [`ReadingError::Protobuf`], [`ReadingError::Unit`], [`ReadingError::Range`].
    pub fn from_protobuf(body: &[u8]) -> Result<Self, ReadingError> {
        let message = ReadingMessage::decode(body).map_err(ReadingError::Protobuf)?;
        let byte = |number: u32| u8::try_from(number).map_err(|_| ReadingError::Range);
        Ok(Self {
            meter: message.meter,
            input: byte(message.input)?,
            timestamp_ms: message.timestamp_ms,
            value: message.value,
            unit: known(message.unit)?,
            flags: byte(message.flags)?,
        })
    }
}

fn known(unit: i32) -> Result<Unit, ReadingError> {
    Unit::try_from(unit).map_err(|_| ReadingError::Unit(unit))
}

/// The Protobuf form. Protobuf has no integer below 32 bits; small numbers are short on the line all the same.
#[derive(Clone, PartialEq, prost::Message)]
struct ReadingMessage {
    #[prost(uint32, tag = "1")]
    meter: u32,
    #[prost(uint32, tag = "2")]
    input: u32,
    #[prost(uint64, tag = "3")]
    timestamp_ms: u64,
    #[prost(double, tag = "4")]
    value: f64,
    #[prost(enumeration = "Unit", tag = "5")]
    unit: i32,
    #[prost(uint32, tag = "6")]
    flags: u32,
}

impl From<&Reading> for ReadingMessage {
    fn from(reading: &Reading) -> Self {
        Self {
            meter: reading.meter,
            input: reading.input.into(),
            timestamp_ms: reading.timestamp_ms,
            value: reading.value,
            unit: reading.unit as i32,
            flags: reading.flags.into(),
        }
    }
}

/// A format: how a reading becomes a body, and back.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// The name in reports.
    pub name: &'static str,
    /// Appends a reading's body.
    pub encode: fn(&Reading, &mut Vec<u8>),
    /// The reading of a body.
    pub decode: fn(&[u8]) -> Result<Reading, ReadingError>,
}

/// The three formats.
pub const FORMATS: [Format; 3] = [
    Format { name: "struct", encode: Reading::to_struct, decode: Reading::from_struct },
    Format { name: "json", encode: Reading::to_json, decode: Reading::from_json },
    Format { name: "protobuf", encode: Reading::to_protobuf, decode: Reading::from_protobuf },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn reading() -> Reading {
        let (timestamp_ms, value) = (1_767_225_600_000, 21.537);
        Reading { meter: 40_771, input: 2, timestamp_ms, value, unit: Unit::Celsius, flags: 0 }
    }

    #[test]
    fn every_format_gives_the_reading_back() {
        for format in FORMATS {
            let mut body = Vec::new();
            (format.encode)(&reading(), &mut body);
            let decoded = (format.decode)(&body);
            assert!(matches!(&decoded, Ok(same) if *same == reading()), "{}: {decoded:?}", format.name);
        }
    }

    #[test]
    fn the_struct_stands_where_its_picture_says() {
        let mut body = Vec::new();
        reading().to_struct(&mut body);
        assert_eq!(body[..5], [0, 0, 0x9F, 0x43, 2]);
        assert_eq!(body[21..], [1, 0]);
        assert_eq!(body.len(), STRUCT_LEN);
    }

    #[test]
    fn what_is_no_reading_is_an_error_in_every_format() {
        for format in FORMATS {
            let mut body = Vec::new();
            (format.encode)(&reading(), &mut body);
            body.truncate(body.len() - 1);
            assert!((format.decode)(&body).is_err(), "{} cut short", format.name);
        }
        let mut body = Vec::new();
        reading().to_struct(&mut body);
        body[21] = 200;
        assert!(matches!(Reading::from_struct(&body), Err(ReadingError::Unit(200))));
    }
}
