//! The session of one unit, its clock, and everything that it has said.

use core::time::Duration;
use dtu_net::line::{Matcher, Outcome, Request, RequestId};
use dtu_net::transparent::{Heard, Profile, ProfileSpec, Reception, ReceptionEvent, Transparent, TransparentEvent};
use dtu_net::{Cause, Epoch, State};
use std::sync::Arc;
use std::time::Instant;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn start() -> Instant {
    #[allow(clippy::disallowed_methods, reason = "only differences count")]
    Instant::now()
}

/// Units that register with `REG:` and eleven digits.
pub(crate) fn spec() -> ProfileSpec {
    ProfileSpec::new("modbus_rtu", r"REG:{id:digit*11}\r\n")
}

pub(crate) const REG: &[u8] = b"REG:13800138000\r\n";

pub(crate) struct Bench {
    pub(crate) profile: Arc<Profile>,
    pub(crate) session: Transparent,
    pub(crate) now: Instant,
    pub(crate) epoch: Epoch,
    pub(crate) events: Vec<TransparentEvent>,
    pub(crate) sent: Vec<Vec<u8>>,
    pub(crate) heard: Vec<Heard>,
}

impl Bench {
    pub(crate) fn new(spec: &ProfileSpec) -> Self {
        let (profile, now) = (Arc::new(spec.build().unwrap()), start());
        let session = Transparent::new(Arc::clone(&profile), "13800138000".into(), 7, now);
        Self { profile, session, now, epoch: Epoch::default(), events: Vec::new(), sent: Vec::new(), heard: Vec::new() }
    }

    /// A connection that begins with these bytes.
    pub(crate) fn connect(&mut self, bytes: &[u8]) {
        let mut reception = Reception::new(Arc::clone(&self.profile), self.now);
        reception.handle_bytes(self.now, bytes);
        let Some(ReceptionEvent::Identified(identified)) = reception.poll_event() else {
            unreachable!("it registers: {bytes:02X?}")
        };
        self.epoch = self.session.handle_identified(self.now, identified).expect("the session is open");
        self.drain();
    }

    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.session.handle_bytes(self.epoch, self.now, bytes);
        self.drain();
    }

    pub(crate) fn lose(&mut self) {
        self.session.handle_disconnected(self.epoch, self.now, Cause::Disconnected);
        self.drain();
    }

    pub(crate) fn ask(&mut self, bytes: &[u8]) -> RequestId {
        let request = Request::new(bytes, Matcher::modbus_rtu(bytes).unwrap()).timeout(ms(500));
        let id = self.session.request(self.now, request).unwrap();
        self.drain();
        id
    }

    pub(crate) fn drain(&mut self) {
        let mut out = Vec::new();
        while self.session.poll_transmit(self.epoch, self.now, &mut out) {
            self.sent.push(core::mem::take(&mut out));
        }
        while let Some(event) = self.session.poll_event() {
            self.events.push(event);
        }
        while let Some(heard) = self.session.poll_heard() {
            self.heard.push(heard);
        }
        assert!(self.session.ledger().is_balanced());
        assert!(self.session.poll_timeout().is_none_or(|at| at > self.now));
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            self.session.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.session.handle_timeout(self.now);
        self.drain();
    }

    pub(crate) fn reply(&self, id: RequestId) -> Option<&[u8]> {
        self.events.iter().find_map(|event| match event {
            TransparentEvent::Settled { id: settled, outcome: Outcome::Replied(reply) } if *settled == id => {
                Some(&reply.frame.as_bytes()[..])
            }
            _ => None,
        })
    }

    pub(crate) fn outcome(&self, id: RequestId) -> &'static str {
        let found = self.events.iter().find_map(|event| match event {
            TransparentEvent::Settled { id: settled, outcome } if *settled == id => Some(outcome.name()),
            _ => None,
        });
        found.unwrap_or("pending")
    }

    pub(crate) fn frames(&self) -> Vec<Vec<u8>> {
        self.heard.iter().map(|heard| heard.frame.as_bytes().to_vec()).collect()
    }

    pub(crate) fn heartbeats(&self) -> Vec<Option<usize>> {
        let beats = self.events.iter().filter_map(|event| match event {
            TransparentEvent::Heartbeat { index } => Some(*index),
            _ => None,
        });
        beats.collect()
    }

    pub(crate) fn skipped(&self) -> usize {
        let bytes = self.events.iter().map(|event| match event {
            TransparentEvent::Skipped { bytes, .. } => *bytes,
            _ => 0,
        });
        bytes.sum()
    }

    pub(crate) fn states(&self) -> Vec<(State, Option<Cause>)> {
        let states = self.events.iter().filter_map(|event| match event {
            TransparentEvent::State(change) => Some((change.state, change.cause)),
            _ => None,
        });
        states.collect()
    }
}
