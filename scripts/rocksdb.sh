#!/bin/sh
# Builds RocksDB as one static library in a third of the processor time, and makes cargo link it.
#
#   scripts/rocksdb.sh             builds the library once per machine and writes .cargo/config.toml, which names it
#   scripts/rocksdb.sh --library [ARCH]   the same without .cargo/config.toml, for a processor that CXX compiles for;
#                                  prints the library's directory
#   scripts/rocksdb.sh --off       removes .cargo/config.toml: cargo compiles RocksDB itself again
#
# RocksDB's 342 files spend most of their time on the same headers. Compiled as 24 bundles of about 14 files, with the
# flags that librocksdb-sys gives them, they need a third of the time. Upstream tests the same with all files in one
# (`make unity_test`). The library is kept below ~/.cache/cutover/rocksdb, in a directory named by everything it depends
# on: the versions in Cargo.lock, the compiler and the flags. CXX and AR name another compiler, as they do for cargo.
#
# Whenever this script is not sure (another build script in librocksdb-sys, RUSTFLAGS, a compiler that fails), it says
# so and leaves the work to cargo, which takes longer and gives the same library. tests/it/dependencies.rs holds what is
# repeated here to the crate and its features. `cargo --target` for another system needs ROCKSDB_COMPILE=1: what
# .cargo/config.toml names is this machine's.
set -eu

cd "$(dirname "$0")/.."

bundles=24
# The build script of librocksdb-sys whose flags are repeated in `flags`.
known=2dbb97b102a2c13f0192ee75a49d4fc0f84fa0692ac9ffc84d364a7a28b472a3
config=.cargo/config.toml
mark="# Written by scripts/rocksdb.sh"
cxx=${CXX:-c++}
[ "${1:-}" = --library ] && [ -n "${2:-}" ] && arch=$2 || arch=$(uname -m)

say() { echo "rocksdb: $*" >&2; }

# Cargo compiles RocksDB itself.
plain() {
    say "$*; cargo compiles RocksDB itself, which takes longer"
    forget
    exit 0
}

is_ours() { [ ! -e $config ] || head -n 1 $config | grep -q "^$mark"; }
forget() { [ ! -e $config ] || ! is_ours || rm -f $config; }

locked() { sed -n "/^name = \"$1\"\$/{n;s/^version = \"\\(.*\\)\"\$/\\1/p;}" Cargo.lock; }

flags() {
    # -O2 is this project's profile for librocksdb-sys; the line after it is what the crate `cc` adds.
    echo "-O2 -std=c++20 -include cstdint"
    echo "-fPIC -ffunction-sections -fdata-sections -w"
    echo "-DLZ4=1 -DZSTD=1 -DNDEBUG=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DOS_LINUX -DROCKSDB_PLATFORM_POSIX"
    echo "-DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT -DROCKSDB_AUXV_GETAUXVAL_PRESENT"
    echo "-DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT"
    [ "$arch" != x86_64 ] || echo "-m64 -msse2"
}

key() {
    for crate in librocksdb-sys lz4-sys zstd-sys; do locked $crate; done
    $cxx --version 2>/dev/null || true
    flags
    echo "$arch $cxx ${CXXFLAGS:-} $bundles $known"
}

# The directory of a crate's source, which cargo downloads if it has to.
source_of() {
    cargo metadata --locked --format-version 1 | tr , '\n' |
        sed -n "s/^\"manifest_path\":\"\\(.*\\/$1-[0-9][^\\/]*\\)\\/Cargo.toml\"\$/\\1/p" | head -n 1
}

# Compiles everything into the directory $1.
compile() {
    rocksdb=$(source_of librocksdb-sys)
    lz4=$(source_of lz4-sys)/liblz4/lib
    zstd=$(source_of zstd-sys)/zstd/lib
    [ -f "$rocksdb/build.rs" ] && [ -f "$lz4/lz4.h" ] && [ -f "$zstd/zstd.h" ] || return 1
    [ "$(sha256sum "$rocksdb/build.rs" | cut -d' ' -f1)" = $known ] ||
        plain "the build script of librocksdb-sys is not the one that scripts/rocksdb.sh repeats"

    { grep -v '^util/build_version.cc$' "$rocksdb/rocksdb_lib_sources.txt" | sed "s|^|$rocksdb/rocksdb/|"
      echo "$rocksdb/build_version.cc"; } >"$1/files"
    per_bundle=$((($(wc -l <"$1/files") + bundles - 1) / bundles))
    sed 's/.*/#include "&"/' "$1/files" | split -l $per_bundle - "$1/bundle-"
    for bundle in "$1"/bundle-*; do mv "$bundle" "$bundle.cc"; done

    includes="-I$rocksdb/rocksdb/include -I$rocksdb/rocksdb -I$rocksdb -I$lz4 -I$zstd"
    # shellcheck disable=SC2046,SC2086 # flags are words
    printf '%s\n' "$1"/bundle-*.cc | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I FILE \
        $cxx $(flags) ${CXXFLAGS:-} $includes -c FILE -o FILE.o || return 1
    ${AR:-ar} crs "$1/librocksdb.a" "$1"/bundle-*.o
}

build() {
    made=$library.part.$$
    rm -rf "$made"
    mkdir -p "$made"
    trap 'rm -rf "$made"' EXIT
    trap 'exit 1' HUP INT TERM
    say "compiling RocksDB once, in $bundles bundles, into $library"
    compile "$made" || plain "the bundles do not compile"
    rm -f "$made"/bundle-* "$made/files"
    mv "$made" "$library" 2>/dev/null || [ -f "$library/librocksdb.a" ]
}

if [ "${1:-}" = --off ]; then
    forget
    exit 0
fi
is_ours || { say "$config is yours and stays as it is; cargo compiles RocksDB itself"; exit 0; }
[ -z "${RUSTFLAGS:-}${CARGO_ENCODED_RUSTFLAGS:-}${ROCKSDB_LIB_DIR:-}" ] || plain "RUSTFLAGS or ROCKSDB_LIB_DIR is set"
[ "$(uname -s)" = Linux ] && command -v sha256sum >/dev/null || plain "this is not a Linux with sha256sum"

library=${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/cutover/rocksdb/$(key | sha256sum | cut -c 1-16)
[ -f "$library/librocksdb.a" ] || build

if [ "${1:-}" = --library ]; then
    echo "$library"
    exit 0
fi
mkdir -p .cargo
wanted="$mark: the library that it built, so that cargo need not compile RocksDB.
[env]
ROCKSDB_LIB_DIR = \"$library\"
ROCKSDB_STATIC = \"1\""
[ "$(cat $config 2>/dev/null)" = "$wanted" ] || echo "$wanted" >$config
