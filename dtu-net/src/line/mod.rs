//! Requests and replies on a half-duplex line: a serial line with meters or controllers on it, behind a data transfer unit.
//!
//! [`Line`] has a bounded queue and puts one request at a time on the line. It knows the reply by a [`Matcher`], takes the echo out
//! that a line gives back, repeats by policy what may be repeated, and keeps replies that come too late away from the requests
//! behind. It opens nothing and reads no clock.
//!
//! | | |
//! |---|---|
//! | queue | [`LineLimits::queue`] requests, by [`Priority`] and then in order; one more is refused |
//! | one at a time | the next goes out when the one before has its outcome, no frame is half there, and the line is not kept quiet |
//! | reply | the first frame that fits the [`Matcher`]; all other frames are [`Unsolicited`] |
//! | timeout | from when the bytes leave; before it counts, what hides behind the false beginning of a frame is looked at |
//! | repeat | by the request's [`Policy`](crate::retry::Policy), when it is declared idempotent. A late reply to a request that waits for its repeat is its reply |
//! | ledger | every request ends in exactly one [`Outcome`], or was refused: [`LineLedger`] |
//!
//! # Late replies
//!
//! Most serial protocols have no number that replies repeat: the late reply to one request looks as the reply to the next one
//! like it. Modbus RTU is of them. What a line does, and what it can promise:
//!
//! | reply comes | what happens |
//! |---|---|
//! | within the timeout | it is the reply |
//! | within [`LineLimits::quarantine`] after it | nothing else is on the line: it is known to be late, for certain. It also ends the quarantine |
//! | within [`LineLimits::suspicion`] after that | where the request on the line would not take it, it is known to be late. Where it would (the same address, function and count), the first reply is held for [`LineLimits::confirm`]: a device answers in turn, so when a second one comes behind it, the first was the late one |
//! | to a request that was cancelled, or whose deadline or connection ended first | the same, with the quarantine from the end of its timeout; of that, the line is quiet for [`QUIET_MAX`](limits::QUIET_MAX) at most |
//! | later, or without the second one in time | it is taken for the reply to a request that looks the same. Nothing on the wire tells them apart |
//!
//! So the promise is certain for devices whose longest delay is below timeout and quarantine together, and for requests that can be told apart
//! by their matchers, as by transaction in Modbus TCP ([`Matcher::is_unique`]; no quarantine is needed there). Set both times by the slowest
//! device and the slowest path, not by the usual one. Who needs more has to read what can be told apart: blocks of different
//! lengths, or a register that the device counts up.
//!
//! A reply that comes twice, or a stranger on the line that sends the bytes of a reply, is taken for what it looks like.
//!
//! # Examples
//!
//! ```
//! use dtu_net::line::{Line, LineEvent, LineLimits, Matcher, Outcome, Request};
//! # use dtu_proto::{Framing, Native};
//! use std::time::Instant;
//!
//! # fn framing() -> Native { Native::new() }
//! let mut now = Instant::now();
//! let mut line = Line::new(framing(), LineLimits::default(), 7);
//! line.handle_connected(now);
//! let id = line.request(now, Request::new(b"read", Matcher::AnyFrame))?;
//!
//! let mut out = Vec::new();
//! assert!(line.poll_transmit(now, &mut out));
//! assert_eq!(out, b"read");
//! # let mut reply = Vec::new();
//! # framing().encode_into(&[], b"42", &mut reply).expect("it is short");
//! line.handle_bytes(now, &reply);
//! let Some(LineEvent::Settled { id: settled, outcome: Outcome::Replied(reply) }) = line.poll_event() else { panic!() };
//! assert_eq!((settled, &reply.frame.payload()[..]), (id, &b"42"[..]));
//! assert!(line.ledger().is_balanced());
//! # Ok::<(), dtu_net::line::RequestError>(())
//! ```

mod doubts;
mod echo;
mod event;
mod frame;
pub mod limits;
mod machine;
mod matcher;
mod modbus;
mod queue;
mod reader;
mod request;

pub use doubts::DOUBTS_MAX;
pub use echo::PARTIAL_ECHO_MIN;
pub use event::{LineCounters, LineEvent, LineLedger, Unsolicited};
pub use frame::FrameBuf;
pub use limits::LineLimits;
pub use machine::{Line, LineTimer};
pub use matcher::{Match, Matcher, MatcherError};
pub use modbus::{RtuReply, TcpReply};
pub use request::{DEADLINE, Outcome, Priority, Reply, Request, RequestError, RequestId, TIMEOUT};
