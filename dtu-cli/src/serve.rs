//! `dtu serve`: accepts devices and has what they send kept, by default as one JSON line an event on stdout.
//!
//! Its flags, or its file, come to [`Settings`](crate::settings::Settings); what they say is run by [`gateway`].

pub(crate) mod busy;
pub(crate) mod control;
mod data_line;
mod flags;
mod line;
pub(crate) mod tasks;
mod unit_line;
pub(crate) mod units;

pub(crate) use line::Renderer;
pub(crate) use unit_line::UnitItem;

use crate::gateway::{self, Source};
use crate::log;
use anyhow::Context;
use flags::Flags;
use std::path::PathBuf;
use std::process::ExitCode;

/// Accepts devices and prints what they send, one JSON line an event.
///
/// Every line has `event` and `time` (RFC 3339, UTC: when it was taken here), and all but `missed` have `device`, where it is
/// known. The lines of one session are in order, but `data`, `skip` and `closed` come by another way than the rest, and may
/// stand a little before or behind it.
///
/// DATA is acknowledged after its line is written; when it cannot be written, nothing is, and the server ends. A device
/// that comes again goes on in its session. (`device`, `stream`, `seq`) is the same for every repeat, and repeats come only
/// where the session was forgotten: after a restart of this server, or after --retention. What goes down are requests:
/// by --control, by --http, and from other gateways of a cluster.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("where").args(["config", "listen", "udp", "transparent"]).required(true).multiple(true),
    after_help = "\
Events:
  connected     epoch (the number of the connection), resumed.receiving,
                resumed.sending: whether the streams go on
  data          stream, seq, channel, body in hex
  skip          stream, from, next: the device has dropped these numbers, or let
                them expire
  skipped       epoch, bytes, cause, text: bytes or frames that carried nothing
  disconnected  epoch, cause, text, reason: the session waits for its device
  closed        the same, and connections, data, missing, repeated: the session
                is over
  refused       peer, device, cause, text: a connection that was not let in. For
                want of room there may be no line, but on stderr how many there
                were, each 10 s and at the end
  missed        events: so many other than data, skip and closed have no line,
                as what keeps them was behind

Events of transparent DTUs (--transparent; disconnected, closed, refused and
skipped as above):
  identified    epoch, registration in hex: who has come, or come again
  frame         epoch, kind, bytes in hex: a frame that no request waited for
                (idle, mismatched, late)
  heartbeat     epoch
  control       epoch, kind: an envelope of another kind
  lost          epoch, what (frame, request, answer), bytes: there was no room
                for it

Causes:
  skipped       magic, length_guard, over_limit, checksum, abandoned: bytes that
                are no frame; message, unknown_kind, repeated, no_room: whole
                frames that give no event; of transparent DTUs the causes of
                `dtu decode`
  disconnected  disconnected, transport, silent, replaced, peer_closed; or the
                rule the peer broke: gap, over_limit, beyond_window, ping_flood,
                registered_twice, unexpected_message, ack_ahead, other_device
  closed        peer_closed (with DONE), closed, away
  refused       not_identified, too_much_before_register, unknown_device,
                wrong_proof, taken, turned_away, transport, disconnected;
                said_nothing: it left without a byte, as devices do that look
                whether they can come back, and load balancers; or the rule:
                first_message, first_message_malformed, version, no_stream

Examples:
  dtu serve --listen 127.0.0.1:55125
  dtu serve --listen '[::]:55125' --udp '[::]:55125' --keys keys
  dtu serve --listen '[::]:55125' --keys keys --max-payload 1024 --heartbeat 60
  dtu serve --listen '[::]:55125' --keys keys \\
      --tls-cert server.pem --tls-key server.key
  dtu serve --listen '[::]:55125' --keys keys --drain 60
  dtu serve --listen '[::]:55125' --keys keys --capture captured
  dtu serve --listen '[::]:55125' --keys keys --file /var/lib/dtu/data.jsonl
  dtu serve --transparent '[::]:55127' --profile plain \\
      --control 127.0.0.1:55128
  dtu serve --listen '[::]:55125' --http 127.0.0.1:55180
  dtu serve --config gateway.toml
  dtu serve --listen 127.0.0.1:0 | jq -r 'select(.event == \"data\") | .body'

A key for a device:
  (openssl rand -hex 32 | tr '\\n' ' '; echo meter-7) >> keys; chmod o= keys"
)]
pub(crate) struct Args {
    /// The file with everything: see `dtu config`. SIGHUP has it read again.
    #[arg(long, value_name = "FILE", exclusive = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let source = match &args.config {
        Some(file) => Source::File(file.clone()),
        None => Source::Flags(Box::new(args.flags.settings())),
    };
    let read = match source.read() {
        Ok(read) => read,
        Err(mistakes) => {
            source.tell(&mistakes);
            return Ok(ExitCode::FAILURE);
        }
    };
    let log = log::start(&read.settings.log)?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let outcome = runtime.block_on(gateway::run(read, source, log));
    // A sink that is stuck in a write would be waited for; its lines are not acknowledged, so they may be cut.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}
