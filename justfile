# What CI runs, step by step. `just ci` is all of it; `.ci/run` installs the tools and calls it.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")
fuzz_targets := "frame_decode frame_roundtrip message_decode message_roundtrip deframe_chunks checksum framing_spec presets link_ops"

# Lists the steps.
default:
    @just --list

# All that CI runs, in its order.
ci: fmt spelling test coverage loom clippy docs features vectors no-std dissector fuzz demo release bench-quick page deploy drill

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

# The share of lines that the tests run; fails below 85 %. The integration tests' own processes count, those killed do not.
coverage:
    #!/usr/bin/env bash
    set -euo pipefail
    llvm=/usr/lib/llvm-$(rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')/bin
    if [ -e "$llvm/llvm-cov" ]; then
        export LLVM_COV="$llvm/llvm-cov" LLVM_PROFDATA="$llvm/llvm-profdata"
    fi
    # What a run that failed has left does not fit what is built now.
    rm -rf target/llvm-cov-target
    # A process that a test kills while it writes leaves half a profile.
    export LLVM_PROFDATA_FLAGS=--failure-mode=all
    # One file for all processes of a binary, not one for each of thousands.
    export LLVM_PROFILE_FILE_NAME="dtu-%4m.profraw"
    cargo llvm-cov --workspace --exclude dtu-benches --all-features --summary-only --json --output-path target/coverage.json \
        --fail-under-lines 85 -- --quiet > target/coverage.log 2>&1 || { tail -n 60 target/coverage.log; exit 1; }
    python3 -c 'import json; total = json.load(open("target/coverage.json"))["data"][0]["totals"]["lines"]; \
        print("coverage: %.1f %% of %d lines" % (total["percent"], total["count"]))'
    # Instrumented, it is of no use for another step.
    rm -rf target/llvm-cov-target

# The page in a headless Chromium, against a made-up gateway.
page:
    python3 dtu-cli/tests/page/run.py

# The static binary, and the image with it where buildah is. Ends in target/image.
image tag="dtu:latest":
    deploy/container/image.sh {{ tag }}

# API description, chart, alerts, dashboard, unit and image: that each is valid, and does what the documents say.
deploy: image
    promtool check rules deploy/prometheus/dtu.rules.yml
    promtool check config --syntax-only deploy/prometheus/prometheus.yml
    promtool test rules deploy/prometheus/dtu.rules.test.yml
    python3 deploy/checks/metrics.py
    DTU=target/image/context/rootfs/dtu python3 deploy/checks/openapi.py
    DTU=target/image/context/rootfs/dtu python3 deploy/checks/chart.py
    deploy/checks/unit.sh
    python3 deploy/container/prove.py

# Node loss, sink loss and a slow network, played with real processes on loopback; `just drill long` for longer.
drill length="short": image
    python3 deploy/drill/drill.py --{{ length }} --dtu target/image/context/rootfs/dtu

# The full runs from 2 000 devices through gateways into JetStream, with a gateway killed: minutes, on a machine that does nothing else.
end-to-end:
    cargo test --release --package dtu-cli --test end_to_end -- --ignored --nocapture --test-threads=1

# Every bench once: that it runs and that all contestants agree.
bench-quick:
    cargo bench --package dtu-benches -- --test

# The full benches; ends with the table of ratios.
bench:
    cargo bench --package dtu-benches

# Instructions a frame, and a byte of hostile streams, by callgrind; fails where those cost more the longer they are.
instructions:
    benches/instructions.sh
