#!/bin/sh
# Proves that dtu-proto needs neither std nor an allocator: links it, with nothing but start.c, into a program without
# undefined symbols, looks into the program, runs it on x86-64 Linux; then lets std and alloc in and sees each refused.
set -eu
cd "$(dirname "$0")"
target=${CARGO_TARGET_DIR:-$PWD/target}
out=$target/no-std-proof
mkdir -p "$out"

fail() {
    echo "no-std-proof: $*" >&2
    exit 1
}

# Links the library built under profile directory $1 into the program $2.
link() {
    "${CC:-cc}" -Os -ffreestanding -fno-builtin -fno-stack-protector -fno-pie -Wall -Wextra -Werror \
        -nostdlib -nostartfiles -static -no-pie -Wl,--gc-sections -Wl,--no-undefined \
        start.c "$target/$1/libno_std_proof.a" -o "$2"
}

cargo build --quiet --locked --release
link release "$out/proof" || fail "the codec does not link without std and alloc"
[ -z "$(nm --undefined-only "$out/proof")" ] || fail "undefined symbols: $(nm --undefined-only "$out/proof")"
nm --demangle "$out/proof" > "$out/symbols"
grep -q ' dtu_receive$' "$out/symbols" || fail "the codec is not in the program"
if grep -E '__rust_(alloc|dealloc|realloc)|__rg_|__rdl_| (<?std|alloc)::|<(std|alloc)::' "$out/symbols"; then
    fail "symbols of std or alloc are in the program"
fi
echo "linked: $(wc -l < "$out/symbols") symbols, none of std or alloc, none undefined"

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    "$out/proof" || fail "check $? of start.c failed"
    echo "ran: two frames out and back through noise"
else
    echo "not run: the entry point leaves only on x86-64 Linux"
fi

# Builds with feature $1 and wants the compiler to refuse it with a message that matches $2.
refused() {
    if cargo build --quiet --locked --release --features "$1" > "$out/$1.log" 2>&1; then
        fail "$1 was built, so the proof proves nothing"
    fi
    grep -E "$2" "$out/$1.log" > "$out/$1.reason" || { cat "$out/$1.log" >&2; fail "$1 failed for another reason"; }
    echo "refused, as it must be: $1: $(head -n 1 "$out/$1.reason")"
}

refused leak-std 'found duplicate lang item .panic_impl'
refused leak-alloc 'no global memory allocator found'
