#!/bin/sh
# Prepares a machine to build Cutover: checks for the tools that the build needs and installs what is missing.
#
#   scripts/setup.sh            what a build needs: Rust, a C++20 compiler, libclang (which reads RocksDB's C header),
#                               cmake, pkg-config and the headers of OpenSSL and libcurl (for librdkafka)
#   scripts/setup.sh --lints    also rustfmt and clippy, which `make test` runs
#   scripts/setup.sh --bench    also Python 3.11 or newer with venv, which `make bench` and the judges of answers run
#   scripts/setup.sh --kafka    also Java, Maven and the Kafka broker that tests run against
#   scripts/setup.sh --objects  also Python 3.11 or newer with venv, and the object store that tests run against
#   scripts/setup.sh --serve    also the clients that tests of the server use: Redis's tools and server, curl, openssl,
#                               Chromium, Node.js with ioredis, Python with redis-py, Go with go-redis, and the crate
#                               redis; and wrk, which `make bench-serve` runs
#
# It installs missing packages if it has permission (as root, or with sudo without a password); otherwise it prints the
# exact command to run and exits 1. With everything in place it prints nothing and changes nothing. RocksDB, librdkafka,
# lz4, zstd and the rest of the C and C++ code are built from source by cargo; only OpenSSL is the system's library.
# Last it calls scripts/rocksdb.sh, which compiles RocksDB in a third of the time that cargo needs, once per machine.
# libcurl is not linked: librdkafka reads its header even when built without it.
set -eu

cd "$(dirname "$0")/.."

want_lints=no
want_bench=no
want_kafka=no
want_objects=no
want_serve=no
for argument in "$@"; do
    case $argument in
        --lints) want_lints=yes ;;
        --bench) want_bench=yes ;;
        --kafka) want_kafka=yes ;;
        --objects) want_objects=yes ;;
        --serve) want_serve=yes ;;
        *) echo "setup: unknown option $argument; there are --lints, --bench, --kafka, --objects and --serve" >&2; exit 2 ;;
    esac
done

has() { command -v "$1" >/dev/null 2>&1; }

fail() {
    for line in "$@"; do echo "setup: $line" >&2; done
    exit 1
}

# The first cargo on the path, or the one that rustup installed: a shell that never read rustup's profile lacks it.
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
    for directory in "${LIBCLANG_PATH:-}" /usr/lib /usr/lib64 /usr/local/lib /usr/lib/*-linux-gnu /usr/lib/llvm*/lib \
        /usr/lib64/llvm*/lib; do
        [ -n "$directory" ] || continue
        for library in "$directory"/libclang.so* "$directory"/libclang-[0-9]*.so*; do
            if [ -e "$library" ]; then
                has_clang_headers "$directory" && return 0
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

has_pkg_config() { "${PKG_CONFIG:-pkg-config}" --version >/dev/null 2>&1; }

# An OpenSSL elsewhere, named by OPENSSL_DIR, is the user's responsibility.
has_openssl() { [ -n "${OPENSSL_DIR:-}" ] || has_header openssl/ssl.h; }

has_curl() { has_header curl/curl.h; }

has_header() { printf '#include <%s>\n' "$1" | "${CC:-cc}" -x c -fsyntax-only - >/dev/null 2>&1; }

# The first line is like: openjdk version "17.0.15" 2025-04-15. Older than 9 is "1.8.0_392".
has_java() {
    java=java
    [ -z "${JAVA_HOME:-}" ] || java=$JAVA_HOME/bin/java
    major=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${major:-0}" -ge 17 ]
}

has_python() { python3 -c 'import ensurepip, tomllib, venv' >/dev/null 2>&1; }

# What is missing, as a list of: make cxx libclang cmake pkg-config openssl curl python java maven bash redis curl-command
# openssl-command chromium node go wrk.
missing() {
    has make || echo make
    { has_cc && has_cxx && has ar; } || echo cxx
    has_libclang || echo libclang
    has cmake || echo cmake
    has_pkg_config || echo pkg-config
    has_openssl || echo openssl
    has_curl || echo curl
    [ "$want_bench$want_objects$want_serve" = nonono ] || has_python || echo python
    [ "$want_kafka" = no ] || has_java || echo java
    [ "$want_kafka" = no ] || has mvn || echo maven
    [ "$want_kafka$want_objects" = nono ] || has bash || echo bash
    [ "$want_serve" = no ] && return
    { has redis-cli && has redis-benchmark && has redis-server; } || echo redis
    has curl || echo curl-command
    has openssl || echo openssl-command
    has chromium || echo chromium
    { has node && has npm; } || echo node
    has go || echo go
    has wrk || echo wrk
}

