//! Units that speak no protocol of ours: they register with a string, beat with a few bytes, and pass the bytes of their line
//! through.
//!
//! A [`Profile`] says how the units of one listener behave; it is built in code or, with the feature `serde`, read from a file
//! as a [`ProfileSpec`]. A [`Reception`] is a connection before it is known whose it is. A [`Transparent`] is the session of a unit, which
//! outlives its connections and has one [`Line`](crate::line::Line). `driver::transparent`, under the feature `tokio`, gives them sockets and
//! time. The guide is `docs/transparent.md`.
//!
//! ```text
//!  bytes ─▶ Reception ─ Identified ─▶ Transparent ─▶ envelope ─▶ echo ─▶ tokens ─▶ deframer ─▶ matcher ─▶ reply
//!            pattern                    heartbeats     (DDP)                         frame       │
//!                                       answers                                                  └▶ heard
//! ```
//!
//! | part | rule |
//! |---|---|
//! | registration | found behind whatever the line says, within [`within_ms`](RegistrationSpec::within_ms) and [`max_bytes`](RegistrationSpec::max_bytes), however it is cut |
//! | one id, two connections | the newest wins, by its number (`Epoch`), or is refused: [`Takeover`] |
//! | registration before packets | the bytes with which this connection registered are a token of it |
//! | answers | bounded by [`REPLIES`]; not kept for the next connection |
//! | frames that nobody asked for | the newest [`HEARD_FRAMES`] of them, of [`HEARD_BYTES`]; older ones are lost, counted and told |
//! | life | every byte received; [`idle_ms`](ProfileSpec::idle_ms) of silence ends the connection |
//!
//! # Examples
//!
//! ```
//! use dtu_net::line::{Matcher, Request};
//! use dtu_net::transparent::{ProfileSpec, Reception, ReceptionEvent, Transparent, TransparentEvent};
//! use std::sync::Arc;
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let profile = Arc::new(ProfileSpec::new("modbus_rtu", r"REG:{id:digit*4}\r\n").build()?);
//! let mut reception = Reception::new(Arc::clone(&profile), now);
//! reception.handle_bytes(now, b"REG:0042\r\n");
//! let Some(ReceptionEvent::Identified(identified)) = reception.poll_event() else { panic!() };
//!
//! let mut session = Transparent::new(profile, identified.registration.id().into(), 7, now);
//! let epoch = session.handle_identified(now, identified).expect("it is open");
//! let read = [0x01, 0x03, 0x00, 0x00, 0x00, 0x02, 0xC4, 0x0B];
//! let asked = session.request(now, Request::new(read, Matcher::modbus_rtu(&read)?))?;
//! let mut out = Vec::new();
//! assert!(session.poll_transmit(epoch, now, &mut out));
//! session.handle_bytes(epoch, now, &[0x01, 0x03, 0x04, 0x00, 0x0A, 0x00, 0x0B, 0x9B, 0xF6]);
//! let settled = std::iter::from_fn(|| session.poll_event())
//!     .find(|event| matches!(event, TransparentEvent::Settled { id, .. } if *id == asked));
//! assert!(settled.is_some());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod envelope;
mod error;
mod event;
mod framing;
mod framing_spec;
mod inbox;
mod machine;
mod pattern;
mod profile;
mod reception;
mod template;
mod text;
mod wrapper;

pub use error::{Key, Problem, ProfileError};
pub use event::{Heard, TransparentCounters, TransparentEvent};
pub use framing::SharedFraming;
pub use framing_spec::FramingSpec;
pub use inbox::{HEARD_BYTES, HEARD_FRAMES};
pub use machine::{REPLIES, Transparent};
pub use pattern::{Captures, Found, ID, ID_MAX, Pattern, REGISTRATION_MAX};
pub use profile::{
    BEFORE_REGISTRATION, BEFORE_REGISTRATION_MAX, EnvelopeSpec, HEARTBEATS_MAX, HeartbeatSpec, IDLE, LineSpec, Mode,
    Profile, ProfileSpec, QUEUE_MAX, RegistrationSpec, ReplySpec, Takeover, Unknown,
};
pub use reception::{Identified, Reception, ReceptionEvent};
pub use template::{REPLY_MAX, Template, TemplatePart};
