//! The blocks of a pcapng file, little endian.
//!
//! ```text
//!   | type 4 | length 4 | body, padded to 4 | length 4 |
//! ```

use dtu_net::driver::tap::Way;
use std::time::{SystemTime, UNIX_EPOCH};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const VERSION: [u16; 2] = [1, 0];
/// The length of a section that goes on to the end of the file.
const UNKNOWN_LENGTH: u64 = u64::MAX;

/// Packets begin with their IP header.
const LINK_RAW: u16 = 101;

/// Options: of a section, of an interface, of a packet.
const END: u16 = 0;
const PROGRAM: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const FLAGS: u16 = 2;
const DROPPED: u16 = 4;

/// Time stamps are nanoseconds.
const NANOSECONDS: u8 = 9;

const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// What a file begins with: one section, one interface. `snap_length` is the most that is kept of a packet, 0 for all.
pub(super) fn header(snap_length: u32) -> Vec<u8> {
    let mut out = Vec::new();
    block(&mut out, SECTION, |out| {
        out.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        VERSION.iter().for_each(|part| out.extend_from_slice(&part.to_le_bytes()));
        out.extend_from_slice(&UNKNOWN_LENGTH.to_le_bytes());
        option(out, PROGRAM, concat!("dtu ", env!("CARGO_PKG_VERSION")).as_bytes());
        option(out, END, &[]);
    });
    block(&mut out, INTERFACE, |out| {
        out.extend_from_slice(&LINK_RAW.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&snap_length.to_le_bytes());
        option(out, NAME, b"dtu");
        option(out, RESOLUTION, &[NANOSECONDS]);
        option(out, END, &[]);
    });
    out
}

/// Appends a packet. `missing` is how many were dropped in front of it.
pub(super) fn packet(out: &mut Vec<u8>, at: SystemTime, way: Way, kept: &[u8], original: usize, missing: u64) {
    // A clock before 1970 is none.
    let time = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let [.., a, b, c, d, e, f, g, h] = time.to_be_bytes();
    block(out, ENHANCED_PACKET, |out| {
        let interface = 0_u32;
        let (high, low) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        for number in [interface, high, low, length(kept.len()), length(original)] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        padded(out, kept);
        let direction = match way {
            Way::Up => INBOUND,
            Way::Down => OUTBOUND,
        };
        option(out, FLAGS, &direction.to_le_bytes());
        if missing > 0 {
            option(out, DROPPED, &missing.to_le_bytes());
        }
        option(out, END, &[]);
    });
}

fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    body(out);
    let total = length(out.len() - start + 4).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&total);
    out.extend_from_slice(&total);
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let count = u16::try_from(value.len()).expect("the options here are short");
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    padded(out, value);
}

fn padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    let rest = bytes.len().next_multiple_of(4) - bytes.len();
    out.resize(out.len() + rest, 0);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a packet has at most 64 KiB")
}
