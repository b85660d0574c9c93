//! Framings by declaration: known answers, every cut, every damage, and any specification at all.

use dtu_proto::fuzzing::framing_spec;
use dtu_proto::testing::Seeded;

#[test]
fn any_specification_keeps_the_contract_over_any_bytes() {
    for seed in 0..30_000 {
        let mut seeded = Seeded(seed);
        let mut input = vec![0; 40 + seeded.below(160)];
        seeded.fill(&mut input);
        let told = std::panic::catch_unwind(|| framing_spec(&input));
        assert!(told.is_ok(), "seed {seed}");
    }
}
