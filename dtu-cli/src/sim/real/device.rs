//! One device of the fleet.

use super::books::{Books, Live};
use crate::sim::network::Network;
use anyhow::Context;
use core::time::Duration;
use dtu_net::driver::{Client, ClientConfig, LinkEvent, Receipt, Session};
use dtu_net::limits::WhenFull;
use dtu_net::{Cause, DeviceConfig, Event, Ledger, Outcome, Outgoing, SendError, State, StateChange};
use dtu_proto::message::CloseCode;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

/// How long a device has at the end for the acknowledgement of what it sent.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// What a device keeps for its server, in frames; so an outage costs the simulator little memory.
const OUTBOX_FRAMES: usize = 64;

/// Events that may wait to be looked at: the changes of state of some connections. Each slot is memory that every device has.
const EVENTS: usize = 16;

/// What all devices of a fleet share.
pub(super) struct Plan {
    /// DATA a second, or 0.
    pub(super) rate: f64,
    pub(super) begin: Instant,
    pub(super) network: Arc<Network>,
    pub(super) books: Arc<Books>,
    pub(super) live: Arc<Live>,
    /// From now on nothing more is sent.
    pub(super) stop: CancellationToken,
}

pub(super) struct Device {
    plan: Arc<Plan>,
    number: u32,
    client: Client,
    events: broadcast::Receiver<LinkEvent>,
    /// When something is sent.
    ticks: Option<Interval>,
    /// Sent, and without an outcome so far.
    open: VecDeque<(Instant, Receipt)>,
    /// The link is up.
    up: bool,
    /// Since when there is no link, once there was one.
    lost: Option<std::time::Instant>,
    story: Story,
}

/// What became of a device.
#[derive(Debug, Default, Clone)]
pub(super) struct Story {
    /// It was connected when the time was over.
    pub(super) up_at_end: bool,
    /// It has been connected at some time.
    pub(super) was_up: bool,
    pub(super) dials: u64,
    /// Events that were not seen; times and causes of a connection may be missing.
    pub(super) missed_events: u64,
    pub(super) round_trip: Option<Duration>,
    /// As the device itself has counted, and as its link has.
    pub(super) own: Own,
    pub(super) ledger: Ledger,
}

/// What became of the DATA by the receipts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) sent: u64,
    pub(super) acked: u64,
    pub(super) expired: u64,
    pub(super) refused: u64,
    pub(super) abandoned: u64,
    pub(super) pending: u64,
}

impl Device {
    /// `seed` decides its delays and when it sends first.
    pub(super) fn start(plan: &Arc<Plan>, number: u32, seed: u64) -> anyhow::Result<Self> {
        let mut device = DeviceConfig::new(&format!("sim-{number}")).context("cannot name a device")?;
        device.limits.outbox.frames = OUTBOX_FRAMES;
        device.limits.outbox.when_full = WhenFull::RefuseNew;
        let mut config = ClientConfig::new(device);
        (config.event_queue, config.seed) = (EVENTS, Some(seed));
        let network = Arc::clone(&plan.network);
        let client = Client::start_on(move || Arc::clone(&network).dial(number), config, CancellationToken::new())
            .context("cannot start a device")?;
        let (events, ticks) = (client.events(), ticks(plan, seed));
        let (plan, open, story) = (Arc::clone(plan), VecDeque::new(), Story::default());
        Ok(Self { plan, number, client, events, ticks, open, up: false, lost: None, story })
    }

    /// Runs until the plan stops it, and then until its link is closed.
    pub(super) async fn run(mut self) -> Story {
        let (session, plan) = (self.client.session().clone(), Arc::clone(&self.plan));
        let mut stopped = core::pin::pin!(plan.stop.cancelled());
        loop {
            tokio::select! {
                // What has happened before the end is seen before it.
                biased;
                event = self.events.recv() => self.see(event),
                received = session.recv() => match received {
                    // Nothing is awaited from the server; what comes all the same must not wait for ever.
                    Some(received) => {
                        let _forgotten = session.commit(received.mark());
                    }
                    // The link is closed for ever.
                    None => break,
                },
                outcome = oldest(&mut self.open) => self.settle_oldest(outcome),
                () = tick(&mut self.ticks) => self.send(&session),
                () = &mut stopped => break,
            }
        }
        self.story.up_at_end = session.state().state.is_up();
        session.close(CloseCode::DONE, "", DRAIN);
        while let Some(received) = session.recv().await {
            let _forgotten = session.commit(received.mark());
        }
        // The link is closed, so each outcome is there, or it never comes.
        for (_, receipt) in self.open {
            match timeout(Duration::ZERO, receipt).await {
                Ok(outcome) => self.story.own.settle(outcome),
                Err(_) => self.story.own.pending += 1,
            }
        }
        let counters = session.counters();
        (self.story.ledger, self.story.round_trip) = (counters.ledger, counters.round_trip);
        drop(session);
        self.client.shut_down(Duration::ZERO).await;
        self.story
    }

