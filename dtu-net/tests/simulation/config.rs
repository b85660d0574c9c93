//! What one seed stands for.

use super::random::Random;
use core::time::Duration;
use dtu_net::backoff::Backoff;
use dtu_net::limits::{OutboxLimits, WhenFull};
use dtu_net::{Carrier, Limits};

/// Microseconds in a second and in a millisecond; the virtual clock counts microseconds.
pub(crate) const SECOND: u64 = 1_000_000;
pub(crate) const MILLISECOND: u64 = 1_000;

/// The shortest inter-byte timeout, in seconds; on an intact stream no pause is as long.
const INTER_BYTE_LEAST: u64 = 5;

/// What happens to bytes, connections, processes and applications under one seed. Chances are in permille, times in
/// microseconds; a mean of 0 stands for never.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) seed: u64,
    pub(crate) carrier: Carrier,
    /// Bytes of a stream arrive as they were sent, and no pause is long enough for a frame to be given up.
    pub(crate) intact: bool,
    pub(crate) delay: u64,
    pub(crate) jitter: u64,
    /// The longest piece of a stream that is carried, and that is read.
    pub(crate) piece: usize,
    pub(crate) corrupt: u64,
    pub(crate) lose: u64,
    pub(crate) double: u64,
    pub(crate) cut_mean: u64,
    pub(crate) stall_mean: u64,
    pub(crate) stall_most: u64,
    pub(crate) connect_fails: u64,
    pub(crate) refuse: u64,
    /// The server drops a device that it has just let in.
    pub(crate) drop: u64,
    pub(crate) challenge: bool,
    pub(crate) server_restart_mean: u64,
    pub(crate) device_restart_mean: u64,
    /// The device keeps its outbox, which begins at this number.
    pub(crate) store: Option<u32>,
    pub(crate) store_fails: u64,
    pub(crate) send_mean: [u64; 2],
    pub(crate) deadline: u64,
    pub(crate) poll_mean: [u64; 2],
    pub(crate) stop: u64,
    pub(crate) stop_most: u64,
    pub(crate) commit_lag: [u64; 2],
    pub(crate) close: bool,
    /// When nothing goes wrong any more.
    pub(crate) quiet_at: u64,
    pub(crate) backoff: Backoff,
    /// Of the device, and of the server.
    pub(crate) limits: [Limits; 2],
}

impl Config {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x0C0F_0000_0000_0000);
        let r = &mut random;
        let carrier = if r.permille(300) { Carrier::Datagrams } else { Carrier::Stream };
        let intact = carrier == Carrier::Stream && r.permille(500);
        let store = r.permille(600).then(|| if r.permille(700) { u32::MAX - r.up_to(60) as u32 } else { 0 });
        let dirt: &[u64] = if intact { &[0] } else { &[0, 2, 20, 100] };
        let window = r.pick(&[1, 2, 3, 8, 64]);
        let server = limits(r, window, intact);
        // What the server announces counts, and not this.
        let mut device = limits(r, 1, intact);
        device.heartbeat = Duration::from_secs(30);
        device.max_payload = server.max_payload;
        Self {
            seed,
            carrier,
            intact,
            delay: r.pick(&[0, MILLISECOND, 50 * MILLISECOND, 400 * MILLISECOND]),
            jitter: r.pick(&[0, MILLISECOND, 100 * MILLISECOND, 800 * MILLISECOND]),
            piece: r.pick(&[3, 40, 1500, 20_000]),
            corrupt: r.pick(dirt),
            lose: r.pick(dirt) + if carrier == Carrier::Datagrams { r.pick(&[0, 50, 300]) } else { 0 },
            double: r.pick(&[0, 20, 200]),
            cut_mean: r.pick(&[0, 3, 10, 40]) * SECOND,
            stall_mean: r.pick(&[0, 5, 30]) * SECOND,
            stall_most: if intact { 3 * SECOND } else { r.pick(&[SECOND, 8 * SECOND, 90 * SECOND]) },
            connect_fails: r.pick(&[0, 100, 500]),
            refuse: r.pick(&[0, 50, 300]),
            drop: r.pick(&[0, 0, 100, 950]),
            challenge: r.permille(400),
            server_restart_mean: r.pick(&[0, 0, 30, 120]) * SECOND,
            device_restart_mean: r.pick(&[0, 0, 30, 120]) * SECOND,
            store,
            store_fails: r.pick(&[0, 0, 30]),
            send_mean: [r.pick(&[300, 1500, 6000]) * MILLISECOND, r.pick(&[300, 1500, 6000]) * MILLISECOND],
            deadline: r.pick(&[0, 200, 700]),
            poll_mean: [r.pick(&[1, 50, 900]) * MILLISECOND, r.pick(&[1, 50, 900]) * MILLISECOND],
            stop: r.pick(&[0, 20, 150]),
            stop_most: r.pick(&[1, 10, 80]) * SECOND,
            commit_lag: [r.pick(&[0, 0, 300, 5000]) * MILLISECOND, r.pick(&[0, 0, 300, 5000]) * MILLISECOND],
            close: r.permille(300),
            quiet_at: r.between(10, 60) * SECOND,
            backoff: r.pick(&[
                Backoff::RECONNECT,
                Backoff::exponential(Duration::from_millis(300), 2000, Duration::from_secs(8))
                    .stable_after(Duration::from_secs(3)),
                Backoff::fixed(Duration::from_millis(500)).stable_after(Duration::ZERO),
            ]),
            limits: [device, server],
        }
    }
}

fn limits(r: &mut Random, window: u16, intact: bool) -> Limits {
    let mut limits = Limits::default();
    limits.max_payload = r.pick(&[70, 300, 2000, u16::MAX]);
    limits.heartbeat = Duration::from_millis(r.pick(&[1_000, 4_000, 10_000, 30_000]));
    limits.probe_timeout = Duration::from_millis(r.pick(&[1_500, 4_000, 10_000]));
    limits.probes = r.pick(&[1, 2, 3, 5]);
    limits.window = window;
    limits.receive = r.pick(&[1, 300, 4096, 64 * 1024]);
    limits.unwanted = Duration::from_secs(r.pick(&[3, 60]));
    limits.inter_byte = Duration::from_secs(r.pick(&[INTER_BYTE_LEAST, 30]));
    limits.frame = if intact { 8 * limits.inter_byte } else { Duration::from_secs(r.pick(&[8, 300])) };
    limits.resend = Duration::from_secs(r.pick(&[2, 10]));
    limits.resend_max = Duration::from_secs(r.pick(&[10, 60]));
    limits.retention = Duration::from_secs(r.pick(&[40, 3600]));
    limits.outbox = OutboxLimits {
        frames: r.pick(&[1, 4, 30, 1024]),
        bytes: r.pick(&[100, 1000, 1024 * 1024]),
        when_full: r.pick(&[WhenFull::Wait, WhenFull::RefuseNew, WhenFull::DropOldest]),
    };
    limits
}
