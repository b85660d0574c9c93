//! Transparent DTUs, each with a Modbus RTU meter behind it, on real sockets.
//!
//! ```text
//!   Device (a machine without clock) ── Driver ── Network ── TCP ── server
//!      └─ Counters ──> Summary
//! ```

mod device;
mod driver;
mod meter;
mod modbus;
mod profile;
mod serial;
mod summary;
mod uplink;
mod wrapping;

use super::machine;
use super::network::Network;
use crate::address::Servers;
use crate::progress::Line;
use anyhow::{Context, ensure};
use core::time::Duration;
use device::{Device, Habits};
use driver::{Driver, Live};
use profile::Profile;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use std::process::ExitCode;
use std::sync::Arc;
use summary::{Counters, Summary};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// What only transparent DTUs have.
#[derive(Debug, clap::Args)]
pub(super) struct TransparentArgs {
    /// Plays transparent DTUs of this kind, each with a Modbus meter behind it: plain, prefix, ddp or fourfaith.
    #[arg(long, value_name = "NAME", value_parser = Profile::named, conflicts_with_all = ["is_virtual", "rate"],
          help_heading = TRANSPARENT)]
    profile: Option<Profile>,
    /// The share of replies with noise before them, and as many have it behind them: 0 to 1.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, requires = "profile",
          help_heading = TRANSPARENT)]
    noise: f64,
    /// The share of replies that come 3.2 to 8 s late: 0 to 1.
    #[arg(long, value_name = "P", default_value_t = 0.01, value_parser = share, requires = "profile",
          help_heading = TRANSPARENT)]
    late: f64,
}

const TRANSPARENT: &str = "Transparent DTUs";

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("not from 0 to 1".to_owned()) }
}

impl TransparentArgs {
    pub(super) const fn is_meant(&self) -> bool {
        self.profile.is_some()
    }

    /// What the devices do; `None` when it is not about transparent ones.
    fn habits(&self, heartbeat: Duration) -> Option<Habits> {
        let &Self { profile, noise, late } = self;
        profile.map(|profile| Habits { profile, heartbeat, noise, late })
    }
}

pub(super) fn run(args: &super::Args, servers: &Servers, seed: u64) -> anyhow::Result<ExitCode> {
    let habits = args.transparent.habits(args.heartbeat).context("without --profile there is nothing to play")?;
    match args.seconds {
        Some(seconds) => super::check_outage(args.outage, seconds)?,
        None => ensure!(args.outage.is_none(), "--outage begins after a third of --seconds, which are missing"),
    }
    machine::make_room_for(args.devices)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let summary = runtime.block_on(simulate(args, habits, servers, seed))?;
    crate::summary::print(&summary, args.json)?;
    Ok(if summary.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn simulate(args: &super::Args, habits: Habits, servers: &Servers, seed: u64) -> anyhow::Result<Summary> {
    let interrupted = crate::stop::signal()?;
    let network = Arc::new(Network::look_up(servers, args.devices).await?);
    eprintln!("{}", introduction(habits.profile.name, args.devices));
    let live = Arc::<Live>::default();
    let line = Line::start({
        let (live, devices) = (Arc::clone(&live), args.devices);
        move || live.line(devices)
    });
    let (stop, begin) = (CancellationToken::new(), Instant::now());
    let mut seeds = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut devices = JoinSet::new();
    for number in 0..args.devices {
        let driver = Driver {
            device: Device::new(habits, number, seeds.next_u64()),
            number,
            seed: seeds.next_u64(),
            network: Arc::clone(&network),
            live: Arc::clone(&live),
            stop: stop.clone(),
        };
        devices.spawn(driver.run());
    }
    let time = async {
        let Some(seconds) = args.seconds else { return core::future::pending().await };
        if let Some(outage) = args.outage {
            sleep_until(begin + seconds / 3).await;
            network.cut();
            sleep(outage).await;
            network.mend();
        }
        sleep_until(begin + seconds).await;
    };
    tokio::select! {
        () = time => {}
        () = interrupted => {}
    }
    let seconds = begin.elapsed().as_secs_f64();
    stop.cancel();
    let (mut counters, mut up) = (Counters::default(), 0);
    while let Some(ended) = devices.join_next().await {
        let (of_device, is_up) = ended.context("a device is gone")?;
        counters.add(&of_device);
        up += u32::from(is_up);
    }
    line.end().await;
    Ok(Summary { profile: habits.profile.name, seed, seconds, devices: args.devices, up, counters })
}

/// Whom to ask, and where.
fn introduction(profile: &str, devices: u32) -> String {
    let [first_id, last_id] = [0, devices - 1].map(profile::id);
    let addresses = match devices {
        1 => "its meter at address 1".to_owned(),
        ..=meter::ADDRESS_MAX => format!("their meters at addresses 1 to {devices}"),
        _ => format!("their meters at addresses 1 to {}, and from 1 again", meter::ADDRESS_MAX),
    };
    let ids = if devices == 1 { first_id } else { format!("{first_id} to {last_id}") };
    format!("playing {ids} as `{profile}`, {addresses}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_introduction_says_whom_to_ask() {
        let texts = [1, 3, 1_000_000].map(|devices| introduction("fourfaith", devices));
        assert_eq!(texts[0], "playing 13900000000 as `fourfaith`, its meter at address 1");
        assert_eq!(texts[1], "playing 13900000000 to 13900000002 as `fourfaith`, their meters at addresses 1 to 3");
        assert!(texts[2].ends_with("their meters at addresses 1 to 247, and from 1 again"));
    }

    #[test]
    fn a_share_is_from_0_to_1() {
        assert_eq!((share("0"), share("1"), share("0.25")), (Ok(0.0), Ok(1.0), Ok(0.25)));
        for text in ["-0.1", "1.1", "NaN", "x", ""] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
