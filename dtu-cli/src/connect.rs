//! `dtu connect`: the device side, between a serial port or stdin and a server.

mod carrier;
mod line;
mod outbox;
mod serial;
mod server;
mod tell;

use anyhow::{Context, anyhow};
use carrier::{Carrier, Plan};
use core::time::Duration;
use dtu_net::adaptive::AdaptiveHeartbeat;
use dtu_net::driver::{Client, ClientConfig};
use dtu_net::{DeviceConfig, Ledger};
use dtu_proto::message::{CloseCode, DeviceId, MessageError};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

/// Plays the device side: carries a serial port or stdin to a server.
///
/// What is read goes out as DATA; what comes down is written to the port, or to stdout, and then acknowledged. A serial line
/// has no ends of frames, only pauses: a frame is cut where the line was quiet for the gap, or where it reaches the longest
/// payload.
///
/// It connects again by itself, with growing delays, and goes on where the server remembers it. Meanwhile what is read waits
/// in the outbox. With several servers it goes to the next one when one fails, and back when a better one has been there for
/// a while (--failback); what the one before did not acknowledge is sent to the other, and may come twice. With --outbox FILE
/// the outbox survives the end of this process, whatever ends it: what is in the file reaches the server at least once.
///
/// At the end of stdin, and on SIGINT or SIGTERM, what was read is sent. The command ends with success when all of it was
/// acknowledged within --drain seconds; otherwise with 1 and how much was not. A port that vanishes ends it with an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On stderr: changes of the link as they come, and at the end what became of what was sent:
  acked      the server has taken responsibility for it
  expired    older than --expire
  refused    no room in the outbox, by --when-full
  abandoned  not acknowledged at the end; with --outbox FILE it is kept for the next run

Examples:
  dtu connect gateway.example:55125 --id meter-7 --serial /dev/ttyUSB0 --baud 9600
  dtu connect a.example:55125,b.example:55125 --id meter-7 --failback 600 < readings
  dtu connect gateway.example:55125 --id meter-7 --key-file key --serial /dev/ttyS1 --outbox m7
  dtu connect gateway.example:55125 --id meter-7 --tls --tls-ca ca.pem --expire 3600 < readings
  printf '\\001\\003\\000\\000\\000\\002\\304\\013' | dtu connect 127.0.0.1:55125 --id test --once")]
pub(crate) struct Args {
    /// The server, or several with commas between them: the first is used while it is there, the others when it is not,
    /// in this order. A name is looked up again for each try.
    #[arg(value_name = "HOST:PORT[,HOST:PORT]...", value_parser = server::addrs)]
    addrs: server::Addrs,
    /// Who this device is, 1 to 64 bytes.
    #[arg(long, value_name = "ID", value_parser = device_id)]
    id: String,
    /// What the server may ask for besides; at most 255 bytes. It is no proof: it goes over the line as it is.
    #[arg(long, value_name = "TEXT", default_value = "")]
    token: String,
    /// The serial port; without it stdin is carried, in the pieces in which it comes.
    #[arg(long, value_name = "PATH")]
    serial: Option<PathBuf>,
    #[command(flatten)]
    settings: serial::Settings,
    /// The channel number that the DATA carry.
    #[arg(long, value_name = "N", default_value_t = 0)]
    channel: u8,
    /// The longest payload sent, in bytes; it should not be over the server's.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u16).range(512..))]
    max_payload: u16,
    /// How long to wait at the end for the acknowledgements that are still missing, in seconds.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=3600))]
    drain: u32,
    /// Finds the longest silence that the network allows, and asks the server for a sign of life no more often than that;
    /// from 30 s up to the heartbeat that the server announces, 30 minutes at most. With --udp it stays at 30 s.
    #[arg(long)]
    adaptive_heartbeat: bool,
    /// Makes the first failure of the link final, for scripts. Of several servers each has a try first.
    #[arg(long)]
    once: bool,
    /// On another server than the first: goes back to a better one that has answered for so many seconds, and then at random
    /// within as many more, so that a fleet does not move at once; or "never" while the connection holds. Not over --udp.
    #[arg(long, value_name = "SECONDS", default_value = "300", value_parser = server::when_back, conflicts_with = "udp")]
    failback: server::WhenBack,
    #[command(flatten)]
    outbox: outbox::OutboxArgs,
    #[command(flatten)]
    server: server::ServerArgs,
}

