//! How the units of one listener behave: as a file says it, and checked.

use super::envelope::Envelope;
use super::error::{Key, Problem, ProfileError};
use super::framing::SharedFraming;
use super::framing_spec::FramingSpec;
use super::pattern::Pattern;
use super::template::Template;
use super::text;
use crate::limits::{IDENTIFY, RETENTION};
use crate::line::LineLimits;
use crate::line::limits::{CONFIRM, QUARANTINE, QUEUE, STALL, SUSPICION};
use core::time::Duration;
use dtu_proto::tokens::{MAX_TOKEN_LEN, MAX_TOKENS, TokenError, TokenSet};

/// The heartbeats that a profile can have. The registration takes a place among the tokens where it stands before packets.
pub const HEARTBEATS_MAX: usize = MAX_TOKENS - 1;

/// The silence after which a connection is over, unless set otherwise: three heartbeats of a minute, which is what most units
/// come with.
pub const IDLE: Duration = Duration::from_secs(180);

/// The bytes that a unit may send before it is identified, unless set otherwise: a registration, and what its line says meanwhile.
pub const BEFORE_REGISTRATION: usize = 1024;

/// The most that can be set of these.
pub const BEFORE_REGISTRATION_MAX: usize = 64 * 1024;

/// The most requests that a profile can let wait for a line.
pub const QUEUE_MAX: usize = 4096;

const LONGEST: Duration = Duration::from_hours(24);
const SHORTEST: Duration = Duration::from_millis(1);

/// When a unit says who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Mode {
    /// Once, when it has connected.
    #[default]
    Once,
    /// Before every packet.
    Prefix,
    /// When it has connected, and again before every packet.
    Both,
}

/// Who may in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Unknown {
    /// Whoever has an id.
    #[default]
    Accept,
    /// Whose id the owner knows.
    Refuse,
}

/// What happens when a connection says the id of another one that is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Takeover {
    /// It takes its place: units come again before their old connection is found to be dead.
    #[default]
    Newest,
    /// It is refused until the other one has been silent for as long as `idle_ms` says. A unit that was cut off stays away for
    /// so long, too.
    Refuse,
}

/// What something is answered with, as a file says it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum ReplySpec {
    /// `"none"`: nothing.
    #[default]
    None,
    /// `"echo"`: what came.
    Echo,
    /// `{ bytes = "OK {id}\r\n" }`: see [`Template::new`].
    Bytes(String),
}

/// What a registration looks like, as a file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct RegistrationSpec {
    /// See [`Pattern`].
    pub pattern: String,
    /// When it comes.
    #[cfg_attr(feature = "serde", serde(default))]
    pub mode: Mode,
    /// What it is answered with.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reply: ReplySpec,
    /// How long a unit has to register, in milliseconds.
    #[cfg_attr(feature = "serde", serde(default = "within"))]
    pub within_ms: u64,
    /// How many bytes it has for it.
    #[cfg_attr(feature = "serde", serde(default = "max_bytes"))]
    pub max_bytes: usize,
}

/// A heartbeat, as a file says it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct HeartbeatSpec {
    /// Its bytes, written as those of a [`Pattern`].
    pub token: String,
    /// What it is answered with.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reply: ReplySpec,
}

/// Frames of the unit around those of its line, as those of Hongdian's DDP, as a file says them.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct EnvelopeSpec {
    /// The framing of the envelope.
    pub framing: FramingSpec,
    /// Where in it the byte stands that says its kind.
    pub kind_at: usize,
    /// The kind that registers. Repeated, it is a heartbeat, and answered as the first.
    pub register: u8,
    /// The kind in which the bytes of the line come.
    pub data_up: u8,
    /// The kind in which bytes for the line leave.
    pub data_down: u8,
    /// The kind with which a unit takes its leave.
    #[cfg_attr(feature = "serde", serde(default))]
    pub logout: Option<u8>,
    /// What that is answered with.
    #[cfg_attr(feature = "serde", serde(default))]
    pub logout_reply: ReplySpec,
}

/// The bounds of the line, as a file says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct LineSpec {
    /// See [`QUEUE`].
    pub queue: usize,
    /// See [`QUARANTINE`], in milliseconds.
    pub quarantine_ms: u64,
    /// See [`SUSPICION`], in milliseconds.
    pub suspicion_ms: u64,
    /// See [`CONFIRM`], in milliseconds.
    pub confirm_ms: u64,
    /// Whether the line gives back what is sent on it; then every request is [`echoed`](crate::line::Request::echoed).
    pub echo: bool,
}

