//! A serial port as a line.

use super::line::{Input, Line, QUEUE, spawn_writer};
use anyhow::{Context, anyhow};
use bytes::BytesMut;
use core::time::Duration;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_serial::{DataBits, Parity, SerialPortBuilderExt, StopBits};
use tokio_util::sync::CancellationToken;

/// The shortest gap taken by default. Modbus asks for 1.75 ms at high rates, but USB adapters hand bytes over in packets
/// up to 16 ms apart, and the scheduler adds to that.
const LEAST_GAP: Duration = Duration::from_millis(20);

/// How a serial port is set.
#[derive(Debug, clap::Args)]
pub(super) struct Settings {
    /// Bits per second.
    #[arg(long, value_name = "N", default_value_t = 9600, requires = "serial")]
    #[arg(value_parser = clap::value_parser!(u32).range(50..=10_000_000))]
    baud: u32,
    /// Bits of a character, 5 to 8.
    #[arg(long, value_name = "N", default_value_t = 8, requires = "serial")]
    #[arg(value_parser = clap::value_parser!(u8).range(5..=8))]
    data_bits: u8,
    /// The check bit of a character.
    #[arg(long, value_enum, default_value_t = Check::None, requires = "serial")]
    parity: Check,
    /// Bits between characters, 1 or 2.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "serial")]
    #[arg(value_parser = clap::value_parser!(u8).range(1..=2))]
    stop_bits: u8,
    /// How long the line is quiet between two frames, in milliseconds; by default the time of 3.5 characters, and at
    /// least 20.
    #[arg(long, value_name = "MS", requires = "serial", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    gap: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    None,
    Even,
    Odd,
}

impl Settings {
    /// The gap asked for, or 3.5 times the time of a character: a start bit, the data, the check bit, the stop bits.
    fn gap(&self) -> Duration {
        if let Some(gap) = self.gap {
            return Duration::from_millis(u64::from(gap));
        }
        let bits = 1 + u32::from(self.data_bits) + u32::from(self.parity != Check::None) + u32::from(self.stop_bits);
        (Duration::from_secs(1) * (bits * 7) / (self.baud * 2)).max(LEAST_GAP)
    }
}

/// Opens the port in raw mode, for this process alone.
///
/// # Errors
///
/// When it is not there, not a serial port, taken, or cannot be set so.
pub(super) fn open(path: &Path, settings: &Settings, max_body: usize) -> anyhow::Result<Line> {
    let name = format!("serial port {}", path.display());
    let utf8 = path.to_str().with_context(|| format!("the name of {name} is not UTF-8"))?;
    let port = tokio_serial::new(utf8, settings.baud)
        .data_bits(match settings.data_bits {
            5 => DataBits::Five,
            6 => DataBits::Six,
            7 => DataBits::Seven,
            _ => DataBits::Eight,
        })
        .parity(match settings.parity {
            Check::None => Parity::None,
            Check::Even => Parity::Even,
            Check::Odd => Parity::Odd,
        })
        .stop_bits(if settings.stop_bits == 2 { StopBits::Two } else { StopBits::One })
        .open_native_async()
        .with_context(|| format!("cannot open {name}"))?;
    let (source, sink) = tokio::io::split(port);
    let (sender, input) = mpsc::channel(QUEUE);
    let stop = CancellationToken::new();
    let reader = Reader { source, name: name.clone(), gap: settings.gap(), max_body, sender };
    tokio::spawn(reader.run(stop.clone()));
    let (output, written) = spawn_writer(sink, name);
    Ok(Line { input, output, written, stop })
}

/// Cuts what comes from a port into frames.
struct Reader<S> {
    source: S,
    name: String,
    gap: Duration,
    max_body: usize,
    sender: mpsc::Sender<Input>,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    async fn run(mut self, stop: CancellationToken) {
        let mut frame = BytesMut::new();
        let mut quiet = Instant::now();
        let error = loop {
            let room = self.max_body - frame.len();
            if room == 0 {
                // A full buffer goes as it is: nothing is dropped, and memory stays bounded.
                self.hand_over(&mut frame).await;
                continue;
            }
            let mut limited = (&mut self.source).take(u64::try_from(room).unwrap_or(u64::MAX));
            tokio::select! {
                biased;
                read = limited.read_buf(&mut frame) => match read {
                    Ok(0) => break Some(anyhow!("{} vanished", self.name)),
                    Ok(_) => quiet = Instant::now() + self.gap,
                    Err(error) => break Some(anyhow!("{} vanished: {error}", self.name)),
                },
                () = sleep_until(quiet), if !frame.is_empty() => self.hand_over(&mut frame).await,
                () = stop.cancelled() => break None,
            }
        };
        self.hand_over(&mut frame).await;
        if let Some(error) = error {
            // Nobody takes it only when the command ends for another reason.
            let _ending = self.sender.send(Input::Failed(error)).await;
        }
    }

    /// Gives the frame to the session. While the session is behind, this waits and nothing is read: the system's own
    /// buffer of the port is what is left then.
    async fn hand_over(&self, frame: &mut BytesMut) {
        if !frame.is_empty() {
            let _ending = self.sender.send(Input::Piece(frame.split().freeze())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(baud: u32, parity: Check, gap: Option<u32>) -> Settings {
        Settings { baud, data_bits: 8, parity, stop_bits: 1, gap }
    }

    #[test]
    fn the_default_gap_is_three_and_a_half_characters_and_never_below_the_least() {
        assert_eq!(settings(300, Check::Even, None).gap(), Duration::from_secs(77) / 600);
        assert_eq!(settings(9600, Check::None, None).gap(), LEAST_GAP);
        assert_eq!(settings(300, Check::Even, Some(5)).gap(), Duration::from_millis(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_line_ends_a_frame_and_a_full_buffer_does() {
        let (mut far, near) = tokio::io::duplex(64);
        let (sender, mut input) = mpsc::channel(QUEUE);
        let gap = Duration::from_millis(20);
        let reader = Reader { source: near, name: "port".into(), gap, max_body: 4, sender };
        tokio::spawn(reader.run(CancellationToken::new()));
        let mut cut = async |pieces: &[(&[u8], u64)]| {
            for (bytes, pause) in pieces {
                tokio::io::AsyncWriteExt::write_all(&mut far, bytes).await.unwrap();
                tokio::time::sleep(Duration::from_millis(*pause)).await;
            }
            match input.recv().await {
                Some(Input::Piece(piece)) => piece,
                _ => panic!("the line goes on"),
            }
        };
        assert_eq!(cut(&[(b"a", 15), (b"b", 15), (b"c", 25)]).await, "abc");
        assert_eq!(cut(&[(b"123456", 1)]).await, "1234");
        assert_eq!(cut(&[(b"", 25)]).await, "56");
        drop(far);
        assert!(matches!(input.recv().await, Some(Input::Failed(_))));
        assert!(input.recv().await.is_none());
    }
}
