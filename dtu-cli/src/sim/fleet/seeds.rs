//! Several runs that differ in their seed alone.

use super::report::Report;
use core::fmt;
use serde::Serialize;

/// What they came to: the worst, and each.
#[derive(Debug, Serialize)]
pub(super) struct Seeds {
    seeds: usize,
    /// Of the time until 99.9 % were back, in ideal times; none where they were not in the time simulated.
    median_ratio: Option<f64>,
    worst_ratio: Option<f64>,
    best_ratio: Option<f64>,
    worst_seed: u64,
    runs: Vec<Report>,
}

impl Seeds {
    /// Of at least one run.
    pub(super) fn new(runs: Vec<Report>) -> Self {
        let mut order: Vec<&Report> = runs.iter().collect();
        order.sort_by(|one, other| {
            let of = |report: &Report| report.ratio.unwrap_or(f64::INFINITY);
            of(one).total_cmp(&of(other))
        });
        let (best, median, worst) = (order[0], order[(order.len() - 1) / 2], order[order.len() - 1]);
        let (best_ratio, median_ratio, worst_ratio) = (best.ratio, median.ratio, worst.ratio);
        Self { seeds: runs.len(), median_ratio, worst_ratio, best_ratio, worst_seed: worst.seed, runs }
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let worst = self.runs.iter().find(|run| run.seed == self.worst_seed);
        if let Some(worst) = worst {
            write!(f, "{worst}")?;
        }
        let figure = |ratio: Option<f64>| ratio.map_or("none".to_owned(), |ratio| format!("{ratio:.3}"));
        writeln!(
            f,
            "the worst of {} seeds; 99.9 % / ideal: best {}, median {}, worst {}",
            self.seeds,
            figure(self.best_ratio),
            figure(self.median_ratio),
            figure(self.worst_ratio)
        )
    }
}