impl Default for LineSpec {
    fn default() -> Self {
        Self {
            queue: QUEUE,
            quarantine_ms: millis(QUARANTINE),
            suspicion_ms: millis(SUSPICION),
            confirm_ms: millis(CONFIRM),
            echo: false,
        }
    }
}

impl LineSpec {
    fn build(&self, stall: Duration) -> Result<LineLimits, ProfileError> {
        let time = |key, ms| {
            let (time, least, most) = (Duration::from_millis(ms), Duration::ZERO, LONGEST);
            if time <= most { Ok(time) } else { Err(ProfileError { key, problem: Problem::Time { least, most } }) }
        };
        if !(1..=QUEUE_MAX).contains(&self.queue) {
            let problem = Problem::Number { least: 1, most: QUEUE_MAX };
            return Err(ProfileError { key: Key::Queue, problem });
        }
        let mut limits = LineLimits::default();
        (limits.queue, limits.stall) = (self.queue, stall);
        limits.quarantine = time(Key::Quarantine, self.quarantine_ms)?;
        limits.suspicion = time(Key::Suspicion, self.suspicion_ms)?;
        limits.confirm = time(Key::Confirm, self.confirm_ms)?;
        Ok(limits)
    }
}

/// A profile that is not built yet.
#[derive(Debug, Clone)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct ProfileSpec {
    /// The framing of the line: what its devices send.
    pub framing: FramingSpec,
    /// What the registration looks like.
    pub registration: RegistrationSpec,
    /// The bytes that the unit puts between frames, or into them.
    #[cfg_attr(feature = "serde", serde(default))]
    pub heartbeat: Vec<HeartbeatSpec>,
    /// What is around the frames of the line.
    #[cfg_attr(feature = "serde", serde(default))]
    pub envelope: Option<EnvelopeSpec>,
    /// The bounds of the line.
    #[cfg_attr(feature = "serde", serde(default))]
    pub line: LineSpec,
    /// The silence after which a connection is over, in milliseconds.
    #[cfg_attr(feature = "serde", serde(default = "idle"))]
    pub idle_ms: u64,
    /// The silence after which a frame that has begun is given up, in milliseconds.
    #[cfg_attr(feature = "serde", serde(default = "stall"))]
    pub stall_ms: u64,
    /// How long the session of an absent unit is kept, in milliseconds.
    #[cfg_attr(feature = "serde", serde(default = "retention"))]
    pub retention_ms: u64,
    /// Who may in.
    #[cfg_attr(feature = "serde", serde(default))]
    pub unknown: Unknown,
    /// What happens when two say the same id.
    #[cfg_attr(feature = "serde", serde(default))]
    pub takeover: Takeover,
}

const fn millis(time: Duration) -> u64 {
    time.as_millis() as u64
}

const fn within() -> u64 {
    millis(IDENTIFY)
}

const fn max_bytes() -> usize {
    BEFORE_REGISTRATION
}

const fn idle() -> u64 {
    millis(IDLE)
}

const fn stall() -> u64 {
    millis(STALL)
}

const fn retention() -> u64 {
    millis(RETENTION)
}

impl ProfileSpec {
    /// Units that register once by `pattern`, without heartbeats; everything else as a file leaves it out.
    #[must_use]
    pub fn new(framing: impl Into<FramingSpec>, pattern: &str) -> Self {
        let registration = RegistrationSpec {
            pattern: pattern.into(),
            mode: Mode::Once,
            reply: ReplySpec::None,
            within_ms: within(),
            max_bytes: max_bytes(),
        };
        Self {
            framing: framing.into(),
            registration,
            heartbeat: Vec::new(),
            envelope: None,
            line: LineSpec::default(),
            idle_ms: idle(),
            stall_ms: stall(),
            retention_ms: retention(),
            unknown: Unknown::Accept,
            takeover: Takeover::Newest,
        }
    }

