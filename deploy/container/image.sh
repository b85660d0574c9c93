#!/usr/bin/env bash
# Builds the static binary, lays the context of the Containerfile in target/image and, where buildah is, builds the image
# into a store of its own there: deploy/container/image.sh [TAG]
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=${1:-dtu:latest}
target=x86_64-unknown-linux-gnu
# With a target of its own the flag stays off build scripts and macros.
RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target $target --package dtu-cli

context=target/image/context
rm -rf $context
umask 022
mkdir -p $context/rootfs/etc/ssl/certs $context/rootfs/etc/dtu $context/rootfs/var/lib $context/data
install -m 0555 target/$target/release/dtu $context/rootfs/dtu
printf 'hosts: files dns\n' >$context/rootfs/etc/nsswitch.conf
install -m 0444 /etc/ssl/certs/ca-certificates.crt $context/rootfs/etc/ssl/certs/ca-certificates.crt
cp deploy/container/Containerfile $context/Containerfile
strip --strip-debug $context/rootfs/dtu
find $context -exec touch --no-dereference --date=@0 {} +
echo "binary: $(stat --format=%s $context/rootfs/dtu) bytes"

if ! command -v buildah >/dev/null; then
    [ "${DTU_REQUIRE_TOOLS:-}" = 1 ] && { echo "buildah is missing" >&2; exit 1; }
    echo "no buildah, so no image; its context is in $context"
    exit 0
fi
# Neither a daemon nor the machine's own store; nothing runs while it is built, so nothing is to be isolated.
store=(buildah --root "$PWD/target/image/store" --runroot "$PWD/target/image/run" --storage-driver vfs)
"${store[@]}" build --quiet --isolation chroot --timestamp 0 --tag "$tag" $context >target/image/id
rm -rf target/image/dtu.oci
"${store[@]}" push --quiet "$tag" "oci:$PWD/target/image/dtu.oci:$tag"
echo "image: $tag, $(cut -c1-12 target/image/id), in target/image/dtu.oci"
