//! `GET /events`: what is there, and then what changes, as Server-Sent Events.
//!
//! A stream keeps a number and no buffer: when its reader has taken what there was, what has changed since is looked up, each device
//! once. So a slow reader gets fewer pieces, never older ones.

use super::Shared;
use super::error::{Code, ErrorBody, Problem};
use crate::fleet::{Changes, Seen};
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use core::convert::Infallible;
use core::time::Duration;
use futures_util::stream;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Devices in one event at most.
const PIECE: usize = 500;

/// How often changes are told.
const EVERY: Duration = Duration::from_secs(1);

/// The live state as Server-Sent Events. `reset`: forget all devices; it begins a stream. `devices`: rows of devices that came or
/// changed, up to 500 in an event. `gone`: ids of devices that left. `gateway`: the counters, each second.
#[utoipa::path(get, path = "/events", tag = "gateway", responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = 429, body = ErrorBody, description = "full: as many streams are open as may"),
))]
pub(super) async fn stream(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let place = Arc::clone(&shared.streams).try_acquire_owned();
    let place = place.map_err(|_| Problem::new(Code::Full, "as many streams of events are open as may"))?;
    let follower = Follower::new(shared, place);
    let pieces = stream::unfold(follower, |mut follower| async {
        let piece = follower.next().await?;
        Some((Ok::<_, Infallible>(piece), follower))
    });
    Ok(([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response())
}

struct Follower {
    shared: Arc<Shared>,
    seen: Seen,
    /// There may be more at once.
    more: bool,
    /// What is ready: a few pieces of one look.
    ready: VecDeque<Bytes>,
    ticks: Interval,
    _place: OwnedSemaphorePermit,
    _open: Open,
}

/// Counts the streams that are open.
struct Open;

impl Open {
    fn new() -> Self {
        metrics::gauge!("dtu_http_streams").increment(1);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        metrics::gauge!("dtu_http_streams").decrement(1);
    }
}

impl Follower {
    fn new(shared: Arc<Shared>, place: OwnedSemaphorePermit) -> Self {
        let mut ticks = interval(EVERY);
        // Who was slow has the next look when he is ready, and not several.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut follower = Self {
            shared,
            seen: Seen::default(),
            more: false,
            ready: VecDeque::new(),
            ticks,
            _place: place,
            _open: Open::new(),
        };
        follower.begin();
        follower
    }

    fn begin(&mut self) {
        (self.seen, self.more) = (Seen::default(), false);
        self.ready.push_back(Bytes::from_static(b"event: reset\ndata: []\n\n"));
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            let is_turn = !self.more;
            if is_turn {
                tokio::select! {
                    _ = self.ticks.tick() => {}
                    () = self.shared.ended.cancelled() => return None,
                }
            }
            self.look();
            if is_turn {
                let counters = self.shared.status.counters(self.shared.fleet.recent_census(), &self.shared.health);
                self.tell("gateway", &counters);
            }
        }
    }

    fn look(&mut self) {
        let Some(Changes { gone, rows, seen, more }) = self.shared.fleet.news(self.seen, PIECE) else {
            return self.begin();
        };
        (self.seen, self.more) = (seen, more);
        if !gone.is_empty() {
            self.tell("gone", &gone);
        }
        if !rows.is_empty() {
            self.tell("devices", &rows);
        }
    }

    fn tell(&mut self, event: &str, data: &impl Serialize) {
        let mut piece = format!("event: {event}\ndata: ").into_bytes();
        // JSON has no line feeds outside of its strings, and escapes those inside.
        serde_json::to_writer(&mut piece, data).expect("rows and counters are JSON, and memory takes it");
        piece.extend_from_slice(b"\n\n");
        self.ready.push_back(piece.into());
    }
}
