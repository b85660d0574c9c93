//! What the demo's proxy does to the links, as flags, and what it has done, as figures.

use crate::chaos::duration::{parse, parse_some};
use crate::chaos::{Plan, Proxy, Stall, share};
use core::time::Duration;
use serde::Serialize;

/// The flags that `--calm` stands against.
const HARMS: [&str; 11] = [
    "cut_every",
    "half_close",
    "stall",
    "stall_every",
    "corrupt",
    "drop_bytes",
    "delay",
    "jitter",
    "loss",
    "duplicate",
    "reorder",
];

/// The flags of `dtu chaos`, with values that hurt.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What the proxy does; 0 turns it off, `dtu chaos --help` has the details")]
pub(super) struct HarmArgs {
    /// Cuts each connection after about this time, by RST or by FIN.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse)]
    cut_every: Duration,
    /// Every second cut, by chance, tells one side only; the other is left with a half-open link for this time.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse)]
    half_close: Duration,
    /// Now and then nothing passes for this time.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = parse)]
    stall: Duration,
    /// About how long a connection passes bytes between two stalls.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_some)]
    stall_every: Duration,
    /// The probability, per byte, that one of its bits is flipped.
    #[arg(long, value_name = "RATE", default_value_t = 2e-5, value_parser = share)]
    corrupt: f64,
    /// The probability, per byte, that a run of 1 to 16 bytes is dropped from there on.
    #[arg(long, value_name = "RATE", default_value_t = 1e-5, value_parser = share)]
    drop_bytes: f64,
    /// Holds each chunk of bytes for this time.
    #[arg(long, value_name = "TIME", default_value = "10ms", value_parser = parse)]
    delay: Duration,
    /// Varies the delay by up to this, up and down.
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = parse)]
    jitter: Duration,
    /// The share of datagrams that are lost, with --udp.
    #[arg(long, value_name = "RATE", default_value_t = 0.02, value_parser = share)]
    loss: f64,
    /// The share of datagrams that come twice, with --udp.
    #[arg(long, value_name = "RATE", default_value_t = 0.01, value_parser = share)]
    duplicate: f64,
    /// The share of datagrams that change places with the next one, with --udp.
    #[arg(long, value_name = "RATE", default_value_t = 0.01, value_parser = share)]
    reorder: f64,
    /// Turns all of it off.
    #[arg(long, conflicts_with_all = HARMS)]
    calm: bool,
}

impl HarmArgs {
    pub(super) fn plan(&self, seed: u64) -> Plan {
        if self.calm {
            return Plan { seed, ..Plan::default() };
        }
        let some = |time: Duration| (!time.is_zero()).then_some(time);
        Plan {
            seed,
            delay: self.delay,
            jitter: self.jitter,
            cut_every: some(self.cut_every),
            half_open: some(self.half_close),
            stall: some(self.stall).map(|length| Stall { length, every: self.stall_every }),
            corrupt: self.corrupt,
            drop_bytes: self.drop_bytes,
            rate: None,
            loss: self.loss,
            duplicate: self.duplicate,
            reorder: self.reorder,
        }
    }
}

/// What the proxy has done.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(super) struct Harm {
    pub(super) connections: u64,
    pub(super) cuts: u64,
    /// Cuts that only one side was told.
    pub(super) half_open: u64,
    pub(super) stalls: u64,
    /// Bytes that came in, of both directions, as in the next three.
    pub(super) bytes: u64,
    pub(super) flipped_bits: u64,
    pub(super) dropped_bytes: u64,
    /// Bytes that were on their way when their connection ended, or in a datagram that was lost.
    pub(super) discarded_bytes: u64,
}

impl Harm {
    pub(super) async fn of(proxy: Proxy) -> Self {
        let done = proxy.shut_down().await;
        let (links, up, down) = (done.links, done.bytes.up, done.bytes.down);
        Self {
            connections: links.connections,
            cuts: links.cuts,
            half_open: links.half_open,
            stalls: links.stalls,
            bytes: up.read + down.read,
            flipped_bits: up.flipped_bits + down.flipped_bits,
            dropped_bytes: up.dropped + down.dropped,
            discarded_bytes: up.discarded + down.discarded,
        }
    }
}
