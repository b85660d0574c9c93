//! One device on real sockets: clock and bytes for its machine, and a new connection when one is lost.

use super::device::Device;
use super::summary::Counters;
use crate::progress::Figure;
use crate::sim::network::{Line, Network};
use core::time::Duration;
use dtu_net::backoff::{Backoff, Delays};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::SeedableRng;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(10);

/// What is read at once.
const READ: usize = 2048;

/// Figures for the line on a terminal.
#[derive(Debug, Default)]
pub(super) struct Live {
    connected: Figure,
    lost: Figure,
    heartbeats: Figure,
    answered: Figure,
}

impl Live {
    /// The figures as a line; it fits 80 columns up to eight digits each.
    pub(super) fn line(&self, devices: u32) -> String {
        let [connected, lost, heartbeats, answered] =
            [&self.connected, &self.lost, &self.heartbeats, &self.answered].map(Figure::read);
        let up = connected.saturating_sub(lost);
        format!("connected {up}/{devices}  lost {lost}  heartbeats {heartbeats}  answered {answered}")
    }

    fn count_since(&self, before: &Counters, now: &Counters) {
        (before.heartbeats..now.heartbeats).for_each(|_| self.heartbeats.count());
        (before.answered..now.answered).for_each(|_| self.answered.count());
    }
}

/// A device with what it needs to run.
pub(super) struct Driver {
    pub(super) device: Device,
    pub(super) number: u32,
    /// Decides its delays.
    pub(super) seed: u64,
    pub(super) network: Arc<Network>,
    pub(super) live: Arc<Live>,
    pub(super) stop: CancellationToken,
}

impl Driver {
    /// Runs until it is stopped. Returns what happened, and whether it was registered then.
    pub(super) async fn run(mut self) -> (Counters, bool) {
        let stop = self.stop.clone();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        let mut delays = Delays::new(Backoff::RECONNECT);
        let mut is_up = false;
        let stopped = async {
            loop {
                if let Ok(Ok(line)) = timeout(DIAL, Arc::clone(&self.network).dial(self.number)).await {
                    self.live.connected.count();
                    self.device.handle_connected(now());
                    // A connection that breaks, or is closed by the server, is dialled anew.
                    let _broken = carry(&mut self.device, line, &self.live, &mut delays, &mut is_up).await;
                    is_up = false;
                    self.device.handle_disconnected();
                    self.live.lost.count();
                }
                let Some(delay) = delays.next(now(), &mut random) else { return };
                sleep(delay).await;
            }
        };
        tokio::select! {
            () = stopped => {}
            () = stop.cancelled() => {}
        }
        (self.device.counters(), is_up)
    }
}

/// Carries bytes between a connection and its machine until one of them is done with the other.
async fn carry(device: &mut Device, line: Line, live: &Live, delays: &mut Delays, is_up: &mut bool) -> io::Result<()> {
    let (mut reader, mut writer) = tokio::io::split(line);
    let mut buffer = vec![0; READ];
    // What is written next, and how much of it is.
    let (mut out, mut written) = (Vec::new(), 0);
    loop {
        let before = device.counters();
        device.handle_timeout(now());
        live.count_since(&before, &device.counters());
        *is_up = device.is_registered();
        if device.is_leaving() {
            return writer.shutdown().await;
        }
        if written == out.len() {
            (out, written) = (device.poll_transmit(now()).unwrap_or_default(), 0);
        }
        let rest = out.get(written..).unwrap_or_default();
        let is_idle = rest.is_empty();
        let wake = device.poll_timeout();
        tokio::select! {
            read = reader.read(&mut buffer) => match read? {
                0 => return Ok(()),
                count => {
                    delays.answered(now());
                    device.handle_bytes(now(), buffer.get(..count).unwrap_or_default());
                }
            },
            count = writer.write(rest), if !is_idle => written += count?,
            () = until(wake), if is_idle => {}
        }
    }
}

async fn until(wake: Option<std::time::Instant>) {
    match wake {
        Some(wake) => sleep_until(Instant::from_std(wake)).await,
        None => core::future::pending().await,
    }
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
