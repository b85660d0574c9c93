//! Units that speak no protocol of ours: they register with a string, beat with a few bytes, and pass the bytes of their line through.

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
    BEFORE_REGISTRATION, BEFORE_REGISTRATION_MAX, EnvelopeSpec, HEARTBEATS_MAX, HeartbeatSpec, IDLE, Mode, Profile,
    ProfileSpec, RegistrationSpec, ReplySpec, Takeover, Unknown,
};
pub use reception::{Identified, Reception, ReceptionEvent};
pub use template::{REPLY_MAX, Template, TemplatePart};
