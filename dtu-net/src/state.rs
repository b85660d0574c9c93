//! What both roles share: state, deadlines' origins, the numbers, and the queues that a driver drains.

use crate::error::{Ended, SendError, SkipCause, Violation};
use crate::event::{Event, LinkCounters};
use crate::limits::Limits;
use crate::numbers::{Arrival, Incoming, Outgoing};
use bytes::Bytes;
use core::mem;
use core::time::Duration;
use dtu_proto::counters::Counters;
use dtu_proto::message::{Close, CloseCode, Data, Reason, Resume};
use dtu_proto::{Message, Native};
use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The message that opens the session is awaited.
    Opening,
    /// A server has it, and its owner has not decided yet.
    Deciding,
    Connected,
    Ended,
}

#[derive(Debug)]
pub struct Core {
    pub(crate) state: State,
    pub(crate) limits: Limits,
    pub(crate) opened: Instant,
    pub(crate) outgoing: Outgoing,
    pub(crate) incoming: Incoming,
    /// PINGs since the last byte from the peer.
    pub(crate) probes: u32,
    events: VecDeque<Event>,
    /// Why the link ended, until its owner has been told.
    ended: Option<(Ended, Box<str>)>,
    native: Native,
    /// The id of the stream in which this side sends.
    stream: u64,
    last_heard: Instant,
    received: usize,
    /// Frames that wait to leave. Taken as a whole, so that an idle link holds no buffer.
    outbound: Vec<u8>,
    counted: LinkCounters,
}

impl Core {
    pub(crate) fn new(limits: Limits, stream: u64, now: Instant) -> Self {
        Self {
            state: State::Opening,
            limits,
            opened: now,
            outgoing: Outgoing::default(),
            incoming: Incoming::default(),
            probes: 0,
            events: VecDeque::new(),
            ended: None,
            // The limit is the receiver's; what goes out is bounded by the fields of the messages and by `send`.
            native: Native::new(),
            stream,
            last_heard: now,
            received: 0,
            outbound: Vec::new(),
            counted: LinkCounters::default(),
        }
    }

    /// Any byte is life, also of a frame that is still incomplete.
    pub(crate) fn heard(&mut self, now: Instant, count: usize) {
        self.last_heard = self.last_heard.max(now);
        self.probes = 0;
        if self.state == State::Opening {
            self.received = self.received.saturating_add(count);
        }
    }

    pub(crate) const fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// The bytes that came and did not open the session.
    pub(crate) fn received_unopened(&self) -> usize {
        if self.state == State::Opening { self.received } else { 0 }
    }

    /// The resume fields of a side that remembers nothing of its peer.
    pub(crate) const fn resume(&self) -> Resume {
        Resume { stream: self.stream, send_base: 0, peer_stream: 0, receive_next: 0 }
    }

