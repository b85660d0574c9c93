//! MQTT 5: each record is published with QoS 1, and kept when its PUBACK is in.
//!
//! ```text
//!   store(batch) ── publish ──> client ── task: event loop ──> broker
//!        ^                                      │
//!        └───── Sent(id), Acked(id, reason) ────┘
//! ```
//!
//! The session at the broker is a clean one each time: for who only publishes, a broker keeps nothing with QoS 1 that would help, and a
//! client that repeats by itself would do what the keeper does. What is repeated is decided here: of a batch that failed, what has
//! its PUBACK is remembered, and when the batch comes again only the rest is published. So a repeat at the broker is a record that was
//! under way when the connection broke, at most `in_flight` of them each time.

mod line;
mod settings;
mod tls;
mod topic;

pub(crate) use settings::MqttSettings;

use super::{Batch, Record, Sink, SinkError, Storing};
use bytes::Bytes;
use core::hash::BuildHasher;
use line::{Line, LineEvent};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{PubAckReason, Publish};
use settings::Checked;
use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use tokio::time::timeout;

/// Publishes records to an MQTT broker.
pub(crate) struct Mqtt {
    settings: Checked,
    /// The connection, when the last batch left it whole.
    line: Option<Line>,
    book: Book,
    /// It has been told that nobody has subscribed to what is published.
    told_unmatched: bool,
}

impl Mqtt {
    /// A sink that connects when the first batch comes. `gateway` is the gateway's id, for the default of `client_id`.
    ///
    /// # Errors
    ///
    /// The field of the settings that cannot be, or a file that cannot be read.
    pub(crate) fn new(settings: &MqttSettings, gateway: &str) -> anyhow::Result<Self> {
        let settings = settings.check(gateway)?;
        Ok(Self { settings, line: None, book: Book::default(), told_unmatched: false })
    }

    fn takes(&self, record: &Record) -> bool {
        self.settings.events || record.is_always_kept()
    }

    /// Publishes what the book of this batch does not have yet.
    async fn publish(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let records: Vec<(&Record, &[u8])> = batch.records().collect();
        let mut stored = self.book.open(batch);
        let wanted = |&index: &usize| records.get(index).is_some_and(|(record, _)| self.takes(record));
        let mut waiting: VecDeque<usize> = (0..records.len()).filter(wanted).collect();
        waiting.retain(|&index| !stored[index]);
        if waiting.is_empty() {
            return Ok(());
        }
        let mut outcome = Err(String::new());
        // The broker may have left the connection since the last batch: then it is made once more.
        for fresh in [false, true] {
            let line = match self.line.take() {
                Some(line) if !fresh && !line.is_over() => Ok(line),
                _ => Line::dial(&self.settings).await,
            };
            let mut line = match line {
                Ok(line) => line,
                Err(text) => {
                    outcome = Err(text);
                    break;
                }
            };
            let reused = line.has_served();
            outcome = self.publish_on(&mut line, &records, waiting.clone(), &mut stored).await;
            if outcome.is_ok() {
                self.line = Some(line);
                break;
            }
            waiting.retain(|&index| !stored[index]);
            // It is over when the broker has left it, and not when it has refused a record or is silent.
            if !reused || !line.is_over() {
                break;
            }
        }
        outcome.map_err(|text| {
            self.book.keep(batch, stored);
            SinkError::Unavailable(format!("MQTT broker {}: {text}", self.settings.broker))
        })
    }

    /// Publishes `waiting` on one connection, and marks what has its PUBACK as stored.
    async fn publish_on(
        &mut self,
        line: &mut Line,
        records: &[(&Record, &[u8])],
        mut waiting: VecDeque<usize>,
        stored: &mut [bool],
    ) -> Result<(), String> {
        let mut left = waiting.len();
        let mut publishes = VecDeque::with_capacity(left);
        for &index in &waiting {
            publishes.push_back(self.packet(line, records, index)?);
        }
        // Given to the client and not numbered so far; then by their numbers.
        let (mut given, mut under_way) = (VecDeque::new(), HashMap::new());
        let mut refused: Option<String> = None;
        while left > 0 {
            while refused.is_none() && given.len() + under_way.len() < usize::from(self.settings.in_flight) {
                let Some((index, publish)) = waiting.pop_front().zip(publishes.pop_front()) else { break };
                line.publish(publish)?;
                given.push_back(index);
            }
            if let Some(refused) = &refused
                && given.is_empty()
                && under_way.is_empty()
            {
                return Err(refused.clone());
            }
            let silent = || {
                let count = given.len() + under_way.len();
                format!("no PUBACK within {}, {count} are awaited", self.settings.timeout)
            };
            match timeout(self.settings.timeout.0, line.next()).await.map_err(|_| silent())? {
                LineEvent::Sent(id) => {
                    let index = given.pop_front().expect("the client numbers what it was given, in that order");
                    under_way.insert(id, index);
                }
                LineEvent::Acked(id, reason) => {
                    let Some(index) = under_way.remove(&id) else {
                        return Err(format!("it acknowledged number {id}, which was not under way"));
                    };
                    match self.judge(reason) {
                        Ok(()) => {
                            stored[index] = true;
                            left -= 1;
                        }
                        // What is under way besides may be taken all the same.
                        Err(reason) => {
                            let topic = records.get(index).map(|(record, _)| self.topic(record)).unwrap_or_default();
                            refused.get_or_insert(format!("it refused a record on {topic}: {reason}"));
                        }
                    }
                }
                LineEvent::Over(text) => return Err(text),
            }
        }
        Ok(())
    }

