//! The device's end of a link: dials, says who it is, asks for signs of life, and comes again.

use crate::adaptive::{Adaptive, AdaptiveHeartbeat};
use crate::auth::{self, Key};
use crate::backoff::{Backoff, Delays};
use crate::error::{Cause, Violation};
use crate::event::{Epoch, Event, State, Timer};
use crate::failover::{Failover, MOVE, Plan, Probe, Verdict};
use crate::heartbeat::{Pace, Silence};
use crate::limits::{HEARTBEAT_MAX, HEARTBEAT_MIN, Limits, after};
use crate::link::{Link, Role, sealed};
use crate::sending::Sending;
use crate::state::Core;
use crate::store::{Kept, OutboxStore};
use crate::wire::{Carrier, Wire};
use bytes::Bytes;
use core::mem;
use core::time::Duration;
use dtu_proto::Message;
use dtu_proto::message::{CloseCode, DeviceId, MessageError, RefuseCode, Register, Resume, Token, VERSION, Welcome};
use rand_pcg::Pcg32;
use std::sync::Arc;
use std::time::Instant;

/// The time to the first repeat of a REGISTER or PROOF on datagrams, of which the answer may be lost; doubled each time.
const REPEAT: Duration = Duration::from_secs(1);

/// Who a device is and how it keeps its link.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceConfig {
    id: Arc<str>,
    token: Bytes,
    /// What it proves itself with when the server asks.
    pub key: Option<Key>,
    /// How long it waits between two tries.
    pub backoff: Backoff,
    /// The bounds of its link.
    pub limits: Limits,
    /// Whether it finds out for itself how rarely it may ask; see [`adaptive`](crate::adaptive).
    pub adaptive: Option<AdaptiveHeartbeat>,
}

impl DeviceConfig {
    /// A device without token and key, with the default bounds. `id` has 1 to 64 bytes.
    ///
    /// # Errors
    ///
    /// When `id` has another length.
    pub fn new(id: &str) -> Result<Self, MessageError> {
        let id = DeviceId::new(id)?.as_str().into();
        let (token, backoff, limits) = (Bytes::new(), Backoff::RECONNECT, Limits::default());
        Ok(Self { id, token, key: None, backoff, limits, adaptive: None })
    }

