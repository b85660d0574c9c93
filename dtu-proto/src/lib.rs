//! Frames and messages for data transfer units (DTUs), and a deframer that finds its way back after damage.
//!
//! A DTU is a modem that carries a serial line over a mobile network. Its byte stream is cut and glued at will, and some
//! of it is lost or flipped on the serial side. This crate puts payloads into frames that show damage, and takes them
//! out of a dirty stream with one promise: *every intact frame whose bytes no earlier accepted frame covers is
//! delivered, whatever stands around it*, and every byte that is skipped is reported with its cause.
//!
//! ```text
//!  0        2        4        6              6+n         10+n
//!  | D7 55  |   n    |  ~n    |  payload n   |  CRC-32C  |
//!    magic     length (2+2)                    checksum
//! ```
//!
//! # Where to start
//!
//! | you have | take |
//! |---|---|
//! | a slice, and want frames that borrow from it | [`Native`] with [`framing::next_step`], or [`Framing::walk`] for many at a time |
//! | a stream that comes in pieces | [`Deframer`], on the heap or over an array |
//! | `bytes::Bytes`, and payloads that outlive the read | `chunk::Chunk` |
//! | tokio's `Framed` | `codec::FrameCodec` |
//! | a payload to send | [`Native::encode`] and its kin in [`encode`] |
//! | a payload that came | [`Message::decode`] |
//! | a datagram that came, or one to send | [`Datagram::open`](message::Datagram::open), [`Datagram`](message::Datagram) |
//! | a line on which a modem's own heartbeats stand between the frames | [`tokens`] |
//! | frames in frames: a vendor's envelope around a meter's | [`nested`] |
//! | a connection that does not say what it speaks | [`sniff`] |
//! | a nom grammar of your own | [`parse`] |
//!
//! # Examples
//!
//! A frame there and back, with noise in front:
//! ```
//! use dtu_proto::{Deframer, Native, Step};
//!
//! let native = Native::new();
//! let mut line = b"noise".to_vec();
//! line.resize(64, 0);
//! let end = 5 + native.encode(b"21.5 C", &mut line[5..])?;
//!
//! let mut deframer = Deframer::new(native);
//! deframer.push(&line[..end]);
//! assert!(matches!(deframer.next_step(), Step::Skipped { bytes: 5, .. }));
//! let Step::Frame(frame) = deframer.next_step() else { panic!("the frame is whole") };
//! assert_eq!(frame.payload(), b"21.5 C");
//! # Ok::<(), dtu_proto::encode::EncodeError>(())
//! ```
//!
//! Without an allocator, over an array:
//! ```
//! use dtu_proto::{Deframer, Message, Native, Step};
//!
//! let native = Native::with_max_payload(256);
//! let mut deframer = Deframer::with_storage(native, [0; 266])?;
//! # let mut sent = [0; 64];
//! # let len = native.encode(&Message::Ping { nonce: 1 }, &mut sent)?;
//! # let mut uart = sent[..len].iter().copied();
//! while let Some(byte) = uart.next() {
//!     deframer.push(&[byte]);
//!     loop {
//!         match deframer.next_step() {
//!             Step::Frame(frame) => assert_eq!(Message::decode(frame.payload()), Ok(Message::Ping { nonce: 1 })),
//!             Step::Skipped { .. } => {}
//!             Step::NeedMore { .. } => break,
//!         }
//!     }
//! }
//! # assert_eq!(deframer.counters().frames, 1);
//! # Ok::<(), dtu_proto::encode::EncodeError>(())
//! ```
//!
//! # Features
//!
//! | feature | default | gives | costs |
//! |---|---|---|---|
//! | `std` | yes | the choice of the checksum kernel at run time | needs an operating system; implies `alloc` |
//! | `alloc` | by `std` | [`Deframer::new`], whose buffer is on the heap | an allocator |
//! | `bytes` | no | `chunk`, encoding into `BufMut` | the crate bytes; implies `alloc` |
//! | `tokio-util` | no | `codec` | the crate tokio-util; implies `std` and `bytes` |
//! | `serde` | no | `Serialize` for messages and counters, bytes as hex | the crate serde |
//! | `arbitrary` | no | `Arbitrary` for messages | the crate arbitrary; implies `std` |
//!
//! Without any of them (`default-features = false`) the crate needs `core` alone.
//!
//! # Panics
//!
//! No input makes this crate panic. [`Deframer::commit`] panics when told of more bytes than there was room for, and
//! [`Crc32c::update_copying`](checksum::Crc32c::update_copying) when its slices differ in length.
#![no_std]
// What must not happen on a device: a panic from an index, an overflow, a cast that cuts. Tests may.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod checksum;
#[cfg(feature = "bytes")]
pub mod chunk;
#[cfg(feature = "tokio-util")]
pub mod codec;
pub mod counters;
pub mod deframer;
pub mod encode;
pub mod frame;
pub mod framing;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod hex;
pub mod message;
pub mod native;
pub mod nested;
pub mod parse;
pub mod presets;
pub mod sniff;
pub mod spec;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
pub mod tokens;

pub use deframer::Deframer;
pub use frame::Frame;
pub use framing::{Examined, Framing, Malformed, Step};
pub use message::Message;
pub use native::Native;