    /// This side's clock as PING carries it: microseconds since the link began.
    pub(crate) fn nonce(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.opened).as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes a message on a link that is let in or about to be. `Err(None)` is for the role to judge.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        frame_len: usize,
    ) -> Result<(), Option<Violation>> {
        match message {
            Message::Data(data) => self.handle_data(data, frame_len),
            Message::Ack { receive_next } => {
                let count = self.outgoing.acknowledge(*receive_next)?;
                if count > 0 {
                    self.events.push_back(Event::Acked { receive_next: *receive_next, count });
                }
            }
            Message::Ping { nonce } => self.transmit(&Message::Pong { nonce: *nonce }),
            Message::Pong { nonce } => {
                if let Some(trip) = self.nonce(now).checked_sub(*nonce) {
                    self.counted.round_trip = Some(Duration::from_micros(trip));
                }
            }
            Message::Close(close) => self.end(Ended::PeerClosed(close.code), close.reason.as_str()),
            Message::Skip { next } => {
                if self.incoming.skip(*next) {
                    self.events.push_back(Event::Skip { next: *next });
                }
            }
            Message::Unknown(unknown) => self.skipped(frame_len, SkipCause::UnknownKind(unknown.kind())),
            Message::Register(_)
            | Message::Welcome(_)
            | Message::Refuse(_)
            | Message::Challenge { .. }
            | Message::Proof { .. }
            | _ => return Err(None),
        }
        Ok(())
    }

    fn handle_data(&mut self, data: &Data<'_>, frame_len: usize) {
        match self.incoming.arrived(data.seq) {
            Arrival::Repeated => {
                self.counted.data_repeated = self.counted.data_repeated.wrapping_add(1);
                self.skipped(frame_len, SkipCause::Repeated { seq: data.seq });
            }
            Arrival::New { missing } => {
                self.counted.data_received = self.counted.data_received.wrapping_add(1);
                self.counted.data_missing = self.counted.data_missing.wrapping_add(u64::from(missing));
                let (seq, channel, body) = (data.seq, data.channel, Bytes::copy_from_slice(data.body));
                self.events.push_back(Event::Data { seq, channel, body, missing });
            }
        }
    }

    pub(crate) const fn can_send(&self) -> bool {
        matches!(self.state, State::Connected) && !self.outgoing.is_full() && self.outbound.len() < self.limits.outbound
    }

    pub(crate) fn send(&mut self, now: Instant, channel: u8, body: &[u8]) -> Result<u32, SendError> {
        let (length, limit) = (body.len(), self.limits.max_body());
        if length > limit {
            return Err(SendError::TooLong { length, limit });
        }
        if self.state != State::Connected {
            return Err(SendError::NotConnected);
        }
        if !self.can_send() {
            return Err(SendError::Full);
        }
        let seq = self.outgoing.take(now);
        self.counted.data_sent = self.counted.data_sent.wrapping_add(1);
        self.encode(&Message::Data(Data { seq, channel, body }));
        Ok(seq)
    }

    /// Puts an answer behind what already waits. A peer that lets it grow past the bound does not read.
    pub(crate) fn transmit(&mut self, message: &Message<'_>) {
        let limit = self.limits.outbound;
        if self.outbound.len() >= limit {
            self.end(Ended::NotRead { limit }, "");
        } else {
            self.encode(message);
        }
    }

    fn encode(&mut self, message: &Message<'_>) {
        let encoded = self.native.encode_to(message, &mut self.outbound);
        encoded.expect("bodies are measured before, and the bounded fields of every other message fit a frame");
    }

    pub(crate) fn poll_transmit(&mut self) -> Option<Bytes> {
        self.acknowledge();
        (!self.outbound.is_empty()).then(|| Bytes::from(mem::take(&mut self.outbound)))
    }

    /// Puts the ACK for what was committed behind what waits.
    fn acknowledge(&mut self) {
        if self.state == State::Connected
            && let Some(receive_next) = self.incoming.take_acknowledgement()
        {
            self.encode(&Message::Ack { receive_next });
        }
    }

    /// What happened next; the end comes last. `line` is what the deframer has counted.
    pub(crate) fn poll_event(&mut self, line: &Counters) -> Option<Event> {
        self.events.pop_front().or_else(|| {
            let (cause, reason) = self.ended.take()?;
            Some(Event::Closed { cause, reason, counters: Box::new(self.counters(line)) })
        })
    }

    pub(crate) fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Reports bytes that carried nothing, added to the event before when that is of the same cause.
    pub(crate) fn skipped(&mut self, bytes: usize, cause: SkipCause) {
        if self.state == State::Ended && self.ended.is_none() {
            return; // the end has been told with its counters, and is the last word
        }
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        match self.events.back_mut() {
            Some(Event::Skipped { bytes, cause: before }) if before.name() == cause.name() => {
                *bytes = bytes.saturating_add(more);
            }
            _ => self.events.push_back(Event::Skipped { bytes: more, cause }),
        }
    }

    pub(crate) fn stalled(&mut self) {
        let (unacknowledged, limit) = (self.outgoing.unacknowledged(), self.limits.stall);
        let cause = Ended::Stalled { unacknowledged, limit };
        self.end_with_close(CloseCode::TIMED_OUT, Reason::EMPTY, cause);
    }

    pub(crate) fn violated(&mut self, violation: Violation) {
        let reason = Reason::new(violation.name()).unwrap_or(Reason::EMPTY);
        self.end_with_close(CloseCode::PROTOCOL, reason, Ended::Violation(violation));
    }

    pub(crate) fn end_with_close(&mut self, code: CloseCode, reason: Reason<'_>, cause: Ended) {
        self.end_with(&Message::Close(Close { code, reason }), cause);
    }

    /// Ends the link with a last message to the peer, behind the ACK for what was committed.
    pub(crate) fn end_with(&mut self, message: &Message<'_>, cause: Ended) {
        if self.state != State::Ended {
            self.acknowledge();
            self.encode(message);
            self.end(cause, "");
        }
    }

    pub(crate) fn end(&mut self, cause: Ended, reason: &str) {
        if self.state != State::Ended {
            self.state = State::Ended;
            self.ended = Some((cause, reason.into()));
        }
    }

    pub(crate) const fn counters(&self, line: &Counters) -> LinkCounters {
        LinkCounters { line: *line, data_unacknowledged: self.outgoing.unacknowledged(), ..self.counted }
    }
}
