//! A sink with its patience: the same batch again and again until it is kept.

use super::{Batch, Books, Sink, SinkError, say};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Delays};
use dtu_net::breaker::{Breaker, BreakerConfig, BreakerState};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::sync::Arc;
use std::time::Instant;
use tokio::time::sleep;

/// The pauses between tries while the breaker is closed. They begin anew when the sink has kept what it was given for 10 s.
const REPEAT: Backoff = Backoff::exponential(Duration::from_millis(200), 2_000, Duration::from_secs(5));

/// How long a sink is left alone that has failed [`CONSECUTIVE`](dtu_net::breaker::CONSECUTIVE) times in a row; then it is tried once. It
/// is also the longest that a broker which is back goes unnoticed.
const OPEN_FOR: Duration = Duration::from_secs(5);

/// How long a try of a sink that was left alone may take before it counts as failed. A sink has a bound of its own below that.
const PROBE_DEADLINE: Duration = Duration::from_secs(300);

const BREAKER: BreakerConfig = match BreakerConfig::DEFAULT.open_for(OPEN_FOR) {
    Ok(config) => match config.probe_deadline(PROBE_DEADLINE) {
        Ok(config) => config,
        Err(_) => panic!("the deadline is in its bounds"),
    },
    Err(_) => panic!("the time is in its bounds"),
};

/// How a sink that fails is tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) repeat: Backoff,
    pub(super) breaker: BreakerConfig,
}

impl Patience {
    pub(super) const DEFAULT: Self = Self { repeat: REPEAT, breaker: BREAKER };
}

/// A sink, its breaker and its pauses.
pub(super) struct Steady {
    sink: Box<dyn Sink>,
    breaker: Breaker,
    delays: Delays,
    rng: Xoshiro256PlusPlus,
    books: Arc<Books>,
    /// Which of the books is its own.
    place: usize,
    down_since: Option<Instant>,
}

impl Steady {
    pub(super) fn new(sink: Box<dyn Sink>, books: &Arc<Books>, place: usize, patience: Patience, seed: u64) -> Self {
        Self {
            sink,
            breaker: Breaker::new(patience.breaker, now()),
            delays: Delays::new(patience.repeat),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            books: Arc::clone(books),
            place,
            down_since: None,
        }
    }

    /// Ready when the sink has kept the batch, however long that takes.
    ///
    /// # Errors
    ///
    /// [`SinkError::Gone`], and no other.
    pub(super) async fn store(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let book = &self.books.sinks[self.place];
        loop {
            let permit = match self.breaker.acquire(now()) {
                Ok(permit) => permit,
                Err(refused) => {
                    sleep(refused.retry_after).await;
                    continue;
                }
            };
            let began = now();
            let stored = self.sink.store(batch).await;
            let ended = now();
            match stored {
                Ok(()) => {
                    permit.succeed(ended);
                    book.breaker(self.breaker.state(ended) != BreakerState::Closed);
                    self.delays.answered(ended);
                    if book.kept(self.sink.keeps(batch), ended.saturating_duration_since(began)) {
                        let since = self.down_since.take().unwrap_or(ended);
                        tell_up(&book.name, ended.saturating_duration_since(since));
                    }
                    return Ok(());
                }
                Err(SinkError::Unavailable(text)) => {
                    permit.fail(ended);
                    if book.failed(&text) {
                        self.down_since = Some(began);
                        tell_down(&book.name, &text);
                    }
                    book.breaker(self.breaker.state(ended) != BreakerState::Closed);
                    let delay = self.delays.next(ended, &mut self.rng).expect("the tries have no end");
                    sleep(delay).await;
                }
                Err(gone @ SinkError::Gone(_)) => {
                    permit.fail(ended);
                    book.failed(&gone.to_string());
                    return Err(gone);
                }
            }
        }
    }
}

fn tell_down(name: &str, text: &str) {
    say(format_args!("sink {name} is down: {text}; nothing is acknowledged until it is up again"));
}

fn tell_up(name: &str, after: Duration) {
    say(format_args!("sink {name} is up again after {:.1} s", after.as_secs_f64()));
}

/// The clock of the runtime, which tests may set.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
