//! Replays `corpus/`: the seeds of the fuzz targets of this crate, and every input that once broke something.

use dtu_net::fuzzing::{TARGETS, link_ops};
use dtu_proto::testing::corpus::replay;
use proptest::prelude::*;

#[test]
fn every_input_of_the_corpus_passes() {
    replay(&TARGETS);
}

proptest! {
    /// What the fuzzer tries for hours, for a moment.
    #[test]
    fn any_calls_in_any_order_keep_the_promises(calls in proptest::collection::vec(any::<u8>(), 0..600)) {
        link_ops(&calls);
    }
}
