#!/usr/bin/env bash
# Prints how many resident bytes an idle session costs each named server (default: plain).
#
# Every session is a descriptor in the server and one in the devices' process, so the limit of open files is raised as far
# as it goes.
set -euo pipefail
cd "$(dirname "$0")/.."

NEEDED=18100 # 18 000 sessions, and what a process opens besides

ulimit -n "$(ulimit -Hn)"
limit=$(ulimit -n)
if [ "$limit" != unlimited ] && [ "$limit" -lt "$NEEDED" ]; then
    echo "a process may open $limit files, $NEEDED are needed: raise the hard limit" >&2
    exit 1
fi
cargo build --quiet --release -p dtu-benches --example idle
exec "${CARGO_TARGET_DIR:-target}/release/examples/idle" "$@"