    /// What the server may ask for besides; at most 255 bytes.
    ///
    /// # Errors
    ///
    /// When it is longer.
    pub fn token(self, token: &[u8]) -> Result<Self, MessageError> {
        Ok(Self { token: Bytes::copy_from_slice(Token::new(token)?.as_bytes()), ..self })
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What a device has to say before it is let in.
#[derive(Debug, Clone, Copy)]
enum Hello {
    Register(Resume),
    Proof([u8; auth::MAC_LEN]),
}

/// The device's role in a [`Link`].
#[derive(Debug)]
pub struct Device {
    id: Arc<str>,
    token: Bytes,
    key: Option<Key>,
    delays: Delays,
    random: Pcg32,
    /// When `Disconnected`, `Connecting` or `Registering` ends.
    deadline: Instant,
    /// The driver has not been told to dial yet.
    connect_due: bool,
    hello: Option<Hello>,
    hello_due: bool,
    /// The connection before ended because a newer one took its place.
    replaced: bool,
    /// When the hello goes out again, on datagrams, and after how long the next time.
    repeat: Option<(Instant, Duration)>,
    pub(crate) adaptive: Option<Box<Adaptive>>,
    /// Where it dials, when it has several endpoints.
    failover: Option<Box<Failover>>,
    /// The endpoint that it goes back to, and when at the latest.
    moving: Option<(usize, Instant)>,
    /// The driver has not been told to make it yet.
    probe_due: Option<Probe>,
}

impl Role for Device {}

impl Link<Device> {
    /// A device that wants to connect at once. `stream` and `seed` are random numbers: the id of what this side sends, not
    /// 0, and the beginning of the random numbers in its delays.
    #[must_use]
    pub fn device(config: DeviceConfig, stream: u64, seed: u64, now: Instant) -> Self {
        let outbox = Sending::new(stream);
        Self::with_outbox(config, outbox, seed, now)
    }

    /// The same with an outbox that survives its process: it goes on with what the store kept.
    #[must_use]
    pub fn restored(config: DeviceConfig, kept: Kept, store: Box<dyn OutboxStore>, seed: u64, now: Instant) -> Self {
        let outbox = Sending::restored(kept, store, config.limits.outbox);
        Self::with_outbox(config, outbox, seed, now)
    }

    fn with_outbox(config: DeviceConfig, outbox: Sending, seed: u64, now: Instant) -> Self {
        let DeviceConfig { id, token, key, backoff, limits, adaptive } = config;
        let role = Device {
            id,
            token,
            key,
            delays: Delays::new(backoff),
            random: Pcg32::new(seed, seed),
            deadline: now,
            connect_due: false,
            hello: None,
            hello_due: false,
            replaced: false,
            repeat: None,
            adaptive: adaptive.as_ref().map(|adaptive| Box::new(Adaptive::new(adaptive))),
            failover: None,
            moving: None,
            probe_due: None,
        };
        Self { wire: None, core: Core::new(Arc::new(limits), outbox, now), role }
    }

    /// The same with several endpoints. `seed` is random; it may be that of the link.
    #[must_use]
    pub fn fail_over(mut self, plan: &Plan, seed: u64, now: Instant) -> Self {
        self.role.failover = Some(Box::new(Failover::new(plan, seed, now)));
        self
    }

    /// The endpoint that the connection of now goes to, or the last one went to; 0 where there is but one.
    #[must_use]
    pub fn endpoint(&self) -> usize {
        self.role.failover.as_ref().and_then(|failover| failover.current()).unwrap_or(0)
    }

    /// The endpoint that is to be probed now: connect to it beside the connection there is, by TLS where it has that, drop what
    /// came of it, and say so by [`handle_probe`](Self::handle_probe).
    #[must_use]
    pub const fn poll_probe(&mut self) -> Option<Probe> {
        self.role.probe_due.take()
    }

    /// The endpoint was there, or not. When it has been there for long enough, the connection of now is ended, to go back to
    /// it, as soon as all that was sent is acknowledged, at the latest after [`MOVE`]. What is said of a probe of an older connection does nothing.
    pub fn handle_probe(&mut self, now: Instant, probe: Probe, answered: bool) {
        let Some(failover) = &mut self.role.failover else { return };
        failover.handle_probe(now, probe, answered);
        if let Some(endpoint) = failover.poll_fail_back() {
            // What the server has and did not acknowledge would come twice, here and there.
            self.core.is_ending = true;
            self.role.moving = Some((endpoint, now + MOVE));
            self.settle(now, Ok(()));
        }
    }

    /// The connection that is wanted now: dial, then call [`handle_connected`](Self::handle_connected) or
    /// [`handle_disconnected`](Self::handle_disconnected) with it. When the time for dialling is over, the next one is
    /// wanted, and this one counts no more.
    #[must_use]
    pub fn poll_connect(&mut self) -> Option<Epoch> {
        let due = mem::take(&mut self.role.connect_due) && self.core.state == State::Connecting;
        due.then_some(self.core.epoch)
    }

    /// The connection has been made: REGISTER goes out.
    pub fn handle_connected(&mut self, epoch: Epoch, now: Instant, carrier: Carrier) {
        let core = &mut self.core;
        if epoch != core.epoch || core.state != State::Connecting {
            return;
        }
        core.begin(now);
        let role = &mut self.role;
        role.deadline = after(now, core.limits.identify);
        role.hello = Some(Hello::Register(core.resume_fields()));
        role.hello_due = true;
        role.repeat = (carrier == Carrier::Datagrams).then_some((now + REPEAT, REPEAT));
        self.wire = Some(Wire::new(carrier, core.outbox.stream(), &core.limits));
        core.change(now, State::Registering, None, "");
    }

    /// When it tries to connect again; `None` when it does not wait for that.
    #[must_use]
    pub const fn next_try(&self) -> Option<Instant> {
        match self.core.state {
            State::Disconnected => Some(self.role.deadline),
            State::Connecting | State::Registering | State::Connected | State::Suspect | State::Closed => None,
        }
    }

    /// Tries again at once, when it waits for its next try: the application knows that the network is back.
    pub const fn reconnect_now(&mut self, now: Instant) {
        if matches!(self.core.state, State::Disconnected) {
            self.role.deadline = now;
        }
    }
}

impl Device {
    fn welcomed(&mut self, core: &mut Core, now: Instant, ordered: bool, welcome: &Welcome) -> Result<(), Cause> {
        let Welcome { heartbeat_ms, window, resume } = *welcome;
        let heartbeat = Duration::from_millis(u64::from(heartbeat_ms));
        if window == 0 || !(HEARTBEAT_MIN..=HEARTBEAT_MAX).contains(&heartbeat) {
            return Err(Cause::Violation(Violation::Welcome { heartbeat_ms, window }));
        }
        let limits = Arc::make_mut(&mut core.limits);
        (limits.heartbeat, limits.window) = (heartbeat, window);
        (self.hello, self.hello_due, self.repeat) = (None, false, None);
        self.delays.answered(now);
        if let Some(failover) = &mut self.failover {
            failover.handle_answered(now);
        }
        core.resume(now, &resume, ordered).map_err(Cause::Violation)?;
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.handle_welcomed(now, heartbeat, ordered, &mut core.events);
        }
        Ok(())
    }

    fn pace(&self, core: &Core) -> Pace {
        let announced = Pace::announced(&core.limits);
        self.adaptive.as_ref().map_or(announced, |adaptive| Pace {
            interval: adaptive.interval(),
            keep: adaptive.keep(announced.keep),
            probe_timeout: adaptive.probe_timeout(announced.probe_timeout, core.heartbeat.round_trip().timeout()),
            probes: announced.probes,
        })
    }
}

impl sealed::Role for Device {
    #[expect(clippy::wildcard_enum_match_arm, reason = "any other message breaks the same rule, also one to come")]
    fn handle_message(
        &mut self,
        core: &mut Core,
        now: Instant,
        ordered: bool,
        message: &Message<'_>,
    ) -> Result<(), Cause> {
        match message {
            // Numbers of two streams must not be mixed: datagrams name only the device's.
            Message::Welcome(welcome) if core.state.is_up() && welcome.resume.stream != core.inbox.stream() => {
                Err(Cause::Restarted)
            }
            // It was welcomed already, and this is an answer to a repeat.
            _ if core.state.is_up() => Ok(()),
            Message::Welcome(welcome) => self.welcomed(core, now, ordered, welcome),
            Message::Refuse(refuse) => {
                core.peer_reason = refuse.reason.as_str().into();
                let retry_after = Duration::from_millis(u64::from(refuse.retry_after_ms));
                Err(Cause::Refused { code: refuse.code, retry_after })
            }
            Message::Challenge { nonce } => {
                let key = self.key.as_ref().ok_or(Cause::NoKey)?;
                let id = DeviceId::new(&self.id).expect("the id was judged when it was configured");
                self.hello = Some(Hello::Proof(auth::prove(key, nonce, id)));
                self.hello_due = true;
                self.repeat = (!ordered).then_some((now + REPEAT, REPEAT));
                Ok(())
            }
            // On datagrams something of an older connection may still be on its way.
            _ if !ordered => Ok(()),
            other => Err(Cause::Violation(Violation::FirstMessage { kind: other.kind() })),
        }
    }

