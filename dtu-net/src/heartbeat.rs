//! Signs of life: when one is asked for, when a peer is dead, and how long the way is.
//!
//! A device asks after `heartbeat` of silence, its own or the peer's, and again after each `probe_timeout` without a byte;
//! after `probes` questions in vain the server is dead:
//!
//! ```text
//!   last byte      PING 1        PING 2        PING 3        dead
//!      │ heartbeat   │ timeout     │ timeout     │ timeout     │
//!      ┼─────────────┼─────────────┼─────────────┼─────────────┼──
//!                    Connected     Suspect       Suspect       Disconnected
//! ```
//!
//! So death is declared at `heartbeat + probes × probe_timeout` after the last byte: 60 s by default, and never later than
//! `handle_timeout` is called after that instant. A server asks nothing: it waits for twice the heartbeat that it announced.
//! A clock that jumped, as on a machine that slept, causes one question and then the usual time for its answer.

use crate::limits::{Limits, PINGS_WITHIN, after};
use crate::rtt::RoundTrip;
use core::num::NonZeroU64;
use core::time::Duration;
use std::time::Instant;

/// A time of a connection: nanoseconds since it began, of which 584 years fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    const BEGIN: Self = Self(0);
}

/// A server has one for each of its devices, so its times take 8 bytes and not the 16 of an [`Instant`].
#[derive(Debug)]
pub(crate) struct Heartbeat {
    /// When this connection began: moments and nonces count from there.
    began: Instant,
    last_heard: Moment,
    last_sent: Moment,
    /// When the newest question goes without an answer.
    probe_over: Moment,
    pings_since: Moment,
    /// One more than the oldest nonce that was not answered.
    unanswered: Option<NonZeroU64>,
    round_trip: RoundTrip,
    /// Questions since the last byte from the peer.
    probes: u32,
    /// The peer's own questions since `pings_since`.
    pings: u32,
}

/// How a device asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// After how much silence of the server.
    pub(crate) interval: Duration,
    /// After how much silence of its own.
    pub(crate) keep: Duration,
    /// After how long again.
    pub(crate) probe_timeout: Duration,
    /// How often in vain.
    pub(crate) probes: u32,
}

impl Pace {
    /// By the announced heartbeat.
    pub(crate) const fn announced(limits: &Limits) -> Self {
        let Limits { heartbeat, probe_timeout, probes, .. } = *limits;
        Self { interval: heartbeat, keep: heartbeat, probe_timeout, probes }
    }

    /// After how much silence the server is dead.
    pub(crate) fn silence(&self) -> Duration {
        self.interval.saturating_add(self.probe_timeout.saturating_mul(self.probes))
    }
}

/// What a device does about silence.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The peer was heard, and waits for a sign of life itself.
    Keep,
    Ask {
        suspect: bool,
    },
    Dead,
}

impl Heartbeat {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            began: now,
            last_heard: Moment::BEGIN,
            last_sent: Moment::BEGIN,
            probe_over: Moment::BEGIN,
            pings_since: Moment::BEGIN,
            unanswered: None,
            round_trip: RoundTrip::new(),
            probes: 0,
            pings: 0,
        }
    }

    fn moment(&self, at: Instant) -> Moment {
        let since = at.saturating_duration_since(self.began);
        Moment(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    fn instant(&self, Moment(nanoseconds): Moment) -> Instant {
        self.began + Duration::from_nanos(nanoseconds)
    }

    /// Any byte is life, also of a frame that is still incomplete. Returns whether it ends a doubt.
    pub(crate) fn heard(&mut self, now: Instant) -> bool {
        let doubted = self.probes > 1;
        (self.last_heard, self.probes) = (self.moment(now), 0);
        doubted
    }

    /// Something leaves. That is no sign of life for this side, but one for the peer.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.last_sent = self.moment(now);
    }

    pub(crate) fn last_heard(&self) -> Instant {
        self.instant(self.last_heard)
    }

    pub(crate) fn device_deadline(&self, pace: &Pace) -> Instant {
        if self.probes == 0 {
            after(self.last_heard(), pace.interval).min(after(self.instant(self.last_sent), pace.keep))
        } else {
            self.instant(self.probe_over)
        }
    }

    /// When the peer has to hear something.
    pub(crate) fn keep_deadline(&self, limits: &Limits) -> Instant {
        after(self.instant(self.last_sent), limits.heartbeat)
    }

    pub(crate) fn server_deadline(&self, limits: &Limits) -> Instant {
        after(self.last_heard(), limits.server_silence())
    }

    /// Acts upon a device's deadline that has passed.
    pub(crate) fn device_silence(&mut self, now: Instant, pace: &Pace) -> Silence {
        let planned =
            if self.probes == 0 { after(self.last_heard(), pace.interval) } else { self.instant(self.probe_over) };
        // A question that is soon due anyway leaves with the sign of life; the time for its answer counts from when it was due.
        // Else every heartbeat of an idle link would take two: the answer to the one before came a round trip after it.
        let is_early = self.probes == 0 && pace.probes > 0 && planned <= after(now, pace.probe_timeout);
        if planned > now && !is_early {
            self.sent(now);
            return Silence::Keep;
        }
        if self.probes >= pace.probes {
            return Silence::Dead;
        }
        // The next deadline follows the planned one, so that late calls do not add up; unless the clock has jumped over it.
        let planned = after(planned, pace.probe_timeout);
        self.probe_over = self.moment(if planned > now { planned } else { after(now, pace.probe_timeout) });
        self.probes += 1;
        Silence::Ask { suspect: self.probes > 1 }
    }

    /// The nonce of a PING that leaves now: microseconds since the connection began.
    pub(crate) fn ask(&mut self, now: Instant) -> u64 {
        let nonce = self.micros(now);
        self.unanswered = self.unanswered.or(NonZeroU64::new(nonce.saturating_add(1)));
        nonce
    }

    /// Takes the nonce of a PONG. One that was never sent, or was answered before, says nothing.
    pub(crate) fn answered(&mut self, now: Instant, nonce: u64) {
        let now = self.micros(now);
        if self.unanswered.is_some_and(|behind_oldest| (behind_oldest.get() - 1..=now).contains(&nonce)) {
            self.unanswered = None;
            self.round_trip.sample(Duration::from_micros(now - nonce));
        }
    }

    /// Counts a PING of the peer. Returns whether it is one too many.
    pub(crate) fn asked(&mut self, now: Instant, limits: &Limits) -> bool {
        if now.saturating_duration_since(self.instant(self.pings_since)) >= limits.heartbeat.min(PINGS_WITHIN) {
            (self.pings, self.pings_since) = (0, self.moment(now));
        }
        self.pings += 1;
        self.pings > limits.pings
    }

    /// Whether the peer was asked on this connection for what tells the round trip.
    pub(crate) fn is_measured(&self) -> bool {
        self.unanswered.is_some() || self.round_trip.smoothed().is_some()
    }

    pub(crate) const fn round_trip(&self) -> &RoundTrip {
        &self.round_trip
    }

    fn micros(&self, now: Instant) -> u64 {
        let Moment(nanoseconds) = self.moment(now);
        nanoseconds / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::Heartbeat;

    #[test]
    fn it_is_small() {
        assert_eq!(size_of::<Heartbeat>(), 80);
    }
}
