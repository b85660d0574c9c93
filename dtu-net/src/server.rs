//! The server's end of a link: keeps the session of one device while it comes and goes.

use crate::error::{Cause, Violation};
use crate::event::{Epoch, State, Timer};
use crate::handshake::Handshake;
use crate::limits::Limits;
use crate::link::{Link, Role, sealed};
use crate::sending::Sending;
use crate::state::Core;
use crate::wire::Wire;
use core::mem;
use dtu_proto::Message;
use dtu_proto::message::{CloseCode, Resume, Welcome};
use std::sync::Arc;
use std::time::Instant;

/// The server's role in a [`Link`].
#[derive(Debug)]
pub struct Server {
    /// What WELCOME says of the streams on this connection, as long as it may have to leave.
    resume: Option<Box<Resume>>,
    welcome_due: bool,
    /// Since when the device has been away.
    away_since: Instant,
}

impl Role for Server {}

impl Link<Server> {
    /// The session of a device that has not come yet. `stream` is a random number, not 0: the id of what this side will
    /// send.
    ///
    /// # Examples
    ///
    /// A device registers and is let in:
    /// ```
    /// use dtu_net::{Carrier, Device, DeviceConfig, Handshake, HandshakeEvent, Limits, Link, Server, State};
    /// # let now = std::time::Instant::now();
    ///
    /// let mut device: Link<Device> = Link::device(DeviceConfig::new("meter-7")?, 2, 0, now);
    /// device.handle_timeout(now);
    /// let epoch = device.poll_connect().expect("it dials at once");
    /// device.handle_connected(epoch, now, Carrier::Stream);
    ///
    /// let limits = std::sync::Arc::new(Limits::default());
    /// let mut handshake = Handshake::new(limits.clone(), Carrier::Stream, 0, now);
    /// let mut bytes = Vec::new();
    /// while device.poll_transmit(epoch, now, &mut bytes) {}
    /// handshake.handle_bytes(now, &bytes);
    /// let Some(HandshakeEvent::Register(registration)) = handshake.poll_event() else { panic!("REGISTER came") };
    /// assert_eq!(&*registration.device, "meter-7");
    ///
    /// let mut server: Link<Server> = Link::server(limits, 1, now);
    /// let session = server.handle_registered(now, handshake).expect("it is not closed");
    /// bytes.clear();
    /// while server.poll_transmit(session, now, &mut bytes) {}
    /// device.handle_bytes(epoch, now, &bytes);
    /// assert_eq!(device.state(), State::Connected);
    /// # Ok::<(), dtu_proto::message::MessageError>(())
    /// ```
    #[must_use]
    pub fn server(limits: Arc<Limits>, stream: u64, now: Instant) -> Self {
        let role = Server { resume: None, welcome_due: false, away_since: now };
        Self { wire: None, core: Core::new(limits, Sending::new(stream), now), role }
    }

    /// Lets the device in whose REGISTER the handshake took: WELCOME goes out, and what follows REGISTER is taken. An older
    /// connection of it is over from here on, with CLOSE as its last word. `None` when the link is closed; the handshake
    /// is lost then.
    pub fn handle_registered(&mut self, now: Instant, handshake: Handshake) -> Option<Epoch> {
        let (wire, resume) = handshake.into_parts();
        let resume = resume.filter(|_| self.core.state != State::Closed)?;
        self.replace(now, &wire);
        self.core.epoch = Epoch(self.core.epoch.0.wrapping_add(1));
        self.core.begin(now);
        let ordered = wire.is_ordered();
        self.wire = Some(wire);
        let mut ours = self.core.resume_fields();
        let resumed = self.core.resume(now, &resume, ordered);
        if resumed.as_ref().is_ok_and(|resumption| resumption.receiving) {
            ours.receive_next = self.core.inbox.receive_next();
        } else {
            (ours.peer_stream, ours.receive_next) = (0, 0);
        }
        // The peer's word may have settled some.
        ours.send_base = self.core.outbox.say_base();
        // WELCOME says it; and where CLOSE takes its place, nothing goes before that.
        let _said = self.core.inbox.take_acknowledgement();
        (self.role.resume, self.role.welcome_due) = (Some(Box::new(ours)), true);
        self.settle(now, resumed.map(|_| ()).map_err(Cause::Violation));
        self.drain(now, &[]);
        Some(self.core.epoch)
    }