    /// The packet of a record, if the broker takes one of that size.
    fn packet(&self, line: &Line, records: &[(&Record, &[u8])], index: usize) -> Result<Publish, String> {
        let (record, body) = records.get(index).expect("it is one of the records");
        let mut publish = Publish::new(self.topic(record), QoS::AtLeastOnce, Bytes::copy_from_slice(body), None);
        publish.retain = self.settings.retain;
        // Two bytes for the number that it will have.
        let size = publish.size() + 2;
        match line.max_packet() {
            // Before anything of the batch leaves: it would be repeated for ever.
            Some(most) if size > most => Err(format!(
                "it takes packets of at most {most} bytes, and a record of {} has {size}; raise the broker's bound, or lower max_payload",
                publish_device(record)
            )),
            Some(_) | None => Ok(publish),
        }
    }

    fn topic(&self, record: &Record) -> String {
        topic::of(&self.settings.prefix, record.device.as_deref(), record.event)
    }

    /// Whether the broker has taken a record; its reason, when it has not.
    fn judge(&mut self, reason: PubAckReason) -> Result<(), String> {
        match reason {
            PubAckReason::Success => Ok(()),
            PubAckReason::NoMatchingSubscribers => {
                metrics::counter!("dtu_sink_unmatched_records_total", "sink" => "mqtt").increment(1);
                if !self.told_unmatched {
                    self.told_unmatched = true;
                    let (broker, prefix) = (&self.settings.broker, &self.settings.prefix);
                    tracing::warn!(%broker, %prefix, "nobody has subscribed at the MQTT broker: it takes the records and drops them");
                }
                Ok(())
            }
            PubAckReason::UnspecifiedError
            | PubAckReason::ImplementationSpecificError
            | PubAckReason::NotAuthorized
            | PubAckReason::TopicNameInvalid
            | PubAckReason::PacketIdentifierInUse
            | PubAckReason::QuotaExceeded
            | PubAckReason::PayloadFormatInvalid => Err(format!("{reason:?}")),
        }
    }
}

fn publish_device(record: &Record) -> &str {
    record.device.as_deref().unwrap_or("nobody")
}

impl Sink for Mqtt {
    fn name(&self) -> &'static str {
        "mqtt"
    }

    fn store<'a>(&'a mut self, batch: &'a Batch) -> Storing<'a> {
        Box::pin(self.publish(batch))
    }

    fn keeps(&self, batch: &Batch) -> usize {
        batch.records().filter(|(record, _)| self.takes(record)).count()
    }
}

/// What of a batch that failed has its PUBACK.
#[derive(Default)]
struct Book {
    hashes: RandomState,
    failed: Option<Failed>,
}

struct Failed {
    /// Which batch it is.
    fingerprint: u64,
    stored: Vec<bool>,
}

impl Book {
    /// For each record of a batch, whether it is stored. The book is empty then.
    fn open(&mut self, batch: &Batch) -> Vec<bool> {
        let failed = self.failed.take().filter(|failed| failed.fingerprint == self.fingerprint(batch));
        let known = failed.map(|failed| failed.stored).filter(|stored| stored.len() == batch.len());
        known.unwrap_or_else(|| vec![false; batch.len()])
    }

    fn keep(&mut self, batch: &Batch, stored: Vec<bool>) {
        self.failed = Some(Failed { fingerprint: self.fingerprint(batch), stored });
    }

    fn fingerprint(&self, batch: &Batch) -> u64 {
        self.hashes.hash_one(batch.lines())
    }
}

#[cfg(test)]
mod tests;
