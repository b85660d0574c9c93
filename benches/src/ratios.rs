//! Runs the contestants of a job in turn, and the table that comes of it.

use crate::contest::{Job, Side};
use crate::stream::Size;
use core::fmt::{self, Write};
use core::time::Duration;
use serde::{Serialize, Serializer};
use std::time::Instant;

/// How long the rounds of one job may take, unless there are too few of them.
const JOB_TIME: Duration = Duration::from_millis(1500);
const MIN_ROUNDS: usize = 7;
const MAX_ROUNDS: usize = 801;
/// Timed runs a contestant has in a row, of which the fastest counts, since another process only ever adds time. One
/// more goes before them and brings its bytes into the cache.
const RUNS: usize = 3;

/// How much faster one of ours is than a peer at the same payloads.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Ratio {
    /// What was done.
    pub group: &'static str,
    /// Which of ours.
    pub ours: &'static str,
    /// Which peer, `floor` for the checksum alone.
    pub peer: &'static str,
    /// The payload's length in bytes, or `mix`.
    #[serde(serialize_with = "size")]
    pub payload: Size,
    /// The peer's time divided by ours: above 1, ours is faster.
    pub ratio: f64,
}

fn size<S: Serializer>(size: &Size, serializer: S) -> Result<S::Ok, S::Error> {
    match size {
        Size::Bytes(bytes) => bytes.serialize(serializer),
        Size::Mix => serializer.serialize_str("mix"),
    }
}

/// What one of ours took.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// What was done.
    pub group: &'static str,
    /// Which contestant.
    pub name: &'static str,
    /// Whose.
    pub side: Side,
    /// At which payload.
    pub payload: Size,
    /// Nanoseconds a frame, or a byte where the job counts no frames.
    pub nanoseconds: f64,
    /// Whether that is a frame.
    pub per_frame: bool,
}

/// All that was measured.
#[derive(Debug, Default)]
pub struct Report {
    /// Peers against ours.
    pub ratios: Vec<Ratio>,
    /// Ours and theirs by themselves.
    pub costs: Vec<Cost>,
}

impl Report {
    /// Runs `job` in rounds. In each, every contestant has its turn; a ratio is the median of the rounds' ratios. A job
    /// without a peer is only checked.
    pub fn measure(&mut self, mut job: Job) {
        job.entries.iter_mut().for_each(|entry| entry.check());
        if job.entries.iter().all(|entry| entry.side == Side::Ours) {
            return;
        }
        let mut rounds: Vec<Vec<f64>> = Vec::new();
        let start = Instant::now();
        while rounds.len() < MIN_ROUNDS || (start.elapsed() < JOB_TIME && rounds.len() < MAX_ROUNDS) {
            let mut times = vec![0.0; job.entries.len()];
            for turn in 0..times.len() {
                // Nobody always runs behind the same neighbour's start.
                let who = (turn + rounds.len()) % times.len();
                let entry = &mut job.entries[who];
                entry.time();
                times[who] = (0..RUNS).map(|_| entry.time()).min().unwrap_or_default().as_secs_f64();
            }
            rounds.push(times);
        }
        self.record(&job, &rounds);
    }

    fn record(&mut self, job: &Job, rounds: &[Vec<f64>]) {
        let (group, payload) = (job.group, job.size);
        for (a, entry) in job.entries.iter().enumerate() {
            let seconds = median(rounds.iter().map(|times| times[a]).collect());
            let per_frame = job.frames > 0;
            let count = if per_frame { job.frames } else { job.bytes };
            let nanoseconds = seconds * 1e9 / count as f64;
            self.costs.push(Cost { group, name: entry.name, side: entry.side, payload, nanoseconds, per_frame });
            for (b, peer) in job.entries.iter().enumerate() {
                if entry.side == Side::Ours && peer.side == Side::Peer {
                    let ratio = median(rounds.iter().map(|times| times[b] / times[a]).collect());
                    self.ratios.push(Ratio { group, ours: entry.name, peer: peer.name, payload, ratio });
                }
            }
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The table: a line for each of ours and each peer, a column for each payload.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns = distinct(self.costs.iter().map(|cost| cost.payload));
        columns.sort_by_key(|size| match size {
            Size::Bytes(bytes) => *bytes,
            Size::Mix => usize::MAX,
        });
        let mut head = format!("{:<16} {:<20} {:<24}", "group", "ours", "peer's time / ours");
        for size in &columns {
            write!(head, " {:>8}", size.to_string())?;
        }
        writeln!(f, "{head}\n{}", "-".repeat(head.len()))?;
        let ours = self.costs.iter().filter(|cost| cost.side == Side::Ours);
        for (group, name) in distinct(ours.map(|cost| (cost.group, cost.name))) {
            self.cost_line(f, group, name, &columns)?;
            let ratios = || self.ratios.iter().filter(|ratio| (ratio.group, ratio.ours) == (group, name));
            for peer in distinct(ratios().map(|ratio| ratio.peer)) {
                write!(f, "{group:<16} {name:<20} {peer:<24}")?;
                for &size in &columns {
                    cell(f, ratios().find(|r| (r.peer, r.payload) == (peer, size)).map(|ratio| ratio.ratio))?;
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Report {
    fn cost_line(&self, f: &mut fmt::Formatter<'_>, group: &str, name: &str, columns: &[Size]) -> fmt::Result {
        let costs = || self.costs.iter().filter(|cost| (cost.group, cost.name) == (group, name));
        let unit = if costs().any(|cost| cost.per_frame) { "(ns a frame)" } else { "(ns a byte)" };
        write!(f, "{group:<16} {name:<20} {unit:<24}")?;
        for size in columns {
            cell(f, costs().find(|cost| cost.payload == *size).map(|cost| cost.nanoseconds))?;
        }
        writeln!(f)
    }
}

/// The items in the order of their first coming.
fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for item in items {
        if !seen.contains(&item) {
            seen.push(item);
        }
    }
    seen
}

fn cell(f: &mut fmt::Formatter<'_>, value: Option<f64>) -> fmt::Result {
    match value {
        None => write!(f, " {:>8}", "-"),
        Some(value) if value >= 100.0 => write!(f, " {value:>8.0}"),
        Some(value) if value >= 10.0 => write!(f, " {value:>8.1}"),
        Some(value) if value >= 0.01 => write!(f, " {value:>8.3}"),
        Some(value) => write!(f, " {value:>8.6}"),
    }
}
