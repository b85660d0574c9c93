//! Snapshots in serde's formats. The version is written first, so that another one is known as such whatever follows; what
//! has sorted the fields by name meanwhile has left it first.

use super::snapshot::{Body, Snapshot, VERSION};
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NAME: &str = "Snapshot";
const FIELDS: [&str; 2] = ["version", "work"];

impl<T: Serialize> Serialize for Snapshot<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body =
            self.body.as_ref().ok_or_else(|| S::Error::custom("a snapshot of another version cannot be written"))?;
        let mut fields = serializer.serialize_struct(NAME, FIELDS.len())?;
        fields.serialize_field(FIELDS[0], &self.version)?;
        fields.serialize_field(FIELDS[1], body)?;
        fields.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Snapshot<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(NAME, &FIELDS, SnapshotVisitor(PhantomData))
    }
}

struct SnapshotVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for SnapshotVisitor<T> {
    type Value = Snapshot<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a snapshot that begins with its version")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Snapshot<T>, A::Error> {
        let mut version = None;
        let mut body = None;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Version if version.is_none() => {
                    let found = map.next_value()?;
                    if found != VERSION {
                        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                        return Ok(Snapshot { version: found, body: None });
                    }
                    version = Some(found);
                }
                Key::Body if body.is_none() => body = Some(map.next_value::<Box<Body<T>>>()?),
                Key::Version => return Err(A::Error::duplicate_field(FIELDS[0])),
                Key::Body => return Err(A::Error::duplicate_field(FIELDS[1])),
                Key::Other => return Err(A::Error::custom("a snapshot has no such field")),
            }
        }
        let version = version.ok_or_else(|| A::Error::missing_field(FIELDS[0]))?;
        let body = body.ok_or_else(|| A::Error::missing_field(FIELDS[1]))?;
        Ok(Snapshot { version, body: Some(body) })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Snapshot<T>, A::Error> {
        let version = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        if version != VERSION {
            return Ok(Snapshot { version, body: None });
        }
        let body = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        Ok(Snapshot { version, body: Some(Box::new(body)) })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Key {
    Version,
    #[serde(rename = "work")]
    Body,
    #[serde(other)]
    Other,
}
