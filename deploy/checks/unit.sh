#!/usr/bin/env bash
# The systemd unit: that systemd takes it, and how much of the system it leaves open.
set -euo pipefail
cd "$(dirname "$0")/../systemd"

if ! command -v systemd-analyze >/dev/null; then
    [ "${DTU_REQUIRE_TOOLS:-}" = 1 ] && { echo "systemd-analyze is missing" >&2; exit 1; }
    echo "unit: no systemd-analyze, so not checked"
    exit 0
fi
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# What verify looks for: the programs that the unit starts.
sed "s|/usr/bin/dtu|/bin/true|" dtu.service >"$root/dtu.service"
told=$(SYSTEMD_LOG_LEVEL=warning systemd-analyze verify --man=no "$root/dtu.service" 2>&1 | grep -F dtu.service || true)
[ -z "$told" ] || { echo "$told" >&2; exit 1; }
# In tenths of the figure that it prints, of which 10 is a service without any of this.
exposure=$(systemd-analyze security --offline=true --no-pager --threshold=20 "$root/dtu.service" | tail -n 1)
echo "unit: verified;${exposure#*→}"
