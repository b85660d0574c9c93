//! The section `[cluster]`.

use crate::nats::is_prefix;
use anyhow::ensure;
use serde::Deserialize;

/// The longest name of a bucket, in bytes.
const BUCKET_MAX: usize = 64;

/// What NATS allows.
const REPLICAS_MAX: u8 = 5;

/// How gateways share a fleet. All of a fleet have the same.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterSettings {
    /// The bucket that says who has which device.
    #[serde(default = "bucket")]
    pub(crate) bucket: String,
    /// What the subjects of requests between gateways begin with. It must not be within the subjects of a stream.
    #[serde(default = "prefix")]
    pub(crate) prefix: String,
    /// Of a new bucket: how many servers have it.
    #[serde(default = "replicas")]
    pub(crate) replicas: u8,
}

fn bucket() -> String {
    "dtu_owners".to_owned()
}

fn prefix() -> String {
    "dtu_cluster".to_owned()
}

const fn replicas() -> u8 {
    1
}

impl ClusterSettings {
    /// Judges what serde cannot.
    ///
    /// # Errors
    /// One line: the key, and what is allowed.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let Self { bucket, prefix, replicas } = self;
        let is_name = bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        ensure!(
            is_name && (1..=BUCKET_MAX).contains(&bucket.len()),
            "cluster.bucket: `{bucket}` has to be 1 to {BUCKET_MAX} of letters, digits, `-` and `_`"
        );
        ensure!(is_prefix(prefix), "cluster.prefix: `{prefix}` has to be words with dots between them");
        ensure!((1..=REPLICAS_MAX).contains(replicas), "cluster.replicas: {replicas} is not from 1 to {REPLICAS_MAX}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        for (text, expected) in [
            ("", None),
            ("bucket = 'a-b_1'\nprefix = 'x.y'\nreplicas = 3", None),
            ("bucket = 'a.b'", Some("cluster.bucket: ")),
            ("bucket = ''", Some("cluster.bucket: ")),
            ("prefix = 'a b'", Some("cluster.prefix: ")),
            ("replicas = 0", Some("cluster.replicas: ")),
        ] {
            let said = toml::from_str::<ClusterSettings>(text).unwrap().check().map_err(|error| error.to_string());
            match (said, expected) {
                (Ok(()), None) => {}
                (Err(said), Some(expected)) => assert!(said.starts_with(expected), "{said}"),
                (said, _) => panic!("{said:?} for {text}"),
            }
        }
    }
}
