//! What a breaker shows without its lock, and what a call remembers of it.
//!
//! ```text
//!  63              19 18          3 2    0
//! +------------------+-------------+------+
//! |    generation    |    tally    | kind |
//! +------------------+-------------+------+
//! ```
//!
//! The tally is the successes since somebody had the lock last. It counts while the kind is `TALLYING`, where a success
//! changes nothing but a sum.

/// Closed, and a success changes nothing. A ticket of this kind is that of a call.
pub(super) const CLEAN: u64 = 0b000;
/// Closed, and a success takes failures back.
pub(super) const COUNTING: u64 = 0b001;
/// Closed, and a success is counted for the rate.
pub(super) const TALLYING: u64 = 0b010;
/// Not closed.
pub(super) const SHUT: u64 = 0b100;
/// A ticket of a probe. No word is of this kind, so none equals such a ticket.
const PROBE: u64 = 0b111;

const KIND: u64 = 0b111;
const TALLY_SHIFT: u32 = 3;
const TALLY_MAX: u64 = u16::MAX as u64;
/// At 10 million changes of state a second it is used up after 40 days; the shortest time open is 1 ms.
const GENERATION_SHIFT: u32 = TALLY_SHIFT + u16::BITS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(pub(super) u64);

impl Word {
    /// All but the tally.
    pub(super) const WITHOUT_TALLY: u64 = !(TALLY_MAX << TALLY_SHIFT);

    pub(super) const fn new(generation: u64, kind: u64) -> Self {
        Self((generation << GENERATION_SHIFT) | kind)
    }

    pub(super) const fn is_closed(self) -> bool {
        self.0 & SHUT == 0
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    pub(super) const fn tally(self) -> u64 {
        (self.0 >> TALLY_SHIFT) & TALLY_MAX
    }

    /// The ticket of a call that is admitted while the breaker is closed.
    pub(super) const fn ticket(self) -> Ticket {
        Ticket((self.generation() << GENERATION_SHIFT) | CLEAN)
    }

    /// The word with one success more, where that is all that the success of a call changes.
    pub(super) const fn tallied(self, ticket: Ticket) -> Option<Self> {
        let is_of_it = self.ticket().0 == ticket.0 && self.0 & KIND == TALLYING;
        if is_of_it && self.tally() < TALLY_MAX { Some(Self(self.0 + (1 << TALLY_SHIFT))) } else { None }
    }
}

/// When a call was admitted, by the breaker's generation, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket(u64);

impl Ticket {
    /// One that need not go back.
    pub(super) const VOID: Self = Self(CLEAN);

    pub(super) const fn probe(generation: u64) -> Self {
        Self((generation << GENERATION_SHIFT) | PROBE)
    }

    pub(super) const fn is_probe(self) -> bool {
        self.0 & KIND == PROBE
    }

    pub(super) const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    /// Whether a success leaves the breaker as it is: it is closed in the same generation and nothing is counted.
    pub(super) const fn is_clean_in(self, word: Word) -> bool {
        self.0 == word.0
    }
}