    /// When the last byte came, on the connection of now or on the last one; `None` before the first. While
    /// [`wants_bytes`](Self::wants_bytes) is false nothing is read, and the time goes on.
    #[must_use]
    pub fn last_heard(&self) -> Option<Instant> {
        (self.core.epoch != Epoch::default()).then(|| self.core.heartbeat.last_heard())
    }

    /// Asks the device for a sign of life, unless that was done on this connection: its answer gives the round trip of
    /// [`counters`](Self::counters). A server does not ask by itself, as its devices do, and so measures nothing otherwise. Returns
    /// whether bytes are to leave.
    pub fn measure(&mut self) -> bool {
        let is_due = self.core.state == State::Connected && !self.core.heartbeat.is_measured();
        if is_due {
            self.core.ask();
        }
        is_due
    }

    /// A newer connection takes the place of the one there is.
    fn replace(&mut self, now: Instant, newer: &Wire) {
        if let Some(wire) = &self.wire {
            // On datagrams the stream names both connections: the CLOSE of the older would end the newer one.
            if !wire.is_named_as(newer) {
                self.core.say_close(wire, CloseCode::REPLACED, "");
            }
            self.core.replaced = self.core.replaced.saturating_add(1);
            self.lose(now, Cause::Replaced, "");
        }
    }
}

impl sealed::Role for Server {
    fn handle_message(&mut self, core: &mut Core, _: Instant, _: bool, message: &Message<'_>) -> Result<(), Cause> {
        // Only on datagrams: the WELCOME was lost, and what had opened the connection came again.
        if core.state.is_up() && matches!(message, Message::Proof { .. } | Message::Register(_)) {
            self.welcome_due = true;
        }
        Ok(())
    }

    fn judge(&self, message: &Message<'_>) -> Violation {
        if let Message::Register(_) = message {
            Violation::RegisteredTwice
        } else {
            Violation::Unexpected { kind: message.kind() }
        }
    }

    fn transmit(&mut self, core: &mut Core, _: Instant, wire: &Wire, out: &mut Vec<u8>) -> bool {
        let due = mem::take(&mut self.welcome_due);
        if !due {
            return false;
        }
        // On datagrams it may be lost, and then it leaves once more.
        let resume =
            if wire.is_ordered() { self.resume.take().map(|resume| *resume) } else { self.resume.as_deref().copied() };
        let Some(resume) = resume else { return false };
        let heartbeat_ms = u32::try_from(core.limits.heartbeat.as_millis()).unwrap_or(u32::MAX);
        wire.encode(&Message::Welcome(Welcome { heartbeat_ms, window: core.limits.window, resume }), out);
        true
    }

    fn timer(&self, core: &Core) -> Option<(Instant, Timer)> {
        // A retention without end is one that no clock can tell.
        let over = self.away_since.checked_add(core.limits.retention)?;
        (core.state == State::Disconnected).then_some((over, Timer::Retention))
    }

    fn handle_timer(&mut self, core: &mut Core, now: Instant, _: Timer) -> Result<(), Cause> {
        let over = Cause::Away { limit: core.limits.retention };
        core.change(now, State::Closed, Some(over), "");
        core.outbox.abandon(&mut core.events);
        Ok(())
    }

    fn silence_deadline(&self, core: &Core) -> Instant {
        let deadline = core.heartbeat.server_deadline(&core.limits);
        if core.wants_bytes() { deadline } else { deadline.min(core.heartbeat.keep_deadline(&core.limits)) }
    }

    fn handle_silence(&mut self, core: &mut Core, _: Instant) -> Result<(), Cause> {
        Err(Cause::Silent { limit: core.limits.server_silence() })
    }

    fn lost(&mut self, _: &mut Core, now: Instant, _: Cause) -> Result<(), Cause> {
        (self.away_since, self.welcome_due) = (now, false);
        Ok(())
    }
}