    fn judge(&self, message: &Message<'_>) -> Violation {
        Violation::Unexpected { kind: message.kind() }
    }

    fn transmit(&mut self, _: &mut Core, _: Instant, wire: &Wire, out: &mut Vec<u8>) -> bool {
        if !mem::take(&mut self.hello_due) {
            return false;
        }
        match self.hello {
            Some(Hello::Register(resume)) => {
                let device_id = DeviceId::new(&self.id).expect("the id was judged when it was configured");
                let token = Token::new(&self.token).expect("the token was judged when it was configured");
                wire.encode(&Message::Register(Register { version: VERSION, flags: 0, device_id, token, resume }), out);
            }
            Some(Hello::Proof(mac)) => wire.encode(&Message::Proof { mac }, out),
            None => return false,
        }
        true
    }

    fn timer(&self, core: &Core) -> Option<(Instant, Timer)> {
        match core.state {
            State::Disconnected => Some((self.deadline, Timer::Reconnect)),
            State::Connecting => Some((self.deadline, Timer::Connect)),
            State::Registering => {
                let repeat = self.repeat.map(|(at, _)| (at, Timer::Repeat)).filter(|(at, _)| *at < self.deadline);
                Some(repeat.unwrap_or((self.deadline, Timer::Identify)))
            }
            State::Connected | State::Suspect => {
                let probe = self.failover.as_ref().and_then(|failover| failover.poll_timeout());
                self.moving.map(|(_, at)| (at, Timer::Move)).or_else(|| probe.map(|at| (at, Timer::Probe)))
            }
            State::Closed => None,
        }
    }

