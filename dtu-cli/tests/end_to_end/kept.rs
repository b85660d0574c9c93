//! What the stream has.

use async_nats::jetstream::{self, consumer::pull};
use futures_util::StreamExt;
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// The DATA of a stream, judged.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) devices: u64,
    /// How many different ones.
    pub(crate) data: u64,
    /// Device, stream and number of what is there more than once; the first of them.
    pub(crate) twice: Vec<String>,
    /// Of what is not there although later ones of the same stream are; the first of them.
    pub(crate) missing: Vec<String>,
}

/// How many of what should not be are told.
const TOLD: usize = 10;

impl Kept {
    /// Reads all of it.
    pub(crate) fn read(addr: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(read(addr))
    }
}

async fn read(addr: &str) -> Kept {
    let context = jetstream::new(async_nats::connect(addr).await.unwrap());
    let stream = context.get_stream("DTU").await.unwrap();
    let total = stream.cached_info().state.messages;
    let consumer = stream.create_consumer(pull::OrderedConfig::default()).await.unwrap();
    let mut messages = consumer.messages().await.unwrap();
    let (mut kept, mut numbers) = (Kept::default(), BTreeMap::<(String, String), HashSet<u64>>::new());
    for _ in 0..total {
        let message = messages.next().await.unwrap().unwrap();
        let line: Value = serde_json::from_slice(&message.payload).unwrap();
        if line["event"] != "data" {
            continue;
        }
        let [device, id] = ["device", "stream"].map(|name| line[name].as_str().unwrap().to_owned());
        let seq = line["seq"].as_u64().unwrap();
        let name = format!("{device} {id} {seq}");
        if !numbers.entry((device, id)).or_default().insert(seq) && kept.twice.len() < TOLD {
            kept.twice.push(name);
        }
    }
    for ((device, id), numbers) in &numbers {
        kept.data += u64::try_from(numbers.len()).unwrap();
        let missing = (0..*numbers.iter().max().unwrap()).filter(|number| !numbers.contains(number));
        let room = TOLD.saturating_sub(kept.missing.len());
        kept.missing.extend(missing.take(room).map(|seq| format!("{device} {id} {seq}")));
    }
    kept.devices = u64::try_from(numbers.keys().map(|(device, _)| device).collect::<HashSet<_>>().len()).unwrap();
    kept
}
