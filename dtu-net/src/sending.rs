//! What one side of a link has sent. A server has one for each device, and sends nothing to most of them: the books of an outbox are
//! made with the first DATA.

use crate::error::{SendError, Violation};
use crate::event::{Event, Ledger};
use crate::limits::OutboxLimits;
use crate::numbers::is_after;
use crate::outbox::{Next, Outbox, Outgoing};
use crate::store::{Kept, OutboxStore};
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Sending {
    stream: u64,
    /// Without one nothing has been numbered in the stream: it begins with 0 on both sides.
    outbox: Option<Box<Outbox>>,
}

impl Sending {
    pub(crate) const fn new(stream: u64) -> Self {
        Self { stream, outbox: None }
    }

    /// As [`Outbox::restored`].
    pub(crate) fn restored(kept: Kept, store: Box<dyn OutboxStore>, limits: OutboxLimits) -> Self {
        Self { stream: kept.stream, outbox: Some(Box::new(Outbox::restored(kept, store, limits))) }
    }

    pub(crate) const fn stream(&self) -> u64 {
        self.stream
    }

    /// As [`Outbox::say_base`].
    pub(crate) fn say_base(&mut self) -> u32 {
        self.outbox.as_mut().map_or(0, |outbox| outbox.say_base())
    }

    pub(crate) fn ledger(&self) -> Ledger {
        self.outbox.as_ref().map(|outbox| outbox.ledger()).unwrap_or_default()
    }

    pub(crate) fn resent(&self) -> u64 {
        self.outbox.as_ref().map_or(0, |outbox| outbox.resent())
    }

    /// Whether nothing waits for its outcome.
    pub(crate) fn is_empty(&self) -> bool {
        self.outbox.as_ref().is_none_or(|outbox| outbox.is_empty())
    }

    pub(crate) fn has_room(&self, length: usize, limits: &OutboxLimits) -> bool {
        match &self.outbox {
            Some(outbox) => outbox.has_room(length),
            None => limits.frames > 0 && length <= limits.bytes,
        }
    }

    /// The memory that DATA takes, in bytes.
    pub(crate) fn memory(&self) -> usize {
        self.outbox.as_ref().map_or(0, |outbox| outbox.memory())
    }

    /// As [`Outbox::push`].
    pub(crate) fn push(
        &mut self,
        outgoing: Outgoing,
        limits: &OutboxLimits,
        events: &mut VecDeque<Event>,
    ) -> Result<u32, SendError> {
        self.outbox(limits).push(outgoing, events)
    }

    fn outbox(&mut self, limits: &OutboxLimits) -> &mut Outbox {
        self.outbox.get_or_insert_with(|| Box::new(Outbox::new(*limits)))
    }

    /// As [`Outbox::rewind`].
    pub(crate) fn rewind(
        &mut self,
        receive_next: Option<u32>,
        limits: &OutboxLimits,
        events: &mut VecDeque<Event>,
    ) -> Result<(), Violation> {
        if self.outbox.is_none() && receive_next.is_none_or(|receive_next| receive_next == 0) {
            return Ok(());
        }
        self.outbox(limits).rewind(receive_next, events)
    }

