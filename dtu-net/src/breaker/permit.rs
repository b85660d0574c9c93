//! One call in flight.

use super::Breaker;
use super::word::Ticket;
use core::borrow::Borrow;
use core::fmt;
use std::time::Instant;

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
        core::mem::replace(&mut self.ticket, Ticket::VOID)
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
