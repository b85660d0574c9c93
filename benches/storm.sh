#!/usr/bin/env bash
# A storm on real sockets: 18 000 devices against one server, which is killed and started again at once; prints the summary of
# `dtu sim` and the peak memory of both servers.
#
# usage: benches/storm.sh [--devices N] [--seconds S] [--kill-after S] [--down S] [--rate R]
#
# Every device is a descriptor in each of the two processes, so the limit of open files is raised as far as it goes.
set -euo pipefail
cd "$(dirname "$0")/.."

devices=18000 seconds=60 kill_after=15 down=0 rate=0.1
while [ $# -gt 1 ]; do
    case $1 in
        --devices) devices=$2 ;;
        --seconds) seconds=$2 ;;
        --kill-after) kill_after=$2 ;;
        --down) down=$2 ;;
        --rate) rate=$2 ;;
        *) echo "unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done

ulimit -n "$(ulimit -Hn)"
cargo build --quiet --release -p dtu-cli
dtu=${CARGO_TARGET_DIR:-target}/release/dtu
said=$(mktemp)
server=
trap '[ -z "$server" ] || kill -KILL "$server" 2> /dev/null; rm -f "$said"' EXIT

# Starts the server on port $1 and waits until it says that it listens.
start() {
    "$dtu" serve --listen "127.0.0.1:$1" --max-connections 1000000 > /dev/null 2> "$said" &
    server=$!
    until grep -q '^listening on ' "$said"; do
        kill -0 "$server" 2> /dev/null || { cat "$said" >&2; exit 1; }
        sleep 0.05
    done
}

peak() {
    awk '/^VmHWM:/ { printf "%.1f MB", $2 * 1024 / 1e6 }' "/proc/$server/status"
}

start 0
address=$(sed -n 's/^listening on //p' "$said")
"$dtu" sim "$address" --devices "$devices" --rate "$rate" --seconds "$seconds" &
sim=$!
sleep "$kill_after"
echo "the server is killed; its peak memory was $(peak)"
kill -KILL "$server"
wait "$server" 2> /dev/null || true
sleep "$down"
start "${address##*:}"
sleep "$((seconds - kill_after - down))"
echo "the peak memory of the second server was $(peak)"
wait "$sim"
