//! Sinks: where what devices send is kept for good. A device's DATA is acknowledged when every sink has it.

mod batch;
mod books;
pub(crate) mod file;
mod keeper;
mod mqtt;
mod nats;
mod queue;
mod stdout;
mod steady;
mod worker;

pub(crate) use batch::{Batch, Key, Record};
pub(crate) use books::{Books, SinkBook};
pub(crate) use file::{FileSettings, FileSink};
pub(crate) use keeper::start;
pub(crate) use mqtt::{Mqtt, MqttSettings};
pub(crate) use nats::{NatsSink, NatsSinkSettings};
pub(crate) use queue::{HAND_OVER, Item, QUEUE_RECORDS, Queue, QueueGauge};
pub(crate) use stdout::StdoutSink;

use core::fmt;
use core::pin::Pin;

/// Says what became of a sink, for people.
fn say(text: impl fmt::Display) {
    crate::log::fail(text);
}

/// What a sink's work comes to.
pub(crate) type Storing<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// Something that keeps records for good.
pub(crate) trait Sink: Send {
    /// Which one it is, for messages and metrics: `file`, `nats`, `mqtt`, `stdout`.
    fn name(&self) -> &'static str;

    /// Keeps a batch. It is ready when all of it is kept for good: on the disk, acknowledged by the broker. After an error the same
    /// batch comes again, whole; what was kept of it already may be kept once more where the sink cannot tell, and is dropped where
    /// it can.
    ///
    /// # Errors
    ///
    /// [`SinkError`]. Nothing of the batch is acknowledged by it.
    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a>;

    /// How many records of a batch it keeps; the others it leaves out.
    fn keeps(&self, batch: &Batch) -> usize {
        batch.len()
    }
}

/// A batch was not kept.
#[derive(Debug)]
pub(crate) enum SinkError {
    /// It may go another time: the broker is away, the disk is full.
    Unavailable(String),
    /// It will not go any more: whoever read stdout is gone. The gateway ends.
    Gone(String),
}

impl fmt::Display for SinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unavailable(text) | Self::Gone(text) => f.write_str(text),
        }
    }
}

impl core::error::Error for SinkError {}
