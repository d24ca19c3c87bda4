#!/usr/bin/env bash
# Makes the release in dist/: the command for any Linux with glibc 2.28 or newer, without OpenSSL and C++'s library.
#
#   scripts/dist.sh               for this machine's processor: the archive, the wheel, checksums and the list of parts
#   scripts/dist.sh --system      with this system's compiler instead: quicker, and only for systems like this one
#   scripts/dist.sh --arch ARCH   for x86_64 or aarch64
#
#   dist/cutover-VERSION-ARCH-linux.tar.gz    bin/cutover, completions, manual pages, licence, jobs, schemas
#   dist/cutover-VERSION-….whl                the Python package, with the command
#   dist/cutover-VERSION.cdx.json             every crate that is linked in, with its licence (CycloneDX)
#   dist/SHA256SUMS
#
# zig is the compiler and the linker: it has the headers of every glibc, and its own C++ library, which is linked in.
# OpenSSL is compiled from source (the feature `portable`). Tools come from PyPI into ~/.cache/cutover/python. What cargo
# builds is below the target directory, apart from the builds of `make build`. CARGO_FLAGS are passed on to cargo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

glibc=2.28
arch=$(uname -m)
portable=yes
while [[ $# -gt 0 ]]; do
    case $1 in
        --system) portable=no ;;
        --arch)
            arch=${2:?--arch needs x86_64 or aarch64}
            shift
            ;;
        *)
            sed -n 's/^#   \(scripts\/dist.sh .*\)/\1/p' "${BASH_SOURCE[0]}" >&2
            exit 2
            ;;
    esac
    shift
done

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
export CUTOVER_COMMIT=${CUTOVER_COMMIT:-$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
triple=$arch-unknown-linux-gnu
tools=${XDG_CACHE_HOME:-${HOME:?}/.cache}/cutover/python/build/bin

say() { echo "dist: $*" >&2; }

# librdkafka reads curl's header even when it is built without curl; nothing else of the system's headers is wanted.
headers() {
    local found
    mkdir -p "$CARGO_TARGET_DIR/dist-headers"
    for found in /usr/include/curl /usr/include/*/curl; do
        [[ -e $found/curl.h ]] && ln -sfn "$found" "$CARGO_TARGET_DIR/dist-headers/curl"
    done
    echo "$CARGO_TARGET_DIR/dist-headers"
}

build_portable() {
    scripts/python.sh tools
    export PATH=$tools:$PATH
    export CARGO_TARGET_DIR=$CARGO_TARGET_DIR/portable
    local compiler="cargo-zigbuild zig c++ -- -fno-sanitize=all -g0 -target $arch-linux-gnu.$glibc"
    ROCKSDB_LIB_DIR=$(CXX=$compiler AR="cargo-zigbuild zig ar --" scripts/rocksdb.sh --library "$arch")
    export ROCKSDB_LIB_DIR ROCKSDB_STATIC=1 CXXSTDLIB=c++
    if [[ -z $ROCKSDB_LIB_DIR ]]; then
        unset ROCKSDB_LIB_DIR
        export ROCKSDB_COMPILE=1
    fi
    [[ -d $(rustc --print target-libdir --target "$triple") ]] || rustup --quiet target add "$triple"
    local include
    include=$(headers)
    export "CFLAGS_${triple//-/_}=-I$include"
    # shellcheck disable=SC2086 # flags are words
    cargo zigbuild --release --locked ${CARGO_FLAGS:-} --target "$triple.$glibc" --features portable --bin cutover
    command=$CARGO_TARGET_DIR/$triple/release/cutover
    scripts/python.sh wheel "$command" dist --zig --target "$triple" --compatibility "manylinux_${glibc/./_}"
}

build_here() {
    scripts/setup.sh
    # shellcheck disable=SC2086 # flags are words
    cargo build --release --locked ${CARGO_FLAGS:-} --bin cutover
    command=$CARGO_TARGET_DIR/release/cutover
    scripts/python.sh wheel "$command" dist --auditwheel skip
}

# Another processor's command cannot print its own manual pages here; this one's prints the same.
printer() {
    if [[ $arch = "$(uname -m)" ]]; then
        echo "$command"
    else
        PATH=$PATH:$CARGO_TARGET_DIR/$(uname -m)-unknown-linux-gnu/release command -v cutover
    fi
}

archive() {
    local name=cutover-$version-$arch-linux root print
    root=$(mktemp -d)/$name
    print=$(printer) || { say "no cutover of this processor to print manual pages: run make dist first"; exit 1; }
    mkdir -p "$root"/bin "$root"/share/{man/man1,bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
    install -m 755 "$command" "$root/bin/cutover"
    "${STRIP:-strip}" "$root/bin/cutover" 2>/dev/null || true
    "$print" man "$root/share/man/man1"
    "$print" completions bash >"$root/share/bash-completion/completions/cutover"
    "$print" completions zsh >"$root/share/zsh/site-functions/_cutover"
    "$print" completions fish >"$root/share/fish/vendor_completions.d/cutover.fish"
    cp -R LICENSE CHANGELOG.md README.md jobs schemas examples "$root"
    # The same content gives the same archive.
    tar -C "$(dirname "$root")" --sort=name --owner=0 --group=0 --numeric-owner \
        --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" -cf - "$name" | gzip -n >"dist/$name.tar.gz"
    rm -rf "$(dirname "$root")"
}

mkdir -p dist
# What is there for the other processor stays, if it is of this version.
rm -f dist/cutover-"$version"*"$arch"* dist/cutover-"$version".cdx.json dist/SHA256SUMS
if [[ $portable = yes ]]; then build_portable; else build_here; fi
archive
python3 scripts/parts.py >"dist/cutover-$version.cdx.json"
(cd dist && sha256sum cutover-* >SHA256SUMS)
say "$(du -h dist/* | tr '\t\n' '  ')"
