//! From the times of a capture to those of its replay.

use core::time::Duration;

/// When what was seen at a time is played, from the beginning of the replay.
#[derive(Debug)]
pub(super) struct Pace {
    /// Times of the capture, in order, with their times in the replay, in seconds.
    knots: Vec<(f64, f64)>,
}

impl Pace {
    /// `times` are all at which something happens, in seconds. Pauses in which nothing happens on any connection are at most
    /// `max_pause` seconds long.
    pub(super) fn new(mut times: Vec<f64>, speed: f64, max_pause: Option<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let mut knots: Vec<(f64, f64)> = Vec::with_capacity(times.len());
        for time in times {
            match knots.last() {
                None => knots.push((time, 0.0)),
                Some(&(before, _)) if time <= before => {}
                Some(&(before, played)) => {
                    let pause = (time - before) / speed;
                    knots.push((time, played + max_pause.map_or(pause, |most| pause.min(most))));
                }
            }
        }
        Self { knots }
    }

    /// When `time` is played.
    pub(super) fn at(&self, time: f64) -> Duration {
        let index = self.knots.partition_point(|&(knot, _)| knot <= time);
        let played = index.checked_sub(1).and_then(|index| self.knots.get(index)).map_or(0.0, |&(_, played)| played);
        Duration::try_from_secs_f64(played).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(speed: f64, max_pause: Option<f64>) -> Vec<Duration> {
        let pace = Pace::new(vec![110.0, 100.0, 100.5, 100.5, 170.0], speed, max_pause);
        [100.0, 100.5, 110.0, 170.0].map(|time| pace.at(time)).into()
    }

    #[test]
    fn pauses_are_kept_scaled_and_cut() {
        let seconds = |values: [f64; 4]| values.map(Duration::from_secs_f64).to_vec();
        assert_eq!(played(1.0, None), seconds([0.0, 0.5, 10.0, 70.0]));
        assert_eq!(played(2.0, None), seconds([0.0, 0.25, 5.0, 35.0]));
        assert_eq!(played(1.0, Some(1.0)), seconds([0.0, 0.5, 1.5, 2.5]));
        assert_eq!(played(1.0, Some(0.0)), seconds([0.0; 4]));
        assert_eq!(played(10.0, Some(5.0)), seconds([0.0, 0.05, 1.0, 6.0]), "what is cut is the pause as it is played");
    }

    #[test]
    fn nothing_is_played_at_once() {
        assert_eq!(Pace::new(Vec::new(), 1.0, None).at(5.0), Duration::ZERO);
    }
}
