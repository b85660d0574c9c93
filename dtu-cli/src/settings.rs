//! What the gateway is told by its file: `dtu serve --config`.

pub(crate) mod units;
