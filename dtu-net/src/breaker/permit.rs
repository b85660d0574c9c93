//! One call in flight.

use super::Breaker;
use core::borrow::Borrow;
use core::fmt;
use std::time::Instant;

/// The kinds of a ticket and of a breaker's word, in its two lowest bits. Above them stands the generation.
const KIND: u64 = 0b11;
/// A word: closed, and a success changes nothing. A ticket: of a call.
const CLEAN: u64 = 0b00;
/// A word: closed, and a success has to be counted.
const COUNTING: u64 = 0b01;
/// A word: not closed.
const SHUT: u64 = 0b10;
/// A ticket: of a probe. No word is of this kind, so none equals such a ticket.
const PROBE: u64 = 0b11;
const KIND_BITS: u32 = 2;

/// What a breaker shows without its lock: its generation, and whether it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    pub(super) const fn closed(generation: u64, is_counting: bool) -> Self {
        Self((generation << KIND_BITS) | if is_counting { COUNTING } else { CLEAN })
    }

    pub(super) const fn shut(generation: u64) -> Self {
        Self((generation << KIND_BITS) | SHUT)
    }

    pub(super) const fn is_closed(self) -> bool {
        self.0 & SHUT == 0
    }

    /// The ticket of a call that is admitted while the breaker is closed.
    pub(super) const fn ticket(self) -> Ticket {
        Ticket(self.0 & !KIND)
    }
}

/// When a call was admitted, by the breaker's generation, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Ticket {
    pub(super) const fn probe(generation: u64) -> Self {
        Self((generation << KIND_BITS) | PROBE)
    }

    pub(super) const fn is_probe(self) -> bool {
        self.0 & KIND == PROBE
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 >> KIND_BITS
    }

    /// Whether a success leaves the breaker as it is: it is closed in the same generation and nothing is counted.
    pub(super) const fn is_clean_in(self, word: Word) -> bool {
        self.0 == word.0
    }
}

/// One call in flight.
///
/// It ends in [`succeed`](Self::succeed) or [`fail`](Self::fail). Dropped, it goes back without a verdict on the peer:
/// the call was cancelled, or an error of this side kept it from being made. A probe that goes back frees its place. One
/// that is leaked is taken for a failure at its deadline.
#[must_use = "dropped at once, it says nothing about the call"]
pub struct Permit<B: Borrow<Breaker>> {
    breaker: B,
    ticket: Ticket,
}

impl<B: Borrow<Breaker>> Permit<B> {
    #[inline]
    pub(super) const fn new(breaker: B, ticket: Ticket) -> Self {
        Self { breaker, ticket }
    }

    /// The peer did what it was asked for, at `now`.
    #[inline]
    pub fn succeed(mut self, now: Instant) {
        let ticket = self.settle();
        self.breaker.borrow().succeeded(ticket, now);
    }

    /// The peer failed, at `now`: it did not answer in time, broke off, or said that it cannot.
    #[inline]
    pub fn fail(mut self, now: Instant) {
        let ticket = self.settle();
        self.breaker.borrow().failed(ticket, now);
    }

    /// Whether this is one of the few calls that a half-open breaker admits.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.ticket.is_probe()
    }

    /// Takes the ticket out, and leaves one that need not go back.
    #[inline]
    const fn settle(&mut self) -> Ticket {
        core::mem::replace(&mut self.ticket, Ticket(CLEAN))
    }
}

impl<B: Borrow<Breaker>> Drop for Permit<B> {
    #[inline]
    fn drop(&mut self) {
        if self.ticket.is_probe() {
            self.breaker.borrow().returned(self.ticket);
        }
    }
}

impl<B: Borrow<Breaker>> fmt::Debug for Permit<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("generation", &self.ticket.generation())
            .field("is_probe", &self.is_probe())
            .finish_non_exhaustive()
    }
}