    fn see(&mut self, event: Result<LinkEvent, RecvError>) {
        match event {
            Ok(LinkEvent::Link { event: Event::State(change), .. }) => self.change(&change),
            Ok(_) | Err(RecvError::Closed) => {}
            Err(RecvError::Lagged(missed)) => self.story.missed_events += missed,
        }
    }

    fn change(&mut self, change: &StateChange) {
        let Plan { books, live, .. } = &*self.plan;
        match change.state {
            State::Connecting => {
                self.story.dials += 1;
                live.dials.count();
            }
            State::Connected if self.up => {}
            State::Connected => {
                (self.up, self.story.was_up) = (true, true);
                live.up.count();
                match self.lost.take() {
                    Some(lost) => books.time(|pages| &mut pages.recovery, change.at - lost),
                    None => books.time(|pages| &mut pages.first_up, change.at - self.plan.begin.into_std()),
                }
            }
            State::Disconnected | State::Closed if self.up => {
                self.up = false;
                live.lost.count();
                books.lost(change.cause.as_ref());
                let noticed_after = match change.cause {
                    Some(Cause::Silent { limit }) => limit,
                    _ => Duration::ZERO,
                };
                self.lost = Some(change.at - noticed_after);
            }
            State::Disconnected => books.failed(change.cause.as_ref()),
            State::Registering | State::Suspect | State::Closed => {}
        }
    }

    fn send(&mut self, session: &Session<dtu_net::Device>) {
        let own = &mut self.story.own;
        let number = u32::try_from(own.sent % (1 << 32)).expect("it is below 2^32");
        let body = [self.number.to_be_bytes(), number.to_be_bytes()].concat();
        match session.try_send(Outgoing::new(0, body)) {
            Ok(receipt) => self.open.push_back((Instant::now(), receipt)),
            Err(SendError::Refused) => own.refused += 1,
            // The link is closed.
            Err(_) => return,
        }
        own.sent += 1;
    }

    fn settle_oldest(&mut self, outcome: Outcome) {
        let Some((since, _)) = self.open.pop_front() else { return };
        self.story.own.settle(outcome);
        if outcome == Outcome::Acked {
            self.plan.books.time(|pages| &mut pages.acked, since.elapsed());
            self.plan.live.acked.count();
        }
    }
}

impl Own {
    const fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Acked => self.acked += 1,
            Outcome::Expired => self.expired += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Abandoned => self.abandoned += 1,
        }
    }

    /// Whether a link's ledger says the same and balances.
    pub(super) fn agrees(&self, ledger: &Ledger) -> bool {
        let Self { sent, acked, expired, refused, abandoned, pending } = *self;
        let theirs = [ledger.taken, ledger.acked, ledger.expired, ledger.refused, ledger.abandoned, ledger.pending];
        ledger.balances() && theirs == [sent, acked, expired, refused, abandoned, pending]
    }
}

/// When a device sends: evenly, from a moment of the first period that the seed decides.
fn ticks(plan: &Plan, seed: u64) -> Option<Interval> {
    if plan.rate == 0.0 {
        return None;
    }
    let period = Duration::from_secs_f64(1.0 / plan.rate);
    // Seeds are spread evenly over all numbers.
    let phase = period.mul_f64(seed as f64 / u64::MAX as f64);
    let mut ticks = interval_at(plan.begin + phase, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(ticks)
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => core::future::pending().await,
    }
}

/// The outcome of the oldest. Nothing is taken out.
async fn oldest(open: &mut VecDeque<(Instant, Receipt)>) -> Outcome {
    match open.front_mut() {
        Some((_, receipt)) => receipt.await,
        None => core::future::pending().await,
    }
}
