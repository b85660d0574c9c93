//! Snapshots in serde's formats: the version first, so that another one is known as such whatever follows.

use super::snapshot::{Body, Snapshot, VERSION};
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NAME: &str = "Snapshot";
const FIELDS: [&str; 2] = ["version", "body"];

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
        match map.next_key::<Key>()? {
            Some(Key::Version) => {}
            Some(Key::Body | Key::Other) | None => return Err(A::Error::missing_field(FIELDS[0])),
        }
        let version = map.next_value()?;
        if version != VERSION {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Snapshot { version, body: None });
        }
        match map.next_key::<Key>()? {
            Some(Key::Body) => {}
            Some(Key::Version | Key::Other) | None => return Err(A::Error::missing_field(FIELDS[1])),
        }
        let body: Body<T> = map.next_value()?;
        match map.next_key::<Key>()? {
            None => Ok(Snapshot { version, body: Some(Box::new(body)) }),
            Some(_) => Err(A::Error::custom("a snapshot has no field after its body")),
        }
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
    Body,
    #[serde(other)]
    Other,
}
