#!/usr/bin/env bash
# Prints how many instructions a frame takes, and a byte of streams that are made to cost much, counted by valgrind. The
# counts do not move with the machine's load.
#     benches/instructions.sh [frames|hostile]
#
# A run of one pass over the frames is taken from a run of several, so that getting ready does not count. valgrind has no
# AVX-512: from 512 bytes on, the 128-bit checksum kernel is counted where a newer processor would run the wider one.
#
# The hostile streams are walked at two lengths, and the script fails where a byte of the longer one costs more: where the cost is
# not linear in the stream.
set -euo pipefail
cd "$(dirname "$0")/.."

FRAMES=400
PASSES=6
PATHS=(parse walk declared deframer chunk floor)
PAYLOADS=(8 16 64 256 1024)
LENGTHS=(16384 65536)
# How much more a byte of the longer stream may cost: the ends of a stream do not count alike.
MARGIN=1.1

if ! command -v valgrind >/dev/null; then
    echo "valgrind is not installed" >&2
    exit 1
fi
cargo build --quiet --release -p dtu-benches --example instructions --example hostile
examples="${CARGO_TARGET_DIR:-target}/release/examples"

# count PROGRAM ARGUMENT...: instructions of one run, and how many bytes it covered where it says so.
count() {
    local log program=$1
    shift
    if ! log=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$examples/$program" "$@" 2>&1); then
        echo "$log" >&2
        exit 1
    fi
    awk '/ Collected / { instructions = $4 } /^covered / { covered = $2 } END { print instructions, covered }' <<<"$log"
}

frames() {
    printf '%-10s' 'a frame'
    printf '%8s' "${PAYLOADS[@]}"
    printf '\n'
    for path in "${PATHS[@]}"; do
        printf '%-10s' "$path"
        for payload in "${PAYLOADS[@]}"; do
            read -r several _ <<<"$(count instructions "$path" "$payload" "$FRAMES" "$PASSES")"
            read -r one _ <<<"$(count instructions "$path" "$payload" "$FRAMES" 1)"
            awk -v several="$several" -v one="$one" -v frames=$((FRAMES * (PASSES - 1))) \
                'BEGIN { printf "%8.1f", (several - one) / frames }'
        done
        printf '\n'
    done
}

hostile() {
    local is_linear=yes
    printf '%-30s%10s%10s%8s\n' 'a byte of a stream of' "${LENGTHS[@]}" ratio
    while read -r preset stream; do
        costs=()
        for len in "${LENGTHS[@]}"; do
            read -r one covered <<<"$(count hostile "$preset" "$stream" "$len" 1)"
            read -r none _ <<<"$(count hostile "$preset" "$stream" "$len" 0)"
            costs+=("$(awk -v one="$one" -v none="$none" -v covered="$covered" -v len="$len" \
                'BEGIN { if (covered < len / 2) exit 1; printf "%.1f", (one - none) / covered }')") || {
                echo "$preset, $stream: only $covered of $len bytes are covered" >&2
                exit 1
            }
        done
        awk -v name="$preset, $stream" -v short="${costs[0]}" -v long="${costs[1]}" -v margin="$MARGIN" 'BEGIN {
            printf "%-30s%10.1f%10.1f%8.2f\n", name, short, long, long / short
            exit long > short * margin + 1
        }' || is_linear=no
    done < <("$examples/hostile")
    if [[ $is_linear == no ]]; then
        echo "a byte of a longer stream costs more" >&2
        exit 1
    fi
}

case "${1:-all}" in
frames) frames ;;
hostile) hostile ;;
all)
    frames
    printf '\n'
    hostile
    ;;
*)
    echo "usage: benches/instructions.sh [frames|hostile]" >&2
    exit 1
    ;;
esac
