# What CI runs, step by step. `just ci` is all of it; `.ci/run` installs the tools and calls it.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")
fuzz_targets := "frame_decode frame_roundtrip message_decode message_roundtrip deframe_chunks checksum framing_spec presets link_ops"

# Lists the steps.
default:
    @just --list

# All that CI runs, in its order.
ci: test loom fmt spelling clippy docs features vectors no-std dissector fuzz demo release bench-quick

# The README's test command.
test:
    cargo test --workspace --all-features

# The breaker in every order in which threads can run.
loom:
    RUSTFLAGS="--cfg loom" cargo test --release --package dtu-net --no-default-features --test breaker_loom --target-dir target/loom

# Rust and TOML formatting.
fmt:
    cargo fmt --all --check
    taplo fmt --check

# Spelling of code and prose.
spelling:
    typos

# Lints of all targets, warnings denied; then of the fuzz targets, which stand outside the workspace.
clippy:
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cd fuzz && cargo clippy --all-targets -- -D warnings

# Documentation, warnings denied.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features

# Every combination of features compiles without a warning; the machines compile without tokio.
features:
    cargo hack clippy --package dtu-proto --package dtu-net --feature-powerset --no-dev-deps -- -D warnings

# The golden vectors are what their independent generator gives.
vectors:
    python3 spec/vectors/reference.py --check

# The codec links without std and without an allocator, and the proof notices when one leaks in.
no-std:
    no-std-proof/prove.sh

# The Wireshark dissector against tshark; unlike `just test`, a missing tshark fails here.
dissector:
    tshark --version >/dev/null
    DTU_REQUIRE_TSHARK=1 cargo test --package dtu-proto --all-features --test dissector -- --nocapture

# A pass of each fuzz target over the committed corpus; finds go to target/fuzz-corpus. Needs nightly and cargo-fuzz.
fuzz seconds="20":
    #!/usr/bin/env bash
    set -euo pipefail
    for target in {{ fuzz_targets }}; do
        mkdir -p "target/fuzz-corpus/$target"
        echo "fuzz $target for {{ seconds }} s"
        cargo +nightly fuzz run --fuzz-dir fuzz "$target" "target/fuzz-corpus/$target" "corpus/$target" \
            -- -max_total_time={{ seconds }} -max_len=4096 -rss_limit_mb=2048 -print_final_stats=1 \
            > "target/fuzz-$target.log" 2>&1 || { tail -n 40 "target/fuzz-$target.log"; exit 1; }
        grep "stat::number_of_executed_units" "target/fuzz-$target.log"
    done

# A server and devices over a damaged link; fails unless every intact frame arrived.
demo:
    cargo run --release --package dtu-cli -- demo

# Links and tool once more without debug assertions, as they ship: a side effect inside one would be gone.
release:
    CARGO_PROFILE_DEV_DEBUG_ASSERTIONS=false cargo test --package dtu-net --package dtu-cli

# Every bench once: that it runs and that all contestants agree.
bench-quick:
    cargo bench --package dtu-benches -- --test

# The full benches; ends with the table of ratios.
bench:
    cargo bench --package dtu-benches

# Instructions a frame, and a byte of hostile streams, by callgrind; fails where those cost more the longer they are.
instructions:
    benches/instructions.sh
