//! The presets, held against the facts of `spec/vectors/framings.toml` and traffic of the field.

#[cfg(feature = "testing")]
mod captures;
#[cfg(feature = "testing")]
mod edges;
#[cfg(feature = "testing")]
mod file;
#[cfg(feature = "testing")]
mod modbus;
#[cfg(feature = "testing")]
mod pcap;
#[cfg(feature = "testing")]
mod seeds;
#[cfg(feature = "testing")]
mod sniff;
#[cfg(feature = "testing")]
mod streams;
#[cfg(feature = "testing")]
mod tokens;
#[cfg(feature = "testing")]
#[path = "../common/tshark.rs"]
mod tshark;
#[cfg(feature = "testing")]
mod vectors;

#[cfg(not(feature = "testing"))]
#[test]
#[ignore = "the presets' tests need `--features testing` (or `--all-features`)"]
fn presets() {}