    /// As [`Outbox::transmit`].
    pub(crate) fn transmit(&mut self, now: Instant, window: u16) -> Option<Next<'_>> {
        self.outbox.as_mut()?.transmit(now, window)
    }

    /// As [`Outbox::resend_at`].
    pub(crate) fn resend_at(&self, timeout: Duration, most: Duration) -> Option<Instant> {
        self.outbox.as_ref()?.resend_at(timeout, most)
    }

    /// As [`Outbox::is_owed`].
    pub(crate) fn is_owed(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| outbox.is_owed())
    }

    /// As [`Outbox::resend`].
    pub(crate) fn resend(&mut self, now: Instant, before: Instant, most: usize) {
        if let Some(outbox) = &mut self.outbox {
            outbox.resend(now, before, most);
        }
    }

    /// As [`Outbox::acknowledge`].
    pub(crate) fn acknowledge(&mut self, receive_next: u32, events: &mut VecDeque<Event>) -> Result<(), Violation> {
        match &mut self.outbox {
            Some(outbox) => outbox.acknowledge(receive_next, events),
            None if is_after(receive_next, 0) => Err(Violation::AckAhead { receive_next, next: 0 }),
            None => Ok(()),
        }
    }

    /// As [`Outbox::expires_at`].
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.outbox.as_ref()?.expires_at()
    }

    /// As [`Outbox::expire`].
    pub(crate) fn expire(&mut self, now: Instant, events: &mut VecDeque<Event>) {
        if let Some(outbox) = &mut self.outbox {
            outbox.expire(now, events);
        }
    }

    /// As [`Outbox::abandon`].
    pub(crate) fn abandon(&mut self, events: &mut VecDeque<Event>) {
        if let Some(outbox) = &mut self.outbox {
            outbox.abandon(events);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Next, Outbox, OutboxLimits, Outgoing, SendError, Sending, VecDeque};
    use crate::limits::WhenFull;
    use std::time::Instant;

    /// Whether there is an outbox so far makes no difference that anybody sees.
    #[test]
    fn before_the_first_data_it_answers_as_an_empty_outbox() {
        #[expect(clippy::disallowed_methods, reason = "an origin; only differences matter")]
        let now = Instant::now();
        let limits = OutboxLimits { frames: 2, bytes: 10, when_full: WhenFull::Wait };
        for number in [0, 1, 7, i32::MAX.unsigned_abs(), 1 << 31, u32::MAX] {
            let (mut events, mut theirs) = (VecDeque::new(), VecDeque::new());
            let (mut sending, mut outbox) = (Sending::new(5), Outbox::new(limits));
            assert_eq!((sending.stream(), sending.say_base()), (5, outbox.say_base()));
            for length in [0, 10, 11] {
                assert_eq!(sending.has_room(length, &limits), outbox.has_room(length), "{length}");
            }
            assert_eq!(sending.rewind(None, &limits, &mut events), outbox.rewind(None, &mut theirs));
            assert_eq!(sending.acknowledge(number, &mut events), outbox.acknowledge(number, &mut theirs), "{number}");
            assert!(sending.outbox.is_none());
            let rewound = sending.rewind(Some(number), &limits, &mut events);
            assert_eq!(rewound, outbox.rewind(Some(number), &mut theirs), "{number}");
            assert_eq!(sending.transmit(now, 8), outbox.transmit(now, 8), "{number}");
            assert_eq!((sending.is_empty(), sending.is_owed()), (outbox.is_empty(), outbox.is_owed()), "{number}");
            assert_eq!((sending.ledger(), sending.memory()), (outbox.ledger(), outbox.memory()));
            sending.expire(now, &mut events);
            sending.abandon(&mut events);
            outbox.abandon(&mut theirs);
            assert_eq!(events, theirs);
        }
    }

    #[test]
    fn it_has_the_limits_of_its_outbox_from_the_first_data_on() {
        #[expect(clippy::disallowed_methods, reason = "an origin; only differences matter")]
        let now = Instant::now();
        let limits = OutboxLimits { frames: 1, bytes: 10, when_full: WhenFull::Wait };
        let (mut sending, mut events) = (Sending::new(5), VecDeque::new());
        let mut push = |body: &'static str| sending.push(Outgoing::new(0, body), &limits, &mut events);
        assert_eq!(push("longer than ten"), Err(SendError::TooLong { length: 15, limit: 10 }));
        assert_eq!((push("first"), push("second")), (Ok(0), Err(SendError::Full)));
        assert!(!sending.has_room(1, &limits) && !sending.is_empty());
        assert_eq!(sending.transmit(now, 8), Some(Next::Data { seq: 0, channel: 0, body: b"first" }));
        assert!(sending.is_owed());
        assert_eq!(sending.acknowledge(1, &mut events), Ok(()));
        assert_eq!((sending.ledger().acked, sending.say_base()), (1, 1));
    }
}
