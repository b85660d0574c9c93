//! A sink that is a stream of NATS JetStream.
//!
//! ```text
//!   record ──> <prefix>.<device>.<event>, Nats-Msg-Id ──> stream ──> acknowledgement
//! ```
//!
//! A batch is kept when each of its records is acknowledged by the stream. A repeat has the same ids, and the server drops those that
//! it knows, as long as its duplicate window reaches.

mod ids;
mod settings;
mod stream;

#[cfg(test)]
mod tests;

pub(crate) use settings::NatsSinkSettings;

use super::{Batch, Record, Sink, SinkError, Storing};
use crate::nats::{Connection, NatsSettings, token};
use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use async_nats::jetstream::Context;
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use ids::Ids;
use metrics::counter;
use std::collections::VecDeque;

/// What stands around a line in its message at most: the headers, with an id of a device of 64 bytes, all of them escaped.
const AROUND: usize = 1024;

pub(crate) struct NatsSink {
    settings: NatsSinkSettings,
    nats: NatsSettings,
    gateway: String,
    connection: Connection,
    /// The longest line there can be, in bytes.
    longest_line: usize,
    /// There when the stream is checked, on the connection of this number.
    ready: Option<(u64, Context)>,
    ids: Ids,
}

/// Why a batch is not kept.
enum Trouble {
    /// It may go another time.
    Told(String),
    /// The server is connected, and does not answer.
    Silent(String),
}

impl NatsSink {
    /// Begins to connect. The stream is looked at with the first batch. No line will be longer than `longest_line` bytes.
    ///
    /// # Errors
    /// What is wrong with the settings.
    pub(crate) async fn new(
        settings: &NatsSinkSettings,
        nats: &NatsSettings,
        gateway: &str,
        longest_line: usize,
    ) -> anyhow::Result<Self> {
        settings.check()?;
        Ok(Self {
            settings: settings.clone(),
            nats: nats.clone(),
            gateway: gateway.to_owned(),
            connection: Connection::open(nats, gateway, "sink").await?,
            longest_line,
            ready: None,
            ids: Ids::new()?,
        })
    }

    /// The context of a stream that is as it has to be.
    async fn prepared(&mut self) -> Result<Context, Trouble> {
        self.connection.up(self.settings.timeout.0).await.map_err(Trouble::Told)?;
        let epoch = self.connection.epoch();
        if let Some((checked, context)) = &self.ready
            && *checked == epoch
        {
            return Ok(context.clone());
        }
        let longest = self.longest_line.saturating_add(AROUND);
        let max_payload = self.connection.client().max_payload();
        if max_payload < longest {
            return Err(Trouble::Told(format!(
                "the server takes messages up to {max_payload} bytes, and a line may have {longest} with what stands around it: \
                 raise `max_payload` of the server, or lower `limits.max_payload` of the gateway"
            )));
        }
        let context = ContextBuilder::new()
            .timeout(self.settings.timeout.0)
            .ack_timeout(self.settings.timeout.0)
            .max_ack_inflight(self.settings.max_in_flight())
            .build(self.connection.client().clone());
        stream::prepare(&context, &self.settings, longest).await.map_err(Trouble::Told)?;
        self.ready = Some((epoch, context.clone()));
        Ok(context)
    }

    fn takes(&self, record: &Record) -> bool {
        self.settings.events || record.is_always_kept()
    }

    async fn keep(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let context = self.prepared().await?;
        // One copy of all lines, which the messages share.
        let lines = Bytes::copy_from_slice(batch.lines());
        let mut start = 0;
        let mut waiting = VecDeque::with_capacity(self.settings.max_in_flight());
        for (index, (record, line)) in batch.records().enumerate() {
            let end = start + line.len();
            let body = lines.slice(start..end);
            // Behind each line is its line feed.
            start = end + 1;
            if !self.takes(record) {
                continue;
            }
            if waiting.len() == self.settings.max_in_flight()
                && let Some(oldest) = waiting.pop_front()
            {
                self.settle(oldest).await?;
            }
            waiting.push_back(self.publish(&context, index, record, body).await?);
        }
        for ack in waiting {
            self.settle(ack).await?;
        }
        Ok(())
    }

    async fn publish(
        &self,
        context: &Context,
        index: usize,
        record: &Record,
        body: Bytes,
    ) -> Result<PublishAckFuture, Trouble> {
        let device = record.device.as_deref().unwrap_or_default();
        let subject = format!("{}.{}.{}", self.settings.prefix, token(device), record.event);
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, self.ids.of(index, record, &body));
        headers.insert(NATS_EXPECTED_STREAM, self.settings.stream.as_str());
        let length = body.len();
        let message = PublishMessage::build().payload(body).headers(headers);
        context.send_publish(subject, message).await.map_err(|error| {
            let why = format!("a line of {length} bytes of {device:?} is not published: {error}");
            if error.kind() == PublishErrorKind::TimedOut { Trouble::Silent(why) } else { Trouble::Told(why) }
        })
    }

    /// Waits for an acknowledgement, and checks that it is one.
    async fn settle(&self, ack: PublishAckFuture) -> Result<(), Trouble> {
        let stream = &self.settings.stream;
        let ack = ack.await.map_err(|error| match error.kind() {
            PublishErrorKind::TimedOut => {
                Trouble::Silent(format!("the stream {stream} does not acknowledge within {}", self.settings.timeout))
            }
            PublishErrorKind::StreamNotFound => Trouble::Told(format!("the stream {stream} is gone")),
            PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::WrongLastSequence
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending
            | PublishErrorKind::MaxPayloadExceeded
            | PublishErrorKind::Other => Trouble::Told(format!("the stream {stream} refuses: {error}")),
        })?;
        if ack.stream != *stream {
            return Err(Trouble::Told(format!("the stream {} acknowledges instead of {stream}", ack.stream)));
        }
        if ack.duplicate {
            counter!("dtu_nats_duplicates_total").increment(1);
        }
        Ok(())
    }

    /// What is to be done anew the next time.
    async fn handle(&mut self, trouble: Trouble) -> SinkError {
        // What is still under way belongs to this context; the next one has its places free.
        self.ready = None;
        let why = match trouble {
            Trouble::Told(why) => why,
            Trouble::Silent(why) => {
                // The client waits for those answers as long as it lives.
                if self.connection.is_up()
                    && let Ok(connection) = Connection::open(&self.nats, &self.gateway, "sink").await
                {
                    self.connection = connection;
                }
                why
            }
        };
        SinkError::Unavailable(why)
    }
}

impl Sink for NatsSink {
    fn name(&self) -> &'static str {
        "nats"
    }

    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a> {
        Box::pin(async move {
            match self.keep(batch).await {
                Ok(()) => {
                    self.ids.advance();
                    Ok(())
                }
                Err(trouble) => Err(self.handle(trouble).await),
            }
        })
    }

    fn keeps(&self, batch: &Batch) -> usize {
        batch.records().filter(|(record, _)| self.takes(record)).count()
    }
}
