//! placeholder
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
pub mod message;
pub mod native;
pub mod parse;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;

pub use deframer::Deframer;
pub use frame::Frame;
pub use framing::{Examined, Framing, Malformed, Step};
pub use message::Message;
pub use native::Native;
