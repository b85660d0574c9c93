//! A fleet that comes at once. Who is told to come later does, at the time of a real device.

use crate::load::{Busy, Registered};
use core::net::SocketAddr;
use core::time::Duration;
use dtu_net::backoff::{Backoff, Delays};
use rand_pcg::Pcg32;
use rand_pcg::rand_core::SeedableRng;
use std::io;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// How long a fleet may take; a server that has stopped to answer must not stop the benchmark.
const PATIENCE: Duration = Duration::from_secs(120);

/// Devices that are all in.
#[derive(Debug)]
pub struct Arrived {
    /// The devices.
    pub devices: Vec<Registered>,
    /// How often they were told, or made, to come again.
    pub again: u64,
}

/// Lets `devices` devices come at once, and returns when the last is in.
///
/// # Errors
///
/// When a server answers what it must not, or two minutes have passed.
pub async fn at_once(server: SocketAddr, devices: usize) -> io::Result<Arrived> {
    let mut coming: JoinSet<_> = (0..devices).map(|number| come(server, number)).collect();
    let mut arrived = Arrived { devices: Vec::with_capacity(devices), again: 0 };
    let all = async {
        while let Some(device) = coming.join_next().await {
            let (device, again) = device??;
            arrived.devices.push(device);
            arrived.again += again;
        }
        io::Result::Ok(())
    };
    timeout(PATIENCE, all).await??;
    Ok(arrived)
}

/// Registers the device `number`; also returns how often it had to come again.
async fn come(server: SocketAddr, number: usize) -> io::Result<(Registered, u64)> {
    let (mut delays, mut random) = (Delays::new(Backoff::RECONNECT), Pcg32::seed_from_u64(number as u64));
    let mut again = 0;
    loop {
        let error = match Registered::connect(server, number).await {
            Ok(device) => return Ok((device, again)),
            Err(error) => error,
        };
        let busy = Busy::of(&error);
        // A server that has no time to read what a device says resets the connection, and its answer may go with it.
        let unheard = matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
        );
        let hint = match busy {
            Some(busy) => busy.retry_after,
            None if unheard => Duration::ZERO,
            None => return Err(error),
        };
        again += 1;
        let delay = delays.next_at_least(Instant::now().into_std(), hint, &mut random);
        sleep(delay.expect("this plan does not give up")).await;
    }
}

#[cfg(test)]
mod tests {
    use super::at_once;
    use crate::servers::Server;

    #[tokio::test]
    async fn everyone_gets_in() {
        for server in [Server::PlainDeep, Server::DtuNet] {
            let arrived = at_once(server.start().await.unwrap(), 300).await.unwrap();
            assert_eq!(arrived.devices.len(), 300, "{server}");
            assert!(arrived.devices.iter().all(super::Registered::is_idle), "{server}");
        }
    }
}