# The packages for the words in $2 with the package manager $1.
packages() {
    for word in $2; do
        case $1:$word in
            *:make) echo make ;;
            *:cmake) echo cmake ;;
            apt-get:cxx) echo g++ ;;
            apt-get:libclang) echo libclang-dev ;;
            apt-get:pkg-config) echo pkg-config ;;
            apt-get:openssl) echo libssl-dev ;;
            apt-get:curl) echo libcurl4-openssl-dev ;;
            apt-get:python) echo python3 python3-venv ;;
            apt-get:java) apt_java ;;
            dnf:cxx) echo gcc-c++ ;;
            dnf:libclang) echo clang-devel ;;
            dnf:pkg-config) echo pkgconf-pkg-config ;;
            dnf:openssl) echo openssl-devel ;;
            dnf:curl) echo libcurl-devel ;;
            dnf:java) echo java-21-openjdk-headless ;;
            apk:cxx) echo g++ ;;
            apk:libclang) echo clang-dev clang-libclang ;;
            apk:pkg-config) echo pkgconf ;;
            apk:openssl) echo openssl-dev ;;
            apk:curl) echo curl-dev ;;
            apk:java) echo openjdk17-jre-headless ;;
            *:python) echo python3 ;;
            apt-get:redis) echo redis-tools redis-server ;;
            *:redis) echo redis ;;
            *:curl-command) echo curl ;;
            *:openssl-command) echo openssl ;;
            *:chromium) echo chromium ;;
            *:node) echo nodejs npm ;;
            apt-get:go) echo golang-go ;;
            dnf:go) echo golang ;;
            apk:go) echo go ;;
            *:wrk) echo wrk ;;
            *:maven) echo maven ;;
            *:bash) echo bash ;;
        esac
    done | tr '\n' ' ' | sed 's/ $//'
}

# Some releases have no Java 17 but a newer default; others have an older default.
apt_java() {
    if apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
        echo openjdk-17-jre-headless
    else
        echo default-jre-headless
    fi
}

# Runs a command as root, or prints it and fails.
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
        *) fail "missing: $words(cxx is a C++20 compiler with its library, libclang the library with clang's headers," \
            "openssl and curl their headers, python 3.11 or newer, java 17 or newer)" \
            "no apt-get, dnf or apk here: install them with this system's package manager, then run this again" ;;
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
    has rustup || fail "rustfmt and clippy are missing; install those of this Rust the way it was installed"
    echo "setup: rustup component add rustfmt clippy"
    rustup component add rustfmt clippy </dev/null || fail "the command above failed; run it by hand, then try again"
fi

[ "$want_kafka" = no ] || scripts/kafka.sh fetch
[ "$want_objects" = no ] || scripts/object-server.sh fetch

# The clients of PyPI and npm are in a directory of their own, at versions that are known to work.
fetch_clients() {
    clients=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/cutover/clients
    mkdir -p "$clients"
    if ! "$clients/venv/bin/python" -c 'import redis' 2>/dev/null; then
        echo "setup: redis-py into $clients/venv"
        python3 -m venv "$clients/venv" && "$clients/venv/bin/pip" install -q redis==8.1.0 </dev/null
    fi
    if [ ! -f "$clients/node_modules/ioredis/package.json" ]; then
        echo "setup: ioredis into $clients/node_modules"
        npm install --prefix "$clients" --silent --no-fund --no-audit ioredis@6.0.0 </dev/null
    fi
    mkdir -p "$clients/bin"
    if is_older "$clients/bin/go-redis" tests/serve/clients/go; then
        echo "setup: go-redis into $clients/bin"
        go build -C tests/serve/clients/go -o "$clients/bin/go-redis" . </dev/null || return 1
    fi
    if is_older "$clients/bin/redis-client" tests/serve/clients/rust; then
        echo "setup: the crate redis into $clients/bin"
        CARGO_TARGET_DIR=$clients/rust cargo build --quiet --release --locked \
            --manifest-path tests/serve/clients/rust/Cargo.toml </dev/null || return 1
        cp "$clients/rust/release/redis-client" "$clients/bin/redis-client"
    fi
}

# Whether a program is missing, or older than a file of its source.
is_older() { [ ! -x "$1" ] || [ -n "$(find "$2" -type f -newer "$1")" ]; }

[ "$want_serve" = no ] || fetch_clients || fail "the clients could not be installed"

scripts/rocksdb.sh
