//! The fleet on real sockets, from its start to its summary.
//!
//! ```text
//!   device ── Client ── Network (can be cut) ── TCP ── server
//!      └─ events, receipts ──> Books ──> Summary
//! ```

mod books;
mod device;
mod summary;

use super::machine;
use super::network::Network;
use crate::address::Servers;
use crate::progress::Line;
use anyhow::Context;
use books::{Books, Live};
use core::time::Duration;
use device::{Device, Plan};
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::process::ExitCode;
use std::sync::Arc;
use summary::Summary;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What only a fleet on real sockets has.
#[derive(Debug, clap::Args)]
pub(super) struct RealArgs {
    /// How many DATA a device sends a second; 0 for devices that are silent.
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = rate, conflicts_with = "is_virtual")]
    rate: f64,
}

/// The lowest rate that is not 0, one in a day, and the highest.
const RATES: [f64; 2] = [1.0 / 86_400.0, 1000.0];

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    let [lowest, highest] = RATES;
    if rate == 0.0 || (lowest..=highest).contains(&rate) {
        Ok(rate)
    } else {
        Err("neither 0 nor from one a day to 1000".to_owned())
    }
}

pub(super) fn run(args: &super::Args, servers: &Servers, seconds: Duration, seed: u64) -> anyhow::Result<ExitCode> {
    super::check_outage(args.outage, seconds)?;
    machine::make_room_for(args.devices)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let summary = runtime.block_on(simulate(args, servers, seconds, seed))?;
    crate::summary::print(&summary, args.json)?;
    Ok(if summary.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn simulate(args: &super::Args, servers: &Servers, seconds: Duration, seed: u64) -> anyhow::Result<Summary> {
    let interrupted = crate::stop::signal()?;
    let network = Arc::new(Network::look_up(servers, args.devices).await?);
    let (live, books) = (Arc::<Live>::default(), Arc::<Books>::default());
    let line = Line::start({
        let (live, devices) = (Arc::clone(&live), args.devices);
        move || live.line(devices)
    });
    let stop = CancellationToken::new();
    let begin = Instant::now();
    let plan = Arc::new(Plan {
        rate: args.real.rate,
        begin,
        network: Arc::clone(&network),
        books: Arc::clone(&books),
        live: Arc::clone(&live),
        stop: stop.clone(),
    });
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut devices = JoinSet::new();
    for number in 0..args.devices {
        let device = Device::start(&plan, number, random.next_u64())?;
        devices.spawn(device.run());
    }
    let weather = async {
        let Some(outage) = args.outage else { return };
        sleep_until(begin + seconds / 3).await;
        network.cut();
        sleep(outage).await;
        network.mend();
    };
    let time = async {
        tokio::join!(weather, sleep_until(begin + seconds));
    };
    tokio::select! {
        () = time => {}
        // Who interrupts it gets the summary of the time until then.
        () = interrupted => {}
    }
    let ran = begin.elapsed();
    stop.cancel();
    let mut summary = Summary::new(seed, args.devices, args.real.rate, ran, args.outage);
    while let Some(ended) = devices.join_next().await {
        summary.add(&ended.context("a device is gone")?);
    }
    line.end().await;
    summary.conclude(&books, machine::peak_memory());
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_0_or_within_its_bounds() {
        for (text, expected) in [("0", 0.0), ("0.1", 0.1), ("1000", 1000.0), ("0.00002", 0.00002)] {
            assert_eq!(rate(text), Ok(expected));
        }
        for text in ["-1", "1001", "NaN", "inf", "0.00001", "x", ""] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