fn device_id(text: &str) -> Result<String, MessageError> {
    DeviceId::new(text).map(|id| id.as_str().to_owned())
}

impl Args {
    fn config(&self) -> anyhow::Result<ClientConfig> {
        let device = DeviceConfig::new(&self.id).context("cannot use --id")?;
        let mut device = device.token(self.token.as_bytes()).context("cannot use --token")?;
        device.key = self.server.key()?;
        device.limits.max_payload = self.max_payload;
        device.limits.outbox = self.outbox.limits();
        device.limits.max_datagram = self.server.max_datagram();
        device.adaptive = self.adaptive_heartbeat.then(AdaptiveHeartbeat::default);
        let mut config = ClientConfig::new(device);
        config.outbox = self.outbox.open()?;
        config.failover.fail_back = self.failback.0;
        Ok(config)
    }

    fn plan(&self) -> Plan {
        Plan {
            addrs: self.addrs.clone(),
            channel: self.channel,
            expire: self.outbox.expire(),
            drain: Duration::from_secs(u64::from(self.drain)),
            once: self.once,
            // A stream that is kept goes on in the next run, so the server shall not forget it.
            code: if self.outbox.outbox.is_some() { CloseCode::GOING_DOWN } else { CloseCode::DONE },
        }
    }

    /// What is told when not everything was acknowledged.
    fn shortfall(&self, ledger: &Ledger, not_taken: u64) -> Option<String> {
        let taken = ledger.taken + not_taken;
        let mut text =
            (ledger.acked < taken).then(|| format!("{} of {taken} DATA not acknowledged", taken - ledger.acked))?;
        if let Some(path) = self.outbox.outbox.as_deref().filter(|_| ledger.abandoned > 0) {
            text += &format!("; {} are kept in {} for the next run", ledger.abandoned, path.display());
        }
        if not_taken > 0 {
            text += &format!("; {not_taken} were read and never came into the outbox");
        }
        Some(text)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(connect(args));
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn connect(args: &Args) -> anyhow::Result<()> {
    let mut stop = crate::stop::signal()?;
    let (endpoints, config) = (args.server.endpoints(&args.addrs)?, args.config()?);
    let max_body = config.device.limits.max_body();
    // The port is opened first: without it there is nothing to register for.
    let line = match &args.serial {
        Some(path) => serial::open(path, &args.settings, max_body)?,
        None => line::stdio(max_body),
    };
    let client = Client::start(endpoints, config, CancellationToken::new()).context("cannot start the link")?;
    let session = client.session().clone();
    let carried = Carrier::new(&client, line, args.plan()).run(&mut stop).await;
    client.shut_down(Duration::ZERO).await;
    let counters = session.counters();
    tell::counters(&counters);
    if counters.ledger.unkept > 0 {
        eprintln!(
            "dtu: {} outcomes could not be written to the outbox; they may be sent again",
            counters.ledger.unkept
        );
    }
    match (carried.outcome, args.shortfall(&counters.ledger, carried.not_taken)) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some(shortfall)) => Err(anyhow!(shortfall)),
        (Err(error), None) => Err(error),
        (Err(error), Some(shortfall)) => Err(anyhow!("{error:#}; {shortfall}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args as _, FromArgMatches};

    fn parse(args: &[&str]) -> Args {
        let command = Args::augment_args(clap::Command::new("connect"));
        let matches = command.get_matches_from(["connect", "server:1", "--id", "m"].iter().chain(args));
        Args::from_arg_matches(&matches).expect("they are complete")
    }

    #[test]
    fn a_device_searches_for_its_heartbeat_only_when_it_is_told_to() {
        let adaptive = |args| parse(args).config().expect("there is nothing to open").device.adaptive;
        assert_eq!(adaptive(&[]), None);
        assert_eq!(adaptive(&["--adaptive-heartbeat"]), Some(AdaptiveHeartbeat::default()));
    }
}
