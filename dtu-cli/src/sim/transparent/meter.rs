//! The meter on the serial line: a Modbus RTU slave whose every register says whose it is.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, section 6, and MODBUS over Serial Line V1.02.

use super::modbus::{MAX_FRAME, Request, crc, request_at};
use std::collections::BTreeMap;

/// How many holding registers a meter has, and as many input registers.
pub(super) const REGISTERS: u16 = 1000;

/// The highest address of a slave.
pub(super) const ADDRESS_MAX: u32 = 247;

/// The address that every slave hears and none answers.
const BROADCAST: u8 = 0;

/// What may wait in the meter: some requests of the longest.
const INPUT_MAX: usize = 4 * MAX_FRAME;

const ILLEGAL_FUNCTION: u8 = 1;
const ILLEGAL_ADDRESS: u8 = 2;
const ILLEGAL_VALUE: u8 = 3;

const READ_HOLDING: u8 = 0x03;
const READ_INPUT: u8 = 0x04;
const WRITE_ONE: u8 = 0x06;
const WRITE_MANY: u8 = 0x10;

/// The bit of a function that makes the reply an exception.
const EXCEPTION: u8 = 0x80;

/// The most that one request may read and write.
const READ_MAX: u16 = 125;
const WRITE_MAX: u16 = 123;

/// A meter with its registers and what has come for it.
///
/// The holding register `r` of device `n` holds `1000 n + r` modulo 65536 until it is written, the input register 65535 less
/// that.
#[derive(Debug)]
pub(super) struct Meter {
    number: u32,
    address: u8,
    written: BTreeMap<u16, u16>,
    input: Vec<u8>,
    /// Bytes that were part of no request, or that there was no room for.
    pub(super) strange: u64,
}

/// What a meter says to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// The whole frame.
    Reply(Vec<u8>),
    /// The whole frame.
    Exception(Vec<u8>),
    /// It was for all, and is done.
    Nothing,
}

/// The address of the meter of a device.
pub(super) const fn address(number: u32) -> u8 {
    (1 + number % ADDRESS_MAX) as u8
}

impl Meter {
    pub(super) const fn new(number: u32) -> Self {
        Self { number, address: address(number), written: BTreeMap::new(), input: Vec::new(), strange: 0 }
    }

    /// Bytes from the serial line.
    pub(super) fn handle_bytes(&mut self, bytes: &[u8]) {
        let room = INPUT_MAX - self.input.len();
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.input.extend_from_slice(taken);
        self.strange += (bytes.len() - taken.len()) as u64;
    }

    /// Whether something has come that is no request so far.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// What it says to the first request that has come; `silent` says that the line is silent, so what is not whole will not
    /// get whole.
    #[must_use]
    pub(super) fn poll_reply(&mut self, silent: bool) -> Option<Said> {
        let mut at = 0;
        let found = loop {
            let rest = self.input.get(at..).unwrap_or_default();
            match rest.first() {
                None => break None,
                Some(&address) if address == self.address || address == BROADCAST => match request_at(rest, silent) {
                    Request::Whole(len) => break Some(len),
                    Request::NeedMore if !silent => {
                        self.forget(at);
                        return None;
                    }
                    Request::NeedMore | Request::None => at += 1,
                },
                Some(_) => at += 1,
            }
        };
        // Bytes in front of a request that may still come are strange for sure.
        self.forget(at);
        let len = found?;
        let request: Vec<u8> = self.input.drain(..len).collect();
        Some(self.answer(&request))
    }

    fn forget(&mut self, count: usize) {
        self.input.drain(..count);
        self.strange += count as u64;
    }

    /// `request` is whole, with a good checksum.
    fn answer(&mut self, request: &[u8]) -> Said {
        let [address, function, data @ .., _, _] = request else { return Said::Nothing };
        let said = match *function {
            READ_HOLDING => self.read(data, Self::holding),
            READ_INPUT => self.read(data, |meter, register| !meter.original(register)),
            WRITE_ONE => self.write_one(data),
            WRITE_MANY => self.write_many(data),
            _ => Err(ILLEGAL_FUNCTION),
        };
        if *address == BROADCAST {
            return Said::Nothing;
        }
        match said {
            Ok(said) => Said::Reply(frame(self.address, *function, &said)),
            Err(code) => Said::Exception(frame(self.address, function | EXCEPTION, &[code])),
        }
    }

    fn read(&self, data: &[u8], value: fn(&Self, u16) -> u16) -> Result<Vec<u8>, u8> {
        let &[a, b, c, d] = data else { return Err(ILLEGAL_VALUE) };
        let (first, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let registers = range(first, count, READ_MAX)?;
        let bytes = registers.flat_map(|register| value(self, register).to_be_bytes());
        Ok(core::iter::once((count * 2) as u8).chain(bytes).collect())
    }

    fn write_one(&mut self, data: &[u8]) -> Result<Vec<u8>, u8> {
        let &[a, b, c, d] = data else { return Err(ILLEGAL_VALUE) };
        let register = u16::from_be_bytes([a, b]);
        range(register, 1, 1)?;
        self.written.insert(register, u16::from_be_bytes([c, d]));
        Ok(data.to_vec())
    }

    fn write_many(&mut self, data: &[u8]) -> Result<Vec<u8>, u8> {
        let &[a, b, c, d, bytes, ref values @ ..] = data else { return Err(ILLEGAL_VALUE) };
        let (first, count) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        if u16::from(bytes) != count.saturating_mul(2) || values.len() != usize::from(bytes) {
            return Err(ILLEGAL_VALUE);
        }
        for (register, value) in range(first, count, WRITE_MAX)?.zip(values.chunks_exact(2)) {
            self.written.insert(register, value.iter().fold(0, |value, byte| (value << 8) | u16::from(*byte)));
        }
        Ok(vec![a, b, c, d])
    }

    fn holding(&self, register: u16) -> u16 {
        self.written.get(&register).copied().unwrap_or_else(|| self.original(register))
    }

    /// What a holding register holds that nobody has written to.
    const fn original(&self, register: u16) -> u16 {
        // Only the lower 16 bits are meant.
        self.number.wrapping_mul(1000).wrapping_add(register as u32) as u16
    }
}

/// The registers from `first` on, or the code of the exception.
fn range(first: u16, count: u16, most: u16) -> Result<core::ops::Range<u16>, u8> {
    if count == 0 || count > most {
        return Err(ILLEGAL_VALUE);
    }
    let end = first.checked_add(count).filter(|end| *end <= REGISTERS).ok_or(ILLEGAL_ADDRESS)?;
    Ok(first..end)
}

fn frame(address: u8, function: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = [&[address, function], data].concat();
    frame.extend(crc(&frame).to_le_bytes());
    frame
}

#[cfg(test)]
mod tests;