    fn handle_timer(&mut self, core: &mut Core, now: Instant, timer: Timer) -> Result<(), Cause> {
        match timer {
            Timer::Reconnect => {
                core.epoch = Epoch(core.epoch.0.wrapping_add(1));
                self.deadline = after(now, core.limits.connect);
                self.connect_due = true;
                if let Some(failover) = &mut self.failover {
                    let before = failover.current();
                    let index = failover.choose(now);
                    if before != Some(index) {
                        core.events.push_back(Event::Endpoint { index, before });
                    }
                }
                core.change(now, State::Connecting, None, "");
                Ok(())
            }
            Timer::Connect => Err(Cause::NotConnected { limit: core.limits.connect }),
            Timer::Repeat => {
                self.hello_due = true;
                self.repeat = self.repeat.map(|(_, after)| (now + after * 2, after * 2));
                Ok(())
            }
            Timer::Identify => Err(Cause::NotIdentified { limit: core.limits.identify }),
            Timer::Move => self.moving.map_or(Ok(()), |(endpoint, _)| Err(Cause::MovedBack { endpoint })),
            Timer::Probe => {
                self.probe_due = self.failover.as_mut().and_then(|failover| failover.poll_probe(now));
                Ok(())
            }
            // The link keeps these to itself.
            Timer::InterByte
            | Timer::Frame
            | Timer::Silence
            | Timer::Resend
            | Timer::Expiry
            | Timer::Drain
            | Timer::Retention => Ok(()),
        }
    }

    fn heard(&mut self, core: &mut Core, now: Instant) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.handle_heard(now, &mut core.events);
        }
    }

    fn sent(&mut self, _: &mut Core, now: Instant) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.handle_sent(now);
        }
    }

    fn unread(&mut self) {
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.handle_unread();
        }
    }

    fn silence_deadline(&self, core: &Core) -> Instant {
        core.heartbeat.device_deadline(&self.pace(core))
    }

    fn handle_silence(&mut self, core: &mut Core, now: Instant) -> Result<(), Cause> {
        let pace = self.pace(core);
        match core.heartbeat.device_silence(now, &pace) {
            Silence::Dead => return Err(Cause::Silent { limit: pace.silence() }),
            Silence::Ask { suspect: true } => core.change(now, State::Suspect, None, ""),
            Silence::Ask { suspect: false } | Silence::Keep => {}
        }
        core.ask();
        Ok(())
    }

    fn leaves(&self, core: &Core) -> Option<Cause> {
        let (endpoint, _) = self.moving.filter(|_| !core.outbox.is_owed())?;
        Some(Cause::MovedBack { endpoint })
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "after every other cause, also one to come, it tries as usual")]
    fn lost(&mut self, core: &mut Core, now: Instant, cause: Cause) -> Result<(), Cause> {
        (self.connect_due, self.hello, self.hello_due, self.repeat) = (false, None, false, None);
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.handle_lost(now, cause, core.heartbeat.round_trip().timeout(), core.limits.probe_timeout);
        }
        (self.moving, self.probe_due, core.is_ending) = (None, None, false);
        let unwanted = core.limits.unwanted;
        let is_alone = self.failover.is_none();
        let hint = match cause {
            // What one endpoint asks for is kept with that endpoint.
            Cause::Refused { .. } | Cause::NoKey if !is_alone => Duration::ZERO,
            Cause::Refused { code: RefuseCode::UNAUTHORIZED, retry_after } => retry_after.max(unwanted),
            Cause::Refused { retry_after, .. } => retry_after,
            Cause::NoKey => unwanted,
            // Once, it may be an older connection of its own that was let in late. Twice, somebody else has its name, and the
            // two would throw each other out for ever.
            Cause::PeerClosed(CloseCode::REPLACED) if self.replaced => unwanted,
            _ => Duration::ZERO,
        };
        self.replaced = cause == Cause::PeerClosed(CloseCode::REPLACED);
        let delay = if hint.is_zero() {
            self.delays.next(now, &mut self.random)
        } else {
            self.delays.next_at_least(now, hint, &mut self.random)
        };
        self.deadline = now + delay.ok_or(Cause::GivenUp { attempts: self.delays.attempts() })?;
        if let Some(failover) = &mut self.failover {
            failover.handle_lost(now, Verdict::of(&cause, unwanted));
            self.deadline = self.deadline.max(failover.available_at(now));
        }
        Ok(())
    }
}
