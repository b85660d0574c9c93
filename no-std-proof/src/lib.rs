//! The codec as a firmware without an operating system and without an allocator uses it, behind C functions.
//!
//! `prove.sh` links it with nothing but `start.c` into a program; what does not link does not exist.
#![no_std]

use core::panic::PanicInfo;
use core::slice;
use dtu_proto::framing::next_step;
use dtu_proto::message::{Close, CloseCode, Data, Reason};
use dtu_proto::{Deframer, Message, Native, Step};

/// The longest payload this device takes, in bytes.
const MAX_PAYLOAD: u16 = 246;

/// Room for one frame with such a payload.
const LINE_LEN: usize = 256;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Encodes a DATA message with `len` bytes at `body` as a frame into the `room` bytes at `out`.
///
/// Returns the frame's length in bytes, or 0 when it does not fit.
///
/// # Safety
///
/// `body` and `out` point to so many bytes, and these do not overlap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtu_encode_data(seq: u32, body: *const u8, len: usize, out: *mut u8, room: usize) -> usize {
    // SAFETY: the caller keeps the contract above.
    let (body, out) = unsafe { (slice::from_raw_parts(body, len), slice::from_raw_parts_mut(out, room)) };
    let message = Message::Data(Data { seq, channel: 0, body });
    Native::with_max_payload(MAX_PAYLOAD).encode(&message, out).unwrap_or(0)
}

/// Encodes a CLOSE message like [`dtu_encode_data`].
///
/// # Safety
///
/// `out` points to `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtu_encode_close(out: *mut u8, room: usize) -> usize {
    // SAFETY: the caller keeps the contract above.
    let out = unsafe { slice::from_raw_parts_mut(out, room) };
    let message = Message::Close(Close { code: CloseCode::GOING_DOWN, reason: Reason::EMPTY });
    Native::with_max_payload(MAX_PAYLOAD).encode(&message, out).unwrap_or(0)
}

/// Decodes what stands at the front of `len` bytes: 1 for a frame with a message in it, 0 for more bytes to come, -1 for
/// bytes to skip, -2 for a frame without a message. The number of bytes it covers is written to `covered`.
///
/// # Safety
///
/// `bytes` points to `len` bytes and `covered` to a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtu_decode(bytes: *const u8, len: usize, covered: *mut usize) -> i32 {
    // SAFETY: the caller keeps the contract above.
    let (bytes, covered) = unsafe { (slice::from_raw_parts(bytes, len), &mut *covered) };
    let step = next_step(&Native::with_max_payload(MAX_PAYLOAD), bytes);
    *covered = step.covered();
    match step {
        Step::Frame(frame) if Message::decode(frame.payload()).is_ok() => 1,
        Step::Frame(_) => -2,
        Step::Skipped { .. } => -1,
        Step::NeedMore { .. } => 0,
    }
}

/// The line into the device: a deframer over an array of its own.
static mut LINE: Option<Deframer<Native, [u8; LINE_LEN]>> = None;

/// Takes `len` bytes from the line and returns how many whole frames have come so far. With no bytes, a candidate that
/// waits is given up, as after a silence.
///
/// # Safety
///
/// `bytes` points to `len` bytes, and no other thread or interrupt is in here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dtu_receive(bytes: *const u8, len: usize) -> u32 {
    let line = &raw mut LINE;
    // SAFETY: the caller keeps the contract above, so this is the only reference.
    let (mut bytes, line) = unsafe { (slice::from_raw_parts(bytes, len), &mut *line) };
    let line = line.get_or_insert_with(|| {
        let native = Native::with_max_payload(MAX_PAYLOAD);
        Deframer::with_storage(native, [0; LINE_LEN]).expect("the array has the length of the longest frame")
    });
    if bytes.is_empty() {
        let _ = line.abandon_candidate();
    }
    loop {
        let count = line.push(bytes);
        bytes = bytes.get(count..).unwrap_or_default();
        line.for_each_step(|_| ());
        if bytes.is_empty() {
            return u32::try_from(line.counters().frames).unwrap_or(u32::MAX);
        }
    }
}
