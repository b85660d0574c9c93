//! The line on a virtual clock.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::wildcard_enum_match_arm, reason = "a test")]

mod echo;
mod late;
mod matchers;
mod order;
mod repeats;
mod rtu;

use core::time::Duration;
use dtu_net::line::{
    Line, LineEvent, LineLimits, LineTimer, Matcher, Outcome, Request, RequestError, RequestId, Unsolicited,
};
use dtu_proto::presets::{Direction, ModbusRtu};
use std::time::Instant;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A line, its clock, and everything that it has said.
pub(crate) struct Bench {
    pub(crate) line: Line<ModbusRtu>,
    pub(crate) now: Instant,
    pub(crate) events: Vec<LineEvent>,
    /// What has left, with the time.
    pub(crate) sent: Vec<(Duration, Vec<u8>)>,
    began: Instant,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(LineLimits::default())
    }

    pub(crate) fn with(limits: LineLimits) -> Self {
        #[allow(clippy::disallowed_methods, reason = "only differences count")]
        let began = Instant::now();
        let mut line = Line::new(ModbusRtu::new(Direction::Up), limits, 7);
        line.handle_connected(began);
        Self { line, now: began, events: Vec::new(), sent: Vec::new(), began }
    }

    /// The drain rule.
    pub(crate) fn drain(&mut self) {
        let mut out = Vec::new();
        while self.line.poll_transmit(self.now, &mut out) {
            self.sent.push((self.now - self.began, core::mem::take(&mut out)));
        }
        while let Some(event) = self.line.poll_event() {
            self.events.push(event);
        }
        assert!(self.line.ledger().is_balanced(), "{:?}", self.line.ledger());
        if let Some((at, timer)) = self.line.poll_timeout() {
            assert!(at > self.now, "{timer:?} is due and nothing was done");
        }
    }

    pub(crate) fn ask(&mut self, request: Request) -> RequestId {
        self.try_ask(request).expect("there is room")
    }

    pub(crate) fn try_ask(&mut self, request: Request) -> Result<RequestId, RequestError> {
        let asked = self.line.request(self.now, request);
        self.drain();
        asked
    }

    pub(crate) fn read(&mut self) -> RequestId {
        self.ask(reading())
    }

    pub(crate) fn hear(&mut self, bytes: &[u8]) {
        self.line.handle_bytes(self.now, bytes);
        self.drain();
    }

    /// Lets time pass, with a stop at each deadline.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.line.poll_timeout().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.line.handle_timeout(self.now);
            self.drain();
        }
        self.now = end;
        self.line.handle_timeout(self.now);
        self.drain();
    }

    pub(crate) fn outcome(&self, id: RequestId) -> Option<&Outcome> {
        let mut outcomes = self.events.iter().filter_map(|event| match event {
            LineEvent::Settled { id: settled, outcome } if *settled == id => Some(outcome),
            _ => None,
        });
        let outcome = outcomes.next();
        assert!(outcomes.next().is_none(), "{id} has two outcomes");
        outcome
    }

    pub(crate) fn reply(&self, id: RequestId) -> Option<&[u8]> {
        match self.outcome(id) {
            Some(Outcome::Replied(reply)) => Some(reply.frame.as_bytes()),
            _ => None,
        }
    }

    pub(crate) fn name(&self, id: RequestId) -> &'static str {
        self.outcome(id).map_or("pending", Outcome::name)
    }

    pub(crate) fn unsolicited(&self) -> Vec<(Vec<u8>, Unsolicited)> {
        let frames = self.events.iter().filter_map(|event| match event {
            LineEvent::Unsolicited { frame, kind } => Some((frame.as_bytes().to_vec(), *kind)),
            _ => None,
        });
        frames.collect()
    }

    pub(crate) fn skipped(&self) -> usize {
        let bytes = self.events.iter().map(|event| match event {
            LineEvent::Skipped { bytes, .. } => *bytes,
            _ => 0,
        });
        bytes.sum()
    }

    pub(crate) fn timer(&self) -> Option<(Duration, LineTimer)> {
        self.line.poll_timeout().map(|(at, timer)| (at - self.now, timer))
    }
}

/// Reads one register of device 1; a timeout of 500 ms.
pub(crate) fn reading() -> Request {
    asking(&rtu::read(1, 0, 1))
}

pub(crate) fn asking(bytes: &[u8]) -> Request {
    Request::new(bytes, Matcher::modbus_rtu(bytes).expect("a request")).timeout(ms(500))
}
