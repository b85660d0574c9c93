//! What happened, as one number, and in words for a seed that is looked at.

use core::fmt::{self, Write};

/// FNV-1a over every line of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    printed: bool,
}

impl Trace {
    pub(crate) const fn new(printed: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, printed }
    }

    /// Notes what happened at `now`, in microseconds.
    pub(crate) fn note(&mut self, now: u64, what: fmt::Arguments<'_>) {
        writeln!(self, "{now} {what}").expect("hashing does not fail");
        if self.printed {
            println!("{:>12.6} {what}", now as f64 / 1e6);
        }
    }

    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
        }
        Ok(())
    }
}
