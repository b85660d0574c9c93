//! Reads tshark's JSON, in which a key stands as often as the packet has the field, so that no map can hold it.

use crate::capture::Flow;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A value whose keys keep their order and their repetitions.
#[derive(Debug)]
enum Json {
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list or an object, which is all that tshark writes")
            }
            fn visit_str<E>(self, text: &str) -> Result<Json, E> {
                Ok(Json::Text(text.to_owned()))
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Text(String::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = seq.next_element()? {
                    list.push(value);
                }
                Ok(Json::List(list))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Json::Object(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl Json {
    fn entries(&self) -> &[(String, Self)] {
        match self {
            Self::Object(entries) => entries,
            Self::Text(_) | Self::List(_) => &[],
        }
    }

    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a Self> {
        self.entries().iter().filter(move |(name, _)| name == key).map(|(_, value)| value)
    }

    fn port(&self, key: &str) -> Option<u16> {
        match self.all(key).next()? {
            Self::Text(text) => text.parse().ok(),
            Self::List(_) | Self::Object(_) => None,
        }
    }

    /// The values below this one whose names begin with `dtu.`, in order.
    fn collect_fields(&self, fields: &mut Vec<(String, String)>) {
        for (name, value) in self.entries() {
            match value {
                Self::Text(text) if name.starts_with("dtu.") && !name.starts_with("dtu.expert") => {
                    fields.push((name.clone(), text.clone()));
                }
                Self::Text(_) | Self::List(_) | Self::Object(_) => value.collect_fields(fields),
            }
        }
    }
}

/// The fields of one item of the dissector, in order.
pub(crate) type Layer = Vec<(String, String)>;

/// The flow of each packet of `-T json`, and its items.
pub(crate) fn packets(output: &[u8]) -> Result<Vec<(Flow, Vec<Layer>)>, serde_json::Error> {
    let Json::List(packets) = serde_json::from_slice(output)? else { return Ok(Vec::new()) };
    let layers = packets.iter().flat_map(|packet| packet.all("_source")).flat_map(|source| source.all("layers"));
    Ok(layers.filter_map(|layers| Some((flow(layers)?, layers.all("dtu").map(layer).collect()))).collect())
}

fn flow(layers: &Json) -> Option<Flow> {
    if let Some(tcp) = layers.all("tcp").next() {
        return Some(Flow::Tcp(tcp.port("tcp.srcport")?, tcp.port("tcp.dstport")?));
    }
    let udp = layers.all("udp").next()?;
    Some(Flow::Udp(udp.port("udp.srcport")?, udp.port("udp.dstport")?))
}

fn layer(item: &Json) -> Layer {
    let mut fields = Vec::new();
    item.collect_fields(&mut fields);
    fields
}