    /// Checks every key and gives the profile.
    ///
    /// # Errors
    ///
    /// The first key with a value that it cannot have.
    pub fn build(&self) -> Result<Profile, ProfileError> {
        let error = |key, problem| ProfileError { key, problem };
        let registration = &self.registration;
        let pattern = Pattern::new(&registration.pattern).map_err(|problem| error(Key::Pattern, problem))?;
        let len = pattern.max_len();
        if registration.mode != Mode::Once && len > MAX_TOKEN_LEN {
            return Err(error(Key::Pattern, Problem::TooLong { len, limit: MAX_TOKEN_LEN }));
        }
        let reply = |reply: &ReplySpec, key| match reply {
            ReplySpec::None => Ok(Template::None),
            ReplySpec::Echo => Ok(Template::Echo),
            ReplySpec::Bytes(text) => Template::new(text, &pattern).map_err(|problem| error(key, problem)),
        };
        let registration_reply = reply(&registration.reply, Key::RegistrationReply)?;
        let count = self.heartbeat.len();
        if count > HEARTBEATS_MAX {
            return Err(error(Key::Heartbeats, Problem::TooLong { len: count, limit: HEARTBEATS_MAX }));
        }
        let mut tokens = TokenSet::new();
        let mut heartbeat_replies = Vec::with_capacity(count);
        for (index, heartbeat) in self.heartbeat.iter().enumerate() {
            let bytes = text::bytes(&heartbeat.token).map_err(|problem| error(Key::Token(index), problem))?;
            tokens.add(&bytes).map_err(|wrong| error(Key::Token(index), of_token(wrong)))?;
            heartbeat_replies.push(reply(&heartbeat.reply, Key::TokenReply(index))?);
        }
        let envelope = self.envelope.as_ref().map(|envelope| {
            let logout_reply = reply(&envelope.logout_reply, Key::LogoutReply);
            Envelope::new(envelope, logout_reply)
        });
        let time = |key, ms, most| {
            let (time, least) = (Duration::from_millis(ms), SHORTEST);
            if (least..=most).contains(&time) { Ok(time) } else { Err(error(key, Problem::Time { least, most })) }
        };
        let max_bytes = registration.max_bytes;
        if !(len..=BEFORE_REGISTRATION_MAX).contains(&max_bytes) {
            let bounds = Problem::Number { least: len, most: BEFORE_REGISTRATION_MAX };
            return Err(error(Key::MaxBytes, bounds));
        }
        let stall = time(Key::Stall, self.stall_ms, LONGEST)?;
        Ok(Profile {
            framing: self.framing.build().map_err(|problem| error(Key::Framing, problem))?,
            pattern,
            mode: registration.mode,
            registration_reply,
            within: time(Key::Within, registration.within_ms, LONGEST)?,
            max_bytes,
            tokens,
            heartbeat_replies,
            envelope: envelope.transpose()?,
            idle: time(Key::Idle, self.idle_ms, LONGEST)?,
            stall,
            retention: time(Key::Retention, self.retention_ms, LONGEST * 7)?,
            unknown: self.unknown,
            takeover: self.takeover,
            limits: self.line.build(stall)?,
            echo: self.line.echo,
        })
    }
}

const fn of_token(wrong: TokenError) -> Problem {
    match wrong {
        TokenError::TooLong { length } => Problem::TooLong { len: length, limit: MAX_TOKEN_LEN },
        TokenError::TooMany => Problem::TooLong { len: MAX_TOKENS + 1, limit: MAX_TOKENS },
        TokenError::Repeated { index } => Problem::Repeated { index },
        TokenError::Empty | _ => Problem::Empty,
    }
}

/// How the units of one listener behave.
#[derive(Debug, Clone)]
pub struct Profile {
    pub(super) framing: SharedFraming,
    pub(super) pattern: Pattern,
    pub(super) mode: Mode,
    pub(super) registration_reply: Template,
    pub(super) within: Duration,
    pub(super) max_bytes: usize,
    pub(super) tokens: TokenSet,
    pub(super) heartbeat_replies: Vec<Template>,
    pub(super) envelope: Option<Envelope>,
    pub(super) idle: Duration,
    pub(super) stall: Duration,
    pub(super) retention: Duration,
    pub(super) unknown: Unknown,
    pub(super) takeover: Takeover,
    pub(super) limits: LineLimits,
    pub(super) echo: bool,
}

impl Profile {
    /// The same with other bounds of the line. Its stall timer stays that of the profile.
    #[must_use]
    pub fn line_limits(self, limits: LineLimits) -> Self {
        Self { limits, ..self }
    }

    /// The framing of the line.
    #[must_use]
    pub const fn framing(&self) -> &SharedFraming {
        &self.framing
    }

    /// Who may in.
    #[must_use]
    pub const fn unknown(&self) -> Unknown {
        self.unknown
    }

    /// What happens when two say the same id.
    #[must_use]
    pub const fn takeover(&self) -> Takeover {
        self.takeover
    }

    /// How long a unit has to register.
    #[must_use]
    pub const fn within(&self) -> Duration {
        self.within
    }

    pub(super) fn line(&self) -> LineLimits {
        let mut limits = self.limits;
        limits.stall = self.stall;
        limits
    }
}
