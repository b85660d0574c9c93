//! What the crate promises, held against oracles, known answers and the committed corpus.

#[cfg(feature = "testing")]
mod corpus;
#[cfg(feature = "testing")]
mod datagrams;
#[cfg(feature = "testing")]
mod deframer;
#[cfg(feature = "testing")]
mod frames;
#[cfg(feature = "testing")]
mod framings;
#[cfg(feature = "testing")]
mod messages;
mod nested;
#[cfg(feature = "testing")]
mod sniff;
#[cfg(feature = "testing")]
mod spec;
#[cfg(feature = "testing")]
mod streams;
#[cfg(feature = "testing")]
mod tokens;

#[cfg(not(feature = "testing"))]
#[test]
#[ignore = "the suite needs `--features testing` (or `--all-features`)"]
fn suite() {}
