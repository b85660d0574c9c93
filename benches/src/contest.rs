//! What a contestant is, and what a job of several contestants is.

use crate::stream::Size;
use core::hint::black_box;
use core::time::Duration;
use std::time::Instant;

/// One way to do a job, run over and over on the same bytes.
pub trait Contestant {
    /// Brings back what [`run`](Self::run) used up. Not timed.
    fn refill(&mut self) {}

    /// Does the job once.
    fn run(&mut self) -> Tally;

    /// What the last run wrote, for those that write.
    fn output(&self) -> Option<&[u8]> {
        None
    }
}

/// A function of no arguments is a contestant that uses nothing up.
impl<F: FnMut() -> Tally> Contestant for F {
    fn run(&mut self) -> Tally {
        self()
    }
}

/// What a run found. Adding it up is what every decoder does with a payload, so it costs all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// How many frames.
    pub frames: usize,
    /// How many bytes in their payloads.
    pub bytes: usize,
    /// The payloads' first bytes added up; for a floor, the exclusive or of its checksums.
    pub mark: u32,
}

impl Tally {
    /// Adds a payload.
    #[inline(always)]
    pub fn frame(&mut self, payload: &[u8]) {
        self.frames += 1;
        self.bytes += payload.len();
        self.mark = self.mark.wrapping_add(payload.first().map_or(0, |&byte| u32::from(byte)));
    }
}

/// Which side of a ratio a contestant stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This project's.
    Ours,
    /// What it is compared with.
    Peer,
}

/// A contestant with its name and what it must find.
pub struct Entry {
    /// The name in reports.
    pub name: &'static str,
    /// Ours or a peer's.
    pub side: Side,
    /// What a run must find.
    pub expected: Tally,
    /// What a run must write.
    pub expected_output: Option<Vec<u8>>,
    /// Who runs.
    pub contestant: Box<dyn Contestant>,
}

impl Entry {
    /// A contestant of this project.
    pub fn ours(name: &'static str, expected: Tally, contestant: impl Contestant + 'static) -> Self {
        Self { name, side: Side::Ours, expected, expected_output: None, contestant: Box::new(contestant) }
    }

    /// A contestant to compare with.
    pub fn peer(name: &'static str, expected: Tally, contestant: impl Contestant + 'static) -> Self {
        Self { side: Side::Peer, ..Self::ours(name, expected, contestant) }
    }

    /// The same, which must write `output` as well.
    #[must_use]
    pub fn writing(self, output: Vec<u8>) -> Self {
        Self { expected_output: Some(output), ..self }
    }

    /// Runs once and holds the result against what is expected.
    ///
    /// # Panics
    ///
    /// When they differ.
    pub fn check(&mut self) {
        self.contestant.refill();
        assert_eq!(self.contestant.run(), self.expected, "{} found something else", self.name);
        if let Some(expected) = &self.expected_output {
            let same = self.contestant.output() == Some(expected);
            assert!(same, "{} wrote other bytes than expected", self.name);
        }
    }

    /// The time of one run.
    pub fn time(&mut self) -> Duration {
        self.contestant.refill();
        let start = Instant::now();
        black_box(self.contestant.run());
        start.elapsed()
    }
}

/// Contestants for the same payloads.
pub struct Job {
    /// What is done: `decode`, `encode`, ...
    pub group: &'static str,
    /// The length of the payloads.
    pub size: Size,
    /// How many frames a run handles; 0 where the bytes hold none worth counting.
    pub frames: usize,
    /// How many bytes a run handles.
    pub bytes: usize,
    /// Who runs.
    pub entries: Vec<Entry>,
}

impl Job {
    /// `group/size`, by which jobs are chosen on the command line.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.group, self.size)
    }
}
