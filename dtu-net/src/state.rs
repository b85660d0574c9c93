//! What both roles of a link share: the books that outlive a connection, and the state of the connection of now.

use crate::error::{Cause, SkipCause, Violation};
use crate::event::{Epoch, Event, LinkCounters, Resumption, State, StateChange};
use crate::heartbeat::Heartbeat;
use crate::inbox::{Arrival, Inbox};
use crate::limits::Limits;
use crate::outbox::Next;
use crate::pongs::Pongs;
use crate::sending::Sending;
use crate::wire::Wire;
use core::mem;
use dtu_proto::Message;
use dtu_proto::counters::Counters;
use dtu_proto::message::{Close, CloseCode, Data, Reason, Resume};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

/// Bytes that leave in one piece on a stream, and one frame more.
const TRANSMIT: usize = 16 * 1024;

/// How a link that closes goes about it.
#[derive(Debug)]
pub(crate) struct Closing {
    /// When what is still in the outbox is abandoned.
    pub(crate) until: Instant,
    pub(crate) code: CloseCode,
    pub(crate) reason: Box<str>,
}

/// The last words on a connection: an ACK perhaps, and what ended it.
#[derive(Debug)]
struct Farewell {
    epoch: Epoch,
    messages: VecDeque<Vec<u8>>,
}

#[derive(Debug)]
pub struct Core {
    pub(crate) limits: Arc<Limits>,
    pub(crate) state: State,
    pub(crate) epoch: Epoch,
    pub(crate) outbox: Sending,
    pub(crate) inbox: Inbox,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) closing: Option<Box<Closing>>,
    /// Nothing new leaves on this connection: its last acknowledgements are awaited.
    pub(crate) is_ending: bool,
    pub(crate) events: VecDeque<Event>,
    /// What the peer's CLOSE or REFUSE says for people, until the change of state tells it.
    pub(crate) peer_reason: Box<str>,
    /// Answers that wait to leave.
    pongs: Pongs,
    /// A question of this side waits to leave.
    ping_due: bool,
    /// The last words of a connection that is over, each as long as it takes to send them.
    farewell: Option<Box<Farewell>>,
    /// What the deframer of the connection before has counted.
    line: Option<Box<Counters>>,
    connected: u32,
    pub(crate) replaced: u32,
    repeated: u64,
}

impl Core {
    pub(crate) fn new(limits: Arc<Limits>, outbox: Sending, now: Instant) -> Self {
        Self {
            limits,
            state: State::Disconnected,
            epoch: Epoch::default(),
            outbox,
            inbox: Inbox::default(),
            heartbeat: Heartbeat::new(now),
            closing: None,
            is_ending: false,
            events: VecDeque::new(),
            peer_reason: Box::default(),
            pongs: Pongs::default(),
            ping_due: false,
            farewell: None,
            line: None,
            connected: 0,
            replaced: 0,
            repeated: 0,
        }
    }

    pub(crate) fn change(&mut self, now: Instant, state: State, cause: Option<Cause>, reason: &str) {
        // A connection that fails at its very beginning has changed nothing, and its cause is told all the same.
        if self.state != state || cause.is_some() {
            self.state = state;
            let change = StateChange { state, cause, reason: reason.into(), at: now, epoch: self.epoch };
            self.events.push_back(Event::State(change));
        }
    }

    pub(crate) fn heard(&mut self, now: Instant) {
        if self.heartbeat.heard(now) && self.state == State::Suspect {
            self.change(now, State::Connected, None, "");
        }
    }

