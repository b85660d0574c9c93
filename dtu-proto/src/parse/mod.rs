//! The grammar as nom parsers, for those who compose their own.
//!
//! Every function takes any error type `E` that can hold what went wrong, by nom's own
//! [`FromExternalError`](nom::error::FromExternalError): [`Malformed`](crate::Malformed) or
//! [`MessageError`](crate::message::MessageError) for the numbers, [`nom::error::Error`] in a larger grammar, `()` for
//! a plain yes or no. Nothing outside this module names nom; the decoders of the other modules are these functions
//! behind one `match`.
//!
//! Only the [`header`] and the length of a [`frame`] are *streaming* (too few bytes are
//! [`nom::Err::Incomplete`]). Inside the payload everything is *complete*: the frame has come, so a field that is cut
//! is an error.

mod frame;
mod message;

pub use frame::{frame, header};
pub use message::{datagram, message, resume};
