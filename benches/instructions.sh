#!/usr/bin/env bash
# Prints how many instructions a frame takes, counted by valgrind. The counts do not move with the machine's load.
#
# A run of one pass over the frames is taken from a run of several, so that getting ready does not count. valgrind has no
# AVX-512: from 512 bytes on, the 128-bit checksum kernel is counted where a newer processor would run the wider one.
set -euo pipefail
cd "$(dirname "$0")/.."

FRAMES=400
PASSES=6
PATHS=(parse walk declared deframer chunk floor)
PAYLOADS=(8 16 64 256 1024)

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed" >&2
    exit 1
fi
cargo build --quiet --release -p dtu-benches --example instructions
program="${CARGO_TARGET_DIR:-target}/release/examples/instructions"

# count PATH PAYLOAD FRAMES PASSES: instructions of one run.
count() {
    local log
    if ! log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$@" 2>&1); then
        echo "$log" >&2
        exit 1
    fi
    sed -n 's/^==[0-9]*== Collected *: *\([0-9]*\).*/\1/p' <<<"$log"
}

printf '%-10s' 'a frame'
printf '%8s' "${PAYLOADS[@]}"
printf '\n'
for path in "${PATHS[@]}"; do
    printf '%-10s' "$path"
    for payload in "${PAYLOADS[@]}"; do
        several=$(count "$path" "$payload" "$FRAMES" "$PASSES")
        one=$(count "$path" "$payload" "$FRAMES" 1)
        awk -v several="$several" -v one="$one" -v frames=$((FRAMES * (PASSES - 1))) \
            'BEGIN { printf "%8.1f", (several - one) / frames }'
    done
    printf '\n'
done