    /// A connection begins, on which nothing has been said.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.heartbeat = Heartbeat::new(now);
        self.pongs = Pongs::default();
        self.ping_due = false;
        self.is_ending = false;
    }

    /// What this side says of the streams when it opens a connection.
    pub(crate) fn resume_fields(&mut self) -> Resume {
        Resume {
            stream: self.outbox.stream(),
            send_base: self.outbox.say_base(),
            peer_stream: self.inbox.stream(),
            receive_next: self.inbox.receive_next(),
        }
    }

    /// Takes what the peer says of them, and is connected.
    pub(crate) fn resume(&mut self, now: Instant, theirs: &Resume, ordered: bool) -> Result<Resumption, Violation> {
        if theirs.stream == 0 {
            return Err(Violation::NoStream);
        }
        let sending = theirs.peer_stream == self.outbox.stream();
        //= spec/session.md#S-13
        self.outbox.rewind(sending.then_some(theirs.receive_next), &self.limits.outbox, &mut self.events)?;
        let receiving = self.inbox.resume(theirs.stream, theirs.send_base);
        let resumption = Resumption { receiving, sending };
        self.connected = self.connected.saturating_add(1);
        self.change(now, State::Connected, None, "");
        self.events.push_back(Event::Resumed(resumption));
        // On datagrams the time to the first repeat is taken from the round trip.
        self.ping_due = !ordered;
        Ok(resumption)
    }

    /// Takes a message that both roles may get on a connected link. The error is the rule that was broken; none when
    /// the role knows better which.
    pub(crate) fn handle_message(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        length: usize,
        ordered: bool,
    ) -> Result<(), Option<Violation>> {
        match message {
            Message::Data(data) => self.handle_data(data, length, ordered).map_err(Some)?,
            Message::Ack { receive_next } => {
                self.outbox.acknowledge(*receive_next, &mut self.events).map_err(Some)?;
            }
            Message::Ping { nonce } => {
                if self.heartbeat.asked(now, &self.limits) {
                    return Err(Some(Violation::PingFlood { limit: self.limits.pings }));
                }
                self.pongs.push(*nonce);
            }
            Message::Pong { nonce } => self.heartbeat.answered(now, *nonce),
            Message::Skip { next } => self.inbox.skip(*next),
            Message::Unknown(unknown) => self.skipped(length, SkipCause::UnknownKind(unknown.kind())),
            Message::Register(_)
            | Message::Welcome(_)
            | Message::Refuse(_)
            | Message::Challenge { .. }
            | Message::Proof { .. }
            | Message::Close(_)
            | _ => return Err(None),
        }
        Ok(())
    }

    fn handle_data(&mut self, data: &Data<'_>, length: usize, ordered: bool) -> Result<(), Violation> {
        if !ordered && !self.inbox.has_room_for(data.seq, self.limits.receive) {
            // It comes again, and there may be room then.
            self.skipped(length, SkipCause::NoRoom { seq: data.seq });
            return Ok(());
        }
        match self.inbox.arrived(data.seq, data.channel, data.body, self.limits.window, ordered)? {
            Arrival::Delivered | Arrival::Early { repeated: false } => {}
            Arrival::Early { repeated: true } | Arrival::Repeated => {
                self.repeated += 1;
                self.skipped(length, SkipCause::Repeated { seq: data.seq });
            }
        }
        Ok(())
    }

    pub(crate) fn wants_bytes(&self) -> bool {
        self.inbox.waiting_bytes() < self.limits.receive
    }

    /// Asks the peer for a sign of life.
    pub(crate) const fn ask(&mut self) {
        self.ping_due = true;
    }

    /// Appends what is to leave next on a connected link: one frame. Returns whether there was one.
    pub(crate) fn transmit(&mut self, now: Instant, wire: &Wire, out: &mut Vec<u8>) -> bool {
        if let Some(nonce) = self.pongs.pop() {
            wire.encode(&Message::Pong { nonce }, out);
        } else if mem::take(&mut self.ping_due) {
            wire.encode(&Message::Ping { nonce: self.heartbeat.ask(now) }, out);
        } else if let Some(receive_next) = self.inbox.take_acknowledgement() {
            wire.encode(&Message::Ack { receive_next }, out);
        } else if self.is_ending {
            return false;
        } else {
            match self.outbox.transmit(now, self.limits.window) {
                Some(Next::Data { seq, channel, body }) => {
                    wire.encode(&Message::Data(Data { seq, channel, body }), out);
                }
                Some(Next::Skip { next }) => wire.encode(&Message::Skip { next }, out),
                None => return false,
            }
        }
        true
    }

    /// Whether one more frame may go into a piece of this length.
    pub(crate) const fn may_grow(length: usize, wire: &Wire) -> bool {
        wire.is_ordered() && length < TRANSMIT
    }

    /// The last words on a connection: the ACK for what was committed, then `message`.
    pub(crate) fn say_farewell(&mut self, wire: &Wire, message: &Message<'_>) {
        let committed = if self.state.is_up() { self.inbox.take_acknowledgement() } else { None };
        let ack = committed.map(|receive_next| Message::Ack { receive_next });
        let frame = |message: &Message<'_>| {
            let mut bytes = Vec::new();
            wire.encode(message, &mut bytes);
            bytes
        };
        let messages = ack.iter().chain([message]).map(frame).collect();
        self.farewell = Some(Box::new(Farewell { epoch: self.epoch, messages }));
    }

    pub(crate) fn say_close(&mut self, wire: &Wire, code: CloseCode, reason: &str) {
        let reason = Reason::new(reason).unwrap_or(Reason::EMPTY);
        self.say_farewell(wire, &Message::Close(Close { code, reason }));
    }

    /// The next of the last words on a connection, one frame.
    pub(crate) fn take_farewell(&mut self, epoch: Epoch) -> Option<Vec<u8>> {
        let farewell = self.farewell.as_mut().filter(|farewell| farewell.epoch == epoch)?;
        let bytes = farewell.messages.pop_front();
        if farewell.messages.is_empty() {
            self.farewell = None;
        }
        bytes
    }

    /// Reports bytes that carried nothing, added to the event before when that is of the same cause.
    pub(crate) fn skipped(&mut self, bytes: usize, cause: SkipCause) {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        match self.events.back_mut() {
            Some(Event::Skipped { bytes, cause: before }) if before.name() == cause.name() => {
                *bytes = bytes.saturating_add(more);
            }
            _ => self.events.push_back(Event::Skipped { bytes: more, cause }),
        }
    }

    /// What the deframer of a connection that is over has counted.
    pub(crate) fn keep_line(&mut self, line: Counters) {
        self.line = Some(Box::new(line));
    }

    pub(crate) fn counters(&self, line: Option<Counters>) -> LinkCounters {
        let (received, skipped) = self.inbox.totals();
        LinkCounters {
            received,
            skipped,
            line: line.or(self.line.as_deref().copied()).unwrap_or_default(),
            connected: self.connected.into(),
            replaced: self.replaced.into(),
            ledger: self.outbox.ledger(),
            resent: self.outbox.resent(),
            repeated: self.repeated,
            round_trip: self.heartbeat.round_trip().smoothed(),
        }
    }
}
