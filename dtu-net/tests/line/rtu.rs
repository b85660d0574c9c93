//! Frames of Modbus RTU, made by hand.

#![allow(dead_code, reason = "several tests share it, and not each uses all of it")]

fn crc(bytes: &[u8]) -> u16 {
    let mut crc = 0xFFFF_u16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xA001 } else { crc >> 1 };
        }
    }
    crc
}

/// `body` with its checksum.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    [body, &crc(body).to_le_bytes()].concat()
}

/// Reads `count` registers from `start` on.
pub(crate) fn read(address: u8, start: u16, count: u16) -> Vec<u8> {
    sealed(&[&[address, 0x03][..], &start.to_be_bytes(), &count.to_be_bytes()].concat())
}

/// The reply to that: the registers.
pub(crate) fn registers(address: u8, values: &[u16]) -> Vec<u8> {
    let count = u8::try_from(values.len() * 2).expect("few");
    let mut body = vec![address, 0x03, count];
    body.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    sealed(&body)
}

/// Writes one register; also the reply to that.
pub(crate) fn write(address: u8, register: u16, value: u16) -> Vec<u8> {
    sealed(&[&[address, 0x06][..], &register.to_be_bytes(), &value.to_be_bytes()].concat())
}

pub(crate) fn exception(address: u8, function: u8, code: u8) -> Vec<u8> {
    sealed(&[address, function | 0x80, code])
}
