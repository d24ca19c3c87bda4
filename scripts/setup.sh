#!/bin/sh
# Makes a machine able to build Cutover: checks for the tools that the build needs and installs what is missing.
#
#   scripts/setup.sh            what a build needs: Rust, a C++20 compiler, libclang (which reads RocksDB's C header)
#   scripts/setup.sh --lints    and rustfmt and clippy, which `make test` runs
#   scripts/setup.sh --bench    and Python with venv, which `make bench` runs
#
# Where it may (as root, or with sudo that asks no password) it installs; otherwise it prints the exact
# command and exits 1. With everything in place it prints nothing and changes nothing.
# RocksDB, lz4, zstd and the rest of the C and C++ code are built from source by cargo: no cmake, no headers needed.
set -eu

cd "$(dirname "$0")/.."

want_lints=no
want_bench=no
for argument in "$@"; do
    case $argument in
        --lints) want_lints=yes ;;
        --bench) want_bench=yes ;;
        *) echo "setup: unknown option $argument; there are --lints and --bench" >&2; exit 2 ;;
    esac
done

has() { command -v "$1" >/dev/null 2>&1; }

fail() {
    for line in "$@"; do echo "setup: $line" >&2; done
    exit 1
}

# The first cargo on the path or where rustup puts it. A shell that never read rustup's profile lacks the latter.
if ! has cargo && [ -x "${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo" ]; then
    PATH="${CARGO_HOME:-${HOME:-}/.cargo}/bin:$PATH"
    export PATH
fi

check_rust() {
    has cargo || fail "no Rust toolchain found; install one with rustup (https://rustup.rs), then run this again"
    needed=$(sed -n 's/^rust-version = "\([0-9.]*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | sed 's/^rustc \([0-9]*\.[0-9]*\).*/\1/')
    older=$(printf '%s\n%s\n' "$needed" "$found" | sort -t. -k1,1n -k2,2n | head -n 1)
    [ "$older" = "$needed" ] || fail "Rust $found is older than $needed; run: rustup update stable"
}

has_lints() { cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1; }

# RocksDB is C++20; a compiler without the library's headers is not enough.
has_cxx() {
    printf '#include <concepts>\n#include <cstdint>\nint main() {}\n' |
        "${CXX:-c++}" -std=c++20 -x c++ -fsyntax-only - >/dev/null 2>&1
}

has_cc() { printf '#include <stdint.h>\n' | "${CC:-cc}" -x c -fsyntax-only - >/dev/null 2>&1; }

# A library is not enough either: clang's own headers (stddef.h and the like) come in another package.
has_libclang() {
    for folder in "${LIBCLANG_PATH:-}" /usr/lib /usr/lib64 /usr/local/lib /usr/lib/*-linux-gnu /usr/lib/llvm*/lib \
        /usr/lib64/llvm*/lib; do
        [ -n "$folder" ] || continue
        for library in "$folder"/libclang.so* "$folder"/libclang-[0-9]*.so*; do
            if [ -e "$library" ]; then
                has_clang_headers "$folder" && return 0
            fi
        done
    done
    return 1
}

has_clang_headers() {
    for header in "$1"/clang/*/include/stddef.h /usr/lib/clang/*/include/stddef.h /usr/lib64/clang/*/include/stddef.h \
        /usr/lib/llvm*/lib/clang/*/include/stddef.h /usr/lib/llvm*/lib*/clang/*/include/stddef.h; do
        [ -e "$header" ] && return 0
    done
    return 1
}

has_python() { python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }

# What is missing, as words: make cxx libclang python.
missing() {
    has make || echo make
    { has_cc && has_cxx && has ar; } || echo cxx
    has_libclang || echo libclang
    [ "$want_bench" = no ] || has_python || echo python
}

# The packages of the words in $2 in the package manager $1.
packages() {
    for word in $2; do
        case $1:$word in
            *:make) echo make ;;
            apt-get:cxx) echo g++ ;;
            apt-get:libclang) echo libclang-dev ;;
            apt-get:python) echo python3 python3-venv ;;
            dnf:cxx) echo gcc-c++ ;;
            dnf:libclang) echo clang-devel ;;
            apk:cxx) echo g++ ;;
            apk:libclang) echo clang-dev clang-libclang ;;
            *:python) echo python3 ;;
        esac
    done | tr '\n' ' ' | sed 's/ $//'
}

# Runs a command as root, or prints it and gives up.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo && sudo -n true 2>/dev/null; then
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    else
        fail "cannot install as this user; run, then try again:" "    sudo sh -c '$plan'"
    fi
}

install() {
    words=$(echo "$1" | tr '\n' ' ')
    for manager in apt-get dnf apk none; do
        has "$manager" && break
    done
    list=$(packages "$manager" "$words")
    case $manager in
        apt-get) plan="apt-get update && apt-get install -y --no-install-recommends $list" ;;
        dnf) plan="dnf install -y $list" ;;
        apk) plan="apk add $list" ;;
        *) fail "missing: $words(cxx is a C++20 compiler with its library, libclang the library with clang's headers)" \
            "no apt-get, dnf or apk here: install them by this system's own means, then run this again" ;;
    esac
    echo "setup: $plan"
    export DEBIAN_FRONTEND=noninteractive
    as_root sh -c "$plan" </dev/null || fail "the command above failed; run it by hand, then try again"
}

check_rust

lacking=$(missing)
if [ -n "$lacking" ]; then
    install "$lacking"
    lacking=$(missing | tr '\n' ' ')
    [ -z "$lacking" ] || fail "still missing after installing: $lacking"
fi

if [ "$want_lints" = yes ] && ! has_lints; then
    has rustup || fail "rustfmt and clippy are missing; install those of this Rust by the means it came by"
    echo "setup: rustup component add rustfmt clippy"
    rustup component add rustfmt clippy </dev/null || fail "the command above failed; run it by hand, then try again"
fi
